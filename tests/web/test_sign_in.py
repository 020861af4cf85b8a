"""The administrators' door: set-up links, passkeys, passwords, sessions, and what is refused there."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from door_parts import ORIGIN, PASSWORD, Authenticator, Door, code_of
from regalia import reasons
from regalia.errors import AdminError
from regalia.model import AdministratorState, Grant, Role
from regalia.ra.sign_in import sha256_of
from regalia.web.sessions import SESSION_COOKIE, SessionCallers, form_token
from regalia.web.visit import HOME, local_path
from web.asgi import ask
from world import World

if TYPE_CHECKING:
    from collections.abc import Mapping

    from regalia.web.pool import Pools


@pytest.fixture
def door(pools: Pools) -> Door:
    """A door that nobody went through yet."""
    return Door(World(), pools)


# --- the first administrator ------------------------------------------------------------------------------------------


def test_a_set_up_link_makes_the_first_administrator(door: Door) -> None:
    """Whoever opens the link registers a passkey, administers everything, and is on record with the address."""
    browser, _ = door.with_passkey("alice")
    person = door.store.administrator_named("alice")
    assert person is not None
    assert person.grants == (Grant(Role.ADMIN),)
    assert [passkey.label for passkey in person.passkeys] == ["First passkey"]
    assert "Account alice, admin" in browser.get("/account").text
    (used,) = door.events("setup-link.used")
    assert (used.draft.actor.id, used.draft.actor.source) == ("user:alice", "192.0.2.1")
    assert [event.draft.object for event in door.events("session.started")] == ["administrator:alice"]


def test_a_set_up_link_is_good_once(door: Door) -> None:
    """The second use of a link is refused, and so is any other link for the first administrator from then on."""
    code, other = door.link(), door.link()
    browser = door.browser()
    browser.get("/set-up")
    assert browser.make_passkey(Authenticator(), "/set-up", code=code, account="alice").status == 200
    second = door.browser("192.0.2.2")
    second.get("/set-up")
    for used in (code, other):
        heard = second.make_passkey(Authenticator(), "/set-up", code=used, account="mallory")
        assert (heard.status, heard.json["problem"]["id"]) == (403, "AUTH-008")
    assert [person.name for person in door.store.administrators()] == ["alice"]


def test_an_old_set_up_link_is_refused(door: Door) -> None:
    """After a day a link is not good any more, and what no link has never was."""
    code = door.link()
    door.clock.advance(timedelta(hours=24))
    browser = door.browser()
    browser.get("/set-up")
    for given in (code, "x" * 43, ""):
        heard = browser.post("/set-up", code=given)
        assert heard.status == 403
        assert "AUTH-008" in heard.text
    assert door.reasons() == ["AUTH-008"] * 3


def test_guessing_links_is_delayed(door: Door) -> None:
    """WEB-6: after five codes that nobody has, the address has to wait."""
    browser = door.browser()
    browser.get("/set-up")
    for _ in range(7):
        browser.post("/set-up", code="guess")
    assert door.reasons() == ["AUTH-008"] * 5 + ["AUTH-007"] * 2


def test_opening_a_link_does_not_use_it_up(door: Door) -> None:
    """Mail scanners open links: GET changes nothing, and what comes before the registration neither."""
    code = door.link()
    for _ in range(3):
        browser = door.browser()
        assert browser.get("/set-up").status == 200
        assert "Your account name" in browser.post("/set-up", code=code).text
    assert browser.make_passkey(Authenticator(), "/set-up", code=code, account="alice").status == 200


@pytest.mark.parametrize("name", ["", "Alice", "-a", "a b", "a" * 41, "a\n", "<b>"])
def test_an_account_has_a_plain_name(door: Door, name: str) -> None:
    """A name that the log could not show as it is makes no account."""
    browser = door.browser()
    browser.get("/set-up")
    heard = browser.make_passkey(Authenticator(), "/set-up", code=door.link(), account=name)
    assert (heard.status, heard.json["problem"]["id"]) == (400, "AUTH-016")
    assert door.store.administrators() == ()


def test_who_lost_everything_registers_anew(door: Door) -> None:
    """A rescue link replaces passkeys and password, and ends the sessions that somebody else may have (WEB-4)."""
    former, lost = door.with_passkey("alice")
    code = door.link("alice")
    browser, fresh = door.browser("192.0.2.9"), Authenticator()
    browser.get("/set-up")
    assert "You register anew as <b>alice</b>" in browser.post("/set-up", code=code).text
    assert browser.make_passkey(fresh, "/set-up", code=code, account="mallory").status == 200
    person = door.store.administrator_named("alice")
    assert person is not None
    assert [passkey.credential_id for passkey in person.passkeys] == [fresh.credential_id]
    assert former.get("/account").status == 303
    former.get("/sign-in")
    assert former.use_passkey(lost).status == 403
    assert door.store.administrator_named("mallory") is None


# --- passkeys ---------------------------------------------------------------------------------------------------------


def test_a_passkey_signs_in(door: Door) -> None:
    """A discoverable passkey is all that it takes; the browser gets a session that it never had."""
    _, authenticator = door.with_passkey()
    browser = door.browser()
    browser.get("/sign-in")
    heard = browser.use_passkey(authenticator, next="/account")
    assert (heard.status, heard.json) == (200, {"next": "/account"})
    assert browser.get("/account").status == 200
    assert door.events("session.started")[-1].draft.details["kind"] == "passkey"


@pytest.mark.parametrize(
    "lies",
    [
        {"verifies": False},
        {"origin": "https://evil.example"},
        {"origin": "https://pki.example.test"},
        {"rp_id": "example.test"},
    ],
    ids=["nobody verified", "another site", "another port", "another relying party"],
)
def test_a_passkey_for_somebody_else_is_refused(door: Door, lies: dict[str, bool | str]) -> None:
    """WebAuthn §7.2: user verification, origin and relying party are those of the configuration."""
    _, authenticator = door.with_passkey()
    for name, value in lies.items():
        setattr(authenticator, name, value)
    browser = door.browser()
    browser.get("/sign-in")
    heard = browser.use_passkey(authenticator)
    assert (heard.status, heard.json["problem"]["id"]) == (403, "AUTH-005")
    assert SESSION_COOKIE not in browser.cookies


def test_an_answer_is_good_once(door: Door) -> None:
    """A challenge that was answered is used up: who repeats the request signs in nobody."""
    _, authenticator = door.with_passkey()
    browser = door.browser()
    browser.get("/sign-in")
    token, cookies = browser.token, dict(browser.cookies)
    answer = authenticator.get(browser.call("/sign-in/passkey/question").json)
    assert browser.call("/sign-in/passkey", answer=answer).status == 200
    browser.token, browser.cookies = token, cookies
    assert browser.call("/sign-in/passkey", answer=answer).status == 403
    assert door.reasons() == ["AUTH-005"]


def test_a_challenge_belongs_to_its_browser_and_its_time(door: Door) -> None:
    """What one browser was asked another one cannot answer, nor the same one after five minutes."""
    _, authenticator = door.with_passkey()
    asked, other = door.browser(), door.browser()
    for browser in (asked, other):
        browser.get("/sign-in")
    answer = authenticator.get(asked.call("/sign-in/passkey/question").json)
    assert other.call("/sign-in/passkey", answer=answer).status == 403
    door.clock.advance(timedelta(minutes=5, seconds=1))
    assert asked.call("/sign-in/passkey", answer=answer).status == 403


def test_a_challenge_to_register_signs_nobody_in(door: Door) -> None:
    """Each challenge is sealed for one purpose."""
    browser, authenticator = door.with_passkey()
    browser.get("/account")
    asked = browser.call("/account/passkey/question").json
    door_browser = door.browser()
    door_browser.cookies = {name: value for name, value in browser.cookies.items() if "door" in name}
    door_browser.get("/sign-in")
    answer = authenticator.get({"challenge": asked["challenge"]})
    assert door_browser.call("/sign-in/passkey", answer=answer).status == 403


def test_a_counter_that_stands_still_is_an_alarm(door: Door) -> None:
    """A copied authenticator repeats a counter: it is refused, and somebody should look."""
    _, authenticator = door.with_passkey()
    for count, status in ((4, 200), (4, 403), (3, 403), (5, 200)):
        authenticator.count = count
        browser = door.browser()
        browser.get("/sign-in")
        assert browser.use_passkey(authenticator).status == status
    events = door.events("session.refused")
    assert [event.draft.reason_id for event in events] == ["AUTH-006", "AUTH-006"]
    assert all(event.draft.security and event.draft.object == "administrator:alice" for event in events)


@pytest.mark.parametrize("answer", ["", "{}", "[]", "null", '{"id":"a"}', {"id": 7, "response": []}])
def test_an_answer_that_is_none_is_refused(door: Door, answer: object) -> None:
    """IN-1: whatever a browser sends in the place of an answer is a refusal, never a fault of ours."""
    door.with_passkey()
    browser = door.browser()
    browser.get("/sign-in")
    assert browser.call("/sign-in/passkey", answer=answer).status == 403


def test_passkeys_are_added_and_removed(door: Door) -> None:
    """One's own account has a second passkey added under a name, and the first removed; elsewhere one signs in anew."""
    browser, first = door.with_passkey()
    elsewhere = door.browser()
    elsewhere.get("/sign-in")
    elsewhere.use_passkey(first)
    browser.get("/account")
    second = Authenticator()
    assert browser.make_passkey(second, "/account", label="Key <b>two</b>").status == 200
    page = browser.get("/account").text
    assert "Key &lt;b&gt;two&lt;/b&gt;" in page
    assert "Emergency password" not in page
    assert browser.post("/account/passkey/remove", credential=first.credential_id.hex()).status == 303
    assert elsewhere.get("/account").status == 303
    heard = browser.post("/account/passkey/remove", credential=second.credential_id.hex())
    assert heard.status == 409
    assert "AUTH-017" in heard.text
    assert '<nav class="sidebar"' in heard.text  # in the frame, with a way back
    assert 'href="/account">Back' in heard.text
    assert len(door.events("passkey.added")) == 2
    assert len(door.events("passkey.removed")) == 1


# --- passwords --------------------------------------------------------------------------------------------------------


def test_a_password_with_its_code_signs_in(door: Door) -> None:
    """WEB-6: the emergency account takes both and says so, and its use is a security event."""
    secret = door.with_password("bob")
    browser = door.browser()
    browser.get("/sign-in")
    heard = browser.post("/sign-in/password", account="bob", password=PASSWORD, code=code_of(secret, door.clock))
    assert (heard.status, heard.header("location")) == (303, "/")
    assert "Emergency password" in browser.get("/account").text
    assert door.events("session.started")[-1].draft.security


def test_a_code_is_good_once(door: Door) -> None:
    """WEB-6: each time step of the second factor is taken once, also by somebody who looked over a shoulder."""
    secret = door.with_password("bob")
    code = code_of(secret, door.clock)
    for status in (303, 403):
        browser = door.browser()
        browser.get("/sign-in")
        assert browser.post("/sign-in/password", account="bob", password=PASSWORD, code=code).status == status


@pytest.mark.parametrize(
    ("account", "password", "code"),
    [("bob", "wrong", None), ("bob", PASSWORD, "000000"), ("bob", PASSWORD, ""), ("eve", PASSWORD, None), ("", "", "")],
)
def test_what_is_wrong_is_not_said(door: Door, account: str, password: str, code: str | None) -> None:
    """WEB-6: unknown account, wrong password and wrong code are answered alike, and what was typed is not recorded."""
    secret = door.with_password("bob")
    browser = door.browser()
    browser.get("/sign-in")
    given = code if code is not None else code_of(secret, door.clock)
    heard = browser.post("/sign-in/password", account=account, password=password, code=given)
    assert heard.status == 403
    assert "Account, password or code is wrong." in heard.text
    assert "AUTH-001" in heard.text
    (event,) = door.events("session.refused")
    assert event.draft.object == ("administrator:bob" if account == "bob" else "sign-in")
    assert "detail" not in event.draft.details


def test_an_unknown_account_takes_a_hash_too(door: Door) -> None:
    """WEB-6: where nobody has the name, a hash with the same cost is looked at, which no password has."""
    hasher = door.backing.break_glass._hasher  # noqa: SLF001 - what it does is not seen from outside, but by its time
    nobodys = door.backing.break_glass._nobodys  # noqa: SLF001 - the same
    assert not hasher.check_needs_rehash(nobodys)
    assert not door.backing.break_glass._is_password(nobodys, "")  # noqa: SLF001 - the same


def test_five_failures_then_a_growing_delay(door: Door) -> None:
    """WEB-6: the sixth try has to wait, the one after it twice as long; the right password waits, too."""
    secret = door.with_password("bob")
    waits = []
    for number in range(8):
        browser = door.browser(f"192.0.2.{number}")
        browser.get("/sign-in")
        heard = browser.post("/sign-in/password", account="bob", password="wrong", code="123456")
        if heard.status == 429:
            waits.append(int(heard.header("retry-after")))
            door.clock.advance(timedelta(seconds=waits[-1] - 1))
            browser = door.browser("198.51.100.1")
            browser.get("/sign-in")
            code = code_of(secret, door.clock)
            assert browser.post("/sign-in/password", account="bob", password=PASSWORD, code=code).status == 429
            door.clock.advance(timedelta(seconds=1))
            heard = browser.post("/sign-in/password", account="bob", password="wrong", code="123456")
        assert heard.status == 403
    assert waits == [30, 60, 120]
    door.clock.advance(timedelta(seconds=240))
    browser = door.browser("198.51.100.2")
    browser.get("/sign-in")
    code = code_of(secret, door.clock)
    assert browser.post("/sign-in/password", account="bob", password=PASSWORD, code=code).status == 303


def test_an_address_that_guesses_waits(door: Door) -> None:
    """WEB-6: failures count for their address whatever account they name, an IPv6 /64 being one; others go on."""
    door.with_password("bob")
    for number in range(6):
        browser = door.browser(f"2001:db8::{number}")
        browser.get("/sign-in")
        heard = browser.post("/sign-in/password", account=f"name-{number}", password="wrong", code="123456")
    assert heard.status == 429
    other = door.browser("2001:db8:1::1")
    other.get("/sign-in")
    assert other.post("/sign-in/password", account="name-9", password="wrong", code="1").status == 403


@pytest.mark.parametrize(
    ("password", "again"),
    [
        ("short", "short"),
        (PASSWORD, PASSWORD + "!"),
        ("a" * 20, "a" * 20),
        ("x" * 201, "x" * 201),
        ("bob and the rest of it", "bob and the rest of it"),
    ],
    ids=["short", "differs", "one letter", "endless", "the name"],
)
def test_a_weak_password_is_not_set(door: Door, password: str, again: str) -> None:
    """WEB-6: fourteen characters or more of which eight differ, twice the same, without the account's name."""
    browser = door.browser()
    browser.get("/set-up")
    page = browser.post("/set-up/factor", code=door.link(), account="bob")
    fields = {name: page.field(name) for name in ("code", "factor", "account")}
    heard = browser.post("/set-up/password", password=password, again=again, totp="123456", **fields)
    assert heard.status == 400
    assert "AUTH-013" in heard.text
    assert door.store.administrators() == ()


def test_an_offered_factor_is_for_its_page_alone(door: Door) -> None:
    """A second factor that another browser was offered, or for another name, is not taken."""
    code = door.link()
    browser, other = door.browser(), door.browser()
    for each in (browser, other):
        each.get("/set-up")
    page = browser.post("/set-up/factor", code=code, account="bob")
    fields = {"code": code, "factor": page.field("factor"), "password": PASSWORD, "again": PASSWORD, "totp": "1"}
    for each, name in ((other, "bob"), (browser, "eve")):
        assert "Error:" in each.post("/set-up/password", account=name, **fields).text
    assert door.store.administrators() == ()


# --- sessions ---------------------------------------------------------------------------------------------------------


def test_the_session_cookie_is_closed(door: Door) -> None:
    """WEB-3: 256 bits, for this host and TLS alone, not for scripts, not sent by other sites; its SHA-256 is kept."""
    browser, _ = door.with_passkey()
    (line,) = [line for line in browser.set if line.startswith(f"{SESSION_COOKIE}=")]
    secret, *attributes = line.removeprefix(f"{SESSION_COOKIE}=").split("; ")
    assert sorted(attributes) == ["HttpOnly", "Path=/", "SameSite=Strict", "Secure"]
    assert len(secret) == 43
    assert door.store.session(sha256_of(secret)) is not None


def test_a_session_ends_when_it_is_not_used(door: Door) -> None:
    """WEB-4: fifteen minutes without a request end it; with one every ten minutes it goes on, eight hours long."""
    browser, _ = door.with_passkey()
    for _ in range(47):
        door.clock.advance(timedelta(minutes=10))
        assert browser.get("/account").status == 200
    door.clock.advance(timedelta(minutes=10))
    assert browser.get("/account").status == 303
    assert door.events("session.ended")[-1].draft.details["why"] == "eight hours are over"


def test_an_idle_session_is_over(door: Door) -> None:
    """WEB-4: after fifteen minutes without a request the next one is asked to sign in, and it is on record."""
    browser, _ = door.with_passkey()
    door.clock.advance(timedelta(minutes=15))
    heard = browser.get("/account")
    assert (heard.status, heard.header("location")) == (303, "/sign-in?next=/account")
    assert door.events("session.ended")[-1].draft.details["why"] == "not used"
    door.clock.advance(timedelta(minutes=-10))
    assert browser.get("/account").status == 303


def test_signing_out_ends_the_session(door: Door) -> None:
    """WEB-4: afterwards neither the browser nor somebody with its cookie is signed in; others are."""
    browser, authenticator = door.with_passkey()
    other = door.browser()
    other.get("/sign-in")
    other.use_passkey(authenticator)
    browser.get("/account")
    stolen = dict(browser.cookies)
    assert browser.post("/sign-out").status == 303
    thief = door.browser()
    thief.cookies = stolen
    assert thief.get("/account").status == 303
    assert other.get("/account").status == 200


def test_sessions_are_listed_and_ended(door: Door) -> None:
    """WEB-4: one sees where one is signed in and ends what one does not know; nobody else's."""
    browser, authenticator = door.with_passkey()
    other = door.browser("198.51.100.7")
    other.get("/sign-in")
    other.use_passkey(authenticator)
    page = browser.get("/account")
    assert "198.51.100.7" in page.text
    browser.post("/account/session/end", session=str(UUID(int=1)))
    browser.post("/account/session/end", session="none")
    assert other.get("/account").status == 200
    browser.post("/account/session/end", session=page.field("session"))
    assert other.get("/account").status == 303
    assert browser.get("/account").status == 200


def test_a_new_sign_in_has_a_new_identifier(door: Door) -> None:
    """WEB-4, fixation: what a browser had before a sign-in, planted or its own, is no session afterwards."""
    _, authenticator = door.with_passkey()
    browser = door.browser()
    browser.cookies[SESSION_COOKIE] = "planted"
    browser.get("/sign-in")
    before = dict(browser.cookies)
    assert browser.use_passkey(authenticator).status == 200
    first = browser.cookies[SESSION_COOKIE]
    assert first not in before.values()
    browser.get("/sign-in")
    assert browser.use_passkey(authenticator).status == 200
    assert browser.cookies[SESSION_COOKIE] != first
    for secret in (*before.values(), first):
        old = door.browser()
        old.cookies = {SESSION_COOKIE: secret}
        assert old.get("/account").status == 303


def test_what_is_delicate_asks_again(door: Door) -> None:
    """WEB-4: five minutes after a sign-in passkeys are added only by who proves it anew, with a new identifier."""
    browser, authenticator = door.with_passkey()
    door.clock.advance(timedelta(minutes=5, seconds=1))
    browser.get("/account")
    heard = browser.make_passkey(Authenticator(), "/account")
    assert (heard.status, heard.json["next"]) == (403, "/sign-in/again?next=/account")
    assert browser.post("/account/passkey/remove", credential="00").header("location") == "/sign-in/again?next=/account"
    former = browser.cookies[SESSION_COOKIE]
    assert "You are signed in as <b>alice</b>" in browser.get("/sign-in/again?next=/account").text
    assert browser.use_passkey(authenticator, "/sign-in/again", next="/account").status == 200
    assert browser.cookies[SESSION_COOKIE] != former
    browser.get("/account")
    assert browser.make_passkey(Authenticator(), "/account", label="two").status == 200
    old = door.browser()
    old.cookies = {SESSION_COOKIE: former}
    assert old.get("/account").status == 303
    assert len(door.events("session.proved")) == 1


def test_a_disabled_administrator_is_out_at_once(door: Door) -> None:
    """Whoever is disabled is out with the next request, and signs in no more."""
    browser, authenticator = door.with_passkey()
    person = door.store.administrator_named("alice")
    assert person is not None
    door.store.change_administrator(person, replace(person, state=AdministratorState.DISABLED), ())
    assert browser.get("/account").status == 303
    browser.get("/sign-in")
    assert browser.use_passkey(authenticator).json["problem"]["id"] == "AUTH-009"


# --- whose request it is ----------------------------------------------------------------------------------------------

FOREIGN: list[dict[str, str]] = [
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site"},
    {"sec-fetch-site": "none"},
    {"origin": "https://evil.example"},
    {"origin": "https://pki.example.test"},
]


@pytest.mark.parametrize("headers", FOREIGN)
@pytest.mark.parametrize("path", ["/sign-out", "/account/session/end", "/account/passkey/remove"])
def test_another_sites_form_does_nothing(door: Door, path: str, headers: Mapping[str, str]) -> None:
    """WEB-5: a form that another site sends is refused even with the right token."""
    browser, _ = door.with_passkey()
    browser.get("/account")
    assert browser.post(path, headers).status == 403
    assert browser.get("/account").status == 200
    assert "AUTH-004" in door.reasons()


def test_a_form_without_its_token_does_nothing(door: Door) -> None:
    """WEB-5: no token, a wrong one, that of another session and that of the door are refused."""
    browser, authenticator = door.with_passkey()
    other = door.browser()
    other.get("/sign-in")
    outside = other.token
    other.use_passkey(authenticator)
    other.get("/account")
    browser.get("/account")
    for token in ("", "0" * 64, other.token, outside):
        browser.token = token
        assert browser.post("/sign-out").status == 403
        browser.get("/account")


def test_signing_in_needs_the_token_of_the_door(door: Door) -> None:
    """WEB-5, login CSRF: nobody is signed in by a form that another page made, as nobody else either."""
    secret = door.with_password("bob")
    browser = door.browser()
    browser.get("/sign-in")
    code = code_of(secret, door.clock)
    for token, headers in (("", {}), (form_token("evil"), {}), (browser.token, {"sec-fetch-site": "cross-site"})):
        browser.token = token
        assert browser.post("/sign-in/password", headers, account="bob", password=PASSWORD, code=code).status == 403
        browser.get("/sign-in")
    assert SESSION_COOKIE not in browser.cookies


def test_nothing_changes_by_get(door: Door) -> None:
    """WEB-5: what is asked with POST is not answered to GET, and the other way round."""
    browser, _ = door.with_passkey()
    for path in ("/sign-out", "/account/session/end", "/account/passkey", "/sign-in/password", "/set-up/password"):
        assert browser.get(path).status == 405
    assert browser.post("/account").status == 405
    assert browser.get("/account").status == 200


@pytest.mark.parametrize(
    ("path", "media", "status"),
    [
        ("/sign-in/passkey", "application/x-www-form-urlencoded", 415),
        ("/sign-in/passkey", "text/plain", 415),
        ("/sign-in/password", "application/json", 400),
        ("/sign-in/password", "multipart/form-data; boundary=x", 415),
    ],
)
def test_a_body_has_its_type(door: Door, path: str, media: str, status: int) -> None:
    """WEB-5: forms are forms and JSON is JSON: what a foreign form can send is not what our script sends."""
    browser = door.browser()
    browser.get("/sign-in")
    assert browser.post(path, {"content-type": media}).status == status


def test_what_cannot_be_read_is_refused(door: Door) -> None:
    """IN-2: a field that stands there twice, octets that are no text, too much of it: 4xx, and the page lives on."""
    browser = door.browser()
    browser.get("/sign-in")
    form = [("content-type", "application/x-www-form-urlencoded")]
    for body, status in (
        (b"a=1&a=2", 400),
        (b"a=%ff", 400),
        (b"&".join(b"a%d=" % n for n in range(99)), 400),
        (b"a" * 40_000, 413),
    ):
        assert browser._ask("POST", "/sign-in/password", form, body).status == status  # noqa: SLF001 - as no browser does
    for body in (b"{", b"[]", b"[" * 9_000, b"7", b"\xff"):
        given = [("content-type", "application/json")]
        assert browser._ask("POST", "/sign-in/passkey", given, body).status == 400  # noqa: SLF001 - the same
    assert browser.get("/sign-in?next=1&next=2").status == 400


@pytest.mark.parametrize(
    "text",
    [
        "https://evil.example/",
        "//evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "/%09/evil.example\t",
        "javascript:alert(1)",
        "/a//evil.example",
        "/\r\nlocation: https://evil.example",
        "/../sign-out",
        "/sign-out",
        "/sign-in/again",
        "account",
        "",
        "/@evil.example:x",
    ],
)
def test_nobody_is_sent_elsewhere(text: str) -> None:
    """A sign-in leads to a path of ours and nowhere else, whatever the link that began it says."""
    assert local_path(text) == HOME


@pytest.mark.parametrize("text", ["/", "/account", "/groups/default?q=a%20b&after=x_1", "/certificates/0a1b"])
def test_a_path_of_ours_is_kept(text: str) -> None:
    """Who followed a link and had to sign in gets where the link leads."""
    assert local_path(text) == text


def test_the_next_page_is_ours(door: Door) -> None:
    """Redirect tricks in `next` end at the account, in the page and in the answer."""
    _, authenticator = door.with_passkey()
    browser = door.browser()
    page = browser.get("/sign-in?next=https://evil.example")
    assert "evil" not in page.text
    assert browser.use_passkey(authenticator, next="//evil.example").json == {"next": HOME}


def test_other_names_of_ours_lead_to_the_configured_one(door: Door) -> None:
    """WEB-9: links and redirects come from the configuration: under another name of ours one is sent to that."""
    other = ask(door.app, "/sign-in?next=/account", headers=((b"host", b"localhost:8443"),))
    assert (other.status, other.headers["location"]) == (307, f"{ORIGIN}/sign-in?next=/account")
    assert ask(door.app, "/sign-in", headers=((b"host", b"evil.example"),)).status == 421


def test_every_page_is_hardened(door: Door) -> None:
    """WEB-1, WEB-2: no inline script or style in any page, nothing kept by caches, and the headers on each."""
    browser, _ = door.with_passkey()
    pages = [
        browser.get(path)
        for path in ("/account", "/sign-in", "/sign-in/again", "/set-up", "/static/door.js", "/static/door.css")
    ]
    pages.append(browser.post("/sign-in/password", account="x", password="y", code="z"))
    for page in pages:
        assert page.header("content-security-policy").startswith(
            "default-src 'none'; script-src 'self'; style-src 'self'"
        )
        assert page.header("referrer-policy") == "no-referrer"
        assert page.header("x-content-type-options") == "nosniff"
        if page.header("content-type").startswith("text/html"):
            assert page.header("cache-control") == "no-store"
            assert "style=" not in page.text
            assert "onclick" not in page.text
            ours = re.findall(r'<script type="module" src="/static/(?:door|console)\.js\?', page.text)
            assert page.text.count("<script") == len(ours)


# --- browsers at the API ----------------------------------------------------------------------------------------------


def callers_of(door: Door) -> SessionCallers:
    """Make what the API asks."""
    return SessionCallers(door.sessions, ORIGIN)


def test_a_session_may_ask_the_api(door: Door) -> None:
    """A browser's session reads as its administrator; without the cookie it is nobody, with a wrong one refused."""
    browser, _ = door.with_passkey()
    cookie = (b"cookie", f"{SESSION_COOKIE}={browser.cookies[SESSION_COOKIE]}".encode())
    callers = callers_of(door)
    caller = callers.caller([cookie], "192.0.2.1", changes=False)
    assert caller is not None
    assert (caller.actor.id, caller.actor.source, caller.fresh) == ("user:alice", "192.0.2.1", True)
    assert caller.grants == (Grant(Role.ADMIN),)
    assert callers.caller([], "192.0.2.1", changes=False) is None
    assert callers.caller([cookie, cookie], "192.0.2.1", changes=False) is None
    with pytest.raises(AdminError) as refused:
        callers.caller([(b"cookie", f"{SESSION_COOKIE}=wrong".encode())], "192.0.2.1", changes=False)
    assert refused.value.reason is reasons.SESSION_OVER


def test_a_session_changes_with_token_and_json_alone(door: Door) -> None:
    """WEB-5: with the cookie alone, another site's page, a form's type or a wrong token nothing is changed."""
    browser, _ = door.with_passkey()
    secret = browser.cookies[SESSION_COOKIE]
    right = {
        b"cookie": f"{SESSION_COOKIE}={secret}".encode(),
        b"regalia-csrf": form_token(secret).encode(),
        b"sec-fetch-site": b"same-origin",
        b"origin": ORIGIN.encode(),
        b"content-type": b"application/json",
        b"content-length": b"2",
    }
    callers = callers_of(door)
    assert callers.caller([*right.items()], "192.0.2.1", changes=True) is not None
    bodiless = {name: value for name, value in right.items() if not name.startswith(b"content")}
    assert callers.caller([*bodiless.items()], "192.0.2.1", changes=True) is not None
    wrong: list[dict[bytes, bytes]] = [
        {b"regalia-csrf": b""},
        {b"regalia-csrf": b"0" * 64},
        {b"sec-fetch-site": b"cross-site"},
        {b"sec-fetch-site": b"none"},
        {b"origin": b"https://evil.example"},
        {b"content-type": b"text/plain"},
        {b"content-type": b"application/x-www-form-urlencoded"},
    ]
    for change in wrong:
        with pytest.raises(AdminError) as refused:
            callers.caller([*{**right, **change}.items()], "192.0.2.1", changes=True)
        assert refused.value.reason is reasons.FOREIGN_REQUEST
    old = {name: value for name, value in right.items() if name not in {b"sec-fetch-site", b"origin"}}
    with pytest.raises(AdminError):
        callers.caller([*old.items()], "192.0.2.1", changes=True)
