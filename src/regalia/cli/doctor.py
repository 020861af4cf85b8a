"""`regalia doctor`: check everything that could keep devices from enrolling, and say what to do about it."""

import sys
from collections.abc import Iterator

import typer

from regalia import reasons
from regalia.cli.checks import Check, Level, checks
from regalia.cli.context import opened
from regalia.cli.faults import FOUND_PROBLEMS
from regalia.cli.options import Home, Json, examples
from regalia.cli.output import Style, clean, paint, plain, print_json
from regalia.client.transport import HttpTransport
from regalia.errors import AdminError, UnavailableError

__all__ = ["app"]

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)

_STYLES = {Level.OK: Style.GOOD, Level.WARN: Style.DOUBTFUL, Level.PROBLEM: Style.BAD}
_PATIENCE = 5.0
"""Seconds that the product's own URL has to answer."""


@app.command(
    help="Check everything that could keep devices from enrolling.", epilog=examples("doctor", "doctor --json")
)
def doctor(*, home: Home = None, as_json: Json = False) -> None:
    """Check clock, URL, keys, expiry, CRLs and database. Exit code 3 if anything is a problem."""
    found = []
    for check in _checks(home):
        found.append(check)
        if not as_json:
            _print(check)
    problems = sum(check.level is Level.PROBLEM for check in found)
    warnings = sum(check.level is Level.WARN for check in found)
    if as_json:
        rows = [
            {"check": one.name, "level": one.level, "finding": one.finding, "remedy": one.remedy or None}
            for one in found
        ]
        print_json({"problems": problems, "warnings": warnings, "checks": plain(rows)})
    else:
        counted = f"{_counted(len(found), 'check')}, {warnings} to look at, {_counted(problems, 'problem')}"
        sys.stdout.write(f"{counted}\n")
    if problems:
        raise typer.Exit(FOUND_PROBLEMS)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def _checks(home: Home) -> Iterator[Check]:
    """Run them all. A home that cannot be opened is one problem, and then nothing else can be looked at."""
    try:
        with opened(home) as regalia, HttpTransport(silence=_PATIENCE, total=_PATIENCE) as transport:
            yield from checks(regalia, transport)
    except (AdminError, UnavailableError) as error:
        if error.reason is reasons.HOME_MISSING:
            raise
        detail = " ".join(error.detail.splitlines())
        yield Check("home", Level.PROBLEM, f"{error.reason.id} {error.reason.title}: {detail}", error.reason.remedy)


def _print(check: Check) -> None:
    level = paint(f"{check.level:<7}", _STYLES[check.level], sys.stdout)
    sys.stdout.write(f"{level}  {check.name:<10}  {clean(check.finding)}\n")
    if check.remedy:
        sys.stdout.write(f"{'':21}{clean(check.remedy)}\n")
