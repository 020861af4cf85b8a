"""What an event changed is read of its record, however the record says what was before."""

from __future__ import annotations

import json
import re
from html import unescape
from typing import TYPE_CHECKING

import pytest

from regalia.console.differences import difference

if TYPE_CHECKING:
    from console.conftest import Scene


@pytest.mark.parametrize(
    ("details", "before", "after"),
    [
        ({"before": {"a": 1, "b": "x"}, "after": {"a": 2, "b": "x"}}, {"a": "1", "b": "x"}, {"a": "2", "b": "x"}),
        ({"before": "0001", "after": "0002"}, {"before": "0001"}, {"before": "0002"}),
        ({"state": {"lost": True}, "former": {"lost": False}, "connector": "m"}, {"lost": "false"}, {"lost": "true"}),
        ({"grants": ["admin"], "before": []}, {"grants": "[]"}, {"grants": '["admin"]'}),
        (
            {"authoriser": "static", "former_authoriser": "one-time", "connector": None, "former_connector": "m"},
            {"authoriser": "one-time", "connector": "m"},
            {"authoriser": "static", "connector": "-"},
        ),
        (
            {"document": json.dumps({"rules": {"lost": "hold"}}), "former": ""},
            {},
            {"rules.lost": "hold"},
        ),
        ({"kind": "intune", "settings": {"page": 2}, "former": {"page": 1}}, {"page": "1"}, {"page": "2"}),
        ({"subject": "CN=x"}, {}, {}),
        ({"connector": "m", "former_group": "staff"}, {}, {}),
        ({}, {}, {}),
    ],
)
def test_a_difference_is_read(details: dict[str, object], before: dict[str, str], after: dict[str, str]) -> None:
    """Each way of records to say what was before gives two sides; a record of no change gives none."""
    assert difference(details) == (before, after)


def test_a_record_shows_what_it_changed(scene: Scene) -> None:
    """AUD-1: an open record shows both sides, also where one of them had nothing."""
    rules = '{"rules": {"non-compliant": {"consequence": "nothing"}}}'
    scene.alice.get("/act/group.set-follow-rules?name=default")
    scene.alice.post("/act/group.set-follow-rules?name=default", document=rules, step="do")
    listed = scene.alice.get("/audit?action=group.follow-rules-set").text
    (record,) = re.findall(r'<th scope="row"><a href="([^"#]+)', listed)
    page = scene.alice.get(unescape(record))
    assert page.status == 200
    assert "<ins>" in page.text
    assert "rules.non-compliant" in page.text
