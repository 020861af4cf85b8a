"""Purposes of keys (extended key usages) that a profile may give, and those that none ever gives."""

from __future__ import annotations

import re
from typing import Final

from regalia.wire import oids

__all__ = ["ALLOWED_PURPOSES", "LOGON_PURPOSES", "NEVER_PURPOSES", "is_dotted", "is_strange", "purpose_oid"]

ALLOWED_PURPOSES: Final = {
    "clientAuth": oids.KP_CLIENT_AUTH,
    "serverAuth": oids.KP_SERVER_AUTH,
    "emailProtection": oids.KP_EMAIL_PROTECTION,
    "eapOverLAN": oids.KP_EAP_OVER_LAN,
    "msSmartcardLogon": oids.KP_MS_SMARTCARD_LOGON,
    "pkinitClient": oids.KP_PKINIT_CLIENT,
    "ipsecIKE": oids.KP_IPSEC_IKE,
    "documentSigning": oids.KP_DOCUMENT_SIGNING,
}
"""By name. Others of a private arc are written as dotted object identifiers."""

NEVER_PURPOSES: Final = frozenset(
    {
        oids.ANY_EXTENDED_KEY_USAGE,
        oids.KP_OCSP_SIGNING,
        oids.KP_CODE_SIGNING,
        oids.KP_TIME_STAMPING,
        oids.KP_PKINIT_KDC,
        oids.KP_MS_ENROLMENT_AGENT,
        oids.KP_MS_CTL_SIGNING,
        oids.KP_MS_EFS_RECOVERY,
        oids.KP_MS_ROOT_LIST_SIGNER,
        oids.KP_MS_QUALIFIED_SUBORDINATION,
        oids.KP_MS_KEY_RECOVERY,
        oids.KP_MS_KEY_RECOVERY_AGENT,
        oids.KP_MS_CA_EXCHANGE,
        oids.KP_MS_KERNEL_CODE,
    }
)
"""Certificates for anything, for signing code or status, and for what only parts of a PKI or a domain do."""

LOGON_PURPOSES: Final = frozenset({oids.KP_MS_SMARTCARD_LOGON, oids.KP_PKINIT_CLIENT})
"""With these a certificate is a user's password at a Windows domain (RFC 4556)."""

_ARCS_OF_OTHERS: Final = ("1.3.6.1.5.5.7.3.", "1.3.6.1.4.1.311.", "1.3.6.1.5.2.3.", "2.5.29.")
_DOTTED: Final = re.compile(
    r"(?:[01](?:\.(?:[0-9]|[1-3][0-9]))|2\.(?:0|[1-9][0-9]{0,9}))(?:\.(?:0|[1-9][0-9]{0,17})){1,20}"
)


def is_dotted(text: str) -> bool:
    """Whether it is a dotted object identifier."""
    return _DOTTED.fullmatch(text) is not None


def purpose_oid(text: str) -> str:
    """Return the object identifier of a purpose as a document writes it."""
    return ALLOWED_PURPOSES.get(text, text)


def is_strange(oid: str) -> bool:
    """Whether it is a purpose of an arc whose purposes mean something to others, and none that we know."""
    return oid.startswith(_ARCS_OF_OTHERS) and oid not in ALLOWED_PURPOSES.values()
