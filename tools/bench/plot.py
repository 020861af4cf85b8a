"""Bar charts as SVG, made of text: no library, no script, readable on a telephone, in light and in dark.

A chart brings its own background and its own colours for either scheme, so that it can be read on any page.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["Bar", "Chart", "svg"]

_WIDTH: Final = 380
"""What a telephone shows without scaling; wider screens show it as it is."""
_MARGIN: Final = 12
_ROW: Final = 34
_BAR: Final = 12
_VALUE: Final = 74
"""Room for the number at the right of the longest bar."""
_STYLE: Final = """\
text{font:12px system-ui,-apple-system,"Segoe UI",sans-serif;fill:#1f2328}
.title{font-weight:600;font-size:13px}
.quiet{fill:#59636e}
.ground{fill:#ffffff}
.a{fill:#3b6fd4}.rest{fill:#c3cad3}
.budget{stroke:#b3261e;stroke-width:2}
@media(prefers-color-scheme:dark){
text{fill:#e6e9ee}.quiet{fill:#a0a9b5}.ground{fill:#171a1f}
.a{fill:#7ea8ff}.rest{fill:#4b5462}.budget{stroke:#ff8a80}
}"""


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of one or two parts that lie end to end."""

    name: str
    parts: tuple[float, ...]
    shown: str
    """The number beside it."""
    budget: float | None = None


@dataclass(frozen=True, slots=True)
class Chart:
    """Bars that share a scale beginning at zero."""

    title: str
    bars: Sequence[Bar]
    legend: tuple[str, ...] = ()
    """What the parts are; none where there is one."""


def svg(chart: Chart) -> str:
    """Draw a chart."""
    top = 44 if chart.legend or any(bar.budget for bar in chart.bars) else 26
    height = top + _ROW * len(chart.bars) + 6
    longest = max(max(sum(bar.parts), bar.budget or 0.0) for bar in chart.bars)
    scale = (_WIDTH - 2 * _MARGIN - _VALUE) / longest
    told = escape("; ".join(f"{bar.name}: {bar.shown}" for bar in chart.bars), {'"': "&quot;"})
    size = f'viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{escape(chart.title)}. {told}">',
        f"<style>{_STYLE}</style>",
        f'<rect class="ground" width="{_WIDTH}" height="{height}" rx="8"/>',
        _text(_MARGIN, 19, chart.title, "title"),
        *_key(chart),
    ]
    for number, bar in enumerate(chart.bars):
        lines += _drawn(bar, top + number * _ROW, scale)
    return "\n".join([*lines, "</svg>"]) + "\n"


def _key(chart: Chart) -> Iterator[str]:
    at = float(_MARGIN)
    for kind, name in zip(_classes(len(chart.legend)), chart.legend, strict=True):
        yield f'<rect class="{kind}" x="{at:.0f}" y="29" width="9" height="9"/>'
        yield _text(at + 13, 38, name, "quiet")
        at += 13 + 6.6 * len(name) + 14
    if any(bar.budget for bar in chart.bars):
        yield f'<line class="budget" x1="{at + 4:.0f}" x2="{at + 4:.0f}" y1="28" y2="40"/>'
        yield _text(at + 11, 38, "budget", "quiet")


def _classes(parts: int) -> tuple[str, ...]:
    return ("a", "rest") if parts == 2 else ("a",) * parts


def _drawn(bar: Bar, top: float, scale: float) -> Iterator[str]:
    yield _text(_MARGIN, top + 11, bar.name, "quiet")
    at = float(_MARGIN)
    for kind, part in zip(_classes(len(bar.parts)), bar.parts, strict=True):
        yield f'<rect class="{kind}" x="{at:.1f}" y="{top + 16:.0f}" width="{part * scale:.1f}" height="{_BAR}"/>'
        at += part * scale
    yield _text(at + 6, top + 26, bar.shown, "")
    if bar.budget is not None:
        x = f"{_MARGIN + bar.budget * scale:.1f}"
        yield f'<line class="budget" x1="{x}" x2="{x}" y1="{top + 13:.0f}" y2="{top + 31:.0f}"/>'


def _text(x: float, y: float, text: str, kind: str) -> str:
    named = f' class="{kind}"' if kind else ""
    return f'<text{named} x="{x:.0f}" y="{y:.0f}">{escape(text)}</text>'
