"""Backups: made beside a running server, read back in full to verify them, and put into an empty home.

A backup holds the whole database as rows (`store.dump`) and the configuration file, compressed and encrypted to a
public key (`keys.backup_file`). It never holds a master key, and private keys in it lie under theirs (R10, SEC-4).
"""

from __future__ import annotations

import hashlib
import hmac
import os
import tempfile
import zlib
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from regalia import __version__, reasons
from regalia.config import CONFIG_FILE
from regalia.errors import AdminError
from regalia.keys.backup_file import BackupWriter, read_backup, recipient_sha256
from regalia.keys.private_files import sync_directory
from regalia.model import Action, EventDraft, Outcome
from regalia.ra.audit import verify
from regalia.store import migrations
from regalia.store.dump import dump, load, read_head
from regalia.store.store import open_store
from regalia.wire.event import time_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

    from regalia.app.build import App
    from regalia.keys.master import MasterKey
    from regalia.model import Actor
    from regalia.ports import Clock
    from regalia.store.dump import Dumped

__all__ = [
    "Checked",
    "Made",
    "Tallied",
    "authentic_backup",
    "create_backup",
    "fill",
    "made_at",
    "opened_backup",
    "require_known_schema",
    "verify_backup",
]

_LEVEL: Final = 1
"""DER and hashes do not get smaller for more effort; names and JSON are small at once."""
_READ: Final = 1024 * 1024
_MAC_DIGITS: Final = 64
_LONGEST_LINE: Final = 64 * 1024 * 1024
"""Far above any row: whoever has the public key can make a file whose content is endless (RES-4)."""
_COUNTS: Final = b'{"rows":'
"""How the last line before the MAC begins, and no other."""


@dataclass(frozen=True, slots=True)
class Made:
    """A backup that lies where it was to lie."""

    path: Path
    sha256: str
    octets: int
    recipient: str
    """SHA-256 of the public key that it is encrypted to."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What a backup holds, after all of it was read."""

    made_at: str
    node: str
    url: str
    schema: str
    rows: Mapping[str, int]
    records: int
    """Of the audit log, whose chains were verified."""
    findings: tuple[str, ...]
    """What is wrong with the log."""


def create_backup(regalia: App, to: Path, recipient: X25519PublicKey, *, node: str, actor: Actor) -> Made:
    """Write a backup of one state of the database to a new file; a server may be at work meanwhile.

    Raises `AdminError` ADM-020 where the file is there already or cannot be written; nothing is left then.
    """
    config = regalia.config
    about: dict[str, Any] = {
        "made_at": time_text(regalia.clock.now()),
        "node": node,
        "url": config.server.url,
        "product": __version__,
        "config": (config.home / CONFIG_FILE).read_text("utf-8") if (config.home / CONFIG_FILE).exists() else "",
    }
    lines = dump(config.database.connection_url(), migrations.NEEDED, about)
    try:
        made = _written(lines, to, recipient, regalia)
    except OSError as error:
        raise AdminError(reasons.FILE_REFUSED, f"{to}: {error.strerror}") from error
    event = EventDraft(
        regalia.clock.now(),
        actor,
        Action.BACKUP_CREATED,
        f"backup:{to.name}",
        Outcome.OK,
        details={"sha256": made.sha256, "octets": made.octets, "recipient_sha256": made.recipient},
    )
    regalia.store.record((event,))
    return made


def _written(lines: Iterable[bytes], to: Path, recipient: X25519PublicKey, regalia: App) -> Made:
    digest = hashlib.sha256()
    descriptor = os.open(to, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "w+b") as file:
            writer, packer = BackupWriter(file, recipient, regalia.entropy), zlib.compressobj(_LEVEL)
            content = hashlib.sha256()
            for line in lines:
                content.update(line)
                writer.write(packer.compress(line))
            mac = regalia.master.current().backup_mac(content.digest())
            writer.write(packer.compress(mac.hex().encode() + b"\n") + packer.flush())
            writer.close()
            file.flush()
            os.fsync(file.fileno())
            octets = file.seek(0)
            while block := file.read(_READ):
                digest.update(block)
                octets += len(block)
        sync_directory(to.parent)
    except BaseException:
        to.unlink(missing_ok=True)  # half a backup must not be taken for one
        raise
    return Made(to, digest.hexdigest(), octets, recipient_sha256(recipient))


class Tallied:
    """The lines of a backup, hashed as they are read, for the MAC on the last one."""

    def __init__(self, first: bytes, lines: Iterator[bytes]) -> None:
        self._lines = lines
        self._content = hashlib.sha256(first + b"\n")

    def __iter__(self) -> Iterator[bytes]:
        for line in self._lines:
            self._content.update(line + b"\n")
            yield line

    def finish(self, keys: Iterable[MasterKey] | None) -> None:
        """Read to the end: one more line, the MAC of those before it under one of these master keys.

        Whoever has no master key at hand (None) sees only that it is there. Raises `AdminError` ADM-060.
        """
        mac, end = next(self._lines, b""), next(self._lines, None)
        if end is not None or len(mac) != _MAC_DIGITS:
            raise AdminError(reasons.BACKUP_REFUSED, "it does not end as a backup does")
        digest = self._content.digest()
        if keys is not None and not any(_is(mac, key.backup_mac(digest)) for key in keys):
            raise AdminError(reasons.BACKUP_REFUSED, "no installation with this master key wrote it")


def _is(mac: bytes, octets: bytes) -> bool:
    return hmac.compare_digest(octets.hex().encode(), mac)


def opened_backup(path: Path, key: X25519PrivateKey) -> tuple[Dumped, Tallied]:
    """Open a backup: what it says of itself, and its further lines. Raises `AdminError` ADM-020, ADM-060."""
    lines = _lines(path, key)
    first = next(lines, b"")
    return read_head(first), Tallied(first, lines)


def _lines(path: Path, key: X25519PrivateKey) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            unpacker, held = zlib.decompressobj(), b""
            for chunk in read_backup(file, key):
                for piece in _unpacked(unpacker, chunk):
                    *whole, held = (held + piece).split(b"\n")
                    yield from whole
                    if len(held) > _LONGEST_LINE:
                        raise AdminError(reasons.BACKUP_REFUSED, "it has a line longer than any that is written")
            if held or not unpacker.eof:
                raise AdminError(reasons.BACKUP_REFUSED, "what was encrypted ends too early")
    except OSError as error:
        raise AdminError(reasons.FILE_REFUSED, f"{path}: {error.strerror}") from error


def _unpacked(unpacker: zlib._Decompress, chunk: bytes) -> Iterator[bytes]:
    """Decompress in pieces, however much it becomes."""
    try:
        while (piece := unpacker.decompress(chunk, _READ)) or unpacker.unconsumed_tail:
            yield piece
            chunk = unpacker.unconsumed_tail
    except zlib.error:
        raise AdminError(reasons.BACKUP_REFUSED, "what was encrypted is no backup") from None


def authentic_backup(path: Path, key: X25519PrivateKey, keys: Iterable[MasterKey]) -> Dumped:
    """Read all of a backup and use none of it before it is known to be one of ours; what it says of itself.

    Raises `AdminError` ADM-020, ADM-060.
    """
    head, lines = opened_backup(path, key)
    for line in lines:
        if line.startswith(_COUNTS):
            break
    lines.finish(keys)
    return head


def verify_backup(path: Path, key: X25519PrivateKey, clock: Clock) -> Checked:
    """Read all of a backup, put it into a database of its own that is thrown away, and verify the log in it.

    Raises `AdminError` ADM-060 where the file is damaged, ADM-012 where it is of a newer version.
    """
    head, lines = opened_backup(path, key)
    require_known_schema(head)
    with tempfile.TemporaryDirectory(prefix="regalia-verify-") as scratch:
        url = f"sqlite:///{Path(scratch) / 'regalia.db'}"
        rows = fill(url, head, lines)
        lines.finish(None)
        store = open_store(url, node="verify", clock=clock)
        try:
            report = verify(store)
        finally:
            store.close()
    return Checked(
        made_at=head.about["made_at"],
        node=head.about["node"],
        url=head.about["url"],
        schema=head.schema,
        rows=rows,
        records=rows.get("event", 0),
        findings=tuple(str(finding) for finding in report.findings),
    )


def require_known_schema(head: Dumped) -> None:
    """Refuse a backup that a newer version made. Raises `AdminError` ADM-012."""
    if head.schema > migrations.NEEDED:
        told = f"the backup is of schema {head.schema}, this version knows {migrations.NEEDED}"
        raise AdminError(reasons.SCHEMA_OLD, told)


def fill(url: str, head: Dumped, lines: Iterable[bytes]) -> dict[str, int]:
    """Make the schema that a backup was made of in an empty database, fill it, and bring it up to date."""
    migrations.upgrade(url, head.schema)
    rows = load(url, head, lines)
    migrations.upgrade(url)
    return rows


def made_at(head: Dumped) -> datetime:
    """Read when a backup was made."""
    return datetime.fromisoformat(head.about["made_at"])
