"""Names in profiles and in requests: formats with variables, and what a request asks for, as comparable sets."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from collections.abc import Mapping

    from regalia.lab.directory import EntraDevice, ManagedDevice, User

__all__ = ["UnknownVariableError", "rendered", "requested_sans", "requested_subject", "subject_of", "variables"]

UPN: Final = x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.3")
_VARIABLE: Final = re.compile(r"\{\{\s*(\w+)\s*\}\}")
_ATTRIBUTES: Final = {
    "CN": NameOID.COMMON_NAME,
    "E": NameOID.EMAIL_ADDRESS,
    "EMAIL": NameOID.EMAIL_ADDRESS,
    "O": NameOID.ORGANIZATION_NAME,
    "OU": NameOID.ORGANIZATIONAL_UNIT_NAME,
    "L": NameOID.LOCALITY_NAME,
    "S": NameOID.STATE_OR_PROVINCE_NAME,
    "ST": NameOID.STATE_OR_PROVINCE_NAME,
    "C": NameOID.COUNTRY_NAME,
    "DC": NameOID.DOMAIN_COMPONENT,
    "SERIALNUMBER": NameOID.SERIAL_NUMBER,
}
_RDN: Final = re.compile(r'\s*([A-Za-z]+)\s*=\s*("(?:[^"]|"")*"|(?:\\.|[^,+\\"])*)\s*(?:[,+]|$)')


class UnknownVariableError(Exception):
    """A format uses a variable that there is not, or that has no value here."""


def variables(managed: ManagedDevice, device: EntraDevice | None, user: User | None) -> dict[str, str]:
    """Return what formats can use, by their names in lower case."""
    values = {
        "aad_device_id": managed.entra_device_id,
        "azureaddeviceid": managed.entra_device_id,
        "deviceid": managed.id,
        "device_serial": managed.serial,
        "serialnumber": managed.serial,
        "device_imei": managed.imei,
        "imei": managed.imei,
        "imeinumber": managed.imei,
        "meid": managed.meid,
        "wifimacaddress": managed.wifi_mac,
        "devicename": device.display_name if device else managed.name,
        "fullyqualifieddomainname": "",
    }
    if user is not None:
        values |= {
            "username": user.user_principal_name.partition("@")[0],
            "userprincipalname": user.user_principal_name,
            "emailaddress": user.mail or "",
            "onpremisessamaccountname": user.sam_account or "",
            "onpremisessecurityidentifier": user.sid or "",
        }
    return values


def rendered(text: str, values: Mapping[str, str]) -> str:
    """Replace the variables; an `UnknownVariableError` names one that has no value."""

    def value(found: re.Match[str]) -> str:
        known = values.get(found[1].lower())
        if not known:
            raise UnknownVariableError(found[1])
        return known

    return _VARIABLE.sub(value, text)


def subject_of(text: str, values: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return the attributes of a subject format as (OID, value); a value with `,` or `+` in it stands in quotes."""
    found: list[tuple[str, str]] = []
    at = 0
    while at < len(text):
        match = _RDN.match(text, at)
        if match is None or match[1].upper() not in _ATTRIBUTES:
            raise UnknownVariableError(text[at:])
        literal = match[2].strip()
        literal = literal[1:-1].replace('""', '"') if literal.startswith('"') else re.sub(r"\\(.)", r"\1", literal)
        found.append((_ATTRIBUTES[match[1].upper()].dotted_string, rendered(literal, values)))
        at = match.end()
    return found


def requested_subject(request: x509.CertificateSigningRequest) -> list[tuple[str, str]]:
    """Return the attributes of a request's subject as (OID, value)."""
    return [(attribute.oid.dotted_string, str(attribute.value)) for attribute in request.subject]


def requested_sans(request: x509.CertificateSigningRequest) -> set[tuple[str, str]]:
    """Return a request's alternative names as (kind, value); what no profile can ask for keeps its own kind."""
    try:
        names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return set()
    return {_san(name) for name in names}


def _san(name: x509.GeneralName) -> tuple[str, str]:
    match name:
        case x509.DNSName():
            return "DNS", name.value.lower()
        case x509.RFC822Name():
            return "Email", name.value.lower()
        case x509.UniformResourceIdentifier():
            return "URI", name.value
        case x509.OtherName() if name.type_id == UPN and name.value[:1] == b"\x0c" and name.value[1:2] < b"\x80":
            return "UPN", name.value[2:].decode("utf-8", "replace")
        case _:
            return type(name).__name__, repr(name.value)
