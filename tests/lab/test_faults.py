"""Faults on order, and the control API that orders them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from regalia.lab.faults import Fault, FaultKind, HopName

if TYPE_CHECKING:
    from lab_parts import Rehearsal


def order(lab: Rehearsal, kind: FaultKind, hop: HopName = HopName.GRAPH, **fields: Any) -> None:  # noqa: ANN401 - fields
    """Order a fault."""
    lab.cloud.journal.order(Fault(hop, kind, **fields))


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (FaultKind.UNAUTHORIZED, 401),
        (FaultKind.FORBIDDEN, 403),
        (FaultKind.THROTTLED, 429),
        (FaultKind.INTERNAL_ERROR, 500),
        (FaultKind.UNAVAILABLE, 503),
    ],
)
def test_statuses(lab: Rehearsal, kind: FaultKind, status: int) -> None:
    """A fault happens as often as it was ordered, at its hop, and then no more."""
    order(lab, kind, times=2)
    assert [lab.graph("v1.0/devices").status_code for _ in range(3)] == [status, status, 200]


def test_retry_after(lab: Rehearsal) -> None:
    """A 429 says when to come again where that was ordered, in seconds or as a date, and nothing else."""
    date = "Wed, 21 Oct 2026 07:28:00 GMT"
    for value in (7, date, None):
        order(lab, FaultKind.THROTTLED, times=1, retry_after=value)
    found = [lab.graph("v1.0/devices").headers.get("retry-after") for _ in range(3)]
    assert found == ["7", date, None]


def test_internal_errors_have_intunes_body(lab: Rehearsal) -> None:
    """A 500 carries JSON inside its message."""
    order(lab, FaultKind.INTERNAL_ERROR)
    error = lab.graph("v1.0/devices").json()["error"]
    assert (error["code"], error["message"].startswith('{\r\n  "_version": 3')) == ("InternalError", True)


def test_resets(lab: Rehearsal) -> None:
    """A reset ends the connection before any answer, and is in the journal without a status."""
    order(lab, FaultKind.RESET, times=1)
    with pytest.raises(httpx2.TransportError):
        lab.graph("v1.0/devices")
    assert [call.status for call in lab.cloud.journal.calls("/v1.0/devices")] == [None]
    assert lab.graph("v1.0/devices").status_code == 200


def test_delays(lab: Rehearsal) -> None:
    """A delayed answer is the right one, later."""
    order(lab, FaultKind.DELAY, seconds=0.2, times=1)
    began = time.monotonic()
    assert lab.graph("v1.0/devices").status_code == 200
    assert time.monotonic() - began >= 0.2


def test_truncated_answers(lab: Rehearsal) -> None:
    """A truncated answer is whole for HTTP and broken for JSON."""
    order(lab, FaultKind.TRUNCATED)
    answer = lab.graph("v1.0/devices")
    assert answer.status_code == 200
    with pytest.raises(ValueError, match=r"Unterminated|Expecting|delimiter"):
        answer.json()


def test_verdicts_of_another_form(lab: Rehearsal) -> None:
    """A verdict loses its description, or has a code that nobody knows; the deed behind it is done."""
    order(lab, FaultKind.MISSING_DESCRIPTION, HopName.INTUNE, times=1)
    order(lab, FaultKind.UNKNOWN_CODE, HopName.INTUNE, times=1)
    encoded = lab.asked().base64()
    assert lab.validate(encoded) == {"code": "Success"}
    assert lab.validate(encoded)["code"] == "ChallengeFromTheFuture"
    assert [one.code for one in lab.tenant.validations] == ["Success", "Success"]


def test_empty_answers(lab: Rehearsal) -> None:
    """An empty list looks like a tenant without devices; an empty verdict is no octets."""
    order(lab, FaultKind.EMPTY)
    assert lab.graph("v1.0/devices").json() == {"value": []}
    lab.cloud.journal.clear_faults()
    order(lab, FaultKind.EMPTY, HopName.INTUNE)
    body = {"transactionId": "t", "certificateRequest": "x", "callerInfo": "c"}
    assert lab.scep("validateRequest", {"request": body}).content == b""


def test_half_a_sweep(lab: Rehearsal) -> None:
    """A sweep that begins well breaks off at its second page."""
    order(lab, FaultKind.HALF_SWEEP)
    first = lab.graph("v1.0/devices?$top=3")
    assert first.status_code == 200
    assert lab.graph(first.json()["@odata.nextLink"]).status_code == 503


def test_later_faults_on_one_path(lab: Rehearsal) -> None:
    """A fault can wait for some calls of its path, and leaves other paths alone."""
    order(lab, FaultKind.UNAVAILABLE, path="/users", after=1)
    assert [lab.graph(f"v1.0/{path}").status_code for path in ("users", "devices", "users")] == [200, 200, 503]


def test_uploads_that_are_not_recorded(lab: Rehearsal) -> None:
    """An upload can be answered with false, whatever is in it."""
    order(lab, FaultKind.NOT_RECORDED, HopName.INTUNE)
    assert lab.feed("uploadRevocationResults", {"results": []}).json() == {"value": False}


# --- the control API -------------------------------------------------------------------------------------------------


def turn(lab: Rehearsal, method: str, path: str, body: object = None) -> httpx2.Response:
    """Ask the control API about this test's tenant."""
    url = f"{lab.at.control}/{path}"
    content = {} if body is None and method == "GET" else {"json": body or {}}
    return lab.http.request(method, url, params={"tenant": lab.domain}, **content)  # type: ignore[arg-type]


def test_changes_by_http(lab: Rehearsal) -> None:
    """What can be changed from Python can be changed by HTTP, and shows in the state and in Graph."""
    managed = lab.first()
    assert (
        turn(lab, "POST", "changes", {"change": "compliance", "device": managed.name, "state": "noncompliant"}).json()
        == {}
    )
    state = turn(lab, "GET", "state").json()
    found = {one["id"]: one["compliance_state"] for one in state["managed"]}
    assert found[managed.id] == "noncompliant"
    device = lab.tenant.entra_device_of(managed)
    assert device is not None
    assert lab.graph(f"v1.0/devices/{device.id}").json()["isCompliant"] is False


def test_no_secret_is_shown(lab: Rehearsal) -> None:
    """The state does not show the secrets of app registrations, and the journal no credential."""
    lab.graph("v1.0/devices")
    shown = turn(lab, "GET", "state").text + turn(lab, "GET", "calls").text
    assert lab.tenant.applications.all()[0].secrets[0].value not in shown
    assert "Bearer" not in shown


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("changes", {"change": "explode"}),
        ("changes", {"change": "wipe"}),
        ("changes", {"change": "wipe", "device": "nobody"}),
        ("changes", {"change": "edit-user", "user": "nobody"}),
        ("faults", {"hop": "graph", "kind": "boredom"}),
        ("faults", {"hop": "graph", "kind": "delay", "minutes": 3}),
        ("challenges", {"device": "nobody", "profile": "none"}),
        ("clock", {}),
    ],
    ids=str,
)
def test_wrong_orders(lab: Rehearsal, path: str, body: dict[str, Any]) -> None:
    """An order that makes no sense is 422 and says why."""
    answer = turn(lab, "POST", path, body)
    assert (answer.status_code, bool(answer.json()["error"])) == (422, True)


def test_forms_turn_nothing(lab: Rehearsal) -> None:
    """What a page in a browser can send without asking is not taken."""
    answer = lab.http.post(
        f"{lab.at.control}/changes", content=b'{"change": "wipe"}', headers={"content-type": "text/plain"}
    )
    assert answer.status_code == 422


def test_faults_challenges_and_time_by_http(lab: Rehearsal) -> None:
    """Faults, challenges and the clock are turned by HTTP; what was validated is read there."""
    profile = lab.tenant.profiles.all()[0]
    minted = turn(lab, "POST", "challenges", {"device": lab.first().id, "profile": profile.id}).json()["challenge"]
    assert lab.validate(lab.asked().but(challenge=minted).base64())["code"] == "Success"
    turn(lab, "POST", "clock", {"seconds": 7200})
    assert lab.validate(lab.asked().but(challenge=minted).base64())["code"] == "ChallengeExpired"
    assert [one["code"] for one in turn(lab, "GET", "validations").json()] == ["Success", "ChallengeExpired"]
    turn(lab, "POST", "faults", {"hop": "graph", "kind": "throttled", "retry_after": 3})
    assert lab.graph("v1.0/devices").status_code == 429
    assert [one["kind"] for one in turn(lab, "GET", "faults").json()] == ["throttled"]
    turn(lab, "DELETE", "faults")
    assert lab.graph("v1.0/devices").status_code == 200
