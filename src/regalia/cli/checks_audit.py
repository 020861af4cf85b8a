"""What `doctor` looks at where the audit log is concerned: checkpoints, their copy, their key."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, Final

from regalia.cli.check import Check, Level
from regalia.cli.output import utc
from regalia.errors import UnavailableError
from regalia.ra.findings import is_checkpoint_late
from regalia.store.checkpoint_files import CheckpointDirectory
from regalia.wire.checkpoint import read_checkpoint

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from regalia.app import App

__all__ = ["audit_checks"]

_NAME: Final = "audit log"
_PAGE: Final = "docs/tasks/checkpoints.md"


def audit_checks(regalia: App) -> Iterator[Check]:
    """Look at the checkpoints and at their copy."""
    yield _newest(regalia)
    yield _copy(regalia)


def _newest(regalia: App) -> Check:
    signed, key = regalia.store.last_checkpoint(), regalia.checkpoints.key()
    remedy = "Let `regalia serve` run, or run `regalia event checkpoint`."
    if signed is None or key is None:
        return Check(_NAME, Level.WARN, "no checkpoint has been made yet", remedy)
    last = read_checkpoint(signed.record)
    fingerprint = hashlib.sha256(key.public_key).hexdigest()
    finding = f"checkpoint {last.number} of {utc(last.at)} covers {last.records} records; key SHA-256 {fingerprint}"
    late = is_checkpoint_late(regalia.checkpoints, last.at, regalia.clock.now())
    return Check(_NAME, Level.WARN if late else Level.OK, finding, remedy if late else "")


def _copy(regalia: App) -> Check:
    directory = regalia.config.audit.checkpoint_directory
    if directory is None:
        finding = "no copy of the checkpoints leaves the home: that the log was cut at its end would not show"
        return Check(_NAME, Level.WARN, finding, f"Set [audit] checkpoint_directory: {_PAGE}.")
    if _lies_in(directory, regalia.config.home):
        finding = f"{directory} lies in the home: whoever can change the log can change its copy"
        return Check(_NAME, Level.WARN, finding, f"Choose a directory elsewhere: {_PAGE}.")
    copy = CheckpointDirectory(directory)
    try:
        there = copy.names()
    except UnavailableError as error:
        return Check(_NAME, Level.PROBLEM, error.detail, "Make the directory, writable for this user.")
    if not os.access(directory, os.W_OK | os.X_OK):
        return Check(_NAME, Level.PROBLEM, f"{directory} cannot be written to", "Make it writable for this user.")
    ours = {copy.name(signed) for signed in regalia.store.checkpoints()}
    if there - ours:
        finding = f"{directory} holds {len(there - ours)} checkpoints that the log does not: it was cut or set back"
        return Check(_NAME, Level.PROBLEM, finding, f"Run `regalia event verify`; see {_PAGE}.")
    missing = len(ours - there)
    if missing > 1:
        finding = f"{directory} lacks {missing} checkpoints"
        return Check(_NAME, Level.WARN, finding, "Let `regalia serve` run, or run `regalia event checkpoint`.")
    return Check(_NAME, Level.OK, f"{directory} holds a copy of each checkpoint")


def _lies_in(directory: Path, home: Path) -> bool:
    return directory.resolve().is_relative_to(home.resolve())
