"""A signer behind its socket and the way to it: calls, refusals, callers that die, stall or are not let in."""

from __future__ import annotations

import os
import select
import socket
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from fakes import FakeClock, SeededEntropy
from keys.test_signer import ROW, Bench
from regalia import reasons
from regalia.ca.key_events import key_destroyed
from regalia.ca.scopes import ROOT_SCOPE, ca_scope, ra_scope
from regalia.errors import AdminError, InvariantError, UnavailableError
from regalia.keys.ca_keys import SoftwareCaKeys
from regalia.keys.divided import KeysHere
from regalia.keys.master import load_master_key
from regalia.keys.medium import MediumVault
from regalia.keys.signer_client import RemoteSigner, UnixAddress
from regalia.keys.signer_desk import Bounds, Desk
from regalia.keys.signer_server import SignerServer, UnixEntrance, listen_unix
from regalia.keys.signer_wire import ClosedError, Kind, Wire
from regalia.keys.software import SoftwareKeys
from regalia.model import (
    Action,
    Actor,
    ActorKind,
    Authority,
    AuthorityKind,
    AuthorityState,
    EventDraft,
    KeyKind,
    Outcome,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from regalia.errors import Reason
    from regalia.keys.master import MasterKey
    from regalia.ports import NewKey

ADMIN = Actor(ActorKind.ADMIN, "os:root")
TOKEN = bytes(range(32))
OWN = frozenset({os.geteuid()})
CALLER = f"process {os.getpid()} of user {os.geteuid()}"
QUICK = Bounds(frame_seconds=0.3)


def held(bench: Bench) -> KeysHere:
    """Return what makes and ends the CA keys of a bench."""
    software = SoftwareKeys(bench.store, FakeClock(), SeededEntropy(5), bench.master)
    return KeysHere(software, bench.store, None, bench.signer, to_token=False)


class Signer:
    """A signer that serves in a thread, over the store of a bench, and an address that leads to it."""

    def __init__(self, bench: Bench, bounds: Bounds = QUICK, users: frozenset[int] = OWN) -> None:
        self.bench = bench
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listening.bind("")
        listening.listen()
        self.address = UnixAddress(os.fsdecode(listening.getsockname()), TOKEN)
        self.ca_keys = SoftwareCaKeys(bench.store, bench.master, SeededEntropy())
        desk = Desk(bench.store, self.ca_keys, held(bench), bounds)
        self._server = SignerServer([UnixEntrance(listening, users, token=TOKEN)], desk, bounds)
        self._hears, self._tell = os.pipe()
        self._thread = threading.Thread(target=self._server.run, args=([self._hears],))
        self._thread.start()

    def caller(self) -> RemoteSigner:
        """A way to it."""
        return RemoteSigner(self.address, self.bench.files, self.bench.store)

    def end(self) -> None:
        """Have it finish."""
        os.write(self._tell, b".")
        self._thread.join(20)
        assert not self._thread.is_alive()
        os.close(self._hears)
        os.close(self._tell)


@contextmanager
def serving(bench: Bench, bounds: Bounds = QUICK, users: frozenset[int] = OWN) -> Iterator[Signer]:
    """Run a signer until the block ends."""
    signer = Signer(bench, bounds, users)
    try:
        yield signer
    finally:
        signer.end()


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Make an empty bench."""
    return Bench(tmp_path)


@pytest.fixture
def signer(bench: Bench) -> Iterator[Signer]:
    """A signer that serves."""
    with serving(bench) as running:
        yield running


def authority(name: str, kind: AuthorityKind, state: AuthorityState, key_id: UUID) -> Authority:
    """Make the row of an authority with this key."""
    return Authority(name, kind, None, None, state, key_id, KeyKind.P256, ROW, b"", FakeClock().now())


@contextmanager
def spoken(signer: Signer) -> Iterator[Wire]:
    """A caller of our own that was welcomed, to misbehave."""
    connection = signer.address.connect(1)
    wire = Wire(connection, 2)
    wire.send(Kind.HELLO, TOKEN)
    assert wire.receive(frozenset(Kind))[0] is Kind.WELCOME
    try:
        yield wire
    finally:
        wire.close()


@pytest.mark.parametrize("kind", [KeyKind.P256, KeyKind.P384, KeyKind.RSA_2048])
def test_a_certificate_is_signed_over_there(signer: Signer, kind: KeyKind) -> None:
    """R8: by the row's id alone, with the octets that a signer in this process gives, each time (ISS-2)."""
    key = signer.bench.keys.generate(kind, ca_scope("staff"))
    signer.bench.certificate(key)
    caller = signer.caller()
    assert caller.sign_intent(ROW) == caller.sign_intent(ROW) == signer.bench.signer.sign_intent(ROW)


def test_a_crl_is_sent_and_hashed_there(signer: Signer) -> None:
    """R8: the signer asks for the file that the row names, hashes what comes, and compares it with the row."""
    parts = (b"one", b"2" * 200_000, b"three")
    key = signer.bench.keys.generate(KeyKind.P256, ca_scope("staff"))
    signer.bench.crl(key, parts)
    assert signer.caller().sign_intent(ROW) == signer.bench.signer.sign_intent(ROW)


def test_another_file_than_the_recorded_one_is_not_signed(signer: Signer) -> None:
    """R8: a caller that sends other octets gets no signature, and can go on with the next call."""
    key = signer.bench.keys.generate(KeyKind.P256, ca_scope("staff"))
    signer.bench.crl(key, (b"what the caller has",), b"what was recorded")
    caller = signer.caller()
    with pytest.raises(InvariantError, match="not the one that was recorded"):
        caller.sign_intent(ROW)
    assert caller.holds(key.id)


def test_nothing_is_signed_that_is_not_on_record(signer: Signer) -> None:
    """ISS-1, SEC-1: a row that is not there, and one with a key that is no CA's, get no signature."""
    caller = signer.caller()
    with pytest.raises(UnavailableError) as unknown:
        caller.sign_intent(UUID(int=7))
    assert unknown.value.reason is reasons.IN_PROGRESS
    signer.bench.certificate(signer.bench.keys.generate(KeyKind.RSA_2048, ra_scope("staff")))
    with pytest.raises(InvariantError):
        caller.sign_intent(ROW)


def test_a_key_under_another_sites_key_is_unavailable(signer: Signer, tmp_path: Path) -> None:
    """A group whose key is another site's gets no certificate here: come back later, the rest goes on."""
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "master.key").write_text("77" * 32 + "\n", encoding="ascii")
    elsewhere = SoftwareKeys(signer.bench.store, FakeClock(), SeededEntropy(3), _master(tmp_path / "other"))
    signer.bench.certificate(elsewhere.generate(KeyKind.P256, ca_scope("plant")))
    with pytest.raises(UnavailableError) as refused:
        signer.caller().sign_intent(ROW)
    assert refused.value.reason is reasons.ISSUER_UNAVAILABLE


def test_a_ca_key_is_born_and_dies_there(signer: Signer) -> None:
    """SEC-1: the signer keeps the key with the caller's events; destroyed, it signs no more after a restart."""
    caller = signer.caller()
    seen: list[UUID] = []

    def told(key: NewKey) -> tuple[EventDraft]:
        seen.append(key.id)
        now = signer.bench.store.key_records()
        assert now == ()
        return (EventDraft(FakeClock().now(), ADMIN, Action.KEY_GENERATED, f"key:{key.id}", Outcome.OK),)

    key = caller.generate(KeyKind.P256, ca_scope("staff"), told)
    assert seen == [key.id]
    assert [event.draft.action for event in signer.bench.store.log] == [Action.KEY_GENERATED]
    assert caller.holds(key.id)
    assert caller.repeats(key.id)
    caller.prove(key.id)
    event = key_destroyed(key.id, at=FakeClock().now(), actor=ADMIN, why="over")
    assert caller.destroy(key.id, (event,))
    assert not caller.destroy(key.id, (event,))
    assert not caller.holds(key.id)
    assert signer.bench.store.log[-1].draft == replace(event, details={"why": "over", "caller": CALLER})


def test_a_key_that_an_authority_needs_does_not_die_there(signer: Signer) -> None:
    """SEC-2: a caller that was taken over ends no root's key, nor one of an authority that is not over."""
    caller = signer.caller()
    for number, (kind, state) in enumerate(product(AuthorityKind, AuthorityState)):
        key = signer.bench.keys.generate(KeyKind.P256, ca_scope("staff"))
        signer.bench.store.add_authority(authority(f"ca-{number}", kind, state, key.id), ())
        event = key_destroyed(key.id, at=FakeClock().now(), actor=ADMIN, why="")
        if kind is not AuthorityKind.ROOT and state in {AuthorityState.RETIRED, AuthorityState.REVOKED}:
            assert caller.destroy(key.id, (event,))
            continue
        with pytest.raises(AdminError, match=f"authority ca-{number}'s") as refused:
            caller.destroy(key.id, (event,))
        assert refused.value.reason is reasons.KEY_NEEDED
        assert caller.holds(key.id)


def test_a_callers_events_tell_of_its_call(signer: Signer) -> None:
    """AUD-1: events of other things or other keys make and end no key, and the caller's name is the signer's word."""
    caller = signer.caller()
    at = FakeClock().now()

    def told(action: Action, named: UUID | None = None) -> Callable[[NewKey], tuple[EventDraft]]:
        details = {"caller": "somebody else"}
        return lambda key: (EventDraft(at, ADMIN, action, f"key:{named or key.id}", Outcome.OK, details=details),)

    for wrong in (told(Action.CERTIFICATE_REVOKED), told(Action.KEY_DESTROYED), told(Action.KEY_GENERATED, ROW)):
        with pytest.raises(InvariantError, match="an event"):
            caller.generate(KeyKind.P256, ca_scope("staff"), wrong)
    assert signer.bench.store.key_records() == ()
    key = caller.generate(KeyKind.P256, ca_scope("staff"), told(Action.KEY_GENERATED))
    assert [event.draft.details["caller"] for event in signer.bench.store.log] == [CALLER]
    for events in ((), told(Action.KEY_GENERATED)(key), told(Action.KEY_DESTROYED, ROW)(key)):
        with pytest.raises(InvariantError, match="an event"):
            caller.destroy(key.id, events)
    assert caller.holds(key.id)


def test_only_ca_keys_are_made_and_ended_there(signer: Signer) -> None:
    """A caller cannot have keys of faces made, asked for or destroyed by the signer."""
    caller = signer.caller()
    with pytest.raises(InvariantError):
        caller.generate(KeyKind.P256, ra_scope("staff"))
    key = signer.bench.keys.generate(KeyKind.RSA_2048, ra_scope("staff"))
    for call in (caller.holds, caller.prove, caller.repeats):
        with pytest.raises(InvariantError):
            call(key.id)
    with pytest.raises(InvariantError):
        caller.destroy(key.id, (key_destroyed(key.id, at=FakeClock().now(), actor=ADMIN, why=""),))
    assert signer.bench.keys.holds(key.id)


def test_a_root_key_is_moved_out_through_it(signer: Signer, tmp_path: Path) -> None:
    """R10: the file has the wrapped key, proved to open over there, and the database has it no more."""
    key = signer.bench.keys.generate(KeyKind.P384, ROOT_SCOPE)
    signer.caller().move_out(key.id, tmp_path)
    assert MediumVault(tmp_path).get_key(key.id) is not None
    with pytest.raises(UnavailableError):
        signer.caller().move_out(key.id, tmp_path)


def test_an_event_that_cannot_be_written_leaves_no_key(signer: Signer) -> None:
    """AUD-1: where the caller's own part fails, no key was kept, and the connection is not used any more."""

    def told(key: NewKey) -> tuple[EventDraft]:
        raise UnavailableError(reasons.STORE_UNAVAILABLE, str(key.id))

    caller = signer.caller()
    with pytest.raises(UnavailableError):
        caller.generate(KeyKind.P256, ca_scope("staff"), told)
    key = caller.generate(KeyKind.P256, ca_scope("staff"))
    assert [record.id for record in signer.bench.store.key_records()] == [key.id]


def test_a_stranger_is_turned_away(bench: Bench, capfd: pytest.CaptureFixture[str]) -> None:
    """SEC-1: the kernel says who calls; a user who is not let in gets no word but that, and a line of the log."""
    with serving(bench, users=frozenset({os.geteuid() + 1})) as signer:
        with pytest.raises(UnavailableError) as refused:
            signer.caller().holds(ROW)
        assert refused.value.reason is reasons.SIGNER_REFUSED
    assert "signer-stranger" in "".join(capfd.readouterr())


def test_a_stranger_who_speaks_late_hears_why(bench: Bench) -> None:
    """Whoever is turned away before its first word can still say it, and reads the refusal behind it."""
    strangers = serving(bench, users=frozenset({os.geteuid() + 1}))
    with strangers as signer, UnixAddress(signer.address.path).connect(3) as connection:
        select.select([connection], [], [], 3)  # the refusal is there
        wire = Wire(connection, 3)
        for _ in range(3):
            wire.send(Kind.HELLO)
        assert wire.receive(frozenset({Kind.REFUSED}))[0] is Kind.REFUSED


def test_a_caller_without_the_word_is_turned_away(signer: Signer) -> None:
    """Another process of the same user does not know what the workers were told before they were forked."""
    for wrong in (b"", bytes(32)):
        caller = RemoteSigner(UnixAddress(signer.address.path, wrong), signer.bench.files, signer.bench.store)
        with pytest.raises(UnavailableError) as refused:
            caller.holds(ROW)
        assert refused.value.reason is reasons.SIGNER_REFUSED


def test_refused_calls_are_in_the_log(signer: Signer, capfd: pytest.CaptureFixture[str]) -> None:
    """Each refusal says who, what and why."""
    with pytest.raises(UnavailableError):
        signer.caller().sign_intent(ROW)
    told = "".join(capfd.readouterr())
    for word in ("signer-refused", f"of user {os.geteuid()}", "sign", "CA-013"):
        assert word in told


def test_callers_that_stall_or_die_hold_nothing(bench: Bench) -> None:
    """RES-2: half a frame, half a file and a silent start are given up in time; their places are free again."""
    key = bench.keys.generate(KeyKind.P256, ca_scope("staff"))
    bench.crl(key)
    bounds = Bounds(connections=4, heavy=1, frame_seconds=0.3)
    with serving(bench, bounds) as signer, spoken(signer) as first, spoken(signer) as second:
        first._socket.sendall(b"\x01")  # noqa: SLF001 - a caller that is not ours
        second.send(Kind.SIGN, ROW.bytes + b"\x00")
        assert second.receive(frozenset(Kind))[0] is Kind.SEND
        silent = signer.address.connect(1)
        dying = signer.address.connect(1)
        dying.close()
        deadline = time.monotonic() + 10
        caller = signer.caller()
        while time.monotonic() < deadline:
            try:
                assert caller.sign_intent(ROW) == bench.signer.sign_intent(ROW)
                break
            except UnavailableError:
                time.sleep(0.1)
        else:
            pytest.fail("the places were never free again")
        silent.close()


def test_who_has_not_said_who_it_is_takes_no_place(bench: Bench) -> None:
    """RES-2: peers within their handshake are few, and whoever is let in finds a place beside them and keeps it."""
    key = bench.keys.generate(KeyKind.P256, ca_scope("staff"))
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listening.bind("")
    listening.listen()
    address = UnixAddress(os.fsdecode(listening.getsockname()))
    bounds = Bounds(connections=1, handshakes=2, frame_seconds=20)
    desk = Desk(bench.store, SoftwareCaKeys(bench.store, bench.master, SeededEntropy()), held(bench), bounds)
    hears, tell = os.pipe()
    thread = threading.Thread(target=SignerServer([Slow(listening)], desk, bounds).run, args=([hears],))
    thread.start()
    mute: list[socket.socket] = []
    try:
        mute.append(address.connect(5))
        caller = address.connect(5)
        caller.sendall(b"!")
        wire = Wire(caller, 5)
        wire.send(Kind.HELLO)
        assert wire.receive(frozenset(Kind))[0] is Kind.WELCOME
        mute += [address.connect(5) for _ in range(2)]
        assert mute[-1].recv(1) == b""
        wire.send(Kind.HOLDS, key.id.bytes)
        assert wire.receive(frozenset(Kind))[0] is Kind.YES
        wire.close()
    finally:
        for connection in mute:
            connection.close()
        os.close(tell)
        thread.join(20)
        os.close(hears)


@dataclass(frozen=True, slots=True)
class Slow:
    """An entrance that waits for an octet of whoever comes, as TLS waits for a handshake."""

    listening: socket.socket

    def admit(self, connection: socket.socket, patience: float) -> tuple[socket.socket, str]:
        """Take the octet."""
        connection.settimeout(patience)
        if not connection.recv(1):
            raise ClosedError("closed")
        return connection, "somebody"

    def accepts(self, token: bytes) -> bool:
        """Nothing more is asked."""
        return not token


def test_calls_are_bounded_by_the_second(bench: Bench) -> None:
    """A worker that was taken over cannot ask without end: beyond the rate it is refused, then it goes on."""
    key = bench.keys.generate(KeyKind.P256, ca_scope("staff"))
    with serving(bench, Bounds(per_second=20, frame_seconds=0.3)) as signer:
        caller = signer.caller()
        told = [_reason(caller, key.id) for _ in range(100)]
        assert told[:20] == [None] * 20
        assert told[-1] is reasons.SIGNER_BUSY
        time.sleep(0.2)
        assert caller.holds(key.id)


def test_a_new_signer_is_found_without_a_word(bench: Bench, tmp_path: Path) -> None:
    """A caller whose signer was exchanged goes on by itself; while there is none it hears so at once."""
    key = bench.keys.generate(KeyKind.P256, ca_scope("staff"))
    bench.certificate(key)
    path = tmp_path / "s"
    caller = RemoteSigner(UnixAddress(str(path)), bench.files, bench.store)
    for _ in range(2):
        listening = listen_unix(path)
        assert path.stat().st_mode & 0o777 == 0o600
        desk = Desk(bench.store, SoftwareCaKeys(bench.store, bench.master, SeededEntropy()), held(bench), QUICK)
        server = SignerServer([UnixEntrance(listening, OWN)], desk, QUICK)
        hears, tell = os.pipe()
        thread = threading.Thread(target=server.run, args=([hears],))
        thread.start()
        assert caller.sign_intent(ROW) == bench.signer.sign_intent(ROW)
        os.close(tell)
        thread.join(20)
        os.close(hears)
    began = time.monotonic()
    for _ in range(2):
        with pytest.raises(UnavailableError) as away:
            caller.sign_intent(ROW)
        assert away.value.reason is reasons.SIGNER_AWAY
    assert time.monotonic() - began < 1


class Fickle:
    """A key whose signatures differ each time, as a token's ECDSA."""

    kind = KeyKind.P256
    repeatable = False

    def sign(self, data: bytes) -> bytes:
        """Sign anew."""
        return data[:1] + os.urandom(63)

    def sign_digest(self, digest: bytes) -> bytes:
        """Sign anew."""
        return self.sign(digest)


class FickleKeys:
    """Has that key under every id."""

    def ca_key(self, key_id: UUID) -> Fickle:
        """Open it."""
        del key_id
        return Fickle()


def test_what_does_not_repeat_is_not_signed_again(bench: Bench) -> None:
    """ISS-2: where the first answer was lost, a key with other octets each time gives no second signature."""
    bench.certificate(bench.keys.generate(KeyKind.P256, ca_scope("staff")))
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listening.bind("")
    listening.listen()
    address = UnixAddress(os.fsdecode(listening.getsockname()))

    def lose_one() -> None:
        connection, _ = listening.accept()
        wire = Wire(connection, 2)
        wire.receive(frozenset({Kind.HELLO}))
        wire.send(Kind.WELCOME)
        wire.receive(frozenset({Kind.SIGN}))
        wire.close()
        desk = Desk(bench.store, FickleKeys(), held(bench), QUICK)
        SignerServer([UnixEntrance(listening, OWN)], desk, QUICK).run([hears])

    hears, tell = os.pipe()
    thread = threading.Thread(target=lose_one)
    thread.start()
    try:
        with pytest.raises(UnavailableError) as refused:
            RemoteSigner(address, bench.files, bench.store).sign_intent(ROW)
        assert refused.value.reason is reasons.SIGNER_AWAY
        assert "not known" in refused.value.detail
    finally:
        os.close(tell)
        thread.join(20)
        os.close(hears)
        listening.close()


def _reason(caller: RemoteSigner, key_id: UUID) -> Reason | None:
    try:
        caller.holds(key_id)
    except UnavailableError as error:
        return error.reason
    return None


def _master(home: Path) -> MasterKey:
    (home / "master.key").chmod(0o600)
    return load_master_key(home, {})
