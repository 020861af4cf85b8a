"""Where a key lies, in a few words."""

from typing import TYPE_CHECKING, Final

from regalia.errors import UnavailableError

if TYPE_CHECKING:
    from uuid import UUID

    from regalia.app import App

__all__ = ["ELSEWHERE", "HERE", "custody"]

HERE: Final = "on this machine"
ELSEWHERE: Final = "elsewhere"


def custody(regalia: "App", key_id: "UUID") -> str:
    """Say where an authority's key lies: `on this machine`, `on token LABEL`, `elsewhere`. No token is asked."""
    record = regalia.store.key_record(key_id)
    if record is not None and record.token is not None:
        return f"on token {record.token}"
    try:
        return HERE if regalia.keys.holds(key_id) else ELSEWHERE
    except UnavailableError:
        return "unknown: its signer does not answer"
