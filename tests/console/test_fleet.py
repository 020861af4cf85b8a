"""Pages of devices and users: what is known of them now, and how it came to be so."""

from __future__ import annotations

from datetime import timedelta
from html import unescape
from typing import TYPE_CHECKING

from regalia.model.connector import ReportedDevice, ReportedUser, SweepPage
from regalia.model.fleet import DeviceState, Platform, UserState
from regalia.ra.sweeping import Sweeper

if TYPE_CHECKING:
    from console.conftest import Scene
    from regalia.model.fleet import Device, User


def said(scene: Scene, *states: DeviceState | UserState) -> Device | User:
    """Have a connector say one state after another; the record that comes of it."""
    world = scene.world
    sweeper = Sweeper(world.store, world.clock, world.entropy)
    record: Device | User | None = None
    for state in states:
        world.clock.advance(timedelta(minutes=1))
        page = (
            SweepPage((ReportedDevice("d-1", "laptop-9", Platform.MACOS, state, group="default"),))
            if isinstance(state, DeviceState)
            else SweepPage(users=(ReportedUser("u-1", "Ben", state),))
        )
        (record,) = sweeper.take("intune", page)
    assert record is not None
    return record


def test_a_device_tells_what_changed(scene: Scene) -> None:
    """Newest first: what became what, by whom; and where it was before it was moved."""
    device = said(scene, DeviceState(), DeviceState(lost=True), DeviceState(lost=False, compliant=False))
    page = unescape(scene.alice.get(f"/devices/{device.id}").text)
    history = page.partition('id="c-history"')[2]
    assert history.index("lost true → false") < history.index("lost ? → true") < history.index("Known for the first")
    assert "compliant ? → false" in history
    assert "connector:intune" in history


def test_a_user_tells_what_changed(scene: Scene) -> None:
    """The same of users, in the words of the log."""
    user = said(scene, UserState(), UserState(enabled=False))
    page = unescape(scene.alice.get(f"/users/{user.id}").text)
    assert "enabled ? → false" in page.partition('id="c-history"')[2]
