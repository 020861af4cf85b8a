"""From the printed link to the certificate of a device that Intune manages: the set-up of an MDM in a real browser."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import sync_playwright

from interop.programs import wait_for
from interop.server import free_port
from interop.test_sign_in import CHROMIUM_MS, SECONDS, environment, first_line, plug_in, regalia, started
from interop.test_walk import Walker

PROFILE = """
[validity]
duration = "365d"
[usage]
extended-key-usage = ["clientAuth"]
[subject]
cn = "{device.entra_id}"
[[san]]
kind = "uri"
value = "IntuneDeviceId://{device.id}"
"""
PROGRAM = (sys.executable, "-P", "-m", "regalia")
DEVICE = "WINDOWS-00000"


@pytest.mark.live_client("chromium")
@pytest.mark.timeout(300)
def test_from_the_printed_link_to_a_device_that_intune_manages(tmp_path: Path) -> None:
    """Holds 1 of the console: connector, test, profile, endpoint, its file for Graph, and the device as it comes."""
    with ExitStack() as stack:
        folder = tmp_path / "lab"
        lab = stack.enter_context(
            started([*PROGRAM, "lab", "start", str(folder), "--json"], tmp_path / "cloud", environment(tmp_path))
        )
        cloud: dict[str, Any] = dict(wait_for("lab", lambda: first_line(lab, tmp_path / "cloud"), seconds=SECONDS))
        admin, link = served(stack, tmp_path, cloud)
        browser = stack.enter_context(sync_playwright()).chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        stack.callback(browser.close)
        context = browser.new_context(ignore_https_errors=True)
        context.set_default_timeout(CHROMIUM_MS)
        walker = Walker(context.new_page())
        plug_in(context, walker.page)
        walker.page.goto(link)
        walker.fill("Your account name", "alice")
        walker.click("Register a passkey")
        connected(walker, cloud)
        given(walker, admin)
        file = offered(walker, tmp_path)
        rehearsed("profile", "--lab", str(folder), "--import", str(file), home=tmp_path)
        walker.see("Waiting for the first request")
        rehearsed("device", "enrol", DEVICE, "--lab", str(folder), home=tmp_path)
        walker.page.wait_for_selector("#first-device >> text=Issued")
        (certificate,) = listed(tmp_path, "cert")
        walker.page.click("#first-device a")
        walker.click("Open the certificate")
        walker.see(certificate["serial"])
    # What the profile took of the record: the id that Entra has for it, and Intune's.
    assert any(f"IntuneDeviceId://{certificate['device']}" in name for name in certificate["names"])


def served(stack: ExitStack, tmp_path: Path, cloud: dict[str, Any]) -> tuple[str, str]:
    """Serve with a way to the laboratory; the console's address, and the link that lets the first one in."""
    port, admin_port = free_port(), free_port()
    regalia(tmp_path / "home", "init", "--url", f"http://127.0.0.1:{port}")
    places = [cloud[name].removeprefix("https://").replace(":", "/32:") for name in ("authority", "graph", "intune")]
    told = {"REGALIA_OUTGOING__CONNECTORS": ",".join(places), "REGALIA_OUTGOING__CA_FILE": cloud["ca_file"]}
    listen = ("--listen", f"127.0.0.1:{port}", "--admin-listen", f"127.0.0.1:{admin_port}")
    serve = [*PROGRAM, "serve", *listen, "--workers", "1", "--json"]
    process = stack.enter_context(started(serve, tmp_path / "serve", environment(tmp_path / "home") | told))
    ready = wait_for("serve", lambda: first_line(process, tmp_path / "serve"), seconds=SECONDS)
    return f"https://localhost:{admin_port}", ready["set_up"]


def connected(walker: Walker, cloud: dict[str, Any]) -> None:
    """Add the connector by its settings, and have it try what it needs."""
    page = walker.page
    walker.click("First steps")
    walker.click("Microsoft Intune")
    walker.fill("Name", "mdm")
    walker.fill("Directory (tenant) ID", cloud["tenant"])
    walker.fill("Application (client) ID", cloud["client_id"])
    secret = Path(cloud["secret_file"]).read_text("utf-8").strip()
    page.fill("[name=secret]", secret)
    page.click("summary:text('More settings')")
    page.fill("[name='settings.authority']", cloud["authority"])
    page.fill("[name='settings.graph']", cloud["graph"])
    page.select_option("[name='settings.common_name']", "entra-device-id")
    walker.click("Add connector")
    walker.click("Test connection")
    walker.see("Each thing it needs, tried one by one")
    assert page.locator("#c-tested ~ * >> text=Missing").count() == 0


def given(walker: Walker, admin: str) -> None:
    """Write a profile, and open the endpoint at which Intune vouches."""
    page = walker.page
    page.goto(f"{admin}/act/profile.create?group=default")
    page.fill("[name=name]", "managed")
    page.fill("[name=document]", PROFILE)
    through(walker)
    page.goto(f"{admin}/act/endpoint.create?group=default&profile=managed&authoriser=connector&connector=mdm")
    page.fill("[name=name]", "managed")
    through(walker)
    page.goto(f"{admin}/connectors/mdm")


def through(walker: Walker) -> None:
    """Send a form, and once more where it says first what would happen."""
    while walker.page.is_visible("form.act"):
        walker.page.click("form.act >> button[type=submit]")
        walker.page.wait_for_load_state()
        assert walker.page.locator("[role=alert]").count() == 0, walker.page.inner_text("[role=alert]")


def offered(walker: Walker, tmp_path: Path) -> Path:
    """Go through the set-up of Windows, step by step, and take its file for Graph away."""
    page = walker.page
    page.get_by_role("link", name="Windows").first.click()
    with page.expect_download() as download:
        walker.click("All values for Graph, JSON")
    file = tmp_path / "managed.json"
    download.value.save_as(file)
    for _ in range(4):
        page.get_by_role("link", name="Next: ").click()
    return file


def rehearsed(*arguments: str, home: Path) -> None:
    """Run a command of the laboratory's."""
    done = subprocess.run(
        [*PROGRAM, "lab", *arguments], env=environment(home), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def listed(tmp_path: Path, noun: str) -> list[dict[str, Any]]:
    """What a list has."""
    found: list[dict[str, Any]] = json.loads(regalia(tmp_path / "home", noun, "list", "--json"))
    return found
