"""Making authorities: under a root here, by a request and a certificate, and roots that certify each other."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import ConfigDict, Field

from regalia import reasons
from regalia.ca.sign_request import read_wish
from regalia.ca.templates import ISSUING_LIFETIME
from regalia.ca.urls import Urls
from regalia.errors import AdminError, InvariantError
from regalia.model import AuthorityKind, AuthorityState, KeyKind, Right
from regalia.verbs.authority_facts import AuthorityPrinted, AuthorityRecord, chain_of, printed, record_of
from regalia.verbs.content import certificates_from, certificates_text, http_url, request_text
from regalia.verbs.fields import Name, Pem, Url
from regalia.verbs.finding import found_authority
from regalia.verbs.first_group import GROUP, make_first_group
from regalia.verbs.publishing import publish_lists
from regalia.verbs.verb import Asked, Desk, Page, Record, Time, Verb
from regalia.verbs.wording import fingerprints
from regalia.wire import oids
from regalia.wire.certificate import read_certificate
from regalia.wire.csr import key_of_info
from regalia.wire.names import name_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from regalia.ca.sign_request import Wish
    from regalia.model import Authority, AuthorityRequest

__all__ = [
    "ACCEPT",
    "CREATE",
    "CROSS",
    "CROSS_IMPORT",
    "DAYS",
    "REQUEST",
    "SIGN",
    "TRUST",
    "VERBS",
    "AcceptCertificate",
    "Accepted",
    "CreateAuthority",
    "CrossMade",
    "CrossRoots",
    "ImportCross",
    "RequestAuthority",
    "RequestMade",
    "SignRequest",
    "Signed",
    "TrustAuthority",
    "created",
]

DAYS: Final = ISSUING_LIFETIME // timedelta(days=1)

Organisation = Annotated[str | None, Field(max_length=64, description="Stands in its name.")]


# --- here -----------------------------------------------------------------------------------------------------------


class CreateAuthority(Asked):
    """An issuing authority of a group, or a root."""

    name: Name
    group: Annotated[Name | None, Field(description="The group that it will issue for.")] = None
    parent: Annotated[Name | None, Field(description="The root that signs it; the first one if not given.")] = None
    root: Annotated[bool, Field(description="Make a root instead.")] = False
    organisation: Organisation = None
    key: Annotated[KeyKind | None, Field(description="Kind of its key: p-256, a root's p-384, if not given.")] = None


def create_authority(desk: Desk, asked: CreateAuthority) -> AuthorityRecord:
    """Make it with its CRL. Raises what `Ceremony.create_issuing` and `create_root` do."""
    services, root = desk.services, _issuer(desk, asked)
    if asked.group is None or root is None:
        made = services.ceremony.create_root(
            asked.name, actor=desk.actor, organisation=asked.organisation, key_kind=asked.key or KeyKind.P384
        )
    else:
        made = services.ceremony.create_issuing(
            asked.name,
            group=asked.group,
            root=root,
            actor=desk.actor,
            organisation=asked.organisation,
            key_kind=asked.key or KeyKind.P256,
        )
    publish_lists(services, made.name, desk.actor)
    services.transcript.note(desk.actor, created(made))
    return record_of(services, made)


def plan_create(desk: Desk, asked: CreateAuthority) -> list[str]:
    """What is made, under whom."""
    root = _issuer(desk, asked)
    desk.services.ceremony.check_name(asked.name)
    if root is None:
        return [f"create root {asked.name}, which issues once it is trusted"]
    desk.services.ceremony.check_issuer(root, AuthorityKind.ROOT)
    return [f"create authority {asked.name} for group {asked.group}, signed by {root.name}"]


def _issuer(desk: Desk, asked: CreateAuthority) -> Authority | None:
    """Find who signs it; None for a root."""
    if asked.root is (asked.group is not None) or (asked.root and asked.parent is not None):
        raise AdminError(reasons.USAGE, "an issuing authority has a group, a root is one and stands under nobody")
    if asked.root:
        return None
    return desk.services.registry.root() if asked.parent is None else found_authority(desk, asked.parent)


def created(authority: Authority) -> str:
    """What a transcript says of a new authority."""
    sha256 = fingerprints(authority.certificate_der)["sha256"]
    return f"created {authority.kind} {authority.name}, key {authority.key_kind}, certificate SHA-256 {sha256}"


class TrustAuthority(Asked):
    """An authority whose key is elsewhere or lost: a root, or one that a root known here signed."""

    name: Name
    certificate: Pem


def trust_authority(desk: Desk, asked: TrustAuthority) -> AuthorityPrinted:
    """Take it in, so that authorities can be requested under it."""
    certificate = certificates_from(asked.certificate)[0]
    return printed(desk.services, desk.services.hierarchy.recognise(asked.name, certificate, actor=desk.actor))


def plan_trust(desk: Desk, asked: TrustAuthority) -> list[str]:
    """Whose certificate it is."""
    certificate = certificates_from(asked.certificate)[0]
    desk.services.ceremony.check_name(asked.name)
    return [f"take in {_named(certificate)} as {asked.name}"]


def _named(certificate: bytes) -> str:
    """Name a certificate so that a person can compare it."""
    subject = name_text(read_certificate(certificate).subject)
    return f"{subject}, certificate SHA-256 {fingerprints(certificate)['sha256']},"


# --- under an issuer whose key is elsewhere -------------------------------------------------------------------------


class RequestAuthority(Asked):
    """An issuing authority to be."""

    name: Name
    group: Name
    parent: Annotated[Name | None, Field(description="The root of this PKI that will sign; another PKI if not.")] = None
    organisation: Organisation = None
    key: KeyKind = KeyKind.P256


class RequestMade(Record):
    """A request."""

    name: str
    group: str
    parent: str | None
    key: KeyKind
    key_sha256: str
    subject: str
    csr: str
    """PEM."""


def request_authority(desk: Desk, asked: RequestAuthority) -> RequestMade:
    """Make its key, and the request that a CA elsewhere is to sign."""
    made = desk.services.hierarchy.request(
        asked.name,
        group=asked.group,
        parent=asked.parent,
        organisation=asked.organisation,
        key_kind=asked.key,
        actor=desk.actor,
    )
    if made.csr is None:
        raise InvariantError(f"request {asked.name} is not signed")
    wish = read_wish(made.csr)
    return RequestMade(
        name=made.name,
        group=made.group,
        parent=made.parent,
        key=made.key_kind,
        key_sha256=wish.key_sha256,
        subject=name_text(wish.subject),
        csr=request_text(made.csr),
    )


class SignRequest(Asked):
    """A request of an issuing authority that works elsewhere."""

    csr: Pem
    name: Annotated[Name, Field(description="What it is called here.")]
    root: Annotated[Name | None, Field(description="The root that signs; the first one if not given.")] = None
    url: Annotated[
        Url | None, Field(description="Where the root's CRL will be served; what the request says if not given.")
    ] = None
    days: Annotated[int, Field(ge=1, le=7305, description="How long it is valid.")] = DAYS


class Signed(Record):
    """An authority that works elsewhere."""

    name: str
    parent: str | None
    subject: str
    serial: str
    not_after: Time
    sha256: str
    sha1: str
    certificate: str
    """PEM."""


def sign_request(desk: Desk, asked: SignRequest) -> Signed:
    """Have a root here sign it."""
    wish, root, (crl, issuer) = _judged(desk, asked)
    signed = desk.services.hierarchy.sign(
        asked.name,
        wish,
        root=root,
        crl=crl,
        issuer=issuer,
        actor=desk.actor,
        lifetime=timedelta(days=asked.days),
    )
    facts, known = read_certificate(signed.certificate_der), fingerprints(signed.certificate_der)
    desk.services.transcript.note(
        desk.actor,
        f"signed request SHA-256 {wish.csr_sha256} under {root.name}: authority {signed.name}, "
        f"key SHA-256 {wish.key_sha256}, certificate SHA-256 {known['sha256']}",
    )
    return Signed(
        name=signed.name,
        parent=signed.parent,
        subject=name_text(facts.subject),
        serial=f"{facts.serial:x}",
        not_after=facts.not_after,
        sha256=known["sha256"],
        sha1=known["sha1"],
        certificate=certificates_text([signed.certificate_der]),
    )


def plan_sign(desk: Desk, asked: SignRequest) -> list[str]:
    """What a person compares before it is signed."""
    wish, root, (crl, issuer) = _judged(desk, asked)
    return [
        f"sign {name_text(wish.subject)} as an issuing CA of {root.name} for {asked.days} days",
        f"certify the key {wish.key_kind} with SHA-256 {wish.key_sha256}",
        f"name {crl} as the place of the root's CRL, and {issuer} as that of its certificate",
    ]


def _judged(desk: Desk, asked: SignRequest) -> tuple[Wish, Authority, tuple[str, str]]:
    wish = read_wish(asked.csr.encode())
    root = desk.services.registry.root() if asked.root is None else found_authority(desk, asked.root)
    urls = _urls(wish, root, asked.url)
    desk.services.ceremony.check_name(asked.name)
    desk.services.ceremony.check_issuer(root, AuthorityKind.ROOT)
    return wish, root, urls


def _urls(wish: Wish, root: Authority, url: str | None) -> tuple[str, str]:
    """Where the root's CRL and certificate will be served: by the system that is named, else as the request says."""
    if url is not None:
        urls = Urls(http_url("url", url))
        return urls.crl(root.name), urls.issuer(root.name)
    if wish.crl is None or wish.issuer is None:
        told = "the request does not say where the root's CRL is served: name the system with --url http://HOST:PORT"
        raise AdminError(reasons.AUTHORITY_REQUEST_REFUSED, told)
    return wish.crl, wish.issuer


class AcceptCertificate(Asked):
    """What came back for a request."""

    name: Annotated[Name, Field(description="Name of the request.")]
    certificates: Annotated[Pem, Field(description="The certificate, and what stands above it, in any order.")]


class Accepted(AuthorityRecord):
    """An authority that can issue."""

    chain: tuple[str, ...]
    sha256: str
    sha1: str
    crl_wanted: str | None
    """An authority whose CRL devices will ask for here, and that has none yet: `ca crl --import` brings it."""
    opened_group: str | None
    """The first group, if it was made as well."""
    group_is_there: bool
    """Whether the group that it is for exists."""


def accept_certificate(desk: Desk, asked: AcceptCertificate) -> Accepted:
    """Take the certificate; in a system without a group, the first one is made as well."""
    services = desk.services
    given = certificates_from(asked.certificates)
    waiting = services.store.authority_request(asked.name)
    made = services.hierarchy.accept(
        asked.name, _meant(desk, asked.name, waiting, given), given, actor=desk.actor, state=_state(desk, waiting)
    )
    publish_lists(services, made.name, desk.actor)
    opens = not services.store.groups() and made.group == GROUP
    if opens:
        make_first_group(services, desk.actor, made.name)
    return Accepted(
        **dict(printed(services, made)),
        chain=tuple(above.name for above in chain_of(services, made)[1:]),
        crl_wanted=_crl_wanted(desk, made),
        opened_group=made.group if opens else None,
        group_is_there=made.group is not None and services.store.group(made.group) is not None,
    )


def plan_accept(desk: Desk, asked: AcceptCertificate) -> list[str]:
    """Which certificate it is, and what becomes of the authority. All that is wrong with it shows when it is taken."""
    given = certificates_from(asked.certificates)
    waiting = desk.services.store.authority_request(asked.name)
    if waiting is None and desk.services.store.authority(asked.name) is None:
        raise AdminError(reasons.NOT_FOUND, f"no request {asked.name!r} waits for a certificate")
    meant = _meant(desk, asked.name, waiting, given)
    follows = _state(desk, waiting) is AuthorityState.NEXT
    then = "announce it as its group's next one" if follows else "let it issue"
    return [f"take {_named(meant)} for authority {asked.name}", then]


def _state(desk: Desk, waiting: AuthorityRequest | None) -> AuthorityState:
    """Whether it begins to issue at once: where its group has an authority already, `ca activate` says when."""
    taken = waiting is not None and desk.services.store.group(waiting.group) is not None
    return AuthorityState.NEXT if taken else AuthorityState.ACTIVE


def _meant(desk: Desk, name: str, waiting: AuthorityRequest | None, given: Sequence[bytes]) -> bytes:
    """Take the certificate that is meant out of what was given: files often hold a chain, in any order."""
    known = desk.services.store.authority(name)
    for der in given:
        if waiting is not None and read_certificate(der).public_key == key_of_info(waiting.info):
            return der
        if known is not None and der == known.certificate_der:
            return der
    return given[0]


def _crl_wanted(desk: Desk, made: Authority) -> str | None:
    """Its issuer, where its certificate says that the issuer's CRL is served here, and there is none yet."""
    services = desk.services
    points = read_certificate(made.certificate_der).extension(oids.CE_CRL_DISTRIBUTION_POINTS)
    if made.parent is None or points is None or services.urls.crl(made.parent).encode() not in points.value:
        return None
    known = services.store.authority(made.parent)
    return made.parent if known is not None and services.store.last_crl(made.parent) is None else None


# --- roots that certify each other ----------------------------------------------------------------------------------


class CrossRoots(Asked):
    """Two roots."""

    name: Annotated[Name, Field(description="A root.")]
    other: Annotated[Name, Field(description="Another root.")]
    url: Annotated[Url | None, Field(description="Where the roots' CRLs are served; here if not given.")] = None


class ImportCross(Asked):
    """What was made where the roots' keys are."""

    certificates: Pem


class CrossMade(Record):
    """A certificate of one root for another."""

    model_config = ConfigDict(serialize_by_alias=True, validate_by_name=True, validate_by_alias=True)

    by: str
    certified: Annotated[str, Field(alias="for")]
    not_after: Time
    sha256: str


def cross_roots(desk: Desk, asked: CrossRoots) -> Page[CrossMade]:
    """Let both certify each other's name and key."""
    one, other, urls = _pair(desk, asked)
    rows = []
    for issuer, subject in ((one, other), (other, one)):
        der = desk.services.hierarchy.cross(issuer, subject, actor=desk.actor, urls=urls)
        rows.append(_row(issuer, subject, der))
        told = f"{issuer.name} certified {subject.name}, certificate SHA-256 {rows[-1].sha256}"
        desk.services.transcript.note(desk.actor, told)
    return Page(items=tuple(rows))


def plan_cross(desk: Desk, asked: CrossRoots) -> list[str]:
    """Which two."""
    one, other, _ = _pair(desk, asked)
    return [f"have {one.name} certify the name and key of {other.name}, and {other.name} those of {one.name}"]


def import_cross(desk: Desk, asked: ImportCross) -> Page[CrossMade]:
    """Keep cross-certificates that were made elsewhere."""
    rows = []
    for der in certificates_from(asked.certificates):
        issuer, other = desk.services.hierarchy.accept_cross(der, actor=desk.actor)
        rows.append(_row(issuer, other, der))
    return Page(items=tuple(rows))


def plan_import_cross(desk: Desk, asked: ImportCross) -> list[str]:
    """Which ones."""
    del desk
    return [f"keep {_named(der)} as a cross-certificate" for der in certificates_from(asked.certificates)]


def _pair(desk: Desk, asked: CrossRoots) -> tuple[Authority, Authority, Urls]:
    """Find both, see that their keys are here, and where their CRLs are served."""
    services = desk.services
    pair = found_authority(desk, asked.name), found_authority(desk, asked.other)
    for authority in pair:
        if not services.keys.holds(authority.key_id):
            told = f"authority {authority.name} signs with key {authority.key_id}"
            raise AdminError(reasons.ROOT_KEY_ELSEWHERE, told)
    if asked.url is not None:
        return *pair, Urls(http_url("url", asked.url))
    if not services.store.groups():
        raise AdminError(reasons.USAGE, "nothing is served from a root's home: name the system that does with --url")
    return *pair, services.urls


def _row(issuer: Authority, other: Authority, der: bytes) -> CrossMade:
    return CrossMade(
        by=issuer.name,
        certified=other.name,
        not_after=read_certificate(der).not_after,
        sha256=fingerprints(der)["sha256"],
    )


CREATE = Verb(
    "ca.create",
    "POST",
    "/authorities",
    Right.RULE,
    CreateAuthority,
    AuthorityRecord,
    create_authority,
    "Create an issuing authority under a root, or a root.",
    plan=plan_create,
    everywhere=True,
    two_persons=lambda *_: True,
)
TRUST = Verb(
    "ca.trust",
    "POST",
    "/trusted-authorities",
    Right.RULE,
    TrustAuthority,
    AuthorityPrinted,
    trust_authority,
    "Take in an authority whose key stays elsewhere: a root, or one that a root known here signed.",
    plan=plan_trust,
    everywhere=True,
    two_persons=lambda *_: True,
)
REQUEST = Verb(
    "ca.request",
    "POST",
    "/authority-requests",
    Right.RULE,
    RequestAuthority,
    RequestMade,
    request_authority,
    "Make the key of an issuing authority, and the request that a CA elsewhere is to sign.",
    everywhere=True,
)
SIGN = Verb(
    "ca.sign",
    "POST",
    "/authority-requests/sign",
    Right.RULE,
    SignRequest,
    Signed,
    sign_request,
    "Have a root here sign the request of an issuing authority that works elsewhere.",
    plan=plan_sign,
    everywhere=True,
    two_persons=lambda *_: True,
)
ACCEPT = Verb(
    "ca.accept",
    "POST",
    "/authority-requests/{name}/accept",
    Right.RULE,
    AcceptCertificate,
    Accepted,
    accept_certificate,
    "Take the certificate that was made for a request.",
    plan=plan_accept,
    everywhere=True,
    two_persons=lambda *_: True,
)
CROSS = Verb(
    "ca.cross",
    "POST",
    "/authorities/{name}/cross",
    Right.RULE,
    CrossRoots,
    Page[CrossMade],
    cross_roots,
    "Let two roots certify each other's name and key.",
    plan=plan_cross,
    everywhere=True,
    two_persons=lambda *_: True,
)
CROSS_IMPORT = Verb(
    "ca.cross-import",
    "POST",
    "/cross-certificates",
    Right.RULE,
    ImportCross,
    Page[CrossMade],
    import_cross,
    "Keep cross-certificates that were made where the roots' keys are.",
    plan=plan_import_cross,
    everywhere=True,
    two_persons=lambda *_: True,
)

VERBS = (CREATE, TRUST, REQUEST, SIGN, ACCEPT, CROSS, CROSS_IMPORT)
