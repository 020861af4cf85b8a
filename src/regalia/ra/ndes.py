"""Handing out one-time challenges to MDMs that read Microsoft's NDES page (R11, CHA-5).

Whoever gets a challenge gets a certificate, so the page is guarded in this order: it exists, it is only read, the
address may ask, nobody is guessing, user and password are right, the names are usable, and no more challenges are open
or made than it may have. What refuses is one event, and so is each challenge.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import threading
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import parse_qsl

from regalia import reasons
from regalia.errors import PeerError, UnavailableError
from regalia.model import (
    NDES_TTL,
    Action,
    Actor,
    ActorKind,
    Challenge,
    Denied,
    EventDraft,
    Names,
    Outcome,
    SanKind,
    new_id,
)
from regalia.ports import Catalogue, Events, HandOut, NdesPages
from regalia.ra.challenges import challenge_created
from regalia.ra.counting import Counts, Window
from regalia.ra.limits import Limited
from regalia.ra.passwords import is_password
from regalia.ra.refusals import Refused
from regalia.ra.sources import source_of
from regalia.wire.names import check_common_name, check_names, make_san

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from regalia.errors import Reason
    from regalia.model import Door, NdesPage
    from regalia.ports import Clock, Entropy
    from regalia.ra.limits import Allowances
    from regalia.ra.refusals import Refusals

__all__ = [
    "CERTSRV",
    "Handed",
    "Login",
    "NdesAnswer",
    "NdesRefusal",
    "NdesService",
    "NdesStore",
    "PageRequest",
    "Shown",
    "Told",
    "UnusableLogin",
]

CERTSRV: Final = "(certsrv)"
"""Stands for an endpoint in events where Microsoft's own paths lead to none."""

_RETRY_SECONDS: Final = 60
"""A page that made too many challenges in a minute can make another one by then."""
_SOURCES_TRUSTED: Final = 1_000
_MOST_NAMES: Final = 32
_KINDS: Final = {"dns": SanKind.DNS, "email": SanKind.EMAIL, "uri": SanKind.URI, "ip": SanKind.IP}
_SINGLE: Final = ("device", "cn")


@dataclass(frozen=True, slots=True)
class Login:
    """What HTTP Basic said (RFC 7617)."""

    user: bytes
    password: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class UnusableLogin:
    """An Authorization header that holds no user and password for us."""

    what: str
    """A word of ours: nothing of the header itself, which may be a secret."""


@dataclass(frozen=True, slots=True)
class PageRequest:
    """One request for a page."""

    endpoint: str
    source: str
    reads: bool
    """Whether the method is GET."""
    login: Login | UnusableLogin | None
    query: bytes = b""


@dataclass(frozen=True, slots=True)
class Handed:
    """The page with a challenge on it."""

    page: NdesPage
    secret: str = field(repr=False)
    thumbprint: bytes
    """SHA-1 of the issuing authority's certificate."""


class Told(Enum):
    """Pages without a challenge."""

    FULL = "full"
    NO_PERMISSION = "no permission"


@dataclass(frozen=True, slots=True)
class Shown:
    """One of the pages that scrapers know, but no challenge."""

    page: NdesPage
    what: Told


class NdesRefusal(Enum):
    """What is said with an HTTP status alone."""

    NOT_FOUND = 404
    ONLY_READ = 405
    LOGIN = 401
    BINDING = 400


NdesAnswer = Handed | Shown | Limited | NdesRefusal


class NdesStore(Catalogue, NdesPages, Events, Protocol):
    """What the page needs to know, and where it keeps what it handed out."""


class NdesService:
    """Serves the pages of a deployment; every method may be called from any thread.

    Each raises `UnavailableError` where the store cannot be reached, and for whom may ask where the group is suspended.
    """

    def __init__(
        self,
        *,
        store: NdesStore,
        refusals: Refusals,
        allowances: Allowances,
        clock: Clock,
        entropy: Entropy,
        challenge_mac: Callable[[str], bytes],
    ) -> None:
        self._store = store
        self._refusals = refusals
        self._clock = clock
        self._entropy = entropy
        self._challenge_mac = challenge_mac
        self._guard = _Guard(store, allowances, entropy.octets(32))

    def certsrv_endpoint(self) -> str | None:
        """Name the endpoint that Microsoft's own paths lead to."""
        return self._store.certsrv_endpoint()

    def refuse(self, reason: Reason, endpoint: str, source: str, detail: str, *, security: bool = False) -> None:
        """Record what the face refused before it knew the page."""
        denied = Denied(reason, detail, security=security)
        self._refusals.record(_refused(self._clock.now(), source, endpoint[:64], denied))

    def answer(self, request: PageRequest) -> NdesAnswer:
        """Answer a request that came over TLS."""
        asked = _Asked(request, self._clock.now())
        door, page = self._store.door(request.endpoint), self._store.ndes_page(request.endpoint)
        if door is None or page is None or not door.endpoint.enabled:
            self._deny(asked, None, Denied(_why_missing(door)))
            return NdesRefusal.NOT_FOUND
        if not request.reads:
            self._deny(asked, door, Denied(reasons.PAGE_ONLY_READ))
            return NdesRefusal.ONLY_READ
        if not _may_ask(page.networks, request.source):
            self._deny(asked, door, Denied(reasons.PAGE_NETWORK_REFUSED, security=True))
            return Shown(page, Told.NO_PERMISSION)
        stopped = self._stopped_at_login(asked, door, page)
        return stopped if stopped is not None else self._hand_out(asked, door, page)

    # --- who asks ---------------------------------------------------------------------------------------------------

    def _stopped_at_login(self, asked: _Asked, door: Door, page: NdesPage) -> NdesAnswer | None:
        login = asked.request.login
        if login is None:
            # Clients ask once without, to be told which scheme is offered: nothing is refused yet.
            return NdesRefusal.LOGIN
        if isinstance(login, UnusableLogin):
            self._deny(asked, door, Denied(reasons.PAGE_SCHEME_REFUSED, login.what))
            return NdesRefusal.LOGIN
        judged = self._guard.judge(page, login, door, asked.request.source, asked.at)
        if isinstance(judged, Limited):
            self._deny(asked, door, Denied(judged.reason, judged.detail))
            return judged
        if judged is not None:
            self._deny(asked, door, Denied(reasons.PAGE_LOGIN_REFUSED, judged, security=True))
            return NdesRefusal.LOGIN
        return None

    # --- what is handed out -----------------------------------------------------------------------------------------

    def _hand_out(self, asked: _Asked, door: Door, page: NdesPage) -> NdesAnswer:
        if door.group.suspended_at is not None:
            raise UnavailableError(reasons.GROUP_SUSPENDED, f"group {door.group.name}")
        try:
            binding, device = _wish(asked.request.query, allowed=page.allow_binding)
        except PeerError as fault:
            self._deny(asked, door, Denied(reasons.PAGE_BINDING_REFUSED, fault.detail))
            return NdesRefusal.BINDING
        secret = self._entropy.octets(page.digits // 2).hex().upper()
        actor = Actor(ActorKind.SYSTEM, f"ndes:{page.endpoint}", asked.request.source)
        challenge = Challenge(
            id=new_id(asked.at, self._entropy.octets(10)),
            endpoint=page.endpoint,
            mac=self._challenge_mac(secret),
            binding=binding,
            device=device,
            created_at=asked.at,
            created_by=actor.id,
            expires_at=asked.at + NDES_TTL,
        )
        event = challenge_created(challenge, door.group.name, actor, {"user": page.user, "bits": 4 * page.digits})
        match self._store.hand_out(challenge, page, (event,)):
            case HandOut.KEPT:
                certificate = door.authority.certificate_der
                return Handed(page, secret, hashlib.sha1(certificate, usedforsecurity=False).digest())
            case HandOut.CACHE_FULL:
                self._deny(asked, door, Denied(reasons.PAGE_CACHE_FULL, f"{page.cache} are open"))
                return Shown(page, Told.FULL)
            case HandOut.TOO_FAST:
                detail = f"{page.per_minute} in 60 seconds"
                self._deny(asked, door, Denied(reasons.PAGE_BUSY, detail, security=True))
                return Limited(reasons.PAGE_BUSY, _RETRY_SECONDS, detail)

    # --- the record -------------------------------------------------------------------------------------------------

    def _deny(self, asked: _Asked, door: Door | None, denied: Denied) -> None:
        request, group = asked.request, door.group.name if door is not None else None
        self._refusals.record(_refused(asked.at, request.source, request.endpoint, denied, group))


@dataclass(frozen=True, slots=True)
class _Asked:
    request: PageRequest
    at: datetime


def _refused(at: datetime, source: str, endpoint: str, denied: Denied, group: str | None = None) -> Refused:
    return Refused(at, source, endpoint, denied, group, message="NDES page", action=Action.NDES_REFUSED)


def _why_missing(door: Door | None) -> Reason:
    if door is None:
        return reasons.ENDPOINT_UNKNOWN
    return reasons.PAGE_MISSING if door.endpoint.enabled else reasons.ENDPOINT_DISABLED


@lru_cache(maxsize=1024)
def _may_ask(networks: tuple[str, ...], source: str) -> bool:
    if not networks:
        return True
    try:
        address = ip_address(source)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return any((mapped or address) in ip_network(network) for network in networks)


# --- names ----------------------------------------------------------------------------------------------------------


def _wish(query: bytes, *, allowed: bool) -> tuple[Names, str | None]:
    """Read the names that a challenge is to be bound to. Raises `PeerError`.

    Where no binding is allowed a query that names none of ours is ignored: some clients append one of their own. Where
    it is allowed nothing is ignored: a word misspelt would make a bearer challenge of one that was to be bound.
    """
    pairs = _pairs(query)
    known = [(key, value) for key, value in pairs if key in _KINDS or key in _SINGLE]
    if not allowed:
        if known:
            raise PeerError(reasons.PAGE_BINDING_REFUSED, f"{known[0][0]} is asked for, and no binding is allowed")
        return Names(), None
    if len(known) < len(pairs):
        raise PeerError(reasons.PAGE_BINDING_REFUSED, "a parameter is not one of device, cn, dns, email, uri, ip")
    single = {key: [value for name, value in known if name == key] for key in _SINGLE}
    if any(len(values) > 1 for values in single.values()):
        raise PeerError(reasons.PAGE_BINDING_REFUSED, "device or cn is given twice")
    for values in single.values():
        for value in values:
            check_common_name(value)
    sans = frozenset(make_san(_KINDS[key], value) for key, value in known if key in _KINDS)
    names = Names(next(iter(single["cn"]), None), sans)
    check_names(names)
    return names, next(iter(single["device"]), None)


def _pairs(query: bytes) -> list[tuple[str, str]]:
    try:
        return parse_qsl(query.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=_MOST_NAMES)
    except ValueError:
        raise PeerError(reasons.PAGE_BINDING_REFUSED, "the query cannot be read") from None


# --- guessing -------------------------------------------------------------------------------------------------------


class _Guard:
    """Judges users and passwords, and stops who guesses them (CHA-3)."""

    def __init__(self, store: NdesStore, allowances: Allowances, key: bytes) -> None:
        """`key`: 32 octets that nobody else has, for as long as this process lives."""
        self._store = store
        self._key = key
        self._lock = threading.Lock()
        self._by_source = Counts(reasons.PAGE_SOURCE_GUESSING, "source", allowances.wrong_passwords_per_source)
        self._by_page = Counts(reasons.PAGE_GUESSING, "endpoint", allowances.wrong_passwords_per_page)
        # Right logins under a keyed hash: a fleet that enrols at once must not cost 0.1 s for each device.
        self._right: dict[str, bytes] = {}
        self._trusted: dict[tuple[str, str], None] = {}
        self._judging: dict[bytes, Future[str | None]] = {}

    def judge(self, page: NdesPage, login: Login, door: Door, source: str, at: datetime) -> Limited | str | None:
        """Say None where the login is right, what is wrong with it, or that there were too many wrong ones.

        Each counts as wrong until it has proved right, so that many at once are not more than the limit. The same login
        is judged once at a time and counted once: a fleet that begins to enrol with the right one does not reach it.
        """
        place = source_of(source)
        counted = [(self._by_source, f"source:{place}")]
        if (page.password_hash, place) not in self._trusted:
            # Strangers cannot keep an MDM out that has logged in from its own address before.
            counted.append((self._by_page, f"endpoint:{page.endpoint}"))
        lengths = len(login.user).to_bytes(4, "big")
        said = b"\0".join((page.password_hash.encode(), lengths, login.user, login.password))
        digest = hmac.digest(self._key, said, "sha256")
        fault: str | None = None
        entered = self._enter(counted, at, digest)
        while isinstance(entered, Future):
            fault = entered.result()
            entered = self._enter(counted, at, digest, judged=fault is not None)
        if isinstance(entered, _Reached):
            return self._told(entered, door, source, at)
        if fault is not None:
            return fault
        fault = "it was not judged to the end"
        try:
            fault = self._fault(page, login, digest)
        finally:
            self._leave(digest, entered, (page.password_hash, place), fault)
        return fault

    def _leave(self, digest: bytes, entered: list[Window], who: tuple[str, str], fault: str | None) -> None:
        """Tell the same logins that wait; trust from now on who was right."""
        with self._lock:
            self._judging.pop(digest).set_result(fault)
            if fault is None:
                for window in entered:
                    window.count -= 1
                self._trusted[who] = None
                if len(self._trusted) > _SOURCES_TRUSTED:
                    del self._trusted[next(iter(self._trusted))]

    def _fault(self, page: NdesPage, login: Login, digest: bytes) -> str | None:
        """Compare user and password; both, and in the same time, whichever is wrong."""
        if hmac.compare_digest(self._right.get(page.endpoint, b""), digest):
            return None
        same_user = hmac.compare_digest(login.user, page.user.encode())
        same_password = is_password(login.password, page.password_hash)
        if same_user and same_password:
            self._right[page.endpoint] = digest
            return None
        # What was typed as a user may be the password, so neither is repeated.
        return "the user is the page's, the password is not" if same_user else "another user than the page's"

    def _enter(
        self, counted: list[tuple[Counts, str]], at: datetime, digest: bytes, *, judged: bool = False
    ) -> list[Window] | _Reached | Future[str | None]:
        """Count a login; where the same one is being judged, return what tells how that ends, and count nothing.

        `judged`: that was waited for, and the login is wrong.
        """
        with self._lock:
            if not judged and digest in self._judging:
                return self._judging[digest]
            for counts, subject in counted:
                window = counts.used_up(subject, at)
                if window is not None:
                    first, window.told = not window.told, True
                    return _Reached(counts, subject, window, first=first)
            if not judged:
                self._judging[digest] = Future()
            return [counts.add(subject, at) for counts, subject in counted]

    def _told(self, reached: _Reached, door: Door, source: str, at: datetime) -> Limited:
        """Say so, and once in each window in the record: the alarm that CHA-3 asks for."""
        counts, window = reached.counts, reached.window
        detail = f"{counts.limit} in {int(counts.span.total_seconds())} seconds"
        if reached.first:
            event = EventDraft(
                at=at,
                actor=Actor(ActorKind.SYSTEM, "limits", source),
                action=Action.LIMIT_REACHED,
                object=reached.subject,
                outcome=Outcome.REFUSED,
                group=door.group.name,
                reason_id=counts.reason.id,
                security=True,
                details={"title": counts.reason.title, "detail": detail},
            )
            try:
                self._store.record((event,))
            except UnavailableError:
                window.told = False
                raise
        left = window.since + counts.span - at
        return Limited(counts.reason, max(math.ceil(left.total_seconds()), 1), detail)


@dataclass(frozen=True, slots=True)
class _Reached:
    counts: Counts
    subject: str
    window: Window
    first: bool
