"""An inventory of ours vouches for whoever names a device that is in it, and never for the request itself."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from connectors.microsoft_parts import ASKED, NOW
from fakes import FakeClock, SeededEntropy
from fleet_scene import device
from memory_store import MemoryStore
from regalia import reasons
from regalia.connectors.registry import Parts, linked
from regalia.errors import AdminError
from regalia.model import Names, San, SanKind
from regalia.model.connector import Allowed, Connector, Refused
from regalia.model.fleet import DeviceState
from regalia.net.http import HttpOutgoing
from regalia.ports.connectors import Authorizer

if TYPE_CHECKING:
    from regalia.model.fleet import Device

SECRET = "shared by every laptop"  # the challenge of a profile, in no use anywhere
LAPTOP = device(connector="shelf", external_id="17", serial="C02XK1", aliases=(("udid", "00ff"),), user="u-1")


def link(*devices: Device, secret: str = SECRET, **settings: str) -> Authorizer:
    """Make one of these devices."""
    store = MemoryStore()
    for number, each in enumerate(devices):
        assert store.put_devices([(None, replace(each, id=UUID(int=900 + number)))], [])
    made = linked(
        Connector(UUID(int=7), "shelf", "inventory", settings, NOW),
        secret,
        Parts(HttpOutgoing(), FakeClock(NOW), SeededEntropy(), store),
    )
    assert isinstance(made, Authorizer)
    return made


def ask(of: Authorizer, names: Names = Names(cn="C02XK1"), challenge: str | None = SECRET) -> Any:  # noqa: ANN401, B008 - one of three, and a constant
    """Ask about a request for these names."""
    return of.authorise(replace(ASKED, names=names, challenge=challenge), within=15)


def test_a_device_that_is_in_it_is_vouched_for() -> None:
    """CON-4: the yes names the device and its user, and the one name that was found; it is not about this request."""
    names = Names(cn="C02XK1", sans=frozenset({San(SanKind.UPN, "ceo@example.org")}), sid="S-1-5-21-1-1-1-500")
    said = ask(link(LAPTOP), names)
    assert isinstance(said, Allowed)
    assert (said.device, said.user, said.fresh) == ("17", "u-1", False)
    assert said.names == Names(cn="C02XK1")


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({"matches": "id", "named_by": "dns"}, Names(sans=frozenset({San(SanKind.DNS, "17")}))),
        (
            {"matches": "alias:udid", "named_by": "uri", "prefix": "urn:udid:"},
            Names(sans=frozenset({San(SanKind.URI, "urn:udid:00ff")})),
        ),
        ({"named_by": "permanent-identifier"}, Names(sans=frozenset({San(SanKind.PERMANENT_IDENTIFIER, "C02XK1")}))),
    ],
)
def test_where_it_is_named_is_a_setting(settings: dict[str, str], names: Names) -> None:
    """A profile may put a device's id, serial or alias into any name that it can write."""
    said = ask(link(LAPTOP, **settings), names)
    assert isinstance(said, Allowed)
    assert said.names == names


@pytest.mark.parametrize(
    ("devices", "names", "detail"),
    [
        ((), Names(cn="C02XK1"), "0 devices"),
        ((LAPTOP, replace(LAPTOP, external_id="18")), Names(cn="C02XK1"), "2 devices"),
        ((replace(LAPTOP, state=DeviceState(present=False)),), Names(cn="C02XK1"), "0 devices"),
        ((replace(LAPTOP, connector="other"),), Names(cn="C02XK1"), "0 devices"),
        ((LAPTOP,), Names(), "0 names"),
        ((LAPTOP,), Names(cn="c02xk1"), "0 devices"),
        ((LAPTOP,), Names(cn="Ada's laptop"), "0 devices"),
    ],
)
def test_who_is_not_one_of_them_is_refused(devices: tuple[Any, ...], names: Names, detail: str) -> None:
    """CON-076: nobody, several, somebody who is gone, another connector's, no name."""
    said = ask(link(*devices), names)
    assert isinstance(said, Refused)
    assert (said.reason, said.security) == (reasons.INVENTORY_UNMATCHED, False)
    assert said.detail.startswith(detail)


@pytest.mark.parametrize(("challenge", "security"), [(None, False), ("", False), (SECRET + "!", True), ("ü", True)])
def test_its_challenge_is_compared(challenge: str | None, security: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """CON-075: none at all is a mistake, another one is a security event; what it is, is in no text (CHA-4)."""
    said = ask(link(LAPTOP), challenge=challenge)
    assert isinstance(said, Refused)
    assert (said.reason, said.security) == (reasons.INVENTORY_CHALLENGE, security)
    assert SECRET not in repr(said)


def test_without_a_challenge_only_where_it_was_said() -> None:
    """Whoever leaves the challenge out has to say so, and a secret beside it is refused."""
    assert isinstance(ask(link(LAPTOP, secret="", challenge="none"), challenge=None), Allowed)
    for secret, settings in (("", {}), ("short", {}), ("x" * 15 + "\n", {}), (SECRET, {"challenge": "none"})):
        with pytest.raises(AdminError) as refused:
            link(LAPTOP, secret=secret, **settings)
        assert refused.value.reason is reasons.CONNECTOR_SECRET_REFUSED


def test_an_empty_one_is_told_by_its_check() -> None:
    """`connector test` says that nothing was imported, and how to."""
    assert [each.ok for each in link(LAPTOP).check()] == [True]  # type: ignore[attr-defined]
    (empty,) = link().check()  # type: ignore[attr-defined]
    assert not empty.ok
    assert "regalia device import" in empty.fix
