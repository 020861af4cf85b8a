"""Who asks, where a reverse proxy stands in front: what is believed of whom (WEB-9, RES-6)."""

from __future__ import annotations

import time
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from regalia.web.proxies import ProxyHeader, TrustedProxies

if TYPE_CHECKING:
    from collections.abc import Iterable

PROXY = "10.0.0.7"
NETWORKS = (ip_network("10.0.0.0/24"), ip_network("2001:db8:1::/64"))


def seen(
    *headers: tuple[str, str],
    peer: str = PROXY,
    header: ProxyHeader = ProxyHeader.X_FORWARDED_FOR,
    scheme: str = "http",
    proxies: TrustedProxies | None = None,
) -> tuple[str, str]:
    """Return address and scheme as the application sees them."""
    scope: dict[str, Any] = {
        "client": (peer, 1234),
        "scheme": scheme,
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in headers],
    }
    (proxies or TrustedProxies(NETWORKS, header)).apply(scope)
    return scope["client"][0], scope["scheme"]


def xff(*values: str, peer: str = PROXY, proxies: TrustedProxies | None = None) -> str:
    """Return the address that X-Forwarded-For gives."""
    return seen(*(("X-Forwarded-For", value) for value in values), peer=peer, proxies=proxies)[0]


def forwarded(*values: str) -> tuple[str, str]:
    """Return what Forwarded gives."""
    return seen(*(("Forwarded", value) for value in values), header=ProxyHeader.FORWARDED)


@pytest.mark.parametrize(
    ("values", "client"),
    [
        (["192.0.2.1"], "192.0.2.1"),
        (["198.51.100.9, 192.0.2.1"], "192.0.2.1"),
        (["198.51.100.9", "192.0.2.1"], "192.0.2.1"),
        (["198.51.100.9, 192.0.2.1, 10.0.0.8"], "192.0.2.1"),
        (["198.51.100.9,192.0.2.1 ,\t10.0.0.8 , "], "192.0.2.1"),
        (["nonsense, \x00\xff, 192.0.2.1"], "192.0.2.1"),
        (["10.0.0.9, 10.0.0.8"], "10.0.0.9"),
        (["192.0.2.1:55012"], "192.0.2.1"),
        (["2001:db8::5"], "2001:db8::5"),
        (["[2001:DB8::5]:443"], "2001:db8::5"),
        (["[2001:db8::5]"], "2001:db8::5"),
        (["192.0.2.1, 2001:db8:1::2"], "192.0.2.1"),
        (["::ffff:192.0.2.1"], "192.0.2.1"),
        (["192.0.2.1, ::ffff:10.0.0.8"], "192.0.2.1"),
        ([], PROXY),
        ([" , ,"], PROXY),
    ],
)
def test_the_client_is_the_last_address_that_is_no_proxy(values: list[str], client: str) -> None:
    """What stands to the left of the first foreign address, seen from the right, is a device's own text."""
    assert xff(*values) == client


@pytest.mark.parametrize(
    "value",
    [
        "unknown",
        "192.0.2.1.5",
        "192.0.2.256",
        "fe80::1%eth0",
        "1",
        "0x7f000001",
        "192.0.2.1; 10.0.0.8",
        "192.0.2.1, <script>",
        "192.0.2.1, ..",
        "what, 10.0.0.8",
        "\xff",
        "[2001:db8::5",
        "a" * 16_000,
    ],
)
def test_what_cannot_be_read_is_the_proxys_own_address(value: str) -> None:
    """A limit then counts the proxy, and the device gets its answer; the log says which proxy to look at."""
    with structlog.testing.capture_logs() as said:
        assert xff(value) == PROXY
    assert [(line["event"], line["proxy"]) for line in said] == [("proxy-not-understood", PROXY)]


def test_the_log_hears_of_it_once_a_minute() -> None:
    """A proxy that is set up wrongly, or passes on what devices write, must not fill the log."""
    now = [0.0]
    proxies = TrustedProxies(NETWORKS, clock=lambda: now[0])
    with structlog.testing.capture_logs() as said:
        for _ in range(500):
            assert xff("?", proxies=proxies) == PROXY
        assert xff("?", proxies=proxies, peer="10.0.0.8") == "10.0.0.8"
        now[0] = 61.0
        assert xff("?", proxies=proxies) == PROXY
    assert [line["proxy"] for line in said] == [PROXY, "10.0.0.8", PROXY]


@pytest.mark.parametrize("peer", ["10.0.1.7", "192.0.2.1", "2001:db8:2::1", "::1", "unknown", ""])
def test_nobody_else_is_believed(peer: str) -> None:
    """CVE-2026-24000: who is not a configured proxy can write what it likes and stays who it is."""
    headers = [("X-Forwarded-For", "203.0.113.9"), ("X-Forwarded-Proto", "https"), ("Forwarded", "for=203.0.113.9")]
    assert seen(*headers, peer=peer) == (peer, "http")
    assert seen(*headers, peer=peer, header=ProxyHeader.FORWARDED) == (peer, "http")


def test_without_a_proxy_nothing_is_read() -> None:
    """The default trusts nobody, not even this machine."""
    given = seen(("X-Forwarded-For", "203.0.113.9"), ("X-Forwarded-Proto", "https"), peer="127.0.0.1")
    assert given == ("127.0.0.1", "http")
    assert seen(("X-Forwarded-For", "203.0.113.9"), peer="127.0.0.1", proxies=TrustedProxies())[0] == "127.0.0.1"


def test_only_the_configured_header_is_read() -> None:
    """The other header passes through many proxies as the device wrote it."""
    assert seen(("Forwarded", "for=203.0.113.9;proto=https")) == (PROXY, "http")
    assert forwarded() == (PROXY, "http")
    both = [("X-Forwarded-For", "203.0.113.9"), ("X-Forwarded-Proto", "https")]
    assert seen(*both, header=ProxyHeader.FORWARDED) == (PROXY, "http")
    for name in ("X-Real-IP", "X-Client-IP", "True-Client-IP", "CF-Connecting-IP", "Via", "X-Forwarded-Host"):
        assert seen((name, "203.0.113.9")) == (PROXY, "http")


@pytest.mark.parametrize(
    ("protos", "scheme"),
    [
        (["https"], "https"),
        (["HTTPS"], "https"),
        (["http"], "http"),
        (["https, http"], "http"),
        (["https", "http"], "http"),
        (["http, https"], "https"),
        (["wss"], "http"),
        (["https;"], "http"),
        ([], "http"),
    ],
)
def test_the_nearest_proxys_scheme_counts(protos: list[str], scheme: str) -> None:
    """A device that writes X-Forwarded-Proto itself makes no https of http where the proxy appends."""
    assert seen(*(("X-Forwarded-Proto", proto) for proto in protos))[1] == scheme


def test_a_proxy_can_say_that_its_client_had_no_tls() -> None:
    """TLS between us and the proxy says nothing about the device's part of the way."""
    assert seen(("X-Forwarded-For", "192.0.2.1"), ("X-Forwarded-Proto", "http"), scheme="https")[1] == "http"
    assert seen(("X-Forwarded-For", "192.0.2.1"), scheme="https")[1] == "https"


@pytest.mark.parametrize(
    ("values", "given"),
    [
        (["for=192.0.2.1"], ("192.0.2.1", "http")),
        (["for=192.0.2.1;proto=https;by=203.0.113.43"], ("192.0.2.1", "https")),
        (["For=192.0.2.1 ; Proto=HTTPS"], ("192.0.2.1", "https")),
        (['for="[2001:db8::5]:4711"'], ("2001:db8::5", "http")),
        (['for="192.0.2.1:80"'], ("192.0.2.1", "http")),
        (['for="192\\.0.2.1"'], ("192.0.2.1", "http")),
        (["for=198.51.100.9;proto=https, for=192.0.2.1"], ("192.0.2.1", "http")),
        (["for=198.51.100.9", "for=192.0.2.1;proto=https"], ("192.0.2.1", "https")),
        (["for=192.0.2.1;proto=https, for=10.0.0.8;proto=http"], ("192.0.2.1", "https")),
        (['for="198.51.100.9, for=192.0.2.1;proto=https'], ("192.0.2.1", "https")),
        (['secret="a, for=203.0.113.9", for=192.0.2.1'], ("192.0.2.1", "http")),
        (['for=192.0.2.1;host="a, b";proto=https'], ("192.0.2.1", "https")),
        (["for=192.0.2.1;for=203.0.113.9"], ("192.0.2.1", "http")),
        (["!!, for=192.0.2.1"], ("192.0.2.1", "http")),
        (["for=unknown"], (PROXY, "http")),
        (["for=_hidden;proto=https"], (PROXY, "http")),
        (["proto=https"], (PROXY, "http")),
        (["for=192.0.2.1;proto=wss"], (PROXY, "http")),
        (["for=192.0.2.1 proto=https"], (PROXY, "http")),
        (['for="192.0.2.1'], (PROXY, "http")),
        (["!!, for=10.0.0.8"], (PROXY, "http")),
        (["192.0.2.1"], (PROXY, "http")),
        ([], (PROXY, "http")),
    ],
)
def test_forwarded_is_read_by_its_grammar(values: list[str], given: tuple[str, str]) -> None:
    """RFC 7239: the elements of our proxies stand last, and an open quotation mark before them hides none of them."""
    assert forwarded(*values) == given


def _hostile(values: Iterable[str], header: ProxyHeader) -> tuple[str, str]:
    name = "Forwarded" if header is ProxyHeader.FORWARDED else "X-Forwarded-For"
    return seen(*((name, value) for value in values), header=header)


@given(st.text(st.characters(max_codepoint=255), max_size=60), st.sampled_from(list(ProxyHeader)))
def test_nothing_that_a_device_writes_moves_what_the_proxy_appends(text: str, header: ProxyHeader) -> None:
    """Whatever stands before it, the address that the proxy appended is the client's; nothing raises."""
    appended = "for=192.0.2.1" if header is ProxyHeader.FORWARDED else "192.0.2.1"
    assert _hostile([f"{text}, {appended}"], header)[0] == "192.0.2.1"
    assert _hostile([text, appended], header)[0] == "192.0.2.1"
    _hostile([text], header)


@pytest.mark.parametrize(
    "text",
    [
        "," * 16_000,
        'a="' * 5_000,
        "a=b;" * 4_000,
        ',a="' * 4_000,
        ',a="\\' * 3_000,
        'a="' + "\\" * 16_000,
        ",a=b" * 4_000 + "!",
        "x," * 8_000 + '"',
        "10.0.0.8," * 1_700,
        "for=10.0.0.8," * 1_200,
    ],
)
@pytest.mark.parametrize("header", list(ProxyHeader))
def test_a_header_full_of_traps_is_read_in_no_time(text: str, header: ProxyHeader) -> None:
    """RES-4: sixteen KiB cost milliseconds, whatever they are made of."""
    began = time.process_time()
    _hostile([text], header)
    assert time.process_time() - began < 1.0


def test_who_is_trusted() -> None:
    """Addresses are compared as addresses, an IPv4 address inside an IPv6 one as itself."""
    proxies = TrustedProxies(NETWORKS)
    assert [proxies.trusts(address) for address in (PROXY, "::ffff:10.0.0.7", "2001:db8:1::9")] == [True] * 3
    assert [proxies.trusts(address) for address in ("10.0.1.7", "", "proxy.example.org", "10.0.0.7%x")] == [False] * 4
    assert not TrustedProxies().trusts(PROXY)
