"""`regalia event checkpoint`: sign what the log holds, now."""

import hashlib
from typing import TYPE_CHECKING, Annotated

import typer

from regalia import reasons
from regalia.cli.context import administrator, agreed, opened
from regalia.cli.options import DryRun, Home, Json, Yes
from regalia.cli.output import print_record, say, utc
from regalia.errors import AdminError
from regalia.ra.checkpoints import Copier
from regalia.store.checkpoint_files import CheckpointDirectory
from regalia.wire.checkpoint import checkpoint_line, key_pem, read_checkpoint

if TYPE_CHECKING:
    from regalia.app import App
    from regalia.model import SignedCheckpoint

__all__ = ["checkpoint"]


def checkpoint(
    *,
    printed: Annotated[
        bool, typer.Option("--print", help="Print the checkpoint itself in one line, to be kept elsewhere.")
    ] = False,
    public_key: Annotated[
        bool, typer.Option("--public-key", help="Make none: print the key in PEM that the next one is signed with.")
    ] = False,
    new_key: Annotated[
        bool, typer.Option("--new-key", help="Sign with the old key that another one follows, and destroy the old one.")
    ] = False,
    yes: Yes = False,
    dry_run: DryRun = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Sign the heads of all streams now; `serve` does it by itself every ten minutes or thousand records."""
    if printed + public_key + new_key > 1:
        raise AdminError(reasons.USAGE, "--print, --public-key and --new-key exclude each other")
    with opened(home) as regalia:
        if public_key:
            for line in _key(regalia).splitlines():
                say(line)
            return
        plan = ("make another key for checkpoints and destroy the one in use",) if new_key else ("make a checkpoint",)
        if (new_key or dry_run) and not agreed(plan, yes=yes, dry_run=dry_run, as_json=as_json):
            return
        made = regalia.checkpoints.rotate(administrator()) if new_key else regalia.checkpoints.make(administrator())
        place = _copied(regalia)
        if printed:
            say(checkpoint_line(made, _signer(regalia, made)))
        else:
            print_record(_record(regalia, made, place), as_json=as_json)


def _key(regalia: "App") -> str:
    key = regalia.checkpoints.key()
    if key is None:
        raise AdminError(reasons.NOT_FOUND, "no checkpoint has been made yet, and so no key")
    return key_pem(key.public_key).decode().strip()


def _signer(regalia: "App", made: "SignedCheckpoint") -> bytes:
    wanted = read_checkpoint(made.record).key
    keys = (key.public_key for key in regalia.store.checkpoint_keys())
    return next(key for key in keys if hashlib.sha256(key).digest() == wanted)


def _copied(regalia: "App") -> str | None:
    directory = regalia.config.audit.checkpoint_directory
    if directory is None:
        return None
    copy = CheckpointDirectory(directory)
    Copier(regalia.store, copy).run()
    return copy.place


def _record(regalia: "App", made: "SignedCheckpoint", place: str | None) -> dict[str, object]:
    checkpoint = read_checkpoint(made.record)
    key = regalia.checkpoints.key()
    record: dict[str, object] = {
        "checkpoint": checkpoint.number,
        "at": utc(checkpoint.at, "milliseconds"),
        "streams": len(checkpoint.heads),
        "records": checkpoint.records,
        "sha256": made.hash,
        "key_sha256": checkpoint.key,
        "copied_to": place,
    }
    if checkpoint.successor is not None and key is not None:
        record["next_key_sha256"] = hashlib.sha256(key.public_key).digest()
    return record
