"""Values to store: complete, valid and distinct, made from a number."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import Barrier
from typing import TYPE_CHECKING, TypeVar

from regalia.ca.profile import DEFAULT_DOCUMENT, read_profile
from regalia.errors import Stage
from regalia.model import (
    NO_NAMES,
    Action,
    Actor,
    ActorKind,
    Authoriser,
    Authority,
    AuthorityKind,
    AuthorityState,
    CertificateIntent,
    CertificateKind,
    Challenge,
    ConversationKey,
    Credential,
    CredentialPurpose,
    Endpoint,
    Enrolment,
    EnrolmentState,
    EventDraft,
    Group,
    KeyKind,
    LineageLink,
    Names,
    Outcome,
    Profile,
    San,
    SanKind,
    StageNote,
    new_id,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from regalia.ports import Store

T = TypeVar("T")

NOW = datetime(2026, 3, 1, 9, 0, 0, 123_000, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
NAMES = Names("laptop-1", frozenset({San(SanKind.DNS, "laptop-1.example.org"), San(SanKind.EMAIL, "a@example.org")}))


def octets(text: str, count: int = 32) -> bytes:
    """Return octets that are as good as random and the same each time."""
    return hashlib.shake_256(text.encode()).digest(count)


def an_id(kind: str, number: int) -> UUID:
    """Return an id that sorts by `number`."""
    return new_id(NOW + number * timedelta(milliseconds=1), octets(f"{kind} {number}", 10))


def an_event(number: int = 1, **changes: object) -> EventDraft:
    """Return an event."""
    draft = EventDraft(
        at=NOW,
        actor=Actor(ActorKind.ADMIN, "os:root", "192.0.2.1"),
        action=Action.CHALLENGE_CREATED,
        object=f"challenge:{number}",
        outcome=Outcome.OK,
        group="staff",
        details={"number": number, "names": ["ä", "b"]},
    )
    return replace(draft, **changes)  # type: ignore[arg-type]  # of any field


def a_challenge(number: int = 1) -> Challenge:
    """Return an open one-time challenge."""
    return Challenge(
        id=an_id("challenge", number),
        endpoint="default",
        mac=octets(f"mac {number}"),
        binding=NAMES,
        device="device-1",
        created_at=NOW,
        created_by="os:root",
        expires_at=NOW + 60 * MINUTE,
    )


def a_static_challenge(number: int = 1, **changes: object) -> Challenge:
    """Return a static challenge, made `number` milliseconds after `NOW` and good for ten years."""
    at = NOW + timedelta(milliseconds=number)
    challenge = replace(
        a_challenge(number), binding=NO_NAMES, device=None, created_at=at, expires_at=at + timedelta(days=3650)
    )
    return replace(challenge, reusable=True, **changes)  # type: ignore[arg-type]  # of any field


def a_key(number: int = 1) -> ConversationKey:
    """Return the conversation key of a NEW signer."""
    return ConversationKey("default", f"transaction {number}".encode(), octets(f"key {number}"), None, octets("mac 1"))


def an_enrolment(number: int = 1, key: ConversationKey | None = None) -> Enrolment:
    """Return an enrolment that is about to be issued; it begins its own chain."""
    own = an_id("enrolment", number)
    return Enrolment(
        id=own,
        key=key or a_key(number),
        group="staff",
        profile="wifi",
        profile_version=1,
        state=EnrolmentState.INTENT,
        asked=NO_NAMES,
        allowed=NAMES,
        csr=octets(f"csr {number}", 700),
        source="192.0.2.7",
        created_at=NOW,
        updated_at=NOW,
        lineage=LineageLink(own, 0, None, NAMES, "device-1", Names("asked"), octets("mac 1"), unverified=False),
        certificate_id=an_id("certificate", number),
        stages=(StageNote(Stage.EVIDENCE, ok=True, note="challenge\u2028accepted", at=NOW),),
    )


def a_pending_enrolment(number: int = 1, key: ConversationKey | None = None) -> Enrolment:
    """Return an enrolment that waits for a decision."""
    return replace(an_enrolment(number, key), state=EnrolmentState.PENDING, certificate_id=None)


def an_intent(number: int = 1, enrolment: Enrolment | None = None) -> CertificateIntent:
    """Return a leaf certificate to be signed."""
    return CertificateIntent(
        id=an_id("certificate", number),
        kind=CertificateKind.LEAF,
        authority="staff-ca",
        key_id=an_id("key", 1),
        serial=(1 << 128) + number,
        tbs=octets(f"tbs {number}", 600),
        group="staff",
        profile="wifi",
        profile_version=1,
        subject="CN=laptop-1",
        names=NAMES,
        device="device-1",
        unverified=False,
        key_sha256=octets(f"key {number}") if enrolment is None else enrolment.key.key_sha256,
        not_before=NOW.replace(microsecond=0) - 5 * MINUTE,
        not_after=NOW.replace(microsecond=0) + timedelta(days=365),
        enrolment_id=None if enrolment is None else enrolment.id,
        generation=0 if enrolment is None or enrolment.lineage is None else enrolment.lineage.generation,
        lease_until=NOW + MINUTE,
        created_at=NOW,
    )


def an_authority(name: str = "staff-ca", parent: str | None = "root", number: int = 1) -> Authority:
    """Return an authority."""
    return Authority(
        name=name,
        kind=AuthorityKind.ROOT if parent is None else AuthorityKind.ISSUING,
        parent=parent,
        group=None if parent is None else "staff",
        state=AuthorityState.ACTIVE,
        key_id=an_id("key", number),
        key_kind=KeyKind.P256,
        certificate_id=an_id("certificate", number),
        certificate_der=octets(f"certificate of {name}", 500),
        created_at=NOW + timedelta(milliseconds=number),
    )


def a_credential(number: int = 1, purpose: CredentialPurpose = CredentialPurpose.RA) -> Credential:
    """Return a credential of the issuing authority `staff-ca`."""
    return Credential(
        id=an_id("credential", number),
        purpose=purpose,
        group="staff",
        authority="staff-ca",
        key_id=an_id("credential key", number),
        certificate_id=an_id("certificate", number),
        certificate_der=octets(f"credential {number}", 500),
        not_before=NOW,
        not_after=NOW + timedelta(days=90),
        created_at=NOW + timedelta(milliseconds=number),
    )


def a_group(name: str = "staff") -> Group:
    """Return a group."""
    return Group(name, "staff-ca", NOW, debug=True)


def a_profile(name: str = "wifi", version: int = 1) -> Profile:
    """Return a version of a profile."""
    return read_profile(DEFAULT_DOCUMENT, name=name, version=version, group="staff", now=NOW)


def an_endpoint(name: str = "default") -> Endpoint:
    """Return an enabled endpoint."""
    return Endpoint(
        name=name,
        group="staff",
        protocol="scep",
        profile="wifi",
        authoriser=Authoriser.ONE_TIME,
        enabled=True,
        include_root=True,
        check_signing_time=False,
        created_at=NOW,
    )


def at_once(count: int, work: Callable[[int], T]) -> list[T]:
    """Run `work` in threads that start together, each with its number from 1 on; returns what they returned."""
    start = Barrier(count)

    def run(number: int) -> T:
        start.wait()
        return work(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(1, count + 1)))


def conversation(store: Store, key: ConversationKey) -> Enrolment | None:
    """Return the open conversation of a key."""
    return store.known(key, NOW).conversation


def transaction_holder(store: Store, endpoint: str, transaction_id: bytes, since: datetime) -> Enrolment | None:
    """Return whose NEW-signer conversation a transactionID belongs to."""
    return store.known(replace(a_key(), endpoint=endpoint, transaction_id=transaction_id), since).holder
