"""The parts of test wiring do what is relied on: they end the process there and nowhere else, and see truly."""

from __future__ import annotations

import http.client
import json
import random
import signal
import socket
import threading
import time
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from tools.bench.devices import make_devices
from tools.faults.devices import enrolment
from tools.faults.fleet import Line
from tools.faults.journal import Journal, read_journal
from tools.faults.ledger import look_at, open_intents, read_ledger, table_digests, tables_of
from tools.faults.matrix import calls_of_an_issuance, crash_points, lives
from tools.faults.nest import Nest, NestError
from tools.faults.proxy import Mood, Proxy
from tools.faults.signer import AbsentSigner, JournalSigner
from tools.faults.site import ENDPOINT, make_site, opened_office
from tools.faults.wiring import ANSWER, ENROLMENT, Call, CrashPoint, OffsetClock

from regalia import reasons
from regalia.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from uuid import UUID

    from tools.bench.devices import Device
    from tools.faults.site import Site


@pytest.fixture(scope="module")
def devices() -> list[Device]:
    """Some devices."""
    return make_devices(2)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A deployment on SQLite."""
    return make_site(tmp_path, settings={"issuance.lease_seconds": "2"})


def dice() -> random.Random:
    """Dice that fall the same in every run."""
    return random.Random(1)  # noqa: S311 - no secret


def sent_once(site: Site, device: Device) -> int:
    """Send one enrolment; the status of the answer, 0 where there was none."""
    with opened_office(site) as office:
        minted = office.challenge(device.names)
        assert minted is not None
        conversation = enrolment(device, office.server, minted.secret)
    line = Line([f"127.0.0.1:{site.port}/scep/{ENDPOINT}"], dice())
    status, _ = line.post(conversation.message)
    line.hang_up()
    return status


BEGIN, SIGN, FINISH = (
    Call(ENROLMENT, port, method)
    for port, method in (("store", "begin"), ("signer", "sign_intent"), ("store", "finish"))
)


@pytest.mark.parametrize(
    ("point", "states", "signatures"),
    [
        (CrashPoint(BEGIN, "before"), [], 0),
        (CrashPoint(BEGIN, "after"), ["intent"], 0),
        (CrashPoint(SIGN, "before"), ["intent"], 0),
        (CrashPoint(SIGN, "after"), ["intent"], 1),
        (CrashPoint(FINISH, "before"), ["intent"], 1),
        (CrashPoint(FINISH, "after"), ["issued"], 1),
        (CrashPoint(ANSWER, "before"), ["issued"], 1),
    ],
    ids=str,
)
def test_a_life_ends_at_its_crash_point(
    site: Site, devices: list[Device], point: CrashPoint, states: list[str], signatures: int
) -> None:
    """What was done before the point is there, what comes after it is not, and nobody was answered."""
    with Nest() as nest:
        nest.begin(site.plan(point))
        assert nest.await_ready()
        assert sent_once(site, devices[0]) == 0
        assert nest.await_end() == -signal.SIGKILL
    leaves = [row for row in read_ledger(site.look).certificates if row.kind == "leaf"]
    assert [row.state for row in leaves] == states
    assert len(open_intents(site.look)) == states.count("intent")
    told = [entry for entry in read_journal(site.journal("signatures")) if entry["kind"] == "certificate"]
    assert len(told) == signatures
    assert all(entry["committed"] and entry["number"] == f"{leaves[0].serial:x}" for entry in told)
    (strike,) = read_journal(site.journal("strikes"))
    assert CrashPoint.of(strike["point"]) == point


def test_a_life_without_a_point_answers_and_ends_when_told(site: Site, devices: list[Device]) -> None:
    """The wrappers change nothing where no end is planned."""
    with Nest() as nest:
        nest.begin(site.plan())
        assert nest.await_ready()
        assert sent_once(site, devices[0]) == http.client.OK
        with pytest.raises(NestError):
            nest.await_end(0.1)
        assert nest.stop() == 0
    assert [row.state for row in read_ledger(site.look).certificates if row.kind == "leaf"] == ["issued"]


def test_the_crash_points_are_the_calls_that_an_issuance_makes(site: Site, devices: list[Device]) -> None:
    """Transactions, signature and look-ups of an enrolment, a renewal and a message sent again are among them."""
    calls = calls_of_an_issuance(site, devices[0])
    assert {BEGIN, SIGN, FINISH} < set(calls.usual)
    assert "find_serial" in {call.method for call in calls.usual}  # only a renewal asks for it
    assert "certificate" in {call.method for call in calls.after_a_crash}  # only who looks what became of an intent
    points = crash_points(calls)
    assert len(points) == len(set(points)) == 2 * len({*calls.usual, *calls.after_a_crash}) + 1
    order = list(lives(calls, 3, seed=1))
    assert sorted(str(point) for point in order) == sorted(3 * [str(point) for point in points])
    assert {point.nth for point in order} > {1, 2, 3}
    assert {point.nth for point in order if point.call in calls.after_a_crash} == {1}
    assert list(lives(calls, 3, seed=1)) == order


# --- signer, clock, journal -------------------------------------------------------------------------------------------


class _Signer:
    """A signer that looks at what the journal has when it signs."""

    def __init__(self, journal: Path) -> None:
        self.lines_before: list[int] = []
        self._journal = journal

    def sign_intent(self, row_id: UUID) -> bytes:
        del row_id
        self.lines_before.append(len(list(read_journal(self._journal))))
        return b"signature"


def test_a_signature_without_an_intent_is_told(site: Site) -> None:
    """A row that is not in the database is journalled as not committed, before the signature is returned (I1)."""
    path = site.journal("signatures")
    signer = _Signer(path)
    journal = JournalSigner(signer, site.look, Journal(path, synced=True))
    assert journal.sign_intent(uuid4()) == b"signature"
    (told,) = read_journal(path)
    assert told["committed"] is False
    assert signer.lines_before == [0]


def test_a_signer_that_cannot_look_signs_nothing(tmp_path: Path) -> None:
    """Without a look at the database there is no proof, and so no signature."""
    path = tmp_path / "signatures"
    signer = _Signer(path)
    with pytest.raises(UnavailableError):
        JournalSigner(signer, look_at(f"sqlite:///{tmp_path}/none.db"), Journal(path)).sign_intent(uuid4())
    assert signer.lines_before == []


def test_a_key_that_is_away_is_away_as_often_as_planned(tmp_path: Path) -> None:
    """It raises what a key does that cannot be reached, in about as many cases as it is told to."""
    real = _Signer(tmp_path / "none")
    signer = AbsentSigner(real, 0.5, dice())
    for _ in range(40):
        with suppress(UnavailableError):
            signer.sign_intent(uuid4())
    assert 10 < len(real.lines_before) < 30
    with pytest.raises(UnavailableError) as away:
        AbsentSigner(real, 1.0, dice()).sign_intent(uuid4())
    assert away.value.reason is reasons.ISSUER_UNAVAILABLE


def test_a_clock_is_off_by_what_its_file_says(tmp_path: Path) -> None:
    """It jumps when the file changes, in steps that the product's own clock has."""
    path = tmp_path / "clock"
    for seconds in (0.0, 3600.0, -3600.0):
        path.write_text(repr(seconds), "ascii")
        now = OffsetClock(path).now()
        assert abs(now - datetime.now(UTC) - timedelta(seconds=seconds)) < timedelta(seconds=5)
        assert now.microsecond % 1000 == 0


def test_a_journal_is_written_by_many(tmp_path: Path) -> None:
    """Lines of several threads and journals lie one after the other, and octets come in hexadecimal."""
    path = tmp_path / "journal"
    journals = [Journal(path), Journal(path, synced=True)]

    def write(number: int) -> None:
        for turn in range(50):
            journals[number % 2].write(number=number, turn=turn, octets=bytes([turn]) * 300)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for journal in journals:
        journal.close()
    entries = list(read_journal(path))
    assert sorted((entry["number"], entry["turn"]) for entry in entries) == [
        (n, t) for n in range(6) for t in range(50)
    ]
    assert entries[0]["octets"] == bytes([entries[0]["turn"]]).hex() * 300
    assert list(read_journal(tmp_path / "none")) == []


def test_a_torn_line_of_a_journal_is_told(tmp_path: Path) -> None:
    """Evidence that cannot be read is no evidence."""
    path = tmp_path / "journal"
    path.write_text('{"number": 1}\n{"number":')
    with pytest.raises(json.JSONDecodeError):
        list(read_journal(path))


def test_a_digest_of_the_tables_shows_each_change(site: Site) -> None:
    """One changed value changes the digest of its table and of no other."""
    wanted = dict.fromkeys(tables_of(site.look), "")
    before = table_digests(site.look, wanted)
    with opened_office(site) as office:
        assert office.challenge(make_devices(1)[0].names) is not None
    changed = {name for name, digest in table_digests(site.look, wanted).items() if digest != before[name]}
    assert changed == {"challenge", "event", "event_stream"}


# --- the proxy --------------------------------------------------------------------------------------------------------


@contextmanager
def echo() -> Iterator[int]:
    """Run a server that sends back what it gets; its port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def answer(connection: socket.socket) -> None:
        with closing(connection):
            try:
                while octets := connection.recv(100):
                    connection.sendall(octets)
            except OSError:
                return

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def connected(proxy: Proxy) -> socket.socket:
    """Connect through the proxy."""
    return socket.create_connection(("127.0.0.1", proxy.port), 10)


def said(connection: socket.socket, octets: bytes) -> bytes:
    """Send, and return what comes back; nothing where the connection is over."""
    try:
        connection.sendall(octets)
        return connection.recv(100)
    except OSError:
        return b""


def test_a_proxy_forwards_until_it_is_cut() -> None:
    """A cut resets what is open and what is tried; then everything goes through again."""
    with echo() as port, Proxy(port) as proxy:
        with connected(proxy) as before:
            assert said(before, b"one") == b"one"
            proxy.set(Mood.CUT)
            assert said(before, b"two") == b""
        with suppress(OSError), connected(proxy) as during:
            assert said(during, b"three") == b""
        proxy.set(Mood.FORWARD)
        with connected(proxy) as after:
            assert said(after, b"four") == b"four"


def test_a_stalled_proxy_loses_nothing() -> None:
    """What was sent meanwhile arrives when the stall ends."""
    with echo() as port, Proxy(port) as proxy, connected(proxy) as connection:
        proxy.set(Mood.STALL)
        connection.sendall(b"late")
        connection.settimeout(0.3)
        with pytest.raises(TimeoutError):
            connection.recv(100)
        proxy.set(Mood.FORWARD)
        connection.settimeout(10)
        assert connection.recv(100) == b"late"


def test_a_swallowing_proxy_says_nothing_and_then_resets() -> None:
    """What was sent meanwhile is lost without a word; the connection ends only when the swallowing does."""
    with echo() as port, Proxy(port) as proxy, connected(proxy) as connection:
        assert said(connection, b"one") == b"one"
        proxy.set(Mood.SWALLOW)
        connection.sendall(b"gone")
        connection.settimeout(0.3)
        with pytest.raises(TimeoutError):
            connection.recv(100)
        proxy.set(Mood.FORWARD)
        connection.settimeout(10)
        assert said(connection, b"two") == b""
        with connected(proxy) as after:
            assert said(after, b"three") == b"three"


def test_a_nest_tells_when_no_word_comes() -> None:
    """A server that does not end is told and not waited for without end, and nothing is left of it."""
    with Nest() as nest:
        with pytest.raises(NestError):
            nest.await_end(0.1)
        began = time.monotonic()
    assert time.monotonic() - began < 30
