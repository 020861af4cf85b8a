"""An administrator's work in a real browser: decide, plan, look back, give programs and colleagues their part."""

from __future__ import annotations

import http.client
import json
import ssl
import subprocess
import sys
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from interop.test_console import Site, chromium, enrol, looking, site
from interop.test_sign_in import CHROMIUM_MS, environment, plug_in, regalia

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

__all__ = ["chromium", "site"]

pytestmark = [pytest.mark.live_client("chromium"), pytest.mark.timeout(300)]

PROFILE = """
[validity]
duration = "90d"
[usage]
extended-key-usage = ["clientAuth"]
[subject]
cn = "{device.id}"
"""


def door(site: Site, endpoint: str) -> Site:
    """The same server, with another endpoint for devices."""
    return Site(site.home, site.admin, site.url.replace("/default", f"/{endpoint}"), site.state)


def state(site: Site, endpoint: str) -> dict[str, str]:
    """How enrolments of an endpoint stand, by the name that was asked for."""
    found = json.loads(regalia(site.home, "enrolment", "list", "--endpoint", endpoint, "--json"))
    return {each["asked"][0]: each["state"] for each in found if each["asked"]}


def poll(site: Site, name: str) -> int:
    """Have a device ask what became of its request; the exit code."""
    files = ("--key", str(site.home.parent / f"{name}.key"), "--cert", str(site.home.parent / f"{name}.pem"))
    command = [sys.executable, "-P", "-m", "regalia", "scep", "poll", "--url", site.url, *files]
    return subprocess.run(command, env=environment(site.home), capture_output=True, check=False).returncode


def go_through(page: Page) -> None:
    """Send a form: where it first says what would happen, read that and do it."""
    page.wait_for_selector("form.act")
    page.click("form.act >> button[type=submit]")
    page.wait_for_load_state()
    if page.is_visible("text=This will"):
        page.click("form.act >> button[type=submit]")
        page.wait_for_load_state()


def test_one_device_is_approved_and_another_denied(site: Site, chromium: Browser) -> None:
    """POL-3: the queue says who asks for what; one gets its certificate by it, and the other never does."""
    where = ("--group", "default", "--profile", "eap-tls")
    made = regalia(site.home, "endpoint", "create", "held", *where, "--authoriser", "approval", "--quiet")
    held, secret = door(site, "held"), made.strip()
    for name in ("badge-1", "badge-2"):
        enrol(held, name, secret)
    assert set(state(site, "held").values()) == {"pending"}
    with looking(site, chromium) as page:
        page.goto(site.admin)
        page.click("nav >> text=Approvals")
        page.click("li:has-text('badge-1') >> text=Approve …")
        go_through(page)
        page.goto(f"{site.admin}/approvals")
        page.click("li:has-text('badge-2') >> text=Deny …")
        go_through(page)
        page.goto(f"{site.admin}/approvals")
        page.wait_for_selector("text=No device waits")
    assert state(site, "held") == {"cn:badge-1": "issued", "cn:badge-2": "refused"}
    assert poll(held, "badge-1") == 0
    assert poll(held, "badge-2") != 0


def test_a_lost_device_is_in_the_plan_before_anything_follows(site: Site, chromium: Browser) -> None:
    """REV-7: the plan says what would follow and why; looking changes nothing, and the button lets it follow."""
    files = site.home.parent
    (files / "serials.toml").write_text(PROFILE, encoding="utf-8")
    regalia(site.home, "profile", "create", "serials", "--group", "default", "--file", str(files / "serials.toml"))
    regalia(site.home, "connector", "create", "inventory", "shelf", "--set", "challenge=none")
    asks = ("--authoriser", "connector", "--connector", "shelf")
    regalia(site.home, "endpoint", "create", "shelf", "--group", "default", "--profile", "serials", *asks)
    for lost in ("no", "yes"):
        (files / "shelf.csv").write_text(f"id,serial,platform,lost\nPRINTER1,PRINTER1,other,{lost}\n", encoding="utf-8")
        regalia(site.home, "device", "import", str(files / "shelf.csv"), "--connector", "shelf", "--yes")
        if lost == "no":
            assert enrol(door(site, "shelf"), "PRINTER1") == 0
    with looking(site, chromium) as page:
        page.goto(f"{site.admin}/connectors")
        page.click("main >> text=shelf")
        page.click("text=what would follow now")
        told = page.inner_text("main")
        serial = _serial(site, "PRINTER1")
        if serial in told:  # the job has not done it yet
            assert "lost" in told
            page.click("text=Let it follow …")
            go_through(page)
        page.goto(f"{site.admin}/certificates/{serial}")
        page.wait_for_selector("text=/lost/i")
        assert "hold" in page.inner_text("main").lower()


def _serial(site: Site, cn: str) -> str:
    (found,) = json.loads(regalia(site.home, "cert", "list", "--subject", f"CN={cn}", "--all", "--json"))
    return str(found["serial"])


def test_the_log_shows_the_difference_that_was_made(site: Site, chromium: Browser) -> None:
    """AUD-1: who changed what, from what to what, found by the filter and shown beside each other."""
    rules = {"rules": {"non-compliant": {"consequence": "nothing"}}}
    with looking(site, chromium) as page:
        page.goto(f"{site.admin}/act/group.set-follow-rules?name=default")
        page.fill("[name=document]", json.dumps(rules))
        go_through(page)
        page.click("nav >> text=Audit log")
        page.click("text=Add filter")
        page.select_option("[name=action]", "group.follow-rules-set")
        page.click("main >> button:has-text('Show')")
        page.click("tbody >> a >> nth=0")
        page.wait_for_selector("del, ins")
        assert "alice" in page.inner_text("tbody")


def test_a_program_gets_a_token_once(site: Site, chromium: Browser) -> None:
    """AUTHZ-7: shown once, good for what it says and nothing else, and at an end when it is revoked."""
    with looking(site, chromium) as page:
        page.goto(f"{site.admin}/settings")
        page.click("text=Make a token")
        page.fill("[name=name]", "exporter")
        page.fill("[name=roles]", "auditor")
        go_through(page)
        page.wait_for_selector("text=never again")
        secret = page.inner_text("dt:text-matches('Token|Secret') + dd code")
        assert _asked(site, secret, "GET", "/api/v1/certificates") == http.client.OK
        assert _asked(site, secret, "POST", "/api/v1/groups") == http.client.FORBIDDEN
        page.goto(f"{site.admin}/settings")
        assert secret not in page.content()
        page.click("tr:has-text('exporter') >> text=Revoke …")
        go_through(page)
        assert _asked(site, secret, "GET", "/api/v1/certificates") == http.client.UNAUTHORIZED


def test_a_list_is_taken_away_as_it_is_shown(site: Site, chromium: Browser) -> None:
    """The file has the rows that the list shows, and no others."""
    with looking(site, chromium) as page:
        page.goto(f"{site.admin}/enrolments?state=refused")
        with page.expect_download() as download:
            page.get_by_role("link", name="CSV").click()
        _, *rows = download.value.path().read_text("utf-8").splitlines()
        shown = page.locator("table tbody tr").count()
    assert len(rows) == shown
    assert all("refused" in row for row in rows)


def _asked(site: Site, token: str, method: str, path: str) -> int:
    # The server's certificate is its own; who answers on this machine's port is not what is tested.
    context = ssl._create_unverified_context()  # noqa: S323, SLF001
    connection = http.client.HTTPSConnection(urlsplit(site.admin).netloc, context=context)
    headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
    body = json.dumps({"name": "mine"}) if method == "POST" else None
    connection.request(method, path, body, headers)
    status = connection.getresponse().status
    connection.close()
    return status


def test_a_colleague_sees_one_group_and_does_what_the_role_lets(site: Site, chromium: Browser) -> None:
    """AUTHZ-4: another group is not there for them, no button leads too far, and a form is refused all the same."""
    regalia(site.home, "group", "create", "branch")
    regalia(site.home, "admin", "create", "bert", "--role", "auditor:branch")
    link = json.loads(regalia(site.home, "admin", "setup-link", "bert", "--json", "--yes"))["link"]
    context = chromium.new_context(ignore_https_errors=True)
    context.set_default_timeout(CHROMIUM_MS)
    page = context.new_page()
    plug_in(context, page)
    page.goto(f"{site.admin}/set-up#{link.partition('#')[2]}")
    page.click("text=Register a passkey")
    page.wait_for_url(f"{site.admin}/")
    page.click("nav >> text=Groups")
    told = page.inner_text("main")
    assert "branch" in told
    assert "default" not in told
    assert not page.is_visible("text=Create a group")
    page.click("main >> text=branch >> nth=0")
    assert not page.is_visible("main >> text=Suspend …")
    page.click("nav >> text=Certificates")
    assert "laptop-1" not in page.inner_text("main")
    for path in (f"/certificates/{site.serial}", "/groups/default", f"/enrolments/{site.refused}"):
        answered = page.goto(f"{site.admin}{path}")
        assert answered is not None
        assert answered.status == http.client.NOT_FOUND
    status = page.evaluate(
        """async () => (await fetch("/act/group.suspend?name=branch", {
            method: "POST",
            body: new URLSearchParams({token: document.querySelector("[name=token]").value, step: "do"}),
        })).status"""
    )
    assert status == http.client.FORBIDDEN
    context.close()
    groups = {each["name"]: each for each in json.loads(regalia(site.home, "group", "list", "--json"))}
    assert groups["branch"]["suspended_at"] is None
