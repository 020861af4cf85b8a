"""What the tests of the faces share: pools that end with the test, and counters of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fakes import FakeClock
from regalia.web.metrics import Metrics
from regalia.web.pool import Pool, Pools

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def pools() -> Iterator[Pools]:
    """Two small pools."""
    made = Pools(
        Pool("enrolment", threads=2, queue=8), Pool("status", threads=2, queue=8), Pool("files", threads=1, queue=8)
    )
    yield made
    made.close()


@pytest.fixture
def metrics() -> Metrics:
    """Counters at zero."""
    return Metrics(FakeClock())
