"""What a person compares to know a certificate."""

from __future__ import annotations

import hashlib

__all__ = ["fingerprints"]


def fingerprints(certificate: bytes) -> dict[str, str]:
    """Hash a DER certificate both ways: SHA-256 to compare, SHA-1 because MDM consoles ask for it."""
    sha1 = hashlib.sha1(certificate, usedforsecurity=False)
    return {"sha256": hashlib.sha256(certificate).hexdigest(), "sha1": sha1.hexdigest()}
