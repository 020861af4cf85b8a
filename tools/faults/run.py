"""One run: load on a site, lives of its server that end, and at the end the evidence for the checker."""

from __future__ import annotations

import os
import random
import re
import signal
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from regalia.ra.audit import verify
from tools.bench.devices import make_devices
from tools.faults.checker import Evidence, Violation, check, outcomes
from tools.faults.fleet import CLIENTS, Fleet
from tools.faults.journal import Journal, read_journal
from tools.faults.ledger import LookError, open_intents, read_ledger, table_digests, tables_of
from tools.faults.nest import Nest, NestError
from tools.faults.poller import Poller
from tools.faults.rogue import Rogue
from tools.faults.site import ENDPOINT, opened_office
from tools.faults.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType
    from uuid import UUID

    from tools.bench.devices import Device
    from tools.faults.checker import Outcomes
    from tools.faults.site import Site
    from tools.faults.wiring import CrashPoint

__all__ = ["BOUND", "Ended", "Run", "RunError", "devices_for_run"]

BOUND: Final = 10.0
"""Seconds in which the service must be back by itself."""
_SETTLED_SECONDS: Final = 90.0
"""More than the longest lease that runs use."""
_UNTOUCHED: Final = {"job", "event", "event_stream", "change", "sqlite_sequence"}
"""Tables that may change while requests are refused: counters, events and what tells of them."""
_FOLLOWING: Final = re.compile(r"search_progress|\w+_(text|words\w*)|alert(_delivery)?|checkpoint")
"""Tables that jobs write of what stands in others, some time later: what searches go by, alerts, checkpoints."""
_BURST: Final = 12
_STARTS: Final = 100
_TRIES: Final = 20


class RunError(Exception):
    """The run says nothing: something that it needs did not work."""


@dataclass(frozen=True, slots=True)
class Ended:
    """What a run showed."""

    database: str
    violations: tuple[Violation, ...]
    outcomes: Outcomes
    kills: int
    struck: Mapping[str, int]
    """How often a life ended at each crash point."""
    clients: Mapping[str, int]
    polls: Mapping[str, int]
    rogues: Mapping[str, int]
    signatures: int
    seconds: float
    key_away: bool
    """Whether what was interrupted may be abandoned: the CA's key could not be reached, or does not repeat itself."""
    back: Mapping[str, tuple[float, ...]]
    """Seconds until a device received its certificate after each fault had ended, by the kind of fault."""

    @property
    def slowest(self) -> float:
        """The longest of them."""
        return max((seconds for each in self.back.values() for seconds in each), default=0.0)


def devices_for_run() -> tuple[Device, ...]:
    """Make three devices for each client and one whose requests are refused."""
    return tuple(make_devices(3 * CLIENTS + 1))


@dataclass
class Run:
    """To be entered: the server is on and devices are at it until `finish`."""

    site: Site
    devices: tuple[Device, ...]
    seed: int
    workers: int = 1
    kills: int = 0
    struck: dict[str, int] = field(default_factory=dict)
    back: dict[str, list[float]] = field(default_factory=dict)
    interrupted: set[UUID] = field(default_factory=set)
    complaints: list[Violation] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._began = time.monotonic()
        with ExitStack() as stack:
            self.nest = stack.enter_context(Nest())
            self.office = stack.enter_context(opened_office(self.site))
            self.fleet = Fleet(
                urls=[f"{self.site.url}/scep/{ENDPOINT}"],
                office=self.office,
                devices=self.devices[1:],
                journal=self._journal(stack, "clients"),
                seed=self.seed,
                now=lambda: time.time() + self.site.offset_now,
            )
            self.rogue = Rogue(
                urls=[f"{self.site.url}/scep/{ENDPOINT}"],
                office=self.office,
                fleet=self.fleet,
                device=self.devices[0],
                journal=self._journal(stack, "rogues"),
                dice=random.Random(self.seed),  # noqa: S311 - no secret
            )
            self.poller = Poller(
                urls=[self.site.url],
                office=self.office,
                fleet=self.fleet,
                look=self.site.look,
                journal=self._journal(stack, "polls"),
                seed=self.seed,
            )
            self.watch = Watch(
                self.site.url,
                {
                    "crl": f"/crl/{self.office.issuer}.crl",
                    "ca": f"/ca/{self.office.issuer}.cer",
                    "ocsp": self.poller.path_of_an_old_serial(),
                    "ready": "/readyz",
                },
            )
            self.begin()
            stack.enter_context(self.watch)
            self.fleet.start()
            self.rogue.start()
            self.poller.start()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.fleet.stop(0)
        self.rogue.stop()
        self.poller.stop()
        self._stack.close()

    def _journal(self, stack: ExitStack, name: str) -> Journal:
        journal = Journal(self.site.journal(name))
        stack.callback(journal.close)
        return journal

    # --- lives ------------------------------------------------------------------------------------------------------

    def begin(self, point: CrashPoint | None = None) -> bool:
        """Begin a life; False where it ended itself before it answered."""
        self.nest.begin(self.site.plan(point, self.workers))
        return self.nest.await_ready()

    def kill(self) -> None:
        """SIGKILL the life that is on, from outside."""
        self.nest.kill()
        self.after_kill()

    def kill_worker(self, dice: random.Random) -> None:
        """SIGKILL one of the workers; their supervisor starts another one."""
        workers = children_of(self.nest.pid) if self.nest.pid is not None else []
        if workers:
            os.kill(dice.choice(workers), signal.SIGKILL)
        self.after_kill()

    def begin_again(self) -> None:
        """Begin lives until one answers: workers whose supervisor was killed hold the address until they end."""
        for _ in range(_STARTS):
            if self.begin():
                return
            time.sleep(0.2)
        raise RunError("no life of the server begins")

    def until_struck(self, point: CrashPoint, seconds: float) -> bool:
        """Wait for the life to end itself at its point; kill it where it does not in so many seconds."""
        if self.nest.pid is not None:
            try:
                self.nest.await_end(seconds)
            except NestError:
                self.kill()
                return False
        self.struck[str(point)] = self.struck.get(str(point), 0) + 1
        self.after_kill()
        return True

    def after_kill(self) -> None:
        """Note which intents are open now that nobody is at work."""
        self.kills += 1
        # A commit that was on its way to PostgreSQL when the process ended comes within a moment, or never.
        time.sleep(0.02)
        try:
            self.interrupted |= open_intents(self.site.look)
        except LookError as error:
            raise RunError(f"the database cannot be looked at after a kill: {error}") from error

    def complain(self, what: str, how: str) -> None:
        """Note that something besides the ten invariants did not hold."""
        self.complaints.append(Violation(what, how))

    def await_success(self, what: str, since: float) -> float:
        """Wait until a device receives its certificate after `since`; how long that took.

        Gives up at three times `BOUND`.
        """
        while self.fleet.last_success <= since:
            if time.monotonic() > since + 3 * BOUND:
                break
            time.sleep(0.01)
        took = (self.fleet.last_success if self.fleet.last_success > since else time.monotonic()) - since
        self.back.setdefault(what, []).append(took)
        return took

    # --- the end ----------------------------------------------------------------------------------------------------

    def finish(self) -> Ended:
        """Let every conversation end, recover, and judge. The server is on when this is called, and off afterwards.

        What was judged stays in `evidence`.
        """
        self.fleet.stop(60)
        self.rogue.stop()
        self.poller.stop()
        recovered = self._recover()
        burst = self._burst()
        self.nest.stop()
        self.evidence = evidence = self._evidence(recovered, burst)
        return Ended(
            database="sqlite" if self.site.database.startswith("sqlite") else "postgresql",
            violations=(*self.complaints, *check(evidence)),
            outcomes=outcomes(evidence),
            kills=self.kills,
            struck=self.struck,
            clients=dict(self.fleet.counts),
            polls=dict(self.poller.counts),
            rogues=dict(self.rogue.counts),
            signatures=len(evidence.signatures),
            seconds=time.monotonic() - self._began,
            key_away=bool(self.site.absent) or self.site.token is not None,
            back={what: tuple(seconds) for what, seconds in self.back.items()},
        )

    def _recover(self) -> int:
        """Wait for the leases to end and recover what nobody came back for; when that began, by the servers' clock.

        The job in the server does the same each minute; a test of its own waits for that.
        """
        until, began = time.monotonic() + _SETTLED_SECONDS, 0
        while time.monotonic() < until:
            began = int((time.time() + self.site.offset_now) * 1000)
            leases = self.site.look.rows("SELECT max(lease_until) AS last FROM certificate WHERE state = 'intent'")
            if (leases[0]["last"] or 0) < began:
                self.office.app.recovery.run()
                return began
            time.sleep(0.2)
        self.complain("I9", f"there are intents whose lease has not ended after {_SETTLED_SECONDS:g} s")
        return began

    def _burst(self) -> tuple[Mapping[str, str], Mapping[str, str]]:
        """Digest the tables before and after requests that are refused, with nobody else at work.

        Once more where the server published a CRL meanwhile, which it does by itself.
        """
        requests = self.rogue.prepared(_BURST)
        for _ in range(_TRIES):
            published = self._crls()
            before = self._quiet()
            for request in requests:
                self.rogue.send(request)
            after = self._quiet()
            if self._crls() == published:
                return before, after
        raise RunError("the server publishes CRLs without end")

    def _crls(self) -> int:
        return len(self.site.look.rows("SELECT id FROM crl"))

    def _quiet(self) -> Mapping[str, str]:
        """Digest the tables once nothing changes any more: a CRL may be on its way."""
        look = self.site.look
        kept = {table for table in tables_of(look) if table not in _UNTOUCHED and not _FOLLOWING.fullmatch(table)}
        wanted = dict.fromkeys(kept, "") | {"enrolment": "state <> 'refused'"}
        for _ in range(_TRIES):
            first = table_digests(look, wanted)
            time.sleep(1.5)
            if first == table_digests(look, wanted):
                return first
        raise RunError("the database does not come to rest")

    def _evidence(self, recovered: int, burst: tuple[Mapping[str, str], Mapping[str, str]]) -> Evidence:
        return Evidence(
            ledger=read_ledger(self.site.look),
            signatures=tuple(read_journal(self.site.journal("signatures"))),
            clients=tuple(read_journal(self.site.journal("clients"))),
            rogues=tuple(read_journal(self.site.journal("rogues"))),
            polls=tuple(read_journal(self.site.journal("polls"))),
            interrupted=frozenset(self.interrupted),
            broken_streams=verify(self.office.app.store).findings,
            recovered_at=recovered,
            burst=burst,
        )


def children_of(pid: int) -> list[int]:
    """Return the processes that this one started and that are still there."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()]
    except OSError:
        return []
