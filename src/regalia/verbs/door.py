"""How a face reaches verbs: on the database itself, or through a server's API; it need not know which."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

from regalia.verbs.verb import Asked, Record, ask, plan

if TYPE_CHECKING:
    from regalia.verbs.services import Services
    from regalia.verbs.verb import Caller, Planned, Verb

__all__ = ["Door", "LocalDoor"]

A = TypeVar("A", bound=Asked)
G = TypeVar("G", bound=Record)


class Door(Protocol):
    """Where verbs are asked."""

    def ask(self, verb: Verb[A, G], asked: A) -> G:
        """Do it. Raises what `verb.ask` does, also where that happened elsewhere."""

    def plan(self, verb: Verb[A, G], asked: A) -> Planned:
        """Say what would happen. Raises what `verb.plan` does."""


class LocalDoor:
    """Asks the services in this process: for bootstrap and rescue, on the machine itself."""

    def __init__(self, services: Services, caller: Caller) -> None:
        self._services = services
        self._caller = caller

    def ask(self, verb: Verb[A, G], asked: A) -> G:
        """Do it."""
        return ask(verb, self._services, self._caller, asked)

    def plan(self, verb: Verb[A, G], asked: A) -> Planned:
        """Say what would happen."""
        return plan(verb, self._services, self._caller, asked)
