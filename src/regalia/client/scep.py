"""The SCEP client (RFC 8894): capabilities, CA certificates, enrolment, renewal.

    client = ScepClient(url, transport, clock, entropy)
    server = client.server(fingerprint)
    issued = client.enrol(server, key, cn="lap1", sans=frozenset(), challenge=secret)
    issued = client.renew(server, issued.certificate, key, new_key)

AES-128-CBC and SHA-256, or nothing: a server without them is refused, so that nobody in between can talk us down
(RFC 8894 §7.5). A certificate is returned only after the reply's signature, nonce and transaction held, the
certificate is for our key and one of the server's CA certificates signed it. Errors never hold the challenge (CHA-4).
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding

from regalia import reasons
from regalia.client.authorities import CaCertificates, issued_by, judge, read_pin
from regalia.client.transport import HttpAnswer
from regalia.errors import AdminError, PeerError, UnavailableError
from regalia.model import Names, SanKind
from regalia.wire import der, oids
from regalia.wire.algorithms import Cipher, Digest
from regalia.wire.certificate import (
    SignatureAlgorithm,
    TbsCertificate,
    assemble,
    encode_tbs,
    key_usage,
    read_certificate,
)
from regalia.wire.csr import build_csr
from regalia.wire.names import encode_name, read_name, read_sans, text_of
from regalia.wire.scep import MessageType, PkiStatus, Transaction
from regalia.wire.scep_client import build_request, parse_capabilities, read_certs_only, read_reply

if TYPE_CHECKING:
    from collections.abc import Callable

    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

    from regalia.client.transport import Transport
    from regalia.model import San
    from regalia.ports import Clock, Entropy
    from regalia.wire.certificate import CertificateFacts, Extension
    from regalia.wire.scep_client import Reply

__all__ = ["Capabilities", "Issued", "ScepClient", "Server"]

_CIPHER: Final = Cipher.AES128_CBC
_DIGEST: Final = Digest.SHA256
_TRANSACTION_OCTETS: Final = 16
_NONCE_OCTETS: Final = 16
_TRIES: Final = 4
"""How often one message is sent while the server says 503 or its answer is lost."""
_LONGEST_PAUSE: Final = 20
_PAUSE: Final = 2
"""Seconds to wait: at most, and where the server does not say."""
_SIGNER_LIFE: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What GetCACaps said."""

    keywords: frozenset[str]
    """Upper-cased."""

    @property
    def strong(self) -> bool:
        """Whether it offers AES and SHA-256; SCEPStandard implies both (RFC 8894 §3.5.2)."""
        return "SCEPSTANDARD" in self.keywords or {"AES", "SHA-256"} <= self.keywords

    @property
    def post(self) -> bool:
        """Whether messages are to be POSTed."""
        return bool({"SCEPSTANDARD", "POSTPKIOPERATION"} & self.keywords)

    @property
    def renewal(self) -> bool:
        """Whether it takes RenewalReq; without it a renewal is a PKCSReq signed by the old certificate."""
        return "RENEWAL" in self.keywords


@dataclass(frozen=True, slots=True)
class Server:
    """A server that a client may talk to: what it can, and which of its certificates are believed."""

    capabilities: Capabilities
    ca: CaCertificates


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate that was verified on arrival, DER."""

    certificate: bytes
    chain: tuple[bytes, ...]
    """From its issuer upwards, as far as the server tells."""
    transaction: str


@dataclass(frozen=True, slots=True)
class _Request:
    """What the two message types differ in."""

    message_type: MessageType
    csr: bytes
    signer: bytes
    signer_key: RSAPrivateKey
    public_key: bytes


class ScepClient:
    """Talks to one SCEP URL. `progress` hears what was done, in words; `pause` waits a number of seconds."""

    def __init__(
        self,
        url: str,
        transport: Transport,
        clock: Clock,
        entropy: Entropy,
        *,
        pause: Callable[[float], None],
        progress: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._url = url.rstrip("?&")
        self._transport = transport
        self._clock = clock
        self._entropy = entropy
        self._pause = pause
        self._progress = progress

    # --- what the server is -----------------------------------------------------------------------------------------

    def caps(self) -> Capabilities:
        """Ask for the capabilities (RFC 8894 §3.5). Raises `UnavailableError` CLI-001, `PeerError` CLI-002."""
        capabilities = Capabilities(parse_capabilities(self._ask("GetCACaps")))
        self._progress(f"fetched capabilities: {' '.join(sorted(capabilities.keywords)) or 'none'}")
        return capabilities

    def ca_certificates(self, fingerprint: str | None) -> CaCertificates:
        """Fetch the CA certificates and decide which to believe (RFC 8894 §4.2).

        `fingerprint` is the SHA-256 (or, with a warning in the result, the SHA-1) of a certificate of the chain.
        Raises `PeerError`: CLI-002, CLI-004 wrong fingerprint, CLI-005 no usable certificate, CLI-006 unreadable.
        """
        pin = read_pin(fingerprint) if fingerprint is not None else None
        body = self._ask("GetCACert")
        believed = judge(_read_ca_answer(body), pin, self._clock.now())
        held = "its fingerprint is the expected one" if pin is not None else "no fingerprint to compare"
        self._progress(f"fetched {len(believed.chain)} CA certificates; the chain verifies, {held}")
        return believed

    def server(self, fingerprint: str | None) -> Server:
        """Do both, and refuse a server without AES and SHA-256. Raises their errors and `PeerError` CLI-003."""
        capabilities = self.caps()
        if not capabilities.strong:
            raise PeerError(
                reasons.CLIENT_CAPS_WEAK, f"it offers {', '.join(sorted(capabilities.keywords)) or 'nothing'}"
            )
        return Server(capabilities, self.ca_certificates(fingerprint))

    # --- certificates -----------------------------------------------------------------------------------------------

    def enrol(
        self, server: Server, key: RSAPrivateKey, *, cn: str | None, sans: frozenset[San], challenge: str | None
    ) -> Issued:
        """Get a first certificate for `key` (PKCSReq, RFC 8894 §4.3).

        Asks for these names; the server decides. Raises `PeerError`: CLI-006 the reply cannot be trusted, CLI-007
        refused; `UnavailableError`: CLI-001 unreachable, CLI-002 still 503, CLI-008 pending.
        """
        names = Names(cn, sans)
        request = _Request(
            MessageType.PKCS_REQ,
            _csr(names, key, challenge),
            self._self_signed(key, cn),
            key,
            _spki(key),
        )
        return self._operate(server, request)

    def renew(
        self, server: Server, certificate: bytes, key: RSAPrivateKey, new_key: RSAPrivateKey | None = None
    ) -> Issued:
        """Get a successor for `certificate`, signed for with its `key`, for the same key or a new one (RenewalReq).

        Asks for the names that the certificate has. Raises `AdminError` CLI-009 where certificate and key do not
        belong together, and what `enrol` raises.
        """
        facts = _own_certificate(certificate, key)
        wanted = new_key or key
        request = _Request(
            MessageType.RENEWAL_REQ if server.capabilities.renewal else MessageType.PKCS_REQ,
            _csr(_names_of(facts.subject, facts.extension(oids.CE_SUBJECT_ALT_NAME)), wanted, None),
            certificate,
            key,
            _spki(wanted),
        )
        return self._operate(server, request)

    def _self_signed(self, key: RSAPrivateKey, cn: str | None) -> bytes:
        """Make the certificate that signs a first request (RFC 8894 §2.3): proof of the key, of nothing else."""
        subject = encode_name(cn=cn or "SCEP client")
        now = self._clock.now()
        tbs = encode_tbs(
            TbsCertificate(
                serial=int.from_bytes(b"\x40" + self._entropy.octets(15), "big"),
                signature=SignatureAlgorithm.RSA_SHA256,
                issuer=subject,
                not_before=now - _SIGNER_LIFE,
                not_after=now + _SIGNER_LIFE,
                subject=subject,
                public_key=_spki(key),
                extensions=(key_usage(("digitalSignature", "keyEncipherment")),),
            )
        )
        return assemble(tbs, SignatureAlgorithm.RSA_SHA256, _sign(key, tbs))

    def _operate(self, server: Server, request: _Request) -> Issued:
        transaction = Transaction(self._entropy.octets(_TRANSACTION_OCTETS).hex().encode("ascii"))
        nonce = self._entropy.octets(_NONCE_OCTETS)
        message = build_request(
            message_type=request.message_type,
            transaction=transaction,
            sender_nonce=nonce,
            csr=request.csr,
            recipient=server.ca.recipient,
            signer=request.signer,
            digest=_DIGEST,
            cipher=_CIPHER,
            content_key=self._entropy.octets(_CIPHER.key_octets),
            iv=self._entropy.octets(16),
            sign=lambda data: _sign(request.signer_key, data),
        )
        kind = "renewal" if request.message_type is MessageType.RENEWAL_REQ else "request"
        self._progress(f"sending the {kind}, transaction {transaction.text}")
        reply = read_reply(
            self._send(message, post=server.capabilities.post),
            transaction=transaction,
            sender_nonce=nonce,
            ra_certificates=server.ca.signers,
            decrypt=lambda octets: request.signer_key.decrypt(octets, padding.PKCS1v15()),
            recipient=request.signer,
        )
        issued = _judge_reply(reply, server, request.public_key, transaction)
        self._progress("the reply is signed by the server and its certificate is for our key")
        return issued

    # --- HTTP -------------------------------------------------------------------------------------------------------

    def _ask(self, operation: str) -> bytes:
        return self._exchange(operation, None, None)

    def _send(self, message: bytes, *, post: bool) -> bytes:
        if post:
            return self._exchange("PKIOperation", None, message)
        return self._exchange("PKIOperation", base64.b64encode(message).decode("ascii"), None)

    def _exchange(self, operation: str, parameter: str | None, body: bytes | None) -> bytes:
        """Ask, and ask again where the server is busy or an answer was lost: equal octets are one conversation (R3)."""
        url = f"{self._url}{'&' if '?' in self._url else '?'}operation={operation}"
        if parameter is not None:
            url += f"&message={quote(parameter, safe='')}"
        answer = self._attempt(url, body)
        for _ in range(_TRIES - 1):
            if isinstance(answer, HttpAnswer) and answer.status != HTTPStatus.SERVICE_UNAVAILABLE:
                break
            if isinstance(answer, UnavailableError) and operation != "PKIOperation":
                break  # nothing is lost by failing at once, and a wrong address is the likeliest cause
            self._wait(answer)
            answer = self._attempt(url, body)
        if isinstance(answer, UnavailableError):
            raise answer
        _check_status(answer, operation)
        return answer.body

    def _attempt(self, url: str, body: bytes | None) -> HttpAnswer | UnavailableError:
        """Exchange once. A message may have arrived although its answer was lost: that is for the caller to judge."""
        try:
            return self._transport.exchange(url, body)
        except UnavailableError as lost:
            return lost

    def _wait(self, answer: HttpAnswer | UnavailableError) -> None:
        busy = isinstance(answer, HttpAnswer)
        asked = answer.retry_after if isinstance(answer, HttpAnswer) else None
        seconds = min(_LONGEST_PAUSE, _PAUSE if asked is None else asked)
        self._progress(f"{'the server is busy (503)' if busy else 'no answer came'}; trying again in {seconds} s")
        self._pause(seconds)


def _check_status(answer: HttpAnswer, operation: str) -> None:
    if answer.status == HTTPStatus.OK:
        return
    detail = f"{answer.status} to {operation}"
    if answer.status == HTTPStatus.SERVICE_UNAVAILABLE:
        raise UnavailableError(reasons.CLIENT_HTTP_REFUSED, f"{detail}, {_TRIES} times")
    if HTTPStatus.MULTIPLE_CHOICES <= answer.status < HTTPStatus.BAD_REQUEST:
        detail += "; redirects are not followed: give the final URL"
    raise PeerError(reasons.CLIENT_HTTP_REFUSED, detail)


def _read_ca_answer(body: bytes) -> tuple[bytes, ...]:
    """Read GetCACert by its structure, since servers send any Content-Type: a certificate, or a certs-only message."""
    try:
        read_certificate(body)
    except der.DerError:
        return read_certs_only(body)
    return (body,)


def _judge_reply(reply: Reply, server: Server, public_key: bytes, transaction: Transaction) -> Issued:
    if reply.status is PkiStatus.PENDING:
        raise UnavailableError(reasons.CLIENT_PENDING, f"transaction {transaction.text}")
    if reply.status is PkiStatus.FAILURE:
        info = reply.fail_info
        name = info.name.lower().replace("_", " ") if info is not None else "no failInfo"
        text = f", it says {reply.fail_info_text!a}" if reply.fail_info_text else ""
        raise PeerError(reasons.CLIENT_DENIED, f"{name}{text}, transaction {transaction.text}")
    ours = [certificate for certificate in reply.certificates if _key_of(certificate) == public_key]
    if len(ours) != 1:
        raise PeerError(reasons.CLIENT_REPLY_REFUSED, f"{len(ours)} of its certificates are for our key")
    for position, issuer in enumerate(server.ca.chain):
        if issued_by(ours[0], issuer):
            return Issued(ours[0], server.ca.chain[position:], transaction.text)
    raise PeerError(reasons.CLIENT_REPLY_REFUSED, "none of the server's CA certificates signed the new certificate")


def _key_of(certificate: bytes) -> bytes | None:
    try:
        return read_certificate(certificate).public_key
    except der.DerError:
        return None


def _own_certificate(certificate: bytes, key: RSAPrivateKey) -> CertificateFacts:
    try:
        facts = read_certificate(certificate)
    except der.DerError as fault:
        raise AdminError(reasons.CLIENT_FILE, f"the certificate is not readable: {fault}") from fault
    if facts.public_key != _spki(key):
        raise AdminError(reasons.CLIENT_FILE, "certificate and key do not belong together")
    return facts


def _names_of(subject: bytes, alternative: Extension | None) -> Names:
    """Read the names to ask for again; other parts of the subject are the server's business (R5)."""
    try:
        names = [text_of(value) for rdn in read_name(subject) for oid, value in rdn if oid == oids.AT_COMMON_NAME]
        sans = read_sans(alternative.value) if alternative is not None else frozenset()
    except der.DerError as fault:
        raise AdminError(reasons.CLIENT_FILE, f"the certificate's names are not readable: {fault}") from fault
    return Names(names[-1] if names else None, frozenset(san for san in sans if san.kind is not SanKind.OTHER))


def _csr(names: Names, key: RSAPrivateKey, challenge: str | None) -> bytes:
    return build_csr(
        cn=names.cn,
        sans=names.sans,
        public_key=_spki(key),
        challenge=challenge,
        sign=lambda data: _sign(key, data),
        signature=SignatureAlgorithm.RSA_SHA256,
    )


def _sign(key: RSAPrivateKey, data: bytes) -> bytes:
    return key.sign(data, padding.PKCS1v15(), hashes.SHA256())


def _spki(key: RSAPrivateKey) -> bytes:
    return key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
