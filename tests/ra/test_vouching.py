"""A connector vouches: what is asked, when it is a yes, and what is refused although it said yes."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from regalia import reasons
from regalia.errors import AdminError, UnavailableError
from regalia.model import (
    Action,
    Certificate,
    Denied,
    EnrolmentState,
    Hold,
    Names,
    Pending,
    San,
    SanKind,
    Unavailable,
)
from regalia.model.connector import Allowed, NotAsked
from regalia.model.fleet import DeviceState, PendingAction, UserState
from regalia.ports import EnrolmentFilter
from regalia.ports.fleet import FOLLOWING
from regalia.wire.scep import FailInfo, MessageType, PkiStatus
from vouching_parts import (
    AWAY,
    DEVICE,
    NO,
    FakeInventory,
    FakeLink,
    VouchedWorld,
    device_of,
    listed,
    reported_device,
    reported_user,
    stored_device,
    stored_user,
)
from world import ADMIN, Device, names, rsa_key

if TYPE_CHECKING:
    from regalia.errors import Reason
    from regalia.model import EventDraft
    from regalia.model.connector import Asked
    from regalia.ra.enrol import Ended

SID = "S-1-5-21-1004336348-1177238915-682003330-1104"


def enrolled(world: VouchedWorld, wanted: Names | None = None, *, device: Device | None = None) -> Ended:
    """Have a device ask the decision room."""
    return world.enroller.enrol((device or device_of(world)).request(wanted or names(DEVICE), "blob"))


def refused(
    world: VouchedWorld, reason: Reason, wanted: Names | None = None, *, device: Device | None = None
) -> Denied:
    """Have a device ask, and be refused for this reason without anything being issued."""
    before = world.store.certificates_after(None, 1000)
    ended = enrolled(world, wanted, device=device)
    assert isinstance(ended, Denied), ended
    assert ended.reason is reason, ended
    assert world.store.certificates_after(None, 1000) == before
    assert world.last_event().draft.reason_id == reason.id
    return ended


def unavailable(world: VouchedWorld, reason: Reason) -> None:
    """Have a device ask, and be told to come again."""
    ended = enrolled(world)
    assert isinstance(ended, Unavailable), ended
    assert ended.reason is reason
    assert not any(row.intent.names.cn == DEVICE for row in world.store.certificates_after(None, 1000))


def events(world: VouchedWorld, action: Action) -> list[EventDraft]:
    """Return what was recorded of an action."""
    return [event.draft for event in world.store.log if event.draft.action is action]


# --- a yes ------------------------------------------------------------------------------------------------------------


def test_a_yes_becomes_a_certificate_of_the_record() -> None:
    """What the connector vouches for is issued with the record's names, and bound to the record."""
    link = FakeLink()
    world = VouchedWorld(link)
    world.know(stored_device(sid=SID))
    device = device_of(world)
    assert device.enrol(names(DEVICE), "blob").status is PkiStatus.SUCCESS
    row = world.certificate_of(device)
    assert row.intent.names == Names(
        DEVICE, frozenset({San(SanKind.URI, f"tag:microsoft.com,2022-09-14:sid:{SID}")}), (), SID
    )
    assert row.intent.device_id == stored_device().id
    assert row.intent.device == DEVICE
    assert row.intent.user_id is None
    assert not row.intent.unverified
    (asked,) = link.asked
    assert (asked.endpoint, asked.group, asked.transaction_id, asked.challenge) == ("mdm", "default", "t-1", "blob")
    assert asked.names == names(DEVICE)
    kept = world.store.device(stored_device().id)
    assert kept is not None
    assert kept.group == "default"


def test_the_stages_say_who_was_asked_and_what_it_said() -> None:
    """Explain: the connector, its own ids of the call, the record and the names stand in the enrolment."""
    world = VouchedWorld()
    world.know(stored_device())
    assert isinstance(enrolled(world), Certificate)
    (enrolment,) = world.store.enrolments(EnrolmentFilter(endpoint="mdm"))
    told = " | ".join(note.note for note in enrolment.stages)
    for words in ("connector mdm: validated, their id 16", f"device {DEVICE}", str(stored_device().id), f"cn:{DEVICE}"):
        assert words in told
    assert "blob" not in told


def test_nobody_is_asked_again_for_a_repetition() -> None:
    """R3, CON-4: a retransmission gets its certificate, and the verdict is used once."""
    link = FakeLink()
    world = VouchedWorld(link)
    first = device_of(world).enrol(names(DEVICE), "blob")
    assert device_of(world).enrol(names(DEVICE), "blob").certificates == first.certificates
    assert len(link.asked) == 1
    assert len(link.told) == 1


def test_a_device_over_its_limit_is_not_asked_about() -> None:
    """A device that may only repeat costs its connector no question."""
    link = FakeLink()
    world = VouchedWorld(link)
    over = Denied(reasons.DEVICE_QUOTA)
    assert world.enroller.enrol(device_of(world).request(names(DEVICE), "blob"), repeats_only=over) == over
    assert not link.asked


def test_without_an_inventory_the_record_is_made_of_the_verdict() -> None:
    """A connector that only vouches makes a record that says so, and no fact that nobody said."""
    world = VouchedWorld()
    assert isinstance(enrolled(world), Certificate)
    made = world.store.device_of("mdm", DEVICE)
    assert made is not None
    assert made.state == DeviceState()
    assert made.evidence["source"] == "verdict"
    assert [event.object for event in events(world, Action.DEVICE_ADDED)] == [f"device:{made.id}"]


def test_with_an_inventory_an_unknown_device_is_looked_up() -> None:
    """A device that no sweep has seen yet is looked up within what is left of the time (R8)."""
    link = FakeInventory(devices={DEVICE: reported_device(serial="S1", user="user-1")})
    world = VouchedWorld(link)
    assert isinstance(enrolled(world), Certificate)
    made = world.store.device_of("mdm", DEVICE)
    assert made is not None
    assert (made.serial, made.user) == ("S1", "user-1")
    assert all(0 < within <= 15 for within in link.within)


def test_what_comes_with_the_verdict_is_the_record() -> None:
    """A system that enriches its verdict needs no inventory: what it says of device and user makes the names."""

    def says(asked: Asked) -> Allowed:
        user = reported_user(upn="ada@corp.example.org")
        return Allowed(DEVICE, names=asked.names, device_report=reported_device(sid=SID), user_report=user)

    world = VouchedWorld(FakeLink(says=says))
    ended = enrolled(world)
    assert isinstance(ended, Certificate)
    assert ended.intent.names.sid == SID
    assert San(SanKind.UPN, "ada@corp.example.org") in ended.intent.names.sans
    assert isinstance(enrolled(world, device=device_of(world, 1, "t-2")), Certificate)


def test_what_comes_with_a_verdict_is_about_whom_it_names() -> None:
    """A report of another device or user than the one that is vouched for is no verdict, and changes no record."""
    world = VouchedWorld(FakeLink(says=Allowed(DEVICE, device_report=reported_device("device-2"))))
    unavailable(world, reasons.CONNECTOR_GARBLED)
    assert world.store.device_of("mdm", "device-2") is None
    world = VouchedWorld(FakeLink(says=Allowed(DEVICE, user="user-1", user_report=reported_user("user-2"))))
    unavailable(world, reasons.CONNECTOR_GARBLED)
    world = VouchedWorld(FakeLink(says=Allowed(DEVICE, device_report=reported_device(state=DeviceState(lost=True)))))
    refused(world, reasons.BEARER_UNFIT)


def test_a_record_that_speaks_for_it_is_not_looked_up() -> None:
    """What sweeps keep fresh costs no further question."""
    link = FakeInventory()
    world = VouchedWorld(link)
    world.know(stored_device(DeviceState(managed=True), user=None))
    assert isinstance(enrolled(world), Certificate)
    assert not link.looked_up


def test_a_device_is_found_by_its_id_in_entra() -> None:
    """Where a verdict names Entra's id alone, the one record with that alias is the device."""
    world = VouchedWorld(FakeInventory(says=lambda asked: _entra("e-1", asked)))
    world.know(stored_device(aliases=(("entra", "e-1"),)))
    ended = enrolled(world, names("device-1"))
    assert isinstance(ended, Certificate)
    assert ended.intent.device_id == stored_device().id


def _entra(entra_id: str, asked: Asked) -> Allowed:
    return Allowed(None, names=asked.names, facts={"entra_device_id": entra_id})


def test_the_users_names_come_from_the_users_record() -> None:
    """Names of a profile that takes the user's are those of the device's user, and the certificate follows both."""
    link = FakeInventory(
        devices={DEVICE: reported_device(user="user-1")}, users={"user-1": reported_user(upn="ada@corp.example.org")}
    )
    world = VouchedWorld(link)
    ended = enrolled(world)
    assert isinstance(ended, Certificate)
    assert San(SanKind.UPN, "ada@corp.example.org") in ended.intent.names.sans
    ada = world.store.user_of("mdm", "user-1")
    assert ada is not None
    assert ended.intent.user_id == ada.id


def test_own_sid_in_the_request_is_no_attack() -> None:
    """An MDM may have the device ask for its own SID: the record's is written, whatever was asked."""
    world = VouchedWorld()
    world.know(stored_device(sid=SID))
    ended = enrolled(world, listed(DEVICE, f"tag:microsoft.com,2022-09-14:sid:{SID}"))
    assert isinstance(ended, Certificate)
    assert ended.intent.names.sid == SID


# --- no yes -----------------------------------------------------------------------------------------------------------


def test_a_no_is_final_and_explained() -> None:
    """A refusal of the system is FAILURE badRequest with its code on record, and no notice follows it."""
    link = FakeLink(says=NO)
    world = VouchedWorld(link)
    device = device_of(world)
    reply = device.enrol(names(DEVICE), "blob")
    assert (reply.status, reply.fail_info) == (PkiStatus.FAILURE, FailInfo.BAD_REQUEST)
    draft = world.last_event().draft
    assert draft.reason_id == reasons.CONNECTOR_CHALLENGE_FOREIGN.id
    assert draft.details["code"] == "ChallengeDecryptionError"
    (kept,) = world.store.enrolments(EnrolmentFilter(state=EnrolmentState.REFUSED))
    assert "ChallengeDecryptionError" in kept.detail
    assert not link.told
    assert not world.store.due_notices(world.clock.now() + timedelta(days=1), 10)


def test_an_outage_is_no_yes_and_no_refusal() -> None:
    """CON-5: what cannot be asked is 503, nothing is recorded as refused, and the next attempt is judged afresh."""
    link = FakeLink(says=AWAY)
    world = VouchedWorld(link)
    unavailable(world, reasons.CONNECTOR_AWAY)
    with pytest.raises(UnavailableError):
        device_of(world).enrol(names(DEVICE), "blob")
    assert not events(world, Action.ENROLMENT_REFUSED)
    link.says = Allowed(DEVICE, names=names(DEVICE))
    assert isinstance(enrolled(world), Certificate)


def test_a_connector_that_is_gone_is_no_yes() -> None:
    """CON-5: an unknown or disabled connector, and one that only lists devices, are 503."""
    world = VouchedWorld()
    world.ways.links = {"mdm": NotAsked(reasons.CONNECTOR_DISABLED, "connector mdm")}
    unavailable(world, reasons.CONNECTOR_DISABLED)
    world.ways.links = {"mdm": _OnlyNamed()}
    unavailable(world, reasons.VOUCHER_MISSING)


class _OnlyNamed:
    name = "mdm"

    def check(self) -> tuple[()]:
        return ()


def test_an_inventory_that_does_not_answer_is_no_yes() -> None:
    """CON-5: where the device cannot be looked up it is neither issued to nor refused."""
    world = VouchedWorld(FakeInventory(devices={DEVICE: AWAY}))
    unavailable(world, reasons.CONNECTOR_AWAY)


def test_a_verdict_about_nobody_known_is_refused() -> None:
    """A device or user that neither records nor inventory know could never be followed."""
    refused(VouchedWorld(FakeInventory()), reasons.BEARER_UNKNOWN)
    refused(VouchedWorld(FakeInventory(says=lambda asked: _entra("e-9", asked))), reasons.BEARER_UNKNOWN)
    world = VouchedWorld(FakeInventory(says=Allowed(None, user="user-9")))
    refused(world, reasons.BEARER_UNKNOWN)


def test_an_id_that_two_records_have_names_neither() -> None:
    """Two records with one Entra id settle nothing."""
    world = VouchedWorld(FakeInventory(says=lambda asked: _entra("e-1", asked)))
    for number in (1, 2):
        world.know(stored_device(id=UUID(int=number), external_id=f"d-{number}", aliases=(("entra", "e-1"),)))
    denied = refused(world, reasons.BEARER_UNKNOWN)
    assert "2 records" in denied.detail


@pytest.mark.parametrize(
    "state",
    [
        DeviceState(present=False),
        DeviceState(managed=False),
        DeviceState(enabled=False),
        DeviceState(lost=True),
        DeviceState(compliant=False),
        DeviceState(pending=PendingAction.WIPE),
        DeviceState(pending=PendingAction.RETIRE),
        DeviceState(pending=PendingAction.DELETE),
        DeviceState(risk="high"),
    ],
)
def test_whose_certificate_would_end_at_once_gets_none(state: DeviceState) -> None:
    """What the group's rules would revoke or hold a minute later is not issued, although the connector said yes."""
    world = VouchedWorld()
    world.know(stored_device(state))
    refused(world, reasons.BEARER_UNFIT)


def test_an_old_word_against_a_device_is_asked_anew() -> None:
    """A record that speaks against the device is looked up: what was so yesterday may have ended."""
    link = FakeInventory(devices={DEVICE: reported_device()})
    world = VouchedWorld(link)
    world.know(stored_device(DeviceState(enabled=False), user=None))
    assert isinstance(enrolled(world), Certificate)
    assert link.looked_up == [DEVICE]


def test_a_user_who_is_disabled_gets_no_names() -> None:
    """A certificate with a user's names follows the user: disabled, none is issued."""
    link = FakeLink(says=lambda asked: Allowed(DEVICE, user="user-1", names=asked.names))
    world = VouchedWorld(link)
    world.know(stored_device(), stored_user(UserState(enabled=False)))
    refused(world, reasons.BEARER_UNFIT)


def test_the_groups_rules_decide_what_is_unfit() -> None:
    """A group from whose rules nothing follows for a cause issues to such devices."""
    world = VouchedWorld()
    world.know(stored_device(DeviceState(compliant=False)))
    group = world.store.group("default")
    assert group is not None
    follow = '{"rules": {"non-compliant": {"consequence": "nothing"}}}'
    world.store.set_follow("default", follow, ())
    assert isinstance(enrolled(world), Certificate)
    world.store.set_follow("default", "no rules", ())
    with pytest.raises(UnavailableError):
        enrolled(world, device=device_of(world, transaction="t-2"))


# --- attacks (Holds 4) ------------------------------------------------------------------------------------------------


def test_a_device_of_another_group_is_shut_out() -> None:
    """Moving a device closes the old door at once, and whoever knocks there is a security event."""
    world = VouchedWorld()
    world.new_group("other")
    world.know(stored_device(group="other"))
    denied = refused(world, reasons.DEVICE_ELSEWHERE)
    assert denied.security
    assert isinstance(enrolled(world, device=device_of(world, transaction="t-2", endpoint="mdm-other")), Certificate)


def _only(challenge: str, device: str, key: bytes, wanted: Names, endpoint: str = "mdm") -> FakeLink:
    """A connector whose one challenge stands for one device, key, endpoint and set of names, as Intune's does."""

    def says(asked: Asked) -> Allowed | object:
        fits = (asked.challenge, asked.names, asked.endpoint) == (challenge, wanted, endpoint)
        return Allowed(device, names=asked.names) if fits and asked.key_sha256 == key else NO

    return FakeLink(says=says)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wanted", "key", "endpoint", "challenge"),
    [
        (names("device-2"), 0, "mdm", "blob"),
        (names(DEVICE, "admin.example.org"), 0, "mdm", "blob"),
        (names(DEVICE), 1, "mdm", "blob"),
        (names(DEVICE), 0, "mdm-other", "blob"),
        (names(DEVICE), 0, "mdm", "blub"),
    ],
    ids=["name", "san", "key", "endpoint", "challenge"],
)
def test_a_captured_challenge_serves_nobody_else(wanted: Names, key: int, endpoint: str, challenge: str) -> None:
    """Holds 4: another name, key, endpoint or challenge is asked about as it is, and refused with the verdict."""
    world = VouchedWorld()
    own = hashlib.sha256(device_of(world).public_key()).digest()
    world.ways.links["mdm"] = _only("blob", DEVICE, own, names(DEVICE))
    world.new_group("other")
    device = device_of(world, key, endpoint=endpoint)
    assert device.enrol(wanted, challenge).status is PkiStatus.FAILURE
    assert device_of(world, transaction="t-2").enrol(names(DEVICE), "blob").status is PkiStatus.SUCCESS


def test_a_captured_challenge_in_a_used_transaction_is_refused_unasked() -> None:
    """R3: the transaction of a device belongs to its key; whoever comes with another one costs no question."""
    link = FakeLink()
    world = VouchedWorld(link)
    assert isinstance(enrolled(world), Certificate)
    refused(world, reasons.TRANSACTION_TAKEN, device=device_of(world, 1))
    assert len(link.asked) == 1


def test_other_names_in_the_same_conversation_are_refused_unasked() -> None:
    """R3: a repetition that asks for something else is refused before anybody is asked."""
    link = FakeLink()
    world = VouchedWorld(link)
    assert isinstance(enrolled(world), Certificate)
    refused(world, reasons.CONVERSATION_CHANGED, names("device-2"))
    assert len(link.asked) == 1


@pytest.mark.parametrize(
    "wanted",
    [
        listed(DEVICE, "urn:admin"),
        listed(DEVICE, upn="admin@example.org"),
        names(DEVICE, "dc.example.org"),
        names("device-2"),
    ],
    ids=["uri", "upn", "dns", "cn"],
)
def test_what_was_not_vouched_for_is_refused_after_the_yes(wanted: Names) -> None:
    """CON-4: a yes that vouches for fewer names than the request has does not let the others through."""
    world = VouchedWorld(FakeLink(says=Allowed(DEVICE, names=names(DEVICE))))
    world.know(stored_device())
    denied = refused(world, reasons.NAMES_OUTSIDE_BINDING, wanted)
    assert denied.facts["difference"]


@pytest.mark.parametrize("vouched", [True, False])
def test_a_foreign_sid_is_refused_whatever_the_connector_says(vouched: bool) -> None:  # noqa: FBT001 - both
    """POL-2: a SID comes from the record alone, never from a request or a verdict that repeats it."""
    foreign = listed(DEVICE, f"tag:microsoft.com,2022-09-14:sid:{SID[:-4]}500")
    world = VouchedWorld(FakeLink(says=lambda asked: Allowed(DEVICE, names=asked.names if vouched else names(DEVICE))))
    world.know(stored_device(sid=SID))
    refused(world, reasons.NAME_MALFORMED, foreign)


def test_a_sid_in_a_verdict_is_written_nowhere() -> None:
    """A connector that hands out a SID itself gets none into a certificate."""
    said = Names(DEVICE, frozenset({San(SanKind.URI, f"tag:microsoft.com,2022-09-14:sid:{SID}")}), (), SID)
    world = VouchedWorld(FakeLink(says=Allowed(DEVICE, names=said)))
    ended = enrolled(world)
    assert isinstance(ended, Certificate)
    assert ended.intent.names == names(DEVICE)


def test_a_renamed_device_keeps_its_identity() -> None:
    """A device that its user calls after another one changes no name of a certificate: a spoofable name is in none."""
    world = VouchedWorld(FakeInventory(devices={DEVICE: reported_device(name="device-2")}))
    ended = enrolled(world)
    assert isinstance(ended, Certificate)
    assert ended.intent.names.cn == DEVICE


NAMED = """
[validity]
duration = "365d"
[usage]
extended-key-usage = ["clientAuth"]
[subject]
cn = "{device.name}"
[[san]]
kind = "upn"
value = "{user.upn?}"
"""
"""Names that people change."""


def renamed(inventory: FakeInventory) -> VouchedWorld:
    """Return a world whose record of the device is called laptop-old since yesterday."""
    world = VouchedWorld(inventory)
    world.registry.create_profile("named", "default", NAMED, actor=ADMIN, acknowledged=("spoofable-names",))
    world.open_door("mdm-named", profile="named")
    world.know(stored_device(name="laptop-old", user=None))
    return world


def named_as(world: VouchedWorld, wanted: Names, number: int = 0) -> Ended:
    """Have the device ask for names at that endpoint, with a key of its own."""
    return enrolled(world, wanted, device=device_of(world, number, f"t-{number}", "mdm-named"))


def test_a_record_of_before_is_looked_up_for_its_name() -> None:
    """R5.1: a name that was vouched for and that the record has not is the present one: its system is asked now."""
    inventory = FakeInventory(devices={DEVICE: reported_device(name="laptop-new")})
    world = renamed(inventory)
    ended = named_as(world, names("laptop-new"))
    assert isinstance(ended, Certificate)
    assert ended.intent.names.cn == "laptop-new"
    assert inventory.looked_up == [DEVICE]


def test_a_name_of_before_gets_the_present_one() -> None:
    """R5.2: a former name that was vouched for may be asked for; the certificate has the present one, as is told."""
    inventory = FakeInventory(devices={DEVICE: reported_device(name="laptop-new")})
    world = renamed(inventory)
    ended = named_as(world, names("laptop-old"))
    assert isinstance(ended, Certificate)
    assert (ended.intent.names.cn, inventory.looked_up) == ("laptop-old", [])
    record = world.store.device_of("mdm", DEVICE)
    assert record is not None
    world.know(replace(record, name="laptop-new"))
    again = named_as(world, names("laptop-old"), 1)
    assert isinstance(again, Certificate)
    assert again.intent.names.cn == "laptop-new"
    stages = world.store.enrolment(again.intent.enrolment_id or UUID(int=0))
    assert stages is not None
    assert any("cn:laptop-old was vouched for" in each.note for each in stages.stages)
    refused(world, reasons.NAMES_OUTSIDE_BINDING, names("laptop-other"), device=_vouched_for(world, "laptop-old"))


def _vouched_for(world: VouchedWorld, name: str) -> Device:
    """Have the connector vouch for one name only, whatever is asked."""
    world.ways.links["mdm"] = FakeLink(says=Allowed(DEVICE, names=names(name)))
    return device_of(world, 2, "t-3", "mdm-named")


def test_a_user_of_before_is_looked_up_as_well() -> None:
    """The same of a principal name: who married since the last sweep is called as the directory says now."""
    inventory = FakeInventory(
        devices={DEVICE: reported_device(name="laptop-old", user="user-1")},
        users={"user-1": reported_user(upn="ada.new@example.org")},
    )
    world = renamed(inventory)
    world.know(stored_device(name="laptop-old"), stored_user())
    ended = named_as(world, listed("laptop-old", upn="ada.new@example.org"))
    assert isinstance(ended, Certificate)
    assert str(next(iter(ended.intent.names.sans))) == "upn:ada.new@example.org"
    assert inventory.looked_up == [DEVICE, "user-1"]


def test_a_record_that_cannot_be_compared_now_is_no_yes() -> None:
    """CON-5: where yes and record disagree and the system does not answer, the device comes again."""
    inventory = FakeInventory(devices={DEVICE: AWAY})
    world = renamed(inventory)
    ended = named_as(world, names("laptop-new"))
    assert isinstance(ended, Unavailable)
    assert ended.reason is reasons.CONNECTOR_AWAY


def test_a_record_of_just_now_is_asked_for_once() -> None:
    """Where a profile names devices in its own way, a record that was read within a minute is not read again."""
    inventory = FakeInventory(devices={DEVICE: reported_device(name="laptop-old")})
    world = renamed(inventory)
    for number in (0, 1):
        assert isinstance(named_as(world, names("17"), number), Certificate)
    assert inventory.looked_up == [DEVICE]


def test_a_challenge_of_ours_is_shown_to_no_system() -> None:
    """AUTHZ-2: a challenge of another endpoint is refused here, and never handed to the connector."""
    link = FakeLink()
    world = VouchedWorld(link)
    device = device_of(world)
    ended = world.enroller.enrol(device.request(names("laptop-1"), world.mint("laptop-1")))
    assert isinstance(ended, Denied)
    assert (ended.reason, ended.security) == (reasons.CHALLENGE_UNKNOWN, True)
    assert not link.asked


def test_a_connectors_challenge_opens_no_other_door() -> None:
    """AUTHZ-2: what the connector would vouch for is nothing at an endpoint with one-time challenges."""
    link = FakeLink()
    world = VouchedWorld(link)
    refused(world, reasons.CHALLENGE_UNKNOWN, device=device_of(world, endpoint="default"))
    assert not link.asked


# --- keys beside each other -------------------------------------------------------------------------------------------


def test_a_new_key_with_a_verdict_of_its_own_is_a_renewal() -> None:
    """A device that lost its key gets another certificate beside the first, which the following job supersedes."""
    world = VouchedWorld()
    world.know(stored_device())
    first = enrolled(world)
    second = enrolled(world, device=device_of(world, 1, "t-2"))
    assert isinstance(first, Certificate)
    assert isinstance(second, Certificate)
    (enrolment, *_) = world.store.enrolments(EnrolmentFilter(endpoint="mdm"))
    assert "a new key beside" in " ".join(note.note for note in enrolment.stages)


def test_a_second_key_that_nobody_vouched_for_waits() -> None:
    """Without a verdict on this very request at most one key lives: another one waits, as a security event."""
    world = VouchedWorld(FakeLink(says=lambda asked: Allowed(DEVICE, names=asked.names, fresh=False)))
    world.know(stored_device())
    assert isinstance(enrolled(world), Certificate)
    held = enrolled(world, device=device_of(world, 1, "t-2"))
    assert isinstance(held, Pending)
    draft = events(world, Action.ENROLMENT_PENDING)[-1]
    assert (draft.security, draft.reason_id) == (True, reasons.SECOND_KEY.id)
    assert "waits for approval: a second key" in " ".join(note.note for note in held.enrolment.stages)


def test_a_new_key_does_not_get_round_a_hold() -> None:
    """While an administrator has the device's certificate on hold, another key waits for a person, whoever vouches."""
    world = VouchedWorld()
    world.know(stored_device())
    first = enrolled(world)
    assert isinstance(first, Certificate)
    now = world.clock.now()
    assert world.store.hold_certificate(Hold(first.id, "administrator", "os:ada", now), ())
    held = enrolled(world, device=device_of(world, 1, "t-2"))
    assert isinstance(held, Pending)
    assert "on hold by os:ada" in held.second_key
    world.store.release_certificate(first.id, now, "os:ada", "", ())
    assert world.store.hold_certificate(Hold(first.id, FOLLOWING, "system", now), ())
    assert isinstance(enrolled(world, device=device_of(world, 2, "t-3")), Certificate)


def test_second_keys_fill_no_queue_without_end() -> None:
    """RES-5: once as many wait as may, a further second key is told to come again, and is not kept."""
    world = VouchedWorld(FakeLink(says=lambda asked: Allowed(DEVICE, names=asked.names, fresh=False)), most_pending=1)
    world.know(stored_device())
    assert isinstance(enrolled(world), Certificate)
    assert isinstance(enrolled(world, device=device_of(world, 1, "t-2")), Pending)
    third = enrolled(world, device=device_of(world, 2, "t-3"))
    assert isinstance(third, Unavailable)
    assert third.reason is reasons.QUEUE_FULL
    assert world.store.pending_count("default") == 1


def test_an_approved_second_key_is_the_devices() -> None:
    """What a person approves is judged with the record as it then is, bound to it, and its connector is told."""
    link = FakeLink(says=lambda asked: Allowed(DEVICE, names=asked.names, fresh=False))
    world = VouchedWorld(link)
    world.know(stored_device())
    assert isinstance(enrolled(world), Certificate)
    second = device_of(world, 1, "t-2")
    assert isinstance(enrolled(world, device=second), Pending)
    lost = replace(stored_device(DeviceState(lost=True)), group="default")
    kept = world.store.device(lost.id)
    assert kept is not None
    world.know(lost)
    with pytest.raises(AdminError, match=reasons.BEARER_UNFIT.id):
        world.approve()
    world.know(kept)
    approved = world.approve()
    assert approved.intent.device_id == kept.id
    assert enrolled(world, device=second) == approved
    assert [type(each).__name__ for each in link.told] == ["IssuedNotice", "IssuedNotice"]


def test_a_profile_limits_no_device_that_is_vouched_for() -> None:
    """`limits.live` lets the oldest go where a connector vouches, and locks nobody out."""
    world = VouchedWorld(document=PROFILE_OF_ONE)
    world.know(stored_device())
    assert isinstance(enrolled(world), Certificate)
    assert isinstance(enrolled(world, device=device_of(world, 1, "t-2")), Certificate)


PROFILE_OF_ONE = """
[validity]
duration = "365d"
[usage]
extended-key-usage = ["clientAuth"]
[subject]
cn = "{device.id}"
[limits]
live = 1
overlap = "1d"
"""


# --- policy after the yes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("device.compliant", reasons.CONDITION_UNMET),
        ('device.platform == "ios"', reasons.CONDITION_UNMET),
        ('"managed" in device.said && device.managed', None),
        ('!("staff" in device.memberships)', None),
    ],
)
def test_conditions_over_the_record_are_judged_after_the_yes(expression: str, reason: Reason | None) -> None:
    """CON-4: the profile's conditions look at the record, and a yes does not go round them."""
    document = PROFILE_OF_ONE + f"[[condition]]\nexpr = '{expression}'\nmessage = \"no\"\n"
    world = VouchedWorld(document=document)
    world.know(stored_device(DeviceState(managed=True)))
    if reason is None:
        assert isinstance(enrolled(world), Certificate)
    else:
        refused(world, reason)


def test_a_record_that_lacks_a_name_refuses() -> None:
    """RA-032: a template that needs what the record does not say is no reason to take it from elsewhere."""
    document = PROFILE_OF_ONE.replace('"{device.id}"', '"{device.entra_id}"')
    world = VouchedWorld(document=document)
    world.know(stored_device())
    refused(world, reasons.VARIABLE_MISSING)


# --- renewals (R4) ----------------------------------------------------------------------------------------------------


def renewed(
    world: VouchedWorld, device: Device, wanted: Names | None = None, challenge: str | None = None
) -> PkiStatus:
    """Renew with the live certificate."""
    world.clock.advance(timedelta(days=1))
    return device.fresh("t-renewal").enrol(wanted or names(DEVICE), challenge, MessageType.RENEWAL_REQ).status


def test_a_live_certificate_renews_by_its_record_unasked() -> None:
    """R4, REN-1: the record decides how things stand, and the names are made of it anew (REN-3)."""
    link = FakeLink()
    world = VouchedWorld(link)
    world.know(stored_device())
    device = device_of(world)
    device.enrol(names(DEVICE), "blob")
    assert renewed(world, device, challenge="blob") is PkiStatus.SUCCESS
    assert len(link.asked) == 1
    newest = max(world.store.certificates_after(None, 1000), key=lambda row: row.intent.generation)
    assert newest.intent.device_id == stored_device().id


def test_a_stolen_key_renews_nothing_after_the_wipe() -> None:
    """Holds 4: once the record says wiped, lost or moved, a live certificate is no evidence any more."""
    world = VouchedWorld()
    world.new_group("other")
    world.know(stored_device())
    device = device_of(world)
    device.enrol(names(DEVICE), "blob")
    good = world.store.device(stored_device().id)
    assert good is not None
    for changes, reason in (
        ({"state": DeviceState(pending=PendingAction.WIPE)}, reasons.BEARER_UNFIT),
        ({"group": "other"}, reasons.DEVICE_ELSEWHERE),
    ):
        world.know(replace(good, **changes))
        assert renewed(world, device) is PkiStatus.FAILURE
        assert world.last_event().draft.reason_id == reason.id


def test_what_another_door_let_in_does_not_renew_here() -> None:
    """AUTHZ-2: a certificate by a one-time challenge is no evidence at the connector's endpoint."""
    world = VouchedWorld()
    device = Device(world, rsa_key(0), endpoint="mdm-plain")
    secret = world.mint("laptop-1", endpoint="mdm-plain", device="laptop-1")
    assert device.enrol(names("laptop-1"), secret).status is PkiStatus.SUCCESS
    device.endpoint = "mdm"
    assert renewed(world, device, names("laptop-1")) is PkiStatus.FAILURE
    assert world.last_event().draft.reason_id == reasons.CHAIN_UNVOUCHED.id


# --- one at a time ----------------------------------------------------------------------------------------------------


def test_one_conversation_is_asked_about_once_at_a_time() -> None:
    """A repetition that comes while the connector is being asked does not show the challenge a second time."""
    entered, go = threading.Event(), threading.Event()
    ended: list[Ended] = []

    def slowly(asked: Asked) -> Allowed:
        entered.set()
        assert go.wait(30)
        return Allowed(DEVICE, names=asked.names)

    link = FakeLink(says=slowly)
    world = VouchedWorld(link)
    thread = threading.Thread(target=lambda: ended.append(enrolled(world)))
    thread.start()
    assert entered.wait(30)
    second = enrolled(world)
    go.set()
    thread.join()
    assert isinstance(second, Unavailable)
    assert isinstance(ended[0], Certificate)
    assert len(link.asked) == 1


def test_all_questions_of_an_enrolment_share_one_time() -> None:
    """R8: verdict, look-ups and notice together take 15 seconds at most, and what is left gets smaller."""
    link = FakeInventory(devices={DEVICE: reported_device(user="user-1")}, users={"user-1": reported_user()})
    world = VouchedWorld(link)

    def takes_six(asked: Asked) -> Allowed:
        world.seconds.pass_by(6)
        return Allowed(DEVICE, names=asked.names)

    link.says = takes_six
    assert isinstance(enrolled(world), Certificate)
    assert link.within[0] == 15
    assert link.within[1:] == [9, 9, 9]
