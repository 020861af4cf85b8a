"""Calls with an application's token: a token that is not accepted is replaced."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from regalia import reasons
from regalia.connectors.microsoft_http import CallError, error_code
from regalia.model.connector import NotAsked

if TYPE_CHECKING:
    from regalia.connectors.microsoft_http import Answer, Call, JsonCalls
    from regalia.connectors.microsoft_token import TokenSource
    from regalia.connectors.pace import Budget

__all__ = ["MicrosoftApi", "unexpected"]


class MicrosoftApi:
    """One of Microsoft's services, by its scope."""

    def __init__(self, calls: JsonCalls, tokens: TokenSource, scope: str) -> None:
        self._calls = calls
        self._tokens = tokens
        self._scope = scope

    def call(self, call: Call, budget: Budget) -> Answer:
        """Ask with a token. Raises `CallError`, also CON-024 for 401 and 403; other 4xx are answers."""
        answer = self._with_token(call, budget)
        if answer.status == 401:
            answer = self._with_token(call, budget)
        if answer.status in (401, 403):
            told = f"{call.what}: HTTP {answer.status} {error_code(answer.body)}".rstrip()
            raise CallError(NotAsked(reasons.CONNECTOR_FORBIDDEN, f"{told}, {answer.ids()}"), status=answer.status)
        return answer

    def _with_token(self, call: Call, budget: Budget) -> Answer:
        token = self._tokens.token(self._scope, budget)
        answer = self._calls.call(replace(call, headers={**call.headers, "Authorization": f"Bearer {token}"}), budget)
        if answer.status in (401, 403):
            # A token holds the permissions of when it was made: consent that was given since is in the next one.
            self._tokens.drop(self._scope, token)
        return answer


def unexpected(call: Call, answer: Answer) -> CallError:
    """Make the error for a status that says nothing about what was asked."""
    told = f"{call.what}: HTTP {answer.status} {error_code(answer.body)}".rstrip()
    return CallError(NotAsked(reasons.CONNECTOR_GARBLED, f"{told}, {answer.ids()}"), status=answer.status)
