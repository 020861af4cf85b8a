"""Authorities: what there is, their certificates, and their CRLs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final
from uuid import UUID

from pydantic import Field

from regalia import reasons
from regalia.ca.crl_copy import CrlCopier
from regalia.ca.crl_plan import MAX_SHARDS, Plan, adopt_plan, check_plan, lists_of, make_lists, worst_sizes
from regalia.errors import AdminError
from regalia.model import (
    AuthorityKind,
    CertificateKind,
    CertificateState,
    CredentialPurpose,
    KeyKind,
    Right,
    crl_name,
)
from regalia.ports import CertificateFilter
from regalia.verbs.authority_facts import (
    AuthorityRecord,
    AuthorityWhole,
    CrlState,
    chain_of,
    crl_state,
    dependents,
    live_certificates,
    record_of,
    whole,
)
from regalia.verbs.content import certificates_text, crl_from, crl_text
from regalia.verbs.fields import Name
from regalia.verbs.finding import found_authority
from regalia.verbs.paging import ListAsked, page_of_few
from regalia.verbs.publishing import publish_lists
from regalia.verbs.verb import Asked, Desk, Page, Record, Time, Verb
from regalia.wire.certificate import read_certificate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from regalia.model import Authority

__all__ = [
    "CHANGE_PLAN",
    "CRL",
    "CRL_CONTENT",
    "CRL_IMPORT",
    "EXPORT",
    "LIST",
    "PLAN",
    "SHOW",
    "TREE",
    "VERBS",
    "AuthorityShown",
    "ChangeCrlPlan",
    "CrlPlanShown",
    "CrlText",
    "ExportAuthority",
    "ImportCrl",
    "ListAuthorities",
    "PublishCrl",
    "ShowAuthority",
    "ShowCrl",
    "ShowCrlPlan",
    "ShowTree",
    "Tree",
    "TreeNode",
]

_LARGEST_CRL: Final = 32 * 1024 * 1024
"""Octets of a CRL that is given in an answer."""
_LARGEST_CRL_TEXT: Final = 100_000_000
"""Characters of one that is taken; the API takes what a body of it has room for."""


# --- what there is --------------------------------------------------------------------------------------------------


class ListAuthorities(ListAsked):
    """Which ones."""


class ShowAuthority(Asked):
    """Which one."""

    name: Name


class AuthorityShown(AuthorityWhole):
    """An authority with all that depends on it."""

    depends_on_it: tuple[str, ...]


class ShowTree(Asked):
    """Nothing can be said."""


class CredentialUsed(Record):
    """A credential that an authority answers with."""

    purpose: CredentialPurpose
    not_after: Time
    key_id: UUID


class Users(Record):
    """What depends on the key of an issuing authority."""

    groups: tuple[str, ...]
    endpoints: tuple[str, ...]
    certificates: int
    """Live ones; 1001 for all that are more."""
    credentials: tuple[CredentialUsed, ...]


class Nobody(Record):
    """Nothing depends on it beyond what stands below it."""


class TreeNode(AuthorityWhole):
    """An authority with what stands below it."""

    crl_days_left: int | None
    depends_on_it: Users | Nobody
    cross_certificates: tuple[str, ...]
    """Whose keys it certified besides."""
    below: tuple[TreeNode, ...]


class Waiting(Record):
    """A request that waits for its certificate."""

    name: str
    group: str
    parent: str | None
    key: KeyKind
    since: Time


class Tree(Record):
    """All authorities, from the roots down."""

    authorities: tuple[TreeNode, ...]
    requests: tuple[Waiting, ...]


def list_authorities(desk: Desk, asked: ListAuthorities) -> Page[AuthorityRecord]:
    """Those of groups that the caller sees, and those above all groups, oldest first."""
    return page_of_few(
        asked,
        LIST.name,
        _seen(desk),
        place=lambda each: (int(each.created_at.timestamp() * 1000), each.name),
        words=lambda each: (each.name, each.group, each.parent, each.kind, each.state),
        record=lambda each: record_of(desk.services, each),
    )


def show_authority(desk: Desk, asked: ShowAuthority) -> AuthorityShown:
    """One of them."""
    authority = found_authority(desk, asked.name)
    shown = whole(desk.services, authority)
    return AuthorityShown(**dict(shown), depends_on_it=tuple(dependents(desk.services, authority, desk.reach)))


def show_tree(desk: Desk, asked: ShowTree) -> Tree:
    """All that the caller sees, and requests that wait."""
    del asked
    seen = _seen(desk)
    names = {authority.name for authority in seen}
    waiting = (each for each in desk.services.store.authority_requests() if each.group in desk.reach)
    return Tree(
        authorities=tuple(_node(desk, top, seen) for top in seen if top.parent not in names),
        requests=tuple(
            Waiting(name=one.name, group=one.group, parent=one.parent, key=one.key_kind, since=one.created_at)
            for one in waiting
        ),
    )


def _seen(desk: Desk) -> list[Authority]:
    return [each for each in desk.services.store.authorities() if each.group is None or each.group in desk.reach]


def _node(desk: Desk, authority: Authority, seen: Sequence[Authority]) -> TreeNode:
    store = desk.services.store
    last = store.last_crl(authority.name)
    crosses = store.certificates(CertificateFilter(kind=CertificateKind.CROSS, authority=authority.name))
    below = (other for other in seen if other.parent == authority.name and other.name != authority.name)
    return TreeNode(
        **dict(whole(desk.services, authority)),
        crl_days_left=None if last is None else (last.next_update - desk.now()).days,
        depends_on_it=_users(desk, authority),
        cross_certificates=tuple(found.intent.subject for found in crosses),
        below=tuple(_node(desk, other, seen) for other in below),
    )


def _users(desk: Desk, authority: Authority) -> Users | Nobody:
    if authority.kind is not AuthorityKind.ISSUING:
        return Nobody()
    store = desk.services.store
    groups = tuple(group.name for group in store.groups() if group.authority == authority.name)
    return Users(
        groups=groups,
        endpoints=tuple(each.name for each in store.endpoints() if each.group in groups and each.enabled),
        certificates=live_certificates(desk.services, authority.name),
        credentials=tuple(
            CredentialUsed(purpose=purpose, not_after=credential.not_after, key_id=credential.key_id)
            for purpose in CredentialPurpose
            for credential in store.credentials(purpose, authority.name)[:1]
        ),
    )


# --- certificates ---------------------------------------------------------------------------------------------------


class ExportAuthority(ShowAuthority):
    """Which certificates of it."""

    chain: Annotated[bool, Field(description="With what stands above it, up to the root.")] = False
    cross: Annotated[bool, Field(description="What other roots certified of its name and key.")] = False


class AuthorityExported(Record):
    """Certificates, each in PEM."""

    name: str
    certificates: tuple[str, ...]


def export_authority(desk: Desk, asked: ExportAuthority) -> AuthorityExported:
    """Its certificate, its chain, or what other roots certified of it."""
    if asked.chain and asked.cross:
        raise AdminError(reasons.USAGE, "either chain or cross")
    authority = found_authority(desk, asked.name)
    wanted = [authority.certificate_der]
    if asked.chain:
        wanted = [each.certificate_der for each in chain_of(desk.services, authority)]
    if asked.cross:
        wanted = _crosses(desk, authority)
    return AuthorityExported(name=authority.name, certificates=tuple(certificates_text([der]) for der in wanted))


def _crosses(desk: Desk, authority: Authority) -> list[bytes]:
    """What other roots certified of an authority, newest first."""
    key = read_certificate(authority.certificate_der).public_key
    found = [
        each.der
        for each in desk.services.store.certificates(CertificateFilter(kind=CertificateKind.CROSS, revoked=False))
        if each.state is CertificateState.ISSUED
        and each.der is not None
        and read_certificate(each.der).public_key == key
    ]
    if not found:
        raise AdminError(reasons.NOT_FOUND, f"no cross-certificate of {authority.name}: `regalia ca cross` makes them")
    return found


# --- CRLs -----------------------------------------------------------------------------------------------------------


class PublishCrl(ShowAuthority):
    """Of which one."""


class ShowCrl(ShowAuthority):
    """Of which one."""


class CrlText(Record):
    """A CRL."""

    authority: str
    number: str
    crl: str
    """PEM."""


class ImportCrl(ShowAuthority):
    """A CRL that was signed elsewhere."""

    crl: Annotated[str, Field(min_length=1, max_length=_LARGEST_CRL_TEXT, description="PEM.")]


def publish_crl(desk: Desk, asked: PublishCrl) -> CrlState:
    """Make it now. Raises `AdminError` ADM-009 where the key is elsewhere."""
    authority = found_authority(desk, asked.name)
    if not desk.services.keys.holds(authority.key_id):
        raise AdminError(reasons.ROOT_KEY_ELSEWHERE, f"authority {authority.name} signs with key {authority.key_id}")
    publish_lists(desk.services, authority.name, desk.actor)
    published = crl_state(desk.services, authority)
    desk.services.transcript.note(desk.actor, f"published CRL {published.number} of {authority.name}")
    return published


def show_crl(desk: Desk, asked: ShowCrl) -> CrlText:
    """The one that is published. Raises `AdminError` ADM-084 where it is large: it has a URL."""
    authority, store = found_authority(desk, asked.name), desk.services.store
    last = store.last_crl(authority.name)
    if last is None:
        raise AdminError(reasons.NOT_FOUND, f"no CRL of {authority.name} was published")
    octets = bytearray()
    for chunk in store.crl_octets(last):
        octets += chunk
        if len(octets) > _LARGEST_CRL:
            url = desk.services.urls.crl(authority.name)
            raise AdminError(reasons.TOO_MUCH, f"the CRL is longer than {_LARGEST_CRL} octets: fetch it from {url}")
    return CrlText(authority=authority.name, number=str(last.number), crl=crl_text(bytes(octets)))


def import_crl(desk: Desk, asked: ImportCrl) -> CrlState:
    """Publish one that was signed where the authority's key is."""
    services = desk.services
    authority = found_authority(desk, asked.name)
    if services.keys.holds(authority.key_id):
        raise AdminError(
            reasons.AUTHORITY_CRL_REFUSED, f"{authority.name} signs its own here: its key is on this machine"
        )
    services.carried_crls.publish(authority, crl_from(asked.crl), actor=desk.actor)
    CrlCopier(services.store, services.crl_files).copy(authority)
    return crl_state(services, authority)


class ShowCrlPlan(ShowAuthority):
    """Of which one."""


class ChangeCrlPlan(ShowAuthority):
    """How its CRLs are divided for new certificates; what is not said stays."""

    shards: Annotated[int | None, Field(ge=0, le=MAX_SHARDS, description="Spread new ones among N CRLs.")] = None
    delta: Annotated[bool | None, Field(description="Publish a delta CRL beside each CRL.")] = None
    full: Annotated[bool | None, Field(description="Keep all in the full CRL, too.")] = None
    fleet: Annotated[int | None, Field(ge=1, le=10**9, description="Certificates that will live at a time.")] = None


class CrlPlanShown(Record):
    """How an authority's CRLs are divided."""

    authority: str
    shards: int
    lists: int
    delta: str
    full: str
    live_certificates: int
    largest_now: int
    largest_possible: int
    limit: int


def show_plan(desk: Desk, asked: ShowCrlPlan) -> CrlPlanShown:
    """As it is."""
    return _plan_shown(desk, found_authority(desk, asked.name))


def change_plan(desk: Desk, asked: ChangeCrlPlan) -> CrlPlanShown:
    """Change it for new certificates; sizes are checked first."""
    services = desk.services
    authority, plan = _checked(desk, asked)
    make_lists(services.store, authority, plan)
    publish_lists(services, authority.name, desk.actor)
    return _plan_shown(desk, adopt_plan(services.store, services.clock, authority, plan, actor=desk.actor))


def plan_change(desk: Desk, asked: ChangeCrlPlan) -> list[str]:
    """What new certificates, and the lists, will say."""
    authority, plan = _checked(desk, asked)
    crls = f"one of {plan.shards} partial CRLs" if plan.shards else "the full CRL"
    steps = [f"have new certificates of {authority.name} point to {crls}"]
    lists = max(plan.shards, authority.crl_lists)
    if plan.full != authority.crl_full and lists:
        what = "everything" if plan.full else "only certificates that point to it, and say so in a critical extension"
        steps.append(f"have the full CRL list {what}")
    if plan.delta != authority.crl_delta:
        steps.append("publish deltas, and have CRLs and new certificates name them" if plan.delta else "end deltas")
    return steps


def _checked(desk: Desk, asked: ChangeCrlPlan) -> tuple[Authority, Plan]:
    """Make the plan that is meant. Raises what `check_plan` does."""
    authority, store = found_authority(desk, asked.name), desk.services.store
    live = sum(store.live_by_list(authority.name, desk.now()).values())
    plan = Plan(
        shards=authority.crl_shards if asked.shards is None else asked.shards,
        delta=authority.crl_delta if asked.delta is None else asked.delta,
        full=authority.crl_full if asked.full is None else asked.full,
        fleet=max(asked.fleet or 0, live),
    )
    check_plan(store, authority, plan, desk.services.practice.crl_largest_octets)
    return authority, plan


def _plan_shown(desk: Desk, authority: Authority) -> CrlPlanShown:
    services = desk.services
    live = services.store.live_by_list(authority.name, desk.now())
    files = [services.crl_files.published(crl_name(authority.name, shard)) for shard in lists_of(authority)]
    return CrlPlanShown(
        authority=authority.name,
        shards=authority.crl_shards,
        lists=len(lists_of(authority)),
        delta="on" if authority.crl_delta else "off",
        full="on" if authority.crl_full else "off",
        live_certificates=sum(live.values()),
        largest_now=max((file.length for file in files if file is not None), default=0),
        largest_possible=max(worst_sizes(authority, live).values()),
        limit=services.practice.crl_largest_octets,
    )


LIST = Verb(
    "ca.list",
    "GET",
    "/authorities",
    Right.READ,
    ListAuthorities,
    Page[AuthorityRecord],
    list_authorities,
    "List the authorities, oldest first.",
)
SHOW = Verb(
    "ca.show",
    "GET",
    "/authorities/{name}",
    Right.READ,
    ShowAuthority,
    AuthorityShown,
    show_authority,
    "Show an authority: fingerprints, where its key is, its end, what depends on it.",
)
TREE = Verb(
    "ca.tree",
    "GET",
    "/authority-tree",
    Right.READ,
    ShowTree,
    Tree,
    show_tree,
    "Show all authorities from the roots down, and requests that wait for a certificate.",
)
EXPORT = Verb(
    "ca.export",
    "GET",
    "/authorities/{name}/certificates",
    Right.READ,
    ExportAuthority,
    AuthorityExported,
    export_authority,
    "Give an authority's certificate, its chain, or what other roots certified of it.",
)
CRL = Verb(
    "ca.crl",
    "POST",
    "/authorities/{name}/crl",
    Right.RULE,
    PublishCrl,
    CrlState,
    publish_crl,
    "Publish an authority's CRL now.",
    everywhere=True,
)
CRL_CONTENT = Verb(
    "ca.crl-content",
    "GET",
    "/authorities/{name}/crl",
    Right.READ,
    ShowCrl,
    CrlText,
    show_crl,
    "Give the CRL of an authority that is published.",
)
CRL_IMPORT = Verb(
    "ca.crl-import",
    "POST",
    "/authorities/{name}/crl-import",
    Right.RULE,
    ImportCrl,
    CrlState,
    import_crl,
    "Publish a CRL that was signed where the authority's key is.",
    everywhere=True,
)
PLAN = Verb(
    "ca.crl-plan",
    "GET",
    "/authorities/{name}/crl-plan",
    Right.READ,
    ShowCrlPlan,
    CrlPlanShown,
    show_plan,
    "Show how an authority's CRLs are divided.",
)
CHANGE_PLAN = Verb(
    "ca.change-crl-plan",
    "POST",
    "/authorities/{name}/crl-plan",
    Right.RULE,
    ChangeCrlPlan,
    CrlPlanShown,
    change_plan,
    "Divide an authority's CRLs otherwise, for new certificates.",
    plan=plan_change,
    everywhere=True,
)

VERBS = (LIST, SHOW, TREE, EXPORT, CRL, CRL_CONTENT, CRL_IMPORT, PLAN, CHANGE_PLAN)
