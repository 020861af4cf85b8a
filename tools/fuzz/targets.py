"""What is fuzzed: each target reads octets with the product's own readers and says what must be true whatever they are.

A target lets pass what the readers may raise: `DerError` inside the boundary, `PeerError` outside it. Everything else
that leaves it is a finding, and so is a `PeerError` that stands for an exception which no reader meant (IN-1): the
boundary turns that into a refusal, so that a stranger sees no fault, but it is a bug of ours.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from regalia.errors import PeerError
from regalia.wire import ber, cms, der, oids, scep, tlv
from regalia.wire.algorithms import STANDARD, Accepted, Cipher
from regalia.wire.certificate import read_certificate
from regalia.wire.csr import read_csr, verify_possession, without_challenge
from regalia.wire.der import DerError
from regalia.wire.names import check_names
from regalia.wire.pwri import open_password_recipient
from regalia.wire.scep_client import read_certs_only
from regalia.wire.scep_data import read_issuer_and_serial

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["TARGETS", "FindingError", "refusals_pass"]

_EVERYTHING: Final = Accepted(legacy=True, non_rsa=True)
_SWITCHES: Final = (STANDARD, _EVERYTHING)


class FindingError(Exception):
    """Something that must hold for all octets does not hold for these."""


@contextmanager
def refusals_pass() -> Iterator[None]:
    """Let a refusal end the block; raise `FindingError` where it hides an exception that a reader did not mean."""
    try:
        yield
    except DerError:
        pass
    except PeerError as refusal:
        if not isinstance(refusal.__cause__, DerError | PeerError | None):
            raise FindingError(f"{refusal.reason}: {refusal.detail}") from refusal.__cause__


def _hold(claim: bool, what: str) -> None:  # noqa: FBT001 - an assertion that survives -O
    if not claim:
        raise FindingError(what)


def read_tlv(data: bytes) -> None:
    """The bounded walk, its fast path, the rewriting of BER, and the strict reader: they agree with each other."""
    usual = tlv._is_usual(data, tlv.SCEP_LIMITS)  # noqa: SLF001 - the fast path must never take what the slow one refuses
    try:
        needs_work = tlv.survey(data)
    except DerError:
        _hold(not usual, "the fast walk took what the slow one refuses")
        return
    _hold(not (usual and needs_work), "the fast walk took BER for DER")
    with refusals_pass():
        rewritten = ber.normalise(data)
        _hold(len(rewritten) <= len(data), "rewriting made it longer")
        _hold(ber.normalise(rewritten) == rewritten, "rewriting is not done in one go")
        tlv.walk(rewritten)
    if not needs_work:
        # What the walk passed holds together: the strict reader can go down into every element of it.
        with refusals_pass():
            _descend(der.read_one(data))


def _descend(element: der.Tlv) -> None:
    waiting = [element]
    while waiting:
        item = waiting.pop()
        if item.tag & 0x20:
            waiting.extend(item.children())
        _hold(item.raw.endswith(item.content), "an element does not end with its content")


def read_cms(data: bytes) -> None:
    """ContentInfo, SignedData with signers, attributes and certificates, EnvelopedData, certificates or a CRL alone."""
    with refusals_pass():
        content_type, element = cms.read_content_info(data)
        if content_type == oids.ID_SIGNED_DATA:
            _signed_data(cms.read_signed_data(element))
    with refusals_pass():
        sealed = cms.read_sealed_content(data)
        _hold(1 <= len(sealed.recipients) <= cms.MAX_RECIPIENTS, "a number of recipients that is not allowed")
        other = sealed.recipients[0].other
        if other is not None:
            key = open_password_recipient(other, "secret", Cipher.AES128_CBC)
            _hold(Cipher.AES128_CBC.fits(key), "a key that the cipher does not take")
    for accepted in _SWITCHES:
        with refusals_pass():
            scep.judge_envelope(data, accepted)
    with refusals_pass():
        _hold(bool(read_certs_only(data)), "a certs-only message without certificates")
    with refusals_pass():
        _hold(cms.read_crl_only(data) in data, "a CRL that was not sent")


def _signed_data(signed_data: cms.SignedData) -> None:
    _hold(len(signed_data.certificates) <= cms.MAX_CERTIFICATES, "more certificates than are allowed")
    for signer in signed_data.signers:
        with refusals_pass():
            if signer.signed_attributes is not None:
                cms.read_attributes(der.read_one(signer.signed_attributes).content)
                _hold(all(each[0] == 0x31 for each in cms.signed_octets(signer.signed_attributes)), "no SET")
    for certificate in signed_data.certificates:
        with suppress(DerError):
            facts = read_certificate(certificate)
            cms.names_certificate(
                cms.CertificateId(facts.issuer, facts.serial), issuer=facts.issuer, serial=facts.serial, ski=facts.ski
            )


def read_request(data: bytes) -> None:
    """PKCS #10 requests, their names and their signatures; and what GetCert and GetCRL carry."""
    with refusals_pass():
        wanted = read_issuer_and_serial(data)
        _hold(wanted.issuer in data, "an issuer that was not sent")
    with refusals_pass():
        csr = read_csr(data)
        _hold(csr.info in data, "the signature would cover octets that were not sent")
        hidden = without_challenge(csr)
        _hold(len(hidden) == len(data), "hiding the challenge moved octets")
        if csr.challenge is not None:
            start, length = csr.challenge_span or (0, 0)
            _hold(hidden[start : start + length] == b"*" * length, "the challenge is not hidden")
            _hold(read_csr(hidden).challenge == "*" * length, "what was hidden is not the challenge")
        with refusals_pass():
            check_names(csr.asked)
        for accepted in _SWITCHES:
            with refusals_pass():
                verify_possession(csr, accepted)


def read_scep(data: bytes) -> None:
    """SCEP messages up to their signature, as the server and as the client reads them."""
    for accepted in _SWITCHES:
        with refusals_pass():
            raw = scep.read_message(data, accepted)
            if raw.transaction is not None:
                _hold(1 <= len(raw.transaction.octets) <= 255, "a transactionID that is too long")
                _hold(raw.transaction.text.isprintable(), "a transactionID that nobody could print")
            message = scep.verify_message(raw, accepted)
            _hold(raw.transaction is not None, "a message without transactionID was verified")
            _hold(message.transaction == raw.transaction, "another transactionID was verified")


TARGETS: Final[dict[str, Callable[[bytes], None]]] = {
    "tlv": read_tlv,
    "cms": read_cms,
    "csr": read_request,
    "scep": read_scep,
}
