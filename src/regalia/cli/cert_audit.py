"""`regalia cert audit`: what was issued, read again and tested."""

import sys
from typing import Annotated, Final

import typer

from regalia import reasons
from regalia.cli.context import reached
from regalia.cli.faults import FoundError
from regalia.cli.options import Home, Json, examples
from regalia.cli.output import print_json, print_record, print_table, say
from regalia.verbs import certificate_issue as verbs

__all__ = ["AUDIT_EXAMPLES", "audit"]

AUDIT_EXAMPLES: Final = examples("cert audit --since 7d", "cert audit --sample 1 --json")


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
    with reached(home) as door:
        audited = door.ask(verbs.AUDIT, verbs.AuditCertificates(since=since, sample=sample))
    _tell(audited, as_json=as_json)
    sys.stdout.flush()  # the findings stand before the error, also where both go into one pipe
    if audited.findings:
        raise FoundError(reasons.AUDIT_FOUND, f"{audited.findings} findings in {audited.certificates} certificates")


def _tell(audited: verbs.AuditedRecord, *, as_json: bool) -> None:
    record = audited.model_dump(mode="json")
    if as_json:
        print_json(record)
        return
    rows = record.pop("doubts")
    if rows:
        print_table(rows, ("serial", "rule", "subject", "finding"), as_json=False)
        say()
    print_record(record, as_json=False)
