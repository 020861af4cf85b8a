"""Administrators sign in with a real browser, a virtual authenticator and a real OpenID Connect provider."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from playwright.sync_api import sync_playwright

from interop.programs import wait_for
from interop.server import WORKERS, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, BrowserContext, Page

SECONDS = 60
CHROMIUM_MS = 30_000


@dataclass(frozen=True, slots=True)
class Running:
    """A server, and the provider that it knows."""

    home: Path
    admin: str
    link: str
    provider: str

    def events(self) -> list[dict[str, Any]]:
        """Return the event log, oldest first."""
        told = regalia(self.home, "event", "tail", "--json")
        return [json.loads(line) for line in told.splitlines()]


def environment(home: Path) -> dict[str, str]:
    """Let nothing of the person who runs the tests reach the product."""
    return {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(home.parent), "REGALIA_HOME": str(home)}


def regalia(home: Path, *arguments: str) -> str:
    """Run a command to its end."""
    command = [sys.executable, "-P", "-m", "regalia", *arguments]
    done = subprocess.run(command, env=environment(home), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextmanager
def started(command: list[str], out: Path, variables: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program until the block ends, and stop it by its process id."""
    with out.open("wb") as stdout, out.with_suffix(".err").open("wb") as stderr:
        process = subprocess.Popen(command, env=variables, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr)
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(SECONDS)
            finally:
                process.kill()


def answers(url: str) -> bool:
    """Whether something answers there yet."""
    try:
        return httpx2.get(url, trust_env=False).status_code == 200
    except httpx2.HTTPError:
        return False


def first_line(process: subprocess.Popen[bytes], out: Path) -> dict[str, str] | None:
    """Return what `serve` says when it is ready."""
    assert process.poll() is None, out.with_suffix(".err").read_text(errors="replace")
    line, complete, _ = out.read_text("utf-8").partition("\n")
    return json.loads(line) if complete else None


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Serve with two workers, and a provider beside it whose client this Regalia is."""
    directory = tmp_path_factory.mktemp("door")
    home, admin_port, port = directory / "home", free_port(), free_port()
    issuer, admin = f"http://127.0.0.1:{port}", f"https://localhost:{admin_port}"
    user = json.dumps({"sub": "0815", "name": "Carol", "email": "carol@example.test"})
    provider = [sys.executable, "-m", "oidc_provider_mock", "-p", str(port), "-r", "-n", "--user-claims", user]
    with started(provider, directory / "provider", dict(os.environ)):
        wait_for("the provider", lambda: answers(f"{issuer}/jwks") or None, seconds=SECONDS)
        callback = f"{admin}/sign-in/oidc/house/callback"
        client = httpx2.post(f"{issuer}/oauth2/clients", json={"redirect_uris": [callback]}, trust_env=False).json()
        regalia(home, "init", "--url", "http://pki.example.test:8080")
        secret = home / "house.secret"
        secret.write_text(client["client_secret"], encoding="ascii")
        secret.chmod(0o600)
        with (home / "regalia.toml").open("a", encoding="utf-8") as file:
            file.write(f"""
[[admin.oidc]]
key = "house"
name = "the house's account"
issuer = "{issuer}"
client_id = "{client["client_id"]}"
client_secret_file = "house.secret"
""")
        told = environment(home) | {"REGALIA_OUTGOING__IDENTITY_PROVIDERS": issuer}
        listen = ("--listen", "127.0.0.1:0", "--admin-listen", f"127.0.0.1:{admin_port}")
        serve = [sys.executable, "-P", "-m", "regalia", "serve", *listen, "--workers", str(WORKERS), "--json"]
        with started(serve, directory / "serve", told) as process:
            ready = wait_for("serve", lambda: first_line(process, directory / "serve"), seconds=SECONDS)
            yield Running(home, admin, ready["set_up"], issuer)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """One browser for all tests of this file."""
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        yield launched
        launched.close()


@contextmanager
def visiting(chromium: Browser, *, script: bool = True) -> Iterator[tuple[BrowserContext, Page, list[str]]]:
    """Open a profile of its own; gather what it complains of."""
    context = chromium.new_context(ignore_https_errors=True, java_script_enabled=script)
    context.set_default_timeout(CHROMIUM_MS)
    page = context.new_page()
    # The provider's own page wants a style sheet from far away.
    page.route(lambda url: not url.startswith(("https://localhost:", "http://127.0.0.1:")), lambda route: route.abort())
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    yield context, page, complaints
    context.close()


def plug_in(context: BrowserContext, page: Page) -> None:
    """Give the browser an authenticator that asks nobody."""
    session = context.new_cdp_session(page)
    session.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2",
        "transport": "internal",
        "hasResidentKey": True,
        "hasUserVerification": True,
        "isUserVerified": True,
        "automaticPresenceSimulation": True,
    }
    session.send("WebAuthn.addVirtualAuthenticator", {"options": options})


@pytest.mark.live_client("chromium")
@pytest.mark.live_client("oidc-provider-mock")
def test_from_the_first_link_to_a_provider(running: Running, chromium: Browser) -> None:
    """WEB-1 to WEB-5, CON-2: printed link, passkey, sign-out, sign-in, second proof, provider; no CSP complains."""
    with visiting(chromium) as (context, page, complaints):
        plug_in(context, page)
        requested: list[str] = []
        page.on("request", lambda request: requested.append(request.url))
        page.goto(running.link)
        page.fill("#account", "alice")
        assert page.url == f"{running.admin}/set-up"
        page.click("text=Register a passkey")
        page.wait_for_url(f"{running.admin}/")
        assert "Nothing needs you" in page.inner_text("main")
        page.goto(f"{running.admin}/account")
        assert "Account alice, admin" in page.inner_text("main")
        page.click("main >> text=Sign out")
        page.wait_for_url(f"{running.admin}/sign-in")
        page.click("text=Use a passkey")
        page.wait_for_url(f"{running.admin}/")
        page.goto(f"{running.admin}/sign-in/again?next=/account")
        page.click("text=Use a passkey")
        page.wait_for_url(f"{running.admin}/account")
        page.fill("#label", "the same one again")
        page.click("text=Add a passkey")
        page.wait_for_selector("text=This authenticator has a passkey for this account already.")
        cookies = {cookie["name"]: cookie for cookie in context.cookies()}
        assert cookies["__Host-regalia"]["sameSite"] == "Strict"
        assert cookies["__Host-regalia"]["httpOnly"]
        assert complaints == []
        secret = running.link.partition("#")[2]
        assert not [url for url in requested if secret in url.partition("#")[0]]
    link = ("--issuer", running.provider, "--subject", "0815")
    regalia(running.home, "admin", "link", "alice", *link, "--yes")
    with visiting(chromium) as (_, page, complaints):
        page.goto(f"{running.admin}/sign-in?next=/account")
        page.click("text=Continue with the house's account")
        page.click("button[value='0815']")
        page.wait_for_url(f"{running.admin}/account")
        assert "Account alice, admin" in page.inner_text("main")
        assert "0815" in page.inner_text("main")
        assert [each for each in complaints if "Content Security Policy" in each] == []
        regalia(running.home, "admin", "create", "bob", "--role", "admin")
        for name in ("carol", "dave"):
            assert propose(page, name) == 202
        page.goto(f"{running.admin}/proposals")
        page.click("section:has-text('carol') >> text=Withdraw")
        page.wait_for_selector("text=You withdrew this, and nothing was done")
    decide(running, chromium)
    recorded = [event["action"] for event in running.events()]
    for action in ("setup-link.used", "passkey.added", "session.ended", "session.proved", "proposal.withdrawn"):
        assert action in recorded
    assert recorded.count("administrator.created") == 3  # alice, bob and dave
    assert recorded.count("session.started") == 4


def propose(page: Page, name: str) -> int:
    """Ask for another administrator as a script in a signed-in page does; say what is answered."""
    status: int = page.evaluate(
        """async (name) => (await fetch("/api/v1/administrators", {
            method: "POST",
            headers: {"content-type": "application/json", "regalia-csrf": document.querySelector("[name=token]").value},
            body: JSON.stringify({name, roles: ["admin"]}),
        })).status""",
        name,
    )
    return status


def decide(running: Running, chromium: Browser) -> None:
    """AUTHZ-5: the second person comes by a set-up link, reads what waits, and agrees by a button."""
    with visiting(chromium) as (context, page, complaints):
        plug_in(context, page)
        link = json.loads(regalia(running.home, "admin", "setup-link", "bob", "--json", "--yes"))["link"]
        page.goto(f"{running.admin}/set-up#{link.partition('#')[2]}")  # the settings name another port
        page.click("text=Register a passkey")
        page.wait_for_url(f"{running.admin}/")
        page.click("text=/proposal waits/i >> xpath=ancestor::li >> a")
        page.wait_for_url(f"{running.admin}/approvals")
        page.click("text=Decide")
        page.wait_for_url(f"{running.admin}/proposals")
        for width in (1280, 390):
            page.set_viewport_size({"width": width, "height": 800})
            assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert "carol" not in page.inner_text("main")
        page.click("section:has-text('dave') >> text=Approve and do it")
        page.wait_for_selector("text=You approved this, and it was done")
        assert complaints == []


@pytest.mark.live_client("oidc-provider-mock")
def test_strangers_of_the_provider_stay_outside(running: Running, chromium: Browser) -> None:
    """CON-2: whoever is known to the provider and to no administrator is refused, and what was refused is on record."""
    with visiting(chromium) as (context, page, _):
        page.goto(f"{running.admin}/sign-in")
        page.click("text=Continue with the house's account")
        page.fill("input[name=sub]", "4711")
        page.click("text=Authorize >> nth=-1")
        page.wait_for_selector("text=AUTH-012")
        assert "__Host-regalia" not in {cookie["name"] for cookie in context.cookies()}
        page.goto(f"{running.admin}/account")
        assert page.url == f"{running.admin}/sign-in?next=/account"
    assert running.events()[-1]["reason"] == "AUTH-012"


@pytest.mark.live_client("chromium")
def test_without_a_script_all_but_passkeys_works(running: Running, chromium: Browser) -> None:
    """Pages work without JavaScript: a set-up code is typed in, and a wrong password is told by the page."""
    with visiting(chromium, script=False) as (_, page, complaints):
        page.goto(f"{running.admin}/set-up")
        page.fill("#code", "no code of ours")
        page.click("text=Open")
        assert "AUTH-008" in page.inner_text("main")
        page.goto(f"{running.admin}/sign-in")
        assert not page.is_visible("text=Use a passkey")
        page.click("summary")
        for field, value in (("#account", "nobody"), ("#password", "wrong"), ("#code", "123456")):
            page.fill(field, value)
        page.click("details button")
        assert "Account, password or code is wrong." in page.inner_text("main")
        assert [each for each in complaints if "403" not in each] == []


@pytest.mark.live_client("chromium")
@pytest.mark.parametrize("width", [1280, 390])
def test_no_page_scrolls_sideways(running: Running, chromium: Browser, width: int) -> None:
    """The door fits a desk and a phone, in light and in dark."""
    with visiting(chromium) as (_, page, complaints):
        for path in ("/sign-in", "/set-up"):
            for scheme in ("light", "dark"):
                page.set_viewport_size({"width": width, "height": 800})
                page.emulate_media(color_scheme=scheme)
                page.goto(running.admin + path)
                assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert complaints == []


def test_the_headers_leave_on_a_real_connection(running: Running) -> None:
    """WEB-2: pages, files, refusals and constant answers all have the headers when they come out of the socket."""
    for path in ("/sign-in", "/account", "/static/door.js", "/nothing", "/healthz"):
        heard = httpx2.get(running.admin + path, verify=False, trust_env=False)
        assert heard.headers["content-security-policy"].startswith("default-src 'none'")
        assert heard.headers["strict-transport-security"] == "max-age=31536000"
        assert heard.headers["x-content-type-options"] == "nosniff"
        assert heard.headers["referrer-policy"] == "no-referrer"
