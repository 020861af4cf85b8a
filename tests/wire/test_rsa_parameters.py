"""Parameters of OAEP and PSS: what RFC 4055 allows, and each way to be something else."""

from __future__ import annotations

import pytest

from regalia.wire import der, oids
from regalia.wire.algorithms import AlgorithmIdentifier, Digest, Oaep, read_algorithm
from regalia.wire.der import DerError
from regalia.wire.rsa_parameters import Pss, pss_identifier, read_oaep, read_pss
from scep_parts import algorithm

SHA1, SHA256, MD5, SHA224 = (algorithm(oid) for oid in (oids.SHA1, oids.SHA256, oids.MD5, oids.SHA224))
LABEL = algorithm(oids.P_SPECIFIED, der.octet_string(b"label"))
NO_LABEL = algorithm(oids.P_SPECIFIED, der.octet_string(b""))


def mgf(digest: bytes) -> bytes:
    """MaskGenAlgorithm with MGF1."""
    return algorithm(oids.MGF1, digest)


def identifier(oid: str, *parts: tuple[int, bytes]) -> AlgorithmIdentifier:
    """An AlgorithmIdentifier whose parameters have these tagged parts."""
    parameters = der.sequence(*(der.context(number, part) for number, part in parts))
    return read_algorithm(der.read_one(algorithm(oid, parameters)))


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ((), Oaep(Digest.SHA1, Digest.SHA1)),
        (((0, SHA256),), Oaep(Digest.SHA256, Digest.SHA1)),
        (((1, mgf(SHA256)),), Oaep(Digest.SHA1, Digest.SHA256)),
        (((0, algorithm(oids.SHA512, b"")), (1, mgf(algorithm(oids.SHA384)))), Oaep(Digest.SHA512, Digest.SHA384)),
        (((0, SHA1), (1, mgf(SHA1)), (2, NO_LABEL)), Oaep(Digest.SHA1, Digest.SHA1)),
    ],
    ids=["defaults", "digest", "mask", "both, NULL or absent", "defaults written out"],
)
def test_oaep_parameters_are_read(parts: tuple[tuple[int, bytes], ...], expected: Oaep) -> None:
    """RSAES-OAEP-params give digest and mask digest, SHA-1 where they say nothing (RFC 8017 appendix A.2.1)."""
    assert read_oaep(identifier(oids.RSAES_OAEP, *parts)) == expected


@pytest.mark.parametrize(
    ("parts", "why"),
    [
        (((0, MD5),), "digest MD5"),
        (((0, SHA224),), "digest SHA-224"),
        (((0, algorithm(oids.SHA256, der.integer(1))),), "digest SHA-256"),
        (((1, mgf(MD5)),), "MGF1 digest MD5"),
        (((1, algorithm("1.2.3.4", SHA256)),), "mask generation function 1.2.3.4"),
        (((1, algorithm(oids.MGF1, b"")),), "mask generation function MGF1"),
        (((2, LABEL),), "with a label"),
        (((2, algorithm("1.2.3.4", der.octet_string(b""))),), "label source 1.2.3.4"),
        (((2, algorithm(oids.P_SPECIFIED, b"")),), "label source pSpecified"),
        (((2, algorithm(oids.P_SPECIFIED, der.null())),), "tag"),
        (((1, mgf(SHA256)), (0, SHA256)), "not its own"),
        (((0, SHA256), (0, SHA256)), "not its own"),
        (((3, der.integer(1)),), "not its own"),
        (((0, b""),), "cut"),
        (((0, SHA256 + SHA256),), "after the end"),
        (((0, algorithm("1.2." + "9" * 40)),) * 8, "not its own"),
    ],
)
def test_oaep_parameters_beyond_the_list_are_refused(parts: tuple[tuple[int, bytes], ...], why: str) -> None:
    """A label, another digest or function, and parts twice or out of order are refused by name (R1)."""
    with pytest.raises(DerError, match=why):
        read_oaep(identifier(oids.RSAES_OAEP, *parts))


@pytest.mark.parametrize("parameters", [b"", der.null(), der.octet_string(b"")])
def test_parameters_must_be_there(parameters: bytes) -> None:
    """OAEP and PSS without a SEQUENCE of parameters are refused: RFC 4055 wants it even where it is empty."""
    for oid, read in ((oids.RSAES_OAEP, read_oaep), (oids.RSASSA_PSS, read_pss)):
        with pytest.raises(DerError, match="without its parameters"):
            read(read_algorithm(der.read_one(algorithm(oid, parameters))))


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ((), Pss(Digest.SHA1, Digest.SHA1, 20)),
        (((0, SHA256), (1, mgf(SHA256)), (2, der.integer(32))), Pss(Digest.SHA256, Digest.SHA256, 32)),
        (
            ((0, SHA256), (1, mgf(SHA256)), (2, der.integer(0)), (3, der.integer(1))),
            Pss(Digest.SHA256, Digest.SHA256, 0),
        ),
        (((1, mgf(SHA256)),), Pss(Digest.SHA1, Digest.SHA256, 20)),
    ],
)
def test_pss_parameters_are_read(parts: tuple[tuple[int, bytes], ...], expected: Pss) -> None:
    """RSASSA-PSS-params give digests and salt, with the defaults of RFC 8017 appendix A.2.3."""
    assert read_pss(identifier(oids.RSASSA_PSS, *parts)) == expected


@pytest.mark.parametrize(
    ("parts", "why"),
    [
        (((2, der.integer(-1)),), "negative salt"),
        (((2, der.octet_string(b"\x20")),), "tag"),
        (((3, der.integer(2)),), "trailer"),
        (((3, der.integer(0)),), "trailer"),
        (((4, der.integer(1)),), "not its own"),
        (((0, MD5),), "digest MD5"),
    ],
)
def test_pss_parameters_beyond_the_list_are_refused(parts: tuple[tuple[int, bytes], ...], why: str) -> None:
    """A negative salt, another trailer or digest is refused by name."""
    with pytest.raises(DerError, match=why):
        read_pss(identifier(oids.RSASSA_PSS, *parts))


@pytest.mark.parametrize("digest", Digest)
def test_pss_parameters_that_we_write_are_read(digest: Digest) -> None:
    """What we write for PSS is read back as the same digest twice and a salt of its length."""
    written = read_algorithm(der.read_one(pss_identifier(digest)))
    assert written.oid == oids.RSASSA_PSS
    assert read_pss(written) == Pss(digest, digest, digest.hash().digest_size)
