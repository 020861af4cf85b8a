"""`regalia event verify`: compares the log with what was written."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from regalia import reasons
from regalia.cli.context import opened, reached
from regalia.cli.faults import FoundError
from regalia.cli.options import Home, Json
from regalia.cli.output import note, print_answer, print_record
from regalia.errors import AdminError
from regalia.ra.export import verify_export
from regalia.store.checkpoint_files import read_copy, read_key_file
from regalia.verbs import event_checkpoint as verbs
from regalia.wire.checkpoint import key_pem
from regalia.wire.event import RecordError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["verify"]


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
    found = _against(home, against, trusted, from_checkpoint) if against else _log(home, trusted, from_checkpoint)
    _broken((each.stream, each.record, each.what) for each in found.findings)
    print_answer(found, as_json=as_json)
    if found.against is None and not as_json:
        note("Nothing outside the home was compared: an end cut off together with its checkpoints does not show.")


def _log(home: Path | None, trusted: tuple[bytes, ...], since: str | None) -> verbs.LogVerified:
    """Compare the log with what lies where it is."""
    key = key_pem(trusted[0]).decode("ascii") if trusted else None
    with reached(home) as door:
        return door.ask(verbs.VERIFY, verbs.VerifyLog(public_key=key, from_checkpoint=since))


def _against(home: Path | None, place: Path, trusted: tuple[bytes, ...], since: str | None) -> verbs.LogVerified:
    """Compare the log with a copy on this machine."""
    with opened(home) as regalia:
        copy, keys = read_copy(place)
        return verbs.verified(regalia, copy, trusted or keys, since=since, place=str(place))


def _broken(found: "Iterable[tuple[str, int, str]]") -> None:
    lines = [f"{verbs.place_of(stream)}, record {number}: {what}" for stream, number, what in found]
    if lines:
        raise FoundError(reasons.CHAIN_BROKEN, "\n".join(lines))


def _verify_file(file: Path, trusted: tuple[bytes, ...], *, as_json: bool) -> None:
    try:
        with file.open("rb") as lines:
            verified = verify_export(lines, trusted)
    except OSError as error:
        raise AdminError(reasons.FILE_REFUSED, f"{file}: {error.strerror}") from error
    except RecordError as error:
        raise AdminError(reasons.CHECKPOINT_REFUSED, f"{file}: {error}") from error
    _broken((one.stream, one.sequence, one.what) for one in verified.findings)
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
