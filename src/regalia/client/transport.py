"""How a SCEP client's octets travel: one exchange at a time, bounded in time and size, nothing followed.

`Transport` is the port; `HttpTransport` is HTTP/1.1 by httpx2. What an answer's status means is the caller's business.
"""

from __future__ import annotations

import ssl
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol, Self

import httpx2

from regalia import reasons
from regalia.errors import AdminError, PeerError, UnavailableError

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["MAX_BODY", "HttpAnswer", "HttpTransport", "Transport"]

MAX_BODY: Final = 2 << 20
"""Octets of an answer that are read: the largest honest one is a CRL of 1 MiB in its envelope."""
_CONNECT_SECONDS: Final = 10.0
_SILENCE_SECONDS: Final = 30.0
"""Longest pause within an exchange: more than the 15 s that a server may spend on its connectors (R8)."""
_TOTAL_SECONDS: Final = 60.0
"""Longest exchange, so that a server that drips cannot hold us."""
_LONGEST_WAIT: Final = 3600
_UNTRUSTED: Final = ("unable to get local issuer certificate", "self-signed certificate", "self signed certificate")
"""What OpenSSL says of a certificate whose root it does not know."""


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """What came back."""

    status: int
    body: bytes
    retry_after: int | None = None
    """Seconds; None where the header is absent or a date, which a device's clock may misjudge."""


class Transport(Protocol):
    """One HTTP exchange."""

    def exchange(self, url: str, body: bytes | None) -> HttpAnswer:
        """GET `url`, or POST `body` to it.

        Raises `UnavailableError` CLI-001 where no answer came, `AdminError` CLI-001 for a URL that cannot be asked,
        `PeerError` CLI-006 for an answer beyond `MAX_BODY`.
        """


class HttpTransport:
    """HTTP and HTTPS: no redirects, no cookies, no credentials, no proxy from the environment.

    A SCEP server is inside or beside the network of its devices; a proxy variable meant for the Internet would only
    lead the challenge astray. HTTPS is verified with the system's trust store.
    """

    def __init__(self, *, silence: float = _SILENCE_SECONDS, total: float = _TOTAL_SECONDS) -> None:
        self._total = total
        self._timeout = httpx2.Timeout(silence, connect=min(silence, _CONNECT_SECONDS))
        self._clients: dict[str, httpx2.Client] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        for client in self._clients.values():
            client.close()
        self._clients.clear()

    def exchange(self, url: str, body: bytes | None) -> HttpAnswer:
        """GET or POST, as the port says."""
        target = _checked(url)
        method = "GET" if body is None else "POST"
        headers = {} if body is None else {"Content-Type": "application/x-pki-message"}
        deadline = time.monotonic() + self._total
        try:
            with self._client(target.scheme).stream(method, target, content=body, headers=headers) as response:
                return HttpAnswer(response.status_code, _read(response, deadline), _retry_after(response))
        except httpx2.HTTPError as fault:
            raise _unreachable(target, str(fault) or type(fault).__name__) from fault

    def _client(self, scheme: str) -> httpx2.Client:
        """One client a scheme: loading the system's trust store takes time that plain HTTP need not spend."""
        if scheme not in self._clients:
            self._clients[scheme] = httpx2.Client(
                # A context without any anchor, for plain HTTP, would refuse TLS rather than not look.
                verify=ssl.create_default_context() if scheme == "https" else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
                timeout=self._timeout,
                trust_env=False,
                follow_redirects=False,
                headers={"User-Agent": "regalia-scep", "Accept-Encoding": "identity"},
            )
        return self._clients[scheme]


def _checked(url: str) -> httpx2.URL:
    try:
        target = httpx2.URL(url)
    except (httpx2.InvalidURL, ValueError) as fault:
        raise AdminError(reasons.CLIENT_UNREACHABLE, f"{url[:200]!a} is not a URL: {fault}") from fault
    if target.scheme not in {"http", "https"} or not target.host:
        raise AdminError(reasons.CLIENT_UNREACHABLE, f"{url[:200]!a} does not begin with http://host or https://host")
    return target


def _read(response: httpx2.Response, deadline: float) -> bytes:
    """Read the body as it stands: no decompression, which could exceed the limit unseen (SSRF-4)."""
    body = bytearray()
    for chunk in response.iter_raw():
        body += chunk
        if len(body) > MAX_BODY:
            raise PeerError(reasons.CLIENT_REPLY_REFUSED, f"the answer is longer than {MAX_BODY} octets")
        if time.monotonic() > deadline:
            raise _unreachable(response.url, "it answers too slowly")
    return bytes(body)


def _retry_after(response: httpx2.Response) -> int | None:
    text = response.headers.get("Retry-After", "")
    return min(int(text), _LONGEST_WAIT) if text.isascii() and text.isdigit() and len(text) <= 9 else None


def _unreachable(target: httpx2.URL, detail: str) -> UnavailableError:
    if any(words in detail for words in _UNTRUSTED):
        detail += "; to trust its root, name the root's PEM file in SSL_CERT_FILE"
    where = f"{target.scheme}://{target.netloc.decode('ascii', 'replace')}"  # without user and password
    return UnavailableError(reasons.CLIENT_UNREACHABLE, f"{where}: {detail}")
