"""OCSP answers that renew themselves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from regalia.jobs.loop import Scope
from regalia.jobs.renew_ocsp import RenewOcsp


class _Answers:
    """Notes what it is asked to do."""

    def __init__(self) -> None:
        self.asked: list[tuple[timedelta, int]] = []

    def renew(self, within: timedelta, most: int) -> int:
        """Note it."""
        self.asked.append((within, most))
        return 0


def test_every_process_renews_what_ends_before_its_next_looks() -> None:
    """Each process has a memory of its own, and looks several times before an answer ends."""
    answers = _Answers()
    job = RenewOcsp(answers)
    job.run(datetime(2026, 3, 1, tzinfo=UTC))
    ((within, most),) = answers.asked
    assert job.scope is Scope.PROCESS
    assert within >= 3 * job.every
    assert most > 0
