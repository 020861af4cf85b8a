"""The API's document and page in the repository are what the verbs say."""

from __future__ import annotations

import pytest
from tools.api_reference import pages


@pytest.mark.parametrize(("path", "text"), list(pages()), ids=lambda each: getattr(each, "name", ""))
def test_the_reference_is_what_is_served(path: object, text: str) -> None:
    """docs/reference/openapi.json and api.md are made of the registry; `python -m tools.api_reference` writes them."""
    assert path.read_text(encoding="utf-8") == text  # type: ignore[attr-defined] # a Path; pytest's ids take any
