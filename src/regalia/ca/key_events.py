"""What the audit log says of keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from regalia.model import Action, EventDraft, Outcome

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from regalia.model import Actor

__all__ = ["key_destroyed"]


def key_destroyed(key_id: UUID, *, at: datetime, actor: Actor, why: str, group: str | None = None) -> EventDraft:
    """Say that a key was destroyed, when, by whom and why; the inventory takes time and actor from here."""
    details = {"why": why}
    return EventDraft(at, actor, Action.KEY_DESTROYED, f"key:{key_id}", Outcome.OK, group=group, details=details)
