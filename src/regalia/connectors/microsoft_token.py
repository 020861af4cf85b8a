"""Access tokens for an application: OAuth 2.0 client credentials with Entra ID, by secret or by certificate."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import urlencode
from uuid import UUID

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from regalia import reasons
from regalia.connectors.microsoft_http import Call, CallError
from regalia.errors import AdminError
from regalia.model.connector import NotAsked

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from regalia.connectors.microsoft_http import Answer, JsonCalls
    from regalia.connectors.pace import Budget
    from regalia.model.event import JsonValue
    from regalia.ports.outside import Clock, Entropy

__all__ = ["AADSTS", "ClientCertificate", "ClientSecret", "Credential", "TokenSource"]

AADSTS: Final[Mapping[int, str]] = {
    7000215: "the client secret is wrong: paste its value, not its id",
    7000222: "the client secret has expired: make a new one under Certificates & secrets",
    7000216: "no credential was sent, or not one of a form that is taken",
    700016: "no application with this client id is in this tenant",
    700027: "the certificate is not the application's: upload it under Certificates & secrets",
    700024: "the assertion is out of its time: set this machine's clock",
    90002: "there is no such tenant",
    900023: "the tenant is neither a GUID nor a domain that is known",
    70011: "the scope is not one of this cloud",
    1002012: "the scope is not one of this cloud: it ends in /.default",
    53003: "a conditional access policy keeps this application out",
    7000112: "the application is disabled in this tenant",
}
"""Plain words for Entra's codes. They are for people alone: nothing is decided by them."""

_EARLIER: Final = 60.0
"""Seconds before its end that a token is no longer used."""
_REFUSED_FOR: Final = 15.0
"""Seconds that a refused credential is not tried again, since each device that enrols would try it."""
_ASSERTION_SECONDS: Final = 600
_LONGEST_LIFE: Final = 86_400
_TOKEN: Final = re.compile(r"[!-~]{1,16384}")
_IN_TEXT: Final = re.compile(r"AADSTS([0-9]{4,9})")
_LEAST_BITS: Final = 2_048


class Credential(Protocol):
    """What an application proves itself with."""

    def fields(self, endpoint: str, client_id: str, now: datetime, entropy: Entropy) -> dict[str, str]:
        """Return the form's fields that prove it."""


@dataclass(frozen=True, slots=True)
class ClientSecret:
    """A client secret."""

    value: str = field(repr=False)

    def fields(self, endpoint: str, client_id: str, now: datetime, entropy: Entropy) -> dict[str, str]:
        """See `Credential`."""
        del endpoint, client_id, now, entropy
        return {"client_secret": self.value}


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """A key and its certificate, which is uploaded to the application."""

    key: rsa.RSAPrivateKey = field(repr=False)
    certificate: x509.Certificate

    @classmethod
    def of_pem(cls, text: str) -> ClientCertificate:
        """Read both from PEM. Raises `AdminError` CON-032."""
        try:
            key = serialization.load_pem_private_key(text.encode(), None)
            certificates = x509.load_pem_x509_certificates(text.encode())
        except (ValueError, TypeError):
            # TypeError: it is encrypted.
            raise _unusable("it is not PEM with a private key, not encrypted, and a certificate") from None
        if not isinstance(key, rsa.RSAPrivateKey) or key.key_size < _LEAST_BITS:
            raise _unusable(f"its key is not RSA with {_LEAST_BITS} bits or more, which Entra ID asks for")
        public = key.public_key().public_numbers()
        for certificate in certificates:
            theirs = certificate.public_key()
            if isinstance(theirs, rsa.RSAPublicKey) and theirs.public_numbers() == public:
                return cls(key, certificate)
        raise _unusable("no certificate in it is of its key")

    @property
    def thumbprint(self) -> str:
        """SHA-1 as the Entra console shows it."""
        return hashlib.sha1(self._der(), usedforsecurity=False).hexdigest().upper()

    def fields(self, endpoint: str, client_id: str, now: datetime, entropy: Entropy) -> dict[str, str]:
        """See `Credential`."""
        return {
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": self._assertion(endpoint, client_id, now, entropy),
        }

    def _assertion(self, endpoint: str, client_id: str, now: datetime, entropy: Entropy) -> str:
        der = self._der()
        header = {
            "alg": "PS256",
            "typ": "JWT",
            "x5t#S256": _base64url(hashlib.sha256(der).digest()),
            "x5c": [base64.b64encode(der).decode()],
        }
        seconds = int(now.timestamp())
        claims = {
            "aud": endpoint,
            "iss": client_id,
            "sub": client_id,
            "iat": seconds,
            "nbf": seconds,
            "exp": seconds + _ASSERTION_SECONDS,
            "jti": str(UUID(bytes=entropy.octets(16), version=4)),
        }
        signed = f"{_base64url(json.dumps(header).encode())}.{_base64url(json.dumps(claims).encode())}"
        scheme = padding.PSS(padding.MGF1(hashes.SHA256()), hashes.SHA256().digest_size)
        signature = self.key.sign(signed.encode(), scheme, hashes.SHA256())
        return f"{signed}.{_base64url(signature)}"

    def _der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)


@dataclass(frozen=True, slots=True)
class _Kept:
    token: str = field(repr=False)
    until: float


class TokenSource:
    """Tokens of one application in one tenant, by scope, each kept until a minute before its end."""

    def __init__(
        self, calls: JsonCalls, clock: Clock, entropy: Entropy, *, endpoint: str, client_id: str, credential: Credential
    ) -> None:
        self._calls = calls
        self._clock = clock
        self._entropy = entropy
        self._endpoint = endpoint
        self._client_id = client_id
        self._credential = credential
        self._lock = threading.Lock()
        self._kept: dict[str, _Kept] = {}
        self._refused: dict[str, tuple[float, NotAsked]] = {}

    def token(self, scope: str, budget: Budget) -> str:
        """Return a token. Raises `CallError`."""
        now = budget.pace.seconds()
        with self._lock:
            kept, refused = self._kept.get(scope), self._refused.get(scope)
        if kept is not None and now < kept.until:
            return kept.token
        if refused is not None and now < refused[0]:
            raise CallError(refused[1])
        # Two that come at once fetch one each; whoever waited for the other would wait for its slowness, too.
        try:
            answer = self.asked(scope, budget)
        except CallError as error:
            if error.answer.reason is reasons.CONNECTOR_SIGN_IN:
                with self._lock:
                    self._refused[scope] = (budget.pace.seconds() + _REFUSED_FOR, error.answer)
            raise
        read = _read(answer, budget.pace.seconds())
        with self._lock:
            self._kept[scope] = read
        return read.token

    def drop(self, scope: str, token: str) -> None:
        """Forget a token that was not accepted; not a newer one."""
        with self._lock:
            kept = self._kept.get(scope)
            if kept is not None and kept.token == token:
                del self._kept[scope]

    def asked(self, scope: str, budget: Budget) -> Answer:
        """Ask for a token now, whatever is kept. Raises `CallError`."""
        fields = {
            "grant_type": "client_credentials",
            "client_id": self._client_id,
            **self._credential.fields(self._endpoint, self._client_id, self._clock.now(), self._entropy),
            "scope": scope,
        }
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        call = Call("sign-in with Entra ID", "POST", self._endpoint, headers, urlencode(fields).encode(), 128 << 10)
        answer = self._calls.call(call, budget)
        if answer.status != 200:
            told = NotAsked(reasons.CONNECTOR_SIGN_IN, _explained(answer))
            raise CallError(told, status=answer.status, code=_code(answer.body) or 0)
        return answer


def _read(answer: Answer, now: float) -> _Kept:
    token, kind, life = (answer.body.get(name) for name in ("access_token", "token_type", "expires_in"))
    if isinstance(life, str) and life.isascii() and life.isdigit() and len(life) <= 9:
        life = int(life)
    good = (
        isinstance(token, str)
        # It goes into a header: nothing may stand in it that ends one.
        and _TOKEN.fullmatch(token) is not None
        and isinstance(kind, str)
        and kind.lower() == "bearer"
        and isinstance(life, int)
        and not isinstance(life, bool)
        and life > 0
    )
    if not good or not isinstance(token, str) or not isinstance(life, int):
        raise CallError.of(reasons.CONNECTOR_GARBLED, f"sign-in with Entra ID: no token came, {answer.ids()}")
    return _Kept(token, now + min(life, _LONGEST_LIFE) - _EARLIER)


def _explained(answer: Answer) -> str:
    """Say Entra's code and what it means; of its text nothing else."""
    code = _code(answer.body)
    if code is None:
        return f"sign-in with Entra ID: HTTP {answer.status}, {answer.ids()}"
    hint = AADSTS.get(code, "see the code in Microsoft's list of AADSTS error codes")
    return f"AADSTS{code}: {hint}; {answer.ids()}"


def _code(body: Mapping[str, JsonValue]) -> int | None:
    codes = body.get("error_codes")
    if isinstance(codes, list):
        for code in codes:
            if isinstance(code, int) and not isinstance(code, bool) and 0 < code < 10**9:
                return code
    text = body.get("error_description")
    found = _IN_TEXT.search(text) if isinstance(text, str) else None
    return int(found[1]) if found else None


def _base64url(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def _unusable(detail: str) -> AdminError:
    return AdminError(reasons.CONNECTOR_SECRET_REFUSED, detail)
