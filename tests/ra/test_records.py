"""From what a system reports to the record that is kept: what is not said is not taken away."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from fleet_scene import NOW
from regalia.model.fleet import DeviceState, Platform, UserState
from regalia.ra.records import device_record, state_text, user_record
from vouching_parts import reported_device, reported_user

ID = UUID(int=7)
LATER = NOW + timedelta(hours=1)


def test_a_new_device_is_as_it_was_reported() -> None:
    """The first word on a device is the whole record."""
    report = reported_device(serial="S1", aliases=(("imei", "49"), ("entra", "e")), group="staff")
    made = device_record(None, report, connector="mdm", record_id=ID, at=NOW)
    assert (made.id, made.connector, made.external_id, made.group) == (ID, "mdm", report.external_id, "staff")
    assert (made.first_seen_at, made.seen_at, made.state_since) == (NOW, NOW, NOW)
    assert made.aliases == (("entra", "e"), ("imei", "49"))


def test_a_later_word_takes_away_nothing_that_it_does_not_say() -> None:
    """CON-5: names, ids, the group and memberships that are not said this time stay; absence is over."""
    first = device_record(
        None,
        reported_device(
            serial="S1", user="u", sid="S-1-5-21-1-2-3-4", memberships=frozenset("g"), memberships_known=True
        ),
        connector="mdm",
        record_id=ID,
        at=NOW,
    )
    known = replace(first, group="staff", missed_sweeps=1)
    after = device_record(
        known, reported_device(name="", platform=Platform.IOS), connector="mdm", record_id=ID, at=LATER
    )
    assert (after.serial, after.user, after.sid, after.name) == ("S1", "u", "S-1-5-21-1-2-3-4", "laptop")
    assert (after.group, after.memberships, after.memberships_known) == ("staff", frozenset("g"), True)
    assert (after.platform, after.seen_at, after.missed_sweeps) == (Platform.IOS, LATER, 0)
    assert (after.state_since, after.first_seen_at) == (NOW, NOW)


def test_only_another_state_begins_a_new_time() -> None:
    """`state_since` moves with the state alone."""
    first = device_record(None, reported_device(), connector="mdm", record_id=ID, at=NOW)
    wiped = reported_device(state=DeviceState(managed=False))
    assert device_record(first, wiped, connector="mdm", record_id=ID, at=LATER).state_since == LATER


def test_a_user_who_is_deleted_softly_keeps_the_names() -> None:
    """A directory that reports nothing but the deletion changes the state alone."""
    first = user_record(None, reported_user(email=("a@example.org",)), connector="mdm", record_id=ID, at=NOW)
    gone = reported_user(name="", upn=None, state=UserState(enabled=False))
    after = user_record(first, gone, connector="mdm", record_id=ID, at=LATER)
    assert (after.name, after.upn, after.email) == ("Ada", "ada@example.org", ("a@example.org",))
    assert (after.state.enabled, after.state_since) == (False, LATER)


def test_a_state_is_told_without_what_nobody_said() -> None:
    """Events name the facts that were said."""
    assert state_text(DeviceState(compliant=False)) == "present true, compliant false, pending none"
    assert state_text(UserState(risk="high")) == "present true, risk high"
