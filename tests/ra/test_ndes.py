"""The page that hands out challenges: who gets one, who does not, and what is on record of it."""

from __future__ import annotations

import hashlib
import random
import re
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives import hashes

from memory_store import MemoryStore
from ndes_parts import MDM, PASSWORD, RIGHT, USER, WRONG, Pages
from regalia import reasons
from regalia.errors import UnavailableError
from regalia.model import Action, Names, Outcome, San, SanKind
from regalia.ra.limits import Allowances, Limited
from regalia.ra.ndes import Handed, Login, NdesAnswer, NdesRefusal, Shown, Told, UnusableLogin
from regalia.ra.ndes_pages import NdesOptions
from regalia.ra.passwords import hash_password
from regalia.wire.scep import PkiStatus
from world import ADMIN, Device, names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from regalia.errors import Reason
    from regalia.model import EventDraft

STRANGER = "198.51.100.1"


@pytest.fixture
def pages() -> Pages:
    """A world with a page."""
    return Pages()


@pytest.fixture(scope="module")
def binding() -> Pages:
    """A world whose page lets the URL name devices."""
    return Pages(NdesOptions(allow_binding=True))


def sha1(octets: bytes) -> bytes:
    """Hash with SHA-1, with somebody else's code."""
    digest = hashes.Hash(hashes.SHA1())  # noqa: S303 - what MDMs compare
    digest.update(octets)
    return digest.finalize()


# --- handing out ------------------------------------------------------------------------------------------------------


def test_a_fetched_challenge_enrols_once(pages: Pages) -> None:
    """R11, CHA-1: 32 upper-case hexadecimal digits, good for one device within 60 minutes, kept as a hash alone."""
    handed = pages.fetch()
    assert re.fullmatch(r"[0-9A-F]{32}", handed.secret)
    kept = pages.world.store.challenge(pages.world.challenge_mac(handed.secret))
    assert kept is not None
    assert (kept.endpoint, kept.binding, kept.device) == ("default", Names(), None)
    assert kept.expires_at - kept.created_at == timedelta(minutes=60)
    assert Device(pages.world).enrol(names("laptop-1"), handed.secret).status is PkiStatus.SUCCESS
    assert Device(pages.world).fresh("again").enrol(names("laptop-1"), handed.secret).status is PkiStatus.FAILURE
    assert handed.thumbprint == sha1(pages.world.store.authorities()[1].certificate_der)


def test_each_fetch_makes_another_one_and_is_on_record(pages: Pages) -> None:
    """AUD-1, CHA-4: each challenge is an event with who asked from where, and its secret is nowhere in it."""
    first, second = pages.fetch(), pages.fetch()
    assert first.secret != second.secret
    draft = pages.last().draft
    assert (draft.action, draft.outcome) == (Action.CHALLENGE_CREATED, Outcome.OK)
    assert (draft.actor.id, draft.actor.source, draft.group) == ("ndes:default", MDM, "default")
    assert draft.details["user"] == USER
    assert draft.details["bits"] == 128
    text = "".join(str(event) for event in pages.world.store.log)
    for secret in (first.secret, second.secret, PASSWORD):
        assert secret not in text
        assert secret.lower() not in text
    assert PASSWORD not in repr(RIGHT)
    assert first.secret not in repr(first)


def test_an_unused_challenge_expires(pages: Pages) -> None:
    """CHA-1: what nobody used within 60 minutes is good for nothing."""
    secret = pages.fetch().secret
    pages.world.clock.advance(timedelta(minutes=60))
    assert Device(pages.world).enrol(names("laptop-1"), secret).status is PkiStatus.FAILURE
    assert pages.last().draft.reason_id == reasons.CHALLENGE_EXPIRED.id


def test_a_challenge_is_good_at_its_endpoint_alone(pages: Pages) -> None:
    """CHA-5, AUTHZ-2: a challenge of one page opens no other endpoint, and the attempt is a security event."""
    pages.world.open_group("staff")
    secret = pages.fetch().secret
    assert Device(pages.world, endpoint="staff").enrol(names("laptop-1"), secret).status is PkiStatus.FAILURE
    assert (pages.last().draft.reason_id, pages.last().draft.security) == (reasons.CHALLENGE_UNKNOWN.id, True)
    assert Device(pages.world).enrol(names("laptop-1"), secret).status is PkiStatus.SUCCESS


@pytest.mark.parametrize("digits", [16, 32, 64])
def test_the_length_is_what_was_set(digits: int) -> None:
    """mdm.md §6.2: as many digits as were set, and the MDM was told."""
    assert len(Pages(NdesOptions(digits=digits)).fetch().secret) == digits


# --- names ------------------------------------------------------------------------------------------------------------


def test_the_url_binds_a_challenge_where_that_is_allowed() -> None:
    """CHA-1, R5: device and names from the query are the challenge's binding, and the certificate's names."""
    pages = Pages(NdesOptions(allow_binding=True))
    handed = pages.fetch(query=b"device=C02XG&cn=laptop%2D1&dns=laptop-1.Example.com&dns=l1.example.com&ip=192.0.2.1")
    kept = pages.world.store.challenge(pages.world.challenge_mac(handed.secret))
    assert kept is not None
    assert kept.device == "C02XG"
    dns = frozenset(San(SanKind.DNS, name) for name in ("laptop-1.example.com", "l1.example.com"))
    assert kept.binding == Names("laptop-1", dns | {San(SanKind.IP, "192.0.2.1")})
    assert pages.last().draft.details["device"] == "C02XG"
    assert Device(pages.world).enrol(names("domain-controller"), handed.secret).status is PkiStatus.FAILURE
    assert Device(pages.world).fresh("second").enrol(names("laptop-1"), handed.secret).status is PkiStatus.SUCCESS


@pytest.mark.parametrize(
    "query",
    [
        b"cn=",
        b"cn=*.example.com",
        b"cn=a&cn=b",
        b"device=a&device=b",
        b"dns=laptop",
        b"dns=*.example.com",
        b"uri=tag:microsoft.com,2022-09-14:sid:S-1-5-21-1",
        b"ip=192.0.2.300",
        b"device=a%0d%0ab",
        b"cn=%e2%80%8b",
        b"cn=%ff",
        b"cnn=laptop-1",
        b"upn=a@example.com",
        b"&".join(b"dns=l%d.example.com" % n for n in range(21)),
        b"&".join(b"dns=l%d.example.com" % n for n in range(64)),
        b"cn=" + b"a" * 65,
        b"device=" + b"a" * 65,
        b"cn=\xff",
    ],
)
def test_names_that_cannot_be_bound_are_refused(binding: Pages, query: bytes) -> None:
    """IN-8: a value that no certificate may carry, or a word that nobody knows, gets no challenge (NDES-007)."""
    assert binding.ask(query=query) is NdesRefusal.BINDING
    detail = binding.refused(reasons.PAGE_BINDING_REFUSED).draft.details["detail"]
    assert isinstance(detail, str)
    assert detail.isascii()
    assert detail.isprintable()
    assert binding.world.store.challenges() == ()


def test_names_are_refused_where_no_binding_is_allowed(pages: Pages) -> None:
    """A URL that means to bind gets no bearer challenge instead (NDES-007); what means nothing to us is ignored."""
    assert pages.ask(query=b"cn=laptop-1") is NdesRefusal.BINDING
    pages.refused(reasons.PAGE_BINDING_REFUSED)
    assert pages.fetch(query=b"_=1700000000").secret


# --- who gets none ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("login", "says"),
    [
        (WRONG, "the user is the page's, the password is not"),
        (Login(b"svc-ndes", PASSWORD.encode()), "another user than the page's"),
        (Login(PASSWORD.encode(), USER.encode()), "another user than the page's"),
        (Login(USER.encode(), b""), "the user is the page's, the password is not"),
        (Login(b"\xff\x00", b"\xff" * 10_000), "another user than the page's"),
    ],
    ids=["password", "user", "both mixed up", "nothing", "octets"],
)
def test_a_wrong_login_is_refused_and_recorded(pages: Pages, login: Login, says: str) -> None:
    """NDES-006, CHA-4: the event says what was wrong and never what was given."""
    assert pages.ask(login) is NdesRefusal.LOGIN
    event = pages.refused(reasons.PAGE_LOGIN_REFUSED, security=True)
    assert event.draft.details["detail"] == says
    assert event.draft.actor.source == MDM
    assert PASSWORD not in str(event)


def test_a_request_without_a_login_is_told_how(pages: Pages) -> None:
    """A client that asks without a login first is refused nothing: no event, no count."""
    before = len(pages.world.store.log)
    for _ in range(50):
        assert pages.ask(None) is NdesRefusal.LOGIN
    assert len(pages.world.store.log) == before
    assert pages.fetch().secret


def test_another_scheme_is_named(pages: Pages) -> None:
    """NDES-005: an MDM that speaks NTLM only is found in the log."""
    assert pages.ask(UnusableLogin("scheme ntlm")) is NdesRefusal.LOGIN
    assert pages.refused(reasons.PAGE_SCHEME_REFUSED).draft.details["detail"] == "scheme ntlm"


def test_only_get_hands_out(pages: Pages) -> None:
    """NDES-003, R11: another method makes no challenge, with the right password neither."""
    assert pages.ask(reads=False) is NdesRefusal.ONLY_READ
    pages.refused(reasons.PAGE_ONLY_READ)
    assert pages.world.store.challenges() == ()


def test_what_is_no_page_is_not_found(pages: Pages) -> None:
    """R6: an unknown endpoint, one without a page, and a disabled one with one are not there; each says why."""
    pages.world.open_group("staff")
    for endpoint, reason in (("nothing", reasons.ENDPOINT_UNKNOWN), ("staff", reasons.PAGE_MISSING)):
        assert pages.ask(endpoint=endpoint) is NdesRefusal.NOT_FOUND
        pages.refused(reason)
    pages.world.registry.disable_endpoint("default", actor=ADMIN)
    assert pages.ask() is NdesRefusal.NOT_FOUND
    pages.refused(reasons.ENDPOINT_DISABLED)


@pytest.mark.parametrize(
    ("source", "may"),
    [
        ("192.0.2.7", True),
        ("::ffff:192.0.2.7", True),
        ("2001:db8:0:1::5", True),
        ("192.0.3.7", False),
        ("2001:db9::1", False),
        ("unknown", False),
    ],
)
def test_only_the_listed_networks_may_ask(source: str, *, may: bool) -> None:
    """NDES-004: from elsewhere the page without permission is shown, and no password is looked at."""
    pages = Pages(NdesOptions(networks=("192.0.2.0/24", "2001:db8::/32")))
    assert isinstance(pages.ask(source=source), Handed) is may
    if not may:
        for login in (RIGHT, WRONG, None, UnusableLogin("scheme ntlm")):
            assert pages.ask(login, source=source) == Shown(pages.page, Told.NO_PERMISSION)
            pages.refused(reasons.PAGE_NETWORK_REFUSED, security=True)


# --- how many ---------------------------------------------------------------------------------------------------------


def test_the_cache_of_five(pages: Pages) -> None:
    """mdm.md §6.2: with --cache 5 the sixth open challenge is refused as Microsoft's page does (NDES-008)."""
    page = pages.set(NdesOptions(cache=5))
    secrets = [pages.fetch().secret for _ in range(5)]
    assert pages.ask() == Shown(page, Told.FULL)
    pages.refused(reasons.PAGE_CACHE_FULL)
    assert Device(pages.world).enrol(names("laptop-1"), secrets[0]).status is PkiStatus.SUCCESS
    assert pages.fetch().secret
    assert pages.ask() == Shown(page, Told.FULL)
    pages.world.clock.advance(timedelta(minutes=60))
    assert pages.fetch().secret


def test_a_page_has_a_rate(pages: Pages) -> None:
    """CHA-5: NDES-012: so many challenges in 60 seconds and no more, whichever process is asked."""
    pages.set(NdesOptions(per_minute=3))
    for _ in range(3):
        pages.fetch()
        pages.service = pages.another_process()
    limited = pages.ask()
    assert isinstance(limited, Limited)
    assert (limited.reason, limited.retry_after) == (reasons.PAGE_BUSY, 60)
    pages.refused(reasons.PAGE_BUSY, security=True)
    pages.world.clock.advance(timedelta(seconds=61))
    assert pages.fetch().secret


def test_the_usual_rate_is_300_a_minute(pages: Pages) -> None:
    """CHA-5: with the default the 301st challenge within a minute is refused."""
    for _ in range(300):
        pages.fetch()
    assert isinstance(pages.ask(), Limited)


# --- guessing ---------------------------------------------------------------------------------------------------------


def limited(answer: NdesAnswer, reason: Reason) -> Limited:
    """See that this limit was reached."""
    assert isinstance(answer, Limited)
    assert answer.reason is reason
    assert 1 <= answer.retry_after <= 60
    return answer


def alarms(pages: Pages) -> list[str]:
    """List what the alarms were about."""
    return [event.draft.object for event in pages.world.store.log if event.draft.action is Action.LIMIT_REACHED]


def test_ten_wrong_passwords_a_minute_are_all_that_one_address_has(pages: Pages) -> None:
    """CHA-3, NDES-010: then nothing from it is looked at, the right password neither; others go on."""
    for number in range(10):
        login = WRONG if number % 2 else Login(b"somebody", PASSWORD.encode())
        assert pages.ask(login, source=STRANGER) is NdesRefusal.LOGIN
    for login in (WRONG, RIGHT):
        limited(pages.ask(login, source=STRANGER), reasons.PAGE_SOURCE_GUESSING)
        pages.refused(reasons.PAGE_SOURCE_GUESSING)
    assert alarms(pages) == [f"source:{STRANGER}"]
    assert isinstance(pages.ask(), Handed)
    pages.world.clock.advance(timedelta(minutes=1))
    assert isinstance(pages.ask(source=STRANGER), Handed)


def test_the_limit_of_an_address_holds_over_all_pages(pages: Pages) -> None:
    """CHA-3, RES-6: another page, or another address of an IPv6 /64, is no new beginning."""
    pages.world.open_group("staff")
    pages.set(NdesOptions(user=USER, password=PASSWORD), "staff")
    for number in range(10):
        endpoint = ("default", "staff")[number % 2]
        assert pages.ask(WRONG, source=f"2001:db8:1:1::{number:x}", endpoint=endpoint) is NdesRefusal.LOGIN
    limited(pages.ask(WRONG, source="2001:db8:1:1::ff"), reasons.PAGE_SOURCE_GUESSING)
    assert pages.ask(WRONG, source="2001:db8:1:2::1") is NdesRefusal.LOGIN


def test_a_hundred_wrong_passwords_close_the_page_for_those_it_does_not_know() -> None:
    """CHA-3, NDES-011: many addresses end the same; who gave the right one before is served."""
    pages = Pages(allowances=Allowances(wrong_passwords_per_page=12))
    assert isinstance(pages.ask(), Handed)
    for number in range(12):
        assert pages.ask(WRONG, source=f"198.51.100.{number}") is NdesRefusal.LOGIN
    limited(pages.ask(WRONG, source="203.0.113.1"), reasons.PAGE_GUESSING)
    limited(pages.ask(RIGHT, source="203.0.113.1"), reasons.PAGE_GUESSING)
    assert alarms(pages) == ["endpoint:default"]
    assert isinstance(pages.ask(), Handed)
    pages.change_password("another-password-0815")
    limited(pages.ask(), reasons.PAGE_GUESSING)
    pages.world.clock.advance(timedelta(minutes=1))
    assert pages.ask(RIGHT) is NdesRefusal.LOGIN
    assert isinstance(pages.ask(Login(USER.encode(), b"another-password-0815")), Handed)


def test_the_usual_limit_of_a_page_is_a_hundred(pages: Pages) -> None:
    """CHA-3: with the default the hundred-and-first wrong password within a minute is 429."""
    for number in range(100):
        assert pages.ask(WRONG, source=f"198.51.100.{number}") is NdesRefusal.LOGIN
    limited(pages.ask(WRONG, source="203.0.113.1"), reasons.PAGE_GUESSING)


def test_right_logins_are_not_counted(pages: Pages) -> None:
    """A fleet that enrols at once is one address with one login, a hundred times."""
    for _ in range(100):
        pages.fetch()
    assert pages.ask(WRONG) is NdesRefusal.LOGIN
    assert isinstance(pages.ask(), Handed)


def test_a_fleet_that_begins_at_once_is_not_guessing() -> None:
    """CHA-3: eight right logins at once, where two wrong ones a minute are allowed, all get a challenge."""
    pages = Pages(allowances=Allowances(wrong_passwords_per_source=2, wrong_passwords_per_page=2))
    page = replace(pages.page, password_hash=hash_password(PASSWORD.encode(), bytes(16)))
    pages.world.store.set_ndes_page(page, ())
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: pages.ask(), range(8)))
    assert [type(answer) for answer in answers] == [Handed] * 8


def test_one_wrong_password_many_times_at_once_counts_each_time() -> None:
    """CHA-3: it is judged once and wrong each time; what is over the limit is told so."""
    pages = Pages(allowances=Allowances(wrong_passwords_per_source=4))
    page = replace(pages.page, password_hash=hash_password(PASSWORD.encode(), bytes(16)))
    pages.world.store.set_ndes_page(page, ())
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: pages.ask(WRONG), range(8)))
    assert sum(answer is NdesRefusal.LOGIN for answer in answers) == 4
    assert sum(isinstance(answer, Limited) for answer in answers) == 4


def test_a_changed_password_is_the_only_one(pages: Pages) -> None:
    """A login that was right a moment ago is wrong once another password is set."""
    pages.fetch()
    pages.change_password("another-password-0815")
    assert pages.ask(RIGHT) is NdesRefusal.LOGIN
    pages.set(NdesOptions(user="jamf"))
    assert pages.ask(Login(USER.encode(), b"another-password-0815")) is NdesRefusal.LOGIN
    assert isinstance(pages.ask(Login(b"jamf", b"another-password-0815")), Handed)


def test_what_was_wrong_cannot_be_told_from_the_time() -> None:
    """CHA-5, WEB-6: another user costs the same hash as another password: medians of shuffled classes agree."""
    pages = Pages(allowances=Allowances(wrong_passwords_per_source=1_000, wrong_passwords_per_page=1_000))
    first = hashlib.sha256(PASSWORD.encode()).digest()
    digest = hashlib.scrypt(first, salt=bytes(16), n=1_024, r=8, p=1, dklen=32)
    dear = replace(pages.page, password_hash=f"scrypt-sha256$1024$8$1${bytes(16).hex()}${digest.hex()}")
    pages.world.store.set_ndes_page(dear, ())
    classes = {
        "password": WRONG,
        "user": Login(b"somebody", PASSWORD.encode()),
        "both": Login(b"", b""),
        "a long one": Login(USER.encode(), b"a" * 2_000),
    }
    taken: dict[str, list[float]] = {name: [] for name in classes}
    order, dice = list(classes), random.Random(4711)  # noqa: S311 - this is a test's dice
    for _ in range(60):
        dice.shuffle(order)
        for name in order:
            # Of this thread alone: the rest of the machine has other tests to run.
            began = time.thread_time()
            assert pages.ask(classes[name]) is NdesRefusal.LOGIN
            taken[name].append(time.thread_time() - began)
    medians = [statistics.median(times) for times in taken.values()]
    assert min(medians) > 0.7 * max(medians), dict(zip(classes, medians, strict=True))


# --- a store that is away ---------------------------------------------------------------------------------------------


class AwayStore(MemoryStore):
    """A store that takes no alarm while it is told not to."""

    away = False

    def record(self, events: Sequence[EventDraft]) -> None:
        """Record, or not."""
        if self.away and any(event.action is Action.LIMIT_REACHED for event in events):
            raise UnavailableError(reasons.STORE_UNAVAILABLE)
        super().record(events)


def test_an_alarm_that_could_not_be_written_is_written_later() -> None:
    """AUD-1: while nothing can be recorded nobody is told anything, and the alarm comes with the next one."""
    store = AwayStore()
    pages = Pages(store=store)
    for _ in range(10):
        pages.ask(WRONG)
    store.away = True
    with pytest.raises(UnavailableError):
        pages.ask(WRONG)
    store.away = False
    limited(pages.ask(WRONG), reasons.PAGE_SOURCE_GUESSING)
    assert alarms(pages) == [f"source:{MDM}"]
