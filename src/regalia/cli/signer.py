"""`regalia signer`: be the process that has the keys of authorities and signs with them."""

import contextlib
import grp
import os
import pwd
import socket
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from regalia import reasons
from regalia.cli.options import Home, Json, examples, noun_app
from regalia.cli.output import print_json, say
from regalia.config import load_config
from regalia.config.settings import Address
from regalia.errors import AdminError

if TYPE_CHECKING:
    from regalia.keys.signer_server import Entrance

__all__ = ["app"]

app = noun_app("Be the process that has the keys of authorities and signs with them.")

_FOR_GROUP = 0o660


@app.command(
    epilog=examples(
        "signer --home /srv/signer --socket /run/regalia/signer.sock --group regalia",
        "signer --listen 10.0.0.5:8444 --tls-cert s.crt --tls-key s.key --client-ca ca.crt --client pki.example.org",
    )
)
def signer(
    home: Home = None,
    unix_socket: Annotated[
        Path | None,
        typer.Option(
            "--socket",
            metavar="PATH",
            readable=False,
            help="UNIX socket for callers on this machine.",
            show_default=False,
        ),
    ] = None,
    group: Annotated[
        str | None,
        typer.Option(
            "--group",
            metavar="NAME",
            help="System group whose processes may call by the socket, besides this user's.",
            show_default=False,
        ),
    ] = None,
    listen: Annotated[
        str | None,
        typer.Option("--listen", metavar="HOST:PORT", help="For callers on other hosts, TLS 1.3.", show_default=False),
    ] = None,
    tls_cert: Annotated[
        Path | None,
        typer.Option("--tls-cert", metavar="FILE", readable=False, help="Our certificate, PEM.", show_default=False),
    ] = None,
    tls_key: Annotated[
        Path | None,
        typer.Option("--tls-key", metavar="FILE", readable=False, help="Its key, PEM, mode 0600.", show_default=False),
    ] = None,
    client_ca: Annotated[
        Path | None,
        typer.Option(
            "--client-ca",
            metavar="FILE",
            readable=False,
            help="The one authority whose certificates callers show, PEM.",
            show_default=False,
        ),
    ] = None,
    client: Annotated[
        list[str] | None,
        typer.Option("--client", metavar="NAME", help="DNS name of a caller; may be repeated.", show_default=False),
    ] = None,
    as_json: Json = False,  # noqa: FBT002 - typer declares a flag so
) -> None:
    """Sign the committed intents of the database for those who may call, until told to stop (SIGTERM, Ctrl-C).

    It opens the database itself and signs nothing that is not on record there. `[signer]` in the settings of the
    servers says where it is. Without one, `regalia serve` starts a signer of its own.
    """
    from regalia.app.log import set_up_log  # noqa: PLC0415 - help must not wait for the database driver
    from regalia.app.signing import serve_signer  # noqa: PLC0415 - the same

    config = load_config(home=home)
    files = (tls_cert, tls_key, client_ca)
    if unix_socket is None and listen is None:
        raise AdminError(reasons.USAGE, "say where callers come: --socket, --listen or both")
    if listen is not None and (None in files or not client):
        raise AdminError(reasons.USAGE, "--listen needs --tls-cert, --tls-key, --client-ca and at least one --client")
    set_up_log(config.log)
    with contextlib.ExitStack() as opened:
        entrances: list[Entrance] = []
        where: dict[str, str] = {}
        if unix_socket is not None:
            entrances.append(opened.enter_context(_unix(unix_socket, group)))
            where["socket"] = str(unix_socket)
        if listen is not None and tls_cert is not None and tls_key is not None and client_ca is not None:
            entrance = opened.enter_context(_tls(_address(listen), (tls_cert, tls_key, client_ca), client or ()))
            entrances.append(entrance)
            where["listen"] = _bound(entrance.listening)

        def ready() -> None:
            if as_json:
                print_json(where, one_line=True)
            else:
                say("Ready: " + ", ".join(where.values()))
            sys.stdout.flush()

        serve_signer(config, entrances, ready, abroad=listen is not None)


def _address(text: str) -> Address:
    try:
        return Address.parse(text)
    except ValueError as error:
        raise AdminError(reasons.USAGE, f"--listen: {error}") from None


def _bound(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return str(Address(str(host), int(port)))


@contextlib.contextmanager
def _unix(path: Path, group: str | None) -> Iterator["Entrance"]:
    from regalia.keys.signer_server import UnixEntrance, listen_unix  # noqa: PLC0415 - help must not wait for it

    number = _group(group) if group is not None else None
    listening = listen_unix(path) if number is None else listen_unix(path, _FOR_GROUP, number)
    users = frozenset({os.geteuid()}) | (frozenset() if number is None else _members(number))
    try:
        yield UnixEntrance(listening, users, frozenset() if number is None else frozenset({number}))
    finally:
        listening.close()
        path.unlink(missing_ok=True)


def _group(name: str) -> int:
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        raise AdminError(reasons.USAGE, f"--group: this system has no group {name}") from None


def _members(number: int) -> frozenset[int]:
    """Return the users of a group: the kernel tells of a caller its own group, and not the further ones."""
    users = set()
    for name in grp.getgrgid(number).gr_mem:
        with contextlib.suppress(KeyError):
            users.add(pwd.getpwnam(name).pw_uid)
    return frozenset(users)


@contextlib.contextmanager
def _tls(address: Address, files: tuple[Path, Path, Path], clients: Sequence[str]) -> Iterator["Entrance"]:
    from regalia.keys.signer_server import TlsEntrance, tls_context  # noqa: PLC0415 - help must not wait for it

    certificate, key, authority = files
    context = tls_context(server=True, certificate=certificate, key=key, authority=authority)
    try:
        listening = socket.create_server(
            (address.host, address.port), family=socket.AF_INET6 if ":" in address.host else socket.AF_INET
        )
    except OSError as error:
        raise AdminError(reasons.LISTENER_REFUSED, f"{address}: {error.strerror or error}") from error
    try:
        yield TlsEntrance(listening, context, frozenset(name.lower() for name in clients))
    finally:
        listening.close()
