"""Reading the configuration: file, environment and command line, with every problem found before any is reported."""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

from pydantic import SecretStr, ValidationError

from regalia import reasons
from regalia.config.settings import CONFIG_FILE, SECTIONS, Config, DatabaseSection, DatabaseSettings
from regalia.errors import AdminError
from regalia.keys.private_files import GROUP_AND_OTHERS, read_private

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pydantic_core import ErrorDetails

__all__ = [
    "ConfigRefusedError",
    "Problem",
    "find_home",
    "load_config",
]

_PREFIX = "REGALIA_"
_HOME_VARIABLE = "REGALIA_HOME"
_KEY_VARIABLES = ("REGALIA_MASTER_KEY_FILE", "CREDENTIALS_DIRECTORY")
_SIGNER_VARIABLES = ("REGALIA_SIGNER_KEY_FILE",)
_DEFAULT_HOME_OF_ROOT = Path("/var/lib/regalia")
_DEFAULT_HOME = Path(".local/share/regalia")
_MAX_PASSWORD_OCTETS = 4_096


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with the configuration."""

    path: str
    """`section.key`."""
    source: str
    message: str

    def __str__(self) -> str:
        return f"{self.path} ({self.source}): {self.message}"


class ConfigRefusedError(AdminError):
    """The configuration is not valid (ADM-006); `problems` has every reason."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__(reasons.CONFIG_REFUSED, "\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)


def find_home(environment: Mapping[str, str] | None = None, named: Path | None = None) -> Path:
    """Settle the home: the one named on the command line, `REGALIA_HOME`, the user's default (R11). Absolute."""
    return _find_home(os.environ if environment is None else environment, named)[0]


def _find_home(environment: Mapping[str, str], named: Path | None) -> tuple[Path, str]:
    # Without `..`, so that one home has one path: files below it are told from others by their directory.
    if named is not None:
        return Path(os.path.normpath(named.absolute())), "command line"
    if text := environment.get(_HOME_VARIABLE):
        return Path(os.path.normpath(Path(text).absolute())), _HOME_VARIABLE
    if os.geteuid() == 0:
        return _DEFAULT_HOME_OF_ROOT, "default"
    return Path(environment.get("HOME") or Path.home()) / _DEFAULT_HOME, "default"


def load_config(
    environment: Mapping[str, str] | None = None,
    *,
    home: Path | None = None,
    options: Mapping[str, str] | None = None,
) -> Config:
    """Read the configuration of a home; a home without the file has the defaults.

    `environment` is the process's own unless given; `options` are settings from the command line by `section.key`.
    Raises `ConfigRefusedError` (ADM-006) with all problems at once, `AdminError` ADM-011 where others may read a
    secret.
    """
    environment = os.environ if environment is None else environment
    found, home_source = _find_home(environment, home)
    reader = _Reader(found)
    reader.read_file()
    reader.read_environment(environment)
    for path, value in (options or {}).items():
        section, _, key = path.partition(".")
        reader.take(section, key, value, "command line")
    sections = reader.sections()
    database = reader.database(sections["database"]) if "database" in sections else None
    if reader.problems or database is None:
        raise ConfigRefusedError(reader.problems)
    sections["database"] = database
    key_environment = {name: environment[name] for name in _KEY_VARIABLES if environment.get(name)}
    signer_environment = {name: environment[name] for name in _SIGNER_VARIABLES if environment.get(name)}
    sources = reader.sources | {"home": home_source}
    return Config(
        home=found,
        key_environment=key_environment,
        signer_environment=signer_environment,
        sources=sources,
        **sections,
    )


class _Reader:
    """Gathers raw settings with their sources, and all that is wrong with them."""

    def __init__(self, home: Path) -> None:
        self.problems: list[Problem] = []
        self.sources: dict[str, str] = {}
        self._home = home
        self._raw: dict[str, dict[str, object]] = {name: {} for name in SECTIONS}

    def take(self, section: str, key: str, value: object, source: str) -> None:
        """Note a setting over an earlier one, or a problem where there is no such setting."""
        path = f"{section}.{key}"
        known = SECTIONS[section].model_fields if section in SECTIONS else {}
        if key in known:
            self._raw[section][key] = value
            self.sources[path] = source
        else:
            self.problems.append(Problem(path, source, f"unknown setting{_suggestion(path, _all_paths())}"))

    def read_file(self) -> None:
        """Take what the file holds, if there is one."""
        path = self._home / CONFIG_FILE
        try:
            with path.open("rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                document = tomllib.load(file)
        except FileNotFoundError:
            return
        except OSError as error:
            raise AdminError(reasons.FILE_REFUSED, f"{path}: {error.strerror}") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            self.problems.append(Problem(CONFIG_FILE, str(path), f"is not TOML: {error}"))
            return
        for section, table in document.items():
            self._take_table(section, table)
        if mode & GROUP_AND_OTHERS and _holds_password(self._raw["database"].get("url")):
            raise AdminError(reasons.PERMISSIONS_REFUSED, f"{path} holds a password and has mode {mode & 0o7777:04o}")

    def _take_table(self, section: str, table: object) -> None:
        if section not in SECTIONS:
            self.problems.append(Problem(section, CONFIG_FILE, f"unknown section{_suggestion(section, SECTIONS)}"))
        elif not isinstance(table, dict):
            self.problems.append(
                Problem(section, CONFIG_FILE, f"is a section: write [{section}] and its settings below")
            )
        else:
            for key, value in table.items():
                self.take(section, key, value, CONFIG_FILE)

    def read_environment(self, environment: Mapping[str, str]) -> None:
        """Take `REGALIA_SECTION__KEY`. Other variables of ours have no double underscore."""
        for name, value in sorted(environment.items()):
            section, separator, key = name.removeprefix(_PREFIX).lower().partition("__")
            if name.startswith(_PREFIX) and separator:
                self.take(section, key, value, name)

    def sections(self) -> dict[str, Any]:
        """Validate each section; one that is not valid is left out and has its problems noted."""
        valid: dict[str, Any] = {}
        for name, model in SECTIONS.items():
            try:
                valid[name] = model.model_validate(self._raw[name])
            except ValidationError as error:
                self.problems += [self._problem(name, details) for details in error.errors()]
        return valid

    def _problem(self, section: str, details: ErrorDetails) -> Problem:
        path = ".".join((section, *(str(part) for part in details["loc"][:1])))
        return Problem(path, self.sources.get(path, "default"), details["msg"].removeprefix("Value error, "))

    def database(self, section: DatabaseSection) -> DatabaseSettings | None:
        """Work out URL and password; None where a problem was noted."""
        url = section.url if section.url is not None else f"sqlite:///{self._home / 'regalia.db'}"
        try:
            settings = _database(url, self._home)
            if section.password_file is not None:
                settings = _with_password_file(settings, self._home / section.password_file)
        except ValueError as error:
            self.problems.append(Problem("database.url", self.sources.get("database.url", "default"), str(error)))
            return None
        except OSError as error:
            source = self.sources.get("database.password_file", "default")
            self.problems.append(Problem("database.password_file", source, f"{error.filename}: {error.strerror}"))
            return None
        return settings


def _database(url: str, home: Path) -> DatabaseSettings:
    parts = _split(url)
    if parts.scheme == "sqlite":
        path = url.removeprefix("sqlite:///")
        if path in (url, "") or parts.query or parts.fragment:
            msg = "must be sqlite:///PATH"
            raise ValueError(msg)
        return DatabaseSettings(f"sqlite:///{home / path}")
    if parts.scheme != "postgresql" or not parts.path.strip("/"):
        msg = "must be sqlite:///PATH or postgresql://[USER@]HOST[:PORT]/NAME"
        raise ValueError(msg)
    if parts.password is None:
        return DatabaseSettings(url)
    user, _, host = parts.netloc.rpartition("@")
    plain = urlunsplit(parts._replace(netloc=f"{user.partition(':')[0]}@{host}"))
    return DatabaseSettings(plain, SecretStr(unquote(parts.password)), "database.url")


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port  # reading it is what checks it: an unencoded slash in a password makes a port of its beginning
    except ValueError:
        msg = "is not a URL; special characters of a password are written as %XX, or use password_file"
        raise ValueError(msg) from None
    return parts


def _with_password_file(settings: DatabaseSettings, path: Path) -> DatabaseSettings:
    password = read_private(path, _MAX_PASSWORD_OCTETS).decode("utf-8").removesuffix("\n")
    if settings.password is not None or settings.is_sqlite or not urlsplit(settings.url).username:
        msg = "with password_file it must be postgresql://USER@HOST/NAME, without a password of its own"
        raise ValueError(msg)
    return DatabaseSettings(settings.url, SecretStr(password), str(path))


def _holds_password(url: object) -> bool:
    # Also of a URL that is refused later: its password is one all the same.
    return isinstance(url, str) and re.match(r"[^/]*//[^/@]*:[^/]*@", url) is not None


def _all_paths() -> list[str]:
    return [f"{name}.{key}" for name, model in SECTIONS.items() for key in model.model_fields]


def _suggestion(path: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(path, known, n=1)
    return f"; did you mean {close[0]}?" if close else "; `regalia config check` lists those that there are"
