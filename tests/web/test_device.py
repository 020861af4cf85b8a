"""The device application as a whole: its routes, OCSP, and what keeps its parts from each other."""

from __future__ import annotations

import base64
import hashlib
import threading
from dataclasses import dataclass
from datetime import timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_from_bytes

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509 import ocsp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fakes import FakeClock, MemorySigner
from regalia.ca.crl import CrlPublisher
from regalia.ca.revoke import revoke
from regalia.ca.status import OcspResponder
from regalia.jobs.publish_crl import PublishCrls
from regalia.model import Certificate, CertificateKind, RevocationReason
from regalia.ports import CertificateFilter
from regalia.store.crl_files import DirectoryCrlFiles
from regalia.web.device import device_app
from regalia.web.edge import Edge
from regalia.web.health import Readiness
from regalia.web.metrics import Metrics
from regalia.web.ocsp import decode_path
from regalia.web.pool import Pool, Pools
from web.asgi import ask
from world import ADMIN, Device, World, names

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from starlette.types import ASGIApp

    from web.asgi import Heard

NAME = "default-ca-1"


@dataclass
class Deployment:
    """A world behind the device application."""

    world: World
    app: ASGIApp
    metrics: Metrics
    pools: Pools
    files: DirectoryCrlFiles

    def leaf(self, transaction: str = "transaction-1") -> Certificate:
        """Enrol a device and return the row of its certificate."""
        Device(self.world).fresh(transaction).enrol(names("laptop-1"), self.world.mint("laptop-1"))
        return self.world.store.certificates(CertificateFilter(kind=CertificateKind.LEAF))[0]

    def request(self, certificate: Certificate, nonce: bytes | None = None) -> bytes:
        """Make an OCSP request with somebody else's code."""
        issuer = self.world.store.authority(certificate.intent.authority)
        assert issuer is not None
        assert certificate.der is not None
        builder = ocsp.OCSPRequestBuilder().add_certificate(
            x509.load_der_x509_certificate(certificate.der),
            x509.load_der_x509_certificate(issuer.certificate_der),
            hashes.SHA1(),  # noqa: S303 - what nearly every client sends
        )
        if nonce is not None:
            builder = builder.add_extension(x509.OCSPNonce(nonce), critical=False)
        return builder.build().public_bytes(serialization.Encoding.DER)

    def post(self, octets: bytes) -> Heard:
        """Ask by POST."""
        return ask(self.app, f"/ocsp/{NAME}", method="POST", body=(octets,))

    def count(self, status: str, cache: str) -> float:
        """How many answers of this kind were counted."""
        labels = {"status": status, "cache": cache}
        return self.metrics.registry.get_sample_value("regalia_ocsp_answers_total", labels) or 0.0


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Deployment]:
    """Everything that a device can ask for."""
    world, metrics = World(), Metrics(FakeClock())
    pools = Pools(
        Pool("enrolment", threads=1, queue=1), Pool("status", threads=1, queue=8), Pool("files", threads=1, queue=8)
    )
    files = DirectoryCrlFiles(tmp_path / "crl")
    app = device_app(
        scep=world.scep,
        doors=world.store,
        ocsp=OcspResponder(world.store, world.keys, world.clock),
        authorities=world.store,
        crl_files=files,
        readiness=Readiness(world.store, world.keys, files, world.clock),
        pools=pools,
        metrics=metrics,
        clock=world.clock,
    )
    yield Deployment(world, app, metrics, pools, files)
    pools.close()


def status_of(heard: Heard) -> ocsp.OCSPCertStatus:
    """Read an answer with somebody else's code."""
    assert heard.headers["content-type"] == "application/ocsp-response"
    response = ocsp.load_der_ocsp_response(heard.body)
    assert response.response_status is ocsp.OCSPResponseStatus.SUCCESSFUL
    return response.certificate_status


def failure_of(heard: Heard) -> ocsp.OCSPResponseStatus:
    """Read why there is no answer; never to be stored, and always HTTP 200 (RFC 6960 appendix A)."""
    assert (heard.status, heard.headers["cache-control"]) == (200, "no-store")
    return ocsp.load_der_ocsp_response(heard.body).response_status


# --- OCSP -----------------------------------------------------------------------------------------------------------


def test_ocsp_by_post(deployment: Deployment) -> None:
    """A certificate is good until it is revoked; a POST's answer is nobody's to keep."""
    leaf = deployment.leaf()
    heard = deployment.post(deployment.request(leaf))
    assert status_of(heard) is ocsp.OCSPCertStatus.GOOD
    assert heard.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "form",
    [
        pytest.param(lambda text: quote_from_bytes(text, safe=""), id="escaped, as RFC 6960 asks"),
        pytest.param(lambda text: text.decode(), id="bare"),
        pytest.param(lambda text: "/" + text.decode(), id="after a second slash"),
        pytest.param(lambda text: text.decode().rstrip("="), id="without padding"),
        pytest.param(lambda text: text.decode().replace("+", "%20"), id="form-decoded by a layer in between"),
    ],
)
def test_ocsp_by_get(deployment: Deployment, form: object) -> None:
    """A GET carries the request in its path, in any of the forms that clients send (pki.md §6)."""
    assert callable(form)
    leaf = deployment.leaf()
    text = form(base64.b64encode(deployment.request(leaf)))
    assert status_of(ask(deployment.app, f"/ocsp/{NAME}/{text}")) is ocsp.OCSPCertStatus.GOOD


@given(st.binary(min_size=1, max_size=120))
def test_every_request_survives_the_path(octets: bytes) -> None:
    """Whatever its octets, an escaped request arrives as it was sent, and so does one that was not escaped."""
    text = base64.b64encode(b"\x30" + octets)
    assert decode_path(quote_from_bytes(text, safe="").encode()) == b"\x30" + octets
    assert decode_path(text) == b"\x30" + octets


def test_a_get_answer_may_be_kept_as_long_as_it_is_good(deployment: Deployment) -> None:
    """RFC 5019 §5: max-age, Expires, Last-Modified and ETag agree with the response, and never go beyond it."""
    text = quote_from_bytes(base64.b64encode(deployment.request(deployment.leaf())), safe="")
    target = f"/ocsp/{NAME}/{text}"
    heard = ask(deployment.app, target)
    response = ocsp.load_der_ocsp_response(heard.body)
    assert parsedate_to_datetime(heard.headers["expires"]) == response.next_update_utc
    assert parsedate_to_datetime(heard.headers["last-modified"]) == response.this_update_utc
    assert heard.headers["etag"] == f'"{hashlib.sha256(heard.body).hexdigest()}"'
    assert heard.headers["cache-control"] == "max-age=300, public, no-transform, must-revalidate"
    deployment.world.clock.advance(timedelta(minutes=4))
    assert ask(deployment.app, target).headers["cache-control"].startswith("max-age=180,")
    known = ((b"if-none-match", heard.headers["etag"].encode()),)
    assert ask(deployment.app, target, headers=known).status == 304
    assert ask(deployment.app, target, method="HEAD").headers["etag"] == heard.headers["etag"]


def test_unknown_and_nonce_answers_are_nobodys_to_keep(deployment: Deployment) -> None:
    """R8: `unknown` is no-store, and so is an answer to one client's nonce."""
    leaf = deployment.leaf()
    nonced = quote_from_bytes(base64.b64encode(deployment.request(leaf, bytes(16))), safe="")
    assert ask(deployment.app, f"/ocsp/{NAME}/{nonced}").headers["cache-control"] == "no-store"
    request = deployment.request(leaf)
    serial = leaf.serial.to_bytes((leaf.serial.bit_length() + 8) // 8, "big")
    assert serial in request
    other = quote_from_bytes(base64.b64encode(request.replace(serial, serial[:-1] + bytes([serial[-1] ^ 1]))), safe="")
    heard = ask(deployment.app, f"/ocsp/{NAME}/{other}")
    assert status_of(heard) is ocsp.OCSPCertStatus.UNKNOWN
    assert heard.headers["cache-control"] == "no-store"


def test_what_is_remembered_needs_no_pool_and_no_key(deployment: Deployment) -> None:
    """RES-3: a remembered answer comes from the event loop, while the pools are full and the key is gone."""
    request = deployment.request(deployment.leaf())
    first = deployment.post(request)
    deployment.pools.close()
    deployment.world.keys.private.clear()
    assert deployment.post(request).body == first.body
    assert (deployment.count("good", "miss"), deployment.count("good", "hit")) == (1, 1)


def test_a_revoked_certificate_is_revoked(deployment: Deployment) -> None:
    """The first answer after a revocation that was heard of says so."""
    leaf = deployment.leaf()
    revoke(
        deployment.world.store,
        deployment.world.clock,
        leaf,
        reason=RevocationReason.KEY_COMPROMISE,
        actor=ADMIN,
        note="",
    )
    response = ocsp.load_der_ocsp_response(deployment.post(deployment.request(leaf)).body)
    assert response.certificate_status is ocsp.OCSPCertStatus.REVOKED
    assert response.revocation_reason is x509.ReasonFlags.key_compromise


def test_what_is_no_request_is_malformed(deployment: Deployment) -> None:
    """Nonsense, by POST or GET, is answered malformedRequest with HTTP 200."""
    for heard in (
        deployment.post(b""),
        deployment.post(b"nonsense"),
        ask(deployment.app, f"/ocsp/{NAME}"),
        ask(deployment.app, f"/ocsp/{NAME}/"),
        ask(deployment.app, f"/ocsp/{NAME}/%zz"),
        ask(deployment.app, f"/ocsp/{NAME}/AAAAA"),
    ):
        assert failure_of(heard) is ocsp.OCSPResponseStatus.MALFORMED_REQUEST
    assert deployment.count("malformed_request", "miss") == 6


def test_another_authoritys_address_has_no_answer(deployment: Deployment) -> None:
    """At the address of one authority, the certificates of another get `unauthorized`, remembered or not."""
    request = deployment.request(deployment.leaf())
    for _ in range(2):
        heard = ask(deployment.app, "/ocsp/root", method="POST", body=(request,))
        assert failure_of(heard) is ocsp.OCSPResponseStatus.UNAUTHORIZED
        assert status_of(deployment.post(request)) is ocsp.OCSPCertStatus.GOOD


@pytest.mark.parametrize("name", [NAME, "root"])
def test_memory_says_what_the_listener_says(deployment: Deployment, name: str) -> None:
    """An answer from memory is the one that the application gives, is counted, and none where nothing is remembered."""
    assert isinstance(deployment.app, Edge)
    from_memory = deployment.app.from_memory
    assert from_memory is not None
    request = deployment.request(deployment.leaf())
    target = f"/ocsp/{name}/{quote_from_bytes(base64.b64encode(request), safe='')}"

    def scope(method: str, raw_path: str, query: bytes = b"") -> dict[str, Any]:
        return {"method": method, "raw_path": raw_path.encode(), "query_string": query, "headers": []}

    asked = [(scope("GET", target), b""), (scope("POST", f"/ocsp/{name}"), request)]
    assert [from_memory(*each) for each in asked] == [None, None]
    deployment.post(request)
    for each, body in asked:
        answered = from_memory(each, body)
        assert answered is not None
        heard = ask(deployment.app, each["raw_path"].decode(), method=each["method"], body=(body,))
        told = {key.decode(): value.decode() for key, value in answered.headers}
        assert (answered.status, answered.body, told) == (heard.status, heard.body, heard.headers)
    if name == NAME:
        assert (deployment.count("good", "miss"), deployment.count("good", "hit")) == (1, 4)
    for refused in (scope("PUT", target), scope("GET", "/ca/root"), scope("GET", target, b"x" * 8_192)):
        assert from_memory(refused, b"") is None


def test_ocsp_has_its_own_limits(deployment: Deployment) -> None:
    """REV-6: 4 KiB by POST; 8 KiB of URL; GET, HEAD and POST only; names of authorities only."""
    assert deployment.post(bytes(4_097)).status == 413
    assert ask(deployment.app, f"/ocsp/{NAME}/{'A' * 8_192}").status == 414
    assert ask(deployment.app, f"/ocsp/{NAME}", method="PUT").status == 405
    assert ask(deployment.app, "/ocsp/De%00f", method="POST").status == 404
    assert ask(deployment.app, "/ocsp/", method="POST").status == 404


# --- the rest -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/", "/scep", "/ocsp", "/metrics", "/api/v1", "/crl/", "/ca/", "/healthz/", "//", "/favicon.ico", "*"]
)
def test_what_is_not_there_is_one_answer(deployment: Deployment, path: str) -> None:
    """R6 and WEB-8: one constant 404; no administration on this listener, no redirects."""
    heard = ask(deployment.app, path)
    assert (heard.status, heard.body) == (404, b"not found\n")
    assert heard.headers == ask(deployment.app, "/scep/nowhere").headers


def test_health_is_on_the_device_listener_too(deployment: Deployment) -> None:
    """R11: alive always; not ready without a CRL; neither changes anything."""
    assert ask(deployment.app, "/healthz").status == 200
    assert ask(deployment.app, "/readyz").status == 503
    assert ask(deployment.app, "/healthz", method="POST").status == 405
    assert ask(deployment.app, "/readyz", method="DELETE").headers["allow"] == "GET, HEAD"


def test_a_flood_of_enrolments_does_not_stop_revocation_checks(deployment: Deployment) -> None:
    """RES-3: with every enrolment thread and place taken, SCEP says 503 and OCSP answers."""
    request = deployment.request(deployment.leaf())
    go = threading.Event()
    held = [deployment.pools.enrolment.submit(lambda: go.wait(20)) for _ in range(2)]
    assert ask(deployment.app, "/scep/default?operation=GetCACaps").status == 503
    assert status_of(deployment.post(request)) is ocsp.OCSPCertStatus.GOOD
    assert ask(deployment.app, f"/ca/{NAME}.cer").status == 200
    go.set()
    assert all(future.result(20) for future in held)


class FileSigner(MemorySigner):
    """Signs CRLs that lie in a directory."""

    def __init__(self, deployment: Deployment) -> None:
        super().__init__(deployment.world.store, deployment.world.keys)
        self._files = deployment.files  # type: ignore[assignment] # of a port, it reads only


def test_a_published_crl_is_served(deployment: Deployment) -> None:
    """What the job publishes is what a device fetches; it verifies, and now this is ready."""
    world, files = deployment.world, deployment.files
    publisher = CrlPublisher(world.store, files, FileSigner(deployment), world.clock, world.entropy, world.urls)
    PublishCrls(world.store, world.keys, publisher, files).run(world.clock.now())
    issuer = x509.load_der_x509_certificate(ask(deployment.app, f"/ca/{NAME}.cer").body)
    crl = x509.load_der_x509_crl(ask(deployment.app, f"/crl/{NAME}.crl").body)
    assert crl.is_signature_valid(issuer.public_key())  # type: ignore[arg-type] # it is an EC key
    assert ask(deployment.app, "/readyz").status == 200


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(
    path=st.sampled_from(["/scep/default", "/scep/", "/ocsp/" + NAME, f"/ocsp/{NAME}/", "/crl/", "/ca/", "/"]),
    rest=st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=60),
    method=st.sampled_from(["GET", "HEAD", "POST", "PUT", "BREW"]),
    body=st.binary(max_size=300),
)
def test_no_request_makes_a_5xx(deployment: Deployment, path: str, rest: str, method: str, body: bytes) -> None:
    """IN-2: whatever is asked, the answer is no 5xx and no exception."""
    deployment.world.clock.advance(timedelta(minutes=2))
    heard = ask(deployment.app, path + rest, method=method, body=(body,))
    assert heard.status < 500
    assert heard.complete
