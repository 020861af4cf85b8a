"""Regalia to be measured: homes made by `init`'s own code, opened here or served by `regalia serve`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from regalia.app import App, build
from regalia.ca.profile import DEFAULT_DOCUMENT
from regalia.cli.init import initialise
from regalia.config import load_config
from regalia.model import Actor, ActorKind, KeyKind
from tools.bench.devices import Server, request
from tools.bench.load import free_port
from tools.bench.measure import VoidRunError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from regalia.model import Door
    from tools.bench.devices import Device, Sent

__all__ = [
    "ACTOR",
    "CA_KEYS",
    "Home",
    "add_rsa_group",
    "door_of",
    "environment",
    "make_home",
    "opened",
    "program",
    "requests",
    "served",
]

ACTOR: Final = Actor(ActorKind.ADMIN, "os:bench")
CA_KEYS: Final = {"P-256": "default", "RSA-2048": "rsa"}
"""Kinds of issuing CA, and the SCEP endpoint of each."""
_READY_SECONDS: Final = 60
_STOP_SECONDS: Final = 30


@dataclass(frozen=True, slots=True)
class Home:
    """An initialised home, and the port that its certificates name."""

    path: Path
    port: int


def make_home(path: Path, database: str | None = None) -> Home:
    """Initialise a home as `regalia init` does; its issuing CA has a P-256 key."""
    home = Home(path, free_port())
    initialise(path, url=f"http://127.0.0.1:{home.port}", database=database)
    return home


def add_rsa_group(home: Home) -> None:
    """Add group and endpoint `rsa`, whose issuing CA has an RSA-2048 key."""
    with opened(home) as app:
        app.registry.create_group("rsa", actor=ACTOR, key_kind=KeyKind.RSA_2048)
        app.registry.create_profile("rsa", "rsa", DEFAULT_DOCUMENT, actor=ACTOR)
        app.registry.create_endpoint("rsa", group="rsa", profile="rsa", actor=ACTOR)


@contextmanager
def opened(home: Home) -> Iterator[App]:
    """Open a home in this process."""
    app = build(load_config({}, home=home.path))
    try:
        yield app
    finally:
        app.close()


def door_of(app: App, endpoint: str) -> Door:
    """Find an endpoint's door."""
    door = app.scep.door(endpoint)
    if door is None:
        raise VoidRunError(f"no endpoint {endpoint}")
    return door


def requests(app: App, endpoint: str, devices: Sequence[Device]) -> list[Sent]:
    """Make one request for each device, with a one-time challenge that is bound to its names."""
    door = door_of(app, endpoint)
    server = Server(door.ra.certificate_der, door.authority.certificate_der)
    secrets = [
        app.challenges.mint(endpoint, binding=device.names, device=None, ttl=timedelta(hours=12), actor=ACTOR).secret
        for device in devices
    ]
    return [request(device, server, secret) for device, secret in zip(devices, secrets, strict=True)]


# --- as programs ------------------------------------------------------------------------------------------------------


def program(*arguments: str | Path) -> list[str]:
    """Return the command that runs the product with these arguments."""
    return [sys.executable, "-P", "-m", "regalia", *map(str, arguments)]


def environment(path: Path) -> dict[str, str]:
    """Return what a product process gets to see: nothing of the one who measures."""
    kept = {name: value for name, value in os.environ.items() if name == "PATH" or name.startswith("PYTHON")}
    return {**kept, "HOME": str(path.parent), "LANG": "C.UTF-8", "REGALIA_HOME": str(path)}


@contextmanager
def served(home: Home, *options: str, settings: Mapping[str, str] | None = None) -> Iterator[int]:
    """Run `regalia serve` with its defaults until the block ends; gives its process id once it is ready.

    `settings` are of its environment, and differ from the defaults.
    """
    listen = ("--listen", f"127.0.0.1:{home.port}", "--admin-listen", "127.0.0.1:0", *options)
    log = home.path.with_name(f"{home.path.name}.log")
    with (
        log.open("wb") as stderr,
        subprocess.Popen(
            program("serve", *listen, "--json"),
            env=environment(home.path) | dict(settings or {}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
        ) as process,
    ):
        try:
            first = process.stdout.readline() if process.stdout is not None else b""
            if not first:
                process.wait(_READY_SECONDS)
                raise VoidRunError(f"regalia serve ended:\n{log.read_text(errors='replace')}")
            json.loads(first)
            yield process.pid
        finally:
            process.terminate()
            try:
                process.wait(_STOP_SECONDS)
            finally:
                process.kill()
