"""The demo, as somebody runs it who has just cloned the repository."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from regalia.cli.story import ON_A_TOKEN, SENTENCES, clean_environment
from regalia.cli.story_mdm import MDM_SENTENCES, WEBHOOK_SENTENCES
from regalia.client.transport import HttpTransport

if TYPE_CHECKING:
    from collections.abc import Iterator

    from regalia.cli.story import Sentence

pytestmark = pytest.mark.real

COMMAND = (sys.executable, "-P", "-m", "regalia", "demo")
TOLD = re.compile(
    r"ok  (?P<sentence>.+?) · (?P<proof>(?:regalia|openssl|pkcs11-tool) .+) · (?P<seconds>[0-9]+\.[0-9]) s"
)
LONGEST = 180
"""Seconds: three times the 60 that the story may take (R13)."""


@pytest.fixture
def place(tmp_path: Path) -> Iterator[dict[str, str]]:
    """An environment with a TMPDIR of its own and a REGALIA_HOME that must stay as it is."""
    (tmp_path / "tmp").mkdir()
    (tmp_path / "mine").mkdir()
    environment = clean_environment(tmp_path / "elsewhere" / "home")
    yield {
        **environment,
        "TMPDIR": str(tmp_path / "tmp"),
        "REGALIA_HOME": str(tmp_path / "mine"),
        "REGALIA_MASTER_KEY_FILE": str(tmp_path / "no-such-key"),
        "http_proxy": "http://127.0.0.1:9",
    }
    assert list((tmp_path / "mine").iterdir()) == []
    assert list((tmp_path / "tmp").iterdir()) == []


def test_each_sentence_holds(place: dict[str, str], tmp_path: Path) -> None:
    """`regalia demo --exit` ends 0 and tells each sentence in one line: what held, what proved it, how long it took."""
    ended = subprocess.run(
        [*COMMAND, "--exit"], check=False, capture_output=True, text=True, env=place, cwd=tmp_path, timeout=LONGEST
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    *lines, last = ended.stdout.splitlines()
    told = [TOLD.fullmatch(line) for line in lines]
    assert [found["sentence"] for found in told if found is not None] == [sentence for sentence, _ in SENTENCES]
    assert len(told) == len(SENTENCES)
    assert last.startswith(f"All {len(SENTENCES)} sentences held, in ")
    assert ended.stderr == ""


@pytest.mark.long
def test_each_sentence_holds_on_a_token(place: dict[str, str], tmp_path: Path) -> None:
    """`regalia demo --hsm` tells the same story with CA keys in SoftHSM, and shows that they never leave it (SEC-1)."""
    ended = subprocess.run(
        [*COMMAND, "--hsm", "--exit"],
        check=False,
        capture_output=True,
        text=True,
        env=place,
        cwd=tmp_path,
        timeout=LONGEST,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    told = [found["sentence"] for found in map(TOLD.fullmatch, ended.stdout.splitlines()) if found is not None]
    first, *others = [sentence for sentence, _ in SENTENCES]
    assert told == [first, ON_A_TOKEN[0], *others]


@pytest.mark.timeout(2 * LONGEST)
@pytest.mark.parametrize(
    ("mdm", "sentences"),
    [("webhook", WEBHOOK_SENTENCES), pytest.param("intune", MDM_SENTENCES, marks=pytest.mark.long)],
)
def test_each_sentence_holds_with_an_mdm(
    place: dict[str, str], tmp_path: Path, mdm: str, sentences: tuple[Sentence, ...]
) -> None:
    """`regalia demo --mdm` holds each sentence about a fleet that the laboratory manages."""
    ended = subprocess.run(
        [*COMMAND, "--mdm", mdm, "--exit"],
        check=False,
        capture_output=True,
        text=True,
        env=place,
        cwd=tmp_path,
        timeout=LONGEST,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    told = [found["sentence"] for found in map(TOLD.fullmatch, ended.stdout.splitlines()) if found is not None]
    assert told == [sentence for sentence, _ in sentences]


def test_it_serves_on_until_it_is_interrupted(place: dict[str, str], tmp_path: Path) -> None:
    """Without --exit the demo serves on and prints its addresses; Ctrl-C ends server and home, with exit code 0."""
    with subprocess.Popen(COMMAND, env=place, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as demo:
        try:
            assert demo.stdout is not None
            device = _address(demo.stdout)
            with HttpTransport() as transport:
                assert transport.exchange(f"{device}/scep/default?operation=GetCACaps", None).status == 200
        finally:
            demo.send_signal(signal.SIGINT)
            demo.communicate(timeout=60)
    assert demo.returncode == 0
    assert _is_closed(int(device.rpartition(":")[2]))


def _address(lines: Iterator[str]) -> str:
    for line in lines:
        found = re.fullmatch(r"  device: +(http://\S+)", line.rstrip("\n"))
        if found:
            return found[1]
    pytest.fail("no address was printed")


def _is_closed(port: int) -> bool:
    listening = Path("/proc/net/tcp").read_text(encoding="ascii")
    return f"0100007F:{port:04X} 00000000:0000 0A" not in listening


def test_an_interrupted_story_leaves_nothing(place: dict[str, str], tmp_path: Path) -> None:
    """A demo that is told to end in the middle of its story removes its home and says that it failed."""
    with subprocess.Popen([*COMMAND, "--exit"], env=place, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as demo:
        assert demo.stdout is not None
        demo.stdout.readline()
        demo.terminate()
        demo.communicate(timeout=60)
    assert demo.returncode == 1


def test_a_sentence_that_does_not_hold_fails_the_demo(place: dict[str, str], tmp_path: Path) -> None:
    """When OpenSSL does not confirm what is claimed, the demo says which command printed what, and ends 1."""
    programs = tmp_path / "programs"
    programs.mkdir()
    liar = programs / "openssl"
    liar.write_text('#!/bin/sh\n[ "$1" != verify ] || { echo "error 20"; exit 2; }\nexec "$REAL" "$@"\n')
    liar.chmod(0o755)
    real = shutil.which("openssl")
    assert real is not None
    environment = {**place, "PATH": f"{programs}{os.pathsep}{place['PATH']}", "REAL": real}
    ended = subprocess.run(
        [*COMMAND, "--exit"],
        check=False,
        capture_output=True,
        text=True,
        env=environment,
        cwd=tmp_path,
        timeout=LONGEST,
    )
    assert ended.returncode == 1
    assert len(ended.stdout.splitlines()) == 4
    assert ended.stderr.startswith("This did not hold: openssl verify -purpose sslclient ")
    assert "  error 20\n" in ended.stderr


@pytest.mark.parametrize(("arguments", "packages"), [((), "openssl"), (("--hsm",), "openssl softhsm2 opensc")])
def test_a_missing_program_is_told(
    place: dict[str, str], tmp_path: Path, arguments: tuple[str, ...], packages: str
) -> None:
    """Without its programs and the right to install them the demo prints the one apt line and ends 2 (R13)."""
    empty = tmp_path / "empty"
    empty.mkdir()
    began = time.monotonic()
    ended = subprocess.run(
        [*COMMAND, *arguments],
        check=False,
        capture_output=True,
        text=True,
        env={**place, "PATH": str(empty)},
        cwd=tempfile.gettempdir(),
        timeout=60,
    )
    assert ended.returncode == 2
    assert f"apt-get install -y --no-install-recommends {packages}\n" in ended.stderr
    assert time.monotonic() - began < 30
