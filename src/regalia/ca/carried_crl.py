"""CRLs that were signed elsewhere: a root's, brought from its machine, and the last one of an imported authority."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Protocol

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_der_public_key

from regalia import reasons
from regalia.errors import AdminError
from regalia.model import Action, AuthorityState, CrlRecord, EventDraft, Outcome, RevocationReason, RevokedEntry, new_id
from regalia.ports import Authorities, Crls, Hierarchies
from regalia.wire.certificate import read_certificate
from regalia.wire.event import time_text
from regalia.wire.names import same_name

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from regalia.model import Actor, Authority
    from regalia.ports import Clock, Entropy

__all__ = ["CarriedCrl", "CrlImportStore", "CrlImporter", "read_carried"]

_EARLY: Final = timedelta(minutes=5)
"""How far the other machine's clock may be ahead: an offline one drifts."""
_NUMBERS_END: Final = 1 << 62
"""Numbers are kept in 63 bits, and are nanoseconds since 1970 otherwise (R8)."""
_REASONS: Final = {
    x509.ReasonFlags.key_compromise: RevocationReason.KEY_COMPROMISE,
    x509.ReasonFlags.ca_compromise: RevocationReason.CA_COMPROMISE,
    x509.ReasonFlags.affiliation_changed: RevocationReason.AFFILIATION_CHANGED,
    x509.ReasonFlags.superseded: RevocationReason.SUPERSEDED,
    x509.ReasonFlags.cessation_of_operation: RevocationReason.CESSATION_OF_OPERATION,
    # Nobody here knows whom to ask whether it may be released: it stays revoked.
    x509.ReasonFlags.certificate_hold: RevocationReason.UNSPECIFIED,
    x509.ReasonFlags.privilege_withdrawn: RevocationReason.PRIVILEGE_WITHDRAWN,
}


class CrlImportStore(Authorities, Crls, Hierarchies, Protocol):
    """The ports that a CRL is published through."""


@dataclass(frozen=True, slots=True)
class CarriedCrl:
    """A CRL that was verified with its authority's certificate."""

    octets: bytes
    number: int
    this_update: datetime
    next_update: datetime
    entries: int

    def revoked(self) -> tuple[RevokedEntry, ...]:
        """What it says of each serial."""
        crl = x509.load_der_x509_crl(self.octets)
        return tuple(
            RevokedEntry(
                entry.serial_number.to_bytes(20, "big"),
                round(entry.revocation_date_utc.timestamp() * 1000),
                int(_reason(entry)),
            )
            for entry in crl
        )


def read_carried(octets: bytes, issuer: bytes) -> CarriedCrl:
    """Read a DER CRL and verify it with the issuer's DER certificate. Raises `AdminError` ADM-032 with all faults."""
    try:
        crl = x509.load_der_x509_crl(octets)
        faults = list(_faults(crl, issuer))
        number = _number(crl)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise AdminError(reasons.AUTHORITY_CRL_REFUSED, f"it cannot be read: {error}") from error
    if number is None:
        faults.append("it has no number (cRLNumber)")
    elif not 0 <= number < _NUMBERS_END:
        faults.append("its number has more than 62 bits: nothing here could count on from it")
    if crl.next_update_utc is None:
        faults.append("it does not say when the next one comes (nextUpdate)")
    if faults or number is None or crl.next_update_utc is None:
        raise AdminError(reasons.AUTHORITY_CRL_REFUSED, "\n".join(faults))
    return CarriedCrl(octets, number, crl.last_update_utc, crl.next_update_utc, len(crl))


def _faults(crl: x509.CertificateRevocationList, issuer: bytes) -> Iterator[str]:
    facts = read_certificate(issuer)
    if not same_name(crl.issuer.public_bytes(), facts.subject):
        yield f"it is the CRL of {crl.issuer.rfc4514_string()}"
    elif not _verifies(crl, facts.public_key):
        yield "its signature does not verify with the authority's key"
    for extension in crl.extensions:
        if isinstance(extension.value, x509.DeltaCRLIndicator):
            yield "it is a delta CRL, which says only what changed"
        elif isinstance(extension.value, x509.IssuingDistributionPoint) and (
            extension.value.indirect_crl
            or extension.value.only_some_reasons
            or extension.value.only_contains_user_certs
        ):
            yield "it covers only some certificates (issuingDistributionPoint)"


def _verifies(crl: x509.CertificateRevocationList, public_key: bytes) -> bool:
    try:
        return crl.is_signature_valid(load_der_public_key(public_key))  # type: ignore[arg-type]  # it raises for others
    except (TypeError, ValueError, UnsupportedAlgorithm):
        return False


def _number(crl: x509.CertificateRevocationList) -> int | None:
    try:
        return crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    except x509.ExtensionNotFound:
        return None


def _reason(entry: x509.RevokedCertificate) -> RevocationReason:
    try:
        given = entry.extensions.get_extension_for_class(x509.CRLReason).value.reason
    except x509.ExtensionNotFound:
        return RevocationReason.UNSPECIFIED
    return _REASONS.get(given, RevocationReason.UNSPECIFIED)


class CrlImporter:
    """Publishes CRLs of authorities whose keys are elsewhere; every node serves a copy, as of its own."""

    def __init__(self, store: CrlImportStore, clock: Clock, entropy: Entropy) -> None:
        self._store = store
        self._clock = clock
        self._entropy = entropy

    def publish(self, authority: Authority, octets: bytes, *, actor: Actor) -> CrlRecord:
        """Put a CRL in the place of the one that is served. Raises `AdminError` ADM-032 with all that is wrong."""
        carried, now = read_carried(octets, authority.certificate_der), self._clock.now()
        faults = []
        if carried.this_update > now + _EARLY:
            faults.append(f"it is from the future: thisUpdate {carried.this_update:%F %T} UTC; compare the clocks")
        if carried.next_update <= now:
            faults.append(f"it has ended: nextUpdate {carried.next_update:%F %T} UTC")
        last = self._store.last_crl(authority.name)
        if last is not None and carried.number <= last.number:
            faults.append(f"its number {carried.number} is not above {last.number}, which is served")
        if faults:
            raise AdminError(reasons.AUTHORITY_CRL_REFUSED, "\n".join(faults))
        record = CrlRecord(
            authority=authority.name,
            number=carried.number,
            this_update=carried.this_update,
            next_update=carried.next_update,
            entries=carried.entries,
            snapshot=0,
            sha256=hashlib.sha256(octets).digest(),
            published_at=now,
        )
        if not self._store.import_crl(new_id(now, self._entropy.octets(10)), record, octets, (_event(record, actor),)):
            raise AdminError(reasons.AUTHORITY_CRL_REFUSED, "a newer one was published meanwhile")
        self._end_revoked(authority, carried, actor)
        return record

    def _end_revoked(self, issuer: Authority, carried: CarriedCrl, actor: Actor) -> None:
        """Let no authority issue any more whose certificate its issuer revoked, on the machine where its key is."""
        below = [one for one in self._store.authorities() if one.parent == issuer.name and one.name != issuer.name]
        ended = {int.from_bytes(entry.serial, "big"): entry for entry in carried.revoked()} if below else {}
        for authority in below:
            serial = read_certificate(authority.certificate_der).serial
            entry = ended.get(serial)
            if entry is None or authority.state is AuthorityState.REVOKED:
                continue
            reason = RevocationReason(entry.reason).name.lower()
            event = EventDraft(
                at=self._clock.now(),
                actor=actor,
                action=Action.AUTHORITY_REVOKED,
                object=f"authority:{authority.name}",
                outcome=Outcome.OK,
                group=authority.group,
                serial=f"{serial:x}",
                details={"reason": reason, "note": f"CRL {carried.number} of {issuer.name} says so"},
            )
            self._store.set_authority_state(authority.name, AuthorityState.REVOKED, (event,))


def _event(record: CrlRecord, actor: Actor) -> EventDraft:
    return EventDraft(
        at=record.published_at,
        actor=actor,
        action=Action.CRL_IMPORTED,
        object=f"authority:{record.authority}",
        outcome=Outcome.OK,
        details={
            "number": str(record.number),
            "entries": record.entries,
            "sha256": record.sha256.hex(),
            "next_update": time_text(record.next_update),
        },
    )
