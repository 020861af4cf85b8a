"""The SCEP client (RFC 8894): capabilities, CA certificates, enrolment, polling, renewal.

    client = ScepClient(url, transport, clock, entropy)
    server = client.server(fingerprint)
    issued = client.enrol(server, key, cn="lap1", sans=frozenset(), challenge=secret)
    issued = client.renew(server, issued.certificate, key, new_key)

Where the server may keep a request pending, begin, keep what was begun, then submit it and ask again:

    opened = client.begin(key, cn="lap1", sans=frozenset())
    save_transaction(path, KeptTransaction(opened, url, pin, key_file))
    issued = client.submit(server, key, opened, challenge=secret)      # UnavailableError CLI-008: pending
    issued = client.poll(server, key, opened)                          # later, perhaps by another process

AES-128-CBC and SHA-256, or nothing: a server without them is refused, so that nobody in between can talk us down
(RFC 8894 §7.5). A certificate is returned only after the reply's signature, nonce and transaction held, the
certificate is for our key and one of the server's CA certificates signed it. Errors never hold the challenge (CHA-4).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from regalia import reasons
from regalia.client.authorities import CaCertificates, issued_by, judge, read_pin
from regalia.client.exchange import Exchange
from regalia.client.files import public_octets
from regalia.client.transaction import OpenTransaction
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
from regalia.wire.scep_client import (
    build_request,
    issuer_and_subject,
    parse_capabilities,
    read_certs_only,
    read_reply,
)

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
_SIGNER_LIFE: Final = timedelta(days=365)
"""Longer than anybody keeps a request waiting: it signs the polls, too."""
_CLOCK_SKEW: Final = timedelta(days=1)
_FIRST_POLL: Final = 5.0
_LONGEST_POLL: Final = 60.0
_POLL_GROWTH: Final = 1.5
_KINDS: Final = {
    MessageType.PKCS_REQ: "request",
    MessageType.RENEWAL_REQ: "renewal",
    MessageType.CERT_POLL: "poll",
}


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
    """What the message types differ in."""

    message_type: MessageType
    message_data: bytes
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
        self._exchange = Exchange(url, transport, pause, progress)
        self._clock = clock
        self._entropy = entropy
        self._pause = pause
        self._progress = progress

    # --- what the server is -----------------------------------------------------------------------------------------

    def caps(self) -> Capabilities:
        """Ask for the capabilities (RFC 8894 §3.5). Raises `UnavailableError` CLI-001, `PeerError` CLI-002."""
        capabilities = Capabilities(parse_capabilities(self._exchange.ask("GetCACaps")))
        self._progress(f"fetched capabilities: {' '.join(sorted(capabilities.keywords)) or 'none'}")
        return capabilities

    def ca_certificates(self, fingerprint: str | None) -> CaCertificates:
        """Fetch the CA certificates and decide which to believe (RFC 8894 §4.2).

        `fingerprint` is the SHA-256 (or, with a warning in the result, the SHA-1) of a certificate of the chain.
        Raises `PeerError`: CLI-002, CLI-004 wrong fingerprint, CLI-005 no usable certificate, CLI-006 unreadable.
        """
        pin = read_pin(fingerprint) if fingerprint is not None else None
        body = self._exchange.ask("GetCACert")
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

    def begin(self, key: RSAPrivateKey, *, cn: str | None, sans: frozenset[San]) -> OpenTransaction:
        """Begin a first enrolment for `key` that asks for these names; nothing is sent yet.

        Whoever must not lose it keeps it on disk before `submit` (`transaction.save_transaction`).
        """
        names = Names(cn, sans)
        return OpenTransaction(self._new_transaction(), self._self_signed(key, cn), names)

    def submit(self, server: Server, key: RSAPrivateKey, opened: OpenTransaction, *, challenge: str | None) -> Issued:
        """Send the request of a transaction (PKCSReq, RFC 8894 §4.3), also once more where its outcome is not known.

        Asks for the names; the server decides. Raises `PeerError`: CLI-006 the reply cannot be trusted, CLI-007
        refused; `UnavailableError`: CLI-001 unreachable, CLI-002 still 429 or 503, CLI-008 pending: then `poll`.
        """
        csr = _csr(opened.names, key, challenge)
        return self._operate(
            server, _Request(MessageType.PKCS_REQ, csr, opened.signer, key, public_octets(key)), opened.id
        )

    def enrol(
        self, server: Server, key: RSAPrivateKey, *, cn: str | None, sans: frozenset[San], challenge: str | None
    ) -> Issued:
        """Begin and submit, for callers that begin anew if they are interrupted. Raises what `submit` raises."""
        return self.submit(server, key, self.begin(key, cn=cn, sans=sans), challenge=challenge)

    def poll(self, server: Server, key: RSAPrivateKey, opened: OpenTransaction) -> Issued:
        """Ask what became of a pending request (CertPoll, RFC 8894 §4.4).

        Raises what `submit` raises; CLI-007 also where the server does not know the transaction (any more).
        """
        names = issuer_and_subject(read_certificate(server.ca.chain[0]).subject, encode_name(cn=opened.names.cn))
        return self._operate(
            server, _Request(MessageType.CERT_POLL, names, opened.signer, key, public_octets(key)), opened.id
        )

    def wait(self, server: Server, key: RSAPrivateKey, opened: OpenTransaction, *, seconds: float) -> Issued:
        """Poll with growing pauses, of `seconds` altogether, until the server has decided.

        A server that cannot be reached meanwhile may come back, and is asked again. Raises what `poll` raised at last.
        """
        waited, pause = 0.0, _FIRST_POLL
        while True:
            pause = min(pause, seconds - waited)
            self._progress(f"not decided yet; asking again in {pause:g} s")
            self._pause(pause)
            waited += pause
            try:
                return self.poll(server, key, opened)
            except UnavailableError as later:
                if waited >= seconds:
                    raise
                if later.reason is not reasons.CLIENT_PENDING:
                    self._progress(str(later))
            pause = min(_LONGEST_POLL, pause * _POLL_GROWTH)

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
            public_octets(wanted),
        )
        return self._operate(server, request, self._new_transaction())

    def _new_transaction(self) -> str:
        return self._entropy.octets(_TRANSACTION_OCTETS).hex()

    def _self_signed(self, key: RSAPrivateKey, cn: str | None) -> bytes:
        """Make the certificate that signs a first request (RFC 8894 §2.3): proof of the key, of nothing else."""
        subject = encode_name(cn=cn or "SCEP client")
        now = self._clock.now()
        tbs = encode_tbs(
            TbsCertificate(
                serial=int.from_bytes(b"\x40" + self._entropy.octets(15), "big"),
                signature=SignatureAlgorithm.RSA_SHA256,
                issuer=subject,
                not_before=now - _CLOCK_SKEW,
                not_after=now + _SIGNER_LIFE,
                subject=subject,
                public_key=public_octets(key),
                extensions=(key_usage(("digitalSignature", "keyEncipherment")),),
            )
        )
        return assemble(tbs, SignatureAlgorithm.RSA_SHA256, _sign(key, tbs))

    def _operate(self, server: Server, request: _Request, transaction_id: str) -> Issued:
        transaction = Transaction(transaction_id.encode())
        nonce = self._entropy.octets(_NONCE_OCTETS)
        message = build_request(
            message_type=request.message_type,
            transaction=transaction,
            sender_nonce=nonce,
            message_data=request.message_data,
            recipient=server.ca.recipient,
            signer=request.signer,
            digest=_DIGEST,
            cipher=_CIPHER,
            content_key=self._entropy.octets(_CIPHER.key_octets),
            iv=self._entropy.octets(16),
            sign=lambda data: _sign(request.signer_key, data),
        )
        self._progress(f"sending the {_KINDS[request.message_type]}, transaction {transaction.text}")
        reply = read_reply(
            self._exchange.send(message, post=server.capabilities.post),
            transaction=transaction,
            sender_nonce=nonce,
            ra_certificates=server.ca.signers,
            decrypt=lambda octets: request.signer_key.decrypt(octets, padding.PKCS1v15()),
            recipient=request.signer,
        )
        issued = _judge_reply(reply, server, request.public_key, transaction)
        self._progress("the reply is signed by the server and its certificate is for our key")
        return issued


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
    if facts.public_key != public_octets(key):
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
        public_key=public_octets(key),
        challenge=challenge,
        sign=lambda data: _sign(key, data),
        signature=SignatureAlgorithm.RSA_SHA256,
    )


def _sign(key: RSAPrivateKey, data: bytes) -> bytes:
    return key.sign(data, padding.PKCS1v15(), hashes.SHA256())
