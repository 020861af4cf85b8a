"""Verbs through a server's API: `ApiDoor` asks there what `LocalDoor` asks here, and raises the very same refusals.

Only who shows the expected certificate is told anything: the token and what is asked leave after the handshake.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import json
import re
import socket
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar
from urllib.parse import quote, urlsplit

import httpx2
from pydantic import ValidationError

from regalia import reasons
from regalia.errors import AdminError, InvariantError, Reason, RegaliaError, Stage, UnavailableError
from regalia.verbs.verb import Asked, Planned, Record

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from regalia.verbs import Verb

__all__ = ["ApiDoor", "Trust", "read_trust"]

A = TypeVar("A", bound=Asked)
G = TypeVar("G", bound=Record)

_PREFIX: Final = "/api/v1"
_MOST: Final = 64 << 20
"""Octets of an answer that are read: an export of a large group."""
_CONNECT_SECONDS: Final = 10.0
_SILENCE_SECONDS: Final = 120.0
"""Longest pause of a server that makes keys and signs with a slow token."""
_PROPOSED: Final = 202
_PIN = re.compile(r"sha256:([0-9a-f]{64})")
_UNUSABLE: Final = frozenset({"", ".", ".."})
"""What cannot stand between two slashes."""


@dataclass(frozen=True, slots=True)
class Trust:
    """Whose certificate is the server's; the system's roots where neither is said."""

    roots: str | None = None
    """PEM: roots, or the server's own certificate."""
    sha256: bytes | None = None
    """Of the server's certificate in DER; then its names and issuer do not matter."""


def read_trust(pin: str) -> Trust:
    """Read `sha256:HEX`, colons or not. Raises `AdminError` API-019."""
    found = _PIN.fullmatch("sha256:" + pin.lower().removeprefix("sha256:").replace(":", ""))
    if found is None:
        raise AdminError(reasons.API_FILE, "a fingerprint is sha256: and 64 hexadecimal digits")
    return Trust(sha256=bytes.fromhex(found[1]))


class ApiDoor:
    """Asks the verbs of a server."""

    def __init__(
        self, url: str, token: str, trust: Trust | None = None, transport: httpx2.BaseTransport | None = None
    ) -> None:
        """`url` is that of the admin listener; `transport` goes there another way than by a socket of its own.

        Raises `AdminError`: API-016 for a URL that cannot be used, API-017 where the server has another certificate
        than the pinned one, API-019 for roots that cannot be read.
        """
        self._url = _checked(url)
        if transport is None:
            transport = httpx2.HTTPTransport(verify=_context(self._url, trust or Trust()), trust_env=False)
        self._client = httpx2.Client(
            transport=transport,
            timeout=httpx2.Timeout(_SILENCE_SECONDS, connect=_CONNECT_SECONDS),
            trust_env=False,
            follow_redirects=False,
            headers={
                "Authorization": f"Bearer {token}",
                "User-Agent": "regalia",
                "Accept": "application/json",
                "Accept-Encoding": "identity",
            },
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def ask(self, verb: Verb[A, G], asked: A) -> G:
        """Do it there. Raises what the verb raises; API-014 where it waits for a second administrator."""
        return self._answer(verb, asked, verb.gives, {})

    def plan(self, verb: Verb[A, G], asked: A) -> Planned:
        """Say what would happen there."""
        return self._answer(verb, asked, Planned, {"dry_run": "true"})

    def _answer(self, verb: Verb[A, Any], asked: A, gives: type[G], further: Mapping[str, str]) -> G:
        path, query, body = _spread(verb, asked)
        status, octets = self._exchange(verb.method, path, [*query, *further.items()], body)
        if status == _PROPOSED:
            raise AdminError(reasons.SECOND_PERSON_NEEDED, _proposed(octets))
        try:
            return gives.model_validate_json(octets)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            what = ".".join(map(str, first["loc"])) or "the answer"
            raise AdminError(reasons.API_SERVER_ANSWER, f"{verb.name}: {what}: {first['msg']}") from None

    def _exchange(
        self, method: str, path: str, query: list[tuple[str, str]], body: Mapping[str, object] | None
    ) -> tuple[int, bytes]:
        url = httpx2.URL(f"{self._url}{_PREFIX}{path}", params=query or None)
        headers = {} if body is None else {"Content-Type": "application/json"}
        content = None if body is None else json.dumps(body).encode()
        try:
            with self._client.stream(method, url, content=content, headers=headers) as response:
                octets = _read(response)
        except httpx2.HTTPError as fault:
            raise _unreachable(self._url, str(fault) or type(fault).__name__) from fault
        if not response.is_success:
            raise _refusal(response, octets)
        return response.status_code, octets


# --- what is asked --------------------------------------------------------------------------------------------------


def _spread(verb: Verb[Any, Any], asked: Asked) -> tuple[str, list[tuple[str, str]], Mapping[str, object] | None]:
    """Divide what is asked into path, query and body."""
    fields = asked.model_dump(mode="json", exclude_unset=True)
    parts = []
    for part in verb.path.split("/"):
        if part.startswith("{"):
            text = _text(fields.pop(part[1:-1]))
            if text in _UNUSABLE:
                raise AdminError(reasons.NOT_FOUND, f"{verb.name.partition('.')[0]} {text}")
            parts.append(quote(text, safe=""))
        else:
            parts.append(part)
    if verb.method in {"POST", "PUT"}:
        return "/".join(parts), [], fields
    query: list[tuple[str, str]] = []
    for name, value in fields.items():
        if value is None and type(asked).model_fields[name].default is not None:
            raise InvariantError(f"{verb.name}: a query cannot say that {name} is nothing")
        if isinstance(value, list):
            query += [(name, _text(each)) for each in value]
        elif value is not None:
            query.append((name, _text(value)))
    return "/".join(parts), query, None


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int):
        return str(value)
    raise InvariantError(f"a {type(value).__name__} cannot stand in a URL")


# --- what is answered -----------------------------------------------------------------------------------------------


def _read(response: httpx2.Response) -> bytes:
    """Read the body as it stands, within bounds."""
    body = bytearray()
    for chunk in response.iter_raw():
        body += chunk
        if len(body) > _MOST:
            raise AdminError(reasons.API_SERVER_ANSWER, f"it is longer than {_MOST} octets")
    return bytes(body)


def _refusal(response: httpx2.Response, octets: bytes) -> RegaliaError:
    """Make the refusal that the server told; it is the same as if it had happened here."""
    found = _problem(octets)
    if found is None or not response.headers.get("content-type", "").startswith("application/problem+json"):
        return AdminError(reasons.API_SERVER_ANSWER, f"HTTP {response.status_code} without a problem document")
    told = {name: value for name, value in found.items() if isinstance(value, str)}
    reason = reasons.by_id(told.get("id", ""))
    if reason is None:
        # A newer server may know more.
        reason = Reason(told.get("id", ""), Stage.ADMIN, told.get("title", ""), told.get("remedy", ""))
    detail = told.get("detail", "")
    if "incident" in told:
        detail = f"incident {told['incident']}"
    if response.status_code == httpx2.codes.SERVICE_UNAVAILABLE:
        return UnavailableError(reason, detail)
    return AdminError(reason, detail)


def _problem(octets: bytes) -> dict[str, object] | None:
    try:
        found = json.loads(octets)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and isinstance(found.get("id"), str) else None


def _proposed(octets: bytes) -> str:
    try:
        found = json.loads(octets)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or not isinstance(found.get("id"), str):
        raise AdminError(reasons.API_SERVER_ANSWER, "a proposal without an id")
    return f"proposal {found['id']}"


# --- the way there --------------------------------------------------------------------------------------------------


def _checked(url: str) -> str:
    """Return scheme, host and port of the URL, and see that a token may go there."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise AdminError(reasons.API_SERVER_UNREACHABLE, f"{url[:200]!a} is not a URL") from None
    plain = not parts.query and not parts.fragment and parts.path in {"", "/"} and "@" not in parts.netloc
    if parts.scheme not in {"http", "https"} or not host or not plain or not re.fullmatch(r"[!-~]+", url):
        detail = f"{url[:200]!a} is not https://HOST or https://HOST:PORT"
        raise AdminError(reasons.API_SERVER_UNREACHABLE, detail)
    if parts.scheme == "http" and not _loopback(host):
        raise AdminError(reasons.API_SERVER_UNREACHABLE, f"http only goes to this machine itself, not to {host}")
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}" + (f":{port}" if port is not None else "")


def _loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _context(url: str, trust: Trust) -> ssl.SSLContext:
    """Make the context that lets the expected server through, and nobody else."""
    if urlsplit(url).scheme == "http":
        # Without any anchor: it would refuse TLS rather than not look.
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if trust.sha256 is not None:
        return _only(_pinned(url, trust.sha256))
    if trust.roots is None:
        return ssl.create_default_context()
    try:
        context = ssl.create_default_context(cadata=trust.roots)
    except (ssl.SSLError, ValueError) as error:
        raise AdminError(reasons.API_FILE, f"the server's certificate: {error}") from error
    # The file may hold the server's own certificate, which is no root.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def _pinned(url: str, sha256: bytes) -> bytes:
    """Look which certificate the server has, in DER, and whether it is the pinned one. Nothing is sent."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    looking = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    looking.check_hostname = False
    looking.verify_mode = ssl.CERT_NONE  # what is found is compared, and the way that is used then trusts it alone
    try:
        with (
            socket.create_connection((host, parts.port or 443), _CONNECT_SECONDS) as bare,
            looking.wrap_socket(bare, server_hostname=host) as secured,
        ):
            der = secured.getpeercert(binary_form=True) or b""
    except OSError as fault:
        raise _unreachable(url, str(fault)) from fault
    found = hashlib.sha256(der).digest()
    if not hmac.compare_digest(found, sha256):
        raise AdminError(reasons.API_SERVER_UNTRUSTED, f"{url} has sha256:{found.hex()}")
    return der


def _only(der: bytes) -> ssl.SSLContext:
    """Trust this certificate and no other, whatever names it has."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.load_verify_locations(cadata=der)
    return context


def _unreachable(url: str, detail: str) -> RegaliaError:
    if "CERTIFICATE_VERIFY_FAILED" in detail:
        return AdminError(reasons.API_SERVER_UNTRUSTED, f"{url}: {detail}")
    return UnavailableError(reasons.API_SERVER_UNREACHABLE, f"{url}: {detail}")
