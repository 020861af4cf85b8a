"""Replacing the authority of a group, whose key others may have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from regalia import reasons
from regalia.errors import AdminError, InvariantError
from regalia.model import Right
from regalia.ra.containment import Replaced, Waiting
from regalia.verbs.authority_facts import AuthorityPrinted, dependents, printed
from regalia.verbs.content import request_text
from regalia.verbs.fields import Name, Note, is_empty
from regalia.verbs.finding import found_group
from regalia.verbs.publishing import publish_lists
from regalia.verbs.verb import Asked, Desk, Record, Verb

if TYPE_CHECKING:
    from regalia.model import AuthorityRequest

__all__ = [
    "REPLACE_AUTHORITY",
    "VERBS",
    "ReplaceAuthority",
    "Replacement",
    "ReplacementDone",
    "ReplacementWaits",
]


class ReplaceAuthority(Asked):
    """Of which group, and which authority."""

    name: Annotated[Name, Field(description="Name of the group.")]
    compromised: Annotated[
        bool, Field(description="Its key may be in other hands: what it issued proves nothing. Has to be said.")
    ] = False
    authority: Annotated[
        Name | None,
        Field(description="The compromised one; the present one if not given. Named, it can be asked again later."),
    ] = None
    note: Note = ""


class ReplacementDone(AuthorityPrinted):
    """The authority that issues now."""

    replaces: str
    holders: Annotated[int, Field(description="How many have to enrol anew.")]
    unused: Annotated[
        tuple[str, ...], Field(description="Next authorities from before: whoever took the key may have theirs.")
    ]
    suspended: Annotated[
        str | None, Field(exclude_if=is_empty, description="Why the group stays suspended; left out where it issues.")
    ] = None


class ReplacementWaits(Record):
    """What only the root's key can do, where that is."""

    root: str
    revoke: Annotated[tuple[str, ...], Field(description="Authorities that the root's CRL has to list; none: it does.")]
    request: Annotated[str | None, Field(description="Name of the authority whose request has to be signed there.")]
    csr: Annotated[str | None, Field(description="That request, PEM.")]


class Replacement(Record):
    """How far it came: `replaced` or `waits`."""

    group: str
    done: Annotated[tuple[str, ...], Field(description="What this call did, step by step.")]
    replaced: ReplacementDone | None
    waits: Annotated[
        ReplacementWaits | None, Field(description="What has to be brought before the same request goes on.")
    ]


def replace_authority(desk: Desk, asked: ReplaceAuthority) -> Replacement:
    """Suspend, revoke, publish, make a new one, resume. Interrupted anywhere, the same request goes on.

    Raises `AdminError`: ADM-004, ADM-013 unless it is said that it is compromised, ADM-017 where it is not the group's;
    `UnavailableError` CA-013 where another replacement does not come to an end.
    """
    _check(asked)
    services, done = desk.services, list[str]()
    ended = services.containment.replace(
        found_group(desk, asked.name).name,
        actor=desk.actor,
        publish=lambda authority: publish_lists(services, authority, desk.actor),
        compromised=asked.authority,
        note=asked.note,
        tell=done.append,
    )
    return Replacement(
        group=asked.name,
        done=tuple(done),
        replaced=_replaced(desk, ended) if isinstance(ended, Replaced) else None,
        waits=_waits(ended) if isinstance(ended, Waiting) else None,
    )


def plan_replacement(desk: Desk, asked: ReplaceAuthority) -> tuple[str, ...]:
    """Say what ends and what begins."""
    _check(asked)
    name = found_group(desk, asked.name).name
    _group, present = desk.services.rollover.group_and_authority(name)
    concerned = (f"cut off {each}" for each in dependents(desk.services, present))
    former = asked.authority or present.name
    return (
        f"suspend group {name}, revoke authority {former} for good and publish the root's CRL",
        *concerned,
        "make a new authority with RA and OCSP credentials, and resume the group unless somebody else suspended it",
        "have every device of the revoked one enrol anew, with a fresh challenge",
    )


def _check(asked: ReplaceAuthority) -> None:
    if not asked.compromised:
        raise AdminError(
            reasons.ACKNOWLEDGEMENT_NEEDED, "this revokes the authority: say --compromised, or use ca rotate"
        )


def _replaced(desk: Desk, ended: Replaced) -> ReplacementDone:
    return ReplacementDone(
        **dict(printed(desk.services, ended.present)),
        replaces=ended.former.name,
        holders=len(desk.services.containment.holders(ended.group)),
        unused=ended.unused,
        suspended=ended.suspended or None,
    )


def _waits(ended: Waiting) -> ReplacementWaits:
    return ReplacementWaits(
        root=ended.root,
        revoke=(ended.former.name, *ended.unused) if ended.crl else (),
        request=ended.request.name if ended.request is not None else None,
        csr=_csr(ended.request) if ended.request is not None else None,
    )


def _csr(request: AuthorityRequest) -> str:
    if request.csr is None:
        raise InvariantError(f"request {request.name} is not signed")
    return request_text(request.csr)


def _always(desk: Desk, asked: ReplaceAuthority) -> bool:
    del desk, asked
    return True


REPLACE_AUTHORITY = Verb(
    "group.replace-authority",
    "POST",
    "/groups/{name}/replace-authority",
    Right.RULE,
    ReplaceAuthority,
    Replacement,
    replace_authority,
    "Replace a group's compromised authority: suspend, revoke, publish, make a new one, resume.",
    plan=plan_replacement,
    everywhere=True,
    two_persons=_always,
)

VERBS = (REPLACE_AUTHORITY,)
