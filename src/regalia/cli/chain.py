"""Certificates with what stands above them, as PEM, for commands that hand them out."""

import base64
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from regalia.app import App
    from regalia.model import Certificate

__all__ = ["issuers", "pem"]

_MOST_ABOVE = 8
"""A chain is shorter, and one that goes in a circle ends."""


def issuers(regalia: "App", certificate: "Certificate") -> list[bytes]:
    """Climb from a certificate to its root; a root has nobody above it."""
    chain: list[bytes] = []
    authority = regalia.store.authority(certificate.intent.authority)
    while authority is not None and authority.certificate_id != certificate.id and len(chain) < _MOST_ABOVE:
        chain.append(authority.certificate_der)
        authority = regalia.store.authority(authority.parent) if authority.parent is not None else None
    return chain


def pem(der: bytes) -> str:
    """Write a certificate as PEM."""
    text = base64.b64encode(der).decode("ascii")
    lines = "\n".join(text[start : start + 64] for start in range(0, len(text), 64))
    return f"-----BEGIN CERTIFICATE-----\n{lines}\n-----END CERTIFICATE-----\n"
