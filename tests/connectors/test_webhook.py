"""A web hook vouches where it clearly says so, and each message to it is signed."""

from __future__ import annotations

import hmac
import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from connectors.microsoft_parts import ASKED, CHALLENGE, ISSUED, NOW, Cloud, PassingTime, said
from fakes import FakeClock, SeededEntropy
from memory_store import MemoryStore
from regalia import reasons
from regalia.connectors.registry import Parts, linked
from regalia.errors import AdminError
from regalia.model import Names, San, SanKind
from regalia.model.connector import Allowed, Connector, NotAsked, Refused, RefusedNotice, Told
from regalia.ra.alert_message import is_signed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from regalia.ports import Outgoing

KEY = "a key of thirty-two octets or so"  # in no use anywhere
URL = "https://judge.example.org/hook"


def web_hook(cloud: Outgoing, time: PassingTime | None = None, key: str = KEY, **settings: object) -> Any:  # noqa: ANN401 - of either class
    """Make one that asks this cloud."""
    given: dict[str, Any] = {"url": URL, "outcomes": True, **settings}
    made = Connector(UUID(int=3), "judge", "webhook", given, NOW)
    parts = Parts(cloud, FakeClock(NOW), SeededEntropy(), MemoryStore(), (time or PassingTime()).pace)
    return linked(made, key, parts)


def verdict(answer: object) -> Any:  # noqa: ANN401 - one of three
    """Ask a hook that answers so."""
    return web_hook(Cloud().say("/hook", said(answer))).authorise(ASKED, within=15)


def test_a_question_has_all_of_the_request() -> None:
    """CON-4: the hook judges exactly what is asked: endpoint, group, names, key, CSR, challenge and source."""
    cloud = Cloud().say("/hook", said({"verdict": "allow"}))
    names = Names(cn="LAPTOP-1", sans=frozenset({San(SanKind.DNS, "laptop-1.example.org")}))
    web_hook(cloud).authorise(replace(ASKED, names=names), within=15)
    (request,) = cloud.requests
    body = json.loads(request.body)
    assert (body["type"], body["version"], body["connector"]) == ("authorise", 1, "judge")
    assert body["names"] == {"cn": "LAPTOP-1", "sans": [{"kind": "dns", "value": "laptop-1.example.org"}]}
    assert (body["endpoint"], body["group"], body["source"]) == ("mdm", "devices", "192.0.2.1")
    assert (body["challenge"], body["csr"], body["key_sha256"]) == (CHALLENGE, "MAA=", "00" * 32)
    assert request.url == URL


def test_its_signature_is_that_of_alerts() -> None:
    """CON-6: HMAC-SHA-256 over timestamp, full stop and body; the id in the header is the one in the body."""
    cloud = Cloud().say("/hook", said({"verdict": "allow"}))
    web_hook(cloud).authorise(ASKED, within=15)
    (request,) = cloud.requests
    stamp, signature = request.headers["Regalia-Timestamp"], request.headers["Regalia-Signature"]
    by_hand = hmac.new(KEY.encode(), stamp.encode() + b"." + request.body, "sha256").hexdigest()
    assert signature == f"v1={by_hand}"
    assert is_signed(KEY.encode(), stamp, request.body, signature, NOW)
    assert json.loads(request.body)["id"] == request.headers["Regalia-Delivery"]


def test_the_signature_of_the_page_is_right() -> None:
    """CON-6: the page's example of key, timestamp and body has the signature that stands beside it, octet for octet."""
    page = (Path(__file__).resolve().parents[2] / "docs" / "connectors" / "webhook.md").read_text(encoding="utf-8")
    block = page.partition("```text\n")[2].partition("```")[0]
    vector = dict(line.split(": ", 1) for line in block.splitlines())
    key, stamp, body = vector["key"], vector["Regalia-Timestamp"], vector["body"].encode()
    by_hand = hmac.new(key.encode(), stamp.encode() + b"." + body, "sha256").hexdigest()
    assert vector["Regalia-Signature"] == f"v1={by_hand}"
    at = datetime.fromtimestamp(int(stamp), UTC)
    assert is_signed(key.encode(), stamp, body, vector["Regalia-Signature"], at)
    assert not is_signed(key.encode(), stamp, body + b"\n", vector["Regalia-Signature"], at)


def test_a_yes_says_whose_device_it_is() -> None:
    """An answer may name device and user, say how things stand with them, and vouch for names."""
    said_yes = verdict(
        {
            "verdict": "allow",
            "device": {"id": "17", "serial": "C02XK1", "compliant": True, "group": "staff"},
            "user": {"id": "u-1", "upn": "ada@example.org"},
            "names": {"cn": "LAPTOP-1", "sans": [{"kind": "upn", "value": "ada@example.org"}]},
            "fresh": True,
            "note": "asset 17",
        }
    )
    assert isinstance(said_yes, Allowed)
    assert (said_yes.device, said_yes.user, said_yes.fresh, said_yes.note) == ("17", "u-1", True, "asset 17")
    assert said_yes.names == Names("LAPTOP-1", frozenset({San(SanKind.UPN, "ada@example.org")}))
    assert said_yes.device_report is not None
    assert (said_yes.device_report.serial, said_yes.device_report.state.compliant) == ("C02XK1", True)
    assert said_yes.user_report is not None
    assert said_yes.user_report.upn == "ada@example.org"


def test_a_yes_is_not_fresh_unless_it_says_so() -> None:
    """Whoever says nothing of the request itself vouches for one certificate, and no second key."""
    plain = verdict({"verdict": "allow"})
    assert isinstance(plain, Allowed)
    assert (plain.fresh, plain.device, plain.names) == (False, None, Names())


def test_a_no_has_its_code() -> None:
    """A refusal is final, with the code and the words of the system behind the hook."""
    no = verdict({"verdict": "refuse", "code": "stolen", "detail": "reported on Monday", "security": True})
    assert isinstance(no, Refused)
    assert (no.reason, no.code, no.detail, no.security) == (
        reasons.HOOK_VERDICT_NO,
        "stolen",
        "reported on Monday",
        True,
    )


@pytest.mark.parametrize("words", [CHALLENGE[:400], "hunter2-of-a-laptop", KEY, "part " + CHALLENGE[:100]])
@pytest.mark.parametrize("answer", [{"verdict": "refuse", "detail": "old: {}"}, {"verdict": "allow", "note": "saw {}"}])
def test_what_a_system_repeats_is_not_kept(answer: dict[str, str], words: str) -> None:
    """CHA-4: a challenge, a part of a long one, or the key that the system writes into its answer is in no verdict."""
    said_so = {name: value.format(words) for name, value in answer.items()}
    challenge = CHALLENGE if words.startswith("part") else words
    hook = web_hook(Cloud().say("/hook", said(said_so)))
    found = hook.authorise(replace(ASKED, challenge=challenge), within=15)
    assert isinstance(found, Allowed | Refused)
    assert words.removeprefix("part ") not in repr(found)
    assert "old: " in repr(found) or "saw " in repr(found)


def test_a_code_that_is_the_challenge_is_not_kept() -> None:
    """CHA-4: neither is one that the system uses as its code."""
    hook = web_hook(Cloud().say("/hook", said({"verdict": "refuse", "code": "no-hunter2"})))
    assert hook.authorise(replace(ASKED, challenge="hunter2"), within=15).code == "no-[secret]"


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"verdict": True},
        {"verdict": "Allow"},
        {"verdict": "allow", "colour": "red"},
        {"verdict": "allow", "fresh": "true"},
        {"verdict": "allow", "fresh": 1},
        {"verdict": "allow", "device": "17"},
        {"verdict": "allow", "device": {"serial": "C02XK1"}},
        {"verdict": "allow", "device": {"id": "17", "state": "fine"}},
        {"verdict": "allow", "device": {"id": "17", "compliant": "yes"}},
        {"verdict": "allow", "user": {"id": "u-1", "enabled": 1}},
        {"verdict": "allow", "names": {"sid": "S-1-5-21-1-1-1-500"}},
        {"verdict": "allow", "names": {"sans": [{"kind": "other", "value": "x"}]}},
        {"verdict": "allow", "names": {"cn": "x" * 201}},
        {"verdict": "refuse", "code": "two words"},
        {"verdict": "refuse", "detail": 7},
        {"allow": True},
    ],
)
def test_what_is_not_clearly_said_is_no_verdict(answer: Mapping[str, object]) -> None:
    """CON-5: an answer with an unknown field, a wrong type or another word is neither a yes nor a no."""
    found = verdict(answer)
    assert isinstance(found, NotAsked)
    assert found.reason is reasons.CONNECTOR_GARBLED


@pytest.mark.parametrize("status", [201, 202, 301, 307, 401, 403, 404, 422])
def test_another_status_is_no_verdict(status: int) -> None:
    """CON-5: only 200 has a verdict, whatever the body says."""
    hook = web_hook(Cloud().say("/hook", said({"verdict": "allow"}, status)))
    assert isinstance(hook.authorise(ASKED, within=15), NotAsked)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ({"noted": True}, Told),
        ({"verdict": "refuse", "code": "too-late"}, Refused),
        ({"noted": "yes"}, NotAsked),
        ({}, NotAsked),
        ({"verdict": "refuse", "code": 1}, NotAsked),
    ],
)
def test_outcomes_are_told(answer: Mapping[str, object], kind: type) -> None:
    """R8: the hook takes note, or refuses; what is neither is asked again."""
    cloud = Cloud().say("/hook", said(answer))
    hook = web_hook(cloud)
    assert isinstance(hook.issued(ISSUED, within=15), kind)
    assert isinstance(hook.refused(RefusedNotice("TX1", b"", reasons.CONNECTOR_AWAY, "why"), within=15), kind)
    issued, refused = (json.loads(request.body) for request in cloud.requests)
    assert (issued["type"], issued["serial"], issued["authority"]) == ("issued", "abc", "devices-1")
    assert (refused["type"], refused["reason"]) == ("refused", "CON-020")


def test_only_one_that_wants_outcomes_is_told() -> None:
    """A hook without `outcomes` is no notifier; with `confirm` a device waits for it."""
    assert not hasattr(web_hook(Cloud(), outcomes=False), "issued")
    assert not web_hook(Cloud()).confirms
    assert web_hook(Cloud(), confirm=True).confirms


@pytest.mark.parametrize(
    ("settings", "key", "reason"),
    [
        ({"url": "http://judge.example.org/"}, KEY, reasons.CONNECTOR_SETTINGS_REFUSED),
        ({"url": "https://u:p@judge.example.org/"}, KEY, reasons.CONNECTOR_SETTINGS_REFUSED),
        ({"url": "judge"}, KEY, reasons.CONNECTOR_SETTINGS_REFUSED),
        ({"outcomes": False, "confirm": True}, KEY, reasons.CONNECTOR_SETTINGS_REFUSED),
        ({}, "short", reasons.CONNECTOR_SECRET_REFUSED),
        ({}, KEY + "\n", reasons.CONNECTOR_SECRET_REFUSED),
        ({}, "", reasons.CONNECTOR_SECRET_REFUSED),
    ],
)
def test_settings_that_are_refused(settings: dict[str, Any], key: str, reason: object) -> None:
    """Challenges leave the house by https alone, and a key that can be guessed signs nothing."""
    with pytest.raises(AdminError) as refused:
        web_hook(Cloud(), key=key, **settings)
    assert refused.value.reason is reason


def test_its_check_asks_nothing() -> None:
    """`connector test` sends a signed message of type `check`, and names what failed."""
    cloud = Cloud().say("/hook", said({}))
    (good,) = web_hook(cloud).check()
    assert good.ok
    assert json.loads(cloud.requests[0].body)["type"] == "check"
    (bad,) = web_hook(Cloud().say("/hook", said({}, 404))).check()
    assert not bad.ok
    assert "HTTP 404" in bad.detail


def test_the_receiver_of_the_page_works() -> None:
    """The page's own receiver takes what is really sent, refuses what was changed, and its answers are verdicts."""
    page = (Path(__file__).resolve().parents[2] / "docs" / "connectors" / "webhook.md").read_text(encoding="utf-8")
    found: dict[str, Any] = {}
    exec(page.partition("```python\n")[2].partition("```")[0], found)  # noqa: S102 - what the page tells people to run
    cloud = Cloud().say("/hook", said({"verdict": "allow"}))
    clock = FakeClock(datetime.now(UTC))
    parts = Parts(cloud, clock, SeededEntropy(), MemoryStore(), PassingTime().pace)
    hook: Any = linked(Connector(UUID(int=3), "judge", "webhook", {"url": URL, "outcomes": True}, NOW), KEY, parts)
    hook.authorise(ASKED, within=15)
    hook.issued(ISSUED, within=15)
    asked, issued = cloud.requests
    assert isinstance(verdict(found["judged"](KEY.encode(), asked.headers, asked.body)), Allowed)
    assert found["judged"](KEY.encode(), issued.headers, issued.body) == {"noted": True}
    assert found["judged"](KEY.encode(), asked.headers, asked.body + b" ") is None
    late = {**asked.headers, "Regalia-Timestamp": "1"}
    assert found["judged"](KEY.encode(), late, asked.body) is None


def test_what_it_says_is_shown_as_words() -> None:
    """IN-1: what a web hook says with its verdict is made of characters that anybody can read."""
    assert verdict({"verdict": "refuse", "detail": "no\x07thing \u202e of this"}).detail == "no?thing ? of this"
    assert verdict({"verdict": "allow", "note": "asset\x1b[2J 17"}).note == "asset?[2J 17"
    assert isinstance(verdict({"verdict": "allow", "names": {"cn": "a\x07b"}}), NotAsked)
