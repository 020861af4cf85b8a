"""Keys and certificates on disk."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, rsa

from client.test_authorities import make
from regalia import reasons
from regalia.client.files import (
    check_writable,
    is_there,
    load_certificate,
    load_key,
    pem,
    save_certificates,
    save_key,
)
from regalia.client.keys import KeyType, generate_key, key_text, public_octets
from regalia.errors import AdminError
from world import rsa_key

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def refuse(act: Callable[[], object]) -> str:
    """Expect CLI-009 and return its detail."""
    with pytest.raises(AdminError) as refused:
        act()
    assert refused.value.reason is reasons.CLIENT_FILE
    return refused.value.detail


def names_in(directory: Path) -> list[str]:
    """List a directory."""
    return sorted(path.name for path in directory.iterdir())


def as_pem(
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed448.Ed448PrivateKey, password: bytes | None = None
) -> bytes:
    """Write a private key."""
    encryption = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


@pytest.mark.parametrize("kind", [kind for kind in KeyType if kind is not KeyType.RSA_4096])
def test_keys_come_back(tmp_path: Path, kind: KeyType) -> None:
    """A key of any kind that was saved is the key that is loaded, and nobody else may read it (SEC-3)."""
    path = tmp_path / "device.key"
    key = generate_key(kind)
    save_key(path, key)
    assert public_octets(load_key(path)) == public_octets(key)
    assert key_text(load_key(path)).lower() == kind
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert names_in(tmp_path) == ["device.key"]


def test_keys_are_private_whatever_the_umask(tmp_path: Path) -> None:
    """The mode of a key does not depend on the umask; certificates are for all."""
    before = os.umask(0)
    try:
        save_key(tmp_path / "key", rsa_key(0))
        os.umask(0o777)
        save_certificates(tmp_path / "cert", [make("a", rsa_key(0)).der])
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "cert").stat().st_mode) == 0o644


def test_keys_are_written_once(tmp_path: Path) -> None:
    """A key is never written over anything, not even over a dangling link."""
    path = tmp_path / "device.key"
    save_key(path, rsa_key(0))
    assert "not overwritten" in refuse(lambda: save_key(path, rsa_key(1)))
    assert public_octets(load_key(path)) == public_octets(rsa_key(0))
    link = tmp_path / "link.key"
    link.symlink_to(tmp_path / "elsewhere")
    refuse(lambda: save_key(link, rsa_key(1)))
    assert names_in(tmp_path) == ["device.key", "link.key"]


def test_certificates_are_replaced_only_on_demand(tmp_path: Path) -> None:
    """A certificate goes into the place of another one only where the caller says so."""
    path = tmp_path / "device.pem"
    one, two = make("one", rsa_key(0)).der, make("two", rsa_key(0)).der
    save_certificates(path, [one])
    assert "not overwritten" in refuse(lambda: save_certificates(path, [two]))
    assert load_certificate(path) == one
    save_certificates(path, [two], replace=True)
    assert path.read_bytes() == pem([two])
    assert names_in(tmp_path) == ["device.pem"]


def test_several_certificates_stand_one_after_the_other(tmp_path: Path) -> None:
    """A bundle keeps its order, and its first certificate is the one that is loaded."""
    path = tmp_path / "ca.pem"
    one, two = make("one", rsa_key(0)).der, make("two", rsa_key(0)).der
    save_certificates(path, [one, two])
    assert path.read_bytes() == pem([one]) + pem([two])
    assert load_certificate(path) == one


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "not a private key"),
        (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "not a private key"),
        (as_pem(ec.generate_private_key(ec.SECP521R1())), "not a key of a kind that can be used"),
        (as_pem(ed448.Ed448PrivateKey.generate()), "not a key of a kind that can be used"),
        (as_pem(rsa.generate_private_key(65537, 1024)), "at least 2048 bits"),  # noqa: S505 - weak on purpose
        (as_pem(ec.generate_private_key(ec.SECP256R1()), b"secret"), "is encrypted"),
    ],
    ids=["empty", "broken", "P-521", "Ed448", "RSA-1024", "encrypted"],
)
def test_unusable_keys(tmp_path: Path, content: bytes, told: str) -> None:
    """A file that holds no key for SCEP is told as what it is (CLI-009)."""
    path = tmp_path / "key"
    path.write_bytes(content)
    assert told in refuse(lambda: load_key(path))


def test_unreadable_files(tmp_path: Path) -> None:
    """A missing file, a directory and a file without a certificate are told with their path (CLI-009)."""
    assert str(tmp_path / "no") in refuse(lambda: load_key(tmp_path / "no"))
    assert "cannot be read" in refuse(lambda: load_certificate(tmp_path))
    (tmp_path / "text").write_text("text")
    assert "holds no certificate" in refuse(lambda: load_certificate(tmp_path / "text"))


def test_unwritable_places(tmp_path: Path) -> None:
    """A place where no file can be made is found before anything is sent, and told when writing (CLI-009)."""
    missing = tmp_path / "missing" / "cert.pem"
    assert "no file can be made" in refuse(lambda: check_writable(missing))
    assert "cannot be written" in refuse(lambda: save_certificates(missing, [make("a", rsa_key(0)).der]))
    there = tmp_path / "there"
    there.touch()
    assert "not overwritten" in refuse(lambda: check_writable(there))
    check_writable(tmp_path / "free")
    assert names_in(tmp_path) == ["there"]


def test_a_name_that_cannot_be_looked_up(tmp_path: Path) -> None:
    """A name that the system refuses to look at is told as a file that cannot be used, and not as a fault of ours."""
    impossible = tmp_path / ("x" * 300)
    for ask in (is_there, check_writable):
        with pytest.raises(AdminError) as caught:
            ask(impossible)
        assert caught.value.reason is reasons.CLIENT_FILE
    assert not is_there(tmp_path / "nothing" / "here")
