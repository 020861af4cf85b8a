"""A connector is set up by its settings, one by one, and changed the same way."""

from __future__ import annotations

import re
from html import unescape
from typing import TYPE_CHECKING

import pytest

from regalia.ra.roles import EVERYTHING
from regalia.verbs import Caller, LocalDoor
from regalia.verbs import connector as verbs
from world import ADMIN

if TYPE_CHECKING:
    from console.conftest import Scene
    from regalia.verbs.connector import ConnectorShown, KindRecord

INTUNE = {"settings.tenant": "contoso.example", "settings.client_id": "99999999-8888-7777-6666-555555555555"}
FORM = {"name": "mdm", **INTUNE, "secret": "of nobody"}


def door(scene: Scene) -> LocalDoor:
    """The way of commands."""
    return LocalDoor(scene.world, Caller(ADMIN, EVERYTHING))


def kinds(scene: Scene) -> dict[str, KindRecord]:
    """What each kind has."""
    return {each.kind: each for each in door(scene).ask(verbs.KINDS, verbs.ListKinds()).items}


def shown(scene: Scene) -> ConnectorShown:
    """The connector that was made."""
    return door(scene).ask(verbs.SHOW, verbs.ConnectorName(name="mdm"))


def made(scene: Scene, **more: str) -> None:
    """Make one by its form, from the page that asks for it."""
    scene.alice.get("/act/connector.create?kind=intune")
    heard = scene.alice.post("/act/connector.create?kind=intune", **FORM, **more, step="do")
    assert (heard.status, heard.header("location")) == (303, "/connectors/mdm")


def test_each_setting_of_a_kind_has_a_field(scene: Scene) -> None:
    """What nobody can do without is asked first; the others are folded, and say what counts otherwise."""
    page = unescape(scene.alice.get("/act/connector.create?kind=intune").text)
    first, _, folded = page.partition("More settings")
    for setting in kinds(scene)["intune"].settings:
        part = first if setting.required else folded
        assert f'name="settings.{setting.name}"' in part
        assert re.sub("`", "", setting.meaning) in re.sub("</?code>", "", part)
    assert 'name="secret"' in first
    assert 'placeholder="https://graph.microsoft.com"' in folded
    assert "otherwise: yes" in folded


def test_settings_are_kept_as_they_were_typed(scene: Scene) -> None:
    """Words become what each setting is: a list of words, a yes, a number; what is left empty is not kept."""
    made(scene, **{"settings.wipe_actions": "wipe, factoryReset", "settings.users": "false", "settings.page": "100"})
    assert shown(scene).settings == {
        "tenant": "contoso.example",
        "client_id": INTUNE["settings.client_id"],
        "wipe_actions": ["wipe", "factoryReset"],
        "users": False,
        "page": 100,
    }


def test_the_kind_is_asked_for_first(scene: Scene) -> None:
    """Whoever comes without a kind chooses one, and is then asked for its settings, without a word of a mistake."""
    first = scene.alice.get("/act/connector.create").text
    assert "settings." not in first
    second = scene.alice.post("/act/connector.create", kind="webhook", name="mdm", step="do")
    assert second.status == 200
    assert 'name="settings.url"' in second.text
    assert 'role="alert"' not in second.text
    third = scene.alice.post(
        "/act/connector.create",
        **{"kind": "webhook", "name": "mdm", "settings.url": "https://hook.example.test", "secret": "s" * 32},
    )
    assert (third.status, third.header("location")) == (303, "/connectors/mdm")


def test_what_is_wrong_stands_above_the_settings(scene: Scene) -> None:
    """A setting that cannot be is refused on the form, with everything still in it."""
    heard = scene.alice.get("/act/connector.create?kind=intune")
    heard = scene.alice.post("/act/connector.create?kind=intune", **{**FORM, "settings.page": "none", "step": "do"})
    assert heard.status == 422
    assert 'value="contoso.example"' in heard.text
    assert '<details class="more" open' in heard.text
    assert "of nobody" not in heard.text


def test_a_setting_is_changed_and_another_goes_back(scene: Scene) -> None:
    """The form has what is set; what is typed over is changed, what is emptied has its default again (CON-1)."""
    made(scene, **{"settings.page": "100", "settings.wipe_actions": "wipe, factoryReset"})
    page = scene.alice.get("/act/connector.change?name=mdm").text
    given = dict(re.findall(r'name="(settings\.[a-z_]+)" type="text" value="([^"]*)"', page))
    assert (given["settings.page"], given["settings.wipe_actions"]) == ("100", "wipe, factoryReset")
    sent = {**given, "settings.page": "", "settings.tenant": "fabrikam.example"}
    heard = scene.alice.post("/act/connector.change?name=mdm", **sent, step="do")
    assert (heard.status, heard.header("location")) == (303, "/connectors/mdm")
    assert shown(scene).settings == {
        "tenant": "fabrikam.example",
        "client_id": INTUNE["settings.client_id"],
        "wipe_actions": ["wipe", "factoryReset"],
    }
    (event,) = scene.door.events("connector.changed")
    former = event.draft.details["former"]
    assert isinstance(former, dict)
    assert former["page"] == 100


@pytest.mark.parametrize("name", ["connector.create", "connector.change"])
def test_nobody_types_json(scene: Scene, name: str) -> None:
    """No form about a connector asks for an object as text."""
    made(scene)
    query = "?kind=intune" if name == "connector.create" else "?name=mdm"
    assert "JSON" not in scene.alice.get(f"/act/{name}{query}").text
