"""MDMs that fetch a challenge from Microsoft's NDES page: how each kind of them reads it.

The four ways of reading are those that public scrapers have (mdm.md §6.2); the code here is nobody's but ours.
"""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.error import HTTPError
from urllib.request import (
    HTTPBasicAuthHandler,
    HTTPPasswordMgrWithDefaultRealm,
    HTTPSHandler,
    ProxyHandler,
    build_opener,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["READERS", "Mdm", "Page"]

SECONDS = 30


@dataclass(frozen=True, slots=True)
class Page:
    """What came back."""

    status: int
    body: bytes
    content_type: str
    retry_after: str | None = None


@dataclass(frozen=True, slots=True)
class Mdm:
    """An MDM with a service account and our root in its trust store."""

    roots: Path
    user: str
    password: str
    newest_tls: ssl.TLSVersion = ssl.TLSVersion.MAXIMUM_SUPPORTED

    def get(self, url: str) -> Page:
        """Ask as most do: first without a login, then with what the server offered."""
        context = ssl.create_default_context(cafile=str(self.roots))
        context.maximum_version = self.newest_tls
        known = HTTPPasswordMgrWithDefaultRealm()
        known.add_password(None, url, self.user, self.password)
        opener = build_opener(ProxyHandler({}), HTTPSHandler(context=context), HTTPBasicAuthHandler(known))
        try:
            with opener.open(url, timeout=SECONDS) as answer:
                return Page(answer.status, answer.read(), answer.headers["content-type"])
        except HTTPError as refused:
            with refused:
                return Page(
                    refused.code, refused.read(), refused.headers["content-type"], refused.headers["retry-after"]
                )


def _by_pattern(page: Page) -> str:
    """Look for the phrase in any case, in whichever encoding it turns up: UTF-16LE is tried first."""
    for codec in ("utf-16-le", "utf-8"):
        found = re.search(r"(?i)the enrollment challenge password is: <b> (\S*)", page.body.decode(codec, "replace"))
        if found is not None:
            return found[1]
    raise AssertionError("no phrase")


def _by_pieces(page: Page) -> str:
    """Split at each `>`; the piece whose second character begins the phrase comes before the one with the password."""
    pieces = page.body.decode("utf-16").split(">")
    (before,) = [
        place for place, piece in enumerate(pieces) if piece.find("The enrollment challenge password is: <B") == 1
    ]
    return pieces[before + 1].strip("</B").strip()


def _by_utf_16_alone(page: Page) -> str:
    """Decode UTF-16 whatever the headers say, then take what stands between the second pair of B tags."""
    inside = re.findall(r"<B>(.*?)</B>", page.body.decode("utf-16"))
    return str(inside[1]).strip()


def _by_run(page: Page) -> str:
    """Take octets for UTF-8 and look for the first word that is 16 upper-case hexadecimal digits."""
    words = page.body.decode("utf-8").split()
    return next(word for word in words if re.fullmatch(r"[A-F0-9]{16}", word))


READERS: dict[str, tuple[Callable[[Page], str], tuple[str, ...]]] = {
    "pattern": (_by_pattern, ()),
    "pieces": (_by_pieces, ("--encoding", "utf-16le-bom")),
    "utf-16 alone": (_by_utf_16_alone, ("--encoding", "utf-16le")),
    "run of digits": (_by_run, ("--encoding", "utf-8", "--digits", "16", "--acknowledge-short")),
}
"""Each way of reading, and the settings of the page that an administrator would choose for it."""
