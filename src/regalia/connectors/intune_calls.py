"""Calls to Intune's own services: headers, versions, and where to ask when a service moved."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Final

from regalia import __version__
from regalia.connectors.microsoft_api import unexpected
from regalia.connectors.microsoft_http import Call, CallError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from regalia.connectors.intune_discovery import IntuneAddresses
    from regalia.connectors.microsoft_api import MicrosoftApi
    from regalia.connectors.microsoft_http import Answer
    from regalia.connectors.pace import Budget
    from regalia.model.event import JsonValue

__all__ = ["CALLER", "FEED_VERSION", "SCEP_VERSION", "IntuneCalls", "base64_of"]

CALLER: Final = f"Regalia/{__version__}"
SCEP_VERSION: Final = "2018-02-20"
FEED_VERSION: Final = "5019-05-05"
_MOVED: Final = (404, 410)
_LEAST_SECONDS: Final = 1.0
"""In less, asking anew would only hide what went wrong."""


class IntuneCalls:
    """Asks one of Intune's services."""

    def __init__(self, api: MicrosoftApi, addresses: IntuneAddresses) -> None:
        self._api = api
        self._addresses = addresses

    def post(
        self, service: str, version: str, suffix: str, document: Mapping[str, JsonValue], budget: Budget
    ) -> Answer:
        """Post a document; once more, to a fresh address, where nobody serves it. Raises `CallError`."""
        body = json.dumps(document).encode()
        try:
            answer = self._posted(service, version, suffix, body, budget)
        except CallError as error:
            if not error.elsewhere or budget.left() < _LEAST_SECONDS:
                raise
        else:
            if answer.status not in _MOVED:
                return self._expected(suffix, answer)
        self._addresses.forget()
        return self._expected(suffix, self._posted(service, version, suffix, body, budget))

    def _posted(self, service: str, version: str, suffix: str, body: bytes, budget: Budget) -> Answer:
        url = f"{self._addresses.address(service, budget)}/{suffix}"
        headers = {"Content-Type": "application/json", "api-version": version, "UserAgent": CALLER}
        return self._api.call(Call(_what(suffix), "POST", url, headers, body), budget)

    def _expected(self, suffix: str, answer: Answer) -> Answer:
        if answer.status in _MOVED:
            self._addresses.forget()
        if answer.status != 200:
            raise unexpected(Call(_what(suffix), "POST", ""), answer)
        return answer


def _what(suffix: str) -> str:
    return f"Intune {suffix.rpartition('/')[2]}"


def base64_of(octets: bytes) -> str:
    """Encode as Intune reads it: plain base64 in one line."""
    return base64.b64encode(octets).decode()
