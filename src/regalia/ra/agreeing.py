"""Whether the names that a system vouched for are those that its record gives: one of both may be of before.

A device is renamed between its challenge and its request, or between the last sweep and its challenge. The certificate
has the names of the record (R5.1), so where both disagree the record has to be of now.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from uuid import UUID

from regalia.ca.profile_template import render_names
from regalia.errors import PeerError
from regalia.model import AuthorisationKind, LineageLink, SanKind
from regalia.ra.granting import Basis, facts_for

if TYPE_CHECKING:
    from regalia.model import Names
    from regalia.ra.bearers import Bearers
    from regalia.ra.request import EnrolmentRequest

__all__ = ["disagreement"]

_CHANGING: Final = frozenset({SanKind.DNS, SanKind.EMAIL, SanKind.UPN})
"""Names that people change; ids stay."""
_NOBODYS: Final = UUID(int=0)
"""In the place of an enrolment that there is not yet."""


def disagreement(request: EnrolmentRequest, vouched: Names, bearers: Bearers) -> str:
    """Say which vouched name the records do not give; empty where they agree, as far as both have such names.

    Names of a kind that the profile makes none of are left to the decision, and so is a record that lacks a name.
    """
    rules, device = request.door.profile.name_rules, bearers.device
    if rules is None:
        return ""
    lineage = LineageLink(
        first=_NOBODYS,
        generation=0,
        predecessor=None,
        binding=vouched,
        device=device.external_id if device is not None else None,
        asked=request.csr.asked,
        challenge_mac=None,
        unverified=False,
        device_id=device.id if device is not None else None,
    )
    basis = Basis(AuthorisationKind.CONNECTOR, vouched, lineage, bearers)
    try:
        given = render_names(rules, facts_for(request, basis)).names
    except PeerError:
        return ""
    if None not in (vouched.cn, given.cn) and vouched.cn != given.cn:
        return f"cn:{vouched.cn}"
    kinds = {san.kind for san in given.sans} & _CHANGING
    return next((str(san) for san in sorted(vouched.sans - given.sans) if san.kind in kinds), "")
