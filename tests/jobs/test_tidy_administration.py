"""The job that tidies administration."""

from __future__ import annotations

from datetime import timedelta

from regalia.jobs.housekeeping import ANSWERS_KEPT, SESSIONS_KEPT, TidyAdministration
from regalia.model import ProposalState, Session, SignInKind, new_id
from regalia.ra.proposals import LIFE, NewProposal
from regalia.ra.roles import EVERYTHING
from regalia.ra.tokens import NewToken
from world import ADMIN, World

YEAR = timedelta(days=400)


def test_what_is_over_goes() -> None:
    """Proposals end after a week; answers go after a day, sessions after a month, addresses after 400 days."""
    world = World()
    store, job, now = world.store, TidyAdministration(world.store, world.proposals, after=YEAR), world.clock.now()
    person = world.administrators.create("alice", EVERYTHING, display="", actor=ADMIN, bound=EVERYTHING)
    proposal = world.proposals.propose(NewProposal("admin.create", {}, (), None, person.id), actor=ADMIN)
    session = Session(new_id(now, bytes(10)), b"s", person.id, SignInKind.PASSKEY, "192.0.2.1", now, now, now, now)
    store.add_session(session, ())
    store.begin_answer("user:alice", "key", b"r", now)
    made = world.tokens.create(NewToken("ci", EVERYTHING, timedelta(days=1), None), actor=ADMIN, bound=EVERYTHING)
    store.token_used(made.token.id, now, "192.0.2.1")

    def there() -> tuple[ProposalState, bool, bool, str]:
        """What is left."""
        found = store.proposal(proposal.id)
        assert found is not None
        answer = store.begin_answer("user:alice", "key", b"r", now) is not None
        return found.state, answer, store.session(b"s") is not None, store.tokens()[0].last_source

    job.run(now)
    assert there() == (ProposalState.OPEN, True, True, "192.0.2.1")
    world.clock.advance(ANSWERS_KEPT + timedelta(seconds=1))
    job.run(world.clock.now())
    assert there() == (ProposalState.OPEN, False, True, "192.0.2.1")
    world.clock.advance(LIFE)
    job.run(world.clock.now())
    assert there()[0] is ProposalState.EXPIRED
    world.clock.advance(SESSIONS_KEPT)
    job.run(world.clock.now())
    assert there()[2:] == (False, "192.0.2.1")
    world.clock.advance(YEAR)
    job.run(world.clock.now())
    assert there()[3] == ""
