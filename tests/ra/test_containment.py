"""Suspending a group, and replacing an authority whose key others have."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509

from fakes import MemorySigner
from foreign_pki import ForeignCa
from memory_store import MemoryStore
from ndes_parts import Pages
from regalia import reasons
from regalia.ca.authority import revoke_authority
from regalia.ca.carried_crl import CrlImporter
from regalia.errors import AdminError, UnavailableError
from regalia.model import Action, Authoriser, AuthorityState, CertificateKind, CredentialPurpose, RevocationReason
from regalia.ports import CertificateFilter
from regalia.ra.containment import Replaced, Waiting
from regalia.wire.certificate import read_certificate
from regalia.wire.scep import FailInfo, MessageType, PkiStatus
from world import ADMIN, Device, World, names, rsa_key

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from regalia.errors import Reason

LAPTOP = names("laptop-1")
EVERY = CertificateFilter(limit=1000)
OLD, NEW = "default-ca-1", "default-ca-2"


def suspend(world: World) -> None:
    """Suspend the group."""
    world.containment.suspend("default", "drill", actor=ADMIN)


def replace(world: World, compromised: str | None = None) -> Replaced | Waiting:
    """Replace its authority."""

    def publish(name: str) -> None:
        world.crls.publish(name, ADMIN)

    return world.containment.replace("default", actor=ADMIN, publish=publish, compromised=compromised)


def enrolled(world: World, number: int = 0, **bound: str) -> Device:
    """A device with a certificate."""
    device = Device(world, rsa_key(number)).fresh(f"first-{number}")
    device.enrol(names(f"laptop-{number}"), world.mint(f"laptop-{number}", device=bound.get("device")))
    assert device.certificate is not None
    return device


def root_lists(world: World) -> set[str]:
    """The authorities that the published CRL of the root lists."""
    last = world.store.last_crl("root")
    assert last is not None
    crl = x509.load_der_x509_crl(b"".join(world.store.crl_octets(last)))
    serials = {entry.serial_number for entry in crl}
    every = world.store.authorities()
    return {each.name for each in every if read_certificate(each.certificate_der).serial in serials}


def states(world: World) -> dict[str, str]:
    """The state of each authority."""
    return {authority.name: authority.state.value for authority in world.store.authorities()}


def unavailable(act: Callable[[], object]) -> Reason:
    """What keeps it from being done now."""
    with pytest.raises((UnavailableError, AdminError)) as caught:
        act()
    return caught.value.reason


# --- suspension -----------------------------------------------------------------------------------------------------


def test_a_suspended_group_issues_nothing() -> None:
    """No enrolment, renewal, approval or NDES challenge: CA-015, which a device hears as "come back later" (R6)."""
    pages = Pages()
    world = pages.world
    laptop = enrolled(world)
    world.open_endpoint("queue", Authoriser.APPROVAL)
    waiting = Device(world, rsa_key(1), endpoint="queue")
    assert waiting.enrol(names("laptop-q"), world.secrets["queue"]).status is PkiStatus.PENDING
    secret = world.mint("laptop-2")
    suspend(world)
    fresh = Device(world, rsa_key(2)).fresh("second")
    renewing = laptop.fresh("renewal")
    issued = len(world.store.certificates(EVERY))
    for act in (
        lambda: fresh.enrol(names("laptop-2"), secret),
        lambda: renewing.enrol(LAPTOP, None, MessageType.RENEWAL_REQ),
        world.approve,
        pages.fetch,
    ):
        assert unavailable(act) is reasons.GROUP_SUSPENDED
    assert len(world.store.certificates(EVERY)) == issued
    # Nothing was used up meanwhile: what was told to come again is served when it does.
    world.containment.resume("default", actor=ADMIN)
    assert fresh.enrol(names("laptop-2"), secret).status is PkiStatus.SUCCESS
    assert world.approve().der is not None


def test_status_goes_on_in_a_suspended_group() -> None:
    """Capabilities, CA certificates, a pending poll and a repeated answer are as before; another group issues on."""
    world = World()
    world.open_group("other")
    laptop = enrolled(world)
    before = laptop.certificate
    secret = world.mint("laptop-9")
    door = world.scep.door("default")
    assert door is not None
    told = world.scep.ca_certificates(door)
    device = Device(world, rsa_key(3)).fresh("ninth")
    csr = device.csr(names("laptop-9"), secret)
    body = device.message(csr)
    first = device.open(world.send(body), csr).certificates
    suspend(world)
    again = world.scep.door("default")
    assert again is not None
    assert world.scep.ca_certificates(again) == told
    assert device.open(world.send(body), csr).certificates == first
    assert before is not None
    elsewhere = Device(world, rsa_key(4), endpoint="other")
    assert elsewhere.enrol(names("o"), world.mint("o", endpoint="other")).status is PkiStatus.SUCCESS


@pytest.mark.parametrize(
    ("state", "reason"), [(None, reasons.GROUP_SUSPENDED), (AuthorityState.REVOKED, reasons.ISSUER_UNAVAILABLE)]
)
def test_a_worker_that_has_not_heard_of_it_issues_nothing(state: AuthorityState | None, reason: Reason) -> None:
    """What a worker decides by what it read before a suspension or revocation is not issued: CA-015, CA-010 (R6)."""
    world = World()
    secret = world.mint("laptop-2")
    before = world.scep.door("default")
    assert before is not None
    device = Device(world, rsa_key(2)).fresh("second")
    body = device.message(device.csr(names("laptop-2"), secret))
    if state is None:
        suspend(world)
    else:
        world.store.set_authority_state(OLD, state, ())
    assert unavailable(lambda: world.scep.pki_operation(before, body, "192.0.2.1")) is reason
    assert world.store.certificates(CertificateFilter(kind=CertificateKind.LEAF, limit=9)) == ()
    challenge = world.store.challenge(world.challenge_mac(secret))
    assert challenge is not None
    assert challenge.consumed_at is None


def test_suspension_is_told_and_told_once() -> None:
    """Who suspended and why is a security event; a second time is ADM-039, an unknown group ADM-004."""
    world = World()
    suspend(world)
    event = world.last_event().draft
    assert (event.action, event.object, event.security) == (Action.GROUP_SUSPENDED, "group:default", True)
    assert event.details["why"] == "drill"
    assert unavailable(lambda: suspend(world)) is reasons.GROUP_STATE
    world.containment.resume("default", actor=ADMIN)
    assert world.last_event().draft.action is Action.GROUP_RESUMED
    assert unavailable(lambda: world.containment.resume("default", actor=ADMIN)) is reasons.GROUP_STATE
    assert unavailable(lambda: world.containment.suspend("nobody", "", actor=ADMIN)) is reasons.NOT_FOUND


# --- replacement ----------------------------------------------------------------------------------------------------


class KilledError(BaseException):
    """The process ended here."""


class MortalStore(MemoryStore):
    """A store whose process is killed after so many of its commits."""

    left = 0
    WRITES = frozenset(
        {
            "activate_authority",
            "add_authority",
            "add_credential",
            "begin",
            "finish",
            "lease",
            "publish_crl",
            "reserve_crl",
            "revoke",
            "set_authority_state",
            "suspend_group",
        }
    )

    def __getattribute__(self, name: str) -> Any:  # noqa: ANN401 - whatever is asked for
        found = super().__getattribute__(name)
        return self._mortal(found) if name in MortalStore.WRITES else found

    def _mortal(self, act: Callable[..., object]) -> Callable[..., object]:
        def counted(*values: object, **named: object) -> object:
            done = act(*values, **named)
            self.left -= 1
            if self.left == 0:
                raise KilledError
            return done

        return counted


def test_a_replacement_that_is_killed_anywhere_goes_on() -> None:
    """Killed after its first commit, called again and killed after its second, and so on, it still ends well."""
    store = MortalStore()
    world = World(store=store)
    enrolled(world)
    deaths = 0
    done: Replaced | Waiting | None = None
    while done is None:
        store.left = deaths + 1
        try:
            done = replace(world, OLD)
        except KilledError:
            deaths += 1
            # Whoever was killed holds the lease until it ends.
            world.clock.advance(timedelta(seconds=16))
            group = world.store.group("default")
            assert group is not None
            assert group.suspended_at is not None or deaths == 1
    store.left = 0
    assert deaths > 5
    assert isinstance(done, Replaced)
    assert done.former.state is AuthorityState.REVOKED
    group = world.store.group("default")
    assert group is not None
    assert (group.authority, group.suspended_at) == (done.present.name, None)
    assert [state for state in states(world).values() if state == "active"] == ["active", "active"]
    assert world.rollover.lacks(done.present) == ()
    again = replace(world, OLD)
    assert isinstance(again, Replaced)
    assert again.present.name == done.present.name


def test_what_a_compromised_authority_issued_proves_nothing() -> None:
    """Its certificates renew nothing and are handed out no more; a fresh challenge enrols, and unlists."""
    world = World()
    secret = world.mint("laptop-5")
    device = Device(world, rsa_key(5)).fresh("fifth")
    csr = device.csr(names("laptop-5"), secret)
    body = device.message(csr)
    device.certificate = device.open(world.send(body), csr).certificates[0]
    assert isinstance(replace(world), Replaced)
    renewal = device.fresh("renewal").enrol(names("laptop-5"), None, MessageType.RENEWAL_REQ)
    assert (renewal.status, renewal.fail_info) == (PkiStatus.FAILURE, FailInfo.BAD_REQUEST)
    assert world.last_event().draft.reason_id == "SCEP-060"
    # Its own first message again, within the 24 hours of R3 and to the RA of then: no more than a stranger's.
    assert isinstance(world.send(body), object)
    assert world.last_event().draft.reason_id == "SCEP-037"
    assert [holder.subject for holder in world.containment.holders("default")] == ["CN=laptop-5"]
    world.clock.advance(timedelta(minutes=1))
    anew = Device(world, rsa_key(5)).fresh("anew")
    assert anew.enrol(names("laptop-5"), world.mint("laptop-5")).status is PkiStatus.SUCCESS
    assert world.containment.holders("default") == ()


def test_the_former_authority_stays_to_be_asked_about() -> None:
    """Revoked for cACompromise at the root, with credentials for OCSP; the group goes on with the new one, resumed."""
    world = World()
    enrolled(world)
    done = replace(world)
    assert isinstance(done, Replaced)
    assert states(world) == {"root": "active", OLD: "revoked", NEW: "active"}
    own = world.store.certificate(done.former.certificate_id)
    assert own is not None
    assert own.revocation is not None
    assert own.revocation.reason is RevocationReason.CA_COMPROMISE
    assert world.store.credentials(CredentialPurpose.OCSP, OLD)
    assert [event.draft.action.value for event in world.store.log if event.draft.object == "group:default"] == [
        "group.created",
        "group.suspended",
        "group.resumed",
    ]


def test_a_next_authority_from_before_is_not_used() -> None:
    """Whoever took the present key may have taken the next one's: it is revoked, and never announced or activated."""
    world = World()
    world.rollover.rotate("default", root=world.registry.root(), actor=ADMIN)
    world.clock.advance(timedelta(minutes=1))
    done = replace(world)
    assert isinstance(done, Replaced)
    assert (done.present.name, done.unused) == ("default-ca-3", (NEW,))
    door = world.scep.door("default")
    assert door is not None
    assert door.successor is None
    world.clock.advance(timedelta(days=31))
    assert world.rollover.due(world.clock.now()) == ()
    assert states(world)[NEW] == "revoked"
    assert root_lists(world) == {OLD, NEW}
    assert replace(world, OLD) == done


def test_a_next_authority_ends_while_the_root_is_waited_for() -> None:
    """It is revoked before the root's key is there, and the root's CRL has to list it beside the compromised one."""
    world = World()
    world.rollover.rotate("default", root=world.registry.root(), actor=ADMIN)
    world.clock.advance(timedelta(minutes=1))
    kept = world.keys.private.pop(world.registry.root().key_id)
    waiting = replace(world)
    assert isinstance(waiting, Waiting)
    assert (states(world)[NEW], waiting.crl, waiting.unused) == ("revoked", True, (NEW,))
    assert unavailable(lambda: world.rollover.activate(NEW, actor=ADMIN)) is reasons.AUTHORITY_STATE
    world.keys.private[world.registry.root().key_id] = kept
    done = replace(world, OLD)
    assert isinstance(done, Replaced)
    assert root_lists(world) == {OLD, NEW}


def test_an_authority_from_before_replaces_nothing() -> None:
    """One that took over before the former was revoked is no replacement of it: ADM-017 says how to replace that."""
    world = World()
    world.rollover.rotate("default", root=world.registry.root(), actor=ADMIN)
    world.rollover.activate(NEW, actor=ADMIN)
    world.clock.advance(timedelta(minutes=1))
    former = world.store.authority(OLD)
    assert former is not None
    reason = RevocationReason.CA_COMPROMISE
    revoke_authority(world.store, world.store, world.clock, former, reason=reason, actor=ADMIN)
    assert unavailable(lambda: replace(world, OLD)) is reasons.AUTHORITY_STATE


def test_a_later_crl_without_the_authority_does_not_tell() -> None:
    """A CRL of the root that was published after the revocation and does not list it has to be made anew."""
    world = World()
    root = ForeignCa("Corp Root")
    world.hierarchy.trust("far", root.der, actor=ADMIN)
    asked = world.hierarchy.request("far-ca", group="far", actor=ADMIN)
    former = world.hierarchy.accept("far-ca", root.certify_request(asked.csr or b""), actor=ADMIN)
    world.registry.create_group("far", actor=ADMIN, authority="far-ca")
    importer = CrlImporter(world.store, world.clock, world.entropy)
    serial = read_certificate(former.certificate_der).serial

    def wanted() -> bool:
        waiting = world.containment.replace("far", actor=ADMIN, publish=print)
        assert isinstance(waiting, Waiting)
        return waiting.crl

    far = world.store.authority("far")
    assert far is not None
    assert wanted()
    world.clock.advance(timedelta(minutes=1))
    importer.publish(far, root.crl(7, []), actor=ADMIN)
    assert wanted()
    importer.publish(far, root.crl(8, [(serial, x509.ReasonFlags.ca_compromise)]), actor=ADMIN)
    assert not wanted()


def test_a_suspension_of_before_stays() -> None:
    """What somebody suspended for a reason of theirs issues nothing after the replacement, until they resume it."""
    world = World()
    suspend(world)
    done = replace(world)
    assert isinstance(done, Replaced)
    group = world.store.group("default")
    assert group is not None
    assert (group.authority, group.suspended_why) == (NEW, "drill")
    assert done.suspended.endswith(": drill")
    world.containment.resume("default", actor=ADMIN)


def test_only_what_is_revoked_is_resumed_by_its_replacement() -> None:
    """A group whose authority is revoked is not resumed by hand; an authority of elsewhere is not replaced."""
    world = World()
    world.open_group("other")
    suspend(world)
    world.store.set_authority_state(OLD, AuthorityState.REVOKED, ())
    assert unavailable(lambda: world.containment.resume("default", actor=ADMIN)) is reasons.GROUP_STATE
    assert unavailable(lambda: replace(world, "other-ca-1")) is reasons.NOT_FOUND
    assert unavailable(lambda: world.containment.replace("nobody", actor=ADMIN, publish=print)) is reasons.NOT_FOUND


def test_a_root_elsewhere_is_waited_for() -> None:
    """Without the root's key it revokes, asks for a CRL and a certificate, and goes on when they were brought."""
    world = World()
    enrolled(world)
    root = world.registry.root()
    kept = world.keys.private.pop(root.key_id)
    first = replace(world)
    assert isinstance(first, Waiting)
    assert first.crl
    assert first.request is not None
    assert states(world)[OLD] == "revoked"
    world.clock.advance(timedelta(minutes=5))
    # Asked again it asks for the same.
    assert replace(world, OLD) == first
    world.keys.private[root.key_id] = kept
    world.crls.publish("root", ADMIN)
    del world.keys.private[root.key_id]
    second = replace(world, OLD)
    assert isinstance(second, Waiting)
    assert (second.crl, second.request) == (False, first.request)
    world.keys.private[root.key_id] = kept
    made = world.ceremony.create_issuing("brought", group="default", root=root, actor=ADMIN, next_until=True)
    del world.keys.private[root.key_id]
    done = replace(world, OLD)
    assert isinstance(done, Replaced)
    assert done.present.name == made.name


class MuteSigner(MemorySigner):
    """A signer that is gone before it signs what a device asked for."""

    def sign_intent(self, row_id: UUID) -> bytes:
        """Sign our own certificates alone."""
        row = self._intents.certificate(row_id) if isinstance(self._intents, MemoryStore) else None
        if row is not None and row.intent.kind is CertificateKind.LEAF and self.mute:
            raise UnavailableError(reasons.ISSUER_UNAVAILABLE, "killed")
        return super().sign_intent(row_id)

    mute = False


def test_an_intent_of_before_the_replacement_is_abandoned() -> None:
    """What was begun under the compromised authority is not finished; the same request gets one of the new."""
    world = World(lambda signer: MuteSigner(signer._intents, signer._keys, signer._files))  # noqa: SLF001 - the fake's
    assert isinstance(world.signer, MuteSigner)
    device = Device(world, rsa_key(6)).fresh("sixth")
    csr = device.csr(names("laptop-6"), world.mint("laptop-6"))
    world.signer.mute = True
    with pytest.raises(UnavailableError):
        world.send(device.message(csr))
    world.signer.mute = False
    assert isinstance(replace(world), Replaced)
    world.clock.advance(timedelta(minutes=2))
    assert world.recovery.run() == (0, 1)
    got = device.open(world.send(device.message(csr)), csr).certificates
    present = world.store.authority(NEW)
    assert present is not None
    assert read_certificate(got[0]).issuer == read_certificate(present.certificate_der).subject
