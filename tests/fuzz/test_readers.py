"""The readers of what strangers send, under the fuzzers' kept inputs and under the fuzzers themselves."""

from __future__ import annotations

from time import thread_time
from typing import TYPE_CHECKING

import pytest
from tools.fuzz.__main__ import CORPUS, FINDINGS, fuzz
from tools.fuzz.blind import blind
from tools.fuzz.mutation import parse
from tools.fuzz.targets import TARGETS, FindingError, refusals_pass

from fuzz.seeds import seeds
from regalia import reasons
from regalia.wire import der
from regalia.wire.boundary import reading

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MAX_CORPUS_OCTETS = 2_000_000
SECONDS = 15
"""Of each of the four targets: a minute in all (R13)."""
LONG_SECONDS = 150
SLOW = 0.5
"""Seconds of CPU that no input may take."""


@pytest.mark.parametrize("target", TARGETS)
def test_the_kept_inputs_are_read_or_refused(target: str, record_property: Callable[[str, object], None]) -> None:
    """IN-1, IN-3: each input that ever reached something new is soon read, or refused in our own words."""
    files = sorted((CORPUS / target).iterdir())
    slowest = 0.0
    for file in files:
        begun = thread_time()
        TARGETS[target](file.read_bytes())
        slowest = max(slowest, thread_time() - begun)
    record_property("inputs", len(files))
    record_property("slowest ms", round(slowest * 1000, 1))
    assert len(files) > 20
    assert slowest < 3 * SLOW


def test_the_corpus_stays_small() -> None:
    """What is kept of all fuzzing is under two megabytes, and belongs to a target."""
    assert {folder.name for folder in CORPUS.iterdir()} == set(TARGETS)
    assert sum(file.stat().st_size for file in CORPUS.glob("*/*")) < MAX_CORPUS_OCTETS


def test_the_first_inputs_can_be_made_again() -> None:
    """The seeds are good octets for their targets: messages of others and ours, of every kind that is read."""
    made = seeds()
    assert made.keys() == TARGETS.keys()
    for target, each in made.items():
        for octets in each:
            TARGETS[target](octets)
    assert all(parse(octets) for octets in made["csr"])


def test_a_fault_behind_the_boundary_is_found() -> None:
    """IN-1: the boundary makes a refusal of any exception; a target tells that from what a reader meant."""

    def careless(_data: bytes) -> None:
        with reading(reasons.CSR_REFUSED):
            [].pop()

    def careful(_data: bytes) -> None:
        with reading(reasons.CSR_REFUSED):
            raise der.DerError("meant")

    with pytest.raises(FindingError), refusals_pass():
        careless(b"")
    with refusals_pass():
        careful(b"")


@pytest.mark.parametrize("target", TARGETS)
def test_blind_mutations_find_nothing(target: str) -> None:
    """IN-1: a second of mutations that know where elements begin, as where no guided fuzzer can be had."""
    number, finding = blind(target, 1, CORPUS / target, 16_384)
    assert not finding
    assert number > 20


@pytest.mark.real
@pytest.mark.timeout(LONG_SECONDS + 120)
@pytest.mark.parametrize("target", TARGETS)
def test_fuzzing_finds_nothing(
    request: pytest.FixtureRequest, tmp_path: Path, target: str, record_property: Callable[[str, object], None]
) -> None:
    """IN-1, IN-3: a minute of coverage-guided fuzzing from the kept corpus, ten with --long, leaves nothing found."""
    ran = fuzz(target, LONG_SECONDS if request.config.getoption("--long") else SECONDS, tmp_path / "new")
    record_property("inputs read", ran.executions)
    assert not ran.finding, f"{ran}\nkept in {FINDINGS}"
    assert ran.executions > 100
