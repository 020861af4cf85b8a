"""Last night's backup on another machine: another path, another port, the other database."""

from __future__ import annotations

import json
import secrets
import sqlite3
import threading
import zlib
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest
from cluster import cluster
from cryptography import x509

from postgres import running_postgres
from regalia import reasons
from regalia.app import SystemClock, SystemEntropy, build
from regalia.app.backup import create_backup, verify_backup
from regalia.app.build import node_name
from regalia.app.restore import Place, _configure, restore_backup
from regalia.ca.authority import revoke_authority
from regalia.ca.revoke import hold, release, revoke
from regalia.config import load_config
from regalia.errors import AdminError
from regalia.keys.backup_file import BackupWriter, make_backup_key, read_backup, read_backup_key, read_recipient
from regalia.model import (
    Action,
    AuthorityState,
    CertificateKind,
    ProposalState,
    RevocationReason,
    Session,
    SignInKind,
)
from regalia.ports import CertificateFilter, EventFilter
from regalia.ra.audit import verify
from regalia.ra.proposals import NewProposal
from regalia.ra.roles import EVERYTHING
from regalia.ra.setting_up import make_setup_link
from regalia.ra.sign_in import sha256_of
from regalia.ra.tokens import NewToken
from regalia.store.dump import Dumped
from regalia.verbs.bearer import caller_of_token
from regalia.wire.scep import PkiStatus, Transaction
from world import ADMIN, Device, names, rsa_key

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
    from tools.postgres import Cluster

    from regalia.app import App
    from regalia.model import Certificate
    from regalia.ra.scep import ScepAnswer
    from world import World

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

SOURCE = "192.0.2.1"


@dataclass(frozen=True)
class Old:
    """A home that is backed up."""

    home: Path
    keys: Path
    """Directory with the keys of its backups."""
    grows: bool
    """Whether it is on SQLite and is restored on PostgreSQL."""


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


@pytest.fixture(scope="module", params=["small-to-large", "large-to-small"])
def old(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, postgresql: Cluster) -> Iterator[Old]:
    """A home with SQLite, to be restored on PostgreSQL, and the other way round; each test restores it elsewhere."""
    grows = request.param == "small-to-large"
    directory = tmp_path_factory.mktemp("old")
    with cluster(directory, None if grows else postgresql.create("old")) as nodes:
        make_backup_key(directory / "backup.key", directory / "backup.pub")
        yield Old(nodes[0].home, directory, grows)


@pytest.fixture
def stage(old: Old, tmp_path: Path, postgresql: Cluster) -> Stage:
    """One test's own place beside the old home."""
    url = postgresql.create(f"new_{secrets.token_hex(4)}") if old.grows else None
    return Stage(old.home, url, read_backup_key(old.keys / "backup.key"), old.keys / "backup.pub", tmp_path)


def device_in(app: App, number: int) -> Device:
    """Make a device that speaks to an opened home."""

    def send(body: bytes, endpoint: str = "default", source: str = SOURCE) -> ScepAnswer:
        door = app.scep.door(endpoint)
        assert door is not None
        return app.scep.pki_operation(door, body, source)

    there = cast("World", SimpleNamespace(store=app.store, clock=app.clock, send=send))
    return Device(there, rsa_key(number), transaction=Transaction(b"night-%d" % number))


def mint(app: App, number: int) -> str:
    """Hand out a one-time challenge."""
    binding, hour = names(f"laptop-{number}"), timedelta(hours=1)
    return app.challenges.mint("default", binding=binding, device=None, ttl=hour, actor=ADMIN).secret


def enrolled(app: App, number: int) -> Device:
    """Enrol a device."""
    device = device_in(app, number)
    assert device.enrol(names(f"laptop-{number}"), mint(app, number)).status is PkiStatus.SUCCESS
    return device


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
        assert after.crls.publish("root").number >= number.number + 1_000
        enrolled(after, 2)
    finally:
        after.close()


def leaf_of(app: App, number: int) -> Certificate:
    """Find a device's certificate."""
    leaves = app.store.certificates(CertificateFilter(kind=CertificateKind.LEAF, limit=100))
    return next(leaf for leaf in leaves if leaf.intent.names.cn == f"laptop-{number}")


def publish(app: App, authority: str) -> Path:
    """Publish a CRL; returns the file that is served."""
    app.crls.publish(authority)
    return served(app, authority)


def served(app: App, authority: str) -> Path:
    """Find the CRL that is served."""
    published = app.crl_files.published(authority)
    assert published is not None
    return Path(published.path)


def listed(path: Path) -> set[int]:
    """Read which serials a CRL lists."""
    return {entry.serial_number for entry in x509.load_der_x509_crl(path.read_bytes())}


def test_what_was_revoked_since_stays_revoked(stage: Stage) -> None:
    """SEC-4, REV-1: what the published CRL says of certificates from before, held and later ones is true again."""
    with stage.opened() as app:
        for number in (10, 11, 12):
            enrolled(app, number)
        hold(app.store, app.clock, leaf_of(app, 11), actor=ADMIN)
        backup = stage.backup()
        enrolled(app, 13)
        for number in (10, 11, 13):
            revoke(app.store, app.clock, leaf_of(app, number), reason=RevocationReason.KEY_COMPROMISE, actor=ADMIN)
        hold(app.store, app.clock, leaf_of(app, 12), actor=ADMIN)
        later, authority = leaf_of(app, 13), leaf_of(app, 13).intent.authority
        before = publish(app, authority)
        told = listed(before)
    after = build(load_config({}, home=stage.restored(backup, before)))
    try:
        assert told <= listed(served(after, authority)), "before anybody can ask"
        ends = [leaf_of(after, number).revocation for number in (10, 11, 12)]
        assert [end.reason for end in ends if end is not None] == [
            RevocationReason.KEY_COMPROMISE,
            RevocationReason.KEY_COMPROMISE,
            RevocationReason.CERTIFICATE_HOLD,
        ]
        with pytest.raises(AdminError):
            release(after.store, after.clock, leaf_of(after, 11), actor=ADMIN)
        release(after.store, after.clock, leaf_of(after, 12), actor=ADMIN)
        status = after.store.serial_status(authority, later.serial)
        assert status is not None
        assert status.revocation is not None
        assert told - listed(publish(after, authority)) == {leaf_of(after, 12).serial}
    finally:
        after.close()


def test_an_authority_that_was_revoked_since_stays_revoked(stage: Stage) -> None:
    """SEC-4: a compromised CA does not come back to life with last night's backup."""
    with stage.opened() as app:
        app.registry.create_group(f"gone-{stage.scratch.name[-6:].replace('_', '-')}", actor=ADMIN)
        authority = app.store.authorities()[-1]
        backup = stage.backup()
        compromised = RevocationReason.CA_COMPROMISE
        revoke_authority(app.store, app.store, app.clock, authority, reason=compromised, actor=ADMIN)
        root_crl = publish(app, "root")
    after = build(load_config({}, home=stage.restored(backup, root_crl)))
    try:
        restored = after.store.authority(authority.name)
        assert restored is not None
        assert restored.state is AuthorityState.REVOKED
    finally:
        after.close()


def test_open_challenges_are_closed(stage: Stage) -> None:
    """ISS-4: a one-time challenge that may have been used after the backup opens nothing in the restored home."""
    with stage.opened() as app:
        secret = mint(app, 3)
    after = build(load_config({}, home=stage.restored(stage.backup())))
    try:
        assert device_in(after, 3).enrol(names("laptop-3"), secret).status is PkiStatus.FAILURE
        (refused,) = after.store.events(EventFilter(action=Action.ENROLMENT_REFUSED))
        assert refused.draft.reason_id == reasons.CHALLENGE_REVOKED.id
    finally:
        after.close()


def test_who_administers_comes_back_and_nobody_is_signed_in(stage: Stage) -> None:
    """Administrators and tokens come back; sessions do not; set-up links and proposals that were open are closed."""
    name, secret = f"admin-{secrets.token_hex(4)}", secrets.token_bytes(32)
    with stage.opened() as app:
        now = app.clock.now()
        person = app.administrators.create(name, EVERYTHING, display="", actor=ADMIN, bound=EVERYTHING)
        token = app.tokens.create(
            NewToken(name, EVERYTHING, timedelta(days=1), person.id), actor=ADMIN, bound=EVERYTHING
        )
        links = [make_setup_link(app.store, app.clock, app.entropy, ADMIN, whom) for whom in (person, None)]
        proposal = app.proposals.propose(NewProposal("admin.create", {}, (), None, person.id), actor=ADMIN)
        app.store.add_session(
            Session(
                proposal.id,
                secret,
                person.id,
                SignInKind.PASSKEY,
                SOURCE,
                now,
                now,
                now,
                now + timedelta(hours=8),
            ),
            (),
        )
    after = build(load_config({}, home=stage.restored(stage.backup())))
    try:
        assert after.store.administrator_named(name) == person
        assert caller_of_token(after.store, token.secret, now=after.clock.now(), source=SOURCE).grants == EVERYTHING
        assert after.store.session(secret) is None
        assert not any(after.store.use_setup_link(sha256_of(link), after.clock.now(), ()) for link in links)
        found = after.store.proposal(proposal.id)
        assert found is not None
        assert found.state is ProposalState.WITHDRAWN
    finally:
        after.close()


def test_a_backup_verifies_and_a_damaged_one_does_not(stage: Stage) -> None:
    """Each octet counts: changed, cut off or encrypted to another key, a backup is refused and nothing is made."""
    with stage.opened() as app:
        enrolled(app, 5)
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
    for part, at in (
        *(("magic", 3), ("length of the key", 18), ("key", 40), ("end of the key", 98)),
        *(("length of a chunk", 99), ("content", len(whole) // 2), ("end", len(whole) - 1)),
    ):
        yield part, whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]
    yield "cut", whole[:-20]
    yield "cut in a length", whole + b"\x00\x00"
    yield "empty", b""
    yield "longer", whole + b"\x00\x00\x00\x10" + bytes(16)


def test_a_stolen_backup_opens_nothing(stage: Stage) -> None:
    """SEC-4: neither names nor keys stand in it readably, and even opened it needs the master key."""
    with stage.opened() as app:
        enrolled(app, 6)
        master = (stage.home / "master.key").read_bytes().strip()
    backup = stage.backup()
    octets = backup.read_bytes()
    assert not any(word in octets for word in (b"laptop-6", b"certificate", master, bytes.fromhex(master.decode())))
    other = stage.scratch / "another-master.key"
    other.write_bytes(b"00" * 32 + b"\n")
    other.chmod(0o600)
    with pytest.raises(AdminError, match="no installation with this master key"):
        stage.restored(backup, master_key=other)
    assert not (stage.scratch / "restored").exists()


def test_a_backup_that_somebody_else_made_is_refused(stage: Stage) -> None:
    """SEC-4: anybody can encrypt to a public key; without the master key's MAC nothing of it is restored."""
    genuine = stage.backup()
    with genuine.open("rb") as file:
        lines = zlib.decompress(b"".join(read_backup(file, stage.key))).split(b"\n")
    forged = stage.scratch / "forged.regalia"
    with forged.open("wb") as file:
        writer = BackupWriter(file, read_recipient(stage.recipient), SystemEntropy())
        writer.write(zlib.compress(b"\n".join(lines).replace(b"SQLite", b"Sqlite").replace(b"default", b"defautl")))
        writer.close()
    with pytest.raises(AdminError, match="no installation with this master key"):
        stage.restored(forged)
    assert not (stage.scratch / "restored").exists()


def test_what_a_stranger_wrote_configures_nothing(stage: Stage) -> None:
    """SEC-4: the configuration in a forged backup is not read, and no database that it names is touched."""
    genuine = stage.backup()
    with genuine.open("rb") as file:
        head, _, rest = zlib.decompress(b"".join(read_backup(file, stage.key))).partition(b"\n")
    elsewhere = stage.scratch / "elsewhere.db"
    told = json.loads(head)
    told["about"]["config"] = f'database = {{ url = "sqlite:///{elsewhere}" }}\n'
    place = Place(stage.scratch / "restored", None, None, stage.home / "master.key")
    for number, content in enumerate(
        (json.dumps(told).encode() + b"\n" + rest, b"[]\n", b"7\n", b"\n", b"x" * 70_000_000)
    ):
        forged = stage.scratch / f"forged-{number}"
        with forged.open("wb") as file:
            writer = BackupWriter(file, read_recipient(stage.recipient), SystemEntropy())
            writer.write(zlib.compress(content, 1))
            writer.close()
        with pytest.raises(AdminError) as refused:
            restore_backup(forged, stage.key, place, (), actor=ADMIN)
        assert refused.value.reason is reasons.BACKUP_REFUSED
    assert not elsewhere.exists()
    assert not place.home.exists()


@pytest.mark.parametrize("spelt", ['database = { url = "%s" }', 'database.url = "%s"', '[database]\n"url" = "%s"'])
def test_the_old_database_is_not_taken_for_the_new_one(spelt: str, tmp_path: Path) -> None:
    """However the old home's file spells its database, the restored home does not open that one."""
    head = Dumped("0001", {}, {}, {"config": spelt % f"sqlite:///{tmp_path / 'old.db'}" + "\n"})
    home = tmp_path / "restored"
    home.mkdir()
    with pytest.raises(AdminError, match="names its database in a way that is not understood"):
        _configure(head, Place(home, None, None, None))


@pytest.mark.parametrize("what", ["home", "database"])
def test_a_restore_touches_nothing_that_is_in_use(stage: Stage, what: str, postgresql: Cluster) -> None:
    """A home or a database that holds something is refused, and left as it was."""
    backup = stage.backup()
    home, database = stage.scratch / "restored", postgresql.create(f"used_{secrets.token_hex(4)}")
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
                app.challenges.mint(
                    "default", binding=names("laptop-1"), device=None, ttl=timedelta(hours=1), actor=ADMIN
                )

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
