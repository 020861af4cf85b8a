"""Who sees people: personal fields of users and devices, in every answer of every verb that only looks (AUTHZ-4)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from pydantic import ValidationError

from regalia.errors import AdminError
from regalia.model import Grant, Names, Reach, Role, San, SanKind
from regalia.model.connector import Allowed, Connector, ReportedUser, SweepPage
from regalia.model.fleet import DeviceState, Platform, UserState
from regalia.ra.sweeping import Sweeper
from regalia.verbs import VERBS, Caller, ask
from vouching_parts import DEVICE, FakeLink, VouchedWorld, device_of, reported_device
from world import ADMIN

if TYPE_CHECKING:
    from collections.abc import Iterator

    from regalia.verbs import Verb

UPN, MAIL, NAME, SERIAL, LAPTOP = (
    "ada@people.example",
    "ada@mail.example",
    "Ada of the Harbour",
    "SN-4711-A",
    "adas-laptop",
)
PERSONAL = (UPN, MAIL, NAME, SERIAL, LAPTOP)
LOOKS = {"event.export", "cert.audit", "event.verify"}
"""What is asked by POST for its length, and changes nothing."""


@pytest.fixture(scope="module")
def world() -> VouchedWorld:
    """Return a system in whose group `other` a device of somebody has a certificate with a principal name."""
    made = VouchedWorld(FakeLink(says=lambda asked: _vouched(asked.names)))
    made.store.add_connector(Connector(UUID(int=9), "mdm", "inventory", {}, made.clock.now()), None, ())
    made.new_group("other")
    device = reported_device(
        name=LAPTOP, serial=SERIAL, user="user-1", group="other", platform=Platform.MACOS, evidence={"owner": NAME}
    )
    user = ReportedUser("user-1", NAME, UserState(enabled=True), upn=UPN, email=(MAIL,), evidence={"displayName": NAME})
    sweeper = Sweeper(made.store, made.clock, made.entropy)
    sweeper.take("mdm", SweepPage((device,), (user,)))
    sweeper.take("mdm", SweepPage((replace(device, state=DeviceState(enabled=True)),)))
    client = device_of(made, endpoint="mdm-other")
    client.enrol(Names(DEVICE, frozenset({San(SanKind.UPN, UPN)})), "a challenge")
    assert made.certificate_of(client).intent.names.sans
    return made


def _vouched(names: Names) -> Allowed:
    return Allowed(DEVICE, "user-1", names)


def typed(world: VouchedWorld) -> tuple[str, ...]:
    """Return what somebody may type who has heard of the device: every id there is, and beginnings of names."""
    device, user = world.store.device_of("mdm", DEVICE), world.store.user_of("mdm", "user-1")
    assert device is not None
    assert user is not None
    rows = [row for row in world.store.certificates_after(None, 1_000) if row.intent.device_id == device.id]
    (row,) = rows
    ids = (device.id, user.id, row.intent.enrolment_id, f"device:{device.id}", f"user:{user.id}")
    return (*map(str, ids), f"{row.serial:x}", "other", "mdm-other", "mdm", "ada", "SN-4711", "user-1", DEVICE)


def questions(verb: Verb[Any, Any], words: tuple[str, ...]) -> Iterator[dict[str, str]]:
    """Fill every field of a question with every word, and once none."""
    yield {}
    fields = verb.asks.model_fields
    needed = [name for name, field in fields.items() if field.is_required()]
    for word in words:
        if needed:
            yield dict.fromkeys(needed, word)
        for name in fields:
            yield {**dict.fromkeys(needed, word), name: word}


def told(world: VouchedWorld, caller: Caller) -> dict[str, set[str]]:
    """Ask everything that only looks, in every way, and say which verbs told what of somebody."""
    found: dict[str, set[str]] = {}
    words = typed(world)
    for name, verb in VERBS.items():
        if verb.changes and name not in LOOKS:
            continue
        for question in questions(verb, words):
            try:
                answer = ask(verb, world, caller, verb.asks.model_validate(question)).model_dump_json()
            except ValidationError:
                continue
            except AdminError as error:
                answer = error.detail
            found.setdefault(name, set()).update(each for each in PERSONAL if each in answer)
    return {name: each for name, each in found.items() if each}


@pytest.mark.parametrize("role", [Role.ADMIN, Role.OPERATOR, Role.HELPDESK, Role.AUDITOR])
def test_who_counts_elsewhere_is_told_of_nobody(world: VouchedWorld, role: Role) -> None:
    """AUTHZ-4: no list, search, export, page of a device or refusal tells anything of a person of another group."""
    assert told(world, Caller(ADMIN, (Grant(role, Reach(frozenset({"default"}))),), fresh=True)) == {}


def test_who_counts_in_the_group_is_told_of_its_devices(world: VouchedWorld) -> None:
    """What a device's own page says of its user is for who counts in its group; lists of users for none of them."""
    seen = told(world, Caller(ADMIN, (Grant(Role.ADMIN, Reach(frozenset({"other"}))),), fresh=True))
    assert {UPN, LAPTOP, SERIAL, NAME} <= seen["device.show"]
    assert UPN in seen["cert.show"]
    assert "user.list" not in seen
    assert "user.show" not in seen


def test_who_counts_everywhere_sees_them(world: VouchedWorld) -> None:
    """The same questions, asked by who may, tell of everybody: so the test above asks the right ones."""
    seen = told(world, Caller(ADMIN, (Grant(Role.AUDITOR),), fresh=True))
    assert {UPN, NAME} <= seen["user.list"]
    assert {UPN, NAME, MAIL} <= seen["user.show"]
    assert {LAPTOP, SERIAL} <= seen["device.list"]
    assert {"cert.list", "cert.show", "event.tail", "enrolment.show"} <= set(seen)
