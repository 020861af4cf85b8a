"""`docs/performance.md` and its charts, made of the results that are kept; nothing on the page is written by hand."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tools.bench.kept import ROOT, SUBJECTS
from tools.bench.plot import Bar, Chart, svg
from tools.bench.report import number
from tools.bench.stages import STAGES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

__all__ = ["PAGE", "files", "outdated", "write"]

PAGE: Final = Path("docs/performance.md")
_CHARTS: Final = Path("docs/performance")

Result = "Mapping[str, Any]"

_TITLES: Final = {
    "scep": "One enrolment by SCEP",
    "growth": "As the database grows",
    "lists": "Long lists and searches",
    "console": "The console",
    "fleet": "A fleet, and what follows",
    "pressure": "Under pressure",
    "ocsp": "One OCSP answer",
    "crl": "Publishing a CRL",
    "start": "Starting, and memory",
}
_INTRO: Final = """\
# Performance

What Regalia costs, measured and not estimated. Everything here is CPU time or memory unless it says otherwise, so that
what else a machine does changes little; and most of it is a ratio of two things measured in turns in one run, so that
another machine should find the same. Each answer was opened and verified after the run; one bad answer would have made
it void.

`./regalia bench scep|growth|lists|console|fleet|pressure|ocsp|crl|start` measures on your machine, `./regalia bench all
--save` all of it, and `./regalia bench report` makes this page of what was saved.
"""


def files(results: Mapping[str, Mapping[str, Any]]) -> dict[Path, str]:
    """Make the page and its charts; their contents by path below the repository's root."""
    charts: dict[Path, str] = {}

    def add(name: str, chart: Chart) -> str:
        charts[_CHARTS / f"{name}.svg"] = svg(chart)
        told = "; ".join(f"{bar.name} {bar.shown}" for bar in chart.bars)
        return f"![{chart.title}: {told}]({_CHARTS.name}/{name}.svg)"

    parts = [_INTRO, _summary(results)]
    for subject in SUBJECTS:
        if subject in results:
            parts += _section(subject, results[subject], add)
    return {PAGE: "\n".join(parts).rstrip() + "\n"} | charts


def write(results: Mapping[str, Mapping[str, Any]]) -> list[Path]:
    """Write them; charts that are no more are removed. Returns what was written."""
    made = files(results)
    (ROOT / _CHARTS).mkdir(exist_ok=True)
    for old in (ROOT / _CHARTS).glob("*.svg"):
        if old.relative_to(ROOT) not in made:
            old.unlink()
    for path, text in made.items():
        (ROOT / path).write_text(text, encoding="utf-8")
    return list(made)


def outdated(results: Mapping[str, Mapping[str, Any]]) -> list[Path]:
    """Name the files that are not what the results give."""
    made = files(results)
    there = {path.relative_to(ROOT) for path in (ROOT / _CHARTS).glob("*.svg")}
    changed = {path for path, text in made.items() if not (ROOT / path).is_file() or _read(path) != text}
    return sorted(changed | (there - set(made)))


def _read(path: Path) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


# --- tables -----------------------------------------------------------------------------------------------------------


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, rule, *rows)) + "\n"


def _summary(results: Mapping[str, Mapping[str, Any]]) -> str:
    """List each figure that has a budget."""
    rows = [
        (figure["name"], _measured(figure), _budget(figure), "yes" if figure["met"] else "**no**")
        for subject in SUBJECTS
        if subject in results
        for figure in results[subject]["figures"]
        if figure["budget"] is not None
    ]
    return "## Budgets\n\n" + _table(("what", "measured", "budget", "met"), rows)


def _measured(figure: Mapping[str, Any]) -> str:
    return f"{number(figure['value'])} {figure['unit']}"


def _budget(figure: Mapping[str, Any]) -> str:
    budget = figure["budget"]
    return f"{'≤' if budget['bound'] == 'at most' else '≥'} {budget['value']:g}"


def _spread(figure: Mapping[str, Any]) -> str:
    return f"{number(min(figure['passes']))} to {number(max(figure['passes']))}" if figure["passes"] else ""


def _section(subject: str, result: Mapping[str, Any], add: Callable[[str, Chart], str]) -> Iterator[str]:
    yield f"## {_TITLES[subject]}\n"
    for name, chart in _CHARTS_OF[subject](result):
        yield add(name, chart) + "\n"
    rows = [(figure["name"], _measured(figure), _spread(figure)) for figure in result["figures"]]
    yield _table(("figure", "median of the passes", "passes"), rows)
    for table in result["tables"]:
        yield f"### {table['title']}\n"
        yield _table(table["columns"], [(row["name"], *map(number, row["values"])) for row in table["rows"]])
        if table is result["tables"][0] and table["columns"][0] == "stage":
            yield "\n".join(f"* *{stage}*: {does}" for stage, does in STAGES.items()) + "\n"
    yield "### How it was measured\n"
    yield "\n".join(result["method"]) + "\n"
    yield _run(result)


def _run(result: Mapping[str, Any]) -> str:
    settings = ", ".join(f"{name.replace('_', ' ')} {value:,}" for name, value in result["settings"].items())
    machine = ", ".join(f"{name} {value}" for name, value in result["machine"].items())
    return (
        f"`{result['command']}` on {result['date'][:10]}, commit {result['commit']}; {settings};"
        f" {result['answers_verified']:,} answers verified. {machine}.\n"
    )


# --- charts -----------------------------------------------------------------------------------------------------------


def _figures(result: Mapping[str, Any], beginning: str) -> list[Mapping[str, Any]]:
    return [figure for figure in result["figures"] if figure["name"].startswith(beginning)]


def _bar(figure: Mapping[str, Any], name: str) -> Bar:
    budget = figure["budget"]["value"] if figure["budget"] is not None else None
    return Bar(name, (figure["value"],), _measured(figure), budget)


def _scep_charts(result: Mapping[str, Any]) -> Iterator[tuple[str, Chart]]:
    beginning = "enrolment in process ÷ pure crypto, "
    bars = [_bar(figure, figure["name"].removeprefix(beginning)) for figure in _figures(result, beginning)]
    yield "scep-ratio", Chart("One enrolment ÷ its pure crypto", bars)
    stages = next(table for table in result["tables"] if table["columns"][0] == "stage")
    pure, sqlite = stages["columns"].index("pure") - 1, stages["columns"].index("SQLite") - 1
    bars = []
    for row in stages["rows"]:
        if row["name"] in STAGES:
            whole = row["values"][sqlite]
            base = min(row["values"][pure] or 0.0, whole)
            bars.append(Bar(row["name"], (base, whole - base), f"{number(whole)} µs"))
    yield "scep-stages", Chart("Where the time goes: P-256 CA, SQLite", bars, ("pure crypto", "the rest"))
    http = next(table for table in result["tables"] if table["title"].endswith("over HTTP"))
    column = http["columns"].index("per CPU second") - 1
    bars = [Bar(row["name"], (row["values"][column],), number(row["values"][column])) for row in http["rows"]]
    yield "scep-http", Chart("Enrolments over HTTP per CPU second", bars)


def _growth_charts(result: Mapping[str, Any]) -> Iterator[tuple[str, Chart]]:
    grown = [figure for figure in result["figures"] if figure["unit"] == "times"]
    yield "growth", Chart("What an enrolment costs as the database grows", [_bar(each, each["name"]) for each in grown])
    looked_up = [figure for figure in result["figures"] if figure["unit"] == "ms"]
    bars = [_bar(figure, figure["name"].removeprefix("look-up by ")) for figure in looked_up]
    yield "look-ups", Chart("Look-ups, 99 of 100 are faster", bars)


def _ocsp_charts(result: Mapping[str, Any]) -> Iterator[tuple[str, Chart]]:
    over = ("cached answer over HTTP", "bare uvicorn answer over HTTP", "fresh answer over HTTP")
    bars = [_bar(figure, figure["name"]) for beginning in over for figure in _figures(result, beginning)]
    yield "ocsp", Chart("CPU of one answer over HTTP", bars)


def _crl_charts(result: Mapping[str, Any]) -> Iterator[tuple[str, Chart]]:
    cpu = [figure for figure in result["figures"] if figure["name"].endswith("CPU")]
    bars = []
    for figure in cpu:
        entries = figure["name"].removeprefix("CRL of ").partition(" ")[0]
        each = figure["value"] * 1e6 / int(entries.replace(",", ""))
        budget = figure["budget"]["value"] * 1e6 / int(entries.replace(",", "")) if figure["budget"] else None
        bars.append(Bar(f"{entries} entries, {_measured(figure)} in all", (each,), f"{number(each)} µs", budget))
    yield "crl-cpu", Chart("CPU of one entry of a CRL", bars)
    memory = [figure for figure in result["figures"] if figure["name"].endswith("over idle")]
    bars = [_bar(figure, figure["name"].removeprefix("CRL of ").removesuffix(", over idle")) for figure in memory]
    yield "crl-memory", Chart("Memory over idle while a CRL is made", bars)


def _lists_charts(result: Mapping[str, Any]) -> Iterator[tuple[str, Chart]]:
    bars = [_bar(each, each["name"].removesuffix(", p95")) for each in result["figures"]]
    yield "lists", Chart("Answers of which 95 of 100 are faster", bars)


def _console_charts(result: Mapping[str, Any]) -> Iterator[tuple[str, Chart]]:
    bars = [
        _bar(each, re.sub(" among .*devices", "", each["name"].removesuffix(", p95"))) for each in result["figures"]
    ]
    yield "console", Chart("Pages of which 95 of 100 are faster", bars)


def _start_charts(result: Mapping[str, Any]) -> Iterator[tuple[str, Chart]]:
    walls = [_bar(figure, figure["name"]) for figure in result["figures"] if figure["unit"] == "s"]
    yield "start", Chart("Seconds to wait", walls)
    memory = [_bar(figure, figure["name"]) for figure in result["figures"] if figure["unit"] == "MB"]
    yield "memory", Chart("Memory of a server", memory)


_CHARTS_OF: Final[dict[str, Callable[[Mapping[str, Any]], Iterator[tuple[str, Chart]]]]] = {
    "scep": _scep_charts,
    "growth": _growth_charts,
    "lists": _lists_charts,
    "console": _console_charts,
    "fleet": lambda _: iter(()),
    "pressure": lambda _: iter(()),
    "ocsp": _ocsp_charts,
    "crl": _crl_charts,
    "start": _start_charts,
}
