"""The pictures of the documentation: of the real console with a small fleet in it, and no older than what they show.

`./regalia docs --pictures` takes them anew. Each run of the tests makes the same pages and compares their headings with
those that stood there when the pictures were taken, so that a page that changed asks for its picture.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from interop.test_console import chromium, enrol, looking, site
from interop.test_console_work import door
from interop.test_sign_in import regalia

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

    from interop.test_console import Site

__all__ = ["chromium", "site"]

pytestmark = [pytest.mark.live_client("chromium"), pytest.mark.timeout(400)]

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "design"
HEADINGS = FOLDER / "headings.json"
RETAKE = os.environ.get("REGALIA_PICTURES") == "1"
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
STOCK = [
    ("dev-0412", "LT-0412", "windows"),
    ("dev-0413", "LT-0413", "windows"),
    ("dev-0520", "MB-0520", "macos"),
    ("dev-0611", "IP-0611", "ios"),
    ("dev-0702", "PX-0702", "android"),
    ("dev-0817", "CB-0817", "chromeos"),
]
PAGES = {
    "dashboard": "/",
    "start": "/start",
    "group": "/groups/default",
    "certificates": "/certificates",
    "certificate": "/certificates/{held}",
    "enrolment": "/enrolments/{refused}",
    "approvals": "/approvals",
    "audit": "/audit?action=connector.changed&open={record}",
    "authorities": "/authorities",
    "wizard": "/endpoints/managed/setup?platform=windows&step=scep",
    "devices": "/devices",
    "empty": "/users",
    "error": "/groups/nothing",
}
SHOTS = (
    *((name, 1280, "light") for name in PAGES),
    *((name, 1280, "dark") for name in ("dashboard", "enrolment", "certificate")),
    *((name, 390, "light") for name in ("dashboard", "enrolment", "wizard")),
)


@pytest.fixture(scope="module")
def places(site: Site) -> dict[str, str]:
    """A fleet: some enrolled, one refused, one waits, one is on hold; what stands in paths of pages."""
    folder = site.home.parent
    regalia(site.home, "group", "create", "contractors")
    (folder / "managed.toml").write_text(PROFILE, encoding="utf-8")
    regalia(site.home, "profile", "create", "managed", "--group", "default", "--file", str(folder / "managed.toml"))
    (folder / "secret").write_text("of nobody\n", encoding="utf-8")
    app = ("--set", "tenant=example.org", "--set", "client_id=99999999-8888-7777-6666-555555555555")
    regalia(site.home, "connector", "create", "intune", "intune", *app, "--secret-file", str(folder / "secret"))
    regalia(site.home, "connector", "change", "intune", "--set", "common_name=entra-device-id", "--set", "users=false")
    asks = ("--authoriser", "connector", "--connector", "intune")
    regalia(site.home, "endpoint", "create", "managed", "--group", "default", "--profile", "managed", *asks)
    regalia(site.home, "connector", "create", "inventory", "stock", "--set", "challenge=none")
    rows = "\n".join(f"{name},{name},{serial},{system}" for name, serial, system in STOCK)
    (folder / "stock.csv").write_text(f"id,name,serial,platform\n{rows}\n", encoding="utf-8")
    regalia(site.home, "device", "import", str(folder / "stock.csv"), "--connector", "stock", "--yes")
    for name, _, _ in STOCK:
        secret = regalia(site.home, "challenge", "create", "--endpoint", "default", "--cn", name, "--quiet").strip()
        assert enrol(site, name, secret) == 0
    secret = regalia(site.home, "challenge", "create", "--endpoint", "default", "--cn", "dev-0930", "--quiet").strip()
    assert enrol(site, "dev-0931", secret) != 0
    where = ("--group", "default", "--profile", "eap-tls", "--authoriser", "approval")
    waits = regalia(site.home, "endpoint", "create", "tablets", *where, "--quiet").strip()
    enrol(door(site, "tablets"), "tablet-7", waits)
    certificates = json.loads(regalia(site.home, "cert", "list", "--json"))
    held = next(each["serial"] for each in certificates if "dev-0520" in each["subject"])
    regalia(site.home, "cert", "hold", held, "--note", "left in a train", "--yes")
    ended = next(each["serial"] for each in certificates if "dev-0702" in each["subject"])
    regalia(site.home, "cert", "revoke", ended, "--reason", "superseded", "--yes")
    regalia(site.home, "job", "run", "count-figures")
    refused = json.loads(regalia(site.home, "enrolment", "list", "--state", "refused", "--json"))
    asked = ("event", "tail", "--action", "connector.changed", "--limit", "1", "--json")
    changed = json.loads(regalia(site.home, *asked))
    return {
        "held": held,
        "refused": next(each["id"] for each in refused if "cn:dev-0931" in each["asked"]),
        "record": f"{changed['stream']}-{changed['sequence']}",
    }


def headings(page: Page) -> list[str]:
    """What a page is made of, by its headings; numbers and names of this run are left out."""
    found = page.eval_on_selector_all("main h1, main h2, nav .nav__label", "all => all.map(each => each.innerText)")
    return [re.sub(r"\d+", "#", text) for text in found if not re.search(r"[0-9a-f]{8}", text)]


def test_the_pictures_show_what_is_there(site: Site, chromium: Browser, places: dict[str, str]) -> None:
    """Each page has the headings that it had when its picture was taken; otherwise the picture has to be taken anew."""
    seen = {}
    for width, scheme in sorted({(width, scheme) for _, width, scheme in SHOTS}):
        with looking(site, chromium, width=width, scheme=scheme, faults=False) as page:
            for name in [each for each, wide, how in SHOTS if (wide, how) == (width, scheme)]:
                page.goto(f"{site.admin}{PAGES[name].format(**places)}")
                page.wait_for_selector("main h1")
                seen[name] = headings(page)
                if RETAKE:
                    FOLDER.mkdir(exist_ok=True)
                    page.screenshot(path=FOLDER / f"{name}-{width}-{scheme}.png", full_page=True)
    if RETAKE:
        HEADINGS.write_text(json.dumps(seen, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    assert seen == json.loads(HEADINGS.read_text(encoding="utf-8")), "take them anew: ./regalia docs --pictures"
    assert {f"{name}-{width}-{scheme}.png" for name, width, scheme in SHOTS} <= {each.name for each in FOLDER.iterdir()}
