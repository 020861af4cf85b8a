"""What waits for a decision shows what would be issued beside what was asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from regalia.model import Authoriser
from regalia.wire.scep import PkiStatus
from world import Device, names, rsa_key

if TYPE_CHECKING:
    from console.conftest import Scene


def test_an_approval_shows_what_it_would_issue(scene: Scene) -> None:
    """POL-3: names that approving would certify stand beside those of the request, before anybody decides."""
    secret = scene.world.open_endpoint("held", Authoriser.APPROVAL)
    device = Device(scene.world, rsa_key(2), endpoint="held").fresh("transaction-7")
    csr = device.csr(names("tablet-7", "tablet-7.example.test"), secret)
    assert device.open(scene.world.send(device.message(csr), "held"), csr).status is PkiStatus.PENDING
    _, _, page = scene.alice.get("/approvals").text.partition("<table")
    for name in ("tablet-7", "tablet-7.example.test"):
        assert page.count(f"<bdi>{name}</bdi>") == 2, "once on each side"
    assert page.count("is-diff") == 0
