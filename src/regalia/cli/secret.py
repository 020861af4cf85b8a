"""Secrets that are given to a command: from a file or standard input, since everybody sees its arguments (CHA-4)."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from regalia.errors import AdminError

if TYPE_CHECKING:
    from regalia.errors import Reason

__all__ = ["STDIN", "lines_in", "one_line", "secret_in"]

STDIN: Final = "-"
_LONGEST: Final = 1024
_LONGEST_LINES: Final = 32_768


def secret_in(file: str, reason: Reason) -> str:
    """Read a file's one line, or that of standard input for `-`. Raises `AdminError` `reason`, never with the value."""
    return one_line(_text(file, reason), "standard input" if file == STDIN else file, reason)


def lines_in(file: str, reason: Reason) -> str:
    """Read a secret that may have several lines, as PEM has. Raises `AdminError` `reason`, never with the value."""
    text = _text(file, reason, _LONGEST_LINES).rstrip("\r\n")
    if not text or len(text) > _LONGEST_LINES:
        where = "standard input" if file == STDIN else file
        raise AdminError(reason, f"{where} is empty, or longer than {_LONGEST_LINES} octets")
    return text


def one_line(text: str, where: str, reason: Reason) -> str:
    """Drop the newline that editors add. Raises `AdminError` `reason` unless one line of printable text is left."""
    secret = text.rstrip("\r\n")
    if not secret or len(secret) > _LONGEST or not secret.isprintable():
        raise AdminError(reason, f"{where} does not hold one line of text, which a challenge is")
    return secret


def _text(file: str, reason: Reason, longest: int = _LONGEST) -> str:
    try:
        if file == STDIN:
            octets = sys.stdin.buffer.read(longest + 2)
        else:
            with Path(file).open("rb") as source:
                octets = source.read(longest + 2)
        return octets.decode("utf-8")
    except OSError as fault:
        raise AdminError(reason, f"{file} cannot be read: {fault.strerror}") from fault
    except UnicodeDecodeError as fault:
        raise AdminError(reason, f"{file} is not text in UTF-8") from fault
