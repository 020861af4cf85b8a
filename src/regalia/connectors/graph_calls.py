"""Calls to Microsoft Graph: pages, links that are followed only at home, and what confirms an absence."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from regalia import reasons
from regalia.connectors.microsoft_api import unexpected
from regalia.connectors.microsoft_http import Call, CallError, error_code
from regalia.errors import AdminError
from regalia.net.url import read_url

if TYPE_CHECKING:
    from collections.abc import Mapping

    from regalia.connectors.microsoft_api import MicrosoftApi
    from regalia.connectors.microsoft_http import Answer
    from regalia.connectors.pace import Budget
    from regalia.model.event import JsonValue

__all__ = ["GraphCalls", "GraphPage"]

_LONGEST_LINK: Final = 8_000
_PLACE_UNKNOWN: Final = 410


@dataclass(frozen=True, slots=True)
class GraphPage:
    """A page of a list."""

    items: tuple[Mapping[str, JsonValue], ...]
    next_link: str | None
    delta_link: str | None
    request_id: str


class GraphCalls:
    """Asks Graph."""

    def __init__(self, api: MicrosoftApi, base: str) -> None:
        self._api = api
        self._base = base

    def page(self, what: str, link: str, budget: Budget, *, most: int | None = None) -> GraphPage | None:
        """Read a page, by a path or by a link that Graph gave; None where Graph knows the place no longer (410)."""
        url = f"{self._base}{link}" if link.startswith("/") else self._home(what, link)
        headers = {"Prefer": f"odata.maxpagesize={most}"} if most else {}
        call = Call(f"Graph {what}", "GET", url, headers)
        answer = self._api.call(call, budget)
        if answer.status == _PLACE_UNKNOWN:
            return None
        items = answer.body.get("value")
        if answer.status != 200:
            raise unexpected(call, answer)
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            # A page that cannot be read whole is no page: what it would leave out would look absent.
            raise CallError.of(reasons.CONNECTOR_GARBLED, f"{call.what}: no list came, {answer.ids()}")
        return GraphPage(
            tuple(item for item in items if isinstance(item, dict)),
            self._link(call.what, answer, "@odata.nextLink"),
            self._link(call.what, answer, "@odata.deltaLink"),
            answer.request_id,
        )

    def one(self, what: str, path: str, budget: Budget) -> Answer | None:
        """Read one object; None where Graph itself says that there is none.

        A 404 without Graph's error is no such word: it may be a proxy's, or of a wrong base URL.
        """
        return self._object(Call(f"Graph {what}", "GET", f"{self._base}{path}"), budget)

    def posted(self, what: str, path: str, document: Mapping[str, JsonValue], budget: Budget) -> Answer | None:
        """Ask with a document; None where there is no such object."""
        headers = {"Content-Type": "application/json"}
        body = json.dumps(document).encode()
        return self._object(Call(f"Graph {what}", "POST", f"{self._base}{path}", headers, body), budget)

    def _object(self, call: Call, budget: Budget) -> Answer | None:
        answer = self._api.call(call, budget)
        if answer.status == 404 and error_code(answer.body).lower().endswith("notfound"):
            return None
        if answer.status != 200:
            raise unexpected(call, answer)
        return answer

    def _link(self, what: str, answer: Answer, name: str) -> str | None:
        link = answer.body.get(name)
        if link is None:
            return None
        if not isinstance(link, str):
            # Without it the list would seem to end here.
            raise CallError.of(reasons.CONNECTOR_GARBLED, f"{what}: {name} is no URL, {answer.ids()}")
        return self._home(what, link)

    def _home(self, what: str, link: str) -> str:
        """See that a link leads to where the token belongs. Its octets are kept as they came."""
        try:
            there, here = read_url(link, longest=_LONGEST_LINK), read_url(self._base)
        except AdminError:
            raise CallError.of(reasons.CONNECTOR_GARBLED, f"{what}: a link that cannot be read") from None
        if (there.scheme, there.host, there.port) != (here.scheme, here.host, here.port):
            raise CallError.of(reasons.CONNECTOR_GARBLED, f"{what}: a link to another server")
        return link
