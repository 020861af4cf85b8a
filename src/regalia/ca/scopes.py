"""Scopes of keys: the text that is bound into a key's encryption and says what the key may be used for (SEC-1).

`ca:` keys sign certificates and CRLs, and only through a committed intent (R8); the others serve the worker's faces.
"""

from __future__ import annotations

__all__ = [
    "ROOT_SCOPE",
    "ca_scope",
    "is_ca_scope",
    "ocsp_scope",
    "ra_scope",
    "tls_scope",
]

_CA_PREFIX = "ca:"

ROOT_SCOPE = "ca:root"
"""The key of a root."""


def ca_scope(group: str) -> str:
    """Name the scope of a group's issuing keys."""
    return f"{_CA_PREFIX}group:{group}"


def ra_scope(group: str) -> str:
    """Name the scope of a group's RA keys."""
    return f"ra:{group}"


def ocsp_scope(authority: str) -> str:
    """Name the scope of an authority's OCSP keys."""
    return f"ocsp:{authority}"


def tls_scope(group: str) -> str:
    """Name the scope of the device listener's keys that a group's authority certifies."""
    return f"tls:{group}"


def is_ca_scope(scope: str) -> bool:
    """Whether keys of this scope sign certificates."""
    return scope.startswith(_CA_PREFIX)
