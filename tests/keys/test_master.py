"""The master key: where it comes from, what is refused, what is derived from it."""

from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from fakes import SeededEntropy
from regalia import reasons
from regalia.errors import AdminError, Reason
from regalia.keys.master import MasterKey, MasterKeyOrigin, create_master_key, load_master_key

if TYPE_CHECKING:
    from pathlib import Path

KEY = bytes(range(32))


def _write(path: Path, text: str = KEY.hex() + "\n", mode: int = 0o600) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="ascii")
    path.chmod(mode)
    return path


def _refused(home: Path, **environment: str) -> Reason:
    with pytest.raises(AdminError) as refused:
        load_master_key(home, environment)
    return refused.value.reason


def test_new_key_stands_in_the_home_for_its_owner_alone(tmp_path: Path) -> None:
    """A new master key is 64 digits and a newline in a file of mode 0600, and says that it lies by the data (R10)."""
    made = create_master_key(tmp_path, SeededEntropy())
    path = tmp_path / "master.key"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.read_text(encoding="ascii") == made.octets.hex() + "\n"
    assert load_master_key(tmp_path, {}) == made
    assert (made.origin, made.beside_database, len(made.octets)) == (MasterKeyOrigin.HOME, True, 32)


def test_existing_key_is_kept(tmp_path: Path) -> None:
    """A second key is not written over the first: everything wrapped would be lost."""
    first = create_master_key(tmp_path, SeededEntropy(1))
    with pytest.raises(AdminError) as refused:
        create_master_key(tmp_path, SeededEntropy(2))
    assert refused.value.reason is reasons.HOME_USED
    assert load_master_key(tmp_path, {}) == first


def test_home_that_is_not_there_is_said(tmp_path: Path) -> None:
    """A key cannot be made in a home that does not exist."""
    with pytest.raises(AdminError) as refused:
        create_master_key(tmp_path / "missing", SeededEntropy())
    assert refused.value.reason is reasons.FILE_REFUSED


def test_places_are_looked_at_in_order(tmp_path: Path) -> None:
    """The named file comes before the systemd credential, and that before the home (R10)."""
    home = tmp_path / "home"
    _write(home / "master.key", "11" * 32 + "\n")
    credentials = _write(tmp_path / "credentials" / "regalia-master", "22" * 32 + "\n").parent
    named = _write(tmp_path / "named", "33" * 32 + "\n")
    both = {"REGALIA_MASTER_KEY_FILE": str(named), "CREDENTIALS_DIRECTORY": str(credentials)}
    found = load_master_key(home, both)
    assert (found.octets[0], found.origin, found.beside_database) == (0x33, MasterKeyOrigin.FILE, False)
    found = load_master_key(home, {"CREDENTIALS_DIRECTORY": str(credentials)})
    assert (found.octets[0], found.origin, found.beside_database) == (0x22, MasterKeyOrigin.CREDENTIAL, False)
    found = load_master_key(home, {})
    assert (found.octets[0], found.origin, found.beside_database) == (0x11, MasterKeyOrigin.HOME, True)


def test_credentials_of_others_are_passed_over(tmp_path: Path) -> None:
    """A unit that has credentials, but not ours, uses the key in the home."""
    _write(tmp_path / "master.key")
    found = load_master_key(tmp_path, {"CREDENTIALS_DIRECTORY": str(tmp_path / "empty")})
    assert found.origin is MasterKeyOrigin.HOME


def test_file_named_within_the_home_lies_beside_the_database(tmp_path: Path) -> None:
    """Naming the file does not make keys and lock two places, nor does a link from elsewhere (R10)."""
    real = _write(tmp_path / "home" / "master.key")
    link = tmp_path / "link"
    link.symlink_to(real)
    found = load_master_key(tmp_path / "home", {"REGALIA_MASTER_KEY_FILE": str(link)})
    assert (found.origin, found.beside_database) == (MasterKeyOrigin.FILE, True)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_key_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    """A master key readable by group or others stops the start (SEC-3)."""
    _write(tmp_path / "master.key", mode=mode)
    assert _refused(tmp_path) is reasons.PERMISSIONS_REFUSED


def test_systemd_credential_may_show_group_bits(tmp_path: Path) -> None:
    """A credential granted by ACL shows its mask as group bits and is read; one for everybody is refused (SEC-3)."""
    credential = _write(tmp_path / "regalia-master", mode=0o440)
    environment = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    assert load_master_key(tmp_path / "home", environment).octets == KEY
    credential.chmod(0o444)
    assert _refused(tmp_path / "home", **environment) is reasons.PERMISSIONS_REFUSED


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "00" * 31 + "\n",
        "00" * 33 + "\n",
        "0g" * 32 + "\n",
        "00" * 32 + "\n\n",
        " " + "00" * 32,
        "00 " * 21 + "0\n",
        "00" * 16 + "\n" + "00" * 16 + "\n",
    ],
)
def test_garbled_key_is_refused(tmp_path: Path, text: str) -> None:
    """Anything but 64 hexadecimal digits and a newline is refused, and is not repeated in the error."""
    _write(tmp_path / "master.key", text)
    assert _refused(tmp_path) is reasons.MASTER_KEY_REFUSED


def test_key_without_a_newline_is_read(tmp_path: Path) -> None:
    """Secret stores that cut the last newline are tolerated."""
    _write(tmp_path / "master.key", KEY.hex())
    assert load_master_key(tmp_path, {}).octets == KEY


def test_missing_key_is_refused(tmp_path: Path) -> None:
    """A named file that is missing is an error: the home's key is not taken in its place."""
    assert _refused(tmp_path) is reasons.MASTER_KEY_REFUSED
    _write(tmp_path / "master.key")
    assert _refused(tmp_path, REGALIA_MASTER_KEY_FILE=str(tmp_path / "gone")) is reasons.MASTER_KEY_REFUSED


def test_key_does_not_print(tmp_path: Path) -> None:
    """A master key in a traceback or a log shows its place, not its octets."""
    assert KEY.hex() not in repr(MasterKey(KEY, tmp_path, MasterKeyOrigin.HOME, beside_database=True))
    assert repr(KEY) not in repr(MasterKey(KEY, tmp_path, MasterKeyOrigin.HOME, beside_database=True))


def test_uses_are_apart(tmp_path: Path) -> None:
    """Wrapping and challenges use different keys, each HKDF-SHA256 of the master key under its label (RFC 5869)."""
    master = MasterKey(KEY, tmp_path, MasterKeyOrigin.HOME, beside_database=True)

    def hkdf(label: bytes) -> bytes:
        extracted = hmac.digest(bytes(32), KEY, "sha256")
        return hmac.digest(extracted, label + b"\x01", "sha256")

    assert master.wrapping_key() == hkdf(b"regalia key wrapping v1")
    expected = hmac.digest(hkdf(b"regalia challenge mac v1"), b"s\xc3\xa9same", hashlib.sha256)
    assert master.challenge_mac()("s\u00e9same") == expected


def test_any_text_has_a_mac(tmp_path: Path) -> None:
    """A challenge that no terminal could print is looked up like any other (CHA-1)."""
    mac = MasterKey(KEY, tmp_path, MasterKeyOrigin.HOME, beside_database=True).challenge_mac()
    assert len({mac(""), mac("\ud800"), mac("\x00"), mac("a")}) == 4


def test_hooks_have_keys_of_their_own(tmp_path: Path) -> None:
    """CON-6: a connector's key differs from every other one's and changes with its secret; a rotation keeps it."""
    key = create_master_key(tmp_path, SeededEntropy())
    first, second = UUID(int=1), UUID(int=2)
    then, now = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)
    keys = {key.hook_key(first, None), key.hook_key(second, None), key.hook_key(first, then), key.hook_key(first, now)}
    assert {len(each) for each in keys} == {32}
    assert len(keys | {key.challenge_key(), key.challenge_mac()("")}) == 6
    rotated = MasterKey(b"r" * 32, key.path, key.origin, beside_database=True, challenge_octets=key.challenge_key())
    assert rotated.hook_key(first, then) == key.hook_key(first, then)
