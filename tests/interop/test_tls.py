"""The TLS listener of a running server: what OpenSSL and curl make of it, and certificates that change under load."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from interop.laptop import Laptop
from interop.openssl import fetch
from interop.programs import run, run_anyhow, wait_for
from interop.server import free_port, running_server
from regalia.client.scep import ScepClient
from regalia.client.transport import HttpAnswer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from interop.server import Server

pytestmark = [pytest.mark.timeout(600), pytest.mark.live_client("openssl")]

OPEN = 20
"""Connections that are held open while certificates change."""
DEVICES = 4


class Here:
    """This machine's clock and chance."""

    def now(self) -> datetime:
        """Tell the time."""
        return datetime.now(UTC)

    def octets(self, count: int) -> bytes:
        """Draw octets."""
        return os.urandom(count)


@dataclass(frozen=True)
class Site:
    """A server with a TLS listener."""

    server: Server
    port: int
    root: Path
    """Who is trusted: PEM."""

    @property
    def url(self) -> str:
        """Where devices ask."""
        return f"https://127.0.0.1:{self.port}"

    def context(self) -> ssl.SSLContext:
        """Make a client that trusts the root and nobody else."""
        return ssl.create_default_context(cafile=str(self.root))

    def connection(self) -> http.client.HTTPSConnection:
        """Open a connection."""
        return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=60, context=self.context())

    def presented(self) -> bytes:
        """Return the certificate that a new connection is shown."""
        with (
            socket.create_connection(("127.0.0.1", self.port), timeout=60) as plain,
            self.context().wrap_socket(plain, server_hostname="127.0.0.1") as secured,
        ):
            return secured.getpeercert(binary_form=True) or b""

    def exchange(self, url: str, body: bytes | None) -> HttpAnswer:
        """Carry one message, each on a connection of its own: our client's transport with the root as its trust."""
        parts = urlsplit(url)
        connection = self.connection()
        try:
            connection.request("GET" if body is None else "POST", f"{parts.path}?{parts.query}", body)
            answered = connection.getresponse()
            return HttpAnswer(answered.status, answered.read())
        finally:
            connection.close()


@pytest.fixture(scope="module")
def issued(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server whose authority issues its certificate, for another name besides."""
    directory, port = tmp_path_factory.mktemp("issued"), free_port()
    settings = {"LISTEN_TLS": f"localhost:{port}", "TLS_NAMES": "pki.example.org"}
    with running_server(directory, settings={f"REGALIA_SERVER__{key}": value for key, value in settings.items()}) as up:
        root = directory / "root.pem"
        root.write_bytes(fetch(f"{up.device}/ca/root.pem"))
        yield Site(up, port, root)


@pytest.mark.live_client("curl")
@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "pki.example.org"])
def test_curl_trusts_it_by_the_root(issued: Site, name: str) -> None:
    """With the root as its only trust curl verifies the issued certificate under each of its names."""
    way = ("--resolve", f"{name}:{issued.port}:127.0.0.1", "--noproxy", "*", "--cacert", issued.root)
    url = f"https://{name}:{issued.port}/scep/default?operation=GetCACaps"
    assert b"SCEPStandard" in run("curl", "--silent", "--show-error", *way, url)


def test_curl_trusts_no_other_name(issued: Site) -> None:
    """A name that the certificate has not is refused, and so is the certificate without the root."""
    other = ("--resolve", f"other.example.org:{issued.port}:127.0.0.1", "--noproxy", "*")
    url = f"https://other.example.org:{issued.port}/healthz"
    assert run_anyhow("curl", "--silent", *other, "--cacert", issued.root, url).returncode == 60
    assert run_anyhow("curl", "--silent", "--noproxy", "*", f"{issued.url}/healthz").returncode == 60


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_openssl_verifies_the_chain(issued: Site, version: str) -> None:
    """R11: either version, chain and status verified up to the root, and no certificate is asked of the client."""
    at = ("-connect", f"127.0.0.1:{issued.port}", "-CAfile", str(issued.root), "-verify_ip", "127.0.0.1")
    told = run("openssl", "s_client", *at, version, "-verify_return_error", "-x509_strict", "-purpose", "sslserver")
    assert b"Verify return code: 0 (ok)" in told
    assert b"No client certificate CA names sent" in told
    assert b"Acceptable client certificate CA names" not in told


def test_openssl_gets_no_tls_1_1(issued: Site) -> None:
    """R11: nothing older than TLS 1.2."""
    at = ("-connect", f"127.0.0.1:{issued.port}", "-tls1_1", "-cipher", "ALL:@SECLEVEL=0")
    ended = run_anyhow("openssl", "s_client", *at)
    assert ended.returncode != 0
    assert b"Cipher is (NONE)" in ended.stdout


def test_our_client_enrols_over_https(issued: Site, tmp_path: Path) -> None:
    """A device that trusts the root enrols at the https URL; one that does not says so and sends no challenge."""
    laptop = Laptop(tmp_path, issued.server)
    url = f"{issued.url}/scep/default"
    secret = issued.server.challenge(cn="tls-1")
    files = ("--cn", "tls-1", "--key", "device.key", "--cert", "device.pem", "--challenge-file", "-")
    ended = laptop.scep("enrol", *files, stdin=secret, url=url)
    assert ended.code != 0
    assert "CLI-001" in ended.stderr
    ended = laptop.scep("enrol", *files, stdin=secret, url=url, SSL_CERT_FILE=str(issued.root))
    assert ended.code == 0, ended.stderr


def test_the_log_tells_of_it_once(issued: Site) -> None:
    """Two workers that start together issue one certificate; that, and where they listen, are events."""
    listed = [event for event in issued.server.events() if event["action"] == "credential.renewed"]
    assert [event["details"]["purpose"] for event in listed].count("tls") == 1
    (started,) = [event for event in issued.server.events() if event["action"] == "server.started"]
    assert f"device-tls https://localhost:{issued.port}" in started["details"]["listeners"]


# --- files that change under load -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def filed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server with a certificate in files, by an authority of the administrator's."""
    directory, port = tmp_path_factory.mktemp("filed"), free_port()
    authority = ("-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=Company Root")
    run("openssl", "req", *authority, "-keyout", directory / "ca.key", "-out", directory / "ca.pem")
    replace_files(directory)
    settings = {
        "LISTEN_TLS": f"127.0.0.1:{port}",
        "TLS_CERTIFICATE": str(directory / "tls.pem"),
        "TLS_KEY": str(directory / "tls.key"),
    }
    with running_server(directory, settings={f"REGALIA_SERVER__{key}": value for key, value in settings.items()}) as up:
        yield Site(up, port, directory / "ca.pem")


def replace_files(directory: Path) -> bytes:
    """Put a new certificate and key into the place of the old ones; the certificate, DER."""
    request = ("-newkey", "rsa:2048", "-nodes", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1")
    authority = ("-CA", directory / "ca.pem", "-CAkey", directory / "ca.key", "-days", "1")
    run(
        "openssl", "req", *request, "-x509", *authority, "-keyout", directory / "new.key", "-out", directory / "new.pem"
    )
    (directory / "new.key").chmod(0o600)
    (directory / "new.key").replace(directory / "tls.key")
    (directory / "new.pem").replace(directory / "tls.pem")
    return ssl.PEM_cert_to_DER_cert((directory / "tls.pem").read_text())


def test_certificates_change_while_devices_enrol(filed: Site) -> None:
    """Twenty open connections and devices that enrol meanwhile notice nothing of three new certificates."""
    directory, secret = filed.root.parent, filed.server.open_with_secret("fleet", "static")
    held = [filed.connection() for _ in range(OPEN)]
    before = filed.presented()
    for each in held:
        assert ask(each) == 200
    stop = threading.Event()

    def device() -> int:
        enrolled = 0
        while not stop.is_set() or not enrolled:
            client = ScepClient(f"{filed.url}/scep/fleet", filed, Here(), Here(), pause=time.sleep)
            key = rsa.generate_private_key(65537, 2048)
            client.enrol(client.server(None), key, cn=None, sans=frozenset(), challenge=secret)
            enrolled += 1
        return enrolled

    with ThreadPoolExecutor(DEVICES) as devices:
        running = [devices.submit(device) for _ in range(DEVICES)]
        try:
            for turn in range(3):
                fresh = replace_files(directory)
                if turn:
                    # SIGHUP goes through the supervisor to each worker; the first time nobody tells the server.
                    os.kill(filed.server.pid, signal.SIGHUP)
                # Each worker looks for itself, and connections go to either.
                wait_for(
                    "the new certificate",
                    lambda now=fresh: all(filed.presented() == now for _ in range(8)) or None,  # type: ignore[misc]
                    seconds=60,
                )
                for each in held:
                    assert ask(each) == 200
        finally:
            stop.set()
        counts = [each.result() for each in running]
    assert all(counts)
    assert filed.presented() != before
    for each in held:
        assert each.sock.getpeercert(binary_form=True) == before
        each.close()
    assert [line for line in filed.server.log() if line.get("level") == "error"] == []


def test_a_broken_pair_changes_nothing(filed: Site) -> None:
    """Files of no use keep the old certificate in force; log and doctor say so, and what is mended is taken over."""
    directory = filed.root.parent
    before = filed.presented()
    good = (directory / "tls.key").read_bytes()
    (directory / "tls.key").write_bytes(b"nonsense")
    os.kill(filed.server.pid, signal.SIGHUP)

    def said() -> list[dict[str, object]] | None:
        return [line for line in filed.server.log() if line["event"] == "tls-certificate-not-usable"] or None

    wait_for("the log", said, seconds=30)
    time.sleep(6)
    assert 1 <= len(said() or ()) <= 2  # once by each worker
    assert filed.presented() == before
    (directory / "tls.key").write_bytes(good)
    fresh = replace_files(directory)
    os.kill(filed.server.pid, signal.SIGHUP)
    wait_for("the mended pair", lambda: filed.presented() == fresh or None, seconds=30)


def ask(connection: http.client.HTTPSConnection) -> int:
    """Ask for the capabilities over a connection that stays open; a lost one fails."""
    connection.auto_open = 0 if connection.sock is not None else 1
    connection.request("GET", "/scep/default?operation=GetCACaps")
    answered = connection.getresponse()
    answered.read()
    return answered.status
