"""Signing in with an identity provider: OpenID Connect, authorization code with PKCE (CON-2).

Who somebody is says (issuer, sub), and nothing else; an e-mail address never does. An account is linked to an identity
by an administrator, or is made for it where a claim value that an administrator mapped gives it a role.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from regalia import reasons
from regalia.errors import AdminError, PeerError
from regalia.model import (
    Action,
    Actor,
    ActorKind,
    Administrator,
    AdministratorState,
    EventDraft,
    OidcSubject,
    Outcome,
    SignInKind,
    new_id,
)
from regalia.ra.id_token import Expected, read_id_token
from regalia.ra.sign_in import SECRET_OCTETS, Proof, secret_text
from regalia.wire.boundary import reading

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from regalia.model import JsonValue
    from regalia.ports import Clock, Entropy, Sealer
    from regalia.ra.id_token import IdToken
    from regalia.ra.oidc_provider import OidcProvider
    from regalia.ra.sign_in import Doorkeeper, SignInStore

__all__ = ["TRIP_LIFE", "Arrival", "Departure", "OidcDesk"]

TRIP_LIFE: Final = timedelta(minutes=10)
_SCOPE: Final = "sign-in oidc"
_ERROR: Final = re.compile(r"[a-z_]{1,40}")
_DISPLAY: Final = 80


@dataclass(frozen=True, slots=True)
class Departure:
    """Where a browser goes, and what it keeps until it comes back."""

    url: str
    trip: str
    """Sealed; for a cookie."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """Who came back, and where they were going."""

    proof: Proof
    wanted: str
    again: str
    """The session that was to be proved anew; empty at a sign-in."""


@dataclass(frozen=True, slots=True)
class _Trip:
    provider: str
    state: str
    nonce: str
    verifier: str
    wanted: str
    again: str
    began: int
    """Seconds since 1970."""


class OidcDesk:
    """Sends browsers to identity providers, and judges what they bring back."""

    def __init__(
        self,
        store: SignInStore,
        sealer: Sealer,
        clock: Clock,
        entropy: Entropy,
        doorkeeper: Doorkeeper,
        providers: Sequence[OidcProvider],
        admin_url: str,
    ) -> None:
        self._store = store
        self._sealer = sealer
        self._clock = clock
        self._entropy = entropy
        self._doorkeeper = doorkeeper
        self._providers = {provider.settings.key: provider for provider in providers}
        self._admin_url = admin_url

    def providers(self) -> list[tuple[str, str]]:
        """List them: key and name for people."""
        return [(key, provider.settings.name) for key, provider in self._providers.items()]

    # --- there ------------------------------------------------------------------------------------------------------

    def depart(self, key: str, wanted: str, source: str, *, again: str = "") -> Departure:
        """Send a browser to a provider. `again` is the session that is to be proved anew, if one is.

        Raises `AdminError`: AUTH-010 for a provider that is not there or says what cannot be, AUTH-015.
        """
        provider = self._provider(key)
        now = self._clock.now()
        state, nonce, verifier = (secret_text(self._entropy.octets(SECRET_OCTETS)) for _ in range(3))
        trip = _Trip(key, state, nonce, verifier, wanted, again, int(now.timestamp()))
        asked = {
            "response_type": "code",
            "client_id": provider.settings.client_id,
            "redirect_uri": self._callback(key),
            "scope": provider.settings.scope,
            "state": state,
            "nonce": nonce,
            "code_challenge": secret_text(hashlib.sha256(verifier.encode()).digest()),
            "code_challenge_method": "S256",
        }
        if again:
            # They are to prove it now, whatever the provider remembers (WEB-4).
            asked |= {"prompt": "login", "max_age": "0"}
        try:
            endpoint = provider.discovered(now).authorization
        except PeerError as error:
            raise self._doorkeeper.refusal(error.reason, source, f"{key}: {error.detail}") from error
        separator = "&" if "?" in endpoint else "?"
        return Departure(f"{endpoint}{separator}{urlencode(asked)}", self._packed(trip))

    def _callback(self, key: str) -> str:
        """Say where the provider sends browsers back to: a path for each, so that none answers for another."""
        return f"{self._admin_url}/sign-in/oidc/{key}/callback"

    def _provider(self, key: str) -> OidcProvider:
        provider = self._providers.get(key)
        if provider is None:
            raise AdminError(reasons.PROVIDER_REFUSED, "there is no such provider")
        return provider

    # --- and back ---------------------------------------------------------------------------------------------------

    def arrive(self, key: str, sealed: str, given: Mapping[str, str], source: str) -> Arrival:
        """Judge what a browser brings back; `sealed` is its cookie, `given` the query, each name once.

        Raises `AdminError`: AUTH-014 where this browser did not begin it or it was used, AUTH-010 for the provider's
        no and a mix-up, AUTH-011 for its token, AUTH-012, AUTH-009, AUTH-015.
        """
        now = self._clock.now()
        try:
            provider = self._provider(key)
            trip = self._began(key, sealed, given.get("state", ""), now)
            self._judge_issuer(provider, given, now)
            self._use_up(trip, now)
            token = self._fetched(provider, trip, given, now)
            proof = self._proof(provider, token, source, now)
        except PeerError as error:
            raise self._doorkeeper.refusal(error.reason, source, f"{key[:40]}: {error.detail}", alarm=True) from error
        self._refuse_disabled(proof.administrator, source)
        return Arrival(proof, trip.wanted, trip.again)

    def _began(self, key: str, sealed: str, state: str, now: datetime) -> _Trip:
        trip = self._unpacked(sealed)
        if trip.provider != key or not hmac.compare_digest(trip.state.encode(), state.encode()):
            raise PeerError(reasons.ROUND_TRIP_REFUSED, "it answers a question that this browser did not ask")
        if not 0 <= now.timestamp() - trip.began <= TRIP_LIFE.total_seconds():
            raise PeerError(reasons.ROUND_TRIP_REFUSED, "it is older than ten minutes")
        return trip

    @staticmethod
    def _judge_issuer(provider: OidcProvider, given: Mapping[str, str], now: datetime) -> None:
        """RFC 9207: another provider's answer is not taken to this one."""
        issuer = given.get("iss")
        if issuer is None and provider.discovered(now).names_itself:
            raise PeerError(reasons.PROVIDER_REFUSED, "it does not say who answers, which it does otherwise")
        if issuer is not None and issuer != provider.settings.issuer:
            raise PeerError(reasons.PROVIDER_REFUSED, "another provider answers: a mix-up")

    def _use_up(self, trip: _Trip, now: datetime) -> None:
        if not self._store.spend(hashlib.sha256(trip.state.encode()).digest(), now + TRIP_LIFE):
            raise PeerError(reasons.ROUND_TRIP_REFUSED, "it was used before")

    def _fetched(self, provider: OidcProvider, trip: _Trip, given: Mapping[str, str], now: datetime) -> IdToken:
        if "error" in given:
            said = given["error"]
            raise PeerError(reasons.PROVIDER_REFUSED, said if _ERROR.fullmatch(said) else "with a word we do not know")
        if not given.get("code"):
            raise PeerError(reasons.PROVIDER_REFUSED, "it sent no code")
        token = provider.redeem(given["code"], trip.verifier, self._callback(trip.provider), now)
        expected = Expected(provider.settings.issuer, provider.settings.client_id, trip.nonce, now)
        return provider.with_keys(lambda keys: read_id_token(token, keys, expected), now)

    # --- who that is ------------------------------------------------------------------------------------------------

    def _proof(self, provider: OidcProvider, token: IdToken, source: str, now: datetime) -> Proof:
        settings = provider.settings
        granted = settings.granted(token.claims)
        administrator = self._store.administrator_of_subject(settings.issuer, token.subject)
        if administrator is None and granted:
            administrator = self._made(provider, token, source, now)
        if administrator is None or not (granted or administrator.grants):
            who = hashlib.sha256(f"{settings.issuer} {token.subject}".encode()).hexdigest()[:12]
            raise PeerError(reasons.IDENTITY_UNKNOWN, f"sub {token.subject[:60]!a} (identity {who})")
        # What the provider does not tell may have been long ago: such a sign-in is good, and not fresh.
        proved = token.authenticated_at or now - timedelta(days=1)
        return Proof(administrator, SignInKind.OIDC, min(proved, now), granted or None, settings.key)

    def _made(self, provider: OidcProvider, token: IdToken, source: str, now: datetime) -> Administrator:
        """Make the account of somebody whom a mapped claim gives a role; it has none of its own."""
        settings = provider.settings
        digest = hashlib.sha256(f"{settings.issuer} {token.subject}".encode()).hexdigest()
        administrator = Administrator(
            id=new_id(now, self._entropy.octets(10)),
            name=f"{settings.key[:23]}-{digest[:16]}",
            display=_display(token.claims),
            state=AdministratorState.ENABLED,
            created_at=now,
            created_by=f"provider {settings.key}",
            subjects=(OidcSubject(settings.issuer, token.subject, now),),
        )
        actor = Actor(ActorKind.SYSTEM, f"provider {settings.key}", source)
        details: dict[str, JsonValue] = {"id": str(administrator.id), "grants": []}
        named = f"administrator:{administrator.name}"
        made = EventDraft(now, actor, Action.ADMINISTRATOR_CREATED, named, Outcome.OK, security=True, details=details)
        if self._store.add_administrator(administrator, (made,)):
            return administrator
        # Two browsers at once: the other one's account is theirs.
        found = self._store.administrator_of_subject(settings.issuer, token.subject)
        if found is None:
            raise PeerError(reasons.IDENTITY_UNKNOWN, f"{administrator.name} is taken")
        return found

    def _refuse_disabled(self, administrator: Administrator, source: str) -> None:
        if administrator.state is not AdministratorState.ENABLED:
            raise self._doorkeeper.refusal(reasons.ACCOUNT_DISABLED, source, about=administrator.name)

    # --- what the browser keeps -------------------------------------------------------------------------------------

    def _packed(self, trip: _Trip) -> str:
        words = [trip.provider, trip.state, trip.nonce, trip.verifier, trip.wanted, trip.again, trip.began]
        return secret_text(self._sealer.seal(_SCOPE, json.dumps(words).encode()))

    def _unpacked(self, sealed: str) -> _Trip:
        try:
            with reading(reasons.ROUND_TRIP_REFUSED):
                octets = base64.urlsafe_b64decode(sealed + "=" * (-len(sealed) % 4))
            return _Trip(*json.loads(self._sealer.unseal(_SCOPE, octets)))
        except (AdminError, PeerError):
            raise PeerError(reasons.ROUND_TRIP_REFUSED, "this browser began no sign-in") from None


def _display(claims: Mapping[str, Any]) -> str:
    for name in ("name", "preferred_username"):
        value = claims.get(name)
        if isinstance(value, str):
            shown = "".join(each for each in value if each.isprintable()).strip()[:_DISPLAY]
            if shown:
                return shown
    return "Somebody"
