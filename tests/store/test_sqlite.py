"""What only SQLite does: group commit, the file."""

from __future__ import annotations

import resource
import shutil
import sqlite3
import threading
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from fakes import FakeClock
from regalia import reasons
from regalia.errors import InvariantError, UnavailableError
from regalia.model import Change, KeyKind
from regalia.ports import Begun, WrappedKey
from regalia.ra.audit import verify
from regalia.store import open_change_feed, open_store
from regalia.store.events import StreamAppender
from regalia.store.migrations import upgrade
from regalia.store.sqlite import SqliteDatabase
from store.samples import NOW, a_challenge, a_group, an_event, an_id, an_intent, octets

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from regalia.store import SqlStore
    from regalia.store.session import Transaction


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a database file with our schema."""
    upgrade(f"sqlite:///{tmp_path}/regalia.db")
    return tmp_path / "regalia.db"


@pytest.fixture
def opened(path: Path, clock: FakeClock) -> Iterator[SqlStore]:
    """Open a store on it."""
    store = open_store(f"sqlite:///{path}", node="node", clock=clock)
    yield store
    store.close()


def commits_of(path: Path) -> int:
    """Count the commits in the log file: frames that end a transaction."""
    log = path.with_name(f"{path.name}-wal").read_bytes()
    salts = log[16:24]
    frames = [log[at : at + 24] for at in range(32, len(log), 24 + 4096)]
    return len([frame for frame in frames if frame[8:16] == salts and frame[4:8] != bytes(4)])


def test_what_waits_is_committed_together(path: Path, opened: SqlStore) -> None:
    """Units that wait for the writer share one commit; one that fails is rolled back alone, the others stand (R9)."""
    results: dict[int, object] = {}

    def begin(number: int) -> None:
        intent = an_intent(number if number != 5 else 1)  # the fifth uses the serial of the first again
        try:
            results[number] = opened.begin(intent, (an_event(number),))
        except InvariantError as error:
            results[number] = error

    opened.begin(an_intent(1), ())
    with closing(sqlite3.connect(path, isolation_level=None)) as blocker:
        blocker.execute("BEGIN IMMEDIATE")
        threads = [threading.Thread(target=begin, args=(number,)) for number in range(2, 10)]
        for thread in threads:
            thread.start()
        before = commits_of(path)
        blocker.execute("ROLLBACK")
    for thread in threads:
        thread.join()
    assert isinstance(results.pop(5), InvariantError)
    assert set(results.values()) == {Begun.BEGUN}
    assert commits_of(path) - before < len(threads)
    assert sorted(row.serial - (1 << 128) for row in opened.expired_intents(NOW.replace(year=2027), 99)) == [
        1, 2, 3, 4, 6, 7, 8, 9,
    ]  # fmt: skip
    assert [last for _, last, _ in opened.streams()] == [7]


def test_a_unit_may_fail_in_any_way(path: Path, clock: FakeClock) -> None:
    """Whatever a unit raises is raised in its caller, and the writer goes on."""
    database = SqliteDatabase(path, StreamAppender("node", clock))

    def unit(transaction: Transaction) -> None:
        transaction.record((an_event(),))
        raise KeyError("by design")

    with pytest.raises(KeyError):
        database.write(unit)
    assert database.write(lambda _: 7) == 7
    database.close()


def test_a_full_disk(opened: SqlStore) -> None:
    """A disk that is full is an unavailable store; once there is room the same store writes again (RES-7)."""
    opened.add_challenge(a_challenge(1), ())
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1, hard))
    try:
        with pytest.raises(UnavailableError) as caught:
            opened.add_challenge(a_challenge(2), ())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.reason is reasons.STORE_UNAVAILABLE
    assert opened.challenge_by_id(a_challenge(2).id) is None
    opened.add_challenge(a_challenge(2), ())
    assert opened.challenges() == (a_challenge(2), a_challenge(1))


def test_a_file_that_cannot_be_opened(tmp_path: Path, clock: FakeClock) -> None:
    """Without its directory, without its schema or with another content the store is unavailable, and says so."""
    (tmp_path / "text.db").write_text("this is not a database, and it is long enough to tell")
    for name in ("missing/regalia.db", "text.db", "empty.db"):
        store = open_store(f"sqlite:///{tmp_path}/{name}", node="node", clock=clock)
        with pytest.raises(UnavailableError):
            store.group("staff")
        with pytest.raises(UnavailableError):
            store.add_group(a_group(), ())
        if name != "empty.db":
            with pytest.raises(UnavailableError):
                store.check()
        store.close()


def test_a_closed_store(opened: SqlStore) -> None:
    """A closed store is unavailable; closing it again is fine."""
    opened.add_group(a_group(), ())
    opened.close()
    opened.close()
    with pytest.raises(UnavailableError):
        opened.group("staff")
    with pytest.raises(UnavailableError):
        opened.add_group(a_group("other"), ())


def test_nobody_else_reads_the_file(path: Path, opened: SqlStore) -> None:
    """The database and its log are readable by their owner alone (SEC-3)."""
    opened.add_group(a_group(), ())
    files = list(path.parent.iterdir())
    assert len(files) == 4  # with its write-ahead log, that one's index, and the turns
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}


def test_durable_settings(opened: SqlStore, path: Path) -> None:
    """The file is in WAL mode; writers and readers have the settings that durability asks for."""
    opened.add_group(a_group(), ())
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    seen: list[tuple[str, int]] = []

    def unit(transaction: Transaction) -> None:
        assert transaction is not None
        connection = transaction._connection  # type: ignore[attr-defined]  # noqa: SLF001 - the settings are its
        for name in ("synchronous", "foreign_keys", "secure_delete", "busy_timeout"):
            seen.append((name, connection.execute(f"PRAGMA {name}").fetchone()[0]))  # noqa: PERF401 - two steps each

    database = opened._database  # noqa: SLF001 - a test of what lies behind the store
    database.write(unit)
    database.read(unit)
    assert seen == 2 * [("synchronous", 2), ("foreign_keys", 1), ("secure_delete", 1), ("busy_timeout", 5000)]


def test_a_destroyed_key_is_gone_from_the_files(path: Path, opened: SqlStore) -> None:
    """The octets of a destroyed key are in no file of the database any more."""
    blob = octets("a wrapped key", 1200)
    key = WrappedKey(an_id("key", 1), KeyKind.P384, "root", octets("public", 120), blob, NOW)
    opened.put_key(key)
    assert any(blob[:64] in file.read_bytes() for file in path.parent.iterdir())
    assert opened.destroy_key(key.id)
    assert not any(blob[:64] in file.read_bytes() for file in path.parent.iterdir())


def test_readers_do_not_write(opened: SqlStore) -> None:
    """A read cannot change the database, whatever its statement says."""
    database = opened._database  # noqa: SLF001 - a test of what lies behind the store
    with pytest.raises(UnavailableError, match="readonly"):
        database.read(lambda transaction: transaction.notify(Change("crl", "root")))


def test_old_notices_are_thrown_away(path: Path, opened: SqlStore) -> None:
    """The table of notices keeps the last ten thousand; a feed that slept through more says that it missed some."""
    feed = open_change_feed(f"sqlite:///{path}")
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executemany(
            "INSERT INTO change (topic, key) VALUES ('crl', ?)", [(str(number),) for number in range(12_000)]
        )
    opened.add_group(a_group(), ())
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM change").fetchone() == (10_000,)
    assert feed.wait(1) is None
    opened.add_group(a_group("other"), ())
    changes = feed.wait(3)
    feed.close()
    assert changes is not None
    assert [change.key for change in changes] == ["group:other"]


def test_the_log_is_made_at_its_full_length(path: Path, opened: SqlStore, tmp_path: Path) -> None:
    """A process that writes a lot lengthens the log once; what was committed before and after survives a crash."""
    log = path.with_name(f"{path.name}-wal")
    for number in range(1, 31):
        opened.add_challenge(a_challenge(number), (an_event(number),))
    short = log.stat().st_size
    for number in range(31, 61):
        opened.add_challenge(a_challenge(number), (an_event(number),))
    assert short < log.stat().st_size == 32 + 4096 * (24 + 4096)
    crashed = tmp_path / "crashed"
    crashed.mkdir()
    for end in ("", "-wal"):
        shutil.copy(path.with_name(path.name + end), crashed / f"{path.name}{end}")
    again = open_store(f"sqlite:///{crashed}/{path.name}", node="node", clock=FakeClock())
    assert len(again.challenges()) == 60
    again.add_challenge(a_challenge(61), (an_event(61),))
    assert len(again.challenges()) == 61
    assert verify(again).findings == ()
    again.close()
    assert len(opened.challenges()) == 60
