"""Setting up the pages that hand out challenges as Microsoft's NDES does. Each change is one event."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from ipaddress import ip_network
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from regalia import reasons
from regalia.errors import AdminError
from regalia.model import Action, Authoriser, EventDraft, NdesEncoding, NdesPage, Outcome
from regalia.ports import Catalogue, NdesPages
from regalia.ra.passwords import SALT_OCTETS, hash_password

if TYPE_CHECKING:
    from regalia.model import Actor, Endpoint, JsonValue
    from regalia.ports import Clock, Entropy

__all__ = ["ANYWHERE", "DIGITS", "RATE", "NdesDesk", "NdesDeskStore", "NdesOptions"]

T = TypeVar("T")

DIGITS: Final = 32
"""The 128 bits of CHA-1; Microsoft's page shows 16 digits."""
RATE: Final = 300
"""Challenges a minute: a profile pushed to a whole fleet asks for as many as it can."""
ANYWHERE: Final = "any"

_SHORTEST: Final = 16
_LONGEST: Final = 64
_MOST_OPEN: Final = 10_000
_MOST_A_MINUTE: Final = 6_000
_MOST_NETWORKS: Final = 64
_USER = re.compile(r"[A-Za-z0-9._@\\-]{1,64}")
"""What MDMs have as a service account: `svc-ndes`, `EXAMPLE\\svc-ndes`, `svc-ndes@example.com`."""
_PASSWORD_LENGTH = range(14, 129)
_PASSWORD_VARIETY: Final = 8


@dataclass(frozen=True, slots=True)
class NdesOptions:
    """What is to be set. None leaves it as it is, and at what is usual where there was no page yet."""

    user: str | None = None
    password: str | None = field(default=None, repr=False)
    digits: int | None = None
    encoding: NdesEncoding | None = None
    cache: int | None = None
    per_minute: int | None = None
    networks: tuple[str, ...] | None = None
    """As CIDR; `any` alone takes the list away."""
    certsrv: bool | None = None
    allow_binding: bool | None = None


class NdesDeskStore(Catalogue, NdesPages, Protocol):
    """What the desk reads and writes."""


class NdesDesk:
    """Opens, changes and closes pages for administrators."""

    def __init__(self, store: NdesDeskStore, clock: Clock, entropy: Entropy) -> None:
        self._store = store
        self._clock = clock
        self._entropy = entropy

    def check(self, endpoint: str, options: NdesOptions, *, acknowledged: bool = False) -> NdesPage:
        """Make the page that `set` would keep.

        Raises `AdminError`: ADM-003 another endpoint has /certsrv, ADM-004 no such enabled endpoint with one-time
        challenges, ADM-013 fewer than 32 digits and nobody acknowledged that, ADM-018 a value that cannot be, NDES-020
        a password that is too short or too simple.
        """
        self._found(endpoint)
        before = self._store.ndes_page(endpoint)
        if before is None and (options.user is None or options.password is None):
            raise AdminError(
                reasons.USAGE, f"endpoint {endpoint} has no page yet: --user and --password-file are needed"
            )
        page = self._page(endpoint, before, options)
        if page.digits < DIGITS and not acknowledged and (before is None or before.digits != page.digits):
            told = (
                f"a challenge of {page.digits} digits has {4 * page.digits} random bits, not 128: --acknowledge-short"
            )
            raise AdminError(reasons.ACKNOWLEDGEMENT_NEEDED, told)
        holder = self._store.certsrv_endpoint()
        if page.certsrv and holder not in (None, endpoint):
            raise AdminError(reasons.NAME_TAKEN, _taken(holder))
        return page

    def set(self, endpoint: str, options: NdesOptions, *, actor: Actor, acknowledged: bool = False) -> NdesPage:
        """Keep a page, or change it. Raises what `check` raises."""
        page = self.check(endpoint, options, acknowledged=acknowledged)
        if not self._store.set_ndes_page(page, (self._changed(page, options, actor),)):
            raise AdminError(reasons.NAME_TAKEN, _taken(self._store.certsrv_endpoint()))
        return page

    def remove(self, endpoint: str, *, actor: Actor) -> None:
        """Close a page; challenges that it handed out stay good. Raises `AdminError` ADM-004 where there is none."""
        found = self._store.endpoint(endpoint)
        group = found.group if found is not None else None
        event = EventDraft(
            self._clock.now(), actor, Action.NDES_PAGE_REMOVED, f"endpoint:{endpoint}", Outcome.OK, group
        )
        if not self._store.remove_ndes_page(endpoint, (event,)):
            raise AdminError(reasons.NOT_FOUND, f"endpoint {endpoint} has no NDES page")

    def _found(self, name: str) -> Endpoint:
        found = self._store.endpoint(name)
        if found is None or not found.enabled or found.authoriser is not Authoriser.ONE_TIME:
            raise AdminError(reasons.NOT_FOUND, f"no enabled endpoint {name!r} with one-time challenges")
        return found

    def _page(self, endpoint: str, before: NdesPage | None, options: NdesOptions) -> NdesPage:
        usual = before or NdesPage(
            endpoint=endpoint,
            user="",
            password_hash="",
            digits=DIGITS,
            encoding=NdesEncoding.UTF_16,
            cache=0,
            per_minute=RATE,
            networks=(),
            certsrv=False,
            allow_binding=False,
            changed_at=self._clock.now(),
        )
        return replace(
            usual,
            user=usual.user if options.user is None else _user(options.user),
            password_hash=usual.password_hash if options.password is None else self._hashed(options.password),
            digits=_digits(_chosen(options.digits, usual.digits)),
            encoding=_chosen(options.encoding, usual.encoding),
            cache=_within("--cache", _chosen(options.cache, usual.cache), range(_MOST_OPEN + 1)),
            per_minute=_within("--rate", _chosen(options.per_minute, usual.per_minute), range(1, _MOST_A_MINUTE + 1)),
            networks=usual.networks if options.networks is None else _networks(options.networks),
            certsrv=_chosen(options.certsrv, usual.certsrv),
            allow_binding=_chosen(options.allow_binding, usual.allow_binding),
            changed_at=self._clock.now(),
        )

    def _hashed(self, password: str) -> str:
        if len(password) not in _PASSWORD_LENGTH or not (password.isascii() and password.isprintable()):
            raise AdminError(reasons.PAGE_PASSWORD_REFUSED, "it must have 14 to 128 printable ASCII characters")
        if len(set(password)) < _PASSWORD_VARIETY:
            raise AdminError(reasons.PAGE_PASSWORD_REFUSED, f"fewer than {_PASSWORD_VARIETY} of its characters differ")
        return hash_password(password.encode("ascii"), self._entropy.octets(SALT_OCTETS))

    def _changed(self, page: NdesPage, options: NdesOptions, actor: Actor) -> EventDraft:
        found = self._found(page.endpoint)
        details: dict[str, JsonValue] = {
            "user": page.user,
            "password": "as before" if options.password is None else "set",
            "digits": page.digits,
            "encoding": page.encoding.value,
            "cache": page.cache,
            "per_minute": page.per_minute,
            "networks": list(page.networks),
            "certsrv": page.certsrv,
            "allow_binding": page.allow_binding,
        }
        if page.digits < DIGITS:
            details["acknowledged"] = f"challenges of {4 * page.digits} random bits"
        return EventDraft(
            page.changed_at,
            actor,
            Action.NDES_PAGE_SET,
            f"endpoint:{page.endpoint}",
            Outcome.OK,
            found.group,
            details=details,
        )


def _taken(holder: str | None) -> str:
    return f"/certsrv leads to endpoint {holder}: take it away there first, with --no-certsrv"


def _chosen(wanted: T | None, usual: T) -> T:
    return usual if wanted is None else wanted


def _user(text: str) -> str:
    if not _USER.fullmatch(text):
        raise AdminError(reasons.USAGE, "--user has 1 to 64 letters, digits and . _ @ \\ -")
    return text


def _digits(count: int) -> int:
    if count % 2 or not _SHORTEST <= count <= _LONGEST:
        raise AdminError(reasons.USAGE, f"--digits is an even number from {_SHORTEST} to {_LONGEST}")
    return count


def _within(option: str, number: int, allowed: range) -> int:
    if number not in allowed:
        raise AdminError(reasons.USAGE, f"{option} must lie between {allowed[0]} and {allowed[-1]}")
    return number


def _networks(texts: tuple[str, ...]) -> tuple[str, ...]:
    if texts == (ANYWHERE,):
        return ()
    if len(texts) > _MOST_NETWORKS:
        raise AdminError(reasons.USAGE, f"at most {_MOST_NETWORKS} networks")
    try:
        return tuple(str(ip_network(text)) for text in texts)
    except ValueError as fault:
        raise AdminError(reasons.USAGE, f"--network: {fault}; write 192.0.2.0/24, 2001:db8::/32, or any") from None
