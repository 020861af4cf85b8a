"""What everybody may read of the API: its OpenAPI document, the reference made of it, and a page for each error id.

Nothing here depends on what this home holds. The pages are made when they are first asked for: most processes never
need them.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from functools import partial
from html import escape
from typing import TYPE_CHECKING, Any, Final

from regalia import __version__, reasons
from regalia.web.answers import answer
from regalia.web.api import PREFIX
from regalia.web.conditional import etag_of
from regalia.web.openapi import openapi
from regalia.web.problems import ERRORS_PATH
from regalia.web.rendering import STATIC

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from regalia.errors import Reason
    from regalia.verbs import Verb
    from regalia.web.answers import Answer, Header

__all__ = ["DOCUMENT_PATH", "ApiPages", "document_text"]

DOCUMENT_PATH: Final = f"{PREFIX}/openapi.json"
_ICON_PATH: Final = f"{STATIC}crown.svg"
_RECORDS: Final = "records"
_STYLE_PATH: Final = f"{PREFIX}/style.css"
_HTML: Final = b"text/html; charset=utf-8"
_NO_CACHE: Final[Header] = (b"cache-control", b"no-cache")

_STYLE: Final = """\
:root {
  color-scheme: light dark;
  --line: light-dark(#e6e4ed, #2c2938);
  --text-2: light-dark(#494560, #bdb9cd);
  --text-3: light-dark(#656079, #9a95ae);
}
* { box-sizing: border-box; }
body {
  margin: 0; background: light-dark(#faf9fc, #121018); color: light-dark(#1b182b, #edebf4);
  font: 400 0.875rem/1.5 system-ui, "Segoe UI", Roboto, "Noto Sans", "Liberation Sans", sans-serif;
}
main { max-inline-size: 60rem; margin-inline: auto; padding: 2rem 1rem 4rem; overflow-wrap: anywhere; }
a { color: light-dark(#4c2fa6, #b3a0fb); text-underline-offset: 0.18em; }
code { font-family: ui-monospace, "Cascadia Mono", "Liberation Mono", Menlo, Consolas, monospace; font-size: 0.93em; }
h1 { font-size: 1.375rem; line-height: 1.25; font-weight: 650; letter-spacing: -0.015em; margin: 0 0 1rem; }
h2 {
  font-size: 1.125rem; font-weight: 620; margin: 3rem 0 0; padding-block-end: 0.5rem;
  border-block-end: 1px solid var(--line);
}
h3 { font-size: 0.875rem; font-weight: 620; margin: 2rem 0 0.25rem; }
p { margin: 0 0 0.5rem; max-inline-size: 45rem; color: var(--text-2); }
nav ul { display: flex; flex-wrap: wrap; gap: 0.25rem 1rem; padding: 0; margin: 1.5rem 0 0; list-style: none; }
nav a { display: inline-block; min-block-size: 1.5rem; }
table {
  border-collapse: collapse; inline-size: 100%; margin: 0.75rem 0; table-layout: fixed;
  background: light-dark(#ffffff, #191721);
}
th, td {
  text-align: start; vertical-align: top; padding: 0.5rem 0.75rem; font-size: 0.8125rem; font-weight: 400;
  border: 1px solid var(--line);
}
thead th { font-size: 0.75rem; font-weight: 500; color: var(--text-3); }
th:first-child { inline-size: 42%; }
small { display: block; font-size: 0.75rem; color: var(--text-3); }
:focus-visible { outline: 2px solid light-dark(#5b3cc4, #b3a0fb); outline-offset: 2px; border-radius: 4px; }
"""
"""The colours are those of the pages at the door."""

_CODE: Final = re.compile(r"`([^`]+)`")


def document_text(verbs: Iterable[Verb[Any, Any]]) -> str:
    """Write the OpenAPI document as it is served, and kept in docs/reference/openapi.json."""
    return json.dumps(openapi(verbs), indent=2, ensure_ascii=True) + "\n"


class ApiPages:
    """The pages by their paths."""

    def __init__(self, verbs: Iterable[Verb[Any, Any]]) -> None:
        self._verbs = tuple(verbs)
        self._lock = threading.Lock()
        self._made: dict[str, Answer] = {}
        self._makers: Mapping[str, Callable[[], tuple[bytes, str]]] = {
            DOCUMENT_PATH: lambda: (b"application/json", document_text(self._verbs)),
            PREFIX: lambda: (_HTML, "".join(_reference(openapi(self._verbs)))),
            f"{PREFIX}/": lambda: (_HTML, "".join(_reference(openapi(self._verbs)))),
            _STYLE_PATH: lambda: (b"text/css; charset=utf-8", _STYLE),
            **{f"{ERRORS_PATH}/{each.id}": partial(_error, each) for each in reasons.ALL},
        }

    def has(self, path: str) -> bool:
        """Whether there is a page at this path."""
        return path in self._makers

    def page(self, path: str) -> Answer:
        """Return a page that there is. May take a moment the first time."""
        with self._lock:
            if path not in self._made:
                media, text = self._makers[path]()
                tag = etag_of(hashlib.sha256(text.encode()).hexdigest()[:32])
                self._made[path] = answer(200, text.encode(), media, _NO_CACHE, tag)
            return self._made[path]


# --- HTML -----------------------------------------------------------------------------------------------------------


def _page(title: str, body: Iterable[str]) -> Iterator[str]:
    yield (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{escape(title)}</title><link rel="icon" href="{_ICON_PATH}" type="image/svg+xml">'
        f'<link rel="stylesheet" href="{_STYLE_PATH}"></head><body><main>\n'
    )
    yield from body
    yield "</main></body></html>\n"


def _prose(text: str) -> str:
    """Write what the document says in Markdown: its only mark is that for code."""
    return _CODE.sub(r"<code>\1</code>", escape(text))


def _error(reason: Reason) -> tuple[bytes, str]:
    body = (
        f"<h1>{escape(reason.id)}</h1>\n<p>What happened: {_prose(reason.title)}.</p>\n"
        f"<p>What to do: {_prose(reason.remedy)}</p>\n"
        f"<p>More is in the documentation, <code>docs/errors/{escape(reason.id)}.md</code>.</p>\n"
    )
    return _HTML, "".join(_page(f"{reason.id} {reason.title}", [body]))


def _reference(document: Mapping[str, Any]) -> Iterator[str]:
    yield from _page("Regalia API", _sections(document))


def _sections(document: Mapping[str, Any]) -> Iterator[str]:
    yield f"<h1>Regalia API</h1>\n<p>Version {escape(__version__)}. The same for programs: "
    yield f'<a href="{DOCUMENT_PATH}">openapi.json</a>.</p>\n'
    for paragraph in document["info"]["description"].strip().split("\n\n"):
        yield f"<p>{_prose(paragraph)}</p>\n"
    nouns: dict[str, list[tuple[str, str, Mapping[str, Any]]]] = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            nouns.setdefault(operation["tags"][0], []).append((method, path, operation))
    yield '<nav aria-label="Contents"><ul>\n'
    for name in (*sorted(nouns), _RECORDS):
        yield f'<li><a href="#{escape(name)}">{escape(name)}</a></li>\n'
    yield "</ul></nav>\n"
    for noun in sorted(nouns):
        yield f'<h2 id="{escape(noun)}">{escape(noun)}</h2>\n'
        for method, path, operation in nouns[noun]:
            yield from _operation(method, path, operation, document["components"])
    yield f'<h2 id="{_RECORDS}">{_RECORDS}</h2>\n'
    for name, schema in document["components"]["schemas"].items():
        yield f'<h3 id="{escape(name)}">{escape(name)}</h3>\n<p>{_prose(schema.get("description", ""))}</p>\n'
        yield from _fields(schema)


def _operation(method: str, path: str, operation: Mapping[str, Any], components: Mapping[str, Any]) -> Iterator[str]:
    yield f'<h3 id="{escape(operation["operationId"])}"><code>{method.upper()} {PREFIX}{escape(path)}</code></h3>\n'
    yield f"<p>{_prose(operation['summary'])} {_prose(operation['description'])}</p>\n"
    rows = []
    for each in operation["parameters"]:
        told = components["parameters"][each["$ref"].rpartition("/")[2]] if "$ref" in each else each
        where = f"{told['in']}{', required' if told['required'] else ''}"
        rows.append((told["name"], where, _type(told["schema"]), told.get("description", "")))
    body = operation.get("requestBody")
    if body is not None:
        rows += _rows(body["content"]["application/json"]["schema"], "body")
    yield from _table(rows)
    for status, response in operation["responses"].items():
        if status.startswith("2"):
            given = _type(response["content"]["application/json"]["schema"], link=True)
            yield f"<p>{escape(status)}: {given}</p>\n"


def _fields(schema: Mapping[str, Any]) -> Iterator[str]:
    if "enum" in schema:
        yield f"<p>One of {', '.join(f'<code>{escape(str(each))}</code>' for each in schema['enum'])}.</p>\n"
    yield from _table(_rows(schema, "record"))


def _rows(schema: Mapping[str, Any], where: str) -> list[tuple[str, str, str, str]]:
    required = schema.get("required", ())
    return [
        (name, f"{where}{', required' if name in required else ''}", _type(each), each.get("description", ""))
        for name, each in schema.get("properties", {}).items()
    ]


def _table(rows: list[tuple[str, str, str, str]]) -> Iterator[str]:
    """Two columns, so that the page scrolls sideways nowhere."""
    if not rows:
        return
    yield '<table><thead><tr><th scope="col">name</th><th scope="col">meaning</th></tr></thead><tbody>\n'
    for name, where, kind, meaning in rows:
        yield f'<tr><th scope="row"><code>{escape(name)}</code><small>{where}: {kind}</small></th>'
        yield f"<td>{_prose(meaning)}</td></tr>\n"
    yield "</tbody></table>\n"


def _type(schema: Mapping[str, Any], *, link: bool = True) -> str:
    """Say in HTML what a schema lets through."""
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f'<a href="#{name}">{name}</a>' if link else name
    if "anyOf" in schema:
        return " or ".join(_type(each, link=link) for each in schema["anyOf"])
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}), link=link)}"
    if "enum" in schema:
        return " or ".join(f"<code>{escape(str(each))}</code>" for each in schema["enum"])
    return escape(str(schema.get("format") or schema.get("type") or "anything"))
