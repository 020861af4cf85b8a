"""`regalia cert audit`: what was issued, read again and tested."""

import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Final

import typer

from regalia import reasons
from regalia.ca.audit import Audited, Auditor, audit_events
from regalia.cli.context import administrator, opened
from regalia.cli.faults import FoundError
from regalia.cli.options import Home, Json, examples
from regalia.cli.output import print_json, print_record, print_table, say
from regalia.cli.span import read_span
from regalia.errors import AdminError

if TYPE_CHECKING:
    from regalia.ca.audit import Doubt

__all__ = ["AUDIT_EXAMPLES", "audit"]

AUDIT_EXAMPLES: Final = examples("cert audit --since 7d", "cert audit --sample 1 --json")
_MOST_SHOWN: Final = 1_000


def audit(
    *,
    since: Annotated[
        str | None,
        typer.Option(
            "--since", metavar="TIME", help="Only what was issued since: 8h, 7d or 2026-03-01.", show_default="all"
        ),
    ] = None,
    sample: Annotated[
        int, typer.Option("--sample", min=0, metavar="N", help="Give every Nth leaf to pkilint as well; 0 for none.")
    ] = 100,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Read again what was issued; test row, signature, profile, lint, key, log and CRL. Exit code 3 with findings."""
    with opened(home) as regalia:
        now = regalia.clock.now()
        begin = _begin(since, now)
        audited = Auditor(regalia.store, regalia.urls, now).run(since=begin, sample=sample)
        regalia.store.record(audit_events(audited, administrator(), now, since=begin))
    _tell(audited, as_json=as_json)
    sys.stdout.flush()  # the findings stand before the error, also where both go into one pipe
    if audited.doubts:
        raise FoundError(reasons.AUDIT_FOUND, f"{len(audited.doubts)} findings in {audited.certificates} certificates")


def _begin(since: str | None, now: datetime) -> datetime | None:
    if since is None:
        return None
    try:
        day = datetime.fromisoformat(since)
    except ValueError:
        return now - read_span("--since", since)
    begin = day if day.tzinfo is not None else day.replace(tzinfo=UTC)
    if begin > now + timedelta(days=1):
        raise AdminError(reasons.USAGE, f"--since {since} lies ahead")
    return begin


def _tell(audited: Audited, *, as_json: bool) -> None:
    rows = [_record(doubt) for doubt in audited.doubts[:_MOST_SHOWN]]
    counts: dict[str, object] = {
        "certificates": audited.certificates,
        "findings": len(audited.doubts),
        "by_rule": dict(sorted(Counter(doubt.rule.value for doubt in audited.doubts).items())),
        "read_by_pkilint": audited.sampled,
        "with_another_url": audited.elsewhere,
    }
    if as_json:
        print_json(counts | {"doubts": rows})
        return
    if rows:
        print_table(rows, ("serial", "rule", "subject", "finding"), as_json=False)
        say()
    print_record(counts, as_json=False)


def _record(doubt: "Doubt") -> dict[str, object]:
    return {
        "serial": f"{doubt.serial:x}",
        "rule": doubt.rule,
        "kind": doubt.kind,
        "group": doubt.group,
        "authority": doubt.authority,
        "subject": doubt.subject,
        "finding": doubt.text,
    }
