"""`--server`: where it is said, what it leads to, and what it is refused for."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cli.commands_page import PAGE, all_commands
from cli.far import far_home
from cli.transcript import commands_in, goes_far, regalia
from regalia import reasons
from regalia.cli.remote import LOCAL, PARTLY, Remote, is_local, told_server, towards
from regalia.errors import AdminError
from regalia.verbs import VERBS
from regalia.verbs import group as groups

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cli.scene import Scene
    from regalia.verbs import Door

COMMANDS = {found.words for found in all_commands()}
URL = "https://pki.example.test:8443"
FAR = Remote(URL, Path("t"))
TOLD = [
    arguments
    for path in sorted((Path(__file__).parent / "transcripts").glob("*.txt"))
    for arguments in commands_in(path.read_text(encoding="utf-8"))
]


# --- where it is said -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        ["--server", URL, "--token-file", "t", "group", "list"],
        ["group", "--server", URL, "list", "--token-file", "t"],
        ["group", "list", f"--server={URL}", "--token-file=t"],
    ],
)
def test_a_server_is_named_anywhere(arguments: list[str]) -> None:
    """The options may stand before, between and behind the words of a command, which is left without them."""
    assert told_server(arguments, {}) == (FAR, ["group", "list"])


def test_the_environment_names_one_too() -> None:
    """Options are stronger than the environment; an empty variable says nothing."""
    environment = {"REGALIA_SERVER": "https://other.test", "REGALIA_TOKEN_FILE": "t", "REGALIA_SERVER_CA": "ca.pem"}
    words = ["group", "list"]
    assert told_server(words, environment) == (Remote("https://other.test", Path("t"), "ca.pem"), words)
    assert told_server([*words, "--server", URL, "--server-ca", "c"], environment) == (
        Remote(URL, Path("t"), "c"),
        words,
    )
    assert told_server(words, {"REGALIA_SERVER": ""}) == (None, words)
    assert told_server(words, {"REGALIA_TOKEN_FILE": "t"}) == (None, words)


def test_what_stands_behind_two_hyphens_is_left_alone() -> None:
    """Behind `--` nothing is an option."""
    assert told_server(["group", "show", "--", "--server"], {}) == (None, ["group", "show", "--", "--server"])


@pytest.mark.parametrize(
    "arguments",
    [
        ["group", "list", "--server"],
        ["group", "list", "--server", URL],
        ["group", "list", "--token-file", "t"],
        ["group", "list", "--server-ca", "c"],
        ["--server", URL, "--server", URL, "--token-file", "t", "group", "list"],
    ],
)
def test_half_of_a_way_is_a_misuse(arguments: list[str]) -> None:
    """A server without a token, a token without a server, and one that is named twice are refused as misuse."""
    with pytest.raises(AdminError) as refused:
        told_server(arguments, {})
    assert refused.value.reason is reasons.USAGE


# --- what is local --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [*sorted(LOCAL), ("ca", "create", "x", "--offline")], ids=" ".join)
def test_local_commands_refuse_a_server(words: tuple[str, ...]) -> None:
    """A command that acts on this machine ends with API-015 where a server is named, before it does anything."""
    ran = regalia([*words, "--server", URL, "--token-file", "t"])
    assert ran.status == 1
    assert ran.output.startswith("! Error API-015: ")
    if words in LOCAL:
        assert any(command[: len(words)] == words for command in COMMANDS)
    assert regalia([*words, "-h", "--server", URL, "--token-file", "t"]).status == 0


def test_every_other_command_is_shown_through_the_api() -> None:
    """Holds when 1: what is not listed as local appears in a transcript in a form that goes to a server."""
    shown = {words for arguments in TOLD if goes_far(arguments) for words in _words(arguments)}
    local = {words for words in COMMANDS if is_local(words) is not None}
    assert COMMANDS - local - shown == set()


def _words(arguments: list[str]) -> Iterator[tuple[str, ...]]:
    for length in (3, 2, 1):
        if tuple(arguments[:length]) in COMMANDS:
            yield tuple(arguments[:length])
            return


def test_the_reference_names_what_is_local() -> None:
    """The page of the commands lists exactly those that are local, wholly or in part."""
    _, _, listed = PAGE.read_text(encoding="utf-8").partition("## Local commands")
    named = {tuple(line.split("`")[1].split()[1:]) for line in listed.splitlines() if line.startswith("| `")}
    assert named == LOCAL.keys() | PARTLY.keys()


@pytest.mark.parametrize("option", ["--home", "--root-key"])
def test_a_directory_of_this_machine_is_refused(scene: Scene, option: str) -> None:
    """API-015: a server knows nothing of a home or medium that lies here."""
    with towards(lambda: far_home(scene.home)):
        ran = regalia(["group", "create", "x", option, str(scene.work)])
    assert ran.output.startswith("! Error API-015: ")
    assert ran.status == 1


# --- what it leads to -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "content", "reason"),
    [
        (0o600, None, "API-019"),
        (0o644, "rgl_x", "ADM-011"),
        (0o640, "rgl_x", "ADM-011"),
        (0o600, "", "API-019"),
        (0o600, "two lines\nhere", "API-019"),
        (0o600, "t\u00f6ken", "API-019"),
    ],
)
def test_a_token_is_private_and_one_line(tmp_path: Path, mode: int, content: str | None, reason: str) -> None:
    """A token that others can read, or that is none, is not sent anywhere."""
    file = tmp_path / "token"
    if content is not None:
        file.write_text(content, encoding="utf-8")
        file.chmod(mode)
    ran = regalia(["group", "list", "--server", URL, "--token-file", str(file)])
    assert ran.output.startswith(f"! Error {reason}: ")


@pytest.mark.parametrize("ca", ["missing.pem", "sha256:00", "binary.pem"])
def test_what_says_whom_to_trust_must_be_readable(tmp_path: Path, ca: str) -> None:
    """API-019: a certificate that cannot be read ends the command; nobody else is trusted in its place."""
    token = tmp_path / "token"
    token.write_text("rgl_x")
    token.chmod(0o600)
    (tmp_path / "binary.pem").write_bytes(b"\xff\xfe")
    named = ca if ca.startswith("sha256:") else str(tmp_path / ca)
    ran = regalia(["group", "list", "--server", URL, "--token-file", str(token), "--server-ca", named])
    assert ran.output.startswith("! Error API-019: ")


def test_what_is_asked_wrongly_is_told_the_same_way(scene: Scene) -> None:
    """A refusal comes back as itself: id, title, detail and remedy, in words and as JSON."""
    for arguments in (["group", "show", "nobody"], ["group", "show", "nobody", "--json"]):
        here = regalia([*arguments, "--home", str(scene.home)])
        with towards(lambda: far_home(scene.home)):
            there = regalia(arguments)
        assert there == here
        assert there.status == 1


def test_a_way_that_is_closed_is_not_taken_again(scene: Scene) -> None:
    """What was told for one command does not lead the next one there."""

    @contextmanager
    def there() -> Iterator[Door]:
        with far_home(scene.home) as door:
            yield door

    with towards(there):
        assert regalia(["group", "list"]).status == 0
    with far_home(scene.home) as door:
        assert door.ask(VERBS["group.show"], groups.ShowGroup(name="default")).name == "default"
    assert regalia(["group", "list", "--home", str(scene.work)]).status == 1
