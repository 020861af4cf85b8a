"""The way of an enrolment over real HTTP: token, discovery, verdict, notification, inventory."""

from __future__ import annotations

import json
from urllib.parse import parse_qs

import pytest

from connectors.microsoft_parts import ASKED, CLIENT_ID, ISSUED, NOW, SECRET, Cloud, connector, golden, listening, said
from fakes import FakeClock, SeededEntropy
from regalia.connectors.registry import Parts, linked
from regalia.model.connector import Allowed, SweepPage, Told
from regalia.net.addresses import Opened
from regalia.net.http import HttpOutgoing
from regalia.ports.connectors import Authorizer, Inventory, Notifier

pytestmark = pytest.mark.real


def _cloud(base: str) -> Cloud:
    endpoints = golden("endpoints")
    for entry in endpoints["value"]:
        entry["uri"] = entry["uri"].replace("https://fef.msuc02.manage.microsoft.com", base)
    return Cloud().say("/endpoints", said(endpoints))


def test_an_enrolment_and_a_page_over_http() -> None:
    """With bases that lead elsewhere, the connector signs in, finds Intune, asks, tells and reads a page of devices."""
    with listening(_cloud) as (base, cloud):
        outgoing = HttpOutgoing(opened=(Opened.parse(base),))
        made = connector(authority=f"{base}/login", graph=f"{base}/graph", devices="intune", users=False)
        link = linked(made, SECRET, Parts(outgoing, FakeClock(NOW), SeededEntropy()))
        assert isinstance(link, Authorizer)
        assert isinstance(link, Notifier)
        assert isinstance(link, Inventory)
        assert isinstance(link.authorise(ASKED, within=15), Allowed)
        assert isinstance(link.issued(ISSUED, within=15), Told)
        page = link.sweep(None)
    assert isinstance(page, SweepPage)
    assert [device.name for device in page.devices] == ["LAPTOP-1", "Ada's iPad"]
    form = parse_qs(cloud.asked("/example.onmicrosoft.com/oauth2/v2.0/token")[0].body.decode())
    assert form["client_id"] == [CLIENT_ID]
    assert form["client_secret"] == [SECRET]
    (asked,) = cloud.asked("/ScepActions/validateRequest")
    headers = {name.lower(): value for name, value in asked.headers.items()}
    assert json.loads(asked.body) == golden("validate_request")
    assert headers["api-version"] == "2018-02-20"
    assert headers["authorization"] == f"Bearer {golden('token')['access_token']}"
