"""`regalia event verify`: compares the log with what was written."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from regalia import reasons
from regalia.cli.context import opened
from regalia.cli.faults import FoundError
from regalia.cli.options import Home, Json
from regalia.cli.output import note, print_record
from regalia.errors import AdminError
from regalia.ra.anchors import TABLE, Anchors, weigh
from regalia.ra.audit import Verified
from regalia.ra.audit import verify as verify_log
from regalia.ra.export import EXPORT, verify_export
from regalia.store.checkpoint_files import read_copy, read_key_file
from regalia.wire.event import RecordError

if TYPE_CHECKING:
    from regalia.model import Checkpoint

__all__ = ["verify"]

_LAST = "last"


def verify(
    *,
    against: Annotated[
        Path | None,
        typer.Option(
            "--against",
            readable=False,
            metavar="DIR|FILE",
            show_default=False,
            help="Where checkpoints were copied to; [audit] checkpoint_directory if not given.",
        ),
    ] = None,
    public_key: Annotated[
        Path | None,
        typer.Option(
            "--public-key",
            readable=False,
            metavar="FILE",
            show_default=False,
            help="The key of the checkpoints in PEM, as you noted it; else the one beside the copy is taken.",
        ),
    ] = None,
    from_checkpoint: Annotated[
        str | None,
        typer.Option(
            "--from-checkpoint",
            metavar="N|last",
            show_default=False,
            help="Read only what follows this checkpoint, which was verified before.",
        ),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            "--file", readable=False, metavar="FILE", show_default=False, help="Verify a file of `event export` alone."
        ),
    ] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Recompute the log from its records, and compare it with its checkpoints. Exit code 3 with what is wrong."""
    trusted = (read_key_file(public_key),) if public_key is not None else ()
    if file is not None:
        _verify_file(file, trusted, as_json=as_json)
        return
    with opened(home) as regalia:
        place = against or regalia.config.audit.checkpoint_directory
        copy, keys = read_copy(place) if place is not None else ((), ())
        ours = tuple(regalia.store.checkpoints())
        known = trusted or keys or tuple(key.public_key for key in regalia.store.checkpoint_keys()[:1])
        anchors = Anchors(ours, copy, known)
        since = _since(anchors, from_checkpoint) if from_checkpoint is not None else None
        verified = verify_log(regalia.store, anchors, since=since)
    if verified.findings:
        lines = [f"{_place(one.stream)}, record {one.sequence}: {one.what}" for one in verified.findings]
        raise FoundError(reasons.CHAIN_BROKEN, "\n".join(lines))
    print_record(_record(verified, place), as_json=as_json)
    if place is None and not as_json:
        note("Nothing outside the home was compared: an end cut off together with its checkpoints does not show.")


def _since(anchors: Anchors, wanted: str) -> "Checkpoint":
    proved = {checkpoint.number: checkpoint for checkpoint in weigh(anchors).proved}
    if not proved:
        raise AdminError(reasons.NOT_FOUND, "there is no checkpoint that is proved")
    number = max(proved) if wanted == _LAST else int(wanted) if wanted.isdecimal() else 0
    if number not in proved:
        raise AdminError(reasons.NOT_FOUND, f"checkpoint {wanted}: proved are {min(proved)} to {max(proved)}")
    return proved[number]


def _place(stream: str) -> str:
    return stream if stream in {TABLE, EXPORT} else f"stream {stream}"


def _record(verified: Verified, place: Path | None) -> dict[str, object]:
    record: dict[str, object] = {"streams": verified.streams, "records": verified.records, "intact": True}
    if verified.checkpoint is not None:
        record["checkpoint"] = verified.checkpoint.number
        record["covered"] = verified.covered
    if place is not None:
        record["against"] = place
    return record


def _verify_file(file: Path, trusted: tuple[bytes, ...], *, as_json: bool) -> None:
    try:
        with file.open("rb") as lines:
            verified = verify_export(lines, trusted)
    except OSError as error:
        raise AdminError(reasons.FILE_REFUSED, f"{file}: {error.strerror}") from error
    except RecordError as error:
        raise AdminError(reasons.CHECKPOINT_REFUSED, f"{file}: {error}") from error
    if verified.findings:
        lines_found = [f"{_place(one.stream)}, record {one.sequence}: {one.what}" for one in verified.findings]
        raise FoundError(reasons.CHAIN_BROKEN, "\n".join(lines_found))
    print_record(
        {
            "streams": verified.streams,
            "records": verified.records,
            "intact": True,
            "proved": verified.proved,
            "key_sha256": verified.key_sha256,
        },
        as_json=as_json,
    )
