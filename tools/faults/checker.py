"""The invariants I1 to I10, each judged from outside: the journals joined with the database.

Each of the functions `i1` to `i10` takes the `Evidence` and yields the violations that it finds, each as a sentence.
What a run shows of interrupted intents is counted by `outcomes`.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from regalia.ra.audit import Finding
    from tools.faults.ledger import CertificateRow, EnrolmentRow, Ledger

__all__ = ["INVARIANTS", "Evidence", "Outcomes", "Violation", "check", "outcomes"]

Entry = dict[str, Any]

_NOTICE_SECONDS: Final = 6.0
"""Thrice the 2 s in which a node hears of a revocation that another one made (DESIGN §8)."""


@dataclass(frozen=True)
class Evidence:
    """What was written during a run, and what the database holds at its end."""

    ledger: Ledger
    signatures: Sequence[Entry]
    clients: Sequence[Entry]
    rogues: Sequence[Entry]
    polls: Sequence[Entry]
    interrupted: frozenset[UUID]
    """Device certificates that were intents when a process had been killed."""
    broken_streams: Sequence[Finding]
    """What `event verify` finds."""
    recovered_at: int
    """When the last recovery began, milliseconds by the servers' clock: what was overdue then must be settled."""
    burst: tuple[Mapping[str, str], Mapping[str, str]] | None = None
    """Digests of the tables before and after a burst of refused requests to a server that did nothing else."""

    @cached_property
    def by_id(self) -> dict[UUID, CertificateRow]:
        """The certificates by their rows."""
        return {row.id: row for row in self.ledger.certificates}

    @cached_property
    def revoked(self) -> dict[UUID, int]:
        """When each certificate was revoked."""
        return {row.certificate_id: row.at for row in self.ledger.revocations}

    @cached_property
    def written(self) -> dict[tuple[str, int], int]:
        """Where in the log it stands what happened to which serial."""
        return {
            (event.action, int(event.object.rpartition(":")[2], 16)): event.position
            for event in self.ledger.events
            if event.object.startswith("certificate:")
        }

    @cached_property
    def received(self) -> list[Entry]:
        """What clients received."""
        return [entry for entry in self.clients if entry["event"] == "received"]


@dataclass(frozen=True, slots=True)
class Violation:
    """An invariant that did not hold, and how that shows."""

    invariant: str
    what: str

    def __str__(self) -> str:
        return f"{self.invariant} {self.what}"


def i1(evidence: Evidence) -> Iterator[str]:
    """No signature without an earlier durable intent."""
    crls = {row.id for row in evidence.ledger.crls}
    for line in evidence.signatures:
        row = UUID(line["row"])
        if not line["committed"]:
            yield f"row {row} was signed before it was committed"
        elif line["kind"] == "crl" and row not in crls:
            yield f"CRL {line['number']} was signed, and its row is gone"
        elif line["kind"] == "certificate":
            found = evidence.by_id.get(row)
            if found is None:
                yield f"serial {line['number']} was signed, and its row is gone"
            elif found.tbs_sha256 is None or found.tbs_sha256.hex() != line["tbs_sha256"]:
                yield f"serial {line['number']} was signed over other octets than its row has"
    signed = {line["row"] for line in evidence.signatures}
    for certificate in evidence.ledger.certificates:
        if certificate.kind == "leaf" and certificate.state == "issued" and str(certificate.id) not in signed:
            yield f"serial {certificate.serial:x} has a signature that is in no journal"


def i2(evidence: Evidence) -> Iterator[str]:
    """No serial twice: neither two rows, nor two signatures over different octets, nor two certificates received."""
    for (authority, serial), count in Counter(
        (row.authority, row.serial) for row in evidence.ledger.certificates
    ).items():
        if count > 1:
            yield f"serial {serial:x} of {authority} stands in {count} rows"
    signed: dict[tuple[str, str, str], set[tuple[str, str]]] = defaultdict(set)
    for line in evidence.signatures:
        signed[line["kind"], line["authority"], line["number"]].add((line["tbs_sha256"], line["signature_sha256"]))
    for (kind, authority, number), ways in signed.items():
        if len(ways) > 1:
            yield f"{kind} {number} of {authority} was signed in {len(ways)} different ways"
    held: dict[str, set[str]] = defaultdict(set)
    for entry in evidence.received:
        held[entry["serial"]].add(entry["der"])
    yield from (
        f"clients hold {len(ders)} certificates of serial {serial}" for serial, ders in held.items() if len(ders) > 1
    )


def i3(evidence: Evidence) -> Iterator[str]:
    """Whoever received a certificate finds the same bytes in the database."""
    stored = {row.der.hex() for row in evidence.ledger.certificates if row.der is not None and row.state == "issued"}
    for serial in {entry["serial"] for entry in evidence.received if entry["der"] not in stored}:
        yield f"a client holds serial {serial}, which the database does not have like this"


def i4(evidence: Evidence) -> Iterator[str]:
    """Who sends again gets the certificate of that conversation; another one only after the first was abandoned."""
    conversations: dict[tuple[str, str, str], set[str]] = defaultdict(set)
    for entry in evidence.received:
        conversations[entry["transaction"], entry["key"], entry["signer"]].add(entry["serial"])
    for (transaction, _, _), serials in conversations.items():
        if len(serials) > 1:
            yield f"transaction {_text(transaction)} was answered with {len(serials)} certificates"
    owners = {row.id: row for row in evidence.ledger.enrolments}
    by_serial = {f"{row.serial:x}": row for row in evidence.ledger.certificates}
    for entry in evidence.received:
        row = by_serial.get(entry["serial"])
        owner = owners.get(row.enrolment_id) if row is not None and row.enrolment_id is not None else None
        if row is not None and (owner is None or owner.certificate_id != row.id or not _is_of(owner, entry)):
            yield f"serial {entry['serial']} is not the certificate of transaction {_text(entry['transaction'])}"
    yield from _replaced(evidence)
    for entry in evidence.clients:
        if entry["event"] == "wrong":
            yield f"transaction {_text(entry['transaction'])} ({entry['kind']}), a good request, got {entry['what']}"
        elif entry["event"] == "unfinished":
            yield f"transaction {_text(entry['transaction'])} ({entry['kind']}) never got its certificate"


def _replaced(evidence: Evidence) -> Iterator[str]:
    """Yield conversations with a second certificate whose first was not abandoned and revoked before."""
    for rows in _by_enrolment(evidence).values():
        rows.sort(key=lambda row: row.created_at)
        for earlier, later in pairwise(rows):
            closed = evidence.written.get(("certificate.abandoned", earlier.serial))
            begun = evidence.written.get(("certificate.intent", later.serial))
            first = closed is not None and begun is not None and closed < begun
            if earlier.state != "abandoned" or earlier.id not in evidence.revoked or not first:
                yield f"serial {later.serial:x} took the place of {earlier.serial:x}, which was {earlier.state}"


def _by_enrolment(evidence: Evidence) -> dict[UUID, list[CertificateRow]]:
    found: dict[UUID, list[CertificateRow]] = defaultdict(list)
    for row in evidence.ledger.certificates:
        if row.enrolment_id is not None:
            found[row.enrolment_id].append(row)
    return found


def _is_of(owner: EnrolmentRow, entry: Entry) -> bool:
    return (owner.transaction_id.hex(), owner.key_sha256.hex()) == (entry["transaction"], entry["key"])


def i5(evidence: Evidence) -> Iterator[str]:
    """At most one unrevoked certificate per challenge, and a used challenge belongs to one conversation."""
    rows = _by_enrolment(evidence)
    alive: Counter[bytes] = Counter()
    enrolments = {row.id: row for row in evidence.ledger.enrolments}
    for enrolment in enrolments.values():
        if enrolment.challenge_mac is not None and enrolment.signer_serial is None and enrolment.state != "refused":
            alive[enrolment.challenge_mac] += sum(
                row.state in {"issued", "intent"} and row.id not in evidence.revoked for row in rows[enrolment.id]
            )
    yield from (f"a challenge has {count} unrevoked certificates" for count in alive.values() if count > 1)
    for challenge in evidence.ledger.challenges:
        if challenge.consumed_by is not None:
            user = enrolments.get(challenge.consumed_by)
            if user is None or user.state == "refused" or user.challenge_mac != challenge.mac:
                yield f"challenge {challenge.id} is used, and enrolment {challenge.consumed_by} did not use it"


def i6(evidence: Evidence) -> Iterator[str]:
    """Revoked never becomes good: by OCSP, in the CRLs, in the database."""
    first: dict[tuple[str, str], float] = {}
    anywhere: dict[str, float] = {}
    told: set[str] = set()
    for entry in evidence.polls:
        if entry["kind"] == "crl":
            told.update(entry["listed"])
            for serial in entry["gone"]:
                yield f"serial {serial} left the CRL {entry['number']} of {entry['node']}"
        elif entry["kind"] == "ocsp" and entry["status"] == "revoked":
            first.setdefault((entry["node"], entry["serial"]), entry["at"])
            anywhere.setdefault(entry["serial"], entry["at"])
            told.add(entry["serial"])
        elif entry["kind"] == "ocsp":
            here, there = first.get((entry["node"], entry["serial"])), anywhere.get(entry["serial"])
            known = (here is not None and entry["asked"] > here) or (
                there is not None and entry["asked"] > there + _NOTICE_SECONDS
            )
            if known and entry["status"] in {"good", "unknown"}:
                yield f"serial {entry['serial']} was revoked and is {entry['status']} at {entry['node']}"
    stored = {f"{row.serial:x}" for row in evidence.ledger.revocations}
    yield from (
        f"serial {serial} was told as revoked, and the database knows nothing of it" for serial in sorted(told - stored)
    )


def i7(evidence: Evidence) -> Iterator[str]:
    """CRL numbers only rise, and each published CRL verifies."""
    last: dict[str, int] = {}
    digests: dict[str, str] = {}
    numbers = {str(row.number) for row in evidence.ledger.crls}
    for entry in evidence.polls:
        if entry["kind"] != "crl":
            continue
        node, number = entry["node"], entry["number"]
        if entry["why"]:
            yield f"a CRL of {node}: {entry['why']}"
            continue
        if int(number) < last.get(node, 0):
            yield f"CRL {number} of {node} came after {last[node]}"
        if digests.setdefault(number, entry["sha256"]) != entry["sha256"]:
            yield f"there are two CRLs with number {number}"
        if number not in numbers:
            yield f"CRL {number} of {node} is not in the database"
        last[node] = int(number)


def i8(evidence: Evidence) -> Iterator[str]:
    """The event chain verifies, and there is one record per decision."""
    yield from (
        f"stream {broken.stream}, record {broken.sequence}: {broken.what}" for broken in evidence.broken_streams
    )
    events = Counter((event.action, event.object) for event in evidence.ledger.events)
    causes = {row.certificate_id: row.cause for row in evidence.ledger.revocations}
    due: Counter[tuple[str, str]] = Counter()
    for row in evidence.ledger.certificates:
        subject = f"certificate:{row.serial:x}"
        due["certificate.intent", subject] += 1
        due["certificate.issued", subject] += row.state == "issued"
        due["certificate.abandoned", subject] += row.state == "abandoned"
        due["certificate.revoked", subject] += causes.get(row.id, "abandoned") != "abandoned"
    kinds = {action for action, _ in due}
    for decision in sorted({*due, *(found for found in events if found[0] in kinds)}):
        if due[decision] != events[decision]:
            yield f"{decision[0]} of {decision[1]}: {events[decision]} events, {due[decision]} due"
    yield from _refusals(evidence)


def _refusals(evidence: Evidence) -> Iterator[str]:
    told = Counter(
        event.details.get("enrolment") for event in evidence.ledger.events if event.action == "enrolment.refused"
    )
    for row in evidence.ledger.enrolments:
        if row.state == "refused" and told[str(row.id)] != 1:
            yield f"refused enrolment {row.id} has {told[str(row.id)]} events"
    refused = {str(row.id) for row in evidence.ledger.enrolments if row.state == "refused"}
    for enrolment in told:
        if enrolment is not None and enrolment not in refused:
            yield f"an event refuses enrolment {enrolment}, which is not refused"


def i9(evidence: Evidence) -> Iterator[str]:
    """No intent outlives its lease after recovery."""
    for row in evidence.ledger.certificates:
        if row.state == "intent" and row.lease_until < evidence.recovered_at:
            yield f"serial {row.serial:x} is an intent whose lease ended before the last recovery began"
    for enrolment in evidence.ledger.enrolments:
        found = evidence.by_id.get(enrolment.certificate_id) if enrolment.certificate_id is not None else None
        if enrolment.state == "intent" and (found is None or found.state == "issued"):
            yield f"enrolment {enrolment.id} is an intent, and its certificate is not"


def i10(evidence: Evidence) -> Iterator[str]:
    """A refused request changes nothing but counters, events and the row of its own refused enrolment."""
    for entry in evidence.rogues:
        if entry["outcome"] not in {"refused", "no answer"}:
            yield f"a request with {entry['kind']} got {entry['outcome']}"
    keys = {entry["key"] for entry in evidence.rogues}
    for row in evidence.ledger.certificates:
        if row.key_sha256.hex() in keys:
            yield f"serial {row.serial:x} was begun for a request that was refused"
    yield from _recorded(evidence, keys)
    challenges = {entry["challenge"] for entry in evidence.rogues if entry["challenge"]}
    for challenge in evidence.ledger.challenges:
        if str(challenge.id) in challenges and challenge.consumed_by is not None:
            yield f"challenge {challenge.id} was consumed by a request that was refused"
    before, after = evidence.burst if evidence.burst is not None else ({}, {})
    for table in sorted({*before, *after}):
        if before.get(table) != after.get(table):
            yield f"a burst of refused requests changed table {table}: {before.get(table)} to {after.get(table)}"


def _recorded(evidence: Evidence, keys: set[str]) -> Iterator[str]:
    """Yield what the rows of refused requests say otherwise, and refusals without a row."""
    rows = [row for row in evidence.ledger.enrolments if row.key_sha256.hex() in keys]
    for enrolment in rows:
        if enrolment.state != "refused":
            yield f"enrolment {enrolment.id} is {enrolment.state}, and its request was refused"
    recorded = {(row.transaction_id.hex(), row.key_sha256.hex()) for row in rows}
    for entry in evidence.rogues:
        if entry["outcome"] == "refused" and (entry["transaction"], entry["key"]) not in recorded:
            yield f"transaction {_text(entry['transaction'])} was refused, and there is no record of it"


INVARIANTS: Final[tuple[Callable[[Evidence], Iterator[str]], ...]] = (i1, i2, i3, i4, i5, i6, i7, i8, i9, i10)


def check(evidence: Evidence) -> tuple[Violation, ...]:
    """Judge all ten."""
    return tuple(Violation(judge.__name__.upper(), what) for judge in INVARIANTS for what in judge(evidence))


# --- interrupted intents ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What became of the intents that a kill interrupted."""

    finished: int
    """As the certificate that was begun, with its signature over the recorded octets."""
    abandoned: int
    lost: int
    """Gone, still an intent, or signed otherwise."""

    @property
    def interrupted(self) -> int:
        """How many there were."""
        return self.finished + self.abandoned + self.lost

    @property
    def ratio(self) -> float:
        """The part that finished; 1 where there was none."""
        return self.finished / self.interrupted if self.interrupted else 1.0

    def __add__(self, other: Outcomes) -> Outcomes:
        return Outcomes(self.finished + other.finished, self.abandoned + other.abandoned, self.lost + other.lost)


def outcomes(evidence: Evidence) -> Outcomes:
    """Count them."""
    signed: dict[str, set[str]] = defaultdict(set)
    for line in evidence.signatures:
        signed[line["row"]].add(line["signature_sha256"])
    count: Counter[str] = Counter()
    for which in evidence.interrupted:
        row = evidence.by_id.get(which)
        if row is not None and row.state == "issued" and len(signed[str(which)]) == 1:
            count["finished"] += 1
        elif row is not None and row.state == "abandoned" and which in evidence.revoked:
            count["abandoned"] += 1
        else:
            count["lost"] += 1
    return Outcomes(count["finished"], count["abandoned"], count["lost"])


def _text(transaction: str) -> str:
    octets = bytes.fromhex(transaction)
    return octets.decode("ascii") if re.fullmatch(rb"[!-~]+", octets) else transaction
