"""Setting up the pages that hand out challenges."""

from __future__ import annotations

from dataclasses import replace

import pytest

from memory_store import MemoryStore
from ndes_parts import PASSWORD, USER, Pages
from regalia import reasons
from regalia.errors import AdminError
from regalia.model import Action, Authoriser, NdesEncoding, NdesPage
from regalia.ra.ndes_pages import NdesDesk, NdesOptions
from regalia.ra.passwords import is_password
from world import ADMIN, World

NEW = NdesOptions(user=USER, password=PASSWORD)


@pytest.fixture(scope="module")
def world() -> World:
    """A world without a page, for what is refused."""
    return World()


def desk(world: World) -> NdesDesk:
    """Make a desk."""
    return NdesDesk(world.store, world.clock, world.entropy)


def test_a_new_page_has_the_usual_settings() -> None:
    """R11, CHA-1: 32 digits, UTF-16LE, no bound but the rate, from anywhere, bearer challenges, not below /certsrv."""
    world = World()
    page = desk(world).set("default", NEW, actor=ADMIN)
    assert replace(page, password_hash="") == NdesPage(
        endpoint="default",
        user=USER,
        password_hash="",
        digits=32,
        encoding=NdesEncoding.UTF_16,
        cache=0,
        per_minute=300,
        networks=(),
        certsrv=False,
        allow_binding=False,
        changed_at=world.clock.now(),
    )
    assert is_password(PASSWORD.encode(), page.password_hash)
    assert world.store.ndes_page("default") == page


def test_a_password_is_kept_as_a_slow_hash_alone() -> None:
    """SEC-3, CHA-4: nothing on record or in a page's text has the password or its hash."""
    world = World()
    page = desk(world).set("default", NEW, actor=ADMIN)
    told = repr(page) + repr(NEW) + str(world.last_event())
    assert world.last_event().draft.action is Action.NDES_PAGE_SET
    assert world.last_event().draft.details["password"] == "set"
    for secret in (PASSWORD, page.password_hash, page.password_hash.rpartition("$")[2]):
        assert secret not in told


def test_what_is_not_given_stays_as_it_is() -> None:
    """A change of one setting leaves the others, the password and an acknowledged length among them."""
    pages = Pages(NdesOptions(digits=16, networks=("192.0.2.0/24",), certsrv=True))
    changed = pages.desk.set("default", NdesOptions(cache=5), actor=ADMIN)
    assert changed == replace(pages.page, cache=5)
    assert pages.last().draft.details["password"] == "as before"
    assert pages.last().draft.details["acknowledged"] == "challenges of 64 random bits"
    assert pages.desk.set("default", NdesOptions(networks=("any",)), actor=ADMIN).networks == ()


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (NdesOptions(user=USER), reasons.USAGE),
        (NdesOptions(password=PASSWORD), reasons.USAGE),
        (replace(NEW, user=""), reasons.USAGE),
        (replace(NEW, user="a:b"), reasons.USAGE),
        (replace(NEW, user="svc\n"), reasons.USAGE),
        (replace(NEW, user="a" * 65), reasons.USAGE),
        (replace(NEW, password="a1b2c3d4e5f6g"), reasons.PAGE_PASSWORD_REFUSED),
        (replace(NEW, password="abcdefg" * 3), reasons.PAGE_PASSWORD_REFUSED),
        (replace(NEW, password="pässword-of-16-letters"), reasons.PAGE_PASSWORD_REFUSED),
        (replace(NEW, password="abcdefgh" * 16 + "i"), reasons.PAGE_PASSWORD_REFUSED),
        (replace(NEW, digits=14), reasons.USAGE),
        (replace(NEW, digits=33), reasons.USAGE),
        (replace(NEW, digits=66), reasons.USAGE),
        (replace(NEW, digits=30), reasons.ACKNOWLEDGEMENT_NEEDED),
        (replace(NEW, cache=-1), reasons.USAGE),
        (replace(NEW, cache=10_001), reasons.USAGE),
        (replace(NEW, per_minute=0), reasons.USAGE),
        (replace(NEW, per_minute=6_001), reasons.USAGE),
        (replace(NEW, networks=("192.0.2.1/24",)), reasons.USAGE),
        (replace(NEW, networks=("everywhere",)), reasons.USAGE),
        (replace(NEW, networks=("any", "192.0.2.0/24")), reasons.USAGE),
        (replace(NEW, networks=("192.0.2.0/24",) * 65), reasons.USAGE),
    ],
)
def test_what_cannot_be_is_refused(world: World, options: NdesOptions, reason: object) -> None:
    """NDES-020, ADM-013, ADM-018: nothing is kept of a page that is not as it must be."""
    before = len(world.store.log)
    with pytest.raises(AdminError) as refused:
        desk(world).set("default", options, actor=ADMIN)
    assert refused.value.reason is reason
    assert PASSWORD not in str(refused.value)
    assert world.store.ndes_page("default") is None
    assert len(world.store.log) == before


def test_only_an_open_endpoint_with_one_time_challenges_has_a_page(world: World) -> None:
    """ADM-004: an unknown endpoint, a static one and a disabled one get none."""
    world.open_endpoint("printers", Authoriser.STATIC)
    world.registry.create_endpoint("closed", group="default", profile="default", actor=ADMIN)
    world.registry.disable_endpoint("closed", actor=ADMIN)
    for name in ("nothing", "printers", "closed"):
        with pytest.raises(AdminError) as refused:
            desk(world).set(name, NEW, actor=ADMIN)
        assert refused.value.reason is reasons.NOT_FOUND


class Overtaken(MemoryStore):
    """A store where somebody else was faster."""

    def set_ndes_page(self, page: NdesPage, events: object) -> bool:
        """Say that another endpoint has /certsrv."""
        del page, events
        return False


def test_microsofts_paths_lead_to_one_endpoint() -> None:
    """ADM-003: who is second is told who has them, when two are at it at once as well."""
    pages = Pages(NdesOptions(certsrv=True))
    pages.world.open_group("staff")
    with pytest.raises(AdminError, match="leads to endpoint default"):
        pages.desk.set("staff", replace(NEW, certsrv=True), actor=ADMIN)
    with pytest.raises(AdminError) as refused:
        desk(World(store=Overtaken())).set("default", replace(NEW, certsrv=True), actor=ADMIN)
    assert refused.value.reason is reasons.NAME_TAKEN
    pages.desk.set("default", NdesOptions(certsrv=False), actor=ADMIN)
    pages.desk.set("staff", replace(NEW, certsrv=True), actor=ADMIN)
    assert pages.service.certsrv_endpoint() == "staff"


def test_a_closed_page_leaves_its_challenges() -> None:
    """Closing a page is an event, and what it handed out stays good; closing it again is refused."""
    pages = Pages()
    handed = pages.fetch()
    pages.desk.remove("default", actor=ADMIN)
    assert pages.last().draft.action is Action.NDES_PAGE_REMOVED
    kept = pages.world.store.challenge(pages.world.challenge_mac(handed.secret))
    assert kept is not None
    assert kept.revoked_at is None
    with pytest.raises(AdminError) as refused:
        pages.desk.remove("default", actor=ADMIN)
    assert refused.value.reason is reasons.NOT_FOUND
