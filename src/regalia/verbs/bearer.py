"""Who asks with a token."""

from __future__ import annotations

from typing import TYPE_CHECKING

from regalia.ra.tokens import bearer_of_token
from regalia.verbs.verb import Caller

if TYPE_CHECKING:
    from datetime import datetime

    from regalia.ra.tokens import TokenStore

__all__ = ["caller_of_token"]


def caller_of_token(store: TokenStore, secret: str, *, now: datetime, source: str) -> Caller:
    """Say who asks: what the token may do within what its owner may do at this moment (AUTHZ-7).

    A program is no person: it proposes, and never approves. Raises `AdminError` API-001, one for all causes;
    `UnavailableError` where the store does not answer.
    """
    bearer = bearer_of_token(store, secret, now=now, source=source)
    return Caller(bearer.actor, bearer.grants, administrator=bearer.administrator, program=True)
