"""The console on the fakes of our ports: a world with something in it, and somebody who looks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from door_parts import Authenticator, Door
from regalia.model import CertificateKind
from regalia.ports import CertificateFilter
from regalia.ra.roles import EVERYTHING
from regalia.web.pool import Pool, Pools
from world import ADMIN, Device, World, names, rsa_key

if TYPE_CHECKING:
    from collections.abc import Iterator

    from door_parts import Browser
    from regalia.model import Certificate, Grant

__all__ = ["Scene"]


@dataclass
class Scene:
    """A world, the door to it, and the first administrator at a browser."""

    world: World
    door: Door
    alice: Browser
    certificate: Certificate

    def join(self, name: str, *grants: Grant) -> Browser:
        """Make an administrator, who signs in."""
        self.world.administrators.create(name, grants, display="", actor=ADMIN, bound=EVERYTHING)
        browser = self.door.browser()
        browser.get("/set-up")
        heard = browser.make_passkey(Authenticator(), "/set-up", code=self.door.link(name), account=name)
        assert heard.status == 200, heard.body
        return browser


@pytest.fixture
def pools() -> Iterator[Pools]:
    """Threads as the server has them."""
    made = Pools(*(Pool(name, threads=2, queue=8) for name in ("enrolment", "status", "files")))
    yield made
    made.close()


@pytest.fixture
def scene(pools: Pools) -> Scene:
    """One device has a certificate, and one was refused."""
    world = World()
    door = Door(world, pools)
    alice, _ = door.with_passkey("alice")
    Device(world).enrol(names("laptop-1"), world.mint("laptop-1"))
    intruder = Device(world, rsa_key(1)).fresh("transaction-2")
    world.send(intruder.message(intruder.csr(names("intruder"), world.mint("laptop-2"))))
    certificate = world.store.certificate_page(CertificateFilter(kind=CertificateKind.LEAF, limit=1)).items[0]
    return Scene(world, door, alice, certificate)
