"""What is known of one identity provider: its settings, what it says of itself, its keys (CON-2, SSRF-3)."""

from __future__ import annotations

import base64
import json
import threading
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import quote_plus, urlencode, urlsplit

from regalia import reasons
from regalia.errors import AdminError, PeerError, UnavailableError
from regalia.ports.outgoing import OutgoingRequest
from regalia.ra.id_token import UnknownKeyError
from regalia.wire.boundary import reading

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from regalia.model import Grant
    from regalia.ports.outgoing import Outgoing, OutgoingResponse

__all__ = ["Discovered", "OidcProvider", "OidcSettings"]

T = TypeVar("T")

_KEPT: Final = timedelta(hours=1)
_KEYS_AGAIN: Final = timedelta(minutes=1)
"""No sooner are keys fetched again for a token that names one that is not there."""
_FAILED_FOR: Final = timedelta(seconds=15)
"""So long a provider that is away is not asked again: whoever knocks could keep our threads waiting for it."""
_MOST_KEYS: Final = 100


@dataclass(frozen=True, slots=True)
class OidcSettings:
    """One provider as an administrator configured it."""

    key: str
    """Word of ours in paths and in the log."""
    name: str
    """For people."""
    issuer: str
    client_id: str
    secret: Callable[[], str]
    """Reads the client secret."""
    claim: str = ""
    """Claim whose values give roles: a name, or names between points for what lies deeper."""
    mapping: tuple[tuple[str, Grant], ...] = ()
    """Value of the claim, and what it gives."""
    scope: str = "openid profile"

    def granted(self, claims: Mapping[str, Any]) -> tuple[Grant, ...]:
        """Say what somebody's claims give; nothing where no value is mapped."""
        values = _values(claims, self.claim) if self.claim else frozenset()
        return tuple(dict.fromkeys(grant for value, grant in self.mapping if value in values))


@dataclass(frozen=True, slots=True)
class Discovered:
    """What a provider says of itself."""

    authorization: str
    token: str
    keys: str
    names_itself: bool
    """Whether its answers carry `iss` (RFC 9207)."""
    basic: bool
    """Whether it takes the client secret by HTTP Basic, as the standard has it where it says nothing."""


class OidcProvider:
    """Asks a provider, and remembers for an hour what seldom changes.

    Every method raises `PeerError` AUTH-015 where it cannot be reached.
    """

    def __init__(self, settings: OidcSettings, outgoing: Outgoing) -> None:
        self.settings = settings
        self._outgoing = outgoing
        self._lock = threading.Lock()
        self._discovered: tuple[datetime, Discovered] | None = None
        self._failed: tuple[datetime, PeerError] | None = None
        self._keys: tuple[datetime, tuple[Mapping[str, Any], ...]] | None = None

    def discovered(self, now: datetime) -> Discovered:
        """Return what it says of itself. Raises `PeerError` AUTH-010 where that is somebody else, or not usable."""
        with self._lock:
            kept = self._discovered
        if kept is not None and timedelta(0) <= now - kept[0] < _KEPT:
            return kept[1]
        with self._lock:
            failed = self._failed
        if failed is not None and timedelta(0) <= now - failed[0] < _FAILED_FOR:
            raise PeerError(failed[1].reason, failed[1].detail)
        try:
            document = self._document(f"{self.settings.issuer.rstrip('/')}/.well-known/openid-configuration")
            with reading(reasons.PROVIDER_REFUSED):
                found = _read(document, self.settings.issuer)
        except PeerError as error:
            with self._lock:
                self._failed = (now, error)
            raise
        with self._lock:
            self._discovered, self._failed = (now, found), None
        return found

    def redeem(self, code: str, verifier: str, redirect_uri: str, now: datetime) -> str:
        """Exchange a code for its ID token. Raises `PeerError` AUTH-010."""
        found = self.discovered(now)
        secret = self.settings.secret()
        fields = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": verifier,
        }
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
        if found.basic:
            # RFC 6749 §2.3.1: both are form-encoded before they become a user and a password.
            pair = f"{quote_plus(self.settings.client_id)}:{quote_plus(secret)}"
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        else:
            fields |= {"client_id": self.settings.client_id, "client_secret": secret}
        answer = self._exchange(OutgoingRequest("POST", found.token, headers=headers, body=urlencode(fields).encode()))
        if answer.status != 200:
            raise PeerError(reasons.PROVIDER_REFUSED, f"its token endpoint answers {answer.status}")
        token = _json(answer.body).get("id_token")
        if not isinstance(token, str):
            raise PeerError(reasons.PROVIDER_REFUSED, "it sent no ID token")
        return token

    def with_keys(self, judge: Callable[[Sequence[Mapping[str, Any]]], T], now: datetime) -> T:
        """Have something judged with its keys; with fresh ones where it names one that is not there."""
        try:
            return judge(self._known_keys(now, _KEPT))
        except UnknownKeyError:
            return judge(self._known_keys(now, _KEYS_AGAIN))

    def _known_keys(self, now: datetime, kept_for: timedelta) -> tuple[Mapping[str, Any], ...]:
        with self._lock:
            kept = self._keys
        if kept is not None and timedelta(0) <= now - kept[0] < kept_for:
            return kept[1]
        keys = self._document(self.discovered(now).keys).get("keys")
        if not isinstance(keys, list) or len(keys) > _MOST_KEYS:
            raise PeerError(reasons.PROVIDER_REFUSED, "its keys cannot be read")
        found = tuple(key for key in keys if isinstance(key, dict))
        with self._lock:
            self._keys = (now, found)
        return found

    def _exchange(self, request: OutgoingRequest) -> OutgoingResponse:
        try:
            return self._outgoing.exchange(request)
        except (AdminError, UnavailableError) as error:
            raise PeerError(
                reasons.PROVIDER_UNREACHABLE, f"{urlsplit(request.url).hostname}: {error.detail}"
            ) from error

    def _document(self, url: str) -> Mapping[str, Any]:
        answer = self._exchange(OutgoingRequest("GET", url, headers={"Accept": "application/json"}))
        if answer.status != 200:
            raise PeerError(reasons.PROVIDER_REFUSED, f"{urlsplit(url).path} answers {answer.status}")
        return _json(answer.body)


def _json(body: bytes) -> Mapping[str, Any]:
    with reading(reasons.PROVIDER_REFUSED):
        document = json.loads(body)
    if not isinstance(document, dict):
        raise PeerError(reasons.PROVIDER_REFUSED, "what it sent is no JSON object")
    return document


def _read(document: Mapping[str, Any], issuer: str) -> Discovered:
    if document.get("issuer") != issuer:
        raise PeerError(reasons.PROVIDER_REFUSED, "its discovery document is of another issuer")
    scheme = urlsplit(issuer).scheme
    urls = []
    for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
        url = document.get(name)
        if not isinstance(url, str) or urlsplit(url).scheme not in {"https", scheme} or not urlsplit(url).hostname:
            raise PeerError(reasons.PROVIDER_REFUSED, f"its {name} is not usable")
        urls.append(url)
    methods = document.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
    return Discovered(
        authorization=urls[0],
        token=urls[1],
        keys=urls[2],
        names_itself=document.get("authorization_response_iss_parameter_supported") is True,
        basic=isinstance(methods, list) and "client_secret_basic" in methods,
    )


def _values(claims: Mapping[str, Any], name: str) -> frozenset[str]:
    """Find a claim's values: by its whole name, which may hold points, or down the path that they make."""
    found: object = claims.get(name)
    if found is None:
        found = claims
        for part in name.split("."):
            found = found.get(part) if isinstance(found, dict) else None
    if isinstance(found, str):
        return frozenset({found})
    return frozenset(each for each in found if isinstance(each, str)) if isinstance(found, list) else frozenset()
