"""What an MDM's own form is given for one endpoint: its labels, in its order, with our values and why.

One table for the command, the API, the console and the files that are made of it (`mdm_files`). Labels are the MDM's
own words; they are never translated or improved. Sources: Microsoft's page on SCEP profiles of Intune, and the keys of
Apple's `com.apple.security.scep` payload.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from regalia.model import Reference, SanKind
from regalia.model.fleet import Platform
from regalia.verbs.wording import fingerprints
from regalia.wire import oids

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from regalia.model import Door, JsonValue, Profile, Template

__all__ = ["PLATFORMS", "TEXTS", "Field", "Form", "Setup", "Validity", "forms_of", "setup_of"]

PLATFORMS: Final = (Platform.WINDOWS, Platform.IOS, Platform.MACOS, Platform.ANDROID)
"""Those with a form of their own."""

_KEY_SIZES: Final = (2048, 4096)
"""Of RSA keys, that a form offers. Windows makes the larger ones in software only (Microsoft, SCEP profiles)."""
_IN_HARDWARE: Final = 2048
RENEWAL_PERCENT: Final = 20
_LEAST, _MOST = timedelta(days=5), timedelta(days=730)
"""Intune takes 5 days to 24 months."""

_VARIABLES: Final = {
    "device.entra_id": "{{AAD_Device_ID}}",
    "device.id": "{{DeviceId}}",
    "device.serial": "{{SerialNumber}}",
    "device.imei": "{{IMEI}}",
    "device.name": "{{DeviceName}}",
    "device.dns": "{{FullyQualifiedDomainName}}",
    "device.sid": "{{OnPremisesSecurityIdentifier}}",
    "user.upn": "{{UserPrincipalName}}",
    "user.email": "{{EmailAddress}}",
    "user.sid": "{{OnPremisesSecurityIdentifier}}",
}
"""Intune's variables for ours (Microsoft, SCEP profiles: subject name format)."""
_COMMON_NAMES: Final = {"entra-device-id": "{{AAD_Device_ID}}", "intune-device-id": "{{DeviceId}}"}
"""By the connector's setting `common_name`: how it knows which device asks."""
_SAN_TITLES: Final = {
    SanKind.DNS: "DNS",
    SanKind.EMAIL: "Email address",
    SanKind.UPN: "User principal name (UPN)",
    SanKind.URI: "Uniform Resource Identifier (URI)",
}
_PURPOSES: Final = {
    oids.KP_CLIENT_AUTH: "Client Authentication",
    oids.KP_SERVER_AUTH: "Server Authentication",
    oids.KP_EMAIL_PROTECTION: "Secure Email",
    oids.KP_MS_SMARTCARD_LOGON: "Smart Card Logon",
}
_USAGES: Final = {"digitalSignature": "Digital signature", "keyEncipherment": "Key encipherment"}

# Each "why" is a text that the console translates.
_BEFORE_SIGN_IN: Final = "It works before anybody signs in."
_OF_A_PERSON: Final = "The profile names a person, which a device certificate cannot."
_NAMES_IT: Final = "The names that certificates have here are made of our record of the device, not of this."
_TIES: Final = "It ties the certificate to Intune's record, so that a wipe ends it."
_AS_PROFILE: Final = "As long as the endpoint's profile gives."
_IGNORED: Final = "The device ignores it and takes what it is given."
_STAYS: Final = "The key cannot be copied off the computer."
_SOFTWARE: Final = "Keys of this size are made in software: they can be copied off the computer."
_CHOOSE_AUTHORITY: Final = "On Windows the issuing authority; if event 32 says that the hash differs, the root."
_CHOOSE_ROOT: Final = "The profile that has the root."
_RENEWS: Final = "It renews when this share of its life is left."
_HTTPS_ONLY: Final = "This platform goes to https addresses only, and this one is none."
_OLD_TLS: Final = "Windows asks by TLS 1.2 at most."
_ONE_FOR_EACH: Final = "One profile for each of the two certificates."
_SAME_GROUP: Final = "Assign all of them to the same group: without its trusted certificate a device waits for ever."
_RADIUS: Final = "What your RADIUS server's certificate says. Without it people are asked, and say yes to anybody."
_LEFT_OUT: Final = "Leave it empty where your MDM has a challenge for each device; else one that is made here."
_YOURS: Final = "Your MDM's variable for the serial number, where a connector has to know the device by it."
_COMPARED: Final = "The device compares it with what it is given first."
TEXTS: Final = (
    _BEFORE_SIGN_IN,
    _OF_A_PERSON,
    _NAMES_IT,
    _TIES,
    _AS_PROFILE,
    _IGNORED,
    _STAYS,
    _SOFTWARE,
    _CHOOSE_AUTHORITY,
    _CHOOSE_ROOT,
    _RENEWS,
    _HTTPS_ONLY,
    _OLD_TLS,
    _ONE_FOR_EACH,
    _SAME_GROUP,
    _RADIUS,
    _LEFT_OUT,
    _YOURS,
    _COMPARED,
)
"""Every explanation there is, for who translates them."""


@dataclass(frozen=True, slots=True)
class Validity:
    """How long, as Intune's form takes it."""

    value: int
    scale: str
    """`days`, `months` or `years`."""

    @property
    def text(self) -> str:
        """Say it as the form does."""
        return f"{self.value} {self.scale if self.value != 1 else self.scale[:-1]}"


@dataclass(frozen=True, slots=True)
class Setup:
    """What a management is given for one endpoint, whichever form it has."""

    endpoint: str
    url: str
    root: bytes
    """DER."""
    authority: bytes
    """DER."""
    subject: str
    """As Intune writes it: `CN={{AAD_Device_ID}}`; empty where the request names nothing."""
    sans: tuple[tuple[SanKind, str], ...]
    usages: tuple[str, ...]
    purposes: tuple[str, ...]
    """Dotted object identifiers."""
    validity: Validity
    key_bits: int
    renewal: int = RENEWAL_PERCENT
    for_user: bool = False
    """Whether the names are a person's, which asks for a certificate of type User."""

    @property
    def in_hardware(self) -> bool:
        """Whether a computer's TPM can make the key."""
        return self.key_bits <= _IN_HARDWARE

    @property
    def purpose_titles(self) -> tuple[tuple[str, str], ...]:
        """Each purpose's name and object identifier."""
        return tuple((_PURPOSES.get(each, oids.describe(each)), each) for each in self.purposes)


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a form."""

    label: str
    value: str
    typed: bool = False
    """Whether it is typed or pasted; else it is chosen."""
    why: str = ""


@dataclass(frozen=True, slots=True)
class Form:
    """One form: what it is called and where it is found."""

    key: str
    """`trust`, `scep` or `wifi`."""
    title: str
    where: tuple[str, ...]
    """Step by step, in the management's own console."""
    fields: tuple[Field, ...]
    note: str = ""


# --- what the values are ----------------------------------------------------------------------------------------------


def setup_of(profile: Profile, door: Door, url: str, settings: Mapping[str, JsonValue] | None) -> Setup:
    """Say what forms are given for a door: with a connector's settings Intune's, else those of any management.

    Intune compares what its own form says, so its names are those that the connector knows the device by, and those
    of the profile. For another one the names come from here: the request need not have any (R5.2).
    """
    common, others, person = _names(profile) if settings is not None else ("", (), False)
    made = Setup(
        endpoint=door.endpoint.name,
        url=url,
        root=door.root.certificate_der,
        authority=door.authority.certificate_der,
        subject="",
        sans=(),
        usages=tuple(each for each in _USAGES if each in profile.key_usage),
        purposes=profile.extended_key_usage,
        validity=_validity(profile.validity.duration),
        key_bits=_key_bits(profile),
        for_user=person,
    )
    if settings is None:
        return made
    chosen = _COMMON_NAMES.get(str(settings.get("common_name")), common or "{{AAD_Device_ID}}")
    prefix = str(settings.get("device_uri", "IntuneDeviceId://"))
    ties = ((SanKind.URI, f"{prefix}{{{{DeviceId}}}}"),) if prefix else ()
    return replace(made, subject=f"CN={chosen}", sans=tuple(dict.fromkeys((*ties, *others))))


def _key_bits(profile: Profile) -> int:
    """Choose the smallest size that forms offer and the profile takes; the largest where it takes none of them."""
    fit = (each for each in _KEY_SIZES if each >= profile.rsa_min_bits and each in (profile.rsa_bits or _KEY_SIZES))
    return next(fit, _KEY_SIZES[-1])


def _names(profile: Profile) -> tuple[str, tuple[tuple[SanKind, str], ...], bool]:
    """Say a profile's common name and alternative names in Intune's variables, and whether they name a person.

    What Intune has no variable for is left out: a request may ask for fewer names than it is given (R5.2).
    """
    rules = profile.name_rules
    if rules is None:
        return "", (), False
    common = next((_said(rule.template) for rule in rules.subject if rule.attribute == "cn"), "")
    sans = tuple((rule.kind, _said(rule.template)) for rule in rules.sans if rule.kind in _SAN_TITLES)
    templates = [*(rule.template for rule in rules.subject), *(rule.template for rule in rules.sans)]
    person = any(
        isinstance(part, Reference) and part.name.startswith("user.") for template in templates for part in template
    )
    return common, tuple((kind, text) for kind, text in sans if text), person


def _said(template: Template) -> str:
    """Write a template in Intune's variables; empty where it has none for a part, or forbids a character of it."""
    parts: list[str] = []
    for part in template:
        text = part if isinstance(part, str) else _VARIABLES.get(part.name, "")
        if not text or (isinstance(part, str) and set(part) & set("{}|;")):
            return ""
        parts.append(text)
    return "".join(parts)


def _validity(duration: timedelta) -> Validity:
    days = min(max(duration, _LEAST), _MOST).days
    if days % 365 == 0:
        return Validity(days // 365, "years")
    return Validity(days // 30, "months") if days % 30 == 0 else Validity(days, "days")


# --- the forms --------------------------------------------------------------------------------------------------------

_SYSTEMS: Final = {
    Platform.WINDOWS: "Windows",
    Platform.IOS: "iOS/iPadOS",
    Platform.MACOS: "macOS",
    Platform.ANDROID: "Android",
}
_APPLE: Final = (Platform.IOS, Platform.MACOS)


def forms_of(setup: Setup, platform: Platform, *, intune: bool) -> tuple[Form, ...]:
    """Give the forms of a platform, in the order in which they are filled in."""
    if intune:
        return _intune_trust(platform), _intune_scep(setup, platform), _intune_wifi(platform)
    return _other_trust(), _other_scep(setup, platform), _other_wifi()


def _place(platform: Platform, *last: str) -> tuple[str, ...]:
    return ("Devices", _SYSTEMS[platform], "Configuration", "Create", "Templates", *last)


def _intune_trust(platform: Platform) -> Form:
    stores = ("Computer certificate store - Root", "Computer certificate store - Intermediate")
    fields = [Field("Certificate file", "root.cer"), Field("Certificate file", "authority.cer", why=_ONE_FOR_EACH)]
    if platform is Platform.WINDOWS:
        fields = [
            part
            for file, store in zip(fields, stores, strict=True)
            for part in (file, Field("Destination store", store))
        ]
    return Form("trust", "Trusted certificate", _place(platform, "Trusted certificate"), tuple(fields), _SAME_GROUP)


def _intune_scep(setup: Setup, platform: Platform) -> Form:
    place = _place(platform, "SCEP certificate")
    return Form("scep", "SCEP certificate", place, tuple(_scep_fields(setup, platform)), _SAME_GROUP)


def _scep_fields(setup: Setup, platform: Platform) -> Iterator[Field]:
    windows, apple = platform is Platform.WINDOWS, platform in _APPLE
    if platform is Platform.MACOS:
        yield Field("Deployment Channel", "User Channel" if setup.for_user else "Device Channel")
    yield Field(
        "Certificate type",
        "User" if setup.for_user else "Device",
        why=_OF_A_PERSON if setup.for_user else _BEFORE_SIGN_IN,
    )
    yield Field("Subject name format", setup.subject, typed=True, why=_NAMES_IT)
    for kind, text in setup.sans:
        why = _TIES if _VARIABLES["device.id"] in text else ""
        yield Field(f"Subject alternative name, {_SAN_TITLES[kind]}", text, typed=True, why=why)
    yield Field("Certificate validity period", setup.validity.text, why=_IGNORED if apple else _AS_PROFILE)
    if windows:
        # The TPM alone, where it can: a key that software makes instead could be copied.
        store = "Trusted Platform Module (TPM) KSP, otherwise fail" if setup.in_hardware else "Software KSP"
        why = _STAYS if setup.in_hardware else _SOFTWARE
        yield Field("Key storage provider (KSP)", f"Enroll to {store}", why=why)
    yield Field("Key usage", ", ".join(_USAGES[each] for each in setup.usages))
    yield Field("Key size (bits)", str(setup.key_bits))
    if not apple:
        yield Field("Hash algorithm", "SHA-2")
    yield Field(
        "Root Certificate",
        "authority.cer" if windows else "root.cer",
        why=_CHOOSE_AUTHORITY if windows else _CHOOSE_ROOT,
    )
    for title, oid in setup.purpose_titles:
        yield Field(
            "Extended key usage", f"{title}, {oid}", typed=True, why=_IGNORED if platform is Platform.IOS else ""
        )
    yield Field("Renewal threshold (%)", str(setup.renewal), typed=True, why=_RENEWS)
    yield Field("SCEP Server URLs", setup.url, typed=True, why=_about_url(setup, platform))


def _about_url(setup: Setup, platform: Platform) -> str:
    """Say what is known to go wrong with an address: Intune wants https, and Windows' client is an old one."""
    if not setup.url.startswith("https://"):
        return _HTTPS_ONLY
    return _OLD_TLS if platform is Platform.WINDOWS else ""


def _intune_wifi(platform: Platform) -> Form:
    client = Field("Client certificate for client authentication (Identity certificate)", "SCEP certificate")
    fields = (
        Field("EAP type", "EAP - TLS"),
        Field("Certificate server names", "", typed=True, why=_RADIUS),
        Field("Root certificates for server validation", "root.cer"),
        Field("Authentication method", "SCEP certificate"),
        client,
    )
    return Form("wifi", "Wi-Fi", _place(platform, "Wi-Fi", "Enterprise"), fields, _SAME_GROUP)


def _other_trust() -> Form:
    fields = (
        Field("Root certificate", "root.cer"),
        Field("Intermediate certificate", "authority.cer", why=_ONE_FOR_EACH),
    )
    return Form("trust", "Trusted certificates", (), fields)


def _other_scep(setup: Setup, platform: Platform) -> Form:
    keys = platform in _APPLE
    fields = (
        Field(
            "URL",
            setup.url,
            typed=True,
            why=_HTTPS_ONLY if platform is Platform.ANDROID and not setup.url.startswith("https://") else "",
        ),
        Field("Challenge", "", typed=True, why=_LEFT_OUT),
        Field("Subject", "", typed=True, why=_YOURS),
        Field("Keysize" if keys else "Key size", str(setup.key_bits)),
        Field("Key Usage" if keys else "Key usage", "5" if keys else ", ".join(_USAGES[each] for each in setup.usages)),
        *(() if keys else (Field("Hash algorithm", "SHA-256"),)),
        Field(
            "CAFingerprint" if keys else "CA thumbprint (SHA-1)",
            fingerprints(setup.authority)["sha1"],
            typed=True,
            why=_COMPARED,
        ),
    )
    return Form("scep", "SCEP", (), fields)


def _other_wifi() -> Form:
    fields = (
        Field("EAP type", "EAP-TLS"),
        Field("Server names", "", typed=True, why=_RADIUS),
        Field("Trusted root", "root.cer"),
    )
    return Form("wifi", "Wi-Fi", (), fields)
