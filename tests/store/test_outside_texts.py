"""Texts from outside, at every door through which records come: one refusal, a fact that nobody stated, or a record."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from connectors.microsoft_parts import ASKED, Cloud, intune, said
from connectors.test_webhook import web_hook
from fakes import FakeClock, SeededEntropy
from regalia.app.connectors import RegisteredKinds
from regalia.errors import AdminError
from regalia.model.connector import Allowed, NotAsked, SweepPage
from regalia.model.fleet import Device
from regalia.ports import EventFilter
from regalia.ra.alert_message import signature_of
from regalia.ra.hooks import HookDesk, Message, Receipt, Unreadable
from regalia.ra.sweeping import Sweeper
from store.fleet_samples import a_connector

if TYPE_CHECKING:
    from collections.abc import Callable

    from regalia.ra.hooks import HookStore
    from regalia.store import SqlStore

KEY = b"k" * 32
CONNECTOR = a_connector().name
DEVICE_FIELDS = ("id", "name", "serial", "user", "group", "sid", "risk", "platform", "dns", "memberships", "aliases")
USER_FIELDS = ("id", "name", "upn", "email", "sid", "sam_account", "memberships", "risk")
LISTS = frozenset({"dns", "memberships", "email"})
GRAPH_DEVICE = ("id", "deviceName", "serialNumber", "userId", "azureADDeviceId", "imei", "operatingSystem", "any")
GRAPH_USER = ("id", "displayName", "userPrincipalName", "mail", "onPremisesSamAccountName", "any")

NASTY = (
    "\x00",
    "a\x00b",
    "a\x07b",
    "\x7f",
    "\u200b",
    "\u202e",
    "\ud800",
    "\udfff\ud800",
    "x" * 70_000,
    "\U0001f600" * 200,
)
TEXTS = st.text(max_size=300) | st.text(st.characters(categories=("Cc", "Cf", "Cs", "Zl")), min_size=1, max_size=5)
ENTROPY = SeededEntropy(17)
"""One for all: whoever begins anew makes the ids of before."""
Answer = SweepPage | str
"""What a door made of a text: records, or the words of its refusal."""


def kinds() -> RegisteredKinds:
    """Return what reads files."""
    return RegisteredKinds(Cloud, FakeClock(), SeededEntropy(), _no_store())


def _no_store() -> Any:  # noqa: ANN401 - files are read without any record
    return None


def _row(field: str, text: str) -> dict[str, Any]:
    value: Any = [text] if field in LISTS else {"udid": text} if field == "aliases" else text
    return {"id": "17", field: value}


def brought(octets: bytes, *, users: bool) -> Answer:
    """Import a file."""
    try:
        return kinds().read_inventory(None if users else octets, octets if users else None)
    except AdminError as refused:
        return refused.detail


def of_csv(field: str, text: str, *, users: bool) -> Answer:
    """Import a spreadsheet with a text in a cell; one that is no UTF-8 comes as the octets that it would have."""
    made = io.StringIO()
    name = "alias:udid" if field == "aliases" else field
    header, cells = (["id"], [text]) if field == "id" else (["id", name], ["17", text])
    csv.writer(made, lineterminator="\n").writerows([header, cells])
    return brought(made.getvalue().encode("utf-8", "surrogatepass"), users=users)


def of_json(field: str, text: str, *, users: bool) -> Answer:
    """Import a JSON file with a text in a field, and another one with a field of that name."""
    brought(json.dumps([{"id": "17", text: text}]).encode(), users=users)
    return brought(json.dumps([_row(field, text)]).encode(), users=users)


def of_graph(field: str, text: str, *, users: bool) -> Answer:
    """Read Graph's list with an object that has the text."""
    item = {"id": "aaaaaaaa-0000-0000-0000-000000000001", field: text, "deviceActionResults": [{"actionName": text}]}
    empty = said({"value": [], "@odata.deltaLink": "https://graph.microsoft.com/v1.0/x?t=1"})
    cloud = Cloud().say("/devices/delta", empty).say("/users/delta", empty).say("/managedDevices", said({"value": []}))
    full = said({"value": [item], "@odata.deltaLink": "https://graph.microsoft.com/v1.0/x?t=1"})
    link, cursor = intune(cloud.say("/users/delta" if users else "/managedDevices", full)), None
    found = SweepPage()
    for _ in range(10):
        page = link.sweep(cursor)
        if isinstance(page, NotAsked):
            return page.detail
        found, cursor = SweepPage((*found.devices, *page.devices), (*found.users, *page.users)), page.cursor
        if cursor is None:
            break
    return found


def of_answer(field: str, text: str, *, users: bool) -> Answer:
    """Have our own web hook answer with a text."""
    told = {"verdict": "allow", "note": text, "user" if users else "device": _row(field, text)}
    given = web_hook(Cloud().say("/hook", said(told))).authorise(ASKED, within=15)
    if not isinstance(given, Allowed):
        return str(given.detail)
    assert given.note.isprintable()
    reports = (given.device_report,) if given.device_report else ()
    return SweepPage(reports, (given.user_report,) if given.user_report else ())


FILES: tuple[Callable[..., Answer], ...] = (of_csv, of_json, of_answer)
DOORS = [
    *((door, field, False) for door in FILES for field in DEVICE_FIELDS),
    *((door, field, True) for door in FILES for field in USER_FIELDS),
    *((of_graph, field, False) for field in GRAPH_DEVICE),
    *((of_graph, field, True) for field in GRAPH_USER),
]


def kept(store: SqlStore, page: SweepPage) -> None:
    """Keep what came in, and see that it is read as it was kept and can be told to anybody."""
    taken = Sweeper(store, FakeClock(), ENTROPY).take(CONNECTOR, page)
    assert len(taken) == len(page.devices) + len(page.users)
    for each in taken:
        assert (store.device(each.id) if isinstance(each, Device) else store.user(each.id)) == each
        json.dumps(dict(each.evidence), ensure_ascii=False).encode()
        facts = (each.serial, each.user) if isinstance(each, Device) else (each.upn, each.sam_account, *each.email)
        assert all(text.isprintable() and len(text) <= 400 for text in (each.name, *facts) if text is not None)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(door=st.sampled_from(DOORS), text=TEXTS)
def test_any_text_is_kept_or_refused(sql: SqlStore, door: tuple[Callable[..., Answer], str, bool], text: str) -> None:
    """IN-1: whatever somebody calls a device or a user, it is one clear refusal or a record that can be read again."""
    let_in(sql, *door, text)


@pytest.mark.parametrize("text", NASTY, ids=lambda text: ascii(text[:8]))
def test_every_door_knows_these_texts(sql: SqlStore, text: str) -> None:
    """IN-1: NUL, control and invisible characters, halves of characters, endless texts, in every field of all doors."""
    for door in DOORS:
        let_in(sql, *door, text)


def let_in(store: SqlStore, door: Callable[..., Answer], field: str, users: bool, text: str) -> None:  # noqa: FBT001 - of a table
    """Bring a text in through a door."""
    answer = door(field, text, users=users)
    if isinstance(answer, SweepPage):
        kept(store, answer)
    else:
        assert answer
        assert answer.isprintable()
        assert len(answer) < 2_000


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(field=st.sampled_from([*DEVICE_FIELDS, "gone", "message", "of-any-name"]), text=TEXTS)
@example(field="gone", text="\x00")
@example(field="gone", text="\ud800")
@example(field="message", text="\ud800")
@example(field="of-any-name", text="\x00\ud800")
@example(field="name", text="\ud800")
@example(field="serial", text="a\x00b")
def test_any_message_is_taken_or_refused(sql: SqlStore, field: str, text: str) -> None:
    """CON-6: a signed message with any text is taken in or refused with a detail, and its event can be read."""
    if sql.connector(CONNECTOR) is None:
        assert sql.add_connector(a_connector(), b"sealed", ())
    answer = desk(sql).receive(message(field, text))
    assert isinstance(answer, Receipt | Unreadable)
    if isinstance(answer, Unreadable):
        answer.detail.encode()
        assert answer.detail.isprintable()
        assert len(answer.detail) < 2_000
    for event in sql.events(EventFilter(limit=1)):
        json.dumps(dict(event.draft.details), ensure_ascii=False).encode()


def desk(store: HookStore) -> HookDesk:
    """Return what takes messages in."""
    sweeper = Sweeper(store, FakeClock(), ENTROPY)
    return HookDesk(store=store, kinds=kinds(), sweeper=sweeper, key_of=lambda _: KEY, clock=FakeClock())


def message(field: str, text: str) -> Message:
    """Make a message that says this, signed."""
    said_of: dict[str, Any] = {"id": f"m-{ENTROPY.octets(8).hex()}"}
    match field:
        case "gone":
            said_of["gone"] = [text]
        case "message":
            said_of |= {"id": text, "gone": ["nobody"]}
        case "of-any-name":
            said_of["devices"] = [{"id": "17", text: text}]
        case _:
            said_of["devices"] = [_row(field, text)]
    body, stamp = json.dumps(said_of).encode(), int(FakeClock().now().timestamp())
    return Message(CONNECTOR, str(stamp), signature_of(KEY, stamp, body), body, "192.0.2.9")
