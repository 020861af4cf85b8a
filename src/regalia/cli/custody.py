"""Where a key lies, in a few words."""

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from uuid import UUID

    from regalia.app import App

__all__ = ["HERE", "custody"]

HERE: Final = "on this machine"


def custody(regalia: "App", key_id: "UUID") -> str:
    """Say where an authority's key lies: `on this machine`, `on token LABEL`, `elsewhere`. No token is asked."""
    record = regalia.store.key_record(key_id)
    if record is not None and record.token is not None:
        return f"on token {record.token}"
    return HERE if regalia.keys.holds(key_id) else "elsewhere"
