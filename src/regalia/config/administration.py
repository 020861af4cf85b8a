"""`[admin]` and `[[admin.oidc]]`: where administrators find us, and who says who they are."""

from __future__ import annotations

import re
from pathlib import Path  # noqa: TC003 - pydantic reads it
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, ValidationError

from regalia.config.section import Section
from regalia.errors import AdminError
from regalia.model import Role
from regalia.ra.roles import read_grant

__all__ = ["AdminSettings", "OidcProviderSettings"]

_MOST_PROVIDERS: Final = 8
_WORD: Final = re.compile(r"[a-z][a-z0-9-]{0,39}")
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


def _https(value: object) -> object:
    """Check what browsers see in their address bar: scheme, host, port."""
    if value == "":
        return None
    if not isinstance(value, str):
        return value
    parts = urlsplit(value.rstrip("/"))
    if parts.scheme != "https" or not parts.hostname or parts.path or parts.query or parts.fragment or "@" in value:
        msg = "must be https://HOST[:PORT] and nothing more"
        raise ValueError(msg)
    if not re.fullmatch(r"[a-z0-9.:\[\]-]+", parts.netloc) or (parts.port == 443):
        msg = "must be as browsers write it: small letters, no :443"
        raise ValueError(msg)
    return value.rstrip("/")


def _issuer(value: object) -> object:
    """Check an issuer; it is compared to the letter, a slash at its end included."""
    if not isinstance(value, str):
        return value
    parts = urlsplit(value)
    plain = parts.scheme == "http" and parts.hostname in _LOOPBACK
    if (parts.scheme != "https" and not plain) or not parts.hostname or parts.query or parts.fragment or "@" in value:
        msg = "must be the https URL that the provider's discovery document calls its issuer"
        raise ValueError(msg)
    return value


def _roles(value: object) -> object:
    """Check `{value = "role"}` and `{value = "role:group,group"}`."""
    if not isinstance(value, dict):
        return value
    for claimed, role in value.items():
        try:
            read_grant(role if isinstance(role, str) else "")
        except AdminError:
            # Above all `operator:` with no group behind it, which must not mean all of them.
            msg = f"{claimed!r} must be ROLE or ROLE:GROUP,GROUP with one of {', '.join(Role)}"
            raise ValueError(msg) from None
    return value


def _key(value: object) -> object:
    if not isinstance(value, str) or not _WORD.fullmatch(value):
        msg = "must be small letters, digits and hyphens: it stands in the redirect URL that the provider is told"
        raise ValueError(msg)
    return value


class OidcProviderSettings(Section):
    """`[[admin.oidc]]`."""

    key: Annotated[str, BeforeValidator(_key)] = Field(description="Word for it in URLs and in the log.")
    name: str = Field(min_length=1, max_length=60, description="What the sign-in page calls it.")
    issuer: Annotated[str, BeforeValidator(_issuer)] = Field(description="Its issuer, to the letter.")
    client_id: str = Field(min_length=1, max_length=200, description="What it calls this Regalia.")
    client_secret_file: Path = Field(description="File with the client secret, mode 0600; relative to the home.")
    claim: str = Field(default="", max_length=200, description="Claim whose values give roles.")
    roles: Annotated[dict[str, str], BeforeValidator(_roles)] = Field(
        default_factory=dict, description="Value of the claim = ROLE or ROLE:GROUP,GROUP."
    )
    scope: str = Field(default="openid profile", pattern=r"^openid( [!-~]+)*$", description="What is asked for.")


def _providers(value: object) -> object:
    """Read the tables, and say of which one a setting is wrong."""
    if value in ((), "", None):
        return ()
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        msg = "is written in the file, as tables below [[admin.oidc]]"
        raise ValueError(msg)
    if len(value) > _MOST_PROVIDERS:
        msg = f"has at most {_MOST_PROVIDERS} providers"
        raise ValueError(msg)
    read = []
    for number, table in enumerate(value, 1):
        try:
            read.append(OidcProviderSettings.model_validate(table))
        except ValidationError as error:
            first = error.errors()[0]
            setting = ".".join(str(part) for part in first["loc"][:1])
            msg = f"provider {number}: {setting}: {first['msg'].removeprefix('Value error, ')}"
            raise ValueError(msg) from None
    keys, issuers = [each.key for each in read], [(each.issuer, each.client_id) for each in read]
    if len(set(keys)) < len(keys) or len(set(issuers)) < len(issuers):
        msg = "names one provider twice"
        raise ValueError(msg)
    return tuple(read)


class AdminSettings(Section):
    """`[admin]`."""

    url: Annotated[str | None, BeforeValidator(_https)] = Field(
        default=None,
        description="https://HOST[:PORT] that administrators' browsers use; worked out from server.* if empty.",
    )
    idle_minutes: int = Field(default=15, ge=5, le=60, description="How long a session lasts without a request.")
    two_persons: Literal["auto", "always", "never"] = Field(
        default="auto",
        description="Whether a second administrator must agree to what cannot be undone; auto: once there are two.",
    )
    oidc: Annotated[tuple[OidcProviderSettings, ...], BeforeValidator(_providers)] = Field(
        default=(), description="Identity providers, each a table [[admin.oidc]]; see docs/tasks/sign-in.md."
    )
