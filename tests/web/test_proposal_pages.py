"""The page where a second person decides: what waits, who may decide, and what is told afterwards (AUTHZ-5)."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from door_parts import Authenticator, Door
from regalia.model import Action, Actor, ActorKind, Administrator, Grant, Proposal, ProposalState, Role
from regalia.ra.api_limits import ApiLimits
from regalia.ra.limits import Allowances
from regalia.ra.proposals import LIFE, NewProposal
from regalia.ra.roles import EVERYTHING
from regalia.verbs import Caller, ProposedError, ask
from regalia.verbs import admin as admins
from regalia.web.proposal_pages import ProposalPages
from regalia.web.sessions import form_token
from regalia.web.visit import Visit
from world import ADMIN, World

if TYPE_CHECKING:
    from door_parts import Browser, Heard
    from regalia.verbs import Asked, Verb
    from regalia.web.pool import Pools


@dataclass
class Scene:
    """Two administrators who may do everything, each at a browser of their own that has just proved it."""

    world: World
    door: Door
    alice: Browser
    bob: Browser
    bobs: Authenticator

    def join(self, name: str, *grants: Grant) -> tuple[Browser, Authenticator]:
        """Make an administrator, who signs in."""
        self.world.administrators.create(name, grants, display="", actor=ADMIN, bound=EVERYTHING)
        browser, authenticator = self.door.browser(), Authenticator()
        browser.get("/set-up")
        heard = browser.make_passkey(authenticator, "/set-up", code=self.door.link(name), account=name)
        assert heard.status == 200, heard.body
        return browser, authenticator

    def person(self, name: str) -> Administrator:
        """Find an administrator."""
        found = self.world.store.administrator_named(name)
        assert found is not None
        return found

    def proposed(self, asked: Asked, verb: Verb[Any, Any] = admins.CREATE, by: str = "alice") -> Proposal:
        """Have somebody ask for what needs two."""
        person = self.person(by)
        caller = Caller(
            Actor(ActorKind.ADMIN, f"user:{by}", "192.0.2.1"), person.grants, fresh=True, administrator=person.id
        )
        with pytest.raises(ProposedError) as kept:
            ask(verb, self.world, caller, asked)
        return kept.value.proposal

    def carol(self, by: str = "alice") -> Proposal:
        """Have somebody ask for another administrator who can do everything."""
        return self.proposed(admins.CreateAdministrator(name="carol", roles=("admin",)), by=by)

    def state(self, proposal: Proposal) -> ProposalState:
        """Say what became of it."""
        found = self.world.store.proposal(proposal.id)
        assert found is not None
        return found.state


@pytest.fixture
def scene(pools: Pools) -> Scene:
    """Return it."""
    world = World()
    door = Door(world, pools)
    alice, _ = door.with_passkey("alice")
    made = Scene(world, door, alice, alice, Authenticator())
    made.bob, made.bobs = made.join("bob", Grant(Role.ADMIN))
    return made


def main(text: str) -> str:
    """Return what a page says, without the frame that it stands in."""
    return text.partition("<main")[2].partition("</main>")[0]


def approve(browser: Browser, proposal: Proposal) -> Heard:
    """Open the page and press *Approve and do it*."""
    browser.get("/proposals")
    return browser.post("/proposals/approve", proposal=str(proposal.id))


def test_what_waits_is_listed_for_who_decides(scene: Scene) -> None:
    """AUTHZ-5: the page says who proposed what, when, until when and what would happen; the account says how many."""
    assert "Nothing waits" in scene.bob.get("/proposals").text
    proposal = scene.carol()
    heard = scene.bob.get("/proposals")
    assert (heard.status, heard.header("cache-control")) == (200, "no-store")
    assert "default-src 'none'; script-src 'self'" in heard.header("content-security-policy")
    assert "admin.create, proposed by <bdi>user:alice</bdi>" in heard.text
    assert "make administrator carol with admin, who has no way in" in heard.text
    times = re.findall(r'<time datetime="([^"]+)"', main(heard.text))
    assert times == [at.isoformat(timespec="seconds") for at in (proposal.proposed_at, proposal.proposed_at + LIFE)]
    assert main(heard.text).count("<form") == 2
    assert str(proposal.id) in heard.text
    assert '<a href="/proposals">Proposals that wait for a second administrator</a>: 1 open' in (
        scene.bob.get("/account").text
    )


def test_another_one_approves_and_it_is_done(scene: Scene) -> None:
    """AUTHZ-5: with one press it is approved by who is signed in, and done; the page says what."""
    heard = approve(scene.bob, scene.carol())
    assert heard.status == 200
    assert "You approved this, and it was done" in heard.text
    assert "make administrator carol with admin" in heard.text
    assert scene.person("carol").grants == (Grant(Role.ADMIN),)
    (event,) = scene.door.events("proposal.approved")
    assert (event.draft.actor.id, event.draft.actor.source) == ("user:bob", "192.0.2.1")
    assert "Nothing waits" in scene.bob.get("/proposals").text


def test_another_one_refuses_with_a_reason(scene: Scene) -> None:
    """AUTHZ-5: what is refused is not done, and why is on record and on the page; no reason needs to be given."""
    proposal = scene.carol()
    scene.bob.get("/proposals")
    heard = scene.bob.post("/proposals/refuse", proposal=str(proposal.id), note="<i>who is</i> carol?")
    assert heard.status == 200
    assert "You refused this, and nothing was done" in heard.text
    assert "&lt;i&gt;who is&lt;/i&gt; carol?" in heard.text
    assert scene.state(proposal) is ProposalState.REFUSED
    (event,) = scene.door.events("proposal.refused")
    assert event.draft.details["note"] == "<i>who is</i> carol?"
    other = scene.carol()
    scene.bob.get("/proposals")
    assert scene.bob.post("/proposals/refuse", proposal=str(other.id), note="").status == 200
    assert scene.world.store.administrator_named("carol") is None


def test_nobody_decides_their_own(scene: Scene) -> None:
    """AUTHZ-5: who proposed it sees that somebody else decides, no button, and ADM-075 for a request made by hand."""
    proposal = scene.carol()
    page = scene.alice.get("/proposals").text
    assert "somebody else decides" in page
    assert "/proposals/approve" not in page
    scene.alice.get("/account")
    heard = scene.alice.post("/proposals/approve", proposal=str(proposal.id))
    assert heard.status == 422
    assert '<a href="/docs/errors/ADM-075">What ADM-075 means</a>' in heard.text
    assert scene.state(proposal) is ProposalState.OPEN


def test_who_proposed_it_takes_it_back(scene: Scene) -> None:
    """AUTHZ-5: one's own has a button to withdraw it; made by hand for somebody else's, that is ADM-070."""
    proposal = scene.carol()
    assert "/proposals/withdraw" not in scene.bob.get("/proposals").text
    heard = scene.bob.post("/proposals/withdraw", proposal=str(proposal.id))
    assert (heard.status, "ADM-070" in heard.text) == (403, True)
    assert "/proposals/withdraw" in scene.alice.get("/proposals").text
    heard = scene.alice.post("/proposals/withdraw", proposal=str(proposal.id))
    assert "You withdrew this, and nothing was done" in heard.text
    assert scene.state(proposal) is ProposalState.WITHDRAWN
    assert "Nothing waits" in scene.bob.get("/proposals").text


def test_the_second_decision_is_told(scene: Scene) -> None:
    """Of two who decide the later one reads that it is decided, and what was done stays done."""
    proposal = scene.carol()
    assert approve(scene.bob, proposal).status == 200
    scene.bob.get("/account")
    for deed in ("approve", "refuse"):
        heard = scene.bob.post(f"/proposals/{deed}", proposal=str(proposal.id))
        assert heard.status == 422
        assert "/docs/errors/ADM-074" in heard.text
        assert f"Proposal {proposal.id} is done." in heard.text
        assert 'href="/proposals">Back' in heard.text
    assert scene.state(proposal) is ProposalState.DONE


def test_what_would_do_something_else_now_is_told(scene: Scene) -> None:
    """What would do something else now is not done (ADM-076), and stays open to be refused."""
    eve, eves = scene.join("eve", Grant(Role.ADMIN))
    proposal = scene.proposed(admins.DisableAdministrator(name="eve"), admins.DISABLE)
    elsewhere = scene.door.browser()
    elsewhere.get("/sign-in")
    assert elsewhere.use_passkey(eves).status == 200
    assert "/docs/errors/ADM-076" in approve(scene.bob, proposal).text
    assert eve.get("/account").status == 200
    assert scene.state(proposal) is ProposalState.OPEN


def test_a_deed_that_fails_is_told(scene: Scene) -> None:
    """What could not be done is told with its reason, and the proposal is noted as failed, not tried again."""
    scene.join("eve", Grant(Role.ADMIN))
    proposal = scene.proposed(admins.NameAdministrator(name="eve"), admins.ENABLE)
    heard = approve(scene.bob, proposal)
    assert (heard.status, "/docs/errors/ADM-074" in heard.text) == (422, True)
    assert scene.state(proposal) is ProposalState.FAILED


def test_a_form_of_somebody_elses_is_refused(scene: Scene) -> None:
    """WEB-5: a stale token, none, and another site's page are 403 and decide nothing; nor does opening the address."""
    proposal = scene.carol()
    scene.bob.get("/proposals")
    mine = scene.bob.token
    for deed in ("/proposals/approve", "/proposals/refuse", "/proposals/withdraw"):
        for token, site in ((form_token("a former secret"), "same-origin"), ("", "same-origin"), (mine, "cross-site")):
            scene.bob.token = token
            heard = scene.bob.post(deed, {"sec-fetch-site": site}, proposal=str(proposal.id))
            assert (heard.status, "AUTH-004" in heard.text) == (403, True)
        assert scene.bob.get(deed).status == 405
    assert scene.state(proposal) is ProposalState.OPEN


def test_who_is_not_signed_in_signs_in_first(scene: Scene) -> None:
    """WEB-3: a stranger is led to the sign-in and from there to the page; so is whoever's session has ended."""
    proposal = scene.carol()
    stranger = scene.door.browser()
    assert stranger.get("/proposals").header("location") == "/sign-in?next=/proposals"
    stranger.get("/sign-in?next=/proposals")
    assert stranger.use_passkey(scene.bobs, next="/proposals").json == {"next": "/proposals"}
    scene.bob.get("/proposals")
    scene.door.clock.advance(timedelta(minutes=16))
    heard = scene.bob.post("/proposals/approve", proposal=str(proposal.id))
    assert (heard.status, heard.header("location")) == (303, "/sign-in?next=/proposals")
    assert scene.state(proposal) is ProposalState.OPEN


def test_approving_asks_who_one_is_once_more(scene: Scene) -> None:
    """WEB-4: five minutes later approving leads to the proof anew and back; refusing does not."""
    proposal, other = scene.carol(), scene.carol()
    scene.door.clock.advance(timedelta(minutes=6))
    assert 'href="/sign-in/again?next=/proposals"' in scene.bob.get("/proposals").text
    heard = scene.bob.post("/proposals/approve", proposal=str(proposal.id))
    assert (heard.status, heard.header("location")) == (303, "/sign-in/again?next=/proposals")
    assert scene.state(proposal) is ProposalState.OPEN
    assert scene.bob.post("/proposals/refuse", proposal=str(other.id)).status == 200
    page = scene.bob.get(heard.header("location"))
    assert page.field("next") == "/proposals"
    assert scene.bob.use_passkey(scene.bobs, "/sign-in/again", next="/proposals").json == {"next": "/proposals"}
    assert "/sign-in/again" not in scene.bob.get("/proposals").text
    assert approve(scene.bob, proposal).status == 200
    assert scene.state(proposal) is ProposalState.DONE


def test_who_lacks_the_right_sees_and_decides_nothing(scene: Scene) -> None:
    """AUTHZ-4: a helper sees no proposal of others, not by its id either; nobody without a role sees any at all."""
    proposal = scene.carol()
    helper, _ = scene.join("helper", Grant(Role.HELPDESK))
    assert "Nothing waits" in helper.get("/proposals").text
    assert "second administrator</a>: 0 open" in helper.get("/account").text
    for deed in ("approve", "refuse"):
        heard = helper.post(f"/proposals/{deed}", proposal=str(proposal.id))
        assert (heard.status, "/docs/errors/ADM-004" in heard.text) == (404, True)
    nobody, _ = scene.join("nobody")
    assert "second administrator" not in nobody.get("/account").text
    assert nobody.get("/proposals").status == 403
    assert [event.draft.object for event in scene.door.events(Action.RIGHT_REFUSED)] == ["verb:proposal.list"]
    assert scene.state(proposal) is ProposalState.OPEN


def test_who_only_reviews_access_sees_and_does_not_decide(scene: Scene) -> None:
    """AUTHZ-1: an auditor sees what waits and who decides; pressing a button that is not there is on record (AUD-1)."""
    proposal = scene.carol()
    auditor, _ = scene.join("auditor", Grant(Role.AUDITOR))
    page = auditor.get("/proposals").text
    assert "your roles do not give it" in page
    assert "<form" not in main(page)
    auditor.get("/account")
    for deed in ("approve", "refuse"):
        heard = auditor.post(f"/proposals/{deed}", proposal=str(proposal.id))
        assert (heard.status, "/docs/errors/ADM-070" in heard.text) == (403, True)
    refused = scene.door.events(Action.RIGHT_REFUSED)
    assert [(event.draft.actor.id, event.draft.object) for event in refused] == [
        ("user:auditor", "verb:proposal.approve"),
        ("user:auditor", "verb:proposal.refuse"),
    ]
    assert scene.state(proposal) is ProposalState.OPEN


def test_hostile_names_are_letters(scene: Scene) -> None:
    """WEB-2: markup in what was proposed is shown as text, and letters that turn others' order by their numbers."""
    wanted = NewProposal(
        verb="admin.create",
        asked={"name": "</pre><script>alert(1)</script>\u202e"},
        summary=("make <img src=x onerror=alert(1)> with \u202enimda",),
        group=None,
        administrator=scene.person("alice").id,
    )
    proposal = scene.world.proposals.propose(wanted, actor=Actor(ActorKind.ADMIN, 'token:"><b>x'))
    page = scene.bob.get("/proposals").text
    assert "make &lt;img src=x onerror=alert(1)&gt; with \\u202enimda" in page
    assert "token:&#34;&gt;&lt;b&gt;x" in page
    assert "&lt;/pre&gt;&lt;script&gt;alert(1)" in page
    heard = scene.bob.post("/proposals/refuse", proposal=str(proposal.id))
    for text in (page, heard.text):
        assert not re.search("<img src=x|<b>x|<script>|\u202e", text)


def test_what_is_no_proposal_is_refused(scene: Scene) -> None:
    """IN-1: whatever a form names as a proposal, or says as a reason, is a refusal, never a fault of ours."""
    proposal = scene.carol()
    scene.bob.get("/account")
    for given, status in (("", 400), ("<b>", 422), ("x" * 5_000, 400), ("0" * 8, 404), ("\0", 400)):
        heard = scene.bob.post("/proposals/approve", proposal=given)
        assert (heard.status, "<b>" in heard.text) == (status, False)
    for note in ("x" * 5_000, "a\0b"):
        assert scene.bob.post("/proposals/refuse", proposal=str(proposal.id), note=note).status == 400
    assert scene.bob.call("/proposals/approve", proposal=str(proposal.id)).status == 415
    assert scene.state(proposal) is ProposalState.OPEN


def test_a_link_is_shown_once_to_who_approved(scene: Scene) -> None:
    """What the deed gives away once is on the page of who approved it, and nowhere afterwards."""
    proposal = scene.proposed(admins.NameAdministrator(name="alice"), admins.SETUP_LINK, by="bob")
    heard = approve(scene.alice, proposal)
    found = re.search(r"https://pki\.example\.test:8443/set-up#[A-Za-z0-9_-]{43}", heard.text)
    assert found is not None, heard.text
    assert heard.header("cache-control") == "no-store"
    kept = scene.world.store.proposal(proposal.id)
    assert kept is not None
    assert kept.outcome == {}


def test_many_are_shown_page_by_page(scene: Scene) -> None:
    """Fifty stand on a page, newest first, with a way to the older ones and back; an invented way is refused."""
    made = []
    for _ in range(51):
        made.append(scene.carol())
        scene.door.clock.advance(timedelta(seconds=1))
    page = scene.bob.get("/proposals").text
    assert page.count("<section") == 50
    assert str(made[0].id) not in page
    (older,) = re.findall(r'href="(/proposals\?after=[^"]+)"', page)
    page = scene.bob.get(older).text
    assert page.count("<section") == 1
    assert str(made[0].id) in page
    assert 'href="/proposals">Newest' in page
    assert "/docs/errors/ADM-086" in scene.bob.get("/proposals?after=invented").text
    scene.door.clock.advance(LIFE)
    browser = scene.door.browser()
    browser.get("/sign-in")
    browser.use_passkey(scene.bobs)
    assert made[0].summary[0] not in browser.get("/proposals").text


def test_the_page_counts_as_the_api_does(scene: Scene) -> None:
    """RES-5: whoever asks more in a minute than one caller may has to wait, by the page as by the API."""
    limits = ApiLimits(scene.world.store, Allowances(requests_per_caller=2))
    pages = ProposalPages(replace(scene.door.backing, limits=limits))
    known = scene.door.sessions.known(scene.bob.cookies["__Host-regalia"])
    visit = Visit("GET", "/proposals", "192.0.2.1", (), session="secret")
    assert [pages.show(visit, known).status for _ in range(3)] == [200, 200, 429]
    assert pages.approve(visit, known).status == 429
