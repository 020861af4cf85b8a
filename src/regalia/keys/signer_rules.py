"""What a signer looks at in the octets themselves before a CA key signs them.

Whoever can write to the database can put any octets on record. These rules hold all the same: a key signs in its own
authority's name and nobody else's, what is signed for devices and services is no CA's, and only a root makes CAs.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final, Protocol

import structlog

from regalia.errors import InvariantError
from regalia.model import AuthorityKind, CertificateKind
from regalia.ports import Authorities, Intents, KeyRecords
from regalia.wire import oids
from regalia.wire.certificate import read_certificate, read_key_usage, read_tbs
from regalia.wire.crl import begins_list_of
from regalia.wire.csr import key_of_info
from regalia.wire.der import DerError

if TYPE_CHECKING:
    from uuid import UUID

    from regalia.model import Authority, SigningIntent
    from regalia.wire.certificate import CertificateFacts, SignatureAlgorithm

__all__ = ["SignerRules", "SignerStore"]

_CA_KINDS: Final = frozenset({CertificateKind.ROOT, CertificateKind.ISSUING, CertificateKind.CROSS})
_CA_USAGES: Final = frozenset({"keyCertSign", "cRLSign"})

_log = structlog.get_logger("regalia.signer")


class SignerStore(Authorities, Intents, KeyRecords, Protocol):
    """What a signer reads of the store."""


class SignerRules:
    """Judges what is to be signed; for any number of threads."""

    def __init__(self, store: SignerStore) -> None:
        self._store = store
        self._known: dict[UUID, Authority] = {}

    def check_octets(self, intent: SigningIntent) -> None:
        """See that a certificate, or an authority's request, is for this key to sign. Raises `InvariantError`."""
        try:
            fault = self._request_fault(intent) if intent.kind is None else self._certificate_fault(intent, intent.kind)
        except DerError as error:
            fault = f"it cannot be read: {error}"
        _refuse(intent, fault)

    def check_list(self, intent: SigningIntent, head: bytes, algorithm: SignatureAlgorithm) -> None:
        """See that a CRL's file, which begins with `head`, is of this key's authority. Raises `InvariantError`."""
        authority = self._authority(intent.key_id)
        if authority is None:
            _refuse(intent, "no authority has the key")
        elif not begins_list_of(head, read_certificate(authority.certificate_der).subject, algorithm):
            _refuse(intent, f"it is no CRL of {authority.name}")

    def _certificate_fault(self, intent: SigningIntent, kind: CertificateKind) -> str:
        facts, authority = read_tbs(intent.tbs or b""), self._authority(intent.key_id)
        if authority is None:
            return self._root_fault(intent.key_id, kind, facts)
        issuer = read_certificate(authority.certificate_der)
        if facts.issuer != issuer.subject:
            return f"its issuer is not {authority.name}"
        if facts.aki is not None and issuer.ski is not None and facts.aki != issuer.ski:
            return f"its authority key identifier is not that of {authority.name}"
        if (kind not in _CA_KINDS or authority.kind is not AuthorityKind.ROOT) and _is_for_ca(facts):
            return f"it is a CA's, in a row of kind {kind} with the key of {authority.name}"
        return ""

    def _root_fault(self, key_id: UUID, kind: CertificateKind, facts: CertificateFacts) -> str:
        """Judge what a key signs that is no authority's yet: a root's own certificate, and nothing else."""
        own = facts.self_issued and facts.aki in {None, facts.ski} and self._is_own(key_id, facts.public_key)
        return "" if own and kind is CertificateKind.ROOT else "no authority has the key, and it is no root's own"

    def _request_fault(self, intent: SigningIntent) -> str:
        own = self._is_own(intent.key_id, key_of_info(intent.tbs or b""))
        return "" if own else "it is a request for another key"

    def _is_own(self, key_id: UUID, public_key: bytes) -> bool:
        record = self._store.key_record(key_id)
        return record is not None and record.key_sha256 == hashlib.sha256(public_key).digest()

    def _authority(self, key_id: UUID) -> Authority | None:
        """Return whose key it is. Its name, key and kind never change, so that it is looked for once."""
        known = self._known.get(key_id)
        if known is None:
            known = next((each for each in self._store.authorities() if each.key_id == key_id), None)
            if known is not None:
                self._known[key_id] = known
        return known


def _is_for_ca(facts: CertificateFacts) -> bool:
    usage = facts.extension(oids.CE_KEY_USAGE)
    return facts.is_ca or (usage is not None and not _CA_USAGES.isdisjoint(read_key_usage(usage.value)))


def _refuse(intent: SigningIntent, fault: str) -> None:
    if fault:
        _log.error("signature-refused", row=str(intent.id), key=str(intent.key_id), why=fault)
        raise InvariantError(f"row {intent.id} is not for key {intent.key_id} to sign: {fault}")
