"""HTTP to servers that are not ours (SSRF-1 to SSRF-5).

A name is resolved once, every address that it has is judged, and the connection goes to one of those that were judged.
Nothing is followed, nothing is read from the environment, nothing is decompressed. Octets, time and the number of
exchanges at a time are bounded below HTTP, at the socket, so that no header, chunk or trailer escapes the bounds.
"""

from __future__ import annotations

import io
import ipaddress
import socket
import ssl
import threading
import time
from contextlib import closing, contextmanager
from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING, Final

from regalia import reasons
from regalia.errors import AdminError, UnavailableError
from regalia.net.addresses import is_ours, never, special
from regalia.net.url import is_literal, read_url
from regalia.ports.outgoing import OutgoingResponse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from typing_extensions import Buffer

    from regalia.net.addresses import IpAddress, Opened
    from regalia.net.url import Url
    from regalia.ports.outgoing import OutgoingRequest

__all__ = ["HttpOutgoing", "resolve"]

_SECONDS: Final = 10.0
"""From the first question to the last octet (SSRF-4)."""
_CONNECT_SECONDS: Final = 4.0
"""For one address of several."""
_AT_A_TIME: Final = 8
_LONGEST_URL: Final = 8_000
"""Longer than one that an administrator may give: systems with pages make URLs that hold their own state."""
_HEAD: Final = 64 << 10
"""Octets that an answer may need besides its body: headers, interim answers, what frames chunks, TLS apart."""
_FIRST_STATUS: Final = 200
_LAST_STATUS: Final = 599


def resolve(host: str, port: int) -> Sequence[str]:
    """Ask the system's resolver for all addresses. Raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class HttpOutgoing:
    """See `ports.Outgoing`."""

    def __init__(
        self,
        *,
        opened: Sequence[Opened] = (),
        ca_file: Path | None = None,
        resolver: Callable[[str, int], Sequence[str]] = resolve,
        seconds: float = _SECONDS,
        agent: str = "regalia",
    ) -> None:
        """`opened` are the private addresses, and those with plain HTTP, that this use may call.

        `ca_file` is a PEM file that is trusted instead of the system's authorities. `seconds` bounds an exchange.
        """
        self._opened = tuple(opened)
        self._ca_file = ca_file
        self._resolver = resolver
        self._seconds = seconds
        self._agent = agent
        self._places = threading.BoundedSemaphore(_AT_A_TIME)
        self._lookups = threading.BoundedSemaphore(_AT_A_TIME)

    def exchange(self, request: OutgoingRequest) -> OutgoingResponse:
        """Ask once, as the port says."""
        url = read_url(request.url, longest=_LONGEST_URL)
        seconds = self._seconds if request.timeout is None else max(0.0, min(request.timeout, self._seconds))
        deadline = time.monotonic() + seconds
        if not self._places.acquire(timeout=seconds):
            raise _failed("too many exchanges are under way")
        try:
            addresses = self._judged(url, deadline)
            with _faults(), closing(self._connected(url, addresses, deadline)) as plain:
                return self._asked(url, request, plain, deadline)
        finally:
            self._places.release()

    # --- where to -----------------------------------------------------------------------------------------------------

    def _judged(self, url: Url, deadline: float) -> list[IpAddress]:
        """Resolve once, and see that every address may be called (SSRF-1, SSRF-2)."""
        try:
            addresses = [ipaddress.ip_address(text) for text in self._resolved(url, deadline)]
        except ValueError:
            raise _refused("the host's address cannot be read") from None
        if not addresses:
            raise _failed("the host has no address")
        for address in addresses:
            self._judge(url, address)
        return addresses

    def _resolved(self, url: Url, deadline: float) -> Sequence[str]:
        """Ask the resolver, which knows no timeout, in a thread that is left behind where it takes too long."""
        if is_literal(url.host):
            return [url.host]
        if not self._lookups.acquire(timeout=max(0.0, deadline - time.monotonic())):
            raise _failed("names are not resolved at the moment")
        found: list[Sequence[str]] = []

        def look_up() -> None:
            try:
                found.append(self._resolver(url.host, url.port))
            except (OSError, UnicodeError):
                found.append(())
            finally:
                self._lookups.release()

        thread = threading.Thread(target=look_up, daemon=True, name="regalia-lookup")
        thread.start()
        thread.join(max(0.0, deadline - time.monotonic()))
        if not found:
            raise _failed("the host's name was not resolved in time")
        return found[0]

    def _judge(self, url: Url, address: IpAddress) -> None:
        if never(address):
            raise _refused("the host has an address that is never called")
        covering = [each for each in self._opened if each.covers(url.scheme, address, url.port)]
        if any(each.is_one for each in covering):
            return
        if is_ours(address):
            raise _refused("the host is this machine, and no setting opens exactly this address and port")
        if covering:
            return
        if url.scheme != "https":
            raise _refused("plain HTTP is not used with this address")
        if special(address):
            raise _refused("the host has an address that is not public")

    # --- the exchange -------------------------------------------------------------------------------------------------

    def _connected(self, url: Url, addresses: Sequence[IpAddress], deadline: float) -> socket.socket:
        """Connect to the first address that answers; there is no second resolution."""
        for address in addresses:
            left = deadline - time.monotonic()
            if left <= 0:
                break
            try:
                return socket.create_connection((str(address), url.port), timeout=min(left, _CONNECT_SECONDS))
            except OSError:
                continue
        raise _failed("nobody answers there")

    def _asked(self, url: Url, request: OutgoingRequest, plain: socket.socket, deadline: float) -> OutgoingResponse:
        line = _Line(plain, deadline, request.limit + _HEAD)
        if url.scheme == "https":
            line = line.secured(_context(self._ca_file), url.host)
        try:
            connection = HTTPConnection(url.host, url.port)
            # All that it uses of a socket.
            connection.sock = line
            connection.putrequest(request.method, url.target, skip_host=True, skip_accept_encoding=True)
            for name, value in self._headers(url, request).items():
                connection.putheader(name, value)
            connection.endheaders(request.body if request.method == "POST" else None)
            response = connection.getresponse()
            body = response.read(request.limit + 1)
            headers = {name.lower(): value for name, value in response.getheaders()}
            if len(body) > request.limit:
                raise _failed("the answer is too long")
            if response.length:
                raise _failed("the answer ends too early")
            if not _FIRST_STATUS <= response.status <= _LAST_STATUS or headers.get(
                "content-encoding", "identity"
            ).lower() not in {"", "identity"}:
                raise _failed("the answer is not one that was asked for")
            return OutgoingResponse(response.status, headers, body)
        finally:
            line.end()

    def _headers(self, url: Url, request: OutgoingRequest) -> dict[str, str]:
        headers = {
            "Host": url.authority,
            "User-Agent": self._agent,
            "Accept-Encoding": "identity",
            "Connection": "close",
            **request.headers,
        }
        if request.method == "POST":
            headers["Content-Length"] = str(len(request.body))
        return headers


class _Line:
    """A connection that ends at its deadline, whoever is slow, and after so many octets, whatever they are."""

    def __init__(self, plain: socket.socket, deadline: float, most: int) -> None:
        self._plain = plain
        self._deadline = deadline
        self._left = most

    def secured(self, context: ssl.SSLContext, host: str) -> _Line:
        """Speak TLS from here on; `host` is what the certificate must be for."""
        self._wait()
        return _Line(context.wrap_socket(self._plain, server_hostname=host), self._deadline, self._left)

    def _wait(self) -> None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._plain.settimeout(left)

    def sendall(self, data: bytes) -> None:
        """Send all of it."""
        view = memoryview(data)
        while view:
            self._wait()
            view = view[self._plain.send(view) :]

    def makefile(self, mode: str) -> io.BufferedReader:
        """Read what comes, as `http.client` does."""
        del mode
        return io.BufferedReader(_Incoming(self))

    def receive_into(self, buffer: memoryview) -> int:
        """Read some."""
        self._wait()
        count = self._plain.recv_into(buffer)
        self._left -= count
        if self._left < 0:
            raise _failed("the answer is too long")
        return count

    def close(self) -> None:
        """Do nothing: `http.client` lets go of a connection before its answer is read."""

    def end(self) -> None:
        """End it, without waiting for the other side."""
        self._plain.close()


class _Incoming(io.RawIOBase):
    """The octets of a line."""

    def __init__(self, line: _Line) -> None:
        self._line = line

    def readable(self) -> bool:
        """They are there to be read."""
        return True

    def readinto(self, buffer: Buffer) -> int:
        """Read some."""
        return self._line.receive_into(memoryview(buffer))


def _context(ca_file: Path | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError):
        raise _failed("the file of outgoing.ca_file cannot be read") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


@contextmanager
def _faults() -> Iterator[None]:
    """Name what went wrong by its kind alone: what the other side said is not repeated (SSRF-5)."""
    try:
        yield
    except ssl.SSLCertVerificationError as error:
        # OpenSSL's own words, of a short list.
        detail = f"its certificate is not accepted: {error.verify_message}"
        raise UnavailableError(reasons.OUTGOING_UNTRUSTED, detail) from None
    except ssl.SSLError:
        raise _failed("TLS was not agreed upon") from None
    except TimeoutError:
        raise _failed("it takes too long") from None
    except OSError:
        raise _failed("the connection was lost") from None
    except (HTTPException, ValueError):
        raise _failed("what came is not HTTP") from None


def _refused(detail: str) -> AdminError:
    return AdminError(reasons.OUTGOING_REFUSED, detail)


def _failed(detail: str) -> UnavailableError:
    return UnavailableError(reasons.OUTGOING_FAILED, detail)
