"""The NDES face: Microsoft's page for MDMs that read challenges off it, and Microsoft's paths for SCEP (R11).

The phrases in the page are what scrapers look for, to the letter and the space; the rest of the HTML is ours. Over
plain HTTP the page is not there for anybody: the answer is one constant, given before anything is looked up, and what
the request says of itself is not read.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import re
from typing import TYPE_CHECKING, Final

from regalia import reasons
from regalia.errors import UnavailableError
from regalia.model import NDES_TTL, NdesEncoding
from regalia.ra.limits import Limited
from regalia.ra.ndes import CERTSRV, Handed, Login, NdesRefusal, PageRequest, Shown, Told, UnusableLogin
from regalia.web.answers import BAD_REQUEST, NO_STORE, NOT_FOUND, TOO_MANY, URL_TOO_LONG, answer, with_headers
from regalia.web.scep import peer_address

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from regalia.ra.ndes import NdesAnswer, NdesService
    from regalia.web.answers import Answer, Header
    from regalia.web.pool import Pool

__all__ = ["NdesFace", "is_ndes_path"]

_ENDPOINT = re.compile(r"[a-z][a-z0-9-]{0,39}")
_OURS: Final = "/mscep_admin/"
_THEIRS: Final = "/certsrv/"
_PAGES: Final = frozenset({"/certsrv/mscep_admin", "/certsrv/mscep_admin/", "/certsrv/mscep_admin/mscep.dll"})
_SCEP: Final = frozenset(
    {"/certsrv/mscep", "/certsrv/mscep/", "/certsrv/mscep/mscep.dll", "/certsrv/mscep/mscep.dll/pkiclient.exe"}
)
"""What follows the host in the URLs that clients of Microsoft's NDES know (mdm.md §6.3), in lower case."""

_URL_OCTETS: Final = 8_192
_NOT_FOUND_SECONDS: Final = 0.05
"""As at `web.scep`: longer than a look into the database, so that the time does not tell which endpoints exist."""

_HEADERS: Final[tuple[Header, ...]] = (
    NO_STORE,
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'; form-action 'none'; base-uri 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"accelerometer=(), camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
)
"""WEB-2, but for Strict-Transport-Security: CRLs and OCSP have this host's name, too, and stay on plain HTTP."""

_TEXT: Final = b"text/plain; charset=utf-8"
_TLS_ONLY = answer(403, b"only over https\n", _TEXT, *_HEADERS)
_READ_ONLY = answer(405, b"method not allowed\n", _TEXT, *_HEADERS, (b"allow", b"GET"))
_LOG_IN = answer(
    401, b"not authorized\n", _TEXT, *_HEADERS, (b"www-authenticate", b'Basic realm="challenges", charset="UTF-8"')
)

_SCHEMES: Final = frozenset({b"negotiate", b"ntlm", b"digest", b"bearer"})

_PHRASES: Final = {
    Told.FULL: "The password cache is full.",
    Told.NO_PERMISSION: "You do not have sufficient permission to enroll with SCEP.",
}


def is_ndes_path(path: str) -> bool:
    """Whether a path is this face's: Microsoft's are known in any case of letters, as on Windows."""
    return path.startswith(_OURS) or path[: len(_THEIRS)].lower() == _THEIRS


class NdesFace:
    """Serves every path below `/mscep_admin/` and `/certsrv/`."""

    def __init__(self, service: NdesService, scep: ASGIApp, pool: Pool) -> None:
        """`scep` serves `/scep/{endpoint}`, which is what Microsoft's paths for SCEP stand for."""
        self._service = service
        self._scep = scep
        self._pool = pool
        self._certsrv: str | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        path: str = scope["path"]
        known = path.lower() if path.isascii() else path
        if known in _SCEP:
            await self._as_scep(scope, receive, send)
            return
        given = await self._answered(scope, path, known)
        await given(scope, receive, send)

    # --- SCEP -------------------------------------------------------------------------------------------------------

    async def _as_scep(self, scope: Scope, receive: Receive, send: Send) -> None:
        endpoint = await self._pool.run(self._certsrv_endpoint)
        if endpoint is None:
            given = await self._missing(scope, CERTSRV)
            await given(scope, receive, send)
        else:
            await self._scep({**scope, "path": f"/scep/{endpoint}"}, receive, send)

    def _certsrv_endpoint(self) -> str | None:
        """Name the endpoint; while the database is away, the one that it was: CA certificates are told then, too."""
        try:
            self._certsrv = self._service.certsrv_endpoint()
        except UnavailableError:
            if self._certsrv is None:
                raise
        return self._certsrv

    # --- the page ---------------------------------------------------------------------------------------------------

    async def _answered(self, scope: Scope, path: str, known: str) -> Answer:
        if len(scope["raw_path"]) + len(scope["query_string"]) > _URL_OCTETS:
            return URL_TOO_LONG
        is_theirs = not path.startswith(_OURS)
        name = path.removeprefix(_OURS).removesuffix("/")
        if (known not in _PAGES) if is_theirs else _ENDPOINT.fullmatch(name) is None:
            return await self._missing(scope, CERTSRV if is_theirs else ascii(name[:64])[1:-1])
        if scope.get("scheme") != "https":
            return await self._over_plain_http(scope, CERTSRV if is_theirs else name)
        began = asyncio.get_running_loop().time()
        given = await self._pool.run(lambda: self._page(scope, None if is_theirs else name))
        if given is NOT_FOUND:
            await _wait_from(began)
        return given

    def _page(self, scope: Scope, name: str | None) -> Answer:
        endpoint = name if name is not None else self._certsrv_endpoint()
        if endpoint is None:
            self._service.refuse(reasons.PAGE_MISSING, CERTSRV, peer_address(scope), _shown(scope))
            return NOT_FOUND
        request = PageRequest(
            endpoint, peer_address(scope), scope["method"] == "GET", _login(scope), scope["query_string"]
        )
        return _rendered(self._service.answer(request))

    async def _over_plain_http(self, scope: Scope, endpoint: str) -> Answer:
        # Only that there was a header is looked at: then the credential crossed the network for all to read.
        told = any(name == b"authorization" for name, _ in scope["headers"])
        detail = "with a credential, which is to be replaced" if told else "without a credential"
        source = peer_address(scope)
        await self._pool.run(
            lambda: self._service.refuse(reasons.PAGE_OVER_PLAIN_HTTP, endpoint, source, detail, security=told)
        )
        return _TLS_ONLY

    async def _missing(self, scope: Scope, endpoint: str) -> Answer:
        began = asyncio.get_running_loop().time()
        source, path = peer_address(scope), _shown(scope)
        await self._pool.run(lambda: self._service.refuse(reasons.PAGE_MISSING, endpoint, source, path))
        await _wait_from(began)
        return NOT_FOUND


async def _wait_from(began: float) -> None:
    await asyncio.sleep(began + _NOT_FOUND_SECONDS - asyncio.get_running_loop().time())


def _shown(scope: Scope) -> str:
    """Show a path that leads nowhere with its odd characters escaped (IN-6)."""
    return ascii(scope["path"][:120])


# --- reading ----------------------------------------------------------------------------------------------------------


def _login(scope: Scope) -> Login | UnusableLogin | None:
    """Read HTTP Basic (RFC 7617). What is not that is named with a word of ours: it may be a secret."""
    values = [value for name, value in scope["headers"] if name == b"authorization"]
    if not values:
        return None
    if len(values) > 1:
        return UnusableLogin("more than one Authorization header")
    scheme, _, rest = values[0].partition(b" ")
    if scheme.lower() != b"basic":
        known = scheme.lower() in _SCHEMES
        return UnusableLogin(f"scheme {scheme.lower().decode()}" if known else "a scheme that nobody knows")
    try:
        user, colon, password = base64.b64decode(rest.strip(), validate=True).partition(b":")
    except (binascii.Error, ValueError):
        return UnusableLogin("Basic, but not base64")
    return Login(user, password) if colon else UnusableLogin("Basic, but without a colon")


# --- rendering --------------------------------------------------------------------------------------------------------


def _rendered(given: NdesAnswer) -> Answer:
    match given:
        case Handed():
            return _html(given.page.encoding, _password_page(given.secret, given.thumbprint))
        case Shown():
            return _html(given.page.encoding, _PHRASES[given.what])
        case Limited():
            return with_headers(TOO_MANY, (b"retry-after", b"%d" % given.retry_after))
        case NdesRefusal.NOT_FOUND:
            return NOT_FOUND
        case NdesRefusal.ONLY_READ:
            return _READ_ONLY
        case NdesRefusal.LOGIN:
            return _LOG_IN
        case NdesRefusal.BINDING:
            return BAD_REQUEST


def _password_page(secret: str, thumbprint: bytes) -> str:
    """Say what scrapers look for.

    One of them splits at `>` and takes a piece whose second character begins the phrase: one space in front of it, no
    more. Another takes the first run of upper-case hexadecimal digits of the length that it was told, so the thumbprint
    stands in blocks of eight and nothing else on the page looks like one.
    """
    digits = thumbprint.hex().upper()
    blocks = " ".join(digits[place : place + 8] for place in range(0, len(digits), 8))
    minutes = int(NDES_TTL.total_seconds()) // 60
    return (
        f"<P> The thumbprint (hash value) for the CA certificate is: <B> {blocks} </B> "
        f"<P> The enrollment challenge password is: <B> {secret} </B> "
        f"<P> This password can be used only once and will expire within {minutes} minutes."
    )


def _html(encoding: NdesEncoding, content: str) -> Answer:
    if not content.startswith("<P>"):
        content = f"<P> {content}"
    text = (
        "<!DOCTYPE html><HTML><HEAD><TITLE>Network Device Enrollment Service</TITLE></HEAD>"
        f"<BODY><H1>Network Device Enrollment Service</H1> {content}</BODY></HTML>\r\n"
    )
    match encoding:
        case NdesEncoding.UTF_16:
            # No charset: clients that know Microsoft's page decode it as they always did.
            body, media = text.encode("utf-16-le"), b"text/html"
        case NdesEncoding.UTF_16_BOM:
            body, media = b"\xff\xfe" + text.encode("utf-16-le"), b"text/html"
        case NdesEncoding.UTF_8:
            body, media = text.encode("utf-8"), b"text/html; charset=utf-8"
    return answer(200, body, media, *_HEADERS)
