"""Any bytes on any path: never a 5xx that content caused, never a trace (Holds when 4 of the issue).

Three ways, from blind to knowing: hypothesis's octets on every path of both listeners; the corpora of `tests/vectors`
(OpenSSL's fuzzing corpus, real clients' messages, RFC 8894's samples); and good messages of our own, mutated at every
level down to the request inside the envelope, signed and encrypted again. The last runs for a time, not for a number
of examples, on both databases, since what a database cannot hold is the likeliest 5xx of all; its seed is printed.
"""

from __future__ import annotations

import base64
import os
import sys
import time
import zipfile
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, cast
from urllib.parse import quote_from_bytes

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tools.fuzz.mutation import mutate

from attacks.forgery import certificate, csr_of, message_of, raw_extension, rdn, requested
from attacks.front import Front, no_reader_failed, opened
from attacks.mutation import mutated_message
from fakes import FakeClock
from postgres import postgres_server, postgres_shared_url, postgres_url
from regalia.model import Action, Authoriser, CertificateKind
from regalia.ports import CertificateFilter, EventFilter
from regalia.store import open_store
from regalia.store.migrations import upgrade
from regalia.wire import der, oids
from regalia.wire.names import encode_name
from regalia.wire.scep import Transaction, read_message
from world import Device, names, rsa_key

if TYPE_CHECKING:
    from collections.abc import Iterator

    from memory_store import MemoryStore

__all__ = ["postgres_server", "postgres_shared_url", "postgres_url"]

VECTORS = Path(__file__).parents[1] / "vectors"
POST = "/scep/default?operation=PKIOperation"
SEED = int(os.environ.get("REGALIA_FUZZ_SEED", "20260302"))
"""Printed with each run; another one is asked for by the environment."""
SECONDS = 30
LONG_SECONDS = 600
_MINUTE = timedelta(minutes=1)
SLOW = 0.5
"""Seconds of CPU, in whatever thread, that no single request may take; decides at three times that (R13)."""

PATHS = (
    "/scep/default",
    "/scep/default/pkiclient.exe",
    "/scep/unknown",
    "/scep/",
    "/scep/DEFAULT",
    "/scep/default/../default",
    "/ocsp/default-ca-1",
    "/ocsp/unknown",
    "/ocsp/",
    "/crl/default-ca-1.crl",
    "/crl/..%2f..%2fregalia.db",
    "/crl/%00.crl",
    "/ca/default-ca-1.cer",
    "/ca/default-ca-1.pem",
    "/ca/%2e%2e.cer",
    "/healthz",
    "/readyz",
    "/metrics",
    "/api/v1/openapi.json",
    "/",
    "",
    "//scep//default",
    "/\u202e",
    "/%c0%af",
    "/certsrv/mscep/mscep.dll",
)
QUERIES = ("", "operation=GetCACaps", "operation=GetCACert", "operation=PKIOperation", "operation=", "operation=%00")
METHODS = ("GET", "HEAD", "POST", "PUT", "OPTIONS", "TRACE", "\u0130", "")


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """Both listeners before a world in memory."""
    with opened(tmp_path_factory.mktemp("front")) as made:
        yield made


_ODD_TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
_SHARED = settings(max_examples=250, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@_SHARED
@given(
    path=st.sampled_from([path for path in PATHS if not path.startswith("/scep/") or path == "/scep/default"])
    | st.builds("/{}".format, _ODD_TEXT),
    query=st.sampled_from(QUERIES) | st.builds("operation=PKIOperation&message={}".format, _ODD_TEXT) | _ODD_TEXT,
    method=st.sampled_from(METHODS),
    body=st.binary(max_size=200),
    admin=st.booleans(),
    host=st.sampled_from([b"localhost", b"pki.example.test", b"evil.example", b"\xff", b""]),
)
def test_any_request_on_any_path_is_answered_by_a_constant(
    front: Front, path: str, query: str, method: str, body: bytes, host: bytes, *, admin: bool
) -> None:
    """IN-2, WEB-2, WEB-8: any method, path, query, host and body on both listeners: no 5xx, no word of ours."""
    front.world.clock.advance(_MINUTE)
    front.send(f"{path}?{query}", method=method, body=body, admin=admin, headers=[(b"host", host)])


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", METHODS)
def test_every_path_takes_every_method(front: Front, path: str, method: str) -> None:
    """IN-2, IN-6: each path with each method, with and without a body, on both listeners."""
    front.world.clock.advance(_MINUTE)
    for admin in (False, True):
        for body in (b"", b"\x30\x80\x00\x00"):
            front.send(f"{path}?operation=PKIOperation", method=method, body=body, admin=admin)


@_SHARED
@given(octets=st.binary(max_size=400), by_get=st.booleans())
def test_any_octets_for_a_message(front: Front, octets: bytes, *, by_get: bool) -> None:
    """IN-1, IN-2: as a POST's body and as a GET's message; one event for each (R13)."""
    front.world.clock.advance(_MINUTE)
    before = len(front.world.store.log)
    if by_get:
        heard = front.send(f"{POST}&message={quote_from_bytes(base64.b64encode(octets), safe='')}")
    else:
        heard = front.send(POST, method="POST", body=octets)
    assert heard.status == 400
    assert len(front.world.store.log) == before + 1
    no_reader_failed(front)


def corpus() -> list[bytes]:
    """Octets that others made: OpenSSL's corpus, real clients, RFC 8894's samples. tests/vectors/README.md has them."""
    with zipfile.ZipFile(VECTORS / "openssl-cms-corpus.zip") as archive:
        found = [archive.read(name) for name in archive.namelist() if not name.endswith("/")]
    return found + [file.read_bytes() for file in sorted(VECTORS.glob("*/*.der"))]


def test_the_corpora_as_halves_and_as_ocsp_requests(front: Front) -> None:
    """IN-1, IN-2, IN-3, R13: each fifth of some 1 400 inputs as half of itself, and to /ocsp, whole."""
    for octets in corpus()[::5]:
        front.world.clock.advance(_MINUTE)
        begun = time.process_time()
        front.send("/ocsp/default-ca-1", method="POST", body=octets[:4096])
        front.send(POST, method="POST", body=octets[: len(octets) // 2])
        assert time.process_time() - begun < 3 * SLOW
    no_reader_failed(front)


def test_every_prefix_of_a_good_message(front: Front) -> None:
    """IN-2, IN-3: cut after each of its octets; and each length octet of its beginning set to each edge."""
    device = Device(front.world)
    message = device.message(device.csr(names("laptop-1"), "wrong"))
    for cut in [*range(0, len(message), 7), *range(120)]:
        front.world.clock.advance(_MINUTE)
        assert front.send(POST, method="POST", body=message[:cut]).status == 400
    for at in range(80):
        for value in (0x00, 0x7F, 0x80, 0x81, 0x84, 0xFF):
            front.world.clock.advance(_MINUTE)
            front.send(POST, method="POST", body=message[:at] + bytes((value,)) + message[at + 1 :])
    no_reader_failed(front)


# --- the fuzzer -----------------------------------------------------------------------------------------------------


@contextmanager
def world_on(url: str, directory: Path) -> Iterator[Front]:
    """Both listeners before a world whose store is a real database."""
    clock = FakeClock()
    store = open_store(url, node="fuzz", clock=clock)
    try:
        # The world asks of its store what the ports say; that it is the fake is only its default.
        with opened(directory, cast("MemoryStore", store)) as front:
            yield front
    finally:
        store.close()


def seeds(front: Front) -> tuple[list[tuple[Device, bytes]], list[bytes]]:
    """Devices with their good requests: strangers, a live one, one at each kind of door; and parts to splice in."""
    world = front.world
    live = Device(world)
    live.enrol(names("laptop-1"), world.mint("laptop-1"))
    rich = csr_of(
        live,
        requested(
            raw_extension(oids.CE_SUBJECT_ALT_NAME, der.sequence(der.context(2, b"a.example.com", constructed=False))),
            raw_extension(oids.CE_KEY_USAGE, b"\x03\x02\x05\xa0", critical=True),
            raw_extension(oids.CE_EXT_KEY_USAGE, der.sequence(der.oid(oids.KP_CLIENT_AUTH))),
            raw_extension(oids.CE_BASIC_CONSTRAINTS, der.sequence(), critical=True),
        ),
        subject=der.sequence(
            rdn((oids.AT_ORGANIZATION_NAME, der.utf8_string("Example"))),
            rdn((oids.AT_COMMON_NAME, der.utf8_string("laptop-1"))),
        ),
        challenge="wrong",
    )
    found = [(live, live.csr(names("laptop-1"), None)), (live, rich)]
    stranger = Device(world, key=rsa_key(1), transaction=Transaction(b"stranger"))
    bearer = world.mint(minutes=60 * 24 * 30)
    bound = world.mint("laptop-2", "b.example.com", minutes=60 * 24 * 30)
    found += [(stranger, stranger.csr(names("laptop-2", "b.example.com"), secret)) for secret in (bearer, bound)]
    for name, kind in (("printers", Authoriser.STATIC), ("queue", Authoriser.APPROVAL)):
        secret = world.open_endpoint(name, kind)
        guest = Device(world, key=rsa_key(2), endpoint=name, transaction=Transaction(name.encode()))
        found += [(guest, guest.csr(names("guest", "guest.example.com"), secret)), (guest, csr_of(guest))]
    parts = [rich, live.certificate or b"", stranger.self_signed(), stranger.message(found[2][1])]
    return found, parts


ALLOWED = frozenset({"cn:laptop-1", "cn:laptop-2", "dns:b.example.com"})
"""What the seeds' challenges are bound to; names of the form `d-` and hexadecimal digits come from keys."""


def fuzz(front: Front, seconds: float, seed: int) -> int:
    """Mutate and send for so long; check each answer and, at the end, what was issued. Returns how many were sent."""
    random = Random(seed)  # noqa: S311 - a fuzzer wants the same octets again for the same seed
    devices, parts = seeds(front)
    ends, sent = time.monotonic() + seconds, 0
    while time.monotonic() < ends:
        device, csr = random.choice(devices)
        if random.random() < 0.5:
            device.transaction = Transaction(b"fuzz %d" % random.randrange(1_000_000))
        body = mutated_message(device, csr, random, parts)[:70_000]
        source = f"2001:db8:{sent % 50_000:x}::1"
        begun = time.process_time()
        if random.random() < 0.1:
            front.send("/ocsp/default-ca-1", method="POST", body=mutate(body[:200], random), source=source)
        else:
            heard = front.send(
                f"/scep/{device.endpoint}?operation=PKIOperation", method="POST", body=body, source=source
            )
            if heard.status == 200:
                read_message(heard.body)
        assert time.process_time() - begun < 3 * SLOW, (seed, sent, body.hex())
        sent += 1
        if not sent % 500:
            front.world.clock.advance(_MINUTE)
    no_reader_failed(front)
    for row in front.world.store.certificates(CertificateFilter(kind=CertificateKind.LEAF, limit=100_000)):
        odd = set(row.intent.names.listed()) - ALLOWED
        assert all(name.startswith("cn:d-") for name in odd), odd
    return sent


@pytest.mark.real
@pytest.mark.timeout(LONG_SECONDS + 120)
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_mutated_messages_on_a_database(request: pytest.FixtureRequest, tmp_path: Path, database: str) -> None:
    """IN-1, IN-2, IN-3, POL-1: half a minute of mutated messages on each database: no 5xx, no leak, no odd name."""
    if database == "sqlite":
        url = f"sqlite:///{tmp_path}/regalia.db"
        upgrade(url)
    else:
        url = str(request.getfixturevalue("postgres_url"))
    seconds = LONG_SECONDS if request.config.getoption("--long") else SECONDS
    with world_on(url, tmp_path) as front:
        sent = fuzz(front, seconds, SEED)
    sys.stdout.write(f"fuzz on {database}: seed {SEED}, {sent} messages in {seconds} s\n")
    assert sent > 100


@pytest.mark.real
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_odd_values_on_a_database(request: pytest.FixtureRequest, tmp_path: Path, database: str) -> None:
    """IN-2, IN-6, IN-8: what databases stumble over: NUL, surrogates, serials of 500 octets, odd transactions."""
    if database == "sqlite":
        url = f"sqlite:///{tmp_path}/regalia.db"
        upgrade(url)
    else:
        url = str(request.getfixturevalue("postgres_url"))
    with world_on(url, tmp_path) as front:
        device = Device(front.world, key=rsa_key(1))
        messages = [message_of(device, csr_of(device, subject=der.sequence(rdn(pair)))) for pair in _odd_names()]
        messages += [
            message_of(device, csr_of(device), sid=der.sequence(encode_name(cn="x"), der.integer(serial)), **signer)
            for serial, signer in _odd_signers(device)
        ]
        for number, octets in enumerate(_ODD_TRANSACTIONS):
            device.transaction = Transaction(octets.encode(), 0x0C)
            messages.append(message_of(device, csr_of(device, challenge=f"guess {number}")))
        for number, message in enumerate(messages):
            heard = front.send(POST, method="POST", body=message, source=f"2001:db8:{number:x}::1")
            assert heard.status == 200, heard
        events = front.world.store.events(EventFilter(action=Action.ENROLMENT_REFUSED, limit=1_000))
        assert len(events) == len(messages)


_ODD_TRANSACTIONS = ("\U0001f512", "\u00e9" * 127, "a" * 255, "'; DROP TABLE event; --", "%s%n{}\\", "=1+1")


def _odd_names() -> list[tuple[str, bytes]]:
    texts = ("a\x00b", "\u202e", "\U0010ffff", "\ufffe", "'; DROP TABLE enrolment; --", "{}%s\\", "x" * 4_000)
    odd = [(oids.AT_COMMON_NAME, der.utf8_string(text)) for text in texts]
    return odd + [(oids.AT_ORGANIZATION_NAME, der.utf8_string(text)) for text in texts]


def _odd_signers(device: Device) -> list[tuple[int, dict[str, object]]]:
    found: list[tuple[int, dict[str, object]]] = []
    for serial in (0, -1, 1 << 63, 1 << 159, 1 << 160, 1 << 4_000, -(1 << 4_000)):
        made = certificate(
            device.key,
            device.public_key(),
            issuer=encode_name(cn="x"),
            subject=encode_name(cn="y"),
            serial=serial,
            device=device,
        )
        found.append((serial, {"certificates": [made]}))
    return found


def test_mutated_messages_in_memory(tmp_path: Path) -> None:
    """IN-1, IN-2, POL-1: the same for two seconds without a database, for who changes a reader."""
    with opened(tmp_path) as front:
        assert fuzz(front, 2, SEED) > 20
