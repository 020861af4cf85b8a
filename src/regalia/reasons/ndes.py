"""Refusals at the page that hands out challenges as Microsoft's NDES does."""

from __future__ import annotations

from regalia.errors import Reason, Stage

__all__ = [
    "PAGE_BINDING_REFUSED",
    "PAGE_BUSY",
    "PAGE_CACHE_FULL",
    "PAGE_GUESSING",
    "PAGE_LOGIN_REFUSED",
    "PAGE_MISSING",
    "PAGE_NETWORK_REFUSED",
    "PAGE_ONLY_READ",
    "PAGE_OVER_PLAIN_HTTP",
    "PAGE_PASSWORD_REFUSED",
    "PAGE_SCHEME_REFUSED",
    "PAGE_SOURCE_GUESSING",
]

PAGE_OVER_PLAIN_HTTP = Reason(
    "NDES-001",
    Stage.HTTP,
    "the NDES page was asked for over plain HTTP",
    "Give the MDM the https URL. If it sent its password, the network has seen it: set another one.",
)
PAGE_MISSING = Reason(
    "NDES-002",
    Stage.HTTP,
    "the endpoint has no NDES page",
    "Compare the URL in the MDM with `regalia endpoint show`; `regalia endpoint ndes-page` opens a page.",
)
PAGE_ONLY_READ = Reason(
    "NDES-003", Stage.HTTP, "a method other than GET at the NDES page", "The page is read, nothing is sent to it."
)
PAGE_NETWORK_REFUSED = Reason(
    "NDES-004",
    Stage.HTTP,
    "the NDES page may not be asked from this address",
    "If it is your MDM's, add it with `regalia endpoint ndes-page ENDPOINT --network CIDR`.",
)
PAGE_SCHEME_REFUSED = Reason(
    "NDES-005",
    Stage.HTTP,
    "the NDES page was not given a user and password by HTTP Basic",
    "Let the MDM use Basic; NTLM and Negotiate are not offered.",
)
PAGE_LOGIN_REFUSED = Reason(
    "NDES-006",
    Stage.HTTP,
    "wrong user or password at the NDES page",
    "Set the same user and password in the MDM and with `regalia endpoint ndes-page`.",
)
PAGE_BINDING_REFUSED = Reason(
    "NDES-007",
    Stage.HTTP,
    "the NDES page was asked for names that it cannot bind a challenge to",
    "Correct the variables in the MDM's URL, or allow them with `regalia endpoint ndes-page ENDPOINT --allow-binding`.",
)
PAGE_CACHE_FULL = Reason(
    "NDES-008",
    Stage.HTTP,
    "the NDES page has as many open challenges as it may have",
    "Wait until one is used or expires, revoke some, or raise --cache.",
)
PAGE_SOURCE_GUESSING = Reason(
    "NDES-010",
    Stage.LIMIT,
    "too many wrong passwords at the NDES page from this address",
    "Look at its refusals: an MDM with an old password, or somebody who guesses. It may try again after a minute.",
)
PAGE_GUESSING = Reason(
    "NDES-011",
    Stage.LIMIT,
    "too many wrong passwords at this NDES page",
    "Somebody may be guessing from many addresses: name the MDM's with --network.",
)
PAGE_BUSY = Reason(
    "NDES-012",
    Stage.LIMIT,
    "the NDES page handed out as many challenges this minute as it may",
    "MDMs try again by themselves; --rate sets how many. If yours did not ask, its password is known to others.",
)
PAGE_PASSWORD_REFUSED = Reason(
    "NDES-020",
    Stage.ADMIN,
    "the password of the NDES page is too short or too simple",
    "Give a file with at least 14 printable ASCII characters of which 8 differ, for example from `openssl rand -hex 16`.",
)
