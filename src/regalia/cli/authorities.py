"""What the commands about authorities share that open the home themselves."""

from typing import TYPE_CHECKING

from regalia import reasons
from regalia.errors import AdminError
from regalia.model import Authority, AuthorityKind
from regalia.verbs import authority_facts
from regalia.wire import oids
from regalia.wire.certificate import read_certificate

if TYPE_CHECKING:
    from regalia.app import App

__all__ = ["authority_record", "dependents", "found_authority", "serves_crl"]


def found_authority(regalia: "App", name: str) -> Authority:
    """Look an authority up. Raises `AdminError` ADM-004."""
    authority = regalia.store.authority(name)
    if authority is None:
        raise AdminError(reasons.NOT_FOUND, f"authority {name}")
    return authority


def authority_record(regalia: "App", authority: Authority) -> dict[str, object]:
    """Say what an authority is, and where its key lies."""
    return authority_facts.record_of(regalia, authority).model_dump(mode="json")


def dependents(regalia: "App", authority: Authority) -> list[str]:
    """Name what stops working without this authority."""
    return authority_facts.dependents(regalia, authority)


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
