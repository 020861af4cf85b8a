"""PEM, read as tolerantly as administrators' files are odd."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from foreign_pki import ForeignCa
from regalia.wire.der import DerError
from regalia.wire.pem import CERTIFICATE, CRL, REQUEST, read_pem, write_pem

CA = ForeignCa("Corp Root")


def test_what_is_written_is_what_others_write() -> None:
    """A block has the octets that OpenSSL's writer gives it, and is read back."""
    assert write_pem(CA.der, CERTIFICATE) == CA.certificate.public_bytes(Encoding.PEM)
    assert read_pem(write_pem(CA.der, CERTIFICATE), CERTIFICATE) == (CA.der,)
    assert x509.load_pem_x509_certificate(write_pem(CA.der, CERTIFICATE)).public_bytes(Encoding.DER) == CA.der


def test_blocks_are_found_among_others() -> None:
    """Text around the blocks, blocks of other kinds, Windows line ends and old labels do not matter."""
    pem = write_pem(CA.der, CERTIFICATE)
    mixed = b"subject=CN = Corp Root\r\n" + pem.replace(b"\n", b"\r\n") + write_pem(b"crl", CRL) + pem
    assert read_pem(mixed, CERTIFICATE) == (CA.der, CA.der)
    assert read_pem(mixed, CRL) == (b"crl",)
    assert read_pem(pem.replace(b"CERTIFICATE", b"NEW CERTIFICATE REQUEST"), REQUEST) == (CA.der,)
    assert read_pem(CA.der, CERTIFICATE) == (CA.der,)


@pytest.mark.parametrize("octets", [b"", b"text", b"-----BEGIN CERTIFICATE-----\nAAAA", write_pem(b"x", CRL)])
def test_nothing_of_the_kind_is_told(octets: bytes) -> None:
    """A file without such a block, or with half of one, is refused."""
    with pytest.raises(DerError, match="there is no CERTIFICATE in it"):
        read_pem(octets, CERTIFICATE)


def test_what_is_no_base64_is_refused() -> None:
    """A block that was damaged on its way is refused."""
    with pytest.raises(DerError, match="is not base64"):
        read_pem(write_pem(CA.der, CERTIFICATE).replace(b"MI", b"M*", 1), CERTIFICATE)
