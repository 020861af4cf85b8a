"""Charts: where shapes stand, for the numbers that there may be."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from regalia.console.charts import Chart, Stack, bar_list, columns, life_on, series_of, share_on

NOW = datetime(2026, 3, 1, tzinfo=UTC)
YEAR = timedelta(days=365)


def a_stack(*parts: int, refused: int = 0, label: str = "day") -> Stack:
    """Return the numbers of a day."""
    return Stack(label, parts, refused)


def month(*days: Stack) -> list[Stack]:
    """Return thirty days of which the last ones are these."""
    return [*([a_stack(0, 0)] * (30 - len(days))), *days]


def check(chart: Chart, stacks: list[Stack]) -> None:
    """Whatever the numbers are: nothing lies outside, nothing over another, and each number has its bar."""
    bottom = chart.height - 14
    assert [column.stack for column in chart.columns] == stacks
    assert all(10 <= line.y <= bottom + 0.1 for line in chart.lines)
    assert len(chart.lines) <= 7
    for column in chart.columns:
        assert 4.6 <= column.x < column.x + column.width <= 100
        up = [bar for bar in column.bars if bar.fill != "fill-hatch"]
        down = [bar for bar in column.bars if bar.fill == "fill-hatch"]
        assert [bar.fill for bar in up] == [f"fill-{n}" for n, part in enumerate(column.stack.parts, 1) if part]
        assert len(down) == bool(column.stack.refused)
        line = chart.zero
        for bar in up:
            assert bar.y + bar.height <= line - 0.8
            line = bar.y
        assert line >= 10 - 2 * len(up)
        for bar in down:
            assert bar.y > chart.zero
            assert bar.y + bar.height <= bottom + 2


@given(
    st.lists(
        st.builds(
            lambda parts, refused: a_stack(*parts, refused=refused),
            st.tuples(*[st.integers(0, 10**7)] * 4),
            st.integers(0, 10**7),
        ),
        max_size=40,
    )
)
def test_whatever_is_drawn_stays_inside(stacks: list[Stack]) -> None:
    """For all numbers the bars keep off one another and off the edges, and the lines are few."""
    check(columns(stacks), stacks)


def test_nothing_at_all() -> None:
    """Without any number there is a line of zero and the days below it."""
    chart = columns(month())
    check(chart, month())
    assert [line.number for line in chart.lines] == [0, 1]
    assert chart.call is None
    assert all(not column.bars for column in chart.columns)
    assert columns([]).columns == ()


def test_one_value() -> None:
    """A single certificate is a bar as high as the chart, and not one of a million."""
    chart = columns(month(a_stack(1)))
    check(chart, month(a_stack(1)))
    (bar,) = chart.columns[-1].bars
    assert (bar.fill, bar.y, bar.height) == ("fill-1", 10.0 + 0.0, 207.0)
    assert chart.zero == 218.0


def test_both_sides_have_one_scale() -> None:
    """What is refused goes down as far as as many that are issued go up."""
    chart = columns(month(a_stack(200, refused=50), a_stack(50)))
    up = next(bar.height for bar in chart.columns[-1].bars)
    down = next(bar.height for bar in chart.columns[-2].bars if bar.fill == "fill-hatch")
    assert up == down
    assert [line.number for line in chart.lines] == [50, 0, 50, 100, 150, 200]


def test_an_outlier_is_called() -> None:
    """The one day on which far more was refused has its number written beside it, on the side where there is room."""
    usual = [a_stack(100, refused=2) for _ in range(29)]
    chart = columns([*usual, a_stack(60, refused=41)])
    check(chart, [*usual, a_stack(60, refused=41)])
    assert chart.call is not None
    assert (chart.call.number, chart.call.anchor) == (41, "end")
    assert chart.call.x < chart.columns[-1].x
    first = columns([a_stack(60, refused=41), *usual]).call
    assert first is not None
    assert (first.number, first.anchor) == (41, "start")
    assert columns([*usual, a_stack(100, refused=4)]).call is None
    assert columns([a_stack(100, refused=40 + number) for number in range(30)]).call is None


def test_all_refused() -> None:
    """Where everything was refused the line is at the top, and single refusals can still be seen beside many."""
    stacks = month(a_stack(0, refused=1), a_stack(0, refused=900))
    chart = columns(stacks)
    check(chart, stacks)
    assert chart.zero == 10.0
    assert chart.columns[-2].bars[0].height == 2.0


def test_today_and_some_days_have_their_names() -> None:
    """The last column and those whole weeks before it are named; every other of these goes first."""
    chart = columns([a_stack(1, label=f"{number}") for number in range(30)])
    named = [(column.label, column.minor) for column in chart.columns if column.label]
    assert named == [("1", False), ("8", True), ("15", False), ("22", True), ("29", False)]


def test_series_are_few_and_keep_their_colours() -> None:
    """Up to four ways are shown in the order of their names; of more the largest, and the rest as one."""
    assert series_of({"b": 1, "a": 9}) == ("a", "b")
    assert series_of({"e": 1, "d": 2, "c": 30, "b": 40, "a": 5}) == ("a", "b", "c", "")
    assert series_of({}) == ()


def test_lists_with_bars() -> None:
    """Bars are as long as their number beside the largest; a small one is seen, and none has no bar."""
    rows = bar_list([("a", 1_000, "/a"), ("b", 500, "/b"), ("c", 1, "/c"), ("d", 0, "/d")], bad=(2,))
    assert [row.width for row in rows] == [100.0, 50.0, 0.6, 0.0]
    assert [row.fill for row in rows] == ["fill-1", "fill-1", "fill-bad", "fill-1"]
    assert [row.width for row in bar_list([("a", 0, "/a")], bad=None)] == [0.0]
    assert bar_list([]) == ()


def test_lives_on_one_axis() -> None:
    """Begin, length and what has gone by are shares of the axis; what is to come has none gone, what is over all."""
    axis = (NOW - 10 * YEAR, NOW + 10 * YEAR)
    lives = [
        life_on(axis, begin, end, NOW)
        for begin, end in (
            (NOW - 5 * YEAR, NOW + 5 * YEAR),
            (NOW + YEAR, NOW + 2 * YEAR),
            (NOW - 2 * YEAR, NOW - YEAR),
        )
    ]
    assert [(each.begins, each.lasts, each.gone) for each in lives] == [(25, 50, 25), (55, 5, 0), (40, 5, 5)]
    assert share_on(axis, NOW) == 50
    assert share_on((NOW, NOW), NOW) == 0
