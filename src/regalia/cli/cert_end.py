"""`regalia cert hold`, `release` and `revoke`: what ends a certificate, or suspends it."""

from typing import TYPE_CHECKING, Annotated

import typer

from regalia import reasons
from regalia.ca.revoke import block_key, certificates_of_key, is_final
from regalia.ca.revoke import hold as hold_certificate
from regalia.ca.revoke import release as release_certificate
from regalia.ca.revoke import revoke as revoke_certificate
from regalia.cli.cert_record import COLUMNS, Serial, certificate_record, found_certificate
from regalia.cli.context import administrator, agreed, opened
from regalia.cli.options import DryRun, Home, Json, Yes, examples
from regalia.cli.output import print_record, print_table, utc
from regalia.cli.reason import Reason, revocation_reason
from regalia.errors import AdminError
from regalia.model import Certificate, CertificateKind, RevocationReason

if TYPE_CHECKING:
    from regalia.app import App

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
    with opened(home) as regalia:
        certificate = found_certificate(regalia, serial)
        plan = [f"put 1 certificate on hold: {_named(certificate)}, {_holder(certificate)} until it is released"]
        if not agreed(plan, yes=yes, dry_run=dry_run, as_json=as_json):
            return
        hold_certificate(regalia.store, regalia.clock, certificate, actor=administrator(), note=note)
        print_record(_told(regalia, serial), as_json=as_json)


def release(*, serial: Serial, note: Note = "", home: Home = None, as_json: Json = False) -> None:
    """End a hold: the certificate is good again, and renews as before."""
    with opened(home) as regalia:
        certificate = found_certificate(regalia, serial)
        release_certificate(regalia.store, regalia.clock, certificate, actor=administrator(), note=note)
        print_record(_told(regalia, serial), as_json=as_json)


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
    cause = revocation_reason(reason)
    with opened(home) as regalia:
        certificate = found_certificate(regalia, serial)
        if cause is RevocationReason.KEY_COMPROMISE:
            plan = _key_plan(regalia, certificate)
            if agreed(plan, yes=yes, dry_run=dry_run, as_json=as_json):
                print_table(_revoke_key(regalia, certificate, note), COLUMNS, as_json=as_json)
            return
        _check_revocable(certificate)
        plan = [f"revoke 1 certificate for good: {_named(certificate)}, {_holder(certificate)}"]
        if not agreed(plan, yes=yes, dry_run=dry_run, as_json=as_json):
            return
        revoke_certificate(regalia.store, regalia.clock, certificate, reason=cause, actor=administrator(), note=note)
        print_record(_told(regalia, serial), as_json=as_json)


def _told(regalia: "App", serial: str) -> dict[str, object]:
    return certificate_record(found_certificate(regalia, serial), regalia.clock.now())


def _key_plan(regalia: "App", certificate: Certificate) -> list[str]:
    """Say what a compromised key costs; block it even where all is revoked for something else."""
    _check_kind(certificate)
    found = certificates_of_key(regalia.store, certificate)
    key = certificate.intent.key_sha256
    if not found and regalia.store.is_compromised(key):
        raise AdminError(reasons.ALREADY_REVOKED, f"all that has the key of serial {certificate.serial:x}")
    for each in found:
        _check_kind(each)
    count = f"revoke {len(found)} certificate{'' if len(found) == 1 else 's'} of one key for good"
    named = [f"revoke {_named(each)} for good, {_holder(each)}" for each in found]
    return [f"{count}, and never certify that key again: {key.hex()}", *named]


def _revoke_key(regalia: "App", certificate: Certificate, note: str) -> list[dict[str, object]]:
    actor, cause = administrator(), RevocationReason.KEY_COMPROMISE
    # The key first: what is enrolled with it meanwhile would be missed.
    block_key(regalia.store, regalia.clock, certificate, actor=actor, note=note)
    for each in certificates_of_key(regalia.store, certificate):
        revoke_certificate(regalia.store, regalia.clock, each, reason=cause, actor=actor, note=note)
    now = regalia.clock.now()
    same_key = regalia.store.certificates_by_key(certificate.intent.key_sha256)
    return [certificate_record(each, now) for each in same_key]


def _named(certificate: Certificate) -> str:
    names = ", ".join(certificate.intent.names.listed()) or certificate.intent.subject
    return f"{certificate.serial:x}, {names}" + (" (unverified)" if certificate.intent.unverified else "")


def _check_kind(certificate: Certificate) -> None:
    """Refuse what has its own way. Device certificates and former credentials are revoked here."""
    serial = f"serial {certificate.serial:x}"
    if certificate.intent.kind is CertificateKind.ROOT:
        raise AdminError(reasons.AUTHORITY_STATE, f"{serial} is a root: remove it where it is trusted instead")
    if certificate.intent.kind is CertificateKind.ISSUING:
        raise AdminError(reasons.AUTHORITY_STATE, f"{serial} is an issuing CA: use `regalia ca revoke`")


def _check_revocable(certificate: Certificate) -> None:
    _check_kind(certificate)
    if certificate.revocation is not None and is_final(certificate):
        raise AdminError(reasons.ALREADY_REVOKED, f"serial {certificate.serial:x}, {utc(certificate.revocation.at)}")


def _holder(certificate: Certificate) -> str:
    intent = certificate.intent
    if intent.kind is not CertificateKind.LEAF:
        return f"the {intent.kind.upper()} credential of group {intent.group}, which `serve` then replaces"
    return f"one device of group {intent.group} loses access"
