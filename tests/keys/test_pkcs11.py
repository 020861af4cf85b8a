"""A token, real: SoftHSM."""

from __future__ import annotations

import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils

from regalia import reasons
from regalia.errors import AdminError, UnavailableError
from regalia.keys.pkcs11 import Token
from regalia.keys.pkcs11_uri import KeyUri
from regalia.model import KeyKind
from tokens import new_token, opened_token

if TYPE_CHECKING:
    from collections.abc import Iterator

    from regalia.cli.soft_token import SoftToken

pytestmark = [pytest.mark.real, pytest.mark.live_client("softhsm")]

SHA256 = hashlib.sha256(b"to be signed").digest()
SHA384 = hashlib.sha384(b"to be signed").digest()
HASHES: dict[int, hashes.HashAlgorithm] = {32: hashes.SHA256(), 48: hashes.SHA384()}


@pytest.fixture(scope="module")
def made() -> SoftToken:
    """A token for the tests that leave it as it is."""
    return new_token()


@pytest.fixture(scope="module")
def token(made: SoftToken) -> Token:
    """The same, as the product uses it."""
    return opened_token(made)


def uri_of(token: Token, octet: int) -> KeyUri:
    """Name the key with this id."""
    return KeyUri(token.label, bytes([octet]))


def verify(public_key: bytes, signature: bytes, digest: bytes) -> None:
    """Verify with OpenSSL what a token signed."""
    key = serialization.load_der_public_key(public_key)
    algorithm = utils.Prehashed(HASHES[len(digest)])
    if isinstance(key, rsa.RSAPublicKey):
        key.verify(signature, digest, padding.PKCS1v15(), algorithm)
    else:
        assert isinstance(key, ec.EllipticCurvePublicKey)
        key.verify(signature, digest, ec.ECDSA(algorithm))


@pytest.mark.parametrize(
    ("octet", "kind", "digest"), [(1, KeyKind.P256, SHA256), (2, KeyKind.P384, SHA384), (3, KeyKind.RSA_2048, SHA256)]
)
def test_a_key_is_made_on_the_token_and_signs_there(token: Token, octet: int, kind: KeyKind, digest: bytes) -> None:
    """A key of each kind is sensitive, never extractable, and signs what its public half verifies (SEC-1)."""
    made = token.generate(kind, bytes([octet]), "ca:root")
    assert (made.kind, made.label, made.sensitive, made.extractable) == (kind, "ca:root", True, False)
    first, second = (token.sign(uri_of(token, octet), kind, digest) for _ in range(2))
    for signature in (first, second):
        verify(made.public_key, signature, digest)
    assert (first == second) == (kind is KeyKind.RSA_2048)
    assert token.check(uri_of(token, octet)) == token.find(uri_of(token, octet)) == made


def test_threads_sign_at_a_time(token: Token) -> None:
    """More threads than sessions sign with one key, each what it asked for."""
    made = token.generate(KeyKind.P256, b"many", "ca:group:many")
    digests = [hashlib.sha256(bytes([number])).digest() for number in range(48)]
    with ThreadPoolExecutor(12) as pool:
        signatures = list(pool.map(lambda digest: token.sign(KeyUri(token.label, b"many"), made.kind, digest), digests))
    for signature, digest in zip(signatures, digests, strict=True):
        verify(made.public_key, signature, digest)


def test_a_destroyed_key_is_gone(token: Token) -> None:
    """A destroyed key signs no more, in no session, and destroying it again finds nothing."""
    token.generate(KeyKind.P256, b"gone", "ca:root")
    uri = KeyUri(token.label, b"gone")
    token.sign(uri, KeyKind.P256, SHA256)
    assert token.destroy(uri)
    assert not token.destroy(uri)
    with pytest.raises(UnavailableError) as refused:
        token.sign(uri, KeyKind.P256, SHA256)
    assert refused.value.reason is reasons.ISSUER_UNAVAILABLE
    with pytest.raises(AdminError) as missing:
        token.find(uri)
    assert missing.value.reason is reasons.NOT_FOUND


def test_two_keys_of_one_label_need_an_id(token: Token) -> None:
    """A name that fits two keys is refused, and tells how many there are."""
    for object_id in (b"t1", b"t2"):
        token.generate(KeyKind.P256, object_id, "twins")
    with pytest.raises(AdminError) as refused:
        token.find(KeyUri(token.label, object="twins"))
    assert refused.value.reason is reasons.TOKEN_KEY_REFUSED
    assert "2 objects" in refused.value.detail
    assert token.find(KeyUri(token.label, b"t2", "twins")).id == b"t2"


@pytest.fixture
def absent(made: SoftToken, token: Token) -> Iterator[SoftToken]:
    """The token taken away after a key of it was used; it is back for the next test."""
    token.generate(KeyKind.P256, b"away", "ca:root")
    token.sign(KeyUri(token.label, b"away"), KeyKind.P256, SHA256)
    made.tokens.rename(made.directory / "taken")
    yield made
    if not made.tokens.exists():
        (made.directory / "taken").rename(made.tokens)
    token.find(KeyUri(token.label, b"away"))


def test_a_token_that_is_away_is_found_again_when_it_is_back(absent: SoftToken, token: Token) -> None:
    """While it is away each use says so at once; when it is back the next one works, in the same process."""
    uri = KeyUri(token.label, b"away")
    for _ in range(3):
        with pytest.raises(UnavailableError) as refused:
            token.sign(uri, KeyKind.P256, SHA256)
        assert refused.value.reason is reasons.TOKEN_UNAVAILABLE
    (absent.directory / "taken").rename(absent.tokens)
    back = threading.Event()
    for _ in range(30):
        try:
            signature = token.sign(uri, KeyKind.P256, SHA256)
        except UnavailableError:
            back.wait(0.1)
        else:
            break
    verify(token.find(uri).public_key, signature, SHA256)


def test_a_wrong_pin_is_tried_once() -> None:
    """A refused PIN is not tried again, by no process, until another stands in its file: three would lock the token."""
    made = new_token()
    right = made.pin_file.read_text("ascii")
    made.pin_file.write_text("0000\n", "ascii")
    for _ in range(5):
        with pytest.raises(UnavailableError) as refused:
            opened_token(made).generate(KeyKind.P256, b"1", "ca:root")
        assert refused.value.reason is reasons.PIN_REFUSED
        made.pin_file.write_text("0000\n", "ascii")  # written anew, as a credential is with each start
    assert "refused before" in refused.value.detail
    made.pin_file.write_text(right, "ascii")
    assert opened_token(made).generate(KeyKind.P256, b"1", "ca:root").kind is KeyKind.P256
    assert not made.pin_file.with_suffix(".refused").exists()


def test_a_pin_that_others_may_read_is_not_used() -> None:
    """SEC-3: a PIN's file with the permissions of others is refused."""
    made = new_token()
    made.pin_file.chmod(0o644)
    with pytest.raises(AdminError) as refused:
        opened_token(made).find(KeyUri(made.label, b"1"))
    assert refused.value.reason is reasons.PERMISSIONS_REFUSED


def test_a_token_that_is_not_there() -> None:
    """A label that no token has, and a library that is none, are told apart from a missing key."""
    made = new_token()
    for settings in ((made.module, "no-such-token"), (made.pin_file, made.label)):
        other = Token(*settings, opened_token(made)._pin)  # noqa: SLF001 - the same PIN, elsewhere
        with pytest.raises(UnavailableError) as refused:
            other.find(KeyUri(settings[1], b"1"))
        assert refused.value.reason is reasons.TOKEN_UNAVAILABLE
