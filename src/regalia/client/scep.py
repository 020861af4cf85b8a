"""The SCEP client (RFC 8894): capabilities, CA certificates, enrolment, polling, renewal, and what a CA keeps for us.

    client = ScepClient(url, transport, clock, entropy)
    server = client.server(fingerprint)
    issued = client.enrol(server, key, cn="lap1", sans=frozenset(), challenge=secret)
    issued = client.renew(server, issued.certificate, key, new_key)
    crl = client.get_crl(server, issued.certificate, key)

Where the server may keep a request pending, begin, keep what was begun, then submit it and ask again:

    opened = client.begin(key, cn="lap1", sans=frozenset())
    save_transaction(path, KeptTransaction(opened, url, pin, key_file))
    issued = client.submit(server, key, opened, challenge=secret)      # UnavailableError CLI-008: pending
    issued = client.poll(server, key, opened)                          # later, perhaps by another process

AES-128-CBC and SHA-2, or nothing: a server without them is refused, so that nobody in between can talk us down
(RFC 8894 §7.5). A certificate is returned only after the reply's signature, nonce and transaction held, the
certificate is for our key and one of the server's CA certificates signed it. Errors never hold the challenge (CHA-4).

A key that cannot decrypt (ECDSA, Ed25519, ML-DSA) needs a challenge for each request and for each poll: the reply is
encrypted under it (RFC 8894 §3.1).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from regalia import reasons
from regalia.client.authorities import CaCertificates, issued_by, judge, read_pin
from regalia.client.capabilities import Capabilities
from regalia.client.crl import judge_crl
from regalia.client.exchange import Exchange
from regalia.client.keys import can_decrypt, public_octets, scheme_of, sign_with, unwrap_with
from regalia.client.requests import check_decrypts, check_reply_key, csr, names_of, own_certificate, self_signed
from regalia.client.transaction import OpenTransaction
from regalia.errors import PeerError, UnavailableError
from regalia.model import Names
from regalia.wire import der
from regalia.wire.algorithms import Cipher
from regalia.wire.certificate import read_certificate
from regalia.wire.names import encode_name
from regalia.wire.scep import MessageType, PkiStatus, Transaction
from regalia.wire.scep_client import (
    build_request,
    issuer_and_serial,
    issuer_and_subject,
    parse_capabilities,
    read_certs_only,
    read_crl_reply,
    read_next_ca,
    read_reply,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from regalia.client.crl import BelievedCrl
    from regalia.client.keys import DeviceKey
    from regalia.client.transport import Transport
    from regalia.model import San
    from regalia.ports import Clock, Entropy
    from regalia.wire.scep_client import Reply

__all__ = ["Capabilities", "Issued", "ScepClient", "Server"]

_CIPHER: Final = Cipher.AES128_CBC
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
    MessageType.GET_CERT: "question for a certificate",
    MessageType.GET_CRL: "question for the CRL",
}


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
class _Message:
    """What the message types differ in."""

    kind: MessageType
    data: bytes
    signer: bytes
    key: DeviceKey
    """Of the signer; the reply is for it."""
    challenge: str | None = None
    """What keys the reply, where the key cannot decrypt."""


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

    def next_ca(self, server: Server) -> tuple[bytes, ...]:
        """Fetch the CA certificates that follow the current ones (GetNextCACert, RFC 8894 §4.7): DER, in their order.

        Believed is what the current RA or one of the CAs above it signed. Raises `PeerError`: CLI-011 where there are
        none yet, CLI-006 where the answer cannot be trusted, and what `caps` raises.
        """
        if not server.capabilities.next_ca:
            raise PeerError(reasons.CLIENT_NO_NEXT_CA, "GetCACaps does not list GetNextCACert")
        signers = tuple(dict.fromkeys((*server.ca.signers, *server.ca.chain)))
        certificates = read_next_ca(self._exchange.ask("GetNextCACert"), ra_certificates=signers)
        self._progress(f"fetched {len(certificates)} certificates of the next CA; the current one's RA signed them")
        return certificates

    # --- certificates -----------------------------------------------------------------------------------------------

    def begin(self, key: DeviceKey, *, cn: str | None, sans: frozenset[San]) -> OpenTransaction:
        """Begin a first enrolment for `key` that asks for these names; nothing is sent yet.

        Whoever must not lose it keeps it on disk before `submit` (`transaction.save_transaction`).
        """
        now = self._clock.now()
        serial = int.from_bytes(b"\x40" + self._entropy.octets(15), "big")
        signer = self_signed(key, cn, serial=serial, not_before=now - _CLOCK_SKEW, not_after=now + _SIGNER_LIFE)
        return OpenTransaction(self._new_transaction(), signer, Names(cn, sans))

    def submit(self, server: Server, key: DeviceKey, opened: OpenTransaction, *, challenge: str | None) -> Issued:
        """Send the request of a transaction (PKCSReq, RFC 8894 §4.3), also once more where its outcome is not known.

        Asks for the names; the server decides. Raises `AdminError` CLI-010 where the key cannot decrypt and there is
        no challenge; `PeerError`: CLI-006 the reply cannot be trusted, CLI-007 refused; `UnavailableError`: CLI-001
        unreachable, CLI-002 still 429 or 503, CLI-008 pending: then `poll`.
        """
        request = csr(opened.names, key, challenge)
        message = _Message(MessageType.PKCS_REQ, request, opened.signer, key, challenge)
        return self._certified(server, message, opened.id, key)

    def enrol(
        self, server: Server, key: DeviceKey, *, cn: str | None, sans: frozenset[San], challenge: str | None
    ) -> Issued:
        """Begin and submit, for callers that begin anew if they are interrupted. Raises what `submit` raises."""
        return self.submit(server, key, self.begin(key, cn=cn, sans=sans), challenge=challenge)

    def poll(self, server: Server, key: DeviceKey, opened: OpenTransaction, *, challenge: str | None = None) -> Issued:
        """Ask what became of a pending request (CertPoll, RFC 8894 §4.4).

        `challenge` is the one of the request; only a key that cannot decrypt needs it. Raises what `submit` raises;
        CLI-007 also where the server does not know the transaction (any more).
        """
        names = issuer_and_subject(read_certificate(server.ca.chain[0]).subject, encode_name(cn=opened.names.cn))
        message = _Message(MessageType.CERT_POLL, names, opened.signer, key, challenge)
        return self._certified(server, message, opened.id, key)

    def wait(
        self, server: Server, key: DeviceKey, opened: OpenTransaction, *, seconds: float, challenge: str | None = None
    ) -> Issued:
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
                return self.poll(server, key, opened, challenge=challenge)
            except UnavailableError as later:
                if waited >= seconds:
                    raise
                if later.reason is not reasons.CLIENT_PENDING:
                    self._progress(str(later))
            pause = min(_LONGEST_POLL, pause * _POLL_GROWTH)

    def renew(
        self,
        server: Server,
        certificate: bytes,
        key: DeviceKey,
        new_key: DeviceKey | None = None,
        *,
        challenge: str | None = None,
    ) -> Issued:
        """Get a successor for `certificate`, signed for with its `key`, for the same key or a new one (RenewalReq).

        Asks for the names that the certificate has. A `key` that cannot decrypt needs a fresh `challenge`, whatever
        the new key is. Raises `AdminError` CLI-009 where certificate and key do not belong together, and what `enrol`
        raises.
        """
        names = names_of(own_certificate(certificate, key))
        wanted = new_key or key
        kind = MessageType.RENEWAL_REQ if server.capabilities.renewal else MessageType.PKCS_REQ
        message = _Message(kind, csr(names, wanted, challenge), certificate, key, challenge)
        return self._certified(server, message, self._new_transaction(), wanted)

    # --- what a CA keeps --------------------------------------------------------------------------------------------

    def get_certificate(self, server: Server, certificate: bytes, key: DeviceKey, serial: int | None = None) -> bytes:
        """Fetch a certificate of the same issuer by its serial (GetCert, RFC 8894 §4.5): DER.

        `certificate` and `key` sign; without a serial it is that certificate which is fetched. Raises `AdminError`
        CLI-010 where the key cannot decrypt, and what `renew` raises; CLI-007 where the server has none or tells none.
        """
        facts = own_certificate(certificate, key)
        wanted = facts.serial if serial is None else serial
        question = issuer_and_serial(facts.issuer, wanted)
        reply = self._ask(server, _Message(MessageType.GET_CERT, question, certificate, key))
        for one in reply.certificates:
            if _serial_of(one) == wanted and any(issued_by(one, issuer) for issuer in server.ca.chain):
                self._progress("the certificate that was asked for, signed by one of the server's CA certificates")
                return one
        raise PeerError(reasons.CLIENT_REPLY_REFUSED, f"it holds no certificate {wanted:x} of the server's CA")

    def get_crl(self, server: Server, certificate: bytes, key: DeviceKey) -> BelievedCrl:
        """Fetch the CRL on which `certificate` would stand (GetCRL, RFC 8894 §4.6), verified and current.

        Raises what `get_certificate` raises.
        """
        facts = own_certificate(certificate, key)
        question = issuer_and_serial(facts.issuer, facts.serial)
        reply = self._ask(server, _Message(MessageType.GET_CRL, question, certificate, key))
        if reply.crl is None:
            raise PeerError(reasons.CLIENT_REPLY_REFUSED, "it holds no CRL")
        crl = judge_crl(reply.crl, facts.issuer, server.ca.chain, self._clock.now())
        self._progress("the CRL is signed by the CA of the certificate and holds now")
        return crl

    # --- messages ---------------------------------------------------------------------------------------------------

    def _new_transaction(self) -> str:
        return self._entropy.octets(_TRANSACTION_OCTETS).hex()

    def _certified(self, server: Server, message: _Message, transaction_id: str, key: DeviceKey) -> Issued:
        transaction = Transaction(transaction_id.encode())
        issued = _issued(self._operate(server, message, transaction), server, public_octets(key), transaction)
        self._progress("the reply is signed by the server and its certificate is for our key")
        return issued

    def _ask(self, server: Server, message: _Message) -> Reply:
        """Ask for something that was made before: nobody decides about it, so PENDING is no answer."""
        check_decrypts(message.key)
        transaction = Transaction(self._new_transaction().encode())
        reply = self._operate(server, message, transaction)
        if reply.status is PkiStatus.PENDING:
            raise PeerError(reasons.CLIENT_REPLY_REFUSED, "it says that the question is pending")
        return reply

    def _operate(self, server: Server, message: _Message, transaction: Transaction) -> Reply:
        """Send a message and read its CertRep. Raises `PeerError` CLI-007 for a FAILURE."""
        check_reply_key(message.key, message.challenge)
        nonce = self._entropy.octets(_NONCE_OCTETS)
        octets = self._built(server, message, transaction, nonce)
        self._progress(f"sending the {_KINDS[message.kind]}, transaction {transaction.text}")
        read = read_crl_reply if message.kind is MessageType.GET_CRL else read_reply
        decrypts = can_decrypt(message.key)
        reply = read(
            self._exchange.send(octets, post=server.capabilities.post),
            transaction=transaction,
            sender_nonce=nonce,
            ra_certificates=server.ca.signers,
            decrypt=(lambda data: unwrap_with(message.key, data)) if decrypts else None,
            recipient=message.signer,
            secret=None if decrypts else message.challenge,
        )
        if reply.status is PkiStatus.FAILURE:
            raise _denied(reply, transaction)
        return reply

    def _built(self, server: Server, message: _Message, transaction: Transaction, nonce: bytes) -> bytes:
        scheme = scheme_of(message.key)
        return build_request(
            message_type=message.kind,
            transaction=transaction,
            sender_nonce=nonce,
            message_data=message.data,
            recipient=server.ca.recipient,
            signer=message.signer,
            digest=scheme.digest,
            cipher=_CIPHER,
            content_key=self._entropy.octets(_CIPHER.key_octets),
            iv=self._entropy.octets(16),
            sign=lambda data: sign_with(message.key, data),
            # rsaEncryption beside RSA, whatever the digest: some servers know no other (RFC 8894 leaves it open).
            signature=None if can_decrypt(message.key) else scheme.algorithm.identifier,
        )


def _read_ca_answer(body: bytes) -> tuple[bytes, ...]:
    """Read GetCACert by its structure, since servers send any Content-Type: a certificate, or a certs-only message."""
    try:
        read_certificate(body)
    except der.DerError:
        return read_certs_only(body)
    return (body,)


def _denied(reply: Reply, transaction: Transaction) -> PeerError:
    info = reply.fail_info
    name = info.name.lower().replace("_", " ") if info is not None else "no failInfo"
    text = f", it says {reply.fail_info_text!a}" if reply.fail_info_text else ""
    return PeerError(reasons.CLIENT_DENIED, f"{name}{text}, transaction {transaction.text}")


def _issued(reply: Reply, server: Server, public_key: bytes, transaction: Transaction) -> Issued:
    if reply.status is PkiStatus.PENDING:
        raise UnavailableError(reasons.CLIENT_PENDING, f"transaction {transaction.text}")
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


def _serial_of(certificate: bytes) -> int | None:
    try:
        return read_certificate(certificate).serial
    except der.DerError:
        return None
