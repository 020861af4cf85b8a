"""What a run of faults found, for people and as JSON."""

from __future__ import annotations

import json
import statistics
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

from tools.faults.checker import Outcomes
from tools.faults.run import BOUND

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tools.faults.run import Ended

__all__ = ["LEAST_RATIO", "Report", "as_json", "as_text"]

LEAST_RATIO: Final = 0.99
"""Of the interrupted intents so many must finish as the same certificate, with software keys (R8)."""


@dataclass(frozen=True, slots=True)
class Report:
    """All phases of one run."""

    seed: int
    date: str
    machine: Mapping[str, object]
    phases: Mapping[str, Ended]

    @property
    def outcomes(self) -> Outcomes:
        """Of the interrupted intents of the phases in which the key was there."""
        counted = (ended.outcomes for ended in self.phases.values() if not ended.key_away)
        return sum(counted, Outcomes(0, 0, 0))

    @property
    def kills(self) -> int:
        """In all phases."""
        return sum(ended.kills for ended in self.phases.values())

    @property
    def violations(self) -> tuple[str, ...]:
        """Everything that did not hold."""
        found = [f"{name}: {violation}" for name, ended in self.phases.items() for violation in ended.violations]
        if self.outcomes.ratio < LEAST_RATIO:
            found.append(f"only {self.outcomes.ratio:.1%} of the interrupted intents finished")
        found += [f"{name}: {ended.outcomes.lost} lost" for name, ended in self.phases.items() if ended.outcomes.lost]
        return tuple(found)

    def summary(self) -> str:
        """Say it in a few lines."""
        lines = [f"seed {self.seed}: {self.kills} kills, {_outcomes(self.outcomes)}"]
        lines += [f"VIOLATION {violation}" for violation in self.violations]
        lines.append("I1 to I10 hold" if not self.violations else f"{len(self.violations)} violations")
        return "\n".join(lines)


def as_text(name: str, ended: Ended) -> str:
    """Tell of one phase."""
    issued = ended.clients.get("enrol", 0) + ended.clients.get("renew", 0)
    lines = [
        f"{name}: {ended.seconds:.0f} s, {ended.kills} kills, {issued} certificates, {ended.signatures} signatures",
        f"  clients: {_counts(ended.clients)}",
        f"  relying party: {_counts(ended.polls)}; refused on purpose: {_counts(ended.rogues)}",
    ]
    if ended.struck:
        lines.append(f"  {len(ended.struck)} crash points, each {min(ended.struck.values())} times or more")
    if ended.kills:
        lines.append(f"  interrupted intents: {_outcomes(ended.outcomes)}")
    for what, seconds in sorted(ended.back.items()):
        lines.append(
            f"  back after {what}: {len(seconds)} times, median {statistics.median(seconds):.2f} s,"
            f" slowest {max(seconds):.2f} s (bound {BOUND:g})"
        )
    lines += [f"  VIOLATION {violation}" for violation in ended.violations]
    return "\n".join(lines)


def as_json(report: Report, command: str) -> str:
    """Write it all as one JSON document."""
    return json.dumps(
        {
            "command": command,
            "date": report.date,
            "machine": dict(report.machine),
            "seed": report.seed,
            "kills": report.kills,
            "interrupted": {**asdict(report.outcomes), "ratio": round(report.outcomes.ratio, 4)},
            "violations": list(report.violations),
            "phases": {name: asdict(ended) for name, ended in report.phases.items()},
        },
        indent=2,
    )


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{what} {count}" for what, count in sorted(counts.items())) or "nothing"


def _outcomes(outcomes: Outcomes) -> str:
    return (
        f"{outcomes.interrupted} interrupted: {outcomes.finished} finished, {outcomes.abandoned} abandoned,"
        f" {outcomes.lost} lost ({outcomes.ratio:.1%} finished)"
    )
