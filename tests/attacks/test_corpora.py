"""Octets that nobody here made, through the whole device listener."""

from __future__ import annotations

import base64
import tracemalloc
import zipfile
from collections import Counter
from pathlib import Path
from time import perf_counter, process_time
from typing import TYPE_CHECKING
from urllib.parse import quote_from_bytes

from attacks.front import no_reader_failed, opened
from attacks.harness import snapshot
from attacks.memory import FLAT, resident
from regalia.ports import EventFilter

if TYPE_CHECKING:
    from collections.abc import Callable

VECTORS = Path(__file__).parents[1] / "vectors"
POST = "/scep/default?operation=PKIOperation"
CORPUS_FILES = 1_389
SLOW = 0.5
"""Seconds that the worst answer may take; decides at three times that (R13)."""
ONE_ANSWER = 4 * 2**20
"""Octets that reading and refusing one of them may need for a while."""
GET_MESSAGE, GET_URL = 32_768, 49_152
"""R7: what a GET may carry."""


def corpus() -> list[bytes]:
    """OpenSSL's fuzzing corpus."""
    with zipfile.ZipFile(VECTORS / "openssl-cms-corpus.zip") as archive:
        return [archive.read(name) for name in archive.namelist() if not name.endswith("/")]


def others() -> list[bytes]:
    """Real clients' messages, and RFC 8894's samples: for another RA than ours."""
    return [file.read_bytes() for file in sorted(VECTORS.glob("*/*.der"))]


def by_get(octets: bytes) -> str | None:
    """The target of a GET with a message; None where it does not fit."""
    target = f"{POST}&message={quote_from_bytes(base64.b64encode(octets), safe='')}"
    return target if len(octets) <= GET_MESSAGE and len(target) <= GET_URL else None


def test_the_corpora_are_refused_by_post_and_by_get(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """IN-1, IN-2, IN-3, R13: each of 1 389 inputs and the messages for others: no 5xx, nothing issued, flat memory."""
    assert len(corpus()) == CORPUS_FILES
    answers: Counter[int] = Counter()
    worst, slowest, largest = 0.0, 0.0, 0
    with opened(tmp_path) as front:
        before = {name: value for name, value in snapshot(front.world).items() if name != "_enrolments"}
        for turn in range(2):  # the first turn fills what is remembered; after it nothing may grow
            held = resident()
            for number, octets in enumerate([*corpus(), *others()]):
                got = by_get(octets)
                for target, method, body in ((POST, "POST", octets), *([(got, "GET", b"")] if got else [])):
                    begun, used = perf_counter(), process_time()
                    heard = front.send(target, method=method, body=body, source=f"192.0.2.{number % 100}")
                    worst, slowest = max(worst, perf_counter() - begun), max(slowest, process_time() - used)
                    answers[heard.status] += 1
            grown = resident() - held if turn else 0
        tracemalloc.start()
        for octets in corpus()[::7]:
            tracemalloc.reset_peak()
            held = tracemalloc.get_traced_memory()[0]
            front.send(POST, method="POST", body=octets)
            largest = max(largest, tracemalloc.get_traced_memory()[1] - held)
        tracemalloc.stop()
        after = {name: value for name, value in snapshot(front.world).items() if name != "_enrolments"}
        reasons = {event.draft.reason_id for event in front.world.store.events(EventFilter(limit=100_000))}
        no_reader_failed(front)
    assert after == before
    assert answers.keys() <= {200, 400}, answers  # 200 is a signed refusal: the store is as it was
    record_property("answers", dict(answers))
    record_property("reasons", sorted(each for each in reasons if each))
    record_property("worst ms", round(worst * 1000, 1))
    record_property("worst CPU ms", round(slowest * 1000, 1))
    record_property("grown KiB", grown // 1024)
    record_property("largest KiB", largest // 1024)
    assert slowest < 3 * SLOW
    assert grown < FLAT
    assert largest < ONE_ANSWER
