"""The pages of the API, made from the verbs: `python -m tools.api_reference` writes them anew; a test compares."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from regalia.verbs import VERBS
from regalia.web.api import PREFIX
from regalia.web.api_pages import document_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from regalia.verbs import Verb

__all__ = ["DOCUMENT", "PAGE", "page_text", "pages"]

_REFERENCE = Path(__file__).resolve().parent.parent / "docs" / "reference"
DOCUMENT = _REFERENCE / "openapi.json"
PAGE = _REFERENCE / "api.md"

_HEAD = f"""\
# API

The admin listener has everything that the commands do at `{PREFIX}`. The same document that a server has at
`{PREFIX}/openapi.json` lies beside this page: [openapi.json](openapi.json). It says which fields each request takes and
what is answered; a browser finds it as a page at `{PREFIX}/`. How to begin: [Use the API](../tasks/use-the-api.md).

* Each request has a token: `Authorization: Bearer TOKEN`. Without a valid one every path answers the same 401.
* Bodies are JSON, and say so: `Content-Type: application/json`.
* A list has `items`, and `next` where there is more: give it as `after`.
* A GET is answered with an `ETag`; with `If-None-Match` it is 304 while nothing changed.
* A write with an `Idempotency-Key` is done once, however often it is sent within a day.
* `?dry_run=true` says what a request would do, where the table says *plan*.
* What needs a second administrator is answered 202 with a proposal.
* A refusal is a problem document (RFC 9457), whose `id` has a page under [errors](../errors/index.md).

| request | verb | right | what it does |
| --- | --- | --- | --- |
"""


def page_text(verbs: Iterable[Verb[Any, Any]]) -> str:
    """Write the page: a line for each verb, in the order of the paths."""
    return _HEAD + "".join(
        f"| `{verb.method} {verb.path}` | {verb.name} | {_right(verb)} | {verb.summary}{_notes(verb)} |\n"
        for verb in sorted(verbs, key=lambda verb: (verb.path, verb.method))
    )


def _right(verb: Verb[Any, Any]) -> str:
    return f"{verb.right}{', everywhere' if verb.everywhere else ''}"


def _notes(verb: Verb[Any, Any]) -> str:
    notes = [
        *(["plan"] if verb.plan is not None else []),
        *(["may need two"] if verb.two_persons is not None else []),
        *(["secret in the answer"] if verb.secret else []),
    ]
    return f" *{', '.join(notes)}*" if notes else ""


def pages() -> Iterator[tuple[Path, str]]:
    """Say what each file is to hold."""
    verbs = tuple(VERBS.values())
    yield DOCUMENT, document_text(verbs)
    yield PAGE, page_text(verbs)


def _main() -> int:
    for path, text in pages():
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(_main())
