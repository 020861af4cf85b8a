"""A server of test wiring: the product's services between ports of ours, served as the product serves them.

`python -m tools.faults.server` reads plans, one JSON object a line, and forks a life of the server for each: what is
imported once is there in every life, so that a life begins in a fraction of a second. It says on stdout, one JSON
object a line, `begun` with the process id of a life, `ready` when it answers, `ended` with its exit status.
"""

from __future__ import annotations

import gc
import json
import os
import random
import sys
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from regalia.app.build import SystemClock, open_home, wire
from regalia.app.log import set_up_log
from regalia.app.serving import Opening, serve_app
from regalia.app.supervisor import Supervisor
from regalia.config import load_config
from regalia.store.store import open_change_feed
from regalia.web.connections import OpenConnections
from regalia.web.metrics import Metrics
from regalia.web.serve import open_sockets
from tools.faults.journal import Journal
from tools.faults.ledger import look_at
from tools.faults.signer import AbsentSigner, JournalSigner
from tools.faults.wiring import CrashPoint, Moments, OffsetClock, watched_app, watched_ground

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from regalia.app.build import Ground
    from regalia.app.supervisor import Seat
    from regalia.config import Config
    from regalia.ports import IntentSigner
    from regalia.web.serve import Bound

__all__ = ["Plan", "opened_ground"]


@dataclass(frozen=True, slots=True)
class Plan:
    """One life of a server."""

    home: Path
    signatures: Path
    """Journal of the signer."""
    strikes: Path
    """Journal of the calls at which a life ended itself."""
    log: Path
    look: str
    """URL by which the signer looks at the database, whatever stands between the product and it."""
    clock: Path | None = None
    """File that says by how many seconds the clock is off."""
    point: CrashPoint | None = None
    workers: int = 1
    absent: float = 0.0
    """How often the CA's key cannot be reached."""
    settings: dict[str, str] = field(default_factory=dict)

    def line(self) -> str:
        """Write it as one line."""
        record = asdict(self) | {"point": self.point.record() if self.point is not None else None}
        return json.dumps(record, default=str) + "\n"

    @classmethod
    def read(cls, line: str) -> Plan:
        """Read what `line` wrote."""
        record: dict[str, Any] = json.loads(line)
        paths = {name: Path(record[name]) for name in ("home", "signatures", "strikes", "log")}
        clock, point = record["clock"], record["point"]
        return cls(
            **paths,
            look=record["look"],
            clock=Path(clock) if clock is not None else None,
            point=CrashPoint.of(point) if point is not None else None,
            workers=record["workers"],
            absent=record["absent"],
            settings=record["settings"],
        )


def opened_ground(config: Config, plan: Plan) -> Ground:
    """Open the home, with a signer that keeps a journal, and with the plan's clock if it has one."""
    ground = open_home(config)
    if plan.clock is not None:
        ground = replace(ground, clock=OffsetClock(plan.clock))
    signer: IntentSigner = JournalSigner(ground.signer, look_at(plan.look), Journal(plan.signatures, synced=True))
    if plan.absent:
        signer = AbsentSigner(signer, plan.absent, random.Random(os.getpid()))  # noqa: S311 - no secret
    return replace(ground, signer=signer)


def _live(plan: Plan) -> None:
    """Serve until something ends it."""
    config = load_config({}, home=plan.home, options=plan.settings)
    set_up_log(config.log)
    metrics = Metrics(SystemClock(), workers=plan.workers)
    if plan.workers == 1:
        metrics.begin(0)
        _serve(config, plan, metrics, _tell_ready)
        return
    with ExitStack() as opened:
        openings: dict[str, Opening] = {}
        for name, address in (("device", config.server.listen), ("admin", config.server.admin_listen)):
            sockets = open_sockets(name, address.host, address.port)
            for each in sockets:
                opened.callback(each.close)
            openings[name] = Opening(sockets, OpenConnections(plan.workers))

        def work(seat: Seat) -> None:
            metrics.begin(seat.number)
            for opening in openings.values():
                opening.connections.begin(seat.number)
            _serve(config, plan, metrics, lambda _: seat.ready(), openings, seat.until)

        Supervisor(plan.workers, work, lambda: _tell(ready=True), on_stop=opened.close).run()


def _serve(
    config: Config,
    plan: Plan,
    metrics: Metrics,
    on_ready: Callable[[Sequence[Bound]], None],
    openings: Mapping[str, Opening] | None = None,
    until: int | None = None,
) -> None:
    moments = Moments(plan.point, Journal(plan.strikes))
    ground = watched_ground(opened_ground(config, plan), moments)
    app = watched_app(wire(config, ground, observe=metrics.refused, workers=plan.workers), moments)
    feed = open_change_feed(config.database.connection_url())
    try:
        serve_app(app, feed, metrics, on_ready, openings=openings, until=until)
    finally:
        feed.close()
        app.close()


def _tell_ready(bound: Sequence[Bound]) -> None:
    del bound
    _tell(ready=True)


def _tell(**what: object) -> None:
    # In one piece: the lives and their parent share this descriptor.
    os.write(1, json.dumps(what).encode() + b"\n")


def _fork(plan: Plan) -> int:
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        log = os.open(plan.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.dup2(log, 2)
        sys.stdin.close()
        _live(plan)
        status = 0
    except BaseException:  # noqa: BLE001 - see below
        # The child must end here, whatever it met: what it met goes to the log of the server.
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stderr.flush()
        os._exit(status)


def _main() -> None:
    gc.freeze()
    for line in sys.stdin:
        plan = Plan.read(line)
        began = time.monotonic()
        pid = _fork(plan)
        _tell(begun=pid)
        _, status = os.waitpid(pid, 0)
        _tell(ended=os.waitstatus_to_exitcode(status), seconds=round(time.monotonic() - began, 3))


if __name__ == "__main__":
    _main()
