"""Personal data has an end: when it is forgotten, and what becomes of the keys of its pseudonyms (PRIV-1)."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from regalia.model import Action, EventDraft, Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from regalia.model import Actor, JsonValue
    from regalia.ports import Clock, Entropy, Forgotten, PersonalData, Sealer

__all__ = ["KEY_LIFE", "PersonalDesk"]

KEY_LIFE: Final = timedelta(days=90)
"""How long one key makes pseudonyms: as long they tell that two values are the same."""

_KEY_OCTETS: Final = 32
_LATE: Final = timedelta(days=1)
"""How long a process may go on with a key after the next one was made."""


class PersonalDesk:
    """Makes and destroys the keys of pseudonyms, and forgets what they stand for."""

    def __init__(self, store: PersonalData, sealer: Sealer, clock: Clock, entropy: Entropy) -> None:
        self._store = store
        self._sealer = sealer
        self._clock = clock
        self._entropy = entropy

    def provide_key(self, actor: Actor) -> bool:
        """Make the next key where the time of the last one is over, or there is none; whether one was made."""
        keys = self._store.pseudonym_keys()
        now = self._clock.now()
        if keys and keys[-1].destroyed_at is None and now < keys[-1].until:
            return False
        number = keys[-1].number + 1 if keys else 1
        scope = f"pseudonym:{number}"
        details = {"kind": "hmac-sha256", "scope": scope}
        event = EventDraft(now, actor, Action.KEY_GENERATED, f"key:{scope}", Outcome.OK, details=details)
        sealed = self._sealer.seal(scope, self._entropy.octets(_KEY_OCTETS))
        return self._store.add_pseudonym_key(number, now, now + KEY_LIFE, sealed, (event,))

    def count(self, before: datetime) -> Forgotten:
        """Count what `forget` would remove."""
        return self._store.count_personal(before)

    def forget(self, before: datetime, actor: Actor) -> Forgotten:
        """Remove personal data older than that; the records of the log stay, and verify as before."""

        def told(forgotten: Forgotten) -> Sequence[EventDraft]:
            details: dict[str, JsonValue] = {
                "before": before.date().isoformat(),
                "events": forgotten.events,
                "sources": forgotten.sources,
                "enrolments": forgotten.enrolments,
                "challenges": forgotten.challenges,
            }
            now = self._clock.now()
            return (EventDraft(now, actor, Action.PERSONAL_FORGOTTEN, "personal-data", Outcome.OK, details=details),)

        return self._store.forget_personal(before, told)

    def keys_to_destroy(self, before: datetime) -> tuple[int, ...]:
        """Say which keys made nothing since then; the one in use is never among them."""
        keys = self._store.pseudonym_keys()
        # A key's last pseudonym is not much younger than the key after it.
        ended = zip(keys, (key.created_at + _LATE for key in keys[1:]), strict=False)
        return tuple(key.number for key, end in ended if key.destroyed_at is None and end < before)

    def destroy_keys(self, before: datetime, actor: Actor) -> tuple[int, ...]:
        """Destroy the keys that made nothing since then, after all that they stand for was forgotten."""
        numbers = self.keys_to_destroy(before)
        if numbers:
            self.forget(before, actor)
        now = self._clock.now()
        for number in numbers:
            details = {"why": "the time of its pseudonyms is over"}
            event = EventDraft(now, actor, Action.KEY_DESTROYED, f"key:pseudonym:{number}", Outcome.OK, details=details)
            self._store.destroy_pseudonym_key(number, now, (event,))
        return numbers
