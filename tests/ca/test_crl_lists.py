"""Partial and delta CRLs: which list tells of a certificate, what it says it tells of, and when a new one is due."""

from __future__ import annotations

from datetime import timedelta

import pytest
from cryptography import x509

from regalia import reasons
from regalia.ca.crl import CrlPublisher
from regalia.ca.crl_copy import Copied, CrlCopier
from regalia.ca.crl_plan import (
    LONGEST_ENTRY,
    Plan,
    adopt_plan,
    check_name,
    check_plan,
    check_size,
    make_lists,
    shard_of,
    shards_needed,
    worst_sizes,
)
from regalia.ca.revoke import hold, release
from regalia.errors import AdminError
from regalia.model import Action, AuthorityState, RevocationReason
from regalia.wire.crl import encode_entry
from small_ca import ADMIN, SmallCa

_SERIAL = 1 << 130
_LIMIT = 10_485_760


class _World:
    """An authority whose CRLs are divided."""

    def __init__(self) -> None:
        self.ca = SmallCa()
        self.authority = self.ca.issuing()
        store, files, signer = self.ca.store, self.ca.files, self.ca.signer
        self.publisher = CrlPublisher(store, files, signer, self.ca.clock, self.ca.entropy, self.ca.urls)

    def plan(self, shards: int, *, delta: bool = False, full: bool = True) -> None:
        """Follow a plan from now on."""
        plan = Plan(shards, delta, full, fleet=1)
        check_plan(self.ca.store, self.authority, plan, _LIMIT)
        make_lists(self.ca.store, self.authority, plan)
        self.authority = adopt_plan(self.ca.store, self.ca.clock, self.authority, plan, actor=ADMIN)

    def leaf(self, number: int) -> x509.Certificate:
        """Issue a certificate."""
        return x509.load_der_x509_certificate(self.ca.leaf(self.authority, _SERIAL + number))

    def hold(self, number: int) -> None:
        """Put it on hold."""
        found = self.ca.store.certificate_by_serial("default", _SERIAL + number)
        assert found is not None
        hold(self.ca.store, self.ca.clock, found, actor=ADMIN)

    def release(self, number: int) -> None:
        """Release it."""
        found = self.ca.store.certificate_by_serial("default", _SERIAL + number)
        assert found is not None
        release(self.ca.store, self.ca.clock, found, actor=ADMIN)

    def publish(self, shard: int = 0) -> x509.CertificateRevocationList:
        """Publish a list, and read it with an independent parser."""
        return self.read(self.publisher.publish("default", shard=shard).name)

    def read(self, name: str) -> x509.CertificateRevocationList:
        """Read what is served under a name."""
        return x509.load_der_x509_crl(self.ca.files.files[f"published/{name}"])


@pytest.fixture
def world() -> _World:
    """Give each test its own authority."""
    return _World()


def _uris(extension: x509.CRLDistributionPoints | x509.FreshestCRL | x509.IssuingDistributionPoint) -> list[str]:
    if isinstance(extension, x509.IssuingDistributionPoint):
        return [name.value for name in extension.full_name or ()]
    return [name.value for point in extension for name in point.full_name or ()]


def _listed(crl: x509.CertificateRevocationList) -> list[int]:
    return [entry.serial_number - _SERIAL for entry in crl]


def _number(crl: x509.CertificateRevocationList) -> int:
    return crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number


# --- partial CRLs -----------------------------------------------------------------------------------------------------


def test_a_certificate_names_its_list_and_the_list_says_the_same(world: _World) -> None:
    """The CRL's address in the certificate and the list's critical scope are the same octets (RFC 5280 §6.3.3 b.2)."""
    world.plan(3)
    for number in range(3):
        leaf = world.leaf(number)
        shard = shard_of(leaf.serial_number, 3)
        address = f"http://pki.example.test/crl/default-{shard}.crl"
        assert _uris(leaf.extensions.get_extension_for_class(x509.CRLDistributionPoints).value) == [address]
        scope = world.publish(shard).extensions.get_extension_for_class(x509.IssuingDistributionPoint)
        assert scope.critical
        assert _uris(scope.value) == [address]
        assert scope.value.only_contains_user_certs


def test_each_list_tells_of_its_own_and_the_full_one_of_all(world: _World) -> None:
    """A revoked certificate is on its own list and on the full CRL, which has no scope and so may leave nothing out."""
    world.leaf(0)
    world.plan(3)
    for number in range(1, 7):
        world.leaf(number)
    for number in range(7):
        world.ca.revoke(world.authority, _SERIAL + number)
    full = world.publish()
    assert sorted(_listed(full)) == list(range(7))
    with pytest.raises(x509.ExtensionNotFound):
        full.extensions.get_extension_for_class(x509.IssuingDistributionPoint)
    parts = {shard: _listed(world.publish(shard)) for shard in (1, 2, 3)}
    assert sorted(number for part in parts.values() for number in part) == list(range(1, 7))
    assert all(shard_of(_SERIAL + number, 3) == shard for shard, part in parts.items() for number in part)


def test_without_the_full_one_the_first_list_says_what_it_leaves_out(world: _World) -> None:
    """RFC 5280 §5.2.5: a CRL that lists older certificates alone has a critical scope: the address they point to."""
    leaf = world.leaf(0)
    world.plan(2, full=False)
    world.leaf(1)
    for number in range(2):
        world.ca.revoke(world.authority, _SERIAL + number)
    first = world.publish()
    assert _listed(first) == [0]
    scope = first.extensions.get_extension_for_class(x509.IssuingDistributionPoint)
    assert scope.critical
    assert _uris(scope.value) == _uris(leaf.extensions.get_extension_for_class(x509.CRLDistributionPoints).value)


def test_a_plan_concerns_new_certificates_and_lists_go_on(world: _World) -> None:
    """The list of a certificate is for ever: with fewer lists, and with none, the old ones are still published."""
    world.plan(3)
    world.leaf(1)
    world.plan(0)
    leaf = world.leaf(5)
    assert _uris(leaf.extensions.get_extension_for_class(x509.CRLDistributionPoints).value) == [
        "http://pki.example.test/crl/default.crl"
    ]
    world.ca.revoke(world.authority, _SERIAL + 1)
    assert _listed(world.publish(shard_of(_SERIAL + 1, 3))) == [1]


def test_lists_exist_before_a_certificate_points_to_them(world: _World) -> None:
    """The lists of a plan can be published while certificates still point to the full CRL."""
    planned = make_lists(world.ca.store, world.authority, Plan(2, delta=False, full=True, fleet=1))
    assert (planned.crl_shards, planned.crl_lists) == (0, 2)
    assert _listed(world.publish(2)) == []
    with pytest.raises(AdminError) as caught:
        world.publish(3)
    assert caught.value.reason is reasons.NOT_FOUND


def test_rev3_a_list_is_due_when_its_own_change(world: _World) -> None:
    """REV-3: a revocation makes its list and the full CRL due, and no other; a plan that changes the scope does too."""
    world.plan(2)
    for shard in range(3):
        assert world.publisher.due("default", shard)
        world.publish(shard)
    world.leaf(1)
    shard = shard_of(_SERIAL + 1, 2)
    world.ca.revoke(world.authority, _SERIAL + 1)
    assert [world.publisher.due("default", each) for each in range(3)] == [True, shard == 1, shard == 2]
    world.publish()
    world.publish(shard)
    assert not any(world.publisher.due("default", each) for each in range(3))
    world.plan(2, full=False)
    assert [world.publisher.due("default", each) for each in range(3)] == [True, False, False]


def test_rev2_each_list_has_rising_numbers(world: _World) -> None:
    """REV-2: the numbers of each list rise, however they take turns."""
    world.plan(2)
    for shard in range(3):
        numbers = [_number(world.publish(shard)) for _ in range(3)]
        assert numbers == sorted(set(numbers))


# --- holds ------------------------------------------------------------------------------------------------------------


def test_a_hold_is_listed_until_its_release(world: _World) -> None:
    """RFC 5280 §5.3.1: held certificates are listed with certificateHold; a released one is on no CRL any more."""
    world.leaf(0)
    world.hold(0)
    (entry,) = world.publish()
    assert entry.extensions.get_extension_for_class(x509.CRLReason).value.reason is x509.ReasonFlags.certificate_hold
    world.release(0)
    assert world.publisher.due("default")
    assert _listed(world.publish()) == []


# --- delta CRLs -------------------------------------------------------------------------------------------------------


def test_a_delta_says_what_changed_since_the_oldest_crl_that_is_good(world: _World) -> None:
    """RFC 5280 §5.2.4: critical base number, the number of the complete CRL beside it, changes alone, releases as 8."""
    world.plan(0, delta=True)
    for number in range(4):
        world.leaf(number)
    world.hold(0)
    world.ca.revoke(world.authority, _SERIAL + 1)
    base = world.publish()
    world.ca.later(minutes=5)
    world.release(0)
    world.ca.revoke(world.authority, _SERIAL + 2)
    world.hold(3)
    complete = world.publish()
    delta = world.read("default-delta")
    indicator = delta.extensions.get_extension_for_class(x509.DeltaCRLIndicator)
    assert (indicator.critical, indicator.value.crl_number) == (True, _number(base))
    assert _number(delta) == _number(complete)
    reasons_told = {
        entry.serial_number - _SERIAL: entry.extensions.get_extension_for_class(x509.CRLReason).value.reason
        for entry in delta
    }
    assert reasons_told == {
        0: x509.ReasonFlags.remove_from_crl,
        2: x509.ReasonFlags.key_compromise,
        3: x509.ReasonFlags.certificate_hold,
    }
    assert sorted(_listed(complete)) == [1, 2, 3]
    assert _uris(complete.extensions.get_extension_for_class(x509.FreshestCRL).value) == [
        "http://pki.example.test/crl/default-delta.crl"
    ]


def test_the_delta_of_a_list_has_its_scope(world: _World) -> None:
    """RFC 5280 §6.3.3 c.2: the scope of a delta is the scope of its base, octet for octet; certificates name both."""
    world.plan(2, delta=True)
    leaf = world.leaf(1)
    shard = shard_of(leaf.serial_number, 2)
    complete = world.publish(shard)
    delta = world.read(f"default-{shard}-delta")
    scopes = [crl.extensions.get_extension_for_class(x509.IssuingDistributionPoint).value for crl in (complete, delta)]
    assert scopes[0] == scopes[1]
    assert _uris(leaf.extensions.get_extension_for_class(x509.FreshestCRL).value) == [
        f"http://pki.example.test/crl/default-{shard}-delta.crl"
    ]


def test_rev3_a_delta_is_made_anew_before_it_ends(world: _World) -> None:
    """REV-3: with deltas a list is due at half of the delta's day, and where the delta is missing."""
    world.publish()
    assert not world.publisher.due("default")
    world.plan(0, delta=True)
    assert world.publisher.due("default")
    world.publish()
    assert not world.publisher.due("default")
    world.ca.later(hours=12)
    assert world.publisher.due("default")


def test_a_delta_does_not_begin_from_a_crl_of_another_scope(world: _World) -> None:
    """A base with another scope cannot be combined, so the first CRL of a new scope is its own base."""
    world.plan(1, delta=True)
    world.publish()
    world.plan(1, delta=True, full=False)
    world.ca.later(minutes=1)
    complete = world.publish()
    delta = world.read("default-delta")
    indicator = delta.extensions.get_extension_for_class(x509.DeltaCRLIndicator)
    assert indicator.value.crl_number == _number(complete) == _number(delta)


def test_nodes_copy_every_list(world: _World) -> None:
    """A node that lost the file of a list or a delta gets it back from the database."""
    world.plan(1, delta=True)
    world.publish(1)
    copier = CrlCopier(world.ca.store, world.ca.files)
    for name in ("default-1", "default-1-delta"):
        octets = world.ca.files.files.pop(f"published/{name}")
        assert copier.copy(world.authority, name) is Copied.MADE
        assert world.ca.files.files[f"published/{name}"] == octets
        assert copier.copy(world.authority, name) is Copied.CURRENT


# --- plans ------------------------------------------------------------------------------------------------------------


def test_rev5_a_plan_that_could_outgrow_the_limit_is_refused_with_the_number_needed() -> None:
    """REV-5: the number of lists that is named does, one fewer does not."""
    with pytest.raises(AdminError, match="--shards 6 --full off") as caught:
        check_size(Plan(0, delta=False, full=True, fleet=1_000_000), _LIMIT)
    assert caught.value.reason is reasons.CRL_PLAN_TOO_LARGE
    for plan in (Plan(6, delta=False, full=True, fleet=1_000_000), Plan(5, delta=False, full=False, fleet=1_000_000)):
        with pytest.raises(AdminError, match="--shards 6 --full off"):
            check_size(plan, _LIMIT)
    check_size(Plan(6, delta=False, full=False, fleet=1_000_000), _LIMIT)
    check_size(Plan(0, delta=False, full=True, fleet=190_000), _LIMIT)
    assert shards_needed(190_000, _LIMIT) == 0


def test_rev5_no_entry_is_longer_than_is_reckoned_with(world: _World) -> None:
    """REV-5: the longest serial and reason make an entry of the length that sizes are reckoned with."""
    world.leaf(0)
    world.ca.revoke(world.authority, _SERIAL)
    ((entry,),) = (page for page in world.ca.store.crl_entries("default", range(1), 1, world.ca.clock.now()) if page)
    assert len(entry) <= LONGEST_ENTRY
    longest = (1 << 159) - 1
    at = round(world.ca.clock.now().timestamp() * 1000)
    assert len(encode_entry((longest.to_bytes(20, "big"), at, RevocationReason.KEY_COMPROMISE))) == LONGEST_ENTRY  # type: ignore[arg-type]  # as a tuple


def test_worst_sizes_count_what_each_list_tells_of(world: _World) -> None:
    """The full CRL counts all, a list its own."""
    live = {0: 100, 1: 10, 2: 20}
    world.plan(2)
    whole = worst_sizes(world.authority, live)
    assert whole[0] - whole[1] == LONGEST_ENTRY * 120
    world.plan(2, full=False)
    assert worst_sizes(world.authority, live)[0] - whole[1] == LONGEST_ENTRY * 90


def test_names_of_lists_and_authorities_are_kept_apart(world: _World) -> None:
    """No authority is called as a list of another one, nor a list as an authority: their addresses would be one."""
    world.plan(2)
    known = world.ca.store.authorities()
    for name in ("default-1", "default-2", "default-delta", "default-1-delta"):
        with pytest.raises(AdminError) as caught:
            check_name(name, known)
        assert caught.value.reason is reasons.CRL_NAME_TAKEN
    for name in ("default-3", "default-x", "other", "default-2-x"):
        check_name(name, known)
    world.ca.issuing("default-9")
    with pytest.raises(AdminError) as caught:
        world.plan(9)
    assert caught.value.reason is reasons.CRL_NAME_TAKEN


def test_a_root_has_one_full_crl(world: _World) -> None:
    """What a root revokes is little, and every client reads a CRL without a scope."""
    with pytest.raises(AdminError) as caught:
        check_plan(world.ca.store, world.ca.root, Plan(2, delta=False, full=True, fleet=1), _LIMIT)
    assert caught.value.reason is reasons.AUTHORITY_STATE


def test_a_plan_is_an_event(world: _World) -> None:
    """Who divided the CRLs, and how, is in the audit log."""
    world.plan(4, delta=True, full=False)
    event = world.ca.store.log[-1].draft
    assert (event.action, event.actor, event.object) == (Action.CRL_PLANNED, ADMIN, "authority:default")
    assert event.details == {"shards": 4, "delta": True, "full": False, "fleet": 1}


def test_lists_are_published_for_an_authority_that_was_revoked(world: _World) -> None:
    """A revoked authority's CRLs go on: its certificates are still out there."""
    world.plan(1)
    world.ca.store.set_authority_state("default", AuthorityState.REVOKED, ())
    assert _number(world.publish(1))
    world.ca.clock.advance(timedelta(days=4))
    assert world.publisher.due("default", 1)
