"""What `doctor` says of groups that are suspended, or whose devices have to come back."""

from typing import TYPE_CHECKING

from regalia.cli.check import Check, Level
from regalia.cli.dependents import counted
from regalia.cli.output import utc
from regalia.model import AuthorityState

if TYPE_CHECKING:
    from collections.abc import Iterator

    from regalia.app import App

__all__ = ["group_checks"]


def group_checks(regalia: "App") -> "Iterator[Check]":
    """Look at each group; one in which all is as usual has nothing said of it."""
    for group in regalia.store.groups():
        authority = regalia.store.authority(group.authority)
        if authority is not None and authority.state is AuthorityState.REVOKED:
            remedy = f"Go on with `regalia group replace-authority {group.name} --compromised`."
            yield Check("group", Level.PROBLEM, f"{group.name} cannot issue: {authority.name} is revoked", remedy)
        elif group.suspended_at is not None:
            why = f" ({group.suspended_why})" if group.suspended_why else ""
            finding = f"{group.name} is suspended since {utc(group.suspended_at)}{why}"
            yield Check("group", Level.WARN, finding, f"Nothing is issued until `regalia group resume {group.name}`.")
        waiting = len(regalia.containment.holders(group.name))
        if waiting:
            finding = f"{counted(waiting, 'holder')} of {group.name} must enrol anew: their authority is revoked"
            yield Check("group", Level.WARN, finding, f"`regalia group holders {group.name}` lists them.")
