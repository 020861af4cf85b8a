"""When each fact of a record was said: messages come late, or overtake each other, and none undoes what is newer.

What says everything, as a sweep does, is as new as the record's `seen_at`. What says a part says it at a time of its
own, which stands with the evidence under `said_at`: by time the facts that were said then, `*` for all the others.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from regalia.model import JsonValue
    from regalia.model.fleet import Device, User

__all__ = ["PRESENT", "SAID_AT", "evidence_with", "facts_said", "newer_facts"]

SAID_AT: Final = "said_at"
PRESENT: Final = "present"
"""That it is there: said by everything that names it."""
_ALL: Final = "*"
_NEVER: Final = datetime.min.replace(tzinfo=UTC)


def facts_said(said: frozenset[str]) -> frozenset[str]:
    """Say which facts a report of some fields says."""
    return said - {"id"} | {PRESENT}


def newer_facts(before: Device | User, facts: frozenset[str], at: datetime) -> frozenset[str]:
    """Say which of these facts of a record were said after this time."""
    times = _times(before)
    return frozenset(fact for fact in facts if times.get(fact, times.get(_ALL, _NEVER)) > at)


def evidence_with(
    before: Device | User | None, evidence: Mapping[str, JsonValue], facts: frozenset[str], at: datetime
) -> dict[str, JsonValue]:
    """Put what was said now of some facts beside what was said before of the others, each with its time."""
    said = evidence.get("said")
    made: dict[str, JsonValue] = dict(evidence)
    times: dict[str, datetime] = {}
    if before is not None:
        times, kept = _times(before), before.evidence.get("said")
        made = {**before.evidence, **made}
        if isinstance(said, dict):
            now: dict[str, JsonValue] = {name: value for name, value in said.items() if name in facts or name == "id"}
            made["said"] = {**(kept if isinstance(kept, dict) else {}), **now}
    times |= dict.fromkeys(facts, at)
    made[SAID_AT] = _grouped(times)
    return made


def _times(record: Device | User) -> dict[str, datetime]:
    told = record.evidence.get(SAID_AT)
    if not isinstance(told, dict):
        return {_ALL: record.seen_at}
    return {
        str(fact): datetime.fromisoformat(at) for at, facts in told.items() if isinstance(facts, list) for fact in facts
    }


def _grouped(times: Mapping[str, datetime]) -> dict[str, JsonValue]:
    """Write them by time: most facts of a record are said at once."""
    found: dict[str, list[JsonValue]] = {}
    for fact in sorted(times):
        found.setdefault(times[fact].isoformat(), []).append(fact)
    return dict(sorted(found.items()))
