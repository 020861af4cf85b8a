"""The tree of authorities: roots, what stands under them, how long each lives, and what depends on each key."""

from typing import TYPE_CHECKING, Any

from regalia.cli.output import print_json, say
from regalia.model import AuthorityState
from regalia.verbs.authority_facts import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from regalia.verbs.authority import Tree

__all__ = ["print_tree", "shown"]

_NO_WARNING_DAYS = 90
"""From here on an authority's end is near: a successor takes weeks to reach all devices."""


def print_tree(tree: "Tree", *, as_json: bool) -> None:
    """Draw all authorities that there are, and requests that wait."""
    told = tree.model_dump(mode="json")
    nodes = [_shown_tree(node) for node in told["authorities"]]
    if as_json:
        print_json({"authorities": nodes, "requests": told["requests"]})
        return
    for node in nodes:
        for line in _drawn(node, "", ""):
            say(line)
    for each in told["requests"]:
        say(f"{each['name']}  requested {each['since']} for group {each['group']}, waits for its certificate")
    if not nodes and not told["requests"]:
        say("None. `regalia init` makes the first.")


def shown(authority: dict[str, Any]) -> dict[str, Any]:
    """Leave out when an authority takes over where it is not a next one."""
    if authority["state"] == AuthorityState.NEXT:
        return authority
    return {key: value for key, value in authority.items() if key != "activates_at"}


def _shown_tree(node: dict[str, Any]) -> dict[str, Any]:
    return shown(node) | {"below": [_shown_tree(each) for each in node["below"]]}


# --- for people -----------------------------------------------------------------------------------------------------


def _drawn(node: dict[str, Any], first: str, rest: str) -> "Iterator[str]":
    """Draw a node and those below it; `first` stands before its name, `rest` before all its other lines."""
    nodes = node["below"]
    stem = rest + ("│  " if nodes else "   ")
    yield f"{first}{node['name']}  {node['kind']}, {node['state']}, {node['key']}, key {node['custody']}"
    for line in _told(node):
        yield stem + line
    for number, each in enumerate(nodes, start=1):
        last = number == len(nodes)
        yield from _drawn(each, rest + ("└─ " if last else "├─ "), rest + ("   " if last else "│  "))


def _told(node: dict[str, Any]) -> "Iterator[str]":
    yield f"{node['subject']}"
    yield f"SHA-256 {node['sha256']}"
    days = node["days_left"]
    yield f"until {node['not_after']}, {days} days" + (": make its successor" if days < _NO_WARNING_DAYS else "")
    if node["crl_number"] is not None:
        yield f"CRL until {node['crl_next_update']}, {node['crl_days_left']} days"
    elif node["custody"] != "elsewhere":
        yield "no CRL"
    if node["cross_certificates"]:
        yield f"certified besides: {', '.join(node['cross_certificates'])}"
    if node["depends_on_it"]:
        yield _in_words(node["depends_on_it"])


def _in_words(users: dict[str, Any]) -> str:
    parts = [f"group {name}" for name in users["groups"]]
    parts += [f"endpoint {name}" for name in users["endpoints"]]
    parts.append(counted(users["certificates"], "live certificate"))
    parts += [f"{each['purpose'].upper()} until {each['not_after']}" for each in users["credentials"]]
    return ", ".join(parts)
