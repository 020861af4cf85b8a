"""What `doctor` looks at. Each check says what it found, and what to do where that is not as it should be."""

from __future__ import annotations

import ctypes
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from regalia.ca.authority import renewal_due
from regalia.cli.check import Check, Level, left
from regalia.cli.checks_access import access_checks
from regalia.cli.checks_audit import audit_checks
from regalia.cli.checks_connector import connector_checks
from regalia.cli.checks_crl import crl_checks
from regalia.cli.checks_groups import group_checks
from regalia.cli.checks_ndes import ndes_checks
from regalia.cli.checks_scep import can_encrypt_keys, scep_checks
from regalia.cli.checks_signer import signer_checks
from regalia.cli.checks_tls import device_tls_checks
from regalia.cli.custody import HERE, custody
from regalia.cli.output import utc
from regalia.errors import AdminError, PeerError, UnavailableError
from regalia.keys.admin_tls import CERTIFICATE_FILE, read_admin_tls
from regalia.model import AuthorityKind, AuthorityState, CredentialPurpose
from regalia.ports import EventFilter
from regalia.ra.findings import AUTHORITY_ENDS, STANDING
from regalia.store.migrations import NEEDED
from regalia.wire.certificate import read_certificate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from regalia.app import App
    from regalia.client.transport import Transport
    from regalia.model import Authority, Credential

__all__ = ["Check", "Level", "checks"]


_AHEAD: Final = timedelta(minutes=1)
"""How far the clocks of two nodes of one database may differ without being worth a word."""
_ADMIN_TLS_ENDS: Final = timedelta(days=30)
_UNSYNCHRONISED: Final = 5
"""TIME_ERROR of adjtimex(2)."""
_TIMEX_OCTETS: Final = 512
"""More than struct timex has anywhere; all zero asks for nothing but the state."""


def checks(regalia: App, transport: Transport) -> Iterator[Check]:
    """Run every check of an open home, the cheap and telling ones first."""
    yield _database(regalia)
    yield from _clock(regalia)
    ours = _url(regalia, transport)
    yield ours
    if ours.level is Level.OK:
        yield from scep_checks(regalia, transport)
    yield from _custody(regalia)
    yield from signer_checks(regalia)
    for authority in regalia.store.authorities():
        yield _authority_life(regalia, authority)
        if authority.state is not AuthorityState.REVOKED:
            yield from _credentials(regalia, authority)
            if authority.state is not AuthorityState.RETIRED:
                yield from crl_checks(regalia, authority)
    yield from group_checks(regalia)
    yield _admin_tls(regalia)
    yield from access_checks(regalia)
    yield from device_tls_checks(regalia)
    yield from ndes_checks(regalia)
    yield from connector_checks(regalia)
    yield from audit_checks(regalia)
    yield from _jobs(regalia)


# --- database, clock, URL -------------------------------------------------------------------------------------------


def _database(regalia: App) -> Check:
    # The home would not have opened with another schema.
    return Check("database", Level.OK, f"{regalia.store.check()}, schema {NEEDED}")


def _clock(regalia: App) -> Iterator[Check]:
    now = regalia.clock.now()
    newest = regalia.store.events(EventFilter(limit=1))
    if newest and newest[-1].draft.at > now + _AHEAD:
        finding = f"it is {utc(now)}, but the newest event is of {utc(newest[-1].draft.at)}: the clock went back"
        yield Check("clock", Level.PROBLEM, finding, "Correct the clock: validity and revocation depend on it.")
    else:
        yield Check("clock", Level.OK, f"it is {utc(now)}, and nothing was recorded later")
    if _unsynchronised():
        finding = "the system says that nothing keeps its clock right"
        yield Check("clock", Level.WARN, finding, "Run an NTP client such as chrony, here or on the host.")


def _unsynchronised() -> bool:
    """Ask the kernel (adjtimex(2), which anybody may); False where it cannot be asked."""
    adjtimex = getattr(ctypes.CDLL(None), "adjtimex", None)
    if adjtimex is None:
        return False
    return bool(adjtimex(ctypes.create_string_buffer(_TIMEX_OCTETS)) == _UNSYNCHRONISED)


def _url(regalia: App, transport: Transport) -> Check:
    """Ask our own URL for a certificate: what devices and verifiers reach must be this installation (R11)."""
    base = regalia.config.server.url
    start = f"Start it with `regalia serve`, and see to it that {base} leads to its listener; certificates carry it."
    for authority in regalia.store.authorities():
        if authority.state is AuthorityState.REVOKED:
            continue
        url = regalia.urls.issuer(authority.name)
        try:
            answer = transport.exchange(url, None)
        except (UnavailableError, AdminError, PeerError) as error:
            return Check("url", Level.PROBLEM, f"it does not answer: {error.detail}", start)
        if answer.status == 200 and answer.body == authority.certificate_der:
            return Check("url", Level.OK, f"{base} answers, and is ours")
        told = f"{url} answers {answer.status}" + ("" if answer.status != 200 else " with another certificate")
        return Check("url", Level.PROBLEM, f"{told}: something else is there", start)
    return Check("url", Level.WARN, "there is no authority to recognise us by", "Run `regalia ca list`.")


# --- keys -----------------------------------------------------------------------------------------------------------


def _custody(regalia: App) -> Iterator[Check]:
    master = regalia.master
    if master.beside_database:
        finding = f"the master key {master.path} lies in the home: whoever copies the home has keys and lock"
        remedy = "Move it elsewhere and name it in REGALIA_MASTER_KEY_FILE, or make it the credential regalia-master."
        yield Check("keys", Level.WARN, finding, remedy)
    else:
        yield Check("keys", Level.OK, f"the master key comes from {master.path}")
    for authority in regalia.store.authorities():
        if authority.state not in (AuthorityState.REVOKED, AuthorityState.RETIRED):
            yield _authority_key(regalia, authority)


def _authority_key(regalia: App, authority: Authority) -> Check:
    try:
        where, here = custody(regalia, authority.key_id), regalia.keys.holds(authority.key_id)
    except UnavailableError as error:
        return Check("keys", Level.PROBLEM, f"the key of {authority.name}: {error.detail}", error.reason.remedy)
    if authority.kind is AuthorityKind.ROOT and not here:
        return Check("keys", Level.OK, f"the key of {authority.name} is offline")
    if not here and authority.kind is AuthorityKind.INTERMEDIATE:
        return Check("keys", Level.OK, f"the key of {authority.name} is another PKI's")
    if not here and authority.group is None:
        return Check("keys", Level.OK, f"the key of {authority.name} is elsewhere: it issues for no group here")
    if authority.kind is AuthorityKind.ROOT and where == HERE:
        finding = f"the key of {authority.name} is still on this machine"
        return Check("keys", Level.WARN, finding, f"Run `regalia ca offline {authority.name} --to DIR` with a medium.")
    if not here:
        remedy = "Restore the database from a backup: the group cannot issue without it."
        if where != "elsewhere":
            remedy = "Name its token in `[keys]`: the group cannot issue without it."
        return Check("keys", Level.PROBLEM, f"the key of {authority.name} is missing: it is {where}", remedy)
    try:
        regalia.keys.prove(authority.key_id)
    except (AdminError, UnavailableError) as error:
        return Check("keys", Level.PROBLEM, f"the key of {authority.name}: {error.detail}", error.reason.remedy)
    told = "it opens" if where == HERE else "it signs there alone"
    return Check("keys", Level.OK, f"the key of {authority.name} is {where}, and {told}")


# --- expiry ---------------------------------------------------------------------------------------------------------


def _authority_life(regalia: App, authority: Authority) -> Check:
    now, end = regalia.clock.now(), read_certificate(authority.certificate_der).not_after
    finding = f"{authority.name} {left(now, end)}"
    if authority.state is AuthorityState.REVOKED:
        return Check("authority", Level.OK, f"{authority.name} is revoked")
    remedy = "Create its successor: `regalia ca create` and `regalia group create --authority`."
    if end <= now:
        return Check("authority", Level.PROBLEM, finding, remedy)
    if end - now < AUTHORITY_ENDS:
        return Check("authority", Level.WARN, f"{finding}; what it issues ends with it", remedy)
    return Check("authority", Level.OK, finding)


def _credentials(regalia: App, authority: Authority) -> Iterator[Check]:
    if authority.kind is not AuthorityKind.ISSUING:
        return
    for purpose in STANDING[authority.state]:
        found = regalia.store.credentials(purpose, authority.name)
        if found:
            yield _credential(regalia, found[0])
        elif any(group.authority == authority.name for group in regalia.store.groups()):
            finding = f"{authority.name} has no {purpose.upper()} credential"
            yield Check("credential", Level.PROBLEM, finding, "Let `regalia serve` run: it makes one.")


def _credential(regalia: App, credential: Credential) -> Check:
    now = regalia.clock.now()
    finding = f"the {credential.purpose.upper()} credential of {credential.authority} {left(now, credential.not_after)}"
    if not regalia.keys.holds(credential.key_id):
        return Check("credential", Level.PROBLEM, f"{finding}, but its key is missing", "Restore the key.")
    if credential.purpose is CredentialPurpose.RA and not can_encrypt_keys(credential.certificate_der):
        told = f"the RA certificate of {credential.authority} lacks keyEncipherment: Windows ends with 0x8010002c"
        return Check("credential", Level.PROBLEM, told, "Run `regalia ca rotate-ra GROUP` for each of its groups.")
    if credential.not_after <= now:
        return Check("credential", Level.PROBLEM, finding, "Let `regalia serve` run: it renews it.")
    if renewal_due(credential, now):
        return Check("credential", Level.WARN, f"{finding}: it is to be renewed", "Let `regalia serve` run.")
    return Check("credential", Level.OK, finding)


def _admin_tls(regalia: App) -> Check:
    try:
        present = read_admin_tls(regalia.config.home)
    except AdminError as error:
        return Check("admin tls", Level.PROBLEM, error.detail, "Let `regalia serve` run: it makes a new one.")
    now = regalia.clock.now()
    finding = f"{CERTIFICATE_FILE} {left(now, present.not_after)}; SHA-256 {present.sha256}"
    if present.not_after <= now:
        return Check("admin tls", Level.PROBLEM, finding, "Let `regalia serve` run: it renews it.")
    if present.not_after - now < _ADMIN_TLS_ENDS:
        return Check("admin tls", Level.WARN, finding, "Let `regalia serve` run: it renews it.")
    return Check("admin tls", Level.OK, finding)


# --- CRLs and jobs --------------------------------------------------------------------------------------------------


def _jobs(regalia: App) -> Iterator[Check]:
    for job in regalia.store.job_status():
        if job.last_error:
            yield Check("jobs", Level.WARN, f"{job.name} failed: {job.last_error}", "It tries again by itself.")
        elif job.last_run is not None:
            yield Check("jobs", Level.OK, f"{job.name} last ran at {utc(job.last_run)}")
