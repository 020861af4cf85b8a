"""The record of a ceremony, to be printed and signed: Markdown, with fingerprints in groups that people can compare."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from regalia.cli.output import utc

if TYPE_CHECKING:
    from datetime import datetime

    from regalia.ca.ceremony_file import CeremonyPlan
    from regalia.ca.transcript import Line

__all__ = ["Outcome", "Step", "grouped", "record_of"]

_HASH: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that was made."""

    what: str
    name: str
    facts: tuple[tuple[str, str], ...]

    @property
    def line(self) -> str:
        """As a line of the transcript."""
        return f"{self.what} {self.name}: " + ", ".join(f"{label} {value}" for label, value in self.facts)


@dataclass(frozen=True, slots=True)
class Outcome:
    """A ceremony that was held."""

    plan: CeremonyPlan
    sha256: str
    steps: tuple[Step, ...]
    at: datetime
    who: str
    last: Line
    """The transcript's last line."""


def grouped(text: str) -> str:
    """Write a SHA-256 in groups of four digits, eight groups a line; other texts as they are."""
    if not _HASH.fullmatch(text):
        return text
    groups = [text[start : start + 4] for start in range(0, len(text), 4)]
    return " ".join(groups[:8]) + "<br>" + " ".join(groups[8:])


def record_of(outcome: Outcome) -> str:
    """Write the record."""
    plan = outcome.plan
    lines = [
        f"# {plan.title}",
        "",
        f"Held on {utc(outcome.at)} by {outcome.who}.",
        "",
        "| | |",
        "| --- | --- |",
        f"| SHA-256 of the reviewed file | {grouped(outcome.sha256)} |",
        f"| last hash of the transcript | {grouped(outcome.last.hash)} |",
        f"| lines of the transcript | {outcome.last.number} |",
        "",
        "## What was made",
        "",
        "| what | name | | |",
        "| --- | --- | --- | --- |",
    ]
    for step in outcome.steps:
        for number, (label, value) in enumerate(step.facts):
            what, name = (step.what, step.name) if number == 0 else ("", "")
            lines.append(f"| {what} | {name} | {label} | {grouped(value)} |")
    lines += [
        "",
        "## Confirmed",
        "",
        "Each of these persons compared the file's SHA-256 and typed their name.",
        "",
        "| name | signature |",
        "| --- | --- |",
        *(f"| {witness} | |" for witness in plan.witnesses),
        "",
    ]
    return "\n".join(lines)
