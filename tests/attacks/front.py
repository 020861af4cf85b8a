"""Both listeners' applications before a world, without a socket, and the octets that never belong into an answer."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fakes import FakeClock
from regalia.ca.status import OcspResponder
from regalia.model import Action
from regalia.ports import EventFilter
from regalia.ra.limits import Allowances
from regalia.store.crl_files import DirectoryCrlFiles
from regalia.web.admin import admin_app
from regalia.web.device import device_app
from regalia.web.health import Readiness
from regalia.web.metrics import Metrics
from regalia.web.pool import Pool, Pools
from web.asgi import ask
from world import World

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from starlette.types import ASGIApp

    from memory_store import MemoryStore
    from web.asgi import Heard

__all__ = ["OPEN", "Front", "no_reader_failed", "opened"]

_MANY = 10**9
OPEN = Allowances(_MANY, _MANY, _MANY, _MANY, _MANY, _MANY, _MANY)
"""R13: tests under load raise the limits, openly."""

STATUS = frozenset({200, 304, 400, 404, 405, 413, 414, 421, 429, 431})
"""Whatever content can cause: never a 5xx (IN-2)."""
TEXTS = frozenset(
    {
        b"",
        b"bad request\n",
        b"not found\n",
        b"method not allowed\n",
        b"too large\n",
        b"url too long\n",
        b"misdirected request\n",
        b"too many requests\n",
    }
)
"""All bodies of all refusals."""
_LEAKS = (
    b"Traceback",
    b"regalia.",
    b".py",
    b"Error",
    b"Exception",
    b"SELECT",
    b"sqlite",
    b"psycopg",
    b"/" + b"home/",
    b"/usr/",
)


@dataclass
class Front:
    """A world behind both listeners."""

    world: World
    device: ASGIApp
    admin: ASGIApp
    metrics: Metrics

    def send(
        self,
        target: str,
        *,
        method: str = "GET",
        body: bytes = b"",
        headers: Sequence[tuple[bytes, bytes]] = (),
        source: str = "192.0.2.66",
        admin: bool = False,
    ) -> Heard:
        """Ask, and check what is true of every answer to a stranger (IN-2, WEB-2)."""
        app = self.admin if admin else self.device
        heard = ask(app, target, method=method, body=(body,), headers=headers, source=source)
        assert heard.complete
        if target.partition("?")[0] == "/readyz" and heard.status == 503:
            return heard  # No CRL is published here: it says so to whoever asks, whatever else stands in the request.
        assert heard.status in STATUS, (heard.status, method, target, body.hex())
        assert "regalia-incident" not in heard.headers
        # Metrics speak of errors by right, and a signature may spell three letters by chance.
        if heard.headers.get("content-type", "").startswith("text/") and not target.startswith("/metrics"):
            assert not [leak for leak in _LEAKS if leak in heard.body]
        assert b"Traceback" not in heard.body
        if heard.status >= 400:
            assert heard.body in TEXTS, heard.body
        incidents = self.metrics.registry.get_sample_value("regalia_incidents_total")
        assert not incidents, "something was raised that the edge had to catch"
        return heard


def no_reader_failed(front: Front) -> None:
    """Check that no refusal stands for an exception that a reader did not mean (IN-1)."""
    for event in front.world.store.events(EventFilter(action=Action.ENROLMENT_REFUSED, limit=1_000_000)):
        detail = event.draft.details.get("detail", "")
        assert "unreadable (" not in str(detail), event.draft


@contextmanager
def opened(directory: Path, store: MemoryStore | None = None, allowances: Allowances = OPEN) -> Iterator[Front]:
    """Make both applications of a new world, on the store given."""
    world, metrics = World(store=store, allowances=allowances), Metrics(FakeClock())
    pools = Pools(
        Pool("enrolment", threads=1, queue=4), Pool("status", threads=1, queue=4), Pool("files", threads=1, queue=4)
    )
    files = DirectoryCrlFiles(directory / "crl")
    readiness = Readiness(world.store, world.keys, files, world.clock)
    device = device_app(
        scep=world.scep,
        doors=world.store,
        ocsp=OcspResponder(world.store, world.keys, world.clock),
        authorities=world.store,
        crl_files=files,
        readiness=readiness,
        pools=pools,
        metrics=metrics,
        clock=world.clock,
    )
    admin = admin_app(readiness=readiness, metrics=metrics, pool=pools.status, hosts=["pki.example.test"])
    yield Front(world, device, admin, metrics)
    pools.close()
