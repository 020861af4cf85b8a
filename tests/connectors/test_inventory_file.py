"""Inventories that somebody exported: what is read, and what is refused with its line."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regalia.connectors.inventory_file import UnreadableError, read_devices, read_users
from regalia.model.fleet import DeviceState, PendingAction, Platform, UserState

DEVICES = """id,name,platform,serial,user,group,managed,compliant,lost,pending,alias:udid,dns,memberships
17,Ada's laptop,Windows,C02XK1,u-1,staff,yes,no,,,00ff,a.example.org|b.example.org,sales|all
18,"phone, of Bob",ios,,,,true,TRUE,false,wipe,,,
"""
USERS = "id;name;upn;email;enabled\nu-1;Ada;ada@example.org;ada@example.org|a@example.org;no\n"


def faults_of(text: str | bytes) -> list[tuple[int, str]]:
    """Say where a file of devices has faults."""
    with pytest.raises(UnreadableError) as found:
        read_devices(text.encode() if isinstance(text, str) else text)
    return [(each.place.number, each.field) for each in found.value.faults]


def test_devices_are_read() -> None:
    """A cell that is empty was not said; lists are separated by bars, and letters of words may be large."""
    first, second = read_devices(DEVICES.encode())
    assert (first.external_id, first.platform, first.serial, first.user) == ("17", Platform.WINDOWS, "C02XK1", "u-1")
    assert first.state == DeviceState(managed=True, compliant=False)
    assert first.aliases == (("udid", "00ff"),)
    assert first.dns == ("a.example.org", "b.example.org")
    assert (first.memberships, first.memberships_known) == (frozenset({"sales", "all"}), True)
    assert first.evidence["said"]["serial"] == "C02XK1"  # type: ignore[index,call-overload]
    assert second.name == "phone, of Bob"
    assert second.state == DeviceState(managed=True, compliant=True, lost=False, pending=PendingAction.WIPE)
    assert not second.memberships_known


def test_users_are_read() -> None:
    """Semicolons separate, too, as spreadsheets of some countries write them."""
    (user,) = read_users(USERS.encode("utf-8-sig"))
    assert (user.external_id, user.upn, user.email) == ("u-1", "ada@example.org", ("a@example.org", "ada@example.org"))
    assert user.state == UserState(enabled=False)


def test_json_says_the_same() -> None:
    """A JSON file has both, or a list of one."""
    row = {"id": "17", "platform": "macos", "managed": True, "memberships": [], "aliases": {"udid": "1"}}
    whole = json.dumps({"devices": [row], "users": [{"id": "u-1", "licensed": False}]}).encode()
    assert read_devices(whole) == read_devices(json.dumps([row]).encode())
    (device,) = read_devices(whole)
    assert (device.memberships, device.memberships_known) == (frozenset(), True)
    (user,) = read_users(whole)
    assert user.state == UserState(licensed=False)


def test_a_formula_is_text() -> None:
    """What a spreadsheet would calculate is a name like any other here."""
    (device,) = read_devices(b"id,name\n17,=1+1\n")
    assert device.name == "=1+1"


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("", [(1, "id")]),
        ("name\nx\n", [(1, "id")]),
        ("id,nmae\n1,x\n", [(1, "nmae")]),
        ("id,name,name\n1,x,y\n", [(1, "name")]),
        ("id\n1\n2\n1\n", [(4, "id")]),
        ("id,name\n1\n", [(2, "")]),
        ('id,name\n1,"x\n', [(2, "")]),
        ("id,name\n,x\n", [(2, "id")]),
        ("id,managed\n1,maybe\n2,2\n", [(2, "managed"), (3, "managed")]),
        ("id,managed,lost\n1,on,\n2,,t\n", [(2, "managed"), (3, "lost")]),
        ('[{"id": "1", "compliant": "yes", "lost": 1}]', [(1, "compliant"), (1, "lost")]),
        ("id,platform\n1,beos\n", [(2, "platform")]),
        ("id,sid\n1,S-1-x\n", [(2, "sid")]),
        ("id,dns\n1,a.example|a.example\n", [(2, "dns")]),
        ("id,name\n1,a\x07b\n", [(2, "name")]),
        ("id,name\n1," + "x" * 201 + "\n", [(2, "name")]),
        (b"id,name\n1,\xe9\n", [(2, "")]),
        ('{"devices": {}}', [(0, "devices")]),
        ('{"devices": [], "owners": []}', [(0, "owners")]),
        ("[1]", [(1, "")]),
        ('[{"id": "1", "id": "2"}]', [(0, "")]),
        ('[{"id": "1", "serial": NaN}]', [(0, "")]),
        ('[{"id": 1}]', [(1, "id")]),
        ("[" * 100_000, [(0, "")]),
        ('[{"id": "1", "colour": "red"}]', [(1, "colour")]),
    ],
)
def test_what_cannot_be_read_is_told_with_its_line(text: str | bytes, places: list[tuple[int, str]]) -> None:
    """IN-1: nothing of a file with a fault is taken, and each fault says where it is."""
    assert faults_of(text) == places


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("id,managed\n1,maybe\n", "line 2, managed: "),
        ('[{"id": "1"},\n\n{"id": "2", "managed": "maybe"}]', "item 2, managed: "),
        ('{"devices": [{"id": "1"}, {"id": "2", "aliases": {"udid": ""}}]}', "item 2, aliases.udid: "),
        ('[{"id": "1"}, {"id": "2"}, {"id": "1"}]', "item 3, id: it is that of item 1, too"),
        ("id\n1\n1\n", "line 3, id: it is that of line 2, too"),
        ("[1]", "item 1: it has to be an object"),
        ('[\n{"id": 1', "line 2: it is not JSON"),
        ('{"devices": {}}', "the file, devices: it has to be a list"),
        (json.dumps([{"id": "1", "a\x00\x7f" + "b" * 200: 1}]), f"item 1, a??{'b' * 77}: "),
    ],
)
def test_a_place_is_what_people_count_by(text: str, told: str) -> None:
    """A fault of a CSV file has its line, one of a JSON file the item's number; where JSON ends early, its line."""
    with pytest.raises(UnreadableError) as found:
        read_devices(text.encode())
    assert str(found.value).startswith(told)


def test_faults_are_told_together_and_not_for_ever() -> None:
    """All faults come at once, up to fifty."""
    assert len(faults_of("id,platform\n" + "".join(f"{number},beos\n" for number in range(90)))) == 50


VALUES: st.SearchStrategy[Any] = st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.lists(st.text())


def told(octets: bytes) -> tuple[str, ...]:
    """Say the faults of a file, or that it was read."""
    try:
        read_devices(octets)
    except UnreadableError as refused:
        return tuple(map(str, refused.faults))
    return ("read",)


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_anything_is_read_or_refused(octets: bytes) -> None:
    """IN-1: whatever the octets, the answer is devices or faults."""
    assert told(octets)


@given(st.lists(st.dictionaries(st.sampled_from(["id", "name", "managed", "dns", "aliases", "pending"]), VALUES)))
def test_any_json_is_read_or_refused(rows: list[dict[str, Any]]) -> None:
    """IN-1: the same of JSON whose names are right."""
    assert told(json.dumps(rows).encode())
