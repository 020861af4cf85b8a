"""Rotation of a master key: a new file in the place of the old one, and all that lay under that wrapped anew.

The files say how far it is: `.next` stands there before, `.former` until nothing needs it any more. Each step can be
interrupted anywhere and made again; meanwhile every key that a file holds opens what lies under it (`master.KeyRing`).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from regalia import reasons
from regalia.ca.scopes import opens_for_faces
from regalia.errors import AdminError
from regalia.keys.master import MasterKeyOrigin, former_file, key_text, next_file
from regalia.keys.medium import MediumVault, replace_key_file
from regalia.keys.private_files import create_private, replace_private, sync_directory
from regalia.keys.sealing import MasterSealer
from regalia.keys.wrapping import Wrapping
from regalia.ports import ELSEWHERE, KeyRecords, Wrapped

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from uuid import UUID

    from regalia.keys.master import MasterKey, Ring
    from regalia.ports import Entropy, WrappedKey

__all__ = ["Rewrapped", "Rewrapper", "create_signer_key", "finish", "prepare", "promote"]

_OCTETS = 32


class RewrapStore(Wrapped, KeyRecords, Protocol):
    """What is read and written."""


@dataclass(slots=True)
class Rewrapped:
    """What was done."""

    keys: int = 0
    secrets: int = 0
    on_media: int = 0
    foreign: int = 0
    """Keys that lie under none of our master keys: those of signers on other hosts."""
    missing: tuple[UUID, ...] = ()
    """Keys that lie on no medium that was named, so that the former master key may still be needed for them."""


def prepare(key: MasterKey, entropy: Entropy, *, challenges: bool) -> Path:
    """Make the key that is about to take this one's place, in the file `.next`; one that is there already stays.

    `challenges`: hand on the key of the challenges' hash. Raises `AdminError` ADM-020.
    """
    path = _changeable(key)
    fresh = next_file(path)
    if not fresh.exists():
        text = key_text(entropy.octets(_OCTETS), key.challenge_key() if challenges else None)
        _write(fresh, text, like=path)
    return fresh


def promote(key: MasterKey) -> bool:
    """Put `.next` into the key's place, and the key into `.former`. False where there is no `.next`."""
    path = _changeable(key)
    fresh, former = next_file(path), former_file(path)
    if not fresh.exists():
        return False
    try:
        if not former.exists():
            _write(former, path.read_bytes(), like=path)
        fresh.replace(path)
        sync_directory(path.parent)
    except OSError as error:
        raise AdminError(reasons.FILE_REFUSED, f"{path}: {error.strerror}") from error
    return True


def finish(key: MasterKey) -> bool:
    """Remove the former key, which nothing needs any more. False where there is none."""
    former = former_file(_changeable(key))
    if not former.exists():
        return False
    try:
        former.unlink()
        sync_directory(former.parent)
    except OSError as error:
        raise AdminError(reasons.FILE_REFUSED, f"{former}: {error.strerror}") from error
    return True


def create_signer_key(path: Path, entropy: Entropy) -> None:
    """Make the signer's own key. Raises `AdminError` ADM-001 where there is one, ADM-020 where it cannot."""
    try:
        create_private(path, key_text(entropy.octets(_OCTETS)))
    except FileExistsError:
        raise AdminError(reasons.HOME_USED, f"{path} exists") from None
    except OSError as error:
        raise AdminError(reasons.FILE_REFUSED, f"{path}: {error.strerror}") from error


class Rewrapper:
    """Wraps under the current keys whatever lies under others of theirs; done already is done."""

    def __init__(self, store: RewrapStore, master: Ring, signer: Ring, entropy: Entropy) -> None:
        """`signer` is the ring of CA keys; where the signer has no key of its own it begins with the master key."""
        self._store = store
        self._faces = Wrapping(master, entropy)
        self._authorities = Wrapping(signer, entropy)
        self._sealer = MasterSealer(master, entropy)

    def run(self, media: Sequence[Path] = ()) -> Rewrapped:
        """Wrap everything anew, the key files on these media, too. Raises `AdminError` ADM-010 for a face's key.

        A CA key that none of our master keys opens is another site's signer's, and is left as it is.
        """
        done = Rewrapped()
        for row in self._store.wrapped_keys():
            self._key(row, done)
        for secret in self._store.sealed_secrets():
            fresh = self._sealer.resealed(secret.scope, secret.sealed)
            if fresh is not None:
                done.secrets += self._store.replace_sealed(secret, fresh)
        done.missing = tuple(self._not_on(media, done))
        return done

    def _key(self, row: WrappedKey, done: Rewrapped) -> None:
        if opens_for_faces(row.scope):
            fresh = self._faces.rewrapped(row)
        else:
            try:
                fresh = self._authorities.rewrapped(row)
            except AdminError:
                done.foreign += 1
                return
        if fresh is not None:
            done.keys += self._store.replace_wrapped(row, fresh)

    def _not_on(self, media: Sequence[Path], done: Rewrapped) -> list[UUID]:
        missing: list[UUID] = []
        for record in self._store.key_records():
            if record.location != ELSEWHERE or record.destroyed_at is not None:
                continue
            found = [(medium, row) for medium in media if (row := MediumVault(medium).get_key(record.id)) is not None]
            for medium, row in found:
                fresh = self._authorities.rewrapped(row)
                if fresh is not None:
                    replace_key_file(fresh, medium)
                    done.on_media += 1
            if not found:
                missing.append(record.id)
        return missing


def _changeable(key: MasterKey) -> Path:
    """Return the key's file, where it is one that we can exchange."""
    if key.origin is MasterKeyOrigin.CREDENTIAL:
        told = f"{key.path} is a copy that systemd made: name the file that it was made from in the variable instead"
        raise AdminError(reasons.FILE_REFUSED, told)
    if key.path.is_symlink():
        raise AdminError(reasons.FILE_REFUSED, f"{key.path} is a link: name the file itself")
    return key.path


def _write(path: Path, text: bytes, like: Path) -> None:
    """Write a key's file, whole or not at all, for the user whose the other one is."""
    try:
        replace_private(path, text)
        owner = like.stat()
        if os.geteuid() == 0 and owner.st_uid != 0:
            os.chown(path, owner.st_uid, owner.st_gid)
    except OSError as error:
        raise AdminError(reasons.FILE_REFUSED, f"{path}: {error.strerror}") from error
