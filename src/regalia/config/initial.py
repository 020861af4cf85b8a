"""The configuration file that `init` leaves in a new home."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from regalia import reasons
from regalia.config.settings import CONFIG_FILE, SECTIONS
from regalia.errors import AdminError
from regalia.keys.private_files import create_private

if TYPE_CHECKING:
    from pathlib import Path

    from regalia.config.settings import KeySettings

__all__ = [
    "initial_document",
    "write_initial",
]


def initial_document(url: str, database: str | None = None, keys: KeySettings | None = None) -> str:
    """Write what `init` leaves in the home: what was chosen, and every other setting as a comment with its default.

    `keys` are the settings of that section where they differ from their defaults: later commands need them as well.
    Both URLs were checked as settings before: they need no escaping in TOML.
    """
    chosen = {("server", "url"): url} | ({("database", "url"): database} if database is not None else {})
    if keys is not None:
        told = keys.model_dump(exclude_defaults=True)
        chosen |= {("keys", name): str(value) for name, value in told.items()}
    lines = [
        "# Read once, when Regalia starts. `regalia config check` shows what is in force and where it came from.",
        "# REGALIA_SECTION__KEY in the environment is stronger: REGALIA_SERVER__LISTEN=0.0.0.0:8080",
    ]
    for section, model in SECTIONS.items():
        lines += ["", f"[{section}]"]
        for key, info in model.model_fields.items():
            lines.append(f"# {info.description}")
            value = chosen.get((section, key))
            lines.append(
                f"{key} = {_toml(value)}"
                if value is not None
                else f"# {key} = {_toml(info.get_default(call_default_factory=True))}"
            )
    return "\n".join(lines) + "\n"


def _toml(value: object) -> str:
    if isinstance(value, tuple):
        return str([str(each) for each in value]).replace("'", '"')
    if isinstance(value, int):
        return str(value)
    # JSON's strings are TOML's, too.
    return json.dumps("" if value is None else str(value), ensure_ascii=False)


def write_initial(home: Path, url: str, database: str | None = None, keys: KeySettings | None = None) -> Path:
    """Create the file in a new home, mode 0600. Raises `AdminError` ADM-001 where there is one, ADM-020."""
    path = home / CONFIG_FILE
    try:
        create_private(path, initial_document(url, database, keys).encode())
    except FileExistsError:
        raise AdminError(reasons.HOME_USED, f"{path} exists") from None
    except OSError as error:
        raise AdminError(reasons.FILE_REFUSED, f"{path}: {error.strerror}") from error
    return path
