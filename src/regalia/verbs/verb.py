"""What a verb is, who asks it, and the one way to ask."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Generic, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer, WithJsonSchema

from regalia import reasons
from regalia.errors import AdminError, InvariantError
from regalia.model import Right
from regalia.ra.proposals import NewProposal
from regalia.ra.roles import reach_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from uuid import UUID

    from regalia.model import Actor, Grant, Proposal, Reach
    from regalia.verbs.services import Services

__all__ = [
    "Asked",
    "Caller",
    "Desk",
    "Hex",
    "Page",
    "Planned",
    "ProposedError",
    "Record",
    "Time",
    "Verb",
    "ask",
    "plan",
    "would",
]


def _utc(at: datetime) -> str:
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds") + "Z"


Time = Annotated[datetime, PlainSerializer(_utc, return_type=str, when_used="json")]
"""A time in a record: UTC, `2026-03-01T09:00:00Z`."""


def _octets(given: object) -> object:
    return bytes.fromhex(given) if isinstance(given, str) else given


Hex = Annotated[
    bytes,
    BeforeValidator(_octets),
    PlainSerializer(bytes.hex, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": "^([0-9a-f]{2})*$"}),
]
"""Octets in a record: lower-case hexadecimal."""


class Asked(BaseModel):
    """What is asked of a verb: a field for each thing that can be said. Unknown ones are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_max_length=100_000)


class Record(BaseModel):
    """What a verb gives: the same for `--json` and for the API, field by field, in this order."""

    model_config = ConfigDict(frozen=True, extra="forbid")


A = TypeVar("A", bound=Asked)
G = TypeVar("G", bound=Record)
R = TypeVar("R", bound=Record)


class Page(Record, Generic[R]):
    """Some of a list, newest first or as its verb says, and how to get what follows."""

    items: tuple[R, ...]
    next: str | None = None
    """Give it as `after` to get the next page; null where this is the last one."""
    total: str | None = None
    """How many there are: a number, or `10000+` where counting would take long; null where nobody counted."""


class Planned(Record):
    """What a verb would do, in sentences that go on after "This will"."""

    dry_run: bool = True
    would: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody whose word counts, as far as it counts."""

    actor: Actor
    grants: tuple[Grant, ...]
    fresh: bool = False
    """Whether they have just proved who they are (WEB-4), or command on the machine itself."""
    administrator: UUID | None = None
    """The administrator whose word it is; None for who commands on the machine, or with a token that is nobody's."""
    program: bool = False
    """Whether it is a program with a token: each request proves who it is, and none makes it a person."""
    local: bool = False
    """Whether they command on the machine itself, where no second person is asked for (AUTHZ-5)."""


@dataclass(frozen=True, slots=True)
class Desk:
    """Where a verb works: the services, who asks, and the groups that their right to this verb reaches."""

    services: Services
    caller: Caller
    reach: Reach
    proposer: str | None = None
    """Who asked for it first, where the caller is the second person, who agrees."""

    @property
    def actor(self) -> Actor:
        """Who does it, for the log."""
        return self.caller.actor

    def now(self) -> datetime:
        """Tell the time."""
        return self.services.clock.now()


@dataclass(frozen=True, slots=True)
class Verb(Generic[A, G]):
    """One thing that an administrator can ask for.

    `method` and `path` are where the API has it, below `/api/v1`; `{field}` in the path is a field of `asks`. The other
    fields are the query of a GET or DELETE, and the JSON body of everything else.
    """

    name: str
    """`noun.verb`, the words of the command line."""
    method: str
    path: str
    right: Right
    asks: type[A]
    gives: type[G]
    run: Callable[[Desk, A], G]
    summary: str
    """One sentence, for the OpenAPI document."""
    plan: Callable[[Desk, A], Sequence[str]] | None = None
    """Says what would happen, for `--dry-run` and the question before; refuses what `run` would refuse."""
    everywhere: bool = False
    """Whether it concerns the whole: whoever's right is bounded by groups is refused."""
    two_persons: Callable[[Desk, A], bool] | None = None
    """Whether what is asked needs a second administrator (AUTHZ-5); None: never."""
    always_two: bool = False
    """Whether no setting and no place spares the second person (REV-7)."""
    fresh: bool = False
    """Whether somebody who is signed in must have just proved who they are (WEB-4), as for all that needs two."""
    secret: bool = False
    """Whether the answer holds what is shown once and kept nowhere."""

    def __post_init__(self) -> None:
        if not isinstance(self.right, Right):
            raise InvariantError(f"{self.name} names no right (AUTHZ-1)")
        fields = set(self.asks.model_fields)
        for part in self.path.split("/"):
            if part.startswith("{") and part[1:-1] not in fields:
                raise InvariantError(f"{self.name}: {part} is not a field")

    @property
    def in_path(self) -> tuple[str, ...]:
        """The fields that stand in the path."""
        return tuple(part[1:-1] for part in self.path.split("/") if part.startswith("{"))

    @property
    def changes(self) -> bool:
        """Whether it changes anything; what does not is asked by GET."""
        return self.method != "GET"


class ProposedError(AdminError):
    """Nothing was done yet: a second administrator has to agree. Carries the proposal that was kept."""

    def __init__(self, proposal: Proposal) -> None:
        super().__init__(reasons.SECOND_PERSON_NEEDED, f"proposal {proposal.id}")
        self.proposal = proposal


def ask(verb: Verb[A, G], services: Services, caller: Caller, asked: A) -> G:
    """Do what is asked, if the caller may; or keep it until a second person agrees (AUTHZ-5).

    Raises `AdminError` ADM-070 where no role of theirs has the right, or it does not reach far enough; ADM-004 where
    what is asked for is not there or in a group that they do not see; AUTH-003 where they have to prove anew who they
    are; `ProposedError` where a second administrator has to agree; what the verb raises.
    """
    desk = _desk(verb, services, caller)
    two = _needs_two(verb, desk, asked)
    if (two or verb.fresh) and not (caller.fresh or caller.program or caller.local):
        raise AdminError(reasons.AUTHENTICATION_OLD, verb.name)
    if two and _waits(verb, desk, asked):
        raise ProposedError(_proposed(verb, desk, asked))
    return verb.run(desk, asked)


def _waits(verb: Verb[A, G], desk: Desk, asked: A) -> bool:
    """Whether what needs two waits for the second: a setting may say no, and whoever commands here is exempt."""
    if verb.always_two:
        return True
    return not desk.caller.local and desk.services.proposals.needed(verb.right, _group_of(verb, asked))


def _needs_two(verb: Verb[A, G], desk: Desk, asked: A) -> bool:
    return verb.two_persons is not None and verb.two_persons(desk, asked)


def _group_of(verb: Verb[A, G], asked: A) -> str | None:
    """Say in which group the right is needed; None for the whole."""
    group = None if verb.everywhere else getattr(asked, "group", None)
    return group if isinstance(group, str) else None


def _proposed(verb: Verb[A, G], desk: Desk, asked: A) -> Proposal:
    if _holds_secret(asked):
        raise AdminError(reasons.PROPOSAL_SECRET, verb.name)
    wanted = NewProposal(
        verb=verb.name,
        asked=asked.model_dump(mode="json"),
        summary=would(verb, desk, asked),
        group=_group_of(verb, asked),
        administrator=desk.caller.administrator,
    )
    return desk.services.proposals.propose(wanted, actor=desk.actor)


def _holds_secret(asked: Asked) -> bool:
    """Whether a field that is only ever written, as a password, is filled in."""
    properties = type(asked).model_json_schema().get("properties", {})
    secret = [name for name, schema in properties.items() if '"writeOnly": true' in json.dumps(schema)]
    return any(getattr(asked, name) is not None for name in secret)


def would(verb: Verb[A, G], desk: Desk, asked: A) -> tuple[str, ...]:
    """Say what a second person agrees to: the plan, or what was asked for where there is none."""
    if verb.plan is not None:
        return tuple(verb.plan(desk, asked))
    said = asked.model_dump(mode="json", exclude_defaults=True)
    return (f"do {verb.name}", *(f"take {name} to be {json.dumps(value)}" for name, value in said.items()))


def plan(verb: Verb[A, G], services: Services, caller: Caller, asked: A) -> Planned:
    """Say what would happen. Raises what `ask` does, before anything is done; `InvariantError` for a verb without."""
    desk = _desk(verb, services, caller)
    if verb.plan is None:
        raise InvariantError(f"{verb.name} has no plan")
    steps = would(verb, desk, asked)
    if _needs_two(verb, desk, asked) and _waits(verb, desk, asked):
        steps = (*steps, "wait until a second administrator agrees to all of this")
    return Planned(would=steps)


def _desk(verb: Verb[Any, Any], services: Services, caller: Caller) -> Desk:
    reach = reach_of(caller.grants, verb.right)
    if reach.groups is not None and (verb.everywhere or not reach.groups):
        raise AdminError(reasons.RIGHT_MISSING, f"{verb.name} needs the right {verb.right}")
    return Desk(services, caller, reach)
