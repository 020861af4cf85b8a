"""Certificates that no device asks for: an administrator brings the request, vouches for its names, and gets it now.

The way is that of every enrolment: a door, a request whose key is proven, `decide`, both durable commits. Only the door
is made up for the purpose, of group and profile, and never stored.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from regalia import reasons
from regalia.ca.issue import Prepared
from regalia.ca.keycheck import check_key
from regalia.errors import AdminError, InvariantError, PeerError, UnavailableError
from regalia.model import (
    Authoriser,
    AuthorityKind,
    AuthorityState,
    Certificate,
    CredentialPurpose,
    Denied,
    Door,
    Endpoint,
    Names,
    Unavailable,
)
from regalia.ports import Authorities, Catalogue
from regalia.ra.request import EnrolmentRequest, Vouched
from regalia.wire.algorithms import Accepted
from regalia.wire.csr import read_csr, verify_possession

if TYPE_CHECKING:
    from regalia.model import Actor, Authority, Pending
    from regalia.ports import Clock
    from regalia.ra.enrol import Ended, Enroller
    from regalia.wire.csr import Csr

__all__ = ["ADMIN_PROTOCOL", "Order", "OrderDesk", "OrderStore", "Placed"]

ADMIN_PROTOCOL: Final = "admin"
"""What stands for the protocol of a door that administrators order at."""

_ACCEPTED: Final = Accepted(non_rsa=True)
"""Any signature that proves possession; which keys may be certified is the profile's business."""
_MOST_ABOVE: Final = 8
"""Authorities above an issuing one: a chain is shorter, and one that goes in a circle ends."""


class OrderStore(Authorities, Catalogue, Protocol):
    """What a door is made of."""


@dataclass(frozen=True, slots=True)
class Order:
    """What an administrator asks for."""

    group: str
    profile: str
    csr: bytes
    """DER CertificationRequest. It brings the key and proves that its holder has the other half."""
    names: Names | None = None
    """What the certificate is to name, empty where the profile makes its names of the device; None for what the request
    names, for which the administrator then answers."""
    device: str | None = None


@dataclass(frozen=True, slots=True)
class Placed:
    """What became of an order."""

    certificate: Certificate
    repeated: bool
    """Whether the very same order was placed before, less than 24 hours ago, and this is its certificate."""


class OrderDesk:
    """Places orders."""

    def __init__(self, *, store: OrderStore, enroller: Enroller, clock: Clock) -> None:
        self._store = store
        self._enroller = enroller
        self._clock = clock

    def place(self, order: Order, actor: Actor) -> Placed:
        """Issue what is ordered; the same order again within 24 hours gives the same certificate (R3).

        Raises `AdminError`: ADM-004 no such group, or no such profile of it; CA-015 the group is suspended; and the
        reason of whatever a device would be refused for: request, key, possession, names, extensions, lint.
        Refusals of the decision are on record before. Raises `UnavailableError` where the authority cannot sign now.
        """
        request = self._request(order, actor)
        ended = self._enroller.enrol(request)
        certificate = _certificate(ended)
        return Placed(certificate, certificate.intent.created_at < request.received_at)

    def preview(self, order: Order, actor: Actor) -> Prepared | Certificate:
        """Return the certificate that would be issued, unsigned and nowhere recorded, or the one that is there already.

        Raises what `place` raises; a refusal leaves no record.
        """
        ended = self._enroller.preview(self._request(order, actor))
        return ended if isinstance(ended, Prepared) else _certificate(ended)

    def asked(self, csr: bytes) -> Names:
        """Read which names a request asks for, unchecked. Raises `AdminError` RA-001 or RA-002."""
        return _read(csr).asked

    def _request(self, order: Order, actor: Actor) -> EnrolmentRequest:
        door = self._door(order.group, order.profile)
        if door.group.suspended_at is not None:
            raise AdminError(reasons.GROUP_SUSPENDED, f"group {door.group.name}")
        csr = _read(order.csr)
        try:
            check_key(csr.public_key, door.profile)
            verify_possession(csr, _ACCEPTED)
        except PeerError as fault:
            raise AdminError(fault.reason, fault.detail) from fault
        vouched = Vouched(order.names if order.names is not None else csr.asked, order.device, actor)
        if not vouched.names and order.device is None:
            raise AdminError(reasons.NO_NAMES, "neither the order nor the request names anybody")
        return EnrolmentRequest(
            door=door,
            transaction_id=_transaction(order, door, vouched),
            csr=csr,
            signer=None,
            challenge_mac=None,
            source=actor.id,
            received_at=self._clock.now(),
            described="a request that an administrator brought",
            vouched=vouched,
        )

    # --- the door ---------------------------------------------------------------------------------------------------

    def _door(self, group_name: str, profile_name: str) -> Door:
        group, profile = self._store.group(group_name), self._store.profile(profile_name)
        if group is None:
            raise AdminError(reasons.NOT_FOUND, f"group {group_name}")
        if profile is None or profile.group != group.name:
            raise AdminError(reasons.NOT_FOUND, f"profile {profile_name} of group {group.name}")
        authority = self._store.authority(group.authority)
        if authority is None or authority.state is not AuthorityState.ACTIVE:
            raise UnavailableError(reasons.ISSUER_UNAVAILABLE, f"authority {group.authority} does not issue")
        credentials = self._store.credentials(CredentialPurpose.RA, authority.name)
        if not credentials:
            raise UnavailableError(reasons.ISSUER_UNAVAILABLE, f"authority {authority.name} has no RA credential yet")
        above = self._above(authority)
        return Door(
            endpoint=Endpoint(
                # A slash stands in no name of an endpoint, so that conversations of the two never meet.
                name=f"{ADMIN_PROTOCOL}/{group.name}/{profile.name}",
                group=group.name,
                protocol=ADMIN_PROTOCOL,
                profile=profile.name,
                authoriser=Authoriser.APPROVAL,
                enabled=True,
                include_root=True,
                check_signing_time=False,
                created_at=group.created_at,
            ),
            group=group,
            profile=profile,
            authority=authority,
            root=above[-1],
            ra=credentials[0],
            former_ras=(),
            between=above[:-1],
        )

    def _above(self, authority: Authority) -> tuple[Authority, ...]:
        """Climb to the root, which is the last."""
        above: list[Authority] = []
        parent = authority.parent
        while parent is not None and len(above) < _MOST_ABOVE:
            found = self._store.authority(parent)
            if found is None:
                break
            above.append(found)
            if found.kind is AuthorityKind.ROOT:
                return tuple(above)
            parent = found.parent
        raise UnavailableError(reasons.ISSUER_UNAVAILABLE, f"no root stands above authority {authority.name}")


def _read(csr: bytes) -> Csr:
    try:
        return read_csr(csr)
    except PeerError as fault:
        raise AdminError(fault.reason, fault.detail) from fault


def _transaction(order: Order, door: Door, vouched: Vouched) -> bytes:
    """Name the conversation after all that is ordered: the same again is a repetition, anything else a new order."""
    parts = (*vouched.names.listed(), f"device:{order.device or ''}", f"version:{door.profile.version}")
    told = hashlib.sha256(hashlib.sha256(order.csr).digest() + "\0".join(parts).encode())
    return told.hexdigest()[:40].encode("ascii")


def _certificate(ended: Ended | Pending) -> Certificate:
    if isinstance(ended, Certificate):
        return ended
    if isinstance(ended, Denied):
        raise AdminError(ended.reason, ended.detail)
    if isinstance(ended, Unavailable):
        raise UnavailableError(ended.reason, ended.detail)
    raise InvariantError("an order is never held")
