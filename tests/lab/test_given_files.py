"""What an endpoint gives its management as files: imported into the laboratory, a device of each platform enrols by it.

Nothing is copied by hand between what we give and what the device is given.
"""

from __future__ import annotations

import json
import plistlib
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509

from fakes import FakeClock
from regalia.connectors.registry import Parts, linked
from regalia.lab.changes import apply
from regalia.lab.delivering import delivered
from regalia.lab.devices.delivery import Delivery
from regalia.lab.devices.platforms import IOS, MACOS, platform_of
from regalia.lab.devices.reports import DeviceError
from regalia.lab.graph_profile import GraphProfileError, imported
from regalia.lab.sample import CLIENT_ID, CLIENT_SECRET
from regalia.model import new_id
from regalia.model.connector import Connector
from regalia.model.fleet import Platform
from regalia.net.addresses import Opened
from regalia.net.http import HttpOutgoing
from regalia.ra.roles import EVERYTHING
from regalia.verbs import Caller, LocalDoor
from regalia.verbs import endpoint_values as verbs
from simulated import COMMON_NAME, WorldWeb, device_of
from vouching_parts import VouchedWorld
from world import ADMIN, World

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lab_parts import Rehearsal
    from regalia.lab.devices.platforms import Platform as Habits

PROFILE = """
[validity]
duration = "365d"
[usage]
extended-key-usage = ["clientAuth"]
[subject]
cn = "{device.entra_id}"
[[san]]
kind = "uri"
value = "IntuneDeviceId://{device.id}"
"""
SECURE = "https://pki.example.test"
SYSTEMS = {
    Platform.WINDOWS: "Windows",
    Platform.IOS: "iOS",
    Platform.MACOS: "macOS",
    Platform.ANDROID: "Android",
}


@pytest.fixture
def world(lab: Rehearsal) -> VouchedWorld:
    """A world at an https address, whose connector `mdm` is Intune's in the laboratory."""
    clock = FakeClock(lab.clock())
    settings = {
        "tenant": lab.domain,
        "client_id": CLIENT_ID,
        "authority": lab.at.login,
        "graph": lab.at.graph,
        "common_name": "entra-device-id",
    }
    outgoing = HttpOutgoing(
        opened=tuple(Opened.parse(base) for base in (lab.at.login, lab.at.graph, lab.at.intune)),
        ca_file=lab.cloud.ca_file,
    )
    made = VouchedWorld(document=PROFILE, clock=clock, url=SECURE)
    connector = Connector(new_id(clock.now(), bytes(10)), "mdm", "intune", settings, clock.now())
    assert made.store.add_connector(connector, None, ())
    made.ways.links["mdm"] = linked(connector, CLIENT_SECRET, Parts(outgoing, clock, made.entropy, devices=made.store))
    return made


def given(world: World, endpoint: str, platform: Platform, file: verbs.FileKind, **more: str) -> bytes:
    """Have an administrator make a file."""
    asked = verbs.EndpointFile(name=endpoint, platform=platform, file=file, **more)
    return LocalDoor(world, Caller(ADMIN, EVERYTHING)).ask(verbs.FILE, asked).octets


def graph_file(world: World, platform: Platform) -> dict[str, Any]:
    """The file for Microsoft Graph."""
    found: dict[str, Any] = json.loads(given(world, "mdm", platform, verbs.FileKind.GRAPH))
    return found


@pytest.mark.parametrize("platform", SYSTEMS)
def test_a_device_enrols_by_what_was_imported(platform: Platform, world: VouchedWorld, lab: Rehearsal) -> None:
    """The file for Graph, imported as it is, gets a device of its platform a certificate with its record's names."""
    (profile,) = lab.tenant.profiles.all()
    apply(lab.tenant, "edit-profile", {"profile": profile.id, **imported(graph_file(world, platform))})
    system = SYSTEMS[platform]
    managed = next(each for each in lab.tenant.managed.all() if each.operating_system == system)
    delivery = delivered(lab.cloud.challenges, lab.tenant, managed, lab.tenant.profiles[profile.id])
    held = device_of(platform_of(system), WorldWeb(world)).enrol(delivery)
    assert held.certificate.subject.rfc4514_string() == f"CN={managed.entra_device_id}"
    sans = held.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert sans.get_values_for_type(x509.UniformResourceIdentifier) == [f"IntuneDeviceId://{managed.id}"]


def test_windows_is_given_the_issuing_authority_and_others_the_root(world: VouchedWorld) -> None:
    """Windows compares the thumbprint with what GetCACert gives; the others build a chain to the root."""
    door = world.store.door("mdm")
    assert door is not None
    named = {
        platform: x509.load_pem_x509_certificate(imported(graph_file(world, platform))["trusted_root"].encode())
        for platform in SYSTEMS
    }
    authority = x509.load_der_x509_certificate(door.authority.certificate_der)
    root = x509.load_der_x509_certificate(door.root.certificate_der)
    assert named.pop(Platform.WINDOWS) == authority
    assert set(named.values()) == {root}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("rootCertificate@odata.bind", "https://graph.microsoft.com/beta/deviceManagement/deviceConfigurations('x')"),
        ("keySize", "2048 bits"),
        ("subjectNameFormat", "commonName"),
        ("certificateValidityPeriodScale", "weeks"),
    ],
)
def test_the_laboratory_takes_no_profile_that_intune_would_not(world: VouchedWorld, field: str, value: str) -> None:
    """A file whose SCEP profile names no certificate of it, or has values that there are not, is refused."""
    document = graph_file(world, Platform.WINDOWS)
    document["deviceConfigurations"][-1][field] = value
    with pytest.raises(GraphProfileError):
        imported(document)


def delivery_of(profile: Mapping[str, Any]) -> Delivery:
    """What a device of Apple's takes of a profile: the payloads that it knows, by their types."""
    payloads = {each["PayloadType"]: each["PayloadContent"] for each in profile["PayloadContent"]}
    scep = payloads["com.apple.security.scep"]
    root = x509.load_der_x509_certificate(payloads["com.apple.security.root"])
    assert x509.load_der_x509_certificate(payloads["com.apple.security.pkcs1"]).issuer == root.subject
    assert scep["Key Type"] == "RSA"
    return Delivery(
        urls=(scep["URL"],),
        subject=tuple((COMMON_NAME, value) for ((name, value),) in scep.get("Subject", ()) if name == "CN"),
        challenge=scep.get("Challenge"),
        key_size=scep["Keysize"],
        key_usage=("digitalSignature", "keyEncipherment") if scep["Key Usage"] == 5 else (),
        root_thumbprint=scep["CAFingerprint"].hex(),
    )


@pytest.mark.parametrize("habits", [IOS, MACOS], ids=lambda each: each.name)
@pytest.mark.parametrize("name", [None, "ipad-1"], ids=["without a name", "with its name"])
def test_an_apple_device_enrols_by_a_configuration_profile(habits: Habits, name: str | None) -> None:
    """A `.mobileconfig` with a one-time challenge gets a device its certificate; its names come from the challenge."""
    world = World()
    more = {"common_name": name} if name is not None else {}
    octets = given(world, "default", Platform.IOS, verbs.FileKind.APPLE, challenge=world.mint("ipad-1"), **more)
    held = device_of(habits, WorldWeb(world)).enrol(delivery_of(plistlib.loads(octets)))
    assert held.certificate.subject.rfc4514_string() == "CN=ipad-1"


def test_a_profile_of_another_server_is_not_taken_for_this_one() -> None:
    """The fingerprint in a profile is of its authority: a device that meets another server gives up."""
    mine, other = World(), World()
    octets = given(mine, "default", Platform.MACOS, verbs.FileKind.APPLE, challenge="x" * 32)
    with pytest.raises(DeviceError):
        device_of(MACOS, WorldWeb(other)).enrol(delivery_of(plistlib.loads(octets)))


def test_a_profile_replaces_its_former_one() -> None:
    """Identifiers are the same each time, each payload has one of its own, and another address has others."""
    mine, other = World(), World(url=SECURE)
    first, second, third = (
        plistlib.loads(given(world, "default", Platform.MACOS, verbs.FileKind.APPLE)) for world in (mine, mine, other)
    )
    assert first == second
    ids = [each["PayloadUUID"] for each in (first, *first["PayloadContent"])]
    assert len(set(ids)) == 4
    assert set(ids).isdisjoint({each["PayloadUUID"] for each in (third, *third["PayloadContent"])})
    assert "Challenge" not in first["PayloadContent"][2]["PayloadContent"]
