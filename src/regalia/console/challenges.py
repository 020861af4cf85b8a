"""Challenges: what lets one device in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from regalia.console.acts import Act, Ask, act_path
from regalia.console.enrolments import endpoint_choices
from regalia.console.listing import Cell, Column, Filter, Listing
from regalia.verbs import challenge as verbs
from regalia.words import marked

if TYPE_CHECKING:
    from collections.abc import Mapping

    from regalia.console.desk import Routes
    from regalia.console.look import Look
    from regalia.verbs.challenge import ChallengeRecord

__all__ = ["ACTS", "ROUTES"]

_HERE: Final = "/challenges"
_STATES: Final = {
    "open": ("waiting", marked("Open")),
    "used": ("ok", marked("Used")),
    "revoked": ("ended", marked("Revoked")),
    "expired": ("over", marked("Expired")),
}


def _state(look: Look, row: ChallengeRecord) -> Cell:
    kind, word = _STATES[row.state]
    return Cell(look.words(word), kind=kind)


def _for(look: Look, row: ChallengeRecord) -> Cell:
    named = row.names[0].removeprefix("cn:") if row.names else row.device or look.words("whoever bears it")
    href = act_path(verbs.REVOKE, id=str(row.id)) if row.state == "open" and look.may(verbs.REVOKE) else ""
    return Cell(named, href, ", ".join(row.names[1:]))


def _empty(look: Look) -> Mapping[str, str]:
    return {
        "headline": look.words("No challenge is open"),
        "explanation": look.words("Challenges are made here or by an MDM. A connector's own are not listed."),
        "action": look.words("Make a challenge"),
        "href": act_path(verbs.CREATE),
        "command": "regalia challenge create --endpoint default",
    }


LIST: Final = Listing(
    path=_HERE,
    verb=verbs.LIST,
    title=marked("Challenges"),
    lead=lambda look: look.words("A challenge lets one device ask for one certificate, within its time."),
    columns=(
        Column(marked("For"), _for),
        Column(marked("State"), _state),
        Column(marked("Endpoint"), lambda _, row: Cell(row.endpoint)),
        Column(marked("Made by"), lambda _, row: Cell(row.created_by), optional=True),
        Column(marked("Made"), lambda _, row: Cell(at=row.created_at), optional=True),
        Column(marked("Ends"), lambda _, row: Cell(at=row.expires_at)),
    ),
    empty=_empty,
    row=lambda row: str(row.id),
    filters=(Filter("endpoint", marked("Endpoint"), endpoint_choices),),
    actions=lambda look: [(look.words("Make a challenge"), act_path(verbs.CREATE))] if look.may(verbs.CREATE) else [],
)

ACTS: Final[Mapping[str, Act]] = {
    "challenge.create": Act(
        marked("Make a challenge"),
        marked("Make challenge"),
        marked("Its secret is shown once. Whoever has it can ask for one certificate."),
        asks={
            "endpoint": Ask(marked("Endpoint"), choices=endpoint_choices),
            "binding": Ask(marked("Names (JSON)"), kind="json"),
        },
        here=_HERE,
        back=lambda _: _HERE,
    ),
    "challenge.revoke": Act(
        marked("Revoke this challenge?"),
        marked("Revoke challenge"),
        marked("Nobody can use it any more. A certificate that it gave stays as it is."),
        danger=True,
        here=_HERE,
        back=lambda _: _HERE,
        done=lambda _: _HERE,
    ),
}

ROUTES: Final[Routes] = LIST.routes()
