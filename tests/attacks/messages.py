"""Good messages of every type that is served, each with the conversation that it may begin or go on with."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from ber_forms import indefinite, loosen
from regalia.ca.crl import CrlPublisher
from regalia.model import Authoriser, CertificateKind
from regalia.ports import CertificateFilter
from regalia.ra.registry import EndpointOptions
from regalia.wire import der
from regalia.wire.algorithms import STANDARD, Cipher, Digest
from regalia.wire.certificate import read_certificate
from regalia.wire.scep import MessageType, Transaction
from signing_device import SigningDevice, open_signing_endpoint
from world import ADMIN, Device, names, rsa_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from regalia.model import Names
    from world import World

__all__ = ["Conversation", "Good", "good_messages", "issued", "publish_crls"]

AnyDevice = Device | SigningDevice

LONG = 60 * 24 * 30


@dataclass(frozen=True)
class Conversation:
    """Who may have what: the key, and the names of its certificate."""

    key_sha256: bytes
    names: Names


@dataclass(frozen=True)
class Good:
    """A message that is answered with SUCCESS or PENDING unless something is changed in it."""

    kind: str
    endpoint: str
    octets: bytes


def good_messages(world: World) -> tuple[list[Good], Counter[Conversation]]:
    """Make them, and say how many certificates may come of all of them together, and for whom."""
    found: list[Good] = []
    begun: dict[Conversation, set[tuple[bytes, bool]]] = defaultdict(set)

    def add(device: AnyDevice, kind: str, octets: bytes, named: Names) -> None:
        found.append(Good(kind, device.endpoint, octets))
        who = Conversation(hashlib.sha256(device.public_key()).digest(), named)
        # Who signs with a certificate begins another conversation than who does not, under the same transactionID (R3).
        begun[who].add((device.transaction.octets, device.certificate is not None))

    live = Device(world, transaction=Transaction(b"live"))
    named = names("laptop-1", "a.example.com")
    secret = world.mint("laptop-1", "a.example.com")
    add(live, "19 answered", live.message(live.csr(named, secret)), named)
    live.enrol(named, secret)
    add(live, "19 again", live.message(live.csr(named, None)), named)
    for kind in (MessageType.PKCS_REQ, MessageType.RENEWAL_REQ):
        renewing = live.fresh(f"renewal {kind}")
        message = renewing.message(renewing.csr(named, None), message_type=kind)
        add(renewing, f"{kind} renewal", message, named)
    for number, (digest, cipher) in enumerate(zip(STANDARD.digests.values(), STANDARD.ciphers.values(), strict=True)):
        device = Device(world, key=rsa_key(1 + number), transaction=Transaction(b"first %d" % number))
        named = names(f"laptop-{number + 2}", "b.example.com")
        secret = world.mint(named.cn, "b.example.com", minutes=LONG)
        message = device.message(device.csr(named, secret), digest=digest, cipher=cipher)
        add(device, "19 first", message, named)
        for seed in range(2):
            add(device, "19 in BER", loosen(message, Random(seed)), named)  # noqa: S311 - the same each time
        add(device, "19 in BER", indefinite(message), named)
    waiting = Device(world, key=rsa_key(4), endpoint="queue", transaction=Transaction(b"waiting"))
    secret = world.open_endpoint("queue", Authoriser.APPROVAL)
    waiting.enrol(names(), secret)
    add(waiting, "19 waiting", waiting.message(waiting.csr(names(), secret)), names())
    poll = waiting.message(waiting.poll_content(), message_type=MessageType.CERT_POLL, signer=waiting.self_signed())
    add(waiting, "20", poll, names())
    asked = der.sequence(read_certificate(live.certificate or b"").issuer, der.integer(_serial(live)))
    publish_crls(world)
    for kind in (MessageType.GET_CERT, MessageType.GET_CRL):
        add(live, kind, live.message(asked, message_type=kind), named)
    signing(world, add)
    return found, Counter({who: len(each) for who, each in begun.items()})


def signing(world: World, add: Callable[[AnyDevice, str, bytes, Names], None]) -> None:
    """Keys that cannot decrypt, and old algorithms, at endpoints that take them."""
    open_signing_endpoint(world)
    for number, kind in enumerate(("p-256", "ed25519", "ml-dsa-44")):
        device = SigningDevice(world, kind, transaction=Transaction(b"signing %d" % number))
        named = names(f"signer-{number}", "s.example.com")
        secret = world.mint(named.cn, "s.example.com", endpoint="signing", minutes=LONG)
        add(device, f"19 {kind}", device.message(device.csr(named, secret)), named)
    world.registry.create_endpoint(
        "old", group="default", profile="default", actor=ADMIN, options=EndpointOptions(legacy=True)
    )
    old = Device(world, key=rsa_key(5), endpoint="old", transaction=Transaction(b"old"))
    named = names("old-1")
    secret = world.mint("old-1", endpoint="old", minutes=LONG)
    message = old.message(old.csr(named, secret), digest=Digest.SHA1, cipher=Cipher.TRIPLE_DES_CBC)
    add(old, "19 legacy", message, named)


def publish_crls(world: World) -> None:
    """Have a CRL of each authority to hand out, so that none being there is not what is answered."""
    publisher = CrlPublisher(world.store, world.files, world.signer, world.clock, world.entropy, world.urls)
    for authority in world.store.authorities():
        publisher.publish(authority.name)


def _serial(device: Device) -> int:
    return read_certificate(device.certificate or b"").serial


def issued(world: World) -> list[Conversation]:
    """For whom certificates were issued so far."""
    rows = world.store.certificates(CertificateFilter(kind=CertificateKind.LEAF, limit=100_000))
    return [Conversation(row.intent.key_sha256, row.intent.names) for row in rows]
