"""Nginx, HAProxy and Caddy, as the documentation sets them up, in front of a running server."""

from __future__ import annotations

import base64
import os
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from interop.checks import check_certificate
from interop.proxies import HOST, PROXIES, Curl, running_proxy
from interop.server import running_server
from interop.strongswan import StrongSwan
from regalia.client.scep import ScepClient
from regalia.errors import PeerError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from interop.openssl import RelyingParty
    from interop.proxies import Proxy
    from interop.server import Server
    from regalia.client.transport import Transport

pytestmark = [pytest.mark.timeout(600), pytest.mark.live_client("openssl")]

DEVICE, OTHER = "127.0.0.5", "127.0.0.6"
"""Addresses that devices come from; the proxies come from 127.0.0.1."""
CLAIMED = "203.0.113.9"
SETTINGS = {
    "REGALIA_SERVER__TRUSTED_PROXIES": "127.0.0.1",
    # Smaller than what the tests open through one proxy at a time.
    "REGALIA_SERVER__CONNECTIONS_PER_SOURCE": "3",
}


class Here:
    """This machine's clock and chance."""

    def now(self) -> datetime:
        """Tell the time."""
        return datetime.now(UTC)

    def octets(self, count: int) -> bytes:
        """Draw octets."""
        return os.urandom(count)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that trusts what 127.0.0.1 says."""
    with running_server(tmp_path_factory.mktemp("behind"), settings=SETTINGS) as running:
        yield running


@pytest.fixture(scope="module")
def secret(server: Server) -> str:
    """The static challenge of the endpoint `fleet`: a device for each needs no command."""
    return server.open_with_secret("fleet", "static")


@pytest.fixture(
    scope="module", params=[pytest.param(name, marks=pytest.mark.live_client(name)) for name in sorted(PROXIES)]
)
def proxy(request: pytest.FixtureRequest, server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """Each of the proxies in turn."""
    with running_proxy(request.param, tmp_path_factory.mktemp("proxy") / request.param, server.device) as running:
        yield running


def enrols(url: str, transport: Transport, secret: str, *, patient: bool = True) -> int:
    """Enrol with our client over a transport; the certificate's serial number."""
    pause = time.sleep if patient else lambda _: None
    client = ScepClient(f"{url}/scep/fleet", transport, Here(), Here(), pause=pause)
    key = rsa.generate_private_key(65537, 2048)
    made = client.enrol(client.server(None), key, cn=None, sans=frozenset(), challenge=secret)
    return x509.load_der_x509_certificate(made.certificate).serial_number


def sources(server: Server, serials: Sequence[int]) -> list[str]:
    """Return who got these certificates, as the events of their issue name them."""
    issued = {
        event["serial"]: event["actor"]["id"] for event in server.events() if event["action"] == "certificate.issued"
    }
    return [issued[f"{serial:x}"] for serial in serials]


@pytest.mark.live_client("strongswan")
def test_strongswan_enrols_through_it(
    server: Server, proxy: Proxy, relying_party: RelyingParty, tmp_path: Path
) -> None:
    """A device with strongSwan enrols as it does without a proxy."""
    device = StrongSwan(tmp_path, f"http://127.0.0.1:{proxy.plain}/scep/default")
    device.fetch_ca()
    name = f"ss-{proxy.name}"
    path = device.enrol(
        device.new_key("key"),
        cn=name,
        dns=f"{name}.example.com",
        challenge=server.challenge(cn=name, dns=f"{name}.example.com"),
    )
    check_certificate(path, server=server, relying_party=relying_party)


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("get", [False, True], ids=["post", "get"])
def test_the_event_names_the_device(server: Server, proxy: Proxy, secret: str, scheme: str, get: bool) -> None:  # noqa: FBT001 - a parameter
    """RES-6: plain or under TLS, by POST or GET, the address on record is the device's, whatever it claims to be."""
    curl = Curl(DEVICE, proxy, get=get)
    made = [enrols(proxy.url(scheme), each, secret) for each in (curl, curl.claiming(CLAIMED))]
    assert sources(server, made) == [DEVICE, DEVICE]


def test_who_comes_directly_is_not_believed(server: Server, proxy: Proxy, secret: str) -> None:
    """CVE-2026-24000: a device that reaches the listener beside the proxy is who it is."""
    direct = Curl(OTHER, proxy).claiming(CLAIMED)
    assert sources(server, [enrols(server.device, direct, secret)]) == [OTHER]


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_get_of_32_kib_comes_through(server: Server, proxy: Proxy, scheme: str) -> None:
    """R7: the longest URL that we take reaches us, and what is longer is refused by us, not by the proxy."""
    curl = Curl(DEVICE, proxy)

    def ask(octets: int) -> tuple[int, bytes]:
        message = quote(base64.b64encode(os.urandom(octets)), safe="")
        answered = curl.exchange(f"{proxy.url(scheme)}/scep/default?operation=PKIOperation&message={message}", None)
        return answered.status, answered.body

    assert ask(32_768) == (400, b"bad request\n")
    assert ask(32_769) == (414, b"url too long\n")
    told = [event["actor"]["id"] for event in server.events() if event["reason"] == "SCEP-005"]
    assert told
    assert set(told) == {DEVICE}


def test_http_1_0_without_a_name_reaches_us(proxy: Proxy) -> None:
    """Cisco IOS names no host: the proxy's first site is ours."""
    with socket.create_connection(("127.0.0.1", proxy.plain), timeout=30) as connection:
        connection.sendall(b"GET /scep/default/pkiclient.exe?operation=GetCACaps&message=CA HTTP/1.0\r\n\r\n")
        heard = b""
        while octets := connection.recv(65_536):
            heard += octets
    assert b" 200 OK" in heard.partition(b"\r\n")[0]
    assert b"SCEPStandard" in heard


def test_limits_count_devices(server: Server, proxy: Proxy, secret: str) -> None:
    """CHA-3: who guesses is stopped, whatever address it claims in each request; another device is not."""
    guesser = f"127.0.1.{sorted(PROXIES).index(proxy.name) + 1}"
    statuses: list[int] = []
    for guess in range(60):
        curl = Curl(guesser, proxy).claiming(f"198.51.100.{guess}")
        with pytest.raises((PeerError, UnavailableError)):
            enrols(proxy.url("http"), curl, f"WRONG-{guess}", patient=False)
        statuses += curl.statuses
        if statuses.count(429) >= 5:
            break
    assert statuses.count(429) >= 5
    reached = [event for event in server.events() if event["action"] == "limit.reached"]
    assert {event["object"] for event in reached if guesser in event["object"]} == {f"source:{guesser}"}
    assert not [event for event in reached if "198.51.100" in event["object"] or "127.0.0.1" in event["object"]]
    assert sources(server, [enrols(proxy.url("http"), Curl(DEVICE, proxy), secret)]) == [DEVICE]


def test_connections_of_the_proxy_are_many_devices(server: Server, proxy: Proxy, secret: str) -> None:
    """RES-2: ten devices at a time through one proxy are served where one source may have three connections."""
    addresses = [f"127.0.2.{number}" for number in range(1, 11)]

    def device(address: str) -> int:
        return enrols(proxy.url("https"), Curl(address, proxy), secret, patient=False)

    with ThreadPoolExecutor(len(addresses)) as devices:
        assert sources(server, list(devices.map(device, addresses))) == addresses


def test_the_scheme_is_the_devices(server: Server, proxy: Proxy) -> None:
    """A page that is only shown over https is shown through TLS at the proxy, and to nobody who merely claims it."""
    name = f"page-{proxy.name}"
    server.open(name)
    server.open_page(name, "EXAMPLE\\svc", "4f0c9a7e15b2d3866f")
    curl = Curl(DEVICE, proxy)

    def status(given: Curl, scheme: str) -> int:
        return given.exchange(f"{proxy.url(scheme)}/mscep_admin/{name}", None).status

    assert status(curl, "https") == 401
    assert status(curl.claiming(CLAIMED, "http"), "https") == 401
    assert status(curl, "http") == 403
    assert status(curl.claiming(CLAIMED, "https"), "http") == 403
    direct = f"{server.device}/mscep_admin/{name}"
    assert curl.claiming(CLAIMED, "https").exchange(direct, None).status == 403


def test_the_log_complains_of_nothing(server: Server, proxy: Proxy) -> None:
    """The documented configurations are understood: no header of theirs was unreadable."""
    assert [line for line in server.log() if line["event"] == "proxy-not-understood"] == []
    assert HOST not in str([line for line in server.log() if line.get("level") in {"warning", "error"}])
    del proxy
