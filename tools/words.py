"""`python -m tools.words`: brings the console's catalogues up to date with its texts; says what is not translated.

Texts stand in templates (`_`, `ngettext`), in the code of pages (`words`, `marked`, `ngettext`), and in what verbs and
reasons say of themselves. What is no longer said leaves the catalogue.
"""

from __future__ import annotations

import sys
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Final

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir, extract_from_file
from babel.messages.pofile import read_po, write_po

from regalia import reasons
from regalia.connectors.registry import KINDS
from regalia.console.acts import texts_of
from regalia.console.registry import ACTS
from regalia.ra import break_glass
from regalia.verbs import mdm_form
from regalia.words import ENGLISH, LANGUAGES

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["CATALOGUES", "missing", "said", "updated", "written"]

_SOURCE: Final = Path(__file__).parents[1] / "src" / "regalia"
_SPEAKING: Final = ("console", "web")
"""Rooms with pages."""
_TO_STRANGERS: Final = ("ra/break_glass.py", "ra/oidc.py", "web/set_up_pages.py")
"""Where refusals are made whose details the door's pages show (`web.door`)."""
CATALOGUES: Final = {language: _SOURCE / "words" / f"{language}.po" for language in LANGUAGES if language != ENGLISH}
_METHODS: Final = [("**.py", "python"), ("**.html", "jinja2.ext:babel_extract")]
_OPTIONS: Final = {"**.html": {"extensions": "jinja2.ext.do", "trim_blocks": "true", "silent": "false"}}
_KEYWORDS: Final = {"_": None, "words": None, "marked": None, "ngettext": (1, 2)}

_REFUSALS: Final = {"AdminError": (2,), "PeerError": (2,)}


def said() -> Catalog:
    """Gather every text that the console can show."""
    found = Catalog(project="Regalia", charset="utf-8", fuzzy=False)
    for room in _SPEAKING:
        for file, _line, message, *_ in extract_from_dir(_SOURCE / room, _METHODS, _OPTIONS, keywords=_KEYWORDS):
            found.add(message, locations=[(f"{room}/{file}", 0)])
    for name in _TO_STRANGERS:
        for _line, message, *_ in extract_from_file("python", _SOURCE / name, _REFUSALS):
            found.add(message, locations=[(name, 0)])
    for place, text in _told():
        found.add(text, locations=[(place, 0)])
    return found


def _told() -> Iterator[tuple[str, str]]:
    """List what reasons, forms and verbs say of themselves, where pages show it."""
    for reason in reasons.ALL:
        yield "reasons", reason.title
        yield "reasons", reason.remedy
    yield "ra/break_glass.py", break_glass.LENGTH
    for name, kind in KINDS.items():
        properties = kind.settings.model_json_schema()["properties"]
        yield from (
            (f"settings of {name}", str(each["description"]).partition("\n")[0]) for each in properties.values()
        )
    yield from (("forms", text) for text in mdm_form.TEXTS)
    for name, act in ACTS.items():
        for text in texts_of(name, act):
            yield f"act {name}", text


def updated(language: str, texts: Catalog) -> Catalog:
    """Return a language's catalogue with exactly these texts, those that were translated as they were."""
    with CATALOGUES[language].open("rb") as file:
        catalogue = read_po(file, locale=language)
    catalogue.update(texts, no_fuzzy_matching=True)
    catalogue.obsolete.clear()
    return catalogue


def written(catalogue: Catalog) -> bytes:
    """Write a catalogue: texts in the order of the alphabet, without a date, so that the same one is the same file."""
    file = BytesIO()
    write_po(file, catalogue, width=0, sort_output=True, omit_header=True, include_lineno=False)
    return file.getvalue()


def missing(catalogue: Catalog) -> list[str]:
    """List what is not translated."""
    return [
        str(message.id)
        for message in catalogue
        if message.id and not (all(message.string) if isinstance(message.string, tuple) else message.string)
    ]


def main() -> int:
    """Write the catalogues; 3 where something is not translated."""
    texts, lacking = said(), 0
    for language, path in CATALOGUES.items():
        catalogue = updated(language, texts)
        path.write_bytes(written(catalogue))
        open_texts = missing(catalogue)
        lacking += len(open_texts)
        sys.stdout.write(f"{language}: {len(catalogue)} texts, {len(open_texts)} not translated\n")
        sys.stdout.writelines(f"  {text[:100]}\n" for text in open_texts)
    return 3 if lacking else 0


if __name__ == "__main__":
    sys.exit(main())
