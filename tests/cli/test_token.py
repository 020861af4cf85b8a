"""Commands on a home whose CA keys lie on a token, where the token is not as it should be."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from cli.transcript import regalia
from fakes import FakeClock
from regalia import reasons
from regalia.config import load_config
from regalia.keys.pkcs11_uri import KeyUri
from regalia.model import KeyKind
from regalia.store import open_store
from tokens import new_token, opened_token

if TYPE_CHECKING:
    from pathlib import Path

    from regalia.cli.soft_token import SoftToken


@pytest.fixture
def token() -> SoftToken:
    """A token of its own for each test."""
    return new_token()


@pytest.fixture
def home(tmp_path: Path, token: SoftToken) -> Path:
    """A home whose CA keys `init` made on the token."""
    os.environ.update(token.variables())
    try:
        ran = regalia(["init", "--home", str(tmp_path / "home"), "--url", "http://pki.example.org:8080"])
    finally:
        for name in token.variables().keys() - token.environment().keys():
            del os.environ[name]
    assert ran.status == 0, ran.output
    return tmp_path / "home"


def issuing_key(home: Path) -> KeyUri:
    """Return where the issuing key lies."""
    store = open_store(load_config({}, home=home).database.connection_url(), node="", clock=FakeClock())
    try:
        (found,) = [record for record in store.key_records() if record.scope == "ca:group:default"]
    finally:
        store.close()
    return KeyUri.parse(found.location)


def test_doctor_notices_another_key_in_its_place(home: Path, token: SoftToken) -> None:
    """A key that has the name of the recorded one and is another is a problem, with what to do (CA-022)."""
    uri, opened = issuing_key(home), opened_token(token)
    assert opened.destroy(uri)
    assert uri.id is not None
    opened.generate(KeyKind.P256, uri.id, uri.object or "")
    ran = regalia(["doctor", "--home", str(home)])
    assert "is another key than key" in ran.output
    assert reasons.TOKEN_KEY_REFUSED.remedy in ran.output


def test_another_master_key_is_refused_where_no_ca_key_is_under_it(home: Path) -> None:
    """A token knows nothing of the master key, so it is the RA's key that proves it (ADM-010)."""
    (home / "master.key").write_text("ab" * 32 + "\n", "ascii")
    ran = regalia(["ca", "list", "--home", str(home)])
    assert (ran.status, "ADM-010" in ran.output) == (1, True)


def test_a_command_tells_of_a_refused_pin(home: Path, token: SoftToken) -> None:
    """A wrong PIN is told by its id and tried once; what the command would have made is not there (CA-021)."""
    right = token.pin_file.read_text("ascii")
    token.pin_file.write_text("00000000\n", "ascii")
    create = ["group", "create", "staff", "--home", str(home)]
    # The library of this process may be logged in still; as after a restart it is not.
    opened_token(token)._module.lose()  # noqa: SLF001 - a restart of the program
    for _ in range(2):
        ran = regalia(create)
        assert ran.status == 1
        assert ran.output.startswith(f"! Error {reasons.PIN_REFUSED.id}: ")
    assert "refused before" in ran.output
    assert "staff" not in regalia(["group", "list", "--home", str(home)]).output
    token.pin_file.write_text(right, "ascii")
    assert regalia(create).status == 0


def test_a_command_tells_of_a_missing_token(home: Path, token: SoftToken) -> None:
    """A token that is away is told by its id, and doctor names each key that it has (CA-020)."""
    token.tokens.rename(token.directory / "taken")
    try:
        ran = regalia(["group", "create", "staff", "--home", str(home)])
        assert ran.output.startswith(f"! Error {reasons.TOKEN_UNAVAILABLE.id}: ")
        assert regalia(["doctor", "--home", str(home)]).output.count(reasons.TOKEN_UNAVAILABLE.remedy) == 2
    finally:
        (token.directory / "taken").rename(token.tokens)
    assert regalia(["ca", "crl", "default-ca-1", "--home", str(home)]).status == 0
