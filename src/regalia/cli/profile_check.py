"""What `profile check` shows: the certificate that a document gives, its examples, and what is unsafe about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from regalia import reasons
from regalia.ca.profile_safety import Severity
from regalia.cli.faults import FoundError
from regalia.cli.output import note, print_answer, say

if TYPE_CHECKING:
    from collections.abc import Iterable

    from regalia.verbs.profile import FindingRecord
    from regalia.verbs.profile_check import ExampleRecord, ProfileChecked

__all__ = ["print_checked", "print_findings"]


def print_checked(checked: ProfileChecked, *, as_json: bool) -> None:
    """Show what a valid document gives. Raises `FoundError` ADM-043 where an example ends otherwise than it says."""
    if as_json:
        print_answer(checked, as_json=True)
    else:
        _print_certificates(checked)
        print_findings(checked.findings)
    if checked.problems:
        raise FoundError(reasons.EXAMPLE_DIFFERS, "\n".join(checked.problems))


def _print_certificates(checked: ProfileChecked) -> None:
    if checked.examples:
        note("The document is valid. Its examples:")
        for each in checked.examples:
            _print_example(each)
        return
    note("The document is valid. A certificate would be, with names, key and serial of its own:")
    for line in checked.specimen:
        say(line)


def _print_example(looked: ExampleRecord) -> None:
    as_expected = "" if looked.outcome == looked.expected else f" (expected: {looked.expected})"
    say(f"Example {looked.name}: {looked.outcome}{as_expected}")
    reason = reasons.by_id(looked.outcome)
    if reason is not None:
        say(f"  {reason.title}" + (f": {looked.detail}" if looked.detail else ""))
        say(f"  {reason.remedy}")
    for name, value in looked.inputs.items():
        say(f"  {{{name}}} = {value or '(empty)'}")
    for line in looked.certificate or ():
        say(f"  {line}")
    say()


def print_findings(findings: Iterable[FindingRecord], *, acknowledged: bool = False) -> None:
    """Tell on stderr what is unsafe; `acknowledged`: somebody has answered for what needs it."""
    for each in findings:
        told = f"{each.where}: {each.title}: {each.why}"
        if each.severity is Severity.WARN:
            note(f"Warning {each.rule}: {told}.")
        elif acknowledged:
            note(f"Acknowledged {each.rule}: {told}.")
        else:
            note(f"{told}: `profile create` asks for --acknowledge {each.rule}.")
