"""What a management takes as a file: Intune's three profiles for Microsoft Graph, and a profile for Apple's devices.

Graph: properties of the beta's resources as Microsoft's pages have them, a body for each call; a SCEP profile names its
trusted certificate by an id that only Intune gives, so that its name stands there. Apple: the reference of Device
Management profiles, payloads `com.apple.security.root`, `.pkcs1` and `.scep`.
"""

from __future__ import annotations

import base64
import json
import plistlib
from typing import TYPE_CHECKING, Any, Final
from uuid import NAMESPACE_URL, uuid5

from regalia.model import SanKind
from regalia.model.fleet import Platform
from regalia.verbs.wording import fingerprints
from regalia.wire.certificate import read_certificate
from regalia.wire.names import name_text

if TYPE_CHECKING:
    from regalia.verbs.mdm_form import Setup

__all__ = ["apple_profile", "graph_document"]

_CONFIGURATIONS: Final = "https://graph.microsoft.com/beta/deviceManagement/deviceConfigurations"
_SCEP_TYPES: Final = {
    Platform.WINDOWS: "windows81SCEPCertificateProfile",
    Platform.IOS: "iosScepCertificateProfile",
    Platform.MACOS: "macOSScepCertificateProfile",
    Platform.ANDROID: "androidDeviceOwnerScepCertificateProfile",
}
_TRUST_TYPES: Final = {
    Platform.WINDOWS: "windows81TrustedRootCertificate",
    Platform.IOS: "iosTrustedRootCertificate",
    Platform.MACOS: "macOSTrustedRootCertificate",
    Platform.ANDROID: "androidDeviceOwnerTrustedRootCertificate",
}
_SAN_TYPES: Final = {
    SanKind.DNS: "domainNameService",
    SanKind.EMAIL: "emailAddress",
    SanKind.UPN: "userPrincipalName",
    SanKind.URI: "universalResourceIdentifier",
}
_STORES: Final = ("computerCertStoreRoot", "computerCertStoreIntermediate")


def graph_document(setup: Setup, platform: Platform) -> str:
    """Write the bodies to post, in their order: the trusted certificates, then the SCEP profile that names one."""
    channel = "userChannel" if setup.for_user else "deviceChannel"
    more = {"deploymentChannel": channel} if platform is Platform.MACOS else {}
    trusted = [
        _trusted(setup, platform, number, certificate) | more
        for number, certificate in enumerate((setup.root, setup.authority))
    ]
    # Windows compares with the issuing authority, all others want the root (SCEPman's troubleshooting).
    named = str(trusted[1 if platform is Platform.WINDOWS else 0]["displayName"])
    scep = _scep(setup, platform, named) | more
    if platform is Platform.MACOS:
        scep["allowAllAppsAccess"] = False
    document = {
        "post to": _CONFIGURATIONS,
        "then": f"put the id that Intune gave {named} in the place of its name; assign all of them to the same group",
        "deviceConfigurations": [*trusted, scep],
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _trusted(setup: Setup, platform: Platform, number: int, certificate: bytes) -> dict[str, Any]:
    what = ("root", "authority")[number]
    document: dict[str, Any] = {
        "@odata.type": f"#microsoft.graph.{_TRUST_TYPES[platform]}",
        "displayName": f"{setup.endpoint} {what} ({platform.value})",
        "certFileName": f"{what}.cer",
        "trustedRootCertificate": base64.b64encode(certificate).decode(),
    }
    if platform is Platform.WINDOWS:
        document["destinationStore"] = _STORES[number]
    return document


def _scep(setup: Setup, platform: Platform, named: str) -> dict[str, Any]:
    document: dict[str, Any] = {
        "@odata.type": f"#microsoft.graph.{_SCEP_TYPES[platform]}",
        "displayName": f"{setup.endpoint} SCEP ({platform.value})",
        "renewalThresholdPercentage": setup.renewal,
        "certificateStore": "user" if setup.for_user else "machine",
        "certificateValidityPeriodScale": setup.validity.scale,
        "certificateValidityPeriodValue": setup.validity.value,
        "subjectNameFormat": "custom",
        "subjectNameFormatString": setup.subject,
        "customSubjectAlternativeNames": [{"sanType": _SAN_TYPES[kind], "name": text} for kind, text in setup.sans],
        "keyUsage": ",".join(setup.usages),
        "keySize": f"size{setup.key_bits}",
        "extendedKeyUsages": [{"name": name, "objectIdentifier": oid} for name, oid in setup.purpose_titles],
        "scepServerUrls": [setup.url],
        "rootCertificate@odata.bind": f"{_CONFIGURATIONS}('{named}')",
    }
    if platform is Platform.WINDOWS:
        document["keyStorageProvider"] = "useTpmKspOtherwiseFail" if setup.in_hardware else "useSoftwareKsp"
    if platform in (Platform.WINDOWS, Platform.ANDROID):
        document["hashAlgorithm"] = "sha2"
    return document


def apple_profile(setup: Setup, *, challenge: str | None, common_name: str | None, organisation: str) -> bytes:
    """Write a profile (`.mobileconfig`) with both certificates and the SCEP payload; not signed.

    Its identifiers are the same each time, so that an MDM replaces the former one. `challenge` and `common_name` may be
    variables of the MDM, which it fills in for each device; None leaves them out.
    """
    identifier = f"org.regalia.{setup.endpoint}"
    authority = read_certificate(setup.authority)
    content: dict[str, Any] = {
        "URL": setup.url,
        "Key Type": "RSA",
        "Keysize": setup.key_bits,
        # 1 to sign, 4 to encrypt: the device decrypts its reply with the key.
        "Key Usage": 5,
        # For PENDING: an hour, so that somebody can approve.
        "Retries": 60,
        "RetryDelay": 60,
        "CAFingerprint": bytes.fromhex(fingerprints(setup.authority)["sha1"]),
    }
    if challenge is not None:
        content["Challenge"] = challenge
    if common_name is not None:
        content["Subject"] = [[["CN", common_name]]]
    payloads = [
        _payload(setup, identifier, "root", "com.apple.security.root", "Root certificate", setup.root),
        _payload(
            setup, identifier, "authority", "com.apple.security.pkcs1", name_text(authority.subject), setup.authority
        ),
        _payload(setup, identifier, "scep", "com.apple.security.scep", "Certificate by SCEP", content),
    ]
    return plistlib.dumps(
        {
            **_heading(setup, identifier, "Configuration", f"Certificates of {setup.endpoint}"),
            "PayloadOrganization": organisation,
            "PayloadContent": payloads,
            "PayloadRemovalDisallowed": False,
        }
    )


def _payload(setup: Setup, above: str, part: str, kind: str, title: str, content: object) -> dict[str, Any]:
    return {**_heading(setup, f"{above}.{part}", kind, title), "PayloadContent": content}


def _heading(setup: Setup, identifier: str, kind: str, title: str) -> dict[str, Any]:
    return {
        "PayloadType": kind,
        "PayloadVersion": 1,
        "PayloadIdentifier": identifier,
        # Of the address, too: two installations with an endpoint of the same name are two profiles.
        "PayloadUUID": str(uuid5(NAMESPACE_URL, f"{setup.url}#{identifier}")).upper(),
        "PayloadDisplayName": title,
    }
