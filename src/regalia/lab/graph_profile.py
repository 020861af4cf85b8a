"""What is imported through Microsoft Graph: `deviceConfigurations`, read as Intune reads them, made a SCEP profile.

Properties: Microsoft's pages of the beta's resources, as `windows81SCEPCertificateProfile`. Which certificate a SCEP
profile names by `rootCertificate@odata.bind` is known by its place in the file: its name stands where an id would.
"""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["GraphProfileError", "imported"]

_SANS: Final = {
    "domainNameService": "DNS",
    "emailAddress": "Email",
    "userPrincipalName": "UPN",
    "universalResourceIdentifier": "URI",
}
_DAYS: Final = {"days": 1, "months": 30, "years": 365}
_SCEP: Final = ("ScepCertificateProfile", "SCEPCertificateProfile")


class GraphProfileError(ValueError):
    """Intune would refuse it, with what is wrong."""


def imported(document: Mapping[str, Any]) -> dict[str, Any]:
    """Read a file of configurations as fields of the laboratory's profile. Raises `GraphProfileError`."""
    try:
        found: Sequence[Mapping[str, Any]] = document["deviceConfigurations"]
        (scep,) = (each for each in found if _type(each).endswith(_SCEP))
        trusted = {
            str(each["displayName"]): base64.b64decode(each["trustedRootCertificate"], validate=True)
            for each in found
            if _type(each).endswith("TrustedRootCertificate")
        }
        return _fields(scep, _named(scep, trusted))
    except (KeyError, TypeError, ValueError) as error:
        raise GraphProfileError(f"it is no set of profiles that Intune would take: {error}") from error


def _type(configuration: Mapping[str, Any]) -> str:
    return str(configuration["@odata.type"])


def _named(scep: Mapping[str, Any], trusted: Mapping[str, bytes]) -> bytes:
    """Look up the trusted certificate that the SCEP profile refers to."""
    bound = str(scep["rootCertificate@odata.bind"])
    names = [name for name in trusted if f"'{name}'" in bound]
    if len(names) != 1:
        raise GraphProfileError(f"{bound} names none of its trusted certificates")
    return trusted[names[0]]


def _fields(scep: Mapping[str, Any], root: bytes) -> dict[str, Any]:
    if scep["subjectNameFormat"] != "custom":
        raise GraphProfileError("subjectNameFormat has to be custom where a format string is given")
    return {
        "scep_urls": [str(url) for url in scep["scepServerUrls"]],
        "subject": str(scep["subjectNameFormatString"]),
        "sans": [[_SANS[each["sanType"]], str(each["name"])] for each in scep["customSubjectAlternativeNames"]],
        "key_usage": str(scep["keyUsage"]).split(","),
        "ekus": [str(each["objectIdentifier"]) for each in scep["extendedKeyUsages"]],
        "key_size": int(str(scep["keySize"]).removeprefix("size")),
        "hash_algorithm": str(scep.get("hashAlgorithm", "sha2")),
        "for_user": scep["certificateStore"] == "user",
        "validity_days": int(scep["certificateValidityPeriodValue"]) * _DAYS[scep["certificateValidityPeriodScale"]],
        "renewal_threshold": int(scep["renewalThresholdPercentage"]),
        "root_thumbprint": hashlib.sha1(root).hexdigest(),  # noqa: S324 - what Windows compares is a SHA-1
        "trusted_root": x509.load_der_x509_certificate(root).public_bytes(Encoding.PEM).decode("ascii"),
    }
