"""What a management is given for an endpoint: its values come from the profile, the connector and the authorities."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from regalia.ca.urls import Urls
from regalia.errors import AdminError
from regalia.model import Grant, Reach, Role, new_id
from regalia.model.connector import Connector
from regalia.model.fleet import Platform
from regalia.ports import EventFilter
from regalia.ra.roles import EVERYTHING
from regalia.verbs import Caller, LocalDoor
from regalia.verbs import endpoint_values as verbs
from regalia.verbs.mdm_form import PLATFORMS
from vouching_parts import VouchedWorld
from world import ADMIN, World

if TYPE_CHECKING:
    from collections.abc import Mapping

    from regalia.model import JsonValue

PERSON = """
[validity]
duration = "90d"
[usage]
extended-key-usage = ["clientAuth"]
[subject]
cn = "{user.upn}"
[[san]]
kind = "upn"
value = "{user.upn}"
"""
UNKNOWN = """
[validity]
duration = "800d"
[usage]
extended-key-usage = ["clientAuth", "emailProtection"]
[subject]
cn = "{key.hash20}"
[keys]
rsa-min-bits = 3072
"""


def fleet(document: str, settings: Mapping[str, JsonValue]) -> VouchedWorld:
    """Make a world with a connector of Intune's."""
    world = VouchedWorld(document=document)
    made = Connector(new_id(world.clock.now(), bytes(10)), "mdm", "intune", settings, world.clock.now())
    assert world.store.add_connector(made, None, ())
    return world


def values(world: World, endpoint: str = "mdm", platform: Platform = Platform.WINDOWS) -> verbs.EndpointValues:
    """Ask for everything that is entered."""
    return LocalDoor(world, Caller(ADMIN, EVERYTHING)).ask(
        verbs.VALUES, verbs.ValuesOf(name=endpoint, platform=platform)
    )


def scep(found: verbs.EndpointValues) -> dict[str, str]:
    """Read the SCEP form as a table."""
    (form,) = (each for each in found.forms if each.key == "scep")
    return {each.label: each.value for each in form.fields}


def why(found: verbs.EndpointValues, label: str) -> str | None:
    """Say what is told beside a field."""
    return next(each.why for form in found.forms for each in form.fields if each.label == label)


@pytest.mark.parametrize(
    ("common_name", "subject"),
    [
        ("entra-device-id", "CN={{AAD_Device_ID}}"),
        ("intune-device-id", "CN={{DeviceId}}"),
        ("other", "CN={{AAD_Device_ID}}"),
    ],
)
def test_the_names_are_those_that_the_connector_knows_a_device_by(common_name: str, subject: str) -> None:
    """The subject follows the connector's setting, and the URI that ties the certificate to its device comes first."""
    found = scep(values(fleet(UNKNOWN, {"common_name": common_name, "device_uri": "urn:x:"})))
    assert found["Subject name format"] == subject
    assert found["Subject alternative name, Uniform Resource Identifier (URI)"] == "urn:x:{{DeviceId}}"


def test_what_intune_cannot_say_is_left_out() -> None:
    """What is computed here is not asked for; a life is cut to what Intune takes, a key is of a size that it offers."""
    found = scep(values(fleet(UNKNOWN, {"device_uri": ""})))
    assert not any(label.startswith("Subject alternative name") for label in found)
    assert (found["Certificate validity period"], found["Key size (bits)"]) == ("2 years", "4096")
    assert found["Key storage provider (KSP)"] == "Enroll to Software KSP"


def test_a_person_takes_a_certificate_of_type_user() -> None:
    """Where a profile names a person, variables for people are given, which only a user certificate may use."""
    found = scep(values(fleet(PERSON, {}), platform=Platform.MACOS))
    assert (found["Certificate type"], found["Deployment Channel"]) == ("User", "User Channel")
    assert found["Subject name format"] == "CN={{UserPrincipalName}}"
    assert found["Subject alternative name, User principal name (UPN)"] == "{{UserPrincipalName}}"
    assert found["Certificate validity period"] == "3 months"


def test_the_address_is_the_one_that_devices_are_told() -> None:
    """What devices are told is what is pasted; without https the form says that Intune will not go there."""
    world = fleet(UNKNOWN, {})
    plain = values(world)
    assert scep(plain)["SCEP Server URLs"] == "http://pki.example.test/scep/mdm"
    assert "https" in str(why(plain, "SCEP Server URLs"))
    world.urls = Urls(world.urls.base, "https://enrol.example.test")
    told = values(world, platform=Platform.ANDROID)
    assert scep(told)["SCEP Server URLs"] == "https://enrol.example.test/scep/mdm"
    assert why(told, "SCEP Server URLs") is None


@pytest.mark.parametrize("platform", PLATFORMS)
def test_another_management_has_forms_of_its_own(platform: Platform) -> None:
    """Without Intune the names are left to us, and only Apple's devices take a profile as one file."""
    found = values(World(), "default", platform)
    assert (found.management, found.connector) == (None, None)
    assert scep(found)["Subject"] == ""
    assert (verbs.FileKind.APPLE in [each.file for each in found.files]) is (platform in (Platform.IOS, Platform.MACOS))


@pytest.mark.parametrize(
    ("endpoint", "platform", "file"),
    [
        ("default", Platform.LINUX, verbs.FileKind.ROOT),
        ("default", Platform.WINDOWS, verbs.FileKind.APPLE),
        ("default", Platform.IOS, verbs.FileKind.GRAPH),
        ("nothing", Platform.IOS, verbs.FileKind.ROOT),
    ],
)
def test_a_file_that_there_is_not_is_refused(endpoint: str, platform: Platform, file: verbs.FileKind) -> None:
    """A platform without values, a file of another management's and an unknown endpoint are refused with a reason."""
    door = LocalDoor(World(), Caller(ADMIN, EVERYTHING))
    with pytest.raises(AdminError) as refused:
        door.ask(verbs.FILE, verbs.EndpointFile(name=endpoint, platform=platform, file=file))
    assert refused.value.reason.id == ("ADM-004" if endpoint == "nothing" else "ADM-018")


def test_what_is_foreign_is_as_if_it_were_not_there() -> None:
    """AUTHZ-4: an operator of another group gets the answer for an endpoint that is not there."""
    world = World()
    world.open_group("other")
    door = LocalDoor(world, Caller(ADMIN, (Grant(Role.OPERATOR, Reach(frozenset({"other"}))),)))
    asked: list[tuple[Any, Any]] = [
        (verbs.VALUES, verbs.ValuesOf(name="default")),
        (verbs.FILE, verbs.EndpointFile(name="default", file=verbs.FileKind.ROOT)),
    ]
    for verb, question in asked:
        with pytest.raises(AdminError) as refused:
            door.ask(verb, question)
        assert refused.value.reason.id == "ADM-004"


def test_a_challenge_in_a_file_is_told_to_nobody_else() -> None:
    """CHA-4: the challenge is in the file, and in no representation of the question."""
    asked = verbs.EndpointFile(
        name="default", platform=Platform.IOS, file=verbs.FileKind.APPLE, challenge="0123456789abcdef"
    )
    assert "0123456789abcdef" not in repr(asked)
    world = World()
    made = LocalDoor(world, Caller(ADMIN, EVERYTHING)).ask(verbs.FILE, asked)
    assert b"0123456789abcdef" in made.octets
    assert "0123456789abcdef" not in str(world.store.events(EventFilter()))
