"""Two processes that want the same thing at the same moment: what each of them is told to do, and what it answers."""

from __future__ import annotations

import multiprocessing
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from regalia.app import build
from regalia.config import load_config
from regalia.errors import AdminError, UnavailableError
from regalia.model import Certificate
from regalia.ra.scep import CertRep
from world import ADMIN

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from multiprocessing.connection import Connection
    from multiprocessing.synchronize import Barrier
    from uuid import UUID

    from regalia.app import App

__all__ = ["Answer", "Racers", "Task", "racers"]

TOGETHER_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Task:
    """One thing to do: send a message, approve or deny an enrolment."""

    verb: str
    endpoint: str = ""
    octets: bytes = b""
    enrolment: UUID | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of it: a reply's octets, a certificate, or the id of the reason why not."""

    reply: bytes | None = None
    certificate: bytes | None = None
    reason: str = ""
    unavailable: bool = False


class Racers:
    """Two processes, each with a home opened."""

    def __init__(self, pipes: Sequence[Connection[Any, Any]]) -> None:
        self._pipes = pipes

    def race(self, rounds: Sequence[tuple[Task, Task]]) -> list[tuple[Answer, Answer]]:
        """Let both do their part of each round, beginning together."""
        for number, pipe in enumerate(self._pipes):
            pipe.send([each[number] for each in rounds])
        first, second = (pipe.recv() for pipe in self._pipes)
        return list(zip(first, second, strict=True))


@contextmanager
def racers(homes: Sequence[tuple[Path, Mapping[str, str]]]) -> Iterator[Racers]:
    """Start a process for each of two homes, which may be the same; each comes with its environment."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(2)
    pairs = [context.Pipe() for _ in homes]
    processes = [
        context.Process(target=_race, args=(str(home), dict(environment), theirs, barrier), daemon=True)
        for (home, environment), (_, theirs) in zip(homes, pairs, strict=True)
    ]
    for process in processes:
        process.start()
    try:
        yield Racers([ours for ours, _ in pairs])
    finally:
        for ours, _ in pairs:
            ours.send(None)
        for process in processes:
            process.join(TOGETHER_SECONDS)
            process.kill()
            process.join()


def _race(home: str, environment: dict[str, str], pipe: Connection[Any, Any], barrier: Barrier) -> None:
    app = build(load_config(environment, home=Path(home)))
    try:
        while (tasks := pipe.recv()) is not None:
            answers = []
            for task in tasks:
                barrier.wait(TOGETHER_SECONDS)
                answers.append(_do(app, task))
            pipe.send(answers)
    finally:
        app.close()


def _do(app: App, task: Task) -> Answer:
    try:
        if task.verb == "send":
            door = app.scep.door(task.endpoint)
            assert door is not None
            answer = app.scep.pki_operation(door, task.octets, "192.0.2.1")
            return Answer(reply=answer.der) if isinstance(answer, CertRep) else Answer(reason=answer.reason.id)
        assert task.enrolment is not None
        if task.verb == "deny":
            return Answer(reason=app.approvals.deny(task.enrolment, ADMIN).reason_id or "")
        approved = app.approvals.approve(task.enrolment, ADMIN)
        assert isinstance(approved, Certificate)
        return Answer(certificate=approved.der)
    except AdminError as refused:
        return Answer(reason=refused.reason.id)
    except UnavailableError as unavailable:
        return Answer(reason=unavailable.reason.id, unavailable=True)
