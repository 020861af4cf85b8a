"""Devices, users and certificates to follow, and what becomes of a certificate when a step is done."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from regalia.model.fleet import Device, DeviceState, Platform, Step, StepKind, User, UserState
from regalia.ra.following import LiveCertificate, Standing

__all__ = ["DAY", "NOW", "applied", "certificate", "device", "done", "standing", "user"]

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)


def device(state: DeviceState | None = None, number: int = 1, **changes: object) -> Device:
    """Return a device of group `default`, seen for the first time a month ago, as it is now since yesterday."""
    made = Device(
        id=UUID(int=number),
        connector="intune",
        external_id=f"device-{number}",
        group="default",
        name=f"laptop-{number}",
        platform=Platform.WINDOWS,
        state=state or DeviceState(),
        state_since=NOW - DAY,
        first_seen_at=NOW - 30 * DAY,
        seen_at=NOW - timedelta(minutes=5),
        user="user-1",
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def user(state: UserState | None = None, **changes: object) -> User:
    """Return the user of that device."""
    made = User(
        id=UUID(int=1 << 64),
        connector="intune",
        external_id="user-1",
        name="Ada",
        upn="ada@example.org",
        state=state or UserState(),
        state_since=NOW - DAY,
        first_seen_at=NOW - 30 * DAY,
        seen_at=NOW - timedelta(minutes=5),
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def certificate(number: int = 1, **changes: object) -> LiveCertificate:
    """Return a good certificate of the device, issued ten days ago."""
    made = LiveCertificate(
        id=UUID(int=number << 32),
        serial=0x1000 + number,
        group="default",
        profile="device",
        issued_at=NOW - 10 * DAY,
        not_after=NOW + 355 * DAY,
        key_sha256=number.to_bytes(32),
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def standing(
    state: DeviceState | None = None,
    *certificates: LiveCertificate,
    of: User | None = None,
    number: int = 1,
    **changes: object,
) -> Standing:
    """Return a device in a state, with its certificates, or with one."""
    return Standing(device(state, number, **changes), of or user(), certificates or (certificate(),))


def done(certificate: LiveCertificate, step: Step, at: datetime) -> LiveCertificate:
    """Return the certificate as it is after a step."""
    after = replace(certificate, kept=step.causes)
    if step.kind is StepKind.REVOKE:
        return replace(after, revoked=True)
    if step.kind is StepKind.HOLD:
        return replace(after, held_at=at)
    return replace(after, held_at=None) if step.kind is StepKind.RELEASE else after


def applied(before: Standing, steps: tuple[Step, ...], at: datetime) -> Standing:
    """Return a standing after its steps."""
    by_id = {step.certificate_id: step for step in steps}
    certificates = tuple(done(each, by_id[each.id], at) if each.id in by_id else each for each in before.certificates)
    return replace(before, certificates=certificates)
