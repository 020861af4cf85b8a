"""HTTP against servers that behave, and servers that do not, on real sockets."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from fakes import SeededEntropy
from regalia import reasons
from regalia.client.transport import MAX_BODY, HttpTransport
from regalia.errors import AdminError, PeerError, UnavailableError
from regalia.keys.admin_tls import make_admin_tls

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.real


@contextmanager
def serving(
    answer: Callable[[BaseHTTPRequestHandler, bytes], None], tls: ssl.SSLContext | None = None
) -> Iterator[str]:
    """Serve one handler's answer to everything; yields the base URL."""

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            answer(self, self.rfile.read(int(self.headers.get("Content-Length", 0))))

        do_GET = do_POST = _answer  # noqa: N815 - the names that http.server calls

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"{'http' if tls is None else 'https'}://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def _send(handler: BaseHTTPRequestHandler, status: int, body: bytes, **headers: str) -> None:
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def _echo(handler: BaseHTTPRequestHandler, body: bytes) -> None:
    kind = handler.headers.get("Content-Type", "none")
    _send(handler, 200, f"{handler.command} {handler.path} {kind} ".encode() + body)


def test_gets_and_posts() -> None:
    """A GET has its query, a POST its octets and the media type of RFC 8894 §4.1."""
    with serving(_echo) as url, HttpTransport() as transport:
        got = transport.exchange(f"{url}/scep?operation=PKIOperation&message=a%2Bb%3D", None)
        posted = transport.exchange(f"{url}/scep?operation=PKIOperation", b"\x00\xff")
    assert got.body == b"GET /scep?operation=PKIOperation&message=a%2Bb%3D none "
    assert posted.body == b"POST /scep?operation=PKIOperation application/x-pki-message \x00\xff"


def test_status_and_patience_are_handed_on() -> None:
    """A refusal is an answer: its status and its Retry-After in seconds; a date or nonsense counts as none."""
    for value, seconds in (("7", 7), ("999999999", 3600), ("-1", None), ("Fri, 31 Dec 1999 23:59:59 GMT", None)):
        with (
            serving(lambda handler, _, value=value: _send(handler, 503, b"", Retry_After=value)) as url,  # type: ignore[misc] # mypy does not know defaults of lambdas
            HttpTransport() as transport,
        ):
            answer = transport.exchange(url, None)
        assert (answer.status, answer.retry_after) == (503, seconds)


def test_redirects_are_not_followed() -> None:
    """A redirect is handed on as what it is."""
    with serving(_echo) as other:
        redirect = f"{other}/elsewhere"
        with (
            serving(lambda handler, _: _send(handler, 302, b"", Location=redirect)) as url,
            HttpTransport() as transport,
        ):
            assert transport.exchange(url, None).status == 302


def test_long_answers_are_cut_off() -> None:
    """An answer of more than a mebibyte is not read to its end (CLI-006)."""

    def endless(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        handler.send_response(200)
        handler.end_headers()
        try:
            while True:
                handler.wfile.write(bytes(MAX_BODY // 4))
        except OSError:
            return  # the client has gone, as it should

    with serving(endless) as url, HttpTransport() as transport:
        with pytest.raises(PeerError) as refused:
            transport.exchange(url, None)
        assert refused.value.reason is reasons.CLIENT_REPLY_REFUSED


def test_compression_does_not_get_around_the_limit() -> None:
    """A body in a content coding that was not asked for is handed on as it stands."""
    with (
        serving(lambda handler, _: _send(handler, 200, b"\x1f\x8b", Content_Encoding="gzip")) as url,
        HttpTransport() as transport,
    ):
        assert transport.exchange(url, None).body == b"\x1f\x8b"


def unreachable(transport: HttpTransport, url: str) -> str:
    """Expect CLI-001 and return its detail."""
    with pytest.raises(UnavailableError) as failed:
        transport.exchange(url, None)
    assert failed.value.reason is reasons.CLIENT_UNREACHABLE
    return failed.value.detail


def test_closed_ports() -> None:
    """A port that nobody listens on is told with its address (CLI-001)."""
    with socket.socket() as reserved, HttpTransport() as transport:
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
        assert unreachable(transport, f"http://127.0.0.1:{port}/scep").startswith(f"http://127.0.0.1:{port}: ")


def test_unknown_hosts() -> None:
    """A host that does not exist is told as unreachable (CLI-001)."""
    with HttpTransport() as transport:
        assert unreachable(transport, "http://nobody.invalid/scep").startswith("http://nobody.invalid: ")


def test_unknown_roots(tmp_path: Path) -> None:
    """A server whose certificate leads to no known root is told with how to trust that root (CLI-001)."""
    made = make_admin_tls(tmp_path, "127.0.0.1", now=datetime.now(UTC), entropy=SeededEntropy(1))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(made.certificate, made.key)
    with serving(lambda handler, _: _send(handler, 200, b""), context) as url, HttpTransport() as transport:
        told = unreachable(transport, url)
    assert "certificate verify failed" in told
    assert told.endswith("; to trust its root, name the root's PEM file in SSL_CERT_FILE")


def test_servers_that_speak_something_else() -> None:
    """A server that does not speak HTTP is told as unreachable (CLI-001)."""

    def gibberish(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        handler.wfile.write(b"220 mail.example.com ESMTP\r\n\r\n")
        handler.close_connection = True

    with serving(gibberish) as url, HttpTransport() as transport:
        assert unreachable(transport, url)


def test_silent_and_dripping_servers() -> None:
    """A server that says nothing, or very little for very long, does not hold the client (CLI-001)."""
    gone = threading.Event()

    def silent(_: BaseHTTPRequestHandler, __: bytes) -> None:
        gone.wait(10)

    def dripping(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        handler.send_response(200)
        handler.end_headers()
        try:
            while not gone.wait(0.05):
                handler.wfile.write(b".")
        except OSError:
            return

    for answer in (silent, dripping):
        gone.clear()
        with serving(answer) as url, HttpTransport(silence=0.3, total=0.5) as transport:
            began = time.monotonic()
            unreachable(transport, url)
            assert time.monotonic() - began < 5
            gone.set()


@pytest.mark.parametrize(
    "url", ["", "pki.example.com/scep", "ftp://pki.example.com/", "http://", "http://[::1", "http://a:b"]
)
def test_what_is_no_url(url: str) -> None:
    """An address that is no HTTP URL is told before anything is asked (CLI-001)."""
    with HttpTransport() as transport, pytest.raises(AdminError) as refused:
        transport.exchange(url, None)
    assert refused.value.reason is reasons.CLIENT_UNREACHABLE


def test_passwords_in_urls_are_not_told() -> None:
    """A password in a URL does not appear in an error."""
    with HttpTransport() as transport:
        assert "hunter2" not in unreachable(transport, "http://me:hunter2@nobody.invalid/scep")
