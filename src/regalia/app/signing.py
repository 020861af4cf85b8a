"""Wiring of a signer: the process that has the CA keys, beside `serve` or as a service of its own (R10, SEC-2)."""

from __future__ import annotations

import os
import secrets
import signal
import socket
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs, urlsplit

import structlog

from regalia import reasons
from regalia.app.build import NODE_FILE, SystemClock, SystemEntropy, node_name, open_checked_store
from regalia.app.custody import Custody
from regalia.errors import AdminError, InvariantError
from regalia.keys.hardening import close_all_but, harden
from regalia.keys.master import SpareRing, master_ring
from regalia.keys.private_files import create_private
from regalia.keys.sealing import MasterSealer
from regalia.keys.signer_client import UnixAddress
from regalia.keys.signer_desk import Bounds, Desk
from regalia.keys.signer_server import SignerServer, UnixEntrance
from regalia.keys.signer_wire import TOKEN_OCTETS
from regalia.store.crl_files import DirectoryCrlFiles

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from regalia.app.supervisor import Seat
    from regalia.config import Config
    from regalia.keys.signer_server import Entrance
    from regalia.store.store import SqlStore

__all__ = ["OwnSigner", "own_signer", "serve_signer"]

_BACKLOG: Final = 128

_log = structlog.get_logger("regalia.signer")


@dataclass(frozen=True, slots=True)
class OwnSigner:
    """The signer that `serve` starts for its workers; made before the fork, so that each of them knows the way to it.

    The socket outlives a signer that dies: who connects meanwhile waits for the next one.
    """

    listening: socket.socket
    address: UnixAddress

    def run(self, config: Config, seat: Seat) -> None:
        """Be it, in a process of its own, until SIGTERM or the end of who started it."""
        close_all_but((self.listening.fileno(), seat.until, seat.tell))
        # Ctrl-C in a terminal goes to every process: the workers still need signatures to finish what they began.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        users = frozenset({os.geteuid()})
        entrance = UnixEntrance(self.listening, users, token=self.address.token)
        serve_signer(config, [entrance], seat.ready, until=seat.until)


def own_signer() -> OwnSigner:
    """Open the socket, under a name of the kernel's choice that no file has, and draw the word that callers say."""
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listening.bind("")
    listening.listen(_BACKLOG)
    name = listening.getsockname()
    if not isinstance(name, bytes):
        raise InvariantError(f"a name of the kernel's choice is no octets: {name!r}")
    return OwnSigner(listening, UnixAddress(os.fsdecode(name), secrets.token_bytes(TOKEN_OCTETS)))


def serve_signer(
    config: Config,
    entrances: Sequence[Entrance],
    on_ready: Callable[[], None],
    *,
    until: int | None = None,
    abroad: bool = False,
) -> None:
    """Sign for those who come in, until SIGTERM, or SIGINT where it is not ignored, or the end of `until`.

    `abroad`: callers come from other hosts. Raises `AdminError` for the database's schema, the keys' settings and the
    node's name; `UnavailableError` where the database does not answer.
    """
    network = abroad or _needs_network(config)
    hardened = harden(network=network)
    _log.info("signer-hardened", **asdict(hardened))
    bounds = Bounds(connections=config.signer.connections, per_second=config.signer.per_second)
    store = _store(config)
    try:
        held = Custody(
            config, store, store, DirectoryCrlFiles(config.home / "crl"), SystemClock(), SystemEntropy()
        ).here()
        server = SignerServer(entrances, Desk(store, held.ca_keys, held.holder, bounds), bounds)
        with _stop_pipe() as stop:
            on_ready()
            server.run([stop] if until is None else [stop, until])
    finally:
        store.close()


def _store(config: Config) -> SqlStore:
    """Open the database under a node's name: the home's own, or one made for a home that is a signer's alone."""
    entropy = SystemEntropy()
    if not (config.home / NODE_FILE).exists():
        with suppress(FileExistsError):
            _made(config, entropy.octets(4).hex())
    # Without the master key, events of this process keep the names of administrators in clear.
    spare = SpareRing(master_ring(config.home, config.key_environment))
    sealer = MasterSealer(spare, entropy) if spare.keys() else None
    return open_checked_store(config, node_name(config.home), SystemClock(), sealer)


def _made(config: Config, node: str) -> None:
    try:
        create_private(config.home / NODE_FILE, f"{node}\n".encode())
    except FileExistsError:
        raise
    except OSError as error:
        raise AdminError(reasons.FILE_REFUSED, f"{config.home / NODE_FILE}: {error.strerror}") from error


def _needs_network(config: Config) -> bool:
    """Whether the database or the token may be on another host; a token's library may be a client of one."""
    if config.keys.pkcs11_module is not None:
        return True
    if config.database.is_sqlite:
        return False
    parts = urlsplit(config.database.url)
    hosts = [parts.hostname or "", *parse_qs(parts.query).get("host", [])]
    return any(host and not host.startswith(("/", "%2F", "%2f")) for host in hosts)


@contextmanager
def _stop_pipe() -> Iterator[int]:
    """Give a descriptor that can be read once this process was told to end."""
    hears, tell = os.pipe()
    numbers = [number for number in (signal.SIGTERM, signal.SIGINT) if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, lambda *_: os.write(tell, b".")) for number in numbers}
    try:
        yield hears
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(hears)
        os.close(tell)
