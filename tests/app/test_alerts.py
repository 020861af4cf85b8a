"""Deliveries of real processes: one that is killed after its message has arrived, and another that comes later."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from fakes import FakeClock, SeededEntropy
from net.outside import Outside, outside, said
from regalia.model import AlertCondition, DeliveryState, Finding, Severity, TargetKind
from regalia.net.addresses import Opened
from regalia.net.http import HttpOutgoing
from regalia.net.web_hook import WebHookSender
from regalia.ra.alerts import AlertDesk
from regalia.store import open_store
from regalia.store.migrations import upgrade
from world import ADMIN

if TYPE_CHECKING:
    import socket

    from regalia.store import SqlStore

TESTS = Path(__file__).resolve().parents[1]
LATE = Finding(AlertCondition.CRL_LATE, "crl:default", Severity.WARNING, "it is late", "Publish it.", "default")

DELIVERS = """
import sys
from app.test_alerts import desk_on, FakeClock, open_store
clock = FakeClock()
store = open_store(sys.argv[1], node="one", clock=clock)
desk_on(store, clock, int(sys.argv[2])).deliver(clock.now())
"""


class OpenSealer:
    """Seals nothing: two processes of a test read the same."""

    def seal(self, scope: str, secret: bytes) -> bytes:
        """Return it."""
        del scope
        return secret

    def unseal(self, scope: str, sealed: bytes) -> bytes:
        """Return it."""
        del scope
        return sealed


def desk_on(store: SqlStore, clock: FakeClock, port: int) -> AlertDesk:
    """Make the desk of one process, which may call this one port."""
    outgoing = HttpOutgoing(opened=(Opened.parse(f"http://127.0.0.1:{port}"),))
    sealer = OpenSealer()
    return AlertDesk(store, WebHookSender(outgoing, sealer), sealer, clock, SeededEntropy(), where="http://x")


def test_a_process_that_is_killed_before_it_notes_leaves_the_message_to_another(tmp_path: Path) -> None:
    """At least once: the receiver has the message, its sender is dead; the next one sends it again with the same id."""
    url = f"sqlite:///{tmp_path}/regalia.db"
    upgrade(url)
    clock = FakeClock()
    store = open_store(url, node="two", clock=clock)
    children: list[subprocess.Popen[bytes]] = []

    def speak(line: socket.socket, there: Outside) -> None:
        there.requests.append(said(line))
        if len(there.requests) == 1:
            # It arrived; before the answer, and so before anything is noted, its sender is gone.
            os.kill(children[0].pid, signal.SIGKILL)
            children[0].wait(30)
        line.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

    with outside(speak) as there:
        desk = desk_on(store, clock, there.port)
        desk.create_target("on-call", TargetKind.WEB_HOOK, f"http://127.0.0.1:{there.port}/", ADMIN)
        desk.look((LATE,), clock.now(), lambda _: True)
        ways = {**os.environ, "PYTHONPATH": os.pathsep.join((str(TESTS), *filter(None, sys.path)))}
        children.append(subprocess.Popen([sys.executable, "-c", DELIVERS, url, str(there.port)], env=ways))
        assert children[0].wait(60) == -signal.SIGKILL
        desk.deliver(clock.now())
        assert len(there.requests) == 1
        clock.advance(timedelta(minutes=2))
        desk.deliver(clock.now())
    first, second = (request.partition(b"\r\n\r\n")[2] for request in there.requests)
    assert first == second
    (delivery,) = store.deliveries()
    assert (delivery.state, delivery.attempts) == (DeliveryState.DELIVERED, 2)
    store.close()
