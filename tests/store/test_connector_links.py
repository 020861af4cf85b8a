"""The way to a connector on several nodes of one database: what one changes counts on the other at once."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from connectors.microsoft_parts import NOW, Cloud
from connectors.test_webhook import KEY, URL
from fakes import FakeClock, MemorySealer, SeededEntropy
from regalia import reasons
from regalia.app.connectors import ConnectorLinks
from regalia.model.connector import Connector, NotAsked
from regalia.ra.connectors import secret_scope
from regalia.store import open_store


def test_another_node_makes_its_link_anew(url: str) -> None:
    """Settings, a secret, its damage and the end of a connector are seen with the next question, and only then."""
    clock, sealer = FakeClock(NOW), MemorySealer()
    before = Connector(UUID(int=3), "judge", "webhook", {"url": URL}, NOW, secret_set_at=NOW)
    here, there = (open_store(url, node=name, clock=clock) for name in ("here", "there"))
    with closing(here), closing(there):
        assert here.add_connector(before, sealer.seal(secret_scope(before.id), KEY.encode()), ())
        links = ConnectorLinks(there, sealer, clock, SeededEntropy(), Cloud)
        first = links.link("judge")
        assert links.link("judge") is first
        settings = replace(before, settings={"url": f"{URL}/2"})
        assert here.change_connector(before, settings, None, ())
        second = links.link("judge")
        assert second is not first
        assert here.change_connector(settings, settings, sealer.seal(secret_scope(before.id), KEY[::-1].encode()), ())
        third = links.link("judge")
        assert third is not second
        assert links.link("judge") is third
        assert here.change_connector(settings, settings, b"damaged", ())
        damaged = links.link("judge")
        assert isinstance(damaged, NotAsked)
        assert damaged.reason is reasons.CONNECTOR_UNREADABLE
        disabled = replace(settings, disabled_at=NOW + timedelta(seconds=1))
        assert here.change_connector(settings, disabled, None, ())
        ended = links.link("judge")
        assert isinstance(ended, NotAsked)
        assert ended.reason is reasons.CONNECTOR_DISABLED
