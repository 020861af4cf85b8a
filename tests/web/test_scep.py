"""The SCEP face: R6's table, and the product's own service behind it on fakes."""

from __future__ import annotations

import base64
import time
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import quote_from_bytes

import pytest

from fakes import FakeClock
from memory_store import MemoryStore
from regalia import reasons
from regalia.ca.profile import DEFAULT_DOCUMENT
from regalia.errors import UnavailableError
from regalia.model import Action, Denied, KeyKind
from regalia.ports import EventFilter
from regalia.ra.refusals import Refusals, Refused
from regalia.ra.scep import CertRep
from regalia.web.edge import Edge
from regalia.web.metrics import Metrics
from regalia.web.pool import Pool, Pools
from regalia.web.scep import ScepFace, ScepLimits
from regalia.wire import der, oids
from regalia.wire.certificate import read_certificate
from regalia.wire.cms import read_certs_only
from regalia.wire.scep import MessageType, PkiStatus
from regalia.wire.scep_client import issuer_and_serial, read_next_ca
from web.asgi import Heard, ask
from world import ADMIN, Device, World, names

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.types import ASGIApp

    from regalia.errors import Reason
    from regalia.model import Door

POST = "/scep/default?operation=PKIOperation"


@dataclass
class Front:
    """A world with the SCEP face before it."""

    world: World
    app: ASGIApp
    metrics: Metrics

    def refusals(self) -> list[tuple[str | None, str]]:
        """Each refusal in the log: reason id and the endpoint it names."""
        found = self.world.store.events(EventFilter(action=Action.ENROLMENT_REFUSED))
        return [(event.draft.reason_id, event.draft.object) for event in found]

    def issued(self) -> float:
        """How many certificates the counter has seen."""
        return self.metrics.registry.get_sample_value("regalia_enrolments_issued_total") or 0.0

    def refused(self, reason: Reason) -> None:
        """Check that the last event is this refusal."""
        assert self.refusals()[-1][0] == reason.id


def fresh_front(pools: Pools) -> Front:
    """The face with its default limits before a new world, where the endpoint `closed` is disabled."""
    world, metrics = World(), Metrics(FakeClock())
    world.registry.create_endpoint("closed", group="default", profile="default", actor=ADMIN)
    world.registry.disable_endpoint("closed", actor=ADMIN)
    face = ScepFace(service=world.scep, doors=world.store, pool=pools.enrolment, limits=ScepLimits(), metrics=metrics)
    return Front(world, Edge(face, "device", metrics), metrics)


@pytest.fixture(scope="module")
def shared() -> Iterator[Front]:
    """One world for all tests that leave it as it was: making one takes long."""
    pools = Pools(
        Pool("enrolment", threads=2, queue=8), Pool("status", threads=2, queue=8), Pool("files", threads=1, queue=8)
    )
    yield fresh_front(pools)
    pools.close()


@pytest.fixture
def front(shared: Front) -> Front:
    """The shared world, some minutes later: what one test has refused does not fold the refusals of the next."""
    shared.world.clock.advance(timedelta(minutes=2))
    return shared


def pki_get(message: bytes) -> str:
    """Make the target of a GET PKIOperation."""
    return f"{POST}&message={quote_from_bytes(base64.b64encode(message), safe='')}"


# --- the three operations -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("alias", ["", "/pkiclient.exe", "/cgi-bin/pkiclient.exe", "/mscep.dll"])
def test_every_alias_of_the_path_serves(front: Front, alias: str) -> None:
    """Clients append their own file names to the URL (scep.md §1)."""
    heard = ask(front.app, f"/scep/default{alias}?operation=GetCACaps")
    assert heard.status == 200
    assert heard.headers["content-type"] == "text/plain"
    assert heard.headers["x-content-type-options"] == "nosniff"
    assert b"AES" in heard.body.split(b"\n")


@pytest.mark.parametrize("extra", ["", "&message=", "&message=0", "&message=a&message=b", "&message=%zz"])
def test_get_ca_cert_is_the_same_for_every_identifier(front: Front, extra: str) -> None:
    """The chain comes RA first (R2), whatever CA identifier a client appends."""
    heard = ask(front.app, f"/scep/default?operation=GetCACert{extra}")
    assert heard.headers["content-type"] == "application/x-x509-ca-ra-cert"
    door = front.world.store.door("default")
    assert door is not None
    assert read_certs_only(heard.body) == (
        door.ra.certificate_der,
        door.authority.certificate_der,
        door.root.certificate_der,
    )


@pytest.mark.parametrize("extra", ["", "&message=", "&message=0"])
@pytest.mark.parametrize("alias", ["", "/pkiclient.exe"])
def test_without_a_next_authority_there_is_nothing_to_get(front: Front, alias: str, extra: str) -> None:
    """RFC 8894 §4.7, R6: it is not offered, and whoever asks all the same gets the answer of what is not there."""
    assert b"GetNextCACert" not in ask(front.app, "/scep/default?operation=GetCACaps").body
    heard = ask(front.app, f"/scep/default{alias}?operation=GetNextCACert{extra}")
    unknown = ask(front.app, "/scep/nowhere?operation=GetNextCACert")
    assert (heard.status, heard.body, heard.headers) == (404, unknown.body, unknown.headers)
    assert front.refusals()[-2:] == [(reasons.NEXT_CA_UNKNOWN.id, "endpoint:default"), ("SCEP-001", "endpoint:nowhere")]


class Succeeded(MemoryStore):
    """A store in which every authority has a successor: its root, for want of another."""

    def door(self, endpoint: str) -> Door | None:
        """See `ports.Catalogue`."""
        door = super().door(endpoint)
        return replace(door, successor=door.root) if door is not None else None


def test_the_next_authority_is_offered_and_told(pools: Pools, metrics: Metrics) -> None:
    """RFC 8894 §4.7.1: its certificate under the RA's signature, with the media type that §6.3 registers."""
    world = World(store=Succeeded())
    face = ScepFace(service=world.scep, doors=world.store, pool=pools.enrolment, limits=ScepLimits(), metrics=metrics)
    app = Edge(face, "device", metrics)
    door = world.store.door("default")
    assert door is not None
    assert door.successor is not None
    assert b"GetNextCACert" in ask(app, "/scep/default?operation=GetCACaps").body.split(b"\n")
    for target in (
        "/scep/default?operation=GetNextCACert",
        "/scep/default/mscep.dll?operation=GetNextCACert&message=x",
    ):
        heard = ask(app, target)
        assert (heard.status, heard.headers["content-type"]) == (200, "application/x-x509-next-ca-cert")
        assert read_next_ca(heard.body, ra_certificates=(door.ra.certificate_der,)) == (door.successor.certificate_der,)
    assert ask(app, "/scep/default?operation=GetNextCACert", method="HEAD").status == 200


def test_a_ca_that_is_its_own_ra_is_one_bare_certificate(front: Front) -> None:
    """RFC 8894 §4.2.1.1, R2: DER and a media type of its own, where there is nothing but the CA."""
    world = front.world
    world.registry.create_group("solo", actor=ADMIN, key_kind=KeyKind.RSA_2048, ca_as_ra=True, acknowledged=True)
    world.registry.create_profile("solo", "solo", DEFAULT_DOCUMENT, actor=ADMIN)
    world.registry.create_endpoint("solo", group="solo", profile="solo", actor=ADMIN)
    heard = ask(front.app, "/scep/solo?operation=GetCACert")
    authority = world.store.authority("solo-ca-1")
    assert authority is not None
    assert (heard.headers["content-type"], heard.body) == ("application/x-x509-ca-cert", authority.certificate_der)


def test_a_suspended_group_is_503(front: Front) -> None:
    """R6: CA-015 is an administrator's decision, so a device is told to come again, and what is public is served."""
    device = Device(front.world)
    body = device.message(device.csr(names("laptop-1"), front.world.mint("laptop-1")))
    front.world.containment.suspend("default", "drill", actor=ADMIN)
    heard = ask(front.app, POST, method="POST", body=(body,))
    assert (heard.status, heard.headers["retry-after"]) == (503, "10")
    assert ask(front.app, "/scep/default?operation=GetCACert").status == 200
    front.world.containment.resume("default", actor=ADMIN)
    again = ask(front.app, POST, method="POST", body=(body,))
    assert again.headers["content-type"] == "application/x-pki-message"


def test_a_crl_that_is_not_there_yet_is_503(front: Front) -> None:
    """R6: CA-014 is our side's fault, so GetCRL is told to come again, and is no refusal."""
    device = Device(front.world).fresh("no crl")
    device.enrol(names("laptop-1"), front.world.mint("laptop-1"))
    assert device.certificate is not None
    facts = read_certificate(device.certificate)
    content = issuer_and_serial(facts.issuer, facts.serial)
    refused = front.refusals()
    heard = ask(front.app, POST, method="POST", body=(device.message(content, message_type=MessageType.GET_CRL),))
    assert (heard.status, heard.headers["retry-after"]) == (503, "10")
    assert front.refusals() == refused


def test_a_certificate_that_is_handed_out_again_is_none_issued(front: Front) -> None:
    """AUD-1: GetCert goes through the face like every PKIOperation, and counts nothing but itself."""
    device = Device(front.world).fresh("retrieval")
    device.enrol(names("laptop-1"), front.world.mint("laptop-1"))
    assert device.certificate is not None
    facts, issued = read_certificate(device.certificate), front.issued()
    content = issuer_and_serial(facts.issuer, facts.serial)
    message = device.message(content, message_type=MessageType.GET_CERT)
    for heard in (ask(front.app, POST, method="POST", body=(message,)), ask(front.app, pki_get(message))):
        assert device.open(CertRep(heard.body), content).certificates == (device.certificate,)
    assert front.issued() == issued


@pytest.mark.parametrize("by_get", [False, True], ids=["POST", "GET"])
def test_a_device_enrols(front: Front, *, by_get: bool) -> None:
    """PKIOperation by POST and by GET gives the signed reply, as application/x-pki-message, never to be stored."""
    before, device = front.issued(), Device(front.world).fresh(f"get {by_get}")
    csr = device.csr(names("laptop-1"), front.world.mint("laptop-1"))
    message = device.message(csr)
    heard = ask(front.app, pki_get(message)) if by_get else ask(front.app, POST, method="POST", body=(message,))
    assert heard.status == 200
    assert heard.headers["content-type"] == "application/x-pki-message"
    assert heard.headers["cache-control"] == "no-store"
    assert int(heard.headers["content-length"]) == len(heard.body)
    assert device.open(CertRep(heard.body), csr).status is PkiStatus.SUCCESS
    assert front.issued() == before + 1


def test_a_refused_device_gets_200_and_a_signed_failure(front: Front) -> None:
    """What SCEP itself can refuse is a CertRep, not an HTTP error (security.md §3); and it is no certificate issued."""
    before, device = front.issued(), Device(front.world)
    csr = device.csr(names("laptop-1"), "wrong")
    heard = ask(front.app, POST, method="POST", body=(device.message(csr),))
    assert heard.status == 200
    assert device.open(CertRep(heard.body), csr).status is PkiStatus.FAILURE
    assert front.issued() == before


@pytest.mark.parametrize("media", [None, b"", b"text/html", b"application/octet-stream"])
def test_any_content_type_will_do(front: Front, media: bytes | None) -> None:
    """Clients send none (strongSwan) or another one (scepclient); R7."""
    device = Device(front.world).fresh(f"type {media!r}")
    message = device.message(device.csr(names("laptop-1"), front.world.mint("laptop-1")))
    headers = () if media is None else ((b"content-type", media),)
    assert ask(front.app, POST, method="POST", body=(message,), headers=headers).status == 200


def test_a_body_in_pieces_is_one_message(front: Front) -> None:
    """A body that comes in many reads is put together."""
    device = Device(front.world).fresh("pieces")
    message = device.message(device.csr(names("laptop-1"), front.world.mint("laptop-1")))
    pieces = [message[start : start + 100] for start in range(0, len(message), 100)]
    assert ask(front.app, POST, method="POST", body=pieces).headers["content-type"] == "application/x-pki-message"


@pytest.mark.parametrize("host", [None, b"evil.example", b""])
def test_host_is_not_looked_at(front: Front, host: bytes | None) -> None:
    """The device listener ignores Host: HTTP/1.0 clients have none (R6)."""
    headers = () if host is None else ((b"host", host),)
    assert ask(front.app, "/scep/default?operation=GetCACaps", headers=headers).status == 200


def test_the_source_is_the_socket_peer(front: Front) -> None:
    """RES-6: what X-Forwarded-For claims is not what the record says."""
    ask(front.app, "/scep/default", source="192.0.2.77", headers=((b"x-forwarded-for", b"198.51.100.1"),))
    assert front.world.last_event().draft.actor.source == "192.0.2.77"


# --- what HTTP refuses ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "target",
    [
        "/scep/nowhere?operation=GetCACaps",
        "/scep/nowhere",
        "/scep/closed?operation=GetCACaps",
        "/scep/closed?operation=PKIOperation",
        "/scep/default/?operation=GetCACaps",
        "/scep/default/other?operation=GetCACaps",
        "/scep/default/PKICLIENT.EXE?operation=GetCACaps",
        "/scep/?operation=GetCACaps",
        "/scep/Default?operation=GetCACaps",
        "/scep/..%2Fdefault?operation=GetCACaps",
        "/scep/de%00fault?operation=GetCACaps",
        "/scep/%F0%9F%98%80?operation=GetCACaps",
        f"/scep/{'a' * 5000}?operation=GetCACaps",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_unknown_disabled_and_impossible_are_one_answer(front: Front, target: str, method: str) -> None:
    """R6: 404 with one constant body for all that is not there, whatever was asked of it."""
    heard = ask(front.app, target, method=method)
    plain = ask(front.app, "/scep/missing?operation=GetCACaps")
    assert (heard.status, heard.body, heard.headers) == (plain.status, plain.body, plain.headers)
    assert (heard.status, heard.body) == (404, b"not found\n")


def test_the_record_tells_unknown_from_disabled(front: Front) -> None:
    """The administrator sees SCEP-001 or SCEP-002, which the stranger does not."""
    ask(front.app, "/scep/closed?operation=GetCACaps")
    ask(front.app, "/scep/nowhere?operation=GetCACaps")
    ask(front.app, "/scep/de%00fault?operation=GetCACaps")
    assert front.refusals()[-3:] == [
        (reasons.ENDPOINT_DISABLED.id, "endpoint:closed"),
        (reasons.ENDPOINT_UNKNOWN.id, "endpoint:nowhere"),
        (reasons.ENDPOINT_UNKNOWN.id, "endpoint:de\\x00fault"),
    ]


def test_not_found_takes_the_same_time(front: Front) -> None:
    """R6: the answer for an endpoint that is disabled does not come sooner than for one that never was."""
    for name in ("closed", "nowhere"):
        began = time.monotonic()
        ask(front.app, f"/scep/{name}?operation=GetCACaps")
        assert time.monotonic() - began >= 0.05


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND"])
def test_other_methods_are_405(front: Front, method: str) -> None:
    """R6: GET, HEAD and POST, nothing else; recorded as SCEP-003."""
    heard = ask(front.app, POST, method=method)
    assert (heard.status, heard.headers["allow"]) == (405, "GET, HEAD, POST")
    front.refused(reasons.METHOD_REFUSED)


@pytest.mark.parametrize(
    ("method", "query"),
    [
        ("GET", ""),
        ("GET", "?operation="),
        ("GET", "?operation=GetCACaps&operation=GetCACaps"),
        ("GET", "?operation=GetCACertChain"),
        ("POST", "?operation=GetNextCACert"),
        ("GET", "?message=0"),
        ("POST", ""),
        ("POST", "?operation=GetCACert"),
        ("POST", "?operation=PKIOperation&operation=PKIOperation"),
        ("HEAD", "?operation=PKIOperation&message=AAAA"),
    ],
)
def test_a_bad_missing_or_double_operation_is_400(front: Front, method: str, query: str) -> None:
    """R6: 400 with a constant body, recorded as SCEP-004; the tolerance of scep.md §1 does not hold (R7)."""
    heard = ask(front.app, f"/scep/default{query}", method=method)
    assert (heard.status, heard.body) == (400, b"bad request\n")
    front.refused(reasons.OPERATION_REFUSED)


def test_head_is_get_without_its_body(front: Front) -> None:
    """A HEAD of GetCACert tells type and length."""
    got = ask(front.app, "/scep/default?operation=GetCACert")
    headed = ask(front.app, "/scep/default?operation=GetCACert", method="HEAD")
    assert headed.status == 200
    assert headed.headers == got.headers


@pytest.mark.parametrize(
    ("target", "method", "body", "reason"),
    [
        (f"{POST}&message=!", "GET", b"", reasons.BASE64_REFUSED),
        (POST, "GET", b"", reasons.BASE64_REFUSED),
        (POST, "POST", b"", reasons.STRUCTURE_REFUSED),
        (POST, "POST", b"not a message", reasons.STRUCTURE_REFUSED),
        (POST, "POST", der.sequence(der.oid(oids.ID_DATA), der.context(0, der.sequence())), reasons.NOT_SIGNED_DATA),
    ],
)
def test_what_cannot_be_read_is_400(front: Front, target: str, method: str, body: bytes, reason: Reason) -> None:
    """R6: steps 1 and 2 of security.md §3 end in one constant answer, whatever the cause."""
    heard = ask(front.app, target, method=method, body=(body,))
    assert (heard.status, heard.body) == (400, b"bad request\n")
    front.refused(reason)


@pytest.mark.parametrize("announced", [True, False], ids=["Content-Length", "chunked"])
def test_a_body_over_the_limit_is_413(front: Front, *, announced: bool) -> None:
    """RES-1: one octet over 64 KiB is refused, whether the length was announced or found out; SCEP-005."""
    whole = bytes(65_537)
    headers = ((b"content-length", b"65537"),) if announced else ()
    pieces = [whole[start : start + 8_192] for start in range(0, len(whole), 8_192)]
    heard = ask(front.app, POST, method="POST", body=pieces, headers=headers)
    assert (heard.status, heard.body, heard.headers["connection"]) == (413, b"too large\n", "close")
    front.refused(reasons.MESSAGE_TOO_LARGE)


def test_a_body_at_the_limit_is_read(front: Front) -> None:
    """Exactly 64 KiB is a message, though no good one."""
    assert ask(front.app, POST, method="POST", body=(bytes(65_536),)).status == 400


def test_an_endless_body_is_not_read_to_its_end(front: Front) -> None:
    """RES-1: reading stops a bounded way beyond the limit."""
    pieces = [bytes(65_536)] * 1_000
    heard = ask(front.app, POST, method="POST", body=pieces)
    assert heard.status == 413
    headers = ((b"content-length", b"10000000000"),)
    assert ask(front.app, POST, method="POST", body=(b"",), headers=headers).status == 413


def test_a_url_over_the_limit_is_414(front: Front) -> None:
    """R6: a GET longer than 48 KiB, or with a message of more than 32 KiB; SCEP-005."""
    assert ask(front.app, f"{POST}&message={'A' * 49_200}").status == 414
    front.refused(reasons.MESSAGE_TOO_LARGE)
    assert ask(front.app, f"{POST}&message={'A' * 44_000}").status == 414
    front.refused(reasons.MESSAGE_TOO_LARGE)


def test_limits_are_settings(pools: Pools, metrics: Metrics) -> None:
    """R13: another limit holds where it was set."""
    world = World()
    limits = ScepLimits(post=100)
    face = ScepFace(service=world.scep, doors=world.store, pool=pools.enrolment, limits=limits, metrics=metrics)
    assert ask(face, POST, method="POST", body=(bytes(101),)).status == 413
    assert ask(face, POST, method="POST", body=(bytes(100),)).status == 400


def test_too_much_is_429_with_retry_after_and_one_body(pools: Pools) -> None:
    """R6 and LIM-001: a source that guesses is told when to come back, and nothing that depends on what it sent."""
    front = fresh_front(pools)
    device = Device(front.world)

    def send(challenge: str, cn: str) -> Heard:
        message = device.message(device.csr(names(cn), challenge))
        return ask(front.app, POST, method="POST", body=(message,))

    assert [send("guess", "laptop-1").status for _ in range(10)] == [200] * 10
    limited = [send("guess", "laptop-1"), send(front.world.mint("laptop-2"), "laptop-2")]
    assert {(heard.status, heard.body) for heard in limited} == {(429, b"too many requests\n")}
    assert [heard.headers["retry-after"] for heard in limited] == ["60", "60"]
    front.refused(reasons.SOURCE_GUESSING)
    assert ask(front.app, "/scep/default?operation=GetCACaps").status == 200


def test_every_http_refusal_is_one_event(front: Front) -> None:
    """AUD-1: what HTTP refuses is on record, with the endpoint and the source."""
    ask(front.app, "/scep/default", source="192.0.2.8")
    assert front.refusals()[-1] == (reasons.OPERATION_REFUSED.id, "endpoint:default")
    assert front.world.last_event().draft.actor.source == "192.0.2.8"


def test_refusals_are_counted_by_reason(front: Front) -> None:
    """The counter of a reason grows with each refusal that the record hears of, folded or not."""
    refusals = Refusals(front.world.store, per_minute=1, observe=front.metrics.refused)
    denied = Denied(reasons.OPERATION_REFUSED)
    for _ in range(3):
        refusals.record(Refused(front.world.clock.now(), "192.0.2.1", "default", denied))
    assert b'regalia_refusals_total{reason="SCEP-004"} 3.0' in front.metrics.render()


# --- our own trouble ------------------------------------------------------------------------------------------------


def test_a_full_pool_is_503_with_retry_after(pools: Pools) -> None:
    """RES-3: no place, no waiting."""
    front = fresh_front(pools)
    pools.enrolment.close()
    heard = ask(front.app, "/scep/default?operation=GetCACaps")
    assert (heard.status, heard.body) == (503, b"try again later\n")
    assert int(heard.headers["retry-after"]) > 0


def test_a_missing_key_is_503(pools: Pools) -> None:
    """R6: a dependency that is down is our fault, and only for a while."""
    front = fresh_front(pools)
    device = Device(front.world)
    message = device.message(device.csr(names("laptop-1"), front.world.mint("laptop-1")))
    front.world.keys.private.clear()
    assert ask(front.app, POST, method="POST", body=(message,)).status == 503


def test_a_client_that_hangs_up_is_no_incident(front: Front) -> None:
    """A body that never comes ends in nothing recorded as ours."""
    heard = ask(front.app, POST, method="POST", body=(b"abc", b""), hangs_up=True)
    assert heard.status == 400
    assert b"regalia_incidents_total 0.0" in front.metrics.render()


class Down(MemoryStore):
    """A store that does not answer."""

    def door(self, endpoint: str) -> Door | None:
        """Fail."""
        raise UnavailableError(reasons.STORE_UNAVAILABLE, endpoint)


def test_a_store_that_is_down_is_503(pools: Pools, metrics: Metrics) -> None:
    """R6: a database that does not answer gives 503 for every endpoint alike."""
    world = World()
    service = world.service(world.keys, Down())
    face = ScepFace(service=service, doors=Down(), pool=pools.enrolment, limits=ScepLimits(), metrics=metrics)
    for name in ("default", "nowhere"):
        assert ask(Edge(face, "device", metrics), f"/scep/{name}?operation=GetCACaps").status == 503
