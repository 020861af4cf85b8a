"""Which names a request is granted: the binding, or what the profile's templates make of it (R5, POL-1, POL-6).

A function of values: what is asked, what the evidence fixes, and the profile.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from regalia import reasons
from regalia.ca.profile_records import facts_of_records
from regalia.ca.profile_template import render_names
from regalia.ca.profile_variables import facts_of
from regalia.errors import PeerError
from regalia.model import Assurance, AuthorisationKind, Denied, Names, NamesFrom, SanKind
from regalia.ra.bearers import NOBODY
from regalia.ra.protected import check_domains, check_public_suffixes
from regalia.wire.names import SID_URI, check_names

if TYPE_CHECKING:
    from regalia.ca.profile_variables import Facts
    from regalia.errors import Reason
    from regalia.model import LineageLink, NameRules
    from regalia.ra.bearers import Bearers
    from regalia.ra.protected import ProtectedNames
    from regalia.ra.request import EnrolmentRequest

__all__ = ["Basis", "Granted", "facts_for", "grant_names"]


@dataclass(frozen=True, slots=True)
class Basis:
    """What names are granted on."""

    kind: AuthorisationKind | None
    """What vouched; None where an administrator is still to be asked."""
    names: Names | None
    """What the evidence fixes; None where it fixes none."""
    lineage: LineageLink
    bearers: Bearers = NOBODY
    """The records of a device and its user, where a connector vouched."""


@dataclass(frozen=True, slots=True)
class Granted:
    """The names of the certificate."""

    names: Names
    unverified: bool
    binding: Names
    """What they were made of: what an administrator approves, and renewals are measured by (REN-3)."""
    inputs: tuple[tuple[str, str], ...] = ()
    """The variables that templates used, with their values."""

    @property
    def assurance(self) -> Assurance:
        """How sure the names are; nothing attests to a device yet."""
        return Assurance.BEARER if self.unverified else Assurance.VERIFIED


def grant_names(request: EnrolmentRequest, basis: Basis, protected: ProtectedNames) -> Granted | Denied:
    """Judge what was asked, make the names, and judge these: IN-8, POL-5, the profile's domains, the deny list.

    An administrator who orders answers for names that the list protects from devices.
    """
    request = _without_own_sid(request, basis.bearers)
    asked = request.csr.asked
    try:
        # Where an administrator orders, the names in the request are nobody's wish: a server's tool wrote any.
        check_names(asked if request.vouched is None else request.vouched.names)
        granted = _granted(request, basis)
        if isinstance(granted, Denied):
            return granted
        if granted.names.cn is None and not granted.names.sans:
            return Denied(reasons.NO_NAMES, "neither a common name nor an alternative name", asked=asked)
        check_public_suffixes(granted.names)
        if request.door.profile.domains:
            check_domains(granted.names, request.door.profile.domains)
        if request.vouched is None:
            protected.check(granted.names, request.door)
    except PeerError as fault:
        return Denied(fault.reason, fault.detail, asked=asked, allowed=basis.names or Names())
    return granted


def _without_own_sid(request: EnrolmentRequest, bearers: Bearers) -> EnrolmentRequest:
    """Leave out the SID that the record has as well: MDMs have devices ask for it, and it is written from the record.

    Any other one stays in, and is refused like every SID in a request (POL-2).
    """
    records = (each for each in (bearers.device, bearers.user) if each is not None)
    own = {f"{SID_URI}{each.sid}".casefold() for each in records if each.sid is not None}
    asked = request.csr.asked
    sans = frozenset(san for san in asked.sans if san.kind is not SanKind.URI or san.value.casefold() not in own)
    return (
        request if sans == asked.sans else replace(request, csr=replace(request.csr, asked=replace(asked, sans=sans)))
    )


def _granted(request: EnrolmentRequest, basis: Basis) -> Granted | Denied:
    rules = request.door.profile.name_rules
    if rules is not None and not _keeps_its_name(request, basis):
        return _templated(request, basis, rules)
    if request.signer is not None:
        return _of_renewal(request, basis)
    if basis.names is not None:
        if request.vouched is None and not _within(request.csr.asked, basis.names):
            return _outside(reasons.NAMES_OUTSIDE_BINDING, request.csr.asked, basis.names)
        return _as_bound(basis.names, unverified=basis.lineage.unverified)
    return _unbound(request, basis.kind)


def _as_bound(names: Names, *, unverified: bool) -> Granted:
    """Without templates the names are the binding's; a SID is written only where a profile says so."""
    shown = names if names.sid is None else replace(names, sid=None)
    return Granted(shown, unverified=unverified, binding=names)


# --- without templates (R5) -----------------------------------------------------------------------------------------


def _unbound(request: EnrolmentRequest, kind: AuthorisationKind | None) -> Granted | Denied:
    """Where the evidence fixes no name: a bearer's, a static challenge's, or what an administrator will judge."""
    asked = request.csr.asked
    # A bearer proves nothing about a name, so the name says nothing but the key (R5.4); the wish is only noted.
    name = Names(cn=f"d-{request.key_sha256.hex()[:20]}")
    by_key = Granted(name, unverified=True, binding=name)
    if kind is None:
        return Granted(asked, unverified=False, binding=asked) if asked else by_key
    if request.door.profile.names_from is not NamesFrom.CSR:
        return by_key
    if kind is AuthorisationKind.STATIC:
        # The registry refuses the pair; here it is refused once more, for a profile that slipped past it (POL-3).
        return _static(request)
    if not asked:
        return Denied(reasons.NO_NAMES)
    odd = sorted(str(san) for san in asked.sans if san.kind not in _ANYBODY)
    if odd:
        raise PeerError(reasons.NAME_MALFORMED, f"{odd[0]}: such names come from a binding or a template")
    return Granted(asked, unverified=True, binding=Names())


_ANYBODY = (SanKind.DNS, SanKind.EMAIL, SanKind.URI, SanKind.IP)
"""Kinds that `names = "from-csr"` grants: those beyond it say who somebody is to Windows, or which hardware it is."""


def _static(request: EnrolmentRequest) -> Denied:
    return Denied(reasons.STATIC_NAMES_FROM_REQUEST, f"profile {request.door.profile.name}", asked=request.csr.asked)


def _of_renewal(request: EnrolmentRequest, basis: Basis) -> Granted | Denied:
    """R5.3: nothing, the old certificate's names, or what the first CSR asked for. Every client repeats the latter."""
    names, asked = basis.names or Names(), request.csr.asked
    before = request.signer.intent.names if request.signer is not None else names
    if not (_within(asked, before) or _within(asked, basis.lineage.asked)):
        return _outside(reasons.NAMES_CHANGED_ON_RENEWAL, asked, names)
    return _as_bound(names, unverified=basis.lineage.unverified)


def _within(asked: Names, *allowed: Names) -> bool:
    sans = frozenset[object]().union(*(names.sans for names in allowed))
    return asked.cn in (None, *(names.cn for names in allowed)) and asked.sans <= sans


def _outside(reason: Reason, asked: Names, allowed: Names) -> Denied:
    extra = sorted(set(asked.listed()) - set(allowed.listed()))
    return Denied(
        reason,
        f"not allowed: {', '.join(extra)}",
        asked=asked,
        allowed=allowed,
        facts={"difference": list(extra)},
    )


# --- with templates -------------------------------------------------------------------------------------------------


def _keeps_its_name(request: EnrolmentRequest, basis: Basis) -> bool:
    """Whether a renewal is one of a chain that nothing was known of: it keeps the name that we gave it (R5.4)."""
    return request.signer is not None and not _is_bound(basis.lineage)


def _is_bound(lineage: LineageLink) -> bool:
    """Whether somebody said for whom it is: names, a device or a user."""
    return bool(lineage.binding) or lineage.device is not None or lineage.user_id is not None


def facts_for(request: EnrolmentRequest, basis: Basis) -> Facts:
    """Collect what templates and conditions may look at; what a chain asked for first stands for the whole of it."""
    asked, lineage = request.csr.asked, basis.lineage
    binding = lineage.binding
    if request.vouched is not None:
        asked = request.vouched.names
    elif request.signer is not None:
        asked = lineage.asked
    elif basis.kind is None:
        binding = asked
    return facts_of(
        request.door.profile,
        endpoint=request.door.endpoint.name,
        enrolment=lineage.first,
        key_sha256=request.key_sha256,
        binding=binding,
        device=lineage.device,
        asked=asked,
        records=facts_of_records(basis.bearers.device, basis.bearers.user),
    )


def _templated(request: EnrolmentRequest, basis: Basis, rules: NameRules) -> Granted | Denied:
    asked, lineage = request.csr.asked, basis.lineage
    from_request = request.door.profile.names_from is NamesFrom.CSR
    if from_request and basis.kind is AuthorisationKind.STATIC:
        return _static(request)
    binding = asked if basis.kind is None else lineage.binding
    rendered = render_names(rules, facts_for(request, basis))
    names = rendered.names
    bound = bool(binding) or _is_bound(lineage)
    if request.vouched is None and request.signer is not None:
        if not _within(asked, names, binding) and not _within(asked, request.signer.intent.names, lineage.asked):
            return _outside(reasons.NAMES_CHANGED_ON_RENEWAL, asked, names)
    elif request.vouched is None and bound:
        # Names that templates take from the request widen nothing: what was bound decides what may be asked.
        allowed = (binding,) if from_request and binding else (names, binding)
        if not _within(asked, *allowed):
            return _outside(reasons.NAMES_OUTSIDE_BINDING, asked, names)
    unverified = request.vouched is None and (rendered.chosen or not bound)
    return Granted(names, unverified=unverified, binding=binding, inputs=rendered.inputs)
