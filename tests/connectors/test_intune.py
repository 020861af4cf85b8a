"""Intune: what is asked, what is told, and what it wants revoked."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from connectors.microsoft_parts import ASKED, AWAY, ISSUED, Cloud, golden, intune, refusing, said
from regalia import reasons
from regalia.connectors.intune import serials_of
from regalia.model import NO_NAMES, Names, San, SanKind
from regalia.model.connector import Allowed, NotAsked, Refused, RefusedNotice, RevocationResult, Told

GUID = "aaaaaaaa-0000-0000-0000-000000000001"
SID_URI = "tag:microsoft.com,2022-09-14:sid:S-1-5-21-1-2-3-500"


def names(*uris: str, cn: str = "x") -> Names:
    """Make names of a request."""
    return Names(cn, frozenset(San(SanKind.URI, uri) for uri in uris), sid="S-1-5-21-1-2-3-500")


def test_a_verdict_names_the_device_and_vouches_for_no_sid() -> None:
    """POL-2: what Intune compared is vouched for, but a SID in the request is not, wherever it stands."""
    asked = replace(ASKED, names=names(f"IntuneDeviceId://{GUID.upper()}", SID_URI))
    answer = intune(Cloud()).authorise(asked, within=15)
    assert isinstance(answer, Allowed)
    assert answer.fresh
    assert answer.device == GUID
    assert answer.names.listed() == ("cn:x", f"uri:IntuneDeviceId://{GUID.upper()}")
    assert "theirs-1" in answer.note


@pytest.mark.parametrize(
    ("asked", "settings", "device"),
    [
        (names(cn=GUID), {"common_name": "intune-device-id"}, GUID),
        (names(cn=GUID), {}, None),
        (names("IntuneDeviceId://nonsense"), {}, None),
        (names(f"IntuneDeviceId://{GUID}", f"IntuneDeviceId://{GUID[:-1]}2"), {}, None),
        (names(f"IntuneDeviceId://{GUID}"), {"device_uri": ""}, None),
        (NO_NAMES, {"common_name": "intune-device-id"}, None),
    ],
)
def test_which_device_it_is(asked: Names, settings: dict[str, Any], device: str | None) -> None:
    """The device's id is read from where the settings say that the profile puts it; two ids are none."""
    answer = intune(Cloud(), **settings).authorise(replace(ASKED, names=asked), within=15)
    assert isinstance(answer, Allowed)
    assert answer.device == device


def test_an_entra_id_in_the_common_name_is_a_fact() -> None:
    """Where the profile's common name is Entra's id of the device, the verdict says so."""
    link = intune(Cloud(), common_name="entra-device-id")
    answer = link.authorise(replace(ASKED, names=names(cn=GUID)), within=15)
    assert isinstance(answer, Allowed)
    assert answer.facts == {"entra_device_id": GUID}


def test_intune_is_told_of_a_certificate() -> None:
    """R8: the notification is the golden one; Success is taken note of, anything else refuses the certificate."""
    cloud = Cloud()
    link = intune(cloud)
    assert link.confirms
    assert isinstance(link.issued(ISSUED, within=15), Told)
    assert json.loads(cloud.asked("/successNotification")[0].body) == golden("success_notification")
    told = intune(Cloud().say("/successNotification", refusing("Unknown"))).issued(ISSUED, within=15)
    assert isinstance(told, Refused)
    assert told.reason is reasons.CONNECTOR_CERTIFICATE_REFUSED


def test_waiting_for_intune_can_be_switched_off() -> None:
    """R8: with `confirm` off the device does not wait for Intune's note."""
    assert not intune(Cloud(), confirm=False).confirms


def test_intune_is_told_of_a_failure_here() -> None:
    """The failure's number is signed and its text has 255 characters at most; a profile's refusal has its own."""
    cloud = Cloud()
    link = intune(cloud)
    assert isinstance(
        link.refused(RefusedNotice("TX1", b"\x30\x00", reasons.CONNECTOR_AWAY, "because"), within=15), Told
    )
    assert json.loads(cloud.asked("/failureNotification")[0].body) == golden("failure_notification")
    link.refused(RefusedNotice("TX1", b"", reasons.NAMES_OUTSIDE_BINDING, "é" * 300), within=15)
    sent = json.loads(cloud.asked("/failureNotification")[1].body)["notification"]
    assert sent["hResult"] == 0x80094800 - (1 << 32)
    assert len(sent["errorDescription"]) == 255


# --- where the services are ---------------------------------------------------------------------------------------


def test_discovery_is_asked_once() -> None:
    """Addresses are kept: two questions need one discovery, and one token for each of the two services."""
    cloud = Cloud()
    link = intune(cloud)
    link.authorise(ASKED, within=15)
    link.authorise(ASKED, within=15)
    assert len(cloud.asked("/endpoints")) == 1
    assert len(cloud.asked("/token")) == 2


def test_the_older_discovery() -> None:
    """With the setting, Azure AD Graph is asked, which names services by another word; the last slash is cut."""
    cloud = Cloud()
    assert isinstance(intune(cloud, discovery="azure-ad-graph").authorise(ASKED, within=15), Allowed)
    assert "api-version=1.6" in cloud.asked("/serviceEndpoints")[0].url
    assert cloud.asked("/validateRequest")[0].url == (
        "https://fef.msuc02.manage.microsoft.com/Scep/ScepActions/validateRequest"
    )


def test_the_first_of_two_addresses_counts() -> None:
    """Of several services with one name the first is asked; names are the same in any case."""
    entries = [
        {"providerName": "screprequest", "uri": "https://no.example"},
        {"providerName": "SCEPREQUESTVALIDATIONFESERVICE", "uri": "https://one.example/"},
        {"providerName": "ScepRequestValidationFEService", "uri": "https://two.example"},
    ]
    cloud = Cloud().say("/endpoints", said({"value": entries}))
    intune(cloud).authorise(ASKED, within=15)
    assert cloud.asked("/validateRequest")[0].url.startswith("https://one.example/ScepActions/")


@pytest.mark.parametrize(
    "address", ["http://one.example/", "https://user@one.example/", "file:///etc/passwd", "https://one.example/?x=", 7]
)
def test_no_token_is_sent_to_an_odd_address(address: object) -> None:
    """SSRF-3: an address that is not plain https is as if Intune had named none (CON-025)."""
    entries = [{"providerName": "ScepRequestValidationFEService", "uri": address}]
    cloud = Cloud().say("/endpoints", said({"value": entries}))
    answer = intune(cloud).authorise(ASKED, within=15)
    assert isinstance(answer, NotAsked)
    assert answer.reason is reasons.CONNECTOR_SERVICE_MISSING
    assert cloud.asked("/validateRequest") == []


@pytest.mark.parametrize(
    "first", [AWAY, said({}, 404), said({}, 410), said(golden("fault"), 500)], ids=["away", "404", "410", "500"]
)
def test_a_service_that_moved_is_found_again(first: object) -> None:
    """Where nobody serves an address any more, discovery is asked anew and the question once more."""
    verdict = said(golden("verdict"))
    cloud = Cloud().say("/validateRequest", first, verdict)  # type: ignore[arg-type]
    assert isinstance(intune(cloud).authorise(ASKED, within=15), Allowed)
    assert len(cloud.asked("/endpoints")) == 2


def test_a_service_that_stays_away_is_not_asked_for_ever() -> None:
    """Two questions, and no more, are asked of a service that has a fault."""
    cloud = Cloud().say("/validateRequest", said(golden("fault"), 500))
    answer = intune(cloud).authorise(ASKED, within=15)
    assert isinstance(answer, NotAsked)
    assert answer.reason is reasons.CONNECTOR_AWAY
    assert len(cloud.asked("/validateRequest")) == 2


# --- the revocation feed --------------------------------------------------------------------------------------------


def test_what_intune_wants_revoked() -> None:
    """The question is the golden one; a serial number has each meaning that it can have, the likeliest first."""
    cloud = Cloud()
    wishes = intune(cloud).wishes(500)
    assert isinstance(wishes, tuple)
    assert [(wish.context, wish.serials, wish.issuer, wish.authority) for wish in wishes] == [
        ("ctx-1", (0xABC,), "CN=Issuing", "devices-1"),
        ("ctx-2", (0x17, 17), None, None),
    ]
    (asked,) = cloud.asked("/downloadRevocationRequests")
    assert json.loads(asked.body) == golden("download")
    assert asked.headers["api-version"] == "5019-05-05"


@pytest.mark.parametrize(
    ("text", "serials"),
    [
        ("00ab", (0xAB,)),
        ("0xAB", (0xAB,)),
        ("AB:CD", (0xABCD,)),
        ("12", (0x12, 12)),
        ("0", ()),
        ("-5", (5,)),
        ("", ()),
        ("xyz", ()),
        ("F" * 41, ()),
        ("9" * 300, ()),
    ],
)
def test_what_a_serial_number_may_mean(text: str, serials: tuple[int, ...]) -> None:
    """Hexadecimal in several spellings, then decimal; what no certificate can have is nothing."""
    assert serials_of(text) == serials


def test_a_wish_that_cannot_be_read_is_left_out_unless_all_are() -> None:
    """Items without a handle are passed over beside good ones; a list of nothing else is no list."""
    good = {"requestContext": "ctx", "serialNumber": None}
    some = intune(Cloud().say("/downloadRevocationRequests", said({"value": [7, {}, good]}))).wishes(5)
    assert isinstance(some, tuple)
    assert [(wish.context, wish.serials) for wish in some] == [("ctx", ())]
    assert isinstance(intune(Cloud().say("/downloadRevocationRequests", said({"value": [7]}))).wishes(5), NotAsked)
    assert intune(Cloud().say("/downloadRevocationRequests", said({"value": []}))).wishes(5) == ()


def test_results_are_reported_until_they_are_kept() -> None:
    """The report is the golden one, in portions; only `true` means that Intune kept it."""
    results = (
        RevocationResult("ctx-1", done=True),
        RevocationResult("ctx-2", done=False, found=False, detail="no such certificate"),
    )
    cloud = Cloud()
    assert isinstance(intune(cloud).report(results), Told)
    assert json.loads(cloud.asked("/uploadRevocationResults")[0].body) == golden("upload")
    for odd in ({"value": False}, {"value": 1}, {"value": "true"}, {"value": None}, {}):
        assert isinstance(intune(Cloud().say("/uploadRevocationResults", said(odd))).report(results), NotAsked)
    portions = Cloud()
    intune(portions, feed_most=1).report(results)
    assert len(portions.asked("/uploadRevocationResults")) == 2
    passing = Cloud()
    intune(passing).report((RevocationResult("c", done=False, retry=True), RevocationResult("d", done=False)))
    sent = json.loads(passing.asked("/uploadRevocationResults")[0].body)["results"]
    assert [each["errorCode"] for each in sent] == ["4100", "4000"]
