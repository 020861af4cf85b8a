"""Intune's partner API: verdicts on SCEP requests, notifications of their outcome, and the revocation feed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from starlette.routing import Route

from regalia.lab.answers import AnswerError, error_answer, json_answer
from regalia.lab.bearer import Caller, caller_of, demand
from regalia.lab.notifications import noted
from regalia.lab.revocations import download, upload
from regalia.lab.tenant import Validation
from regalia.lab.verdicts import judge

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from starlette.requests import Request
    from starlette.responses import Response

    from regalia.lab.challenge import ChallengeService
    from regalia.lab.entra import Entra
    from regalia.lab.tenant import Tenant

__all__ = ["PKI_SERVICE", "SCEP_SERVICE", "Intune", "services"]

SCEP_SERVICE: Final = "ScepRequestValidationFEService"
PKI_SERVICE: Final = "PkiConnectorFEService"
_SCEP_PATH: Final = "RACerts/ScepRequestValidationFEService/Gateway/StatelessScepRequestValidationService"
_PKI_PATH: Final = "RACerts/StatelessPkiConnectorService/Gateway/StatelessPkiConnectorService"
_SCEP_VERSION: Final = "2018-02-20"
_PKI_VERSION: Final = "5019-05-05"
_SCEP_ROLE: Final = "scep_challenge_provider"


@dataclass(frozen=True, slots=True)
class _Asked:
    caller: Caller
    body: Mapping[str, Any]


def services(tenant: Tenant, base: str) -> list[tuple[str, str]]:
    """Return what discovery knows of a tenant's services: (name, URI)."""
    if not tenant.has_intune_licence:
        return []
    found = [
        (SCEP_SERVICE, f"{base}/{tenant.shard}/{_SCEP_PATH}"),
        (PKI_SERVICE, f"{base}/{tenant.shard}/{_PKI_PATH}"),
    ]
    if tenant.duplicate_services:
        found += [(name, f"{uri.replace(tenant.shard, 'fef.nobody', 1)}") for name, uri in found]
    return [(name, uri) for name, uri in found if name not in tenant.hidden_services]


class Intune:
    """The host of the services; its first path segment is the shard."""

    def __init__(self, entra: Entra, challenges: ChallengeService, audiences: Collection[str]) -> None:
        self._entra = entra
        self._challenges = challenges
        self._audiences = audiences

    def routes(self) -> list[Route]:
        """Return its paths."""
        scep, pki = f"/{{shard}}/{_SCEP_PATH}/ScepActions", f"/{{shard}}/{_PKI_PATH}/CertificateAuthorityRequests"
        table: list[tuple[str, str, Callable[[_Asked], Any]]] = [
            (f"{scep}/validateRequest", _SCEP_VERSION, self._validate),
            (f"{scep}/successNotification", _SCEP_VERSION, _succeeded),
            (f"{scep}/failureNotification", _SCEP_VERSION, _failed),
            (f"{pki}/downloadRevocationRequests", _PKI_VERSION, _download),
            (f"{pki}/uploadRevocationResults", _PKI_VERSION, _upload),
        ]
        return [Route(path, self._answering(version, act), methods=["POST"]) for path, version, act in table]

    def _answering(self, version: str, act: Callable[[_Asked], Any]) -> Callable[[Request], Any]:
        async def answer(request: Request) -> Response:
            clock = self._entra.clock
            try:
                caller = caller_of(request, self._entra, self._audiences)
                clock = caller.tenant.clock
                _of_shard(request, caller.tenant)
                return json_answer(request, act(_Asked(caller, await _body(request, version))))
            except AnswerError as error:
                return error_answer(request, error, clock())

        return answer

    def _validate(self, asked: _Asked) -> dict[str, str]:
        demand(asked.caller, [_SCEP_ROLE])
        tenant = asked.caller.tenant
        request = _part(asked.body, "request")
        transaction_id, encoded = _text(request, "transactionId"), _text(request, "certificateRequest")
        caller = _text(request, "callerInfo")
        verdict = judge(self._challenges, tenant, transaction_id, encoded)
        with tenant.lock:
            tenant.validations.append(
                Validation(
                    transaction_id,
                    verdict.request,
                    verdict.code,
                    verdict.detail,
                    verdict.challenge,
                    tenant.clock(),
                    caller,
                )
            )
        return {"code": verdict.code, "errorDescription": "" if verdict.code == "Success" else verdict.code}


def _succeeded(asked: _Asked) -> dict[str, str]:
    return _notified(asked, succeeded=True)


def _failed(asked: _Asked) -> dict[str, str]:
    return _notified(asked, succeeded=False)


def _notified(asked: _Asked, *, succeeded: bool) -> dict[str, str]:
    demand(asked.caller, [_SCEP_ROLE])
    notification = _part(asked.body, "notification")
    _text(notification, "transactionId")
    told = noted(asked.caller.tenant, notification, succeeded=succeeded)
    if told.problems:
        raise AnswerError(400, "BadRequest", "; ".join(told.problems))
    return {"code": told.code, "errorDescription": "" if told.code == "Success" else told.code}


def _download(asked: _Asked) -> dict[str, Any]:
    _may_revoke(asked.caller)
    parameters = _part(asked.body, "downloadParameters")
    most, issuer = parameters.get("maxrequests"), parameters.get("issuername")
    if not isinstance(most, int) or isinstance(most, bool) or not 1 <= most <= 500:
        raise AnswerError(400, "BadRequest", "maxRequests is 1 to 500")
    if issuer is not None and not isinstance(issuer, str):
        raise AnswerError(400, "BadRequest", "issuerName is text or null")
    found = download(asked.caller.tenant, most, issuer)
    return {
        "value": [
            {
                "requestContext": one.context,
                "serialNumber": one.serial,
                "issuerName": one.issuer,
                "caConfiguration": one.ca_configuration,
            }
            for one in found
        ]
    }


def _upload(asked: _Asked) -> dict[str, bool]:
    _may_revoke(asked.caller)
    results = asked.body.get("results")
    if not isinstance(results, list):
        raise AnswerError(400, "BadRequest", "results is a list")
    return {"value": upload(asked.caller.tenant, results)}


def _may_revoke(caller: Caller) -> None:
    role = caller.tenant.unverified.revocation_role
    if role:
        demand(caller, [role])


def _of_shard(request: Request, tenant: Tenant) -> None:
    if request.path_params["shard"] != tenant.shard:
        raise AnswerError(404, "ResourceNotFound", "There is no such account in this scale unit.")


async def _body(request: Request, version: str) -> Mapping[str, Any]:
    if request.headers.get("api-version") != version:
        raise AnswerError(400, "BadRequest", f"api-version must be {version}")
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise AnswerError(415, "UnsupportedMediaType", "content-type must be application/json")
    # Microsoft's own library sends ISO 8859-1 without saying so.
    try:
        body = json.loads((await request.body()).decode("utf-8", "replace"))
    except ValueError as error:
        raise AnswerError(400, "BadRequest", f"no JSON: {error}") from error
    if not isinstance(body, dict):
        raise AnswerError(400, "BadRequest", "no JSON object")
    return _lower_keys(body)


def _lower_keys(body: dict[str, Any]) -> dict[str, Any]:
    """Make names comparable: one of Microsoft's libraries may send them in PascalCase."""
    return {key.lower(): value for key, value in body.items()}


def _part(body: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = body.get(name.lower())
    if not isinstance(value, dict):
        raise AnswerError(400, "BadRequest", f"{name} is missing")
    return _lower_keys(value)


def _text(part: Mapping[str, Any], name: str) -> str:
    value = part.get(name.lower())
    if not isinstance(value, str) or not value:
        raise AnswerError(400, "BadRequest", f"{name} is missing")
    return value
