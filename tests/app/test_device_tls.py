"""The device listener's certificate as it is wired: a real home, a clock that moves, and a listener that stays up."""

from __future__ import annotations

import socket
import ssl
import time
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from cli.transcript import regalia
from fakes import FakeClock
from regalia import reasons
from regalia.app.build import open_home, wire
from regalia.app.device_tls import device_tls, issues_own, server_certificates
from regalia.config import load_config
from regalia.errors import AdminError
from regalia.jobs.renew_credentials import RenewTls
from regalia.model import CredentialPurpose, San, SanKind
from regalia.web.answers import NOT_FOUND
from regalia.web.serve import Listener
from regalia.wire.certificate import read_certificate
from web.asgi import listening

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from regalia.app import App
    from regalia.app.build import Ground
    from regalia.config import Config
    from regalia.errors import Reason

pytestmark = pytest.mark.real


def configured(home: Path, **server: str) -> Config:
    """Read a home's configuration with these settings of `[server]`."""
    given = {"LISTEN_TLS": "127.0.0.1:0", "URL": "http://pki.example.test:8080"} | server
    return load_config({f"REGALIA_SERVER__{key}": value for key, value in given.items()}, home=home)


@pytest.fixture
def new_home(tmp_path: Path) -> Path:
    """Make a home by the product's own `init`."""
    home = tmp_path / "home"
    ran = regalia(["init", "--home", str(home), "--url", "http://pki.example.test:8080"])
    assert ran.status == 0, ran.output
    return home


@pytest.fixture
def ground(new_home: Path) -> Iterator[Ground]:
    """What a home stands on."""
    opened = open_home(configured(new_home))
    yield opened
    opened.store.close()


def app_at(home: Path, ground: Ground, server: Mapping[str, str] | None = None, *, days: int = 0) -> App:
    """Wire the home as it is some days from now."""
    clock = FakeClock(ground.clock.now() + timedelta(days=days))
    return wire(configured(home, **(server or {})), replace(ground, clock=clock))


def presented(port: int) -> bytes:
    """Return the certificate that a new connection is shown."""
    return ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate(("127.0.0.1", port), timeout=20))


def test_the_job_renews_and_the_listener_follows(new_home: Path, ground: Ground) -> None:
    """After two thirds of its life the job makes another certificate; the listener shows it, and nobody is dropped."""
    app = app_at(new_home, ground)
    source = device_tls(app, None)
    with listening(Listener("device-tls", NOT_FOUND, "127.0.0.1", 0, source)) as (bound,):
        first = presented(bound.port)
        job = RenewTls(server_certificates(app, "a"))
        job.run(app.clock.now())
        assert presented(bound.port) == first
        client = ssl.create_default_context()
        client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
        with (
            socket.create_connection(("127.0.0.1", bound.port), timeout=20) as plain,
            client.wrap_socket(plain) as held,
        ):
            assert asked(held)
            later = app_at(new_home, ground, days=61)
            RenewTls(server_certificates(later, "a")).run(later.clock.now())
            deadline = time.monotonic() + 30
            while (second := presented(bound.port)) == first:
                assert time.monotonic() < deadline
                time.sleep(0.2)
            assert held.getpeercert(binary_form=True) == first
            assert asked(held)
    assert read_certificate(second).public_key != read_certificate(first).public_key
    assert read_certificate(second).not_after - read_certificate(first).not_after > timedelta(days=60)
    assert len(app.store.credentials(CredentialPurpose.TLS, "default-ca-1")) == 2


def asked(connection: ssl.SSLSocket) -> bool:
    """Whether a request over this connection is answered."""
    connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    heard = b""
    while not heard.endswith(b"not found\n"):
        octets = connection.recv(65_536)
        if not octets:
            return False
        heard += octets
    return True


def test_whom_the_certificate_names(new_home: Path, ground: Ground) -> None:
    """The host of server.url, the listener's host where it is a name, and what was added."""
    told = {"LISTEN_TLS": "scep.example.test:8443", "TLS_NAMES": "192.0.2.7, other.example.test"}
    names = server_certificates(app_at(new_home, ground, told), "a").names
    hosts = {"pki.example.test", "scep.example.test", "other.example.test"}
    assert names == {San(SanKind.DNS, host) for host in hosts} | {San(SanKind.IP, "192.0.2.7")}
    plain = server_certificates(app_at(new_home, ground, {"LISTEN_TLS": "0.0.0.0:8443"}), "a").names
    assert plain == {San(SanKind.DNS, "pki.example.test")}


def test_its_key_is_never_opened_for_another_purpose(new_home: Path, ground: Ground) -> None:
    """SEC-1: what the listener reads is a key of its own scope; the chain above it is the authority's."""
    app = app_at(new_home, ground)
    pem = device_tls(app, None).read()
    assert pem.count(b"BEGIN CERTIFICATE") == 2
    assert pem.count(b"BEGIN PRIVATE KEY") == 1
    (credential,) = app.store.credentials(CredentialPurpose.TLS, "default-ca-1")
    row = app.store.get_key(credential.key_id)
    assert row is not None
    assert row.scope == "tls:default"


@pytest.mark.parametrize(
    ("server", "reason"),
    [
        ({"TLS_GROUP": "nobody"}, reasons.NOT_FOUND),
        ({"TLS_NAMES": "*.example.test"}, reasons.CONFIG_REFUSED),
        ({"TLS_CERTIFICATE": "none.crt", "TLS_KEY": "none.key"}, reasons.FILE_REFUSED),
    ],
    ids=["group", "wildcard", "files"],
)
def test_what_keeps_it_from_starting_is_said(
    new_home: Path, ground: Ground, server: dict[str, str], reason: Reason
) -> None:
    """A listener without a certificate does not start; the administrator reads why."""
    with pytest.raises(AdminError) as refused:
        device_tls(app_at(new_home, ground, server), None)
    assert refused.value.reason is reason


def test_files_need_no_authority(new_home: Path) -> None:
    """Where files are configured nothing is issued, nor renewed by the job."""
    assert issues_own(configured(new_home).server)
    assert not issues_own(configured(new_home, TLS_CERTIFICATE="a", TLS_KEY="b").server)
    assert not issues_own(load_config({}, home=new_home).server)
