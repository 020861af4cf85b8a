"""The NDES face: paths, logins, pages, and what is not there over plain HTTP."""

from __future__ import annotations

import base64
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from memory_store import MemoryStore
from ndes_parts import MDM, PASSWORD, USER, Pages
from regalia import reasons
from regalia.ca.status import OcspResponder
from regalia.errors import UnavailableError
from regalia.model import Action, NdesEncoding
from regalia.ra.ndes_pages import NdesOptions
from regalia.store.crl_files import DirectoryCrlFiles
from regalia.web.device import device_app
from regalia.web.health import Readiness
from regalia.wire.cms import read_certs_only
from web.asgi import Heard, ask
from world import ADMIN

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from starlette.types import ASGIApp

    from regalia.errors import Reason
    from regalia.web.metrics import Metrics
    from regalia.web.pool import Pools

PAGE = "/mscep_admin/default"
CERTSRV_PAGES = ("/certsrv/mscep_admin", "/certsrv/mscep_admin/", "/certsrv/mscep_admin/mscep.dll")
CERTSRV_SCEP = (
    "/certsrv/mscep",
    "/certsrv/mscep/",
    "/certsrv/mscep/mscep.dll",
    "/certsrv/mscep/mscep.dll/pkiclient.exe",
)


def basic(user: str, password: str) -> tuple[bytes, bytes]:
    """Make the header of RFC 7617."""
    return (b"authorization", b"Basic " + base64.b64encode(f"{user}:{password}".encode()))


RIGHT = basic(USER, PASSWORD)


@dataclass
class Front:
    """A world with a page, behind the device application."""

    pages: Pages
    app: ASGIApp

    def ask(
        self, target: str, *headers: tuple[bytes, bytes], method: str = "GET", scheme: str = "https", source: str = MDM
    ) -> Heard:
        """Ask as the listener does, which says whether it was TLS."""
        return ask(self.app, target, method=method, headers=headers, scheme=scheme, source=source)

    def minted(self) -> int:
        """Count the challenges that there are."""
        return len(self.pages.world.store.challenges())

    def refused(self, reason: Reason) -> dict[str, object]:
        """See that the newest record is this refusal; its details."""
        event = self.pages.last()
        assert (event.draft.action, event.draft.reason_id) == (Action.NDES_REFUSED, reason.id)
        return dict(event.draft.details)


def front_of(pages: Pages, directory: Path, pools: Pools, metrics: Metrics) -> Front:
    """Make the device application."""
    world, files = pages.world, DirectoryCrlFiles(directory / "crl")
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
        ndes=pages.service,
    )
    return Front(pages, app)


@pytest.fixture
def front(tmp_path: Path, pools: Pools, metrics: Metrics) -> Iterator[Front]:
    """A page below both kinds of path."""
    made = front_of(Pages(NdesOptions(certsrv=True)), tmp_path, pools, metrics)
    yield made
    incidents = metrics.registry.get_sample_value("regalia_incidents_total")
    assert not incidents, "something was raised that the edge had to catch"


def secret_on(heard: Heard, codec: str = "utf-16-le") -> str:
    """Take the challenge off a page."""
    assert heard.status == 200
    found = re.search(r"password is: <B> ([0-9A-F]+) </B>", heard.body.decode(codec))
    assert found is not None
    return found[1]


# --- the page -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", [PAGE, f"{PAGE}/", *CERTSRV_PAGES, "/CertSrv/MSCEP_Admin/", "/CERTSRV/mscep_admin/MSCEP.DLL"]
)
def test_each_path_of_the_page_hands_out_a_challenge(front: Front, path: str) -> None:
    """R11: GET mints at our path and at Microsoft's, whose letters may have any case."""
    secret = secret_on(front.ask(path, RIGHT))
    assert front.pages.world.store.challenge(front.pages.world.challenge_mac(secret)) is not None
    assert front.minted() == 1


def test_the_page_says_what_scrapers_look_for(front: Front) -> None:
    """mdm.md §6.2: the phrases to the letter, the password and the thumbprint between B tags with one space each."""
    text = front.ask(PAGE, RIGHT).body.decode("utf-16-le")
    assert "<TITLE>Network Device Enrollment Service</TITLE>" in text
    assert re.search(
        r"> The thumbprint \(hash value\) for the CA certificate is: <B> ([0-9A-F]{8} ){5}</B> "
        r"<P> The enrollment challenge password is: <B> [0-9A-F]{32} </B> "
        r"<P> This password can be used only once and will expire within 60 minutes\.",
        text,
    )
    # Nothing else is a run that a scraper could take for the password.
    assert len(re.findall(r"[0-9A-Fa-f]{9,}", text)) == 1


@pytest.mark.parametrize(
    ("encoding", "codec", "media", "begins"),
    [
        (NdesEncoding.UTF_16, "utf-16-le", "text/html", b"<\0!\0"),
        (NdesEncoding.UTF_16_BOM, "utf-16", "text/html", b"\xff\xfe<\0"),
        (NdesEncoding.UTF_8, "utf-8", "text/html; charset=utf-8", b"<!"),
    ],
)
def test_the_page_has_the_encoding_that_was_set(
    front: Front, encoding: NdesEncoding, codec: str, media: str, begins: bytes
) -> None:
    """mdm.md §6.2: UTF-16LE without and with byte order mark, and UTF-8; a charset is named for the last one only."""
    front.pages.set(NdesOptions(encoding=encoding))
    heard = front.ask(PAGE, RIGHT)
    assert heard.headers["content-type"] == media
    assert heard.body.startswith(begins)
    assert len(secret_on(heard, codec)) == 32


def test_the_page_is_kept_by_nobody_and_shown_nowhere_else(front: Front) -> None:
    """WEB-2, CHA-5: no-store, no cookie, nothing loaded, framed or guessed; the host's other services are spared."""
    headers = front.ask(PAGE, RIGHT).headers
    assert headers["cache-control"] == "no-store"
    assert headers["content-security-policy"].startswith("default-src 'none'; frame-ancestors 'none'")
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert "set-cookie" not in headers
    assert "strict-transport-security" not in headers


def test_a_full_cache_and_a_foreign_address_get_the_known_pages(front: Front) -> None:
    """mdm.md §6.2: NDES-004, NDES-008: the phrases in a page with status 200, and nothing like a password on it."""
    front.pages.set(NdesOptions(cache=1, networks=("192.0.2.0/24",)))
    front.ask(PAGE, RIGHT)
    full = front.ask(PAGE, RIGHT)
    front.refused(reasons.PAGE_CACHE_FULL)
    denied = front.ask(PAGE, RIGHT, source="198.51.100.1")
    front.refused(reasons.PAGE_NETWORK_REFUSED)
    assert (full.status, denied.status) == (200, 200)
    assert "The password cache is full." in full.body.decode("utf-16-le")
    assert "You do not have sufficient permission to enroll with SCEP." in denied.body.decode("utf-16-le")
    for heard in (full, denied):
        assert not re.search(r"[0-9A-F]{8}", heard.body.decode("utf-16-le"))
        assert heard.headers["content-type"] == "text/html"
        assert heard.headers["cache-control"] == "no-store"


def test_names_in_the_url_are_bound_or_refused(front: Front) -> None:
    """NDES-007, R5: 400 where no binding is allowed; where it is, the challenge has the names."""
    assert front.ask(f"{PAGE}?cn=laptop-1", RIGHT).status == 400
    front.refused(reasons.PAGE_BINDING_REFUSED)
    assert front.minted() == 0
    front.pages.set(NdesOptions(allow_binding=True))
    secret_on(front.ask("/certsrv/mscep_admin/?device=C02XG&cn=laptop-1&dns=laptop-1.example.com", RIGHT))
    (challenge,) = front.pages.world.store.challenges()
    assert challenge.binding.listed() == ("cn:laptop-1", "dns:laptop-1.example.com")


# --- logins -----------------------------------------------------------------------------------------------------------


def test_who_does_not_log_in_is_told_how(front: Front) -> None:
    """R11: 401 offers HTTP Basic in UTF-8, and nothing else."""
    heard = front.ask(PAGE)
    assert heard.status == 401
    assert heard.headers["www-authenticate"] == 'Basic realm="challenges", charset="UTF-8"'
    assert heard.headers["cache-control"] == "no-store"
    assert front.minted() == 0


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (b"Negotiate TlRMTVNTUAABAAAA", "scheme negotiate"),
        (b"NTLM TlRMTVNTUAABAAAA", "scheme ntlm"),
        (b"4f0c9a7e15b2d3866f", "a scheme that nobody knows"),
        (b"Basic", "Basic, but without a colon"),
        (b"Basic =", "Basic, but not base64"),
        (b"Basic \xff\xff", "Basic, but not base64"),
        (b"Basic " + base64.b64encode(b"4f0c9a7e15b2d3866f"), "Basic, but without a colon"),
        (b"", "a scheme that nobody knows"),
    ],
)
def test_what_is_no_login_is_refused_without_being_repeated(front: Front, value: bytes, says: str) -> None:
    """NDES-005, CHA-4: the event has a word of ours, for the header may be a password in the wrong place."""
    assert front.ask(PAGE, (b"authorization", value)).status == 401
    assert front.refused(reasons.PAGE_SCHEME_REFUSED)["detail"] == says


def test_two_logins_are_none(front: Front) -> None:
    """NDES-005: of two headers nobody knows which one a proxy has judged."""
    assert front.ask(PAGE, RIGHT, RIGHT).status == 401
    assert front.refused(reasons.PAGE_SCHEME_REFUSED)["detail"] == "more than one Authorization header"


@pytest.mark.parametrize("scheme", [b"Basic", b"basic", b"BASIC"])
def test_a_login_is_understood_in_any_case(front: Front, scheme: bytes) -> None:
    """RFC 9110 §11.1: the name of a scheme has no case."""
    _, value = RIGHT
    assert front.ask(PAGE, (b"authorization", scheme + value[5:])).status == 200


def test_a_wrong_login_and_too_many_of_them(front: Front) -> None:
    """NDES-006, NDES-010: 401, and after ten 429 with the time to wait; the answers are constants."""
    bodies = set()
    for number in range(10):
        heard = front.ask(PAGE, basic(USER if number % 2 else "somebody", f"guess-number-{number}"))
        assert heard.status == 401
        bodies.add(heard.body)
        front.refused(reasons.PAGE_LOGIN_REFUSED)
    heard = front.ask(PAGE, RIGHT)
    assert (heard.status, heard.headers["retry-after"]) == (429, "60")
    front.refused(reasons.PAGE_SOURCE_GUESSING)
    assert len(bodies) == 1
    assert front.minted() == 0


def test_the_rate_of_a_page_is_429(front: Front) -> None:
    """NDES-012: with the time to wait."""
    front.pages.set(NdesOptions(per_minute=1))
    assert front.ask(PAGE, RIGHT).status == 200
    heard = front.ask(PAGE, RIGHT)
    assert (heard.status, heard.headers["retry-after"]) == (429, "60")


# --- methods --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["POST", "HEAD", "PUT", "DELETE", "OPTIONS", "get", "GETS"])
def test_only_get_mints(front: Front, method: str) -> None:
    """NDES-003, R11: 405 with Allow, with the right password as well; a HEAD would throw a challenge away."""
    for path in (PAGE, "/certsrv/mscep_admin/"):
        heard = front.ask(path, RIGHT, method=method)
        assert (heard.status, heard.headers["allow"]) == (405, "GET")
        front.refused(reasons.PAGE_ONLY_READ)
    assert front.minted() == 0


# --- plain HTTP -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "POST", "HEAD"])
@pytest.mark.parametrize("path", [PAGE, "/mscep_admin/nothing", "/certsrv/mscep_admin/", f"{PAGE}?cn=laptop-1"])
def test_over_plain_http_there_is_one_answer(front: Front, path: str, method: str) -> None:
    """R11: NDES-001: 403, octet for octet the same whatever is asked and whoever asks, and no login counts."""
    for headers in ((), (RIGHT,), (basic(USER, "wrong"),), ((b"authorization", b"NTLM abc"),)):
        heard = front.ask(path, *headers, method=method, scheme="http")
        assert (heard.status, heard.body) == (403, b"only over https\n")
        assert "www-authenticate" not in heard.headers
        details = front.refused(reasons.PAGE_OVER_PLAIN_HTTP)
        assert details["detail"] == (
            "with a credential, which is to be replaced" if headers else "without a credential"
        )
        assert front.pages.last().draft.security is bool(headers)
    assert front.minted() == 0
    assert PASSWORD not in str(front.pages.world.store.log)


def test_over_plain_http_no_password_is_judged(front: Front) -> None:
    """R11: wrong ones use up nothing: after a hundred of them over plain HTTP the right one over TLS is good."""
    for _ in range(20):
        front.ask(PAGE, basic(USER, "wrong"), scheme="http")
    assert front.ask(PAGE, RIGHT).status == 200


# --- what is not there ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "/mscep_admin/",
        "/mscep_admin//",
        "/mscep_admin/Default",
        "/mscep_admin/default/mscep.dll",
        "/mscep_admin/default//",
        "/mscep_admin/%64efault%00",
        "/mscep_admin/../scep/default",
        "/mscep_admin/default%0d%0aset-cookie:%20a=b",
        "/mscep_admin/" + "a" * 41,
        "/MSCEP_ADMIN/default",
        "/certsrv/",
        "/certsrv/certfnsh.asp",
        "/certsrv/mscep_admin/default",
        "/certsrv/mscep_admin//",
        "/certsrv//mscep_admin/",
        "/certsrv/mscep_admin/..",
        "/certsrv/mscep_adm%C4%B1n/",
        "/certsrv/mscep/mscep.dll/",
        "/certsrv/mscep/pkiclient.exe",
        "/certsrv/mscep/mscep.dll/pkiclient.exe/..",
    ],
)
def test_path_tricks_lead_nowhere(front: Front, path: str) -> None:
    """R6, R7: what is not one of the known paths is 404 with the right password as well, and its text is escaped."""
    for scheme in ("https", "http"):
        heard = front.ask(path, RIGHT, scheme=scheme)
        assert (heard.status, heard.body) == (404, b"not found\n")
        assert "set-cookie" not in heard.headers
    assert front.minted() == 0
    assert all(event.draft.object.isprintable() for event in front.pages.world.store.log)
    assert "\r" not in str([event.draft.details for event in front.pages.world.store.log])


def test_an_unknown_a_closed_and_a_disabled_page_look_alike(front: Front) -> None:
    """R6: NDES-002, SCEP-001, SCEP-002: 404, one body, and not sooner than a look into the database takes."""
    world = front.pages.world
    world.open_group("staff")
    world.registry.create_endpoint("closed", group="default", profile="default", actor=ADMIN)
    front.pages.set(NdesOptions(user=USER, password=PASSWORD), "closed")
    world.registry.disable_endpoint("closed", actor=ADMIN)
    seen = set()
    for name in ("nothing", "staff", "closed", "Nothing"):
        for headers in ((), (RIGHT,)):
            began = time.monotonic()
            heard = front.ask(f"/mscep_admin/{name}", *headers)
            assert time.monotonic() - began >= 0.05
            seen.add((heard.status, heard.body, str(heard.headers)))
    assert len(seen) == 1
    assert front.ask("/mscep_admin/nothing", method="POST").status == 404


def test_a_disabled_endpoint_takes_microsofts_paths_with_it(front: Front) -> None:
    """R6: page and SCEP below /certsrv are 404 once the endpoint behind them is disabled."""
    front.pages.world.registry.disable_endpoint("default", actor=ADMIN)
    for path in (*CERTSRV_PAGES, PAGE):
        assert front.ask(path, RIGHT).status == 404
    for path in CERTSRV_SCEP:
        assert front.ask(f"{path}?operation=GetCACaps").status == 404


def test_without_a_page_named_nothing_is_below_certsrv(front: Front) -> None:
    """NDES-002: where no endpoint was named for Microsoft's paths, there is none."""
    front.pages.set(NdesOptions(certsrv=False))
    for path in (*CERTSRV_PAGES, *CERTSRV_SCEP):
        began = time.monotonic()
        assert front.ask(f"{path}?operation=GetCACaps", RIGHT).status == 404
        assert time.monotonic() - began >= 0.05
        assert front.refused(reasons.PAGE_MISSING)
    assert front.pages.last().draft.object == "endpoint:(certsrv)"


def test_long_urls_are_414(front: Front) -> None:
    """RES-1: a page has 8 KiB for its URL, SCEP below /certsrv its own 48 KiB."""
    assert front.ask(f"{PAGE}?cn={'a' * 8_200}", RIGHT).status == 414
    message = "A" * 10_000
    heard = front.ask(f"/certsrv/mscep/mscep.dll?operation=PKIOperation&message={message}")
    assert heard.status == 400
    heard = front.ask(f"/certsrv/mscep/mscep.dll?operation=PKIOperation&message={message * 5}")
    assert heard.status == 414


# --- SCEP below Microsoft's paths -----------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("path", [*CERTSRV_SCEP, "/CertSrv/MSCEP/MSCEP.dll", "/certsrv/mscep/mscep.dll/PKIClient.exe"])
def test_microsofts_paths_speak_scep(front: Front, path: str, scheme: str) -> None:
    """mdm.md §6.3: capabilities and certificates of the named endpoint, with and without TLS and message=default."""
    ours = front.ask("/scep/default?operation=GetCACaps", scheme=scheme)
    heard = front.ask(f"{path}?operation=GetCACaps&message=default", scheme=scheme)
    assert (heard.status, heard.body, heard.headers) == (200, ours.body, ours.headers)
    heard = front.ask(f"{path}?operation=GetCACert&message=default", scheme=scheme)
    assert len(read_certs_only(heard.body)) == 3


class AwayStore(MemoryStore):
    """A store that cannot be reached while it is told not to be."""

    away = False

    def certsrv_endpoint(self) -> str | None:
        """Say whose /certsrv is, or raise."""
        if self.away:
            raise UnavailableError(reasons.STORE_UNAVAILABLE)
        return super().certsrv_endpoint()


def test_microsofts_paths_outlast_the_database(tmp_path: Path, pools: Pools, metrics: Metrics) -> None:
    """RES-7: while the database is away, who was named last is still there; before anybody was, it is 503."""
    store = AwayStore()
    front = front_of(Pages(NdesOptions(certsrv=True), store=store), tmp_path, pools, metrics)
    store.away = True
    assert front.ask("/certsrv/mscep/?operation=GetCACaps").status == 503
    store.away = False
    assert front.ask("/certsrv/mscep/?operation=GetCACaps").status == 200
    store.away = True
    assert front.ask("/certsrv/mscep/?operation=GetCACaps").status == 200


def test_without_a_service_there_are_no_pages(tmp_path: Path, pools: Pools, metrics: Metrics) -> None:
    """A device application that was given no pages answers 404 at their paths."""
    pages = Pages()
    world, files = pages.world, DirectoryCrlFiles(tmp_path / "crl")
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
    assert ask(app, PAGE, headers=(RIGHT,), scheme="https").status == 404
