"""What a root reads in another machine's request before it signs: judged here, shown to people."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from regalia import reasons
from regalia.ca.acceptance import key_kind_of
from regalia.errors import AdminError, PeerError
from regalia.wire import der, oids
from regalia.wire.certificate import read_basic_constraints, read_key_usage
from regalia.wire.csr import read_csr, subject_of, verify_possession
from regalia.wire.der import DerError
from regalia.wire.names import name_text
from regalia.wire.pem import REQUEST, read_pem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from regalia.model import KeyKind
    from regalia.wire.csr import Csr

__all__ = ["Wish", "read_wish"]

_URI: Final = 0x86
_KNOWN: Final = frozenset(
    {
        oids.CE_BASIC_CONSTRAINTS,
        oids.CE_KEY_USAGE,
        oids.CE_SUBJECT_KEY_IDENTIFIER,
        oids.CE_CRL_DISTRIBUTION_POINTS,
        oids.PE_AUTHORITY_INFO_ACCESS,
    }
)
"""What an issuing CA's request may ask for: all else would be dropped in silence, so it is refused instead."""


@dataclass(frozen=True, slots=True)
class Wish:
    """A request that may be signed, once a person has compared its fingerprints."""

    subject: bytes
    """DER Name, as sent."""
    public_key: bytes
    """DER SubjectPublicKeyInfo."""
    key_kind: KeyKind
    crl: str | None
    """Where the other system serves the root's CRL."""
    issuer: str | None
    """Where it serves the root's certificate."""
    csr_sha256: str

    @property
    def key_sha256(self) -> str:
        """What both sides compare."""
        return hashlib.sha256(self.public_key).hexdigest()


def read_wish(octets: bytes) -> Wish:
    """Read an issuing CA's request, PEM or DER, and prove that its key signed it. Raises `AdminError` ADM-031."""
    try:
        request = read_pem(octets, REQUEST)[0]
        csr = read_csr(request)
        verify_possession(csr)
        subject = subject_of(csr)
        faults = list(_faults(csr, subject))
        kind = key_kind_of(csr.public_key)
        if kind is None:
            faults.append("its key is neither P-256 or P-384 nor RSA of 2048, 3072 or 4096 bits")
        if faults or kind is None:
            raise AdminError(reasons.AUTHORITY_REQUEST_REFUSED, "\n".join(faults))
        crl, issuer = _url(csr, oids.CE_CRL_DISTRIBUTION_POINTS), _url(csr, oids.PE_AUTHORITY_INFO_ACCESS)
    except DerError as error:
        raise AdminError(reasons.AUTHORITY_REQUEST_REFUSED, str(error)) from error
    except PeerError as error:
        raise AdminError(reasons.AUTHORITY_REQUEST_REFUSED, f"{error.reason.title}: {error.detail}") from error
    return Wish(subject, csr.public_key, kind, crl, issuer, hashlib.sha256(request).hexdigest())


def _faults(csr: Csr, subject: bytes) -> Iterator[str]:
    if not name_text(subject):
        yield "its subject is empty"
    if csr.asked.sans:
        yield f"it asks for the alternative names {', '.join(map(str, sorted(csr.asked.sans)))}, which no CA has"
    for extension in csr.extensions:
        if extension.oid == oids.CE_BASIC_CONSTRAINTS and not read_basic_constraints(extension.value)[0]:
            yield "it asks for a certificate that is no CA's (basicConstraints)"
        elif extension.oid == oids.CE_KEY_USAGE and "keyCertSign" not in read_key_usage(extension.value):
            yield "it asks for a key usage without keyCertSign"
        elif extension.oid not in _KNOWN:
            yield f"it asks for the extension {oids.describe(extension.oid)}, which an issuing CA here does not get"


def _url(csr: Csr, oid: str) -> str | None:
    """Find the first http URL in a requested extension."""
    for extension in csr.extensions:
        if extension.oid != oid:
            continue
        waiting = der.read_all(extension.value)[::-1]
        while waiting:
            element = waiting.pop()
            if element.tag & 0x20:
                waiting.extend(element.children()[::-1])
            elif element.tag == _URI and element.content.startswith((b"http://", b"https://")):
                return element.content.decode("ascii", "replace")
    return None
