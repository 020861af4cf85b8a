"""Lists of blocked keys: how they are read, and that what is on one is certified for nobody."""

from __future__ import annotations

import hashlib
import io
import time

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from regalia import reasons
from regalia.ca.blocklist import ListFormat, blocked_by, import_blocklist, key_digest, remove_blocklist
from regalia.errors import AdminError
from regalia.model import Action
from regalia.ports import Blocklist, KeyHash
from small_ca import ec_spki
from world import ADMIN, Device, World, names, rsa_key, spki

RSA = spki(rsa_key(0))


def _raw(key: ed25519.Ed25519PublicKey | mldsa.MLDSA44PublicKey) -> tuple[bytes, bytes]:
    """Return a key as SubjectPublicKeyInfo and as its bare octets."""
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo), key.public_bytes(
        Encoding.Raw, PublicFormat.Raw
    )


def hex_list(*keys: bytes) -> bytes:
    """Write a list of lines."""
    lines = [f"{hashlib.sha256(key).hexdigest()}  key-{number}.pem" for number, key in enumerate(keys)]
    return ("# leaked\n\n" + "\n".join(lines) + "\n").encode()


def number_of(key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey) -> bytes:
    """Return what badkeys hashes of a key, by the library's own numbers."""
    number = key.public_numbers().n if isinstance(key, rsa.RSAPublicKey) else key.public_numbers().x
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def badkeys_list(*numbers: bytes) -> bytes:
    """Write a blocklist.dat: sorted blocks of 15 octets of a hash and one of its origin."""
    return b"".join(sorted(hashlib.sha256(number).digest()[:15] + b"\x03" for number in numbers))


def put(world: World, octets: bytes, form: ListFormat = ListFormat.HEX, name: str = "leaked") -> Blocklist:
    """Import a list."""
    return import_blocklist(
        world.store, world.clock, world.entropy, name=name, file=io.BytesIO(octets), form=form, actor=ADMIN
    )


def test_key2_a_listed_key_is_found_by_its_public_key_info() -> None:
    """KEY-2: a key whose SHA-256 stands in a list of lines is on it, and no other one is."""
    world = World()
    assert put(world, hex_list(RSA, ec_spki())).keys == 2
    assert blocked_by(world.store, RSA) == "leaked"
    assert blocked_by(world.store, ec_spki()) is None


@pytest.mark.parametrize("kind", ["rsa", "ec"])
def test_key2_a_badkeys_list_knows_keys_by_their_number(kind: str) -> None:
    """KEY-2: badkeys hashes the modulus of an RSA key and the x coordinate of a point."""
    world = World()
    key = (rsa_key(0) if kind == "rsa" else ec.generate_private_key(ec.SECP256R1())).public_key()
    encoded = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    put(world, badkeys_list(number_of(key), b"other", b"another"), ListFormat.BADKEYS, "debian")
    assert blocked_by(world.store, encoded) == "debian"
    assert blocked_by(world.store, spki(rsa_key(1))) is None


def test_key2_a_badkeys_list_knows_keys_that_only_sign() -> None:
    """KEY-2: of Ed25519 and ML-DSA keys badkeys hashes the octets."""
    for encoded, raw in (
        _raw(ed25519.Ed25519PrivateKey.generate().public_key()),
        _raw(mldsa.MLDSA44PrivateKey.generate().public_key()),
    ):
        stripped = raw.lstrip(b"\0") if len(raw) == 32 else raw
        assert key_digest(encoded, KeyHash.NUMBER) == hashlib.sha256(stripped).digest()
    assert key_digest(b"\x30\x00", KeyHash.NUMBER) is None


@pytest.mark.parametrize(
    ("octets", "form", "told"),
    [
        (b"", ListFormat.HEX, "no key"),
        (b"# nothing\n", ListFormat.HEX, "no key"),
        (b"abc\n", ListFormat.HEX, "line 1"),
        (hashlib.sha1(b"").hexdigest().encode(), ListFormat.HEX, "line 1"),  # noqa: S324 - what is refused
        (bytes(17), ListFormat.BADKEYS, "16 octets"),
        (b"\2" * 16 + b"\1" * 16, ListFormat.BADKEYS, "ascending"),
    ],
)
def test_what_is_no_list_is_refused(octets: bytes, form: ListFormat, told: str) -> None:
    """A file that is empty, of another format or damaged is not imported, and the message says why."""
    world = World()
    with pytest.raises(AdminError, match=told) as caught:
        put(world, octets, form)
    assert caught.value.reason is reasons.BLOCKLIST_REFUSED
    assert world.store.blocklists() == ()


def test_a_list_name_is_a_name() -> None:
    """A list is named as everything else is."""
    with pytest.raises(AdminError) as caught:
        put(World(), hex_list(RSA), name="Leaked keys")
    assert caught.value.reason is reasons.NAME_REFUSED


def test_a_list_takes_the_place_of_the_one_of_its_name() -> None:
    """An import replaces: what only the former list held is free again."""
    world = World()
    put(world, hex_list(RSA))
    put(world, hex_list(ec_spki()))
    assert blocked_by(world.store, RSA) is None
    assert [each.keys for each in world.store.blocklists()] == [1]


def test_aud1_import_and_removal_are_events() -> None:
    """AUD-1: who imported which file, and who removed a list, is on record; the removal is a security event."""
    world = World()
    octets = hex_list(RSA)
    put(world, octets)
    told = world.last_event().draft
    assert (told.action, told.actor, told.object) == (Action.BLOCKLIST_IMPORTED, ADMIN, "blocklist:leaked")
    assert told.details["source_sha256"] == hashlib.sha256(octets).hexdigest()
    remove_blocklist(world.store, world.clock, name="leaked", actor=ADMIN)
    assert (world.last_event().draft.action, world.last_event().draft.security) == (Action.BLOCKLIST_REMOVED, True)
    with pytest.raises(AdminError) as caught:
        remove_blocklist(world.store, world.clock, name="leaked", actor=ADMIN)
    assert caught.value.reason is reasons.NOT_FOUND


def test_key2_a_device_with_a_listed_key_is_refused() -> None:
    """KEY-2: the request of a device whose key is on a list is refused, and is a security event that names the list."""
    world = World()
    device = Device(world)
    put(world, hex_list(device.public_key()))
    assert device.enrol(names("laptop-1"), world.mint("laptop-1")).certificates == ()
    told = world.last_event().draft
    assert (told.reason_id, told.security, told.details["blocklist"]) == (reasons.KEY_BLOCKED.id, True, "leaked")


def test_key2_a_listed_key_does_not_renew() -> None:
    """KEY-2: a key that was put on a list after it was certified gets no further certificate."""
    world = World()
    device = Device(world)
    device.enrol(names("laptop-1"), world.mint("laptop-1"))
    put(world, hex_list(device.public_key()))
    renewal = device.fresh("transaction-2")
    assert renewal.enrol(names("laptop-1"), None, "17").certificates == ()
    assert world.last_event().draft.reason_id == reasons.KEY_BLOCKED.id


def test_key2_a_listeners_key_is_certified_for_nobody() -> None:
    """KEY-2: the key of our own listener is the CA's own, whoever asks with it."""
    world = World()
    device = Device(world)
    world.store.add_own_key(hashlib.sha256(device.public_key()).digest(), "admin listener", world.clock.now())
    assert device.enrol(names("laptop-1"), world.mint("laptop-1")).certificates == ()


def test_hashing_a_key_takes_microseconds() -> None:
    """KEY-2: what an enrolment pays to have its key looked up in memory stays below 20 µs at the median."""
    world = World()
    put(world, hex_list(ec_spki()))
    put(world, badkeys_list(b"number"), ListFormat.BADKEYS, "debian")
    taken = []
    for _ in range(200):
        began = time.thread_time_ns()
        blocked_by(world.store, RSA)
        taken.append(time.thread_time_ns() - began)
    assert sorted(taken)[100] < 60_000, sorted(taken)[100]
