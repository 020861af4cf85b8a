"""The variables of profiles: each one's name, type, where it comes from, and whether a device can choose it (POL-6).

The one list that templates, conditions, examples and the reference page are checked against.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from regalia.model import SanKind

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from regalia.model import Names, Profile

__all__ = ["REQUEST_PREFIX", "VARIABLES", "Facts", "Source", "ValueType", "Variable", "facts_of", "sample_facts"]

Facts = dict[str, tuple[str, ...]]
"""Values by variable; one that is not in it, or has no value, is empty."""

REQUEST_PREFIX: Final = "request."


class ValueType(StrEnum):
    """What a value looks like; whatever it is, the name that it becomes a part of is judged again (IN-8, POL-5)."""

    TEXT = "text"
    DNS_NAME = "DNS name"
    EMAIL = "e-mail address"
    URI = "URI"
    IP = "IP address"
    UPN = "user principal name"
    HEX = "hexadecimal digits"
    PERMANENT_IDENTIFIER = "permanent identifier"
    HARDWARE_MODULE = "hardware module"
    SID = "Windows SID"


class Source(StrEnum):
    """Who says so."""

    SERVER = "server"
    """Computed here."""
    EVIDENCE = "challenge or administrator"
    """What the challenge was made for, or an administrator approved or ordered."""
    REQUEST = "request"
    """What the device asks for: nobody has verified it."""
    DEVICE = "device record"
    """What a connector said of the device."""
    USER = "user record"
    """What a connector said of the user."""


@dataclass(frozen=True, slots=True)
class Variable:
    """One variable."""

    name: str
    type: ValueType
    source: Source
    meaning: str
    sample: str
    """A value for specimens and for looking at templates."""
    several: bool = False
    """Whether it may have more than one value."""
    spoofable: bool = False
    """Whether the device or its user can choose the value (POL-6)."""
    person: bool = False
    """Whether it names a person (PRIV-2)."""

    @property
    def of_record(self) -> bool:
        """Whether only a connector fills it: at an endpoint without one it is empty."""
        return self.source in (Source.DEVICE, Source.USER)


_T, _S = ValueType, Source
_GUID: Final = "5f8c2d11-7c3b-4d0e-9a55-0c1d2e3f4a5b"
_SID: Final = "S-1-5-21-1004336348-1177238915-682003330-1104"

_SERVER = (
    Variable("key.hash20", _T.HEX, _S.SERVER, "first 20 digits of SHA-256 of the public key", "0f1e2d3c4b5a69788796"),
    Variable("key.sha256", _T.HEX, _S.SERVER, "SHA-256 of the public key, 64 digits", "0f1e2d3c4b5a6978" * 4),
    Variable("group", _T.TEXT, _S.SERVER, "name of the group", "staff"),
    Variable("profile", _T.TEXT, _S.SERVER, "name of the profile", "laptop"),
    Variable("endpoint", _T.TEXT, _S.SERVER, "name of the endpoint", "default"),
    Variable("enrolment", _T.HEX, _S.SERVER, "id of the enrolment, 32 digits", "019a1b2c3d4e7f809a1b2c3d4e5f6071"),
)
_NAMES = (
    ("cn", _T.TEXT, "common name", "laptop-17", False, False),
    ("dns", _T.DNS_NAME, "DNS names", "laptop-17.example.com", True, False),
    ("email", _T.EMAIL, "e-mail addresses", "ada@example.com", True, True),
    ("uri", _T.URI, "URIs", "urn:device:17", True, False),
    ("ip", _T.IP, "IP addresses", "192.0.2.17", True, False),
    ("upn", _T.UPN, "user principal names", "ada@example.com", True, True),
    ("permanent_identifier", _T.PERMANENT_IDENTIFIER, "permanent identifiers", "C02XK1ZZJGH5", True, False),
    ("hardware_module", _T.HARDWARE_MODULE, "hardware modules", "1.3.6.1.4.1.99999.1/00ff10", True, False),
)
_BINDING = tuple(
    Variable(f"binding.{name}", kind, _S.EVIDENCE, f"{meaning} that were vouched for", sample, several, person=person)
    for name, kind, meaning, sample, several, person in _NAMES
)
_REQUEST = tuple(
    Variable(
        f"{REQUEST_PREFIX}{name}",
        kind,
        _S.REQUEST,
        f"{meaning} that the device asks for",
        sample,
        several,
        spoofable=True,
        person=person,
    )
    for name, kind, meaning, sample, several, person in _NAMES
)
_DEVICE = (
    Variable("device.id", _T.TEXT, _S.EVIDENCE, "the device, as the inventory calls it", "laptop-17"),
    Variable("device.serial", _T.TEXT, _S.DEVICE, "serial number", "C02XK1ZZJGH5", spoofable=True),
    Variable("device.imei", _T.TEXT, _S.DEVICE, "IMEI", "490154203237518", spoofable=True),
    Variable("device.name", _T.TEXT, _S.DEVICE, "name that its user gave it", "adas-laptop", spoofable=True),
    Variable("device.platform", _T.TEXT, _S.DEVICE, "what it runs: windows, macos, ios, android, …", "windows"),
    Variable("device.entra_id", _T.TEXT, _S.DEVICE, "Entra ID's id of the device", _GUID),
    Variable("device.dns", _T.DNS_NAME, _S.DEVICE, "DNS names in the directory", "laptop-17.example.com", several=True),
    Variable("device.sid", _T.SID, _S.DEVICE, "SID of its computer account", _SID),
)
_USER = (
    Variable("user.name", _T.TEXT, _S.USER, "name for display", "Ada Lovelace", person=True),
    Variable("user.email", _T.EMAIL, _S.USER, "e-mail addresses", "ada@example.com", several=True, person=True),
    Variable("user.upn", _T.UPN, _S.USER, "user principal name", "ada@example.com", person=True),
    Variable("user.sid", _T.SID, _S.USER, "SID of the account", _SID, person=True),
)
_SIDS = (Variable("binding.sid", _T.SID, _S.EVIDENCE, "SID that an administrator vouched for", _SID),)

VARIABLES: Final = {variable.name: variable for variable in (*_SERVER, *_BINDING, *_SIDS, *_REQUEST, *_DEVICE, *_USER)}
"""All of them, by name."""

_SAN_NAMES: Final = {
    "dns": SanKind.DNS,
    "email": SanKind.EMAIL,
    "uri": SanKind.URI,
    "ip": SanKind.IP,
    "upn": SanKind.UPN,
    "permanent_identifier": SanKind.PERMANENT_IDENTIFIER,
    "hardware_module": SanKind.HARDWARE_MODULE,
}


def facts_of(
    profile: Profile,
    *,
    endpoint: str,
    enrolment: UUID,
    key_sha256: bytes,
    binding: Names,
    device: str | None,
    asked: Names,
    records: Facts | None = None,
) -> Facts:
    """Collect what is known of a request, by variable. `records`: `profile_records.facts_of_records`."""
    facts: Facts = {
        "key.hash20": (key_sha256.hex()[:20],),
        "key.sha256": (key_sha256.hex(),),
        "group": (profile.group,),
        "profile": (profile.name,),
        "endpoint": (endpoint,),
        "enrolment": (enrolment.hex,),
    }
    facts.update(_of_names("binding.", binding))
    facts.update(_of_names(REQUEST_PREFIX, asked))
    if binding.sid is not None:
        facts["binding.sid"] = (binding.sid,)
    if device is not None:
        facts["device.id"] = (device,)
    return facts | (records or {})


def _of_names(prefix: str, names: Names) -> Mapping[str, tuple[str, ...]]:
    facts = {
        f"{prefix}{name}": tuple(sorted(san.value for san in names.sans if san.kind is kind))
        for name, kind in _SAN_NAMES.items()
    }
    facts[f"{prefix}cn"] = (names.cn,) if names.cn is not None else ()
    return facts


def sample_facts() -> Facts:
    """Give every variable the value of its row, those of records too."""
    return {variable.name: (variable.sample,) for variable in VARIABLES.values()}
