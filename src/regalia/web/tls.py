"""TLS of a listener: a context with the newest certificate, taken over while connections are open.

Where certificate and key come from is a `TlsSource`'s business: files, or our own authority.
"""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

import structlog

from regalia import reasons
from regalia.errors import AdminError, RegaliaError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["ReloadingContext", "TlsSource"]

_log = structlog.get_logger("regalia.web")

_CIPHERS: Final = (
    "ECDHE+AESGCM:ECDHE+CHACHA20"
    # Windows 8.1 and Server 2012 R2 have nothing better for an RSA certificate.
    ":ECDHE-ECDSA-AES256-SHA384:ECDHE-ECDSA-AES128-SHA256:ECDHE-RSA-AES256-SHA384:ECDHE-RSA-AES128-SHA256"
)
"""Of TLS 1.2, all with forward secrecy. TLS 1.3 has no bad ones."""


class TlsSource(Protocol):
    """Where a listener's certificate comes from. Both may take time and raise `OSError` or `RegaliaError`."""

    def look(self) -> object:
        """Return something that is equal as long as there is nothing new."""

    def read(self) -> bytes:
        """PEM: the certificate, those above it but the root, and the private key, not encrypted."""


@dataclass(frozen=True, slots=True)
class _Found:
    seen: object
    pem: bytes


class ReloadingContext:
    """TLS 1.2 and 1.3 with the newest certificate. Connections that are open keep what they began with.

    No client is ever asked for a certificate: macOS would ask its user for one.
    """

    def __init__(self, name: str, source: TlsSource) -> None:
        """`name` is the listener's. Raises `AdminError` ADM-020, or what it raises, where the source is of no use."""
        self._name = name
        self._source = source
        self._refused: object = None
        try:
            self._seen = source.look()
            self.context = _loaded(_context(), source.read())
        except OSError as error:  # ssl.SSLError is one
            raise AdminError(reasons.FILE_REFUSED, f"certificate of the {name} listener: {error}") from error

    def reload_if_changed(self) -> bool:
        """Take over what is new. Whether there was anything."""
        take = self.look()
        return take is not None and take()

    def look(self) -> Callable[[], bool] | None:
        """Read what is new, which may take time, in whatever thread; return what takes it over in the loop's.

        A handshake that began while certificate and key are exchanged would get one of each.
        """
        seen: object = None
        try:
            seen = self._source.look()
            if seen == self._seen:
                return None
            found = _Found(seen, self._source.read())
        except (OSError, RegaliaError) as error:
            self._refuse(seen or str(error), error)
            return None
        return lambda: self._take(found)

    def _take(self, found: _Found) -> bool:
        """Take over what was read.

        What cannot be used, or does not belong together yet, is left for the next look; the old certificate stays in
        force meanwhile, and the log says so once.
        """
        try:
            # First into a context that nobody uses: one that fails half-way has no usable key any more.
            _loaded(_context(), found.pem)
            _loaded(self.context, found.pem)
        except (OSError, ssl.SSLError) as error:
            self._refuse(found.seen, error)
            return False
        self._seen, self._refused = found.seen, None
        _log.info("tls-certificate-reloaded", listener=self._name)
        return True

    def _refuse(self, seen: object, error: Exception) -> None:
        if seen != self._refused:
            self._refused = seen
            _log.warning("tls-certificate-not-usable", listener=self._name, error=str(error))


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)
    context.verify_mode = ssl.CERT_NONE
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION | ssl.OP_CIPHER_SERVER_PREFERENCE
    return context


def _loaded(context: ssl.SSLContext, pem: bytes) -> ssl.SSLContext:
    """Give a context certificate and key, through memory: Python loads them from nothing but a file."""
    descriptor = os.memfd_create("tls", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, pem)
        # An encrypted key is refused; nobody is there to be asked for its password.
        context.load_cert_chain(f"/proc/self/fd/{descriptor}", password=lambda: "")
    finally:
        os.close(descriptor)
    return context
