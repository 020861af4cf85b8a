"""What the attacks share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from attacks.harness import Target

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def shared() -> Target:
    """The one world of all attacks of this process."""
    return Target()


@pytest.fixture
def world(shared: Target) -> Iterator[Target]:
    """A deployment with one group, one profile and one endpoint for one-time challenges, as it was made."""
    state = shared.held()
    yield shared
    shared.put_back(state)
