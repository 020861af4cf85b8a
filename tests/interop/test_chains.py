"""Every ready-made profile before OpenSSL, GnuTLS, NSS and pkilint: chain, full CRL and OCSP, and what each refuses.

The certificates are ordered as an administrator orders them, in memory; OCSP is answered at the address that they
carry, since NSS asks nowhere else.
"""

from __future__ import annotations

import sys
import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from fakes import FakeClock
from interop.programs import run, run_anyhow
from interop.validators import VALIDATORS, Purpose, Trust, Verdict
from regalia.ca.crl import CrlPublisher
from regalia.ca.lint import lint_full
from regalia.ca.profile_ready_made import READY_MADE
from regalia.ca.revoke import revoke
from regalia.ca.status import OcspResponder
from regalia.model import Names, RevocationReason, San, SanKind
from regalia.ra.order import Order
from regalia.verbs.content import certificates_text
from world import ADMIN, World

if TYPE_CHECKING:
    from collections.abc import Iterator

    from interop.validators import GnuTls, Nss, OpenSsl
    from regalia.model import Certificate

DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Case:
    """What is ordered of a profile, and what its certificate is good for."""

    names: Names
    purpose: Purpose
    wrong: Purpose
    device: str | None = None


def _names(cn: str | None, *sans: tuple[SanKind, str], sid: str | None = None) -> Names:
    return Names(cn, frozenset(San(kind, value) for kind, value in sans), sid=sid)


_UPN = (SanKind.UPN, "ada@example.com")
_SID = "S-1-5-21-1004336348-1177238915-682003330-1104"
CASES: Final = {
    "eap-tls-device": Case(
        _names("laptop-17", (SanKind.DNS, "laptop-17.example.com")), Purpose.CLIENT, Purpose.SERVER, "laptop-17"
    ),
    "eap-tls-user": Case(_names("ada", _UPN), Purpose.CLIENT, Purpose.SERVER),
    "radius-server": Case(
        _names("radius.example.com", (SanKind.DNS, "radius.example.com")), Purpose.SERVER, Purpose.CLIENT
    ),
    "vpn": Case(
        _names("laptop-18", (SanKind.DNS, "laptop-18.vpn.example.com")), Purpose.CLIENT, Purpose.MAIL, "laptop-18"
    ),
    "nps-ad-logon": Case(_names("ada", _UPN, sid=_SID), Purpose.CLIENT, Purpose.SERVER),
    "smime-signing": Case(_names("Ada Lovelace", (SanKind.EMAIL, "ada@example.com")), Purpose.MAIL, Purpose.CLIENT),
    "tls-server": Case(_names(None, (SanKind.DNS, "www.example.com")), Purpose.SERVER, Purpose.CLIENT),
    "short-lived": Case(
        _names("payments-7", (SanKind.URI, "urn:device:payments-7")), Purpose.CLIENT, Purpose.SERVER, "payments-7"
    ),
}


class _Responder(ThreadingHTTPServer):
    """Answers OCSP, as `web.ocsp` does, and nothing else."""

    daemon_threads = True
    responder: OcspResponder


class _Handler(BaseHTTPRequestHandler):
    server: _Responder

    def do_POST(self) -> None:
        """Answer one request."""
        self._answer(self.rfile.read(int(self.headers["Content-Length"])))

    def do_GET(self) -> None:
        """Answer one that stands in the path (RFC 6960 appendix A.1)."""
        from base64 import b64decode  # noqa: PLC0415 - used here alone
        from urllib.parse import unquote  # noqa: PLC0415 - the same

        self._answer(b64decode(unquote(self.path.split("/", 3)[3])))

    def _answer(self, request: bytes) -> None:
        body = self.server.responder.answer(request).der
        self.send_response(200)
        self.send_header("Content-Type", "application/ocsp-response")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Keep quiet."""


@dataclass(frozen=True, slots=True)
class Pki:
    """A world with a good, a revoked and an expired certificate of each profile, and where its files are."""

    world: World
    directory: Path
    trust: Trust
    ocsp: str

    def leaf(self, profile: str, state: str = "good") -> Path:
        """Return a certificate's file."""
        return self.directory / f"{profile}-{state}.pem"


def _order(world: World, profile: str, case: Case) -> Certificate:
    subject = x509.Name([])
    key = ec.generate_private_key(ec.SECP256R1())
    request = x509.CertificateSigningRequestBuilder(subject).sign(key, hashes.SHA256()).public_bytes(Encoding.DER)
    return world.orders.place(Order("default", profile, request, case.names, case.device), ADMIN).certificate


def _publish(world: World, name: str) -> bytes:
    publisher = CrlPublisher(world.store, world.files, world.signer, world.clock, world.entropy, world.urls)
    publisher.publish(name)
    record = world.store.last_crl(name)
    assert record is not None
    return b"".join(world.store.crl_octets(record))


def _fill(world: World, directory: Path) -> None:
    """Issue for each profile: one that has expired since, one that is revoked, and one that is good."""
    now = datetime.now(UTC).replace(microsecond=0)
    for each in READY_MADE.values():
        world.registry.create_profile(each.name, "default", each.document, actor=ADMIN)
        short = each.document.replace('duration = "', 'duration = "1d" # "')
        world.registry.create_profile(f"{each.name}-day", "default", short, actor=ADMIN)
    for state in ("expired", "revoked", "good"):
        for profile, case in CASES.items():
            certificate = _order(world, f"{profile}-day" if state == "expired" else profile, case)
            (directory / f"{profile}-{state}.pem").write_text(certificates_text([certificate.der or b""]), "ascii")
            if state == "revoked":
                world.clock.advance(timedelta(seconds=1))
                revoke(world.store, world.clock, certificate, reason=RevocationReason.SUPERSEDED, actor=ADMIN)
        if state == "expired":
            world.clock.advance(now - world.clock.now() - timedelta(minutes=30))


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pki]:
    """Issue everything, publish the CRLs, and answer OCSP."""
    directory = tmp_path_factory.mktemp("chains")
    server = _Responder(("127.0.0.1", 0), _Handler)
    url = f"http://127.0.0.1:{server.server_port}"
    world = World(clock=FakeClock(datetime.now(UTC).replace(microsecond=0) - 20 * DAY), url=url)
    _fill(world, directory)
    group = world.store.group("default")
    assert group is not None
    authorities = {name: world.store.authority(name) for name in ("root", group.authority)}
    trust = Trust(*(directory / name for name in ("root.pem", "issuing.pem", "root.crl", "issuing.crl")))
    for name, certificate, crl in (
        ("root", trust.root, trust.root_crl),
        (group.authority, trust.issuing, trust.issuing_crl),
    ):
        authority = authorities[name]
        assert authority is not None
        certificate.write_text(certificates_text([authority.certificate_der]), "ascii")
        crl.write_bytes(_publish(world, name))
    world.clock.advance(datetime.now(UTC).replace(microsecond=0) - world.clock.now())
    server.responder = OcspResponder(world.store, world.keys, world.clock)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield Pki(world, directory, trust, f"{url}/ocsp/{group.authority}")
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module", params=VALIDATORS, ids=lambda tool: tool.name)
def tool(request: pytest.FixtureRequest, pki: Pki) -> OpenSsl | GnuTls | Nss:
    """Return a relying party."""
    made: OpenSsl | GnuTls | Nss = request.param(pki.trust, pki.directory)
    return made


def test_each_ready_made_profile_is_among_them() -> None:
    """There is no ready-made profile that no relying party has seen."""
    assert set(CASES) == set(READY_MADE)


@pytest.mark.parametrize("profile", CASES)
def test_a_good_certificate_is_accepted(pki: Pki, tool: OpenSsl | GnuTls | Nss, profile: str) -> None:
    """OpenSSL, GnuTLS and NSS accept chain, full CRL and OCSP answer of each ready-made profile."""
    leaf, purpose = pki.leaf(profile), CASES[profile].purpose
    assert tool.chain(leaf, purpose) is Verdict.GOOD
    assert tool.with_crls(leaf, purpose) is Verdict.GOOD
    assert tool.with_ocsp(leaf, pki.ocsp, purpose) is Verdict.GOOD


@pytest.mark.parametrize("profile", CASES)
def test_a_bad_certificate_is_refused(pki: Pki, tool: OpenSsl | GnuTls | Nss, profile: str) -> None:
    """The same tools refuse it for another purpose, after its end, and once CRL or OCSP say that it is revoked."""
    case = CASES[profile]
    assert tool.chain(pki.leaf(profile), case.wrong) is Verdict.PURPOSE
    assert tool.chain(pki.leaf(profile, "expired"), case.purpose) is Verdict.EXPIRED
    revoked = pki.leaf(profile, "revoked")
    assert tool.chain(revoked, case.purpose) is Verdict.GOOD
    assert tool.with_crls(revoked, case.purpose) is Verdict.REVOKED
    assert tool.with_ocsp(revoked, pki.ocsp, case.purpose) is Verdict.REVOKED


def _pkilint(program: str, *arguments: str | Path) -> list[str]:
    """Run one of pkilint's programs; return the errors that it prints, a line each."""
    ended = run_anyhow(Path(sys.executable).parent / program, "lint", "-s", "ERROR", *arguments)
    return (ended.stdout + ended.stderr).decode().split("\n") if (ended.stdout + ended.stderr).strip() else []


@pytest.mark.parametrize("profile", CASES)
def test_pkilint_accepts_the_certificate(pki: Pki, profile: str) -> None:
    """No error is found by pkilint in a certificate of any ready-made profile."""
    assert lint_full(x509.load_pem_x509_certificate(pki.leaf(profile).read_bytes()).public_bytes(Encoding.DER)) == ()


def test_pkilint_accepts_chain_crl_and_ocsp(pki: Pki) -> None:
    """The programs of pkilint find no error in a leaf beside its issuer, in the full CRLs and in an OCSP answer."""
    request = pki.directory / "request.ocsp"
    answer = pki.directory / "answer.ocsp"
    run("openssl", "ocsp", "-issuer", pki.trust.issuing, "-cert", pki.leaf("vpn"), "-reqout", request, "-no_nonce")
    responder = OcspResponder(pki.world.store, pki.world.keys, pki.world.clock)
    answer.write_bytes(responder.answer(request.read_bytes()).der)
    assert _pkilint("lint_pkix_cert", pki.leaf("vpn")) == []
    assert _pkilint("lint_pkix_signer_signee_cert_chain", pki.trust.issuing, pki.leaf("vpn")) == []
    assert _pkilint("lint_crl", "-t", "CRL", "-p", "PKIX", pki.trust.issuing_crl) == []
    assert _pkilint("lint_ocsp_response", answer) == []


def test_pkilint_refuses_another_issuer(pki: Pki) -> None:
    """Beside an issuer that is not its own a leaf has errors, so that silence above means something."""
    told = "\n".join(_pkilint("lint_pkix_signer_signee_cert_chain", pki.trust.root, pki.leaf("vpn")))
    assert "ERROR" in told
