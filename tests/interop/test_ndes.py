"""MDMs that read Microsoft's NDES page, against a running server over TLS; what they read enrols a device."""

from __future__ import annotations

import contextlib
import socket
import ssl
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.request import ProxyHandler, build_opener

import pytest

from interop.checks import check_certificate
from interop.laptop import Laptop
from interop.ndes import READERS, Mdm
from interop.openssl import fetch
from interop.programs import run, run_anyhow
from interop.server import free_port, running_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from interop.openssl import RelyingParty
    from interop.server import Server

pytestmark = pytest.mark.timeout(600)

USER, PASSWORD = "EXAMPLE\\svc-ndes", "4f0c9a7e15b2d3866f"
TLS_PORT = "REGALIA_SERVER__LISTEN_TLS"


@pytest.fixture(scope="module")
def tls() -> int:
    """A port for TLS."""
    return free_port()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, tls: int) -> Iterator[Server]:
    """A server that answers over TLS, too, with a certificate of its own issuing."""
    with running_server(tmp_path_factory.mktemp("ndes"), settings={TLS_PORT: f"127.0.0.1:{tls}"}) as running:
        yield running


@pytest.fixture(scope="module")
def mdm(server: Server) -> Mdm:
    """An MDM that trusts the root."""
    roots = server.home.parent / "roots.pem"
    roots.write_bytes(fetch(f"{server.device}/ca/root.pem"))
    return Mdm(roots, USER, PASSWORD)


def endpoint_with_page(server: Server, name: str, *options: str) -> str:
    """Open an endpoint with a page of its own: nobody has asked for it before."""
    server.open(name)
    server.open_page(name, USER, PASSWORD, *options)
    return name


def enrols(server: Server, directory: Path, url: str, secret: str) -> Laptop:
    """Enrol a device with what an MDM put into its profile."""
    directory.mkdir()
    laptop = Laptop(directory, server)
    files = ("--key", "device.key", "--cert", "device.pem")
    ended = laptop.scep("enrol", "--cn", "laptop-17", *files, "--challenge-file", "-", stdin=secret, url=url)
    assert ended.code == 0, ended.stderr
    return laptop


@pytest.mark.live_client("openssl")
@pytest.mark.parametrize("style", READERS)
def test_what_each_kind_of_mdm_reads_enrols_a_device(
    server: Server, mdm: Mdm, relying_party: RelyingParty, tls: int, tmp_path: Path, style: str
) -> None:
    """R11, mdm.md §6: an MDM asks, is told to log in, reads the page in its way, and a device enrols with that."""
    read, options = READERS[style]
    name = endpoint_with_page(server, style.replace(" ", "-"), *options)
    page = mdm.get(f"https://127.0.0.1:{tls}/mscep_admin/{name}")
    assert page.status == 200, page
    laptop = enrols(server, tmp_path / "laptop", f"{server.device}/scep/{name}", read(page))
    check_certificate(laptop.certificate, server=server, relying_party=relying_party)


def test_an_mdm_that_knows_only_a_host_name(server: Server, mdm: Mdm, tls: int, tmp_path: Path) -> None:
    """mdm.md §6.1, §6.3: page and SCEP at Microsoft's own paths, five open challenges and then the full cache."""
    server.open_page("default", USER, PASSWORD, "--certsrv", "--cache", "5")
    read, _ = READERS["pattern"]
    url = f"https://127.0.0.1:{tls}/certsrv/mscep_admin/"
    secrets = [read(mdm.get(url)) for _ in range(5)]
    assert len(set(secrets)) == 5
    full = mdm.get(url)
    assert (full.status, full.content_type) == (200, "text/html")
    assert "The password cache is full." in full.body.decode("utf-16-le")
    enrols(server, tmp_path / "laptop", f"{server.device}/CertSrv/mscep/mscep.dll", secrets[3])
    assert len(read(mdm.get(f"https://127.0.0.1:{tls}/certsrv/mscep_admin/mscep.dll"))) == 32


def test_windows_as_old_as_tls_1_2(server: Server, mdm: Mdm, tls: int) -> None:
    """R11: a client that ends at TLS 1.2 is served as well."""
    name = endpoint_with_page(server, "tls12")
    old = replace(mdm, newest_tls=ssl.TLSVersion.TLSv1_2)
    assert old.get(f"https://127.0.0.1:{tls}/mscep_admin/{name}").status == 200


def test_curl_reads_the_page(server: Server, mdm: Mdm, tls: int) -> None:
    """A client that sends its login at once, in a URL with a query, gets a challenge bound to the names."""
    name = endpoint_with_page(server, "bound", "--allow-binding")
    url = f"https://127.0.0.1:{tls}/mscep_admin/{name}?device=C02XG&cn=laptop-4&dns=laptop-4.example.com"
    options = ("--silent", "--show-error", "--fail", "--noproxy", "*", "--cacert", str(mdm.roots))
    page = run("curl", *options, "--user", f"{USER}:{PASSWORD}", url)
    assert b"e\0n\0r\0o\0l\0l\0m\0e\0n\0t\0" in page
    refused = run_anyhow("curl", *options, "--user", f"{USER}:wrong-password", url)
    assert refused.returncode == 22
    assert b"401" in refused.stderr


def test_a_challenge_opens_no_other_endpoint(server: Server, mdm: Mdm, tls: int, tmp_path: Path) -> None:
    """CHA-5: what one page hands out is refused at another endpoint, and still good at its own."""
    name = endpoint_with_page(server, "here")
    server.open("elsewhere")
    secret = READERS["pattern"][0](mdm.get(f"https://127.0.0.1:{tls}/mscep_admin/{name}"))
    laptop = Laptop(tmp_path, server)
    files = ("--key", "device.key", "--cert", "device.pem", "--challenge-file", "-")
    ended = laptop.scep("enrol", "--cn", "lap", *files, stdin=secret, url=f"{server.device}/scep/elsewhere")
    assert ended.code == 1
    enrols(server, tmp_path / "laptop", f"{server.device}/scep/{name}", secret)


def test_the_rate_holds_over_all_workers(server: Server, mdm: Mdm, tls: int) -> None:
    """NDES-012: of twelve at once at a page with five a minute five get a challenge, whichever worker they reach."""
    name = endpoint_with_page(server, "slow", "--rate", "5")
    with ThreadPoolExecutor(6) as pool:
        pages = list(pool.map(lambda _: mdm.get(f"https://127.0.0.1:{tls}/mscep_admin/{name}"), range(12)))
    assert sorted(page.status for page in pages) == [200] * 5 + [429] * 7
    assert {page.retry_after for page in pages if page.status == 429} == {"60"}


def test_over_plain_http_there_is_no_page(server: Server) -> None:
    """R11: NDES-001: on the plain port the login is not looked at, and the log says that it was sent."""
    name = endpoint_with_page(server, "clear")
    host, _, port = server.device.removeprefix("http://").partition(":")
    request = f"GET /mscep_admin/{name} HTTP/1.0\r\nAuthorization: Basic c2VjcmV0OnNlY3JldA==\r\n\r\n"
    assert b" 403 " in said_to(host, int(port), request.encode()).partition(b"\r\n")[0]
    refused = [event for event in server.events() if event["object"] == f"endpoint:{name}"][-1]
    assert (refused["reason"], refused["security"]) == ("NDES-001", True)
    assert "c2VjcmV0" not in str(server.events())


def said_to(host: str, port: int, octets: bytes, context: ssl.SSLContext | None = None) -> bytes:
    """Send octets and read what comes back until the server hangs up."""
    with contextlib.ExitStack() as opened:
        connection = opened.enter_context(socket.create_connection((host, port), timeout=20))
        if context is not None:
            connection = opened.enter_context(context.wrap_socket(connection, server_hostname=host))
        connection.sendall(octets)
        read = b""
        while piece := connection.recv(65_536):
            read += piece
        return read


@pytest.mark.parametrize(
    "target",
    [
        "/mscep_admin/default%0d%0aSet-Cookie:%20owned=1",
        "/mscep_admin/default?cn=a%0d%0aSet-Cookie:%20owned=1",
        "/mscep_admin/..%2f..%2fcertsrv%2fmscep_admin%2f",
        "http://elsewhere.example/mscep_admin/nothing",
    ],
)
def test_nothing_that_is_sent_comes_back(server: Server, mdm: Mdm, tls: int, target: str) -> None:
    """IN-6: neither a path, a query nor a host's name shows in a header or a body of what is answered."""
    del server
    request = f"GET {target} HTTP/1.1\r\nHost: owned.example\r\nX-Forwarded-Proto: https\r\nConnection: close\r\n\r\n"
    context = ssl.create_default_context(cafile=str(mdm.roots))
    answer = said_to("127.0.0.1", tls, request.encode(), context)
    assert answer.startswith((b"HTTP/1.1 404 ", b"HTTP/1.1 401 ", b"HTTP/1.1 400 "))
    assert b"owned" not in answer
    assert b"elsewhere" not in answer
    assert b"Set-Cookie" not in answer


def test_who_says_that_it_was_tls_is_not_believed(server: Server) -> None:
    """R11, WEB-9: X-Forwarded-Proto of somebody who is no proxy of ours opens nothing on the plain port."""
    name = endpoint_with_page(server, "forwarded")
    host, _, port = server.device.removeprefix("http://").partition(":")
    headers = "X-Forwarded-Proto: https\r\nForwarded: for=192.0.2.1;proto=https\r\n"
    answer = said_to(host, int(port), f"GET /mscep_admin/{name} HTTP/1.0\r\n{headers}\r\n".encode())
    assert b" 403 " in answer.partition(b"\r\n")[0]


def test_a_page_behind_a_proxy_of_ours(tmp_path: Path) -> None:
    """R11, WEB-9: a configured proxy's word counts: that it was TLS, and from where, for the list of networks."""
    login = b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    with running_server(tmp_path, settings={"REGALIA_SERVER__TRUSTED_PROXIES": "127.0.0.1"}) as server:
        server.open_page("default", USER, PASSWORD, "--network", "192.0.2.0/24", "--encoding", "utf-8")
        host, _, port = server.device.removeprefix("http://").partition(":")

        def asked(scheme: str, source: str) -> bytes:
            said = f"X-Forwarded-Proto: {scheme}\r\nX-Forwarded-For: {source}\r\nAuthorization: Basic {login}\r\n"
            return said_to(host, int(port), f"GET /mscep_admin/default HTTP/1.0\r\n{said}\r\n".encode())

        assert b"The enrollment challenge password is: <B> " in asked("https", "192.0.2.7")
        assert b"You do not have sufficient permission" in asked("https", "198.51.100.7")
        assert b" 403 " in asked("http", "192.0.2.7").partition(b"\r\n")[0]
        handed = [event for event in server.events() if event["action"] == "challenge.created"]
    assert [event["actor"] for event in handed] == [{"kind": "system", "id": "ndes:default", "source": "192.0.2.7"}]


def test_a_closed_page_is_gone_in_every_worker(server: Server, mdm: Mdm, tls: int) -> None:
    """R6: an endpoint that is disabled takes its page with it, and the log verifies."""
    name = endpoint_with_page(server, "closing")
    url = f"https://127.0.0.1:{tls}/mscep_admin/{name}"
    assert mdm.get(url).status == 200
    server.close(name)
    for _ in range(100):
        if all(mdm.get(url).status == 404 for _ in range(8)):
            break
    else:
        pytest.fail("it still answers")
    with build_opener(ProxyHandler({})).open(f"{server.device}/healthz", timeout=20) as alive:
        assert alive.status == 200
    assert server.verify_events()
