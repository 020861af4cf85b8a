"""Two processes race for one challenge, one conversation, one approval: 1 000 rounds on each database."""

from __future__ import annotations

import sys
import time
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from cluster import cluster
from cryptography import x509
from fleet import device_of, message_of
from racing import Task, racers

from postgres import running_postgres
from regalia import reasons
from regalia.app import build
from regalia.config import load_config
from regalia.model import Action, Authoriser, CertificateKind, EnrolmentState
from regalia.ports import CertificateFilter, EnrolmentFilter, EventFilter
from regalia.ra.scep import CertRep
from regalia.wire.scep import PkiStatus
from world import ADMIN, names

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cluster import Node
    from fleet import Message
    from racing import Answer, Racers
    from tools.postgres import Cluster

    from regalia.app import App

pytestmark = [pytest.mark.real, pytest.mark.serial, pytest.mark.timeout(300)]

CHALLENGES, CONVERSATIONS, APPROVALS = 400, 200, 400
"""1 000 rounds together. In a race for a conversation one node waits for the other, and looks ten times a second."""
PLENTY = {
    "limits__wrong_challenges_per_source": "1000000",
    "limits__wrong_challenges_per_group": "1000000",
    "limits__requests_per_group": "1000000",
    "limits__certificates_per_device": "10000",
}
BUSY = reasons.IN_PROGRESS.id


class Race:
    """Two racers, and the administrator's side."""

    def __init__(self, nodes: list[Node], app: App, both: Racers) -> None:
        self.nodes = nodes
        self.app = app
        self.both = both

    def message(self, key: int, transaction: str, secret: str, endpoint: str = "default") -> Message:
        """Make the message of a device whose key has one name."""
        return message_of(device_of(self.app, key, transaction.encode(), endpoint=endpoint), "laptop", secret)

    def mint(self) -> str:
        """Hand out a one-time challenge."""
        made = self.app.challenges.mint(
            "default", binding=names("laptop"), device=None, ttl=timedelta(hours=1), actor=ADMIN
        )
        return made.secret

    def leaves(self) -> list[bytes]:
        """Return every device's certificate that is good."""
        found = self.app.store.certificates(CertificateFilter(kind=CertificateKind.LEAF, limit=100_000))
        return [each.der for each in found if each.der is not None and each.revocation is None]

    def refusal(self, message: Message) -> list[object]:
        """Return what the log says of a message that was refused."""
        wanted = message.device.transaction.octets.decode()
        events = self.app.store.events(EventFilter(action=Action.ENROLMENT_REFUSED, limit=1_000))
        return [(each.draft.reason_id, each.draft.details) for each in events if each.draft.transaction_id == wanted]

    def run(self, rounds: list[tuple[Task, Task]]) -> list[tuple[Answer, Answer]]:
        """Race, and print how long it took."""
        begun = time.monotonic()
        answers = self.both.race(rounds)
        sys.stdout.write(f"{len(rounds)} rounds in {time.monotonic() - begun:.1f} s\n")
        return answers

    def close(self) -> None:
        """See that no serial was given twice (I2), and that the log is whole (I8)."""
        leaves = self.leaves()
        assert len({x509.load_der_x509_certificate(each).serial_number for each in leaves}) == len(leaves)
        assert self.nodes[0].administered.verify_events()["intact"] is True


@pytest.fixture(scope="module")
def postgresql() -> Iterator[Cluster]:
    """A server for these races."""
    with running_postgres("max_connections=60", "fsync=off") as server:
        yield server


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def race(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Race]:
    """Two nodes on PostgreSQL; with SQLite, two processes of one home."""
    database = None
    if request.param == "postgresql":
        server: Cluster = request.getfixturevalue("postgresql")
        database = server.create("races")
    with cluster(tmp_path_factory.mktemp("race"), database, PLENTY) as nodes:
        homes = [(node.home, node.settings) for node in (nodes[0], nodes[-1])]
        app = build(load_config(dict(nodes[0].settings), home=nodes[0].home))
        try:
            with racers(homes) as both:
                yield Race(nodes, app, both)
        finally:
            app.close()


def opened(message: Message, answer: Answer) -> bytes | str:
    """Return the certificate of a success, or why there is none."""
    if answer.reply is None:
        return answer.reason
    reply = message.device.open(CertRep(answer.reply), message.csr)
    return reply.certificates[0] if reply.status is PkiStatus.SUCCESS else reply.status.name


def test_one_challenge_is_one_certificate(race: Race) -> None:
    """CHA-1: two devices with different keys show one challenge to two nodes at once: one is served, one refused."""
    before = len(race.leaves())
    pairs = []
    for number in range(CHALLENGES):
        secret = race.mint()
        pairs.append(tuple(race.message(key, f"challenge-{number}-{key}", secret) for key in (0, 1)))
    answers = race.run([tuple(Task("send", "default", each.octets) for each in pair) for pair in pairs])  # type: ignore[misc] # pairs
    won: Counter[int] = Counter()
    got = []
    for pair, told in zip(pairs, answers, strict=True):
        outcomes = [opened(message, answer) for message, answer in zip(pair, told, strict=True)]
        assert sorted(type(each).__name__ for each in outcomes) == ["bytes", "str"], outcomes
        assert "FAILURE" in outcomes
        got += [each for each in outcomes if isinstance(each, bytes)]
        won[outcomes.index("FAILURE")] += 1
    stored = race.leaves()
    assert len(stored) - before == CHALLENGES
    assert set(got) <= set(stored)
    assert len(set(got)) == CHALLENGES
    sys.stdout.write(f"refused: {dict(won)}\n")
    assert len(won) == 2, "one of the two was always faster: this was no race"
    race.close()


def test_one_conversation_is_one_certificate(race: Race) -> None:
    """R3 and I4: a device that sends its request to two nodes at once gets the same certificate from both."""
    before = len(race.leaves())
    messages = [race.message(2, f"conversation-{number}", race.mint()) for number in range(CONVERSATIONS)]
    tasks = [Task("send", "default", each.octets) for each in messages]
    answers = race.run([(task, task) for task in tasks])
    got, late = [], 0
    for message, told in zip(messages, answers, strict=True):
        outcomes = {opened(message, answer) for answer in told}
        late += BUSY in outcomes
        assert [type(each) for each in outcomes - {BUSY}] == [bytes], race.refusal(message)
        (certificate,) = outcomes - {BUSY}
        assert isinstance(certificate, bytes)
        got.append(certificate)
    again = race.both.race([(tasks[-1], tasks[-1])])[0]
    assert {opened(messages[-1], each) for each in again} == {got[-1]}
    stored = race.leaves()
    assert len(stored) - before == CONVERSATIONS == len(set(got))
    assert set(got) <= set(stored)
    sys.stdout.write(f"told to come again: {late}\n")
    race.close()


def test_one_approval_is_one_certificate(race: Race) -> None:
    """POL-3: of two administrators who decide at once one decides; the certificate is there if that one approved."""
    app = race.app
    app.registry.create_endpoint(
        "queue", group="default", profile="eap-tls", authoriser=Authoriser.APPROVAL, actor=ADMIN
    )
    secret = app.challenges.rotate("queue", actor=ADMIN).secret
    before = set(race.leaves())
    door = app.scep.door("queue")
    assert door is not None
    for number in range(APPROVALS):
        held = race.message(3, f"approval-{number}", secret, "queue")
        answer = app.scep.pki_operation(door, held.octets, "192.0.2.1")
        assert isinstance(answer, CertRep)
        assert held.device.open(answer, held.csr).status is PkiStatus.PENDING
    waiting = app.store.enrolments(EnrolmentFilter(state=EnrolmentState.PENDING, limit=APPROVALS + 1))
    assert len(waiting) == APPROVALS
    verbs = [("approve", ("approve", "deny")[number % 2]) for number in range(APPROVALS)]
    answers = race.run(
        [
            (Task(first, enrolment=each.id), Task(second, enrolment=each.id))
            for (first, second), each in zip(verbs, waiting, strict=True)
        ]
    )
    decided: Counter[str] = Counter()
    for (_, second), told, asked in zip(verbs, answers, waiting, strict=True):
        ended = app.store.enrolment(asked.id)
        assert ended is not None
        approved = [each.certificate for each in told if each.certificate is not None]
        denied = second == "deny" and told[1].reason == reasons.APPROVAL_DENIED.id
        lost = [each.reason for each in told if each.reason == reasons.ENROLMENT_DECIDED.id]
        assert (len(approved) + denied, len(lost)) == (1, 1), told
        assert ended.state is (EnrolmentState.REFUSED if denied else EnrolmentState.ISSUED)
        decided["denied" if denied else "approved"] += 1
    certificates = set(race.leaves()) - before
    assert len(certificates) == decided["approved"]
    assert certificates == {each.certificate for told in answers for each in told if each.certificate is not None}
    sys.stdout.write(f"{dict(decided)}\n")
    assert decided["denied"]
    race.close()
