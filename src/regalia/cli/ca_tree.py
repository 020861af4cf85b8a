"""The tree of authorities: roots, what stands under them, how long each lives, and what depends on each key."""

from typing import TYPE_CHECKING

from regalia.cli.authorities import authority_record, more_of
from regalia.cli.dependents import counted, live_certificates
from regalia.cli.output import plain, print_json, say, utc
from regalia.model import Authority, AuthorityKind, CertificateKind, CredentialPurpose
from regalia.ports import CertificateFilter

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from regalia.app import App

__all__ = ["print_tree"]

_NO_WARNING_DAYS = 90
"""From here on an authority's end is near: a successor takes weeks to reach all devices."""


def print_tree(regalia: "App", *, as_json: bool) -> None:
    """Draw all authorities that there are, and requests that wait."""
    authorities = regalia.store.authorities()
    names = {authority.name for authority in authorities}
    tops = [authority for authority in authorities if authority.parent not in names]
    waiting = regalia.store.authority_requests()
    nodes = [_node(regalia, top, authorities) for top in tops]
    if as_json:
        told = [
            {"name": one.name, "group": one.group, "parent": one.parent, "key": one.key_kind, "since": one.created_at}
            for one in waiting
        ]
        print_json({"authorities": nodes, "requests": told})
        return
    for node in nodes:
        for line in _drawn(node, "", ""):
            say(line)
    for each in waiting:
        say(f"{each.name}  requested {utc(each.created_at)} for group {each.group}, waits for its certificate")
    if not nodes and not waiting:
        say("None. `regalia init` makes the first.")


def _node(regalia: "App", authority: Authority, all_of_them: "Sequence[Authority]") -> dict[str, object]:
    """Say all about one authority and what stands below it."""
    below = [other for other in all_of_them if other.parent == authority.name and other.name != authority.name]
    return (
        authority_record(regalia, authority)
        | more_of(regalia, authority)
        | {
            "crl_days_left": _crl_days(regalia, authority),
            "depends_on_it": _users(regalia, authority),
            "cross_certificates": _crosses(regalia, authority),
            "below": [_node(regalia, other, all_of_them) for other in below],
        }
    )


def _crl_days(regalia: "App", authority: Authority) -> int | None:
    last = regalia.store.last_crl(authority.name)
    return None if last is None else (last.next_update - regalia.clock.now()).days


def _crosses(regalia: "App", authority: Authority) -> list[str]:
    """Whose keys it certified besides."""
    wanted = CertificateFilter(kind=CertificateKind.CROSS, authority=authority.name)
    return [found.intent.subject for found in regalia.store.certificates(wanted)]


def _users(regalia: "App", authority: Authority) -> dict[str, object]:
    """Say what depends on an authority's key: nothing beyond what stands below it, unless it issues for a group."""
    if authority.kind is not AuthorityKind.ISSUING:
        return {}
    groups = [group.name for group in regalia.store.groups() if group.authority == authority.name]
    endpoints = [each.name for each in regalia.store.endpoints() if each.group in groups and each.enabled]
    credentials = [
        {"purpose": purpose, "not_after": credential.not_after, "key_id": credential.key_id}
        for purpose in CredentialPurpose
        for credential in regalia.store.credentials(purpose, authority.name)[:1]
    ]
    return {
        "groups": groups,
        "endpoints": endpoints,
        "certificates": live_certificates(regalia, authority.name),
        "credentials": credentials,
    }


# --- for people -----------------------------------------------------------------------------------------------------


def _drawn(node: dict[str, object], first: str, rest: str) -> "Iterator[str]":
    """Draw a node and those below it; `first` stands before its name, `rest` before all its other lines."""
    below = node["below"]
    nodes = below if isinstance(below, list) else []
    stem = rest + ("│  " if nodes else "   ")
    yield f"{first}{node['name']}  {node['kind']}, {node['state']}, {node['key']}, key {node['custody']}"
    for line in _told(node):
        yield stem + line
    for number, each in enumerate(nodes, start=1):
        last = number == len(nodes)
        yield from _drawn(each, rest + ("└─ " if last else "├─ "), rest + ("   " if last else "│  "))


def _told(node: dict[str, object]) -> "Iterator[str]":
    yield f"{node['subject']}"
    yield f"SHA-256 {node['sha256']}"
    days = node["days_left"]
    near = isinstance(days, int) and days < _NO_WARNING_DAYS
    yield f"until {plain(node['not_after'])}, {days} days" + (": make its successor" if near else "")
    if node["crl_number"] is not None:
        yield f"CRL until {plain(node['crl_next_update'])}, {node['crl_days_left']} days"
    elif node["custody"] != "elsewhere":
        yield "no CRL"
    crosses = node["cross_certificates"]
    if isinstance(crosses, list) and crosses:
        yield f"certified besides: {', '.join(crosses)}"
    users = node["depends_on_it"]
    if isinstance(users, dict) and users:
        yield _in_words(users)


def _in_words(users: dict[str, object]) -> str:
    parts = [f"group {name}" for name in _list(users["groups"])]
    parts += [f"endpoint {name}" for name in _list(users["endpoints"])]
    certificates = users["certificates"]
    parts.append(counted(certificates if isinstance(certificates, int) else 0, "live certificate"))
    for credential in _list(users["credentials"]):
        if isinstance(credential, dict):
            parts.append(f"{str(credential['purpose']).upper()} until {plain(credential['not_after'])}")
    return ", ".join(parts)


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []
