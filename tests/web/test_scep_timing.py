"""What answers wait for: the floor under the uniform one (ENV-3), and what a flood is held up by."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes import FakeClock
from forge import attributes, envelope, signed
from regalia.ra.limits import Allowances
from regalia.web.metrics import Metrics
from regalia.web.pool import Pool
from regalia.web.scep import ScepFace, ScepLimits, uniform_moment
from regalia.wire import der
from web.asgi import ask
from world import Device, World, names, rsa_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from starlette.types import Message

POST = "/scep/default?operation=PKIOperation"
FLOOR = 0.025


@dataclass
class Watched:
    """A world behind its face, with a pool of one thread and a stopwatch that remembers."""

    world: World
    pool: Pool
    face: ScepFace = field(init=False)
    began: list[float] = field(default_factory=list)
    """When step 7 of each message began."""

    def __post_init__(self) -> None:
        service = self.world.service(self.world.keys, stopwatch=self._stopwatch)
        self.face = ScepFace(
            service=service,
            doors=self.world.store,
            pool=self.pool,
            limits=ScepLimits(),
            metrics=Metrics(FakeClock()),
        )

    def _stopwatch(self) -> float:
        self.began.append(time.monotonic())
        return self.began[-1]


@pytest.fixture
def pool() -> Iterator[Pool]:
    """One thread: what waits in it keeps everybody."""
    made = Pool("enrolment", threads=1, queue=64)
    yield made
    made.close()


@given(st.floats(0, 1e6), st.floats(0, 10))
def test_the_uniform_answer_leaves_at_the_next_step_of_the_clock(began: float, took: float) -> None:
    """ENV-3: a whole number of 25 ms after the step began, not before it is done, and less than one step later."""
    leaves = uniform_moment(began, began + took)
    steps = (leaves - began) / FLOOR
    assert abs(steps - round(steps)) < 1e-3
    assert round(steps) >= 1
    assert leaves >= began + took - 1e-9
    assert leaves - (began + took) <= FLOOR + 1e-6


def spoilt(device: Device, content: bytes) -> bytes:
    """An envelope whose padding is wrong."""
    sealed = bytearray(envelope(device, content))
    sealed[-1] ^= 1
    return bytes(sealed)


FAULTS: dict[str, Callable[[Device], bytes]] = {
    "padding": lambda device: signed(device, spoilt(device, b"x")),
    "no request": lambda device: signed(device, envelope(device, b"x")),
    "an octet too many": lambda device: signed(device, envelope(device, device.csr(names("x"), None) + b"\0")),
    "another key": lambda device: device.message(device.csr(names("x"), None, key=rsa_key(1))),
    "no retrieval": lambda device: signed(
        device, envelope(device, b"x"), attributes(device, der.printable_string("21")), device.self_signed()
    ),
    "nobody's certificate": lambda device: signed(
        device,
        envelope(device, der.sequence(der.sequence(), der.integer(1))),
        attributes(device, der.printable_string("21")),
        device.self_signed(),
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_no_uniform_answer_leaves_before_the_floor(pool: Pool, fault: str) -> None:
    """ENV-3: at 25 ms after step 7 began at the earliest, whatever is wrong with the content."""
    watched = Watched(World(), pool)
    message = FAULTS[fault](Device(watched.world))
    for _ in range(3):
        assert ask(watched.face, POST, method="POST", body=(message,)).status == 200
        assert time.monotonic() - watched.began[-1] >= FLOOR


def test_what_is_decrypted_well_waits_for_nothing(pool: Pool) -> None:
    """ENV-3: a request that is read gets its answer at once; the quickest of several shows it."""
    watched = Watched(World(), pool)
    times = []
    for turn in range(8):
        device = Device(watched.world).fresh(f"turn-{turn}")
        message = device.message(device.csr(names("laptop-1"), "a wrong challenge"))
        assert ask(watched.face, POST, method="POST", body=(message,), source=f"192.0.2.{turn}").status == 200
        times.append(time.monotonic() - watched.began[-1])
    assert min(times) < FLOOR


async def _asked(face: ScepFace, body: bytes, source: str) -> int:
    """Ask within a running loop; return the status."""
    scope: dict[str, Any] = {
        "type": "http",
        "method": "POST",
        "path": "/scep/default",
        "raw_path": b"/scep/default",
        "query_string": b"operation=PKIOperation",
        "headers": [],
        "client": (source, 40_000),
    }
    heard: list[int] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            heard.append(message["status"])

    await face(scope, receive, send)
    return heard[0]


def test_a_flood_is_held_up_and_good_devices_are_not(pool: Pool) -> None:
    """CHA-3, ENV-9: 429 comes after half a second, in which neither the pool nor anybody else's request waits."""
    world = World(allowances=Allowances(unreadable_per_source=1))
    watched = Watched(world, pool)
    device = Device(world)
    flood = signed(device, envelope(device, b"x"))
    good = device.message(device.csr(names("laptop-1"), world.mint("laptop-1")))

    async def story() -> tuple[list[int], float, int]:
        assert await _asked(watched.face, flood, "203.0.113.9") == 200
        began = time.monotonic()
        floods = [asyncio.create_task(_asked(watched.face, flood, "203.0.113.9")) for _ in range(20)]
        await asyncio.sleep(0)
        # It stands behind them in the queue of the one thread.
        assert await _asked(watched.face, good, "192.0.2.1") == 200
        answered = sum(task.done() for task in floods)
        statuses = [await task for task in floods]
        return statuses, time.monotonic() - began, answered

    statuses, took, answered = asyncio.run(story())
    assert set(statuses) == {429}
    assert answered == 0, "a good device was served while all of them still waited"
    assert 0.5 <= took < 5


def test_no_more_answers_of_one_source_wait_than_it_may_have_connections() -> None:
    """RES-2, RES-6: behind a proxy a flood's connections are everybody's: the 51st answer at a time does not wait."""
    world = World(allowances=Allowances(unreadable_per_source=1))
    pool = Pool("enrolment", threads=1, queue=100)
    watched = Watched(world, pool)
    device = Device(world)
    flood = signed(device, envelope(device, b"x"))

    ended: list[int] = []

    async def one(number: int) -> int:
        status = await _asked(watched.face, flood, "203.0.113.9")
        ended.append(number)
        return status

    async def story() -> list[int]:
        assert await _asked(watched.face, flood, "203.0.113.9") == 200
        return await asyncio.gather(*map(one, range(60)))

    try:
        assert set(asyncio.run(story())) == {429}
    finally:
        pool.close()
    assert set(ended[:10]) == set(range(50, 60))
