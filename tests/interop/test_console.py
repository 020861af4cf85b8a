"""The console in a real browser, on a real server: from a challenge to a certificate and its end, and how it looks."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright

from interop.programs import wait_for
from interop.server import free_port
from interop.test_sign_in import CHROMIUM_MS, SECONDS, environment, first_line, plug_in, regalia, started
from regalia.console.registry import ROUTES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page

PAGES = (
    "/",
    "/start",
    "/groups",
    "/groups/default",
    "/endpoints",
    "/endpoints/default",
    "/endpoints/default/setup?platform=ios&step=scep",
    "/endpoints/default/setup?platform=windows&step=first",
    "/profiles",
    "/profiles/eap-tls",
    "/certificates",
    "/enrolments",
    "/enrolments?state=refused",
    "/approvals",
    "/challenges",
    "/devices",
    "/users",
    "/connectors",
    "/reconciliation",
    "/authorities",
    "/authorities/default-ca-1",
    "/audit",
    "/health",
    "/settings",
    "/account",
    "/proposals",
    "/sign-in",
    "/sign-in/again",
    "/set-up",
    "/search?q=default",
    "/components",
    "/docs",
    "/docs/glossary",
    "/docs/tasks/intune",
    "/docs/reference/settings",
    "/docs?q=revoke",
    "/act/challenge.create?endpoint=default",
    "/act/connector.create?kind=intune",
)
"""What is looked at in every width and scheme; the pages of one of each kind of thing come to it."""
FILES = re.compile(r".*(\.(csv|json|pem)|/\{file\})|/act/.*|/docs/\{section\}/\{part\}/.*")
"""What is no page but a file or a picture; of forms two are looked at."""


@dataclass
class Site:
    """A server, its first administrator's cookies, and what was enrolled there."""

    home: Path
    admin: str
    url: str
    state: Path
    serial: str = ""
    refused: str = ""
    complaints: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """One browser for all tests of this file."""
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, chromium: Browser) -> Iterator[Site]:
    """Serve; the first administrator comes by the printed link, one device enrols, and another one is refused."""
    directory = tmp_path_factory.mktemp("console")
    home, port, admin_port = directory / "home", free_port(), free_port()
    url = f"http://127.0.0.1:{port}"
    regalia(home, "init", "--url", url)
    listen = ("--listen", f"127.0.0.1:{port}", "--admin-listen", f"127.0.0.1:{admin_port}")
    serve = [sys.executable, "-P", "-m", "regalia", "serve", *listen, "--workers", "1", "--json"]
    with started(serve, directory / "serve", environment(home)) as process:
        ready = wait_for("serve", lambda: first_line(process, directory / "serve"), seconds=SECONDS)
        made = Site(home, f"https://localhost:{admin_port}", f"{url}/scep/default", directory / "state.json")
        context = chromium.new_context(ignore_https_errors=True)
        context.set_default_timeout(CHROMIUM_MS)
        page = context.new_page()
        plug_in(context, page)
        page.goto(ready["set_up"])
        page.fill("#account", "alice")
        page.click("text=Register a passkey")
        page.wait_for_url(f"{made.admin}/")
        context.storage_state(path=made.state)
        context.close()
        challenge = regalia(home, "challenge", "create", "--endpoint", "default", "--cn", "laptop-1", "--quiet").strip()
        assert enrol(made, "laptop-1", challenge) == 0
        assert enrol(made, "laptop-2", challenge) != 0
        (certificate,) = json.loads(regalia(home, "cert", "list", "--json"))
        (refused,) = json.loads(regalia(home, "enrolment", "list", "--state", "refused", "--json"))
        made.serial, made.refused = certificate["serial"], refused["id"]
        yield made


@contextmanager
def looking(
    site: Site,
    chromium: Browser,
    *,
    script: bool = True,
    width: int = 1280,
    scheme: str = "light",
    faults: bool = True,
) -> Iterator[Page]:
    """Open a browser that is signed in; it must neither complain, unless of `faults`, nor ask another host."""
    context = chromium.new_context(
        ignore_https_errors=True,
        java_script_enabled=script,
        storage_state=site.state,
        viewport={"width": width, "height": 900},
        color_scheme="dark" if scheme == "dark" else "light",
        bypass_csp=False,
    )
    context.set_default_timeout(CHROMIUM_MS)
    page = context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    page.on(
        "request",
        lambda asked: None if asked.url.startswith((site.admin, "data:")) else complaints.append(asked.url),
    )
    yield page
    context.storage_state(path=site.state)
    context.close()
    assert not faults or complaints == []


def enrol(site: Site, name: str, challenge: str = "") -> int:
    """Have a device enrol, with a challenge where there is one; its exit code."""
    files = ("--key", str(site.home.parent / f"{name}.key"), "--cert", str(site.home.parent / f"{name}.pem"))
    asked = ("scep", "enrol", "--url", site.url, "--cn", name, *files)
    given = ("--challenge", challenge) if challenge else ()
    command = [sys.executable, "-P", "-m", "regalia", *asked, *given]
    done = subprocess.run(command, env=environment(site.home), capture_output=True, text=True, check=False)
    return done.returncode


@pytest.mark.live_client("chromium")
@pytest.mark.timeout(300)
def test_from_a_challenge_to_a_revocation(site: Site, chromium: Browser) -> None:
    """By what links and buttons are called: challenge, device, hold, release, end, and a refusal explained."""
    with looking(site, chromium) as page:
        page.goto(site.admin)
        page.click("nav >> text=Groups")
        page.click("main >> text=default >> nth=0")
        page.click("table >> text=default >> nth=0")
        page.wait_for_selector("text=Latest requests")
        page.click("text=Make a challenge")
        page.fill("[name=binding]", json.dumps({"cn": "tablet-1"}))
        page.click("main >> button:has-text('Make challenge')")
        page.wait_for_selector("text=never again")
        secret = page.inner_text("dt:text-is('Secret') + dd code")
        assert enrol(site, "tablet-1", secret) == 0
        assert enrol(site, "tablet-2", secret) != 0
        page.goto(f"{site.admin}/certificates")
        page.click("text=tablet-1")
        for deed, button, then in (
            ("Hold …", "Hold certificate", "as long as it is on hold"),
            ("Release …", "Release certificate", "The network accepts it until"),
        ):
            page.click(f"main >> text={deed}")
            if page.is_visible("text=Go on"):
                page.click("text=Go on")
            page.click(f"main >> button:has-text('{button}')")
            page.wait_for_selector(f"text={then}")
        page.click("main >> text=Revoke …")
        page.select_option("[name=reason]", "superseded")
        page.click("text=Go on")
        page.wait_for_selector("text=revoke 1 certificate for good")
        page.click("main >> button:has-text('Revoke for good')")
        page.wait_for_selector("text=refuses it for good")
        page.click("nav >> text=Enrolments")
        page.click("main >> text=Refused >> nth=0")
        page.click("main >> text=tablet-2")
        page.wait_for_selector("text=How to fix it")


@pytest.mark.live_client("chromium")
def test_the_palette_goes_anywhere(site: Site, chromium: Browser) -> None:
    """Ctrl-K finds pages and things by their names, keys go to places, and single keys can be switched off."""
    with looking(site, chromium) as page:
        page.goto(site.admin)
        page.keyboard.press("Control+k")
        page.keyboard.type("laptop-1")
        page.wait_for_selector("[data-palette-found] a:has-text('laptop-1')")
        page.keyboard.press("Enter")
        page.wait_for_url("**/certificates/*")
        page.keyboard.press("g")
        page.keyboard.press("e")
        page.wait_for_url(f"{site.admin}/enrolments")
        page.keyboard.press("?")
        page.uncheck("[data-keys-on]")
        page.click("dialog >> text=Close")
        page.keyboard.press("g")
        page.keyboard.press("c")
        page.keyboard.press("/")
        assert page.url == f"{site.admin}/enrolments"
        assert page.evaluate("document.activeElement.name ?? ''") != "q"


@pytest.mark.live_client("chromium")
def test_a_live_part_keeps_itself_up_to_date(site: Site, chromium: Browser) -> None:
    """What a device asks while somebody looks at its endpoint appears without reloading."""
    with looking(site, chromium) as page:
        page.goto(f"{site.admin}/endpoints/default")
        page.evaluate("window.same = true")
        assert enrol(site, "laptop-3", "nobody made this one") != 0
        page.wait_for_selector("#latest-requests >> text=laptop-3")
        assert page.evaluate("window.same")


@pytest.mark.live_client("chromium")
def test_a_theme_is_chosen(site: Site, chromium: Browser) -> None:
    """The switch works with a script at once, and without one by its button; the choice is kept."""
    with looking(site, chromium, script=False) as page:
        page.goto(f"{site.admin}/groups")
        page.click(".account__btn")
        page.check("[name=theme][value=dark]")
        page.click("text=Apply")
        assert page.get_attribute("html", "data-theme") == "dark"
    with looking(site, chromium) as page:
        page.goto(f"{site.admin}/groups")
        assert page.get_attribute("html", "data-theme") == "dark"
        page.click(".account__btn")
        page.check("[name=theme][value=system]")
        page.wait_for_function("!document.documentElement.dataset.theme")


@pytest.mark.live_client("chromium")
def test_what_one_types_is_copied_from_the_documentation(site: Site, chromium: Browser) -> None:
    """A block of commands and answers has a button, which copies the commands."""
    with looking(site, chromium) as page:
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        page.goto(f"{site.admin}/docs/tasks/explain-a-refusal")
        page.locator(".snippet button").nth(1).click()
        page.wait_for_selector("[data-said]:not(:empty)", state="attached")
        copied = page.evaluate("navigator.clipboard.readText()")
        assert [line.partition(" ")[0] for line in copied.splitlines()] == ["regalia", "regalia", "echo"]


@pytest.mark.live_client("chromium")
def test_a_german_browser_is_asked_in_german(site: Site, chromium: Browser) -> None:
    """The door speaks what the browser asks for, and so does its script where a passkey is not there."""
    context = chromium.new_context(ignore_https_errors=True, locale="de-DE")
    context.set_default_timeout(CHROMIUM_MS)
    page = context.new_page()
    plug_in(context, page)
    page.goto(f"{site.admin}/sign-in")
    page.click("text=Passkey benutzen")
    page.wait_for_selector("text=Der Passkey wurde nicht benutzt.")
    assert page.get_attribute("html", "lang") == "de"
    context.close()


@pytest.fixture(scope="module")
def things(site: Site) -> tuple[str, ...]:
    """The pages of one certificate, enrolment, connector, device and user."""
    folder = site.home.parent
    (folder / "devices.csv").write_text("id,name,serial,platform,user\n1,laptop-1,C02ABC,macos,u1\n", encoding="utf-8")
    (folder / "users.csv").write_text("id,name,upn\nu1,A Person,person@example.test\n", encoding="utf-8")
    regalia(site.home, "connector", "create", "inventory", "stock", "--set", "challenge=none")
    files = ("--users", str(folder / "users.csv"), "--connector", "stock")
    regalia(site.home, "device", "import", str(folder / "devices.csv"), *files, "--yes")
    (device,) = json.loads(regalia(site.home, "device", "list", "--json"))
    (user,) = json.loads(regalia(site.home, "user", "list", "--json"))
    one = (f"/certificates/{site.serial}", f"/enrolments/{site.refused}", "/connectors/stock")
    return (*one, f"/devices/{device['id']}", f"/users/{user['id']}")


def test_every_page_is_looked_at(things: tuple[str, ...]) -> None:
    """There is no page that none of the tests below opens."""
    seen = [path.partition("?")[0] for path in (*PAGES, *things)]
    pages = [path for path, ways in ROUTES.items() if "GET" in ways and not FILES.fullmatch(path)]
    patterns = {path: re.compile(re.sub(r"\{\w+\}", "[^/]+", path)) for path in pages}
    assert len(pages) > 25
    assert [path for path, pattern in patterns.items() if not any(map(pattern.fullmatch, seen))] == []


@pytest.mark.live_client("chromium")
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")])
def test_no_page_has_a_fault(site: Site, chromium: Browser, things: tuple[str, ...], width: int, scheme: str) -> None:
    """axe-core finds no violation on any page, none scrolls sideways, none complains or asks another host."""
    axe = Axe()
    with looking(site, chromium, width=width, scheme=scheme) as page:
        for path in (*PAGES, *things):
            page.goto(site.admin + path)
            assert page.evaluate("document.documentElement.scrollWidth") <= width, path
            found = axe.run(page).response["violations"]
            assert [(each["id"], [node["html"][:200] for node in each["nodes"]]) for each in found] == [], path


@pytest.mark.live_client("chromium")
def test_pages_fit_a_small_phone(site: Site, chromium: Browser, things: tuple[str, ...]) -> None:
    """At 320 pixels no page scrolls sideways, and the menu is there by its button, without a script too."""
    for script in (True, False):
        with looking(site, chromium, width=320, script=script) as page:
            for path in (*PAGES, *things):
                page.goto(site.admin + path)
                assert page.evaluate("document.documentElement.scrollWidth") <= 320, path
            page.click("text=Menu")
            page.click("nav >> text=Audit log")
            page.wait_for_url(f"{site.admin}/audit")
