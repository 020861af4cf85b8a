"""The crash matrix: a life for each call of an issuance, which ends itself before or after it, again and again."""

from __future__ import annotations

import random
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from regalia.app.build import wire
from regalia.config import load_config
from regalia.errors import UnavailableError
from regalia.ra.scep import CertRep
from tools.faults.devices import enrolment, renewal
from tools.faults.run import RunError
from tools.faults.server import opened_ground
from tools.faults.signer import AbsentSigner
from tools.faults.site import ENDPOINT, Office
from tools.faults.wiring import ANSWER, Call, CrashPoint, Moments, watched_app, watched_ground

if TYPE_CHECKING:
    from collections.abc import Iterator

    from regalia.app.build import App
    from tools.bench.devices import Device
    from tools.faults.devices import Conversation
    from tools.faults.site import Site

__all__ = ["Calls", "around_the_signature", "calls_of_an_issuance", "crash_points", "lives"]

_LATEST: Final = 12
"""At which of its calls at the latest a life ends: the load is on by then, and the life is short."""
_ENOUGH: Final = 2.5
"""Seconds beyond the lease after which an intent is overdue."""


@dataclass(frozen=True, slots=True)
class Calls:
    """Every kind of call of store and signer that leads to a certificate."""

    usual: tuple[Call, ...]
    """Of an enrolment and a renewal that nothing interrupts."""
    after_a_crash: tuple[Call, ...]
    """What a message that is sent again needs besides, where an intent was left behind."""


def calls_of_an_issuance(site: Site, device: Device) -> Calls:
    """Enrol, renew, and enrol once more with an interruption, in this process, and return the calls of each kind."""
    config = load_config({}, home=site.home, options=dict(site.settings))
    ground = opened_ground(config, site.plan())
    signer = AbsentSigner(ground.signer, 0.0, random.Random(0))  # noqa: S311 - no secret
    moments = Moments(None)
    app = watched_app(wire(config, watched_ground(replace(ground, signer=signer), moments)), moments)
    try:
        office = Office(app)
        first = _enrolment(office, device)
        certificate = first.read(_answer(app, first)).certificates[0]
        _answer(app, renewal(device, office.server, certificate))
        usual = _kinds(moments)
        interrupted = _enrolment(office, device)
        signer.absent = 1.0
        with suppress(UnavailableError):
            _answer(app, interrupted)
        signer.absent = 0.0
        time.sleep(config.issuance.lease_seconds + _ENOUGH)
        _answer(app, interrupted)
    finally:
        app.close()
    return Calls(usual, tuple(call for call in _kinds(moments) if call not in usual))


def _enrolment(office: Office, device: Device) -> Conversation:
    minted = office.challenge(device.names)
    if minted is None:
        raise RunError("no challenge is handed out")
    return enrolment(device, office.server, minted.secret)


def _answer(app: App, conversation: Conversation) -> bytes:
    door = app.scep.door(ENDPOINT)
    answer = app.scep.pki_operation(door, conversation.message, "127.0.0.1") if door is not None else None
    if not isinstance(answer, CertRep):
        raise RunError(f"the server answers {answer!r}")
    return answer.der


def _kinds(moments: Moments) -> tuple[Call, ...]:
    return tuple(dict.fromkeys(call for call in moments.seen if call != ANSWER))


def around_the_signature(calls: Calls) -> Calls:
    """Keep the calls about a signature that cannot be repeated, and the one that settles what was begun."""
    near = {("store", "begin"), ("signer", "sign_intent"), ("store", "finish"), ("store", "abandon")}

    def kept(of: tuple[Call, ...]) -> tuple[Call, ...]:
        return tuple(call for call in of if (call.port, call.method) in near)

    return Calls(kept(calls.usual), kept(calls.after_a_crash))


def crash_points(calls: Calls) -> tuple[CrashPoint, ...]:
    """Return the points before and after each call, and the one before the answer is sent."""
    around = [CrashPoint(call, when) for call in (*calls.usual, *calls.after_a_crash) for when in ("before", "after")]
    return (*around, CrashPoint(ANSWER, "before"))


def lives(calls: Calls, times: int, seed: int) -> Iterator[CrashPoint]:
    """Yield each point so many times, in an order of dice, each time at another of the calls of its kind.

    What only happens after a crash happens seldom, so a life ends at the first such call.
    """
    dice = random.Random(seed)  # noqa: S311 - an order, not a secret
    order = [point for point in crash_points(calls) for _ in range(times)]
    dice.shuffle(order)
    for point in order:
        yield point if point.call in calls.after_a_crash else replace(point, nth=dice.randint(1, _LATEST))
