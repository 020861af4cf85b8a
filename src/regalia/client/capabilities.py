"""What a server says that it can (GetCACaps, RFC 8894 §3.5), and what that is worth (§7.5).

The answer is not signed, so whoever stands in between can shorten it. Nothing weaker follows from that: a server
without AES and SHA-256 is refused, and all that a missing keyword changes is how a message travels and what it is
called.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["Capabilities"]

_STANDARD: Final = frozenset({"AES", "POSTPKIOPERATION", "SHA-256"})
"""What SCEPStandard stands for (RFC 8894 §3.5.2)."""

_MISSING: Final = {
    "SCEPSTANDARD": ("SCEPStandard", "the server does not claim RFC 8894, or somebody in between took the word out"),
    "AES": ("AES", "contents would have to be encrypted with triple DES or less, which this client does not do"),
    "SHA-256": ("SHA-256", "messages would have to be signed with SHA-1 or less, which this client does not do"),
    "POSTPKIOPERATION": ("POSTPKIOperation", "messages travel in URLs, which servers and proxies cut at some length"),
    "RENEWAL": ("Renewal", "a renewal is sent as a PKCSReq that the old certificate signs"),
}
_WEAK: Final = {
    "MD5": ("MD5", "broken: whoever can collide it can forge messages"),
    "DES": ("DES", "broken: a key is found within a day"),
    "SHA-1": ("SHA-1", "taken from devices that know nothing better; this client does not use it"),
    "DES3": ("DES3", "triple DES is taken from devices that know nothing better; this client does not use it"),
}


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What GetCACaps said."""

    keywords: frozenset[str]
    """Upper-cased."""

    def _has(self, keyword: str) -> bool:
        return keyword in self.keywords or (keyword in _STANDARD and "SCEPSTANDARD" in self.keywords)

    @property
    def strong(self) -> bool:
        """Whether it offers AES and SHA-256; SCEPStandard implies both."""
        return self._has("AES") and self._has("SHA-256")

    @property
    def post(self) -> bool:
        """Whether messages are to be POSTed."""
        return self._has("POSTPKIOPERATION")

    @property
    def renewal(self) -> bool:
        """Whether it takes RenewalReq; without it a renewal is a PKCSReq signed by the old certificate."""
        return "RENEWAL" in self.keywords

    @property
    def next_ca(self) -> bool:
        """Whether it tells the CA certificate that follows the current one."""
        return "GETNEXTCACERT" in self.keywords

    def missing(self) -> dict[str, str]:
        """What it lacks, by keyword, with what follows from that."""
        return {name: meaning for keyword, (name, meaning) in _MISSING.items() if not self._has(keyword)}

    def weak(self) -> dict[str, str]:
        """What it offers that is weak, by keyword, with what that means."""
        return {name: meaning for keyword, (name, meaning) in _WEAK.items() if keyword in self.keywords}
