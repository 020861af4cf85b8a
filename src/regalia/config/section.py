"""What every section of the configuration file is, and how addresses, lists and paths in them are read."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict

__all__ = ["Address", "OptionalAddress", "OptionalPath", "OptionalText", "Section", "nothing", "read_address", "texts"]


class Section(BaseModel):
    """A section of the file: nothing in it is changed after reading, and errors do not repeat what was written."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True, hide_input_in_errors=True)


@dataclass(frozen=True, slots=True)
class Address:
    """Where a listener listens."""

    host: str
    """A name or an IP address, IPv6 without its brackets."""
    port: int
    """0 lets the system choose."""

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read HOST:PORT, IPv6 in brackets. Raises ValueError."""
        match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\s:\[\]]+)):([0-9]{1,5})", text)
        if match is None or int(match[3]) > 0xFFFF:
            msg = f"{text!r} is not HOST:PORT; an IPv6 address stands in brackets, as in [::1]:8080"
            raise ValueError(msg)
        return cls(match[1] or match[2], int(match[3]))


def nothing(value: object) -> object:
    """Take the empty text for nothing, as the file that `init` leaves writes it."""
    return None if value == "" else value


def texts(value: object) -> object:
    """Read a list: an array in the file, words between commas in the environment."""
    if isinstance(value, str):
        if value.lstrip().startswith('["'):
            msg = "a variable has no brackets and quotes: put commas between the words"
            raise ValueError(msg)
        return tuple(word for word in (part.strip() for part in value.split(",")) if word)
    return tuple(value) if isinstance(value, list) else value


def read_address(value: object) -> object:
    """Read HOST:PORT where it is text."""
    return Address.parse(value) if isinstance(value, str) else value


OptionalAddress = Annotated[Address | None, BeforeValidator(read_address), BeforeValidator(nothing)]
OptionalPath = Annotated[Path | None, BeforeValidator(nothing)]
OptionalText = Annotated[str | None, BeforeValidator(nothing)]
