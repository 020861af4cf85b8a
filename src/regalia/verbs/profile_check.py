"""What a profile's document would give: certificates and outcomes, without anything being kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from regalia import reasons
from regalia.ca.profile import specimens
from regalia.ca.profile_document import read_document, read_examples
from regalia.ca.profile_safety import Severity
from regalia.errors import AdminError
from regalia.model import Right
from regalia.ra.preview import preview_examples
from regalia.verbs.fields import Name, is_empty
from regalia.verbs.finding import found_group
from regalia.verbs.profile import Document, FindingRecord, ProfileRecord, checked, profile_fields, profile_findings
from regalia.verbs.verb import Asked, Desk, Record, Verb
from regalia.verbs.wording import certificate_text

if TYPE_CHECKING:
    from regalia.model import Profile
    from regalia.ra.preview import Previewed

__all__ = ["CHECK", "VERBS", "CheckProfile", "ExampleRecord", "ProfileChecked"]

_MOST_EXAMPLES = 100
"""Each makes a certificate and asks all lints about it."""


class CheckProfile(Asked):
    """The document, and what it is to be judged by."""

    group: Annotated[Name, Field(description="The group that it would belong to.")]
    document: Document
    name: Annotated[Name, Field(description="The profile that it will be.")] = "unnamed"
    examples: Annotated[Document | None, Field(description="Further examples: `[[example]]` tables.")] = None


class ExampleRecord(Record):
    """What came of an example."""

    name: str
    outcome: Annotated[str, Field(description="`issued`, or the id of the reason that refuses it.")]
    expected: str
    detail: str
    inputs: Annotated[dict[str, str], Field(description="The variables that the names were made of.")]
    certificate: Annotated[tuple[str, ...] | None, Field(description="What it would say, line by line.")]
    findings: tuple[str, ...]


class ProfileChecked(ProfileRecord):
    """A valid document: what certificates would be."""

    valid: bool
    specimen: Annotated[tuple[str, ...], Field(description="What a certificate would say, line by line.")]
    examples: tuple[ExampleRecord, ...]
    acknowledge: Annotated[tuple[str, ...], Field(description="What somebody has to answer for to keep it.")]
    warnings: tuple[str, ...]
    findings: Annotated[
        tuple[FindingRecord, ...], Field(exclude_if=is_empty, description="All that is unsafe; or left out.")
    ] = ()
    problems: Annotated[
        tuple[str, ...],
        Field(exclude_if=is_empty, description="Examples that end otherwise than they say; or left out."),
    ] = ()


def check_profile(desk: Desk, asked: CheckProfile) -> ProfileChecked:
    """Validate a document, judge its examples, and show the certificates.

    Raises `AdminError`: ADM-004 no such group, ADM-007 with all that is wrong, ADM-018 too many examples, and what else
    `Registry.check_profile` does.
    """
    profile = checked(desk, asked.name, asked.group, asked.document)
    looked = _looked(desk, profile, asked.examples)
    findings = profile_findings(profile)
    return ProfileChecked(
        **profile_fields(profile),
        valid=True,
        specimen=_specimen(desk, profile),
        examples=tuple(map(_example, looked)),
        acknowledge=tuple(sorted({each.rule for each in findings if each.severity is Severity.ACKNOWLEDGE})),
        warnings=tuple(
            f"{each.rule}: {each.where}: {each.title}" for each in findings if each.severity is Severity.WARN
        ),
        findings=findings,
        problems=tuple(each.problem for each in looked if each.problem is not None),
    )


def _looked(desk: Desk, profile: Profile, further: str | None) -> tuple[Previewed, ...]:
    examples = (*read_document(profile.document).example, *(read_examples(further) if further is not None else ()))
    if len(examples) > _MOST_EXAMPLES:
        raise AdminError(reasons.USAGE, f"{len(examples)} examples where at most {_MOST_EXAMPLES} are judged at a time")
    services = desk.services
    return preview_examples(
        profile, examples, store=services.store, urls=services.urls, now=desk.now(), protected=services.protected
    )


def _specimen(desk: Desk, profile: Profile) -> tuple[str, ...]:
    authority = desk.services.store.authority(found_group(desk, profile.group).authority)
    if authority is None:
        raise AdminError(reasons.NOT_FOUND, f"the authority of group {profile.group}")
    return tuple(certificate_text(specimens(profile, authority, desk.services.urls, desk.now())[0]))


def _example(looked: Previewed) -> ExampleRecord:
    return ExampleRecord(
        name=looked.example.name,
        outcome=looked.outcome,
        expected=looked.example.expect,
        detail=looked.detail,
        inputs=dict(looked.inputs),
        certificate=tuple(certificate_text(looked.certificate)) if looked.certificate is not None else None,
        findings=looked.findings,
    )


CHECK = Verb(
    "profile.check",
    "POST",
    "/profile-checks",
    Right.READ,
    CheckProfile,
    ProfileChecked,
    check_profile,
    "Validate a document, judge its examples, and show the certificates. Nothing is kept.",
)

VERBS = (CHECK,)
