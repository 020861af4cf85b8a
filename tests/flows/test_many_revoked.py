"""CRL and OCSP of an authority that has revoked very many certificates."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tools.bench.crl import Sizes, measure

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [pytest.mark.real, pytest.mark.serial, pytest.mark.timeout(900)]

MEGABYTES = 30.0
"""DESIGN §8: over idle, for 100 000 entries; ten times as many take no more."""
SECONDS_PER_100_000 = 0.6


@pytest.mark.parametrize("entries", [10_000, pytest.param(1_000_000, marks=pytest.mark.long)])
def test_publication_stays_small_and_ocsp_right(entries: int, record_property: Callable[[str, object], None]) -> None:
    """A CRL of any size is published in the same memory, and OCSP tells random ones from good and unknown ones."""
    report = measure(Sizes(passes=1, entries=(entries,)))
    cpu, memory = (figure.value for figure in report.figures)
    record_property("cpu_seconds", round(cpu, 3))
    record_property("megabytes", round(memory, 1))
    # Three kinds of certificates are asked about, and one CRL was read and verified.
    assert report.verified > 900
    assert memory <= MEGABYTES
    # R13: a time decides at thrice its bound. What every list costs, long or short, is not counted.
    assert cpu <= 3 * (SECONDS_PER_100_000 * entries / 100_000 + 0.1)
