"""TLS of a listener on real sockets: versions, who is counted when, and a certificate that changes."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import subprocess
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from typing import TYPE_CHECKING

import pytest
import structlog

from fakes import SeededEntropy
from regalia import reasons
from regalia.errors import AdminError, UnavailableError
from regalia.keys.admin_tls import make_admin_tls
from regalia.keys.tls_files import TlsFiles
from regalia.web.answers import answer
from regalia.web.connections import OpenConnections
from regalia.web.protocol import ConnectionLimits
from regalia.web.proxies import TrustedProxies
from regalia.web.serve import Listener
from regalia.web.tls import ReloadingContext
from web.asgi import listening

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from starlette.types import Receive, Scope, Send

    from regalia.web.serve import Bound

pytestmark = pytest.mark.real

LIMITS = ConnectionLimits(header_seconds=1, per_source=5)
ASKED = b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n"


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Say who asks, and how."""
    if scope["path"] == "/slow":
        await asyncio.sleep(1.5)
    await answer(200, f"{scope['client'][0]} {scope['scheme']}".encode())(scope, receive, send)


@dataclass
class Site:
    """A TLS listener and its files."""

    files: TlsFiles
    bound: Bound
    connections: OpenConnections

    def renew(self, seed: int) -> bytes:
        """Put another certificate into the files; its DER."""
        made = make_admin_tls(self.files.key.parent, "localhost", now=datetime.now(UTC), entropy=SeededEntropy(seed))
        return ssl.PEM_cert_to_DER_cert(made.certificate.read_text())

    def plain(self) -> socket.socket:
        """Open a connection, and begin no handshake."""
        return socket.create_connection(("127.0.0.1", self.bound.port), timeout=20)

    def secured(self, context: ssl.SSLContext | None = None) -> ssl.SSLSocket:
        """Open a connection and agree on keys."""
        return (context or client()).wrap_socket(self.plain())

    def presented(self) -> bytes:
        """Return the certificate that a new connection is shown."""
        with self.secured() as connection:
            return connection.getpeercert(binary_form=True) or b""

    def open_now(self) -> int:
        """How many connections are counted."""
        _, of_all = self.connections.opened(None)
        self.connections.closed(None)
        return of_all - 1


def client() -> ssl.SSLContext:
    """Make a client that believes everybody."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def heard(connection: socket.socket) -> bytes:
    """Read one answer, or nothing where there is none."""
    read = b""
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        while b"\r\n\r\n" not in read and (octets := connection.recv(65_536)):
            read += octets
    return read


def files_in(home: Path, seed: int = 1) -> TlsFiles:
    """Make a certificate and its key."""
    made = make_admin_tls(home, "localhost", now=datetime.now(UTC), entropy=SeededEntropy(seed))
    return TlsFiles(made.certificate, made.key)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A listener with little patience."""
    files, connections = files_in(tmp_path), OpenConnections()
    listener = Listener("device-tls", echo, "127.0.0.1", 0, files, LIMITS, connections=connections)
    with listening(listener) as bound:
        yield Site(files, bound[0], connections)


# --- what is spoken ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "suite"),
    [("-tls1_3", ""), ("-tls1_2", "ECDHE-ECDSA-AES128-GCM-SHA256"), ("-tls1_2", "ECDHE-ECDSA-AES256-SHA384")],
)
def test_tls_1_2_and_1_3_are_spoken(site: Site, version: str, suite: str) -> None:
    """R11: OpenSSL agrees on either, with what older Windows has too, and is not asked for a certificate."""
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{site.bound.port}", version, *(["-cipher", suite] * 1)]
    command = command if suite else command[:-2]
    ran = subprocess.run(command, input=b"", capture_output=True, check=False)
    told = ran.stdout.decode()
    assert ran.returncode == 0, ran.stderr
    assert "No client certificate CA names sent" in told
    assert suite in told


@pytest.mark.parametrize(
    "arguments",
    [
        ["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"],
        ["-tls1", "-cipher", "ALL:@SECLEVEL=0"],
        ["-tls1_2", "-cipher", "AES128-SHA:AES256-GCM-SHA384:ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0"],
    ],
)
def test_nothing_older_or_weaker_is(site: Site, arguments: list[str]) -> None:
    """TLS 1.1 and suites without forward secrecy or with SHA-1 end the handshake."""
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{site.bound.port}", *arguments]
    ran = subprocess.run(command, input=b"", capture_output=True, check=False)
    assert ran.returncode != 0
    assert b"Cipher is (NONE)" in ran.stdout


def test_the_application_hears_of_https(site: Site) -> None:
    """Under TLS the scheme is https, and the peer is who holds the socket."""
    with site.secured() as connection:
        connection.sendall(ASKED)
        assert heard(connection).endswith(b"127.0.0.1 https")


def test_a_request_behind_the_handshake_is_not_lost(site: Site) -> None:
    """TLS 1.3 lets a client send its request together with the end of its handshake."""
    context = client()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = context.wrap_bio(incoming, outgoing)
    with site.plain() as connection:
        with pytest.raises(ssl.SSLWantReadError):
            session.do_handshake()
        connection.sendall(outgoing.read())
        while True:
            incoming.write(connection.recv(65_536))
            try:
                session.do_handshake()
                break
            except ssl.SSLWantReadError:
                continue
        session.write(ASKED)
        connection.sendall(outgoing.read())  # both in one piece
        read = b""
        while b"https" not in read:
            incoming.write(connection.recv(65_536))
            with contextlib.suppress(ssl.SSLWantReadError):
                read += session.read(65_536)
    assert read.startswith(b"HTTP/1.1 200 ")


def test_plain_http_on_the_tls_port_ends(site: Site) -> None:
    """Who takes one listener for the other is hung up on; the log says why to whoever asks it for everything."""
    with structlog.testing.capture_logs() as said:
        with site.plain() as connection:
            connection.sendall(ASKED)
            assert not heard(connection).startswith(b"HTTP")
        deadline = time.monotonic() + 20
        while not said:
            assert time.monotonic() < deadline
    assert (said[0]["event"], said[0]["source"], said[0]["log_level"]) == ("tls-handshake-failed", "127.0.0.1", "debug")
    assert site.presented()


# --- who is counted ---------------------------------------------------------------------------------------------------


def test_connections_count_from_their_first_packet(site: Site) -> None:
    """RES-2: who opens connections and begins no handshake reaches the limit of its source all the same."""
    held = [site.plain() for _ in range(LIMITS.per_source)]
    deadline = time.monotonic() + 20
    while site.open_now() < LIMITS.per_source:
        assert time.monotonic() < deadline
    with pytest.raises((ssl.SSLError, ConnectionError)):
        site.secured()
    for each in held:
        each.close()


def test_a_handshake_has_a_deadline(site: Site) -> None:
    """RES-2: who begins none is hung up on after the header's deadline, and counted no more."""
    with site.plain() as connection:
        began = time.monotonic()
        assert heard(connection) == b""
        assert LIMITS.header_seconds * 0.8 < time.monotonic() - began < 15
    deadline = time.monotonic() + 20
    while site.open_now():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_connection_counts_once(site: Site) -> None:
    """As many connections as one source may have agree on keys and are answered; the next one is not."""
    held = [site.secured() for _ in range(LIMITS.per_source)]
    for each in held:
        each.sendall(ASKED)
        assert heard(each).startswith(b"HTTP/1.1 200 ")
    assert site.open_now() == LIMITS.per_source
    with pytest.raises((ssl.SSLError, ConnectionError)):
        site.secured()
    for each in held:
        each.close()
    deadline = time.monotonic() + 20
    while site.open_now():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert site.presented()


@pytest.mark.parametrize("tls", [True, False], ids=["tls", "plain"])
def test_a_trusted_proxy_is_many_sources(tmp_path: Path, tls: bool) -> None:  # noqa: FBT001 - a parameter
    """A proxy's connections are all devices' together: the number of all holds for it, not that of one source."""
    limits = ConnectionLimits(per_source=2, connections=8)
    proxies = TrustedProxies((ip_network("127.0.0.1"),))
    files = files_in(tmp_path) if tls else None
    listener = Listener("device", echo, "127.0.0.1", 0, files, limits, proxies=proxies)
    with listening(listener) as (bound,):

        def opened() -> socket.socket:
            plain = socket.create_connection(("127.0.0.1", bound.port), timeout=20)
            return client().wrap_socket(plain) if tls else plain

        held = [opened() for _ in range(limits.connections)]
        for each in held:
            each.sendall(b"GET /x HTTP/1.1\r\nX-Forwarded-For: 192.0.2.9\r\nX-Forwarded-Proto: https\r\n\r\n")
            assert heard(each).endswith(b"192.0.2.9 https")
        if tls:
            with pytest.raises((ssl.SSLError, ConnectionError)):
                opened()
        else:
            with opened() as ninth:
                assert heard(ninth).startswith(b"HTTP/1.1 503 ")
        for each in held:
            each.close()


# --- another certificate ----------------------------------------------------------------------------------------------


def test_a_new_certificate_drops_nobody(site: Site) -> None:
    """Connections from before go on with what they began with; new ones are shown the new certificate."""
    first = site.presented()
    slow = site.secured()
    slow.sendall(ASKED.replace(b"/x", b"/slow"))
    held = [site.secured() for _ in range(3)]
    for each in held:
        each.sendall(ASKED)
        assert heard(each).startswith(b"HTTP/1.1 200 ")
    second = site.renew(2)
    assert second != first
    deadline = time.monotonic() + 30
    while site.presented() != second:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    for each in held:
        each.sendall(ASKED)
        assert heard(each).startswith(b"HTTP/1.1 200 ")
        assert each.getpeercert(binary_form=True) == first
        each.close()
    assert heard(slow).startswith(b"HTTP/1.1 200 ")
    slow.close()


def test_a_broken_pair_is_said_once_and_changes_nothing(tmp_path: Path) -> None:
    """What does not belong together, is no PEM or may be read by all keeps the old one; the log says each once."""
    files = files_in(tmp_path)
    reloading = ReloadingContext("device-tls", files)
    key = files.key.read_bytes()
    for broken, mode in ((b"nonsense", 0o600), (key[:100], 0o600), (key, 0o644)):
        files.key.write_bytes(broken)
        files.key.chmod(mode)
        with structlog.testing.capture_logs() as said:
            assert [reloading.reload_if_changed() for _ in range(3)] == [False] * 3
        assert [(line["event"], line["listener"]) for line in said] == [("tls-certificate-not-usable", "device-tls")]
    files.key.write_bytes(key)
    files.key.chmod(0o600)
    with structlog.testing.capture_logs() as said:
        assert [reloading.reload_if_changed(), reloading.reload_if_changed()] == [True, False]
    assert [line["event"] for line in said] == ["tls-certificate-reloaded"]


def test_an_encrypted_key_is_refused(tmp_path: Path) -> None:
    """Nobody is there to be asked for its password."""
    files = files_in(tmp_path)
    command = ["openssl", "pkey", "-in", str(files.key), "-aes128", "-passout", "pass:secret"]
    files.key.write_bytes(subprocess.run(command, check=True, capture_output=True).stdout)
    files.key.chmod(0o600)
    with pytest.raises(AdminError, match="ADM-020"):
        ReloadingContext("device-tls", files)


class Away:
    """A source that cannot be reached any more."""

    def __init__(self, pem: bytes) -> None:
        self._pem: bytes | None = pem

    def look(self) -> object:
        """Answer once."""
        if self._pem is None:
            raise UnavailableError(reasons.STORE_UNAVAILABLE, "away")
        return 1

    def read(self) -> bytes:
        """Answer once."""
        pem, self._pem = self._pem, None
        assert pem is not None
        return pem


def test_a_source_that_is_away_changes_nothing(tmp_path: Path) -> None:
    """RES-7: while the database is away the certificate stays in force, and the log says so once."""
    reloading = ReloadingContext("device-tls", Away(files_in(tmp_path).read()))
    with structlog.testing.capture_logs() as said:
        assert [reloading.reload_if_changed() for _ in range(3)] == [False] * 3
    assert len(said) == 1


def test_files_say_what_they_present(tmp_path: Path) -> None:
    """Doctor learns names, end and fingerprint from what the listener would load."""
    files = files_in(tmp_path)
    presented = files.check()
    assert presented.not_after - datetime.now(UTC) > timedelta(days=390)
    assert {str(name) for name in presented.names} == {"dns:localhost", "ip:127.0.0.1", "ip:::1"}
    files.key.chmod(0o640)
    with pytest.raises(AdminError, match="ADM-011"):
        files.check()
