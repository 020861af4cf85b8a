"""The crash matrix: a life for each call of an issuance, which ends itself before or after it, again and again."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from regalia.app.build import wire
from regalia.config import load_config
from regalia.ra.scep import CertRep
from tools.faults.devices import enrolment, renewal
from tools.faults.run import RunError
from tools.faults.server import opened_ground
from tools.faults.site import ENDPOINT, Office
from tools.faults.wiring import ANSWER, Call, CrashPoint, Moments, watched_app, watched_ground

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from regalia.app.build import App
    from tools.bench.devices import Device
    from tools.faults.devices import Conversation
    from tools.faults.site import Site

__all__ = ["calls_of_an_issuance", "crash_points", "lives"]

_LATEST: Final = 12
"""At which of its calls at the latest a life ends: the load is on by then, and the life is short."""


def calls_of_an_issuance(site: Site, device: Device) -> tuple[Call, ...]:
    """Enrol and renew once in this process and return every call of store and signer that it took, each kind once."""
    config = load_config({}, home=site.home)
    moments = Moments(None)
    app = watched_app(wire(config, watched_ground(opened_ground(config, site.plan()), moments)), moments)
    try:
        office = Office(app)
        minted = office.challenge(device.names)
        if minted is None:
            raise RunError("no challenge is handed out")
        first = enrolment(device, office.server, minted.secret)
        certificate = first.read(_answer(app, first)).certificates[0]
        _answer(app, renewal(device, office.server, certificate))
    finally:
        app.close()
    return tuple(dict.fromkeys(call for call in moments.seen if call != ANSWER))


def _answer(app: App, conversation: Conversation) -> bytes:
    door = app.scep.door(ENDPOINT)
    answer = app.scep.pki_operation(door, conversation.message, "127.0.0.1") if door is not None else None
    if not isinstance(answer, CertRep):
        raise RunError(f"the server answers {answer!r}")
    return answer.der


def crash_points(calls: Sequence[Call]) -> tuple[CrashPoint, ...]:
    """Return the points before and after each call, and the one before the answer is sent."""
    around = [CrashPoint(call, when) for call in calls for when in ("before", "after")]
    return (*around, CrashPoint(ANSWER, "before"))


def lives(points: Sequence[CrashPoint], times: int, seed: int) -> Iterator[CrashPoint]:
    """Yield each point so many times, in an order of dice, each time at another of the calls of its kind."""
    dice = random.Random(seed)  # noqa: S311 - an order, not a secret
    order = [point for point in points for _ in range(times)]
    dice.shuffle(order)
    yield from (replace(point, nth=dice.randint(1, _LATEST)) for point in order)
