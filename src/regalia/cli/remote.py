"""Commands against a server: `--server URL --token-file FILE`, anywhere among the arguments, or from the environment.

What acts on this machine, on its files, keys or processes, is refused there (API-015); all else reaches the verbs
through the server's API and prints what it prints on the server itself.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from regalia import reasons
from regalia.errors import AdminError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from regalia.client.api import Trust
    from regalia.verbs import Door

__all__ = ["LOCAL", "PARTLY", "FarDoor", "Remote", "far_door", "is_local", "told_server", "towards"]

FarDoor = Callable[[], AbstractContextManager["Door"]]

LOCAL: Final[Mapping[tuple[str, ...], str]] = {
    ("init",): "makes a home",
    ("serve",): "is the server",
    ("signer",): "is the process that holds keys",
    ("ca", "offline"): "moves key files",
    ("ca", "ceremony"): "writes keys to media",
    ("ca", "transcript"): "reads the record of what was done here by hand",
    ("ca", "shares"): "joins shares that are typed in",
    ("key", "rotate-master"): "writes the master key's file",
    ("key", "rotate-signer"): "writes the signer key's file",
    ("key", "separate-signer"): "writes the signer key's file",
    ("scep",): "is a device's client, and asks a SCEP server",
    ("admin", "rescue"): "lets somebody in by the word of who commands this machine",
    ("backup",): "reads and writes files and the whole database",
    ("db",): "changes the database's schema",
    ("config",): "reads this machine's settings",
    ("doctor",): "looks at this machine",
    ("lab",): "emulates a cloud on this machine",
    ("demo",): "makes a home of its own",
}
"""Commands that act on the machine where they run, by their first words, and why."""

PARTLY: Final[Mapping[tuple[str, ...], str]] = {
    ("ca", "create"): "with `--offline`: it makes a home",
    ("ca", "import"): "with a key: it reads key files and tokens",
    ("event", "verify"): "with `--file` or `--against`: it reads files",
    ("event", "export"): "where it is more than an answer holds: name a shorter time",
    ("key-blocklist", "import"): "where the list is too large for a request",
    ("device", "import"): "where the files are too large for a request",
    ("admin", "setup-link"): "without a name: there is nobody yet who could ask elsewhere",
}
"""Commands that do so in some of their uses."""

_OPTIONS: Final = {
    "--server": "REGALIA_SERVER",
    "--token-file": "REGALIA_TOKEN_FILE",
    "--server-ca": "REGALIA_SERVER_CA",
}
_TOKEN_OCTETS: Final = 1_000
_ROOTS_OCTETS: Final = 1 << 20

_FAR: ContextVar[FarDoor | None] = ContextVar("far", default=None)


@dataclass(frozen=True, slots=True)
class Remote:
    """Which server, and what leads to it."""

    url: str
    token_file: Path
    trusted: str | None = None
    """A PEM file, or `sha256:` and the fingerprint of the server's certificate."""

    @contextmanager
    def door(self) -> Iterator[Door]:
        """Open the way. Raises what `ApiDoor` does; API-019 and ADM-011 for the files."""
        from regalia.client.api import ApiDoor  # noqa: PLC0415 - only who goes there waits for the client

        with ApiDoor(self.url, _token(self.token_file), self._trust()) as door:
            yield door

    def _trust(self) -> Trust:
        from regalia.client.api import Trust, read_trust  # noqa: PLC0415 - the same

        if self.trusted is None:
            return Trust()
        if self.trusted.startswith("sha256:"):
            return read_trust(self.trusted)
        try:
            with Path(self.trusted).open("rb") as file:
                return Trust(roots=file.read(_ROOTS_OCTETS).decode("ascii"))
        except OSError as error:
            raise AdminError(reasons.API_FILE, f"{self.trusted}: {error.strerror}") from error
        except UnicodeDecodeError:
            raise AdminError(reasons.API_FILE, f"{self.trusted} is not PEM") from None


def _token(path: Path) -> str:
    from regalia.keys.private_files import read_private  # noqa: PLC0415 - the same

    try:
        text = read_private(path, _TOKEN_OCTETS).decode("ascii", "replace").strip()
    except OSError as error:
        raise AdminError(reasons.API_FILE, f"{path}: {error.strerror}") from error
    if not text or not text.isprintable() or not text.isascii() or " " in text:
        raise AdminError(reasons.API_FILE, f"{path} does not hold one token")
    return text


def told_server(arguments: Sequence[str], environment: Mapping[str, str]) -> tuple[Remote | None, list[str]]:
    """Take what names a server out of the arguments; options are stronger than the environment.

    Raises `AdminError`: ADM-018 for an option without its value or twice, and for a server without a token; API-015
    where the command acts on this machine and a server was named for it.
    """
    found, rest = _taken(arguments)
    for option, variable in _OPTIONS.items():
        if environment.get(variable):
            found.setdefault(option, environment[variable])
    if "--server" not in found:
        if any(option in found and not environment.get(variable) for option, variable in _OPTIONS.items()):
            raise AdminError(reasons.USAGE, "--token-file and --server-ca lead to a --server, and none is named")
        return None, rest
    why = is_local(rest)
    if why is not None and not {"-h", "--help"} & set(rest):
        raise AdminError(reasons.API_LOCAL_ONLY, why)
    if "--token-file" not in found:
        raise AdminError(reasons.USAGE, "--server needs --token-file FILE: a file of mode 0600 that holds a token")
    return Remote(found["--server"], Path(found["--token-file"]), found.get("--server-ca")), rest


def _taken(arguments: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    found: dict[str, str] = {}
    rest: list[str] = []
    waiting = list(arguments)
    while waiting:
        word = waiting.pop(0)
        if word == "--":
            rest += [word, *waiting]
            break
        option, equals, value = word.partition("=")
        if option not in _OPTIONS:
            rest.append(word)
            continue
        if not equals:
            if not waiting:
                raise AdminError(reasons.USAGE, f"{option} needs a value")
            value = waiting.pop(0)
        if option in found:
            raise AdminError(reasons.USAGE, f"{option} is there twice")
        found[option] = value
    return found, rest


def is_local(arguments: Sequence[str]) -> str | None:
    """Say why a command acts on this machine; None where it asks verbs, or is no command."""
    words = tuple(word for word in arguments if not word.startswith("-"))
    if words[:2] == ("ca", "create") and "--offline" in arguments:
        return "`regalia ca create --offline` makes a home"
    for length in (3, 2, 1):
        if words[:length] in LOCAL and len(words) >= length:
            return f"`regalia {' '.join(words[:length])}` {LOCAL[words[:length]]}"
    return None


def far_door() -> FarDoor | None:
    """Return the way to the server that this command was told to ask, if it was."""
    return _FAR.get()


@contextmanager
def towards(door: FarDoor | None) -> Iterator[None]:
    """Have commands within ask there."""
    before = _FAR.set(door)
    try:
        yield
    finally:
        _FAR.reset(before)
