"""Which CRL a client believes (RFC 5280 §6.3.3): of the issuer that was asked about, signed by it, and current."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_der_public_key

from regalia import reasons
from regalia.errors import PeerError
from regalia.wire import der, oids
from regalia.wire.certificate import read_certificate, read_extensions, read_key_usage
from regalia.wire.names import name_text, same_name

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from regalia.wire.certificate import CertificateFacts

__all__ = ["BelievedCrl", "judge_crl"]

_EXTENSIONS: Final = 0xA0


@dataclass(frozen=True, slots=True)
class BelievedCrl:
    """A CRL that was verified on arrival."""

    der: bytes
    issuer: bytes
    """DER Name."""
    number: int | None
    this_update: datetime
    next_update: datetime
    entries: int


def judge_crl(octets: bytes, issuer: bytes, chain: Sequence[bytes], now: datetime) -> BelievedCrl:
    """Verify a DER CRL of `issuer` (DER Name) by the certificate in `chain` that has this name.

    Raises `PeerError` CLI-006: unreadable, of another issuer, signed by another key, not yet valid or outdated.
    """
    try:
        crl = x509.load_der_x509_crl(octets)
        named = crl.issuer.public_bytes()
        this_update, next_update = crl.last_update_utc, crl.next_update_utc
        number, entries = _number(crl.tbs_certlist_bytes), len(crl)
    except (ValueError, x509.InvalidVersion) as fault:
        raise _refused("it is not readable") from fault
    if not same_name(named, issuer):
        raise _refused(f"it is of {name_text(named)}, and {name_text(issuer)} was asked about")
    authorities = [facts for facts in map(read_certificate, chain) if same_name(facts.subject, issuer)]
    if not any(_may_sign(facts) and _signed_by(crl, facts.public_key) for facts in authorities):
        raise _refused(f"none of the server's CA certificates signed it as {name_text(issuer)}")
    if next_update is None:
        raise _refused("it does not say until when it holds")
    if not this_update <= now < next_update:
        raise _refused(
            f"it holds from {this_update:%Y-%m-%d %H:%M} to {next_update:%Y-%m-%d %H:%M} UTC, "
            f"and here it is {now:%Y-%m-%d %H:%M}"
        )
    return BelievedCrl(octets, named, number, this_update, next_update, entries)


def _number(tbs: bytes) -> int | None:
    last = der.read_one(tbs, der.SEQUENCE).children()[-1]
    extensions = read_extensions(der.read_one(last.content)) if last.tag == _EXTENSIONS else ()
    values = [each.value for each in extensions if each.oid == oids.CE_CRL_NUMBER]
    return der.read_one(values[0], der.INTEGER).as_integer() if values else None


def _may_sign(facts: CertificateFacts) -> bool:
    usage = facts.extension(oids.CE_KEY_USAGE)
    return facts.is_ca and (usage is None or "cRLSign" in read_key_usage(usage.value))


def _signed_by(crl: x509.CertificateRevocationList, public_key: bytes) -> bool:
    try:
        # TypeError: a key of a kind that signs no CRLs; ValueError: its algorithms inside and outside differ.
        return crl.is_signature_valid(load_der_public_key(public_key))  # type: ignore[arg-type] # it looks by itself
    except (TypeError, ValueError, UnsupportedAlgorithm):
        return False


def _refused(detail: str) -> PeerError:
    return PeerError(reasons.CLIENT_REPLY_REFUSED, f"the CRL is not believed: {detail}")
