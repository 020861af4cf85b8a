"""The stage of a transcript: a home, a working directory, and what happens beside the commands."""

from __future__ import annotations

import hashlib
import itertools
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from foreign_pki import write_former
from regalia.app import App, SystemClock, SystemEntropy, build
from regalia.app.alerts import alert_jobs
from regalia.cli.soft_token import make_soft_token
from regalia.client.keys import generate_key
from regalia.client.scep import Issued, ScepClient, Server
from regalia.client.transport import HttpAnswer
from regalia.config import load_config
from regalia.errors import PeerError, UnavailableError
from regalia.model import Action, Actor, ActorKind, EventDraft, Outcome, SanKind, SignInKind, fleet, new_id
from regalia.ports.fleet import Stopped
from regalia.ra.scep import CertRep
from regalia.ra.sign_in import Proof, SessionDesk
from regalia.verbs import Caller, ProposedError, ask
from regalia.verbs.admin import CREATE, CreateAdministrator
from regalia.wire.certificate import read_certificate
from regalia.wire.names import make_san

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from regalia.client.keys import DeviceKey
    from regalia.client.transaction import OpenTransaction
    from regalia.model import Door

__all__ = ["DIRECTIVES", "Scene"]

_PATIENCE = 30
_TOKENS = itertools.count(1)


@dataclass(slots=True)
class Scene:
    """Where a transcript plays."""

    home: Path
    work: Path
    devices: dict[str, tuple[DeviceKey, Issued | None]] = field(default_factory=dict)
    opened: dict[str, OpenTransaction] = field(default_factory=dict)
    running: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(self, arguments: list[str], lines: int) -> str:
        """Start the program as a process of its own; return the first lines that it prints."""
        process = subprocess.Popen(
            [sys.executable, "-m", "regalia", *arguments],
            cwd=self.work,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.running.append(process)
        assert process.stdout is not None
        return "".join(process.stdout.readline() for _ in range(lines))

    def close(self) -> None:
        """End what still runs."""
        for process in self.running:
            process.terminate()
            with process:
                process.wait(_PATIENCE)


class _Doorstep:
    """A client's transport that ends at the SCEP service itself: every octet is real, only the socket is left out."""

    def __init__(self, app: App, door: Door, source: str) -> None:
        self._app = app
        self._door = door
        self._source = source

    def exchange(self, url: str, body: bytes | None) -> HttpAnswer:
        """Answer as `web.scep` does."""
        (operation,) = parse_qs(urlsplit(url).query)["operation"]
        if operation == "GetCACaps":
            return HttpAnswer(200, self._app.scep.ca_capabilities(self._door))
        if operation == "GetCACert":
            return HttpAnswer(200, self._app.scep.ca_certificates(self._door))
        answer = self._app.scep.pki_operation(self._door, body or b"", self._source)
        return HttpAnswer(200, answer.der) if isinstance(answer, CertRep) else HttpAnswer(400, b"")


@contextmanager
def _client(scene: Scene, endpoint: str) -> Iterator[tuple[ScepClient, Server]]:
    app = build(load_config(home=scene.home))
    try:
        door = app.scep.door(endpoint)
        assert door is not None, f"endpoint {endpoint} is not open"
        transport = _Doorstep(app, door, "192.0.2.7")
        client = ScepClient("http://pki.test/scep", transport, SystemClock(), SystemEntropy(), pause=lambda _: None)
        yield client, client.server(None)
    finally:
        app.close()


def _ended(scene: Scene, device: str, key: DeviceKey, ask: Callable[[], Issued]) -> str:
    try:
        issued = ask()
    except PeerError as refused:
        return f"refused: {refused.detail}\n"
    except UnavailableError as later:
        return f"{later.reason.title}: {later.detail}\n"
    scene.devices[device] = (key, issued)
    return f"issued {read_certificate(issued.certificate).serial:x}\n"


def _enrols(scene: Scene, words: list[str], attached: list[str]) -> str:
    """`device enrols NAME SECRET [cn=…] [dns=…] [endpoint=…] [transaction=…]`: a key is made at its first."""
    del attached
    device, secret, *asked = words
    options = [word.partition("=")[::2] for word in asked]
    values = dict(options)
    sans = frozenset(make_san(SanKind(kind), text) for kind, text in options if kind in {"dns", "email", "uri", "ip"})
    key, _ = scene.devices.setdefault(device, (generate_key(), None))
    with _client(scene, values.get("endpoint", "default")) as (client, server):
        opened = client.begin(key, cn=values.get("cn"), sans=sans)
        scene.opened[device] = opened = replace(opened, id=values.get("transaction", opened.id))
        return _ended(scene, device, key, lambda: client.submit(server, key, opened, challenge=secret))


def _polls(scene: Scene, words: list[str], attached: list[str]) -> str:
    """`device polls NAME [endpoint=…]`: for what it asked last."""
    del attached
    device, *asked = words
    values = dict(word.partition("=")[::2] for word in asked)
    key, _ = scene.devices[device]
    with _client(scene, values.get("endpoint", "default")) as (client, server):
        return _ended(scene, device, key, lambda: client.poll(server, key, scene.opened[device]))


def _renews(scene: Scene, words: list[str], attached: list[str]) -> str:
    """`device renews NAME [endpoint=…]`: with its old key."""
    del attached
    device, *asked = words
    values = dict(word.partition("=")[::2] for word in asked)
    key, issued = scene.devices[device]
    assert issued is not None, f"{device} has nothing to renew"
    with _client(scene, values.get("endpoint", "default")) as (client, server):
        return _ended(scene, device, key, lambda: client.renew(server, issued.certificate, key))


def _file(scene: Scene, words: list[str], attached: list[str]) -> str:
    """`file NAME`: with the lines behind `| ` as its content."""
    (name,) = words
    (scene.work / name).write_text("".join(f"{line}\n" for line in attached), encoding="utf-8")
    return ""


def _directory(scene: Scene, words: list[str], attached: list[str]) -> str:
    """`directory NAME`."""
    del attached
    (name,) = words
    (scene.work / name).mkdir()
    return ""


def _sql(scene: Scene, words: list[str], attached: list[str]) -> str:
    """`sql`: somebody with the file in his hands changes the database; the statements stand behind `| `."""
    del words
    connection = sqlite3.connect(scene.home / "regalia.db", isolation_level=None)
    try:
        connection.executescript("\n".join(attached))
        changed = connection.total_changes
    finally:
        connection.close()
    return f"{changed} changed\n"


def _clock_was_ahead(scene: Scene, words: list[str], attached: list[str]) -> str:
    """`clock was ahead`: somebody worked while the machine believed that it was tomorrow."""
    del words, attached
    app = build(load_config(home=scene.home))
    tomorrow = app.clock.now() + timedelta(days=1)
    try:
        actor = Actor(ActorKind.SYSTEM, "server")
        app.store.record((EventDraft(tomorrow, actor, Action.SERVER_STARTED, "server", Outcome.OK),))
    finally:
        app.close()
    return ""


def _token(scene: Scene, words: list[str], attached: list[str]) -> str:
    """Make a token in SoftHSM; tell where its library and its PIN are, and its label, which no other scene has.

    The library stays in this process: it goes on to another scene's tokens when it misses one (see `tests/tokens.py`).
    """
    del attached
    (label,) = words
    made = make_soft_token(scene.work / "token", f"{label}-{next(_TOKENS)}")
    return f"{made.module} {made.pin_file} {made.label}\n"


def _no_home(scene: Scene, words: list[str], attached: list[str]) -> str:
    """`no home`: nothing was set up yet."""
    del words, attached
    shutil.rmtree(scene.home)
    return ""


def _former(scene: Scene, words: list[str], attached: list[str]) -> str:
    """`former pki`: the files of one that is to be moved (`foreign_pki.write_former`)."""
    del words, attached
    write_former(scene.work)
    return ""


def _job_ran(scene: Scene, words: list[str], attached: list[str]) -> str:
    """`job ran NAME`: a server's process ran it a moment ago; with a line behind `| ` it failed, saying that."""
    (name,) = words
    app = build(load_config(home=scene.home))
    try:
        now = app.clock.now()
        app.store.lease(name, "node:17", now - timedelta(seconds=2), now)
        app.store.finished(name, "node:17", now, " ".join(attached), every=timedelta(seconds=5))
    finally:
        app.close()
    return ""


def _alerts_are_watched(scene: Scene, words: list[str], attached: list[str]) -> str:
    """`alerts are watched`: a server's process looks what is wrong, once."""
    del words, attached
    app = build(load_config(home=scene.home))
    try:
        watch, *_ = alert_jobs(app, "node")
        watch.run(app.clock.now())
    finally:
        app.close()
    return ""


def _signs_in(scene: Scene, words: list[str], attached: list[str]) -> str:
    """`signs in NAME`: an administrator signs in with a browser."""
    del attached
    with closing(build(load_config(home=scene.home))) as app:
        person = app.administrators.found(words[0])
        SessionDesk(app.store, app.clock, app.entropy).open(
            Proof(person, SignInKind.PASSKEY, app.clock.now()), "192.0.2.1"
        )
    return ""


def _proposes(scene: Scene, words: list[str], attached: list[str]) -> str:
    """`proposes NAME OTHER`: an administrator who is signed in asks for another one with the role admin."""
    del attached
    with closing(build(load_config(home=scene.home))) as app:
        person = app.administrators.found(words[0])
        caller = Caller(
            Actor(ActorKind.ADMIN, f"user:{person.name}"), person.grants, fresh=True, administrator=person.id
        )
        with suppress(ProposedError):
            ask(CREATE, app, caller, CreateAdministrator(name=words[1], roles=("admin",)))
    return ""


def _inventory_says(scene: Scene, words: list[str], attached: list[str]) -> str:
    """`inventory says`: a connector names a laptop of group `default`, a lost phone of no group, and their user."""
    del words, attached
    with closing(build(load_config(home=scene.home))) as app:
        now = app.clock.now()
        laptop = fleet.Device(
            id=new_id(now, app.entropy.octets(10)),
            connector="mdm",
            external_id="device-1",
            group="default",
            name="laptop-1",
            platform=fleet.Platform.WINDOWS,
            state=fleet.DeviceState(managed=True),
            state_since=now,
            first_seen_at=now,
            seen_at=now,
            serial="SN-1",
        )
        phone = replace(
            laptop,
            id=new_id(now + timedelta(milliseconds=1), app.entropy.octets(10)),
            external_id="device-2",
            group=None,
            name="phone-1",
            platform=fleet.Platform.IOS,
            state=fleet.DeviceState(lost=True),
            serial="SN-2",
            user="user-1",
            evidence={"lostModeState": "enabled"},
        )
        ada = fleet.User(
            id=new_id(now, app.entropy.octets(10)),
            connector="mdm",
            external_id="user-1",
            name="Ada",
            upn="ada@example.org",
            state=fleet.UserState(enabled=True),
            state_since=now,
            first_seen_at=now,
            seen_at=now,
        )
        assert app.store.put_devices([(None, laptop), (None, phone)], ())
        assert app.store.put_users([(None, ada)], ())
    return ""


def _brake_stops(scene: Scene, words: list[str], attached: list[str]) -> str:
    """`brake stops`: a run of the server's would have ended too much."""
    del words, attached
    with closing(build(load_config(home=scene.home))) as app:
        now = app.clock.now()
        digest = hashlib.sha256(b"a plan").hexdigest()
        why = "group default: 40 of 100 live certificates would be revoked or held"
        shown = frozenset({bytes(32)})
        run = Stopped(new_id(now, app.entropy.octets(10)), digest, now, {"default": 40}, {"default": 100}, why, shown)
        assert app.store.put_stopped(None, run, ())
    return ""


DIRECTIVES: dict[str, Callable[[Scene, list[str], list[str]], str]] = {
    "device enrols": _enrols,
    "device polls": _polls,
    "device renews": _renews,
    "file": _file,
    "directory": _directory,
    "sql": _sql,
    "clock was ahead": _clock_was_ahead,
    "no home": _no_home,
    "token": _token,
    "former pki": _former,
    "job ran": _job_ran,
    "alerts are watched": _alerts_are_watched,
    "signs in": _signs_in,
    "proposes": _proposes,
    "inventory says": _inventory_says,
    "brake stops": _brake_stops,
}
