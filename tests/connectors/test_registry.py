"""The kinds there are, and settings that are refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from connectors.microsoft_parts import CLIENT_ID, NOW, SECRET, Cloud, connector, intune
from fakes import FakeClock, SeededEntropy
from regalia import reasons
from regalia.connectors.registry import KINDS, Parts, kind_of, linked
from regalia.connectors.settings import IntuneSettings
from regalia.errors import AdminError
from regalia.ports.connectors import Authorizer, Inventory, Notifier, RevocationFeed


def test_a_kind_that_there_is_not() -> None:
    """CON-030: the refusal lists the kinds that there are."""
    with pytest.raises(AdminError, match="intune") as refused:
        linked(replace(connector(), kind="jamf"), SECRET, Parts(Cloud(), FakeClock(NOW), SeededEntropy()))
    assert refused.value.reason is reasons.CONNECTOR_KIND_UNKNOWN


def test_each_kind_says_what_it_is() -> None:
    """A kind has a title, settings that can be described, and the abilities of its links."""
    kind = kind_of("intune")
    assert kind.title == "Microsoft Intune"
    assert {Authorizer, Notifier, RevocationFeed, Inventory} == kind.abilities
    for each in KINDS.values():
        assert each.settings.model_json_schema()["properties"]
        assert each.page.startswith("connectors/")


def test_settings_are_usable_with_two_ids() -> None:
    """Tenant and client id are all that must be said; the rest is Microsoft's public cloud."""
    settings = IntuneSettings(tenant="contoso.com", client_id=CLIENT_ID)
    assert settings.token_endpoint == "https://login.microsoftonline.com/contoso.com/oauth2/v2.0/token"
    assert settings.intune_scope == "https://api.manage.microsoft.com//.default"
    assert intune(Cloud()).name == "mdm"


def test_another_cloud_is_a_matter_of_settings() -> None:
    """National clouds need no other version: authority, Graph and scopes are settings; a last slash is cut."""
    settings = IntuneSettings(
        tenant="t",
        client_id=CLIENT_ID,
        authority="https://login.microsoftonline.us/",
        graph="https://graph.microsoft.us",
    )
    assert settings.token_endpoint == "https://login.microsoftonline.us/t/oauth2/v2.0/token"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("tenant", "../x"),
        ("tenant", "a/b"),
        ("tenant", ""),
        ("client_id", "7"),
        ("client_id", CLIENT_ID + "\n"),
        ("authority", "login.microsoftonline.com"),
        ("authority", "https://user:pw@login.example"),
        ("graph", "https://graph.example/?x=1"),
        ("graph", "ftp://graph.example"),
        ("intune_scope", "a b"),
        ("feed_most", 501),
        ("feed_most", 0),
        ("groups", ["x/../y"]),
        ("credential", "password"),
        ("client_secret", SECRET),
    ],
)
def test_settings_that_are_refused(name: str, value: object) -> None:
    """CON-031: the refusal names the setting, and does not repeat its value."""
    settings: dict[str, Any] = {name: value}
    with pytest.raises(AdminError) as refused:
        intune(Cloud(), **settings)
    assert refused.value.reason is reasons.CONNECTOR_SETTINGS_REFUSED
    assert name in refused.value.detail
    assert SECRET not in refused.value.detail
