"""ID tokens of OpenID Connect: whether one is for us, made now, by whom we asked (CON-1)."""

from __future__ import annotations

import hmac
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from joserfc import jws
from joserfc.jwk import ECKey, RSAKey

from regalia import reasons
from regalia.errors import PeerError
from regalia.wire.boundary import reading

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["ALGORITHMS", "LEEWAY", "Expected", "IdToken", "UnknownKeyError", "read_id_token"]

ALGORITHMS: Final[Mapping[str, str]] = {"RS256": "RSA", "PS256": "RSA", "ES256": "EC"}
"""What may have signed, with the kind of its key. A secret that both sides know signs nothing here, nor does nobody."""
LEEWAY: Final = timedelta(minutes=2)
_OLDEST: Final = timedelta(minutes=10)
"""A token is made for the question that was just asked."""
_LONGEST: Final = 32_768
_LONGEST_SUBJECT: Final = 255
_LEAST_BITS: Final = 2_048


class UnknownKeyError(PeerError):
    """It names a key that is not among those that were given: they may have been replaced since they were fetched."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What the token must say."""

    issuer: str
    client_id: str
    nonce: str
    now: datetime


@dataclass(frozen=True, slots=True)
class IdToken:
    """What a good one says."""

    subject: str
    authenticated_at: datetime | None
    """When the provider asked the person, if it says so."""
    claims: Mapping[str, Any]


def read_id_token(token: str, keys: Sequence[Mapping[str, Any]], expected: Expected) -> IdToken:
    """Verify a token with the provider's keys (the members of its JWKS).

    Raises `PeerError` AUTH-011 with what is wrong, for administrators; `UnknownKeyError`.
    """
    if len(token) > _LONGEST:
        raise _refused("it is too long")
    with reading(reasons.ID_TOKEN_REFUSED):
        signed = jws.extract_compact(token.encode("ascii"))
        header = dict(signed.headers())
    algorithm, kid = header.get("alg"), header.get("kid")
    if algorithm not in ALGORITHMS:
        raise _refused(f"it is signed with {str(algorithm)[:20]!a}")
    if not isinstance(kid, str | None) or kid == "" or "crit" in header:
        raise _refused("its header names a key oddly, or wants what we do not know")
    key = _key(keys, kid, str(algorithm))
    with reading(reasons.ID_TOKEN_REFUSED):
        good = jws.validate_compact(signed, key, algorithms=[str(algorithm)])
        claims = json.loads(signed.payload)
    if not good or not isinstance(claims, dict):
        raise _refused("its signature is wrong")
    with reading(reasons.ID_TOKEN_REFUSED):
        _judge(claims, expected)
    return IdToken(str(claims["sub"]), _time_or_none(claims.get("auth_time")), claims)


def _key(keys: Sequence[Mapping[str, Any]], kid: str | None, algorithm: str) -> RSAKey | ECKey:
    kind = ALGORITHMS[algorithm]
    if kid is None and len(keys) != 1:
        # OpenID Connect Core §10.1: a provider with one key need not name it, one with several must.
        raise _refused("its header names no key")
    named = [key for key in keys if kid is None or key.get("kid") == kid]
    shown = ascii((kid or "")[:40])
    if not named:
        raise UnknownKeyError(reasons.ID_TOKEN_REFUSED, f"the provider has no key {shown}")
    fit = [
        key
        for key in named
        if key.get("kty") == kind and key.get("use", "sig") == "sig" and key.get("alg", algorithm) == algorithm
    ]
    if len(fit) != 1:
        raise _refused(f"the provider's key {shown} does not fit {algorithm}")
    with reading(reasons.ID_TOKEN_REFUSED):
        # Only what makes the public key: operations and certificates that stand beside it are nobody's business.
        if kind == "EC":
            return ECKey.import_key({name: str(fit[0][name]) for name in ("kty", "crv", "x", "y")})
        key = RSAKey.import_key({name: str(fit[0][name]) for name in ("kty", "n", "e")})
        if key.public_key.key_size < _LEAST_BITS:
            raise _refused(f"the provider's key {shown} is too short")
        return key


def _judge(claims: Mapping[str, Any], expected: Expected) -> None:
    """See that every claim is there and right; what is missing is wrong (IN-4)."""
    if claims.get("iss") != expected.issuer:
        raise _refused("its issuer is another one")
    audience = claims.get("aud")
    audiences = [audience] if isinstance(audience, str) else audience
    if not isinstance(audiences, list) or expected.client_id not in audiences:
        raise _refused("it is for another client")
    party = claims.get("azp")
    if (party is not None or len(audiences) > 1) and party != expected.client_id:
        raise _refused("its azp is another client")
    nonce = claims.get("nonce")
    if not isinstance(nonce, str) or not hmac.compare_digest(nonce.encode(), expected.nonce.encode()):
        raise _refused("its nonce is not the one of this sign-in")
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= _LONGEST_SUBJECT or not subject.isprintable():
        raise _refused("it names nobody")
    _judge_times(claims, expected.now)


def _judge_times(claims: Mapping[str, Any], now: datetime) -> None:
    ends, made, begins = (_time_or_none(claims.get(name)) for name in ("exp", "iat", "nbf"))
    if ends is None or now >= ends + LEEWAY:
        raise _refused("it has expired, or does not say when it does")
    if made is None or made > now + LEEWAY or made < now - _OLDEST - LEEWAY:
        raise _refused("it was not made just now, or does not say when it was")
    if "nbf" in claims and (begins is None or begins > now + LEEWAY):
        raise _refused("it is not valid yet")


def _time_or_none(seconds: object) -> datetime | None:
    # Whole seconds or fractions of them (RFC 7519 §2); True is an int to Python, and no time.
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds < 1 << 36:
        return None
    return datetime.fromtimestamp(int(seconds), UTC)


def _refused(detail: str) -> PeerError:
    return PeerError(reasons.ID_TOKEN_REFUSED, detail)
