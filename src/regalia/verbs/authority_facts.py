"""What authorities are, where their keys lie, and what depends on them: shared by the verbs that tell of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from uuid import UUID

from regalia.errors import UnavailableError
from regalia.model import EVERYWHERE, AuthorityKind, AuthorityState, CertificateKind, KeyKind
from regalia.ports import CertificateFilter
from regalia.verbs.verb import Record, Time
from regalia.verbs.wording import fingerprints
from regalia.wire.certificate import read_certificate
from regalia.wire.names import name_text

if TYPE_CHECKING:
    from regalia.model import Authority, Reach
    from regalia.verbs.services import Services

__all__ = [
    "ELSEWHERE",
    "HERE",
    "AuthorityPrinted",
    "AuthorityRecord",
    "AuthorityWhole",
    "CrlState",
    "chain_of",
    "counted",
    "crl_state",
    "custody",
    "dependents",
    "live_certificates",
    "printed",
    "record_of",
    "serial_of",
    "whole",
]

HERE: Final = "on this machine"
ELSEWHERE: Final = "elsewhere"
_MOST: Final = 1_000
"""So many live certificates are counted."""
_MOST_ABOVE: Final = 8
"""A chain is shorter, and one that goes in a circle ends."""


class AuthorityRecord(Record):
    """An authority, and where its key lies."""

    name: str
    kind: AuthorityKind
    state: AuthorityState
    group: str | None
    parent: str | None
    key: KeyKind
    custody: str
    not_before: Time
    not_after: Time


class AuthorityPrinted(AuthorityRecord):
    """An authority with what a person compares to know it."""

    sha256: str
    sha1: str


class AuthorityWhole(AuthorityRecord):
    """An authority with fingerprints, days left and CRL."""

    activates_at: Time | None
    """When a next one takes over by itself; null for all others."""
    days_left: int
    subject: str
    serial: str
    sha256: str
    sha1: str
    key_id: UUID
    crl_url: str
    crl_number: str | None
    """As text: it is beyond what JSON readers that count in floating point keep exactly."""
    crl_next_update: Time | None


class CrlState(Record):
    """What CRL of an authority is published."""

    authority: str
    number: str | None
    """As text, as everywhere."""
    entries: int | None
    next_update: Time | None
    file: str | None
    """Where the server keeps it."""


def record_of(services: Services, authority: Authority) -> AuthorityRecord:
    """Say what an authority is."""
    return AuthorityRecord.model_validate(_fields(services, authority))


def printed(services: Services, authority: Authority) -> AuthorityPrinted:
    """Say what it is, with its fingerprints."""
    return AuthorityPrinted.model_validate(_fields(services, authority) | fingerprints(authority.certificate_der))


def whole(services: Services, authority: Authority) -> AuthorityWhole:
    """Say all that concerns nobody else."""
    return AuthorityWhole.model_validate(_fields(services, authority) | _more(services, authority))


def _fields(services: Services, authority: Authority) -> dict[str, object]:
    facts = read_certificate(authority.certificate_der)
    return {
        "name": authority.name,
        "kind": authority.kind,
        "state": authority.state,
        "group": authority.group,
        "parent": authority.parent,
        "key": authority.key_kind,
        "custody": custody(services, authority.key_id),
        "not_before": facts.not_before,
        "not_after": facts.not_after,
    }


def _more(services: Services, authority: Authority) -> dict[str, object]:
    facts = read_certificate(authority.certificate_der)
    last = crl_state(services, authority)
    return {
        "activates_at": authority.activates_at if authority.state is AuthorityState.NEXT else None,
        "days_left": max(0, (facts.not_after - services.clock.now()).days),
        "subject": name_text(facts.subject),
        "serial": f"{facts.serial:x}",
        **fingerprints(authority.certificate_der),
        "key_id": authority.key_id,
        "crl_url": services.urls.crl(authority.name),
        "crl_number": last.number,
        "crl_next_update": last.next_update,
    }


def crl_state(services: Services, authority: Authority) -> CrlState:
    """Say what CRL of it is published."""
    last, file = services.store.last_crl(authority.name), services.crl_files.published(authority.name)
    return CrlState(
        authority=authority.name,
        number=str(last.number) if last is not None else None,
        entries=last.entries if last is not None else None,
        next_update=last.next_update if last is not None else None,
        file=str(file.path) if file is not None else None,
    )


def custody(services: Services, key_id: UUID) -> str:
    """Say where an authority's key lies: `on this machine`, `on token LABEL`, `elsewhere`. No token is asked."""
    record = services.store.key_record(key_id)
    if record is not None and record.token is not None:
        return f"on token {record.token}"
    try:
        return HERE if services.keys.holds(key_id) else ELSEWHERE
    except UnavailableError:
        return "unknown: its signer does not answer"


def chain_of(services: Services, authority: Authority) -> list[Authority]:
    """Climb from an authority to its root; it is the first itself."""
    chain, store = [authority], services.store
    above = store.authority(authority.parent) if authority.parent is not None else None
    while above is not None and len(chain) <= _MOST_ABOVE:
        chain.append(above)
        above = store.authority(above.parent) if above.parent is not None else None
    return chain


def serial_of(authority: Authority) -> int:
    """The serial of its certificate."""
    return read_certificate(authority.certificate_der).serial


# --- what depends on it ---------------------------------------------------------------------------------------------


def dependents(services: Services, authority: Authority, reach: Reach = EVERYWHERE) -> list[str]:
    """Name what stops working without this authority, as far as `reach` sees it."""
    store = services.store
    if authority.kind is not AuthorityKind.ISSUING:
        below = (other for other in store.authorities() if other.parent == authority.name)
        return [
            f"authority {other.name} of group {other.group}" if other.group else f"authority {other.name}"
            for other in below
            if other.group is None or other.group in reach
        ]
    groups = [group.name for group in store.groups() if group.authority == authority.name]
    endpoints = [endpoint for endpoint in store.endpoints() if endpoint.group in groups and endpoint.enabled]
    certificates = live_certificates(services, authority.name)
    return [
        *(f"group {name}" for name in groups),
        *(f"endpoint {endpoint.name}" for endpoint in endpoints),
        *([f"{counted(certificates, 'device certificate')} still valid"] if certificates else []),
    ]


def live_certificates(services: Services, authority: str) -> int:
    """Count the device certificates of an authority that are in use; stops beyond a thousand."""
    wanted = CertificateFilter(
        kind=CertificateKind.LEAF,
        authority=authority,
        revoked=False,
        live_at=services.clock.now(),
        limit=_MOST + 1,
    )
    return len(services.store.certificates(wanted))


def counted(number: int, noun: str) -> str:
    """Say how many, as far as they were counted."""
    if number > _MOST:
        return f"more than {_MOST} {noun}s"
    return f"{number} {noun}" + ("" if number == 1 else "s")
