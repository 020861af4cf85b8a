"""What a run found: figures beside their budgets, tables, and how it was done. For people and as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Bound", "Budget", "Figure", "Report", "Row", "Table", "as_json", "as_text", "number"]


class Bound(StrEnum):
    """Which side of the budget is the good one."""

    AT_MOST = "at most"
    AT_LEAST = "at least"


@dataclass(frozen=True, slots=True)
class Budget:
    """What DESIGN §8 allows."""

    bound: Bound
    value: float

    def met(self, value: float) -> bool:
        """Whether a value stays within it."""
        return value <= self.value if self.bound is Bound.AT_MOST else value >= self.value

    def __str__(self) -> str:
        return f"{'≤' if self.bound is Bound.AT_MOST else '≥'} {self.value:g}"


@dataclass(frozen=True, slots=True)
class Figure:
    """One number, and what it was in each pass where there were passes."""

    name: str
    value: float
    unit: str
    budget: Budget | None = None
    passes: tuple[float, ...] = ()

    @property
    def met(self) -> bool | None:
        """Whether the budget is met; None where there is none."""
        return None if self.budget is None else self.budget.met(self.value)


@dataclass(frozen=True, slots=True)
class Row:
    """A name and its numbers, None where there is none."""

    name: str
    values: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of a name and numbers."""

    title: str
    columns: tuple[str, ...]
    """The first one is over the names."""
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """All of one run."""

    subject: str
    figures: Sequence[Figure]
    verified: int
    """Answers that were opened and verified after the run; a single bad one would have made it void."""
    method: str
    """How it was done, a few lines."""
    settings: Mapping[str, int]
    tables: Sequence[Table] = ()
    run: Mapping[str, Any] = field(default_factory=dict)
    """Command, date, machine: added by the program."""

    @property
    def missed(self) -> list[Figure]:
        """Figures beyond their budget."""
        return [figure for figure in self.figures if figure.met is False]


def as_json(report: Report) -> str:
    """Write the whole report as one JSON document."""
    document = {
        "subject": report.subject,
        **report.run,
        "settings": dict(report.settings),
        "figures": [_figure(figure) for figure in report.figures],
        "tables": [asdict(table) for table in report.tables],
        "answers_verified": report.verified,
        "method": report.method.splitlines(),
    }
    return json.dumps(document, indent=2, ensure_ascii=False)


def _figure(figure: Figure) -> dict[str, Any]:
    budget = None if figure.budget is None else {"bound": figure.budget.bound.value, "value": figure.budget.value}
    return {
        "name": figure.name,
        "value": figure.value,
        "unit": figure.unit,
        "budget": budget,
        "met": figure.met,
        "passes": list(figure.passes),
    }


def as_text(report: Report) -> str:
    """Write the report for people: figures with budgets first, then the tables, then how it was done."""
    rows = [("", "measured", "budget", "")]
    for figure in report.figures:
        verdict = {None: "", True: "met", False: "MISSED"}[figure.met]
        measured = f"{number(figure.value)} {figure.unit}".rstrip()
        rows.append((figure.name, measured, str(figure.budget or ""), verdict))
    parts = ["\n".join(_aligned(rows))]
    for table in report.tables:
        body = [table.columns, *((row.name, *map(number, row.values)) for row in table.rows)]
        parts.append("\n".join([table.title, *_aligned(body)]))
    facts = ", ".join(f"{name} {value}" for name, value in report.run.get("machine", {}).items())
    told = [report.method, f"{report.verified} answers were opened and verified.", facts]
    parts.append("\n".join(line for line in told if line))
    return "\n\n".join(parts)


def number(value: float | None) -> str:
    """Write a number with three digits that count; whole where there are more. A dash where there is none."""
    if value is None:
        return "-"
    if value == 0:
        return "0"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
