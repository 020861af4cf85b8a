"""What the tests of clients' habits share: a whole device listener on a socket, and devices that write as they please.

Messages are put together part by part (`scep_parts.Request`), requests by hand, and answers read with the legacy
algorithms allowed: nothing here goes through the code of our own client.
"""

from __future__ import annotations

import base64
import hashlib
import socket
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_from_bytes

from cryptography import x509
from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher as BlockCipher
from cryptography.hazmat.primitives.ciphers.modes import CBC

from fakes import FakeClock
from regalia.ca.crl import CrlPublisher
from regalia.ca.status import OcspResponder
from regalia.model import Authoriser, CertificateKind, EnrolmentState
from regalia.ports import CertificateFilter, EnrolmentFilter
from regalia.ra.limits import Allowances
from regalia.ra.ndes import NdesService
from regalia.ra.ndes_pages import NdesDesk, NdesOptions
from regalia.ra.registry import EndpointOptions
from regalia.store.crl_files import DirectoryCrlFiles
from regalia.web.device import device_app
from regalia.web.health import Readiness
from regalia.web.metrics import Metrics
from regalia.web.pool import Pool, Pools
from regalia.web.serve import Listener
from regalia.wire import cms, der, oids
from regalia.wire.algorithms import Accepted, Cipher, Digest
from regalia.wire.certificate import read_certificate
from regalia.wire.cms_build import build_enveloped
from regalia.wire.public_key import load_public_key
from regalia.wire.scep import FailInfo, MessageType, PkiStatus, Transaction, judge_envelope, read_message
from scep_parts import Identity, Request, algorithm
from web.asgi import listening
from world import ADMIN, Device, World, rsa_key

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from regalia.model import Certificate
    from regalia.wire.scep import RawMessage

__all__ = [
    "NONCE",
    "CertRep",
    "Client",
    "Heard",
    "Site",
    "attribute",
    "common_name",
    "name_of",
    "opened_site",
]

_MANY = 10**9
_OPEN = Allowances(_MANY, _MANY, _MANY, _MANY, _MANY, _MANY, _MANY, _MANY, _MANY)
"""R13: tests that send much raise the limits, openly."""
_LEGACY = Accepted(legacy=True)
NONCE = bytes(range(16))


@dataclass(frozen=True)
class Heard:
    """An HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def certificates(self) -> list[x509.Certificate]:
        """What GetCACert answers, in the order of the message."""
        assert self.headers["content-type"] == "application/x-x509-ca-ra-cert"
        return [x509.load_der_x509_certificate(each) for each in cms.read_certs_only(self.body)]


@dataclass
class Site:
    """A world behind a socket.

    Its endpoints: `default` with one-time challenges; `old`, the same with `legacy`; `queue` and `old-queue`, where
    requests wait; `static`; `bare` without the root. Microsoft's paths lead to `default`.
    """

    world: World
    port: int = 0
    devices: int = field(default=0)

    def raw(self, octets: bytes) -> Heard:
        """Send octets as they are, and read until the server closes."""
        read = b""
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as connection:
            connection.sendall(octets)
            while piece := connection.recv(65_536):
                read += piece
        head, _, body = read.partition(b"\r\n\r\n")
        line, *fields = head.decode("latin-1").split("\r\n")
        headers = dict(each.lower().split(": ", 1) for each in fields)
        assert int(headers.get("content-length", len(body))) == len(body)
        return Heard(int(line.split()[1]), headers, body)

    def get(self, target: str) -> Heard:
        """GET over HTTP/1.0, without Host."""
        return self.raw(f"GET {target} HTTP/1.0\r\n\r\n".encode())

    def post(self, message: bytes, *headers: str, path: str = "/scep/default") -> Heard:
        """POST a message over HTTP/1.0, without any header but those given and the length."""
        lines = [f"POST {path}?operation=PKIOperation HTTP/1.0", *headers, f"Content-Length: {len(message)}", "", ""]
        return self.raw("\r\n".join(lines).encode() + message)

    def get_message(self, message: bytes, escaped: str | None = None, path: str = "/scep/default") -> Heard:
        """GET a message; its base64 is escaped whole unless the client's way is given."""
        escaped = escaped or quote_from_bytes(base64.b64encode(message), safe="")
        return self.get(f"{path}?operation=PKIOperation&message={escaped}")

    def client(self, endpoint: str = "default", **settings: Any) -> Client:  # noqa: ANN401 - fields of Client
        """Make a device that nobody has seen before."""
        self.devices += 1
        self.world.clock.advance(timedelta(minutes=2))
        made = Client(self.world, endpoint=endpoint, **{"key": rsa_key(self.devices), **settings})
        if "transaction" not in settings:
            made.transaction = Transaction(b"habit-%d" % self.devices)
        made.site, made.cn = self, f"habit-{self.devices}"
        return made

    def approve(self, device: Client) -> Certificate:
        """Approve what a device asked for; others may wait beside it."""
        waiting = self.world.store.enrolments(EnrolmentFilter(state=EnrolmentState.PENDING))
        (held,) = [each for each in waiting if each.key.transaction_id == device.transaction.octets]
        return self.world.approvals.approve(held.id, ADMIN)

    def reason(self) -> str | None:
        """Why the last request was refused, as the administrator reads it."""
        return self.world.last_event().draft.reason_id

    def issued(self) -> int:
        """Count the certificates."""
        return len(self.world.store.certificates(CertificateFilter(kind=CertificateKind.LEAF, limit=10_000)))


@dataclass(frozen=True)
class CertRep:
    """A signed answer, its signature verified with the RA certificate and its content opened."""

    raw: RawMessage
    status: PkiStatus
    fail_info: FailInfo | None
    certificates: tuple[bytes, ...]
    cipher: Cipher | None
    content: bytes
    """What was in the envelope; empty without one."""

    def value(self, oid: str) -> bytes:
        """The content of a signed attribute, which must be there once."""
        assert self.raw.attributes is not None
        (found,) = self.raw.attributes.values[oid]
        return found.content


@dataclass
class Client(Device):
    """A device with habits of its own; the fields say which."""

    site: Site = field(init=False, repr=False)
    cn: str = field(init=False)
    digest: Digest = Digest.SHA256
    cipher: Cipher = Cipher.AES128_CBC
    nonce: bytes = NONCE

    @property
    def path(self) -> str:
        """Of its endpoint."""
        return f"/scep/{self.endpoint}"

    def challenge(self) -> str:
        """What it was given: the endpoint's secret, or a one-time challenge for its name."""
        static = self.world.secrets.get(self.endpoint)
        return static or self.world.mint(self.cn, endpoint=self.endpoint)

    def pkcs10(
        self,
        challenge: str | None = None,
        *,
        subject: bytes | None = None,
        attributes: Sequence[bytes] = (),
        key: rsa.RSAPrivateKey | None = None,
        in_order: bool = True,
    ) -> bytes:
        """Write a CSR by hand: its name alone, the challenge, and what else is given."""
        key = key or self.key
        password = [attribute(oids.CHALLENGE_PASSWORD, der.printable_string(challenge))] if challenge else []
        parts = sorted([*password, *attributes], reverse=not in_order)
        public = Identity(key, b"").spki
        info = der.sequence(
            der.integer(0), subject if subject is not None else common_name(self.cn), public, der.context(0, *parts)
        )
        signature = key.sign(info, padding.PKCS1v15(), hashes.SHA256())
        return der.sequence(info, algorithm(oids.SHA256_WITH_RSA), der.bit_string(signature))

    def sealed(self, plaintext: bytes) -> bytes:
        """Encrypt to the RA with its cipher."""
        return build_enveloped(
            plaintext, recipient=self._ra(), cipher=self.cipher, content_key=bytes(range(32)), iv=bytes(16)
        )

    def sealed_with_des(self, plaintext: bytes) -> bytes:
        """Encrypt to the RA with single DES, which none of our code can write."""
        key, iv = bytes(range(1, 9)), bytes(8)
        fill = 8 - len(plaintext) % 8
        # Triple DES with three times one key is DES.
        encryptor = BlockCipher(TripleDES(key * 3), CBC(iv)).encryptor()
        ciphertext = encryptor.update(plaintext + bytes((fill,)) * fill) + encryptor.finalize()
        facts = read_certificate(self._ra())
        public = load_public_key(facts.public_key)
        assert isinstance(public, rsa.RSAPublicKey)
        recipient = der.sequence(
            der.integer(0),
            der.sequence(facts.issuer, der.integer(facts.serial)),
            algorithm(oids.RSA_ENCRYPTION),
            der.octet_string(public.encrypt(key, padding.PKCS1v15())),
        )
        cipher = der.sequence(der.oid(oids.DES_CBC), der.octet_string(iv))
        content = der.sequence(der.oid(oids.ID_DATA), cipher, der.tlv(0x80, ciphertext))
        enveloped = der.sequence(der.integer(0), der.set_of([recipient]), content)
        return der.sequence(der.oid(oids.ID_ENVELOPED_DATA), der.context(0, enveloped))

    def signed(
        self,
        content: bytes,
        kind: str = MessageType.PKCS_REQ,
        *,
        signer: bytes | None = None,
        **parts: Any,  # noqa: ANN401 - fields of Request
    ) -> bytes:
        """Sign an envelope with its key; `parts` are those of `scep_parts.Request`."""
        values = {
            oids.CONTENT_TYPE: der.oid(oids.ID_DATA),
            oids.MESSAGE_TYPE: der.printable_string(kind),
            oids.TRANSACTION_ID: self.transaction.encoded,
            oids.SENDER_NONCE: der.octet_string(self.nonce),
        }
        owner = Identity(self.key, signer or self.certificate or self.self_signed())
        return Request(content=content, digest=self.digest, signer=owner, values=values, **parts).build()

    def first(self, **parts: Any) -> bytes:  # noqa: ANN401 - fields of Request
        """The message of a first enrolment, with a challenge that is good."""
        return self.signed(self.sealed(self.pkcs10(self.challenge())), **parts)

    def read(self, heard: Heard) -> CertRep:
        """Verify and open an answer: 200, the right type, signed by the RA, for this transaction and nonce."""
        assert (heard.status, heard.headers["content-type"]) == (200, "application/x-pki-message"), heard
        raw = read_message(heard.body, _LEGACY)
        (signer,) = raw.signed_data.signers
        public = load_public_key(read_certificate(self._ra()).public_key)
        assert isinstance(public, rsa.RSAPublicKey)
        assert raw.digest is not None
        (octets, *_) = cms.signed_octets(signer.signed_attributes or b"")
        public.verify(signer.signature, octets, padding.PKCS1v15(), raw.digest.hash())
        content = raw.signed_data.content or b""
        plain, cipher = self._opened(content) if content else (b"", None)
        made = CertRep(raw, PkiStatus.PENDING, None, (), cipher, plain)
        status = PkiStatus(made.value(oids.PKI_STATUS).decode())
        refused = FailInfo(int(made.value(oids.FAIL_INFO))) if status is PkiStatus.FAILURE else None
        found = cms.read_certs_only(plain) if plain and raw.attributes is not None and _has_certificates(plain) else ()
        assert made.value(oids.TRANSACTION_ID) == self.transaction.octets
        assert made.value(oids.RECIPIENT_NONCE) == self.nonce
        assert made.value(oids.MESSAGE_DIGEST) == raw.digest.of(content)
        return CertRep(raw, status, refused, found, cipher, plain)

    def enrolled(self, heard: Heard) -> x509.Certificate:
        """Read the answer to an enrolment: one certificate, for its key; kept for renewals."""
        (self.certificate,) = self.read(heard).certificates
        certificate = x509.load_der_x509_certificate(self.certificate)
        assert certificate.public_key() == self.key.public_key()
        return certificate

    def refused(self, heard: Heard) -> tuple[FailInfo | None, str | None]:
        """What it is told, and what the administrator is told; no certificate, and no content at all."""
        reply = self.read(heard)
        assert reply.status is PkiStatus.FAILURE
        assert reply.raw.signed_data.content == b""
        return reply.fail_info, self.site.reason()

    def _opened(self, content: bytes) -> tuple[bytes, Cipher]:
        enveloped = judge_envelope(content, _LEGACY)
        (recipient,) = enveloped.recipients
        key = cms.EncryptedKey(recipient.encrypted_key)
        plain = cms.decrypt_content(
            enveloped, key, lambda sealed, _: self.key.decrypt(sealed, padding.PKCS1v15()), bytes(32)
        )
        return plain, enveloped.cipher

    def _ra(self) -> bytes:
        door = self.world.store.door(self.endpoint)
        assert door is not None
        return door.ra.certificate_der


def _has_certificates(content: bytes) -> bool:
    """Whether a degenerate SignedData holds certificates; that of a GetCRL holds a CRL."""
    signed_data = der.read_one(der.read_one(content).children()[1].content)
    return any(part.tag == 0xA0 for part in signed_data.children()[3:])


def attribute(oid: str, value: bytes) -> bytes:
    """An attribute of a CSR."""
    return der.sequence(der.oid(oid), der.set_of([value]))


def name_of(*parts: tuple[str, bytes]) -> bytes:
    """A Name of attribute types and encoded values, one RDN each."""
    return der.sequence(*(der.set_of([der.sequence(der.oid(oid), value)]) for oid, value in parts))


def common_name(cn: str) -> bytes:
    """A Name of one common name."""
    return name_of((oids.AT_COMMON_NAME, der.printable_string(cn)))


@contextmanager
def opened_site(directory: Path) -> Iterator[Site]:
    """Serve a new world's device listener on a port of its own."""
    world, metrics = World(allowances=_OPEN), Metrics(FakeClock())
    registry = world.registry
    for name, options in (("old", EndpointOptions(legacy=True)), ("bare", EndpointOptions(include_root=False))):
        registry.create_endpoint(name, group="default", profile="default", actor=ADMIN, options=options)
    world.open_endpoint("queue", Authoriser.APPROVAL)
    world.open_endpoint("static", Authoriser.STATIC)
    for name, authoriser in (("old-queue", Authoriser.APPROVAL), ("old-static", Authoriser.STATIC)):
        old = EndpointOptions(legacy=True)
        registry.create_endpoint(
            name, group="default", profile="default", actor=ADMIN, authoriser=authoriser, options=old
        )
        world.secrets[name] = world.desk.rotate(name, actor=ADMIN).secret
    CrlPublisher(world.store, world.files, world.signer, world.clock, world.entropy, world.urls).publish("default-ca-1")
    pages = NdesDesk(world.store, world.clock, world.entropy)
    pages.set(
        "default",
        NdesOptions(user="EXAMPLE\\mdm", password=hashlib.sha256(b"x").hexdigest(), certsrv=True),
        actor=ADMIN,
        acknowledged=True,
    )
    ndes = NdesService(
        store=world.store,
        refusals=world.refusals,
        allowances=_OPEN,
        clock=world.clock,
        entropy=world.entropy,
        challenge_mac=world.challenge_mac,
    )
    pools = Pools(*(Pool(name, threads=2, queue=8) for name in ("enrolment", "status", "files")))
    files = DirectoryCrlFiles(directory / "crl")
    app = device_app(
        scep=world.scep,
        doors=world.store,
        ocsp=OcspResponder(world.store, world.keys, world.clock),
        authorities=world.store,
        crl_files=files,
        readiness=Readiness(world.store, world.keys, files, world.clock),
        pools=pools,
        metrics=metrics,
        clock=world.clock,
        ndes=ndes,
    )
    site = Site(world)
    with listening(Listener("device", app, "127.0.0.1", 0)) as bound:
        site.port = bound[0].port
        yield site
    pools.close()
