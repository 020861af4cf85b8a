"""A database that is away: nothing is issued, nobody is refused for it, and what is public is served on (RES-7)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509 import ocsp

from fakes import FakeClock
from memory_store import MemoryStore
from regalia import reasons
from regalia.ca.status import OcspResponder
from regalia.errors import UnavailableError
from regalia.model import CertificateKind
from regalia.ports import CertificateFilter
from regalia.store.crl_files import DirectoryCrlFiles
from regalia.web.device import device_app
from regalia.web.health import Readiness
from regalia.web.metrics import Metrics
from web.asgi import ask
from world import ADMIN, Device, World, names

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from pathlib import Path

    from starlette.types import ASGIApp

    from regalia.model import Authority, Credential, CredentialPurpose, Door, EventDraft
    from regalia.ports import SerialStatus
    from regalia.web.pool import Pools

NAME = "default-ca-1"


class AwayStore(MemoryStore):
    """A store that cannot be reached while `away` is set."""

    away = False

    def _reach(self) -> None:
        if self.away:
            raise UnavailableError(reasons.STORE_UNAVAILABLE, "away")

    def door(self, endpoint: str) -> Door | None:
        """Look, or be unreachable."""
        self._reach()
        return super().door(endpoint)

    def authority(self, name: str) -> Authority | None:
        """Look, or be unreachable."""
        self._reach()
        return super().authority(name)

    def authorities(self) -> tuple[Authority, ...]:
        """Look, or be unreachable."""
        self._reach()
        return super().authorities()

    def credentials(self, purpose: CredentialPurpose, authority: str) -> tuple[Credential, ...]:
        """Look, or be unreachable."""
        self._reach()
        return super().credentials(purpose, authority)

    def serial_status(self, authority: str, serial: int) -> SerialStatus | None:
        """Look, or be unreachable."""
        self._reach()
        return super().serial_status(authority, serial)

    def lease(self, job: str, holder: str, now: datetime, until: datetime) -> bool:
        """Write, or be unreachable."""
        self._reach()
        return super().lease(job, holder, now, until)

    def record(self, events: Sequence[EventDraft]) -> None:
        """Write, or be unreachable."""
        self._reach()
        super().record(events)


class Cut:
    """A deployment whose database goes away."""

    def __init__(self, directory: Path, pools: Pools) -> None:
        self.store = AwayStore()
        self.world = World(store=self.store)
        self.files = DirectoryCrlFiles(directory)
        self.ocsp = OcspResponder(self.store, self.world.keys, self.world.clock)
        self.metrics = Metrics(FakeClock())
        self.app: ASGIApp = device_app(
            scep=self.world.scep,
            doors=self.store,
            ocsp=self.ocsp,
            authorities=self.store,
            crl_files=self.files,
            readiness=Readiness(self.store, self.world.keys, self.files, self.world.clock),
            pools=pools,
            metrics=self.metrics,
            clock=self.world.clock,
        )

    def ocsp_request(self) -> bytes:
        """Ask about the newest leaf, with somebody else's code."""
        leaf = self.store.certificates(CertificateFilter(kind=CertificateKind.LEAF))[0]
        issuer = self.store.authority(NAME)
        assert issuer is not None
        assert leaf.der is not None
        request = ocsp.OCSPRequestBuilder().add_certificate(
            x509.load_der_x509_certificate(leaf.der),
            x509.load_der_x509_certificate(issuer.certificate_der),
            hashes.SHA256(),
        )
        return request.build().public_bytes(serialization.Encoding.DER)


@pytest.fixture
def cut(tmp_path: Path, pools: Pools) -> Cut:
    """A deployment with a device, whose database is about to go away."""
    made = Cut(tmp_path / "crl", pools)
    Device(made.world).enrol(names("laptop-1"), made.world.mint("laptop-1"))
    return made


def test_nothing_is_issued_and_nobody_is_refused(cut: Cut) -> None:
    """R6 and RES-7: a device is told to come again, never that it may not; afterwards it is served."""
    device = Device(cut.world).fresh("transaction-2")
    message = device.message(device.csr(names("laptop-2"), cut.world.mint("laptop-2")))
    cut.store.away = True
    heard = ask(cut.app, "/scep/default?operation=PKIOperation", method="POST", body=(message,))
    assert (heard.status, heard.headers["retry-after"]) == (503, "10")
    cut.store.away = False
    assert ask(cut.app, "/scep/default?operation=PKIOperation", method="POST", body=(message,)).status == 200


@pytest.mark.parametrize("operation", ["GetCACaps", "GetCACert"])
def test_what_an_endpoint_tells_everybody_is_told_from_memory(cut: Cut, operation: str) -> None:
    """RES-7: devices go on to learn the capabilities and the certificates of an endpoint that was asked before."""
    target = f"/scep/default?operation={operation}"
    before = ask(cut.app, target)
    assert before.status == 200
    cut.store.away = True
    assert (ask(cut.app, target).status, ask(cut.app, target).body) == (200, before.body)
    assert ask(cut.app, f"/scep/staff?operation={operation}").status == 503
    assert ask(cut.app, "/scep/default?operation=nonsense").status == 503


def test_a_disabled_endpoint_is_not_told_of_from_memory(cut: Cut) -> None:
    """R6: what was seen to be disabled stays so while the database is away."""
    target = "/scep/default?operation=GetCACaps"
    assert ask(cut.app, target).status == 200
    cut.world.registry.disable_endpoint("default", actor=ADMIN)
    assert ask(cut.app, target).status == 404
    cut.store.away = True
    assert ask(cut.app, target).status == 503


def test_crl_and_ca_certificates_are_served(cut: Cut) -> None:
    """RES-7: from the file and from memory; the database is not needed for either."""
    cut.files.publish(NAME, cut.files.write([b"a CRL"]).path)
    crl = ask(cut.app, f"/crl/{NAME}.crl")
    certificate = ask(cut.app, f"/ca/{NAME}.cer")
    assert (crl.status, certificate.status) == (200, 200)
    cut.store.away = True
    assert ask(cut.app, f"/crl/{NAME}.crl").body == crl.body
    assert ask(cut.app, f"/ca/{NAME}.cer").body == certificate.body


def test_ocsp_says_try_later(cut: Cut) -> None:
    """RES-7 and R8: what is not remembered is not known now, and RFC 6960 §2.3 has a word for it; nobody keeps it."""
    request = cut.ocsp_request()
    cut.ocsp.bypass(on=True)
    cut.store.away = True
    heard = ask(cut.app, f"/ocsp/{NAME}", method="POST", body=(request,))
    assert (heard.status, heard.headers["cache-control"]) == (200, "no-store")
    assert ocsp.load_der_ocsp_response(heard.body).response_status is ocsp.OCSPResponseStatus.TRY_LATER
    labels = {"status": "try_later", "cache": "miss"}
    assert cut.metrics.registry.get_sample_value("regalia_ocsp_answers_total", labels) == 1
    cut.store.away = False
    heard = ask(cut.app, f"/ocsp/{NAME}", method="POST", body=(request,))
    assert ocsp.load_der_ocsp_response(heard.body).response_status is ocsp.OCSPResponseStatus.SUCCESSFUL


def test_a_remembered_ocsp_answer_is_given(cut: Cut) -> None:
    """RES-7: until the notices are known to be missing, what is remembered is good and needs no database."""
    request = cut.ocsp_request()
    first = ask(cut.app, f"/ocsp/{NAME}", method="POST", body=(request,))
    cut.store.away = True
    assert ask(cut.app, f"/ocsp/{NAME}", method="POST", body=(request,)).body == first.body


def test_not_ready_but_alive(cut: Cut) -> None:
    """RES-7: a balancer sends devices elsewhere, and nobody restarts a process that is well."""
    cut.store.away = True
    assert ask(cut.app, "/healthz").status == 200
    heard = ask(cut.app, "/readyz")
    assert (heard.status, heard.headers["retry-after"]) == (503, "10")
    assert b'"database":false' in heard.body
