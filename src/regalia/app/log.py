"""The server's log: one line per event on standard error, and never a reason to stop serving."""

from __future__ import annotations

import contextlib
import logging
import os
from typing import TYPE_CHECKING, Final, TextIO, cast

import structlog

if TYPE_CHECKING:
    from regalia.config.settings import LogSettings

__all__ = ["StandardError", "set_up_command_log", "set_up_log"]

_DESCRIPTOR: Final = 2


class StandardError:
    """Standard error for a server: a line that cannot be written is dropped.

    Often the log lies on the disk that is full, or its reader is gone; an exception from a log line would then turn
    the answer 503 into none and end the jobs (RES-7). Nothing is kept in a buffer, so no line comes later in pieces.
    """

    def write(self, text: str) -> int:
        """Write a whole line, or what of it there is room for."""
        left = text.encode("utf-8", "backslashreplace")
        with contextlib.suppress(OSError):
            while left:
                left = left[os.write(_DESCRIPTOR, left) :]
        return len(text)

    def flush(self) -> None:
        """There is nothing to flush."""


def set_up_log(settings: LogSettings) -> None:
    """Write one line of JSON, or of text, per event; nothing that a stranger sent is ever a format."""
    render = structlog.processors.JSONRenderer() if settings.format == "json" else structlog.dev.ConsoleRenderer()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, settings.level.upper())),
        logger_factory=structlog.WriteLoggerFactory(file=cast("TextIO", StandardError())),
    )


def set_up_command_log() -> None:
    """Let a command's standard output have its answer and nothing else: warnings go to standard error, as text."""
    structlog.configure(
        processors=[structlog.processors.add_log_level, structlog.dev.ConsoleRenderer(colors=False)],
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.WriteLoggerFactory(file=cast("TextIO", StandardError())),
    )
