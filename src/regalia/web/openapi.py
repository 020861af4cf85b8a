"""The OpenAPI 3.1 document of the API, made from the registry of verbs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pydantic.json_schema import models_json_schema

from regalia import __version__
from regalia.verbs import Planned
from regalia.verbs.proposal_record import ProposalRecord
from regalia.web.api import PREFIX, routes_of
from regalia.web.api_forms import DRY_RUN
from regalia.web.problems import ERRORS_PATH, MEDIA

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pydantic import BaseModel
    from pydantic.json_schema import JsonSchemaMode

    from regalia.verbs import Verb
    from regalia.web.api import Route

__all__ = ["openapi"]

Json = dict[str, Any]

_SCHEMAS: Final = "#/components/schemas/"
_REF: Final = f"{_SCHEMAS}{{model}}"
_JSON: Final = "application/json"
_PROBLEM: Final = MEDIA.decode()

_ABOUT: Final = f"""\
Everything that an administrator can do. The records are those that the commands print with `--json`.

Each request needs a token: `Authorization: Bearer TOKEN`. Without a valid one every path answers the same 401.
Lists come a page at a time: give `next` of an answer as `after` to get what follows. A GET is answered with an `ETag`;
`If-None-Match` with it is answered 304 while nothing changed. A write with an `Idempotency-Key` is done once, however
often it is sent within a day. `{DRY_RUN}=true` says what a request would do, and does nothing.

What is refused is told as a problem document (RFC 9457). Its `id` is that of the commands' errors, and its `type` is a
page about it.
"""

_PROBLEM_SCHEMA: Final[Json] = {
    "type": "object",
    "description": "What was refused, and what to do about it (RFC 9457).",
    "required": ["type", "title", "status", "id", "remedy"],
    "properties": {
        "type": {"type": "string", "format": "uri-reference", "examples": [f"{ERRORS_PATH}/ADM-004"]},
        "title": {"type": "string", "examples": ["there is no such object"]},
        "status": {"type": "integer", "examples": [404]},
        "detail": {"type": "string", "examples": ["group nobody"]},
        "id": {"type": "string", "pattern": "^[A-Z]+-[0-9]{3}$", "examples": ["ADM-004"]},
        "remedy": {"type": "string"},
        "errors": {
            "type": "array",
            "description": "Which fields are wrong.",
            "items": {
                "type": "object",
                "required": ["field", "problem"],
                "properties": {"field": {"type": "string"}, "problem": {"type": "string"}},
            },
        },
        "incident": {"type": "string", "description": "Under this id the server's log has what happened."},
    },
}

_RESPONSES: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "400": ("The request cannot be read.", ()),
    "401": ("No valid credentials: the same for everybody and everything.", ("WWW-Authenticate",)),
    "403": ("The caller's roles do not allow it.", ()),
    "404": ("There is no such object, or the caller does not see it.", ()),
    "405": ("The path does not take this method.", ("Allow",)),
    "409": ("It cannot be done as things are.", ()),
    "413": ("The body is longer than 1 MiB.", ()),
    "414": ("The URL is longer than 8 KiB.", ()),
    "415": ("The body is not declared as JSON.", ()),
    "422": ("What is asked is not usable; `errors` names the fields.", ()),
    "429": ("Too many requests.", ("Retry-After",)),
    "503": ("The server cannot answer now, or met a fault of its own.", ("Retry-After",)),
}
_READING: Final = ("400", "401", "403", "404", "405", "414", "422", "429", "503")
_WRITING: Final = ("400", "401", "403", "404", "405", "409", "413", "414", "415", "422", "429", "503")

_HEADERS: Final[Json] = {
    "ETag": {"description": "Names this state of what was asked for.", "schema": {"type": "string"}},
    "WWW-Authenticate": {"description": "`Bearer`.", "schema": {"type": "string"}},
    "Allow": {"description": "The methods that the path takes.", "schema": {"type": "string"}},
    "Retry-After": {"description": "Seconds.", "schema": {"type": "integer", "minimum": 1}},
    "Idempotency-Replayed": {
        "description": "`true` where this is the answer to an earlier request with the same key.",
        "schema": {"type": "string", "enum": ["true"]},
    },
}

_PARAMETERS: Final[Json] = {
    "Idempotency-Key": {
        "name": "Idempotency-Key",
        "in": "header",
        "required": False,
        "description": "Chosen by the client, new for each thing that is to be done; within a day it is done once.",
        "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
        "example": "5e6b3f0c-0d5b-4b1e-9f0a-3c8f6f1f2a7d",
    },
    "If-None-Match": {
        "name": "If-None-Match",
        "in": "header",
        "required": False,
        "description": "An ETag of before: 304 where nothing changed.",
        "schema": {"type": "string"},
    },
    DRY_RUN: {
        "name": DRY_RUN,
        "in": "query",
        "required": False,
        "description": "Only say what would happen.",
        "schema": {"type": "boolean", "default": False},
    },
}


def openapi(verbs: Iterable[Verb[Any, Any]]) -> Json:
    """Make the document: plain values, ready for `json.dumps`. The server's address is where it was read from."""
    routes = sorted(routes_of(verbs), key=lambda route: (route.verb.path, route.verb.method))
    schemas = _Schemas.of(routes)
    paths: dict[str, Json] = {}
    for route in routes:
        operation = _operation(route, schemas)
        paths.setdefault(route.verb.path, {})[route.verb.method.lower()] = operation
    responses = {status: _refusal(status, text, headers) for status, (text, headers) in _RESPONSES.items()}
    used = schemas.used_by([paths, responses])
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Regalia",
            "version": __version__,
            "description": _ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": PREFIX}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "description": "A token of the API."}},
            "schemas": {name: schemas.named[name] for name in sorted(used)},
            "responses": responses,
            "headers": _HEADERS,
            "parameters": _PARAMETERS,
        },
    }


# --- one operation --------------------------------------------------------------------------------------------------


def _operation(route: Route, schemas: _Schemas) -> Json:
    verb = route.verb
    asks = schemas.asked(verb.asks)
    properties: Mapping[str, Json] = asks.get("properties", {})
    required = set(asks.get("required", ()))
    parameters = [_parameter(name, "path", properties[name], required=True) for name in verb.in_path]
    parameters += [_parameter(name, "query", properties[name], name in required) for name in route.form.in_query]
    if verb.plan is not None:
        parameters.append({"$ref": f"#/components/parameters/{DRY_RUN}"})
    header = "Idempotency-Key" if verb.changes else "If-None-Match"
    parameters.append({"$ref": f"#/components/parameters/{header}"})
    operation: Json = {
        "operationId": verb.name,
        "tags": [verb.name.partition(".")[0]],
        "summary": verb.summary,
        "description": _description(route),
        "parameters": parameters,
        "responses": _responses(route, schemas),
    }
    if route.form.has_body:
        operation["requestBody"] = {"required": True, "content": {_JSON: {"schema": _body(route, asks)}}}
    return operation


def _description(route: Route) -> str:
    verb = route.verb
    said = [f"Needs the right `{verb.right}`{', everywhere' if verb.everywhere else ''}."]
    if verb.two_persons is not None:
        said.append("May need a second administrator: then the answer is 202 with a proposal, and nothing is done.")
    if verb.secret:
        said.append("The answer holds a secret that is shown once.")
    return " ".join(said)


def _parameter(name: str, where: str, schema: Json, required: bool) -> Json:  # noqa: FBT001 - two private callers
    told = {key: value for key, value in schema.items() if key != "description"}
    if where == "query":
        told = _without_null(told)
    found: Json = {"name": name, "in": where, "required": required, "schema": told}
    if "description" in schema:
        found["description"] = schema["description"]
    return found


def _without_null(schema: Json) -> Json:
    """A query cannot say null; a field that is not there is its default."""
    schema = {key: value for key, value in schema.items() if (key, value) != ("default", None)}
    kinds = [each for each in schema.get("anyOf", ()) if each != {"type": "null"}]
    if len(kinds) == 1 and len(schema["anyOf"]) > 1:
        rest = {key: value for key, value in schema.items() if key != "anyOf"}
        return {**kinds[0], **rest}
    return schema


def _body(route: Route, asks: Json) -> Json:
    """What a verb asks for, without what stands in the path."""
    left = {name: each for name, each in asks.get("properties", {}).items() if name not in route.verb.in_path}
    required = [name for name in asks.get("required", ()) if name in left]
    body: Json = {"type": "object", "additionalProperties": False, "properties": left}
    return {**body, "required": required} if required else body


def _responses(route: Route, schemas: _Schemas) -> Json:
    verb = route.verb
    given, planned = schemas.given(verb.gives), schemas.given(Planned)
    if verb.plan is not None and not route.creates:
        given = {"anyOf": [given, planned]}
    done: Json = {"description": "Done." if verb.changes else "What is there.", "content": {_JSON: {"schema": given}}}
    headers = ("Idempotency-Replayed",) if verb.changes else ("ETag",)
    done["headers"] = {name: {"$ref": f"#/components/headers/{name}"} for name in headers}
    responses: Json = {"201" if route.creates else "200": done}
    if route.creates and verb.plan is not None:
        responses["200"] = {"description": "What would happen.", "content": {_JSON: {"schema": planned}}}
    if verb.two_persons is not None:
        proposed = {_JSON: {"schema": schemas.given(ProposalRecord)}}
        responses["202"] = {"description": "Waits for a second administrator; nothing is done.", "content": proposed}
    if not verb.changes:
        responses["304"] = {"description": "Nothing changed since the ETag."}
    for status in _WRITING if verb.changes else _READING:
        if status not in {"413", "415"} or route.form.has_body:
            responses[status] = {"$ref": f"#/components/responses/{status}"}
    return responses


def _refusal(status: str, text: str, headers: tuple[str, ...]) -> Json:
    content: Json = {_PROBLEM: {"schema": {"$ref": _REF.format(model="Problem")}}}
    if status == "414":
        content = {"text/plain": {"schema": {"type": "string"}}}  # told by the listener, before the API
    told: Json = {"description": text, "content": content}
    if headers:
        told["headers"] = {name: {"$ref": f"#/components/headers/{name}"} for name in headers}
    return told


# --- schemas --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Schemas:
    """What pydantic says of all models, by their references."""

    references: Mapping[tuple[Any, JsonSchemaMode], Json]
    named: Mapping[str, Json]

    @classmethod
    def of(cls, routes: Iterable[Route]) -> _Schemas:
        """Ask it of what the verbs ask for and give."""
        pairs: list[tuple[type[BaseModel], JsonSchemaMode]] = [
            (Planned, "serialization"),
            (ProposalRecord, "serialization"),
        ]
        for route in routes:
            pairs += [(route.verb.asks, "validation"), (route.verb.gives, "serialization")]
        references, schema = models_json_schema(list(dict.fromkeys(pairs)), ref_template=_REF)
        named: Mapping[str, Json] = _untitled(schema["$defs"])
        return cls(references, {**named, "Problem": _PROBLEM_SCHEMA})

    def asked(self, model: type) -> Json:
        """Return the schema of what a verb asks for."""
        reference: str = self.references[model, "validation"]["$ref"]
        return self.named[reference.rpartition("/")[2]]

    def given(self, model: type) -> Json:
        """Return the reference to what it gives."""
        return self.references[model, "serialization"]

    def used_by(self, document: object) -> set[str]:
        """Name those that are referred to, also from each other."""
        used: set[str] = set()
        waiting = [document]
        while waiting:
            for name in _references(waiting.pop()):
                if name not in used:
                    used.add(name)
                    waiting.append(self.named[name])
        return used


def _references(node: object) -> Iterator[str]:
    match node:
        case {"$ref": str(reference)} if reference.startswith(_SCHEMAS):
            yield reference.removeprefix(_SCHEMAS)
        case dict():
            for inner in node.values():
                yield from _references(inner)
        case list():
            for inner in node:
                yield from _references(inner)


def _untitled(node: Any) -> Any:  # noqa: ANN401 - JSON of any shape
    """Leave out the titles that pydantic makes of the names that stand there anyway."""
    if isinstance(node, dict):
        return {key: _untitled(inner) for key, inner in node.items() if key != "title" or not isinstance(inner, str)}
    return [_untitled(inner) for inner in node] if isinstance(node, list) else node
