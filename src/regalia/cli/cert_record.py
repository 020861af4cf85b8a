"""A certificate on the command line: how it is named, and what is told of it."""

from typing import TYPE_CHECKING, Annotated

import typer

from regalia import reasons
from regalia.ca.revoke import is_final
from regalia.errors import AdminError
from regalia.model import Certificate, CertificateState

if TYPE_CHECKING:
    from datetime import datetime

    from regalia.app import App

__all__ = ["COLUMNS", "Serial", "certificate_record", "found_certificate", "status_of"]

COLUMNS = ("serial", "kind", "status", "subject", "unverified", "group", "not_after")
"""What tables of certificates show."""

_SERIAL_BITS = 160
"""RFC 5280 §4.1.2.2: at most 20 octets."""

Serial = Annotated[
    str,
    typer.Argument(metavar="SERIAL", help="Its serial, hexadecimal; as OpenSSL prints it, too.", show_default=False),
]


def found_certificate(regalia: "App", text: str) -> Certificate:
    """Find by serial. Raises `AdminError` ADM-018 where it is none, ADM-004 where nobody has it."""
    # `openssl x509 -serial` prints serial=HEX, and its -text colons.
    digits = text.strip().lower().removeprefix("serial=").removeprefix("0x").replace(":", "")
    try:
        serial = int(digits, 16)
    except ValueError:
        raise AdminError(reasons.USAGE, f"{text} is not a serial: give hexadecimal digits") from None
    if serial.bit_length() > _SERIAL_BITS:
        told = "is longer than a serial can be; is it a fingerprint? `openssl x509 -noout -serial` prints the serial"
        raise AdminError(reasons.USAGE, f"{text} {told}")
    found = regalia.store.find_serial(serial)
    if not found:
        raise AdminError(reasons.NOT_FOUND, f"certificate {digits}")
    return found[0]


def status_of(certificate: Certificate, now: "datetime") -> str:
    """Say in one word how a certificate stands, as OCSP sees it, or that its time is over."""
    if certificate.revocation is not None:
        return "revoked" if is_final(certificate) else "on hold"
    if certificate.state is not CertificateState.ISSUED:
        return certificate.state.value
    return "expired" if certificate.intent.not_after <= now else "valid"


def certificate_record(certificate: Certificate, now: "datetime") -> dict[str, object]:
    """Say what a certificate is and how it stands."""
    intent, revocation = certificate.intent, certificate.revocation
    return {
        "serial": f"{intent.serial:x}",
        "status": status_of(certificate, now),
        "kind": intent.kind,
        "subject": intent.subject,
        "names": intent.names.listed(),
        "unverified": intent.unverified,
        "device": intent.device,
        "group": intent.group,
        "authority": intent.authority,
        "not_before": intent.not_before,
        "not_after": intent.not_after,
        "revoked_at": revocation.at if revocation is not None else None,
        "revocation_reason": revocation.reason if revocation is not None else None,
        "revoked_by": revocation.actor if revocation is not None else None,
        "revocation_note": revocation.note if revocation is not None else None,
    }
