"""The uniform answer (R6, ENV-3): every fault of the content costs the same work and says the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from test_refusals import SCENARIOS

from memory_store import MemoryStore
from regalia import reasons
from regalia.errors import Stage
from regalia.model import Action
from regalia.ra.scep import CertRep
from regalia.wire import oids
from regalia.wire.scep import read_message
from world import World

if TYPE_CHECKING:
    from collections.abc import Sequence

    from regalia.model import Enrolment, EventDraft

ENVELOPE = sorted(rid for rid in SCENARIOS if (reason := reasons.by_id(rid)) and reason.stage is Stage.ENVELOPE)
RETRIEVAL = [reasons.RETRIEVAL_REFUSED.id, reasons.CERTIFICATE_UNKNOWN.id]
WAIT = [*ENVELOPE, *RETRIEVAL]
OTHERS = sorted(rid for rid in SCENARIOS if rid not in WAIT and SCENARIOS[rid][1] is not None)


class Counting(MemoryStore):
    """A store that counts its transactions."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[str] = []

    def record(self, events: Sequence[EventDraft]) -> None:
        """See `ports.Events`."""
        self.writes.append("record")
        super().record(events)

    def record_refusal(self, enrolment: Enrolment, events: Sequence[EventDraft]) -> None:
        """See `ports.Enrolments`."""
        self.writes.append("record_refusal")
        super().record_refusal(enrolment, events)


def provoked(reason_id: str) -> tuple[Counting, CertRep]:
    """Drive one way to be refused; the store has counted what the last message cost."""
    store = Counting()
    world = World(store=store)
    made = SCENARIOS[reason_id][0](world)
    message, endpoint = made if isinstance(made, tuple) else (made, "default")
    store.writes.clear()
    answer = world.send(message, endpoint)
    assert isinstance(answer, CertRep), answer
    assert world.last_event().draft.reason_id == reason_id
    return store, answer


@pytest.mark.parametrize("reason_id", WAIT)
def test_every_fault_of_the_content_costs_one_write_and_one_answer(reason_id: str) -> None:
    """ENV-3: one event, one transaction, no row, no text; the answer is told when its step began, to wait for it."""
    store, answer = provoked(reason_id)
    assert store.writes == ["record"]
    assert store.log[-1].draft.action is Action.ENROLMENT_REFUSED
    assert answer.opening_began is not None
    raw = read_message(answer.der)
    assert raw.attributes is not None
    assert raw.attributes.maybe(oids.FAIL_INFO_TEXT) is None


def test_the_answers_to_all_of_them_are_of_one_length() -> None:
    """R6: nothing in its octets but nonce, time and signature differs between two causes."""
    assert len(ENVELOPE) >= 7
    lengths = set()
    for reason_id in WAIT:
        store, answer = provoked(reason_id)
        door = store.door("default")
        assert door is not None
        # Each world has an RA certificate of its own, whose ECDSA signature is an octet longer or shorter.
        lengths.add(len(answer.der) - len(door.ra.certificate_der))
    assert len(lengths) == 1


@pytest.mark.parametrize("reason_id", OTHERS)
def test_no_other_answer_waits(reason_id: str) -> None:
    """ENV-3: where nothing was decrypted, and where all was well with the content, there is nothing to hide."""
    assert provoked(reason_id)[1].opening_began is None
