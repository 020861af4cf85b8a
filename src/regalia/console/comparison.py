"""Expected and received, side by side: what verbs compared, as rows that a reader takes in at a glance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from regalia.verbs.enrolment_compared import Part, Verdict
from regalia.words import marked

if TYPE_CHECKING:
    from collections.abc import Iterable

    from regalia.verbs.enrolment_compared import ComparedField
    from regalia.words import Words

__all__ = ["Comparison", "Row", "comparison"]

_PARTS: Final = {
    Part.SUBJECT: marked("Subject"),
    Part.ALTERNATIVE_NAME: marked("Alternative name"),
    Part.SID: marked("Windows SID"),
    Part.KEY: marked("Key"),
    Part.KEY_USAGE: marked("Key usage"),
    Part.EXTENDED_KEY_USAGE: marked("Extended key usage"),
    Part.VALIDITY: marked("Validity"),
    Part.OTHER: marked("Other"),
}
_VERDICTS: Final = {
    Verdict.SAME: ("ok", marked("Same")),
    Verdict.ALLOWED: ("ok", marked("Allowed")),
    Verdict.ADDED: ("ok", marked("Added")),
    Verdict.REPLACED: ("warn", marked("Replaced")),
    Verdict.LEFT_OUT: ("warn", marked("Left out")),
    Verdict.DIFFERS: ("bad", marked("Differs")),
    Verdict.NOT_ALLOWED: ("bad", marked("Not allowed")),
    Verdict.NOT_JUDGED: ("unknown", marked("Not judged")),
}
_NAMES: Final = frozenset({Part.SUBJECT, Part.ALTERNATIVE_NAME, Part.SID})
_ABBREVIATED: Final = 4
"""Letters of a kind that is an abbreviation: `cn`, `dns`."""


@dataclass(frozen=True, slots=True)
class Row:
    """One field: texts of both sides, each with whether the other side lacks it in a way that matters."""

    label: str
    kind: str
    given: tuple[tuple[str, bool], ...]
    asked: tuple[tuple[str, bool], ...]
    status: str
    verdict: str

    @property
    def differs(self) -> bool:
        """Whether the row is the reason why one looks."""
        return self.status == "bad"


@dataclass(frozen=True, slots=True)
class Comparison:
    """All rows."""

    rows: tuple[Row, ...] = ()

    @property
    def differing(self) -> int:
        """How many of them differ."""
        return sum(row.differs for row in self.rows)


def comparison(words: Words, fields: Iterable[ComparedField], *, names_only: bool = False) -> Comparison:
    """Make rows; with `names_only`, of names and of what is not as it was asked for."""
    return Comparison(
        tuple(
            _row(words, each)
            for each in fields
            if not names_only or each.part in _NAMES or _VERDICTS[each.verdict][0] != "ok"
        )
    )


def _row(words: Words, field: ComparedField) -> Row:
    status, verdict = _VERDICTS[field.verdict]
    apart = status == "bad"
    return Row(
        words(_PARTS[field.part]),
        field.kind.upper() if len(field.kind) <= _ABBREVIATED else field.kind,
        tuple((text, apart and field.part in _NAMES and text not in field.asked) for text in field.given),
        tuple((text, apart and text not in field.given) for text in field.asked),
        status,
        words(verdict),
    )
