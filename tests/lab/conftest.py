"""The cloud of these tests, started once: each test has a tenant of its own in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lab_parts import Rehearsal

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def lab() -> Iterator[Rehearsal]:
    """A cloud with two tenants, `lab.example` and `other.example`, and a client of it."""
    with Rehearsal() as rehearsal:
        yield rehearsal
