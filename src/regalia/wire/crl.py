"""Certificate revocation lists (RFC 5280 §5), written and read as streams: a list of a million entries fits.

The writer needs to know how long the entries are before it can write the first octet, so entries are encoded into a
spool file first. The reader verifies what was written without holding it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from cryptography.hazmat.primitives.serialization import load_der_public_key

from regalia.model import RevocationReason, RevokedEntry
from regalia.wire import der, oids
from regalia.wire.certificate import (
    Extension,
    SignatureAlgorithm,
    authority_key_identifier,
    encode_extensions,
    read_authority_key_identifier,
    read_extensions,
    read_time,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

__all__ = [
    "REMOVE_FROM_CRL",
    "CrlFacts",
    "Tally",
    "begins_list_of",
    "certificate_list_chunks",
    "counted",
    "delta_crl_indicator",
    "encode_entry",
    "find_entry",
    "issuing_distribution_point",
    "read_crl",
    "tbs_chunks",
    "verify_crl_signature",
]

REMOVE_FROM_CRL: Final = 8
"""CRLReason of an entry that takes another one back; delta CRLs alone have it (RFC 5280 §5.3.1)."""

_SECONDS_OF_DAY: Final = 86_400
_DAYS_REMEMBERED: Final = 1000
_ENUMERATED: Final = 0x0A
_SHORTEST_ENTRY: Final = 18
"""Octets of a serial below 128 and a UTCTime."""
_MAX_SERIAL_OCTETS: Final = 20
_LONGEST_ENTRY: Final = 64
"""Octets that no entry of ours has more of."""
_VERSION_2: Final = der.integer(1)


class Tally:
    """Counts and hashes entries, so that a list written and a list read can be compared without keeping either."""

    def __init__(self) -> None:
        self.count = 0
        self._hash = hashlib.sha256()

    def add(self, entries: Sequence[bytes], octets: bytes) -> None:
        """Add entries, which are `octets` put together."""
        self.count += len(entries)
        self._hash.update(octets)

    @property
    def sha256(self) -> bytes:
        """Hash of all entries in order."""
        return self._hash.digest()


# --- writing --------------------------------------------------------------------------------------------------------
#
# An entry is written when its certificate is revoked, and stored; a list is made by putting entries together.


@lru_cache(maxsize=16)
def _reason_extension(reason: int) -> bytes:
    """Encode crlEntryExtensions with the reason; nothing for unspecified (RFC 5280 §5.3.1)."""
    if reason == RevocationReason.UNSPECIFIED:
        return b""
    value = der.tlv(_ENUMERATED, bytes((reason,)))
    return encode_extensions([Extension(oids.CE_CRL_REASON, critical=False, value=value)])


@lru_cache(maxsize=_DAYS_REMEMBERED)
def _day(day: int) -> bytes:
    """Encode a Time of a day, counted since 1970, up to its hours."""
    midnight = der.time(datetime.fromtimestamp(day * _SECONDS_OF_DAY, UTC))
    return midnight[:-7]


def _time(at: int) -> bytes:
    """Encode a Time as `der.time` does, in a fraction of the time: milliseconds are cut off (RFC 5280 §5.1.2.6)."""
    day, seconds = divmod(at // 1000, _SECONDS_OF_DAY)
    return b"%b%02d%02d%02dZ" % (_day(day), seconds // 3600, seconds // 60 % 60, seconds % 60)


def _serial(octets: bytes) -> bytes:
    """Encode the DER INTEGER of a serial that is given big-endian."""
    short = octets.lstrip(b"\x00")
    if short[0] & 0x80:
        short = b"\x00" + short
    return b"\x02%c%b" % (len(short), short)


def encode_entry(entry: RevokedEntry) -> bytes:
    """Encode one entry of revokedCertificates. A reason of 8 is removeFromCRL, which delta CRLs alone may say."""
    serial, at, reason = entry
    content = _serial(serial) + _time(at) + _reason_extension(reason)
    return b"\x30%c%b" % (len(content), content)


def counted(pages: Iterable[Sequence[bytes]], tally: Tally) -> Iterator[bytes]:
    """Put the entries of each page together, counting them into `tally`."""
    for page in pages:
        octets = b"".join(page)
        tally.add(page, octets)
        yield octets


def issuing_distribution_point(url: str, *, users_only: bool) -> Extension:
    """Build a critical IssuingDistributionPoint with one fullName URI (RFC 5280 §5.2.5).

    `users_only`: the list tells of end entities' certificates alone.
    """
    name = der.context(0, der.context(0, der.context(6, url.encode("ascii"), constructed=False)))
    users = der.context(1, b"\xff", constructed=False) if users_only else b""
    return Extension(oids.CE_ISSUING_DISTRIBUTION_POINT, critical=True, value=der.sequence(name, users))


def delta_crl_indicator(base: int) -> Extension:
    """Build a critical DeltaCRLIndicator: the number of the CRL that it begins from (RFC 5280 §5.2.4)."""
    return Extension(oids.CE_DELTA_CRL_INDICATOR, critical=True, value=der.integer(base))


def tbs_chunks(
    *,
    issuer: bytes,
    algorithm: SignatureAlgorithm,
    this_update: datetime,
    next_update: datetime,
    number: int,
    authority_key: bytes,
    entries_length: int,
    entries: Iterable[bytes],
    more: Sequence[Extension] = (),
) -> Iterator[bytes]:
    """Stream a TBSCertList of version 2, with `more` extensions behind key and number.

    `issuer` is the authority's DER Name, `authority_key` its SubjectKeyIdentifier, `entries_length` the octets that
    `entries` will yield in all. Without entries revokedCertificates is absent (RFC 5280 §5.1.2.6).
    """
    head = b"".join((_VERSION_2, algorithm.identifier, issuer, der.time(this_update), der.time(next_update)))
    if entries_length:
        head += bytes((der.SEQUENCE,)) + der.length_octets(entries_length)
    extensions = (
        authority_key_identifier(authority_key),
        Extension(oids.CE_CRL_NUMBER, critical=False, value=der.integer(number)),
        *more,
    )
    tail = der.context(0, encode_extensions(extensions))
    yield bytes((der.SEQUENCE,)) + der.length_octets(len(head) + entries_length + len(tail)) + head
    yield from entries
    yield tail


def begins_list_of(head: bytes, issuer: bytes, algorithm: SignatureAlgorithm) -> bool:
    """Tell whether octets are the beginning of a TBSCertList of this issuer, as `tbs_chunks` writes it."""
    long = len(head) > 1 and head[1] & 0x80
    content = 2 + (head[1] & 0x7F if long else 0)
    return head[:1] == bytes((der.SEQUENCE,)) and head.startswith(_VERSION_2 + algorithm.identifier + issuer, content)


def certificate_list_chunks(
    tbs_length: int, tbs: Iterable[bytes], algorithm: SignatureAlgorithm, signature: bytes
) -> Iterator[bytes]:
    """Stream the CertificateList: a TBSCertList of `tbs_length` octets, the algorithm and the signature."""
    tail = algorithm.identifier + der.bit_string(signature)
    yield bytes((der.SEQUENCE,)) + der.length_octets(tbs_length + len(tail))
    yield from tbs
    yield tail


# --- reading --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CrlFacts:
    """What a CRL says, and what is needed to verify it."""

    algorithm: SignatureAlgorithm
    issuer: bytes
    """DER Name."""
    this_update: datetime
    next_update: datetime
    number: int
    authority_key: bytes | None
    more: tuple[Extension, ...]
    """The extensions behind key and number."""
    entries: int
    entries_sha256: bytes
    """`Tally.sha256` over the entries."""
    tbs_digest: bytes
    """Digest of the TBSCertList by the signature's own digest algorithm."""
    signature: bytes
    octets: int


def verify_crl_signature(facts: CrlFacts, public_key: bytes) -> bool:
    """Tell whether the signature over the digest that was read verifies with a DER SubjectPublicKeyInfo."""
    prehashed = utils.Prehashed(facts.algorithm.hash)
    try:
        key = load_der_public_key(public_key)
        if facts.algorithm.is_rsa and isinstance(key, rsa.RSAPublicKey):
            key.verify(facts.signature, facts.tbs_digest, padding.PKCS1v15(), prehashed)
        elif not facts.algorithm.is_rsa and isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(facts.signature, facts.tbs_digest, ec.ECDSA(prehashed))
        else:
            return False
    except (InvalidSignature, UnsupportedAlgorithm, ValueError):
        return False
    return True


def read_crl(chunks: Iterable[bytes], algorithm: SignatureAlgorithm) -> CrlFacts:
    """Read a CRL of ours as a stream, signed with `algorithm`. Raises `DerError` for what we would not write."""
    source = _Source(chunks)
    outer_end = source.enter(der.SEQUENCE)
    source.hash_with(algorithm.digest)
    tbs_end = source.enter(der.SEQUENCE)
    if source.element(der.INTEGER).raw != _VERSION_2 or source.element(der.SEQUENCE).raw != algorithm.identifier:
        raise der.DerError("not a version 2 CRL by the expected algorithm")
    issuer = source.element(der.SEQUENCE).raw
    this_update, next_update = read_time(source.element()), read_time(source.element())
    tally = Tally()
    if source.peek() == der.SEQUENCE:
        _read_entries(source, tally)
    number, authority_key, more = _read_crl_extensions(source.element(0xA0))
    if source.position != tbs_end:
        raise der.DerError("TBSCertList holds something else")
    digest = source.digest()
    if source.element(der.SEQUENCE).raw != algorithm.identifier:
        raise der.DerError("the signature algorithm differs inside and outside")
    signature = source.element(der.BIT_STRING).content
    if source.position != outer_end or source.peek() is not None or signature[:1] != b"\x00":
        raise der.DerError("CertificateList holds something else")
    return CrlFacts(
        algorithm=algorithm,
        issuer=issuer,
        this_update=this_update,
        next_update=next_update,
        number=number,
        authority_key=authority_key,
        more=more,
        entries=tally.count,
        entries_sha256=tally.sha256,
        tbs_digest=digest,
        signature=signature[1:],
        octets=source.position,
    )


def find_entry(chunks: Iterable[bytes], serial: int) -> RevokedEntry | None:
    """Find what a CRL of ours says about a serial; None: nothing.

    Searches for the serial's octets, so that of a long list no other entry is read.
    """
    wanted = _serial(serial.to_bytes(_MAX_SERIAL_OCTETS + 1, "big"))
    rest = b""
    for chunk in chunks:
        data = rest + chunk
        at = data.find(wanted, 2)
        while at >= 0:
            found = _entry_at(data, at - 2, wanted)
            if found is not None:
                return found
            at = data.find(wanted, at + 1)
        # An entry may go on in the next chunk.
        rest = data[-_LONGEST_ENTRY:]
    return None


def _entry_at(data: bytes, start: int, serial: bytes) -> RevokedEntry | None:
    """Read the entry that begins here; None where the octets of its serial stand here as something else, or are cut."""
    try:
        fields = der.read_at(data, start)[0].expect(der.SEQUENCE).children()
        if len(fields) not in (2, 3) or fields[0].raw != serial:
            return None
        at = int(read_time(fields[1]).timestamp()) * 1000
        extensions = read_extensions(fields[2]) if len(fields) > 2 else ()
        reasons = [
            der.read_one(each.value, _ENUMERATED).content for each in extensions if each.oid == oids.CE_CRL_REASON
        ]
    except der.DerError:
        return None
    reason = reasons[0][0] if reasons and reasons[0] else int(RevocationReason.UNSPECIFIED)
    return RevokedEntry(fields[0].content, at, reason)


def _read_entries(source: _Source, tally: Tally) -> None:
    end = source.enter(der.SEQUENCE)
    if source.position == end:
        raise der.DerError("revokedCertificates is present and empty")
    while source.position < end:
        tally.add(*source.sequences(end))
    if source.position != end:
        raise der.DerError("an entry reaches beyond revokedCertificates")


_MORE: Final = (oids.CE_DELTA_CRL_INDICATOR, oids.CE_ISSUING_DISTRIBUTION_POINT, oids.CE_FRESHEST_CRL)


def _read_crl_extensions(explicit: der.Tlv) -> tuple[int, bytes | None, tuple[Extension, ...]]:
    extensions = read_extensions(der.read_one(explicit.content))
    values = {each.oid: each.value for each in extensions}
    more = tuple(each for each in extensions if each.oid in _MORE)
    if set(values) - {each.oid for each in more} != {oids.CE_CRL_NUMBER, oids.CE_AUTHORITY_KEY_IDENTIFIER}:
        raise der.DerError("the CRL's extensions are not number and authority key, or more than we write")
    number = der.read_one(values[oids.CE_CRL_NUMBER]).as_integer()
    return number, read_authority_key_identifier(values[oids.CE_AUTHORITY_KEY_IDENTIFIER]), more


class _Source:
    """A DER stream read element by element; octets consumed are hashed once a digest was chosen."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._buffer = b""
        self._at = 0
        self._hashed = 0
        self._before = 0
        self._hash: hashlib._Hash | None = None

    @property
    def position(self) -> int:
        """Octets consumed."""
        return self._before + self._at

    def hash_with(self, name: str) -> None:
        """Hash from here on."""
        self._hash = hashlib.new(name)
        self._hashed = self._at

    def digest(self) -> bytes:
        """Digest of all that was consumed since `hash_with`; hashing ends here."""
        if self._hash is None:
            raise der.DerError("nothing was hashed")
        self._hash.update(self._buffer[self._hashed : self._at])
        digest, self._hash = self._hash.digest(), None
        return digest

    def _fill(self, count: int) -> bool:
        """Have at least `count` octets in the buffer; False where the stream ends before."""
        while len(self._buffer) - self._at < count:
            chunk = next(self._chunks, None)
            if chunk is None:
                return False
            if self._hash is not None:
                self._hash.update(self._buffer[self._hashed : self._at])
            self._before += self._at
            self._buffer = self._buffer[self._at :] + chunk
            self._at = self._hashed = 0
        return True

    def peek(self) -> int | None:
        """The next tag; None at the end."""
        return self._buffer[self._at] if self._fill(1) else None

    def _header(self, tag: int | None) -> tuple[int, int]:
        """Octets of the next header, and the length that it states."""
        if not self._fill(2):
            raise der.DerError("the CRL is cut")
        found, length = self._buffer[self._at], self._buffer[self._at + 1]
        if tag is not None and found != tag:
            raise der.DerError(f"tag 0x{found:02x} where 0x{tag:02x} was expected")
        if length < 0x80:
            return 2, length
        count = length & 0x7F
        if not 1 <= count <= 4 or not self._fill(2 + count):
            raise der.DerError("length is indefinite, overlong or cut")
        length = int.from_bytes(self._buffer[self._at + 2 : self._at + 2 + count], "big")
        if len(der.length_octets(length)) != 1 + count:
            raise der.DerError("length is not minimal")
        return 2 + count, length

    def enter(self, tag: int) -> int:
        """Consume a header; return the position where its content ends."""
        header, length = self._header(tag)
        self._at += header
        return self.position + length

    def sequences(self, end: int) -> tuple[list[bytes], bytes]:
        """Consume the short SEQUENCEs that lie whole in the buffer, at least one and none beyond `end`.

        Returns their serials, the INTEGER that each begins with, and the octets of all of them.
        """
        if not self._fill(2) or not self._fill(2 + self._buffer[self._at + 1]):
            raise der.DerError("the CRL is cut")
        buffer, at = self._buffer, self._at
        last = min(len(buffer), at + end - self.position)
        serials: list[bytes] = []
        while at + 2 <= last:
            length = buffer[at + 1]
            stop = at + 2 + length
            if buffer[at] != der.SEQUENCE or not _SHORTEST_ENTRY <= length < 0x80:
                raise der.DerError("an entry is no SEQUENCE, or none of ours")
            if stop > last:
                break
            serial = buffer[at + 3] + 2
            if buffer[at + 2] != der.INTEGER or serial > length or serial > _MAX_SERIAL_OCTETS + 2:
                raise der.DerError("an entry does not begin with a serial")
            serials.append(buffer[at + 2 : at + 2 + serial])
            at = stop
        if not serials:
            raise der.DerError("an entry reaches beyond revokedCertificates")
        octets, self._at = buffer[self._at : at], at
        return serials, octets

    def element(self, tag: int | None = None) -> der.Tlv:
        """Consume one element, whole."""
        header, length = self._header(tag)
        if not self._fill(header + length):
            raise der.DerError("the CRL is cut")
        raw = self._buffer[self._at : self._at + header + length]
        self._at += len(raw)
        return der.Tlv(raw[0], raw[header:], raw)
