"""Conditions of profiles: expressions of CEL over a request, judged when it is decided.

The environment is declared here with its types, and an expression is checked against it before a profile is kept.
Importing the library takes a third of a second, which only profiles with conditions pay. What cannot be evaluated
refuses (AUTHZ-3).
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from regalia import reasons
from regalia.ca.profile_records import DEVICE_FACTS, TRUE, USER_FACTS
from regalia.ca.profile_variables import VARIABLES
from regalia.errors import PeerError
from regalia.wire import oids
from regalia.wire.public_key import key_algorithm

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import cel

    from regalia.ca.profile_variables import Facts
    from regalia.model import Assurance, Condition, Names

__all__ = ["MAX_EXPRESSION", "Circumstances", "ConditionError", "check_expression", "environment_paths", "require"]

MAX_EXPRESSION: Final = 1000
"""Characters."""
_MAX_LOOPS: Final = 3
"""Each of them may go through 20 names for each round of the one around it."""

_LISTS: Final = ("dns", "email", "uri", "ip", "upn", "permanent_identifier", "hardware_module")
_TYPES: Final[dict[str, type]] = {
    **{f"{root}.cn": str for root in ("request", "binding", "names")},
    **{f"{root}.{name}": list for root in ("request", "binding", "names") for name in _LISTS},
    "request.key.type": str,
    "request.key.bits": int,
    "request.key.curve": str,
    "request.renewal": bool,
    "request.generation": int,
    "request.source": str,
    "binding.sid": str,
    "device.id": str,
    **{f"device.{name}": kind for name, kind in DEVICE_FACTS.items()},
    **{f"user.{name}": kind for name, kind in USER_FACTS.items()},
    "endpoint": str,
    "group": str,
    "profile": str,
    "assurance": str,
    "now": datetime,
}
"""Every path that an expression may name. What is not known is empty, never absent and never null."""


class ConditionError(ValueError):
    """What is wrong with an expression, for its author."""


def environment_paths() -> dict[str, str]:
    """Every path with the name of its type, for the reference page."""
    return {path: {datetime: "timestamp", str: "string"}.get(kind, kind.__name__) for path, kind in _TYPES.items()}


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What an expression looks at."""

    facts: Facts
    names: Names
    """As they would be in the certificate."""
    public_key: bytes
    """DER SubjectPublicKeyInfo."""
    generation: int
    """0 for a first certificate."""
    source: str
    assurance: Assurance
    now: datetime


def require(conditions: Sequence[Condition], given: Circumstances) -> None:
    """Judge all conditions in their order.

    Raises `PeerError`: CONDITION_UNMET with the message of the first one that is not true, CONDITION_FAILED where one
    cannot be evaluated or gives no boolean.
    """
    environment = _environment(given)
    for condition in conditions:
        if not _evaluated(condition.expression, environment):
            raise PeerError(reasons.CONDITION_UNMET, condition.message)


def _evaluated(expression: str, environment: dict[str, Any]) -> bool:
    try:
        result = _program(expression).execute(environment)
    except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise PeerError(reasons.CONDITION_FAILED, f"{expression}: {_first_line(error)}") from error
    if not isinstance(result, bool):
        raise PeerError(
            reasons.CONDITION_FAILED, f"{expression}: gives {type(result).__name__}, neither true nor false"
        )
    return result


@lru_cache(maxsize=256)
def _program(expression: str) -> cel.Program:
    import cel  # noqa: PLC0415 - a third of a second that profiles without conditions need not wait for

    return cel.compile(expression)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:300]


# --- the environment --------------------------------------------------------------------------------------------------

_KEY_TYPES: Final = {
    oids.RSA_ENCRYPTION: "RSA",
    oids.EC_PUBLIC_KEY: "EC",
    oids.ED25519: "Ed25519",
    oids.ML_DSA_44: "ML-DSA-44",
    oids.ML_DSA_65: "ML-DSA-65",
    oids.ML_DSA_87: "ML-DSA-87",
}


def _environment(given: Circumstances) -> dict[str, Any]:
    """Make the values that `_TYPES` declares."""
    environment: dict[str, Any] = {
        "request": {
            **_names("request.", given.facts),
            "key": _key(given.public_key),
            "renewal": given.generation > 0,
            "generation": given.generation,
            "source": given.source,
        },
        "binding": {**_names("binding.", given.facts), "sid": _one(given.facts, "binding.sid")},
        "names": _rendered(given.names),
        "device": {"id": _one(given.facts, "device.id"), **_record("device", DEVICE_FACTS, given.facts)},
        "user": _record("user", USER_FACTS, given.facts),
        "assurance": given.assurance.value,
        "now": given.now,
    }
    for name in ("endpoint", "group", "profile"):
        environment[name] = _one(given.facts, name)
    return environment


def _one(facts: Facts, name: str) -> str:
    return next(iter(facts.get(name, ())), "")


def _record(root: str, declared: Mapping[str, type], facts: Facts) -> dict[str, Any]:
    """Give what a record says; what it does not say is empty, and not among what was `said`."""
    values: dict[str, Any] = {}
    for name, kind in declared.items():
        path = f"{root}.{name}"
        values[name] = list(facts.get(path, ())) if kind is list else _one(facts, path)
        if kind is bool:
            values[name] = values[name] == TRUE
    return values


def _names(prefix: str, facts: Facts) -> dict[str, Any]:
    return {"cn": _one(facts, f"{prefix}cn"), **{name: list(facts.get(f"{prefix}{name}", ())) for name in _LISTS}}


def _rendered(names: Names) -> dict[str, Any]:
    values: dict[str, list[str]] = {name: [] for name in _LISTS}
    for san in sorted(names.sans):
        values[san.kind.value.replace("-", "_")].append(san.value)
    return {"cn": names.cn or "", **values}


def _key(public_key: bytes) -> dict[str, Any]:
    from cryptography.hazmat.primitives.asymmetric import ec, rsa  # noqa: PLC0415 - as the library above
    from cryptography.hazmat.primitives.serialization import load_der_public_key  # noqa: PLC0415 - the same

    key = load_der_public_key(public_key)
    bits, curve = 0, ""
    if isinstance(key, rsa.RSAPublicKey):
        bits = key.key_size
    elif isinstance(key, ec.EllipticCurvePublicKey):
        bits, curve = key.key_size, {"secp256r1": "P-256", "secp384r1": "P-384"}.get(key.curve.name, key.curve.name)
    return {"type": _KEY_TYPES.get(key_algorithm(public_key).oid, ""), "bits": bits, "curve": curve}


# --- checking an expression -------------------------------------------------------------------------------------------

_TOKEN: Final = re.compile(
    r"""(?P<text>"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')"""
    r"|(?P<path>[A-Za-z_][A-Za-z0-9_]*(?:\s*\.\s*[A-Za-z_][A-Za-z0-9_]*)*)(?P<call>\s*\()?"
    r"|(?P<number>[0-9][0-9A-Za-z.]*)|(?P<operator>[=!<>]=|[-+*/%<>!?:,.()\[\]{}]|&&|\|\|)|(?P<space>\s+)"
)
_ROOTS: Final = frozenset(path.partition(".")[0] for path in _TYPES)
_COMPARISONS: Final = ("==", "!=", "<", "<=", ">", ">=")
_LOOPS: Final = re.compile(r"\.\s*(?:all|exists|exists_one|map|filter)\s*\(")


def check_expression(expression: str) -> None:
    """Compile an expression, check each path and comparison against the declared types, and try it out.

    Raises `ConditionError` that tells what is wrong.
    """
    if not expression.strip() or len(expression) > MAX_EXPRESSION:
        raise ConditionError(f"an expression has 1 to {MAX_EXPRESSION} characters")
    if len(_LOOPS.findall(expression)) > _MAX_LOOPS:
        raise ConditionError(f"an expression goes through lists at most {_MAX_LOOPS} times (all, exists, map, filter)")
    try:
        program = _program(expression)
    except ValueError as error:
        raise ConditionError(f"not CEL: {' '.join(str(error).split('ERROR:')[-1].split())[:200]}") from None
    _check_paths(expression)
    unknown = sorted(set(program.variables()) - _ROOTS - _bound(expression))
    if unknown:
        raise ConditionError(f"there is no variable {unknown[0]}{_near(unknown[0])}")
    for environment in _trials():
        try:
            _evaluated(expression, environment)
        except PeerError as fault:
            raise ConditionError(fault.detail) from None


_BINDER: Final = re.compile(r"\.\s*(?:all|exists|exists_one|map|filter)\s*\(\s*([A-Za-z_][A-Za-z0-9_]*)\s*,")


def _bound(expression: str) -> set[str]:
    return set(_BINDER.findall(expression))


def _near(path: str) -> str:
    near = difflib.get_close_matches(path, _TYPES, n=1)
    return f"; did you mean {near[0]}?" if near else ""


def _check_paths(expression: str) -> None:
    tokens = [token for token in _TOKEN.finditer(expression) if token["space"] is None]
    bound = _bound(expression)
    for number, token in enumerate(tokens):
        before = tokens[number - 1] if number else None
        if token["path"] is None or (before is not None and before[0] == "."):
            continue
        path = re.sub(r"\s", "", token["path"])
        if token["call"]:
            path = path.rpartition(".")[0]
        if path.partition(".")[0] not in _ROOTS or path.partition(".")[0] in bound:
            continue
        kind = _declared(path)
        after = tokens[number + 1 : number + 3]
        if not token["call"] and len(after) == 2 and after[0][0] in _COMPARISONS:
            _check_comparison(path, kind, after[1])


def _declared(path: str) -> type:
    if path in _TYPES:
        return _TYPES[path]
    if any(known.startswith(f"{path}.") for known in _TYPES):
        return dict
    raise ConditionError(f"there is no {path}{_near(path)}")


def _check_comparison(path: str, kind: type, other: re.Match[str]) -> None:
    """A comparison with a literal of another type is never true, and CEL does not say so."""
    literal: type | None = str if other["text"] is not None else int if other["number"] is not None else None
    if other["path"] in ("true", "false"):
        literal = bool
    if literal is not None and literal is not kind:
        raise ConditionError(f"{path} is of type {environment_paths().get(path, 'map')}, not what it is compared with")


def _trials() -> Iterator[dict[str, Any]]:
    """Environments of the declared types: everything empty, everything there once."""
    for full in (True, False):
        environment: dict[str, Any] = {}
        for path, kind in _TYPES.items():
            place = environment
            *steps, last = path.split(".")
            for step in steps:
                place = place.setdefault(step, {})
            place[last] = _trial(path, kind, full=full)
        yield environment


def _trial(path: str, kind: type, *, full: bool) -> object:
    variable = VARIABLES.get(path.replace("names.", "binding."))
    text = variable.sample if variable is not None else "text"
    values: dict[type, tuple[object, object]] = {
        str: (text, ""),
        list: ([text], []),
        int: (256, 0),
        bool: (True, False),
        datetime: (datetime(2030, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)),
    }
    return values[kind][0 if full else 1]
