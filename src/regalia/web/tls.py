"""TLS of the admin listener: a context from two files, and the same context with what those files hold later."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["ReloadingContext", "TlsFiles"]

_log = structlog.get_logger("regalia.web")


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files of a listener."""

    certificate: Path
    """With the chain below it, if there is one."""
    key: Path


class ReloadingContext:
    """TLS 1.2 and 1.3 with the newest certificate. Connections that are open keep what they began with."""

    def __init__(self, files: TlsFiles) -> None:
        """Raises `OSError` or `ssl.SSLError` where the files cannot be used."""
        self._files = files
        self._seen = self._look()
        self.context = self._load(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))

    def reload_if_changed(self) -> bool:
        """Take over new files. Whether there were any.

        Files that cannot be used, or do not belong together yet, are left for the next call; the old ones stay in
        force meanwhile.
        """
        try:
            seen = self._look()
            if seen == self._seen:
                return False
            # First into a context that nobody uses: one that fails half-way has no usable key any more.
            self._load(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
            self._load(self.context)
        except (OSError, ssl.SSLError) as error:
            _log.warning("tls-files-not-usable", certificate=str(self._files.certificate), error=str(error))
            return False
        self._seen = seen
        _log.info("tls-files-reloaded", certificate=str(self._files.certificate))
        return True

    def _load(self, context: ssl.SSLContext) -> ssl.SSLContext:
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self._files.certificate, self._files.key)
        return context

    def _look(self) -> tuple[tuple[int, int, int], ...]:
        facts = [path.stat() for path in (self._files.certificate, self._files.key)]
        return tuple((fact.st_mtime_ns, fact.st_size, fact.st_ino) for fact in facts)
