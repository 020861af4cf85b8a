"""The audit of certificates: what is right has no finding, and whatever somebody changed is found."""

from __future__ import annotations

import hashlib
import io
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from ra.test_order import csr
from regalia.ca.audit import Audited, Auditor, AuditRule, audit_events
from regalia.ca.blocklist import ListFormat, import_blocklist
from regalia.ca.crl import CrlPublisher
from regalia.ca.revoke import revoke
from regalia.ca.urls import Urls
from regalia.model import (
    Action,
    Certificate,
    CertificateKind,
    CertificateState,
    EventDraft,
    Outcome,
    Revocation,
    RevocationReason,
    new_id,
)
from regalia.ports import CertificateFilter
from regalia.ra.order import Order
from regalia.wire.certificate import assemble, split
from world import ADMIN, Device, World, names, rsa_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from regalia.model import CertificateIntent

HOUR = timedelta(hours=1)


def a_world() -> tuple[World, Certificate]:
    """Return a world in which a device has enrolled, and its certificate."""
    world = World()
    secret = world.mint("laptop-1", "laptop-1.example.com", device="INV-1")
    Device(world).enrol(names("laptop-1", "laptop-1.example.com"), secret)
    (leaf,) = world.store.certificates(CertificateFilter(kind=CertificateKind.LEAF))
    return world, leaf


def audit(world: World, *, sample: int = 0) -> Audited:
    """Audit everything an hour later."""
    world.clock.advance(HOUR)
    return Auditor(world.store, world.urls, world.clock.now()).run(sample=sample)


def rules(audited: Audited) -> set[str]:
    """Say which rules are broken."""
    return {doubt.rule.value for doubt in audited.doubts}


def put(world: World, certificate: Certificate) -> None:
    """Write a row as somebody who has the database would."""
    world.store._certificates[certificate.id] = certificate  # noqa: SLF001 - nothing of ours would write it


def test_what_was_issued_has_no_finding() -> None:
    """Root, issuing authority, credentials, enrolments, an order and a revocation pass, pkilint included."""
    world, leaf = a_world()
    world.clock.advance(HOUR)
    Device(world).fresh("transaction-2").enrol(names("laptop-1"), world.mint("laptop-1", "laptop-1.example.com"))
    ordered = world.orders.place(Order("default", "default", csr(rsa_key(1)), names("radius")), ADMIN).certificate
    revoke(world.store, world.clock, ordered, reason=RevocationReason.SUPERSEDED, actor=ADMIN)
    world.clock.advance(HOUR)
    publish(world)
    audited = audit(world, sample=1)
    assert audited.doubts == []
    assert audited.certificates == audited.sampled == len(world.store.certificates(CertificateFilter()))
    assert audited.elsewhere == 0
    assert leaf.id in {each.id for each in world.store.certificates_after(None, 100)}


def publish(world: World) -> None:
    """Publish a CRL of the group's authority."""
    group = world.store.group("default")
    assert group is not None
    CrlPublisher(world.store, world.files, world.signer, world.clock, world.entropy, world.urls).publish(
        group.authority
    )


def _intent(**fields: object) -> Callable[[Certificate], Certificate]:
    return lambda leaf: replace(leaf, intent=replace(leaf.intent, **fields))  # type: ignore[arg-type]  # of any field


def _resigned(leaf: Certificate) -> Certificate:
    """Sign the same octets with another key."""
    tbs, algorithm, _ = split(leaf.der or b"")
    from cryptography.hazmat.primitives import hashes  # noqa: PLC0415 - used here alone

    signature = ec.generate_private_key(ec.SECP256R1()).sign(tbs, ec.ECDSA(hashes.SHA256()))
    return replace(leaf, der=assemble(tbs, algorithm, signature))


def _with_usage(leaf: Certificate) -> Certificate:
    """Change clientAuth into serverAuth, in the certificate and in what was to be signed."""
    old, new = bytes.fromhex("06082b06010505070302"), bytes.fromhex("06082b06010505070301")
    assert old in leaf.intent.tbs
    der = (leaf.der or b"").replace(old, new)
    return replace(leaf, der=der, intent=replace(leaf.intent, tbs=leaf.intent.tbs.replace(old, new)))


TAMPERED: dict[str, tuple[Callable[[Certificate], Certificate], set[str]]] = {
    "serial": (_intent(serial=(1 << 130) + 1), {"row", "rendered", "event", "missing"}),
    "subject": (_intent(subject="CN=admin"), {"row", "event"}),
    "names": (_intent(names=names("admin")), {"row", "rendered", "lint", "event"}),
    "one more name": (
        _intent(names=names("laptop-1", "laptop-1.example.com", "dc.example.com")),
        {"row", "rendered", "lint", "event"},
    ),
    "key": (_intent(key_sha256=bytes(32)), {"row", "event"}),
    "beginning": (lambda leaf: _intent(not_before=leaf.intent.not_before - HOUR)(leaf), {"row"}),
    "end": (lambda leaf: _intent(not_after=leaf.intent.not_after + HOUR)(leaf), {"row"}),
    "kind": (_intent(kind=CertificateKind.RA), {"event"}),
    "an authority's kind": (_intent(kind=CertificateKind.ISSUING), {"row", "event"}),
    "authority": (_intent(authority="root"), {"row", "signature", "rendered", "lint", "event"}),
    "no such authority": (_intent(authority="nobody"), {"row", "event"}),
    "signing key": (lambda leaf: _intent(key_id=leaf.id)(leaf), {"row"}),
    "list": (_intent(shard=3), {"rendered", "lint"}),
    "group": (_intent(group="other"), {"event"}),
    "profile": (_intent(profile="other"), {"row", "event"}),
    "profile version": (_intent(profile_version=9), {"row", "event"}),
    "device": (_intent(device="INV-2"), {"event"}),
    "no device": (_intent(device=None), {"event"}),
    "the record of another device": (_intent(device_id=UUID(int=7)), {"event"}),
    "the record of another user": (_intent(user_id=UUID(int=7)), {"event"}),
    "unverified": (_intent(unverified=True), {"event"}),
    "enrolment": (lambda leaf: _intent(enrolment_id=leaf.id)(leaf), {"event"}),
    "time": (lambda leaf: _intent(created_at=leaf.intent.created_at - HOUR)(leaf), {"row"}),
    "what was to be signed": (_intent(tbs=b"\x30\x00"), {"octets", "event"}),
    "octets": (lambda leaf: replace(leaf, der=b"\x30\x00"), {"octets"}),
    "no octets": (lambda leaf: replace(leaf, der=None), {"state"}),
    "signature": (_resigned, {"signature"}),
    "an extension": (_with_usage, {"signature", "rendered", "lint", "event"}),
    "state intent": (lambda leaf: replace(leaf, state=CertificateState.INTENT), {"event"}),
    "state abandoned": (lambda leaf: replace(leaf, state=CertificateState.ABANDONED), {"state", "event"}),
    "issue time": (lambda leaf: replace(leaf, issued_at=leaf.intent.created_at - HOUR), {"state"}),
    "revoked by nobody": (
        lambda leaf: replace(
            leaf,
            revocation=Revocation(leaf.id, RevocationReason.UNSPECIFIED, "x", "x", leaf.intent.created_at),
        ),
        {"revocation"},
    ),
}


@pytest.mark.parametrize("what", TAMPERED)
def test_a_changed_row_is_found(what: str) -> None:
    """Whichever column of a certificate somebody changes, exactly the rules that it breaks are told."""
    world, leaf = a_world()
    change, broken = TAMPERED[what]
    put(world, change(leaf))
    assert rules(audit(world)) == broken


def test_each_column_is_among_them() -> None:
    """The table above changes each field of an intent but three that say nothing of the certificate."""
    fields = {
        "serial", "subject", "names", "key_sha256", "not_before", "not_after", "kind", "authority", "group", "profile",
        "profile_version", "device", "unverified", "enrolment_id", "created_at", "tbs", "key_id", "shard",
        "device_id", "user_id",
    }  # fmt: skip
    _, leaf = a_world()
    changed: set[str] = set()
    for change, _ in TAMPERED.values():
        after = change(leaf).intent
        changed |= {name for name in leaf.intent.__slots__ if getattr(leaf.intent, name) != getattr(after, name)}
    assert changed == fields
    assert set(leaf.intent.__slots__) - fields == {"id", "generation", "lease_until"}


def test_a_stranger_in_the_table_is_found() -> None:
    """A row that no event tells of is found, however well it is made."""
    world, leaf = a_world()
    new: UUID = new_id(leaf.intent.created_at, bytes(10))
    intent: CertificateIntent = replace(leaf.intent, id=new, serial=leaf.intent.serial + 1)
    put(world, replace(leaf, intent=intent))
    assert AuditRule.EVENT.value in rules(audit(world))


def test_a_removed_row_is_found() -> None:
    """A certificate that the log says was issued, and that is gone, is missed."""
    world, leaf = a_world()
    del world.store._certificates[leaf.id]  # noqa: SLF001 - nothing of ours would
    (doubt,) = audit(world).doubts
    assert (doubt.rule, doubt.serial) == (AuditRule.MISSING, leaf.serial)


def test_a_removed_revocation_is_found() -> None:
    """A revocation that was taken back by hand is found by its event."""
    world, leaf = a_world()
    revoke(world.store, world.clock, leaf, reason=RevocationReason.KEY_COMPROMISE, actor=ADMIN)
    put(world, leaf)
    assert rules(audit(world)) == {"revocation"}


def test_a_revocation_that_the_crl_does_not_list_is_found() -> None:
    """A CRL that was published after a revocation lists it, or the audit says so."""
    world, leaf = a_world()
    world.clock.advance(HOUR)
    publish(world)
    world.clock.advance(-HOUR / 2)
    revoke(world.store, world.clock, leaf, reason=RevocationReason.SUPERSEDED, actor=ADMIN)
    world.clock.advance(HOUR)
    (doubt,) = audit(world).doubts
    assert doubt.rule is AuditRule.REVOCATION
    assert "does not list it" in doubt.text


def test_a_revocation_that_a_crl_from_elsewhere_made_is_no_finding() -> None:
    """What ended because of another CRL, its issuer's own above it, need not be on each later one."""
    world, leaf = a_world()
    world.clock.advance(HOUR)
    publish(world)
    world.clock.advance(-HOUR / 2)
    revoke(world.store, world.clock, leaf, reason=RevocationReason.SUPERSEDED, actor=ADMIN, cause="crl")
    world.clock.advance(HOUR)
    assert audit(world).doubts == []


def test_key2_a_key_that_was_listed_since_is_found() -> None:
    """KEY-2: a live certificate whose key was put on a list later is found; once revoked it is not told any more."""
    world, leaf = a_world()
    line = leaf.intent.key_sha256.hex().encode()
    import_blocklist(
        world.store, world.clock, world.entropy, name="leaked", file=io.BytesIO(line), form=ListFormat.HEX, actor=ADMIN
    )
    (doubt,) = audit(world).doubts
    assert (doubt.rule, doubt.text) == (AuditRule.KEY, "it is on the list leaked")
    revoke(world.store, world.clock, leaf, reason=RevocationReason.KEY_COMPROMISE, actor=ADMIN)
    assert rules(audit(world)) == set()


def test_key2_a_key_that_is_known_by_another_certificate_is_found() -> None:
    """KEY-2: a live certificate is found whose key was revoked as known under another serial."""
    world, leaf = a_world()
    world.clock.advance(HOUR)
    device = Device(world).fresh("transaction-2")
    device.enrol(names("laptop-1"), world.mint("laptop-1", "laptop-1.example.com", device="INV-1"))
    revoke(world.store, world.clock, leaf, reason=RevocationReason.KEY_COMPROMISE, actor=ADMIN)
    (doubt,) = audit(world).doubts
    assert doubt.rule is AuditRule.KEY
    assert f"{leaf.serial:x}" in doubt.text


def test_key2_a_listeners_key_in_a_certificate_is_found() -> None:
    """KEY-2: a key that turned out to be a listener's own is found in whatever certificate has it."""
    world, leaf = a_world()
    world.store.add_own_key(leaf.intent.key_sha256, "admin listener", world.clock.now())
    assert rules(audit(world)) == {"key"}


def test_another_public_url_is_no_finding() -> None:
    """Certificates from before the public URL was changed are right as they are; they are counted."""
    world, _ = a_world()
    world.clock.advance(HOUR)
    audited = Auditor(world.store, Urls("http://new.example.test"), world.clock.now()).run()
    assert (audited.doubts, audited.elsewhere) == ([], 1)


def test_an_interrupted_issuance_that_nobody_settled_is_found() -> None:
    """An intent of yesterday is found: recovery does not run."""
    world, leaf = a_world()
    world.store.log[:] = [event for event in world.store.log if event.draft.action is not Action.CERTIFICATE_ISSUED]
    put(world, replace(leaf, state=CertificateState.INTENT, der=None, issued_at=None))
    world.clock.advance(timedelta(days=2))
    assert "state" in rules(audit(world))


def test_only_what_was_issued_since_is_looked_at() -> None:
    """With a time, certificates from before it are left alone."""
    world, leaf = a_world()
    put(world, replace(leaf, intent=replace(leaf.intent, device="INV-2")))
    world.clock.advance(HOUR)
    since = world.clock.now()
    world.orders.place(Order("default", "default", csr(rsa_key(1)), names("radius")), ADMIN)
    audited = Auditor(world.store, world.urls, world.clock.now()).run(since=since)
    assert (audited.certificates, audited.doubts) == (1, [])


def test_aud1_each_finding_is_a_security_event_and_one_event_sums_up() -> None:
    """AUD-1: findings are recorded with serial and rule, and the run with its counts."""
    world, leaf = a_world()
    put(world, replace(leaf, intent=replace(leaf.intent, device="INV-2")))
    audited = audit(world)
    one, whole = audit_events(audited, ADMIN, world.clock.now(), since=None)
    assert (one.action, one.security, one.serial) == (Action.CERTIFICATE_DOUBTED, True, f"{leaf.serial:x}")
    assert (one.outcome, one.details["rule"], one.group) == (Outcome.FAILED, "event", "default")
    assert whole.details["rules"] == {"event": 1}
    assert whole.details["certificates"] == audited.certificates


def test_thousand_findings_are_hundred_events() -> None:
    """A table that was exchanged as a whole does not flood the log: a hundred findings are told, all are counted."""
    world, leaf = a_world()
    put(world, replace(leaf, intent=replace(leaf.intent, device="INV-2")))
    audited = audit(world)
    audited.doubts *= 1_000
    told = audit_events(audited, ADMIN, world.clock.now(), since=None)
    assert len(told) == 101
    assert told[-1].details["findings"] == 1_000


def test_hash_of_key_is_compared_in_full() -> None:
    """The key's hash in the row is the whole SHA-256 of the certificate's key."""
    _, leaf = a_world()
    assert leaf.intent.key_sha256 == hashlib.sha256(Device(World()).public_key()).digest()


def _came_from_elsewhere(world: World, digest: str) -> None:
    """Let the root be one that was imported: no record of its issue, one of its arrival with this SHA-256."""
    root = world.store.authority("root")
    assert root is not None
    certificate = world.store.certificate(root.certificate_id)
    assert certificate is not None
    serial = f"{certificate.serial:x}"
    world.store.log[:] = [event for event in world.store.log if event.draft.object != f"certificate:{serial}"]
    arrival = EventDraft(
        world.clock.now(),
        ADMIN,
        Action.AUTHORITY_IMPORTED,
        "authority:root",
        Outcome.OK,
        serial=serial,
        details={"sha256": digest},
    )
    world.store.record([arrival])


def test_an_imported_authority_is_on_record_by_its_arrival() -> None:
    """A certificate that another CA made is right where the log says that exactly it was imported or accepted."""
    world, _ = a_world()
    root = world.store.authority("root")
    assert root is not None
    _came_from_elsewhere(world, hashlib.sha256(root.certificate_der).hexdigest())
    assert audit(world).doubts == []


def test_another_certificate_in_place_of_an_imported_one_is_found() -> None:
    """A root that is not the one that was imported is found, whatever its serial."""
    world, _ = a_world()
    _came_from_elsewhere(world, hashlib.sha256(b"another").hexdigest())
    assert rules(audit(world)) == {"event"}


def test_what_an_imported_authority_had_revoked_is_no_finding() -> None:
    """A serial that came with an imported authority's CRL has a row without octets; only such an authority has any."""
    world, leaf = a_world()
    revoked = replace(
        leaf,
        state=CertificateState.ABANDONED,
        der=None,
        intent=replace(leaf.intent, id=new_id(leaf.intent.created_at, b"\xff" * 10), serial=0xA01, authority="root"),
        revocation=Revocation(leaf.id, RevocationReason.UNSPECIFIED, "imported", "system", leaf.intent.created_at),
    )
    put(world, revoked)
    assert rules(audit(world)) == {"event"}
    root = world.store.authority("root")
    assert root is not None
    _came_from_elsewhere(world, hashlib.sha256(root.certificate_der).hexdigest())
    assert audit(world).doubts == []


def test_what_a_restore_learnt_from_a_crl_is_no_finding() -> None:
    """A serial that a restored home learnt from a published CRL has a row without octets, and the restore on record."""
    world, leaf = a_world()
    recalled = replace(
        leaf,
        state=CertificateState.ABANDONED,
        der=None,
        intent=replace(leaf.intent, id=new_id(leaf.intent.created_at, b"\xff" * 10), serial=0xA01),
        revocation=Revocation(leaf.id, RevocationReason.UNSPECIFIED, "imported", "system", leaf.intent.created_at),
    )
    put(world, recalled)
    now = world.clock.now()
    for count, found in ((0, {"event"}), (1, set())):
        told = {"not_on_record": count}
        world.store.record([EventDraft(now, ADMIN, Action.HOME_RESTORED, "home", Outcome.OK, details=told)])
        assert rules(audit(world)) == found


def test_another_plan_of_crls_is_no_finding() -> None:
    """Certificates go on pointing at the list that was chosen when they were issued, however CRLs are divided today."""
    world = World()
    group = world.store.group("default")
    assert group is not None

    def divide(shards: int, *, delta: bool) -> None:
        authority = world.store.authority(group.authority)
        assert authority is not None
        planned = replace(authority, crl_shards=shards, crl_lists=7, crl_delta=delta)
        world.store._authorities[authority.name] = planned  # noqa: SLF001 - as `ca crl-plan` does

    for shards, delta in ((0, False), (4, True), (7, False), (0, True)):
        divide(shards, delta=delta)
        request = csr(ec.generate_private_key(ec.SECP256R1()))
        placed = world.orders.place(Order("default", "default", request, names(f"server-{shards}-{delta}")), ADMIN)
        assert bool(placed.certificate.intent.shard) is bool(shards)
        world.clock.advance(HOUR)
    assert audit(world).doubts == []
    divide(3, delta=False)
    assert audit(world).doubts == []
