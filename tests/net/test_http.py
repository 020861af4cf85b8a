"""HTTP to servers that are not ours, on real sockets, against servers that do not behave."""

from __future__ import annotations

import ipaddress
import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from net.outside import HOST, answering, certificate_of, outside, said
from regalia import reasons
from regalia.errors import AdminError, UnavailableError
from regalia.net.addresses import Opened, is_ours
from regalia.net.http import HttpOutgoing
from regalia.ports import OutgoingRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from net.outside import Outside

pytestmark = pytest.mark.real

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


def always(*addresses: str) -> Callable[[str, int], Sequence[str]]:
    """Resolve every name to these."""
    return lambda _host, _port: addresses


def calling(there: Outside, **arguments: object) -> HttpOutgoing:
    """Make a client that may call this one place, by its name."""
    opened = (Opened.parse(f"{'https' if there.ca_file else 'http'}://127.0.0.1:{there.port}"),)
    given = {"opened": opened, "resolver": always("127.0.0.1"), "ca_file": there.ca_file, **arguments}
    return HttpOutgoing(**given)  # type: ignore[arg-type]


def get(port: int, scheme: str = "http", path: str = "/x?y=1", limit: int = 1000) -> OutgoingRequest:
    """Ask for something."""
    return OutgoingRequest("GET", f"{scheme}://{HOST}:{port}{path}", limit=limit)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificate of the server outside."""
    return certificate_of(tmp_path_factory.mktemp("outside"))


def test_an_exchange_over_tls(certificate: Path) -> None:
    """SSRF-1: the certificate must be for the name that was asked for, which also stands in the Host header."""
    with outside(answering(OK), certificate) as there:
        request = OutgoingRequest("POST", f"https://{HOST}:{there.port}/in", {"X-Kind": "test"}, b"hello")
        answer = calling(there).exchange(request)
    assert (answer.status, answer.headers["content-type"], answer.body) == (200, "application/json", b"{}")
    head, _, body = there.requests[0].partition(b"\r\n\r\n")
    assert head.split(b"\r\n")[0] == b"POST /in HTTP/1.1"
    assert {f"Host: {HOST}:{there.port}".encode(), b"X-Kind: test", b"Content-Length: 5"} <= set(head.split(b"\r\n"))
    assert body == b"hello"


def test_a_certificate_that_is_not_trusted_is_refused(certificate: Path) -> None:
    """TLS is verified against the configured file or the system's authorities, and for the name that was asked for."""
    with outside(answering(OK), certificate) as there:
        with pytest.raises(UnavailableError, match="certificate is not accepted") as refused:
            calling(there, ca_file=None).exchange(get(there.port, "https"))
        assert refused.value.reason is reasons.OUTGOING_UNTRUSTED
        with pytest.raises(UnavailableError, match="certificate is not accepted"):
            calling(there).exchange(OutgoingRequest("GET", f"https://other.example.test:{there.port}/"))
    assert there.requests == []


def test_a_name_is_resolved_once(certificate: Path) -> None:
    """SSRF-1: a name that changes its address between the check and the connection is connected to as checked."""
    answers = iter([["127.0.0.1"], ["127.0.0.2"]])
    asked: list[str] = []

    def changing(host: str, _port: int) -> Sequence[str]:
        asked.append(host)
        return next(answers)

    with outside(answering(OK), certificate) as there:
        client = calling(there, resolver=changing)
        assert client.exchange(get(there.port, "https")).status == 200
        assert asked == [HOST]
        with pytest.raises(AdminError) as refused:
            client.exchange(get(there.port, "https"))
    assert refused.value.reason is reasons.OUTGOING_REFUSED
    assert len(there.requests) == 1


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "::ffff:127.0.0.1", "fe80::1%lo", "64:ff9b::a00:1"]
)
def test_a_name_with_one_private_address_is_refused(address: str) -> None:
    """SSRF-1, SSRF-2: every address of a name is checked; a public one beside it does not help."""
    client = HttpOutgoing(resolver=always("1.1.1.1", address))
    with pytest.raises(AdminError) as refused:
        client.exchange(OutgoingRequest("GET", "https://rebinding.example.test/"))
    assert refused.value.reason is reasons.OUTGOING_REFUSED


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/",
        "https://169.254.169.254/latest/meta-data/",
        "https://[::1]/",
        "https://[::ffff:169.254.169.254]/",
        "https://[fe80::1%25eth0]/",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://0x7f.1/",
        "https://0177.0.0.1/",
        "https://127.1/",
        "https://127.0.0.1.:443/",
        "https://localhost/",
        "https://user:secret@example.com/",
        "https://example.com\\@127.0.0.1/",
        "https://example.com#@127.0.0.1/",
        "https://ex%61mple.com/",
        "https://1.1.1.1:0/",
        "http://1.1.1.1/",
        "file:///etc/passwd",
        "gopher://1.1.1.1/",
        "https:///path",
        "https://1.1.1.1/\r\nHost: x",
        "https://1.1.1.1/\u00e4",
        "",
    ],
)
def test_urls_that_are_not_called(url: str) -> None:
    """SSRF-2: loopback, metadata and every odd spelling of an address are refused before anything is sent."""
    with pytest.raises(AdminError) as refused:
        HttpOutgoing().exchange(OutgoingRequest("GET", url))
    assert refused.value.reason is reasons.OUTGOING_REFUSED


def test_a_network_that_is_opened_does_not_open_ourselves(certificate: Path) -> None:
    """SSRF-2: our own addresses are called only where a setting names exactly this address and port."""
    with outside(answering(OK), certificate) as there, pytest.raises(AdminError, match="this machine"):
        calling(there, opened=()).exchange(get(there.port, "https"))


def test_our_own_addresses_are_known() -> None:
    """SSRF-2: the kernel says which addresses are this machine's, whatever a socket may be bound to."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        # Nothing is sent: it is only asked from where it would be.
        with suppress(OSError):
            probe.connect(("192.0.2.1", 9))
        own = ipaddress.ip_address(probe.getsockname()[0])
    assert own.is_unspecified or is_ours(own)
    assert is_ours(ipaddress.ip_address("127.0.0.9"))
    assert is_ours(ipaddress.ip_address("::1"))
    assert not is_ours(ipaddress.ip_address("192.0.2.1"))
    assert not is_ours(ipaddress.ip_address("2606:4700::1111"))


def test_plain_http_only_where_it_is_opened() -> None:
    """Plain HTTP goes to the addresses that a setting opened for it, and to no others."""
    with outside(answering(OK)) as there:
        assert calling(there).exchange(get(there.port)).status == 200
        with pytest.raises(AdminError, match="plain HTTP"):
            HttpOutgoing(resolver=always("1.1.1.1")).exchange(get(there.port))


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(status: int) -> None:
    """SSRF-3: a redirect is an answer; nobody goes where it points."""
    head = f"HTTP/1.1 {status} Moved\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n"
    with outside(answering(head.encode())) as there:
        assert calling(there).exchange(get(there.port)).status == status
    assert len(there.requests) == 1


LONG = {
    "length": b"HTTP/1.1 200 OK\r\nContent-Length: 2000000000\r\n\r\n" + bytes(200_000),
    "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\n" + bytes(65535) + b"\r\n" + b"ffff\r\n",
    "headers": b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 5000 + b"\r\n",
    "one header": b"HTTP/1.1 200 OK\r\nX-A: " + b"b" * 200_000 + b"\r\n\r\n",
    "interim": b"HTTP/1.1 100 Continue\r\n\r\n" * 50_000,
    "trailers": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + b"X-A: b\r\n" * 20_000,
    "chunk extension": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;" + b"x" * 200_000,
}
SHORT = {
    "too short": b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
    "short chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
    "not HTTP": b"SSH-2.0-OpenSSH\r\n",
    "nothing": b"",
    "compressed": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}",
    "interim": b"HTTP/1.1 103 Early Hints\r\n\r\n",
    "bad length": b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nabc",
}


@pytest.mark.parametrize("octets", [pytest.param(value, id=name) for name, value in (LONG | SHORT).items() if name])
def test_an_answer_beyond_the_bounds_is_refused(octets: bytes) -> None:
    """SSRF-4: wherever an answer is too long, broken or compressed, it ends as one failure, within its bounds."""
    if octets == SHORT["bad length"]:
        octets = octets + bytes(2000)
    with outside(answering(octets)) as there, pytest.raises(UnavailableError) as failed:
        calling(there).exchange(get(there.port))
    assert failed.value.reason is reasons.OUTGOING_FAILED


def test_an_answer_that_never_ends_is_ended() -> None:
    """SSRF-4: the deadline holds for the whole exchange, so a server that drips cannot hold us."""

    def drip(line: socket.socket, there: Outside) -> None:
        there.requests.append(said(line))
        line.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        while not there.closing.wait(0.02):
            line.sendall(b"a")

    with outside(drip) as there:
        began = time.monotonic()
        with pytest.raises(UnavailableError, match="too long"):
            calling(there, seconds=0.4).exchange(get(there.port))
        assert time.monotonic() - began < 5


def test_a_server_that_says_nothing_is_left(certificate: Path) -> None:
    """SSRF-4: whoever accepts a connection and does not speak TLS holds us no longer than the deadline."""

    def silent(line: socket.socket, there: Outside) -> None:
        del line
        there.closing.wait(5)

    with outside(silent) as there:
        opened = (Opened.parse(f"127.0.0.1:{there.port}"),)
        with pytest.raises(UnavailableError, match="too long"):
            calling(there, opened=opened, seconds=0.3, ca_file=certificate).exchange(get(there.port, "https"))


def test_a_request_may_have_less_time_than_others() -> None:
    """A request's own timeout shortens the exchange, and never makes it longer than what is set for all."""

    def silent(line: socket.socket, there: Outside) -> None:
        del line
        there.closing.wait(5)

    with outside(silent) as there:
        for seconds, own in ((9.0, 0.1), (0.1, 9.0)):
            request = OutgoingRequest("GET", f"http://{HOST}:{there.port}/", timeout=own)
            began = time.monotonic()
            with pytest.raises(UnavailableError, match="too long"):
                calling(there, seconds=seconds).exchange(request)
            assert time.monotonic() - began < 5


def test_a_link_may_be_longer_than_what_somebody_gives() -> None:
    """A URL of 4000 characters, as systems with pages make them, is asked; one of 9000 is refused."""
    with outside(answering(OK)) as there:
        assert calling(there).exchange(get(there.port, path=f"/?at={'a' * 4000}")).status == 200
        with pytest.raises(AdminError, match="at most 8000"):
            calling(there).exchange(get(there.port, path=f"/?at={'a' * 9000}"))


def test_a_resolver_that_does_not_answer_is_left() -> None:
    """SSRF-4: looking up the name is within the deadline."""

    def slow(_host: str, _port: int) -> Sequence[str]:
        time.sleep(0.6)
        return ()

    with pytest.raises(UnavailableError, match="not resolved in time"):
        HttpOutgoing(resolver=slow, seconds=0.1).exchange(get(443, "https"))


def test_what_the_other_side_says_is_not_repeated() -> None:
    """SSRF-5: a failure names its kind; no octet of the answer is in it."""
    with outside(answering(b"HTTP/9.9 secret-banner\r\n\r\n")) as there, pytest.raises(UnavailableError) as failed:
        calling(there).exchange(get(there.port))
    assert "secret" not in str(failed.value)


def test_nobody_there() -> None:
    """A port that nobody listens on is one failure like others."""
    with outside(answering(OK)) as there:
        port = there.port
    with pytest.raises(UnavailableError, match="nobody answers"):
        calling(there).exchange(get(port))
