"""Who calls: the token of a request, for this audience, of a tenant, with the roles that the call needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from regalia.lab.answers import AnswerError

if TYPE_CHECKING:
    from collections.abc import Collection

    from starlette.requests import Request

    from regalia.lab.entra import Entra
    from regalia.lab.tenant import Tenant

__all__ = ["Caller", "caller_of", "demand"]


@dataclass(frozen=True, slots=True)
class Caller:
    """An app, as its token has it."""

    tenant: Tenant
    application: str
    roles: frozenset[str]


def caller_of(request: Request, entra: Entra, audiences: Collection[str]) -> Caller:
    """Verify the bearer token; an `AnswerError` 401 where it opens nothing here."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    challenge = {"www-authenticate": 'Bearer realm=""'}
    if scheme.lower() != "bearer" or not token:
        raise AnswerError(401, "InvalidAuthenticationToken", "Access token is empty.", challenge)
    claims = entra.open_token(token.strip())
    if claims is None:
        raise AnswerError(401, "InvalidAuthenticationToken", "Access token validation failure.", challenge)
    if claims["aud"] not in audiences:
        message = "Access token validation failure. Invalid audience."
        raise AnswerError(401, "InvalidAuthenticationToken", message, challenge)
    tenant = entra.tenant(claims["tid"])
    if tenant is None or tenant.applications.get(claims["appid"]) is None:
        raise AnswerError(401, "InvalidAuthenticationToken", "The application is not in the tenant.", challenge)
    return Caller(tenant, claims["appid"], frozenset(claims.get("roles", ())))


def demand(caller: Caller, any_of: Collection[str]) -> None:
    """Go on if the caller has one of these roles; an `AnswerError` 403 names them."""
    if not caller.roles.intersection(any_of):
        names = ", ".join(any_of)
        message = f"Insufficient privileges. The application must have one of the following permissions: {names}"
        raise AnswerError(403, "Authorization_RequestDenied", message)
