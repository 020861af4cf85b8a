"""Private keys that administrators bring."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PrivateFormat, pkcs12

from foreign_pki import ForeignCa
from regalia import reasons
from regalia.errors import AdminError
from regalia.keys.carried_key import open_key_file, open_pkcs12, prove_pair

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = ForeignCa("Corp Root")
CA = ForeignCa("Old CA", ROOT)
NONE = serialization.NoEncryption()
LOCKED = serialization.BestAvailableEncryption(b"secret")


def never() -> bytes:
    """Nobody is asked for a passphrase where none is needed."""
    raise AssertionError


@pytest.mark.parametrize("encoding", [Encoding.PEM, Encoding.DER], ids=["pem", "der"])
@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL], ids=["pkcs8", "traditional"])
def test_a_key_is_opened_in_each_form(encoding: Encoding, form: PrivateFormat) -> None:
    """PEM and DER, PKCS #8 and what OpenSSL wrote before it are read; nobody is asked for a passphrase."""
    opened = open_key_file(CA.key.private_bytes(encoding, form, NONE), never)
    assert prove_pair(opened.key) == CA.spki


def test_a_passphrase_is_asked_for_where_it_is_needed() -> None:
    """An encrypted key opens with its passphrase, and with no other."""
    octets = CA.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, LOCKED)
    assert prove_pair(open_key_file(octets, lambda: b"secret").key) == CA.spki
    assert _refused(lambda: open_key_file(octets, lambda: b"other")).startswith("the file is no private key, or")
    assert _refused(lambda: open_key_file(b"text", never)).startswith("the file is no private key, or")


def test_a_pkcs12_file_brings_its_certificates() -> None:
    """Key, own certificate and chain come out of one file."""
    octets = pkcs12.serialize_key_and_certificates(b"old", CA.key, CA.certificate, [ROOT.certificate], LOCKED)
    opened = open_pkcs12(octets, lambda: b"secret")
    assert (prove_pair(opened.key), opened.certificate, opened.chain) == (CA.spki, CA.der, (ROOT.der,))
    assert "the file is no PKCS #12" in _refused(lambda: open_pkcs12(octets, lambda: b"other"))
    keyless = pkcs12.serialize_key_and_certificates(None, None, None, [ROOT.certificate], LOCKED)
    assert "no private key" in _refused(lambda: open_pkcs12(keyless, lambda: b"secret"))


def test_other_kinds_of_keys_are_refused() -> None:
    """A key that no authority can have is refused when it is opened."""
    key = ed25519.Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NONE)
    assert _refused(lambda: open_key_file(key, never)) == "the key is neither RSA nor on an elliptic curve"


def test_halves_that_do_not_belong_together_are_found() -> None:
    """An RSA key whose public half is another one's is refused: by OpenSSL, or by the proof."""
    one = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_numbers()
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048).public_key().public_numbers()
    mixed = rsa.RSAPrivateNumbers(one.p, one.q, one.d, one.dmp1, one.dmq1, one.iqmp, other)
    with pytest.raises((AdminError, ValueError)):
        prove_pair(mixed.private_key(unsafe_skip_rsa_key_validation=True))
    assert prove_pair(ec.generate_private_key(ec.SECP384R1()))


def _refused(ask: Callable[[], object]) -> str:
    with pytest.raises(AdminError) as error:
        ask()
    assert error.value.reason is reasons.AUTHORITY_KEY_REFUSED
    return error.value.detail
