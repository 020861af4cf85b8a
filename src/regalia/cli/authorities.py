"""What the commands about authorities share: looking one up, saying what it is and what depends on it."""

from typing import TYPE_CHECKING

from regalia import reasons
from regalia.cli.custody import custody
from regalia.cli.dependents import counted, live_certificates
from regalia.cli.fingerprints import fingerprints
from regalia.errors import AdminError
from regalia.model import Authority, AuthorityKind, AuthorityState
from regalia.wire import oids
from regalia.wire.certificate import read_certificate
from regalia.wire.names import name_text

if TYPE_CHECKING:
    from regalia.app import App

__all__ = ["authority_record", "crl_record", "dependents", "found_authority", "more_of", "serial_of", "serves_crl"]


def found_authority(regalia: "App", name: str) -> Authority:
    """Look an authority up. Raises `AdminError` ADM-004."""
    authority = regalia.store.authority(name)
    if authority is None:
        raise AdminError(reasons.NOT_FOUND, f"authority {name}")
    return authority


def authority_record(regalia: "App", authority: Authority) -> dict[str, object]:
    """Say what an authority is, and where its key lies."""
    facts = read_certificate(authority.certificate_der)
    return {
        "name": authority.name,
        "kind": authority.kind,
        "state": authority.state,
        "group": authority.group,
        "parent": authority.parent,
        "key": authority.key_kind,
        "custody": custody(regalia, authority.key_id),
        "not_before": facts.not_before,
        "not_after": facts.not_after,
    }


def more_of(regalia: "App", authority: Authority) -> dict[str, object]:
    """Say the rest: fingerprints, days left, CRL."""
    facts = read_certificate(authority.certificate_der)
    last = crl_record(regalia, authority)
    takes_over = {"activates_at": authority.activates_at} if authority.state is AuthorityState.NEXT else {}
    return takes_over | {
        "days_left": max(0, (facts.not_after - regalia.clock.now()).days),
        "subject": name_text(facts.subject),
        "serial": f"{facts.serial:x}",
        **fingerprints(authority.certificate_der),
        "key_id": authority.key_id,
        "crl_url": regalia.urls.crl(authority.name),
        "crl_number": last["number"],
        "crl_next_update": last["next_update"],
    }


def crl_record(regalia: "App", authority: Authority) -> dict[str, object]:
    """Say what CRL of it is published."""
    last, file = regalia.store.last_crl(authority.name), regalia.crl_files.published(authority.name)
    return {
        # As text: the number is beyond what JSON readers that count in floating point keep exactly.
        "number": str(last.number) if last is not None else None,
        "entries": last.entries if last is not None else None,
        "next_update": last.next_update if last is not None else None,
        "file": file.path if file is not None else None,
    }


def dependents(regalia: "App", authority: Authority) -> list[str]:
    """Name what stops working without this authority."""
    if authority.kind is not AuthorityKind.ISSUING:
        below = (other for other in regalia.store.authorities() if other.parent == authority.name)
        return [
            f"authority {other.name} of group {other.group}" if other.group else f"authority {other.name}"
            for other in below
        ]
    groups = [group.name for group in regalia.store.groups() if group.authority == authority.name]
    endpoints = [endpoint for endpoint in regalia.store.endpoints() if endpoint.group in groups and endpoint.enabled]
    certificates = live_certificates(regalia, authority.name)
    return [
        *(f"group {name}" for name in groups),
        *(f"endpoint {endpoint.name}" for endpoint in endpoints),
        *([f"{counted(certificates, 'device certificate')} still valid"] if certificates else []),
    ]


def serial_of(authority: Authority) -> int:
    """The serial of its certificate."""
    return read_certificate(authority.certificate_der).serial


def serves_crl(regalia: "App", authority: Authority) -> bool:
    """Whether relying parties look for its CRL here: its key is ours, it has one, or a certificate says so."""
    if authority.kind is AuthorityKind.ISSUING:
        return authority.group is not None
    if regalia.store.last_crl(authority.name) is not None or regalia.keys.holds(authority.key_id):
        return True
    here = regalia.urls.crl(authority.name).encode()
    below = (other for other in regalia.store.authorities() if other.parent == authority.name and other.group)
    points = (read_certificate(other.certificate_der).extension(oids.CE_CRL_DISTRIBUTION_POINTS) for other in below)
    return any(point is not None and here in point.value for point in points)
