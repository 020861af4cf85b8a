"""Keys on a medium: one file per key, still wrapped, in a directory that an administrator carries away and back."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID

from regalia import reasons
from regalia.errors import AdminError, InvariantError
from regalia.keys.private_files import create_private, replace_private
from regalia.model import KeyKind
from regalia.ports import WrappedKey

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from regalia.model import EventDraft
    from regalia.ports import KeyVault

__all__ = [
    "FallbackVault",
    "MediumVault",
    "replace_key_file",
    "write_key_file",
]

_FORMAT = "regalia wrapped key 1"
_MAX_FILE_OCTETS = 65_536
"""An RSA-4096 key takes 4 KiB."""


class MediumVault:
    """The wrapped keys in a directory; read only.

    Permissions are not asked for: a medium often has a file system without any, and what lies there is wrapped.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def put_key(self, key: WrappedKey, events: Sequence[EventDraft] = ()) -> None:  # noqa: ARG002 - the port's
        """Refuse: keys get here by `KeyStore.move_out` alone."""
        raise InvariantError(f"key {key.id} was to be put on a medium that is only read")

    def get_key(self, key_id: UUID) -> WrappedKey | None:
        """Read a key's file. None where there is none; AdminError ADM-020 where it cannot be read or is no key's."""
        path = _key_path(self._directory, key_id)
        try:
            with path.open("rb") as file:
                text = file.read(_MAX_FILE_OCTETS + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise AdminError(reasons.FILE_REFUSED, f"{path}: {error.strerror}") from error
        try:
            key = _parse(text)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise AdminError(reasons.FILE_REFUSED, f"{path} is not a key file of ours") from error
        if key.id != key_id:
            raise AdminError(reasons.FILE_REFUSED, f"{path} holds key {key.id}")
        return key

    def destroy_key(self, key_id: UUID, events: Sequence[EventDraft] = ()) -> bool:  # noqa: ARG002 - the port's
        """Refuse: the medium is the administrator's."""
        raise InvariantError(f"key {key_id} was to be destroyed on a medium that is only read")


class FallbackVault:
    """A vault whose missing keys are looked for in a second one; all writing goes to the first."""

    def __init__(self, first: KeyVault, second: KeyVault) -> None:
        self._first = first
        self._second = second

    def put_key(self, key: WrappedKey, events: Sequence[EventDraft] = ()) -> None:
        """Keep a key in the first vault."""
        self._first.put_key(key, events)

    def get_key(self, key_id: UUID) -> WrappedKey | None:
        """Look in the first vault, then in the second."""
        return self._first.get_key(key_id) or self._second.get_key(key_id)

    def destroy_key(self, key_id: UUID, events: Sequence[EventDraft] = ()) -> bool:
        """Forget the first vault's copy."""
        return self._first.destroy_key(key_id, events)


def write_key_file(key: WrappedKey, directory: Path) -> Path:
    """Write a key's file durably, mode 0600, and prove by reading it back that it holds exactly this key.

    A file that holds it already, left by an interrupted move, is accepted as it is. Raises AdminError ADM-020.
    """
    path = _key_path(directory, key.id)
    try:
        create_private(path, _render(key))
    except FileExistsError:
        pass
    except OSError as error:
        raise AdminError(reasons.FILE_REFUSED, f"{path}: {error.strerror}") from error
    if MediumVault(directory).get_key(key.id) != key:
        raise AdminError(reasons.FILE_REFUSED, f"{path} holds another copy of the key; move it away first")
    return path


def replace_key_file(key: WrappedKey, directory: Path) -> None:
    """Put a key that was wrapped anew into the place of its file, whole or not at all. Raises AdminError ADM-020."""
    path = _key_path(directory, key.id)
    try:
        replace_private(path, _render(key))
    except OSError as error:
        raise AdminError(reasons.FILE_REFUSED, f"{path}: {error.strerror}") from error


def _key_path(directory: Path, key_id: UUID) -> Path:
    return directory / f"{key_id}.key"


def _render(key: WrappedKey) -> bytes:
    document = {
        "format": _FORMAT,
        "id": str(key.id),
        "kind": key.kind.value,
        "scope": key.scope,
        "created_at": key.created_at.astimezone(UTC).isoformat(),
        "public_key": base64.b64encode(key.public_key).decode("ascii"),
        "wrapped": base64.b64encode(key.blob).decode("ascii"),
    }
    return json.dumps(document, indent=2).encode() + b"\n"


def _parse(text: bytes) -> WrappedKey:
    document = json.loads(text)
    if document["format"] != _FORMAT or not isinstance(document["scope"], str):
        msg = "another format"
        raise ValueError(msg)
    return WrappedKey(
        id=UUID(document["id"]),
        kind=KeyKind(document["kind"]),
        scope=document["scope"],
        public_key=base64.b64decode(document["public_key"], validate=True),
        blob=base64.b64decode(document["wrapped"], validate=True),
        created_at=datetime.fromisoformat(document["created_at"]),
    )
