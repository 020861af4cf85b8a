"""Names that a certificate is to carry, as they are asked for."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from regalia import reasons
from regalia.errors import AdminError, PeerError
from regalia.model import Names, SanKind
from regalia.verbs.verb import Asked
from regalia.wire.names import make_san

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["NamesAsked", "names_of"]

_Text = Annotated[str, Field(max_length=1_024)]
_Texts = Annotated[tuple[_Text, ...], Field(max_length=100)]


class NamesAsked(Asked):
    """Names by their kind; each is judged by the rules of its kind."""

    cn: Annotated[_Text | None, Field(description="Common name.", examples=["laptop-17"])] = None
    dns: _Texts = ()
    email: _Texts = ()
    uri: _Texts = ()
    ip: _Texts = ()
    upn: Annotated[_Texts, Field(description="User principal names.")] = ()
    permanent_identifier: Annotated[_Texts, Field(description="`ID` or `ID/OID` (RFC 4043).")] = ()
    hardware_module: Annotated[_Texts, Field(description="`OID/HEX` (RFC 4108).")] = ()
    sid: Annotated[_Text | None, Field(description="Windows SID that the caller vouches for.")] = None


def names_of(asked: NamesAsked) -> Names:
    """Make names of what was asked. Raises `AdminError` ADM-015 that tells which one is not usable."""
    try:
        sans = frozenset(make_san(kind, text) for kind, text in _sans(asked))
    except PeerError as fault:
        raise AdminError(reasons.BINDING_REFUSED, fault.detail) from fault
    return replace(Names(asked.cn, sans), sid=asked.sid)


def _sans(asked: NamesAsked) -> Iterator[tuple[SanKind, str]]:
    for kind, texts in (
        (SanKind.DNS, asked.dns),
        (SanKind.EMAIL, asked.email),
        (SanKind.URI, asked.uri),
        (SanKind.IP, asked.ip),
        (SanKind.UPN, asked.upn),
        (SanKind.PERMANENT_IDENTIFIER, asked.permanent_identifier),
        (SanKind.HARDWARE_MODULE, asked.hardware_module),
    ):
        yield from ((kind, text) for text in texts)
