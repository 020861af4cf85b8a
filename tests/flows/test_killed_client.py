"""A device that dies between request and answer: what it kept on disk is enough to go on, and costs no challenge."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING
from urllib.request import ProxyHandler, Request, build_opener

import pytest

from interop.checks import check_certificate
from interop.fixtures import laptop, relying_party, server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from interop.laptop import Laptop
    from interop.openssl import RelyingParty

__all__ = ["laptop", "relying_party", "server"]

pytestmark = pytest.mark.real
SECONDS = 60
KEPT = "device.pem.transaction"


@dataclass
class Wire:
    """Between a device and its server: it pulls the device's plug when the message comes by."""

    upstream: str
    delivers: bool
    """Whether the message still arrives at the server."""
    device: list[subprocess.Popen[bytes]] = field(default_factory=list)
    directory: Path | None = None
    seen: list[bytes] = field(default_factory=list)
    """What lay on the device's disk for its transaction when its message was under way."""

    def passes(self, path: str, body: bytes | None) -> bytes:
        """Hand on to the server; its answer."""
        request = Request(self.upstream + path, data=body)  # noqa: S310 - loopback, the test's own server
        with build_opener(ProxyHandler({})).open(request, timeout=SECONDS) as answer:
            octets: bytes = answer.read()
            return octets

    def cuts(self, path: str, body: bytes) -> None:
        """Kill the device, before or after the server got its message."""
        assert self.directory is not None
        self.seen.append((self.directory / KEPT).read_bytes())
        if self.delivers:
            self.passes(path, body)
        os.kill(self.device[0].pid, signal.SIGKILL)


@contextmanager
def running(wire: Wire) -> Iterator[str]:
    """Stretch the wire until the block ends; the URL of its end."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = wire.passes(self.path, None)
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            wire.cuts(self.path, self.rfile.read(int(self.headers["Content-Length"])))

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class calls it so
            del format, args

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def _killed(laptop: Laptop, endpoint: str, challenge: str, *, delivers: bool) -> str:
    """Run an enrolment that is killed while its message is under way; the URL that it used, which then still works."""
    wire = Wire(laptop.server.device, delivers=delivers, directory=laptop.directory)
    (laptop.directory / "challenge").write_text(challenge, encoding="utf-8")
    with running(wire) as url:
        command = (sys.executable, "-P", "-m", "regalia", "scep", "enrol", "--url", f"{url}/scep/{endpoint}")
        files = ("--cn", "lap", "--key", "device.key", "--cert", "device.pem", "--challenge-file", "challenge")
        environment = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(laptop.directory)}
        with subprocess.Popen(
            [*command, *files], cwd=laptop.directory, env=environment, stderr=subprocess.DEVNULL
        ) as device:
            wire.device.append(device)
            assert device.wait(SECONDS) == -signal.SIGKILL
    assert laptop.files() == ["challenge", "device.key", KEPT]
    # What lay there when the message left is what the next run finds.
    assert wire.seen == [(laptop.directory / KEPT).read_bytes()]
    return f"{url}/scep/{endpoint}"


def _again(laptop: Laptop, url: str, endpoint: str) -> None:
    """Let the device find its server under the address of before, and run the same command again."""
    kept = laptop.directory / KEPT
    target = f"{laptop.server.device}/scep/{endpoint}"
    kept.write_text(kept.read_text(encoding="utf-8").replace(url, target), encoding="utf-8")
    ended = laptop.scep(
        *("enrol", "--cn", "lap", "--key", "device.key", "--cert", "device.pem", "--challenge-file", "challenge"),
        url=target,
    )
    assert ended.code == 0, ended.stderr
    assert "going on with transaction" in ended.stderr


@pytest.mark.parametrize("delivers", [True, False])
def test_a_killed_device_goes_on(laptop: Laptop, relying_party: RelyingParty, *, delivers: bool) -> None:
    """Killed after or before its one-time challenge was spent, the device gets its one certificate on the next run."""
    server = laptop.server
    before = len(server.issued())
    url = _killed(laptop, "default", server.challenge(cn="lap"), delivers=delivers)
    assert len(server.issued()) == before + delivers

    _again(laptop, url, "default")

    check_certificate(laptop.certificate, server=server, relying_party=relying_party)
    assert len(server.issued()) == before + 1
    assert laptop.files() == ["challenge", "device.key", "device.pem"]


def test_a_killed_device_polls(laptop: Laptop, relying_party: RelyingParty) -> None:
    """Killed before it learns that its request is pending, the device still collects what was approved meanwhile."""
    server = laptop.server
    _killed(laptop, "queue", server.open_with_secret("queue", "approval"), delivers=True)
    (held,) = server.pending("queue")
    server.approve(held["id"])

    ended = laptop.scep("poll", "--cert", "device.pem", url=f"{server.device}/scep/queue")

    assert ended.code == 0, ended.stderr
    check_certificate(laptop.certificate, server=server, relying_party=relying_party)
    assert laptop.files() == ["challenge", "device.key", "device.pem"]
