"""HTTP as SCEP clients really send it (scep.md §1.1, §8): each form, octet for octet, enrols a device."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import socket
import threading
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import quote_from_bytes

import pytest

from fakes import FakeClock, MemorySigner
from regalia.model import CertificateKind, EventDraft
from regalia.ports import CertificateFilter
from regalia.ra.scep import CertRep
from regalia.web.edge import Edge
from regalia.web.metrics import Metrics
from regalia.web.protocol import ConnectionLimits
from regalia.web.scep import ScepFace, ScepLimits
from regalia.web.serve import Listener
from regalia.wire.certificate import Extension, SignatureAlgorithm, TbsCertificate, assemble, encode_tbs, key_usage
from regalia.wire.names import encode_name
from web.asgi import listening
from world import Device, World, names, rsa_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from uuid import UUID

    from regalia.web.pool import Pools
    from regalia.wire.scep_client import Reply

pytestmark = pytest.mark.real

LIMITS = ConnectionLimits(header_seconds=2, body_seconds=2)


class SlowSigner(MemorySigner):
    """A signer that waits until it is let go on."""

    def __init__(self, signer: MemorySigner) -> None:
        self.__dict__.update(signer.__dict__)
        self.reached = threading.Event()
        self.go_on = threading.Event()
        self.go_on.set()

    def sign_intent(self, row_id: UUID) -> bytes:
        """Sign when it may."""
        self.reached.set()
        assert self.go_on.wait(30)
        return super().sign_intent(row_id)


@dataclass
class Site:
    """A world behind a socket."""

    world: World
    signer: SlowSigner
    port: int = 0
    enrolled: int = field(default=0)

    def message(self) -> tuple[Device, bytes, bytes]:
        """Make a new device, its CSR and its message."""
        self.enrolled += 1
        device = Device(self.world, key=rsa_key(self.enrolled)).fresh(f"form-{self.enrolled}")
        self.world.clock.advance(timedelta(minutes=2))
        csr = device.csr(names(f"form-{self.enrolled}"), self.world.mint(f"form-{self.enrolled}"))
        return device, csr, device.message(csr)

    def connect(self) -> socket.socket:
        """Open a connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)

    def send(self, *pieces: bytes, half_close: bool = False) -> bytes:
        """Send pieces, each on its own, and read until the server closes."""
        with self.connect() as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for piece in pieces:
                connection.sendall(piece)
            if half_close:
                connection.shutdown(socket.SHUT_WR)
            return read_all(connection)

    def issued(self) -> int:
        """Count the certificates."""
        return len(self.world.store.certificates(CertificateFilter(kind=CertificateKind.LEAF, limit=1_000)))

    def events(self) -> list[EventDraft]:
        """List what was recorded."""
        return [event.draft for event in self.world.store.log]


def read_all(connection: socket.socket) -> bytes:
    """Read until the server closes."""
    read = b""
    with contextlib.suppress(ConnectionResetError):
        while octets := connection.recv(65_536):
            read += octets
    return read


def opened(device: Device, csr: bytes, heard: bytes) -> Reply:
    """Take an HTTP answer apart as a client does, and open what it holds."""
    head, _, body = heard.rpartition(b"\r\n\r\n")
    head = head.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n"), heard[:200]
    assert b"content-type: application/x-pki-message" in head.lower()
    assert b"content-length: %d" % len(body) in head.lower()
    return device.open(CertRep(body, issued=True), csr)


def get_target(message: bytes, escape: Callable[[bytes], bytes] | None = None) -> bytes:
    """Make the target of a GET, its base64 escaped as a client does."""
    text = base64.b64encode(message)
    escaped = escape(text) if escape is not None else quote_from_bytes(text, safe="").encode()
    return b"/scep/default?operation=PKIOperation&message=" + escaped


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """One world for all forms, its endpoint at its default limits."""
    signers: list[SlowSigner] = []

    def slow(signer: MemorySigner) -> MemorySigner:
        signers.append(SlowSigner(signer))
        return signers[0]

    world, metrics = World(slow), Metrics(FakeClock())
    made = Site(world, signers[0])
    with pools_of_two() as pools:
        face = ScepFace(
            service=world.scep, doors=world.store, pool=pools.enrolment, limits=ScepLimits(), metrics=metrics
        )
        listener = Listener("device", Edge(face, "device", metrics), "127.0.0.1", 0, limits=LIMITS)
        with listening(listener) as bound:
            made.port = bound[0].port
            yield made


@contextlib.contextmanager
def pools_of_two() -> Iterator[Pools]:
    """Pools that end with the block."""
    from regalia.web.pool import Pool, Pools  # noqa: PLC0415 - the fixture above is of a wider scope than `pools`

    pools = Pools(*(Pool(name, threads=2, queue=8) for name in ("enrolment", "status", "files")))
    yield pools
    pools.close()


POST = b"POST /scep/default?operation=PKIOperation HTTP/1."


@pytest.mark.parametrize(
    "head",
    [
        b"0\r\n",
        b"0\r\nContent-Type: application/x-pki-message\r\n",
        b"0\r\nContent-Type:\r\n",
        b"0\r\nContent-Type: \r\nConnection: close\r\n",
        b"1\r\nHost: pki.example.org\r\nConnection: close\r\n",
        b"1\r\nConnection: close\r\n",
        b"1\r\nHost:\r\nConnection: close\r\nAccept: */*\r\nContent-Type: application/octet-stream\r\n",
        b"1\r\nhost: x\r\nCONNECTION: Close\r\ncontent-type: text/plain; charset=utf-8\r\n",
        b"1\r\nHost: a\r\nConnection: close\r\nUser-Agent: \r\nX-Odd: \xe4\xf6\r\n",
    ],
)
def test_post_with_and_without_what_it_might_have(site: Site, head: bytes) -> None:
    """HTTP/1.0 without Host (Cisco IOS), no or an empty Content-Type (strongSwan, sscep): the certificate comes."""
    device, csr, message = site.message()
    heard = site.send(POST + head + b"Content-Length: %d\r\n\r\n" % len(message) + message)
    assert opened(device, csr, heard).certificates


@pytest.mark.parametrize("size", [1, 100, 1_000, 100_000])
def test_post_in_chunks(site: Site, size: int) -> None:
    """A body without a length, in chunks of any size, with extensions and trailers, is one message."""
    device, csr, message = site.message()
    pieces = [message[at : at + size] for at in range(0, len(message), size)]
    body = b"".join(b"%x;note=1\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    head = POST + b"1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    heard = site.send(head, body, b"0\r\nX-Trailer: 1\r\n\r\n")
    assert opened(device, csr, heard).certificates


def test_post_that_waits_for_100_continue(site: Site) -> None:
    """curl, and whoever uses it, asks whether to go on with a larger body, and waits for the answer."""
    device, csr, message = site.message()
    with site.connect() as connection:
        head = b"1\r\nHost: x\r\nExpect: 100-continue\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(message)
        connection.sendall(POST + head)
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(message)
        assert opened(device, csr, read_all(connection)).certificates


def test_post_in_pieces_on_the_wire(site: Site) -> None:
    """Where head and body come octet by octet at first, and then slowly, they are one request all the same."""
    device, csr, message = site.message()
    head = POST + b"0\r\nContent-Length: %d\r\n\r\n" % len(message)
    heard = site.send(*(head[at : at + 1] for at in range(len(head))), message[:1], message[1:-1], message[-1:])
    assert opened(device, csr, heard).certificates


def test_post_with_a_stray_line_end(site: Site) -> None:
    """Old clients send CRLF before the request line, or after the body; neither is a request."""
    device, csr, message = site.message()
    head = b"\r\n" + POST + b"1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(message)
    assert opened(device, csr, site.send(head + message + b"\r\n")).certificates


@pytest.mark.parametrize("close", [False, True], ids=["stays", "half-closed"])
def test_who_closed_its_side_is_answered(site: Site, close: bool) -> None:  # noqa: FBT001 - a parameter
    """A client that sends, closes its side and reads gets its certificate, however long the signature takes."""
    device, csr, message = site.message()
    site.signer.go_on.clear()
    site.signer.reached.clear()
    with site.connect() as connection:
        connection.sendall(POST + b"1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(message) + message)
        if close:
            connection.shutdown(socket.SHUT_WR)
        assert site.signer.reached.wait(30)
        threading.Timer(0.3, site.signer.go_on.set).start()
        if not close:
            heard = b""
            while b"\r\n\r\n" not in heard or not heard.partition(b"\r\n\r\n")[2]:
                heard += connection.recv(65_536)
        else:
            heard = read_all(connection)
    assert opened(device, csr, heard).certificates


def test_half_a_request_is_not_waited_for(site: Site) -> None:
    """Who closes its side in the middle of a body is gone; nothing is issued."""
    before = site.issued()
    _, _, message = site.message()
    head = POST + b"1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(message)
    assert site.send(head + message[:-1], half_close=True) == b""
    assert site.send(head[:40], half_close=True) == b""
    assert site.issued() == before


def test_pipelined_requests_of_a_half_closed_client(site: Site) -> None:
    """Each request that came whole is answered, in order, before the connection ends."""
    ask = b"GET /scep/default?operation=GetCACaps HTTP/1.1\r\nHost: x\r\n\r\n"
    heard = site.send(ask * 3, half_close=True)
    assert heard.count(b"HTTP/1.1 200 OK\r\n") == 3


def test_a_connection_that_is_kept(site: Site) -> None:
    """Certmonger's helper asks for capabilities and certificates, sends its message, and holds the connection open."""
    device, csr, message = site.message()
    with site.connect() as connection, connection.makefile("rb") as reading:

        def ask(octets: bytes) -> bytes:
            connection.sendall(octets)
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += reading.readline()
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            return head + reading.read(length)

        assert b"AES" in ask(b"GET /scep/default?operation=GetCACaps&message=0 HTTP/1.1\r\nHost: x\r\n\r\n")
        ask(b"GET /scep/default?operation=GetCACert&message=0 HTTP/1.1\r\nHost: x\r\n\r\n")
        heard = ask(POST + b"1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(message) + message)
        # Another client is served while this one holds its connection and asks nothing.
        assert b" 200 OK" in site.send(b"GET /scep/default?operation=GetCACaps HTTP/1.0\r\n\r\n")
        assert b"AES" in ask(b"GET /scep/default?operation=GetCACaps HTTP/1.1\r\nHost: x\r\n\r\n")
    assert opened(device, csr, heard).certificates


@pytest.mark.parametrize(
    "target",
    [
        b"/scep/default?operation=%50KIOperation",
        b"/scep/default?oper%61tion=PKIOperation",
        b"/scep/default?operation=%50%4b%49%4f%70%65%72%61%74%69%6f%6e",
        b"/scep/def%61ult/pkiclient.exe?operation=PKIOperation",
        b"/scep/default/cgi-bin/pkiclient.exe?operation=PKIOperation&",
        b"http://pki.example.org/scep/default?operation=PKIOperation",
        b"http://pki.example.org:8080/scep/default/mscep.dll?operation=PKIOperation",
        b"https://[2001:db8::1]:8443/scep/default?operation=PKIOperation",
        b"HTTP://PKI.EXAMPLE.ORG/scep/default?operation=PKIOperation",
    ],
)
@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
def test_targets_as_clients_write_them(site: Site, target: bytes, version: bytes) -> None:
    """Escaped names and the absolute form that proxies' clients send (RFC 9112 §3.2.2) reach the endpoint."""
    device, csr, message = site.message()
    head = b"POST %s HTTP/%s\r\nHost: x\r\nConnection: close\r\n" % (target, version)
    heard = site.send(head + b"Content-Length: %d\r\n\r\n" % len(message) + message)
    assert opened(device, csr, heard).certificates


def lines_of_64(text: bytes) -> bytes:
    """Break base64 into lines as strongSwan does, and escape the plus alone."""
    folded = b"%0A".join(text[at : at + 64] for at in range(0, len(text), 64))
    return folded.replace(b"+", b"%2B")


@pytest.mark.parametrize(
    "escape",
    [
        None,
        lines_of_64,
        lambda text: text.replace(b"=", b"%3D"),  # macOS
        lambda text: text.rstrip(b"="),
        lambda text: text.replace(b"+", b"%20"),
        lambda text: text.replace(b"+", b"-").replace(b"/", b"_"),
        lambda text: b"".join(b"%%%02x" % octet for octet in text),
    ],
    ids=["all", "strongswan", "macos", "unpadded", "spaces", "base64url", "everything"],
)
def test_get_as_clients_escape_it(site: Site, escape: Callable[[bytes], bytes] | None) -> None:
    """A message in a GET comes through in every way that clients escape base64 (scep.md §1.1)."""
    device, csr, message = site.message()
    heard = site.send(b"GET " + get_target(message, escape) + b" HTTP/1.0\r\n\r\n")
    assert opened(device, csr, heard).certificates


def test_get_with_the_largest_message(site: Site) -> None:
    """R7: 32 KiB in a GET, within a URL of 48 KiB, enrol; one octet more in either is 414, and nothing is issued."""
    device, csr, _ = site.message()
    room = 32_768 - len(device.message(csr, signer=padded_signer(device, 20_000))) + 20_000
    message = device.message(csr, signer=padded_signer(device, room))
    assert len(message) == 32_768
    target = get_target(message)
    assert 43_000 < len(target) < 49_152
    assert opened(device, csr, site.send(b"GET " + target + b" HTTP/1.1\r\nConnection: close\r\n\r\n")).certificates
    before = site.issued()
    longer = get_target(device.message(csr, signer=padded_signer(device, room + 1)))
    assert site.send(b"GET " + longer + b" HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 414 ")
    padding = b"&x=" + b"a" * (49_152 - len(target))
    assert site.send(b"GET " + target + padding + b" HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 414 ")
    assert site.issued() == before


def padded_signer(device: Device, octets: int) -> bytes:
    """Make the self-signed certificate of a first enrolment, with an extension that takes room."""
    name, now = encode_name(cn="SCEP signer"), device.world.clock.now()
    tbs = TbsCertificate(
        serial=1,
        signature=SignatureAlgorithm.RSA_SHA256,
        issuer=name,
        not_before=now - timedelta(days=1),
        not_after=now + timedelta(days=2),
        subject=name,
        public_key=device.public_key(),
        extensions=(
            key_usage(("digitalSignature", "keyEncipherment")),
            Extension("1.3.6.1.4.1.99999.1", critical=False, value=hashlib.shake_128(b"x").digest(octets)),
        ),
    )
    encoded = encode_tbs(tbs)
    return assemble(encoded, SignatureAlgorithm.RSA_SHA256, device.sign(encoded))
