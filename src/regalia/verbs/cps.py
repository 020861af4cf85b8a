"""A certification practice statement (RFC 3647) from what this installation says of itself.

The outline is a file beside this module. Under a heading stands what is true of every installation, `{{fact}}` where a
fact of this one goes, and `?hint` where only the organisation knows; a heading with nothing below it is its, too.
"""

from __future__ import annotations

import re
from importlib.resources import files
from typing import TYPE_CHECKING, Final

from regalia import __version__
from regalia.model import Action, AuthorityKind, AuthorityState, NamesFrom, Right
from regalia.verbs.authority_facts import custody
from regalia.verbs.verb import Asked, Desk, Record, Verb
from regalia.verbs.wording import fingerprints, utc
from regalia.wire.certificate import read_certificate
from regalia.wire.names import name_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from regalia.model import Authority, Profile
    from regalia.verbs.services import Services

__all__ = ["CPS", "TO_STATE", "VERBS", "Statement", "WriteCps", "facts", "outline", "statement"]

TO_STATE: Final = "For the organisation to state"
"""What marks the places that the software cannot fill."""

_HEADING = re.compile(r"(#{1,3}) (\d+(?:\.\d+)*) (.+)")
_FACT = re.compile(r"\{\{([a-z_]+)\}\}")
_UNSAFE = re.compile(r"([\\`*_\[\]<>|#])")


def outline() -> str:
    """Read the outline."""
    return files("regalia.verbs").joinpath("cps.md").read_text("utf-8")


def statement(services: Services) -> str:
    """Write the document, in Markdown."""
    known = facts(services)
    title = f"# Certification practice statement\n\nFor the authorities at {known['url']}, as of {known['made_at']}.\n"
    return title + "".join(_section(heading, body, known) for heading, body in _sections(outline()))


def _sections(text: str) -> Iterator[tuple[str, list[str]]]:
    heading, body = "", list[str]()
    for line in text.splitlines():
        if _HEADING.fullmatch(line):
            if heading:
                yield heading, body
            heading, body = line, []
        else:
            body.append(line)
    yield heading, body


def _section(heading: str, body: list[str], known: Mapping[str, str]) -> str:
    match = _HEADING.fullmatch(heading)
    depth = len(match[1]) if match is not None else 1
    lines = [line for line in body if line]
    parts: list[str] = []
    for line in lines:
        if line.startswith("?"):
            parts.append(f"> **{TO_STATE}:** {line[1:]}.")
        else:
            parts.append(_FACT.sub(lambda found: known[found[1]], line))
    if not lines and _is_a_leaf(heading):
        parts.append(f"> **{TO_STATE}.**")
    text = "\n\n".join(part for part in parts if part)
    return f"\n{'#' * (depth + 1)} {heading.lstrip('# ')}\n" + (f"\n{text}\n" if text else "")


def _is_a_leaf(heading: str) -> bool:
    """Whether no heading stands below this one: only there is anything to be stated."""
    number = heading.split()[1]
    return not any(other.split()[1].startswith(f"{number}.") for other, _ in _sections(outline()))


def facts(services: Services) -> dict[str, str]:
    """Gather all facts that the outline asks for."""
    return {name: tell(services) for name, tell in _FACTS.items()}


# --- the facts ------------------------------------------------------------------------------------------------------


def _safe(text: object) -> str:
    """Keep a name from being taken for Markdown."""
    return _UNSAFE.sub(r"\\\1", str(text).replace("\n", " "))


def _table(head: tuple[str, ...], rows: Iterable[tuple[object, ...]], nothing: str) -> str:
    cells = [" | ".join(_safe(cell) for cell in row) for row in rows]
    if not cells:
        return nothing
    return "\n".join(f"| {line} |" for line in (" | ".join(head), " | ".join("---" for _ in head), *cells))


def _listed(items: Iterable[str], nothing: str) -> str:
    lines = [f"* {item}" for item in items]
    return "\n".join(lines) or nothing


def _authorities(services: Services) -> str:
    rows = []
    for authority in services.store.authorities():
        read = read_certificate(authority.certificate_der)
        rows.append(
            (
                authority.name,
                authority.kind,
                authority.state,
                authority.parent or "-",
                name_text(read.subject),
                authority.key_kind,
                utc(read.not_before),
                utc(read.not_after),
                fingerprints(authority.certificate_der)["sha256"],
            )
        )
    head = ("name", "kind", "state", "below", "subject", "key", "from", "until", "SHA-256 of the certificate")
    return _table(head, rows, "There is no authority yet.")


def _endpoints(services: Services) -> str:
    rows = [
        (each.name, each.group, each.protocol, each.profile, each.authoriser, "yes" if each.enabled else "no")
        for each in services.store.endpoints()
    ]
    return _table(("endpoint", "group", "protocol", "profile", "evidence", "enabled"), rows, "There is none.")


def _groups(services: Services) -> str:
    rows = [
        (group.name, group.authority, "suspended" if group.suspended_at is not None else "issuing")
        for group in services.store.groups()
    ]
    return _table(("group", "issuing authority", "state"), rows, "There is none.")


def _of_profiles(tell: Callable[[Profile], str]) -> Callable[[Services], str]:
    def listed(services: Services) -> str:
        return _listed((f"{_safe(each.name)}: {tell(each)}" for each in services.store.profiles()), "There is none.")

    return listed


def _uses(profile: Profile) -> str:
    usage = ", ".join(profile.key_usage)
    extended = ", ".join(profile.extended_key_usage) or "none"
    return f"key usage {usage}; extended key usage {extended}."


def _names(profile: Profile) -> str:
    organisation = f"; O={_safe(profile.organisation)} in each subject" if profile.organisation is not None else ""
    ending = f"; only names below {_safe(', '.join(profile.domains))}" if profile.domains else ""
    return f"names from the {_safe(profile.names_from)}{organisation}{ending}."


def _keys(profile: Profile) -> str:
    keys = [f"RSA from {profile.rsa_min_bits} bits"] if profile.rsa_min_bits else []
    keys += [curve.upper() for curve in profile.curves]
    keys += ["Ed25519"] if profile.ed25519 else []
    return ", ".join([*keys, *(parameters.upper() for parameters in profile.ml_dsa)]) + "."


def _validity(profile: Profile) -> str:
    return f"{profile.validity.duration.total_seconds() / 86_400:g} days."


def _renewal(profile: Profile) -> str:
    rule = profile.renewal
    if rule is None or (rule.window is None and rule.share is None):
        return "at any time while it is valid."
    when = f"{rule.window.days} days" if rule.window is not None else f"{rule.share} percent of its life"
    return f"in the last {when}."


def _profiles(services: Services) -> str:
    rows = [
        (each.name, each.version, each.group, _validity(each).rstrip("."), ", ".join(each.extended_key_usage))
        for each in services.store.profiles()
    ]
    return _table(("profile", "version", "group", "valid for", "extended key usage"), rows, "There is none.")


def _policies(services: Services) -> str:
    oids = sorted(
        {
            oid
            for profile in services.store.profiles()
            if profile.policies is not None
            for oids in (
                profile.policies.always,
                profile.policies.bearer,
                profile.policies.verified,
                profile.policies.attested,
            )
            for oid in oids
        }
    )
    return "No profile writes certificate policies." if not oids else f"Profiles write the policies {', '.join(oids)}."


def _unverified(services: Services) -> str:
    names = [profile.name for profile in services.store.profiles() if profile.names_from is NamesFrom.CSR]
    if not names:
        return "No profile takes names from requests."
    return f"These profiles take names from requests, and mark the certificates: {_safe(', '.join(names))}."


def _evidence(services: Services) -> str:
    kinds = sorted({str(endpoint.authoriser) for endpoint in services.store.endpoints() if endpoint.enabled})
    return f"Evidence that enabled endpoints accept: {', '.join(kinds) or 'none'}; and an administrator's command."


def _approval(services: Services) -> str:
    waiting = [each.name for each in services.store.endpoints() if str(each.authoriser) == "approval" and each.enabled]
    if not waiting:
        return "Requests with sufficient evidence are granted at once; no endpoint waits for an administrator."
    return f"At these endpoints an administrator decides on each first request: {_safe(', '.join(waiting))}."


def _external(services: Services) -> str:
    outside = [
        each.name
        for each in services.store.authorities()
        if each.parent is None and each.kind is not AuthorityKind.ROOT
    ]
    return (
        f"These authorities are below another PKI: {_safe(', '.join(outside))}."
        if outside
        else "All authorities are below roots of this installation."
    )


def _key_protection(services: Services) -> str:
    rows = [(each.name, each.kind, each.key_kind, _place(services, each)) for each in services.store.authorities()]
    stored = "a PKCS #11 token" if services.practice.key_store == "pkcs11" else "software, wrapped by a master key"
    table = _table(("authority", "kind", "key", "where the key lies"), rows, "There is no authority yet.")
    return f"{table}\n\nNew keys of authorities are made in {stored}."


def _place(services: Services, authority: Authority) -> str:
    place = custody(services, authority.key_id)
    return f"{place}, in software and wrapped by the master key" if place == "on this machine" else place


def _activation(services: Services) -> str:
    beside = " The master key lies in the home." if services.practice.master_key_beside else ""
    return f"Software keys are opened with the master key when the process starts.{beside}"


def _media(services: Services) -> str:
    away = [each.name for each in services.store.authorities() if custody(services, each.key_id) == "elsewhere"]
    told = f"Keys that are not on this machine: of {_safe(', '.join(away))}.\n\n" if away else ""
    return f"{told}> **{TO_STATE}:** where media are kept, and who may fetch them."


def _repository(services: Services) -> str:
    urls = services.urls
    alive = [each for each in services.store.authorities() if each.state is not AuthorityState.REVOKED]
    rows = [(each.name, urls.issuer(each.name), urls.crl(each.name)) for each in alive]
    return _table(("authority", "certificate", "CRL"), rows, "There is no authority yet.")


def _crl_schedule(services: Services) -> str:
    return (
        f"The CRL of an issuing authority is valid for {services.practice.crl_days} days and is made anew when half of"
        f" its time is over, and after each revocation. A root's CRL is made by command."
    )


def _crl_kinds(services: Services) -> str:
    deltas = [each.name for each in services.store.authorities() if each.crl_delta]
    shards = [each.name for each in services.store.authorities() if each.crl_shards]
    told = f"Delta CRLs: {_safe(', '.join(deltas))}." if deltas else "There are no delta CRLs."
    return f"{told} " + (f"Partial CRLs: {_safe(', '.join(shards))}." if shards else "There are no partial CRLs.")


def _algorithms(services: Services) -> str:
    kinds = sorted({str(each.key_kind) for each in services.store.authorities()})
    return f"Authorities have keys of these kinds: {', '.join(kinds) or 'none'}; P-384 signs with SHA-384."


def _checkpoints(services: Services) -> str:
    key = services.checkpoints.key()
    if key is None:
        return "None has been made yet."
    return f"The key that signs them has the number {key.number} and was made at {utc(key.created_at)}."


def _checkpoint_copy(services: Services) -> str:
    copy = services.checkpoint_copy
    copied = "No copy of the checkpoints leaves the home."
    if copy is not None:
        copied = f"Checkpoints are copied to {_safe(copy.place)}."
    return f"{copied}\n\n> **{TO_STATE}:** how the log itself is backed up."


def _listeners(services: Services) -> str:
    server = services.practice
    tls = f"; TLS on {server.listen_tls}" if server.listen_tls is not None else ""
    return (
        f"Devices are answered on {server.listen}{tls}; administrators on {server.admin_listen}, by TLS.\n\n"
        f"> **{TO_STATE}:** networks and firewalls before them."
    )


_FACTS: Final[Mapping[str, Callable[[Services], str]]] = {
    "made_at": lambda services: utc(services.clock.now()),
    "version": lambda _: __version__,
    "url": lambda services: services.urls.base,
    "authorities": _authorities,
    "endpoints": _endpoints,
    "groups": _groups,
    "uses": _of_profiles(_uses),
    "names": _of_profiles(_names),
    "key_sizes": _of_profiles(_keys),
    "validity": _of_profiles(_validity),
    "renewal": _of_profiles(_renewal),
    "profiles": _profiles,
    "policy_oids": _policies,
    "unverified": _unverified,
    "evidence": _evidence,
    "approval": _approval,
    "external": _external,
    "key_protection": _key_protection,
    "activation": _activation,
    "media": _media,
    "repository": _repository,
    "crl_schedule": _crl_schedule,
    "crl_kinds": _crl_kinds,
    "algorithms": _algorithms,
    "checkpoints": _checkpoints,
    "checkpoint_copy": _checkpoint_copy,
    "listeners": _listeners,
    "pending_days": lambda services: str(services.practice.pending_days),
    "crl_check_seconds": lambda services: str(services.practice.crl_check_seconds),
    "ocsp_good_seconds": lambda services: str(services.practice.ocsp_good_seconds),
    "personal_days": lambda services: str(services.practice.personal_days),
    "pseudonym_days": lambda services: str(services.practice.pseudonym_days),
    "event_kinds": lambda _: str(len(Action)),
}


# --- the verb -------------------------------------------------------------------------------------------------------


class WriteCps(Asked):
    """Nothing can be said."""


class Statement(Record):
    """The document, and what it is made of."""

    text: str
    """Markdown."""
    places: int
    """How many places are for the organisation to complete."""
    facts: dict[str, str]


def write_cps(desk: Desk, asked: WriteCps) -> Statement:
    """Write it as of now."""
    del asked
    text = statement(desk.services)
    return Statement(text=text, places=text.count(f"**{TO_STATE}"), facts=facts(desk.services))


CPS = Verb(
    "ca.cps",
    "GET",
    "/practice-statement",
    Right.READ,
    WriteCps,
    Statement,
    write_cps,
    "Write a certification practice statement (RFC 3647), with places for the organisation to complete.",
    everywhere=True,
)

VERBS = (CPS,)
