"""Signing in with an identity provider: the way there and back, and everything that is refused on it."""

from __future__ import annotations

import base64
import hmac
import json
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from door_parts import ORIGIN, STRANGE, Browser, Door, Provider
from regalia import reasons
from regalia.errors import UnavailableError
from regalia.model import EVERYWHERE, Administrator, AdministratorState, Grant, OidcSubject, Reach, Role, new_id
from regalia.web.sessions import SESSION_COOKIE, TRIP_COOKIE
from world import World

if TYPE_CHECKING:
    from collections.abc import Callable

    from regalia.ports.outgoing import OutgoingRequest, OutgoingResponse
    from regalia.web.pool import Pools

ADMINS = (("admins", Grant(Role.ADMIN)), ("helpers", Grant(Role.HELPDESK, Reach(frozenset({"default"})))))


@pytest.fixture
def world() -> World:
    """A deployment."""
    return World()


@pytest.fixture
def entra(world: World) -> Provider:
    """A provider that says who is an administrator."""
    return Provider(world.clock, mapping=ADMINS)


@pytest.fixture
def google(world: World) -> Provider:
    """Another one, whose people are linked by hand."""
    return Provider(world.clock, "google", "https://accounts.example.test")


@pytest.fixture
def door(world: World, pools: Pools, entra: Provider, google: Provider) -> Door:
    """A door with both."""
    return Door(world, pools, (entra, google))


def link(door: Door, provider: Provider, name: str = "carol", *grants: Grant) -> Administrator:
    """Link an administrator to somebody at a provider."""
    subject = OidcSubject(provider.settings.issuer, provider.claims["sub"], door.clock.now())
    person = Administrator(
        id=new_id(door.clock.now(), door.entropy.octets(10)),
        name=name,
        display=name.title(),
        state=AdministratorState.ENABLED,
        created_at=door.clock.now(),
        created_by="os:root",
        grants=grants or (Grant(Role.AUDITOR),),
        subjects=(subject,),
    )
    assert door.store.add_administrator(person, ())
    return person


def departed(browser: Browser, key: str = "entra", base: str = "/sign-in", **fields: str) -> str:
    """Click *Continue with*; return where the browser is sent."""
    if base == "/sign-in":
        browser.get("/sign-in")
    heard = browser.post(f"{base}/oidc/{key}", **fields)
    assert heard.status == 200, heard.text
    return heard.onward


def arrived(browser: Browser, query: str, key: str = "entra") -> Any:  # noqa: ANN401 - what `Browser` returns
    """Come back: by another site's doing, and then by our own page's."""
    bounced = browser.get(f"/sign-in/oidc/{key}/callback?{query}", site="cross-site")
    assert bounced.status == 200
    assert bounced.onward.startswith(f"/sign-in/oidc/{key}/arrive?")
    return browser.get(bounced.onward, site="same-origin")


def test_a_mapped_claim_lets_somebody_in(door: Door, entra: Provider) -> None:
    """CON-2: code, PKCE, state and nonce; the claim's role counts for the session, the account has none."""
    browser = door.browser()
    url = departed(browser, next="/account")
    asked = dict(parse_qsl(urlsplit(url).query))
    assert url.startswith("https://login.example.test/tenant/authorize?")
    assert asked["response_type"] == "code"
    assert asked["code_challenge_method"] == "S256"
    assert asked["redirect_uri"] == f"{ORIGIN}/sign-in/oidc/entra/callback"
    assert len({asked["state"], asked["nonce"], asked["code_challenge"]}) == 3
    heard = arrived(browser, entra.authorize(url))
    assert (heard.status, heard.header("location")) == (303, "/account")
    assert "admin" in browser.get("/account").text
    (person,) = door.store.administrators()
    assert person.grants == ()
    (session,) = door.store.sessions(person.id)
    assert session.granted == (Grant(Role.ADMIN, EVERYWHERE),)
    assert door.events("session.started")[-1].draft.details["claimed"] == ["admin"]
    token = next(request for request in entra.requests if request.method == "POST")
    assert token.headers["Authorization"].startswith("Basic ")
    assert b"s3cret" not in token.body


def test_the_same_person_comes_back_to_their_account(door: Door, entra: Provider) -> None:
    """CON-2: issuer and sub are the identity, whatever name, e-mail address or role comes with it the next time."""
    for claims in ({"email": "a@example.test"}, {"email": "b@example.test", "name": "Somebody", "groups": ["helpers"]}):
        entra.claims |= claims
        browser = door.browser()
        assert arrived(browser, entra.authorize(departed(browser))).status == 303
    (person,) = door.store.administrators()
    assert [session.granted for session in door.store.sessions(person.id)] == [(ADMINS[1][1],), (ADMINS[0][1],)]


def test_an_e_mail_address_is_no_identity(door: Door, google: Provider) -> None:
    """CON-2: another sub with a linked person's e-mail address is nobody."""
    link(door, google)
    google.claims |= {
        "sub": "4711",
        "email": "carol@example.test",
        "email_verified": True,
        "preferred_username": "carol",
    }
    browser = door.browser()
    heard = arrived(browser, google.authorize(departed(browser, "google")), "google")
    assert heard.status == 403
    assert "AUTH-012" in heard.text
    assert "4711" not in heard.text
    assert SESSION_COOKIE not in browser.cookies


def test_two_providers_at_once(door: Door, entra: Provider, google: Provider) -> None:
    """The same sub at two issuers is two people."""
    link(door, google, "carol")
    google.claims["sub"] = entra.claims["sub"]
    one, two = door.browser(), door.browser()
    assert arrived(one, entra.authorize(departed(one))).status == 303
    assert arrived(two, google.authorize(departed(two, "google")), "google").status == 303
    assert "Account carol, auditor" in two.get("/account").text
    assert "Account carol" not in one.get("/account").text
    page = door.browser().get("/sign-in").text
    assert "Continue with Entra" in page
    assert "Continue with Google" in page


def test_somebody_without_a_role_stays_outside(door: Door, entra: Provider, google: Provider) -> None:
    """Who is at the provider is not thereby an administrator: no mapped value and no link is no way in."""
    for provider, key, claims in ((entra, "entra", {"groups": ["staff"]}), (google, "google", {"groups": ["admins"]})):
        provider.claims |= claims
        browser = door.browser()
        assert arrived(browser, provider.authorize(departed(browser, key)), key).status == 403
    assert door.store.administrators() == ()
    assert door.reasons() == ["AUTH-012", "AUTH-012"]


def test_a_disabled_administrator_stays_outside(door: Door, entra: Provider) -> None:
    """A claim that gives a role does not let in whom an administrator disabled here."""
    browser = door.browser()
    arrived(browser, entra.authorize(departed(browser)))
    (person,) = door.store.administrators()
    door.store.change_administrator(person, replace(person, state=AdministratorState.DISABLED), ())
    assert browser.get("/account").status == 303
    heard = arrived(browser, entra.authorize(departed(browser)))
    assert heard.status == 403
    assert "AUTH-009" in heard.text


# --- the way back -----------------------------------------------------------------------------------------------------


def refused(door: Door, browser: Browser, heard: Any, reason: str) -> None:  # noqa: ANN401 - what `Browser` returns
    """See that nobody got in, and why."""
    assert heard.status in {403, 503}, heard.status
    assert reason in heard.text
    assert SESSION_COOKIE not in browser.cookies
    assert door.reasons()[-1] == reason
    assert door.store.sessions() == ()


def test_a_mix_up_is_refused(door: Door, entra: Provider, google: Provider) -> None:
    """RFC 9207: an answer that another provider gave is not taken to this one, with that one's `iss` or without any."""
    for lie in (google.settings.issuer, f"{entra.settings.issuer}/", "", None):
        browser = door.browser()
        query = entra.authorize(departed(browser), iss=lie)
        refused(door, browser, arrived(browser, query), "AUTH-010")
    assert not [request for request in entra.requests if request.method == "POST"]


def test_an_answer_at_another_providers_path_is_refused(door: Door, entra: Provider) -> None:
    """CON-2: each provider has a redirect URI of its own; a code for one is not redeemed at the other."""
    browser = door.browser()
    query = entra.authorize(departed(browser))
    refused(door, browser, arrived(browser, query, "google"), "AUTH-014")


def test_a_state_is_good_once(door: Door, entra: Provider) -> None:
    """CON-2: who brings the same answer twice, even with all cookies, signs in once."""
    browser = door.browser()
    query = entra.authorize(departed(browser))
    cookies = dict(browser.cookies)
    assert arrived(browser, query).status == 303
    replayed = door.browser()
    replayed.cookies = cookies
    heard = arrived(replayed, query)
    assert heard.status == 403
    assert "AUTH-014" in heard.text
    assert SESSION_COOKIE not in replayed.cookies


def test_a_code_is_redeemed_once(door: Door, entra: Provider) -> None:
    """A code that was used elsewhere is the provider's no, and ours."""
    browser = door.browser()
    query = entra.authorize(departed(browser))
    entra.codes.clear()
    refused(door, browser, arrived(browser, query), "AUTH-010")


def test_another_browsers_answer_is_refused(door: Door, entra: Provider) -> None:
    """CON-2, login CSRF: an answer is taken from the browser that asked; without its cookie, or with another's, not."""
    mallory, victim = door.browser(), door.browser()
    query = entra.authorize(departed(mallory))
    refused(door, victim, arrived(victim, query), "AUTH-014")
    departed(victim)
    refused(door, victim, arrived(victim, query), "AUTH-014")
    for sealed in ("x", "e30", "A" * 60):
        victim.cookies[TRIP_COOKIE] = sealed
        refused(door, victim, arrived(victim, query), "AUTH-014")


def test_a_link_from_outside_judges_nothing(door: Door, entra: Provider) -> None:
    """WEB-3: what another site links to comes without cookies, so that its answer is nobody's."""
    browser = door.browser()
    query = entra.authorize(departed(browser))
    refused(door, browser, browser.get(f"/sign-in/oidc/entra/arrive?{query}", site="cross-site"), "AUTH-014")


def test_a_late_answer_is_refused(door: Door, entra: Provider) -> None:
    """CON-2: what was begun more than ten minutes ago is begun again."""
    browser = door.browser()
    query = entra.authorize(departed(browser))
    door.clock.advance(timedelta(minutes=10, seconds=1))
    refused(door, browser, arrived(browser, query), "AUTH-014")


@pytest.mark.parametrize(
    "lies", [{"error": "access_denied", "code": None}, {"error": "<b>no</b>", "code": None}, {"code": None}]
)
def test_a_providers_no_is_a_no(door: Door, entra: Provider, lies: dict[str, str | None]) -> None:
    """An error is told by its word where we know its form, and never shown."""
    browser = door.browser()
    heard = arrived(browser, entra.authorize(departed(browser), **lies))
    refused(door, browser, heard, "AUTH-010")
    assert "<b>no" not in heard.text
    assert "access_denied" not in heard.text


# --- the token --------------------------------------------------------------------------------------------------------

CLAIMS: dict[str, Callable[[int], dict[str, Any]]] = {
    "another issuer": lambda _: {"iss": "https://evil.example"},
    "an issuer with a slash": lambda _: {"iss": "https://login.example.test/tenant/"},
    "another audience": lambda _: {"aud": "google-client"},
    "an audience that contains ours": lambda _: {"aud": "entra-client-2"},
    "no audience": lambda _: {"aud": []},
    "several audiences and no azp": lambda _: {"aud": ["entra-client", "other"]},
    "another azp": lambda _: {"azp": "other"},
    "several audiences and another azp": lambda _: {"aud": ["entra-client", "other"], "azp": "other"},
    "expired": lambda now: {"exp": now - 120},
    "never expires": lambda _: {"exp": None},
    "expires in words": lambda _: {"exp": "tomorrow"},
    "expires truly": lambda _: {"exp": True},
    "not yet": lambda now: {"nbf": now + 121},
    "made tomorrow": lambda now: {"iat": now + 121},
    "made long ago": lambda now: {"iat": now - 3_600},
    "made at no time": lambda _: {"iat": None},
    "another nonce": lambda _: {"nonce": "other"},
    "no nonce": lambda _: {"nonce": None},
    "nobody": lambda _: {"sub": ""},
    "a number for a subject": lambda _: {"sub": 815},
    "an endless subject": lambda _: {"sub": "x" * 256},
}


@pytest.mark.parametrize("claims", CLAIMS.values(), ids=CLAIMS.keys())
def test_a_token_that_says_something_else_is_refused(
    door: Door, entra: Provider, claims: Callable[[int], dict[str, Any]]
) -> None:
    """CON-1: issuer, audience, azp, nonce and times are judged one by one; what is missing is wrong."""
    entra.claims |= claims(int(door.clock.now().timestamp()))
    browser = door.browser()
    refused(door, browser, arrived(browser, entra.authorize(departed(browser))), "AUTH-011")


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": ["entra-client"]},
        {"aud": ["entra-client", "other"], "azp": "entra-client"},
        {"exp_shift": -119},
        {"nbf_shift": 119},
    ],
)
def test_clocks_may_differ_by_two_minutes(door: Door, entra: Provider, claims: dict[str, Any]) -> None:
    """CON-1: what the standard allows and two minutes of leeway are taken."""
    now = int(door.clock.now().timestamp())
    entra.claims |= {
        name.removesuffix("_shift"): now + value if name.endswith("_shift") else value for name, value in claims.items()
    }
    browser = door.browser()
    assert arrived(browser, entra.authorize(departed(browser))).status == 303


def test_nobody_signs_a_token(door: Door, entra: Provider) -> None:
    """CON-1: `alg` none in any spelling, and HMAC with what is public, are refused before a key is looked at."""

    def unsigned(word: str) -> Callable[[dict[str, Any]], str]:
        def sign(claims: dict[str, Any]) -> str:
            parts = [json.dumps(part).encode() for part in ({"alg": word, "kid": "one"}, claims)]
            return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts) + "."

        return sign

    def with_hmac(secret: bytes) -> Callable[[dict[str, Any]], str]:
        def sign(claims: dict[str, Any]) -> str:
            signed = unsigned("HS256")(claims)[:-1]
            mac = base64.urlsafe_b64encode(hmac.digest(secret, signed.encode(), "sha256")).rstrip(b"=").decode()
            return f"{signed}.{mac}"

        return sign

    ways = [unsigned(word) for word in ("none", "None", "NONE", "", "RS256")]
    ways += [with_hmac(secret) for secret in (entra.keys[0].as_pem(private=False), b"s3cret", b"")]
    for way in ways:
        entra.sign = way
        browser = door.browser()
        refused(door, browser, arrived(browser, entra.authorize(departed(browser))), "AUTH-011")


def test_foreign_keys_sign_nothing(door: Door, entra: Provider) -> None:
    """CON-1: another key under a known kid, an unknown kid, no kid, a key of another kind, a strange algorithm."""
    ways: list[Callable[[dict[str, Any]], str]] = [
        lambda claims: entra.signed(claims, key=STRANGE),
        lambda claims: entra.signed(claims, kid="three"),
        lambda claims: entra.signed(claims, kid=None),
        lambda claims: entra.signed(claims, kid="two"),
        lambda claims: entra.signed(claims, algorithm="RS512"),
        lambda claims: entra.signed(claims)[:-4] + "AAAA",
        lambda _: "a.b",
        lambda _: "é.b.c",
        lambda _: "x" * 40_000,
    ]
    for way in ways:
        entra.sign = way
        browser = door.browser()
        refused(door, browser, arrived(browser, entra.authorize(departed(browser))), "AUTH-011")


@pytest.mark.parametrize(("algorithm", "which"), [("RS256", 0), ("PS256", 0), ("ES256", 1)])
def test_three_algorithms_sign(door: Door, entra: Provider, algorithm: str, which: int) -> None:
    """CON-1: the list of what may have signed is short, and complete."""
    entra.sign = lambda claims: entra.signed(claims, algorithm=algorithm, key=entra.keys[which])
    browser = door.browser()
    assert arrived(browser, entra.authorize(departed(browser))).status == 303


def test_new_keys_are_fetched_once_a_minute(door: Door, entra: Provider) -> None:
    """A key that a provider made since is fetched when it is named; naming others fetches no more."""

    def fetched() -> int:
        return sum(request.url.endswith("/keys") for request in entra.requests)

    entra.keys = entra.keys[:1]
    browser = door.browser()
    assert arrived(browser, entra.authorize(departed(browser))).status == 303
    entra.keys = [*entra.keys, *Provider(door.clock).keys[1:]]
    entra.sign = lambda claims: entra.signed(claims, algorithm="ES256", key=entra.keys[1])
    door.clock.advance(timedelta(minutes=1))
    entra.claims["auth_time"] = int(door.clock.now().timestamp())
    assert arrived(browser, entra.authorize(departed(browser))).status == 303
    assert fetched() == 2
    entra.sign = lambda claims: entra.signed(claims, kid="three")
    for _ in range(3):
        assert arrived(browser, entra.authorize(departed(browser))).status == 403
    assert fetched() == 2


# --- what a provider says of itself -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "lie",
    [
        {"issuer": "https://evil.example"},
        {"issuer": "https://login.example.test/tenant/"},
        {"issuer": None},
        {"token_endpoint": "http://login.example.test/token"},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"jwks_uri": 7},
    ],
)
def test_a_discovery_document_of_somebody_else_is_refused(door: Door, entra: Provider, lie: dict[str, object]) -> None:
    """CON-2: the document's issuer is the configured one, to the letter, and its endpoints are https."""
    entra.discovery |= lie
    browser = door.browser()
    browser.get("/sign-in")
    heard = browser.post("/sign-in/oidc/entra")
    refused(door, browser, heard, "AUTH-010")


def test_a_provider_that_is_away_is_our_outage(world: World, pools: Pools, entra: Provider) -> None:
    """A provider that does not answer is 503 and on record; the page still offers the other ways in."""

    class Away(Provider):
        def exchange(self, request: OutgoingRequest) -> OutgoingResponse:
            raise UnavailableError(reasons.OUTGOING_FAILED, f"nobody answers at {request.url}")

    del entra
    door = Door(world, pools, (Away(world.clock),))
    browser = door.browser()
    assert browser.get("/sign-in").status == 200
    heard = browser.post("/sign-in/oidc/entra")
    refused(door, browser, heard, "AUTH-015")
    assert "login.example.test" not in heard.text


def test_a_provider_that_is_away_is_not_asked_by_all(door: Door, entra: Provider) -> None:
    """RES-3: for 15 seconds after it failed nobody who knocks has a provider asked again; then it may be back."""
    entra.discovery["issuer"] = "https://evil.example"
    browser = door.browser()
    browser.get("/sign-in")
    for _ in range(3):
        assert browser.post("/sign-in/oidc/entra").status == 403
    assert len(entra.requests) == 1
    entra.discovery["issuer"] = entra.settings.issuer
    door.clock.advance(timedelta(seconds=15))
    assert browser.post("/sign-in/oidc/entra").status == 200


def test_an_unknown_provider_is_none(door: Door) -> None:
    """A path of a provider that is not configured leads nowhere."""
    browser = door.browser()
    browser.get("/sign-in")
    assert browser.post("/sign-in/oidc/okta").status == 403
    assert browser.get("/sign-in/oidc/okta/arrive?code=1&state=2").status == 403
    assert browser.get("/sign-in/oidc/OKTA/callback").status == 403


# --- fresh or not -----------------------------------------------------------------------------------------------------


def test_a_silent_sign_in_is_not_fresh(door: Door, entra: Provider) -> None:
    """WEB-4: what the provider does not say, or says was hours ago, does not count as having just proved it."""
    for said in (None, int(door.clock.now().timestamp()) - 7_200):
        entra.claims["auth_time"] = said
        browser = door.browser()
        arrived(browser, entra.authorize(departed(browser)))
        assert "confirm it is you" in browser.get("/account").text


def test_a_provider_proves_somebody_anew(door: Door, entra: Provider) -> None:
    """WEB-4: asked with `max_age=0` and `prompt=login`, the provider's word makes the session fresh."""
    entra.claims["auth_time"] = int(door.clock.now().timestamp()) - 7_200
    browser = door.browser()
    arrived(browser, entra.authorize(departed(browser)))
    former = browser.cookies[SESSION_COOKIE]
    browser.get("/sign-in/again")
    url = departed(browser, base="/sign-in/again", next="/account")
    asked = dict(parse_qsl(urlsplit(url).query))
    assert (asked["max_age"], asked["prompt"]) == ("0", "login")
    assert arrived(browser, entra.authorize(url)).status == 403
    browser.get("/sign-in/again")
    url = departed(browser, base="/sign-in/again", next="/account")
    entra.claims["auth_time"] = int(door.clock.now().timestamp())
    assert arrived(browser, entra.authorize(url)).status == 303
    assert browser.cookies[SESSION_COOKIE] != former
    assert "confirm it is you" not in browser.get("/account").text


def test_another_persons_proof_proves_nothing(door: Door, entra: Provider) -> None:
    """WEB-4: whoever sits at the browser now and signs in at the provider as themselves gets nobody's session."""
    browser = door.browser()
    arrived(browser, entra.authorize(departed(browser)))
    browser.get("/sign-in/again")
    url = departed(browser, base="/sign-in/again")
    entra.claims["sub"] = "4711"
    before = browser.cookies[SESSION_COOKIE]
    assert arrived(browser, entra.authorize(url)).status == 403
    assert browser.cookies[SESSION_COOKIE] == before
