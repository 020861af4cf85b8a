"""What a device learns of a SCEP server before it asks for a certificate, and whether it goes on (RFC 8894 §3.5, §4.2).

Here most set-ups fail on real devices, and each fails in its own words.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa

from regalia.lab.der import DerError
from regalia.lab.devices.messages import certificates_in
from regalia.lab.devices.reports import DeviceError
from regalia.lab.devices.web import WebError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from regalia.lab.devices.delivery import Delivery
    from regalia.lab.devices.platforms import Platform
    from regalia.lab.devices.web import Web

__all__ = ["Server", "met"]

_OK: Final = 200
_DIGESTS: Final = (("SHA-256", "sha256"), ("SHA-512", "sha512"), ("SHA-1", "sha1"))


@dataclass(frozen=True, slots=True)
class Server:
    """One server, once a device has decided to speak with it."""

    url: str
    capabilities: frozenset[str]
    certificates: tuple[x509.Certificate, ...]
    """Of GetCACert, in its order."""
    recipient: x509.Certificate
    digest: str

    @property
    def aes(self) -> bool:
        """AES-128; else triple DES."""
        return bool({"AES", "SCEPSTANDARD"} & self.capabilities)

    @property
    def post(self) -> bool:
        """Messages go by POST; else in the URL."""
        return bool({"POSTPKIOPERATION", "SCEPSTANDARD"} & self.capabilities)


def met(url: str, delivery: Delivery, platform: Platform, web: Web) -> Server:
    """Ask for capabilities and CA certificates; a `DeviceError` where this platform would not go on."""
    if platform.https_only and not url.startswith("https://"):
        raise DeviceError("not https", "Android enrols by https alone")
    capabilities = _capabilities(_get(url, "GetCACaps", platform, web))
    digest = _digest(capabilities, delivery, platform)
    certificates = _certificates(_get(url, "GetCACert", platform, web))
    _trusted(certificates, delivery, platform)
    return Server(url, capabilities, certificates, _recipient(certificates, platform), digest)


def _get(url: str, operation: str, platform: Platform, web: Web) -> bytes | None:
    """Ask; None where the answer is an HTTP error."""
    named = "" if platform.identifier is None else f"&message={platform.identifier}"
    target = f"{url}{'&' if '?' in url else '?'}operation={operation}{named}"
    try:
        answer = web.ask(target, None, oldest_tls=platform.oldest_tls)
    except WebError as error:
        raise DeviceError("no connection", f"{operation}: {error}") from error
    return answer.body if answer.status == _OK else None


def _capabilities(body: bytes | None) -> frozenset[str]:
    # An HTTP error says that there are none (RFC 8894 §3.5.2).
    return frozenset((body or b"").decode("ascii", "replace").upper().split())


def _digest(capabilities: frozenset[str], delivery: Delivery, platform: Platform) -> str:
    offered = [name for keyword, name in _DIGESTS if keyword in capabilities]
    if "SCEPSTANDARD" in capabilities and "sha256" not in offered:
        offered.insert(0, "sha256")
    if platform.needs_digest and not offered:
        raise DeviceError("no digest", "the capabilities name neither SHA-1, SHA-256 nor SHA-512")
    if delivery.hash_algorithm == "sha1" or not offered:
        return "sha1"
    return offered[0]


def _certificates(body: bytes | None) -> tuple[x509.Certificate, ...]:
    if body is None:
        # HTTP 404 as Windows numbers it: ultimate-ca-manager issue 326.
        raise DeviceError("0x80190194", "GetCACert has no answer at this URL")
    try:
        return (x509.load_der_x509_certificate(body),)
    except ValueError:
        pass
    try:
        found = certificates_in(body)
    except (DerError, ValueError, IndexError) as error:
        raise DeviceError("0x80072f78", f"GetCACert is no certificate: {error}") from error
    if not found:
        raise DeviceError("no CA certificate", "GetCACert is an empty list")
    return found


def _trusted(certificates: Sequence[x509.Certificate], delivery: Delivery, platform: Platform) -> None:
    wanted = delivery.root_thumbprint.replace(" ", "").replace(":", "").lower()
    seen = {one.fingerprint(hashes.SHA1()).hex() for one in certificates}  # noqa: S303 - thumbprints are SHA-1
    if platform.compares_thumbprint and wanted and wanted not in seen:
        told = ", ".join(sorted(seen))
        # Windows: event 32 of DeviceManagement-Enterprise-Diagnostics-Provider.
        raise DeviceError("event 32", f"The hash value is not correct: {wanted} is none of {told}")
    if platform.chains_to_root and delivery.trusted_root:
        root = x509.load_pem_x509_certificate(delivery.trusted_root.encode())
        if not any(_leads(one, root, certificates) for one in certificates):
            raise DeviceError("no trust", "no certificate of GetCACert leads to the trusted certificate")


def _leads(one: x509.Certificate, root: x509.Certificate, through: Sequence[x509.Certificate]) -> bool:
    """Follow issuers, at most as many as there are."""
    at = one
    for _ in range(len(through) + 1):
        if at == root or _issued(at, root):
            return True
        following = next((each for each in through if each != at and _issued(at, each)), None)
        if following is None:
            return False
        at = following
    return False


def _issued(one: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        one.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _usages(certificate: x509.Certificate) -> set[str]:
    try:
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return {"sign", "encrypt"}
    return ({"sign"} if usage.digital_signature else set()) | ({"encrypt"} if usage.key_encipherment else set())


def _recipient(certificates: Sequence[x509.Certificate], platform: Platform) -> x509.Certificate:
    """Choose whom to encrypt to: one that may, with RSA; Apple wants both usages as soon as there are several."""
    capable = [
        one for one in certificates if isinstance(one.public_key(), rsa.RSAPublicKey) and "encrypt" in _usages(one)
    ]
    if platform.needs_candidate and len(certificates) > 1:
        capable = [one for one in capable if "sign" in _usages(one)]
        if not capable:
            raise DeviceError("-67731", "SCEP failed to find candidate RA certificates: the key usage is incorrect")
    if not capable:
        # SCARD_E_NO_SUCH_CERTIFICATE: ultimate-ca-manager issue 228, Intune-Resource-Access issue 87.
        raise DeviceError("0x8010002c", "The requested certificate does not exist: none may encrypt keys")
    # A CA certificate that may encrypt is the second choice.
    return min(capable, key=_is_authority)


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return bool(certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca)
    except x509.ExtensionNotFound:
        return False
