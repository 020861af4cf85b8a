"""The certification practice statement: RFC 3647's whole outline, and nothing in it that the home does not say."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from cli.transcript import regalia
from regalia.cli.main import main
from regalia.verbs.cps import TO_STATE, facts, outline

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cli.scene import Scene

OUTLINE = {
    1: (0, 0, 5, 2, 4, 0),
    2: (0, 0, 0, 0),
    3: (6, 6, 2, 0),
    4: (2, 3, 2, 3, 2, 7, 7, 7, 16, 3, 0, 2),
    5: (8, 4, 8, 8, 7, 0, 4, 0),
    6: (7, 11, 2, 3, 2, 3, 0, 0),
    7: (9, 2, 2),
    8: (0, 0, 0, 0, 0, 0),
    9: (5, 3, 3, 7, 0, 5, 0, 0, 0, 3, 0, 3, 0, 0, 0, 5, 0),
}
"""RFC 3647 §6: how many headings stand below each of a chapter's."""


def numbers() -> Iterator[str]:
    """Return the numbers of the RFC's outline, in order."""
    for chapter, sections in OUTLINE.items():
        yield f"{chapter}"
        for section, count in enumerate(sections, start=1):
            yield f"{chapter}.{section}"
            yield from (f"{chapter}.{section}.{number}" for number in range(1, count + 1))


def written(scene: Scene) -> str:
    """Write the document of a home."""
    ran = regalia(["ca", "cps", "--home", str(scene.home)])
    assert ran.status == 0, ran.output
    return ran.output


def told(scene: Scene, *words: str) -> list[dict[str, str]]:
    """Ask another command for the same."""
    ran = regalia([*words, "--json", "--home", str(scene.home)])
    assert ran.status == 0, ran.output
    found = json.loads(ran.output)
    return found if isinstance(found, list) else [found]


def test_each_section_of_the_rfc_is_there() -> None:
    """RFC 3647 §6: every number of its outline has a heading, once and in its place."""
    assert re.findall(r"^#+ (\d[\d.]*) .+$", outline(), re.MULTILINE) == list(numbers())


def test_each_section_says_something(scene: Scene) -> None:
    """Under each heading without others below it stands a fact, or that the organisation has to state it."""
    parts = re.split(r"^#+ (\d[\d.]*) .+$", written(scene), flags=re.MULTILINE)
    bodies = dict(zip(parts[1::2], parts[2::2], strict=True))
    silent = [number for number, body in bodies.items() if not body.strip()]
    assert all(any(other.startswith(f"{number}.") for other in bodies) for number in silent)
    assert "{{" not in "".join(parts)
    assert written(scene).count(TO_STATE) > 100


def test_each_fact_is_used(scene: Scene) -> None:
    """What is gathered is what the outline asks for."""
    from regalia.app import build  # noqa: PLC0415 - as the commands do
    from regalia.config import load_config  # noqa: PLC0415 - the same

    app = build(load_config(home=scene.home))
    try:
        assert set(facts(app)) == set(re.findall(r"\{\{([a-z_]+)\}\}", outline()))
    finally:
        app.close()


def test_it_says_what_the_other_commands_say(scene: Scene) -> None:
    """Authorities, fingerprints, ends, groups, endpoints and profiles are those of the home."""
    assert main(["group", "create", "--name", "guests", "--home", str(scene.home)]) in {0, 2}
    text = written(scene)
    rows = Counter(line.split(" | ")[0].strip("| ") for line in text.splitlines() if line.startswith("| "))
    for authority in told(scene, "ca", "list"):
        (shown,) = told(scene, "ca", "show", authority["name"])
        assert shown["sha256"].replace(":", "").lower() in text.replace(":", "").lower()
        assert authority["not_after"] in text
        assert rows[authority["name"]] >= 2
    for noun in ("group", "endpoint", "profile"):
        for one in told(scene, noun, "list"):
            assert rows[one["name"]] >= 1, (noun, one)
    for profile in told(scene, "profile", "list"):
        assert f"* {profile['name']}: {profile['validity']}." in text


SETTINGS = {
    "crl.issuing_days": ("9", "is valid for 9 days"),
    "ocsp.good_seconds": ("900", "kept for 900 seconds"),
    "limits.pending_days": ("11", "refused after 11 days"),
    "audit.personal_days": ("123", "removed after 123 days"),
    "audit.pseudonym_days": ("1234", "destroyed after 1234 days"),
    "audit.checkpoint_directory": ('"/srv/a_b"', "copied to /srv/a\\_b."),
    "server.url": ('"http://other.example.test"', "http://other.example.test/crl/root.crl"),
    "server.admin_listen": ('"127.0.0.1:9443"', "administrators on 127.0.0.1:9443"),
}


@pytest.mark.parametrize("setting", SETTINGS)
def test_it_says_what_is_configured(scene: Scene, setting: str) -> None:
    """A setting that is changed changes the statement, and what a name holds does not become markup."""
    value, sentence = SETTINGS[setting]
    assert sentence not in written(scene)
    section, _, key = setting.partition(".")
    (scene.home / "regalia.toml").write_text(f"[{section}]\n{key} = {value}\n")
    assert sentence in written(scene)
