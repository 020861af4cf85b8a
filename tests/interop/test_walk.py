"""From the printed link to the first certificate, by what links and buttons are called (stack: first run)."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import sync_playwright

from interop.programs import wait_for
from interop.server import free_port
from interop.test_sign_in import CHROMIUM_MS, SECONDS, environment, first_line, plug_in, regalia, started

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Page

MOST_ACTIONS = 15
MOST_SECONDS = 120


@dataclass
class Walker:
    """Somebody who reads what links, buttons and fields are called, and counts what they do."""

    page: Page
    actions: list[str] = field(default_factory=list)

    def click(self, name: str) -> None:
        """Click the one link or button of this name."""
        self.actions.append(f"click {name}")
        called = self.page.get_by_role("link", name=name, exact=True)
        self.page.get_by_role("button", name=name, exact=True).or_(called).first.click()

    def fill(self, label: str, value: str) -> None:
        """Fill the field of this name."""
        self.actions.append(f"fill {label}")
        self.page.get_by_label(label, exact=True).fill(value)

    def see(self, text: str) -> None:
        """Wait until it is there to be read."""
        self.page.get_by_text(text).first.wait_for()


@pytest.mark.live_client("chromium")
@pytest.mark.timeout(300)
def test_from_the_printed_link_to_the_first_certificate(tmp_path: Path) -> None:
    """Holds 2 of the console: at most 15 actions and two minutes, each next step found by its visible name alone."""
    home, port, admin_port = tmp_path / "home", free_port(), free_port()
    regalia(home, "init", "--url", f"http://127.0.0.1:{port}")
    listen = ("--listen", f"127.0.0.1:{port}", "--admin-listen", f"127.0.0.1:{admin_port}")
    serve = [sys.executable, "-P", "-m", "regalia", "serve", *listen, "--workers", "1", "--json"]
    with started(serve, tmp_path / "serve", environment(home)) as process, sync_playwright() as playwright:
        ready = wait_for("serve", lambda: first_line(process, tmp_path / "serve"), seconds=SECONDS)
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        context = browser.new_context(ignore_https_errors=True)
        context.set_default_timeout(CHROMIUM_MS)
        walker = Walker(context.new_page())
        plug_in(context, walker.page)
        began = time.monotonic()
        walker.actions.append("open the link")
        walker.page.goto(ready["set_up"])
        walker.fill("Your account name", "alice")
        walker.click("Register a passkey")
        walker.see("No device has a certificate yet")
        walker.click("First steps")
        walker.see("Waiting for the first request")
        command = walker.page.locator("code", has_text="regalia scep enrol").inner_text()
        walker.click("Make a challenge")
        walker.click("Make challenge")
        walker.see("never again")
        challenge = walker.page.locator("dt:text-is('Secret') + dd code").inner_text()
        walker.actions.append("run the command that stood there")
        asked = [sys.executable, "-P", "-m", *command.split()]
        done = subprocess.run(
            asked, env=environment(home), cwd=tmp_path, input=challenge, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        walker.click("Dashboard")
        walker.click("Certificates")
        walker.see("laptop-1")
        took = time.monotonic() - began
        browser.close()
    assert len(walker.actions) <= MOST_ACTIONS, walker.actions
    assert took <= MOST_SECONDS
    (certificate,) = json.loads(regalia(home, "cert", "list", "--json"))
    assert "laptop-1" in certificate["names"] or "laptop-1" in certificate["subject"]
    sys.stdout.write(f"{len(walker.actions)} actions, {took:.1f} s\n")
