"""What holds for every kind of connector, whatever its system does: no open door, no exception, no delay."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.microsoft_parts import (
    ASKED,
    AWAY,
    CHALLENGE,
    ISSUED,
    NOW,
    SECRET,
    Cloud,
    PassingTime,
    golden,
    intune,
    said,
)
from connectors.test_webhook import web_hook
from memory_store import MemoryStore
from regalia import reasons
from regalia.connectors.inventory import inventory_link
from regalia.connectors.registry import KINDS
from regalia.errors import Stage, UnavailableError
from regalia.model.connector import (
    Allowed,
    Connector,
    NotAsked,
    Refused,
    RefusedNotice,
    RevocationResult,
    SweepPage,
    Told,
)
from regalia.ports.connectors import ABILITIES, Authorizer, ChallengeMinter, Inventory, Link, Notifier, RevocationFeed

if TYPE_CHECKING:
    from collections.abc import Callable

    from regalia.model.fleet import Device
    from regalia.ports import Listed, OutgoingResponse
    from regalia.ports.fleet import DeviceFilter, Devices

ROOT = Path(__file__).resolve().parents[2]
WITHIN = 15.0
NOTICE = RefusedNotice("TX1", b"\x30\x00", reasons.CONNECTOR_AWAY, "because")
RESULT = RevocationResult("ctx-1", done=True)


@dataclass(frozen=True)
class Case:
    """How a kind is tried: what makes a link of a cloud, the path of the question, and a refusal."""

    link: Callable[[Cloud, PassingTime], Link]
    """With settings by which it does all that its kind can."""
    question: str
    refusal: OutgoingResponse
    token: bool = False
    """Whether it asks with a token, which the system may not accept any more."""


@dataclass(frozen=True)
class OwnCase:
    """How a kind is tried that asks our own records alone: nothing outside can be slow, wrong or too busy."""

    link: Callable[[Devices], Link]


CASES: dict[str, Case] = {
    "intune": Case(
        intune,
        "/validateRequest",
        said({"code": "ChallengeExpired", "errorDescription": f"expired {CHALLENGE}"}),
        token=True,
    ),
    "webhook": Case(web_hook, "/hook", said({"verdict": "refuse", "code": "unknown-device"})),
}
"""One line for each kind that asks a system; a kind without one fails below."""
OWN_CASES: dict[str, OwnCase] = {
    "inventory": OwnCase(lambda devices: inventory_link(connector_of("inventory", {}), CHALLENGE[:40], devices)),
}
"""One line for each kind that asks our own records alone."""
WORDS = {
    "Authorizer": "vouch",
    "Notifier": "told",
    "RevocationFeed": "revocations",
    "Inventory": "sweep",
    "ChallengeMinter": "challenge",
}
"""What the page of a kind that can do this speaks of."""


class BrokenRecords(MemoryStore):
    """Records that nobody can read."""

    def device_page(self, wanted: DeviceFilter) -> Listed[Device]:
        """Fail."""
        raise UnavailableError(reasons.STORE_UNAVAILABLE, f"{wanted} cannot be read")

    def devices_by(self, connector: str, kind: str, value: str) -> tuple[Device, ...]:
        """Fail."""
        raise UnavailableError(reasons.STORE_UNAVAILABLE, f"{connector}, {kind}, {value} cannot be read")


def connector_of(kind: str, settings: dict[str, Any]) -> Connector:
    """Make a connector of a kind."""
    return Connector(UUID(int=5), "mdm", kind, settings, NOW)


def able(kind: str) -> Link:
    """Make a link that does all that its kind can."""
    return OWN_CASES[kind].link(MemoryStore()) if kind in OWN_CASES else CASES[kind].link(Cloud(), PassingTime())


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
    if isinstance(link, ChallengeMinter):
        found.append(link.mint("aaaaaaaa-1", within=WITHIN))
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
    """Each kind in the registry has one case in this file, and is tried by all of it."""
    assert sorted([*CASES, *OWN_CASES]) == sorted(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_a_link_has_the_abilities_of_its_kind(kind: str) -> None:
    """What the registry says of a kind's abilities is what its links can have, each of them and no other."""
    of_it: object = able(kind)
    assert {each for each in ABILITIES if isinstance(of_it, each)} == KINDS[kind].abilities
    assert KINDS[kind].abilities


@pytest.mark.parametrize("kind", KINDS)
def test_a_link_does_what_it_can(kind: str) -> None:
    """Everything that a kind claims to do is done when it is asked for, without an exception, and so is its check."""
    link = able(kind)
    for answer in asking(link):
        assert answer is None or isinstance(answer, Allowed | Refused | NotAsked | Told | SweepPage | tuple)
    assert link.check()
    assert all(each.what and (each.ok or each.fix) for each in link.check())


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_has_its_page(kind: str) -> None:
    """Its page is in the documentation's index, says what it can do, and has each setting that it needs."""
    told = KINDS[kind]
    page = (ROOT / "docs" / told.page).read_text(encoding="utf-8")
    assert told.page in (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert [name for name in (each.__name__ for each in told.abilities) if WORDS[name] not in page.lower()] == []
    settings = told.settings.model_json_schema()
    named = settings.get("required", []) if "connector kinds" in page else settings["properties"]
    assert [name for name in named if f"`{name}`" not in page] == []


@pytest.mark.parametrize("kind", OWN_CASES)
def test_our_own_outage_is_no_verdict(kind: str) -> None:
    """CON-5: where our own records cannot be read there is no verdict either, and the check says so."""
    link = OWN_CASES[kind].link(BrokenRecords())
    assert isinstance(link, Authorizer)
    answer = link.authorise(replace(ASKED, challenge=CHALLENGE[:40]), within=WITHIN)
    assert isinstance(answer, NotAsked)
    assert answer.reason.stage is Stage.SERVICE
    assert not any(each.ok for each in link.check())


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


@pytest.mark.parametrize("kind", [kind for kind, case in CASES.items() if case.token])
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
    began, link = time.at, case.link(cloud, time)
    assert isinstance(link, Authorizer)
    answer = link.authorise(ASKED, within=WITHIN)
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
