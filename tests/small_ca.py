"""A certification authority in memory, without anything that decides who may have what: for tests of the room `ca`."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from fakes import FakeClock, MemoryCrlFiles, MemoryKeys, MemorySigner, SeededEntropy
from memory_store import MemoryStore
from regalia.ca.authority import Ceremony
from regalia.ca.crl_plan import shard_of
from regalia.ca.issue import LEASE, Issuer
from regalia.ca.profile import DEFAULT_DOCUMENT, leaf_tbs, read_profile
from regalia.ca.urls import Urls
from regalia.model import (
    Actor,
    ActorKind,
    CertificateIntent,
    CertificateKind,
    CredentialPurpose,
    KeyKind,
    Names,
    Revocation,
    RevocationReason,
    San,
    SanKind,
    new_id,
)
from regalia.wire.certificate import assemble, encode_tbs, signature_algorithm_for

if TYPE_CHECKING:
    from collections.abc import Iterable

    from regalia.model import Authority, Profile

__all__ = ["ADMIN", "NAMES", "SmallCa", "ec_spki", "profile_of"]

ADMIN = Actor(ActorKind.ADMIN, "os:tester")
NAMES = Names("laptop", frozenset({San(SanKind.DNS, "laptop.example.com")}))


def ec_spki(curve: ec.EllipticCurve | None = None) -> bytes:
    """Make a key and return its SubjectPublicKeyInfo."""
    key = ec.generate_private_key(curve or ec.SECP256R1()).public_key()
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def profile_of(document: str = DEFAULT_DOCUMENT, *, acknowledged: Iterable[str] = ()) -> Profile:
    """Read a document as the profile `default` of the group `default`."""
    return read_profile(
        document, name="default", version=1, group="default", now=FakeClock().now(), acknowledged=acknowledged
    )


class SmallCa:
    """A root, and issuing authorities with OCSP credentials as asked for."""

    def __init__(self, clock: FakeClock | None = None) -> None:
        self.clock = clock or FakeClock()
        self.entropy = SeededEntropy()
        self.store = MemoryStore()
        self.keys = MemoryKeys(self.store)
        self.files = MemoryCrlFiles()
        self.signer = MemorySigner(self.store, self.keys, self.files)
        self.urls = Urls("http://pki.example.test")
        self.ceremony = Ceremony(
            Issuer(self.store, self.signer, self.clock),
            authorities=self.store,
            keys=self.keys,
            clock=self.clock,
            entropy=self.entropy,
            urls=self.urls,
        )
        self.root = self.ceremony.create_root("root", actor=ADMIN)

    def issuing(self, name: str = "default", key_kind: KeyKind | None = None) -> Authority:
        """Create an issuing authority with its OCSP credential."""
        authority = self.ceremony.create_issuing(
            name, group=name, root=self.root, actor=ADMIN, key_kind=key_kind or KeyKind.P256
        )
        self.ceremony.create_credential(CredentialPurpose.OCSP, authority, actor=ADMIN)
        return authority

    def intent(self, authority: Authority, serial: int, profile: Profile | None = None) -> CertificateIntent:
        """Commit the intent of a leaf certificate."""
        now = self.clock.now()
        public_key = ec_spki()
        tbs = leaf_tbs(
            profile or profile_of(),
            authority,
            serial=serial,
            names=NAMES,
            public_key=public_key,
            now=now,
            urls=self.urls,
        )
        intent = CertificateIntent(
            id=new_id(now, self.entropy.octets(10)),
            kind=CertificateKind.LEAF,
            authority=authority.name,
            key_id=authority.key_id,
            serial=serial,
            tbs=encode_tbs(tbs),
            group=authority.group,
            profile="default",
            profile_version=1,
            subject="CN=laptop",
            names=NAMES,
            device=None,
            unverified=False,
            key_sha256=hashlib.sha256(public_key).digest(),
            not_before=tbs.not_before,
            not_after=tbs.not_after,
            enrolment_id=None,
            generation=0,
            lease_until=now + LEASE,
            created_at=now,
            shard=shard_of(serial, authority.crl_shards),
        )
        self.store.begin(intent, ())
        return intent

    def leaf(self, authority: Authority, serial: int, profile: Profile | None = None) -> bytes:
        """Issue a leaf certificate."""
        intent = self.intent(authority, serial, profile)
        signature = self.signer.sign_intent(intent.id)
        octets = assemble(intent.tbs, signature_algorithm_for(authority.key_kind), signature)
        self.store.finish(intent.id, octets, self.clock.now(), ())
        return octets

    def revoke(
        self, authority: Authority, serial: int, reason: RevocationReason = RevocationReason.KEY_COMPROMISE
    ) -> None:
        """Revoke a certificate."""
        found = self.store.certificate_by_serial(authority.name, serial)
        assert found is not None
        self.store.revoke(Revocation(found.id, reason, "administrator", "os:tester", self.clock.now()), ())

    def later(self, **span: float) -> None:
        """Let time pass."""
        self.clock.advance(timedelta(**span))
