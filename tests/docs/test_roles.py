"""The page about roles is the table that the program goes by."""

from __future__ import annotations

from docs.roles_page import MEANS, PAGE, page
from regalia.model import Right


def test_the_page_is_what_the_program_does() -> None:
    """AUTHZ-1: docs/reference/roles.md is made from the table and the verbs: `python tests/docs/roles_page.py`."""
    assert PAGE.read_text("utf-8") == page()


def test_each_right_is_explained() -> None:
    """No right is without words."""
    assert set(MEANS) == set(Right)
