"""`regalia cert hold`, `release` and `revoke`: what ends a certificate, or suspends it."""

from typing import Annotated

import typer

from regalia.cli.cert_record import COLUMNS, Serial
from regalia.cli.context import agreed, reached
from regalia.cli.options import DryRun, Home, Json, Yes, examples
from regalia.cli.output import print_answer, print_page
from regalia.cli.reason import Reason, ReasonName
from regalia.verbs import certificate_end as verbs

__all__ = ["HOLD_EXAMPLES", "RELEASE_EXAMPLES", "REVOKE_EXAMPLES", "hold", "release", "revoke"]

HOLD_EXAMPLES = examples("cert hold 1f3a --note 'reported lost'", "cert hold 1f3a --yes --json")
RELEASE_EXAMPLES = examples("cert release 1f3a --note 'found again'", "cert release 1f3a --json")
REVOKE_EXAMPLES = examples(
    "cert revoke 1f3a --reason key-compromise", "cert revoke 1f3a --reason superseded --note lost --yes"
)

Note = Annotated[str, typer.Option("--note", metavar="TEXT", help="Why, for the audit log.")]


def hold(
    *,
    serial: Serial,
    note: Note = "",
    yes: Yes = False,
    dry_run: DryRun = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Suspend a device's certificate until it is released or revoked. OCSP says so at once, the CRL within a minute."""
    with reached(home) as door:
        asked = verbs.HoldCertificate(serial=serial, note=note)
        if agreed(door.plan(verbs.HOLD, asked).would, yes=yes, dry_run=dry_run, as_json=as_json):
            print_answer(door.ask(verbs.HOLD, asked), as_json=as_json)


def release(*, serial: Serial, note: Note = "", home: Home = None, as_json: Json = False) -> None:
    """End a hold: the certificate is good again and renews as before, unless what follows from its device holds it."""
    with reached(home) as door:
        released = door.ask(verbs.RELEASE, verbs.ReleaseCertificate(serial=serial, note=note))
        print_answer(released, as_json=as_json)


def revoke(
    *,
    serial: Serial,
    reason: Reason,
    note: Note = "",
    yes: Yes = False,
    dry_run: DryRun = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Revoke a device's certificate for good. OCSP says so at once, the CRL within a minute while `serve` runs.

    With key-compromise every certificate of its key is revoked, and none is issued for that key again.
    """
    with reached(home) as door:
        asked = verbs.RevokeCertificate(serial=serial, reason=reason, note=note)
        if not agreed(door.plan(verbs.REVOKE, asked).would, yes=yes, dry_run=dry_run, as_json=as_json):
            return
        revoked = door.ask(verbs.REVOKE, asked)
        if reason is ReasonName.KEY_COMPROMISE:
            print_page(revoked, COLUMNS, as_json=as_json)
        else:
            print_answer(revoked.items[0], as_json=as_json)
