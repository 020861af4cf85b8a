"""What is wrong now: judgements over what the ports say, for alerts, and where `doctor` asks the same, for it too."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Protocol

from regalia import reasons
from regalia.ca.authority import renewal_due
from regalia.ca.crl_plan import lists_of
from regalia.model import (
    STANDING_PURPOSES,
    Action,
    AlertCondition,
    AuthorityKind,
    AuthorityState,
    CredentialPurpose,
    DeliveryState,
    Finding,
    Occasion,
    Severity,
    crl_name,
)
from regalia.ports import Alerts, AlertTargets, Authorities, Catalogue, Checkpoints, Crls, Deliveries, Events, Jobs
from regalia.ra.checkpoints import INTERVAL
from regalia.ra.fleet_findings import FleetFindingStore, found_in_fleet
from regalia.wire.certificate import read_certificate
from regalia.wire.checkpoint import read_checkpoint
from regalia.wire.event import time_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from regalia.model import Authority, Credential, Event
    from regalia.ports import JobStatus
    from regalia.ports.connectors import Links
    from regalia.ra.checkpoints import CheckpointDesk

__all__ = [
    "AUTHORITY_ENDS",
    "ROOT_CRL_ENDS",
    "STANDING",
    "Bounds",
    "FindingStore",
    "NodeState",
    "crl_is_near_end",
    "found_in_cluster",
    "found_on_node",
    "is_checkpoint_late",
]

AUTHORITY_ENDS: Final = timedelta(days=90)
"""What `doctor` calls near for an authority; `[alerts]` may say otherwise for alerts."""
ROOT_CRL_ENDS: Final = timedelta(days=30)
_CHECKPOINT_LATE: Final = 3 * INTERVAL
_QUARTER: Final = timedelta(minutes=15)
_REFUSED_READ: Final = 2_000
_DAY: Final = timedelta(days=1)
_PATIENCE: Final = timedelta(minutes=10)
"""A job that fails for less than this, or twice its interval, is left to its next run."""
_TOLD: Final = 300
"""Characters of somebody else's words in a summary."""

STANDING: Final[Mapping[AuthorityState, Sequence[CredentialPurpose]]] = {
    AuthorityState.NEXT: STANDING_PURPOSES,
    AuthorityState.ACTIVE: STANDING_PURPOSES,
    AuthorityState.RETIRING: (CredentialPurpose.OCSP,),
    AuthorityState.RETIRED: (),
    AuthorityState.REVOKED: (),
}
"""What is looked at: an RA credential of one that issues no more is not renewed."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """From when on something is wrong: `[alerts]`."""

    authority: timedelta = AUTHORITY_ENDS
    tls: timedelta = timedelta(days=21)
    refusals: int = 100
    """In a quarter of an hour, in one group or from one source."""
    disk_percent: int = 5


class FindingStore(
    FleetFindingStore,
    Authorities,
    Catalogue,
    Crls,
    Events,
    Jobs,
    Checkpoints,
    Alerts,
    AlertTargets,
    Deliveries,
    Protocol,
):
    """What is looked at."""


@dataclass(frozen=True, slots=True)
class NodeState:
    """What only a node itself sees."""

    node: str
    certificates: Sequence[tuple[str, datetime]]
    """Its listeners' certificates: whose, and their ends."""
    disk_free: int
    disk_total: int


def crl_is_near_end(kind: AuthorityKind, this_update: datetime, next_update: datetime, now: datetime) -> bool:
    """Whether a CRL should have had a successor: a root's is brought by hand, and so is asked for earlier."""
    early = ROOT_CRL_ENDS if kind is AuthorityKind.ROOT else (next_update - this_update) / 4
    return next_update - now < early


def is_checkpoint_late(checkpoints: CheckpointDesk, last: datetime, now: datetime) -> bool:
    """Whether the next checkpoint of the log should have been made long ago."""
    return now - last > _CHECKPOINT_LATE and checkpoints.due(now)


def found_in_cluster(
    store: FindingStore, checkpoints: CheckpointDesk, links: Links, now: datetime, bounds: Bounds
) -> Iterator[Finding]:
    """Look at what all nodes share."""
    for authority in store.authorities():
        if authority.state not in {AuthorityState.REVOKED, AuthorityState.RETIRED}:
            yield from _authority(authority, now, bounds)
            yield from _crls(store, authority, now)
        for purpose in STANDING[authority.state]:
            for credential in store.credentials(purpose, authority.name)[:1]:
                yield from _credential(credential, authority, now)
    yield from _jobs(store.job_status(), now)
    yield from _refusals(store.refused_since(now - _QUARTER, _REFUSED_READ), bounds)
    yield from _replays(store.refused_since(now - 4 * _QUARTER, _REFUSED_READ))
    yield from _checkpoint(store, checkpoints, now)
    yield from _dead(store, now)
    yield from found_in_fleet(store, links, now)


def found_on_node(state: NodeState, now: datetime, bounds: Bounds) -> Iterator[Finding]:
    """Look at what one node alone sees."""
    for name, end in state.certificates:
        if end - now < bounds.tls:
            yield Finding(
                AlertCondition.TLS_ENDS,
                f"node:{state.node}/{name}",
                _severity(end - now, bounds.tls),
                f"The certificate of {name} on node {state.node} {_until(end, now)}.",
                "A certificate of ours renews itself while `regalia serve` runs; one in files is for you to replace.",
            )
    free = 100 * state.disk_free // max(1, state.disk_total)
    if free < bounds.disk_percent:
        yield Finding(
            AlertCondition.DISK_LOW,
            f"node:{state.node}/disk",
            Severity.CRITICAL if free * 5 < bounds.disk_percent else Severity.WARNING,
            f"The disk of the home on node {state.node} has less than {bounds.disk_percent} % left.",
            "Make room: without it nothing can be issued or revoked.",
        )


def _severity(left: timedelta, early: timedelta) -> Severity:
    return Severity.CRITICAL if left < early / 9 else Severity.WARNING


def _until(end: datetime, now: datetime) -> str:
    """Say when, but not how many days are left: that would be other words every day."""
    return f"ended on {time_text(end)[:10]}" if end <= now else f"ends on {time_text(end)[:10]}"


def _authority(authority: Authority, now: datetime, bounds: Bounds) -> Iterator[Finding]:
    end = read_certificate(authority.certificate_der).not_after
    if end - now < bounds.authority:
        yield Finding(
            AlertCondition.AUTHORITY_ENDS,
            f"authority:{authority.name}",
            _severity(end - now, bounds.authority),
            f"Authority {authority.name} {_until(end, now)}; what it issues ends with it.",
            f"Make its successor: `regalia ca rotate {authority.name}`.",
            authority.group,
        )


def _credential(credential: Credential, authority: Authority, now: datetime) -> Iterator[Finding]:
    life, left = credential.not_after - credential.not_before, credential.not_after - now
    # Half of the time that a renewal has is gone, and it was not made.
    late = renewal_due(credential, now) and left * (4 if credential.purpose is CredentialPurpose.OCSP else 6) < life
    if late:
        yield Finding(
            AlertCondition.CREDENTIAL_ENDS,
            f"credential:{credential.purpose.value}/{authority.name}",
            _severity(left, life / 6),
            f"The {credential.purpose.upper()} credential of {authority.name} {_until(credential.not_after, now)}"
            " and was not renewed.",
            "See that `regalia serve` runs and that its job renew-credentials succeeds: `regalia job list`.",
            authority.group,
        )


def _crls(store: Crls, authority: Authority, now: datetime) -> Iterator[Finding]:
    lists = [crl_name(authority.name, shard) for shard in lists_of(authority)]
    lists += [crl_name(authority.name, shard, delta=True) for shard in lists_of(authority) if authority.crl_delta]
    for name in lists:
        last = store.last_crl(name)
        # What was never published has no end: a new authority's first list comes within the minute, or its job fails.
        if last is None or not crl_is_near_end(authority.kind, last.this_update, last.next_update, now):
            continue
        yield Finding(
            AlertCondition.CRL_LATE,
            f"crl:{name}",
            Severity.CRITICAL if last.next_update <= now else Severity.WARNING,
            f"CRL {last.number} of {name} {_until(last.next_update, now)} and has no successor.",
            f"Run `regalia ca crl {authority.name}`, with the medium where its key is offline.",
            authority.group,
        )


def _jobs(jobs: Sequence[JobStatus], now: datetime) -> Iterator[Finding]:
    for job in jobs:
        if job.last_run is None or now - job.last_run > _DAY:
            # A node that is gone, or a job that there is no more: `doctor` and `job list` still show it.
            continue
        every = job.every or timedelta(0)
        if not job.last_error:
            if "@" not in job.name and now - job.last_run > max(_PATIENCE, 3 * every):
                yield _failing(job, f"Job {job.name} has not run since {time_text(job.last_run)}.")
        elif reasons.AUDIT_FOUND.id in job.last_error:
            yield Finding(
                AlertCondition.AUDIT_FINDING,
                f"job:{job.name}",
                Severity.CRITICAL,
                f"What was issued is not what it must be: {job.last_error[:_TOLD]}",
                "Run `regalia cert audit` and look at each certificate that it names.",
            )
        elif job.last_success is None or now - job.last_success > max(_PATIENCE, 2 * every):
            # One that never succeeded has no time to wait from: each failure moves all its other times.
            yield _failing(job, f"Job {job.name} fails: {job.last_error[:_TOLD]}")


def _failing(job: JobStatus, summary: str) -> Finding:
    remedy = f"See `regalia job show {job.name}` and the server's log."
    return Finding(AlertCondition.JOB_FAILING, f"job:{job.name}", Severity.WARNING, summary, remedy)


def _refusals(refused: Sequence[Event], bounds: Bounds) -> Iterator[Finding]:
    """Count by group; what was folded belongs to a source, not to a group."""
    groups: Counter[str | None] = Counter()
    for event in refused:
        folded = event.draft.details.get("count") if event.draft.action is Action.REFUSALS_FOLDED else None
        groups[event.draft.group] += folded if isinstance(folded, int) else 1
    for group, count in groups.items():
        if count >= bounds.refusals:
            where = f"in group {group}" if group is not None else "outside any group"
            yield Finding(
                AlertCondition.REFUSALS,
                f"group:{group}" if group is not None else "group:none",
                Severity.WARNING,
                f"More than {bounds.refusals - 1} requests {where} were refused within a quarter of an hour.",
                "See `regalia event tail --action enrolment.refused`: a fleet set up wrongly, or somebody who tries.",
                group,
            )


def _replays(refused: Sequence[Event]) -> Iterator[Finding]:
    seen: set[tuple[str | None, str]] = set()
    for event in refused:
        draft = event.draft
        folded = draft.details.get("reasons") if draft.action is Action.REFUSALS_FOLDED else None
        among = isinstance(folded, dict) and reasons.CHALLENGE_REPLAYED.id in folded
        where = (draft.group, draft.object)
        if (draft.reason_id == reasons.CHALLENGE_REPLAYED.id or among) and where not in seen:
            seen.add(where)
            yield Finding(
                AlertCondition.CHALLENGE_REPLAYED,
                draft.object,
                Severity.CRITICAL,
                f"A challenge that was used before was shown again with another key ({draft.object}).",
                "Somebody else knows it: compare keys and sources in the events, revoke what was not your device.",
                draft.group,
            )


def _checkpoint(store: Checkpoints, checkpoints: CheckpointDesk, now: datetime) -> Iterator[Finding]:
    signed = store.last_checkpoint()
    if signed is not None and is_checkpoint_late(checkpoints, read_checkpoint(signed.record).at, now):
        yield Finding(
            AlertCondition.CHECKPOINT_LATE,
            "log:checkpoint",
            Severity.WARNING,
            f"No checkpoint of the audit log was made since number {signed.number}.",
            "See that `regalia serve` runs, or run `regalia event checkpoint`.",
        )


def _dead(store: FindingStore, now: datetime) -> Iterator[Finding]:
    """Tell of targets that are not reached, until nothing has died for a day."""
    there = {target.id for target in store.targets()}
    dead = store.deliveries(state=DeliveryState.DEAD)
    lately = [
        each
        for each in dead
        if each.occasion is not Occasion.TEST and each.last_at is not None and now - each.last_at < _DAY
    ]
    for name in sorted({each.target_name for each in lately if each.target in there}):
        yield Finding(
            AlertCondition.DELIVERY_DEAD,
            f"target:{name}",
            Severity.WARNING,
            f"Alerts for target {name} could not be delivered and were given up.",
            f"See `regalia alert delivery list --target {name}`, then `regalia alert delivery replay`.",
        )
