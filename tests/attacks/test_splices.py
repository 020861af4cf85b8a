"""Parts of two messages put together: envelopes, signatures and requests that do not belong to each other."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from attacks.forgery import csr_of, message_of, request_of, seal
from attacks.harness import Target, refused, rightful
from forge import envelope, signed
from regalia import reasons
from regalia.wire import der, oids
from regalia.wire.algorithms import Digest
from regalia.wire.scep import Transaction
from scep_parts import attribute
from world import Device, names, rsa_key


def victim_and_thief(world: Target) -> tuple[Device, Device, str]:
    """A device with a challenge, and somebody who sees its messages."""
    secret = world.mint("laptop-1")
    return Device(world), Device(world, key=rsa_key(1), transaction=Transaction(b"thief")), secret


@pytest.mark.parametrize("transaction", ["his own", "the victim's"])
def test_a_captured_envelope_resigned_by_another_is_refused(world: Target, transaction: str) -> None:
    """SIG-6: whoever captured an envelope signs it with his own key to have the certificate sealed for himself."""
    victim, thief, secret = victim_and_thief(world)
    thief.transaction = thief.transaction if transaction == "his own" else victim.transaction
    captured = envelope(victim, victim.csr(names("laptop-1"), secret))
    refused(world, signed(thief, captured), reasons.KEY_NOT_BOUND, security=True)
    rightful(world, secret)


def test_a_request_for_his_key_under_the_victims_signer_is_refused(world: Target) -> None:
    """SIG-6, ENV-6: the thief's request in an envelope, the victim's certificate beside it, signed by the thief."""
    victim, thief, secret = victim_and_thief(world)
    content = envelope(thief, thief.csr(names("laptop-1"), secret))
    refused(world, signed(thief, content, certificate=victim.self_signed()), reasons.SIGNATURE_INVALID)
    rightful(world, secret)


def test_a_request_for_the_victims_key_brings_the_thief_nothing(world: Target) -> None:
    """SIG-6: a request that the thief took from elsewhere (a CSR is public) and signed the message around himself."""
    victim, thief, secret = victim_and_thief(world)
    message = signed(thief, envelope(thief, victim.csr(names("laptop-1"), secret)))
    refused(world, message, reasons.KEY_NOT_BOUND, security=True)
    rightful(world, secret)


def test_a_public_key_without_its_private_key_is_refused(world: Target) -> None:
    """ENV-6: the victim's public key in a request that the thief signed; micromdm issued on such a signature."""
    victim, thief, secret = victim_and_thief(world)
    csr = csr_of(thief, challenge=secret, public_key=victim.public_key())
    live = Device(world, key=rsa_key(1), transaction=Transaction(b"other"))
    live.enrol(names("laptop-2"), world.mint("laptop-2"))
    refused(world, live.message(csr), reasons.POSSESSION_UNPROVEN)
    refused(world, signed(victim, envelope(victim, csr)), reasons.POSSESSION_UNPROVEN)
    rightful(world, secret)


def test_a_swapped_envelope_under_the_old_signature_is_refused(world: Target) -> None:
    """SIG-1, SIG-2: messageDigest binds the content: another envelope of the same length under the same signature."""
    victim, thief, secret = victim_and_thief(world)
    csr, other = csr_of(victim, challenge=secret), csr_of(thief, challenge=secret)
    first, second = envelope(victim, csr), envelope(thief, other)
    assert len(first) == len(second)
    refused(world, signed(victim, first).replace(first, second), reasons.DIGEST_MISMATCH)
    rightful(world, secret)


@pytest.mark.parametrize("claim", [b"", bytes(32), "of the attributes", "of the envelope's content", "cut", "sha1"])
def test_a_message_digest_of_something_else_is_refused(world: Target, claim: bytes | str) -> None:
    """SIG-1, IN-4: a valid signature over a messageDigest that is not the content's binds nothing to it."""
    victim, _, secret = victim_and_thief(world)
    content = envelope(victim, victim.csr(names("laptop-1"), secret))
    claims = {
        "of the attributes": Digest.SHA256.of(b"attributes"),
        "of the envelope's content": Digest.SHA256.of(der.read_one(content).content),
        "cut": Digest.SHA256.of(content)[:31],
        "sha1": Digest.SHA1.of(content),
    }
    digest = claims[claim] if isinstance(claim, str) else claim
    message = message_of(victim, b"", content=content, message_digest=digest)
    refused(world, message, reasons.DIGEST_MISMATCH)
    rightful(world, secret)


def test_the_signed_attributes_of_one_message_fit_no_other_content(world: Target) -> None:
    """SIG-2: eprint 2023/1801: attributes presented as content, the signature once made over them kept, none sent."""
    victim, _, secret = victim_and_thief(world)
    good = request_of(victim, victim.csr(names("laptop-1"), secret))
    raw = der.read_one(good.build()).children()[1].children()[0].children()
    signer = raw[4].children()[0].children()
    signed_attributes = b"\x31" + signer[3].raw[1:]
    stripped = der.sequence(signer[0].raw, signer[1].raw, signer[2].raw, signer[4].raw, signer[5].raw)
    forged = der.sequence(
        raw[0].raw,
        raw[1].raw,
        der.sequence(der.oid(oids.ID_DATA), der.context(0, der.octet_string(signed_attributes))),
        raw[3].raw,
        der.tlv(der.SET, stripped),
    )
    message = der.sequence(der.oid(oids.ID_SIGNED_DATA), der.context(0, forged))
    # The envelope's algorithms are judged in clear before the attributes, and there is no transactionID to answer to.
    refused(world, message, reasons.ENVELOPE_STRUCTURE_REFUSED, unreadable=True)
    rightful(world, secret)


def test_a_signature_directly_over_the_content_is_refused(world: Target) -> None:
    """SIG-2: signedAttrs are mandatory: a right signature over the bare envelope is no signature here."""
    victim, _, secret = victim_and_thief(world)
    message = message_of(victim, victim.csr(names("laptop-1"), secret), signed_as="content")
    refused(world, message, reasons.ATTRIBUTES_REFUSED, unreadable=True)
    rightful(world, secret)


def test_a_signature_over_the_content_beside_attributes_is_refused(world: Target) -> None:
    """SIG-2: the same signature with attributes sent beside it covers none of them."""
    victim, _, secret = victim_and_thief(world)
    content = envelope(victim, victim.csr(names("laptop-1"), secret))
    message = message_of(victim, b"", content=content, signature=victim.sign(content))
    refused(world, message, reasons.SIGNATURE_INVALID)
    rightful(world, secret)


@pytest.mark.parametrize("tag", [0xA0, 0x30], ids=["as sent", "as a SEQUENCE"])
def test_a_signature_over_attributes_under_another_tag_is_refused(world: Target, tag: int) -> None:
    """SIG-2: the signature covers the SET OF form (RFC 5652 §5.4) and no other reading of the same octets."""
    victim, _, secret = victim_and_thief(world)
    good = request_of(victim, victim.csr(names("laptop-1"), secret))
    info = der.read_one(good.build()).children()[1].children()[0].children()[4].children()[0].children()
    good.signature = victim.sign(bytes((tag,)) + info[3].raw[1:])
    refused(world, good.build(), reasons.SIGNATURE_INVALID)
    rightful(world, secret)


def test_two_captured_messages_do_not_make_a_third(world: Target) -> None:
    """SIG-1: the SignerInfo of one message of the victim over the envelope of another one of his."""
    victim, _, secret = victim_and_thief(world)
    csr = victim.csr(names("laptop-1"), secret)
    one = message_of(victim, csr)
    two = message_of(victim, b"", content=seal(victim, csr, content_key=bytes(range(32))))
    parts, other = (der.read_one(m).children()[1].children()[0].children() for m in (one, two))
    spliced = der.sequence(parts[0].raw, parts[1].raw, other[2].raw, parts[3].raw, parts[4].raw)
    message = der.sequence(der.oid(oids.ID_SIGNED_DATA), der.context(0, spliced))
    refused(world, message, reasons.DIGEST_MISMATCH)
    rightful(world, secret)


@pytest.mark.parametrize("signature", [b"\x00" * 256, b"\x00" * 255 + b"\x01", b"\xff" * 256, b"", b"\x00"])
def test_signatures_that_are_numbers_at_the_edge_are_refused(world: Target, signature: bytes) -> None:
    """SIG-1, IN-4: 0, 1, more than the modulus, and none at all."""
    victim, _, secret = victim_and_thief(world)
    message = message_of(victim, victim.csr(names("laptop-1"), secret), signature=signature)
    refused(world, message, reasons.SIGNATURE_INVALID)
    rightful(world, secret)


def test_a_signature_of_another_padding_is_refused(world: Target) -> None:
    """R1: PSS under the name of PKCS #1 v1.5 verifies nowhere."""
    victim, _, secret = victim_and_thief(world)
    good = request_of(victim, victim.csr(names("laptop-1"), secret))
    info = der.read_one(good.build()).children()[1].children()[0].children()[4].children()[0].children()
    good.signature = victim.key.sign(
        b"\x31" + info[3].raw[1:], padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256()
    )
    refused(world, good.build(), reasons.SIGNATURE_INVALID)
    rightful(world, secret)


def test_an_envelope_for_another_group_is_not_opened_with_its_key(world: Target) -> None:
    """ENV-8: a message captured at one group's door and signed anew opens at no other group's."""
    world.open_group("staff")
    victim, thief, secret = victim_and_thief(world)
    thief.endpoint = "staff"
    captured = envelope(victim, victim.csr(names("laptop-1"), secret))
    refused(world, signed(thief, captured), reasons.RECIPIENT_UNKNOWN, endpoint="staff")
    rightful(world, secret)


def test_attributes_that_name_another_envelope_twice_are_refused(world: Target) -> None:
    """SIG-2, POL-4: two messageDigests, one of them right, bind nothing."""
    victim, _, secret = victim_and_thief(world)
    second = attribute(oids.MESSAGE_DIGEST, der.octet_string(bytes(32)))
    message = message_of(victim, victim.csr(names("laptop-1"), secret), extra_attributes=[second])
    refused(world, message, reasons.ATTRIBUTES_REFUSED, unreadable=True)
    rightful(world, secret)
