"""Calls with JSON: what is read, how long is waited, and which ids are kept."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest

from connectors.microsoft_parts import NOW, Cloud, PassingTime, golden, said
from fakes import FakeClock, SeededEntropy
from regalia import reasons
from regalia.connectors.microsoft_http import Call, CallError, JsonCalls, error_code, read_json, retry_after
from regalia.errors import UnavailableError
from regalia.ports import OutgoingResponse

CALL = Call("the question", "GET", "https://graph.microsoft.com/x")
CLOCK = FakeClock(NOW)


def calls(cloud: Cloud) -> JsonCalls:
    """Make what asks."""
    return JsonCalls(cloud, CLOCK, SeededEntropy())


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("0", 0),
        ("120", 120),
        (" 7 ", 7),
        ("999999999", 3600),
        ("Sun, 01 Mar 2026 09:00:30 GMT", 30),
        ("Sun, 01 Mar 2026 08:00:00 GMT", 0),
        ("Sun, 01 Mar 2026 09:00:30 -0000", 30),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 3600),
        ("", None),
        ("-1", None),
        ("1.5", None),
        ("soon", None),
        ("9" * 5000, None),
        ("Sun, 99 Mar 2026 09:00:30 GMT", None),
    ],
)
def test_retry_after(text: str, told: int | None) -> None:
    """Seconds and dates are read, an hour is the most, and what says nothing is nothing."""
    found = retry_after({"retry-after": text}, CLOCK)
    assert found == (None if told is None else timedelta(seconds=told))


def test_each_call_has_an_id_of_its_own() -> None:
    """The client-request-id is a fresh UUID for every try; Microsoft's own id is kept from header or body."""
    cloud = Cloud().say("/x", said({}, 503, retry_after="1"), said({}))
    answer = calls(cloud).call(CALL, PassingTime().pace.background(60))
    ours = [request.headers["client-request-id"] for request in cloud.requests]
    assert len(set(ours)) == 2
    assert [UUID(each).version for each in ours] == [4, 4]
    assert answer.ids() == f"client-request-id {ours[1]}, request-id theirs-1"
    bare = said(golden("graph_error"), 403)
    refusal = calls(Cloud().say("/x", type(bare)(403, {}, bare.body))).call(CALL, PassingTime().pace.background(60))
    assert refusal.request_id == "11111111-2222-3333-4444-555555555555"
    assert error_code(refusal.body) == "Authorization_RequestDenied"


def test_pauses_grow_and_end() -> None:
    """Without Retry-After the pauses double, spread by a quarter, and the number of tries is bounded."""
    time = PassingTime()
    cloud = Cloud(time).say("/x", said({}, 503))
    with pytest.raises(CallError) as failed:
        calls(cloud).call(CALL, time.pace.background(60))
    assert [1 <= time.waited[0] < 1.25, 2 <= time.waited[1] < 2.5, 4 <= time.waited[2] < 5] == [True] * 3
    assert len(cloud.requests) == 4
    assert failed.value.elsewhere
    assert failed.value.answer.reason is reasons.CONNECTOR_BUSY


def test_no_time_is_no_call() -> None:
    """Where nothing is left of the time, nobody is asked."""
    cloud = Cloud()
    with pytest.raises(CallError) as failed:
        calls(cloud).call(CALL, PassingTime().pace.enrolment(0))
    assert failed.value.answer.reason is reasons.CONNECTOR_AWAY
    assert cloud.requests == []


def test_each_call_is_told_how_long_it_may_take() -> None:
    """A request's timeout is what is left of the whole question's time."""
    time = PassingTime()
    cloud = Cloud(time, slow=2.0).say("/x", said({}))
    budget = time.pace.enrolment(15)
    calls(cloud).call(CALL, budget)
    calls(cloud).call(CALL, budget)
    assert [request.timeout for request in cloud.requests] == [15.0, 13.0]


def test_text_that_no_database_keeps_is_replaced() -> None:
    """A user chooses a device's name: NUL and lone surrogates in it neither stop a sweep nor reach a database."""
    assert read_json(b'{"a\\u0000": ["x\\u0000\\ud800y", 1.5, 1e400]}') == {
        "a\ufffd": ["x\ufffd\ufffdy", "1.5", "1e400"]
    }


@pytest.mark.parametrize(
    "octets", [b"", b"[]", b"7", b"{", b"\xff", b'{"a":1,"a":1}', b'{"a":Infinity}', b"9" * 5000, b'{"a":' * 9999]
)
def test_what_is_no_object_is_not_read(octets: bytes) -> None:
    """Anything but one JSON object with one value under each name is nothing."""
    assert read_json(octets) is None


@pytest.mark.parametrize("code", ["", "a b", "x" * 81, "a\n", 7, None, {"x": 1}])
def test_a_code_has_a_codes_form(code: object) -> None:
    """CHA-4: what is not a short word is no code, so that no body can put text into our errors."""
    assert error_code({"error": {"code": code}}) == ""  # type: ignore[dict-item]


@pytest.mark.parametrize("status", [200, 401, 403, 407])
def test_a_page_for_people_is_no_answer(status: int) -> None:
    """CON-5: what a proxy or a web filter shows is neither a wrong credential nor a missing permission (CON-027)."""
    page = OutgoingResponse(status, {"content-type": "text/html; charset=utf-8"}, b"<html>Sign in</html>")
    with pytest.raises(CallError) as failed:
        calls(Cloud().say("/x", page)).call(CALL, PassingTime().pace.enrolment(15))
    assert failed.value.answer.reason is reasons.CONNECTOR_INTERCEPTED
    assert f"HTTP {status}" in failed.value.answer.detail


def test_a_page_where_a_service_was_is_an_answer() -> None:
    """A gateway's own page for a path that is gone stays a 404, so that a service that moved is looked for."""
    page = OutgoingResponse(404, {"content-type": "text/html"}, b"<html>Not found</html>")
    assert calls(Cloud().say("/x", page)).call(CALL, PassingTime().pace.enrolment(15)).status == 404


def test_a_foreign_certificate_is_named() -> None:
    """A certificate that is not trusted is told apart from a system that is away (CON-026)."""
    foreign = UnavailableError(reasons.OUTGOING_UNTRUSTED, "its certificate is not accepted: self-signed certificate")
    with pytest.raises(CallError) as failed:
        calls(Cloud().say("/x", foreign)).call(CALL, PassingTime().pace.enrolment(15))
    assert failed.value.answer.reason is reasons.CONNECTOR_UNTRUSTED
    assert "self-signed certificate" in failed.value.answer.detail
