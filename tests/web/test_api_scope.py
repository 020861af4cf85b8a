"""AUTHZ-4 over every route: what is not there and what is somebody else's cannot be told apart."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from fleet_scene import device
from regalia.model import (
    Alert,
    AlertCondition,
    ApiToken,
    Authoriser,
    CertificateKind,
    Finding,
    Proposal,
    Session,
    Severity,
    SignInKind,
)
from regalia.ports import CertificateFilter, EnrolmentFilter
from regalia.ra.limits import Allowances
from regalia.verbs import VERBS
from regalia.web.pool import Pool
from web.api_parts import BOUNDED_TOKEN, Api
from world import Device, World, names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from regalia.model import JsonValue
    from regalia.verbs import Verb

DAY = timedelta(days=1)
MISSING_ID = str(UUID(int=0x123456789ABC << 80))
MISSING: dict[str, str] = {
    "certificates": "7" * 40,
    **dict.fromkeys(
        ("challenges", "devices", "enrolments", "keys", "tokens", "sessions", "proposals", "alerts"), MISSING_ID
    ),
}
"""What none of a kind has for a name; where it is not listed, `nobody`."""


def _waiting(world: World) -> str:
    world.open_endpoint("by-hand", Authoriser.APPROVAL)
    Device(world, endpoint="by-hand").enrol(names("a"), world.secrets["by-hand"])
    return str(world.pending().id)


def _certificate(world: World) -> str:
    Device(world).enrol(names("b"), world.mint("b"))
    (found,) = world.store.certificates(CertificateFilter(group="default", kind=CertificateKind.LEAF))
    return f"{found.serial:x}"


def _challenge(world: World) -> str:
    world.mint("a")
    (found,) = world.store.challenges()
    return str(found.id)


def _id(number: int) -> UUID:
    """Make an id; each begins otherwise, so that a prefix tells them apart."""
    return UUID(int=number << 96)


def _proposal(world: World) -> str:
    now = world.clock.now()
    asked: dict[str, JsonValue] = {"name": "default"}
    made = Proposal(
        _id(0xAAAAAAA1), "group.replace-authority", asked, ("x",), "default", "user:x", _id(7), now, now + DAY
    )
    world.store.add_proposal(made, ())
    return str(made.id)


def _session(world: World) -> str:
    now = world.clock.now()
    made = Session(_id(0xAAAAAAA2), bytes(32), _id(7), SignInKind.PASSKEY, "192.0.2.9", now, now, now, now + DAY)
    world.store.add_session(made, ())
    return str(made.id)


def _token(world: World) -> str:
    now = world.clock.now()
    made = ApiToken(_id(0xAAAAAAA3), "others", bytes(32), _id(7), (), now, "user:x", now + DAY)
    assert world.store.add_token(made, ())
    return str(made.id)


def _alert(world: World) -> str:
    now = world.clock.now()
    finding = Finding(AlertCondition.REFUSALS, "group:default", Severity.WARNING, "many", "look", "default")
    made = Alert(_id(0xAAAAAAA4), finding, now, now)
    assert world.store.open_alert(made, (), ())
    return str(made.id)


def _record(world: World) -> str:
    record = replace(device(), id=_id(0xAAAAAAA5), group="default")
    assert world.store.put_devices([(None, record)], ())
    return str(record.id)


FOREIGN: dict[str, Callable[[World], str]] = {
    "groups": lambda _: "default",
    "endpoints": lambda _: "default",
    "profiles": lambda _: "default",
    "authorities": lambda _: "default-ca-1",
    "challenges": _challenge,
    "enrolments": _waiting,
    "certificates": _certificate,
    "proposals": _proposal,
    "sessions": _session,
    "tokens": _token,
    "alerts": _alert,
    "devices": _record,
}
"""One of each kind, of the group `default`, which the caller does not see."""
BODIES: dict[str, dict[str, object]] = {}
"""What a request says beside its path, where the first example of each field is not enough."""


@pytest.fixture(scope="module")
def api() -> Iterator[Api]:
    """Return an API whose world has one of each; nobody here may change anything in it."""
    pool = Pool("api", threads=1, queue=8)
    made = Api(pool, allowances=Allowances(requests_per_caller=100_000))
    made.foreign = {noun: maker(made.world) for noun, maker in FOREIGN.items()}
    yield made
    pool.close()


SCOPED = sorted(verb.name for verb in VERBS.values() if verb.in_path and not verb.everywhere)
ABOVE = sorted(verb.name for verb in VERBS.values() if verb.everywhere)


def _said(verb: Verb[Any, Any]) -> dict[str, object]:
    """Fill the fields that must be there."""
    schema = verb.asks.model_json_schema()
    needed = [name for name in schema.get("required", ()) if name not in verb.in_path]
    return {name: _value(schema["properties"][name], schema.get("$defs", {})) for name in needed} | BODIES.get(
        verb.name, {}
    )


def _value(schema: dict[str, Any], inside: dict[str, Any]) -> object:
    if "$ref" in schema:
        return _value(inside[schema["$ref"].rpartition("/")[2]], inside)
    for found in ("examples", "enum"):
        if found in schema:
            return schema[found][0]
    if "anyOf" in schema:
        return _value(schema["anyOf"][0], inside)
    if schema.get("minItems"):
        return [_value(schema["items"], inside)]
    made: object = {"integer": schema.get("minimum", 1), "boolean": True, "array": [], "object": {}}.get(
        schema.get("type", ""), "a"
    )
    return made


def _requests(verb: Verb[Any, Any]) -> Iterator[tuple[str, object, str]]:
    """Each way to ask: with body or query; as a plan, too."""
    said = _said(verb)
    queries = [""] + (["dry_run=true"] if verb.plan is not None else [])
    for query in queries:
        if verb.method in {"POST", "PUT"}:
            yield verb.path, said, query
        else:
            assert not said, f"{verb.name}: a GET that needs more than its path"
            yield verb.path, None, query


@pytest.mark.parametrize("name", SCOPED)
def test_foreign_and_missing_are_the_same_404(api: Api, name: str) -> None:
    """AUTHZ-4: to a caller bounded to another group, an object of this one is not there, in each way to ask for it."""
    verb = VERBS[name]
    noun = verb.path.split("/")[1]
    there, missing = api.foreign[noun], MISSING.get(noun, "nobody")
    for path, said, query in _requests(verb):
        answers = []
        for which in (there, missing):
            target = path.replace(f"{{{verb.in_path[0]}}}", which) + (f"?{query}" if query else "")
            heard = api.ask(verb.method, target, said, token=BOUNDED_TOKEN)
            answers.append((heard.status, json.loads(heard.body.decode().replace(which, "WHICH"))))
        assert answers[0] == answers[1]
        assert (answers[0][0], answers[0][1]["id"]) == (404, "ADM-004"), answers


@pytest.mark.parametrize("name", ABOVE)
def test_what_is_above_groups_needs_a_right_everywhere(api: Api, name: str) -> None:
    """AUTHZ-4: for what concerns the whole, a right that is bounded by groups is refused, whatever is asked."""
    verb = VERBS[name]
    path = verb.path
    for field in verb.in_path:
        path = path.replace(f"{{{field}}}", "1")
    said = _said(verb) if verb.method in {"POST", "PUT"} else None
    heard = api.ask(verb.method, path, said, token=BOUNDED_TOKEN)
    assert heard.status == 403, heard.body


def test_the_lists_of_a_bounded_caller_hold_nothing_of_others(api: Api) -> None:
    """AUTHZ-4: each list that a bounded caller may read is empty of another group's objects."""
    assert api.world.store.enrolments(EnrolmentFilter())
    for verb in VERBS.values():
        if verb.method != "GET" or verb.in_path or verb.everywhere or not verb.name.endswith((".list", ".tail")):
            continue
        heard = api.ask("GET", verb.path, token=BOUNDED_TOKEN)
        assert heard.status == 200, (verb.name, heard.body)
        assert b"default" not in heard.body, verb.name
