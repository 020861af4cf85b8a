"""PKCS #11 URIs (RFC 7512): how a key on a token is named in settings, on the command line and in the inventory."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote, unquote, unquote_to_bytes

from regalia import reasons
from regalia.errors import AdminError

__all__ = ["SCHEME", "KeyUri"]

SCHEME = "pkcs11:"
_KNOWN = {"token", "serial", "object", "id", "type"}
_PLAIN = "-._~"
"""Besides letters and digits; all else is written as %XX, which every reader takes (RFC 7512 §2.3)."""


@dataclass(frozen=True, slots=True)
class KeyUri:
    """The attributes of a URI that choose one private key of one token."""

    token: str
    """The token's label."""
    id: bytes | None = None
    """CKA_ID."""
    object: str | None = None
    """CKA_LABEL."""
    serial: str | None = None
    """The token's serial number, where two tokens have one label."""

    def __str__(self) -> str:
        parts = [f"token={quote(self.token, safe=_PLAIN)}"]
        if self.serial is not None:
            parts.append(f"serial={quote(self.serial, safe=_PLAIN)}")
        if self.object is not None:
            parts.append(f"object={quote(self.object, safe=_PLAIN)}")
        if self.id is not None:
            parts.append("id=" + "".join(f"%{octet:02X}" for octet in self.id))
        return f"{SCHEME}{';'.join(parts)};type=private"

    @classmethod
    def parse(cls, text: str) -> KeyUri:
        """Read a URI. Raises `AdminError` ADM-018 where it is none, names no token, or names neither object nor id.

        What we do not know is refused rather than passed over (RFC 7512 §2.3): it might be what tells two keys apart.
        """
        path, _, query = text.partition("?")
        if not path.startswith(SCHEME) or query:
            raise AdminError(reasons.USAGE, f"{text!r} is not pkcs11:token=…;object=…;id=… without a query")
        found: dict[str, str] = {}
        for part in path.removeprefix(SCHEME).split(";"):
            name, equals, value = part.partition("=")
            if not equals or name in found or re.search(r"%(?![0-9A-Fa-f]{2})|[^!-~]", value):
                raise AdminError(reasons.USAGE, f"{text!r}: {part!r} is no attribute, or is there twice")
            found[name] = value
        if unknown := found.keys() - _KNOWN:
            raise AdminError(reasons.USAGE, f"{text!r}: {', '.join(sorted(unknown))} is not looked at")
        if found.get("type", "private") != "private":
            raise AdminError(reasons.USAGE, f"{text!r}: only private keys are looked for")
        if "token" not in found or not found.keys() & {"object", "id"}:
            raise AdminError(reasons.USAGE, f"{text!r}: a token and an object or id are needed")
        return cls(
            token=unquote(found["token"]),
            id=unquote_to_bytes(found["id"]) if "id" in found else None,
            object=unquote(found["object"]) if "object" in found else None,
            serial=unquote(found["serial"]) if "serial" in found else None,
        )
