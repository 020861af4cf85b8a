"""A first enrolment that was begun, and the file that keeps it until there is a certificate.

The file is complete and synced before the first message leaves: a device that loses power between request and answer
goes on with the same transaction, which gets the stored answer (R3), instead of spending another challenge. It holds no
secret: neither the key, whose path it names, nor the challenge.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from regalia import reasons
from regalia.client.files import read_file, save_state
from regalia.client.keys import public_octets
from regalia.errors import AdminError
from regalia.model import Names, San, SanKind
from regalia.wire.certificate import read_certificate
from regalia.wire.der import DerError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from regalia.client.keys import DeviceKey

__all__ = ["KeptTransaction", "OpenTransaction", "load_transaction", "save_transaction", "transaction_file"]

_FORMAT: Final = 1


@dataclass(frozen=True, slots=True)
class OpenTransaction:
    """What a client needs, beside its key, to ask for the outcome of a request."""

    id: str
    """The transactionID."""
    signer: bytes
    """The self-signed certificate that signs the request and each poll, DER."""
    names: Names
    """What is asked for."""


@dataclass(frozen=True, slots=True)
class KeptTransaction:
    """An open transaction, and where to ask about it."""

    opened: OpenTransaction
    url: str
    pin: str
    """SHA-256 of the uppermost CA certificate that was believed: a poll talks to the same CA or to none."""
    key: Path
    """File of the private key."""

    def is_for(self, key: DeviceKey) -> bool:
        """Whether this is the key that is to be certified."""
        return read_certificate(self.opened.signer).public_key == public_octets(key)


def transaction_file(certificate: Path) -> Path:
    """Name the file that keeps the transaction for a certificate that is to lie at this path."""
    return certificate.with_name(f"{certificate.name}.transaction")


def save_transaction(path: Path, kept: KeptTransaction) -> None:
    """Write it durably (mode 0600). Raises `AdminError` CLI-009, also where something is there."""
    opened = kept.opened
    document = {
        "format": _FORMAT,
        "url": kept.url,
        "pin": kept.pin,
        "key": str(kept.key.absolute()),
        "transaction": opened.id,
        "signer": base64.b64encode(opened.signer).decode("ascii"),
        "cn": opened.names.cn,
        "sans": [[san.kind.value, san.value] for san in sorted(opened.names.sans)],
    }
    save_state(path, json.dumps(document, indent=2).encode() + b"\n")


def load_transaction(path: Path) -> KeptTransaction:
    """Read it back. Raises `AdminError` CLI-009 where it is not there or was altered."""
    octets = read_file(path)
    try:
        return _kept(json.loads(octets))
    except (ValueError, KeyError, TypeError, DerError, binascii.Error) as fault:
        raise AdminError(reasons.CLIENT_FILE, f"{path} does not keep a transaction of this client") from fault


def _kept(document: Mapping[str, object]) -> KeptTransaction:
    if document["format"] != _FORMAT:
        raise ValueError(document["format"])
    asked = document["sans"]
    if not isinstance(asked, list):
        raise TypeError(asked)
    names = Names(
        _text(document["cn"]) if document["cn"] is not None else None,
        frozenset(San(SanKind(kind), _text(value)) for kind, value in asked),
    )
    opened = OpenTransaction(
        _text(document["transaction"]), base64.b64decode(_text(document["signer"]), validate=True), names
    )
    read_certificate(opened.signer)
    return KeptTransaction(opened, _text(document["url"]), _text(document["pin"]), Path(_text(document["key"])))


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value
