"""Authorities as a tree: who signs what, and how long each one lives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from regalia.console.acts import Act, Ask, act_path
from regalia.console.charts import life_on, share_on
from regalia.console.listing import query_path
from regalia.console.look import View
from regalia.verbs import authority as verbs
from regalia.verbs import authority_succession as succession
from regalia.web.answers import NO_STORE, answer
from regalia.words import marked

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from regalia.console.charts import Life
    from regalia.console.desk import Routes, Shown
    from regalia.console.look import Look
    from regalia.verbs.authority import TreeNode
    from regalia.web.answers import Answer

__all__ = ["ACTS", "ROUTES", "authority_path"]

_HERE: Final = "/authorities"
_SOON: Final = 90
"""Days before the end of an authority from which on somebody should look at it."""
_STATES: Final = {
    "next": ("waiting", marked("Takes over next")),
    "active": ("ok", marked("Issues")),
    "retiring": ("held", marked("Retiring")),
    "retired": ("over", marked("Retired")),
    "revoked": ("ended", marked("Revoked")),
}


def authority_path(name: str) -> str:
    """Say where an authority's page is."""
    return f"{_HERE}/{name}"


@dataclass(frozen=True, slots=True)
class _Row:
    """An authority in the tree, with its life on an axis that all share."""

    node: TreeNode
    depth: int
    last: bool
    kind: str
    word: str
    life: Life
    late: bool


def _tree(look: Look) -> Shown:
    tree = look.ask(verbs.TREE)
    nodes = list(_walk(tree.authorities))
    first = min((node.not_before for node, _, _ in nodes), default=look.now)
    axis = first, max((node.not_after for node, _, _ in nodes), default=look.now)
    rows = [_row(look, node, depth, last_one, axis) for node, depth, last_one in nodes]
    return View(
        "authorities.html",
        title=look.words("Authorities"),
        lead=look.words("Who signs certificates: the root vouches for one authority for each group."),
        here=_HERE,
        values={"rows": rows, "requests": tree.requests, "now_at": share_on(axis, look.now)},
    )


def _walk(nodes: tuple[TreeNode, ...], depth: int = 0) -> Iterator[tuple[TreeNode, int, bool]]:
    """Go through the tree from above: each with its depth, and whether it is the last below its parent."""
    for number, node in enumerate(nodes, 1):
        yield node, depth, number == len(nodes)
        yield from _walk(node.below, depth + 1)


def _row(look: Look, node: TreeNode, depth: int, last: bool, axis: tuple[datetime, datetime]) -> _Row:  # noqa: FBT001 - one row
    kind, word = _STATES.get(node.state.value, ("unknown", node.state.value))
    life = life_on(axis, node.not_before, node.not_after, look.now)
    return _Row(node, depth, last, kind, look.words(word), life, node.days_left < _SOON)


def _show(look: Look) -> Shown:
    record = look.ask(verbs.SHOW, name=look.place["name"])
    kind, word = _STATES.get(record.state.value, ("unknown", record.state.value))
    actions = []
    if record.group is not None and record.state.value == "active" and look.may(succession.ROTATE, record.group):
        actions.append((look.words("Prepare the next one …"), act_path(succession.ROTATE, group=record.group)))
    if record.state.value == "next" and look.may(succession.ACTIVATE, record.group):
        actions.append((look.words("Let it take over …"), act_path(succession.ACTIVATE, name=record.name)))
    return View(
        "authority.html",
        title=record.name,
        lead=look.words("It ends on %(day)s, in %(days)s days.")
        % {"day": look.words.day(record.not_after), "days": look.words.number(record.days_left)},
        here=_HERE,
        crumbs=((look.words("Authorities"), _HERE), (record.name, "")),
        values={
            "record": record,
            "kind": kind,
            "word": look.words(word),
            "actions": actions,
            "certificates": query_path("/certificates", {"authority": record.name}),
        },
    )


def _download(look: Look) -> Answer:
    found = look.ask(verbs.EXPORT, name=look.place["name"], chain=look.query.get("chain") == "true")
    disposition = (b"content-disposition", f'attachment; filename="{found.name}.pem"'.encode("ascii"))
    return answer(200, "".join(found.certificates).encode(), b"application/x-pem-file", NO_STORE, disposition)


def _of(record: Mapping[str, object]) -> str:
    return authority_path(str(record["name"])) if record.get("name") else _HERE


ACTS: Final[Mapping[str, Act]] = {
    "ca.rotate": Act(
        marked("Prepare the group's next authority"),
        marked("Prepare it"),
        marked("Devices learn of it before it takes over; the present one stays good meanwhile."),
        asks={"group": Ask(marked("Group"))},
        here=_HERE,
        back=lambda _: _HERE,
        done=lambda _: _HERE,
    ),
    "ca.activate": Act(
        marked("Let this authority take over?"),
        marked("Let it take over"),
        marked("From then on it issues; the former one is believed until its certificates have ended."),
        here=_HERE,
        back=_of,
        done=lambda _: _HERE,
    ),
}

ROUTES: Final[Routes] = {
    _HERE: {"GET": _tree},
    f"{_HERE}/{{name}}": {"GET": _show},
    f"{_HERE}/{{name}}/file.pem": {"GET": _download},
}
