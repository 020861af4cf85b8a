"""Enrolments of one group while another group's connector hangs: it takes a connection, and never says a word."""

from __future__ import annotations

import http.client
import secrets
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Final

from regalia.ca.profile import DEFAULT_DOCUMENT
from regalia.model import Authoriser, KeyKind
from tools.bench.devices import Server, judge, make_devices, request
from tools.bench.homes import ACTOR, door_of, make_home, opened, requests, served
from tools.bench.load import free_port
from tools.bench.measure import VoidRunError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tools.bench.devices import Device, Sent
    from tools.bench.homes import Home

__all__ = ["percentiles_beside_a_connector"]

_OTHER: Final = "other"
_KNOCKING: Final = 4
"""Devices at the other group's endpoint, each with a request under way all the time but for a pause."""
_PAUSE_SECONDS: Final = 0.5
_CLIENTS: Final = 8
_RATE: Final = 12
"""Enrolments a second at times that are fixed beforehand: one that is late delays no other."""
_LONGEST_SECONDS: Final = 60.0
_HEADERS: Final = {"Content-Type": "application/x-pki-message"}


def percentiles_beside_a_connector(
    directory: Path, url: str | None, *, passes: int, enrolments: int
) -> list[tuple[float, float]]:
    """Measure so many enrolments of each half of a pass; of each pass the 99th percentile without and with a hang.

    Without: the connection is refused at once. Else nothing differs: as many devices knock at the other endpoint.
    Raises `VoidRunError` where an enrolment is not answered with its certificate.
    """
    devices = make_devices(enrolments)
    home, port = make_home(directory / "home", url), free_port()
    _open_other_group(home, port)
    found = []
    for _ in range(passes):
        without = _half(home, devices, port)
        with socket.create_server(("127.0.0.1", port), backlog=128):
            found.append((without, _half(home, devices, port)))
    return found


def _open_other_group(home: Home, port: int) -> None:
    with opened(home) as app:
        app.registry.create_group(_OTHER, actor=ACTOR, key_kind=KeyKind.P256)
        app.registry.create_profile(_OTHER, _OTHER, DEFAULT_DOCUMENT, actor=ACTOR)
        settings = {"url": f"https://127.0.0.1:{port}/"}
        app.connectors.create(_OTHER, "webhook", settings, secrets.token_hex(32), actor=ACTOR)
        app.registry.create_endpoint(
            _OTHER, group=_OTHER, profile=_OTHER, actor=ACTOR, authoriser=Authoriser.CONNECTOR, connector=_OTHER
        )


def _half(home: Home, devices: Sequence[Device], port: int) -> float:
    """Serve anew, so that no connector is left in peace for what it did before; the 99th percentile in seconds."""
    with opened(home) as app:
        sent = requests(app, "default", devices)
        door = door_of(app, _OTHER)
        knock = request(devices[0], Server(door.ra.certificate_der, door.authority.certificate_der), "a word").message
    settings = {"REGALIA_OUTGOING__CONNECTORS": f"127.0.0.1:{port}"}
    with served(home, "--workers", "2", settings=settings), _knocking(home, knock):
        took, answers = _enrolled(home, sent)
    judge(zip(sent, answers, strict=True))
    return sorted(took)[len(took) * 99 // 100]


@contextmanager
def _knocking(home: Home, message: bytes) -> Iterator[None]:
    """Have devices ask at the endpoint whose connector is spoken of, until the block ends."""
    ended = threading.Event()

    def knock() -> None:
        while not ended.wait(_PAUSE_SECONDS):
            status, _ = _post(home, _OTHER, message)
            if status != http.client.SERVICE_UNAVAILABLE:
                raise VoidRunError(f"a connector that does not answer: {status}")

    with ThreadPoolExecutor(_KNOCKING) as threads:
        waiting = [threads.submit(knock) for _ in range(_KNOCKING)]
        try:
            # Until each is at the connector, if it hangs.
            time.sleep(2 * _PAUSE_SECONDS)
            yield
        finally:
            ended.set()
        for each in waiting:
            each.result()


def _enrolled(home: Home, sent: Sequence[Sent]) -> tuple[list[float], list[bytes]]:
    began = time.monotonic() + _PAUSE_SECONDS

    def one(number: int) -> tuple[float, bytes]:
        due = began + number / _RATE
        time.sleep(max(0.0, due - time.monotonic()))
        status, body = _post(home, "default", sent[number].message)
        if status != http.client.OK:
            raise VoidRunError(f"an enrolment was answered {status}")
        return time.monotonic() - due, body

    with ThreadPoolExecutor(_CLIENTS) as threads:
        done = list(threads.map(one, range(len(sent))))
    return [took for took, _ in done], [body for _, body in done]


def _post(home: Home, endpoint: str, message: bytes) -> tuple[int, bytes]:
    with closing(http.client.HTTPConnection("127.0.0.1", home.port, timeout=_LONGEST_SECONDS)) as connection:
        connection.request("POST", f"/scep/{endpoint}?operation=PKIOperation", message, _HEADERS)
        answer = connection.getresponse()
        return answer.status, answer.read()
