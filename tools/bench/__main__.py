"""`./regalia bench SUBJECT|all|report`: measure, verify, compare with the budgets; make the page.

Exit code 0: within every budget. 1: the run is void, or the page is not what the results give. 2: usage. 3: a budget
is missed.
"""

from __future__ import annotations

import argparse
import importlib
import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from tools.bench import kept
from tools.bench.measure import VoidRunError, machine
from tools.bench.peer import enter_namespace
from tools.bench.report import as_json, as_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from tools.bench.report import Report

__all__ = ["concluded"]

_SUBJECTS: Final = {
    "scep": "one enrolment: its stages against pure crypto, and over HTTP against Debian's scepserver",
    "growth": "one enrolment and look-ups with few and with many certificates stored",
    "lists": "pages of long lists, searches, and single objects among a million certificates",
    "console": "the console's pages among a million certificates and a hundred thousand devices",
    "fleet": "what follows for a fleet: planning for all of it, and how soon a wipe is known; a connector that hangs",
    "pressure": "hundreds of enrolments in flight beside OCSP, and good requests beside a flood of bad ones",
    "ocsp": "one OCSP answer: cached against a bare uvicorn answer, and fresh",
    "crl": "CPU and memory of publishing CRLs",
    "start": "time to start, and memory",
}


def concluded(measure: Callable[[], Report], command: str, *, json: bool, save: bool = False) -> int:
    """Measure, print what was found, and return the exit code. A void run prints nothing but why, and saves nothing."""
    facts = machine()
    began = datetime.now(UTC)
    try:
        report = measure()
    except (VoidRunError, OSError, subprocess.SubprocessError) as error:
        print(f"bench: the run is void: {error}", file=sys.stderr)
        return 1
    run = {
        "command": command,
        "date": began.isoformat(timespec="seconds"),
        "commit": kept.commit(),
        "machine": facts,
    }
    report = replace(report, run=run)
    print(as_json(report) if json else as_text(report), flush=True)
    if save:
        kept.save(report.subject, as_json(report))
    for figure in report.missed:
        print(f"bench: missed: {figure.name}: {figure.value:.3g} {figure.unit}, {figure.budget}", file=sys.stderr)
    return 3 if report.missed else 0


def _main(arguments: list[str]) -> int:
    chosen = _parser().parse_args(arguments)
    if chosen.subject == "report":
        return _report(check=chosen.check)
    if chosen.subject == "all":
        return _all(arguments[1:])
    # Settings of the one who measures are none of the product's that is measured.
    for name in [name for name in os.environ if name.startswith("REGALIA_") and name != "REGALIA_BENCH_NAMESPACE"]:
        del os.environ[name]
    try:
        if chosen.subject == "scep":
            enter_namespace(arguments)
    except VoidRunError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    # Each subject needs other parts of the product, and what is loaded is memory that is measured.
    subject = importlib.import_module(f"tools.bench.{chosen.subject}")
    size = subject.LEAST if chosen.least else subject.QUICK if chosen.quick else subject.FULL
    command = " ".join(["./regalia bench", *arguments])
    return concluded(lambda: subject.measure(size), command, json=chosen.json, save=chosen.save)


def _parser() -> argparse.ArgumentParser:
    about = __doc__.partition("\n")[0] if __doc__ else ""
    parser = argparse.ArgumentParser(prog="./regalia bench", description=about)
    verbs = parser.add_subparsers(dest="subject", required=True, metavar="|".join([*_SUBJECTS, "all", "report"]))
    for name, does in (_SUBJECTS | {"all": "all of these, one after the other"}).items():
        verb = verbs.add_parser(name, help=does, description=f"Measure {does}.")
        verb.add_argument("--json", action="store_true", help="the same as one JSON document")
        verb.add_argument("--save", action="store_true", help="keep the results, of which `report` makes the page")
        sizes = verb.add_mutually_exclusive_group()
        sizes.add_argument("--quick", action="store_true", help="less of everything")
        sizes.add_argument("--least", action="store_true", help="only so much that it is seen to work")
    made = "docs/performance.md and its charts from the results that were saved"
    verb = verbs.add_parser("report", help=made, description=f"Make {made}.")
    verb.add_argument("--check", action="store_true", help="write nothing; exit 1 where they are not what is there")
    return parser


def _all(options: list[str]) -> int:
    """Measure each subject in a process of its own; what ended worst is the exit code."""
    codes = [
        subprocess.run([sys.executable, "-m", "tools.bench", subject, *options], check=False).returncode
        for subject in _SUBJECTS
    ]
    return 1 if 1 in codes else max(codes)


def _report(*, check: bool) -> int:
    page = importlib.import_module("tools.bench.page")
    saved = kept.saved()
    if not check:
        print("\n".join(str(path) for path in page.write(saved)))
        return 0
    stale = page.outdated(saved)
    for path in stale:
        print(f"bench: {path} is not what the results give; ./regalia bench report makes it", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
