"""The token endpoint, asked by hand for what no honest client would send."""

from __future__ import annotations

import base64
import json
import time
import uuid
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey

from lab_parts import GRAPH_SCOPE, INTUNE_SCOPE, app_der, device_key, register
from regalia.lab.directory import ClientSecret
from regalia.lab.jws import thumbprints, unpadded
from regalia.lab.sample import CLIENT_ID

if TYPE_CHECKING:
    from collections.abc import Callable

    from lab_parts import Rehearsal

JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


def claims(lab: Rehearsal, **changed: Any) -> dict[str, Any]:  # noqa: ANN401 - values of claims
    """Return right claims, or some that are not."""
    now = int(time.time())
    audience = f"{lab.at.login}/{lab.tenant.id}/oauth2/v2.0/token"
    right = {
        "aud": audience,
        "iss": CLIENT_ID,
        "sub": CLIENT_ID,
        "exp": now + 600,
        "iat": now,
        "jti": str(uuid.uuid4()),
    }
    return right | changed


def assertion(header: dict[str, Any], content: dict[str, Any]) -> str:
    """Sign with the app's key by the header's algorithm, or by none."""
    parts = [unpadded(json.dumps(part).encode()) for part in (header, content)]
    signed = ".".join(parts).encode()
    scheme: padding.AsymmetricPadding = padding.PKCS1v15()
    if header["alg"] == "PS256":
        scheme = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
    signature = b"" if header["alg"] == "none" else device_key().sign(signed, scheme, hashes.SHA256())
    return f"{signed.decode()}.{unpadded(signature)}"


def present(lab: Rehearsal, token: str) -> dict[str, Any]:
    """Present an assertion, and return the answer."""
    answer = lab.ask_token(client_secret=None, client_assertion=token, client_assertion_type=JWT_BEARER)
    return dict(answer.json())


@pytest.mark.parametrize("algorithm", ["RS256", "PS256"])
@pytest.mark.parametrize("named", ["x5t", "x5t#S256", "x5c"])
def test_assertions_of_each_form(lab: Rehearsal, algorithm: str, named: str) -> None:
    """An assertion is taken with either algorithm, and with whichever name its header has for the certificate."""
    register(lab, app_der())
    known = thumbprints(app_der()) | {"x5c": [base64.b64encode(app_der()).decode()]}
    header = {"alg": algorithm, "typ": "JWT", named: known[named]}
    assert present(lab, assertion(header, claims(lab)))["token_type"] == "Bearer"


WRONG: dict[str, tuple[dict[str, Any], dict[str, Any], int]] = {
    "alg none": ({"alg": "none"}, {}, 700027),
    "alg HS256": ({"alg": "HS256"}, {}, 700027),
    "an unknown certificate": ({"x5t": "AAAAAAAAAAAAAAAAAAAAAAAAAAA"}, {}, 700027),
    "another certificate in x5c": ({"x5c": ["AAAA"]}, {}, 700027),
    "another audience": ({}, {"aud": "https://login.microsoftonline.com/x/oauth2/v2.0/token"}, 700023),
    "another issuer": ({}, {"iss": "somebody"}, 700021),
    "past": ({}, {"exp": 1_700_000_000}, 700024),
    "for ever": ({}, {"exp": 9_999_999_999}, 700024),
    "not yet": ({}, {"nbf": 9_999_999_999}, 700024),
    "without an id": ({}, {"jti": ""}, 700027),
}


@pytest.mark.parametrize("what", WRONG)
def test_wrong_assertions(lab: Rehearsal, what: str) -> None:
    """Each thing that is wrong with an assertion has its AADSTS code, and no token follows."""
    register(lab, app_der())
    header, content, code = WRONG[what]
    right = {"alg": "RS256", "x5t": thumbprints(app_der())["x5t"]}
    answer = present(lab, assertion(right | header, claims(lab, **content)))
    assert (answer["error_codes"], "access_token" in answer) == ([code], False)


def test_a_replayed_assertion(lab: Rehearsal) -> None:
    """An assertion is taken once."""
    register(lab, app_der())
    token = assertion({"alg": "PS256", "x5t#S256": thumbprints(app_der())["x5t#S256"]}, claims(lab))
    assert "access_token" in present(lab, token)
    assert present(lab, token)["error_codes"] == [50013]


def test_an_expired_certificate(lab: Rehearsal) -> None:
    """A certificate that has expired authenticates nobody."""
    register(lab, app_der(-1))
    token = assertion({"alg": "RS256", "x5t": thumbprints(app_der(-1))["x5t"]}, claims(lab))
    assert present(lab, token)["error_codes"] == [700027]


def test_a_changed_assertion(lab: Rehearsal) -> None:
    """Claims that were exchanged after signing are no claims."""
    register(lab, app_der())
    header = {"alg": "RS256", "x5t": thumbprints(app_der())["x5t"]}
    first, second = (assertion(header, claims(lab)).split(".") for _ in range(2))
    assert present(lab, ".".join((first[0], second[1], first[2])))["error_codes"] == [700027]


REFUSALS: dict[str, tuple[dict[str, str | None], int, int, str]] = {
    "wrong secret": ({"client_secret": "guess"}, 401, 7000215, "invalid_client"),
    "no credential": ({"client_secret": None}, 401, 7000216, "invalid_client"),
    "unknown app": ({"client_id": str(uuid.UUID(int=1))}, 400, 700016, "unauthorized_client"),
    "no scope": ({"scope": None}, 400, 900144, "invalid_request"),
    "a scope of users": ({"scope": "https://graph.microsoft.com/User.Read"}, 400, 1002012, "invalid_scope"),
    "two scopes": ({"scope": f"{GRAPH_SCOPE} {INTUNE_SCOPE}"}, 400, 70011, "invalid_scope"),
    "one slash too few": ({"scope": "https://api.manage.microsoft.com/.default"}, 400, 500011, "invalid_resource"),
    "another grant": ({"grant_type": "password"}, 400, 70003, "unsupported_grant_type"),
}


@pytest.mark.parametrize("what", REFUSALS)
def test_refused_questions(lab: Rehearsal, what: str) -> None:
    """A wrong question is refused in Entra's shape: OAuth's error, the code in text and number, ids of the trace."""
    form, status, code, error = REFUSALS[what]
    answer = lab.ask_token(**form)
    body = answer.json()
    assert (answer.status_code, body["error"], body["error_codes"]) == (status, error, [code])
    assert body["error_description"].startswith(f"AADSTS{code}: ")
    assert {"timestamp", "trace_id", "correlation_id"} <= body.keys()


def test_an_unknown_tenant(lab: Rehearsal) -> None:
    """A tenant that there is not has its own code, at each of the paths that name one."""
    answers = [
        lab.ask_token("nobody.example"),
        lab.http.get(f"{lab.at.login}/nobody.example/v2.0/.well-known/openid-configuration"),
        lab.http.get(f"{lab.at.login}/nobody.example/discovery/v2.0/keys"),
    ]
    assert [(one.status_code, one.json()["error_codes"]) for one in answers] == [(400, [90002])] * 3


def test_an_expired_secret(lab: Rehearsal) -> None:
    """A secret whose time is over is told from one that is wrong."""
    application = lab.tenant.applications[CLIENT_ID]
    old = ClientSecret("old", lab.clock() - timedelta(days=1))
    lab.tenant.applications.put(replace(application, secrets=(old,)))
    assert lab.ask_token(client_secret="old").json()["error_codes"] == [7000222]


def test_a_token_is_what_it_says(lab: Rehearsal) -> None:
    """A token verifies with the published keys, and holds audience, tenant and the granted roles of that audience."""
    configuration = lab.http.get(f"{lab.at.login}/{lab.domain}/v2.0/.well-known/openid-configuration").json()
    assert configuration["issuer"] == f"{lab.at.login}/{lab.tenant.id}/v2.0"
    keys = KeySet([RSAKey.import_key(key) for key in lab.http.get(configuration["jwks_uri"]).json()["keys"]])
    found = jwt.decode(lab.token(INTUNE_SCOPE), keys, algorithms=["RS256"]).claims
    assert found["aud"] == "https://api.manage.microsoft.com/"
    assert (found["tid"], found["appid"], found["roles"]) == (lab.tenant.id, CLIENT_ID, ["scep_challenge_provider"])


def _other_audience(lab: Rehearsal) -> str:
    return lab.token(INTUNE_SCOPE)


def _changed(lab: Rehearsal) -> str:
    header, _, signature = lab.token(GRAPH_SCOPE).split(".")
    return f"{header}.{unpadded(b'{}')}.{signature}"


def _unsigned(lab: Rehearsal) -> str:
    header = unpadded(json.dumps({"alg": "none"}).encode())
    return f"{header}.{lab.token(GRAPH_SCOPE).split('.')[1]}."


@pytest.mark.parametrize("forged", [_other_audience, _changed, _unsigned, lambda _: "nonsense", lambda _: ""])
def test_tokens_that_open_nothing(lab: Rehearsal, forged: Callable[[Rehearsal], str]) -> None:
    """Graph answers 401 to a token for another audience, a changed one, an unsigned one, none."""
    answer = lab.http.get(f"{lab.at.graph}/v1.0/devices", headers={"authorization": f"Bearer {forged(lab)}".strip()})
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "InvalidAuthenticationToken")


def test_a_token_ends(lab: Rehearsal) -> None:
    """A token opens nothing any more when its time is over."""
    headers = {"authorization": f"Bearer {lab.token(GRAPH_SCOPE)}"}
    assert lab.http.get(f"{lab.at.graph}/v1.0/devices", headers=headers).status_code == 200
    lab.clock.move(timedelta(seconds=3600))
    assert lab.http.get(f"{lab.at.graph}/v1.0/devices", headers=headers).status_code == 401


def test_instance_discovery(lab: Rehearsal) -> None:
    """Instance discovery leads to the tenant that was asked for."""
    asked = {"api-version": "1.1", "authorization_endpoint": f"{lab.at.login}/{lab.other.id}/oauth2/v2.0/authorize"}
    answer = lab.http.get(f"{lab.at.login}/common/discovery/instance", params=asked).json()
    assert answer["tenant_discovery_endpoint"].startswith(f"{lab.at.login}/{lab.other.id}/")
