"""Discovery, notifications and the revocation feed."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from lab_parts import GRAPH_SCOPE, INTUNE_SCOPE
from regalia.lab.changes import apply
from regalia.lab.revocations import ERROR_CODES, enqueue

if TYPE_CHECKING:
    from lab_parts import Rehearsal

ENDPOINTS = "v1.0/servicePrincipals/appId=0000000a-0000-0000-c000-000000000000/endpoints"
SUCCESS = {"code": "Success", "errorDescription": ""}


def success(lab: Rehearsal, transaction_id: str = "t-1", **changed: Any) -> dict[str, Any]:  # noqa: ANN401 - fields
    """Validate a request, and return what would tell of its success."""
    encoded = lab.asked().base64()
    assert lab.validate(encoded, transaction_id) == SUCCESS
    right = {
        "transactionId": transaction_id,
        "certificateRequest": encoded,
        "certificateThumbprint": "AB" * 20,
        "certificateSerialNumber": "0A1B2C",
        "certificateExpirationDateUtc": "2027-06-11T16:11:20.090Z",
        "issuingCertificateAuthority": "CN=Issuing",
        "callerInfo": "Regalia/test",
        "caConfiguration": "ca-1",
        "certificateAuthority": "CN=Issuing",
    }
    return right | changed


def told(lab: Rehearsal, **changed: Any) -> Any:  # noqa: ANN401 - an answer
    """Tell of a success, with a field that is different."""
    return lab.scep("successNotification", {"notification": success(lab, **changed)})


def feed(lab: Rehearsal, most: int = 50, issuer: str | None = None) -> list[dict[str, Any]]:
    """Download revocation requests."""
    answer = lab.feed("downloadRevocationRequests", {"downloadParameters": {"maxRequests": most, "issuerName": issuer}})
    assert answer.status_code == 200, answer.text
    return list(answer.json()["value"])


def upload(lab: Rehearsal, *results: dict[str, Any]) -> bool:
    """Upload results."""
    return bool(lab.feed("uploadRevocationResults", {"results": list(results)}).json()["value"])


def test_discovery(lab: Rehearsal) -> None:
    """Graph names both services and where they are."""
    names = [one["providerName"] for one in lab.graph(ENDPOINTS).json()["value"]]
    assert names == ["ScepRequestValidationFEService", "PkiConnectorFEService"]


def test_the_older_dialect(lab: Rehearsal) -> None:
    """The older directory API calls the same services by another field, and takes tokens of its own audience only."""
    app = "0000000a-0000-0000-c000-000000000000"
    url = f"{lab.at.graph}/{lab.domain}/servicePrincipalsByAppId/{app}/serviceEndpoints?api-version=1.6"
    answers = [
        lab.http.get(url, headers={"authorization": f"Bearer {lab.token(scope)}"})
        for scope in (GRAPH_SCOPE, "https://graph.windows.net/.default")
    ]
    assert [one.status_code for one in answers] == [401, 200]
    known = [one["uri"] for one in lab.graph(ENDPOINTS).json()["value"]]
    assert [one["uri"] for one in answers[1].json()["value"]] == known
    assert answers[1].json()["value"][0]["serviceName"] == "ScepRequestValidationFEService"


def test_duplicates(lab: Rehearsal) -> None:
    """Where discovery names a service twice, the first is the one that works."""
    apply(lab.tenant, "service", {"duplicates": True})
    found = lab.graph(ENDPOINTS).json()["value"]
    assert len(found) == 4
    assert len({one["uri"] for one in found}) == 4
    assert lab.validate(lab.asked().base64()) == SUCCESS


@pytest.mark.parametrize("change", [{"hidden": ["ScepRequestValidationFEService"]}, {"licence": False}])
def test_missing_services(lab: Rehearsal, change: dict[str, Any]) -> None:
    """A service that is hidden, or that there is no licence for, is not in the list."""
    apply(lab.tenant, "service", change)
    assert "Scep" not in lab.graph(ENDPOINTS).text


def test_a_move(lab: Rehearsal) -> None:
    """After a move the old place is 404 and discovery has the new one."""
    old = lab.service("ScepRequestValidationFEService")
    headers = {"authorization": f"Bearer {lab.token(INTUNE_SCOPE)}", "api-version": "2018-02-20"}
    apply(lab.tenant, "service", {"shard": "fef.lab02"})
    assert lab.http.post(f"{old}/ScepActions/validateRequest", json={}, headers=headers).status_code == 404
    assert lab.validate(lab.asked().base64()) == SUCCESS


def test_what_a_call_must_have(lab: Rehearsal) -> None:
    """A call needs its version, JSON, its fields, a token for Intune and the role."""
    body = {"request": {"transactionId": "t", "certificateRequest": "x", "callerInfo": "c"}}
    assert lab.scep("validateRequest", body, api_version="5019-05-05").status_code == 400
    assert lab.scep("validateRequest", body, content_type="text/plain").status_code == 415
    assert lab.scep("validateRequest", {"request": {"transactionId": "t"}}).status_code == 400
    assert lab.scep("validateRequest", body, authorization=f"Bearer {lab.token(GRAPH_SCOPE)}").status_code == 401
    apply(lab.tenant, "grant", {"application": lab.tenant.applications.all()[0].id, "intune_roles": []})
    refused = lab.scep("validateRequest", body)
    assert (refused.status_code, "scep_challenge_provider" in refused.text) == (403, True)


def test_success(lab: Rehearsal) -> None:
    """A success of a validated transaction is recorded and answered with Success."""
    assert told(lab).json() == SUCCESS
    assert lab.tenant.notifications[-1].body["certificateserialnumber"] == "0A1B2C"


def test_success_without_what_is_optional(lab: Rehearsal) -> None:
    """The two fields that came later may be null or absent."""
    body = success(lab, caConfiguration=None)
    del body["certificateAuthority"]
    assert lab.scep("successNotification", {"notification": body}).json() == SUCCESS


@pytest.mark.parametrize(
    "changed",
    [
        {"certificateThumbprint": "AB:CD"},
        {"certificateSerialNumber": "0x12"},
        {"certificateExpirationDateUtc": "2027-06-11"},
        {"certificateExpirationDateUtc": "2027-13-11T16:11:20Z"},
        {"issuingCertificateAuthority": None},
        {"callerInfo": ""},
    ],
    ids=str,
)
def test_fields_of_another_form(lab: Rehearsal, changed: dict[str, Any]) -> None:
    """A field of another form than is known is 400, and the record says which."""
    answer = told(lab, **changed)
    assert answer.status_code == 400
    assert next(iter(changed)) in answer.json()["error"]["message"]
    assert lab.tenant.notifications[-1].problems


def test_unknown_transactions(lab: Rehearsal) -> None:
    """A success that nobody validated, or with another request, is no Success."""
    body = success(lab)
    unknown = lab.scep("successNotification", {"notification": body | {"transactionId": "t-9"}})
    assert unknown.json()["code"] == "Unknown"
    other = lab.scep("successNotification", {"notification": body | {"certificateRequest": lab.asked(2).base64()}})
    assert other.json()["code"] == "CertificateRequestDecodingFailed"


@pytest.mark.parametrize(("result", "status"), [(-2147418113, 200), (0x8000FFFF, 200), (2**32, 400), ("5", 400)])
def test_failure(lab: Rehearsal, result: object, status: int) -> None:
    """A failure's number is taken signed or unsigned, and not beyond 32 bits."""
    encoded = lab.asked().base64()
    lab.validate(encoded)
    body = {"transactionId": "t-1", "certificateRequest": encoded, "hResult": result, "callerInfo": "Regalia/test"}
    answer = lab.scep("failureNotification", {"notification": body | {"errorDescription": "x"}})
    assert answer.status_code == status


def test_octets_that_are_no_utf_8(lab: Rehearsal) -> None:
    """A description in ISO 8859-1 is read all the same; one of 256 characters is too long."""
    encoded = lab.asked().base64()
    lab.validate(encoded)
    headers = {
        "authorization": f"Bearer {lab.token(INTUNE_SCOPE)}",
        "api-version": "2018-02-20",
        "content-type": "application/json",
    }
    url = f"{lab.service('ScepRequestValidationFEService')}/ScepActions/failureNotification"
    text = (
        f'{{"notification":{{"transactionId":"t-1","certificateRequest":"{encoded}","hResult":1,'
        '"errorDescription":"DESCRIPTION","callerInfo":"c"}}'
    )
    codes = [
        lab.http.post(url, content=text.replace("DESCRIPTION", words).encode("latin-1"), headers=headers).status_code
        for words in ("caf\xe9", "x" * 256)
    ]
    assert codes == [200, 400]


def test_the_feed(lab: Rehearsal) -> None:
    """A wipe enqueues what was issued to the device, with what was told of it; after the answer it is gone."""
    told(lab)
    apply(lab.tenant, "wipe", {"device": lab.first().id})
    (one,) = feed(lab)
    assert (one["serialNumber"], one["issuerName"], one["caConfiguration"]) == ("0A1B2C", "CN=Issuing", "ca-1")
    assert upload(lab, {"requestContext": one["requestContext"], "succeeded": True, "errorCode": "0"})
    lab.clock.move(timedelta(hours=2))
    assert feed(lab) == []
    states = lab.graph("beta/deviceManagement/deviceConfigurationsAllManagedDeviceCertificateStates").json()["value"]
    assert [state["certificateRevokeStatus"] for state in states] == ["revoked"]


@pytest.mark.parametrize(
    ("change", "arguments"),
    [
        ("retire", {}),
        ("delete", {}),
        ("edit-profile", {"validity_days": 30}),
        ("edit-profile", {"groups": []}),
    ],
)
def test_what_else_enqueues(lab: Rehearsal, change: str, arguments: dict[str, Any]) -> None:
    """Retiring, deleting, another validity in the profile and its being taken back enqueue, too; once."""
    told(lab)
    common = {"device": lab.first().id} if change != "edit-profile" else {"profile": lab.tenant.profiles.all()[0].id}
    apply(lab.tenant, change, common | arguments)
    assert [one.serial for one in lab.tenant.revocations.values()] == ["0A1B2C"]


def test_the_cool_down(lab: Rehearsal) -> None:
    """After a download the queue answers empty for an hour; what was not answered comes again."""
    for serial in ("01", "02", "03"):
        enqueue(lab.tenant, serial)
    assert [one["serialNumber"] for one in feed(lab, 2)] == ["01", "02"]
    assert feed(lab) == []
    lab.clock.move(timedelta(hours=1))
    assert [one["serialNumber"] for one in feed(lab)] == ["01", "02", "03"]


def test_the_issuer_filter(lab: Rehearsal) -> None:
    """An issuer's name leaves the requests of others where they are."""
    enqueue(lab.tenant, "01", "CN=A")
    enqueue(lab.tenant, "02", "CN=B")
    assert [one["serialNumber"] for one in feed(lab, issuer="CN=B")] == ["02"]


@pytest.mark.parametrize("most", [0, 501, "5", None, True])
def test_bounds_of_a_download(lab: Rehearsal, most: object) -> None:
    """One to 500 requests can be asked for."""
    assert lab.feed("downloadRevocationRequests", {"downloadParameters": {"maxRequests": most}}).status_code == 400


@pytest.mark.parametrize("name", sorted(ERROR_CODES))
def test_both_spellings(lab: Rehearsal, name: str) -> None:
    """A result's code is a number as text or a name, with keys in any case; what can be tried again stays queued."""
    enqueue(lab.tenant, "01")
    enqueue(lab.tenant, "02")
    first, second = feed(lab)
    code = ERROR_CODES[name]
    assert upload(
        lab,
        {"requestContext": first["requestContext"], "succeeded": code == 0, "errorCode": str(code)},
        {"RequestContext": second["requestContext"], "Succeeded": code == 0, "ErrorCode": name, "ErrorMessage": None},
    )
    expected = "queued" if code >= 4100 else "failed"
    assert {one.state for one in lab.tenant.revocations.values()} == {"revoked" if code == 0 else expected}


def test_results_that_are_not_recorded(lab: Rehearsal) -> None:
    """An unknown request, a success with an error's code, an unknown code: nothing of the upload is recorded."""
    enqueue(lab.tenant, "01")
    (one,) = feed(lab)
    context = one["requestContext"]
    right = {"requestContext": context, "succeeded": True, "errorCode": "0"}
    assert not upload(lab, right, right | {"requestContext": "nobody's"})
    assert not upload(lab, right | {"errorCode": "4004"})
    assert not upload(lab, right | {"errorCode": "4999", "succeeded": False})
    assert [one.state for one in lab.tenant.revocations.values()] == ["downloaded"]
