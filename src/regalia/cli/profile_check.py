"""What `profile check` shows: the certificate that a document gives, its examples, and what is unsafe about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from regalia import reasons
from regalia.ca.profile import specimens
from regalia.ca.profile_document import read_document, read_examples
from regalia.ca.profile_safety import Severity, findings_of
from regalia.cli.certificate_text import certificate_text
from regalia.cli.faults import FoundError
from regalia.cli.group import found_group
from regalia.cli.output import note, print_json, say
from regalia.errors import AdminError
from regalia.ra.preview import preview_examples

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from regalia.app import App
    from regalia.ca.profile_safety import Finding
    from regalia.model import Profile
    from regalia.ra.preview import Previewed

__all__ = ["print_checked", "print_findings", "safety_record"]


def print_checked(
    regalia: App, profile: Profile, record: Mapping[str, object], examples: str | None, *, as_json: bool
) -> None:
    """Show what a valid document gives. Raises `FoundError` ADM-043 where an example ends otherwise than it says.

    `examples` is the text of a file with further ones.
    """
    found = (*read_document(profile.document).example, *(read_examples(examples) if examples is not None else ()))
    now = regalia.clock.now()
    looked = preview_examples(
        profile, found, store=regalia.store, urls=regalia.urls, now=now, protected=regalia.protected
    )
    if as_json:
        print_json(
            {**record, "valid": True, "specimen": _specimen(regalia, profile)}
            | {"examples": [_example(each) for each in looked]}
            | safety_record(profile)
        )
    elif looked:
        note("The document is valid. Its examples:")
        for each in looked:
            _print_example(each)
    else:
        note("The document is valid. A certificate would be, with names, key and serial of its own:")
        for line in _specimen(regalia, profile):
            say(line)
    if not as_json:
        print_findings(findings_of(profile))
    problems = [each.problem for each in looked if each.problem is not None]
    if problems:
        raise FoundError(reasons.EXAMPLE_DIFFERS, "\n".join(problems))


def _specimen(regalia: App, profile: Profile) -> list[str]:
    authority = regalia.store.authority(found_group(regalia, profile.group).authority)
    if authority is None:
        raise AdminError(reasons.NOT_FOUND, f"the authority of group {profile.group}")
    return certificate_text(specimens(profile, authority, regalia.urls, regalia.clock.now())[0])


def _example(looked: Previewed) -> dict[str, object]:
    return {
        "name": looked.example.name,
        "outcome": looked.outcome,
        "expected": looked.example.expect,
        "detail": looked.detail,
        "inputs": dict(looked.inputs),
        "certificate": certificate_text(looked.certificate) if looked.certificate is not None else None,
        "findings": looked.findings,
    }


def _print_example(looked: Previewed) -> None:
    as_expected = "" if looked.outcome == looked.example.expect else f" (expected: {looked.example.expect})"
    say(f"Example {looked.example.name}: {looked.outcome}{as_expected}")
    if looked.reason is not None:
        say(f"  {looked.reason.title}" + (f": {looked.detail}" if looked.detail else ""))
        say(f"  {looked.reason.remedy}")
    for name, value in looked.inputs:
        say(f"  {{{name}}} = {value or '(empty)'}")
    if looked.certificate is not None:
        for line in certificate_text(looked.certificate):
            say(f"  {line}")
    say()


# --- what is unsafe ---------------------------------------------------------------------------------------------------


def safety_record(profile: Profile) -> dict[str, object]:
    """List what must be acknowledged, and the warnings, for JSON."""
    findings = findings_of(profile)
    return {
        "acknowledge": sorted({each.rule.name for each in findings if each.rule.severity is Severity.ACKNOWLEDGE}),
        "warnings": [
            f"{each.rule.name}: {each.where}: {each.rule.title}"
            for each in findings
            if each.rule.severity is Severity.WARN
        ],
    }


def print_findings(findings: Iterable[Finding], *, acknowledged: bool = False) -> None:
    """Tell on stderr what is unsafe; `acknowledged`: somebody has answered for what needs it."""
    for each in findings:
        told = f"{each.where}: {each.rule.title}: {each.rule.why}"
        if each.rule.severity is Severity.WARN:
            note(f"Warning {each.rule.name}: {told}.")
        elif acknowledged:
            note(f"Acknowledged {each.rule.name}: {told}.")
        else:
            note(f"{told}: `profile create` asks for --acknowledge {each.rule.name}.")
