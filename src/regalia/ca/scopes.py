"""Scopes of keys: the text that is bound into a key's encryption and says what the key may be used for (SEC-1).

`ca:` keys sign certificates and CRLs, and only through a committed intent (R8); the others serve the worker's faces.
"""

from __future__ import annotations

__all__ = [
    "AUDIT_SCOPE",
    "ROOT_SCOPE",
    "ca_group",
    "ca_ra_scope",
    "ca_scope",
    "is_ca_scope",
    "ocsp_scope",
    "opens_for_faces",
    "ra_scope",
    "tls_scope",
]

_CA_PREFIX = "ca:"
_CA_RA_PREFIX = "ca:ra:"
_CA_GROUP_PREFIX = "ca:group:"

ROOT_SCOPE = "ca:root"
"""The key of a root."""

AUDIT_SCOPE = "audit:checkpoints"
"""Keys that sign the checkpoints of the audit log (AUD-3), and nothing else."""


def ca_scope(group: str) -> str:
    """Name the scope of a group's issuing keys."""
    return f"{_CA_PREFIX}group:{group}"


def ca_group(scope: str) -> str | None:
    """Name the group whose issuing keys are of this scope; None for all other scopes."""
    return scope.removeprefix(_CA_GROUP_PREFIX) if scope.startswith(_CA_GROUP_PREFIX) else None


def ca_ra_scope(group: str) -> str:
    """Name the scope of the issuing keys of a group whose authority is its own RA (R2)."""
    return f"{_CA_RA_PREFIX}{group}"


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


def opens_for_faces(scope: str) -> bool:
    """Whether the worker's faces may use keys of this scope: those that sign no certificates, and a CA's own RA's."""
    return not is_ca_scope(scope) or scope.startswith(_CA_RA_PREFIX)
