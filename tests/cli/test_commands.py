"""Every command is complete: two examples, a line in the reference, a transcript, and JSON."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from typer.core import TyperGroup

from cli.commands_page import PAGE, all_commands, page
from cli.transcript import commands_in, regalia
from regalia.cli.main import NOUNS, noun

if TYPE_CHECKING:
    from cli.commands_page import Found

COMMANDS = tuple(all_commands())
TRANSCRIPTS = Path(__file__).parent / "transcripts"
ASKS_FIRST = {
    ("alert", "target", "remove"),
    ("key", "destroy"),
    ("key", "rotate-master"),
    ("key", "rotate-signer"),
    ("key", "separate-signer"),
    ("cert", "issue"),
    ("key-blocklist", "remove"),
    ("ca", "activate"),
    ("ca", "cross"),
    ("ca", "offline"),
    ("ca", "revoke"),
    ("ca", "sign"),
    ("group", "follow-rules"),
    ("group", "replace-authority"),
    ("ca", "crl-plan"),
    ("cert", "hold"),
    ("cert", "revoke"),
    ("challenge", "revoke"),
    ("connector", "disable"),
    ("device", "import"),
    ("device", "let-go"),
    ("device", "move"),
    ("device", "reconcile"),
    ("endpoint", "change"),
    ("endpoint", "disable"),
    ("endpoint", "ndes-page"),
    ("enrolment", "approve"),
    ("event", "checkpoint"),
    ("event", "forget"),
    ("enrolment", "deny"),
    ("admin", "grant"),
    ("admin", "ungrant"),
    ("admin", "disable"),
    ("admin", "enable"),
    ("admin", "link"),
    ("admin", "unlink"),
    ("admin", "setup-link"),
    ("admin", "rescue"),
    ("token", "revoke"),
    ("session", "end"),
    ("proposal", "approve"),
}
HOMELESS = {("profile", "ready-made"), ("backup", "key"), ("backup", "verify")}
"""Commands that need no home."""
PROMISED = {
    "ca": "create request sign accept import export cross list show revoke offline crl ceremony transcript",
    "group": "create list show",
    "profile": "create list show check",
    "endpoint": "create list show disable rotate-secret ndes-page",
    "connector": "kinds create list show change set-secret test disable enable",
    "device": "list show move import reconcile stops let-go",
    "user": "list show",
    "challenge": "create list revoke",
    "enrolment": "list show approve deny",
    "cert": "issue audit list show revoke hold release export",
    "event": "tail verify checkpoint export forget",
    "backup": "key create verify restore",
    "db": "upgrade check",
    "config": "check",
    "scep": "caps cacert enrol renew poll getcert getcrl nextca",
}
ALONE = {"init", "serve", "doctor", "demo"}


def _told() -> dict[tuple[str, ...], list[list[str]]]:
    """List the commands of all transcripts by their words."""
    known = {found.words for found in COMMANDS}
    told: dict[tuple[str, ...], list[list[str]]] = {}
    for path in sorted(TRANSCRIPTS.glob("*.txt")):
        for arguments in commands_in(path.read_text(encoding="utf-8")):
            for words in (tuple(arguments[:3]), tuple(arguments[:2]), tuple(arguments[:1])):
                if words in known:
                    told.setdefault(words, []).append(arguments)
                    break
    return told


TOLD = _told()


def _words(found: Found) -> str:
    return " ".join(found.words)


def _options(found: Found) -> set[str]:
    return {option for parameter in found.command.params for option in parameter.opts}


def test_the_promised_commands_exist() -> None:
    """The commands stand under the names that everybody was told (DESIGN §7.1)."""
    promised = {(name, verb) for name, verbs in PROMISED.items() for verb in verbs.split()} | {(one,) for one in ALONE}
    assert promised <= {found.words for found in COMMANDS}


@pytest.mark.parametrize("found", COMMANDS, ids=_words)
def test_help_ends_with_two_examples(found: Found) -> None:
    """The help of each command says what it does and shows two different examples of itself."""
    ran = regalia([*found.words, "-h"])
    assert ran.status == 0
    _, _, below = ran.output.partition("Examples:\n")
    shown = [line.strip() for line in below.splitlines() if line.strip()]
    assert len(set(shown)) == 2
    assert all(f"regalia {_words(found)}" in line for line in shown), shown
    assert found.command.help


@pytest.mark.parametrize("found", COMMANDS, ids=_words)
def test_each_command_has_a_transcript(found: Found) -> None:
    """Each command appears in a transcript; with --json too, where it has that."""
    if found.words == ("demo",):
        return  # a transcript of its own making: tests/cli/test_demo.py runs it
    told = TOLD.get(found.words, [])
    assert told, "no transcript shows it"
    if "--json" in _options(found):
        assert any("--json" in arguments for arguments in told), "no transcript shows its --json"


@pytest.mark.parametrize("found", COMMANDS, ids=_words)
def test_each_command_prints_json(found: Found) -> None:
    """Each command of a home knows --json and --home."""
    homeless = found.words[0] in {"lab", "scep"} or found.words in HOMELESS
    wanted = {"--json"} if homeless else {"--json", "--home"}
    if found.words != ("demo",):  # it makes a home of its own and tells a story
        assert wanted <= _options(found)


@pytest.mark.parametrize("found", COMMANDS, ids=_words)
def test_what_ends_something_asks_first(found: Found) -> None:
    """A command that decides or ends something for good has --yes and --dry-run, and no other has --yes."""
    assert ("--yes" in _options(found)) == (found.words in ASKS_FIRST)
    if found.words in ASKS_FIRST:
        assert "--dry-run" in _options(found)


@pytest.mark.parametrize("name", NOUNS)
def test_listed_help_is_the_nouns_own(name: str) -> None:
    """What `regalia --help` says of a noun, without importing it, is what the noun says of itself."""
    command = noun(name)
    if isinstance(command, TyperGroup):
        assert command.help == NOUNS[name]
    else:
        assert command.name == name


def test_the_reference_lists_every_command() -> None:
    """docs/reference/commands.md is what the commands are; `python tests/cli/commands_page.py` writes it anew."""
    assert PAGE.read_text(encoding="utf-8") == page()


@pytest.mark.parametrize("found", COMMANDS, ids=_words)
def test_a_path_without_permission_is_no_misuse(found: Found) -> None:
    """No command calls a path that this user may not read a misuse of itself: who opens it says what to do."""
    descriptors = {
        one.name: vars(one)["type_descriptor"] for one in found.command.params if "type_descriptor" in vars(one)
    }
    paths = {name: each.parameter_info for name, each in descriptors.items() if each.annotation is Path}
    assert [name for name, each in paths.items() if each.readable] == []
    assert paths or "--home" not in _options(found)
