"""Names and state of records, as templates and conditions of profiles see them."""

from __future__ import annotations

import pytest

from fleet_scene import NOW, device, user
from regalia.ca.profile import specimen_key
from regalia.ca.profile_conditions import Circumstances, environment_paths, require
from regalia.ca.profile_records import DEVICE_FACTS, USER_FACTS, facts_of_records
from regalia.ca.profile_variables import VARIABLES
from regalia.errors import PeerError
from regalia.model import Assurance, Condition, Names
from regalia.model.fleet import DeviceState, PendingAction, UserState

EC_KEY = specimen_key("p-256")


def _true(expression: str, facts: dict[str, tuple[str, ...]]) -> bool:
    given = Circumstances(facts, Names(), EC_KEY, 0, "192.0.2.1", Assurance.VERIFIED, NOW)
    try:
        require((Condition(expression, "no"),), given)
    except PeerError:
        return False
    return True


def test_every_fact_of_a_record_has_a_path() -> None:
    """What records hold can be asked for, and what is declared is filled where the record says it."""
    laptop = device(
        DeviceState(managed=True, enabled=True, compliant=True, lost=False, risk="low"),
        serial="S1",
        sid="S-1-5-21-1-2-3-4",
        dns=("b.example", "a.example"),
        aliases=(("entra", "e-1"), ("imei", "49")),
        memberships=frozenset({"g1"}),
        memberships_known=True,
    )
    ada = user(UserState(enabled=True, licensed=True, risk="low"), email=("ada@example.org",), sid="S-1-5-21-1-2-3-5")
    facts = facts_of_records(laptop, ada)
    declared = {f"device.{name}" for name in DEVICE_FACTS} | {f"user.{name}" for name in USER_FACTS}
    assert declared == set(facts)
    assert set(facts) <= set(environment_paths())
    assert facts["device.dns"] == ("a.example", "b.example")
    assert facts["device.sid"] == ("S-1-5-21-1-2-3-4",)


def test_every_variable_of_a_record_is_filled_from_it() -> None:
    """No template variable of a record is one that records never fill."""
    wanted = {name for name, variable in VARIABLES.items() if variable.of_record}
    assert wanted <= {f"device.{name}" for name in DEVICE_FACTS} | {f"user.{name}" for name in USER_FACTS}


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("device.known && !user.known", True),
        ("device.compliant", False),
        ('"compliant" in device.said', False),
        ('"managed" in device.said && device.managed', True),
        ('device.platform == "windows"', True),
        ('device.pending == "wipe"', True),
        ('device.risk == ""', True),
        ('"g1" in device.memberships', True),
        ('user.upn == ""', True),
    ],
)
def test_conditions_read_the_state_of_the_record(expression: str, expected: bool) -> None:  # noqa: FBT001 - a row
    """What nobody said is false or empty and is not among what was said (CON-5); what was said is read as it is."""
    state = DeviceState(managed=True, pending=PendingAction.WIPE)
    facts = facts_of_records(device(state, memberships=frozenset({"g1"})), None)
    assert _true(expression, facts) is expected


def test_two_ids_of_one_kind_are_none() -> None:
    """A record that has two Entra ids gives neither to a name."""
    assert facts_of_records(device(aliases=(("entra", "a"), ("entra", "b"))), None)["device.entra_id"] == ()
