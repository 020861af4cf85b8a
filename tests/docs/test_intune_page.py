"""The guide to Intune has the fields that the product gives: its table is made of the same forms."""

from __future__ import annotations

from pathlib import Path

from regalia.ca.urls import Urls
from regalia.model.fleet import Platform
from regalia.verbs.mdm_form import Field, forms_of, setup_of
from vouching_parts import VouchedWorld

PAGE = Path(__file__).resolve().parents[2] / "docs" / "tasks" / "intune.md"
PLATFORMS = {
    Platform.WINDOWS: "Windows",
    Platform.IOS: "iOS, iPadOS",
    Platform.MACOS: "macOS",
    Platform.ANDROID: "Android",
}
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


def table() -> str:
    """Write the fields of the SCEP form, a column for each platform, of the profile that the guide makes."""
    world = VouchedWorld(document=PROFILE)
    profile, door = world.store.profile("managed"), world.store.door("mdm")
    assert profile is not None
    assert door is not None
    url = Urls("http://pki.example.org", "https://pki.example.org").endpoint("scep", "managed")
    setup = setup_of(profile, door, url, {"common_name": "entra-device-id"})
    columns: dict[Platform, dict[str, Field]] = {
        platform: {
            field.label: field
            for form in forms_of(setup, platform, intune=True)
            if form.key == "scep"
            for field in form.fields
        }
        for platform in PLATFORMS
    }
    labels = dict.fromkeys(label for fields in columns.values() for label in fields)
    lines = [f"| field | {' | '.join(PLATFORMS.values())} |", "| --- " * (len(PLATFORMS) + 1) + "|"]
    for label in labels:
        cells = [fields.get(label) for fields in columns.values()]
        lines.append(f"| {label} | {' | '.join(_cell(each) for each in cells)} |")
    return "\n".join(lines)


def _cell(field: Field | None) -> str:
    if field is None:
        return "-"
    return f"`{field.value}`" if field.typed else field.value


def test_the_guide_has_the_fields_that_the_product_gives() -> None:
    """The table of the guide is what `regalia endpoint values` says for the guide's own profile, for each platform."""
    assert table() in PAGE.read_text(encoding="utf-8"), table()
