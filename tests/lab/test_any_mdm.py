"""The MDM that speaks web hooks: whom it says yes to, whom it believes, and what it tells."""

from __future__ import annotations

import hmac
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from regalia.lab.any_mdm import hand_out, judged, listed, made, wipe
from regalia.lab.desk import DeskError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOW = 1_772_355_600
NAME = "LAPTOP-0001"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An MDM with two devices."""
    made(tmp_path / "mdm", 2)
    return tmp_path / "mdm"


def signed(
    folder: Path, message: dict[str, Any], *, stamp: str = str(NOW), key: str = ""
) -> tuple[dict[str, str], bytes]:
    """Sign a message as Regalia does."""
    body = json.dumps(message).encode()
    secret = key or (folder / "key").read_text("ascii")
    signature = hmac.digest(secret.encode(), f"{stamp}.".encode() + body, "sha256").hex()
    return {"regalia-timestamp": stamp, "regalia-signature": f"v1={signature}"}, body


def asked(folder: Path, cn: str | None, challenge: str, key: str = "aa") -> dict[str, Any]:
    """Ask it whether a request may have its certificate."""
    message = {"type": "authorise", "names": {"cn": cn, "sans": []}, "challenge": challenge, "key_sha256": key}
    answer = judged(folder, *signed(folder, message), NOW)
    assert answer is not None
    return answer


def test_it_vouches_for_what_it_handed_out(folder: Path) -> None:
    """A challenge is good for the device it was made for, for one key; the same request again gets the same yes."""
    challenge = hand_out(folder, NAME)
    first = asked(folder, NAME, challenge)
    assert (first["verdict"], first["names"], first["fresh"]) == ("allow", {"cn": NAME}, True)
    assert first["device"] == {"id": "asset-1", "name": NAME, "serial": "SN000001"}
    assert asked(folder, NAME, challenge) == first


@pytest.mark.parametrize(
    ("cn", "key", "code"),
    [("LAPTOP-0002", "aa", "other-name"), (None, "aa", "other-name"), (NAME, "bb", "used-challenge")],
)
def test_a_captured_challenge_is_worth_nothing(folder: Path, cn: str | None, key: str, code: str) -> None:
    """CHA-1: another name, or another key after the first one, is refused and is a matter of security."""
    challenge = hand_out(folder, NAME)
    if key != "aa":
        asked(folder, NAME, challenge)
    refused = asked(folder, cn, challenge, key)
    assert (refused["verdict"], refused["code"], refused["security"]) == ("refuse", code, True)


def test_it_knows_no_other_challenge(folder: Path) -> None:
    """What it has not handed out, or handed out to a device that is wiped, gets no yes."""
    assert asked(folder, NAME, "nobody's")["code"] == "unknown-challenge"
    assert asked(folder, NAME, "")["code"] == "unknown-challenge"
    with pytest.raises(DeskError, match="no device"):
        hand_out(folder, "LAPTOP-0009")


@pytest.mark.parametrize("wrong", ["key", "stamp", "old", "body", "nothing"])
def test_it_believes_only_what_is_signed_now(folder: Path, wrong: str) -> None:
    """CON-6: a wrong key, a time that is none or long ago, an altered body, or no signature is answered by nothing."""
    stamp = {"stamp": "soon", "old": str(NOW - 301)}.get(wrong, str(NOW))
    headers, body = signed(folder, {"type": "check"}, stamp=stamp, key="another" if wrong == "key" else "")
    assert judged(folder, {} if wrong == "nothing" else headers, body + b" " * (wrong == "body"), NOW) is None
    headers, body = signed(folder, {"type": "check"})
    assert judged(folder, headers, body, NOW) == {"noted": True}


@pytest.fixture
def heard() -> Iterator[tuple[str, list[tuple[str, str, bytes]]]]:
    """A server that takes down what it is sent."""
    received: list[tuple[str, str, bytes]] = []

    class Taker(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            received.append((self.headers["regalia-timestamp"], self.headers["regalia-signature"], body))
            self.send_response(202 if b"asset-1" in body else 422)
            self.end_headers()
            self.wfile.write(b'{"receipt": "r-1"}')

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the library's own name
            del format, arguments

    server = HTTPServer(("127.0.0.1", 0), Taker)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/hooks/mdm", received
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_wipe_is_told(folder: Path, heard: tuple[str, list[tuple[str, str, bytes]]]) -> None:
    """A wipe is told by a message that is signed with the hook's key; from then on the device gets no yes."""
    url, received = heard
    assert wipe(folder, NAME, url, "hook key") == "r-1"
    ((stamp, signature, body),) = received
    assert json.loads(body)["devices"] == [{"id": "asset-1", "pending": "wipe"}]
    assert signature == "v1=" + hmac.digest(b"hook key", f"{stamp}.".encode() + body, "sha256").hex()
    assert {each["name"]: each["wiped"] for each in listed(folder)} == {NAME: True, "LAPTOP-0002": False}
    assert asked(folder, NAME, hand_out(folder, NAME))["code"] == "wiped"
    with pytest.raises(DeskError, match="422"):
        wipe(folder, "LAPTOP-0002", url, "hook key")


def test_a_directory_is_its_own(tmp_path: Path) -> None:
    """It begins in no directory that holds other things, and goes on with what it knew."""
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.png").touch()
    with pytest.raises(DeskError, match="other things"):
        made(tmp_path / "photos", 1)
    with pytest.raises(DeskError, match="no MDM"):
        listed(tmp_path / "photos")
    before = made(tmp_path / "mdm", 1)
    assert made(tmp_path / "mdm", 5) == before
