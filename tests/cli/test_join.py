"""`regalia init` on a database that holds a Regalia: with its master key the home becomes another node."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from postgres import postgres_empty_url, postgres_server

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["postgres_empty_url", "postgres_server"]

URL = "http://pki.example.org:8080"


def run(*arguments: str, key: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command, with a master key named where one is given."""
    command = [sys.executable, "-P", "-m", "regalia", *arguments]
    environment = os.environ | ({"REGALIA_MASTER_KEY_FILE": str(key)} if key is not None else {})
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture
def first(tmp_path: Path, postgres_empty_url: str) -> Path:
    """The home of the first node; its master key lies in it."""
    home = tmp_path / "first"
    assert run("init", "--home", str(home), "--url", URL, "--database", postgres_empty_url).returncode == 0
    return home


def test_a_second_home_joins(first: Path, tmp_path: Path, postgres_empty_url: str) -> None:
    """A joined home has the same authorities, URL and CRLs, a name and an admin certificate of its own, and no key."""
    second, key = tmp_path / "second", first / "master.key"
    ran = run("init", "--home", str(second), "--database", postgres_empty_url, "--json", key=key)
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout)
    assert told["joined"] == postgres_empty_url
    assert (second / "node").read_text().strip() == told["node"] != (first / "node").read_text().strip()
    assert f'url = "{URL}"' in (second / "regalia.toml").read_text()
    assert not (second / "master.key").exists()
    for crl in ("root.crl", "default-ca-1.crl"):
        assert (second / "crl/published" / crl).read_bytes() == (first / "crl/published" / crl).read_bytes()
    assert (second / "admin.crt").read_bytes() != (first / "admin.crt").read_bytes()
    listed = run("ca", "list", "--home", str(second), "--json", key=key)
    assert listed.stdout == run("ca", "list", "--home", str(first), "--json").stdout
    (event,) = [
        each
        for each in map(json.loads, run("event", "tail", "--home", str(first), "--json").stdout.splitlines())
        if each["action"] == "node.joined"
    ]
    assert event["details"] == {"node": told["node"], "url": URL}


def test_it_is_told_in_words(first: Path, tmp_path: Path, postgres_empty_url: str) -> None:
    """Whoever joins by mistake reads it in the first line."""
    home = tmp_path / "second"
    ran = run("init", "--home", str(home), "--database", postgres_empty_url, key=first / "master.key")
    assert ran.stdout.startswith(f"{home} is another node of the PKI in {postgres_empty_url} now.\n")


def test_another_master_key_is_refused(first: Path, tmp_path: Path, postgres_empty_url: str) -> None:
    """ADM-010: a key that opens none of its keys joins nothing, and leaves nothing behind."""
    assert first.exists()
    key, home = tmp_path / "key", tmp_path / "second"
    key.write_text(os.urandom(32).hex() + "\n")
    key.chmod(0o600)
    ran = run("init", "--home", str(home), "--database", postgres_empty_url, key=key)
    assert ran.returncode == 1
    assert "ADM-010" in ran.stderr
    assert not home.exists()


def test_without_a_master_key_it_is_refused(first: Path, tmp_path: Path, postgres_empty_url: str) -> None:
    """ADM-001: without the key the database is in use; the answer says what would join it."""
    assert first.exists()
    home = tmp_path / "second"
    ran = run("init", "--home", str(home), "--database", postgres_empty_url)
    assert ran.returncode == 1
    assert "ADM-001" in ran.stderr
    assert "name its master key" in ran.stderr
    assert not home.exists()


def test_sqlite_has_one_home(tmp_path: Path) -> None:
    """R9: SQLite is for one machine, so a second home on its file is refused, key or not."""
    first, database = tmp_path / "first", f"sqlite:///{tmp_path}/elsewhere.db"
    assert run("init", "--home", str(first), "--url", URL, "--database", database).returncode == 0
    ran = run("init", "--home", str(tmp_path / "second"), "--database", database, key=first / "master.key")
    assert ran.returncode == 1
    assert "ADM-001" in ran.stderr
