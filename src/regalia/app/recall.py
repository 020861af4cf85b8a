"""What the published CRLs say that a restored database does not know, put on record again (SEC-4, REV-1).

A backup is older than what happened after it. Whoever was told by a CRL that a certificate is revoked must not be told
otherwise by the next one, whether the certificate was issued before the backup, was being issued, or came later.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from regalia import reasons
from regalia.ca.issue import certificate_event
from regalia.ca.known_crl import read_known_crl
from regalia.ca.revoke import is_final
from regalia.errors import AdminError, InvariantError
from regalia.model import (
    Action,
    AuthorityState,
    CertificateState,
    EventDraft,
    Hold,
    Outcome,
    Revocation,
    RevocationReason,
    RevokedEntry,
)
from regalia.wire.certificate import read_certificate

if TYPE_CHECKING:
    from pathlib import Path

    from regalia.app.build import App
    from regalia.ca.known_crl import KnownCrl, ListedSerial
    from regalia.model import Actor, Authority, Certificate, JsonValue
    from regalia.ports import Authorities

__all__ = ["end_revoked_authorities", "published_crl", "recall"]

_CAUSE = "restored"


def published_crl(authorities: Authorities, path: Path) -> KnownCrl:
    """Read a published CRL. Raises `AdminError` ADM-020, ADM-062."""
    try:
        octets = path.read_bytes()
    except OSError as error:
        raise AdminError(reasons.FILE_REFUSED, f"{path}: {error.strerror}") from error
    try:
        return read_known_crl(octets, authorities.authorities())
    except AdminError as error:
        raise AdminError(error.reason, f"{path}: {error.detail}") from None


def recall(regalia: App, crl: KnownCrl, actor: Actor) -> tuple[int, int]:
    """Revoke or hold what a CRL lists: returns how many certificates anew, and how many nobody knew here.

    Those get a row of their own, so that they stay on the CRL and OCSP says revoked until the authority ends.
    """
    authority = regalia.store.authority(crl.authority)
    if authority is None:
        raise InvariantError(f"authority {crl.authority} has gone")
    note, again, unknown = f"on the CRL numbered {crl.number}, published after the backup", 0, []
    for entry in crl.entries:
        found = [each for each in regalia.store.find_serial(entry.serial) if each.intent.authority == crl.authority]
        if found:
            again += _ended_again(regalia, found[0], entry, actor, note)
        else:
            unknown.append(entry)
    return again, _keep_unknown(regalia, authority, unknown)


def _ended_again(regalia: App, certificate: Certificate, entry: ListedSerial, actor: Actor, note: str) -> bool:
    """Do to one certificate what the CRL says of it; False where that was done before the backup."""
    if is_final(certificate) or certificate.state is CertificateState.ABANDONED:
        return False
    details: dict[str, JsonValue] = {"reason": entry.reason.name.lower(), "cause": _CAUSE, "note": note}
    if certificate.state is CertificateState.INTENT:
        # It was signed after the backup, and revoked. Recovery would sign it once more, and it would be good.
        event = _event(regalia, Action.CERTIFICATE_ABANDONED, certificate, actor, {"why": note})
        return regalia.store.abandon(certificate.id, regalia.clock.now(), (event,))
    if entry.reason is RevocationReason.CERTIFICATE_HOLD:
        held = Hold(certificate.id, _CAUSE, actor.id, entry.at, note)
        event = _event(regalia, Action.CERTIFICATE_HELD, certificate, actor, {"cause": _CAUSE, "note": note})
        return certificate.revocation is None and regalia.store.hold_certificate(held, (event,))
    revocation = Revocation(certificate.id, entry.reason, _CAUSE, actor.id, entry.at, note)
    event = _event(regalia, Action.CERTIFICATE_REVOKED, certificate, actor, details)
    return regalia.store.revoke(revocation, (event,))


def _event(
    regalia: App, action: Action, certificate: Certificate, actor: Actor, details: dict[str, JsonValue]
) -> EventDraft:
    return certificate_event(action, certificate.intent, actor, regalia.clock.now(), details=details)


def _keep_unknown(regalia: App, authority: Authority, unknown: list[ListedSerial]) -> int:
    # Nobody here has the certificate, so nobody could release it: a hold stays for good.
    entries = [
        RevokedEntry(
            each.serial.to_bytes(20, "big"),
            round(each.at.timestamp() * 1000),
            RevocationReason.UNSPECIFIED if each.reason is RevocationReason.CERTIFICATE_HOLD else each.reason,
        )
        for each in unknown
    ]
    until = read_certificate(authority.certificate_der).not_after
    return regalia.store.keep_revoked(authority, until, entries, ()) if entries else 0


def end_revoked_authorities(regalia: App, actor: Actor) -> None:
    """Let no authority issue whose own certificate is revoked: its state is what everybody asks."""
    for authority in regalia.store.authorities():
        certificate = regalia.store.certificate(authority.certificate_id)
        if authority.state is AuthorityState.REVOKED or certificate is None or not is_final(certificate):
            continue
        revocation, now = certificate.revocation, regalia.clock.now()
        reason = revocation.reason if revocation is not None else RevocationReason.UNSPECIFIED
        event = EventDraft(
            now,
            actor,
            Action.AUTHORITY_REVOKED,
            f"authority:{authority.name}",
            Outcome.OK,
            authority.group,
            serial=f"{certificate.serial:x}",
            details={"reason": reason.name.lower(), "note": "a CRL published after the backup says so"},
        )
        regalia.store.set_authority_state(authority.name, AuthorityState.REVOKED, (event,), at=now)
