"""Every form of the console: a verb, its fields, what it would do, and then the deed.

The page of an act is `/act/VERB`; fields that its address names are given, and not asked for. Where the verb has a
plan, the page says what would happen before the button that does it. What is shown once is shown on the page that
follows, and nowhere else.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from regalia import reasons
from regalia.console.desk import problem_of
from regalia.console.listing import query_path
from regalia.console.look import View
from regalia.errors import AdminError, RegaliaError
from regalia.verbs import VERBS, ProposedError
from regalia.web.door import see_other
from regalia.words import marked

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from regalia.console.desk import Routes, Shown
    from regalia.console.look import Look
    from regalia.verbs import Verb
    from regalia.verbs.verb import Record

__all__ = ["ACT", "Act", "Ask", "Input", "act_path", "act_routes", "texts_of"]

ACT: Final = "/act"
_LABELS: Final[Mapping[str, str]] = {
    "acknowledge": marked("What you answer for"),
    "acknowledge_ca_as_ra": marked("I accept that its key is in every worker"),
    "authoriser": marked("Who says yes"),
    "ca_as_ra": marked("The authority is its own RA"),
    "check_signing_time": marked("Check the signing time"),
    "debug": marked("Tell devices why"),
    "display": marked("Name for people"),
    "email": marked("E-mail address"),
    "id": marked("Its id"),
    "include_root": marked("Hand out the root"),
    "legacy": marked("Old algorithms"),
    "non_rsa": marked("Keys that only sign"),
    "overlap": marked("Takes over after"),
    "parent": marked("Root"),
    "ready_made": marked("Ready-made profile"),
    "reason": marked("Why"),
    "secret": marked("Secret"),
    "token_id": marked("Its id"),
    "ttl": marked("Good for"),
    "url": marked("Address (URL)"),
}
"""What fields are called that have no label of their own; others are called by their names."""


@dataclass(frozen=True, slots=True)
class Ask:
    """How one field of a verb is asked for; whatever is not said comes from the verb's schema."""

    label: str = ""
    hint: str = ""
    choices: Callable[[Look], Sequence[tuple[str, str]]] | None = None
    """Values, and what they are called."""
    kind: str = ""
    """`text`, `long`, `lines` (a list, one a line), `number`, `tick`, `choice`, `secret` or `json`."""
    hidden: bool = False
    """Whether it is never asked for here."""
    parts: Callable[[Look, Mapping[str, str]], Sequence[Input]] | None = None
    """Of an object: its members, each an input of its own; none as long as nothing given says which there are."""
    emptied: str = ""
    """The field that names members which had a value and are to have none."""


@dataclass(frozen=True, slots=True)
class Act:
    """A form for a verb."""

    title: str
    """The question or the deed, as a heading."""
    button: str
    """Verb and object."""
    lead: str = ""
    danger: bool = False
    """Whether it ends something for good."""
    asks: Mapping[str, Ask] = field(default_factory=dict)
    here: str = ""
    back: Callable[[Mapping[str, str]], str] = lambda _: "/"
    """Where one goes who does not do it."""
    done: Callable[[Mapping[str, Any]], str] | None = None
    """Where one goes afterwards, by the verb's record; None: to a page that shows the record."""


@dataclass(frozen=True, slots=True)
class Input:
    """A field as a template shows it."""

    name: str
    label: str
    hint: str = ""
    kind: str = "text"
    value: str = ""
    required: bool = False
    choices: Sequence[tuple[str, str]] = ()
    otherwise: str = ""
    """What counts where it is left empty."""
    folded: bool = False
    """Whether most do not need it: it stands below the others, and is shown on demand."""


def act_path(verb: Verb[Any, Any], **given: str | None) -> str:
    """Say where the form of a verb is, with some of its fields given."""
    return query_path(f"{ACT}/{verb.name}", given)


def act_routes(acts: Mapping[str, Act]) -> Routes:
    """Make the routes of the forms of some verbs, by their names. Raises `KeyError` for a verb that is none."""
    routes: Routes = {}
    for name, act in acts.items():
        form = _Form(VERBS[name], act)
        routes[f"{ACT}/{name}"] = {"GET": form.show, "POST": form.posted}
    return routes


@dataclass(frozen=True, slots=True)
class _Form:
    verb: Verb[Any, Any]
    act: Act

    def show(self, look: Look) -> Shown:
        """Ask for what is not given; say what would happen where nothing is left to be asked."""
        look.must(self.verb)
        return self._page(look, self._given(look), planned=not self._open(look))

    def posted(self, look: Look) -> Shown:
        """Do it; or say first what would happen."""
        look.must(self.verb)
        given = self._given(look)
        if self._is_new(look, given):
            return self._page(look, given, planned=False)
        doing = look.form.get("step") == "do" or self.verb.plan is None
        try:
            if not doing:
                return self._page(look, given, planned=True)
            record: Record = look.ask(self.verb, **self._fields(look, given))
        except ProposedError:
            raise
        except RegaliaError as error:
            if error.reason in {reasons.AUTHENTICATION_OLD, reasons.RIGHT_MISSING, reasons.NOT_FOUND}:
                raise
            return self._page(look, given, planned=False, error=error)
        return self._done(look, record)

    # --- the page ---------------------------------------------------------------------------------------------------

    def _page(self, look: Look, given: Mapping[str, str], *, planned: bool, error: RegaliaError | None = None) -> View:
        steps: tuple[str, ...] = ()
        if planned and self.verb.plan is not None and error is None:
            try:
                steps = look.plan(self.verb, **self._fields(look, given))
            except AdminError as refused:
                if refused.reason in {reasons.AUTHENTICATION_OLD, reasons.RIGHT_MISSING, reasons.NOT_FOUND}:
                    raise
                error = refused
        inputs = self._inputs(look, given)
        return View(
            "act.html",
            title=look.words(self.act.title),
            lead=look.words(self.act.lead) if self.act.lead else "",
            here=self.act.here,
            problem=problem_of(look, error) if error is not None else None,
            status=200 if error is None else 422,
            values={
                "act": self.act,
                "steps": steps,
                "inputs": inputs,
                "planned": bool(steps) or self.verb.plan is None,
                # With what was given in it, so that the answer to the form knows it as well.
                "action": query_path(f"{ACT}/{self.verb.name}", look.query),
                "back": self.act.back(given),
            },
        )

    def _done(self, look: Look, record: Record) -> Shown:
        shown = record.model_dump(mode="json")
        if self.act.done is not None:
            return see_other(self.act.done(shown))
        return View(
            "done.html",
            title=look.words(marked("Done")),
            here=self.act.here,
            values={"record": shown, "secret": self.verb.secret, "back": self.act.back(shown)},
        )

    # --- fields -----------------------------------------------------------------------------------------------------

    def _schema(self) -> Mapping[str, Mapping[str, Any]]:
        """Return what each field takes, what is referred to put in its place."""
        schema = self.verb.asks.model_json_schema()
        defined = schema.get("$defs", {})
        return {name: _resolved(each, defined) for name, each in schema.get("properties", {}).items()}

    def _given(self, look: Look) -> dict[str, str]:
        """Read the fields that there are: of the address, and of the form where one was sent."""
        schema, sent = self._schema(), {**look.form, **look.query}
        return {name: value for name, value in sent.items() if name.partition(".")[0] in schema}

    def _open(self, look: Look) -> list[str]:
        """List the fields that are asked for here."""
        asks = self.act.asks
        return [name for name in self._schema() if name not in look.query and not asks.get(name, Ask()).hidden]

    def _inputs(self, look: Look, given: Mapping[str, str]) -> list[Input]:
        schema, required = self._schema(), set(self.verb.asks.model_json_schema().get("required", ()))
        inputs: list[Input] = []
        for name in self._open(look):
            if self.act.asks.get(name, Ask()).parts is not None:
                inputs += self._parts(look, name, given)
            else:
                inputs.append(self._input(look, name, schema[name], given.get(name), required=name in required))
        return sorted(inputs, key=lambda each: each.folded)

    def _is_new(self, look: Look, given: Mapping[str, str]) -> bool:
        """Whether what was sent says for the first time which members an object has: nobody was asked for them yet."""
        of_objects = [self._parts(look, name, given) for name, ask in self.act.asks.items() if ask.parts is not None]
        return any(parts and not any(each.name in given for each in parts) for parts in of_objects)

    def _parts(self, look: Look, name: str, given: Mapping[str, str]) -> list[Input]:
        """Make an input of each member of a field that is an object, with what was given for it."""
        found = self.act.asks.get(name, Ask()).parts
        parts = found(look, given) if found is not None else ()
        named = [replace(each, name=f"{name}.{each.name}") for each in parts]
        return [replace(each, value=given.get(each.name, each.value)) for each in named]

    def _input(self, look: Look, name: str, schema: Mapping[str, Any], value: str | None, *, required: bool) -> Input:
        ask = self.act.asks.get(name, Ask())
        kind, choices = ask.kind or _kind(schema), tuple((each, each) for each in _values(schema))
        if ask.choices is not None:
            kind, choices = "choice", tuple(ask.choices(look))
        return Input(
            name=name,
            label=look.words(ask.label or _label(name)),
            hint=look.words(ask.hint or str(schema.get("description", ""))),
            kind=kind,
            value=_default(kind, schema) if value is None else value,
            required=required,
            choices=choices,
        )

    def _fields(self, look: Look, given: Mapping[str, str]) -> dict[str, object]:
        """Make of what a form sends what the verb takes; what is left empty is not said."""
        schema = self._schema()
        fields: dict[str, object] = {
            name: _read(self._kind_of(name, schema[name]), text)
            for name, text in given.items()
            if name in schema and text.strip()
        }
        for name, ask in self.act.asks.items():
            parts = ask.parts(look, given) if ask.parts is not None else ()
            sent = [(each, given.get(f"{name}.{each.name}", each.value).strip()) for each in parts]
            # As words, as on the command line: the verb knows what is a number or a list.
            if typed := {each.name: text for each, text in sent if text and text != each.value}:
                fields[name] = typed
            if gone := [each.name for each, text in sent if each.value and not text]:
                fields[ask.emptied] = gone
        return fields

    def _kind_of(self, name: str, schema: Mapping[str, Any]) -> str:
        return self.act.asks.get(name, Ask()).kind or _kind(schema)


def _resolved(schema: Mapping[str, Any], defined: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
    if "$ref" in schema:
        inside = defined[schema["$ref"].rpartition("/")[2]]
        return {**inside, **{name: value for name, value in schema.items() if name != "$ref"}}
    if "anyOf" in schema:
        return {**schema, "anyOf": [_resolved(each, defined) for each in schema["anyOf"]]}
    return schema


def _alternatives(schema: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [each for each in schema.get("anyOf", (schema,)) if each.get("type") != "null"]


def _kind(schema: Mapping[str, Any]) -> str:
    """Say how a field of this schema is asked for."""
    (first, *others) = _alternatives(schema)
    if schema.get("writeOnly") or first.get("writeOnly"):
        return "secret"
    if others:
        return "json"
    kinds = {"integer": "number", "boolean": "tick", "string": "text"}
    if "enum" in first:
        return "choice"
    if first.get("type") == "array" and first.get("items", {}).get("type") == "string":
        return "lines"
    return kinds.get(str(first.get("type")), "json")


def _values(schema: Mapping[str, Any]) -> Sequence[str]:
    return [str(each) for each in _alternatives(schema)[0].get("enum", ())]


def _label(name: str) -> str:
    """Say what a field is called."""
    return _LABELS.get(name, name.replace("_", " ").capitalize())


def _default(kind: str, schema: Mapping[str, Any]) -> str:
    """Write a default as somebody would type it."""
    value = schema.get("default")
    if value is None:
        return ""
    if kind == "lines":
        return "\n".join(map(str, value))
    return value if isinstance(value, str) else json.dumps(value)


def _read(kind: str, text: str) -> object:
    """Make a value of what somebody typed. Raises `AdminError` API-005 for what is none."""
    try:
        if kind == "number":
            return int(text)
        if kind == "json":
            return json.loads(text)
    except (ValueError, RecursionError):
        raise AdminError(reasons.API_BODY_REFUSED, f"{text[:40]!r} cannot be read") from None
    if kind == "tick":
        return text == "true"
    if kind == "lines":
        return [line.strip() for line in text.splitlines() if line.strip()]
    return text


def texts_of(name: str, act: Act) -> Sequence[str]:
    """List the texts of a form that come from its verb: what its catalogue has to say in other languages."""
    properties = VERBS[name].asks.model_json_schema().get("properties", {})
    asked = {field: act.asks.get(field, Ask()) for field in properties}
    shown = {field: ask for field, ask in asked.items() if not ask.hidden}
    hints = [str(properties[field].get("description", "")) for field, ask in shown.items() if not ask.hint]
    return [*(_label(field) for field, ask in shown.items() if not ask.label), *filter(None, hints)]
