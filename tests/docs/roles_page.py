"""The page docs/reference/roles.md, made from the table of roles and the verbs: `python tests/docs/roles_page.py`."""

from __future__ import annotations

from pathlib import Path

from regalia.model import Right, Role
from regalia.ra.roles import ROLES
from regalia.verbs import VERBS

__all__ = ["MEANS", "PAGE", "page"]

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "roles.md"

MEANS = {
    Right.READ: "look at what a group has: endpoints, profiles, certificates, enrolments",
    Right.READ_LOG: "read the audit log",
    Right.READ_ACCESS: "see who may do what",
    Right.OPEN_DOOR: "hand out and withdraw challenges",
    Right.DECIDE: "approve and deny what waits",
    Right.REVOKE: "revoke, hold and release certificates",
    Right.ISSUE: "order certificates that no device asks for",
    Right.ARRANGE: "endpoints and profiles of a group",
    Right.CONTAIN: "suspend and resume a group",
    Right.RULE: "groups, authorities, keys, alerts: the whole",
    Right.GRANT: "administrators, their roles, tokens and sessions",
    Right.OWN: "one's own tokens, sessions and proposals",
}

_HEAD = """\
# Roles

A role has rights, in all groups or in those behind its name: `operator` counts everywhere,
`operator:staff,guests` in these two groups. Whatever this page does not name is refused. How roles are given is told in
[Administrators](../tasks/administrators.md).

## What a role may do

"""

_VERBS = """
## What needs which right

*Everywhere* says that a role which counts in some groups only is refused. *Two persons* says that what one
administrator asks for waits until another one agrees, at least in some cases, where
[`admin.two_persons`](settings.md) has it so. Whoever is signed in must have proved who they are within five minutes for
what is marked *anew*. Most commands are called as their verbs, with a space for the point.

| verb | right | everywhere | two persons | anew |
| --- | --- | --- | --- | --- |
"""


def page() -> str:
    """Write the page as it is to be."""
    lines = ["| right | to do what | " + " | ".join(f"`{role}`" for role in Role) + " |\n"]
    lines.append("| --- | --- | " + " | ".join("---" for _ in Role) + " |\n")
    for right in Right:
        marks = " | ".join("yes" if right in ROLES[role] else "" for role in Role)
        lines.append(f"| `{right}` | {MEANS[right]} | {marks} |\n")
    rows = []
    for name, verb in sorted(VERBS.items()):
        two, anew = verb.two_persons is not None, verb.fresh or verb.two_persons is not None
        marks = " | ".join("yes" if mark else "" for mark in (verb.everywhere, two, anew))
        rows.append(f"| `{name}` | `{verb.right}` | {marks} |\n")
    return _HEAD + "".join(lines) + _VERBS + "".join(rows)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
