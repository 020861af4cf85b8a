"""Attacks on the console in a real browser: hostile names, foreign sites, frames, planted sessions, addresses."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, ClassVar

import pytest

from interop.test_console import chromium, enrol, looking, site
from interop.test_sign_in import CHROMIUM_MS, regalia
from regalia.web.sessions import SESSION_COOKIE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Dialog, Page

    from interop.test_console import Site

__all__ = ["chromium", "site"]

pytestmark = [pytest.mark.live_client("chromium"), pytest.mark.timeout(300)]

HOSTILE = (
    "<script>window.owned=1</script>",
    "\"><img src=x onerror='window.owned=1'>",
    "' autofocus onfocus='window.owned=1",
    "javascript:window.owned=1",
    "{{7*7}}${7*7}<svg/onload=window.owned=1>",
    '=HYPERLINK("http://192.0.2.1";"x")',
)


@pytest.fixture(scope="module")
def hostile(site: Site) -> Site:
    """Bring devices and users with hostile names, and have devices ask under them."""
    devices = [
        {"id": f"device-{number}", "name": name, "serial": name, "user": f"user-{number}"}
        for number, name in enumerate(HOSTILE)
    ]
    users = [
        {"id": f"user-{number}", "name": name, "upn": f"{name.replace(chr(32), chr(95))}@example.org"}
        for number, name in enumerate(HOSTILE)
    ]
    regalia(site.home, "connector", "create", "inventory", "stock", "--set", "challenge=none")
    files = []
    for noun, known in (("devices", devices), ("users", users)):
        files.append(site.home.parent / f"{noun}.json")
        files[-1].write_text(json.dumps({noun: known}), encoding="utf-8")
    brought, whose = map(str, files)
    regalia(site.home, "device", "import", brought, "--users", whose, "--connector", "stock", "--yes")
    for name in HOSTILE[:3]:
        assert enrol(site, name.replace("/", "_"), "nobody made this one") != 0
    return site


def _is_unharmed(page: Page, path: str) -> None:
    assert page.evaluate("window.owned") is None, path
    assert (
        page.evaluate("document.querySelectorAll('main script, main img, main [onfocus], main svg[onload]').length")
        == 0
    )
    assert not [
        href
        for href in page.evaluate("[...document.querySelectorAll('a')].map(each => each.getAttribute('href'))")
        if href and href.lower().startswith(("javascript:", "data:", "//"))
    ], path


def test_a_hostile_name_is_a_name(hostile: Site, chromium: Browser) -> None:
    """Holds 4, WEB-1: on every page that shows what devices call themselves it is read, and nothing of it runs."""
    dialogs: list[str] = []
    with looking(hostile, chromium) as page:

        def opened(dialog: Dialog) -> None:
            dialogs.append(dialog.message)
            dialog.dismiss()

        page.on("dialog", opened)
        seen = 0
        for path in ("/", "/devices", "/users", "/enrolments", "/audit", "/connectors/stock", "/health"):
            page.goto(hostile.admin + path)
            _is_unharmed(page, path)
            seen += page.content().count("window.owned")
            links = page.evaluate("[...document.querySelectorAll('main tbody th a')].map(each => each.href)")
            for link in links[: len(HOSTILE)]:
                page.goto(link)
                _is_unharmed(page, link)
        for name in HOSTILE:
            page.goto(f"{hostile.admin}/search")
            page.goto(
                f"{hostile.admin}/search?" + page.evaluate("name => new URLSearchParams({q: name}).toString()", name)
            )
            _is_unharmed(page, name)
        assert seen > len(HOSTILE)
    assert dialogs == []


def test_a_table_for_a_spreadsheet_computes_nothing(hostile: Site, chromium: Browser) -> None:
    """Holds 4, CSV injection: a cell that a spreadsheet would compute begins with an apostrophe."""
    with looking(hostile, chromium) as page:
        page.goto(f"{hostile.admin}/devices")
        with page.expect_download() as told:
            page.get_by_role("link", name="CSV", exact=True).click()
        text = told.value.path().read_text("utf-8")
    assert "'=HYPERLINK" in text
    assert not [line for line in text.splitlines() if line.startswith("=") or ",=" in line or ',"=' in line]


# --- foreign sites ----------------------------------------------------------------------------------------------------


class _Foreign(BaseHTTPRequestHandler):
    page: ClassVar[str] = ""

    def do_GET(self) -> None:
        body = type(self).page.encode()
        self.send_response(200)
        self.send_header("content-type", "text/html; charset=utf-8")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def foreign(text: str) -> Iterator[str]:
    """Serve a page of another site; its address."""
    handler = type("Page", (_Foreign,), {"page": text})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def visiting(site: Site, chromium: Browser, text: str) -> Iterator[Page]:
    """Open another site's page in a browser that is signed in here."""
    context = chromium.new_context(ignore_https_errors=True, storage_state=site.state)
    context.set_default_timeout(CHROMIUM_MS)
    with foreign(text) as address:
        page = context.new_page()
        page.goto(address)
        yield page
    context.close()


def _groups(site: Site) -> set[str]:
    return {each["name"] for each in json.loads(regalia(site.home, "group", "list", "--json"))}


@pytest.mark.parametrize("media", ["application/x-www-form-urlencoded", "multipart/form-data", "text/plain"])
def test_another_sites_form_does_nothing(site: Site, chromium: Browser, media: str) -> None:
    """Holds 4, CSRF: a form that another site sends with the administrator's browser creates no group."""
    form = (
        f'<form method="post" action="{site.admin}/act/group.create" enctype="{media}">'
        '<input name="name" value="owned"><input name="token" value="x"><button>Win</button></form>'
    )
    with visiting(site, chromium, form) as page:
        with page.expect_navigation():
            page.click("text=Win")
        assert page.url.startswith(site.admin)
        assert "owned" not in page.inner_text("body")
    assert "owned" not in _groups(site)


def test_another_site_cannot_frame_it(site: Site, chromium: Browser) -> None:
    """Holds 4, clickjacking: in another site's frame there is nothing to click."""
    for path in ("/", "/sign-in", "/act/group.create", "/account"):
        with visiting(site, chromium, f'<iframe src="{site.admin}{path}" width="800" height="600"></iframe>') as page:
            page.wait_for_timeout(500)
            (frame,) = page.main_frame.child_frames
            assert frame.locator("a, button, input").count() == 0, path


def test_a_session_that_was_given_is_not_kept(site: Site, chromium: Browser) -> None:
    """Holds 4, fixation: a session cookie that somebody planted opens nothing, and is another one after the sign-in."""
    context = chromium.new_context(ignore_https_errors=True)
    context.add_cookies(
        [{"name": SESSION_COOKIE, "value": "A" * 43, "url": site.admin, "secure": True, "httpOnly": True}]
    )
    page = context.new_page()
    page.goto(f"{site.admin}/groups")
    assert page.url.startswith(f"{site.admin}/sign-in")
    assert not [
        each for each in context.cookies() if each.get("name") == SESSION_COOKIE and each.get("value") == "A" * 43
    ]
    context.close()


@pytest.mark.parametrize(
    "where", ["//192.0.2.1/", "/\\192.0.2.1/", "https://192.0.2.1/", "/%2F192.0.2.1", "javascript:1"]
)
def test_no_address_leads_elsewhere(site: Site, chromium: Browser, where: str) -> None:
    """Holds 4, open redirect: wherever an address says where to go next, it is a page of ours."""
    with visiting(site, chromium, "elsewhere") as page:
        query = page.evaluate("where => new URLSearchParams({next: where, here: where}).toString()", where)
        for path in ("/sign-in", "/sign-in/again", "/act/group.create"):
            page.goto(f"{site.admin}{path}?{query}")
            assert page.url.startswith(site.admin), path
            assert not page.evaluate(
                "[...document.querySelectorAll('main a, form')].filter("
                "each => !new URL(each.href || each.action, location).href.startsWith(location.origin)).length"
            ), path
