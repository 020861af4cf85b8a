"""A captured request changed into a message whose content nobody signs: its challenge stays secret (ENV-3, ENV-4).

CBC lets an attacker choose the first block of a content that he knows, and change one block where he may spoil the one
before it. So he makes an IssuerAndSerialNumber or IssuerAndSubject of a captured PKCSReq, with the challenge inside a
value that nobody looks at and one octet of it in the place of the padding: were good padding told apart from bad, 256
messages would tell that octet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher as BlockCipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC

from attacks.forgery import message_of
from attacks.harness import attack, masked
from forge import REQUEST_NONCE
from regalia import reasons
from regalia.model import Authoriser
from regalia.ra.scep import CertRep
from regalia.wire import cms, der, oids
from regalia.wire.scep import MessageType, PkiStatus, Transaction, read_message
from world import Device, World, names, rsa_key

if TYPE_CHECKING:
    from attacks.harness import Attempt

_CONTENT_KEY = bytes(range(16))
"""What `Device.message` encrypts with; only to see that the forgeries are what they are meant to be."""
_OCTETS = 47
"""Of the forged content: three blocks less one octet of padding."""
_HEADS = {
    MessageType.GET_CERT: bytes.fromhex("302d3000022901"),
    MessageType.GET_CRL: bytes.fromhex("302d3000022901"),
    MessageType.CERT_POLL: bytes.fromhex("302d30003029312730250601290420"),
}
"""How a content of so many octets begins, up to the value that hides the rest."""


def xor(first: bytes, second: bytes) -> bytes:
    """Exclusive or of octets of one length."""
    return bytes(a ^ b for a, b in zip(first, second, strict=True))


class Capture:
    """A victim's PKCSReq, seen on the wire, and who saw it."""

    def __init__(self, world: World, endpoint: str, thief: Device) -> None:
        self.world, self.endpoint, self.thief = world, endpoint, thief
        victim = Device(world, endpoint=endpoint)
        secret = world.secrets[endpoint]
        self.csr = victim.csr(names("laptop-1"), secret)
        signed_data = read_message(victim.message(self.csr)).signed_data
        assert signed_data.content is not None
        self.envelope = signed_data.content
        sealed = cms.read_sealed_content(self.envelope)
        assert sealed.cipher.parameters is not None
        self.iv, octets = sealed.cipher.parameters.content, sealed.ciphertext
        self.blocks = [octets[at : at + 16] for at in range(0, len(octets), 16)]
        # The block in whose last octet there is one of the challenge's.
        self.target = (self.csr.index(secret.encode()) + 15) // 16
        self.octet = self.csr[self.target * 16 + 15]

    def forged(self, kind: MessageType, guess: int) -> bytes:
        """An envelope that opens well if the octet is the guess."""
        head, known = _HEADS[kind], self.csr[:16]
        iv = xor(xor(self.iv, known), head + known[len(head) :])
        before = xor(self.blocks[self.target - 1], bytes(15) + bytes((guess ^ 1,)))
        ciphertext = self.blocks[0] + before + self.blocks[self.target]
        decryptor = BlockCipher(AES(_CONTENT_KEY), CBC(iv)).decryptor()
        assert decryptor.update(ciphertext)[:_OCTETS].startswith(head)
        return self._with(iv, ciphertext)

    def _with(self, iv: bytes, ciphertext: bytes) -> bytes:
        """The captured envelope with another IV and another content."""
        oid, content = der.read_one(self.envelope).children()
        version, recipients, sealed = content.children()[0].children()
        of_type, algorithm, _ = sealed.children()
        cipher = der.sequence(algorithm.children()[0].raw, der.octet_string(iv))
        inner = der.sequence(of_type.raw, cipher, der.tlv(0x80, ciphertext))
        return der.sequence(oid.raw, der.context(0, der.sequence(version.raw, recipients.raw, inner)))

    def sent(self, kind: MessageType, guess: int) -> Attempt:
        """What the thief is told."""
        values = {
            oids.CONTENT_TYPE: der.oid(oids.ID_DATA),
            oids.MESSAGE_TYPE: der.printable_string(kind),
            oids.TRANSACTION_ID: self.thief.transaction.encoded,
            oids.SENDER_NONCE: der.octet_string(REQUEST_NONCE),
        }
        message = message_of(self.thief, b"", content=self.forged(kind, guess), values=values)
        return attack(self.world, message, endpoint=self.endpoint)


def told(attempt: Attempt) -> tuple[bytes, bool]:
    """The octets of an answer, and whether it waits."""
    assert isinstance(attempt.answer, CertRep)
    return masked(attempt), attempt.answer.opening_began is not None


@pytest.mark.parametrize("debug", [False, True], ids=["quiet", "debug"])
@pytest.mark.parametrize("kind", [MessageType.GET_CERT, MessageType.GET_CRL], ids=["GetCert", "GetCRL"])
def test_a_good_guess_of_a_challenges_octet_is_told_like_a_bad_one(kind: MessageType, debug: bool) -> None:  # noqa: FBT001 - a parameter
    """ENV-3, ENV-4, ENV-9: in octets, wait and count, whatever the administrator reads about it."""
    world = World()
    world.open_group("other", debug=debug)
    world.open_endpoint("static", Authoriser.STATIC, group="other")
    thief = Device(world, key=rsa_key(1), endpoint="static", transaction=Transaction(b"thief"))
    capture = Capture(world, "static", thief)
    good = capture.sent(kind, capture.octet)
    assert [event.reason_id for event in good.events] == [reasons.CERTIFICATE_UNKNOWN.id]
    bad = capture.sent(kind, capture.octet ^ 1)
    assert [event.reason_id for event in bad.events] == [reasons.DECRYPTION_FAILED.id]
    assert told(good) == told(bad)
    for _ in range(98):
        assert isinstance(capture.sent(kind, capture.octet).answer, CertRep)
    assert not isinstance(capture.sent(kind, capture.octet).answer, CertRep)  # the 101st of a minute


@pytest.mark.parametrize("own", [False, True], ids=["a stranger", "who waits himself"])
def test_a_poll_tells_nothing_of_what_is_inside(own: bool) -> None:  # noqa: FBT001 - a parameter
    """ENV-3, MSG-3: with a conversation of his own, a poll around a captured content is PENDING all the same."""
    world = World()
    world.open_endpoint("queue", Authoriser.APPROVAL)
    thief = Device(world, key=rsa_key(1), endpoint="queue", transaction=Transaction(b"thief"))
    if own:
        assert thief.enrol(names("laptop-2"), world.secrets["queue"]).status is PkiStatus.PENDING
    capture = Capture(world, "queue", thief)
    good, bad = (capture.sent(MessageType.CERT_POLL, capture.octet ^ change) for change in (0, 1))
    assert good.told[0] is (PkiStatus.PENDING if own else PkiStatus.FAILURE)
    assert told(good) == told(bad)
