"""The audit log's checkpoints: making them, handing them out, and verifying the log against them."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from regalia import reasons
from regalia.errors import AdminError
from regalia.model import Right
from regalia.ra.anchors import TABLE, Anchors, weigh
from regalia.ra.audit import verify as verify_log
from regalia.ra.checkpoints import Copier
from regalia.ra.export import EXPORT
from regalia.verbs.event import Moment
from regalia.verbs.fields import Pem
from regalia.verbs.verb import Asked, Desk, Hex, Record, Time, Verb
from regalia.wire.checkpoint import checkpoint_line, key_from_pem, key_pem, read_checkpoint
from regalia.wire.event import RecordError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from regalia.model import Checkpoint, SignedCheckpoint
    from regalia.ra.anchors import Finding
    from regalia.verbs.services import Services

__all__ = [
    "CHECKPOINT",
    "KEY",
    "LINE",
    "VERBS",
    "VERIFY",
    "CheckpointKeyShown",
    "CheckpointLine",
    "CheckpointMade",
    "LogVerified",
    "MakeCheckpoint",
    "ShowCheckpointKey",
    "ShowCheckpointLine",
    "VerifyLog",
    "place_of",
    "verified",
]

_LAST = "last"


# --- making ---------------------------------------------------------------------------------------------------------


class MakeCheckpoint(Asked):
    """One more."""

    new_key: Annotated[
        bool, Field(description="Sign with the old key that another one follows, and destroy the old one.")
    ] = False


class CheckpointMade(Record):
    """A checkpoint."""

    checkpoint: int
    at: Moment
    streams: int
    records: int
    sha256: Hex
    key_sha256: Hex
    copied_to: str | None
    next_key_sha256: Annotated[Hex | None, Field(exclude_if=lambda value: value is None)] = None


class ShowCheckpointKey(Asked):
    """Nothing can be said."""


class CheckpointKeyShown(Record):
    """The key that signs the next checkpoint."""

    number: int
    created_at: Time
    public_key: str
    """PEM."""


class ShowCheckpointLine(Asked):
    """Which one."""

    number: Annotated[int, Field(ge=1, lt=2**63)]


class CheckpointLine(Record):
    """A checkpoint to be kept elsewhere."""

    number: int
    line: str
    """One line of JSON with all that it takes to verify it."""


def make_checkpoint(desk: Desk, asked: MakeCheckpoint) -> CheckpointMade:
    """Sign the heads of all streams now, and copy what is not outside yet."""
    desk_of_checkpoints = desk.services.checkpoints
    made = desk_of_checkpoints.rotate(desk.actor) if asked.new_key else desk_of_checkpoints.make(desk.actor)
    checkpoint, key = read_checkpoint(made.record), desk_of_checkpoints.key()
    follows = checkpoint.successor is not None and key is not None
    return CheckpointMade(
        checkpoint=checkpoint.number,
        at=checkpoint.at,
        streams=len(checkpoint.heads),
        records=checkpoint.records,
        sha256=made.hash,
        key_sha256=checkpoint.key,
        copied_to=_copied(desk.services),
        next_key_sha256=hashlib.sha256(key.public_key).digest() if follows and key is not None else None,
    )


def plan_checkpoint(desk: Desk, asked: MakeCheckpoint) -> list[str]:
    """What is made, and what is destroyed."""
    del desk
    return ["make another key for checkpoints and destroy the one in use" if asked.new_key else "make a checkpoint"]


def show_key(desk: Desk, asked: ShowCheckpointKey) -> CheckpointKeyShown:
    """The key in use."""
    del asked
    key = desk.services.checkpoints.key()
    if key is None:
        raise AdminError(reasons.NOT_FOUND, "no checkpoint has been made yet, and so no key")
    return CheckpointKeyShown(
        number=key.number, created_at=key.created_at, public_key=key_pem(key.public_key).decode("ascii")
    )


def show_line(desk: Desk, asked: ShowCheckpointLine) -> CheckpointLine:
    """A checkpoint as it is kept elsewhere."""
    store = desk.services.store
    signed = next(iter(store.checkpoints(asked.number - 1)), None)
    if signed is None or signed.number != asked.number:
        raise AdminError(reasons.NOT_FOUND, f"checkpoint {asked.number}")
    wanted = read_checkpoint(signed.record).key
    keys = (key.public_key for key in store.checkpoint_keys())
    signer = next(key for key in keys if hashlib.sha256(key).digest() == wanted)
    return CheckpointLine(number=signed.number, line=checkpoint_line(signed, signer))


def _copied(services: Services) -> str | None:
    copy = services.checkpoint_copy
    if copy is None:
        return None
    Copier(services.store, copy).run()
    return copy.place


# --- verifying ------------------------------------------------------------------------------------------------------


class VerifyLog(Asked):
    """How."""

    public_key: Annotated[
        Pem | None, Field(description="The key of the checkpoints, as it was noted; else the one beside the copy.")
    ] = None
    from_checkpoint: Annotated[
        str | None,
        Field(pattern=r"^(last|[0-9]{1,19})$", description="Read only what follows this one, or the `last`."),
    ] = None


class FoundInLog(Record):
    """The first record of a stream, or the checkpoint, that is not as it was written."""

    stream: str
    record: int
    what: str


class LogVerified(Record):
    """What came of it."""

    streams: int
    records: int
    intact: bool
    checkpoint: Annotated[int | None, Field(exclude_if=lambda value: value is None)] = None
    """The newest one that was proved."""
    covered: Annotated[int | None, Field(exclude_if=lambda value: value is None)] = None
    against: Annotated[str | None, Field(exclude_if=lambda value: value is None)] = None
    """The copy outside that it was compared with."""
    findings: Annotated[tuple[FoundInLog, ...], Field(exclude_if=lambda value: not value)] = ()


def verify(desk: Desk, asked: VerifyLog) -> LogVerified:
    """Recompute the log from its records, and compare it with its checkpoints and their copy outside."""
    trusted = (_key(asked.public_key),) if asked.public_key is not None else ()
    outside = desk.services.checkpoint_copy
    copy, keys = outside.contents() if outside is not None else ((), ())
    place = outside.place if outside is not None else None
    return verified(desk.services, copy, trusted or keys, since=asked.from_checkpoint, place=place)


def verified(
    services: Services,
    copy: Sequence[SignedCheckpoint],
    keys: Sequence[bytes],
    *,
    since: str | None,
    place: str | None,
) -> LogVerified:
    """Verify the log against a copy that lies at `place`, with the keys that are trusted.

    Raises `AdminError` ADM-004 where `since` is no checkpoint that is proved.
    """
    store = services.store
    known = tuple(keys) or tuple(key.public_key for key in store.checkpoint_keys()[:1])
    anchors = Anchors(tuple(store.checkpoints()), copy, known)
    begin = _since(anchors, since) if since is not None else None
    found = verify_log(store, anchors, since=begin)
    newest = found.checkpoint
    return LogVerified(
        streams=found.streams,
        records=found.records,
        intact=not found.findings,
        checkpoint=newest.number if newest is not None else None,
        covered=found.covered if newest is not None else None,
        against=place,
        findings=tuple(_found(each) for each in found.findings),
    )


def place_of(stream: str) -> str:
    """Say where something was found."""
    return stream if stream in {TABLE, EXPORT} else f"stream {stream}"


def _found(finding: Finding) -> FoundInLog:
    return FoundInLog(stream=finding.stream, record=finding.sequence, what=finding.what)


def _since(anchors: Anchors, wanted: str) -> Checkpoint:
    proved = {checkpoint.number: checkpoint for checkpoint in weigh(anchors).proved}
    if not proved:
        raise AdminError(reasons.NOT_FOUND, "there is no checkpoint that is proved")
    number = max(proved) if wanted == _LAST else int(wanted) if wanted.isdecimal() else 0
    if number not in proved:
        raise AdminError(reasons.NOT_FOUND, f"checkpoint {wanted}: proved are {min(proved)} to {max(proved)}")
    return proved[number]


def _key(pem: str) -> bytes:
    try:
        return key_from_pem(pem.encode())
    except RecordError as error:
        raise AdminError(reasons.CHECKPOINT_REFUSED, f"public_key: {error}") from error


VERIFY = Verb(
    "event.verify",
    "POST",
    "/events/verify",
    Right.READ_LOG,
    VerifyLog,
    LogVerified,
    verify,
    "Recompute the log from its records, and compare it with its checkpoints.",
    everywhere=True,
)
CHECKPOINT = Verb(
    "event.checkpoint",
    "POST",
    "/checkpoints",
    Right.RULE,
    MakeCheckpoint,
    CheckpointMade,
    make_checkpoint,
    "Sign the heads of all streams of the log now.",
    plan=plan_checkpoint,
    everywhere=True,
)
LINE = Verb(
    "event.checkpoint-line",
    "GET",
    "/checkpoints/{number}",
    Right.READ_LOG,
    ShowCheckpointLine,
    CheckpointLine,
    show_line,
    "Give a checkpoint in one line, to be kept elsewhere.",
    everywhere=True,
)
KEY = Verb(
    "event.checkpoint-key",
    "GET",
    "/checkpoint-key",
    Right.READ_LOG,
    ShowCheckpointKey,
    CheckpointKeyShown,
    show_key,
    "Show the key that signs the next checkpoint.",
    everywhere=True,
)

VERBS = (VERIFY, CHECKPOINT, LINE, KEY)
