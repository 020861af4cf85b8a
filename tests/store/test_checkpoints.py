"""Checkpoints on real databases: whatever is taken, changed or set back behind our back is found (AUD-3)."""

from __future__ import annotations

import itertools
import os
import subprocess
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from fakes import SeededEntropy
from regalia import reasons
from regalia.errors import AdminError, UnavailableError
from regalia.keys.home_keys import HomeKeys
from regalia.keys.master import create_master_key
from regalia.keys.software import SoftwareKeys
from regalia.model import Actor, ActorKind
from regalia.ra.anchors import TABLE, Anchors
from regalia.ra.audit import verify
from regalia.ra.checkpoints import IDLE, INTERVAL, MOST_RECORDS, CheckpointDesk, Copier
from regalia.store import open_store
from regalia.store.checkpoint_files import CheckpointDirectory, read_copy, read_key_file
from regalia.wire.checkpoint import checkpoint_line, read_checkpoint
from store.databases import REFUSALS, query, run, tamper
from store.samples import an_event

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from fakes import FakeClock
    from regalia.keys.master import MasterKey
    from regalia.ra.audit import Finding
    from regalia.store import SqlStore

    AtDesk = Callable[[SqlStore], CheckpointDesk]

WHO = Actor(ActorKind.ADMIN, "os:auditor")


SEEDS = itertools.count(1)


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory) -> MasterKey:
    """Return the master key of all processes."""
    return create_master_key(tmp_path_factory.mktemp("master"), SeededEntropy(7))


@pytest.fixture
def at_desk(master: MasterKey, clock: FakeClock) -> AtDesk:
    """Return what makes checkpoints in a store, as a process of its own would."""

    def wired(store: SqlStore) -> CheckpointDesk:
        keys = HomeKeys(SoftwareKeys(store, clock, SeededEntropy(next(SEEDS)), master), store)
        return CheckpointDesk(store, keys, clock)

    return wired


@pytest.fixture
def desk(sql: SqlStore, at_desk: AtDesk) -> CheckpointDesk:
    """Make checkpoints with keys in the same database."""
    return at_desk(sql)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Return a directory outside."""
    path = tmp_path / "outside"
    path.mkdir()
    return path


def recorded(store: SqlStore, *numbers: int) -> None:
    """Write events, a commit each."""
    for number in numbers:
        store.record((an_event(number),))


def found(store: SqlStore, place: Path | None = None) -> Sequence[Finding]:
    """Verify as the command does."""
    copy, keys = read_copy(place) if place is not None else ((), ())
    ours = tuple(store.checkpoints())
    known = keys or tuple(key.public_key for key in store.checkpoint_keys()[:1])
    return verify(store, Anchors(ours, copy, known)).findings


@pytest.fixture
def filled(sql: SqlStore, url: str, desk: CheckpointDesk, clock: FakeClock, copy: Path) -> SqlStore:
    """Return a log of two streams with three checkpoints, all of them copied, and records behind the last one."""
    far = open_store(url, node="far", clock=clock)
    for number in (1, 2, 3):
        recorded(sql, number, number + 10)
        recorded(far, number + 20)
        desk.make(WHO)
    recorded(sql, 30)
    far.close()
    Copier(sql, CheckpointDirectory(copy)).run()
    return sql


def test_an_honest_log_has_no_findings(filled: SqlStore, copy: Path) -> None:
    """What was written by us alone is proved by database and copy, to the last record that a checkpoint covers."""
    place, keys = read_copy(copy)
    verified = verify(filled, Anchors(tuple(filled.checkpoints()), place, keys))
    assert verified.findings == ()
    assert verified.checkpoint is not None
    # The event of the key that was made for the first checkpoint is a record, too.
    assert (verified.checkpoint.number, verified.covered, verified.records) == (3, 10, 11)
    assert found(filled) == ()


SHORTENED = (
    "UPDATE event_stream SET sequence = {last}, hash = (SELECT hash FROM event WHERE stream = '{stream}'"
    " AND sequence = {last}) WHERE name = '{stream}'"
)
EMPTIED = [f"DELETE FROM {table}" for table in ("event", "event_stream", "checkpoint", "checkpoint_key")]  # noqa: S608 - four names

ALTERED = {
    "a changed record": (
        ["UPDATE event SET record = replace(record, 'os:root', 'os:toor') WHERE stream = 'node/0' AND sequence = 2"],
        ("node/0", 2, "changed"),
    ),
    "a removed record": (["DELETE FROM event WHERE stream = 'node/0' AND sequence = 3"], ("node/0", 3, "removed")),
    "an inserted record": (
        [
            "UPDATE event SET sequence = sequence + 100 WHERE stream = 'node/0' AND sequence > 2",
            "UPDATE event SET sequence = sequence - 99 WHERE stream = 'node/0' AND sequence > 100",
            "UPDATE event SET stream = 'node/0', sequence = 3 WHERE stream = 'far/0' AND sequence = 3",
        ],
        ("node/0", 3, "swapped: it was written as record 3 of far/0"),
    ),
    "reordered records": (
        [
            "UPDATE event SET sequence = 100 WHERE stream = 'node/0' AND sequence = 3",
            "UPDATE event SET sequence = 3 WHERE stream = 'node/0' AND sequence = 4",
            "UPDATE event SET sequence = 4 WHERE stream = 'node/0' AND sequence = 100",
        ],
        ("node/0", 3, "swapped"),
    ),
    "a stream cut at its end": (
        [
            "DELETE FROM event WHERE stream = 'node/0' AND sequence > 5",
            SHORTENED.format(last=5, stream="node/0"),
        ],
        ("node/0", 6, "truncated: checkpoint 3"),
    ),
    "a stream taken away": (
        ["DELETE FROM event WHERE stream = 'far/0'", "DELETE FROM event_stream WHERE name = 'far/0'"],
        ("far/0", 1, "truncated: checkpoint 3 covers 3 records"),
    ),
    "a changed checkpoint": (
        ["UPDATE checkpoint SET record = replace(record, 'os:auditor', 'os:editor') WHERE number = 2"],
        (TABLE, 2, "changed"),
    ),
    "a removed checkpoint": (["DELETE FROM checkpoint WHERE number = 2"], (TABLE, 2, "removed")),
    "swapped signatures": (
        ["UPDATE checkpoint SET signature = (SELECT signature FROM checkpoint WHERE number = 2) WHERE number = 3"],
        (TABLE, 3, "forged"),
    ),
}
"""What is done, and the finding: stream, sequence, beginning of what. None of it needs the copy."""


@pytest.mark.parametrize("name", ALTERED)
def test_what_is_altered_is_named(filled: SqlStore, url: str, name: str) -> None:
    """AUD-3: each way of altering log or checkpoints is found inside the database, with stream, sequence and kind."""
    statements, (stream, sequence, what) = ALTERED[name]
    tamper(url, *statements)
    findings = found(filled)
    assert any((one.stream, one.sequence) == (stream, sequence) and one.what.startswith(what) for one in findings), (
        findings
    )


CUT = [
    "DELETE FROM event WHERE stream = 'node/0' AND sequence > 5",
    SHORTENED.format(last=5, stream="node/0"),
    "DELETE FROM event WHERE stream = 'far/0' AND sequence > 2",
    SHORTENED.format(last=2, stream="far/0"),
]
"""Back to where checkpoint 2 was made."""


def test_an_older_state_is_found_against_the_copy(filled: SqlStore, url: str, copy: Path) -> None:
    """A database set back with its checkpoints is whole in itself; the copy shows where it ends in each stream."""
    tamper(url, *CUT, "DELETE FROM checkpoint WHERE number > 2")
    assert found(filled) == ()
    findings = {one.stream: one for one in found(filled, copy)}
    assert {name: one.sequence for name, one in findings.items()} == {TABLE: 3, "far/0": 3, "node/0": 6}
    assert all(one.what.startswith("truncated") for one in findings.values())


def test_without_any_checkpoint_the_copy_still_tells(filled: SqlStore, url: str, copy: Path) -> None:
    """Who empties log and checkpoints altogether is found by the copy: every stream that there was is named."""
    tamper(url, *EMPTIED)
    assert found(filled) == ()
    assert [(one.stream, one.sequence) for one in found(filled, copy)] == [(TABLE, 1), ("far/0", 1), ("node/0", 1)]


def test_a_fork_is_found(filled: SqlStore, url: str, at_desk: AtDesk, copy: Path, clock: FakeClock) -> None:
    """A log that was set back and went on has other records under the same numbers, and other checkpoints."""
    tamper(url, *CUT, "DELETE FROM checkpoint WHERE number > 2")
    again = open_store(url, node="node", clock=clock)
    clock.advance(timedelta(minutes=2))
    recorded(again, 40, 41, 42, 43)
    at_desk(again).make(WHO)
    again.close()
    findings = {one.stream: one for one in found(filled, copy)}
    assert findings[TABLE].what == "forked: the copy holds another one"
    assert findings[TABLE].sequence == 3
    assert findings["node/0"].what.startswith("forked: checkpoint 3")
    assert findings["far/0"].what.startswith("truncated")
    with pytest.raises(AdminError) as caught:
        Copier(filled, CheckpointDirectory(copy)).run()
    assert caught.value.reason is reasons.CHECKPOINT_COPY_DIVERGED


def test_a_log_written_anew_is_found(filled: SqlStore, url: str, at_desk: AtDesk, copy: Path, clock: FakeClock) -> None:
    """A whole log made again with hashes that fit, checkpoints and key included, is not the one that was copied."""
    tamper(url, *EMPTIED)
    forger = open_store(url, node="node", clock=clock)
    for number in range(3):
        recorded(forger, *range(50 + 4 * number, 54 + 4 * number))
        at_desk(forger).make(WHO)
    forger.close()
    assert found(filled) == ()
    named = {(one.stream, one.sequence) for one in found(filled, copy)}
    assert {(TABLE, 1), (TABLE, 2), (TABLE, 3), ("far/0", 1)} <= named


def test_verifying_from_a_checkpoint_reads_only_what_follows(filled: SqlStore, url: str) -> None:
    """From a proved checkpoint on only later records are read, and the one where it ends must still be there."""
    anchors = Anchors(tuple(filled.checkpoints()), keys=[key.public_key for key in filled.checkpoint_keys()])
    since = read_checkpoint(anchors.ours[1].record) if anchors.ours else None
    verified = verify(filled, anchors, since=since)
    # Of 8 and 3 records the checkpoint covers 5 and 2, whose last ones are read again.
    assert (verified.findings, verified.records) == ((), 6)
    tamper(url, "UPDATE event SET record = replace(record, 'os:root', 'os:toor') WHERE sequence = 5")
    assert [one.sequence for one in verify(filled, anchors, since=since).findings] == [5]


def test_the_key_can_follow_another(filled: SqlStore, desk: CheckpointDesk, copy: Path, url: str) -> None:
    """The old key signs that another one follows and is destroyed; with the first key's public half all is proved."""
    first = filled.checkpoint_keys()[0]
    rotated = desk.rotate(WHO)
    desk.make(WHO)
    copier = Copier(filled, CheckpointDirectory(copy))
    assert copier.run() == 2
    assert copier.run() == 0
    second = filled.checkpoint_keys()[1]
    assert read_checkpoint(rotated.record).successor == second.public_key
    assert filled.get_key(first.key_id) is None
    pinned = Anchors(tuple(filled.checkpoints()), read_copy(copy)[0], (first.public_key,))
    assert verify(filled, pinned).findings == ()
    late = replace(pinned, keys=(second.public_key,))
    assert verify(filled, late).findings == ()
    stranger = replace(pinned, keys=())
    assert [one.what.partition(":")[0] for one in verify(filled, stranger).findings] == ["forged"] * 5
    tamper(url, "DELETE FROM checkpoint WHERE number = 4")
    assert verify(filled, replace(pinned, copy=(), ours=tuple(filled.checkpoints()))).findings != ()


def test_checkpoints_are_due_by_time_and_by_number(sql: SqlStore, desk: CheckpointDesk, clock: FakeClock) -> None:
    """AUD-3: a record waits ten minutes at most, a thousand do not wait, and silence is said once a day."""
    assert not desk.due(clock.now())
    recorded(sql, 1)
    assert desk.due(clock.now())
    desk.make(WHO)
    assert not desk.due(clock.now() + INTERVAL)
    recorded(sql, 2)
    assert not desk.due(clock.now() + INTERVAL - timedelta(milliseconds=1))
    assert desk.due(clock.now() + INTERVAL)
    assert desk.due(clock.now() - timedelta(hours=1))
    sql.record([an_event(number) for number in range(MOST_RECORDS)])
    assert desk.due(clock.now())
    desk.make(WHO)
    assert not desk.due(clock.now() + IDLE - timedelta(seconds=1))
    assert desk.due(clock.now() + IDLE)


def test_two_processes_make_one_row_of_checkpoints(sql: SqlStore, url: str, at_desk: AtDesk, clock: FakeClock) -> None:
    """Who comes second takes the next number, and the first key that was made is everybody's."""
    other = open_store(url, node="other", clock=clock)
    for turn in range(4):
        recorded((sql, other)[turn % 2], turn)
        at_desk((sql, other)[turn % 2]).make(WHO)
    other.close()
    assert [one.number for one in sql.checkpoints()] == [1, 2, 3, 4]
    assert len(sql.checkpoint_keys()) == 1
    assert not sql.add_checkpoint_key(sql.checkpoint_keys()[0])
    last = sql.last_checkpoint()
    assert last is not None
    assert not sql.add_checkpoint(last, clock.now(), 1)
    assert found(sql) == ()


FINAL = {
    "change": "UPDATE checkpoint SET at = 0",
    "remove": "DELETE FROM checkpoint",
    "another key": "UPDATE checkpoint_key SET key_id = public_key",
    "forget a key": "DELETE FROM checkpoint_key",
}


@pytest.mark.parametrize("name", FINAL)
def test_the_database_keeps_checkpoints(filled: SqlStore, url: str, name: str) -> None:
    """AUD-3: the database itself refuses to change or remove checkpoints and the keys that signed them."""
    before = query(url, "SELECT * FROM checkpoint, checkpoint_key")
    with pytest.raises(REFUSALS):
        run(url, FINAL[name])
    assert query(url, "SELECT * FROM checkpoint, checkpoint_key") == before
    assert filled.last_checkpoint() is not None


# --- the copy -------------------------------------------------------------------------------------------------------


def test_openssl_verifies_the_copy(filled: SqlStore, copy: Path) -> None:
    """Each file of the copy is what `openssl dgst` verifies with the key beside it."""
    (key,) = copy.glob("*.pem")
    for record in copy.glob("*.json"):
        signature = record.with_suffix(".sig")
        command = ["openssl", "dgst", "-sha256", "-verify", str(key), "-signature", str(signature), str(record)]
        assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "Verified OK\n"
    assert filled.checkpoint_keys()[0].public_key == read_key_file(key)


def test_a_copy_is_never_written_over(filled: SqlStore, copy: Path) -> None:
    """What stands in the directory stays as it is; what a crash left half-written is finished, no other."""
    last = filled.last_checkpoint()
    assert last is not None
    directory = CheckpointDirectory(copy)
    path = copy / f"{directory.name(last)}.json"
    written = path.stat().st_mtime_ns
    directory.keep(last)
    assert path.stat().st_mtime_ns == written
    path.write_bytes(last.record[:40])
    directory.keep(last)
    assert path.read_bytes() == last.record
    path.write_bytes(b"something else")
    with pytest.raises(UnavailableError, match="other contents"):
        directory.keep(last)
    assert path.read_bytes() == b"something else"


def test_a_directory_that_is_away_is_caught_up_with(filled: SqlStore, desk: CheckpointDesk, tmp_path: Path) -> None:
    """While the directory cannot be reached nothing is lost: all that is missing is written when it is back."""
    place = tmp_path / "share"
    copier = Copier(filled, CheckpointDirectory(place))
    with pytest.raises(UnavailableError):
        copier.run()
    place.mkdir()
    assert copier.run() == 3
    place.rename(tmp_path / "away")
    desk.make(WHO)
    with pytest.raises(UnavailableError):
        copier.run()
    (tmp_path / "away").rename(place)
    assert copier.run() == 1
    assert found(filled, place) == ()


def test_a_copy_in_lines(filled: SqlStore, tmp_path: Path) -> None:
    """What `event checkpoint --print` wrote into a file serves as the copy; a line that is none is named."""
    last = filled.last_checkpoint()
    assert last is not None
    file = tmp_path / "kept.jsonl"
    file.write_text(checkpoint_line(last, filled.checkpoint_keys()[0].public_key) + "\n\n")
    assert found(filled, file) == ()
    file.write_text(file.read_text() + "{}\n")
    with pytest.raises(AdminError) as caught:
        read_copy(file)
    assert caught.value.reason is reasons.CHECKPOINT_REFUSED
    assert "line 3" in caught.value.detail


def test_nothing_but_plain_files_is_read(tmp_path: Path) -> None:
    """Whoever may write into the directory has nobody wait at a pipe, or read without end (RES-4)."""
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    spki = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    directory = CheckpointDirectory(tmp_path)
    directory.keep_key(spki)
    (path,) = tmp_path.glob("checkpoint-key-*.pem")
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(UnavailableError, match="not a plain file"):
        directory.keep_key(spki)
    with pytest.raises(AdminError, match="not a plain file"):
        read_copy(tmp_path)
    path.unlink()
    path.symlink_to("/dev/zero")
    with pytest.raises(AdminError, match="not a plain file"):
        read_copy(tmp_path)
    path.unlink()
    os.mkfifo(tmp_path / "checkpoint-000000000001-0000000000000000.json")
    with pytest.raises(AdminError, match="not a plain file"):
        read_copy(tmp_path)
