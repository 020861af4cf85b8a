"""The set-up of an MDM: every value of its forms, files to import, the connection, and the first device as it comes."""

from __future__ import annotations

import plistlib
from html import unescape
from typing import TYPE_CHECKING

import pytest

from regalia.model import EnrolmentState, Grant, Reach, Role, new_id
from regalia.model.connector import Connector
from regalia.ports import EnrolmentFilter
from regalia.ra.roles import EVERYTHING
from regalia.verbs import Caller, LocalDoor, endpoint_values
from regalia.verbs.mdm_form import PLATFORMS
from world import ADMIN, Device, names, rsa_key

if TYPE_CHECKING:
    from console.conftest import Scene
    from regalia.model.fleet import Platform

SETTINGS = {"tenant": "contoso.example", "client_id": "99999999-8888-7777-6666-555555555555"}


@pytest.fixture
def intune(scene: Scene) -> str:
    """An endpoint for which a connector of Intune's vouches."""
    world = scene.world
    made = Connector(new_id(world.clock.now(), bytes(10)), "intune", "intune", SETTINGS, world.clock.now())
    assert world.store.add_connector(made, None, ())
    form = {
        "name": "managed",
        "group": "default",
        "profile": "default",
        "authoriser": "connector",
        "connector": "intune",
    }
    scene.alice.get("/act/endpoint.create")
    assert scene.alice.post("/act/endpoint.create", **form, step="do").status == 200
    return "managed"


@pytest.mark.parametrize("platform", PLATFORMS)
def test_every_value_is_on_its_page(scene: Scene, intune: str, platform: Platform) -> None:
    """Step by step the page has each field of the forms with its value, and what is typed can be copied."""
    asked = endpoint_values.ValuesOf(name=intune, platform=platform)
    found = LocalDoor(scene.world, Caller(ADMIN, EVERYTHING)).ask(endpoint_values.VALUES, asked)
    assert [each.key for each in found.forms] == ["trust", "scep", "wifi"]
    for form in found.forms:
        page = unescape(scene.alice.get(f"/endpoints/{intune}/setup?platform={platform}&step={form.key}").text)
        for field in form.fields:
            assert f"<bdi>{field.label}</bdi>" in page
            assert f"<bdi>{field.value}</bdi>" in page or not field.value
            assert (f'data-copy="{field.value}"' in page) is bool(field.typed and field.value)


def test_the_steps_lead_from_the_connection_to_the_first_device(scene: Scene, intune: str) -> None:
    """Each page leads to the next one, in the order in which an administrator works."""
    at, titles = f"/endpoints/{intune}/setup", []
    for _ in range(10):
        page = scene.alice.get(at).text
        titles.append(page.partition('aria-current="step"')[2].partition("<span>")[2].partition("<")[0])
        if ">Next: " not in page:
            break
        at = unescape(page.rpartition('class="btn btn--primary" href="')[2].partition('"')[0])
    assert titles == [
        "Connection and permissions",
        "Trusted certificates",
        "SCEP certificate",
        "Wi-Fi",
        "First device",
    ]


def test_files_are_handed_out(scene: Scene, intune: str) -> None:
    """Certificates and Intune's profiles come as files with names of their own, and are kept nowhere."""
    for file, kind, name in (
        ("root", "application/pkix-cert", "root.cer"),
        ("authority", "application/pkix-cert", "authority.cer"),
        ("graph", "application/json", "managed-windows.json"),
    ):
        heard = scene.alice.get(f"/endpoints/{intune}/setup/{file}?platform=windows")
        assert (heard.status, heard.header("content-type")) == (200, kind)
        assert heard.header("content-disposition") == f'attachment; filename="{name}"'
        assert heard.header("cache-control") == "no-store"
    assert scene.alice.get(f"/endpoints/{intune}/setup/apple?platform=ios").status == 422


def test_an_apple_profile_is_made_of_a_form(scene: Scene) -> None:
    """What is typed goes into the profile, by a form and not by an address; what is left empty does not."""
    scene.alice.get("/endpoints/default/setup?platform=ios&step=scep")
    heard = scene.alice.post("/endpoints/default/setup/apple?platform=ios", challenge="$CHALLENGE", common_name="")
    (scep,) = (
        each["PayloadContent"]
        for each in plistlib.loads(heard.body)["PayloadContent"]
        if each["PayloadType"] == "com.apple.security.scep"
    )
    assert scep["Challenge"] == "$CHALLENGE"
    assert "Subject" not in scep
    by_address = scene.alice.get("/endpoints/default/setup/apple?platform=ios&challenge=secret-of-the-address")
    assert b"secret-of-the-address" not in by_address.body


def test_the_first_device_appears(scene: Scene) -> None:
    """The page waits until a device asks, and shows a refused request, too."""
    scene.world.open_group("new")
    form = {"name": "fresh", "group": "default", "profile": "default", "authoriser": "one-time"}
    scene.alice.get("/act/endpoint.create")
    assert scene.alice.post("/act/endpoint.create", **form, step="do").status == 200
    at = "/endpoints/fresh/setup?platform=macos&step=first"
    assert "Waiting for the first request" in scene.alice.get(at).text
    device = Device(scene.world, rsa_key(2), endpoint="fresh").fresh("transaction-9")
    message = device.message(device.csr(names("mac-9"), "a challenge that nobody made"))
    scene.world.send(message, "fresh")
    page = scene.alice.get(at).text
    assert "Waiting for the first request" not in page
    assert "mac-9" in page


def test_whoever_sees_one_group_sets_up_its_endpoints_only(scene: Scene) -> None:
    """AUTHZ-4: a viewer of another group gets neither values nor files; one of this group gets them."""
    scene.world.open_group("other")
    stranger = scene.join("bert", Grant(Role.AUDITOR, Reach(frozenset({"other"}))))
    for path in ("/endpoints/default/setup", "/endpoints/default/setup/root?platform=ios"):
        assert stranger.get(path).status == 404
    viewer = scene.join("cleo", Grant(Role.AUDITOR, Reach(frozenset({"default"}))))
    assert "Trusted certificates" in viewer.get("/endpoints/default/setup").text


def test_a_refusal_for_a_value_leads_to_the_right_ones(scene: Scene) -> None:
    """Where a request had a name that it may not have, the way to mend it begins at what its management is given."""
    (refused,) = scene.world.store.enrolment_page(EnrolmentFilter(EnrolmentState.REFUSED)).items
    page = scene.alice.get(f"/enrolments/{refused.id}").text
    assert 'href="/endpoints/default/setup?step=scep"' in page
