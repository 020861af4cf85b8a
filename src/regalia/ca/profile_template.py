"""Templates of names: read strictly, filled as data (POL-6).

`{variable}` stands for a value, `{variable?}` for one that may be missing, `{{` and `}}` for braces. A value is never
read for variables again, and what comes out is judged like any name (IN-8, POL-5).
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from regalia import reasons
from regalia.ca.profile_variables import REQUEST_PREFIX, VARIABLES
from regalia.errors import PeerError
from regalia.model import Names, Reference, San, SanKind, SidForm
from regalia.wire.names import SID_URI, check_names, make_san

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from regalia.ca.profile_variables import Facts
    from regalia.model import NameRules, SanRule, SubjectRule, Template

__all__ = ["Rendered", "TemplateError", "read_template", "references_of", "render_names"]

_TOKEN: Final = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]|[^{}]+")
_REFERENCE: Final = re.compile(r"([a-z][a-z0-9_.]*)(\??)")
_MAX_TEMPLATE: Final = 256
_LABEL: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")


class TemplateError(ValueError):
    """What is wrong with a template, for its author."""


def read_template(text: str) -> Template:
    """Take a template apart. Raises `TemplateError`."""
    if not text or len(text) > _MAX_TEMPLATE:
        raise TemplateError(f"a template has 1 to {_MAX_TEMPLATE} characters")
    parts: list[str | Reference] = []
    for token in _TOKEN.finditer(text):
        if token[0] in ("{{", "}}"):
            parts.append(token[0][0])
        elif token[1] is not None:
            parts.append(_reference(token[1]))
        elif token[0] in "{}":
            raise TemplateError(f'"{text}" has a brace without its pair; a brace itself is written twice')
        else:
            parts.append(token[0])
    return tuple(parts)


def _reference(text: str) -> Reference:
    found = _REFERENCE.fullmatch(text)
    if found is None or found[1] not in VARIABLES:
        near = difflib.get_close_matches(text.rstrip("?"), VARIABLES, n=1)
        hint = f"; did you mean {{{near[0]}}}?" if near else ""
        raise TemplateError(f"there is no variable {{{text}}}{hint}")
    return Reference(found[1], optional=bool(found[2]))


def references_of(template: Template) -> tuple[Reference, ...]:
    """Return the variables in a template, in order."""
    return tuple(part for part in template if isinstance(part, Reference))


@dataclass(frozen=True, slots=True)
class Rendered:
    """Names as a profile makes them."""

    names: Names
    inputs: tuple[tuple[str, str], ...]
    """The variables that were used, with their values."""
    chosen: bool
    """Whether something is in the names that the device asks for."""


def render_names(rules: NameRules, facts: Facts) -> Rendered:
    """Fill a profile's templates and judge the names that come out.

    Raises `PeerError`: VARIABLE_MISSING where a variable that is not optional is empty, NAME_MALFORMED where the result
    can stand in no certificate.
    """
    used: dict[str, tuple[str, ...]] = {}
    filler = _Filler(facts, used)
    subject = [(rule.attribute, text) for rule in rules.subject if (text := filler.attribute(rule)) is not None]
    sans = {san for rule in rules.sans for san in filler.alternatives(rule)}
    sid = filler.sid(rules.sid)
    if sid is not None and SidForm.URI in rules.sid_forms:
        sans.add(San(SanKind.URI, SID_URI + sid))
    names = Names(
        next((text for attribute, text in subject if attribute == "cn"), None),
        frozenset(sans),
        tuple((attribute, text) for attribute, text in subject if attribute != "cn"),
        sid,
    )
    check_names(names)
    chosen = any(values and name.startswith(REQUEST_PREFIX) for name, values in used.items())
    return Rendered(names, tuple((name, ", ".join(values)) for name, values in used.items()), chosen)


@dataclass(frozen=True, slots=True)
class _Filler:
    facts: Facts
    used: dict[str, tuple[str, ...]]
    """Grows: what was looked up."""

    def attribute(self, rule: SubjectRule) -> str | None:
        """Fill the template of an attribute; None where an optional part of it is empty."""
        return next(self._filled(rule.template, rule.attribute, str), None)

    def alternatives(self, rule: SanRule) -> Iterator[San]:
        """Fill the template of alternative names: as many as its variable has values."""
        encoded = _AS_PART[rule.kind] if rule.kind in _AS_PART and len(rule.template) > 1 else str
        for text in self._filled(rule.template, rule.kind, encoded):
            yield make_san(rule.kind, text)

    def sid(self, reference: Reference | None) -> str | None:
        if reference is None:
            return None
        values = self._values(reference, "sid")
        return values[0] if values else None

    def _filled(self, template: Template, where: str, encoded: Callable[[str], str]) -> Iterator[str]:
        texts = [""]
        for part in template:
            values = (part,) if isinstance(part, str) else tuple(map(encoded, self._values(part, where)))
            texts = [text + value for text in texts for value in values]
        return iter(texts)

    def _values(self, reference: Reference, where: str) -> tuple[str, ...]:
        values = self.facts.get(reference.name, ())
        self.used[reference.name] = values
        if not values and not reference.optional:
            variable = VARIABLES[reference.name]
            why = f"{variable.meaning}: there is none"
            if variable.of_record:
                why = f"which only a connector's record fills, and there is no {variable.meaning}"
            raise PeerError(reasons.VARIABLE_MISSING, f"{where} needs {{{reference.name}}}, {why}")
        return values


def _label(value: str) -> str:
    """Let a value be one label among others, so that it cannot bring more of them."""
    if not _LABEL.fullmatch(value):
        raise PeerError(reasons.NAME_MALFORMED, f"{value[:80]!a} is not one label of a DNS name")
    return value


def _escaped(value: str) -> str:
    return quote(value, safe="")


_AS_PART: Final = {SanKind.DNS: _label, SanKind.URI: _escaped}
"""How a value beside other text is kept from being more than a value."""
