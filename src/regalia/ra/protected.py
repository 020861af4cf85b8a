"""Names that no device gets, whatever challenge or profile it has: our own servers', and those on a list (POL-5)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from regalia import reasons
from regalia.errors import PeerError
from regalia.model import SanKind
from regalia.wire import oids
from regalia.wire.certificate import read_certificate
from regalia.wire.names import read_name, text_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from regalia.model import Door, Names

__all__ = ["UNPROTECTED", "ProtectedNames", "check_domains", "check_public_suffixes"]

_OF_A_DOMAIN = (SanKind.DNS, SanKind.EMAIL, SanKind.UPN)


@dataclass(frozen=True, slots=True)
class ProtectedNames:
    """A deny list that no profile overrides."""

    exact: frozenset[str] = frozenset()
    """In small letters: DNS names, addresses, e-mail addresses, user principal names, common names."""
    below: tuple[str, ...] = ()
    """Suffixes with their dot, `.pki.example.com`: every name that ends so."""

    @classmethod
    def of(cls, entries: Iterable[str]) -> ProtectedNames:
        """Take a list as an administrator writes it: names, and `*.` before a domain for all names below it."""
        texts = [entry.casefold() for entry in entries if entry]
        return cls(
            frozenset(text for text in texts if not text.startswith("*.")),
            tuple(text[1:] for text in texts if text.startswith("*.")),
        )

    def check(self, names: Names, door: Door) -> None:
        """Raise `PeerError` NAME_PROTECTED where a name is on the list, or a CN is that of an authority."""
        for text in _texts(names):
            if text in self.exact or (self.below and text.endswith(self.below)):
                raise PeerError(reasons.NAME_PROTECTED, f"{text!a} is a protected name")
        if names.cn is not None and names.cn.casefold() in _authorities(door):
            raise PeerError(reasons.NAME_PROTECTED, f"{names.cn!a} is the name of an authority")


UNPROTECTED = ProtectedNames()


def _texts(names: Names) -> Iterator[str]:
    if names.cn is not None:
        yield names.cn.casefold()
    for san in names.sans:
        yield san.value.casefold()
        if san.kind is SanKind.URI and (host := urlsplit(san.value).hostname):
            yield host


def _authorities(door: Door) -> Iterator[str]:
    for authority in (door.authority, door.root, *door.between, *door.former):
        yield _common_name(authority.certificate_der)


@lru_cache(maxsize=64)
def _common_name(certificate: bytes) -> str:
    rdns = read_name(read_certificate(certificate).subject)
    return next((text_of(value).casefold() for rdn in rdns for kind, value in rdn if kind == oids.AT_COMMON_NAME), "")


def check_domains(names: Names, domains: tuple[str, ...]) -> None:
    """Raise `PeerError` NAME_PROTECTED where a DNS, e-mail or user principal name lies outside all the domains."""
    for san in sorted(names.sans):
        host = san.value.rpartition("@")[2]
        if san.kind in _OF_A_DOMAIN and not any(host == domain or host.endswith(f".{domain}") for domain in domains):
            raise PeerError(reasons.NAME_PROTECTED, f"{san} lies outside {', '.join(domains)}")


@lru_cache(maxsize=256)
def check_public_suffixes(names: Names) -> None:
    """Raise `PeerError` NAME_PROTECTED where a DNS name is one under which anybody registers names, like `co.uk`."""
    for san in sorted(names.sans):
        host = san.value.rpartition("@")[2]
        if san.kind in _OF_A_DOMAIN and _public_suffix_of()(host) == host:
            raise PeerError(reasons.NAME_PROTECTED, f"{san} is a public suffix")


@lru_cache(maxsize=1)
def _public_suffix_of() -> Callable[[str], str | None]:
    """The list of publicsuffix.org, as of the installed package; loading it takes some 30 ms."""
    from publicsuffixlist import PublicSuffixList  # noqa: PLC0415 - only who certifies DNS names waits for it

    return PublicSuffixList(only_icann=True).publicsuffix
