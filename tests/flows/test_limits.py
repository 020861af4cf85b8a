"""Limits over real HTTP: a running `regalia serve` with its default settings, and somebody who guesses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from interop.laptop import Laptop
from interop.server import running_server
from regalia import reasons
from regalia.app import SystemClock, SystemEntropy
from regalia.client.scep import ScepClient
from regalia.client.transport import HttpTransport
from regalia.errors import RegaliaError
from world import rsa_key

if TYPE_CHECKING:
    from pathlib import Path

    from regalia.client.scep import Server as ScepServer
    from regalia.client.transport import HttpAnswer, Transport
    from regalia.errors import Reason

pytestmark = pytest.mark.real


class Noting:
    """A transport that notes what each message was answered."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.answers: list[HttpAnswer] = []

    def exchange(self, url: str, body: bytes | None) -> HttpAnswer:
        """Exchange, and note the answer to a message."""
        answer = self._transport.exchange(url, body)
        if body is not None:
            self.answers.append(answer)
        return answer


def guess(client: ScepClient, server: ScepServer) -> Reason:
    """Enrol with a challenge that nobody handed out; say how that ended."""
    with pytest.raises(RegaliaError) as ended:
        client.enrol(server, rsa_key(0), cn="lap-guess", sans=frozenset(), challenge="a guess")
    return ended.value.reason


def test_who_guesses_is_told_to_wait_and_the_fleet_goes_on(tmp_path: Path) -> None:
    """CHA-3 and R6: ten tries a minute from one address, all workers together; then 429, and a renewal is served."""
    with running_server(tmp_path) as server, HttpTransport() as transport:
        laptop = Laptop(tmp_path, server)
        laptop.enrolled("lap-limits")
        noting = Noting(transport)
        client = ScepClient(server.scep, noting, SystemClock(), SystemEntropy(), pause=lambda _: None)
        told = client.server(None)
        told_off = [guess(client, told) for _ in range(11)]
        assert told_off[-1] is reasons.CLIENT_HTTP_REFUSED
        assert 1 <= told_off.count(reasons.CLIENT_DENIED) <= 10
        last = noting.answers[-1]
        assert (last.status, last.body) == (429, b"too many requests\n")
        assert last.retry_after is not None
        assert 1 <= last.retry_after <= 60

        ended = laptop.scep("renew", "--key", "device.key", "--cert", "device.pem")
        assert ended.code == 0, ended.stderr
        alarms = [event for event in server.events() if event["action"] == "limit.reached"]
        assert {(event["reason"], event["object"], event["security"]) for event in alarms} == {
            ("LIM-001", "source:127.0.0.1", True)
        }
        server.verify_events()
