"""Keys whose private half strangers have (KEY-2): reading lists of them, and asking whether a key is on one.

Two formats are read: lines of SHA-256 over the SubjectPublicKeyInfo, in hex, as anybody can make with `openssl`; and
the file blocklist.dat of the badkeys project, which knows the keys of Debian's weak generator, of firmware, of books.
"""

from __future__ import annotations

import hashlib
import re
import sys
from array import array
from enum import StrEnum
from itertools import pairwise
from typing import TYPE_CHECKING, BinaryIO, Final, NamedTuple

from regalia import reasons
from regalia.errors import AdminError
from regalia.model import Action, EventDraft, Outcome, new_id
from regalia.ports import BLOCKED_OCTETS, Blocklist, KeyHash
from regalia.wire import der, oids
from regalia.wire.public_key import key_algorithm, key_bits

if TYPE_CHECKING:
    from collections.abc import Iterator

    from regalia.model import Actor
    from regalia.ports import Blocklists, Clock, Entropy

__all__ = ["MOST_KEYS", "ListFormat", "blocked_by", "import_blocklist", "key_digest", "remove_blocklist"]

MOST_KEYS: Final = 10_000_000
"""Keys of one list: 80 MB in each process that has looked at all of it."""
_PIECE_KEYS: Final = 4_096
_BADKEYS_BLOCK: Final = 16
"""Octets: 15 of a SHA-256 and one that tells where the key is from."""
_HEX: Final = re.compile(rb"[0-9A-Fa-f]{64}")
_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,39}")
_NUMBERS: Final = "Q"


class ListFormat(StrEnum):
    """How a list is written."""

    HEX = "hex-sha256-spki"
    BADKEYS = "badkeys"


_HASHED: Final = {ListFormat.HEX: KeyHash.SPKI, ListFormat.BADKEYS: KeyHash.NUMBER}


# --- asking ---------------------------------------------------------------------------------------------------------


def blocked_by(lists: Blocklists, public_key: bytes) -> str | None:
    """Name a list that holds this DER SubjectPublicKeyInfo; None where none does."""
    for blocklist in lists.blocklists():
        digest = key_digest(public_key, blocklist.hashed)
        if digest is not None and lists.is_listed(blocklist, digest):
            return blocklist.name
    return None


def key_digest(public_key: bytes, hashed: KeyHash) -> bytes | None:
    """Hash a key as a list does; None for a type of key that such lists do not know."""
    if hashed is KeyHash.SPKI:
        return hashlib.sha256(public_key).digest()
    try:
        number = _number(public_key)
    except der.DerError:
        return None
    return hashlib.sha256(number).digest() if number is not None else None


def _number(public_key: bytes) -> bytes | None:
    bits, algorithm = key_bits(public_key), key_algorithm(public_key).oid
    if algorithm == oids.RSA_ENCRYPTION:
        modulus = der.read_one(bits, der.SEQUENCE).children()[0].expect(der.INTEGER)
        return modulus.content.lstrip(b"\0")
    if algorithm == oids.EC_PUBLIC_KEY and bits[:1] == b"\x04":
        return bits[1 : 1 + len(bits) // 2].lstrip(b"\0")
    if algorithm == oids.ED25519:
        return bits.lstrip(b"\0")
    # ML-DSA: the key's octets as they are.
    return bits if algorithm in (oids.ML_DSA_44, oids.ML_DSA_65, oids.ML_DSA_87) else None


# --- importing ------------------------------------------------------------------------------------------------------


class _Source(NamedTuple):
    """What a file holds."""

    hashes: array[int]
    """Ascending, each once."""
    sha256: bytes


def import_blocklist(
    lists: Blocklists,
    clock: Clock,
    entropy: Entropy,
    *,
    name: str,
    file: BinaryIO,
    form: ListFormat,
    actor: Actor,
) -> Blocklist:
    """Keep a list, in place of the one of its name; it counts at once, on every node.

    Raises `AdminError`: ADM-005 for the name, ADM-046 where the file is not of this format, holds nothing or too much.
    """
    if not _NAME.fullmatch(name):
        raise AdminError(reasons.NAME_REFUSED, repr(name))
    source = _read_badkeys(file) if form is ListFormat.BADKEYS else _read_hex(file)
    if not source.hashes:
        raise _refused("it holds no key")
    now = clock.now()
    blocklist = Blocklist(
        id=new_id(now, entropy.octets(10)),
        name=name,
        hashed=_HASHED[form],
        keys=len(source.hashes),
        source_sha256=source.sha256,
        imported_at=now,
        imported_by=f"{actor.kind} {actor.id}",
    )
    event = EventDraft(
        now,
        actor,
        Action.BLOCKLIST_IMPORTED,
        f"blocklist:{name}",
        Outcome.OK,
        details={"keys": blocklist.keys, "format": form.value, "source_sha256": source.sha256.hex()},
    )
    lists.put_blocklist(blocklist, list(_pieces(source.hashes)), (event,))
    return blocklist


def remove_blocklist(lists: Blocklists, clock: Clock, *, name: str, actor: Actor) -> None:
    """Forget a list. Raises `AdminError` ADM-004 where there is none."""
    event = EventDraft(clock.now(), actor, Action.BLOCKLIST_REMOVED, f"blocklist:{name}", Outcome.OK, security=True)
    if not lists.remove_blocklist(name, (event,)):
        raise AdminError(reasons.NOT_FOUND, f"blocklist {name}")


def _refused(detail: str) -> AdminError:
    return AdminError(reasons.BLOCKLIST_REFUSED, detail)


def _read_hex(file: BinaryIO) -> _Source:
    """Read a hash a line; what follows it on its line, and lines that begin with #, are for people."""
    digest, hashes = hashlib.sha256(), array(_NUMBERS)
    for number, line in enumerate(file, 1):
        digest.update(line)
        words = line.split(maxsplit=1)
        if not words or words[0].startswith(b"#"):
            continue
        if not _HEX.fullmatch(words[0]):
            raise _refused(f"line {number} does not begin with the 64 hexadecimal digits of a SHA-256")
        hashes.append(int(words[0][: 2 * BLOCKED_OCTETS], 16))
        if len(hashes) > MOST_KEYS:
            raise _refused(f"it holds more than {MOST_KEYS} keys")
    return _Source(array(_NUMBERS, sorted(set(hashes))), digest.digest())


def _read_badkeys(file: BinaryIO) -> _Source:
    octets = file.read(MOST_KEYS * _BADKEYS_BLOCK + 1)
    if len(octets) > MOST_KEYS * _BADKEYS_BLOCK:
        raise _refused(f"it holds more than {MOST_KEYS} keys")
    if len(octets) % _BADKEYS_BLOCK:
        raise _refused("its size is no multiple of 16 octets: blocklist.dat is the file after it was unpacked")
    # The first half of each block is what is kept of a hash.
    hashes = _swapped(array(_NUMBERS, octets)[::2])
    if any(before > after for before, after in pairwise(hashes)):
        raise _refused("its blocks are not in ascending order, which those of a blocklist.dat are")
    return _Source(array(_NUMBERS, dict.fromkeys(hashes)), hashlib.sha256(octets).digest())


def _pieces(hashes: array[int]) -> Iterator[bytes]:
    for start in range(0, len(hashes), _PIECE_KEYS):
        yield _swapped(hashes[start : start + _PIECE_KEYS]).tobytes()


def _swapped(numbers: array[int]) -> array[int]:
    if sys.byteorder == "little":
        numbers.byteswap()
    return numbers
