"""Revoking, holding, releasing, and keys that are compromised."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from regalia import reasons
from regalia.ca.revoke import block_key, certificates_of_key, hold, release, revoke
from regalia.errors import AdminError
from regalia.model import Action, CertificateKind, RevocationReason, new_id
from regalia.ports import CertificateFilter
from small_ca import ADMIN, SmallCa

if TYPE_CHECKING:
    from collections.abc import Callable

    from regalia.errors import Reason
    from regalia.model import Certificate

_SERIAL = 1 << 130


class _World:
    """An authority with one leaf."""

    def __init__(self) -> None:
        self.ca = SmallCa()
        self.authority = self.ca.issuing()
        self.ca.leaf(self.authority, _SERIAL)

    def row(self, serial: int = _SERIAL) -> Certificate:
        """The leaf as it is stored."""
        found = self.ca.store.certificate_by_serial("default", serial)
        assert found is not None
        return found

    def hold(self) -> None:
        """Hold it."""
        hold(self.ca.store, self.ca.clock, self.row(), actor=ADMIN, note="lost")

    def release(self) -> None:
        """Release it."""
        release(self.ca.store, self.ca.clock, self.row(), actor=ADMIN, note="found")

    def revoke(self, reason: RevocationReason = RevocationReason.SUPERSEDED) -> None:
        """Revoke it."""
        revoke(self.ca.store, self.ca.clock, self.row(), reason=reason, actor=ADMIN)


@pytest.fixture
def world() -> _World:
    """Give each test its own leaf."""
    return _World()


def _refused(act: Callable[[], object]) -> tuple[Reason, str]:
    with pytest.raises(AdminError) as caught:
        act()
    return caught.value.reason, caught.value.detail


def test_hold_and_release_are_events(world: _World) -> None:
    """Each step is an event of the certificate, with its note."""
    world.hold()
    world.release()
    held, released = (event.draft for event in world.ca.store.log[-2:])
    assert (held.action, held.details["note"], held.details["cause"]) == (
        Action.CERTIFICATE_HELD,
        "lost",
        "administrator",
    )
    assert (released.action, released.details["note"]) == (Action.CERTIFICATE_RELEASED, "found")
    assert held.serial == released.serial == f"{_SERIAL:x}"


def test_rev1_nothing_leads_away_from_revoked(world: _World) -> None:
    """REV-1: good ⇄ held → revoked; from revoked neither a release nor a hold nor another reason."""
    assert _refused(world.release) == (reasons.CERTIFICATE_STATE, f"serial {_SERIAL:x} is not on hold")
    world.hold()
    assert _refused(world.hold) == (reasons.CERTIFICATE_STATE, f"serial {_SERIAL:x} is on hold already")
    world.revoke()
    for act in (world.release, world.hold):
        assert _refused(act) == (reasons.CERTIFICATE_STATE, f"serial {_SERIAL:x} is revoked for good")
    assert _refused(lambda: world.revoke(RevocationReason.KEY_COMPROMISE))[0] is reasons.ALREADY_REVOKED
    assert _refused(lambda: world.revoke(RevocationReason.CERTIFICATE_HOLD))[0] is reasons.CERTIFICATE_STATE


def test_only_what_devices_use_is_held(world: _World) -> None:
    """Authorities and our own credentials are not held, nor what has ended or never was signed."""
    own = world.ca.store.certificates(CertificateFilter(kind=CertificateKind.OCSP))[0]
    assert _refused(lambda: hold(world.ca.store, world.ca.clock, own, actor=ADMIN))[0] is reasons.CERTIFICATE_STATE
    intent = world.ca.intent(world.authority, _SERIAL + 1)
    begun, ended = world.row(intent.serial), world.row()
    assert _refused(lambda: hold(world.ca.store, world.ca.clock, begun, actor=ADMIN))[0] is reasons.CERTIFICATE_STATE
    world.ca.later(days=400)
    assert _refused(lambda: hold(world.ca.store, world.ca.clock, ended, actor=ADMIN))[0] is reasons.CERTIFICATE_STATE


def test_all_certificates_of_a_key_are_found(world: _World) -> None:
    """`keyCompromise` ends every certificate with the key: those that are good or held, not those revoked or begun."""
    key = world.row().intent.key_sha256
    for number in range(1, 5):
        intent = replace(
            world.row().intent,
            id=new_id(world.ca.clock.now(), world.ca.entropy.octets(10)),
            serial=_SERIAL + number,
            key_sha256=key,
        )
        world.ca.store.begin(intent, ())
        if number < 4:
            world.ca.store.finish(intent.id, b"der", world.ca.clock.now(), ())
    world.ca.leaf(world.authority, _SERIAL + 9)
    hold(world.ca.store, world.ca.clock, world.row(_SERIAL + 1), actor=ADMIN)
    world.ca.revoke(world.authority, _SERIAL + 2, RevocationReason.SUPERSEDED)
    found = certificates_of_key(world.ca.store, world.row())
    assert {each.serial - _SERIAL for each in found} == {0, 1, 3}


def test_key2_a_compromised_key_is_blocked_whatever_its_certificate_was_revoked_for(world: _World) -> None:
    """KEY-2: the reason of a revocation is final, and the key is blocked all the same, once, as a security event."""
    world.revoke(RevocationReason.SUPERSEDED)
    assert block_key(world.ca.store, world.ca.clock, world.row(), actor=ADMIN, note="found on a forum")
    event = world.ca.store.log[-1].draft
    assert (event.action, event.security) == (Action.KEY_COMPROMISED, True)
    assert event.object == f"key:{world.row().intent.key_sha256.hex()}"
    assert world.ca.store.is_compromised(world.row().intent.key_sha256)
    assert not block_key(world.ca.store, world.ca.clock, world.row(), actor=ADMIN, note="")
