"""What a profile would give: its examples judged as requests are, without one being made, kept or signed.

Names, key rules and conditions are those of `decide`; what is issued here is issued to nobody: the signature is only of
the right form.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import count
from typing import TYPE_CHECKING, Final, Protocol
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from regalia import reasons
from regalia.ca.keycheck import check_key
from regalia.ca.lint import lint_full, lint_leaf
from regalia.ca.profile import leaf_tbs, specimen_key, unsigned
from regalia.errors import AdminError, PeerError
from regalia.model import (
    AuthorisationKind,
    Authoriser,
    CredentialPurpose,
    Denied,
    Door,
    Endpoint,
    LineageLink,
    Names,
    San,
    SanKind,
)
from regalia.model.fleet import Device, DeviceState, Platform, User, UserState
from regalia.ports import Authorities, Catalogue
from regalia.ra.bearers import NOBODY, Bearers
from regalia.ra.granting import Basis, grant_names
from regalia.ra.profile_rules import check_conditions
from regalia.ra.protected import UNPROTECTED
from regalia.ra.request import EnrolmentRequest
from regalia.wire.algorithms import AlgorithmIdentifier
from regalia.wire.certificate import encode_tbs
from regalia.wire.csr import Csr
from regalia.wire.names import check_names, make_san, name_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from regalia.ca.profile_document import Example, ExampleDevice, ExampleNames, ExampleUser
    from regalia.ca.urls import Urls
    from regalia.errors import Reason
    from regalia.model import Authority, Profile
    from regalia.ra.granting import Granted
    from regalia.ra.protected import ProtectedNames

__all__ = ["PreviewStore", "Previewed", "preview_examples"]

_NOBODY: Final = UUID(int=0)
_SERIAL: Final = 1 << 128
_MOST_ABOVE: Final = 8


class PreviewStore(Authorities, Catalogue, Protocol):
    """What a door is made of."""


@dataclass(frozen=True, slots=True)
class Previewed:
    """What came of an example."""

    example: Example
    reason: Reason | None
    """Why it is refused; None where it is issued."""
    detail: str
    inputs: tuple[tuple[str, str], ...]
    """The variables that the names were made of."""
    certificate: bytes | None
    """As it would be, with a signature of the right form; None where it is refused."""
    subject: str | None
    findings: tuple[str, ...]
    """What the lints say of the certificate."""

    @property
    def outcome(self) -> str:
        """`issued`, or the id of the refusal."""
        return "issued" if self.reason is None else self.reason.id

    @property
    def problem(self) -> str | None:
        """What is not as the example says it should be."""
        if self.outcome != self.example.expect:
            said = f": {self.detail}" if self.detail else ""
            return f"example {self.example.name}: {self.outcome}{said}, where {self.example.expect} is expected"
        if self.example.subject is not None and self.subject != self.example.subject:
            return f"example {self.example.name}: the subject is {self.subject}, not {self.example.subject}"
        return f"example {self.example.name}: {'; '.join(self.findings)}" if self.findings else None


def preview_examples(
    profile: Profile,
    examples: Sequence[Example],
    *,
    store: PreviewStore,
    urls: Urls,
    now: datetime,
    protected: ProtectedNames = UNPROTECTED,
) -> tuple[Previewed, ...]:
    """Judge each example under a profile. Raises `AdminError` ADM-004 where its group has no authority."""
    return tuple(
        _Desk(_door(profile, example, store, now), urls, now, protected).judged(example) for example in examples
    )


@dataclass(frozen=True, slots=True)
class _Desk:
    door: Door
    urls: Urls
    now: datetime
    protected: ProtectedNames

    def judged(self, example: Example) -> Previewed:
        try:
            key = example_key(example.key)
            check_key(key, self.door.profile)
            basis, asked = _evidence(example, self.now)
            request = self._request(key, asked)
            granted = grant_names(request, basis, self.protected)
        except PeerError as fault:
            return _refused(example, fault.reason, fault.detail)
        if isinstance(granted, Denied):
            return _refused(example, granted.reason, granted.detail)
        unmet = check_conditions(request, basis, granted)
        if unmet is not None:
            return _refused(example, unmet.reason, unmet.detail, granted.inputs)
        return self._issued(example, key, granted)

    def _request(self, key: bytes, asked: Names) -> EnrolmentRequest:
        csr = Csr(
            der=b"",
            info=b"",
            public_key=key,
            challenge=None,
            asked=asked,
            dropped=(),
            extensions=(),
            signature_algorithm=AlgorithmIdentifier("", None),
            signature=b"",
            challenge_span=None,
        )
        return EnrolmentRequest(
            door=self.door,
            transaction_id=b"example",
            csr=csr,
            signer=None,
            challenge_mac=None,
            source="192.0.2.1",
            received_at=self.now,
            described="an example",
        )

    def _issued(self, example: Example, key: bytes, granted: Granted) -> Previewed:
        profile, authority = self.door.profile, self.door.authority
        tbs = leaf_tbs(
            profile,
            authority,
            serial=_SERIAL,
            names=granted.names,
            public_key=key,
            now=self.now,
            urls=self.urls,
            assurance=granted.assurance,
        )
        octets = encode_tbs(tbs)
        certificate = unsigned(octets, tbs.signature)
        findings = lint_leaf(
            octets,
            profile=profile,
            authority=authority,
            names=granted.names,
            public_key=key,
            urls=self.urls,
            assurance=granted.assurance,
        )
        in_full = lint_full(certificate, [code for code, _ in profile.lint_ignored])
        return Previewed(example, None, "", granted.inputs, certificate, name_text(tbs.subject), (*findings, *in_full))


def _refused(example: Example, reason: Reason, detail: str, inputs: tuple[tuple[str, str], ...] = ()) -> Previewed:
    return Previewed(example, reason, detail, inputs, None, None, ())


# --- the door -------------------------------------------------------------------------------------------------------


_AUTHORISERS: Final = {
    "challenge": Authoriser.ONE_TIME,
    "static": Authoriser.STATIC,
    "approval": Authoriser.APPROVAL,
    "connector": Authoriser.CONNECTOR,
}


def _door(profile: Profile, example: Example, store: PreviewStore, now: datetime) -> Door:
    """Make a door to a profile that may not be kept yet; an example's endpoint is called `example`."""
    group = store.group(profile.group)
    authority = store.authority(group.authority) if group is not None else None
    credentials = store.credentials(CredentialPurpose.RA, authority.name) if authority is not None else ()
    if group is None or authority is None or not credentials:
        raise AdminError(reasons.NOT_FOUND, f"group {profile.group} with an authority that issues")
    endpoint = Endpoint(
        name="example",
        group=group.name,
        protocol="scep",
        profile=profile.name,
        authoriser=_AUTHORISERS[example.evidence],
        enabled=True,
        include_root=True,
        check_signing_time=False,
        created_at=now,
        connector="example" if example.evidence == "connector" else None,
    )
    return Door(endpoint, group, profile, authority, _root(authority, store), credentials[0], ())


def _root(authority: Authority, store: PreviewStore) -> Authority:
    for _ in range(_MOST_ABOVE):
        above = store.authority(authority.parent) if authority.parent is not None else None
        if above is None:
            break
        authority = above
    return authority


# --- an example as a request ------------------------------------------------------------------------------------------

_KINDS: Final = {
    "dns": SanKind.DNS,
    "email": SanKind.EMAIL,
    "uri": SanKind.URI,
    "ip": SanKind.IP,
    "upn": SanKind.UPN,
    "permanent_identifier": SanKind.PERMANENT_IDENTIFIER,
    "hardware_module": SanKind.HARDWARE_MODULE,
}


_VOUCHED: Final = {
    "challenge": AuthorisationKind.CHALLENGE,
    "static": AuthorisationKind.STATIC,
    "connector": AuthorisationKind.CONNECTOR,
}


def _evidence(example: Example, now: datetime) -> tuple[Basis, Names]:
    """Raises `PeerError` where the binding is one that nobody could make a challenge for."""
    given = example.binding
    binding = Names(given.cn, _sans(given, in_normal_form=True), sid=given.sid)
    check_names(binding)
    asked = Names(example.request.cn, _sans(example.request, in_normal_form=False))
    bearers = Bearers(
        _device(example.device, now) if example.device is not None else None,
        _user(example.user, now) if example.user is not None else None,
    )
    link = LineageLink(
        first=_NOBODY,
        generation=0,
        predecessor=None,
        binding=binding,
        device=example.device.id if example.device is not None else given.device,
        asked=asked,
        challenge_mac=None,
        unverified=not binding and bearers == NOBODY,
        user_id=_NOBODY if example.device is None and example.user is not None else None,
    )
    return Basis(_VOUCHED.get(example.evidence), binding or None, link, bearers), asked


def _device(given: ExampleDevice, now: datetime) -> Device:
    aliases = {"entra": given.entra_id, "imei": given.imei}
    return Device(
        id=_NOBODY,
        connector="example",
        external_id=given.id,
        group=None,
        name=given.name,
        platform=Platform(given.platform),
        state=DeviceState(
            managed=given.managed,
            enabled=given.enabled,
            compliant=given.compliant,
            lost=given.lost,
            risk=given.risk,
        ),
        state_since=now,
        first_seen_at=now,
        seen_at=now,
        serial=given.serial,
        aliases=tuple((kind, value) for kind, value in aliases.items() if value is not None),
        sid=given.sid,
        dns=tuple(given.dns),
        memberships=frozenset(given.memberships),
        memberships_known=True,
    )


def _user(given: ExampleUser, now: datetime) -> User:
    return User(
        id=_NOBODY,
        connector="example",
        external_id="user",
        name=given.name,
        upn=given.upn,
        state=UserState(enabled=given.enabled, risk=given.risk),
        state_since=now,
        first_seen_at=now,
        seen_at=now,
        email=tuple(given.email),
        sid=given.sid,
        memberships=frozenset(given.memberships),
        memberships_known=True,
    )


def _sans(given: ExampleNames, *, in_normal_form: bool) -> frozenset[San]:
    made = make_san if in_normal_form else San
    return frozenset(made(kind, text) for key, kind in _KINDS.items() for text in getattr(given, key))


@lru_cache(maxsize=16)
def example_key(kind: str) -> bytes:
    """Make a public key that passes for one: RSA ones have no private half, which takes long to make."""
    if not kind.startswith("rsa-"):
        return specimen_key(kind)
    bits = int(kind.removeprefix("rsa-"))
    candidates = (hashlib.shake_256(f"{kind} {number}".encode()).digest(bits // 8) for number in count())
    odd = (int.from_bytes(noise, "big") | 1 | 1 << (bits - 1) for noise in candidates)
    modulus = next(number for number in odd if math.gcd(number, _SMALL_PRIMES) == 1)
    numbers = rsa.RSAPublicNumbers(65537, modulus)
    return numbers.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


_SMALL_PRIMES: Final = math.factorial(751)
"""Has every prime factor that the key check looks for."""
