"""The laboratory over HTTPS, from the token to the verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lab_parts import Rehearsal


def test_a_right_request_is_allowed(lab: Rehearsal) -> None:
    """A request that is as its challenge expects gets Success, and the description is there though it is empty."""
    assert lab.validate(lab.asked().base64()) == {"code": "Success", "errorDescription": ""}


def test_graph_lists_the_devices(lab: Rehearsal) -> None:
    """Graph lists what the tenant has to whoever has a token for Graph."""
    found, _ = lab.pages("v1.0/devices")
    assert {one["id"] for one in found} == {device.id for device in lab.tenant.devices.all()}
