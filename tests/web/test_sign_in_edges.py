"""The administrators' door where others lean on it: links from elsewhere, odd octets, providers that hang."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from door_parts import Authenticator, Door, Provider
from regalia import reasons
from regalia.model import Administrator, AdministratorState, Grant, Reach, Role, new_id
from regalia.web.sessions import SESSION_COOKIE, TRIP_COOKIE
from web.test_sign_in_oidc import ADMINS, arrived, departed, refused
from world import World

if TYPE_CHECKING:
    from regalia.ports.outgoing import OutgoingRequest, OutgoingResponse
    from regalia.web.pool import Pools


@pytest.fixture
def world() -> World:
    """A deployment."""
    return World()


@pytest.fixture
def entra(world: World) -> Provider:
    """A provider that says who is an administrator."""
    return Provider(world.clock, mapping=ADMINS)


@pytest.fixture
def door(world: World, pools: Pools, entra: Provider) -> Door:
    """A door with it."""
    return Door(world, pools, (entra,))


# --- links from elsewhere ---------------------------------------------------------------------------------------------


def test_a_link_from_another_site_signs_nobody_out(door: Door) -> None:
    """WEB-5: a link brings no cookie (SameSite=Strict), and its answer takes none from who is signed in."""
    browser, _ = door.with_passkey()
    before = browser.cookies[SESSION_COOKIE]
    assert browser.get("/account", site="cross-site").header("location") == "/sign-in?next=/account"
    assert browser.cookies[SESSION_COOKIE] == before
    assert browser.get("/account").status == 200


def test_a_link_from_another_site_ends_no_sign_in(door: Door, entra: Provider) -> None:
    """WEB-5: while somebody is at their provider, another site's link to the way back does not end their trip."""
    browser = door.browser()
    url = departed(browser)
    assert browser.get("/sign-in/oidc/entra/arrive?code=1&state=2", site="cross-site").status == 403
    assert TRIP_COOKIE in browser.cookies
    assert arrived(browser, entra.authorize(url)).status == 303
    assert TRIP_COOKIE not in browser.cookies


# --- octets that are no text ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/set-up/passkey/question", "/set-up/passkey", "/sign-in/passkey"])
def test_half_a_surrogate_pair_is_no_text(door: Door, path: str) -> None:
    """IN-2: JSON can write what no octets are, and such a field is a bad request, not an incident."""
    browser = door.browser()
    browser.get("/set-up")
    assert browser.call(path, code="\ud800", account="alice", answer="{}").status == 400


@pytest.mark.parametrize(
    "claims",
    [{"nonce": "\ud800"}, {"sub": "\ud800"}, {"sub": "a\x00b"}, {"sub": "a\nb"}],
)
def test_a_subject_is_text(door: Door, entra: Provider, claims: dict[str, Any]) -> None:
    """CON-1: a token with what nobody could keep or show as it is lets nobody in, and is no incident."""
    entra.claims |= claims
    browser = door.browser()
    refused(door, browser, arrived(browser, entra.authorize(departed(browser))), "AUTH-011")


@pytest.mark.parametrize("lie", [{"jwks_uri": "https://[x"}, {"authorization_endpoint": "https://[x"}])
def test_an_endpoint_that_is_no_url_is_refused(door: Door, entra: Provider, lie: dict[str, str]) -> None:
    """CON-2: a discovery document with a URL that cannot be read is the provider's fault, and no incident."""
    entra.discovery |= lie
    browser = door.browser()
    browser.get("/sign-in")
    assert browser.post("/sign-in/oidc/entra").status == 403
    assert door.reasons() == ["AUTH-010"]


# --- who proved well and is not let in --------------------------------------------------------------------------------


def test_a_disabled_administrators_try_is_on_record(door: Door) -> None:
    """AUD-1: the passkey of somebody who is disabled is good, and the log says that they tried (AUTH-009)."""
    _, authenticator = door.with_passkey()
    person = door.store.administrator_named("alice")
    assert person is not None
    door.store.change_administrator(person, replace(person, state=AdministratorState.DISABLED), ())
    browser = door.browser()
    browser.get("/sign-in")
    assert browser.use_passkey(authenticator).json["problem"]["id"] == "AUTH-009"
    (event,) = door.events("session.refused")
    assert (event.draft.reason_id, event.draft.object) == (reasons.ACCOUNT_DISABLED.id, "administrator:alice")


def test_somebody_elses_proof_is_on_record(door: Door) -> None:
    """AUD-1, WEB-4: who sits at another one's browser and proves who they are themselves is refused, and named."""
    browser, _ = door.with_passkey()
    made = Administrator(
        id=new_id(door.clock.now(), door.entropy.octets(10)),
        name="bob",
        display="Bob",
        state=AdministratorState.ENABLED,
        created_at=door.clock.now(),
        created_by="os:root",
    )
    assert door.store.add_administrator(made, ())
    other, authenticator = door.browser("192.0.2.7"), Authenticator()
    other.get("/set-up")
    assert other.make_passkey(authenticator, "/set-up", code=door.link("bob"), account="bob").status == 200
    browser.get("/sign-in/again")
    assert browser.use_passkey(authenticator, "/sign-in/again").json["problem"]["id"] == "AUTH-001"
    (event,) = door.events("session.refused")
    assert (event.draft.reason_id, event.draft.object) == ("AUTH-001", "administrator:bob")


# --- what a provider says by now --------------------------------------------------------------------------------------


def test_roles_that_changed_end_the_session_that_is_proved_anew(door: Door, entra: Provider) -> None:
    """WEB-4: a provider that gives other roles by now makes no session fresh that has the former ones; it ends."""
    browser = door.browser()
    arrived(browser, entra.authorize(departed(browser)))
    browser.get("/sign-in/again")
    url = departed(browser, base="/sign-in/again", next="/account")
    entra.claims["groups"] = ["helpers"]
    assert "AUTH-002" in arrived(browser, entra.authorize(url)).text
    assert browser.get("/account").status == 303
    assert door.events("session.ended")[-1].draft.details["why"] == "roles changed"
    assert arrived(browser, entra.authorize(departed(browser))).status == 303
    (session,) = door.store.sessions()
    assert session.granted == (Grant(Role.HELPDESK, Reach(frozenset({"default"}))),)


# --- a provider that hangs --------------------------------------------------------------------------------------------


class Hanging(Provider):
    """A provider that answers nobody before it is let."""

    def __init__(self, world: World) -> None:
        super().__init__(world.clock)
        self.asked = threading.Semaphore(0)
        self.may_answer = threading.Event()
        self.answered = 0

    def exchange(self, request: OutgoingRequest) -> OutgoingResponse:
        """Keep who asks waiting."""
        self.asked.release()
        self.may_answer.wait(30)
        self.answered += 1
        return super().exchange(request)


def test_a_provider_that_hangs_keeps_no_passkey_waiting(world: World, pools: Pools) -> None:
    """RES-3: however many wait for a provider, who has a passkey signs in meanwhile."""
    provider = Hanging(world)
    door = Door(world, pools, (provider,))
    _, authenticator = door.with_passkey()
    waiting = [door.browser(f"198.51.100.{number}") for number in range(4)]
    with ThreadPoolExecutor(len(waiting)) as threads:
        try:
            for each in waiting:
                each.get("/sign-in")
                threads.submit(each.post, "/sign-in/oidc/entra")
            assert all(provider.asked.acquire(timeout=30) for _ in range(2))
            browser = door.browser()
            browser.get("/sign-in")
            assert browser.use_passkey(authenticator).status == 200
            assert provider.answered == 0
        finally:
            provider.may_answer.set()
