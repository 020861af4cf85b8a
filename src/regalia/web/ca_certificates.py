"""`/ca/{authority}.cer|.pem|.p7c`: what AIA caIssuers points at (RFC 5280 §4.2.2.1), and the same for people.

`/ca/{root}.cross.pem|.p7c` has what other roots certified of its name and key.
"""

from __future__ import annotations

import base64
import hashlib
import re
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Protocol

from regalia.errors import UnavailableError
from regalia.model import CertificateKind
from regalia.ports import Authorities, Certificates
from regalia.web.answers import NOT_FOUND, READING_ONLY, answer
from regalia.web.conditional import etag_of, unless_known
from regalia.wire.certificate import read_certificate
from regalia.wire.cms import certs_only

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import Receive, Scope, Send

    from regalia.web.answers import Answer
    from regalia.web.pool import Pool

__all__ = ["CaCertificatesFace", "CaCertificatesStore"]

_PATH = re.compile(r"/ca/([a-z][a-z0-9-]{0,39}(?:\.cross(?=\.p))?)\.(cer|pem|p7c)")
_CROSS = ".cross"
_MEMORY_SECONDS = 60.0
_CHAIN_LIMIT = 8
"""Longer than any chain we make; a loop in the database must not be one here (RES-4)."""
_CACHE = (b"cache-control", b"public, max-age=3600")


class CaCertificatesStore(Authorities, Certificates, Protocol):
    """The ports that they come from."""


class CaCertificatesFace:
    """Serves authorities' certificates. What it knew once it tells from memory, whatever the database does (RES-7)."""

    def __init__(
        self, authorities: CaCertificatesStore, pool: Pool, *, remember_seconds: float = _MEMORY_SECONDS
    ) -> None:
        """After `remember_seconds` what is remembered is looked up anew, beside the answer and not before it."""
        self._authorities = authorities
        self._pool = pool
        self._remember_seconds = remember_seconds
        self._remembered: dict[str, tuple[float, tuple[bytes, ...]]] = {}

    def learn(self) -> None:
        """Look up every authority that there is, so that a worker begun just before an outage serves through it."""
        with suppress(UnavailableError):
            for authority in self._authorities.authorities():
                self._look_up(authority.name)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        found = _PATH.fullmatch(scope["path"])
        given: Answer
        if scope["method"] not in {"GET", "HEAD"}:
            given = READING_ONLY
        elif found is None:
            given = NOT_FOUND
        else:
            given = unless_known(scope, _answer(await self._chain(found[1]), found[2]))
        await given(scope, receive, send)

    async def _chain(self, name: str) -> tuple[bytes, ...]:
        """The authority's certificate, its parent's, and so on to the root; DER. Empty where there is none."""
        until, chain = self._remembered.get(name, (0.0, ()))
        if not chain:
            return await self._pool.run(lambda: self._look_up(name))
        if time.monotonic() >= until:
            # One look at a time, and nobody waits for it: a database that hangs would hang the answer.
            self._remembered[name] = (time.monotonic() + self._remember_seconds, chain)
            with suppress(UnavailableError):
                self._pool.submit(lambda: self._look_again(name))
        return chain

    def _look_again(self, name: str) -> None:
        with suppress(UnavailableError):
            self._look_up(name)

    def _look_up(self, name: str) -> tuple[bytes, ...]:
        chain = self._looked_up(name)
        if chain:
            self._remembered[name] = (time.monotonic() + self._remember_seconds, chain)
        return chain

    def _looked_up(self, name: str) -> tuple[bytes, ...]:
        if name.endswith(_CROSS):
            return self._crosses(name.removesuffix(_CROSS))
        chain: list[bytes] = []
        wanted: str | None = name
        while wanted is not None and len(chain) < _CHAIN_LIMIT:
            authority = self._authorities.authority(wanted)
            if authority is None:
                break
            chain.append(authority.certificate_der)
            wanted = authority.parent
        return tuple(chain)

    def _crosses(self, name: str) -> tuple[bytes, ...]:
        """What other roots certified of this one, newest first."""
        authority = self._authorities.authority(name)
        if authority is None:
            return ()
        key = hashlib.sha256(read_certificate(authority.certificate_der).public_key).digest()
        return tuple(
            found.der
            for found in self._authorities.certificates_by_key(key)
            if found.intent.kind is CertificateKind.CROSS and found.der is not None and found.revocation is None
        )


def _answer(chain: tuple[bytes, ...], form: str) -> Answer:
    if not chain:
        return NOT_FOUND
    media, render = _FORMS[form]
    body = render(chain)
    return answer(200, body, media, _CACHE, etag_of(hashlib.sha256(body).hexdigest()))


def _pem(chain: tuple[bytes, ...]) -> bytes:
    return b"".join(
        b"-----BEGIN CERTIFICATE-----\n" + _lines(base64.b64encode(der)) + b"-----END CERTIFICATE-----\n"
        for der in chain
    )


def _lines(text: bytes) -> bytes:
    return b"".join(text[start : start + 64] + b"\n" for start in range(0, len(text), 64))


_FORMS: Final[dict[str, tuple[bytes, Callable[[tuple[bytes, ...]], bytes]]]] = {
    "cer": (b"application/pkix-cert", lambda chain: chain[0]),
    "pem": (b"application/pem-certificate-chain", _pem),
    "p7c": (b"application/pkcs7-mime; smime-type=certs-only", lambda chain: certs_only(chain, ordered=True)),
}
"""The authority alone; up to the root, leaf first (RFC 8555 §9.1); the same as certs-only (RFC 5280 §4.2.2.1)."""
