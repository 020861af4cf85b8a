"""Several hosts in one thread, each on a free port of the loopback address, over TLS with a CA of their own."""

from __future__ import annotations

import asyncio
import datetime as dt
import ipaddress
import socket
import threading
from typing import TYPE_CHECKING, Any, Final

import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from regalia.lab.faults import ABORT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from starlette.types import ASGIApp

__all__ = ["Servers", "TlsFiles", "free_socket", "make_tls"]

_PATIENCE: Final = 30.0


class TlsFiles:
    """Where the CA's certificate, the servers' and their key lie."""

    def __init__(self, folder: Path) -> None:
        self.ca = folder / "lab-ca.pem"
        self.certificate = folder / "server.pem"
        self.key = folder / "server.key"


class _Protocol(HttpToolsProtocol):
    """uvicorn's, with a way to drop the connection, which ASGI does not have."""

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        self.scope["extensions"] = {ABORT: {"abort": self.transport.abort}}


def free_socket() -> socket.socket:
    """Bind to a free port."""
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    bound.bind(("127.0.0.1", 0))
    return bound


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def make_tls(folder: Path) -> TlsFiles:
    """Make a CA, a server's certificate for this machine, and their files."""
    files = TlsFiles(folder)
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    now = dt.datetime.now(dt.UTC)
    begin, end = now - dt.timedelta(days=1), now + dt.timedelta(days=90)
    authority = x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key())

    def builder(subject: str, public: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        named = x509.CertificateBuilder().subject_name(_name(subject)).issuer_name(_name("Regalia lab CA"))
        timed = named.not_valid_before(begin).not_valid_after(end).serial_number(x509.random_serial_number())
        keyed = timed.public_key(public)
        return keyed.add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)

    signing = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    ca = builder("Regalia lab CA", ca_key.public_key())
    ca = ca.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    ca = ca.add_extension(signing, critical=True)
    server = builder("Regalia lab", key.public_key())
    server = server.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    server = server.add_extension(x509.SubjectAlternativeName(names), critical=False)
    server = server.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    identifier = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(authority)
    server = server.add_extension(identifier, critical=False)
    files.ca.write_bytes(ca.sign(ca_key, hashes.SHA256()).public_bytes(Encoding.PEM))
    files.certificate.write_bytes(server.sign(ca_key, hashes.SHA256()).public_bytes(Encoding.PEM))
    files.key.touch(mode=0o600)
    files.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return files


class Servers:
    """Applications behind their sockets, in a thread of their own between `start` and `stop`."""

    def __init__(self, apps: Mapping[socket.socket, ASGIApp], tls: TlsFiles) -> None:
        self._sockets = list(apps)
        self._servers = [uvicorn.Server(_config(app, tls)) for app in apps.values()]
        self._thread = threading.Thread(target=self._run, name="regalia-lab", daemon=True)
        self._running = threading.Event()
        self._failure: BaseException | None = None

    def start(self) -> None:
        """Return when all accept connections."""
        self._thread.start()
        if not self._running.wait(_PATIENCE) or self._failure is not None:
            raise RuntimeError("the laboratory does not start") from self._failure

    def present(self, tls: TlsFiles, at: Sequence[socket.socket]) -> None:
        """Show another certificate to whoever connects to these from now on."""
        for bound, server in zip(self._sockets, self._servers, strict=True):
            if bound in at and server.config.ssl is not None:
                server.config.ssl.load_cert_chain(tls.certificate, tls.key)

    def stop(self) -> None:
        """End, and drop what is still asked."""
        for server in self._servers:
            server.should_exit = True
            server.force_exit = True
        self._thread.join(_PATIENCE)
        for one in self._sockets:
            one.close()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # noqa: BLE001 - the edge of the thread; `start` raises it
            self._failure = error
        finally:
            self._running.set()

    def _have_begun(self, tasks: Sequence[asyncio.Task[None]]) -> bool:
        return all(server.started or task.done() for server, task in zip(self._servers, tasks, strict=True))

    async def _serve(self) -> None:
        tasks = [
            asyncio.create_task(server.serve(sockets=[bound]))
            for server, bound in zip(self._servers, self._sockets, strict=True)
        ]
        while not self._have_begun(tasks):  # noqa: ASYNC110 - uvicorn has a flag and no event
            await asyncio.sleep(0.005)
        self._running.set()
        await asyncio.gather(*tasks)
        # Clients that keep their connections, or that wait for a late answer, are not waited for.
        for server in self._servers:
            for connection in list(server.server_state.connections):
                connection.transport.abort()
        await asyncio.sleep(0.01)


def _config(app: ASGIApp, tls: TlsFiles) -> uvicorn.Config:
    options: dict[str, Any] = {"log_config": None, "access_log": False, "server_header": False, "lifespan": "off"}
    # The date is the tenant's, whose clock can be moved: `Hop` writes it.
    options["date_header"] = False
    return uvicorn.Config(
        app,
        http=_Protocol,
        ws="none",
        ssl_certfile=str(tls.certificate),
        ssl_keyfile=str(tls.key),
        timeout_graceful_shutdown=1,
        **options,
    )
