"""A device's HTTP: one exchange at a time, URLs octet for octet as the device wrote them."""

from __future__ import annotations

import http.client
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import urlsplit

from regalia.lab.devices.reports import DeviceError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Answer", "Web", "WebError", "WireWeb"]

_SECONDS: Final = 30.0
_LONGEST: Final = 1 << 20


class WebError(Exception):
    """No answer came; the message may have arrived."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    body: bytes


class Web(Protocol):
    """One HTTP exchange."""

    def ask(self, url: str, body: bytes | None, *, oldest_tls: bool) -> Answer:
        """GET a URL, or POST a body to it; a `WebError` where no answer came."""


class WireWeb:
    """HTTP and HTTPS of the machine's. `trusted` is a PEM file that HTTPS may lead to besides the system's."""

    def __init__(self, trusted: Path | None = None) -> None:
        self._trusted = trusted

    def ask(self, url: str, body: bytes | None, *, oldest_tls: bool) -> Answer:
        """Ask once; nothing is followed."""
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or parts.hostname is None:
            raise DeviceError("invalid URL", f"{url} is no HTTP URL")
        connection = self._connection(parts.scheme, parts.hostname, parts.port, oldest_tls=oldest_tls)
        target = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
        headers = {} if body is None else {"Content-Type": "application/x-pki-message"}
        try:
            connection.request("GET" if body is None else "POST", target, body, headers)
            answer = connection.getresponse()
            return Answer(answer.status, answer.read(_LONGEST))
        except ssl.SSLCertVerificationError as error:
            raise DeviceError("0x80072f8f", f"TLS: {error.verify_message}") from error
        except (OSError, http.client.HTTPException) as error:
            raise WebError(str(error) or type(error).__name__) from error
        finally:
            connection.close()

    def _connection(self, scheme: str, host: str, port: int | None, *, oldest_tls: bool) -> http.client.HTTPConnection:
        if scheme == "http":
            return http.client.HTTPConnection(host, port, timeout=_SECONDS)
        context = ssl.create_default_context()
        if self._trusted is not None:
            context.load_verify_locations(cafile=str(self._trusted))
        if oldest_tls:
            context.maximum_version = ssl.TLSVersion.TLSv1_2
        return http.client.HTTPSConnection(host, port, timeout=_SECONDS, context=context)
