"""Old algorithms behind an endpoint's `legacy` switch: taken, mirrored, and on record each time (R1, SIG-5, KEY-1)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from regalia import reasons
from regalia.model import Action, Authoriser
from regalia.ra.registry import EndpointOptions
from regalia.ra.scep import CertRep
from regalia.wire import cms, der, oids
from regalia.wire.algorithms import Accepted, Cipher, Digest
from regalia.wire.certificate import read_certificate
from regalia.wire.public_key import load_public_key
from regalia.wire.scep import FailInfo, MessageType, judge_envelope, read_message
from regalia.wire.scep_client import issuer_and_serial
from world import ADMIN, Device, World, names, rsa_key, spki

if TYPE_CHECKING:
    from regalia.model import Names
    from regalia.ra.scep import ScepAnswer

LAPTOP = names("laptop-1")
LEGACY = Accepted(legacy=True)


@cache
def key_of_3() -> rsa.RSAPrivateKey:
    """An RSA key with the exponent 3, made once."""
    return rsa.generate_private_key(public_exponent=3, key_size=2048)


@dataclass
class OldDevice(Device):
    """A device that signs its request with SHA-1 if told to."""

    request_digest: Digest = Digest.SHA256

    def request_of(self, wanted: Names, challenge: str | None) -> bytes:
        """Make a request; the library that is ours writes none with SHA-1, so its signature is made anew."""
        csr = self.csr(wanted, challenge)
        if self.request_digest is not Digest.SHA1:
            return csr
        info = der.read_one(csr).children()[0].raw
        signature = self.key.sign(info, padding.PKCS1v15(), hashes.SHA1())  # noqa: S303 - the old algorithm itself
        algorithm = der.sequence(der.oid(oids.SHA1_WITH_RSA), der.null())
        return der.sequence(info, algorithm, der.bit_string(signature))


@pytest.fixture
def world() -> World:
    """A world with the endpoint `old`, which takes old algorithms."""
    made = World()
    made.registry.create_endpoint(
        "old", group="default", profile="default", actor=ADMIN, options=EndpointOptions(legacy=True)
    )
    return made


@dataclass(frozen=True)
class Way:
    """One way to be old."""

    digest: Digest = Digest.SHA256
    cipher: Cipher = Cipher.AES128_CBC
    request_digest: Digest = Digest.SHA256
    small_exponent: bool = False
    said: tuple[str, ...] = ()
    """What the record names."""

    def device(self, world: World, endpoint: str = "old") -> OldDevice:
        """A device that is old in this way."""
        key = key_of_3() if self.small_exponent else rsa_key(0)
        return OldDevice(world, key=key, endpoint=endpoint, request_digest=self.request_digest)

    def message(self, device: Device, content: bytes, message_type: str = MessageType.PKCS_REQ) -> bytes:
        """Wrap a content as such a device does."""
        return device.message(content, message_type=message_type, digest=self.digest, cipher=self.cipher)


_SHA1_SAID = "the message is signed with SHA-1"
_DES3_SAID = "the content is encrypted with triple DES"
WAYS = {
    "modern": Way(),
    "digest": Way(digest=Digest.SHA1, said=(_SHA1_SAID,)),
    "cipher": Way(cipher=Cipher.TRIPLE_DES_CBC, said=(_DES3_SAID,)),
    "request": Way(request_digest=Digest.SHA1, said=("the request is signed with sha1WithRSAEncryption",)),
    "exponent": Way(
        small_exponent=True, said=("the signer's RSA exponent is 3", "the requested key's RSA exponent is 3")
    ),
    "Cisco": Way(digest=Digest.SHA1, cipher=Cipher.TRIPLE_DES_CBC, said=(_SHA1_SAID, _DES3_SAID)),
}
OLD = [name for name in WAYS if name != "modern"]


def opened(device: Device, answer: ScepAnswer) -> tuple[bytes, ...]:
    """Verify and open an answer with what a legacy device has; our own client would not."""
    assert isinstance(answer, CertRep), answer
    raw = read_message(answer.der, LEGACY)
    signer, door = raw.signed_data.signers[0], device.world.store.door(device.endpoint)
    assert raw.digest is not None
    assert door is not None
    ra_key = load_public_key(read_certificate(door.ra.certificate_der).public_key)
    assert isinstance(ra_key, rsa.RSAPublicKey)
    (octets, *_) = cms.signed_octets(signer.signed_attributes or b"")
    ra_key.verify(signer.signature, octets, padding.PKCS1v15(), raw.digest.hash())
    enveloped = judge_envelope(raw.signed_data.content or b"", LEGACY)
    recipient = enveloped.recipients[0]
    content = cms.decrypt_content(
        enveloped,
        cms.EncryptedKey(recipient.encrypted_key),
        lambda sealed, _: device.key.decrypt(sealed, padding.PKCS1v15()),
        bytes(32),
    )
    return cms.read_certs_only(content)


def fail_info(answer: ScepAnswer) -> FailInfo:
    """Read the failInfo of an answer."""
    assert isinstance(answer, CertRep), answer
    raw = read_message(answer.der, LEGACY)
    assert raw.attributes is not None
    return FailInfo(int(raw.attributes.one(oids.FAIL_INFO, der.PRINTABLE_STRING).content))


def uses(world: World, since: int = 0) -> list[object]:
    """What the log has of old algorithms, event by event."""
    drafts = [event.draft for event in world.store.log[since:]]
    return [draft.details["algorithms"] for draft in drafts if draft.action is Action.LEGACY_USED]


@pytest.mark.parametrize("name", WAYS)
def test_an_old_device_enrols_and_that_is_on_record(world: World, name: str) -> None:
    """SIG-5: what only the switch let in is named in one event beside the intent; a modern message leaves none."""
    way = WAYS[name]
    device = way.device(world)
    csr = device.request_of(LAPTOP, world.mint("laptop-1", endpoint="old"))
    answer = world.send(way.message(device, csr), "old")
    (certificate,) = opened(device, answer)
    assert read_certificate(certificate).public_key == spki(device.key)
    assert uses(world) == ([list(way.said)] if way.said else [])
    assert isinstance(answer, CertRep)
    raw = read_message(answer.der, LEGACY)
    assert raw.digest is way.digest
    assert judge_envelope(raw.signed_data.content or b"", LEGACY).cipher is way.cipher


@pytest.mark.parametrize("name", OLD)
def test_without_the_switch_none_of_it_is_taken(world: World, name: str) -> None:
    """R1, R6, SIG-5: the same messages at an endpoint beside it; nothing is issued, and no event says legacy."""
    way = WAYS[name]
    device = way.device(world, "default")
    csr = device.request_of(LAPTOP, world.mint("laptop-1"))
    told = {
        "request": (FailInfo.BAD_MESSAGE_CHECK, reasons.POSSESSION_UNPROVEN),
        "exponent": (FailInfo.BAD_MESSAGE_CHECK, reasons.SIGNER_KEY_REFUSED),
        "cipher": (FailInfo.BAD_ALG, reasons.CIPHER_REFUSED),
    }.get(name, (FailInfo.BAD_ALG, reasons.DIGEST_REFUSED))
    answer = world.send(way.message(device, csr))
    assert (fail_info(answer), world.last_event().draft.reason_id) == (told[0], told[1].id)
    assert uses(world) == []
    assert isinstance(answer, CertRep)
    # Whatever the request was signed with, a refusal here is signed with what everybody can verify.
    assert read_message(answer.der).digest is Digest.SHA256


@pytest.mark.parametrize("name", OLD)
def test_every_answer_from_the_store_is_on_record_too(world: World, name: str) -> None:
    """SIG-5: every use is audited: the request sent again, the poll, the certificate asked for once more."""
    way = WAYS[name]
    device = way.device(world)
    csr = device.request_of(LAPTOP, world.mint("laptop-1", endpoint="old"))
    (certificate,) = opened(device, world.send(way.message(device, csr), "old"))
    outer = [said for said in way.said if "request" not in said]
    before = len(world.store.log)
    assert opened(device, world.send(way.message(device, csr), "old")) == (certificate,)
    assert uses(world, before) == [list(way.said)]
    facts = read_certificate(certificate)
    wanted = issuer_and_serial(facts.issuer, facts.serial)
    for content, message_type in ((device.poll_content(), MessageType.CERT_POLL), (wanted, MessageType.GET_CERT)):
        before = len(world.store.log)
        assert opened(device, world.send(way.message(device, content, message_type), "old")) == (certificate,)
        assert uses(world, before) == ([outer] if outer else [])


@pytest.mark.parametrize("name", ["digest", "exponent", "request"])
def test_a_held_request_is_on_record_and_is_approved(name: str) -> None:
    """SIG-5, KEY-1: held with its record in the same transaction; approving it judges by the same switch."""
    world, way = World(), WAYS[name]
    world.registry.create_endpoint(
        "old",
        group="default",
        profile="default",
        actor=ADMIN,
        authoriser=Authoriser.APPROVAL,
        options=EndpointOptions(legacy=True),
    )
    secret = world.desk.rotate("old", actor=ADMIN).secret
    device = way.device(world)
    csr = device.request_of(LAPTOP, secret)
    world.send(way.message(device, csr), "old")
    assert [event.draft.action for event in world.store.log[-2:]] == [Action.ENROLMENT_PENDING, Action.LEGACY_USED]
    assert uses(world) == [list(way.said)]
    approved = world.approve()
    assert opened(device, world.send(way.message(device, csr), "old")) == (approved.der,)


def test_a_refused_message_shows_its_algorithms(world: World) -> None:
    """SIG-5: its refusal names digest and cipher, so that a flood of them folds like every other."""
    way = WAYS["Cisco"]
    device = way.device(world)
    world.send(way.message(device, device.request_of(LAPTOP, "a wrong challenge")), "old")
    event = world.last_event().draft
    assert event.reason_id == reasons.CHALLENGE_UNKNOWN.id
    assert "sha1" in str(event.details["message"])
    assert "des-ede3-cbc" in str(event.details["message"])
    world.send(way.message(device, b"no request at all"), "old")
    assert "sha1" in str(world.last_event().draft.details["message"])
    assert uses(world) == []


def test_a_legacy_endpoint_is_as_strict_about_everything_else(world: World) -> None:
    """KEY-1, ENV-6: a broken request signature, another exponent, a key that is too small: refused as everywhere."""
    device = WAYS["Cisco"].device(world)
    csr = device.request_of(LAPTOP, world.mint("laptop-1", endpoint="old"))
    broken = csr[:-1] + bytes((csr[-1] ^ 1,))
    assert fail_info(world.send(device.message(broken), "old")) is FailInfo.BAD_MESSAGE_CHECK
    assert world.last_event().draft.reason_id == reasons.POSSESSION_UNPROVEN.id
    small = Device(world, key=rsa.generate_private_key(3, 1024), endpoint="old")  # noqa: S505 - the fault itself
    assert fail_info(world.send(small.message(small.csr(LAPTOP, None)), "old")) is FailInfo.BAD_MESSAGE_CHECK
    assert world.last_event().draft.reason_id == reasons.SIGNER_KEY_REFUSED.id


def test_the_record_is_one_transaction_with_the_intent(world: World) -> None:
    """AUD-1, SIG-5: its event stands right before the intent's, under the transaction of the message."""
    way = WAYS["digest"]
    device = way.device(world)
    world.send(way.message(device, device.request_of(LAPTOP, world.mint("laptop-1", endpoint="old"))), "old")
    used, intent, issued = [event.draft for event in world.store.log[-3:]]
    assert [each.action for each in (used, intent, issued)] == [
        Action.LEGACY_USED,
        Action.CERTIFICATE_INTENT,
        Action.CERTIFICATE_ISSUED,
    ]
    assert used.transaction_id == intent.transaction_id == device.transaction.text
    assert used.object == "endpoint:old"
    assert hashlib.sha256(spki(device.key)).hexdigest() == intent.details["key_sha256"]
