"""Last night's backup on another machine: another path, another port, the other database."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from cluster import cluster
from fleet import device_of

from postgres import running_postgres
from regalia import reasons
from regalia.app import SystemClock, build, node_name
from regalia.app.backup import create_backup, verify_backup
from regalia.app.restore import Place, restore_backup
from regalia.ca.revoke import revoke
from regalia.config import load_config
from regalia.errors import AdminError
from regalia.keys.backup_file import make_backup_key, read_backup_key, read_recipient
from regalia.model import Action, RevocationReason
from regalia.ports import CertificateFilter, EventFilter
from regalia.ra.audit import verify
from regalia.ra.scep import CertRep
from regalia.wire.scep import PkiStatus
from world import ADMIN, names

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    from regalia.app import App
    from tools.postgres import Cluster
    from world import Device

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

SOURCE = "192.0.2.1"


@dataclass(frozen=True)
class Stage:
    """A home with its database, and the keys of its backups."""

    home: Path
    url: str | None
    """Of an empty database for the restored home; None for SQLite."""
    key: X25519PrivateKey
    recipient: Path
    scratch: Path

    @contextmanager
    def opened(self) -> Iterator[App]:
        """Open the home, as a command does."""
        app = build(load_config({}, home=self.home))
        try:
            yield app
        finally:
            app.close()

    def backup(self) -> Path:
        """Make a backup."""
        to = self.scratch / "night.regalia"
        with self.opened() as app:
            recipient = read_recipient(self.recipient)
            create_backup(app, to, recipient, node=node_name(self.home), actor=ADMIN)
        return to

    def restored(self, backup: Path, *crls: Path, master_key: Path | None = None) -> Path:
        """Restore it beside; returns the new home."""
        home = self.scratch / "restored"
        where = Place(home, self.url, "http://127.0.0.1:18080", master_key or self.home / "master.key")
        restore_backup(backup, self.key, where, crls, actor=ADMIN)
        return home


@pytest.fixture(scope="module")
def postgresql() -> Iterator[Cluster]:
    """A PostgreSQL server."""
    with running_postgres() as server:
        yield server


@pytest.fixture(params=["small-to-large", "large-to-small"])
def stage(request: pytest.FixtureRequest, tmp_path: Path, postgresql: Cluster) -> Iterator[Stage]:
    """SQLite to be restored on PostgreSQL, and the other way round."""
    grows = request.param == "small-to-large"
    database = postgresql.create(f"backup_{request.param.replace('-', '_')}_{abs(hash(request.node.name)) % 10**8}")
    with cluster(tmp_path, None if grows else database) as nodes:
        make_backup_key(tmp_path / "backup.key", tmp_path / "backup.pub")
        key = read_backup_key(tmp_path / "backup.key")
        yield Stage(nodes[0].home, database if grows else None, key, tmp_path / "backup.pub", tmp_path)


def enrolled(app: App, number: int) -> Device:
    """Enrol a device, and let it keep what it was given."""
    device = device_of(app, number, b"night-%d" % number)
    secret = app.challenges.mint("default", binding=names(f"laptop-{number}"), ttl=timedelta(hours=1), actor=ADMIN)
    sent = device.csr(names(f"laptop-{number}"), secret.secret)
    assert answer(app, device.message(sent)) is PkiStatus.SUCCESS
    return device


def answer(app: App, message: bytes) -> PkiStatus:
    """Have a message answered."""
    door = app.store.door("default")
    assert door is not None
    reply = app.scep.pki_operation(door, message, SOURCE)
    assert isinstance(reply, CertRep)
    return reply.status


def rows(app: App) -> dict[str, object]:
    """All that a restore must bring back, to be compared."""
    store = app.store
    return {
        "authorities": store.authorities(),
        "groups": store.groups(),
        "endpoints": store.endpoints(),
        "certificates": store.certificates(CertificateFilter(limit=1_000)),
        "crls": [store.last_crl(authority.name) for authority in store.authorities()],
    }


def test_a_backup_comes_back_on_the_other_database(stage: Stage) -> None:
    """SEC-4: everything is there under another path and another database, the log verifies, CRL numbers jump ahead."""
    with stage.opened() as app:
        enrolled(app, 1)
        before, number = rows(app), app.store.last_crl("root")
        assert number is not None
    backup = stage.backup()
    home = stage.restored(backup)
    after = build(load_config({}, home=home))
    try:
        assert rows(after) == before
        assert not verify(after.store).findings
        (restored,) = after.store.events(EventFilter(action=Action.HOME_RESTORED))
        assert restored.draft.details["from_node"] == node_name(stage.home) != node_name(home)
        later = after.crls.publish("root")
        assert later.number >= number.number + 1_000
        enrolled(after, 2)
    finally:
        after.close()


def test_what_was_revoked_since_stays_revoked(stage: Stage) -> None:
    """SEC-4: the published CRL brings back the revocations that came after the backup."""
    with stage.opened() as app:
        enrolled(app, 1)
        backup = stage.backup()
        (leaf,) = app.store.certificates(CertificateFilter(group="default", limit=1))
        revoke(app.store, app.clock, leaf, reason=RevocationReason.KEY_COMPROMISE, actor=ADMIN)
        app.crls.publish(leaf.intent.authority)
    crl = stage.home / "crl" / f"{leaf.intent.authority}.crl"
    home = stage.restored(backup, crl)
    after = build(load_config({}, home=home))
    try:
        again = after.store.certificate(leaf.id)
        assert again is not None
        assert again.revocation is not None
        assert (again.revocation.reason, again.revocation.cause) == (RevocationReason.KEY_COMPROMISE, "restored")
    finally:
        after.close()


def test_open_challenges_are_closed(stage: Stage) -> None:
    """ISS-4: a one-time challenge that may have been used after the backup opens nothing in the restored home."""
    with stage.opened() as app:
        minted = app.challenges.mint("default", binding=names("laptop-1"), ttl=timedelta(hours=1), actor=ADMIN)
        device = device_of(app, 1, b"late")
        backup = stage.backup()
    after = build(load_config({}, home=stage.restored(backup)))
    try:
        message = device.message(device.csr(names("laptop-1"), minted.secret))
        assert answer(after, message) is PkiStatus.FAILURE
        (refused,) = after.store.events(EventFilter(action=Action.ENROLMENT_REFUSED))
        assert refused.draft.reason_id == reasons.CHALLENGE_REVOKED.id
    finally:
        after.close()


def test_a_backup_verifies_and_a_damaged_one_does_not(stage: Stage) -> None:
    """Each octet of a backup counts: changed, cut off or encrypted to another key, it is refused and nothing is made."""
    with stage.opened() as app:
        enrolled(app, 1)
    backup = stage.backup()
    checked = verify_backup(backup, stage.key, SystemClock())
    assert checked.records > 0
    assert not checked.findings
    whole = backup.read_bytes()
    for name, octets in damaged(whole):
        broken = stage.scratch / f"{name}.regalia"
        broken.write_bytes(octets)
        with pytest.raises(AdminError) as refused:
            verify_backup(broken, stage.key, SystemClock())
        assert refused.value.reason is reasons.BACKUP_REFUSED, name
    make_backup_key(stage.scratch / "other.key", stage.scratch / "other.pub")
    with pytest.raises(AdminError, match="another key"):
        verify_backup(backup, read_backup_key(stage.scratch / "other.key"), SystemClock())
    assert not (stage.scratch / "restored").exists()


def damaged(whole: bytes) -> Iterator[tuple[str, bytes]]:
    """Spoil a backup in every part of it."""
    for part, at in (("magic", 3), ("key", 40), ("content", len(whole) // 2), ("end", len(whole) - 1)):
        yield part, whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]
    yield "cut", whole[:-20]
    yield "empty", b""
    yield "longer", whole + b"\x00\x00\x00\x10" + bytes(16)


def test_a_stolen_backup_opens_nothing(stage: Stage) -> None:
    """SEC-4: neither names nor keys stand in it readably, and even opened it needs the master key."""
    with stage.opened() as app:
        enrolled(app, 1)
        master = (stage.home / "master.key").read_bytes().strip()
    backup = stage.backup()
    octets = backup.read_bytes()
    assert not any(word in octets for word in (b"laptop-1", b"certificate", master, bytes.fromhex(master.decode())))
    other = stage.scratch / "another-master.key"
    other.write_bytes(b"00" * 32 + b"\n")
    other.chmod(0o600)
    with pytest.raises(AdminError) as refused:
        stage.restored(backup, master_key=other)
    assert refused.value.reason is reasons.MASTER_KEY_REFUSED
    assert not (stage.scratch / "restored").exists()


@pytest.mark.parametrize("what", ["home", "database"])
def test_a_restore_touches_nothing_that_is_in_use(stage: Stage, what: str, postgresql: Cluster) -> None:
    """A home or a database that holds something is refused, and left as it was."""
    backup = stage.backup()
    home, database = stage.scratch / "restored", postgresql.create(f"used_{abs(hash(str(stage.scratch))) % 10**8}")
    if what == "home":
        home.mkdir()
        (home / "letter.txt").write_text("mine")
    else:
        restore_backup(backup, stage.key, Place(home, database, None, stage.home / "master.key"), (), actor=ADMIN)
        home = stage.scratch / "second"
    place = Place(home, database, None, stage.home / "master.key")
    with pytest.raises(AdminError) as refused:
        restore_backup(backup, stage.key, place, (), actor=ADMIN)
    assert refused.value.reason is reasons.HOME_USED
    assert home.exists() is (what == "home")
    if what == "home":
        assert (home / "letter.txt").read_text() == "mine"


def test_a_backup_is_one_state_of_a_database_at_work(stage: Stage) -> None:
    """What is written while the rows are read is wholly in a backup or not at all: its log has no loose end."""
    ended = threading.Event()

    def busy() -> None:
        with stage.opened() as app:
            while not ended.is_set():
                app.challenges.mint("default", binding=names("laptop-1"), ttl=timedelta(hours=1), actor=ADMIN)

    worker = threading.Thread(target=busy)
    worker.start()
    try:
        backup = stage.backup()
    finally:
        ended.set()
        worker.join()
    assert not verify_backup(backup, stage.key, SystemClock()).findings


def test_an_altered_log_is_found_in_the_backup(tmp_path: Path, postgresql: Cluster) -> None:
    """AUD-2: a backup of a database whose records were altered says so when it is verified."""
    del postgresql
    with cluster(tmp_path, None) as nodes:
        make_backup_key(tmp_path / "backup.key", tmp_path / "backup.pub")
        stage = Stage(nodes[0].home, None, read_backup_key(tmp_path / "backup.key"), tmp_path / "backup.pub", tmp_path)
        with closing(sqlite3.connect(stage.home / "regalia.db")) as connection:
            connection.execute("DROP TRIGGER final_2")
            connection.execute("UPDATE event SET record = replace(record, 'root', 'ruth') WHERE position = 2")
            connection.commit()
        (finding,) = verify_backup(stage.backup(), stage.key, SystemClock()).findings
        assert "changed" in finding
