"""Names as sets: what was asked, what is allowed, what a certificate carries."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = [
    "NO_NAMES",
    "Names",
    "San",
    "SanKind",
]


class SanKind(StrEnum):
    """Kinds of subjectAltName (RFC 5280 §4.2.1.6) that we can issue, and OTHER for all that we can only refuse."""

    DNS = "dns"
    EMAIL = "email"
    URI = "uri"
    IP = "ip"
    UPN = "upn"
    """otherName 1.3.6.1.4.1.311.20.2.3, a user principal name."""
    PERMANENT_IDENTIFIER = "permanent-identifier"
    """otherName id-on-permanentIdentifier (RFC 4043): `value` or `value/assigner OID`."""
    HARDWARE_MODULE = "hardware-module"
    """otherName id-on-hardwareModuleName (RFC 4108): `type OID/serial number in hex`."""
    OTHER = "other"


@dataclass(frozen=True, slots=True, order=True)
class San:
    """One subjectAltName in normal form: DNS and e-mail domain lower-case, IP as ipaddress prints it."""

    kind: SanKind
    value: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.value}"


@dataclass(frozen=True, slots=True)
class Names:
    """A set of names: what was asked, what is allowed, or what a certificate carries."""

    cn: str | None = None
    sans: frozenset[San] = frozenset()
    rdns: tuple[tuple[str, str], ...] = ()
    """Further attributes of the subject, as (keyword, text) in their order: `("ou", "Sales")`."""
    sid: str | None = None
    """A Windows SID, vouched for by a directory or an administrator and never asked for (POL-2)."""

    def __bool__(self) -> bool:
        return self.cn is not None or bool(self.sans) or bool(self.rdns) or self.sid is not None

    def listed(self) -> tuple[str, ...]:
        """All names as `kind:value`, the common name first, alternative names sorted."""
        first = (f"cn:{self.cn}",) if self.cn is not None else ()
        last = (f"sid:{self.sid}",) if self.sid is not None else ()
        further = tuple(f"{keyword}:{text}" for keyword, text in self.rdns)
        return first + further + tuple(str(san) for san in sorted(self.sans)) + last


NO_NAMES = Names()
