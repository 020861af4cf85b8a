"""Entra ID, as far as an app with client credentials sees it: discovery, keys, and the token endpoint.

A token is a signed JWT for one audience with the roles that were consented to. The other rooms of the cloud believe a
token because they verify it, and for no other reason.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import threading
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from regalia.lab.jws import Jws, JwsError, decode, encode, is_signed_by, thumbprints, unpadded

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from starlette.requests import Request

    from regalia.lab.directory import Application
    from regalia.lab.tenant import Tenant, Tenants

__all__ = ["AAD_GRAPH", "GRAPH", "INTUNE", "Entra", "Resource"]

GRAPH: Final = "https://graph.microsoft.com"
INTUNE: Final = "https://api.manage.microsoft.com/"
AAD_GRAPH: Final = "https://graph.windows.net"
_JWT_BEARER: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_DEFAULT: Final = "/.default"
_LIFETIME: Final = 3599
_LONGEST_ASSERTION: Final = 86_400


@dataclass(frozen=True, slots=True)
class Resource:
    """Something that tokens are for."""

    name: str
    """`graph`, `intune` or `aad-graph`."""
    identifiers: tuple[str, ...]
    """What a scope can call it, before `/.default`."""


class _RefusedError(Exception):
    def __init__(self, answer: str, detail: str = "") -> None:
        super().__init__(answer)
        self.answer = answer
        self.detail = detail


class Entra:
    """The login host."""

    def __init__(self, base: str, tenants: Tenants, resources: Sequence[Resource]) -> None:
        self.base = base
        self.clock = tenants.first().clock
        """What an answer without a tenant is dated with."""
        self._tenants = tenants
        self._resources = {identifier: resource for resource in resources for identifier in resource.identifiers}
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._kid = unpadded(hashlib.sha256(str(self._key.public_key().public_numbers().n).encode()).digest())[:27]
        self._used: dict[str, set[str]] = {}
        self._lock = threading.Lock()

    def routes(self) -> list[Route]:
        """Return its paths."""
        return [
            Route("/common/discovery/instance", self._instance),
            Route("/{tenant}/v2.0/.well-known/openid-configuration", self._configuration),
            Route("/{tenant}/discovery/v2.0/keys", self._keys),
            Route("/{tenant}/oauth2/v2.0/token", self._token, methods=["POST"]),
        ]

    def tenant(self, name: str) -> Tenant | None:
        """Return the tenant that a path names."""
        return self._tenants.get(name)

    async def _instance(self, request: Request) -> Response:
        host = self.base.removeprefix("https://")
        endpoint = request.query_params.get("authorization_endpoint", "")
        named = endpoint.removeprefix(f"{self.base}/").split("/")[0]
        known = self.tenant(named) or self._tenants.first()
        return JSONResponse(
            {
                "tenant_discovery_endpoint": f"{self.base}/{known.id}/v2.0/.well-known/openid-configuration",
                "api-version": "1.1",
                "metadata": [{"preferred_network": host, "preferred_cache": host, "aliases": [host]}],
            }
        )

    async def _configuration(self, request: Request) -> Response:
        tenant = self.tenant(request.path_params["tenant"])
        if tenant is None:
            return self._refusal(None, _RefusedError("unknown-tenant", request.path_params["tenant"]))
        home = f"{self.base}/{tenant.id}"
        return JSONResponse(
            {
                "issuer": f"{home}/v2.0",
                "authorization_endpoint": f"{home}/oauth2/v2.0/authorize",
                "token_endpoint": f"{home}/oauth2/v2.0/token",
                "jwks_uri": f"{home}/discovery/v2.0/keys",
                "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt"],
                "response_types_supported": ["code", "id_token"],
                "subject_types_supported": ["pairwise"],
                "id_token_signing_alg_values_supported": ["RS256"],
            }
        )

    async def _keys(self, request: Request) -> Response:
        if self.tenant(request.path_params["tenant"]) is None:
            return self._refusal(None, _RefusedError("unknown-tenant", request.path_params["tenant"]))
        numbers = self._key.public_key().public_numbers()
        modulus = unpadded(numbers.n.to_bytes(256, "big"))
        key = {
            "kty": "RSA",
            "use": "sig",
            "alg": "RS256",
            "kid": self._kid,
            "x5t": self._kid,
            "n": modulus,
            "e": "AQAB",
        }
        return JSONResponse({"keys": [key]})

    async def _token(self, request: Request) -> Response:
        tenant = self.tenant(request.path_params["tenant"])
        if tenant is None:
            return self._refusal(None, _RefusedError("unknown-tenant", request.path_params["tenant"]))
        form = dict(parse_qsl((await request.body()).decode("latin-1"), keep_blank_values=True))
        try:
            application = self._application(tenant, form)
            self._authenticate(tenant, application, form)
            token = self._issue(tenant, application, *self._audience(form))
        except _RefusedError as refused:
            return self._refusal(tenant, refused)
        answer = {"token_type": "Bearer", "expires_in": _LIFETIME, "ext_expires_in": _LIFETIME, "access_token": token}
        return JSONResponse(answer, headers={"cache-control": "no-store"})

    @staticmethod
    def _application(tenant: Tenant, form: Mapping[str, str]) -> Application:
        for name in ("grant_type", "client_id", "scope"):
            if not form.get(name):
                raise _RefusedError("missing-parameter", name)
        if form["grant_type"] != "client_credentials":
            raise _RefusedError("grant-type", form["grant_type"])
        application = tenant.applications.get(form["client_id"])
        if application is None:
            raise _RefusedError("unknown-app", form["client_id"])
        return application

    def _audience(self, form: Mapping[str, str]) -> tuple[str, Resource]:
        scope = form["scope"]
        if " " in scope.strip():
            raise _RefusedError("several-scopes", scope)
        if not scope.endswith(_DEFAULT):
            raise _RefusedError("bad-scope", scope)
        # Only what stands before "/.default" names the resource: Intune's own slash at the end is part of it.
        identifier = scope.removesuffix(_DEFAULT)
        resource = self._resources.get(identifier)
        if resource is None:
            raise _RefusedError("unknown-resource", identifier)
        return identifier, resource

    def _authenticate(self, tenant: Tenant, application: Application, form: Mapping[str, str]) -> None:
        if form.get("client_assertion"):
            if form.get("client_assertion_type") != _JWT_BEARER:
                raise _RefusedError("missing-parameter", "client_assertion_type")
            self._assertion(tenant, application, form["client_assertion"])
        elif form.get("client_secret"):
            found = [secret for secret in application.secrets if secret.value == form["client_secret"]]
            if not found:
                raise _RefusedError("bad-secret")
            if all(secret.expires <= tenant.clock() for secret in found):
                raise _RefusedError("expired-secret")
        else:
            raise _RefusedError("no-credential")

    def _assertion(self, tenant: Tenant, application: Application, assertion: str) -> None:
        try:
            jws = decode(assertion)
        except JwsError as error:
            raise _RefusedError("assertion", str(error)) from error
        _signed_by_application(jws, application, tenant)
        claims = jws.claims
        if claims.get("iss") != application.id or claims.get("sub") != application.id:
            raise _RefusedError("assertion-issuer")
        audiences = {f"{self.base}/{name}/oauth2/v2.0/token" for name in tenant.names}
        if claims.get("aud") not in audiences:
            raise _RefusedError("assertion-audience", str(claims.get("aud")))
        _in_time(claims, int(tenant.clock().timestamp()))
        identifier = claims.get("jti")
        if not isinstance(identifier, str) or not identifier:
            raise _RefusedError("assertion", "no jti")
        with self._lock:
            used = self._used.setdefault(application.id, set())
            if identifier in used:
                raise _RefusedError("assertion-replayed", identifier)
            used.add(identifier)

    def _issue(self, tenant: Tenant, application: Application, audience: str, resource: Resource) -> str:
        now = int(tenant.clock().timestamp())
        roles = sorted(application.intune_roles if resource.name == "intune" else application.graph_roles)
        claims: dict[str, object] = {
            "aud": audience,
            "iss": f"https://sts.windows.net/{tenant.id}/",
            "iat": now,
            "nbf": now,
            "exp": now + _LIFETIME,
            "appid": application.id,
            "app_displayname": application.name,
            "idtyp": "app",
            "oid": str(uuid.uuid5(uuid.NAMESPACE_OID, application.id)),
            "sub": str(uuid.uuid5(uuid.NAMESPACE_OID, application.id)),
            "tid": tenant.id,
            "uti": uuid.uuid4().hex,
            "ver": "1.0",
        }
        # An app that was granted nothing gets a token, too; it only opens nothing.
        claims |= {"roles": roles} if roles else {}
        return encode({"typ": "JWT", "alg": "RS256", "kid": self._kid}, claims, self._key)

    def open_token(self, token: str) -> dict[str, Any] | None:
        """Return the claims of a token that this host signed and that has not ended; None for every other."""
        try:
            jws = decode(token)
        except JwsError:
            return None
        if jws.header.get("alg") != "RS256" or not is_signed_by(jws, self._key.public_key()):
            return None
        tenant = self.tenant(str(jws.claims["tid"]))
        if tenant is None or tenant.clock().timestamp() >= jws.claims["exp"]:
            return None
        return jws.claims

    def _refusal(self, tenant: Tenant | None, refused: _RefusedError) -> Response:
        told = tenant or self._tenants.first()
        answer = told.unverified.entra_answers[refused.answer]
        trace, correlation = str(uuid.uuid4()), str(uuid.uuid4())
        at = told.clock().strftime("%Y-%m-%d %H:%M:%SZ")
        text = answer.text.replace("{detail}", refused.detail)
        description = f"AADSTS{answer.code}: {text} Trace ID: {trace} Correlation ID: {correlation} Timestamp: {at}"
        content = {
            "error": answer.error,
            "error_description": description,
            "error_codes": [answer.code],
            "timestamp": at,
            "trace_id": trace,
            "correlation_id": correlation,
        }
        return JSONResponse(content, answer.status)


def _in_time(claims: Mapping[str, Any], now: int) -> None:
    ends, begins = claims.get("exp"), claims.get("nbf", 0)
    if not isinstance(ends, int | float) or not isinstance(begins, int | float):
        raise _RefusedError("assertion-time", "exp or nbf is no number")
    if now >= ends or ends - now > _LONGEST_ASSERTION or begins > now + 300:
        raise _RefusedError("assertion-time", f"now {now}, nbf {begins}, exp {ends}")


def _signed_by_application(jws: Jws, application: Application, tenant: Tenant) -> None:
    """Find the registered certificate that the header names, by whichever of its names are there, and verify."""
    # MSAL pads them, and breaks the lines of x5c; neither is as RFC 7515 has it, and both are what is sent.
    named = {name: str(jws.header[name]).rstrip("=") for name in ("x5t", "x5t#S256") if name in jws.header}
    chain = jws.header.get("x5c")
    for der in application.certificates:
        known = thumbprints(der)
        if any(known[name] != value for name, value in named.items()):
            continue
        if chain is not None and not _begins_with(chain, der):
            continue
        certificate = x509.load_der_x509_certificate(der)
        key = certificate.public_key()
        if (named or chain) and isinstance(key, rsa.RSAPublicKey) and is_signed_by(jws, key):
            if certificate.not_valid_after_utc <= tenant.clock():
                raise _RefusedError("assertion", "the certificate has expired")
            return
    raise _RefusedError("assertion", f"no registered certificate: {named or 'no thumbprint'}, {jws.header.get('alg')}")


def _begins_with(chain: object, der: bytes) -> bool:
    if not isinstance(chain, list) or not chain:
        return False
    try:
        return base64.b64decode("".join(str(chain[0]).split()), validate=True) == der
    except binascii.Error:
        return False
