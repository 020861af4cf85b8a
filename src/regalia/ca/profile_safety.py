"""What makes a certificate unsafe: one table, for all profiles.

A row is `never`, needs an `acknowledgement` by its name, or is a `warning`. A profile without acknowledgements gives
no certificate that a row of the first two speaks of; tests make documents by chance and read what they give.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from regalia.ca.profile_purposes import LOGON_PURPOSES, is_strange
from regalia.ca.profile_variables import REQUEST_PREFIX, VARIABLES
from regalia.model import NamesFrom, SanKind
from regalia.wire import oids

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from regalia.ca.profile_variables import Variable
    from regalia.model import Profile, Template

__all__ = [
    "EVERYTHING",
    "NAMES_FROM_REQUEST",
    "RULES",
    "Finding",
    "SafetyRule",
    "Severity",
    "findings_of",
    "unacknowledged",
]


class Severity(StrEnum):
    """What a row does."""

    NEVER = "never"
    ACKNOWLEDGE = "acknowledge"
    WARN = "warning"


@dataclass(frozen=True, slots=True)
class SafetyRule:
    """One row: what is unsafe, and why."""

    name: str
    """What `profile create --acknowledge` takes."""
    severity: Severity
    title: str
    why: str
    found: Callable[[Profile], Iterable[str]] | None
    """Says where a profile does it. None: no document can say it, or no name that does it gets through."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A profile does what a row speaks of."""

    rule: SafetyRule
    where: str


NAMES_FROM_REQUEST: Final = "names-from-request"

_LONGEST: Final = timedelta(days=825)
_LONGEST_SERVER: Final = timedelta(days=398)
_LONGEST_RSA_2048: Final = timedelta(days=5 * 365)


# --- looking at a profile ---------------------------------------------------------------------------------------------


def _templates(profile: Profile) -> Iterator[tuple[str, Template]]:
    """All templates of names, with the place of each."""
    if profile.name_rules is None:
        return
    for rule in profile.name_rules.subject:
        yield f"subject.{rule.attribute}", rule.template
    for san in profile.name_rules.sans:
        yield f"san {san.kind}", san.template


def _variables(profile: Profile) -> Iterator[tuple[str, Variable]]:
    for where, template in _templates(profile):
        for part in template:
            if not isinstance(part, str):
                yield where, VARIABLES[part.name]


def _authenticates(profile: Profile) -> bool:
    """Whether certificates prove who a client is: all purposes but server authentication may serve for that."""
    return bool(set(profile.extended_key_usage) - {oids.KP_SERVER_AUTH})


def _from_request(profile: Profile) -> Iterator[str]:
    if profile.name_rules is None and profile.names_from is NamesFrom.CSR:
        yield 'names = "from-csr"'
    for where, variable in _variables(profile):
        if variable.name.startswith(REQUEST_PREFIX):
            yield f"{where} holds {{{variable.name}}}"


def _spoofable(profile: Profile) -> Iterator[str]:
    for where, variable in _variables(profile):
        named = where == "subject.cn" or where.startswith("san")
        if variable.spoofable and not variable.name.startswith(REQUEST_PREFIX) and named and _authenticates(profile):
            yield f"{where} holds {{{variable.name}}}"


def _logon_from_request(profile: Profile) -> Iterator[str]:
    if not LOGON_PURPOSES & set(profile.extended_key_usage):
        return
    yield from _from_request(profile)
    for where, variable in _variables(profile):
        if variable.spoofable and not variable.name.startswith(REQUEST_PREFIX):
            yield f"{where} holds {{{variable.name}}}"


def _upn_from_request(profile: Profile) -> Iterator[str]:
    if oids.KP_CLIENT_AUTH not in profile.extended_key_usage or profile.name_rules is None:
        return
    for rule in profile.name_rules.sans:
        names = [VARIABLES[part.name] for part in rule.template if not isinstance(part, str)]
        if rule.kind is SanKind.UPN and any(variable.spoofable for variable in names):
            yield "san upn"


def _server_from_request(profile: Profile) -> Iterator[str]:
    if oids.KP_SERVER_AUTH in profile.extended_key_usage:
        yield from _from_request(profile)


def _server_and_client(profile: Profile) -> Iterator[str]:
    if {oids.KP_SERVER_AUTH, oids.KP_CLIENT_AUTH} <= set(profile.extended_key_usage):
        yield "usage.extended-key-usage"


def _strange_purposes(profile: Profile) -> Iterator[str]:
    for purpose in profile.extended_key_usage:
        if is_strange(purpose):
            yield f"usage.extended-key-usage {purpose}"


def _long(profile: Profile) -> Iterator[str]:
    server = oids.KP_SERVER_AUTH in profile.extended_key_usage
    longest = _LONGEST_SERVER if server else _LONGEST
    if profile.validity.duration > longest:
        yield f"validity.duration is longer than {longest.days} days"


def _short_keys(profile: Profile) -> Iterator[str]:
    smallest = min(profile.rsa_bits, default=profile.rsa_min_bits)
    if 0 < smallest < 3072 and profile.validity.duration > _LONGEST_RSA_2048:
        yield f"RSA keys of {smallest} bits for {profile.validity.duration.days} days"


def _persons(profile: Profile) -> Iterator[str]:
    if not {oids.KP_CLIENT_AUTH, oids.KP_EAP_OVER_LAN} & set(profile.extended_key_usage):
        return
    for where, variable in _variables(profile):
        if variable.person:
            yield f"{where} holds {{{variable.name}}}"


def _same_for_all(profile: Profile) -> Iterator[str]:
    templates = list(_templates(profile))
    named = [template for where, template in templates if where == "subject.cn" or where.startswith("san")]
    references = [part for template in named for part in template if not isinstance(part, str)]
    if named and not any(VARIABLES[part.name].name not in ("group", "profile", "endpoint") for part in references):
        yield "no template of a name holds a variable that differs from device to device"


def _of_records(profile: Profile) -> Iterator[str]:
    used = [(where, variable) for where, variable in _variables(profile) if variable.of_record]
    sid = profile.name_rules.sid if profile.name_rules is not None else None
    if sid is not None and VARIABLES[sid.name].of_record:
        used.append(("microsoft.sid", VARIABLES[sid.name]))
    for where, variable in used:
        yield f"{where} holds {{{variable.name}}}"


# --- the table --------------------------------------------------------------------------------------------------------

_NEVER, _ACKNOWLEDGE, _WARN = Severity.NEVER, Severity.ACKNOWLEDGE, Severity.WARN

RULES: Final = (
    SafetyRule("ca", _NEVER, "certificates of CAs", "keyCertSign, cRLSign and CA:TRUE make another CA", None),
    SafetyRule(
        "purposes",
        _NEVER,
        "anyExtendedKeyUsage, OCSPSigning, codeSigning, timeStamping, enrolment agents, domain controllers, recovery",
        "they are for anything, or for parts of a PKI, or make software trusted",
        None,
    ),
    SafetyRule("no-purpose", _NEVER, "certificates without a purpose", "they serve for all of them", None),
    SafetyRule("weak-keys", _NEVER, "RSA below 2048 bits, unnamed curves, DSA", "they can be broken", None),
    SafetyRule("sha-1", _NEVER, "signatures with SHA-1 or MD5", "collisions of them can be computed", None),
    SafetyRule(
        "wide-names",
        _NEVER,
        "wildcards, names of one label, public suffixes",
        "they stand for names of more than one holder",
        None,
    ),
    SafetyRule("backdating", _NEVER, "a beginning more than an hour back", "it would date signatures back", None),
    SafetyRule(
        "sid-from-request",
        _NEVER,
        "a Windows SID from a request, a spoofable variable or fixed text",
        "whoever has it is that user or machine to the domain; only a variable of type SID can fill it",
        None,
    ),
    SafetyRule(
        "logon-from-request",
        _NEVER,
        "logon at a Windows domain with names that a device chooses",
        "whoever enrols would log on as anybody",
        _logon_from_request,
    ),
    SafetyRule(
        NAMES_FROM_REQUEST,
        _ACKNOWLEDGE,
        "names that whoever holds a challenge chooses",
        "nobody verifies them",
        _from_request,
    ),
    SafetyRule(
        "spoofable-names",
        _ACKNOWLEDGE,
        "a CN or alternative name of a client made of what a device or its user can set",
        "a device can take another one's name by calling itself so",
        _spoofable,
    ),
    SafetyRule(
        "upn-from-request",
        _ACKNOWLEDGE,
        "a user principal name of a client made of what a device can set",
        "systems that map certificates to accounts by UPN take the device for that user",
        _upn_from_request,
    ),
    SafetyRule(
        "server-names-from-request",
        _ACKNOWLEDGE,
        "servers whose names the requester chooses",
        "whoever holds a challenge can pose as any server that clients of this CA trust",
        _server_from_request,
    ),
    SafetyRule(
        "server-and-client",
        _ACKNOWLEDGE,
        "serverAuth and clientAuth in one certificate",
        "a device that has both can pose as an access point's RADIUS server (RAD-5)",
        _server_and_client,
    ),
    SafetyRule(
        "unknown-purpose",
        _ACKNOWLEDGE,
        "purposes of the IETF's, Microsoft's or Kerberos' arcs that this product does not know",
        "they may mean more to others than you want",
        _strange_purposes,
    ),
    SafetyRule(
        "long-validity",
        _ACKNOWLEDGE,
        "more than 825 days, for servers more than 398",
        "keys and names go stale, and Apple's systems refuse longer ones of servers",
        _long,
    ),
    SafetyRule(
        "short-keys", _WARN, "RSA below 3072 bits for more than five years", "NIST retires them in 2030", _short_keys
    ),
    SafetyRule(
        "person-on-the-air",
        _WARN,
        "a person's name in a certificate for networks",
        "with EAP-TLS over TLS 1.2 everybody near the access point reads it (PRIV-2)",
        _persons,
    ),
    SafetyRule(
        "same-for-all",
        _WARN,
        "one name for all devices",
        "logs cannot tell them apart, and a key that one of them had is refused to the next",
        _same_for_all,
    ),
    SafetyRule(
        "needs-connector",
        _WARN,
        "variables that only a connector fills",
        "at an endpoint without one requests are refused, unless the variable is optional",
        _of_records,
    ),
)
"""All of it, in the order of the reference page."""

EVERYTHING: Final = frozenset(rule.name for rule in RULES if rule.severity is Severity.ACKNOWLEDGE)
"""All names that `--acknowledge` takes; what is kept already was acknowledged when it was."""


def findings_of(profile: Profile) -> tuple[Finding, ...]:
    """Hold a profile against the whole table."""
    return tuple(
        Finding(rule, where) for rule in RULES if rule.found is not None for where in dict.fromkeys(rule.found(profile))
    )


def unacknowledged(findings: Iterable[Finding], acknowledged: Iterable[str]) -> tuple[Finding, ...]:
    """Keep those that somebody still has to answer for."""
    given = set(acknowledged)
    return tuple(
        finding
        for finding in findings
        if finding.rule.severity is Severity.ACKNOWLEDGE and finding.rule.name not in given
    )
