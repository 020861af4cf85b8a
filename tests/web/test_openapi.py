"""The OpenAPI document: whole, readable without sign-in, and true to what is answered."""

from __future__ import annotations

import json
import re
from html import unescape
from typing import TYPE_CHECKING, Any

import pytest
from tools.api_reference import DOCUMENT

from regalia import reasons
from regalia.verbs import VERBS
from regalia.web.api_pages import ApiPages
from web.api_parts import Api, Bare

if TYPE_CHECKING:
    from collections.abc import Iterator

    from regalia.web.pool import Pools

Json = dict[str, Any]


@pytest.fixture
def api(pools: Pools) -> Api:
    """Return the product's API over as little as it needs."""
    return Api(pools.status, Bare())


@pytest.fixture
def document(api: Api) -> Json:
    """Return the document as a stranger reads it."""
    heard = api.ask("GET", "/openapi.json", token=None)
    assert (heard.status, heard.headers["content-type"]) == (200, "application/json")
    found: Json = json.loads(heard.body)
    return found


def operations(document: Json) -> Iterator[tuple[str, str, Json]]:
    """List the operations with method and path."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method, path, operation


def references(node: object) -> Iterator[str]:
    """List what is referred to."""
    if isinstance(node, dict):
        yield from ([node["$ref"]] if isinstance(node.get("$ref"), str) else [])
        for inner in node.values():
            yield from references(inner)
    elif isinstance(node, list):
        for inner in node:
            yield from references(inner)


def test_what_is_served_is_what_the_repository_has(api: Api) -> None:
    """The document is read without sign-in, and docs/reference/openapi.json is a copy of it, octet by octet."""
    heard = api.ask("GET", "/openapi.json", token=None)
    assert heard.body.decode() == DOCUMENT.read_text(encoding="utf-8")
    again = api.ask("GET", "/openapi.json", token=None, headers={"if-none-match": heard.headers["etag"]})
    assert again.status == 304


def test_every_verb_is_told_with_its_right(document: Json) -> None:
    """AUTHZ-1: each verb is one operation that says its right, and no path field is missing from its parameters."""
    told = {operation["operationId"]: (method, path, operation) for method, path, operation in operations(document)}
    assert told.keys() == VERBS.keys()
    for name, (method, path, operation) in told.items():
        assert f"`{VERBS[name].right}`" in operation["description"]
        assert operation["summary"].endswith(".")
        fields = {each["name"] for each in operation["parameters"] if each.get("in") == "path"}
        assert fields == set(re.findall(r"\{(\w+)\}", path))
        assert ("requestBody" in operation) == (method in {"post", "put"})


def test_every_reference_leads_somewhere(document: Json) -> None:
    """What the document refers to is in it, and it holds no schema that nothing refers to."""
    found = set(references(document))
    for reference in found:
        node: Any = document
        for part in reference.removeprefix("#/").split("/"):
            node = node[part]
    schemas = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert schemas <= found


def test_every_page_of_an_error_is_there(api: Api) -> None:
    """The type of each problem leads to a page that says what happened and what to do, for everybody."""
    pages = ApiPages(())
    for reason in reasons.ALL:
        text = unescape(pages.page(f"/api/v1/errors/{reason.id}").body.decode())
        told = re.sub(r"</?code>", "`", text)
        assert reason.title in told
        assert reason.remedy in told
    assert api.ask("GET", "/errors/ADM-004", token=None).status == 200
    assert api.ask("GET", "/errors/ADM-999", token=None).status == 401


@pytest.mark.parametrize("path", ["", "/"])
def test_the_reference_loads_nothing_from_outside(api: Api, path: str) -> None:
    """The page for people has no script and no style of others, and no inline style (WEB-1)."""
    heard = api.ask("GET", path, token=None)
    text = heard.body.decode()
    assert heard.headers["content-type"] == "text/html; charset=utf-8"
    ours = {"/api/v1/style.css", "/api/v1/openapi.json", "/static/crown.svg"}
    assert set(re.findall(r'(?:src|href)="([^"#]+)"', text)) == ours
    assert not re.search(r"<script|<style| style=|https?://", text)
    assert all(f"{verb.method} /api/v1{verb.path}" in text for verb in VERBS.values())
    assert api.ask("GET", "/style.css", token=None).headers["content-type"] == "text/css; charset=utf-8"
    assert api.ask("POST", path, {}, token=None).status == 401
