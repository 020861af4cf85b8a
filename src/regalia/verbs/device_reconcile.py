"""What follows now for certificates: what would be done, and having it done."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from regalia.model import Right
from regalia.model.fleet import StepKind
from regalia.ports.fleet import Bearer
from regalia.ra.follow_run import carry_out, follow_device, planned, planned_for
from regalia.ra.following import describe
from regalia.verbs.fields import Id
from regalia.verbs.finding import found_device
from regalia.verbs.verb import Asked, Desk, Record, Verb

if TYPE_CHECKING:
    from collections.abc import Mapping

    from regalia.model.fleet import Step
    from regalia.ra.follow_run import Done, Planned

__all__ = ["PLANNED", "RECONCILE", "VERBS", "AskReconciliation", "Reconcile", "Reconciled", "ReconciliationPlanned"]

_MOST = 10_000


class AskReconciliation(Asked):
    """For whom."""

    device: Annotated[Id | None, Field(description="For this device only.")] = None
    steps: Annotated[int, Field(ge=0, le=_MOST, description="How many steps to tell at most; all are counted.")] = 1_000


class Reconcile(Asked):
    """For whom."""

    device: Annotated[Id | None, Field(description="For this device only.")] = None


class StepRecord(Record):
    """What is to be done to one certificate."""

    kind: StepKind
    serial: str
    group: str
    record: str
    """Id of the device's record, or the user's."""
    text: str


class _Counts(Record):
    revoke: int
    hold: int
    release: int
    note: Annotated[int, Field(description="Causes that are kept, or ended, where the status stays what it is.")]


class ReconciliationPlanned(_Counts):
    """What would be done now."""

    digest: Annotated[str, Field(description="Of all that would be revoked or held.")]
    stops: Annotated[tuple[str, ...], Field(description="Why the brake would stop it, if so.")]
    steps: tuple[StepRecord, ...]


class Reconciled(_Counts):
    """What was done."""

    passed: Annotated[int, Field(description="Certificates whose status had just changed: the next run looks again.")]
    stops: Annotated[tuple[str, ...], Field(description="Why the brake stopped it, if so: then nothing was done.")]
    digest: Annotated[str | None, Field(description="Of the plan that is stopped now: see `device.stops`.")]


def plan_reconciliation(desk: Desk, asked: AskReconciliation) -> ReconciliationPlanned:
    """Plan and count, without doing anything."""
    run = _planned(desk, asked.device)
    return ReconciliationPlanned(
        **_counts(run.tally.kinds),
        digest=run.tally.digest,
        stops=tuple(map(str, run.stops)),
        steps=tuple(map(_step_record, islice(run.steps(), asked.steps))),
    )


def reconcile(desk: Desk, asked: Reconcile) -> Reconciled:
    """Do what is due now, as the job does; the brake holds for it as well."""
    services, groups = desk.services, desk.reach.groups
    if asked.device is not None:
        device = found_device(desk, asked.device)
        done = follow_device(services.store, device.id, desk.now(), actor=desk.actor, groups=groups)
    else:
        done = carry_out(services.store, services.entropy, desk.now(), actor=desk.actor, groups=groups)
    return _reconciled(done)


def _planned(desk: Desk, wanted: str | None) -> Planned:
    store, groups = desk.services.store, desk.reach.groups
    if wanted is None:
        return planned(store, desk.now(), groups=groups)
    return planned_for(store, Bearer(found_device(desk, wanted).id, None), desk.now(), groups=groups)


def _reconciled(done: Done) -> Reconciled:
    return Reconciled(
        **_counts(done.kinds),
        passed=done.passed,
        stops=done.why,
        digest=done.stopped.digest if done.stopped is not None else None,
    )


def _counts(kinds: Mapping[StepKind, int]) -> dict[str, int]:
    return {kind.value: kinds.get(kind, 0) for kind in StepKind}


def _step_record(step: Step) -> StepRecord:
    return StepRecord(
        kind=step.kind, serial=f"{step.serial:x}", group=step.group, record=step.device, text=describe(step)
    )


PLANNED = Verb(
    "device.reconciliation",
    "GET",
    "/device-reconciliation",
    Right.READ,
    AskReconciliation,
    ReconciliationPlanned,
    plan_reconciliation,
    "Say what follows now for certificates from what connectors say of devices and users; nothing is done.",
)
RECONCILE = Verb(
    "device.reconcile",
    "POST",
    "/device-reconciliation",
    Right.ARRANGE,
    Reconcile,
    Reconciled,
    reconcile,
    "Have done now what follows for certificates, in the caller's groups. The brake holds for it as well.",
)

VERBS = (PLANNED, RECONCILE)
