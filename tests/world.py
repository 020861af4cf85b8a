"""A whole Regalia in memory: the product's own services on the fakes of its ports, and devices that speak SCEP to it.

No socket, no file, no clock but the fake one. What a `Device` sends is made by our client-side wire code; what it gets
back is opened by the same, so a story here is octets in, octets out.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from fakes import (
    FakeClock,
    MemoryCrlFiles,
    MemoryKeys,
    MemoryOutgoing,
    MemorySealer,
    MemorySender,
    MemorySigner,
    MemoryTranscript,
    SeededEntropy,
)
from memory_store import MemoryStore
from regalia.app.connectors import ConnectorLinks, RegisteredKinds
from regalia.ca.authority import Ceremony
from regalia.ca.carried_crl import CrlImporter
from regalia.ca.crl import CrlPublisher
from regalia.ca.hierarchy import Hierarchy
from regalia.ca.importing import Importer
from regalia.ca.issue import Issuer
from regalia.ca.profile import DEFAULT_DOCUMENT
from regalia.ca.recover import Recovery
from regalia.ca.rollover import Rollover
from regalia.ca.status import OcspResponder
from regalia.ca.urls import Urls
from regalia.model import Actor, ActorKind, Authoriser, EnrolmentState, Names, San, SanKind
from regalia.ports import EnrolmentFilter
from regalia.ra.administration import AdminDesk
from regalia.ra.alerts import AlertDesk
from regalia.ra.approval import ApprovalDesk
from regalia.ra.challenges import ChallengeDesk
from regalia.ra.checkpoints import CheckpointDesk
from regalia.ra.connectors import ConnectorDesk
from regalia.ra.containment import Containment
from regalia.ra.enrol import Enroller
from regalia.ra.limits import Allowances, Limits
from regalia.ra.ndes_pages import NdesDesk
from regalia.ra.order import OrderDesk
from regalia.ra.personal import PersonalDesk
from regalia.ra.proposals import ProposalDesk
from regalia.ra.protected import UNPROTECTED, ProtectedNames
from regalia.ra.refusals import Refusals
from regalia.ra.registry import Registry
from regalia.ra.request import EnrolmentRequest, PollRequest
from regalia.ra.retrieve import Retriever
from regalia.ra.scep import CertRep, ScepService
from regalia.ra.tokens import TokenDesk
from regalia.verbs.services import Practice
from regalia.wire.algorithms import Cipher, Digest
from regalia.wire.certificate import (
    SignatureAlgorithm,
    TbsCertificate,
    assemble,
    encode_tbs,
    key_usage,
)
from regalia.wire.csr import build_csr, read_csr
from regalia.wire.names import encode_name
from regalia.wire.scep import MessageType, Transaction
from regalia.wire.scep_client import Reply, build_request, issuer_and_subject, read_reply

if TYPE_CHECKING:
    from collections.abc import Callable

    from regalia.model import Certificate, Enrolment, Event
    from regalia.model.connector import Connector
    from regalia.ports import Catalogue, CheckpointArchive, KeyStore, Outgoing
    from regalia.ra.scep import ScepAnswer

__all__ = ["ADMIN", "PRACTICE", "Device", "World", "names", "rsa_key"]

ADMIN = Actor(ActorKind.ADMIN, "os:tester")
_KEYS: list[rsa.RSAPrivateKey] = []

PRACTICE = Practice(
    listen="127.0.0.1:8080",
    listen_tls=None,
    admin_listen="127.0.0.1:8443",
    admin_url="https://pki.example.test:8443",
    key_store="software",
    master_key_beside=False,
    crl_days=7,
    crl_check_seconds=60,
    crl_largest_octets=10_000_000,
    ocsp_good_seconds=3_600,
    pending_days=30,
    ra_overlap_days=30,
    personal_days=400,
    pseudonym_days=2_557,
)
"""What its settings would say."""


def names(cn: str | None = None, *dns: str) -> Names:
    """Make a set of names from a common name and DNS names."""
    return Names(cn, frozenset(San(SanKind.DNS, name) for name in dns))


def rsa_key(index: int) -> rsa.RSAPrivateKey:
    """Return the nth RSA-2048 key of this test run; making one takes long, so they are shared."""
    while len(_KEYS) <= index:
        _KEYS.append(rsa.generate_private_key(public_exponent=65537, key_size=2048))
    return _KEYS[index]


class World:
    """A root, group `default`, profile and endpoint `default`, as `regalia init` makes them."""

    def __init__(
        self,
        signer_wrapper: Callable[[MemorySigner], MemorySigner] | None = None,
        *,
        store: MemoryStore | None = None,
        allowances: Allowances | None = None,
        protected: ProtectedNames = UNPROTECTED,
        clock: FakeClock | None = None,
        url: str = "http://pki.example.test",
    ) -> None:
        self.clock = clock or FakeClock()
        self.entropy = SeededEntropy()
        self.store = store or MemoryStore()
        self.keys = MemoryKeys(self.store)
        self.files = MemoryCrlFiles()
        self.urls = Urls(url)
        self.signer = MemorySigner(self.store, self.keys, self.files)
        if signer_wrapper is not None:
            self.signer = signer_wrapper(self.signer)
        self.issuer = Issuer(self.store, self.signer, self.clock)
        self.recovery = Recovery(self.store, self.issuer, self.clock)
        self.refusals = Refusals(self.store)
        self.limits = Limits(self.store, allowances or Allowances())
        self.ceremony = Ceremony(
            self.issuer,
            authorities=self.store,
            keys=self.keys,
            clock=self.clock,
            entropy=self.entropy,
            urls=self.urls,
        )
        self.hierarchy = Hierarchy(
            self.ceremony,
            store=self.store,
            signer=self.signer,
            clock=self.clock,
            entropy=self.entropy,
            urls=self.urls,
        )
        self.rollover = Rollover(self.store, self.ceremony, self.keys, self.clock)
        self.crls = CrlPublisher(self.store, self.files, self.signer, self.clock, self.entropy, self.urls)
        self.containment = Containment(
            self.store, self.rollover, self.hierarchy, self.keys, self.clock, holder="here", pause=self._pause
        )
        self.registry = Registry(self.store, self.ceremony, self.clock, self.urls)
        self.importer = Importer(
            self.ceremony, self.hierarchy, store=self.store, clock=self.clock, entropy=self.entropy
        )
        self.carried_crls = CrlImporter(self.store, self.clock, self.entropy)
        self.checkpoints = CheckpointDesk(self.store, self.keys, self.clock)
        self.checkpoint_copy: CheckpointArchive | None = None
        self.personal = PersonalDesk(self.store, MemorySealer(), self.clock, self.entropy)
        self.transcript = MemoryTranscript()
        self.administrators = AdminDesk(self.store, self.clock, self.entropy)
        self.tokens = TokenDesk(self.store, self.clock, self.entropy)
        self.proposals = ProposalDesk(self.store, self.clock, self.entropy)
        self.told = MemorySender()
        self.alerts = AlertDesk(self.store, self.told, MemorySealer(), self.clock, self.entropy, where=url, attempts=3)
        self.outgoing: Outgoing = MemoryOutgoing()
        """What connectors ask, and what they are answered."""
        kinds = RegisteredKinds(lambda: self.outgoing, self.clock, self.entropy, self.store)
        self.sealer = MemorySealer()
        self.connectors = ConnectorDesk(self.store, kinds, self.sealer, self.clock, self.entropy)
        self.links = ConnectorLinks(self.store, self.sealer, self.clock, self.entropy, lambda: self.outgoing)
        self.practice = PRACTICE
        self.protected = protected
        self.ndes_pages = NdesDesk(self.store, self.clock, self.entropy)
        self.desk = ChallengeDesk(self.store, self.clock, self.entropy, self.challenge_mac)
        self.approvals = ApprovalDesk(
            store=self.store,
            issuer=self.issuer,
            clock=self.clock,
            entropy=self.entropy,
            urls=self.urls,
            serial_prefix=1,
            pending_life=timedelta(days=30),
            protected=protected,
        )
        self.secrets: dict[str, str] = {}
        """The static challenge of each endpoint that has one."""
        self.pauses = 0
        self.on_pause: Callable[[], object] = lambda: self.clock.advance(timedelta(seconds=0.1))
        self.enroller = Enroller(
            store=self.store,
            issuer=self.issuer,
            recovery=self.recovery,
            refusals=self.refusals,
            clock=self.clock,
            entropy=self.entropy,
            urls=self.urls,
            serial_prefix=1,
            pause=self._pause,
            sealer=MemorySealer(),
            protected=protected,
        )
        self.orders = OrderDesk(store=self.store, enroller=self.enroller, clock=self.clock)
        self.scep = self.service(self.keys)
        self.ceremony.create_root("root", actor=ADMIN)
        self.open_group("default")

    @cached_property
    def ocsp(self) -> OcspResponder:
        """What answers OCSP."""
        return OcspResponder(self.store, self.keys, self.clock)

    def hook_key(self, connector: Connector) -> str:
        """See `app.App`: another one for each connector, and once its secret is set anew."""
        return hashlib.sha256(f"{connector.id} {connector.secret_set_at}".encode()).hexdigest()

    @property
    def crl_files(self) -> MemoryCrlFiles:
        """Its CRLs, by the name that verbs know."""
        return self.files

    @property
    def challenges(self) -> ChallengeDesk:
        """Its challenges, by the name that verbs know."""
        return self.desk

    def service(
        self, keys: KeyStore, doors: Catalogue | None = None, stopwatch: Callable[[], float] = time.monotonic
    ) -> ScepService:
        """Make a SCEP service of this world that uses private keys through `keys`, and perhaps other doors."""
        return ScepService(
            doors=doors or self.store,
            store=self.store,
            keys=keys,
            enroller=self.enroller,
            retriever=Retriever(store=self.store, refusals=self.refusals, clock=self.clock, urls=self.urls),
            limits=self.limits,
            refusals=self.refusals,
            clock=self.clock,
            entropy=self.entropy,
            challenge_mac=self.challenge_mac,
            stopwatch=stopwatch,
        )

    def open_group(self, name: str, *, debug: bool = False) -> None:
        """Create a group with a profile and an endpoint of the same name."""
        self.registry.create_group(name, actor=ADMIN, debug=debug)
        self.registry.create_profile(name, name, DEFAULT_DOCUMENT, actor=ADMIN)
        self.registry.create_endpoint(name, group=name, profile=name, actor=ADMIN)

    def open_endpoint(self, name: str, authoriser: Authoriser, *, group: str = "default") -> str:
        """Create an endpoint of a group with its profile; return its first static challenge."""
        self.registry.create_endpoint(name, group=group, profile=group, actor=ADMIN, authoriser=authoriser)
        self.secrets[name] = self.desk.rotate(name, actor=ADMIN).secret
        return self.secrets[name]

    def pending(self) -> Enrolment:
        """Find the one enrolment that waits for an administrator."""
        (found,) = self.store.enrolments(EnrolmentFilter(state=EnrolmentState.PENDING))
        return found

    def approve(self) -> Certificate:
        """Approve the one enrolment that waits."""
        return self.approvals.approve(self.pending().id, ADMIN)

    def _pause(self, seconds: float) -> None:
        del seconds
        self.pauses += 1
        self.on_pause()

    @staticmethod
    def challenge_mac(secret: str) -> bytes:
        """Hash a challenge under a key that is not a secret here."""
        return hmac.digest(b"test", secret.encode(), "sha256")

    def mint(
        self,
        cn: str | None = None,
        *dns: str,
        endpoint: str = "default",
        minutes: int = 60,
        device: str | None = None,
    ) -> str:
        """Hand out a one-time challenge and return its secret."""
        return self.desk.mint(
            endpoint, binding=names(cn, *dns), device=device, ttl=timedelta(minutes=minutes), actor=ADMIN
        ).secret

    def send(self, body: bytes, endpoint: str = "default", source: str = "192.0.2.1") -> ScepAnswer:
        """Put a message through the endpoint."""
        door = self.scep.door(endpoint)
        assert door is not None
        return self.scep.pki_operation(door, body, source)

    def last_event(self) -> Event:
        """Return the newest record of the audit log."""
        return self.store.log[-1]


@dataclass
class Device:
    """A device with an RSA key that speaks SCEP."""

    world: World
    key: rsa.RSAPrivateKey = field(default_factory=lambda: rsa_key(0))
    certificate: bytes | None = None
    transaction: Transaction = field(default_factory=lambda: Transaction(b"transaction-1"))
    endpoint: str = "default"
    source: str = "192.0.2.1"

    def public_key(self) -> bytes:
        """DER SubjectPublicKeyInfo of its key."""
        return spki(self.key)

    def self_signed(self) -> bytes:
        """Make the self-signed certificate that signs a first enrolment (RFC 8894 §2.3)."""
        name = encode_name(cn="SCEP signer")
        now = self.world.clock.now()
        tbs = encode_tbs(
            TbsCertificate(
                serial=1,
                signature=SignatureAlgorithm.RSA_SHA256,
                issuer=name,
                not_before=now - timedelta(days=1),
                not_after=now + timedelta(days=2),
                subject=name,
                public_key=self.public_key(),
                extensions=(key_usage(("digitalSignature", "keyEncipherment")),),
            )
        )
        return assemble(tbs, SignatureAlgorithm.RSA_SHA256, self.sign(tbs))

    def sign(self, data: bytes, digest: Digest = Digest.SHA256) -> bytes:
        """Sign with its key, PKCS#1 v1.5."""
        return self.key.sign(data, padding.PKCS1v15(), digest.hash())

    def csr(
        self,
        wanted: Names,
        challenge: str | None,
        *,
        key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | None = None,
    ) -> bytes:
        """Make a PKCS #10 request, for its own key unless another is given."""
        subject = key or self.key

        def sign(data: bytes) -> bytes:
            if isinstance(subject, rsa.RSAPrivateKey):
                return subject.sign(data, padding.PKCS1v15(), hashes.SHA256())
            return subject.sign(data, ec.ECDSA(hashes.SHA256()))

        algorithm = (
            SignatureAlgorithm.RSA_SHA256 if isinstance(subject, rsa.RSAPrivateKey) else SignatureAlgorithm.ECDSA_SHA256
        )
        return build_csr(
            cn=wanted.cn,
            sans=wanted.sans,
            public_key=spki(subject),
            challenge=challenge,
            sign=sign,
            signature=algorithm,
        )

    def message(
        self,
        message_data: bytes,
        *,
        message_type: str = MessageType.PKCS_REQ,
        signer: bytes | None = None,
        recipient: bytes | None = None,
        digest: Digest = Digest.SHA256,
        cipher: Cipher = Cipher.AES128_CBC,
    ) -> bytes:
        """Wrap a CSR, or what a poll carries, into a pkiMessage, signed with `signer` or a self-signed certificate."""
        door = self.world.store.door(self.endpoint)
        assert door is not None
        return build_request(
            message_type=MessageType(message_type),
            transaction=self.transaction,
            sender_nonce=hashlib.sha256(message_data).digest()[:16],
            message_data=message_data,
            recipient=recipient or door.ra.certificate_der,
            signer=signer or self.certificate or self.self_signed(),
            digest=digest,
            cipher=cipher,
            content_key=bytes(range(cipher.key_octets)),
            iv=bytes(16),
            sign=lambda data: self.sign(data, digest),
        )

    def open(self, answer: ScepAnswer, csr: bytes, signer: bytes | None = None, *, ra: bytes | None = None) -> Reply:
        """Verify and decrypt an answer as a client does; `ra` is the RA certificate that it holds, else the present."""
        assert isinstance(answer, CertRep), answer
        door = self.world.store.door(self.endpoint)
        assert door is not None
        return read_reply(
            answer.der,
            transaction=self.transaction,
            sender_nonce=hashlib.sha256(csr).digest()[:16],
            ra_certificates=(ra or door.ra.certificate_der,),
            decrypt=lambda sealed: self.key.decrypt(sealed, padding.PKCS1v15()),
            recipient=signer,
        )

    def enrol(self, wanted: Names, challenge: str | None, message_type: str = MessageType.PKCS_REQ) -> Reply:
        """Enrol, or renew where it has a certificate; keep the certificate that comes back."""
        csr = self.csr(wanted, challenge)
        answer = self.world.send(self.message(csr, message_type=message_type), self.endpoint, self.source)
        reply = self.open(answer, csr)
        if reply.certificates:
            self.certificate = reply.certificates[0]
        return reply

    def poll(self) -> Reply:
        """Ask what became of its enrolment; keep the certificate that comes back."""
        wanted = self.poll_content()
        message = self.message(wanted, message_type=MessageType.CERT_POLL, signer=self.self_signed())
        reply = self.open(self.world.send(message, self.endpoint, self.source), wanted)
        if reply.certificates:
            self.certificate = reply.certificates[0]
        return reply

    def poll_content(self) -> bytes:
        """Make what a CertPoll carries (RFC 8894 §3.3.3)."""
        door = self.world.store.door(self.endpoint)
        assert door is not None
        return issuer_and_subject(encode_name(cn=door.authority.name), encode_name(cn="whatever it asked for"))

    def request(self, wanted: Names, challenge: str | None) -> EnrolmentRequest:
        """Make what the decision room is given for a first enrolment, its message read and verified."""
        door = self.world.store.door(self.endpoint)
        assert door is not None
        return EnrolmentRequest(
            door=door,
            transaction_id=self.transaction.octets,
            csr=read_csr(self.csr(wanted, challenge)),
            signer=None,
            challenge_mac=self.world.challenge_mac(challenge) if challenge else None,
            source=self.source,
            received_at=self.world.clock.now(),
            described="a test's message",
        )

    def question(self) -> PollRequest:
        """Make what the decision room is given for a poll."""
        door = self.world.store.door(self.endpoint)
        assert door is not None
        return PollRequest(
            door=door,
            transaction_id=self.transaction.octets,
            key_sha256=hashlib.sha256(self.public_key()).digest(),
            source=self.source,
            received_at=self.world.clock.now(),
            described="a test's poll",
        )

    def fresh(self, transaction: str) -> Device:
        """Return the same device in a new transaction."""
        return replace(self, transaction=Transaction(transaction.encode()))


def spki(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    """DER SubjectPublicKeyInfo of a key."""
    return key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
