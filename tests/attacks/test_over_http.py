"""Attacks on the way into the server: headers, methods, queries and encodings around a message that would be good."""

from __future__ import annotations

import base64
import gzip
from typing import TYPE_CHECKING
from urllib.parse import quote_from_bytes

import pytest
from cryptography import x509

from attacks.forgery import csr_of, message_of
from attacks.front import Front, opened
from regalia import reasons
from regalia.model import CertificateKind
from regalia.ports import CertificateFilter
from regalia.ra.limits import Allowances
from regalia.ra.scep import CertRep
from regalia.wire.scep import PkiStatus, Transaction
from world import Device, names, rsa_key

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

POST = "/scep/default?operation=PKIOperation"


@pytest.fixture
def front(tmp_path: Path) -> Iterator[Front]:
    """Both listeners before a new world with the limits that are the default."""
    with opened(tmp_path, allowances=Allowances()) as made:
        yield made


def last_reason(front: Front) -> str | None:
    """The reason of the newest event."""
    return front.world.last_event().draft.reason_id


def leaves(front: Front) -> int:
    """How many certificates devices have."""
    return len(front.world.store.certificates(CertificateFilter(kind=CertificateKind.LEAF)))


def good(front: Front) -> tuple[Device, bytes, bytes]:
    """A device, its request and its message, which would be issued."""
    device = Device(front.world)
    csr = device.csr(names("laptop-1"), front.world.mint("laptop-1"))
    return device, csr, device.message(csr)


def still_good(front: Front, device: Device, csr: bytes, message: bytes) -> None:
    """The message enrols when it comes as it should."""
    heard = front.send(POST, method="POST", body=message, source="192.0.2.1")
    assert device.open(CertRep(heard.body), csr).status is PkiStatus.SUCCESS


SPOOFS = [
    b"x-forwarded-for",
    b"forwarded",
    b"x-real-ip",
    b"true-client-ip",
    b"x-client-ip",
    b"cf-connecting-ip",
    b"via",
]


def test_a_claimed_address_does_not_get_around_a_limit(front: Front) -> None:
    """RES-6, CHA-3, WEB-9: Fleet's CVE-2026-24000: ten guesses with ten claimed addresses are ten of one source."""
    thief = Device(front.world, key=rsa_key(1))
    for number in range(12):
        thief.transaction = Transaction(b"guess %d" % number)
        headers = [(spoof, b"198.51.100.%d" % number) for spoof in SPOOFS]
        message = message_of(thief, csr_of(thief, challenge=f"guess {number}"))
        heard = front.send(POST, method="POST", body=message, headers=headers)
        assert heard.status == (200 if number < 10 else 429)
    assert heard.headers["retry-after"].isdigit()
    assert last_reason(front) == reasons.SOURCE_GUESSING.id
    assert "198.51.100" not in repr(front.world.store.log)


@pytest.mark.parametrize("host", [b"evil.example", b"evil.example:80", b"", b"\xff\x00", b"a" * 5000])
def test_a_claimed_host_is_in_no_certificate(front: Front, host: bytes) -> None:
    """WEB-9: EJBCA's CVE-2025-3026: the URLs in a certificate are the configured ones, whatever Host says."""
    device, csr, message = good(front)
    headers = [(b"host", host), (b"x-forwarded-host", host), (b"x-forwarded-proto", b"https")]
    heard = front.send(POST, method="POST", body=message, headers=headers)
    (leaf,) = device.open(CertRep(heard.body), csr).certificates
    assert b"evil" not in leaf
    points = x509.load_der_x509_certificate(leaf).extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    assert [name.value for point in points for name in point.full_name or ()] == [
        "http://pki.example.test/crl/default-ca-1.crl"
    ]


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "post", "POST\x00"])
def test_a_body_counts_with_post_alone(front: Front, method: str) -> None:
    """IN-2, R6: a good message as the body of another method, a method override in the headers included."""
    device, csr, message = good(front)
    override = [(b"x-http-method-override", b"POST"), (b"x-method-override", b"POST")]
    heard = front.send(POST, method=method, body=message, headers=override)
    assert heard.status == (400 if method in {"GET", "HEAD"} else 405)
    assert leaves(front) == 0
    still_good(front, device, csr, message)


QUERIES = [
    "",
    "operation=pkioperation",
    "operation=PKIOperation&operation=PKIOperation",
    "operation=GetCACaps&operation=PKIOperation",
    "operation=PKIOperation&operation=GetCACaps",
    "operation=PKIOperation%00",
    "operation=PKIOperation%20",
    "operation[]=PKIOperation",
    "operation=PKIOperation;operation=GetCACert",
    "Operation=PKIOperation",
    "operation=GetNextCACert",
    "operation=\u0420KIOperation",
]


@pytest.mark.parametrize("query", QUERIES)
def test_an_operation_is_named_once_and_exactly(front: Front, query: str) -> None:
    """IN-7, POL-4, R6: a good message under an operation that is missing, doubled, or only looks like it."""
    device, csr, message = good(front)
    heard = front.send(f"/scep/default?{query}", method="POST", body=message)
    assert heard.status == 400
    assert last_reason(front) == reasons.OPERATION_REFUSED.id
    assert leaves(front) == 0
    still_good(front, device, csr, message)


def test_a_body_beside_a_message_in_the_query_is_the_only_message(front: Front) -> None:
    """POL-4, R6: one message in the query and another in the body: a POST is judged by its body."""
    device, csr, message = good(front)
    thief = Device(front.world, key=rsa_key(1), transaction=Transaction(b"thief"))
    other = quote_from_bytes(base64.b64encode(message_of(thief, csr_of(thief))), safe="")
    heard = front.send(f"{POST}&message={other}", method="POST", body=message)
    assert device.open(CertRep(heard.body), csr).status is PkiStatus.SUCCESS


@pytest.mark.parametrize(
    "encode",
    [gzip.compress, base64.b64encode, lambda message: message.hex().encode(), lambda message: b"\r\n" + message],
    ids=["gzip", "base64", "hexadecimal", "line break before"],
)
def test_an_encoded_body_is_not_decoded(front: Front, encode: object) -> None:
    """IN-3, RES-1, R7: no Content-Encoding is undone, so nothing small becomes large; nor is any text guessed at."""
    assert callable(encode)
    device, csr, message = good(front)
    headers = [(b"content-encoding", b"gzip"), (b"content-transfer-encoding", b"base64")]
    heard = front.send(POST, method="POST", body=encode(message), headers=headers)
    assert heard.status == 400
    assert last_reason(front) == reasons.STRUCTURE_REFUSED.id
    still_good(front, device, csr, message)


@pytest.mark.parametrize("size", [65_537, 400_000])
@pytest.mark.parametrize("announced", [None, b"10", b"999999999999999999999", b"-1", b"0x10"])
def test_a_large_body_is_not_read(front: Front, size: int, announced: bytes | None) -> None:
    """RES-1, IN-3: 413 for what is more than 64 KiB, whatever length is claimed; one event."""
    before = len(front.world.store.log)
    headers = [] if announced is None else [(b"content-length", announced)]
    heard = front.send(POST, method="POST", body=b"\x30" * size, headers=headers)
    assert heard.status == 413
    assert last_reason(front) == reasons.MESSAGE_TOO_LARGE.id
    assert len(front.world.store.log) == before + 1


@pytest.mark.parametrize(
    "path",
    [
        "/scep/default/../staff",
        "/scep/staff/../default",
        "/scep/default%2f..%2fstaff",
        "/scep/default%00",
        "/scep/DEFAULT",
        "/scep//default",
        "/scep/default/",
        "/scep/default/pkiclient.exe/x",
        "/scep/d\u0435fault",
        "/scep/default;jsessionid=1",
        "/SCEP/default",
        "/scep/default%20",
    ],
)
def test_a_path_that_only_looks_like_an_endpoint_is_none(front: Front, path: str) -> None:
    """IN-6, R6: traversal, letter case, escapes, look-alikes: 404; the message is good at its own door only."""
    front.world.open_group("staff")
    device, csr, message = good(front)
    heard = front.send(f"{path}?operation=PKIOperation", method="POST", body=message)
    assert heard.status == 404
    assert leaves(front) == 0
    still_good(front, device, csr, message)
