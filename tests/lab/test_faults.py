"""Faults on order, and the control API that orders them."""

from __future__ import annotations

import ssl
import time
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from lab_parts import app_certificate, app_der, request_for
from regalia.lab.cloud import Cloud
from regalia.lab.faults import Fault, FaultKind, HopName
from regalia.lab.sample import CLIENT_ID

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


@pytest.mark.parametrize(("kind", "status"), [(FaultKind.PROXY, 407), (FaultKind.WEB_PAGE, 200)])
def test_what_stands_on_the_way_answers_with_a_page(lab: Rehearsal, kind: FaultKind, status: int) -> None:
    """A proxy asks for its own credential, a web filter shows why it blocks; both in HTML."""
    order(lab, kind)
    answer = lab.graph("v1.0/devices")
    assert (answer.status_code, answer.headers["content-type"]) == (status, "text/html; charset=utf-8")
    assert ("proxy-authenticate" in answer.headers) == (status == 407)


def test_another_certificate() -> None:
    """The hosts can show a certificate of a CA that nobody trusts, and theirs again; the control port keeps its own."""
    with Cloud() as cloud:
        trust = ssl.create_default_context(cafile=str(cloud.ca_file))

        def asked(base: str, **content: object) -> int:
            with httpx2.Client(verify=trust) as http:
                method = "POST" if content else "GET"
                return http.request(method, f"{base}", **content).status_code  # type: ignore[arg-type]

        control = f"{cloud.addresses.control}/tls"
        assert asked(control, json={"trusted": False}) == 200
        with pytest.raises(httpx2.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            asked(cloud.addresses.graph)
        assert asked(control, json={"trusted": True}) == 200
        assert asked(cloud.addresses.graph) == 404


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


def test_answers_are_dated_with_the_clouds_clock() -> None:
    """An answer's date is the clock's that can be moved, as whoever compares clocks needs it."""
    with Cloud() as cloud, httpx2.Client(verify=ssl.create_default_context(cafile=str(cloud.ca_file))) as http:
        http.post(f"{cloud.addresses.control}/clock", json={"seconds": 7200})
        said = parsedate_to_datetime(http.get(cloud.addresses.login).headers["date"])
    assert timedelta(minutes=119) < said - datetime.now(UTC) < timedelta(minutes=121)


def test_credentials_are_set(lab: Rehearsal) -> None:
    """An app's secrets and certificates are set apart from each other, and only the new ones sign in."""
    changed = {"change": "credentials", "application": CLIENT_ID}
    turn(lab, "POST", "changes", changed | {"secrets": ["another one"]})
    assert lab.ask_token().json()["error_codes"] == [7000215]
    assert lab.ask_token(client_secret="another one").status_code == 200
    pem = app_certificate(30).public_bytes(Encoding.PEM).decode()
    turn(lab, "POST", "changes", changed | {"certificates": [pem]})
    assert lab.tenant.applications[CLIENT_ID].certificates == (app_der(30),)
    assert lab.ask_token(client_secret="another one").status_code == 200


def test_what_is_handed_out_may_be_late(lab: Rehearsal) -> None:
    """A challenge can be over when it arrives, and a profile withdrawn as soon as a device has it."""
    turn(lab, "POST", "changes", {"change": "service", "challenge_seconds": -60})
    assert lab.validate(lab.asked().base64())["code"] == "ChallengeExpired"
    turn(lab, "POST", "changes", {"change": "service", "challenge_seconds": 3600, "withdraws": True})
    handed = turn(lab, "POST", "deliveries", {"device": lab.first().name}).json()["delivery"]
    late = request_for(lab.first(), handed["challenge"])
    assert lab.validate(late.base64())["code"] == "ScepProfileNoLongerTargetedToTheClient"
    again = turn(lab, "POST", "deliveries", {"device": lab.first().name})
    assert (again.status_code, "not assigned" in again.json()["error"]) == (422, True)
