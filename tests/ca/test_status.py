"""OCSP: what is said about each state of a serial, by whom, and how long it is remembered."""

from __future__ import annotations

import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp as their_ocsp

from fakes import FakeClock
from memory_store import MemoryStore
from regalia import reasons
from regalia.ca.revoke import hold, release
from regalia.ca.status import OcspAnswer, OcspMemory, OcspResponder
from regalia.errors import UnavailableError
from regalia.model import AuthorityState, CredentialPurpose, RevocationReason
from regalia.wire.ocsp import OcspStatus, error_response
from small_ca import ADMIN, SmallCa

if TYPE_CHECKING:
    from pathlib import Path

    from regalia.model import Authority
    from regalia.ports import SerialStatus

_SERIAL = 1 << 130
_GOOD = their_ocsp.OCSPCertStatus.GOOD
_REVOKED = their_ocsp.OCSPCertStatus.REVOKED
_UNKNOWN = their_ocsp.OCSPCertStatus.UNKNOWN


class _World:
    """An authority with a responder."""

    def __init__(self, clock: FakeClock | None = None) -> None:
        self.ca = SmallCa(clock)
        self.authority = self.ca.issuing()
        self.responder = OcspResponder(self.ca.store, self.ca.keys, self.ca.clock)

    def request(
        self, *serials: int, authority: Authority | None = None, nonce: bytes | None = None, sha256: bool = False
    ) -> bytes:
        """Ask about one serial, as an independent client encodes it."""
        issuer = x509.load_der_x509_certificate((authority or self.authority).certificate_der)
        algorithm: hashes.HashAlgorithm = hashes.SHA256() if sha256 else hashes.SHA1()  # noqa: S303 - as clients do
        builder = their_ocsp.OCSPRequestBuilder().add_certificate_by_hash(
            *_hashes(issuer, algorithm), serials[0] if serials else _SERIAL, algorithm
        )
        if nonce is not None:
            builder = builder.add_extension(x509.OCSPNonce(nonce), critical=False)
        return builder.build().public_bytes(Encoding.DER)

    def ask(self, body: bytes | None = None) -> tuple[their_ocsp.OCSPResponse, OcspAnswer]:
        """Ask, and read the answer with an independent parser."""
        answer = self.responder.answer(body if body is not None else self.request())
        return their_ocsp.load_der_ocsp_response(answer.der), answer

    def status(self) -> their_ocsp.OCSPCertStatus:
        """Ask about the one serial."""
        return self.ask()[0].certificate_status


def _hashes(issuer: x509.Certificate, algorithm: hashes.HashAlgorithm) -> tuple[bytes, bytes]:
    key = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    name = hashes.Hash(algorithm)
    name.update(issuer.subject.public_bytes())
    if algorithm.name == "sha256":
        bits = hashes.Hash(algorithm)
        public = issuer.public_key()
        assert isinstance(public, ec.EllipticCurvePublicKey)
        numbers = public.public_numbers()
        bits.update(b"\x04" + numbers.x.to_bytes(32, "big") + numbers.y.to_bytes(32, "big"))
        key = bits.finalize()
    return name.finalize(), key


@pytest.fixture
def world() -> _World:
    """Give each test its own authority."""
    return _World()


# --- what is said ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sha256", [False, True])
def test_an_issued_certificate_is_good(world: _World, sha256: bool) -> None:  # noqa: FBT001 - both digests of CertIDs
    """A committed certificate is good for ten minutes, asked by SHA-1 or SHA-256."""
    world.ca.leaf(world.authority, _SERIAL)
    theirs, answer = world.ask(world.request(sha256=sha256))
    now = world.ca.clock.now()
    assert theirs.certificate_status is _GOOD
    assert theirs.next_update_utc == now + timedelta(minutes=10)
    assert theirs.this_update_utc <= now
    assert theirs.produced_at_utc == now
    assert (answer.status, answer.cacheable, answer.about) == ("good", True, (("default", _SERIAL),))
    assert answer.next_update == theirs.next_update_utc
    assert answer.this_update == theirs.this_update_utc


def test_a_revoked_certificate_is_revoked_with_reason_and_time(world: _World) -> None:
    """A committed revocation is told with its time and reason, and thisUpdate does not lie before it."""
    world.ca.leaf(world.authority, _SERIAL)
    world.ca.later(minutes=1)
    world.ca.revoke(world.authority, _SERIAL, RevocationReason.SUPERSEDED)
    theirs, answer = world.ask()
    assert theirs.certificate_status is _REVOKED
    assert theirs.revocation_reason is x509.ReasonFlags.superseded
    assert theirs.revocation_time_utc == theirs.this_update_utc == world.ca.clock.now()
    assert (answer.status, answer.cacheable) == ("revoked", True)


def test_iss7_an_intent_is_unknown_and_never_remembered(world: _World) -> None:
    """ISS-7, R8: within its lease a serial is unknown, for a minute at most, and a later question is judged afresh."""
    intent = world.ca.intent(world.authority, _SERIAL)
    theirs, answer = world.ask()
    assert theirs.certificate_status is _UNKNOWN
    assert theirs.next_update_utc == world.ca.clock.now() + timedelta(minutes=1)
    assert not answer.cacheable
    world.ca.store.finish(intent.id, b"", world.ca.clock.now(), ())
    assert world.status() is _GOOD


def test_iss7_an_abandoned_intent_is_revoked(world: _World) -> None:
    """ISS-7: from the moment that an intent is abandoned its serial is revoked, for a signature may exist."""
    intent = world.ca.intent(world.authority, _SERIAL)
    world.ca.store.abandon(intent.id, world.ca.clock.now(), ())
    assert world.status() is _REVOKED


@pytest.mark.parametrize("serial", [1, 1 << 158, 1 << 158 | 1])
def test_a_serial_that_was_never_issued_is_unknown(world: _World, serial: int) -> None:
    """ISS-7: a serial that nobody assigned is unknown and not cacheable."""
    theirs, answer = world.ask(world.request(serial))
    assert theirs.certificate_status is _UNKNOWN
    assert (answer.status, answer.cacheable) == ("unknown", False)


def test_serials_outside_their_range_are_unknown(world: _World) -> None:
    """A negative serial or one of 25 octets is answered, and never reaches the store."""
    plain = world.request(0x0102030405)
    for octets in (b"\x02\x05\xff\x02\x03\x04\x05", b"\x02\x05\x80\x00\x00\x00\x00"):
        body = plain.replace(b"\x02\x05\x01\x02\x03\x04\x05", octets)
        assert world.responder.answer(body).status == "unknown"


def test_a_foreign_issuer_is_unauthorized(world: _World) -> None:
    """REV-6: about certificates of others nothing is signed."""
    other = SmallCa()
    theirs, answer = world.ask(world.request(authority=other.root))
    assert theirs.response_status is their_ocsp.OCSPResponseStatus.UNAUTHORIZED
    assert (answer.status, answer.cacheable, answer.about) == ("unauthorized", False, ())


@pytest.mark.parametrize("body", [b"", b"\x30\x00", bytes(5000)])
def test_rev6_nonsense_is_malformed(world: _World, body: bytes) -> None:
    """REV-6: what is no request gets malformedRequest, unsigned and not cacheable."""
    answer = world.responder.answer(body)
    assert answer.der == error_response(OcspStatus.MALFORMED_REQUEST)
    assert (answer.status, answer.cacheable, answer.next_update) == ("malformed_request", False, None)


def test_an_authority_made_meanwhile_is_found(world: _World) -> None:
    """A CertID that the index does not know makes it look again, once a second at most."""
    assert world.status() is _UNKNOWN
    late = world.ca.issuing("late")
    world.ca.leaf(late, _SERIAL)
    body = world.request(authority=late)
    assert world.responder.answer(body).status == "unauthorized"
    world.ca.later(seconds=1)
    assert world.responder.answer(body).status == "good"


def test_two_authorities_do_not_share_an_answer(world: _World) -> None:
    """The same serial under two authorities has two states, and each authority's own responder signs."""
    other = world.ca.issuing("other")
    world.ca.leaf(world.authority, _SERIAL)
    world.ca.leaf(other, _SERIAL)
    world.ca.revoke(other, _SERIAL)
    first, second = world.ask()[0], world.ask(world.request(authority=other))[0]
    assert (first.certificate_status, second.certificate_status) == (_GOOD, _REVOKED)
    assert first.responder_key_hash != second.responder_key_hash


# --- who signs -------------------------------------------------------------------------------------------------------


def test_the_newest_credential_signs(world: _World) -> None:
    """After the responder's certificate was renewed, the new one signs as soon as the index is read again."""
    world.ca.leaf(world.authority, _SERIAL)
    before = world.ask()[0].responder_key_hash
    world.ca.later(minutes=6)
    world.ca.ceremony.create_credential(CredentialPurpose.OCSP, world.authority, actor=ADMIN)
    after = world.ask()[0]
    newest = world.ca.store.credentials(CredentialPurpose.OCSP, "default")[0]
    assert after.responder_key_hash != before
    assert [each.public_bytes(Encoding.DER) for each in after.certificates] == [newest.certificate_der]


def test_no_answer_outlives_its_responder(world: _World) -> None:
    """NextUpdate is cut to the end of the responder's certificate, and after it nobody signs: tryLater."""
    world.ca.leaf(world.authority, _SERIAL)
    credential = world.ca.store.credentials(CredentialPurpose.OCSP, "default")[0]
    world.ca.clock.advance(credential.not_after - world.ca.clock.now() - timedelta(minutes=2))
    assert world.ask()[0].next_update_utc == credential.not_after
    world.ca.later(minutes=2)
    assert world.responder.answer(world.request()).der == error_response(OcspStatus.TRY_LATER)


def test_without_its_key_the_responder_says_try_later(world: _World) -> None:
    """A credential whose key is elsewhere does not sign."""
    credential = world.ca.store.credentials(CredentialPurpose.OCSP, "default")[0]
    del world.ca.keys.private[credential.key_id]
    assert world.responder.answer(world.request()).status == "try_later"


def test_the_root_has_no_responder(world: _World) -> None:
    """Certificates of the root are looked up by CRL; asked all the same, we are not the one to say (RFC 6960 §2.3)."""
    assert world.responder.answer(world.request(authority=world.ca.root)).status == "unauthorized"


def test_openssl_accepts_the_answers(tmp_path: Path) -> None:
    """`openssl ocsp` verifies responder, chain, status and its own nonce; it goes by the real clock."""
    world = _World(FakeClock(datetime.now(UTC).replace(microsecond=0)))
    leaf = world.ca.leaf(world.authority, _SERIAL)
    octets = {"root": world.ca.root.certificate_der, "ca": world.authority.certificate_der, "leaf": leaf}
    for name, certificate in octets.items():
        pem = x509.load_der_x509_certificate(certificate).public_bytes(Encoding.PEM)
        (tmp_path / f"{name}.pem").write_bytes(pem)
    _openssl(tmp_path, "-issuer ca.pem -cert leaf.pem -reqout q.der")
    (tmp_path / "r.der").write_bytes(world.responder.answer((tmp_path / "q.der").read_bytes()).der)
    trust = "-respin r.der -CAfile root.pem -verify_other ca.pem"
    assert _openssl(tmp_path, f"{trust} -reqin q.der").stderr == "Response verify OK\n"
    status = _openssl(tmp_path, f"{trust} -issuer ca.pem -cert leaf.pem -no_nonce")
    assert status.stderr == "Response verify OK\n"
    assert status.stdout.startswith("leaf.pem: good")


def _openssl(directory: Path, arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["openssl", "ocsp", *arguments.split()]
    return subprocess.run(command, cwd=directory, capture_output=True, text=True, check=True)


# --- memory ----------------------------------------------------------------------------------------------------------


def test_an_answer_is_remembered_for_half_its_life(world: _World) -> None:
    """The same octets get the same answer for five minutes, then a fresh one."""
    world.ca.leaf(world.authority, _SERIAL)
    first = world.ask()[1]
    assert world.responder.remembered(world.request()) == replace(first, remembered=True)
    world.ca.later(minutes=4, seconds=59)
    assert world.ask()[1].der == first.der
    world.ca.later(seconds=1)
    again = world.ask()[1]
    assert not again.remembered
    assert again.der != first.der


def test_a_clock_that_went_back_gets_a_fresh_answer(world: _World) -> None:
    """An answer from the future is not given."""
    world.ca.leaf(world.authority, _SERIAL)
    world.ask()
    world.ca.later(minutes=-1)
    assert not world.ask()[1].remembered


def test_rev6_answers_with_a_nonce_are_never_remembered(world: _World) -> None:
    """REV-6: a nonce is echoed and its answer kept by nobody."""
    world.ca.leaf(world.authority, _SERIAL)
    body = world.request(nonce=b"n" * 32)
    theirs, answer = world.ask(body)
    assert theirs.extensions.get_extension_for_class(x509.OCSPNonce).value.nonce == b"n" * 32
    assert not answer.cacheable
    assert world.responder.remembered(body) is None


def test_a_dropped_serial_is_judged_afresh_at_once(world: _World) -> None:
    """A revocation drops the answers about its serial, however they were asked, and no others."""
    world.ca.leaf(world.authority, _SERIAL)
    world.ca.leaf(world.authority, _SERIAL + 1)
    bodies = [world.request(), world.request(sha256=True)]
    other = world.request(_SERIAL + 1)
    for body in (*bodies, other):
        world.ask(body)
    world.ca.revoke(world.authority, _SERIAL)
    assert world.status() is _GOOD  # nobody told this process yet
    world.responder.drop("default", _SERIAL)
    assert [world.ask(body)[0].certificate_status for body in bodies] == [_REVOKED, _REVOKED]
    assert world.ask(other)[1].remembered


def test_r8_without_change_notices_nothing_is_remembered(world: _World) -> None:
    """R8: while the channel is down every answer is fresh; once it is back, nothing old is there."""
    world.ca.leaf(world.authority, _SERIAL)
    world.ask()
    world.responder.bypass(on=True)
    world.ca.revoke(world.authority, _SERIAL)
    assert world.status() is _REVOKED
    assert world.responder.remembered(world.request()) is None
    world.responder.bypass(on=False)
    assert not world.ask()[1].remembered
    assert world.ask()[1].remembered


def _kept(serial: int, *, cacheable: bool = True) -> OcspAnswer:
    end = FakeClock().now() + timedelta(minutes=10)
    return OcspAnswer(b"", "good", cacheable, (("default", serial),), FakeClock().now(), end)


def test_an_answer_made_while_something_was_dropped_is_not_kept() -> None:
    """A revocation between reading the row and keeping the answer leaves no old answer behind."""
    memory, now = OcspMemory(), FakeClock().now()
    ticket = memory.ticket()
    memory.drop("default", 7)
    memory.put(ticket, b"q", _kept(7), now)
    assert memory.get(b"q", now) is None
    memory.put(memory.ticket(), b"q", _kept(7), now)
    assert memory.get(b"q", now) is not None


def test_the_memory_is_bounded() -> None:
    """The answer that was not asked for the longest goes first; long requests are not kept at all."""
    memory, now = OcspMemory(entries=2, octets=10), FakeClock().now()
    for serial in (1, 2):
        memory.put(memory.ticket(), bytes([serial]), _kept(serial), now)
    assert memory.get(b"\x01", now) is not None
    memory.put(memory.ticket(), b"\x03", _kept(3), now)
    memory.put(memory.ticket(), bytes(11), _kept(4), now)
    memory.put(memory.ticket(), b"\x05", _kept(5, cacheable=False), now)
    assert len(memory) == 2
    assert memory.get(b"\x02", now) is None
    assert memory.get(b"\x01", now) is not None


def test_threads_see_one_responder(world: _World) -> None:
    """Eight threads that ask and drop at once get good answers only, and the memory stays consistent."""
    world.ca.leaf(world.authority, _SERIAL)
    bodies = [world.request(), world.request(sha256=True)]
    start = threading.Barrier(8)

    def work(number: int) -> set[str]:
        start.wait()
        seen = set()
        for turn in range(30):
            seen.add(world.responder.answer(bodies[(number + turn) % 2]).status)
            if turn % 5 == 0:
                world.responder.drop("default", _SERIAL)
        return seen

    with ThreadPoolExecutor(8) as pool:
        assert set().union(*pool.map(work, range(8))) == {"good"}


class _DownStore(MemoryStore):
    """A store whose database is gone when a serial is looked up."""

    def serial_status(self, authority: str, serial: int) -> SerialStatus | None:
        raise UnavailableError(reasons.STORE_UNAVAILABLE, f"{authority} {serial}")


def test_a_store_that_is_down_is_no_answer(world: _World) -> None:
    """A database that does not answer is UnavailableError, for the face to make 503 of."""
    down = _DownStore()
    down.add_authority(world.authority, ())
    down.add_credential(world.ca.store.credentials(CredentialPurpose.OCSP, "default")[0], ())
    responder = OcspResponder(down, world.ca.keys, world.ca.clock)
    with pytest.raises(UnavailableError):
        responder.answer(world.request())


def test_a_hold_is_told_for_a_shorter_time_and_a_release_is_good(world: _World) -> None:
    """REV-1: a held certificate is revoked with certificateHold for five minutes at the most, released it is good."""
    world.ca.leaf(world.authority, _SERIAL)
    row = world.ca.store.certificate_by_serial("default", _SERIAL)
    assert row is not None
    hold(world.ca.store, world.ca.clock, row, actor=ADMIN)
    theirs, answer = world.ask()
    assert theirs.certificate_status is _REVOKED
    assert theirs.revocation_reason is x509.ReasonFlags.certificate_hold
    assert theirs.next_update_utc == world.ca.clock.now() + timedelta(minutes=5)
    assert (answer.status, answer.cacheable) == ("revoked", True)
    release(world.ca.store, world.ca.clock, row, actor=ADMIN)
    world.responder.drop("default", _SERIAL)
    assert world.status() is _GOOD


@pytest.mark.parametrize("state", list(AuthorityState))
def test_an_authority_is_asked_until_it_is_retired(world: _World, state: AuthorityState) -> None:
    """OCSP goes on while an authority retires and after it was revoked; a retired one is nobody's issuer here."""
    world.ca.leaf(world.authority, _SERIAL)
    world.ca.store.set_authority_state("default", state, ())
    answer = world.responder.answer(world.request())
    assert answer.status == ("unauthorized" if state is AuthorityState.RETIRED else "good")


# --- what is renewed before it ends ----------------------------------------------------------------------------------


def test_what_is_asked_for_often_is_renewed_before_it_ends(world: _World) -> None:
    """Nobody waits for a signature: an answer that was asked for again is made anew shortly before it is forgotten."""
    world.ca.leaf(world.authority, _SERIAL)
    world.ca.leaf(world.authority, _SERIAL + 1)
    often, once = world.request(), world.request(_SERIAL + 1)
    for body in (often, once, often):
        world.responder.answer(body)
    assert world.responder.renew(timedelta(seconds=20), 10) == 0
    world.ca.later(minutes=4, seconds=50)
    assert world.responder.renew(timedelta(seconds=20), 10) == 1
    world.ca.later(seconds=30)
    told = world.responder.remembered(often)
    assert told is not None
    assert told.next_update == world.ca.clock.now() - timedelta(seconds=30) + timedelta(minutes=10)
    assert world.responder.remembered(once) is None
    # Nobody asked since: it is let go at its end. The look above counts as one that asks.
    world.ca.later(minutes=4, seconds=20)
    assert world.responder.renew(timedelta(seconds=20), 10) == 1
    world.ca.later(minutes=4, seconds=50)
    assert world.responder.renew(timedelta(seconds=20), 10) == 0


def test_a_renewed_answer_says_what_is_so_now(world: _World) -> None:
    """What was revoked on another node, whose notice was lost, is told by the renewed answer at the latest."""
    world.ca.leaf(world.authority, _SERIAL)
    for _ in range(2):
        world.responder.answer(world.request())
    world.ca.revoke(world.authority, _SERIAL)
    world.ca.later(minutes=4, seconds=50)
    assert world.responder.renew(timedelta(seconds=20), 10) == 1
    told = world.responder.remembered(world.request())
    assert told is not None
    assert told.status == "revoked"


def test_renewing_is_bounded(world: _World) -> None:
    """One look renews so many at the most; what is left is signed when it is asked for."""
    bodies = []
    for number in range(5):
        world.ca.leaf(world.authority, _SERIAL + number)
        bodies.append(world.request(_SERIAL + number))
        for _ in range(2):
            world.responder.answer(bodies[-1])
    world.ca.later(minutes=4, seconds=50)
    assert world.responder.renew(timedelta(seconds=20), 3) == 3
    world.ca.later(seconds=15)
    assert sum(world.responder.remembered(body) is not None for body in bodies) == 3


def test_an_answer_whose_responder_is_gone_is_not_renewed(world: _World) -> None:
    """What cannot be signed any more ends as it would have."""
    world.ca.leaf(world.authority, _SERIAL)
    for _ in range(2):
        world.responder.answer(world.request())
    world.ca.later(minutes=4, seconds=50)
    world.ca.store.set_authority_state("default", AuthorityState.RETIRED, ())
    assert world.responder.renew(timedelta(seconds=20), 3) == 0
