"""Authorities, credentials, groups, profiles, endpoints."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from regalia.model.profile import KeyReuse

if TYPE_CHECKING:
    from datetime import datetime, timedelta
    from uuid import UUID

    from regalia.model.profile import (
        Condition,
        DeviceLimits,
        ExpiryRule,
        MicrosoftTemplate,
        NameRules,
        PolicyRules,
        RenewalRule,
    )

__all__ = [
    "STANDING_PURPOSES",
    "Authoriser",
    "Authority",
    "AuthorityKind",
    "AuthorityRequest",
    "AuthorityState",
    "Credential",
    "CredentialPurpose",
    "Door",
    "Endpoint",
    "Group",
    "KeyKind",
    "NamesFrom",
    "Profile",
    "ValidityRule",
]


class KeyKind(StrEnum):
    """Kinds of key we generate."""

    RSA_2048 = "rsa-2048"
    RSA_3072 = "rsa-3072"
    RSA_4096 = "rsa-4096"
    P256 = "p-256"
    P384 = "p-384"


class AuthorityKind(StrEnum):
    """A root signs issuing authorities; an issuing authority signs everything else (RFC 5280 §3.2)."""

    ROOT = "root"
    INTERMEDIATE = "intermediate"
    """Another PKI's, between its root and an issuing authority of ours. Its key is never here."""
    ISSUING = "issuing"


class AuthorityState(StrEnum):
    """NEXT → ACTIVE → RETIRING → RETIRED; REVOKED by its parent from any of them."""

    NEXT = "next"
    """Published as the successor (GetNextCACert), issues nothing yet."""
    ACTIVE = "active"
    """Issues."""
    RETIRING = "retiring"
    """Issues no more; its certificates are accepted, its CRL and OCSP go on."""
    RETIRED = "retired"
    """Its last certificate has expired; nothing is published for it any more."""
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True)
class Authority:
    """A CA: key reference, certificate, parent, state."""

    name: str
    kind: AuthorityKind
    parent: str | None
    """None for a root."""
    group: str | None
    """None for a root."""
    state: AuthorityState
    key_id: UUID
    key_kind: KeyKind
    certificate_id: UUID
    certificate_der: bytes
    created_at: datetime
    crl_shards: int = 0
    """Among how many partial CRLs new certificates are spread; 0: one full CRL without a scope."""
    crl_lists: int = 0
    """How many partial CRLs there were at the most: certificates point to them, so they go on."""
    crl_delta: bool = False
    """Whether a delta CRL is published beside each CRL, and new certificates say where."""
    crl_full: bool = True
    """Whether the CRL without a scope lists the certificates of partial ones too; else it has a scope of its own."""
    state_since: datetime | None = None
    """When it came into this state; None where it never was in another one."""
    activates_at: datetime | None = None
    """When a NEXT authority becomes ACTIVE by itself; None where an administrator will say so."""


@dataclass(frozen=True, slots=True)
class AuthorityRequest:
    """An issuing authority to be: its key is here, its certificate is for a CA to make whose key is elsewhere."""

    id: UUID
    name: str
    group: str
    parent: str | None
    """The root that is to sign it; None where another PKI will."""
    key_id: UUID
    key_kind: KeyKind
    info: bytes
    """DER of the CertificationRequestInfo, exactly what is signed (RFC 2986 §4.1)."""
    csr: bytes | None
    """The whole request; None until it is signed."""
    created_at: datetime


class CredentialPurpose(StrEnum):
    """What a certificate of our own is for."""

    RA = "ra"
    OCSP = "ocsp"
    TLS = "tls"
    """The device listener's own certificate, where none was given in files."""


STANDING_PURPOSES: Final = (CredentialPurpose.RA, CredentialPurpose.OCSP)
"""What every issuing authority has from the beginning, because devices cannot be served without it."""


@dataclass(frozen=True, slots=True)
class Credential:
    """A key of our own with its certificate: the RSA RA credential of a group, an authority's OCSP signer, TLS."""

    id: UUID
    purpose: CredentialPurpose
    group: str
    authority: str
    key_id: UUID
    certificate_id: UUID
    certificate_der: bytes
    not_before: datetime
    not_after: datetime
    created_at: datetime
    ended_at: datetime | None = None
    """Since when it signs and opens nothing any more; its key is destroyed then (ENV-8)."""


@dataclass(frozen=True, slots=True)
class Group:
    """A segregated population. Owns one current issuing authority, profiles and endpoints."""

    name: str
    authority: str
    """Name of the current issuing authority."""
    created_at: datetime
    debug: bool = False
    """Sends failInfoText with refusals that have one (R6); never for the uniform reply."""
    suspended_at: datetime | None = None
    """Since when nothing is issued in this group; status goes on."""
    suspended_why: str = ""
    """What the administrator who suspended it said."""
    follow: str = ""
    """Its rules for what follows from a device's state, as `ra.follow_rules` writes them; empty: the defaults."""


class NamesFrom(StrEnum):
    """Where a certificate's names come from (R5)."""

    BINDING = "binding"
    CSR = "from-csr"


@dataclass(frozen=True, slots=True)
class ValidityRule:
    """How long a certificate lives; not after its issuer (POL-7)."""

    duration: timedelta
    backdate: timedelta


@dataclass(frozen=True, slots=True)
class Profile:
    """A certificate template, already validated: only `ca.profile` constructs one."""

    name: str
    version: int
    group: str
    names_from: NamesFrom
    validity: ValidityRule
    rsa_min_bits: int
    """0 where RSA is not allowed."""
    curves: tuple[str, ...]
    """Allowed named curves, as `p-256`, `p-384`."""
    key_usage: tuple[str, ...]
    """Names of RFC 5280 §4.2.1.3; what a key cannot do is left out, keyEncipherment with EC keys."""
    extended_key_usage: tuple[str, ...]
    """Dotted object identifiers."""
    organisation: str | None
    """O of the subject, the same for every certificate of the profile."""
    document: str
    """The validated document as canonical JSON: what is stored, shown and versioned."""
    created_at: datetime
    ed25519: bool = False
    """Whether Ed25519 keys are allowed."""
    ml_dsa: tuple[str, ...] = ()
    """Allowed parameter sets of ML-DSA (FIPS 204), as `ml-dsa-44`."""
    rsa_bits: tuple[int, ...] = ()
    """The only sizes of RSA keys that are allowed; empty: any from `rsa_min_bits`."""
    key_reuse: KeyReuse = KeyReuse.SAME_IDENTITY
    """Whether a key may be certified again."""
    name_rules: NameRules | None = None
    """How names are made; None: they are the binding's (R5.1)."""
    domains: tuple[str, ...] = ()
    """DNS suffixes that all DNS, e-mail and UPN names end with; empty: any (POL-5)."""
    conditions: tuple[Condition, ...] = ()
    """What must be true of a request, in order."""
    expiry: ExpiryRule | None = None
    renewal: RenewalRule | None = None
    limits: DeviceLimits | None = None
    policies: PolicyRules | None = None
    microsoft_template: MicrosoftTemplate | None = None
    lint_ignored: tuple[tuple[str, str], ...] = ()
    """Findings of pkilint that are none here, each with its reason."""


class Authoriser(StrEnum):
    """What an endpoint takes for a yes to a first enrolment."""

    ONE_TIME = "one-time"
    """A one-time challenge (CHA-1)."""
    STATIC = "static"
    """A static challenge: the server names the certificate (R5.5)."""
    APPROVAL = "approval"
    """A static challenge lets a request into the queue; an administrator approves its names (POL-3)."""
    CONNECTOR = "connector"
    """A connector vouches for each request (CON-4); `Endpoint.connector` says which."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One enrolment door of a group."""

    name: str
    group: str
    protocol: str
    """`scep`."""
    profile: str
    authoriser: Authoriser
    enabled: bool
    include_root: bool
    """Whether GetCACert ends with the root (R2)."""
    check_signing_time: bool
    created_at: datetime
    legacy: bool = False
    """Takes SHA-1, triple DES and RSA exponents of 3 from devices that can do no better (R1, SIG-5, KEY-1)."""
    non_rsa: bool = False
    """Takes keys that cannot decrypt; their replies are encrypted under the challenge (RFC 8894 §3.1)."""
    connector: str | None = None
    """Name of the connector that vouches; with `Authoriser.CONNECTOR`, and never otherwise."""


@dataclass(frozen=True, slots=True)
class Door:
    """One consistent view of an endpoint and all that stands behind it, for the way of one enrolment."""

    endpoint: Endpoint
    group: Group
    profile: Profile
    authority: Authority
    root: Authority
    ra: Credential
    """The current RA credential: encrypt to it, replies are signed by it."""
    former_ras: tuple[Credential, ...]
    """Earlier RA credentials still good for decryption (ENV-8)."""
    between: tuple[Authority, ...] = ()
    """Intermediate CAs of another PKI, from the issuing authority's parent upwards, where there are any."""
    former: tuple[Authority, ...] = ()
    """The group's retiring authorities: certificates of theirs still vouch for a renewal, newest first."""
    successor: Authority | None = None
    """The authority that takes over from this one: what GetNextCACert tells. None while nobody is chosen."""
    successor_ra: Credential | None = None
    """The successor's RA credential: whoever encrypts to it asks the successor for a certificate (RFC 8894 §5.1)."""
