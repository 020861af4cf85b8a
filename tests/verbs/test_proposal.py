"""The two-person rule (AUTHZ-5): what one administrator asks for, another one has to agree to."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import pytest
from pydantic import Field

from regalia.errors import AdminError
from regalia.model import (
    Action,
    Actor,
    ActorKind,
    Administrator,
    AdministratorState,
    AuthorityKind,
    Grant,
    Outcome,
    Passkey,
    Proposal,
    ProposalState,
    Reach,
    Right,
    Role,
    Session,
    SignInKind,
    new_id,
)
from regalia.ra.proposals import LIFE, ProposalDesk, TwoPersons
from regalia.ra.roles import EVERYTHING
from regalia.verbs import Asked, Caller, Desk, ProposedError, Record, Verb, ask, plan
from regalia.verbs import admin as admins
from regalia.verbs import authority_making as authorities
from regalia.verbs import group as groups
from regalia.verbs import proposal as verbs
from regalia.verbs import session as sessions
from regalia.verbs.bearer import caller_of_token
from regalia.verbs.token import CREATE, CreateToken
from world import ADMIN, World

if TYPE_CHECKING:
    from collections.abc import Callable

LOCAL = Caller(ADMIN, EVERYTHING, fresh=True, local=True)


@dataclass(frozen=True)
class Scene:
    """A system with two administrators, each signed in and just proved."""

    world: World
    alice: Caller
    bob: Caller


def a_person(world: World, name: str, *grants: Grant) -> Caller:
    """Make an administrator and sign them in."""
    made = world.administrators.create(name, grants or EVERYTHING, display="", actor=ADMIN, bound=EVERYTHING)
    after = replace(made, passkeys=(Passkey(name.encode(), b"cose", 0, "key", world.clock.now()),))
    assert world.store.change_administrator(made, after, ())
    return signed_in(after)


def signed_in(person: Administrator) -> Caller:
    """Say who a session of somebody is."""
    actor = Actor(ActorKind.ADMIN, f"user:{person.name}", "192.0.2.1")
    return Caller(actor, person.grants, fresh=True, administrator=person.id)


@pytest.fixture
def scene() -> Scene:
    """Return it."""
    world = World()
    return Scene(world, a_person(world, "alice"), a_person(world, "bob"))


def proposed(scene: Scene, caller: Caller | None = None, name: str = "carol") -> Proposal:
    """Ask for another administrator who can do everything; return what was kept."""
    with pytest.raises(ProposedError) as kept:
        ask(
            admins.CREATE,
            scene.world,
            caller or scene.alice,
            admins.CreateAdministrator(name=name, roles=("admin",)),
        )
    return kept.value.proposal


def approve(scene: Scene, caller: Caller, proposal: Proposal) -> verbs.ProposalShown:
    """Agree to it."""
    return ask(verbs.APPROVE, scene.world, caller, verbs.NameProposal(proposal_id=str(proposal.id)))


def reason(act: Callable[[], object]) -> str:
    """Do what is refused, and return the reason's id."""
    with pytest.raises(AdminError) as error:
        act()
    return error.value.reason.id


def state(scene: Scene, proposal: Proposal) -> ProposalState:
    """Say what became of it."""
    found = scene.world.store.proposal(proposal.id)
    assert found is not None
    return found.state


def test_what_needs_two_waits_for_the_second(scene: Scene) -> None:
    """Nothing is done when it is asked for; the second administrator sees what it will do, agrees, and it is done."""
    proposal = proposed(scene)
    assert scene.world.store.administrator_named("carol") is None
    (listed,) = ask(verbs.LIST, scene.world, scene.bob, verbs.ListProposals()).items
    assert listed.would == ("make administrator carol with admin, who has no way in before a set-up link is made",)
    shown = approve(scene, scene.bob, proposal)
    assert (shown.state, shown.decided_by, shown.outcome["name"]) == (ProposalState.DONE, "user:bob", "carol")
    carol = scene.world.store.administrator_named("carol")
    assert carol is not None
    assert carol.created_by == "user:bob"
    actions = [event.draft.action for event in scene.world.store.log]
    assert actions[-4:] == [
        Action.PROPOSAL_MADE,
        Action.PROPOSAL_APPROVED,
        Action.ADMINISTRATOR_CREATED,
        Action.PROPOSAL_DONE,
    ]
    last = scene.world.last_event().draft
    assert (last.details["proposed_by"], last.details["approved_by"]) == ("user:alice", "user:bob")


def test_nobody_agrees_with_themselves(scene: Scene) -> None:
    """ADM-075: neither who proposed it, nor with another session of theirs, nor with any token, nor on the machine."""
    proposal = proposed(scene)
    again = replace(scene.alice, actor=Actor(ActorKind.ADMIN, "user:alice", "198.51.100.9"))
    tokens = [
        caller_of_token(
            scene.world.store,
            ask(CREATE, scene.world, caller, CreateToken(name=name)).secret,
            now=scene.world.clock.now(),
            source="192.0.2.1",
        )
        for caller, name in ((scene.alice, "of-alice"), (scene.bob, "of-bob"))
    ]
    for caller in (scene.alice, again, *tokens, LOCAL):
        assert reason(lambda caller=caller: approve(scene, caller, proposal)) == "ADM-075"  # type: ignore[misc]  # bound now
    assert state(scene, proposal) is ProposalState.OPEN
    assert scene.world.store.administrator_named("carol") is None


def test_a_token_proposes_for_its_owner(scene: Scene) -> None:
    """ADM-075: what a token proposed, its owner does not approve; another administrator does."""
    secret = ask(CREATE, scene.world, scene.alice, CreateToken(name="ci")).secret
    program = caller_of_token(scene.world.store, secret, now=scene.world.clock.now(), source="192.0.2.1")
    proposal = proposed(scene, program)
    assert (proposal.proposed_by, proposal.proposer) == ("token:ci", scene.alice.administrator)
    assert reason(lambda: approve(scene, scene.alice, proposal)) == "ADM-075"
    assert approve(scene, scene.bob, proposal).state is ProposalState.DONE


def test_who_agrees_has_the_right_to_it(scene: Scene) -> None:
    """ADM-004 and ADM-070: who has not the right does not see a proposal; who reviews sees it and does not decide."""
    proposal = proposed(scene)
    helper, auditor = (
        a_person(scene.world, "helper", Grant(Role.HELPDESK)),
        a_person(scene.world, "auditor", Grant(Role.AUDITOR)),
    )
    bounded = a_person(scene.world, "bounded", Grant(Role.ADMIN, Reach(frozenset({"default"}))))
    decide = verbs.DecideProposal(proposal_id=str(proposal.id))
    for caller, told in ((helper, "ADM-004"), (bounded, "ADM-004"), (auditor, "ADM-070")):
        assert reason(lambda caller=caller: approve(scene, caller, proposal)) == told  # type: ignore[misc]  # bound now
        assert reason(lambda caller=caller: ask(verbs.REFUSE, scene.world, caller, decide)) == told  # type: ignore[misc]  # the same
    missing = verbs.NameProposal(proposal_id="0192f0c4-7c1e-7d3a-9a51-0a2b3c4d5e6f")
    with pytest.raises(AdminError) as foreign:
        approve(scene, helper, proposal)
    with pytest.raises(AdminError) as unknown:
        ask(verbs.SHOW, scene.world, helper, missing)
    assert str(foreign.value).replace(str(proposal.id), "ID") == str(unknown.value).replace(missing.proposal_id, "ID")


def test_who_agrees_has_just_proved_who_they_are(scene: Scene) -> None:
    """AUTH-003, WEB-4: a session that is not fresh neither proposes, agrees, nor makes tokens."""
    proposal = proposed(scene)
    stale = replace(scene.bob, fresh=False)
    assert reason(lambda: approve(scene, stale, proposal)) == "AUTH-003"
    asked = admins.CreateAdministrator(name="dave", roles=("admin",))
    assert reason(lambda: ask(admins.CREATE, scene.world, stale, asked)) == "AUTH-003"
    assert reason(lambda: ask(CREATE, scene.world, stale, CreateToken(name="ci"))) == "AUTH-003"


def test_a_proposal_ends_after_seven_days(scene: Scene) -> None:
    """ADM-074: after a week nobody can agree any more, and the job says so in the log."""
    proposal = proposed(scene)
    scene.world.clock.advance(LIFE)
    assert reason(lambda: approve(scene, scene.bob, proposal)) == "ADM-074"
    system = Actor(ActorKind.SYSTEM, "housekeeping")
    assert scene.world.proposals.expire(system) == 1
    assert scene.world.proposals.expire(system) == 0
    assert state(scene, proposal) is ProposalState.EXPIRED
    assert scene.world.last_event().draft.action is Action.PROPOSAL_EXPIRED


def test_what_would_do_something_else_now_is_not_done(scene: Scene) -> None:
    """ADM-076: a proposal whose plan changed is not approved; it stays open to be refused."""
    a_person(scene.world, "eve")
    with pytest.raises(ProposedError) as kept:
        ask(admins.DISABLE, scene.world, scene.alice, admins.DisableAdministrator(name="eve"))
    proposal, eve = kept.value.proposal, scene.world.administrators.found("eve")
    now = scene.world.clock.now()
    session = Session(
        new_id(now, bytes(10)), b"secret", eve.id, SignInKind.PASSKEY, "192.0.2.1", now, now, now, now + LIFE
    )
    scene.world.store.add_session(session, ())
    assert reason(lambda: approve(scene, scene.bob, proposal)) == "ADM-076"
    assert scene.world.administrators.found("eve").state is AdministratorState.ENABLED
    ask(verbs.REFUSE, scene.world, scene.bob, verbs.DecideProposal(proposal_id=str(proposal.id), note="changed"))
    assert state(scene, proposal) is ProposalState.REFUSED
    assert reason(lambda: approve(scene, scene.bob, proposal)) == "ADM-074"


def test_what_fails_when_it_is_agreed_to_is_on_record(scene: Scene) -> None:
    """A proposal that could not be done says why, and is not tried again."""
    a_person(scene.world, "eve")
    with pytest.raises(ProposedError) as kept:
        ask(admins.ENABLE, scene.world, scene.alice, admins.NameAdministrator(name="eve"))
    assert reason(lambda: approve(scene, scene.bob, kept.value.proposal)) == "ADM-074"
    assert state(scene, kept.value.proposal) is ProposalState.FAILED
    event = scene.world.last_event().draft
    assert (event.action, event.outcome, event.reason_id) == (Action.PROPOSAL_DONE, Outcome.FAILED, "ADM-074")
    assert reason(lambda: approve(scene, scene.bob, kept.value.proposal)) == "ADM-074"


def test_who_proposed_takes_it_back(scene: Scene) -> None:
    """Who proposed withdraws; another one refuses instead (ADM-070)."""
    proposal = proposed(scene)
    asked = verbs.DecideProposal(proposal_id=str(proposal.id), note="a mistake")
    assert reason(lambda: ask(verbs.WITHDRAW, scene.world, scene.bob, asked)) == "ADM-070"
    assert ask(verbs.WITHDRAW, scene.world, scene.alice, asked).state is ProposalState.WITHDRAWN
    assert reason(lambda: approve(scene, scene.bob, proposal)) == "ADM-074"


def test_the_rule_begins_with_the_second_administrator() -> None:
    """`auto`: one administrator needs nobody, two need each other; the one on the machine needs nobody ever."""
    world = World()
    alice = a_person(world, "alice")
    asked = admins.CreateAdministrator(name="bob", roles=("admin",))
    ask(admins.CREATE, world, alice, asked)
    with pytest.raises(ProposedError):
        ask(admins.CREATE, world, alice, asked.model_copy(update={"name": "carol"}))
    made = ask(admins.CREATE, world, LOCAL, asked.model_copy(update={"name": "dave"}))
    assert made.created_by == "os:tester"
    assert "wait until" in plan(admins.CREATE, world, alice, asked.model_copy(update={"name": "eve"})).would[-1]
    assert len(plan(admins.CREATE, world, LOCAL, asked.model_copy(update={"name": "eve"})).would) == 1


def test_what_gives_little_needs_one(scene: Scene) -> None:
    """Whoever could not agree to anything is made, disabled and let in by one administrator."""
    ask(admins.CREATE, scene.world, scene.alice, admins.CreateAdministrator(name="helper", roles=("helpdesk",)))
    ask(admins.SETUP_LINK, scene.world, scene.alice, admins.NameAdministrator(name="helper"))
    ask(admins.DISABLE, scene.world, scene.alice, admins.DisableAdministrator(name="helper"))


def test_nobody_makes_themselves_a_second_person(scene: Scene) -> None:
    """AUTHZ-5: whatever would give one administrator the word of another needs that other one's."""
    name, issuer = "bob", "https://login.example.org"
    asks: list[Callable[[], object]] = [
        lambda: ask(admins.SETUP_LINK, scene.world, scene.alice, admins.NameAdministrator(name=name)),
        lambda: ask(
            admins.LINK, scene.world, scene.alice, admins.LinkIdentity(name=name, issuer=issuer, subject="mallory")
        ),
        lambda: ask(admins.DISABLE, scene.world, scene.alice, admins.DisableAdministrator(name=name)),
        lambda: ask(admins.UNGRANT, scene.world, scene.alice, admins.GrantRoles(name=name, roles=("admin",))),
    ]
    for act in asks:
        with pytest.raises(ProposedError):
            act()
    token = CreateToken(name="as-bob", owner="bob")
    assert reason(lambda: ask(CREATE, scene.world, scene.alice, token)) == "ADM-071"


def test_whoever_a_provider_claims_counts(scene: Scene) -> None:
    """`auto` counts who has the right in a session by a provider's claims, too: the rule is not evaded by them."""
    world = World()
    alice, carol = a_person(world, "alice"), a_person(world, "carol", Grant(Role.HELPDESK))
    assert not world.proposals.needed(Right.RULE, None)
    now = world.clock.now()
    assert carol.administrator is not None
    world.store.add_session(
        Session(
            new_id(now, bytes(10)),
            b"secret",
            carol.administrator,
            SignInKind.OIDC,
            "192.0.2.1",
            now,
            now,
            now,
            now + LIFE,
            granted=EVERYTHING,
        ),
        (),
    )
    assert world.proposals.needed(Right.RULE, None)
    del alice, scene


def test_whom_a_provider_makes_a_second_person_is_not_put_aside() -> None:
    """AUTHZ-5: neither ends a session, nor the account, of somebody who rules by a provider's claims, alone."""
    world = World()
    alice, carol = a_person(world, "alice"), a_person(world, "carol", Grant(Role.HELPDESK))
    now = world.clock.now()
    assert carol.administrator is not None
    made = Session(
        new_id(now, bytes(10)),
        b"secret",
        carol.administrator,
        SignInKind.OIDC,
        "192.0.2.1",
        now,
        now,
        now,
        now + LIFE,
        granted=EVERYTHING,
    )
    world.store.add_session(made, ())
    end = sessions.EndSession(session_id=str(made.id))
    acts: list[Callable[[], object]] = [
        lambda: ask(sessions.END, world, alice, end),
        lambda: ask(admins.DISABLE, world, alice, admins.DisableAdministrator(name="carol")),
        lambda: ask(admins.SETUP_LINK, world, alice, admins.NameAdministrator(name="carol")),
    ]
    for act in acts:
        with pytest.raises(ProposedError):
            act()
    assert world.proposals.needed(Right.RULE, None)
    assert ask(sessions.END, world, carol, end).administrator == "carol"


def test_a_group_that_brings_an_authority_needs_two(scene: Scene) -> None:
    """AUTHZ-5: a new authority is no less one because a group comes with it."""
    with pytest.raises(ProposedError) as kept:
        ask(groups.CREATE, scene.world, scene.alice, groups.CreateGroup(name="guests"))
    assert scene.world.store.group("guests") is None
    assert approve(scene, scene.bob, kept.value.proposal).state is ProposalState.DONE
    assert scene.world.store.group("guests") is not None


def test_a_token_takes_back_what_it_proposed_alone(scene: Scene) -> None:
    """AUTHZ-7: a token with few roles neither sees nor withdraws what its owner proposed; its owner does both."""
    proposal = proposed(scene)
    made = ask(CREATE, scene.world, scene.alice, CreateToken(name="weak", roles=("helpdesk-read-only:default",)))
    weak = caller_of_token(scene.world.store, made.secret, now=scene.world.clock.now(), source="192.0.2.1")
    assert ask(verbs.LIST, scene.world, weak, verbs.ListProposals()).items == ()
    asked = verbs.DecideProposal(proposal_id=str(proposal.id))
    assert reason(lambda: ask(verbs.WITHDRAW, scene.world, weak, asked)) == "ADM-004"
    assert ask(verbs.WITHDRAW, scene.world, scene.alice, asked).state is ProposalState.WITHDRAWN


def test_what_was_interrupted_does_not_stay_approved(scene: Scene) -> None:
    """What was agreed to and never ended, since the server did, is noted as failed after an hour."""
    world, proposal = scene.world, proposed(scene)
    world.proposals.approve(proposal, actor=scene.bob.actor, administrator=scene.bob.administrator, program=False)
    world.clock.advance(timedelta(minutes=59))
    assert world.proposals.expire(ADMIN) == 0
    world.clock.advance(timedelta(minutes=1))
    assert world.proposals.expire(ADMIN) == 1
    event = world.last_event().draft
    assert (state(scene, proposal), event.outcome) == (ProposalState.FAILED, Outcome.FAILED)
    assert (event.action, event.details["approved_by"]) == (Action.PROPOSAL_DONE, "user:bob")


@pytest.mark.parametrize(("rule", "needed"), [(TwoPersons.ALWAYS, True), (TwoPersons.NEVER, False)])
def test_the_rule_is_a_setting(rule: TwoPersons, needed: bool) -> None:  # noqa: FBT001 - a table
    """`always` asks for a second person who is not there yet, `never` for none."""
    world = World()
    desk = ProposalDesk(world.store, world.clock, world.entropy, rule)
    assert desk.needed(Right.RULE, None) is needed


class AskedSecret(Asked):
    """Something with a secret."""

    password: Annotated[str | None, Field(json_schema_extra={"writeOnly": True})] = None


class Done(Record):
    """That it was done."""


def test_a_secret_does_not_wait(scene: Scene) -> None:
    """ADM-077: what was asked with a secret is not kept for anybody to read; without it, it is."""

    def run(desk: Desk, asked: AskedSecret) -> Done:
        del desk, asked
        return Done()

    verb = Verb(
        "probe.do",
        "POST",
        "/probe",
        Right.RULE,
        AskedSecret,
        Done,
        run,
        "Nothing.",
        everywhere=True,
        two_persons=lambda *_: True,
    )
    assert reason(lambda: ask(verb, scene.world, scene.alice, AskedSecret(password="hunter2"))) == "ADM-077"
    assert scene.world.store.proposals() == ()
    with pytest.raises(ProposedError):
        ask(verb, scene.world, scene.alice, AskedSecret())


def test_what_is_shown_once_is_shown_to_who_agreed(scene: Scene) -> None:
    """A secret that comes of a proposal is told to who approved, and kept nowhere."""
    with pytest.raises(ProposedError) as kept:
        ask(admins.SETUP_LINK, scene.world, scene.alice, admins.NameAdministrator(name="bob"))
    shown = approve(scene, scene.bob, kept.value.proposal)
    link = shown.outcome["link"]
    assert link.startswith("https://pki.example.test:8443/set-up#")
    after = ask(verbs.SHOW, scene.world, scene.alice, verbs.NameProposal(proposal_id=str(shown.id)))
    assert after.outcome == {}
    assert link.partition("#")[2] not in repr(scene.world.store.log)


def test_a_new_authority_needs_two(scene: Scene) -> None:
    """AUTHZ-5: a certificate authority is made when two administrators want it."""
    world = scene.world
    asked = authorities.CreateAuthority(name="second", group="default")
    with pytest.raises(ProposedError) as kept:
        ask(authorities.CREATE, world, scene.alice, asked)
    before = len([each for each in world.store.authorities() if each.kind is AuthorityKind.ISSUING])
    approve(scene, scene.bob, kept.value.proposal)
    assert len([each for each in world.store.authorities() if each.kind is AuthorityKind.ISSUING]) == before + 1


def test_the_wait_is_a_week() -> None:
    """The life of a proposal is what the documentation says."""
    assert timedelta(days=7) == LIFE
