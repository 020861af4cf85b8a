"""What administrators set up: groups with their authority, profiles, endpoints. Each change is one event."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING, Protocol

from regalia import reasons
from regalia.ca.lint import lint_full
from regalia.ca.profile import read_profile, specimens
from regalia.ca.profile_safety import Severity, findings_of
from regalia.ca.rollover import is_own_ra
from regalia.errors import AdminError
from regalia.model import (
    STANDING_PURPOSES,
    Action,
    Authoriser,
    Authority,
    AuthorityKind,
    AuthorityState,
    CredentialPurpose,
    Endpoint,
    EventDraft,
    Group,
    KeyKind,
    NamesFrom,
    Outcome,
)
from regalia.ports import Authorities, Catalogue
from regalia.ra.follow_rules import follow_rules_text, read_follow_rules

if TYPE_CHECKING:
    from collections.abc import Iterable

    from regalia.ca.authority import Ceremony
    from regalia.ca.urls import Urls
    from regalia.model import Actor, JsonValue, Profile
    from regalia.ports import Clock

__all__ = ["EndpointOptions", "Registry", "RegistryStore", "check_name"]

_NAME = re.compile(r"[a-z][a-z0-9-]{0,39}")


class RegistryStore(Authorities, Catalogue, Protocol):
    """What the registry reads and writes."""


def check_name(name: str) -> None:
    """Raise `AdminError` ADM-005 unless `name` can stand in a URL path, a file name and an event."""
    if not _NAME.fullmatch(name):
        raise AdminError(reasons.NAME_REFUSED, repr(name))


@dataclass(frozen=True, slots=True)
class EndpointOptions:
    """The switches of an endpoint."""

    include_root: bool = True
    check_signing_time: bool = False
    legacy: bool = False
    non_rsa: bool = False


class Registry:
    """Creates and changes what DESIGN §2 calls Group, Profile and Endpoint."""

    def __init__(self, store: RegistryStore, ceremony: Ceremony, clock: Clock, urls: Urls) -> None:
        self._store = store
        self._ceremony = ceremony
        self._clock = clock
        self._urls = urls

    # --- groups -----------------------------------------------------------------------------------------------------

    def create_group(
        self,
        name: str,
        *,
        actor: Actor,
        authority: str | None = None,
        key_kind: KeyKind = KeyKind.P256,
        debug: bool = False,
        ca_as_ra: bool = False,
        acknowledged: bool = False,
    ) -> Group:
        """Create a group with an issuing authority of its own, an RA credential and an OCSP signer.

        `authority` names one that `ca create` made for this group; else a new one with a key of `key_kind` is made.
        `ca_as_ra` lets that be its own RA (R2), which somebody has to have `acknowledged`: its key is then used by
        every worker, on what strangers send.
        Raises `AdminError`: ADM-003 name taken, ADM-005 bad name, ADM-004 or ADM-017 for the authority, ADM-009 where
        a new authority is needed and the root's key is not here; ADM-013 not acknowledged, ADM-037 no such RA.
        """
        check_name(name)
        if self._store.group(name) is not None:
            raise AdminError(reasons.NAME_TAKEN, f"group {name}")
        if ca_as_ra:
            _check_ca_as_ra(authority, key_kind, acknowledged=acknowledged)
        issuing = (
            self._adopted(name, authority)
            if authority is not None
            else self._new_authority(name, key_kind, actor, is_ra=ca_as_ra)
        )
        if ca_as_ra:
            self._ceremony.appoint_ra(issuing, actor=actor)
        for purpose in STANDING_PURPOSES:
            if not self._store.credentials(purpose, issuing.name):
                self._ceremony.create_credential(purpose, issuing, actor=actor)
        now = self._clock.now()
        group = Group(name, issuing.name, now, debug)
        event = EventDraft(
            now,
            actor,
            Action.GROUP_CREATED,
            f"group:{name}",
            Outcome.OK,
            name,
            details={"authority": issuing.name, "debug": debug, "ca_as_ra": ca_as_ra},
        )
        if not self._store.add_group(group, (event,)):
            raise AdminError(reasons.NAME_TAKEN, f"group {name}")
        return group

    def _adopted(self, group: str, name: str) -> Authority:
        authority = self._store.authority(name)
        if authority is None or authority.kind is not AuthorityKind.ISSUING or authority.group != group:
            raise AdminError(reasons.NOT_FOUND, f"no issuing authority {name!r} was made for group {group!r}")
        if authority.state is not AuthorityState.ACTIVE:
            raise AdminError(reasons.AUTHORITY_STATE, f"{name} is {authority.state}")
        return authority

    def _new_authority(self, group: str, key_kind: KeyKind, actor: Actor, *, is_ra: bool) -> Authority:
        taken = {authority.name for authority in self._store.authorities()}
        name = next(name for n in range(1, len(taken) + 2) if (name := f"{group[:34]}-ca-{n}") not in taken)
        return self._ceremony.create_issuing(
            name, group=group, root=self.root(), actor=actor, key_kind=key_kind, is_ra=is_ra
        )

    def root(self) -> Authority:
        """Find the root that signs new issuing authorities. Raises `AdminError` ADM-004 where there is none."""
        for authority in self._store.authorities():
            if authority.kind is AuthorityKind.ROOT and authority.state is AuthorityState.ACTIVE:
                return authority
        raise AdminError(reasons.NOT_FOUND, "no active root")

    def set_follow_rules(self, name: str, text: str, *, actor: Actor) -> Group:
        """Keep a group's rules for what follows from a device's state; an empty text brings the defaults back.

        Raises `AdminError`: ADM-004 no such group, ADM-083 with all that is wrong with the document.
        """
        document = follow_rules_text(read_follow_rules(text)) if text.strip() else ""
        kept = "" if document == "{}" else document
        found = self._store.group(name)
        event = EventDraft(
            self._clock.now(),
            actor,
            Action.GROUP_FOLLOW_SET,
            f"group:{name}",
            Outcome.OK,
            name,
            details={"document": kept, "former": found.follow if found is not None else ""},
        )
        if found is None or not self._store.set_follow(name, kept, (event,)):
            raise AdminError(reasons.NOT_FOUND, f"group {name}")
        return replace(found, follow=kept)

    # --- profiles ---------------------------------------------------------------------------------------------------

    def check_profile(self, name: str, group: str, document: str, *, acknowledged: Iterable[str] = ()) -> Profile:
        """Validate a document as the next version of a profile, without keeping it.

        Reads it, then lints a specimen in full (R8). Raises `AdminError`: ADM-004 no such group, ADM-005 bad name,
        ADM-007 with all that is wrong, ADM-013 where it is unsafe and somebody does not answer for that by name,
        RA-028 where it takes names from the request and serves an endpoint with static challenges.
        """
        check_name(name)
        found = self._store.group(group)
        authority = self._store.authority(found.authority) if found is not None else None
        if authority is None:
            raise AdminError(reasons.NOT_FOUND, f"group {group}")
        latest = self._store.profile(name)
        if latest is not None and latest.group != group:
            raise AdminError(reasons.NAME_TAKEN, f"profile {name} belongs to group {latest.group}")
        now = self._clock.now()
        profile = read_profile(
            document,
            name=name,
            version=latest.version + 1 if latest is not None else 1,
            group=group,
            now=now,
            acknowledged=acknowledged,
        )
        ignored = [code for code, _ in profile.lint_ignored]
        findings = list(chain(*(lint_full(each, ignored) for each in specimens(profile, authority, self._urls, now))))
        if findings:
            raise AdminError(reasons.PROFILE_REFUSED, "; ".join(findings))
        static = self._static_endpoints(profile.name) if profile.names_from is NamesFrom.CSR else []
        if static:
            raise AdminError(reasons.STATIC_NAMES_FROM_REQUEST, f"profile {name} serves endpoint {', '.join(static)}")
        return profile

    def _static_endpoints(self, profile: str) -> list[str]:
        return [
            endpoint.name
            for endpoint in self._store.endpoints()
            if endpoint.enabled and endpoint.profile == profile and endpoint.authoriser is Authoriser.STATIC
        ]

    def create_profile(
        self, name: str, group: str, document: str, *, actor: Actor, acknowledged: Iterable[str] = ()
    ) -> Profile:
        """Keep a document as a new profile, or as the next version of one. Raises what `check_profile` raises."""
        profile = self.check_profile(name, group, document, acknowledged=acknowledged)
        details: dict[str, JsonValue] = {"version": profile.version, "document": profile.document}
        findings = findings_of(profile)
        answered = [each for each in findings if each.rule.severity is Severity.ACKNOWLEDGE]
        if answered:
            details["acknowledged"] = {each.rule.name: f"{each.rule.title}: {each.rule.why}" for each in answered}
        warned = [f"{each.where}: {each.rule.title}" for each in findings if each.rule.severity is Severity.WARN]
        if warned:
            details["warnings"] = list(warned)
        event = EventDraft(
            self._clock.now(), actor, Action.PROFILE_CREATED, f"profile:{name}", Outcome.OK, group, details=details
        )
        if not self._store.add_profile(profile, (event,)):
            raise AdminError(reasons.NAME_TAKEN, f"profile {name} version {profile.version}: somebody else was faster")
        return profile

    # --- endpoints --------------------------------------------------------------------------------------------------

    def create_endpoint(
        self,
        name: str,
        *,
        group: str,
        profile: str,
        actor: Actor,
        authoriser: Authoriser = Authoriser.ONE_TIME,
        connector: str | None = None,
        options: EndpointOptions | None = None,
    ) -> Endpoint:
        """Open a SCEP endpoint. It holds no challenge yet, and until it has one it refuses every first enrolment.

        With static challenges and with approval the first one is made by `ChallengeDesk.rotate`.
        Raises `AdminError`: ADM-003 name taken, ADM-005 bad name, ADM-004 no such group or profile of it, RA-028 static
        challenges with a profile that takes names from the request (POL-3), ADM-037 legacy where the CA is its own RA,
        CON-065 a connector without its authoriser, or the other way round.
        """
        check_name(name)
        found = self._store.profile(profile)
        if self._store.group(group) is None or found is None or found.group != group:
            raise AdminError(reasons.NOT_FOUND, f"group {group} with a profile {profile}")
        _check_authoriser(authoriser, connector, found)
        switches = options or EndpointOptions()
        if switches.legacy and self._is_own_ra(group):
            # What it signs in answer is chosen by strangers in part: a collision of SHA-1 would be a certificate.
            raise AdminError(reasons.CA_AS_RA_REFUSED, f"group {group}'s CA is its RA, and never signs SHA-1")
        endpoint = Endpoint(
            name=name,
            group=group,
            protocol="scep",
            profile=profile,
            authoriser=authoriser,
            enabled=True,
            include_root=switches.include_root,
            check_signing_time=switches.check_signing_time,
            created_at=self._clock.now(),
            legacy=switches.legacy,
            non_rsa=switches.non_rsa,
            connector=connector,
        )
        if not self._store.add_endpoint(endpoint, (_endpoint_created(endpoint, actor),)):
            raise AdminError(reasons.NAME_TAKEN, f"endpoint {name}")
        return endpoint

    def change_endpoint(
        self, before: Endpoint, *, authoriser: Authoriser, connector: str | None, actor: Actor
    ) -> Endpoint:
        """Let somebody else say yes there from now on; what was issued stays.

        Raises `AdminError`: ADM-004 where it is disabled or has just changed, CON-065 and RA-028 as when it is made.
        """
        profile = self._store.profile(before.profile)
        if not before.enabled or profile is None:
            raise AdminError(reasons.NOT_FOUND, f"endpoint {before.name} is disabled already")
        _check_authoriser(authoriser, connector, profile)
        after = replace(before, authoriser=authoriser, connector=connector)
        details: dict[str, JsonValue] = {
            "authoriser": authoriser.value,
            "former_authoriser": before.authoriser.value,
            "names_by": _NAMES_BY[authoriser],
            "connector": connector,
            "former_connector": before.connector,
        }
        event = EventDraft(
            self._clock.now(),
            actor,
            Action.ENDPOINT_CHANGED,
            f"endpoint:{before.name}",
            Outcome.OK,
            before.group,
            details=details,
        )
        if not self._store.change_endpoint(before, after, (event,)):
            raise AdminError(reasons.NOT_FOUND, f"endpoint {before.name} as it was: it has just changed")
        return after

    def _is_own_ra(self, group: str) -> bool:
        found = self._store.group(group)
        authority = self._store.authority(found.authority) if found is not None else None
        if authority is None:
            return False
        return any(is_own_ra(authority, ra) for ra in self._store.credentials(CredentialPurpose.RA, authority.name))

    def disable_endpoint(self, name: str, *, actor: Actor) -> Endpoint:
        """Close an endpoint for good: to a stranger it was never there. Raises `AdminError` ADM-004."""
        endpoint = self._store.endpoint(name)
        if endpoint is None:
            raise AdminError(reasons.NOT_FOUND, f"endpoint {name}")
        event = EventDraft(
            self._clock.now(), actor, Action.ENDPOINT_DISABLED, f"endpoint:{name}", Outcome.OK, endpoint.group
        )
        if not self._store.disable_endpoint(name, (event,)):
            raise AdminError(reasons.NOT_FOUND, f"endpoint {name} is disabled already")
        return endpoint


def _check_authoriser(authoriser: Authoriser, connector: str | None, profile: Profile) -> None:
    if (authoriser is Authoriser.CONNECTOR) is (connector is None):
        told = "the authoriser connector needs one" if connector is None else f"{authoriser} asks no connector"
        raise AdminError(reasons.AUTHORISER_UNFIT, told)
    if authoriser is Authoriser.STATIC and profile.names_from is NamesFrom.CSR:
        raise AdminError(reasons.STATIC_NAMES_FROM_REQUEST, f"profile {profile.name}")


def _check_ca_as_ra(authority: str | None, key_kind: KeyKind, *, acknowledged: bool) -> None:
    if authority is not None:
        raise AdminError(reasons.CA_AS_RA_REFUSED, f"{authority} was made to have one beside it")
    if not key_kind.startswith("rsa-"):
        raise AdminError(reasons.CA_AS_RA_REFUSED, f"a {key_kind} key decrypts nothing: name an RSA kind with --key")
    if not acknowledged:
        told = "the CA's key is then in every worker and opens what strangers send: --acknowledge-ca-as-ra"
        raise AdminError(reasons.ACKNOWLEDGEMENT_NEEDED, told)


_NAMES_BY = {
    Authoriser.ONE_TIME: "the challenge's binding, or the server",
    Authoriser.STATIC: "the server: a static challenge vouches for none",
    Authoriser.APPROVAL: "the request, once an administrator approved it",
    Authoriser.CONNECTOR: "the connector: what it vouches for and what its records say",
}
"""Whose names certificates carry, where the profile does not take them from the request."""


def _endpoint_created(endpoint: Endpoint, actor: Actor) -> EventDraft:
    details: dict[str, JsonValue] = {
        "profile": endpoint.profile,
        "authoriser": endpoint.authoriser.value,
        "names_by": _NAMES_BY[endpoint.authoriser],
        "include_root": endpoint.include_root,
        "check_signing_time": endpoint.check_signing_time,
        "legacy": endpoint.legacy,
        "non_rsa": endpoint.non_rsa,
    }
    if endpoint.connector is not None:
        details["connector"] = endpoint.connector
    return EventDraft(
        endpoint.created_at,
        actor,
        Action.ENDPOINT_CREATED,
        f"endpoint:{endpoint.name}",
        Outcome.OK,
        endpoint.group,
        details=details,
    )
