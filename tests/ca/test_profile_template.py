"""Templates: what they may say, and what comes of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regalia import reasons
from regalia.ca.profile_template import TemplateError, read_template, references_of, render_names
from regalia.ca.profile_variables import VARIABLES, Facts, sample_facts
from regalia.errors import PeerError
from regalia.model import NameRules, Reference, San, SanKind, SanRule, SidForm, SubjectRule


def rules(subject: dict[str, str] | None = None, sans: tuple[tuple[SanKind, str], ...] = ()) -> NameRules:
    """Make the rules of a profile of templates."""
    return NameRules(
        tuple(SubjectRule(key, read_template(text)) for key, text in (subject or {}).items()),
        tuple(SanRule(kind, read_template(text)) for kind, text in sans),
        None,
        frozenset({SidForm.EXTENSION}),
    )


def refusal(given_rules: NameRules, facts: Facts) -> tuple[str, str]:
    """Fill templates that cannot be filled; return the id of the reason and the detail."""
    with pytest.raises(PeerError) as caught:
        render_names(given_rules, facts)
    return caught.value.reason.id, caught.value.detail


def test_a_template_is_texts_and_variables() -> None:
    """Braces that are doubled are characters; a question mark makes a variable optional."""
    assert read_template("a{{{device.id}}}-{binding.cn?}") == (
        "a",
        "{",
        Reference("device.id", optional=False),
        "}",
        "-",
        Reference("binding.cn", optional=True),
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "1 to 256"),
        ("x" * 257, "1 to 256"),
        ("{device.id", "brace"),
        ("device.id}", "brace"),
        ("{}", "no variable {}"),
        ("{device.idd}", "did you mean {device.id}"),
        ("{ device.id }", "no variable"),
        ("{device.id??}", "no variable"),
        ("{{device.id}", "brace"),
        ("{__class__}", "no variable"),
        ("{device.id.upper}", "no variable"),
    ],
)
def test_a_template_that_is_none_is_told(text: str, told: str) -> None:
    """What is not a known variable between braces is refused with the nearest one."""
    with pytest.raises(TemplateError) as caught:
        read_template(text)
    assert told in str(caught.value)


def test_an_empty_variable_refuses_or_drops_as_the_template_says() -> None:
    """Required: RA-032 names it. Optional: the attribute or name that it stands in is left out, the rest stays."""
    facts: Facts = {"device.id": ("laptop-1",)}
    made = render_names(
        rules({"cn": "{device.id}", "ou": "of {binding.cn?}"}, ((SanKind.DNS, "{binding.dns?}"),)), facts
    )
    assert made.names.listed() == ("cn:laptop-1",)
    assert refusal(rules({"cn": "{binding.cn}"}), facts)[0] == reasons.VARIABLE_MISSING.id
    assert "only a connector" in refusal(rules({"cn": "{device.serial}"}), facts)[1]


def test_several_values_make_several_names() -> None:
    """A variable with values makes a name of each, beside other text too."""
    facts: Facts = {"binding.dns": ("a.example.com", "b.example.com"), "binding.cn": ("pc",)}
    made = render_names(
        rules({}, ((SanKind.DNS, "{binding.dns}"), (SanKind.URI, "urn:host:{binding.dns}:{binding.cn}"))), facts
    )
    assert made.names.sans == {
        San(SanKind.DNS, "a.example.com"),
        San(SanKind.DNS, "b.example.com"),
        San(SanKind.URI, "urn:host:a.example.com:pc"),
        San(SanKind.URI, "urn:host:b.example.com:pc"),
    }


def test_more_names_than_a_certificate_has_are_refused() -> None:
    """IN-8: what templates make is counted like what a request asks for."""
    facts: Facts = {"binding.dns": tuple(f"h{number}.example.com" for number in range(21))}
    assert refusal(rules({}, ((SanKind.DNS, "{binding.dns}"),)), facts)[0] == reasons.NAME_MALFORMED.id


@given(st.text(max_size=80))
def test_pol6_whatever_a_value_is_it_stays_one_value(value: str) -> None:
    """POL-6: a value beside text is one label, one part of a URI or one common name, or the request is refused."""
    facts: Facts = {"device.id": (value,)}
    made = {}
    for kind, template in (
        ("dns", rules({}, ((SanKind.DNS, "{device.id}.example.com"),))),
        ("uri", rules({}, ((SanKind.URI, "urn:device:{device.id}:end"),))),
        ("cn", rules({"cn": "{device.id}"})),
    ):
        try:
            made[kind] = render_names(template, facts).names
        except PeerError as fault:
            assert fault.reason is reasons.NAME_MALFORMED  # noqa: PT017 - either a name, or this refusal
    for name in made["dns"].sans if "dns" in made else ():
        assert name.value.count(".") == 2
        assert name.value.endswith(".example.com")
    for name in made["uri"].sans if "uri" in made else ():
        assert name.value.count(":") == 3
        assert name.value.isascii()
    if "cn" in made:
        assert made["cn"].cn == value


def test_what_was_used_is_told_and_what_was_chosen() -> None:
    """The variables with their values, the empty ones too; a value of the request marks the names."""
    facts: Facts = {"request.cn": ("kiosk",), "group": ("staff",)}
    made = render_names(rules({"cn": "{request.cn}", "ou": "{group}", "title": "{binding.cn?}"}), facts)
    assert made.inputs == (("request.cn", "kiosk"), ("group", "staff"), ("binding.cn", ""))
    assert made.chosen
    assert not render_names(rules({"cn": "{group}", "ou": "{request.email?}"}), {"group": ("a",)}).chosen


def test_each_sample_is_a_value_of_its_variable() -> None:
    """Every variable can stand alone in a template and its sample makes a name: specimens need that."""
    for name, variable in VARIABLES.items():
        if variable.type.value == "Windows SID":
            continue
        (reference,) = references_of(read_template(f"{{{name}}}"))
        assert render_names(rules({"cn": f"{{{reference.name}}}"}), sample_facts()).names.cn == variable.sample
