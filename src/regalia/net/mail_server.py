"""Which mail server there is, and what a mail address looks like: values that settings need, too."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["MailSecurity", "MailServer", "is_mail_address"]

_ADDRESS: Final = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")


class MailSecurity(StrEnum):
    """How the connection to the mail server is protected."""

    STARTTLS = "starttls"
    TLS = "tls"
    NONE = "none"
    """Only to a server on this machine."""


@dataclass(frozen=True, slots=True)
class MailServer:
    """Where mail goes: `[alerts]`."""

    host: str
    port: int
    sender: str
    security: MailSecurity = MailSecurity.STARTTLS
    user: str | None = None
    password: Callable[[], str] | None = None
    """Read anew for each mail: one that is replaced needs no restart."""
    ca_file: Path | None = None
    """PEM file that is trusted instead of the system's authorities."""


def is_mail_address(text: str) -> bool:
    """Whether it is one plain address, with nothing that could be another header, recipient or option."""
    domain = text.rpartition("@")[2]
    return _ADDRESS.fullmatch(text) is not None and not text.startswith("-") and ".." not in domain
