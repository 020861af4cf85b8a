"""CRLs that were signed elsewhere."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509

from foreign_pki import NOW, ForeignCa
from regalia import reasons
from regalia.ca.carried_crl import CrlImporter, read_carried
from regalia.errors import AdminError
from regalia.model import Action, AuthorityState, RevocationReason
from regalia.wire.certificate import read_certificate
from world import ADMIN, World

if TYPE_CHECKING:
    from regalia.model import Authority

ROOT = ForeignCa("Corp Root")
DISTRIBUTION = x509.IssuingDistributionPoint(
    full_name=None,
    relative_name=None,
    only_contains_user_certs=False,
    only_contains_ca_certs=True,
    only_some_reasons=None,
    indirect_crl=False,
    only_contains_attribute_certs=False,
)


def refused(octets: bytes, issuer: ForeignCa = ROOT) -> str:
    """What is said of a CRL that cannot be taken."""
    with pytest.raises(AdminError) as error:
        read_carried(octets, issuer.der)
    assert error.value.reason is reasons.AUTHORITY_CRL_REFUSED
    return error.value.detail


def test_a_crl_is_read_with_its_entries() -> None:
    """Number, times and each serial with its reason come out; what was only held counts as revoked for good."""
    flags = x509.ReasonFlags
    octets = ROOT.crl(5, [(0xABC, flags.key_compromise), (1 << 150, flags.certificate_hold)], extension=DISTRIBUTION)
    carried = read_carried(octets, ROOT.der)
    assert (carried.number, carried.entries, carried.this_update) == (5, 2, NOW)
    assert carried.next_update == NOW + timedelta(days=30)
    assert [(int.from_bytes(serial, "big"), reason) for serial, _, reason in carried.revoked()] == [
        (0xABC, RevocationReason.KEY_COMPROMISE),
        (1 << 150, RevocationReason.UNSPECIFIED),
    ]


def test_faults_of_a_crl_are_told() -> None:
    """Another authority's list, a forged one, a delta, one without a number and one beyond ours are refused."""
    assert "it is the CRL of CN=Other" in refused(ForeignCa("Other").crl(1))
    assert "its signature does not verify" in refused(ForeignCa("Corp Root").crl(1))
    assert "it is a delta CRL" in refused(ROOT.crl(2, extension=x509.DeltaCRLIndicator(1)))
    assert "it has no number" in refused(ROOT.crl(None))
    assert "more than 62 bits" in refused(ROOT.crl(1 << 62))
    assert "it cannot be read" in refused(b"nothing")


def far_root(world: World) -> Authority:
    """A root of another machine."""
    return world.hierarchy.trust("far", ROOT.der, actor=ADMIN)


def test_a_brought_crl_is_published() -> None:
    """A root's CRL from its own machine is recorded and served, and only newer ones follow it."""
    world = World()
    importer, root = CrlImporter(world.store, world.clock, world.entropy), far_root(world)
    record = importer.publish(root, ROOT.crl(5), actor=ADMIN)
    assert world.store.last_crl("far") == record
    assert b"".join(world.store.crl_octets(record)) != b""
    assert world.last_event().draft.action is Action.CRL_IMPORTED
    for octets, told in (
        (ROOT.crl(5), "its number 5 is not above 5, which is served"),
        (ROOT.crl(6, at=NOW - timedelta(days=40)), "it has ended: nextUpdate 2026-02-19"),
        (ROOT.crl(6, at=NOW + timedelta(hours=1)), "it is from the future"),
    ):
        with pytest.raises(AdminError, match="ADM-032") as error:
            importer.publish(root, octets, actor=ADMIN)
        assert told in error.value.detail
    assert importer.publish(root, ROOT.crl(6), actor=ADMIN).number == 6


def test_an_authority_that_its_root_revoked_issues_no_more() -> None:
    """Once a root's CRL lists an authority, the authority is revoked here too, with the reason that the CRL gives."""
    world = World()
    importer = CrlImporter(world.store, world.clock, world.entropy)
    far_root(world)
    request = world.hierarchy.request("far-ca", group="far", actor=ADMIN)
    assert request.csr is not None
    authority = world.hierarchy.accept("far-ca", ROOT.certify_request(request.csr), actor=ADMIN)
    serial = read_certificate(authority.certificate_der).serial
    importer.publish(_root(world), ROOT.crl(5, [(serial + 1, x509.ReasonFlags.superseded)]), actor=ADMIN)
    assert _state(world) is AuthorityState.ACTIVE
    importer.publish(_root(world), ROOT.crl(6, [(serial, x509.ReasonFlags.superseded)]), actor=ADMIN)
    assert _state(world) is AuthorityState.REVOKED
    event = world.last_event().draft
    assert (event.action, event.details["reason"]) == (Action.AUTHORITY_REVOKED, "superseded")
    importer.publish(_root(world), ROOT.crl(7, [(serial, x509.ReasonFlags.superseded)]), actor=ADMIN)
    assert world.last_event().draft.action is Action.CRL_IMPORTED


def _root(world: World) -> Authority:
    root = world.store.authority("far")
    assert root is not None
    return root


def _state(world: World) -> AuthorityState:
    authority = world.store.authority("far-ca")
    assert authority is not None
    return authority.state
