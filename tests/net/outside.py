"""A server that is not ours: HTTPS on a loopback address, saying whatever a test wants it to, octet by octet."""

from __future__ import annotations

import socket
import ssl
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from fakes import SeededEntropy
from regalia.keys.admin_tls import make_admin_tls

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = ["Outside", "answering", "certificate_of", "outside", "said"]

HOST = "receiver.example.test"


@dataclass
class Outside:
    """Where it listens, and what it was asked."""

    port: int
    ca_file: Path | None
    requests: list[bytes] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)


def certificate_of(directory: Path, host: str = HOST) -> Path:
    """Make a key and a self-signed certificate for a host; return the directory that has both."""
    directory.mkdir(exist_ok=True, mode=0o700)
    now = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=1)
    made = make_admin_tls(directory, host, now=now, entropy=SeededEntropy())
    return made.certificate


def said(line: socket.socket) -> bytes:
    """Read one request: its head, and the body that its Content-Length tells of."""
    read = b""
    while b"\r\n\r\n" not in read:
        some = line.recv(65536)
        if not some:
            return read
        read += some
    head, _, body = read.partition(b"\r\n\r\n")
    lengths = [line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    while lengths and len(body) < int(lengths[0]):
        body += line.recv(65536)
    return head + b"\r\n\r\n" + body


def answering(octets: bytes) -> Callable[[socket.socket, Outside], None]:
    """Make what reads a request and says these octets."""

    def speak(line: socket.socket, there: Outside) -> None:
        there.requests.append(said(line))
        line.sendall(octets)

    return speak


@contextmanager
def outside(speak: Callable[[socket.socket, Outside], None], certificate: Path | None = None) -> Iterator[Outside]:
    """Listen on a port of 127.0.0.1 while the test runs; over TLS where there is a certificate, with its key beside."""
    context = None
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, certificate.with_suffix(".key"))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        there = Outside(listening.getsockname()[1], certificate)
        threads: list[threading.Thread] = []

        def serve_one(plain: socket.socket) -> None:
            with suppress(OSError), plain:
                plain.settimeout(10)
                line = plain if context is None else context.wrap_socket(plain, server_side=True)
                with line:
                    speak(line, there)

        def accept() -> None:
            with suppress(OSError):
                while not there.closing.is_set():
                    plain, _ = listening.accept()
                    if there.closing.is_set():
                        plain.close()
                        return
                    threads.append(threading.Thread(target=serve_one, args=(plain,)))
                    threads[-1].start()

        accepting = threading.Thread(target=accept)
        accepting.start()
        try:
            yield there
        finally:
            there.closing.set()
            with suppress(OSError):
                socket.create_connection(("127.0.0.1", there.port), timeout=1).close()
            accepting.join()
            for thread in threads:
                thread.join()
