"""What a device's management is given for an endpoint: every field of its forms, and the files that it takes."""

from __future__ import annotations

import base64
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import Field

from regalia import reasons
from regalia.errors import AdminError
from regalia.model import Right
from regalia.model.fleet import Platform
from regalia.verbs.fields import Name, is_empty
from regalia.verbs.finding import found_endpoint, found_profile
from regalia.verbs.mdm_files import apple_profile, graph_document
from regalia.verbs.mdm_form import PLATFORMS, forms_of, setup_of
from regalia.verbs.verb import Asked, Desk, Record, Verb

if TYPE_CHECKING:
    from regalia.verbs.mdm_form import Form, Setup

__all__ = [
    "FILE",
    "VALUES",
    "VERBS",
    "EndpointFile",
    "EndpointValues",
    "FileKind",
    "FileRecord",
    "FormRecord",
    "GivenFile",
    "ValuesOf",
]

_INTUNE: Final = "intune"
_APPLE: Final = frozenset({Platform.IOS, Platform.MACOS})
_Platform = Annotated[Platform, Field(description="`windows`, `ios`, `macos` or `android`.")]


class FileKind(StrEnum):
    """Which file."""

    ROOT = "root"
    AUTHORITY = "authority"
    GRAPH = "graph"
    APPLE = "apple"


class ValuesOf(Asked):
    """Of which endpoint, for which devices."""

    name: Annotated[Name, Field(description="Name of the endpoint.")]
    platform: _Platform = Platform.WINDOWS


class FieldRecord(Record):
    """A field of a form."""

    label: Annotated[str, Field(description="As the management calls it.")]
    value: str
    typed: Annotated[bool, Field(description="Whether it is typed or pasted; else it is chosen.")]
    why: Annotated[str | None, Field(exclude_if=is_empty)] = None


class FormRecord(Record):
    """A form, its fields in its order."""

    key: str
    title: str
    where: Annotated[tuple[str, ...], Field(exclude_if=is_empty, description="How one gets there, step by step.")] = ()
    fields: tuple[FieldRecord, ...]
    note: Annotated[str | None, Field(exclude_if=is_empty)] = None


class FileRecord(Record):
    """A file that `endpoint.file` gives."""

    file: FileKind
    name: str


class EndpointValues(Record):
    """What a management is given."""

    endpoint: str
    group: str
    platform: Platform
    management: Annotated[str | None, Field(description="`intune`, or null for any other.")]
    connector: str | None
    forms: tuple[FormRecord, ...]
    files: tuple[FileRecord, ...]


class EndpointFile(Asked):
    """Which file, and for which devices."""

    name: Annotated[Name, Field(description="Name of the endpoint.")]
    platform: _Platform = Platform.WINDOWS
    file: Annotated[FileKind, Field(description="Which file: `endpoint.values` names those that there are.")]
    challenge: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=256,
            repr=False,
            json_schema_extra={"writeOnly": True},
            description="For Apple's profile: a challenge, or the MDM's variable for one.",
        ),
    ] = None
    common_name: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=64,
            description="For Apple's profile: the name to ask for, or the MDM's variable for one.",
        ),
    ] = None


class GivenFile(Record):
    """A file."""

    name: str
    media_type: str
    content: Annotated[str, Field(description="Base64.")]

    @property
    def octets(self) -> bytes:
        """What it holds."""
        return base64.b64decode(self.content)


def show_values(desk: Desk, asked: ValuesOf) -> EndpointValues:
    """Say what every field is given. Raises `AdminError` ADM-004 for no such endpoint, ADM-018 for the platform."""
    _check_platform(asked.platform)
    endpoint = found_endpoint(desk, asked.name)
    setup, management = _setup(desk, asked.name)
    return EndpointValues(
        endpoint=endpoint.name,
        group=endpoint.group,
        platform=asked.platform,
        management=management,
        connector=endpoint.connector,
        forms=tuple(map(_form_record, forms_of(setup, asked.platform, intune=management is not None))),
        files=tuple(FileRecord(file=each, name=_name(asked, each)) for each in _files(asked.platform, management)),
    )


def give_file(desk: Desk, asked: EndpointFile) -> GivenFile:
    """Make a file. Raises `AdminError` ADM-004 for no such endpoint, ADM-018 for a file that there is not."""
    _check_platform(asked.platform)
    setup, management = _setup(desk, asked.name)
    if asked.file not in _files(asked.platform, management):
        raise AdminError(reasons.USAGE, f"there is no file {asked.file} of {asked.name} for {asked.platform}")
    media_type, octets = _content(desk, setup, asked)
    return GivenFile(name=_name(asked, asked.file), media_type=media_type, content=base64.b64encode(octets).decode())


def _check_platform(platform: Platform) -> None:
    if platform not in PLATFORMS:
        known = ", ".join(each.value for each in PLATFORMS)
        raise AdminError(reasons.USAGE, f"there are values for {known}, and none for {platform}")


def _setup(desk: Desk, name: str) -> tuple[Setup, str | None]:
    """Gather what an endpoint's forms are made of, and whose forms they are."""
    endpoint, services = found_endpoint(desk, name), desk.services
    door = services.store.door(endpoint.name)
    if door is None:
        raise AdminError(reasons.NOT_FOUND, f"endpoint {name} is disabled")
    connector = services.store.connector(endpoint.connector) if endpoint.connector is not None else None
    # Who sees an endpoint need not see connectors: what is told here is what its devices are given.
    settings = connector.settings if connector is not None and connector.kind == _INTUNE else None
    profile = found_profile(desk, endpoint.profile)
    url = services.urls.endpoint(endpoint.protocol, endpoint.name)
    return setup_of(profile, door, url, settings), None if settings is None else _INTUNE


def _files(platform: Platform, management: str | None) -> tuple[FileKind, ...]:
    if management is not None:
        return FileKind.ROOT, FileKind.AUTHORITY, FileKind.GRAPH
    return (FileKind.ROOT, FileKind.AUTHORITY, *((FileKind.APPLE,) if platform in _APPLE else ()))


def _name(asked: ValuesOf | EndpointFile, file: FileKind) -> str:
    return {
        FileKind.ROOT: "root.cer",
        FileKind.AUTHORITY: "authority.cer",
        FileKind.GRAPH: f"{asked.name}-{asked.platform}.json",
        FileKind.APPLE: f"{asked.name}.mobileconfig",
    }[file]


def _content(desk: Desk, setup: Setup, asked: EndpointFile) -> tuple[str, bytes]:
    if asked.file is FileKind.GRAPH:
        return "application/json", graph_document(setup, asked.platform).encode()
    if asked.file is FileKind.APPLE:
        profile = apple_profile(
            setup,
            challenge=asked.challenge,
            common_name=asked.common_name,
            organisation=found_endpoint(desk, asked.name).group,
        )
        return "application/x-apple-aspen-config", profile
    return "application/pkix-cert", setup.root if asked.file is FileKind.ROOT else setup.authority


def _form_record(form: Form) -> FormRecord:
    return FormRecord(
        key=form.key,
        title=form.title,
        where=form.where,
        fields=tuple(
            FieldRecord(label=each.label, value=each.value, typed=each.typed, why=each.why or None)
            for each in form.fields
        ),
        note=form.note or None,
    )


VALUES = Verb(
    "endpoint.values",
    "GET",
    "/endpoints/{name}/values",
    Right.READ,
    ValuesOf,
    EndpointValues,
    show_values,
    "Show what a device's management is given for an endpoint: each field of its forms, with its value.",
)
FILE = Verb(
    "endpoint.file",
    "POST",
    "/endpoints/{name}/file",
    Right.READ,
    EndpointFile,
    GivenFile,
    give_file,
    "Make a file that a device's management takes: a certificate, profiles for Microsoft Graph, or one of Apple's.",
)

VERBS = (VALUES, FILE)
