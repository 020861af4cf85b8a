"""An API in memory: verbs over a world, callers by tokens of the test's own."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fakes import FakeCallers, FakeClock, MemoryAnswers, MemoryCrlFiles, MemoryKeys, MemoryStore
from regalia.model import EVERYWHERE, Actor, ActorKind, Grant, Reach, Role
from regalia.ra.api_limits import ApiLimits
from regalia.ra.limits import Allowances
from regalia.verbs import VERBS, Caller
from regalia.web.admin import Mount, admin_app
from regalia.web.api import PREFIX, ApiFace, ApiParts
from regalia.web.api_pages import ApiPages
from regalia.web.api_repeats import Repeats
from regalia.web.health import Readiness
from regalia.web.metrics import Metrics
from web.asgi import ask
from world import World

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from starlette.types import ASGIApp

    from regalia.verbs import Verb
    from regalia.web.pool import Pool
    from web.asgi import Heard

__all__ = ["ADMIN_TOKEN", "BOUNDED_TOKEN", "HELPER_TOKEN", "SESSION", "Api", "Bare"]

ADMIN_TOKEN = "of-an-admin"
BOUNDED_TOKEN = "of-somebody-bounded"
HELPER_TOKEN = "of-a-helper"
SESSION = "of-a-session"


def somebody(name: str, role: Role, reach: Reach = EVERYWHERE) -> Caller:
    """Make a caller."""
    return Caller(Actor(ActorKind.ADMIN, name), (Grant(role, reach),), fresh=True)


class Bare:
    """As much of a world as the API itself needs."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.store = MemoryStore()
        self.keys = MemoryKeys(self.store)
        self.files = MemoryCrlFiles()


@dataclass
class Api:
    """The API of a world."""

    pool: Pool
    world: Any = field(default_factory=World)
    """A `World`, or `Bare` where the verbs need none."""
    verbs: Iterable[Verb[Any, Any]] = tuple(VERBS.values())
    allowances: Allowances = field(default_factory=Allowances)
    answers: MemoryAnswers = field(default_factory=MemoryAnswers)
    app: ASGIApp = field(init=False)
    foreign: dict[str, str] = field(default_factory=dict)
    """Names of what the test put into the world, by their nouns."""

    def __post_init__(self) -> None:
        self.callers = FakeCallers(
            {
                ADMIN_TOKEN: somebody("token:admin", Role.ADMIN),
                BOUNDED_TOKEN: somebody("token:bounded", Role.ADMIN, Reach(frozenset({"elsewhere"}))),
                HELPER_TOKEN: somebody("token:helper", Role.HELPDESK_READ_ONLY),
                SESSION: somebody("session:admin", Role.ADMIN),
            }
        )
        self.metrics = Metrics(self.world.clock)
        parts = ApiParts(
            services=self.world,
            callers=self.callers,
            limits=ApiLimits(self.world.store, self.allowances),
            repeats=Repeats(self.answers, self.world.clock, lambda text: hashlib.sha256(text.encode()).digest()),
            pool=self.pool,
            metrics=self.metrics,
        )
        face = ApiFace(parts, self.verbs, ApiPages(self.verbs))
        self.app = admin_app(
            readiness=Readiness(self.world.store, self.world.keys, self.world.files, self.world.clock),
            metrics=self.metrics,
            pool=self.pool,
            hosts=(),
            mounts=[Mount(PREFIX, face, None)],
        )

    def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        token: str | None = ADMIN_TOKEN,
        headers: Mapping[str, str] | None = None,
        source: str = "192.0.2.1",
    ) -> Heard:
        """Send a request; a body that is no octets is sent as JSON."""
        sent: dict[str, str] = {"host": "localhost"}
        if token is not None:
            sent["authorization"] = f"Bearer {token}"
        octets = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        if body is not None:
            sent |= {"content-type": "application/json", "content-length": str(len(octets))}
        sent |= headers or {}
        listed = [(name.encode(), value.encode()) for name, value in sent.items() if value]
        return ask(self.app, f"{PREFIX}{path}", method=method, headers=listed, body=(octets,), source=source)
