"""The listeners as a network sees them: real sockets, HTTP as old clients and hostile ones speak it."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

import pytest

from fakes import SeededEntropy
from regalia.errors import AdminError
from regalia.keys.admin_tls import make_admin_tls
from regalia.keys.tls_files import TlsFiles
from regalia.web.answers import answer
from regalia.web.body import read_body
from regalia.web.edge import Edge
from regalia.web.protocol import ConnectionLimits
from regalia.web.serve import Listener
from regalia.web.tls import ReloadingContext
from web.asgi import listening

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from starlette.types import Receive, Scope, Send

    from regalia.web.answers import Answer
    from regalia.web.metrics import Metrics
    from regalia.web.serve import Bound

pytestmark = pytest.mark.real

LIMITS = ConnectionLimits(header_seconds=0.5, body_seconds=0.5, per_source=5)
LIMIT = 1_000


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the body's length, or 413; `/slow` takes a while, `/bug` never answers."""
    if scope["path"] == "/bug":
        raise RuntimeError("a bug with a /secret/path")
    if scope["path"] == "/slow":
        await asyncio.sleep(0.8)
    body = await read_body(scope, receive, LIMIT)
    given = answer(200, b"%d octets" % len(body)) if body is not None else answer(413, b"too large")
    await given(scope, receive, send)


@dataclass
class Wire:
    """A server to talk to."""

    port: int

    def raw(self, octets: bytes) -> bytes:
        """Send these octets and read until the server hangs up, which it may do while we still send."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as connection:
            with contextlib.suppress(ConnectionError):
                connection.sendall(octets)
            return _read_all(connection)

    def connection(self) -> http.client.HTTPConnection:
        """Open a keep-alive connection."""
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)


def _read_all(connection: socket.socket) -> bytes:
    read = b""
    with contextlib.suppress(ConnectionResetError):
        while octets := connection.recv(65_536):
            read += octets
    return read


@pytest.fixture
def wire(metrics: Metrics) -> Iterator[Wire]:
    """The echo behind the edge, on a free port."""
    with listening(Listener("device", Edge(echo, "device", metrics), "127.0.0.1", 0, limits=LIMITS)) as bound:
        yield Wire(bound[0].port)


def test_http_1_0_without_host_is_served(wire: Wire) -> None:
    """Old clients (certmonger, Cisco IOS) ask in HTTP/1.0 and name no host (R6)."""
    heard = wire.raw(b"GET /x HTTP/1.0\r\n\r\n")
    assert heard.startswith(b"HTTP/1.1 200 OK\r\n")
    assert heard.endswith(b"0 octets")


def test_the_server_does_not_name_itself(wire: Wire) -> None:
    """No header says what the server is made of; one says when."""
    connection = wire.connection()
    connection.request("GET", "/x")
    response = connection.getresponse()
    assert response.getheader("server") is None
    assert response.getheader("date") is not None
    connection.close()


def test_an_answer_says_what_time_it_is(wire: Wire) -> None:
    """The date of an answer is the time of that answer to two seconds, also when the server was idle before it."""
    connection = wire.connection()
    for pause in (0, 3):
        time.sleep(pause)
        connection.request("GET", "/x")
        response = connection.getresponse()
        response.read()
        dated = parsedate_to_datetime(response.getheader("date") or "")
        assert abs((datetime.now(UTC) - dated).total_seconds()) < 2.5  # whole seconds, written once a second
    connection.close()


def test_forwarded_headers_change_nothing(metrics: Metrics) -> None:
    """WEB-9 and RES-6: the peer is who holds the socket, whatever it says."""

    async def whoami(scope: Scope, receive: Receive, send: Send) -> None:
        await answer(200, f"{scope['client'][0]} {scope['scheme']}".encode())(scope, receive, send)

    with listening(Listener("device", Edge(whoami, "device", metrics), "127.0.0.1", 0)) as bound:
        heard = Wire(bound[0].port).raw(
            b"GET / HTTP/1.0\r\nX-Forwarded-For: 198.51.100.1\r\nX-Forwarded-Proto: https\r\n\r\n"
        )
    assert heard.endswith(b"\r\n\r\n127.0.0.1 http")


def test_chunked_bodies_are_counted_while_they_come(wire: Wire) -> None:
    """RES-1: a body without a length has the same limit."""
    head = b"POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    chunk = b"64\r\n" + bytes(100) + b"\r\n"
    assert wire.raw(head + chunk * 10 + b"0\r\n\r\n").endswith(b"1000 octets")
    assert b" 413 " in wire.raw(head + chunk * 10 + b"1\r\nx\r\n0\r\n\r\n")


def test_a_client_that_waits_for_100_continue_is_told_of_413_at_once(wire: Wire) -> None:
    """A body that is announced as too long is never asked for."""
    head = b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\nExpect: 100-continue\r\n\r\n"
    heard = wire.raw(head)
    assert b" 100 " not in heard
    assert b" 413 " in heard


def test_expect_100_continue_works(wire: Wire) -> None:
    """A client that asks whether to go on is told to."""
    head = b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n"
    heard = wire.raw(head + b"abc")
    assert heard.startswith(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert heard.endswith(b"3 octets")


def test_a_long_url_is_414(wire: Wire) -> None:
    """RES-1: a URL that no application here allows is refused before it is kept."""
    assert wire.raw(b"GET /" + b"a" * 60_000 + b" HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 200 ")
    assert wire.raw(b"GET /" + b"a" * 66_000 + b" HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 414 ")
    assert wire.raw(b"GET /" + b"a" * 5_000_000)[:13] in (b"", b"HTTP/1.1 414 ")


def test_long_headers_are_431(wire: Wire) -> None:
    """RES-1: header fields have 16 KiB together, be they many, long, or without an end."""
    begin = b"GET / HTTP/1.0\r\n"
    assert wire.raw(begin + b"a: b\r\n" * 1_000 + b"\r\n").startswith(b"HTTP/1.1 200 ")
    assert wire.raw(begin + b"a: b\r\n" * 5_000 + b"\r\n").startswith(b"HTTP/1.1 431 ")
    assert wire.raw(begin + b"a: " + b"b" * 17_000 + b"\r\n\r\n").startswith(b"HTTP/1.1 431 ")
    assert wire.raw(begin + b"a: " + b"b" * 3_000_000)[:13] in (b"", b"HTTP/1.1 431 ")


@pytest.mark.parametrize(
    "octets",
    [
        b"\r\n\r\n\x00\x01\x02\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"G\xc3\x89T / HTTP/1.1\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\n\r\n",
        b"GET http://[::bad HTTP/1.1\r\n\r\n",
        b"CONNECT nowhere:1 HTTP/1.1\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 99999999999999999999999999\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100),
    ],
)
def test_no_octets_make_a_5xx(wire: Wire, octets: bytes) -> None:
    """IN-2: whatever comes over the wire, the answer is 4xx or nothing."""
    status = wire.raw(octets).partition(b"\r\n")[0].split(b" ")[1:2]
    assert status in ([], [b"400"], [b"404"], [b"408"])


def test_a_header_that_does_not_end_meets_its_deadline(wire: Wire) -> None:
    """RES-2: who dribbles a header is hung up on."""
    began = time.monotonic()
    assert wire.raw(b"GET / HTTP/1.1\r\nHost: x").startswith(b"HTTP/1.1 408 ")
    assert time.monotonic() - began < 10
    assert wire.raw(b"") == b""


def test_a_body_that_does_not_come_meets_its_deadline(wire: Wire, metrics: Metrics) -> None:
    """RES-2: who announces a body and keeps it is hung up on; that is nobody's incident."""
    heard = wire.raw(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc")
    assert heard.startswith(b"HTTP/1.1 408 ")
    assert metrics.registry.get_sample_value("regalia_incidents_total") == 0


def test_a_slow_answer_has_no_deadline(wire: Wire) -> None:
    """The deadlines are for who asks; we may take as long as it takes."""
    assert wire.raw(b"GET /slow HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 200 ")


def test_a_stray_line_end_costs_nobody_an_answer(wire: Wire) -> None:
    """Old clients send CRLF after a body; while we work on the request before, that is no late header."""
    with socket.create_connection(("127.0.0.1", wire.port), timeout=20) as connection:
        connection.sendall(b"POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc")
        time.sleep(0.1)
        connection.sendall(b"\r\n")
        heard = _read_all(connection)
    assert heard.startswith(b"HTTP/1.1 200 ")
    assert b" 408 " not in heard


def test_pipelined_requests_are_answered_in_order(wire: Wire) -> None:
    """Requests that come in one piece are each answered, the slow first one first."""
    heard = wire.raw(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\nPOST /x HTTP/1.0\r\nContent-Length: 2\r\n\r\nab")
    assert heard.count(b"HTTP/1.1 200 ") == 2
    assert heard.index(b"0 octets") < heard.index(b"2 octets")


def remembering(scope: Scope, body: bytes) -> Answer | None:
    """Answer from memory what is asked at `/known`."""
    return answer(200, b"%d remembered" % len(body)) if scope["path"] == "/known" else None


@pytest.fixture
def quick_wire(metrics: Metrics) -> Iterator[Wire]:
    """The echo behind an edge that also answers from memory."""
    edge = Edge(echo, "device", metrics, remembering)
    with listening(Listener("device", edge, "127.0.0.1", 0, limits=LIMITS)) as bound:
        yield Wire(bound[0].port)


def test_what_is_remembered_is_answered_in_its_turn(quick_wire: Wire) -> None:
    """Requests in one piece are answered in their order, whether from memory or by the application, each once.

    Who stands behind one that took its time is the application's.
    """
    known = b"POST /known HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"
    other = b"POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab"
    last = b"GET /x HTTP/1.0\r\n\r\n"
    heard = quick_wire.raw(known + known + other + known + last)
    bodies = [part.partition(b"\r\n\r\n")[2] for part in heard.split(b"HTTP/1.1 200 OK\r\n")[1:]]
    assert bodies == [b"3 remembered", b"3 remembered", b"2 octets", b"3 octets", b"0 octets"]


@pytest.mark.parametrize(
    "octets",
    [
        pytest.param((b"POST /known HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\na", b"bc"), id="in pieces"),
        pytest.param((b"POST /known HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc",), id="connection that ends"),
    ],
)
def test_what_memory_cannot_answer_at_once_is_the_applications(quick_wire: Wire, octets: tuple[bytes, ...]) -> None:
    """A request that comes in pieces, or whose connection ends with its answer, goes to the application."""
    with socket.create_connection(("127.0.0.1", quick_wire.port), timeout=20) as connection:
        for piece in octets:
            connection.sendall(piece)
            time.sleep(0.05)
        connection.shutdown(socket.SHUT_WR)
        assert _read_all(connection).endswith(b"\r\n\r\n3 octets")


def test_what_ends_pipelined_requests_causes_no_incident(wire: Wire, metrics: Metrics) -> None:
    """IN-2: answers that nobody can get any more, since nonsense followed the requests, are no fault of ours."""
    wire.raw(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n" * 3 + b"nonsense\r\n\r\n")
    time.sleep(1.2)
    assert wire.raw(b"GET /x HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 200 ")
    assert metrics.registry.get_sample_value("regalia_incidents_total") == 0


@pytest.mark.parametrize("body", [b"", b"abc", b"x" * (LIMIT + 1)])
def test_an_answer_is_the_same_however_its_connection_goes_on(wire: Wire, body: bytes) -> None:
    """On a connection that is kept and on one that ends, status line, fields and body are the same."""

    def asked(version: bytes) -> bytes:
        return b"POST /x HTTP/%s\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (version, len(body), body)

    ended = wire.raw(asked(b"1.0"))
    with socket.create_connection(("127.0.0.1", wire.port), timeout=20) as connection:
        connection.sendall(asked(b"1.1"))
        connection.shutdown(socket.SHUT_WR)
        kept = _read_all(connection)

    def told(heard: bytes) -> tuple[set[bytes], bytes]:
        head, _, rest = heard.partition(b"\r\n\r\n")
        assert head.count(b"\r\ndate: ") == 1
        moving = (b"date: ", b"connection: ")
        return {line for line in head.split(b"\r\n") if not line.startswith(moving)}, rest

    assert told(kept) == told(ended)


def test_one_source_has_so_many_connections(wire: Wire) -> None:
    """RES-2 and R6: a connection over the limit of its source is answered 429 with Retry-After; later ones are not."""
    held = [socket.create_connection(("127.0.0.1", wire.port), timeout=20) for _ in range(LIMITS.per_source)]
    for each in held:
        each.sendall(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
    heard = wire.raw(b"")
    assert heard.startswith(b"HTTP/1.1 429 ")
    assert b"\r\nretry-after: " in heard
    for each in held:
        each.close()
    deadline = time.monotonic() + 20
    while not wire.raw(b"GET /x HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 200 "):
        assert time.monotonic() < deadline


def test_the_listener_has_so_many_connections(metrics: Metrics) -> None:
    """RES-2: beyond the global limit the answer is 503 with Retry-After."""
    limits = ConnectionLimits(connections=1)
    with listening(Listener("device", Edge(echo, "device", metrics), "127.0.0.1", 0, limits=limits)) as bound:
        wire = Wire(bound[0].port)
        with socket.create_connection(("127.0.0.1", wire.port)):
            heard = wire.raw(b"")
    assert heard.startswith(b"HTTP/1.1 503 ")
    assert b"\r\nretry-after: " in heard


# --- peers that do not read -------------------------------------------------------------------------------------------

LONG = 4_000_000
PATIENCE = ConnectionLimits(answer_seconds=1, header_seconds=0.2, per_source=1)


async def long_answer(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with more than the system takes from us at once."""
    await answer(200, bytes(LONG))(scope, receive, send)


@pytest.fixture
def long_wire(metrics: Metrics) -> Iterator[Wire]:
    """A listener with long answers and little patience."""
    with listening(Listener("device", Edge(long_answer, "device", metrics), "127.0.0.1", 0, limits=PATIENCE)) as bound:
        yield Wire(bound[0].port)


@pytest.mark.parametrize(
    "request_line", [b"GET /x HTTP/1.1\r\n\r\n", b"GET /x HTTP/1.0\r\n\r\n"], ids=["kept", "closed"]
)
def test_who_does_not_read_is_hung_up_on(long_wire: Wire, metrics: Metrics, request_line: bytes) -> None:
    """RES-2: an answer that nobody reads does not keep its place among the connections for ever."""
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        connection.connect(("127.0.0.1", long_wire.port))
        connection.sendall(request_line)
        while not long_wire.raw(b"").startswith(b"HTTP/1.1 429"):
            time.sleep(0.05)
        began = time.monotonic()
        while long_wire.raw(b"").startswith(b"HTTP/1.1 429"):
            assert time.monotonic() - began < 20
            time.sleep(0.1)
    assert metrics.registry.get_sample_value("regalia_incidents_total") == 0


def test_who_reads_slowly_gets_everything(long_wire: Wire) -> None:
    """RES-2: 500 octets a second are enough, however long the answer takes."""
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        connection.settimeout(20)
        connection.connect(("127.0.0.1", long_wire.port))
        connection.sendall(b"GET /x HTTP/1.0\r\n\r\n")
        began, read = time.monotonic(), 0
        while octets := connection.recv(100_000):
            read += len(octets)
            time.sleep(0.05)
        assert read > LONG
        assert time.monotonic() - began > 2 * PATIENCE.answer_seconds


def test_keep_alive_serves_one_request_after_the_other(wire: Wire) -> None:
    """A connection that is kept serves again; certmonger's helper holds one open."""
    connection = wire.connection()
    for octets in (b"", b"abc", b"x" * 1_000):
        connection.request("POST", "/x", octets)
        assert connection.getresponse().read() == b"%d octets" % len(octets)
    connection.close()


def test_a_bug_is_503_and_shows_nothing(wire: Wire, metrics: Metrics) -> None:
    """IN-2: an unexpected exception is our fault; its answer is constant but for an id, and the server goes on."""
    connection = wire.connection()
    connection.request("GET", "/bug")
    response = connection.getresponse()
    assert (response.status, response.read()) == (503, b"try again later\n")
    assert len(response.getheader("regalia-incident") or "") == 32
    connection.request("GET", "/x")
    assert connection.getresponse().status == 200
    connection.close()
    assert metrics.registry.get_sample_value("regalia_incidents_total") == 1


def test_a_taken_address_is_told_to_the_administrator(wire: Wire) -> None:
    """ADM-019 names the address that cannot be opened."""
    with (
        pytest.raises(AdminError, match=rf"ADM-019 .*127\.0\.0\.1:{wire.port}: Address already in use$"),
        listening(Listener("device", echo, "127.0.0.1", wire.port)),
    ):
        pass


def test_a_name_without_an_address_is_told_too() -> None:
    """ADM-019 for a host that is none."""
    with pytest.raises(AdminError, match="ADM-019"), listening(Listener("device", echo, "no.such.host.invalid", 0)):
        pass


# --- TLS ------------------------------------------------------------------------------------------------------------


def files(home: Path, seed: int) -> TlsFiles:
    """Make an admin certificate."""
    made = make_admin_tls(home, "localhost", now=datetime.now(UTC), entropy=SeededEntropy(seed))
    return TlsFiles(made.certificate, made.key)


def presented(bound: Bound) -> bytes:
    """Return the certificate that a listener presents, DER."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", bound.port)) as plain, context.wrap_socket(plain) as connection:
        return connection.getpeercert(binary_form=True) or b""


def test_the_admin_listener_speaks_tls_1_2_and_up(tmp_path: Path, metrics: Metrics) -> None:
    """R11: TLS 1.2 and 1.3, nothing older, and the plain listener beside it."""
    tls = files(tmp_path, 1)
    edge = Edge(echo, "admin", metrics)
    with listening(Listener("device", edge, "127.0.0.1", 0), Listener("admin", edge, "127.0.0.1", 0, tls)) as (
        device,
        admin,
    ):
        assert device.url.startswith("http://127.0.0.1:")
        assert admin.url.startswith("https://127.0.0.1:")
        assert presented(admin) == ssl.PEM_cert_to_DER_cert(tls.certificate.read_text())
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
        old.set_ciphers("ALL:@SECLEVEL=0")
        with pytest.warns(DeprecationWarning, match="TLSv1_1"):
            old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
        with (
            socket.create_connection(("127.0.0.1", admin.port)) as plain,
            pytest.raises((ssl.SSLError, ConnectionError)),
        ):
            old.wrap_socket(plain)


def test_new_tls_files_are_taken_over(tmp_path: Path) -> None:
    """The context presents what the files hold now; files that do not belong together change nothing."""
    tls = files(tmp_path, 1)
    first = tls.certificate.read_bytes()
    reloading = ReloadingContext("admin", tls)
    assert not reloading.reload_if_changed()
    files(tmp_path, 2)
    second = tls.certificate.read_bytes()
    tls.certificate.write_bytes(first)
    assert not reloading.reload_if_changed()
    tls.certificate.write_bytes(second)
    assert reloading.reload_if_changed()
    assert not reloading.reload_if_changed()
    tls.key.unlink()
    assert not reloading.reload_if_changed()


def test_missing_tls_files_are_told(tmp_path: Path) -> None:
    """ADM-020 names the files."""
    tls = TlsFiles(tmp_path / "admin.crt", tmp_path / "admin.key")
    with (
        pytest.raises(AdminError, match=r"ADM-020 .*admin\.crt"),
        listening(Listener("admin", echo, "127.0.0.1", 0, tls)),
    ):
        pass


# --- beginning and end ----------------------------------------------------------------------------------------------

PROGRAM = """
import asyncio, json, sys
from pathlib import Path
from regalia.web.answers import answer
from regalia.keys.tls_files import TlsFiles
from regalia.web.serve import Listener, Serving, run

async def slow(scope, receive, send):
    print("asked", flush=True)
    await asyncio.sleep(1)
    await answer(200, b"finished")(scope, receive, send)

async def beside(stop):
    print("beside", flush=True)
    await stop.wait()
    print("stopped", flush=True)

tls = TlsFiles(Path(sys.argv[1]), Path(sys.argv[2]))
run(Serving(
    [Listener("device", slow, "127.0.0.1", 0), Listener("admin", slow, "127.0.0.1", 0, tls)],
    on_ready=lambda bound: print(json.dumps([each.port for each in bound]), flush=True),
    beside=[beside],
    at_end=lambda: print("ended", flush=True),
))
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_everything_in_order(tmp_path: Path, number: signal.Signals) -> None:
    """On SIGTERM and SIGINT: an answer that was begun is finished, what runs beside stops, the end comes last."""
    tls = files(tmp_path, 1)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", PROGRAM, str(tls.certificate), str(tls.key)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True) as process:
        assert process.stdout is not None
        port, _ = json.loads(process.stdout.readline())
        assert process.stdout.readline() == "beside\n"
        with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert process.stdout.readline() == "asked\n"
            process.send_signal(number)
            assert _read_all(connection).endswith(b"finished")
        assert process.stdout.readlines() == ["stopped\n", "ended\n"]
        assert process.wait(20) == 0
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


def test_what_runs_beside_ends_the_server_when_it_fails(metrics: Metrics) -> None:
    """A job loop that ends by a bug is not left dead beside a server that looks alive."""

    async def failing(stop: asyncio.Event) -> None:
        await asyncio.sleep(0.05)
        raise RuntimeError(f"stop is {stop.is_set()}")

    def story() -> None:
        with listening(Listener("device", Edge(echo, "device", metrics), "127.0.0.1", 0), beside=[failing]) as bound:
            deadline = time.monotonic() + 20
            while time.monotonic() < deadline:
                try:
                    socket.create_connection(("127.0.0.1", bound[0].port)).close()
                except ConnectionRefusedError:
                    return
                time.sleep(0.02)

    with pytest.raises(RuntimeError, match="stop is False"):
        story()
