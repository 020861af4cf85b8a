"""What holds for every kind of connector, whatever its system does: no open door, no exception, no delay."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.microsoft_parts import ASKED, AWAY, CHALLENGE, ISSUED, SECRET, Cloud, PassingTime, golden, intune, said
from regalia import reasons
from regalia.connectors.registry import KINDS
from regalia.errors import Stage
from regalia.model.connector import Allowed, NotAsked, Refused, RefusedNotice, RevocationResult
from regalia.ports.connectors import Authorizer, ChallengeMinter, Inventory, Link, Notifier, RevocationFeed

if TYPE_CHECKING:
    from collections.abc import Callable

    from regalia.ports import OutgoingResponse

ROOT = Path(__file__).resolve().parents[2]
WITHIN = 15.0
NOTICE = RefusedNotice("TX1", b"\x30\x00", reasons.CONNECTOR_AWAY, "because")
RESULT = RevocationResult("ctx-1", done=True)


@dataclass(frozen=True)
class Case:
    """How a kind is tried: what makes a link of a cloud, the path of the question, and a refusal."""

    link: Callable[[Cloud, PassingTime], Link]
    question: str
    refusal: OutgoingResponse


CASES: dict[str, Case] = {
    "intune": Case(
        intune, "/validateRequest", said({"code": "ChallengeExpired", "errorDescription": f"expired {CHALLENGE}"})
    )
}
"""One line for each kind; a kind without one fails below."""


def asking(link: Link) -> list[Any]:
    """Call everything that a link can do."""
    found: list[Any] = []
    if isinstance(link, Authorizer):
        found.append(link.authorise(ASKED, within=WITHIN))
    if isinstance(link, Notifier):
        found += [link.issued(ISSUED, within=WITHIN), link.refused(NOTICE, within=WITHIN)]
    if isinstance(link, RevocationFeed):
        found += [link.wishes(50), link.report((RESULT,))]
    if isinstance(link, Inventory):
        found += [link.sweep(None), link.device("aaaaaaaa-1", within=WITHIN), link.user("cccccccc-1", within=WITHIN)]
    return found


GARBAGE = {
    "empty": b"",
    "html": b"<html>Please sign in</html>",
    "a-list": b"[]",
    "null": b"null",
    "cut": b'{"code": "Succ',
    "number": b'{"code": 0, "errorDescription": ""}',
    "no-description": b'{"code": "Success"}',
    "list-of-success": b'{"code": ["Success"], "errorDescription": ""}',
    "other-case": b'{"Code": "Success", "errorDescription": ""}',
    "twice": b'{"code": "Success", "code": "Success", "errorDescription": ""}',
    "deep": b"[" * 100_000,
    "not-utf-8": b'{"code": "Success\xff", "errorDescription": ""}',
    "nan": b'{"code": "Success", "errorDescription": "", "x": NaN}',
}


def test_every_kind_is_tried_here() -> None:
    """Each kind in the registry has its case in this file, and is tried by all of it."""
    assert set(CASES) == set(KINDS)


@pytest.mark.parametrize("kind", CASES)
def test_a_link_has_no_abilities_but_those_of_its_kind(kind: str) -> None:
    """What the registry says of a kind's abilities is what its links have."""
    link = CASES[kind].link(Cloud(), PassingTime())
    protocols = (Authorizer, Notifier, RevocationFeed, Inventory, ChallengeMinter)
    of_it: object = link
    assert {each for each in protocols if isinstance(of_it, each)} <= KINDS[kind].abilities


@pytest.mark.parametrize("kind", CASES)
def test_an_outage_is_no_verdict(kind: str) -> None:
    """CON-5: where nobody answers, every question is answered by `NotAsked` with a reason of stage SERVICE."""
    time = PassingTime()
    for answer in asking(CASES[kind].link(Cloud(time).say_everywhere(AWAY), time)):
        assert isinstance(answer, NotAsked)
        assert answer.reason.stage is Stage.SERVICE


@pytest.mark.parametrize("kind", CASES)
@pytest.mark.parametrize("slow", [4.0, 30.0])
def test_a_slow_system_is_left_in_time(kind: str, slow: float) -> None:
    """R8: a verdict takes no longer than it may, however many calls it needs and however slow each is."""
    time = PassingTime()
    link = CASES[kind].link(Cloud(time, slow=slow), time)
    began = time.at
    if isinstance(link, Authorizer):
        assert isinstance(link.authorise(ASKED, within=WITHIN), NotAsked)
    assert time.at - began <= WITHIN


@pytest.mark.parametrize("kind", CASES)
@pytest.mark.parametrize("octets", GARBAGE.values(), ids=GARBAGE)
@pytest.mark.parametrize("everywhere", [True, False])
def test_garbage_is_no_verdict(kind: str, octets: bytes, *, everywhere: bool) -> None:
    """CON-5: an answer that is none is no verdict and no absence, and ends in no exception."""
    cloud = Cloud()
    garbage = said(octets)
    link = CASES[kind].link(
        cloud.say_everywhere(garbage) if everywhere else cloud.say(CASES[kind].question, garbage), PassingTime()
    )
    answers = asking(link)
    assert isinstance(answers[0], NotAsked)
    assert not everywhere or all(isinstance(answer, NotAsked) for answer in answers)


@pytest.mark.parametrize("kind", CASES)
@pytest.mark.parametrize("status", [204, 302, 400, 403, 404, 409, 410, 500, 501, 502])
def test_other_statuses_are_no_verdict(kind: str, status: int) -> None:
    """CON-5: whatever its body says, an answer that is not 200 is neither a yes nor an absence."""
    success = said({"code": "Success", "errorDescription": ""}, status)
    cloud = Cloud().say_everywhere(success).say("/token", *Cloud().answers["/token"])
    assert all(isinstance(answer, NotAsked) for answer in asking(CASES[kind].link(cloud, PassingTime())))


@pytest.mark.parametrize("kind", CASES)
def test_a_refusal_is_final_and_quiet(kind: str) -> None:
    """CHA-4: a refusal has a reason of stage EVIDENCE and a hint, and the challenge is nowhere in it."""
    link = CASES[kind].link(Cloud().say(CASES[kind].question, CASES[kind].refusal), PassingTime())
    answer = asking(link)[0]
    assert isinstance(answer, Refused)
    assert answer.reason.stage is Stage.EVIDENCE
    assert answer.hint
    assert CHALLENGE not in repr(answer)


@pytest.mark.parametrize("kind", CASES)
def test_a_token_that_is_not_accepted_is_replaced_once(kind: str) -> None:
    """A 401 drops the token; with the next one the question is asked again."""
    case = CASES[kind]
    good = Cloud().answers[case.question]
    cloud = Cloud().say(case.question, said({}, 401), *good)
    assert isinstance(asking(case.link(cloud, PassingTime()))[0], Allowed)
    never = Cloud().say(case.question, said({}, 401))
    assert isinstance(asking(case.link(never, PassingTime()))[0], NotAsked)
    assert len(never.asked(case.question)) == 2


@pytest.mark.parametrize("kind", CASES)
@pytest.mark.parametrize("told", [{"retry_after": "1"}, {"retry_after": "600"}, {}])
def test_too_much_is_no_verdict(kind: str, told: dict[str, str]) -> None:
    """R8: a system that asks for patience is given it where there is time for it, and else the device comes again."""
    time, case = PassingTime(), CASES[kind]
    cloud = Cloud(time).say(case.question, said({}, 429, **told))
    began = time.at
    answer = asking(case.link(cloud, time))[0]
    assert isinstance(answer, NotAsked)
    assert answer.reason is reasons.CONNECTOR_BUSY
    assert answer.retry_after is not None
    assert answer.retry_after >= timedelta(seconds=1)
    assert len(cloud.asked(case.question)) == (2 if told == {"retry_after": "1"} else 1)
    assert began <= time.at


@pytest.mark.parametrize("kind", CASES)
def test_no_secret_is_in_an_answer(kind: str) -> None:
    """CON-3, CHA-4: whatever the system echoes, neither secret, token nor challenge is in what we say."""
    token = golden("token")["access_token"]
    echo = {"error": {"code": f"{SECRET} {token} {CHALLENGE}", "message": f"{SECRET} {token} {CHALLENGE}"}}
    for status in (400, 401, 403, 404, 429, 500, 503):
        cloud = Cloud().say_everywhere(said(echo, status, request_id=token)).say("/token", *Cloud().answers["/token"])
        link = CASES[kind].link(cloud, PassingTime())
        text = repr(asking(link)) + repr(link.check())
        assert not any(word in text for word in (SECRET, token, CHALLENGE))


TEXTS = st.sampled_from(["Success", "success", "SUCCESS", "Success ", "ChallengeExpired", "Unknown", ""]) | st.text()
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["code", "errorDescription", "value", "error"]) | st.text(), inner, max_size=4
        )
    ),
    max_leaves=8,
)


@pytest.mark.parametrize("kind", ["intune"])
@given(document=JSON)
def test_nothing_but_success_is_a_yes(kind: str, document: object) -> None:
    """CON-4: of all JSON that there is, only an object whose code is `Success` makes Intune's verdict a yes."""
    link = CASES[kind].link(Cloud().say("/validateRequest", said(document)), PassingTime())
    assert isinstance(link, Authorizer)
    answer = link.authorise(ASKED, within=WITHIN)
    yes = isinstance(document, dict) and document.get("code") == "Success"
    assert isinstance(answer, Allowed | Refused | NotAsked)
    assert yes or not isinstance(answer, Allowed)
    if isinstance(answer, Refused):
        (answer.code + answer.detail).encode()
