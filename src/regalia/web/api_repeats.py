"""Requests that are repeated with the same `Idempotency-Key`: done once, answered each time with the same.

Kept for a day, by caller and key. Answers that hold a secret are not kept: who repeats such a request is told that it
was done (decision 0036).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from regalia import reasons
from regalia.errors import RegaliaError, UnavailableError
from regalia.ports import KeptAnswer
from regalia.web.answers import NO_STORE, Answer, answer, with_headers
from regalia.web.problems import InvalidField, invalid, problem

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from regalia.ports import Clock, KeptAnswers
    from regalia.verbs import Asked, Caller, Record, Verb
    from regalia.web.answers import Header

__all__ = ["JSON", "KEY_HEADER", "REPLAYED", "Repeats", "repeat_key"]

JSON: Final = b"application/json"
KEY_HEADER: Final = b"idempotency-key"
REPLAYED: Final[Header] = (b"idempotency-replayed", b"true")
_KEY = re.compile(rb"[\x21-\x7e]{1,255}")


def repeat_key(headers: Sequence[Header]) -> str | Answer | None:
    """Read the header; None where there is none, a problem where it cannot be one."""
    found = [value for name, value in headers if name == KEY_HEADER]
    if not found:
        return None
    if len(found) > 1 or not _KEY.fullmatch(found[0]):
        return invalid([InvalidField("Idempotency-Key", "has 1 to 255 visible ASCII characters, once")])
    return found[0].decode()


class Repeats:
    """Does what is asked once for each key."""

    def __init__(self, kept: KeptAnswers, clock: Clock, mac: Callable[[str], bytes]) -> None:
        """`mac` is a keyed hash: what is asked may hold a secret, whose bare hash could be guessed from."""
        self._kept = kept
        self._clock = clock
        self._mac = mac

    def once(
        self, caller: Caller, key: str, verb: Verb[Asked, Record], asked: Asked, do: Callable[[], Answer]
    ) -> Answer:
        """Do it, or return what it was answered. Raises what `do` raises."""
        whose = caller.actor.id
        request = self._mac(f"{verb.name}\0{asked.model_dump_json()}")
        before = self._kept.begin_answer(whose, key, request, self._clock.now())
        if before is not None:
            return _again(before, request, secret=verb.secret)
        try:
            given = do()
        except RegaliaError:
            # Refused, or not available: a verb is one transaction, and this one came to nothing. A bug is no such
            # refusal: nobody knows how far it came, so the key stays taken.
            self._kept.drop_answer(whose, key)
            raise
        try:
            self._kept.keep_answer(whose, key, KeptAnswer(request, given.status, b"" if verb.secret else given.body))
        except UnavailableError:
            # It is done, which is what counts; a repeat will hear that the first has not ended.
            return given
        return given


def _again(before: KeptAnswer, request: bytes, *, secret: bool) -> Answer:
    if before.request_sha256 != request:
        return problem(reasons.REPEAT_DIFFERS, 422)
    if not before.status:
        return problem(reasons.REPEAT_UNDER_WAY, 409)
    if secret:
        return problem(reasons.ANSWER_NOT_KEPT, 409)
    return with_headers(answer(before.status, before.body, JSON, NO_STORE), REPLAYED)
