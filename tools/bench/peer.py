"""The peer: micromdm's `scepserver` as Debian packages it, in a network namespace, because it binds every interface.

Its depot of files counts serials without a lock: of requests that meet, some are refused. So it is asked one at a time.
It takes the very requests that Regalia gets (SHA-256, AES-128-CBC) and answers with SHA-1 and single DES whatever it
was sent, which our own reader refuses; so OpenSSL's tools open its answers.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from regalia.errors import PeerError
from regalia.wire.cms import read_certs_only
from regalia.wire.der import DerError
from regalia.wire.oids import PKI_STATUS, RECIPIENT_NONCE
from regalia.wire.scep import PkiStatus, RawMessage, read_message
from tools.bench.devices import Server, distinct, judge_leaf
from tools.bench.load import free_port, get, wait_until_answering
from tools.bench.measure import VoidRunError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tools.bench.devices import Sent

__all__ = ["CHALLENGE", "PATH", "Peer", "enter_namespace", "judge_peer", "openssl", "running_peer"]

CHALLENGE: Final = "secret"
PATH: Final = "/scep?operation=PKIOperation"
_INSIDE: Final = "REGALIA_BENCH_NAMESPACE"


@dataclass(frozen=True, slots=True)
class Peer:
    """A running `scepserver`. Its one RSA-2048 key is the CA's and the RA's."""

    pid: int
    port: int
    server: Server


def enter_namespace(arguments: Sequence[str]) -> None:
    """Begin this program again where there is nothing but a loopback interface; returns where it is there already.

    Root keeps its identity, to be able to run PostgreSQL as its own user; anybody else becomes an owner of the
    namespace and nothing more.
    """
    if os.environ.get(_INSIDE):
        return
    private = ["--net"] if os.geteuid() == 0 else ["--map-current-user", "--keep-caps", "--net"]
    inside = [sys.executable, "-m", "tools.bench", *arguments]
    _execute(["unshare", *private, "sh", "-c", 'ip link set lo up && exec "$@"', "sh", *inside])


def _execute(command: list[str]) -> NoReturn:
    if not all(shutil.which(name) for name in ("unshare", "ip", "scepserver")):
        raise VoidRunError("unshare, ip or scepserver is missing; as root: apt-get install util-linux iproute2 scep")
    sys.stdout.flush()
    os.execvpe(command[0], command, {**os.environ, _INSIDE: "1"})  # noqa: S606 - no shell is what is wanted


@contextmanager
def running_peer(directory: Path) -> Iterator[Peer]:
    """Run it with a new RSA-2048 CA until the block ends."""
    depot, port = directory / "depot", free_port()
    environment = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(directory)}
    with (directory / "scepserver.log").open("wb") as log:
        init = ["scepserver", "ca", "-init", "-keySize", "2048", "-depot", str(depot)]
        subprocess.run(init, check=True, env=environment, stdout=log, stderr=log)
        serve = ["scepserver", "-depot", str(depot), "-port", str(port), "-challenge", CHALLENGE, "-allowrenew", "0"]
        with subprocess.Popen(serve, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log) as process:
            try:
                wait_until_answering(port, "/scep?operation=GetCACaps")
                ca = get(port, "/scep?operation=GetCACert")
                yield Peer(process.pid, port, Server(ca, ca))
            finally:
                process.terminate()


# --- its answers ------------------------------------------------------------------------------------------------------


def judge_peer(answers: Iterable[tuple[Sent, bytes]]) -> int:
    """Open and verify every answer; return how many there were. Raises `VoidRunError` at the first bad one."""
    with tempfile.TemporaryDirectory(prefix="regalia-bench-") as directory:
        return distinct([_open(sent, reply, Path(directory)) for sent, reply in answers])


def _open(sent: Sent, reply: bytes, directory: Path) -> int:
    try:
        _check_attributes(sent, read_message(reply))
        leaves = read_certs_only(_decrypted(sent, _verified(sent, reply, directory), directory))
    except (DerError, PeerError) as fault:
        raise VoidRunError(f"{sent.transaction.text}: {fault}") from fault
    return judge_leaf(sent, leaves[0])


def _check_attributes(sent: Sent, raw: RawMessage) -> None:
    nonce = raw.attributes.maybe(RECIPIENT_NONCE) if raw.attributes is not None else None
    status = raw.attributes.maybe(PKI_STATUS) if raw.attributes is not None else None
    if status is None or status.content != PkiStatus.SUCCESS.encode():
        raise VoidRunError(f"{sent.transaction.text}: refused, {status}")
    if raw.transaction is None or raw.transaction.octets != sent.transaction.octets:
        raise VoidRunError(f"{sent.transaction.text}: the answer is for another transaction")
    if nonce is None or nonce.content != sent.nonce:
        raise VoidRunError(f"{sent.transaction.text}: the answer is for another message")


def _verified(sent: Sent, reply: bytes, directory: Path) -> bytes:
    ca = directory / "ca.pem"
    if not ca.exists():
        ca.write_bytes(_pem(sent.server.recipient))
    anchors = ("-CAfile", ca, "-certfile", ca, "-purpose", "any")
    return openssl("cms", "-verify", "-binary", "-inform", "DER", *anchors, stdin=reply)


def _decrypted(sent: Sent, sealed: bytes, directory: Path) -> bytes:
    key, signer = directory / "key.pem", directory / "signer.pem"
    key.write_bytes(
        sent.device.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    signer.write_bytes(_pem(sent.signer))
    legacy = ("-provider", "legacy", "-provider", "default")
    return openssl(
        "cms", "-decrypt", "-binary", "-inform", "DER", "-inkey", key, "-recip", signer, *legacy, stdin=sealed
    )


def _pem(der: bytes) -> bytes:
    return x509.load_der_x509_certificate(der).public_bytes(serialization.Encoding.PEM)


def openssl(*arguments: str | Path, stdin: bytes = b"") -> bytes:
    """Run OpenSSL's program; what it prints. Raises `VoidRunError` where it refuses."""
    result = subprocess.run(["openssl", *arguments], check=False, input=stdin, capture_output=True, timeout=60)  # noqa: S607 - from PATH, as an administrator would
    if result.returncode != 0:
        raise VoidRunError(f"openssl {arguments[0]}: {result.stderr.decode(errors='replace').strip()}")
    return result.stdout
