"""CRLs that were signed elsewhere: a root's, brought from its machine, and the last one of an imported authority."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, Protocol

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from regalia import reasons
from regalia.ca.known_crl import is_signed_by, number_of, reason_of
from regalia.ca.revoke import is_final, revoke
from regalia.errors import AdminError, InvariantError
from regalia.model import (
    Action,
    AuthorityKind,
    AuthorityState,
    CrlRecord,
    EventDraft,
    Outcome,
    RevocationReason,
    RevokedEntry,
    new_id,
)
from regalia.ports import Authorities, Certificates, Crls, Hierarchies
from regalia.wire.certificate import read_certificate
from regalia.wire.event import time_text
from regalia.wire.names import same_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from regalia.model import Actor, Authority
    from regalia.ports import Clock, Entropy

__all__ = ["CarriedCrl", "CrlImportStore", "CrlImporter", "read_carried"]

_EARLY: Final = timedelta(minutes=5)
"""How far the other machine's clock may be ahead: an offline one drifts."""
_NUMBERS_END: Final = 1 << 62
"""Numbers are kept in 63 bits, and are nanoseconds since 1970 otherwise (R8)."""
_SERIALS_END: Final = 1 << 160
_CAUSE: Final = "crl"
_UNREADABLE: Final = (
    ValueError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)
"""What the library raises for a CRL that it cannot make sense of."""


class CrlImportStore(Authorities, Certificates, Crls, Hierarchies, Protocol):
    """The ports that a CRL is published through, and what it says is kept in."""


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


def read_carried(octets: bytes, issuer: bytes, kind: AuthorityKind) -> CarriedCrl:
    """Read a DER CRL and verify it with the DER certificate of its issuer, an authority of this kind.

    Raises `AdminError` ADM-032 with all faults.
    """
    try:
        crl = x509.load_der_x509_crl(octets)
        faults = [*_faults(crl, issuer), *_scope_faults(crl, kind), *_entry_faults(crl)]
        number = number_of(crl)
    except _UNREADABLE as error:
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
    elif not is_signed_by(crl, issuer):
        yield "its signature does not verify with the authority's key"


def _scope_faults(crl: x509.CertificateRevocationList, kind: AuthorityKind) -> Iterator[str]:
    """What keeps it from being the whole truth about the authority's certificates (RFC 5280 §5.2)."""
    for extension in crl.extensions:
        if isinstance(extension.value, x509.DeltaCRLIndicator):
            yield "it is a delta CRL, which says only what changed"
        elif isinstance(extension.value, x509.IssuingDistributionPoint):
            if not _covers_all(extension.value, kind):
                yield "it covers only some certificates (issuingDistributionPoint)"
        elif extension.critical and isinstance(extension.value, x509.UnrecognizedExtension):
            yield f"it has the critical extension {extension.oid.dotted_string}, which verifiers may not know"


def _entry_faults(crl: x509.CertificateRevocationList) -> Iterator[str]:
    """What keeps an entry from being kept here; the first one that is wrong is told."""
    for entry in crl:
        if not 0 < entry.serial_number < _SERIALS_END:
            yield f"it lists a serial of more than 20 octets, or none above zero: {entry.serial_number:x}"
            return
        if any(
            extension.critical and not isinstance(extension.value, x509.CRLReason) for extension in entry.extensions
        ):
            yield f"its entry for serial {entry.serial_number:x} has a critical extension: it may be of another CA"
            return


def _covers_all(point: x509.IssuingDistributionPoint, kind: AuthorityKind) -> bool:
    """Whether nothing is left out; who issues issuing authorities has no certificates but those of CAs."""
    return not (
        point.full_name
        or point.relative_name
        or point.indirect_crl
        or point.only_some_reasons
        or point.only_contains_user_certs
        or point.only_contains_attribute_certs
        or (point.only_contains_ca_certs and kind is AuthorityKind.ISSUING)
    )


def _reason(entry: x509.RevokedCertificate) -> RevocationReason:
    given = reason_of(entry)
    # Nobody here knows whom to ask whether it may be released: it stays revoked.
    return RevocationReason.UNSPECIFIED if given is RevocationReason.CERTIFICATE_HOLD else given


class CrlImporter:
    """Publishes CRLs of authorities whose keys are elsewhere; every node serves a copy, as of its own."""

    def __init__(self, store: CrlImportStore, clock: Clock, entropy: Entropy) -> None:
        self._store = store
        self._clock = clock
        self._entropy = entropy

    def publish(self, authority: Authority, octets: bytes, *, actor: Actor) -> CrlRecord:
        """Put a CRL in the place of the one that is served, and end the authorities that it revokes.

        The very one that is served, brought again, changes nothing but what it revokes and stands yet. Raises
        `AdminError` ADM-032 with all that is wrong.
        """
        carried, now = read_carried(octets, authority.certificate_der, authority.kind), self._clock.now()
        digest, last = hashlib.sha256(octets).digest(), self._store.last_crl(authority.name)
        if last is not None and last.sha256 == digest:
            self._end_revoked(authority, carried, actor)
            return last
        faults = []
        if carried.this_update > now + _EARLY:
            faults.append(f"it is from the future: thisUpdate {carried.this_update:%F %T} UTC; compare the clocks")
        if carried.next_update <= now:
            faults.append(f"it has ended: nextUpdate {carried.next_update:%F %T} UTC")
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
            sha256=digest,
            published_at=now,
        )
        # First, so that the CRL counts as one that lists them; it is genuine, whatever becomes of it.
        self._end_revoked(authority, carried, actor)
        if not self._store.import_crl(new_id(now, self._entropy.octets(10)), record, octets, (_event(record, actor),)):
            raise AdminError(reasons.AUTHORITY_CRL_REFUSED, "a newer one was published meanwhile")
        return record

    def _end_revoked(self, issuer: Authority, carried: CarriedCrl, actor: Actor) -> None:
        """Let no authority issue any more whose certificate its issuer revoked, nor any below it."""
        every = self._store.authorities()
        children = [one for one in every if one.parent == issuer.name]
        listed = {int.from_bytes(entry.serial, "big"): entry for entry in carried.revoked()} if children else {}
        note = f"CRL {carried.number} of {issuer.name} says so"
        for child in children:
            entry = listed.get(read_certificate(child.certificate_der).serial)
            if entry is None:
                continue
            # No list knows what comes after it: a date beyond its own is a slip.
            at = min(datetime.fromtimestamp(entry.at / 1000, UTC), carried.this_update, self._clock.now())
            for authority in (child, *_below(child, every)):
                self._end(authority, RevocationReason(entry.reason), at, note=note, actor=actor)

    def _end(self, authority: Authority, reason: RevocationReason, at: datetime, *, note: str, actor: Actor) -> None:
        """Revoke an authority and its certificate, where its key is; called again, it does what is left."""
        certificate = self._store.certificate(authority.certificate_id)
        if certificate is None:
            raise InvariantError(f"authority {authority.name} has no certificate row")
        if not is_final(certificate):
            revoke(self._store, self._clock, certificate, reason=reason, actor=actor, note=note, cause=_CAUSE, since=at)
        if authority.state is AuthorityState.REVOKED:
            return
        event = EventDraft(
            at=self._clock.now(),
            actor=actor,
            action=Action.AUTHORITY_REVOKED,
            object=f"authority:{authority.name}",
            outcome=Outcome.OK,
            group=authority.group,
            serial=f"{certificate.serial:x}",
            details={"reason": reason.name.lower(), "note": note},
        )
        self._store.set_authority_state(authority.name, AuthorityState.REVOKED, (event,), at=event.at)


def _below(authority: Authority, every: Sequence[Authority]) -> Iterator[Authority]:
    for one in every:
        if one.parent == authority.name:
            yield one
            yield from _below(one, every)


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
