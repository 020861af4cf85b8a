"""What tells the SCEP clients of platforms apart. Each habit has its source beside it.

Sources are repositories and their issues or pull requests, vendors' pages, and RFC 8894. "Unverified" stands where
nothing public says what the client does: there the value is what the RFC recommends.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

__all__ = ["ANDROID", "IOS", "MACOS", "PLATFORMS", "WINDOWS_10", "WINDOWS_11", "Platform", "platform_of"]


@dataclass(frozen=True, slots=True)
class Platform:
    """The habits of a SCEP client."""

    name: str
    system: str
    """As Intune names the operating system."""
    identifier: str | None = None
    """`message=` of GetCACaps and GetCACert; None leaves the parameter out."""
    nonce_octets: int = 16
    oaep: bool = False
    """The content key is encrypted with RSAES-OAEP, SHA-1 and MGF1-SHA-1; else with PKCS #1 v1.5."""
    indefinite: bool = False
    """EnvelopedData in BER: indefinite lengths, and the encrypted content in pieces."""
    critical_authority_key: bool = False
    """The self-signed signer certificate has a critical AuthorityKeyIdentifier."""
    bare_base64: bool = False
    """A GET escapes `=` and leaves `+` and `/` as they are."""
    needs_digest: bool = False
    """Gives up where the capabilities name neither SHA-1, SHA-256 nor SHA-512."""
    needs_candidate: bool = False
    """Of several CA certificates it takes only one with both key usages, and gives up without."""
    first_is_mine: bool = False
    """The first certificate of the reply is taken for the new one, whichever that is."""
    compares_thumbprint: bool = True
    """The thumbprint of the profile's trusted certificate must be that of a certificate of GetCACert."""
    chains_to_root: bool = False
    """The CA certificates of GetCACert must lead to the profile's trusted certificate, which need not be there."""
    https_only: bool = False
    oldest_tls: bool = False
    """Speaks no TLS above 1.2."""
    any_url: bool = False
    """Of several URLs one by chance, and that one for the whole conversation; else the first."""
    polls: int = 3
    poll_seconds: float = 10.0
    renews_with_old_key: bool = False
    """Without a fresh challenge it renews with PKCSReq, signed with the certificate that it has."""
    heals_when_expired: bool = True
    """An expired certificate is replaced."""


_APPLE: Final = Platform(
    name="",
    system="",
    # EnvelopedData is BER: jscep issue 35; ultimate-ca-manager PR 102.
    indefinite=True,
    # GET escapes only `=`: step-ca PR 1570. It is used where POSTPKIOperation is not offered.
    bare_base64=True,
    # iOS 10 and later refuse capabilities without a SHA: micromdm issues 23 and 81.
    needs_digest=True,
    # "SCEP failed to find candidate RA certificates", -67731: ultimate-ca-manager issue 101 and PR 102.
    needs_candidate=True,
    # Error 22008 "mismatching public keys" where a CA certificate sorts first: ultimate-ca-manager issue 228.
    first_is_mine=True,
    # `Retries` 3, `RetryDelay` 10 s, for PENDING: apple/device-management, com.apple.security.scep.yaml.
    polls=3,
    poll_seconds=10.0,
    # PKCSReq (19) also for renewals: comments in step-ca's scep/authority.go.
    renews_with_old_key=True,
    # Only inside the renewal window, and an expired one is not replaced: Intune, "Create SCEP certificate profiles".
    heals_when_expired=False,
)

# A profile's `Name` goes into `message=`, and Intune's profiles have none (unverified).
IOS: Final = replace(_APPLE, name="ios", system="iOS")
# macOS also logs that the server cannot renew where `Renewal` is not offered, and goes on: step-ca scep/api/api.go.
MACOS: Final = replace(_APPLE, name="macos", system="macOS")

WINDOWS_10: Final = Platform(
    name="windows-10",
    system="Windows",
    # `message=default`: step-ca issue 1932, in its log.
    identifier="default",
    # The signer certificate's critical AuthorityKeyIdentifier: step-ca PR 1994.
    critical_authority_key=True,
    # CAThumbprint, compared with what GetCACert answers: the ClientCertificateInstall CSP. Event 32 where it differs.
    compares_thumbprint=True,
    # No TLS 1.3: SCEPman's troubleshooting, 0x80072f8f and event 307.
    oldest_tls=True,
    # One of several URLs by chance, for all three calls: Intune, "Create SCEP certificate profiles".
    any_url=True,
    # RetryCount 3, RetryDelay 5 minutes, for PENDING: the ClientCertificateInstall CSP.
    polls=3,
    poll_seconds=300.0,
)
# Some machines use RSAES-OAEP: bc-java PR 953, ultimate-ca-manager issue 228. Which versions do is unverified.
WINDOWS_11: Final = replace(WINDOWS_10, name="windows-11", oaep=True)

ANDROID: Final = Platform(
    name="android",
    system="Android",
    # The platform has no SCEP; the agent of the management does it, in ways that nobody published (unverified).
    # It needs https, and the root as the trusted certificate: Intune, "Create SCEP certificate profiles"; SCEPman.
    https_only=True,
    compares_thumbprint=False,
    chains_to_root=True,
    any_url=True,
)

PLATFORMS: Final = {one.name: one for one in (WINDOWS_10, WINDOWS_11, IOS, MACOS, ANDROID)}


def platform_of(system: str, name: str | None = None) -> Platform:
    """Choose by name, else by the operating system as Intune names it; a `KeyError` where there is none.

    A Windows is a Windows 11.
    """
    if name is not None:
        return PLATFORMS[name]
    found = [one for one in reversed(PLATFORMS.values()) if one.system.lower() == system.lower()]
    if not found:
        raise KeyError(system)
    return found[0]
