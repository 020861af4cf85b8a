"""Parameters of RSAES-OAEP and RSASSA-PSS (RFC 8017 appendix A.2.1 and A.2.3, RFC 4055 §3 and §4).

Read strictly: what is not exactly these structures, or asks for a digest that we do not have, raises `DerError` with
words for the administrator. Defaults may be left out or written, as RFC 4055 wants of readers.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from regalia.wire import der, oids
from regalia.wire.algorithms import Digest, Oaep, read_algorithm
from regalia.wire.der import DerError

if TYPE_CHECKING:
    from regalia.wire.algorithms import AlgorithmIdentifier

__all__ = ["Pss", "pss_identifier", "read_oaep", "read_pss"]

_DIGESTS: Final = {digest.oid: digest for digest in Digest}
_DEFAULT_SALT: Final = 20
_MAX_PARAMETERS: Final = 256
"""Octets: with every default written out they are below a hundred; nothing longer is kept."""


@dataclass(frozen=True, slots=True)
class Pss:
    """Parameters of RSASSA-PSS; the trailer is always the one that RFC 8017 knows."""

    digest: Digest
    mask_digest: Digest
    """Of MGF1."""
    salt_octets: int


def read_oaep(algorithm: AlgorithmIdentifier) -> Oaep:
    """Read the parameters of a key transport with RSAES-OAEP. Raises `DerError`, also where the label is not empty."""
    return _read_oaep(_present(algorithm))


def read_pss(algorithm: AlgorithmIdentifier) -> Pss:
    """Read the parameters of a signature with RSASSA-PSS. Raises `DerError`.

    They must be there: RFC 4055 §3.1 lets only a key leave them out.
    """
    return _read_pss(_present(algorithm))


def _present(algorithm: AlgorithmIdentifier) -> bytes:
    if algorithm.parameters is None or algorithm.parameters.tag != der.SEQUENCE:
        raise DerError("without its parameters")
    if len(algorithm.parameters.raw) > _MAX_PARAMETERS:
        raise DerError("with parameters that are not its own")
    return algorithm.parameters.raw


@lru_cache(maxsize=64)
def _read_oaep(parameters: bytes) -> Oaep:
    parts = _numbered(parameters, 3)
    if 2 in parts and _source(parts[2]):
        raise DerError("with a label")
    return Oaep(_read_digest(parts), _read_mask(parts))


@lru_cache(maxsize=64)
def _read_pss(parameters: bytes) -> Pss:
    parts = _numbered(parameters, 4)
    salt = parts[2].as_integer() if 2 in parts else _DEFAULT_SALT
    if salt < 0:
        raise DerError("with a negative salt length")
    if 3 in parts and parts[3].as_integer() != 1:
        raise DerError("with another trailer than 1")
    return Pss(_read_digest(parts), _read_mask(parts), salt)


def _numbered(parameters: bytes, count: int) -> dict[int, der.Tlv]:
    """The explicitly tagged parts of a SEQUENCE, each once and in their order."""
    parts: dict[int, der.Tlv] = {}
    for element in der.read_one(parameters, der.SEQUENCE).children():
        number = element.tag - 0xA0
        if not 0 <= number < count or (parts and number <= max(parts)):
            raise DerError("with parameters that are not its own")
        parts[number] = der.read_one(element.content)
    return parts


def _read_digest(parts: dict[int, der.Tlv]) -> Digest:
    return _digest(read_algorithm(parts[0]), "digest") if 0 in parts else Digest.SHA1


def _read_mask(parts: dict[int, der.Tlv]) -> Digest:
    """The digest of the mask generation function, of which there is one (RFC 8017 appendix B.2.1)."""
    if 1 not in parts:
        return Digest.SHA1
    function = read_algorithm(parts[1])
    if function.oid != oids.MGF1 or function.parameters is None:
        raise DerError(f"with mask generation function {function}")
    return _digest(read_algorithm(function.parameters), "MGF1 digest")


def _digest(algorithm: AlgorithmIdentifier, role: str) -> Digest:
    digest = _DIGESTS.get(algorithm.oid)
    if digest is None or not algorithm.plain:
        raise DerError(f"with {role} {algorithm}")
    return digest


def _source(element: der.Tlv) -> bytes:
    """The label: the parameter of pSpecified, the one PSourceAlgorithm that RFC 8017 has."""
    source = read_algorithm(element)
    if source.oid != oids.P_SPECIFIED or source.parameters is None:
        raise DerError(f"with label source {source}")
    return source.parameters.expect(der.OCTET_STRING).content


@lru_cache(maxsize=8)
def pss_identifier(digest: Digest) -> bytes:
    """Write the AlgorithmIdentifier of RSASSA-PSS: MGF1 and salt with the same digest, as RFC 4055 §3.1 recommends."""
    hashed = der.sequence(der.oid(digest.oid), der.null())
    parts = [der.context(0, hashed), der.context(1, der.sequence(der.oid(oids.MGF1), hashed))]
    salt = digest.hash().digest_size
    if salt != _DEFAULT_SALT:
        parts.append(der.context(2, der.integer(salt)))
    return der.sequence(der.oid(oids.RSASSA_PSS), der.sequence(*([] if digest is Digest.SHA1 else parts)))
