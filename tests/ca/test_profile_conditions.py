"""Conditions: what an expression may say, how it is judged, and that it costs nothing where there is none."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from regalia import reasons
from regalia.ca.profile_conditions import Circumstances, ConditionError, check_expression, environment_paths, require
from regalia.errors import PeerError
from regalia.model import Assurance, Condition, Names, San, SanKind
from small_ca import ec_spki

_NOW = datetime(2026, 3, 1, tzinfo=UTC)


def given(**changes: object) -> Circumstances:
    """Make the circumstances of a laptop's first request."""
    fields: dict[str, object] = {
        "facts": {"request.cn": ("laptop-1",), "binding.dns": ("a.example.com",), "group": ("staff",)},
        "names": Names("laptop-1", frozenset({San(SanKind.DNS, "a.example.com")})),
        "public_key": ec_spki(),
        "generation": 0,
        "source": "192.0.2.1",
        "assurance": Assurance.VERIFIED,
        "now": _NOW,
    }
    return Circumstances(**{**fields, **changes})  # type: ignore[arg-type]  # the fields, by name


def judged(expression: str, circumstances: Circumstances | None = None) -> str | None:
    """Judge one expression; return the id of the refusal, None where it holds."""
    try:
        require((Condition(expression, "no"),), circumstances or given())
    except PeerError as fault:
        return fault.reason.id
    return None


@pytest.mark.parametrize(
    "expression",
    [
        'request.key.type == "EC" && request.key.curve == "P-256" && request.key.bits == 256',
        'request.cn == "laptop-1" && group == "staff"',
        'binding.dns.all(d, d.endsWith(".example.com"))',
        'names.dns == ["a.example.com"] && names.cn.matches("^laptop-[0-9]+$")',
        'size(request.dns) == 0 && binding.sid == "" && device.id == ""',
        '!request.renewal && request.generation == 0 && assurance == "verified"',
        'now < timestamp("2027-01-01T00:00:00Z") && request.source.startsWith("192.0.2.")',
    ],
)
def test_what_is_true_of_a_request_holds(expression: str) -> None:
    """Each part of the environment has the value of the request, and what is not known is empty."""
    check_expression(expression)
    assert judged(expression) is None


def test_keys_of_all_kinds_are_told_apart() -> None:
    """RSA has bits and no curve; the type is written as the page says."""
    key = rsa.generate_private_key(65537, 2048).public_key()
    spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    of_rsa = given(public_key=spki)
    assert judged('request.key.type == "RSA" && request.key.bits == 2048 && request.key.curve == ""', of_rsa) is None
    p384 = given(public_key=ec_spki(ec.SECP384R1()))
    assert judged('request.key.curve == "P-384"', p384) is None


def test_the_first_that_does_not_hold_is_told() -> None:
    """The detail is the message of its author."""
    conditions = (Condition("true", "first"), Condition('group == "x"', "second"), Condition("false", "third"))
    with pytest.raises(PeerError) as caught:
        require(conditions, given())
    assert (caught.value.reason, caught.value.detail) == (reasons.CONDITION_UNMET, "second")


@pytest.mark.parametrize(
    "expression", ["request.dns[0] == 'x'", "1 / 0 == 1", "request.cn", "request.nothing", "nobody", "request.cn > 1"]
)
def test_authz3_what_cannot_be_evaluated_is_refused(expression: str) -> None:
    """AUTHZ-3: an error is a refusal with a reason of its own, never a yes."""
    assert judged(expression) == reasons.CONDITION_FAILED.id


@pytest.mark.parametrize(
    ("expression", "told"),
    [
        ("", "1 to 1000"),
        ("x" * 1001, "1 to 1000"),
        ("request.cn ==", "not CEL"),
        ("request.cm == 'x'", "did you mean request.cn?"),
        ("request.renewal || request.cm == 'x'", "there is no request.cm"),
        ("requst.cn == 'x'", "there is no variable requst"),
        ("request.cn", "neither true nor false"),
        ("request.key.bits == '256'", "of type int"),
        ("request.cn == 256", "of type string"),
        ("request.renewal == 'yes'", "of type bool"),
        ("request.key == 'x'", "of type map"),
        ("binding.dns[0] == 'x'", "out of bounds"),
        ("binding.dns.all(d, e == 'x')", "no variable e"),
        ("device.compliant == 'yes'", "of type bool"),
        ("user.nothing == 'x'", "no user.nothing"),
        ("request.cn.shout() == 'X'", "shout"),
        ("request.cn.matches('(')", "regex"),
        (
            "binding.dns.all(a, binding.dns.all(b, binding.dns.all(c, binding.dns.all(d, true))))",
            "at most 3 times",
        ),
    ],
)
def test_what_would_fail_later_is_told_at_the_check(expression: str, told: str) -> None:
    """Paths, types and evaluation are looked at before a profile is kept, in each branch."""
    with pytest.raises(ConditionError) as caught:
        check_expression(expression)
    assert told in str(caught.value)


def test_a_path_in_a_text_is_text() -> None:
    """Only code is checked against the environment."""
    check_expression("request.cn != 'request.nothing == 1'")


def test_every_declared_path_can_be_asked_for() -> None:
    """The environment of a request has each path that the reference page lists."""
    for path, kind in environment_paths().items():
        literal = {"string": "!= 'x'", "int": ">= 0", "bool": "in [true, false]", "list": "!= ['x']"}
        later = "> timestamp('2000-01-01T00:00:00Z')"
        expression = f"{path} {literal.get(kind, later)}"
        assert judged(expression) is None, expression


def test_workers_share_a_compiled_expression() -> None:
    """One expression is judged by several threads at once, each for its own request."""
    expression = 'request.cn == binding.cn && request.key.type == "EC"'

    def both(number: int) -> tuple[str | None, str | None]:
        name = (f"laptop-{number}",)
        same = given(facts={"request.cn": name, "binding.cn": name})
        return judged(expression, same), judged(expression, given(facts={"request.cn": name}))

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(both, range(200))) == {(None, reasons.CONDITION_UNMET.id)}


def test_who_has_no_conditions_does_not_load_the_library() -> None:
    """Reading a profile without conditions leaves the library of expressions unloaded."""
    code = (
        "import sys\nfrom datetime import datetime, UTC\n"
        "from regalia.ca.profile import DEFAULT_DOCUMENT, read_profile\nimport regalia.ra.decide\n"
        "read_profile(DEFAULT_DOCUMENT, name='a', version=1, group='a', now=datetime.now(UTC))\n"
        "sys.exit('cel' in sys.modules)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
