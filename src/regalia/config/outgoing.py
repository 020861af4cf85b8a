"""`[outgoing]`, `[alerts]` and `[fleet]`: what this server calls, when something is wrong, how often it asks."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from regalia.config.section import OptionalAddress, OptionalPath, OptionalText, Section, texts
from regalia.net.addresses import Opened
from regalia.net.mail_server import MailSecurity, is_mail_address

__all__ = ["AlertSettings", "FleetSettings", "OutgoingSettings"]


def _opened(value: object) -> object:
    words = texts(value)
    if not isinstance(words, tuple) or not all(isinstance(word, str | Opened) for word in words):
        msg = 'must be a list such as ["10.1.0.0/16:443"]'
        raise ValueError(msg)
    return tuple(Opened.parse(word) if isinstance(word, str) else word for word in words)


_OpenedPlaces = Annotated[tuple[Opened, ...], BeforeValidator(_opened)]


class OutgoingSettings(Section):
    """`[outgoing]`: what this server calls (SSRF-2). Public addresses over https need no word."""

    web_hooks: _OpenedPlaces = Field(
        default=(), description="Private addresses that web hooks may be on, as in 10.1.0.0/16:443."
    )
    identity_providers: _OpenedPlaces = Field(
        default=(), description="The same for identity providers, where administrators sign in."
    )
    connectors: _OpenedPlaces = Field(
        default=(), description="The same for connectors: systems that vouch for devices or know them."
    )
    ca_file: OptionalPath = Field(
        default=None, description="PEM file trusted for what is called, instead of the system's authorities."
    )


def _mail_address(value: str | None) -> str | None:
    if value is not None and not is_mail_address(value):
        msg = "must be one plain e-mail address"
        raise ValueError(msg)
    return value


class AlertSettings(Section):
    """`[alerts]`: when something is wrong, and the mail server that tells of it."""

    mail_server: OptionalAddress = Field(default=None, description="HOST:PORT of the mail server; empty for no mail.")
    mail_security: MailSecurity = Field(
        default=MailSecurity.STARTTLS, description="starttls, tls, or none for a server on this machine."
    )
    mail_from: Annotated[OptionalText, AfterValidator(_mail_address)] = Field(
        default=None, description="Address that mail comes from."
    )
    mail_user: OptionalText = Field(default=None, description="User to sign in as at the mail server.")
    mail_password_file: OptionalPath = Field(
        default=None, description="File with the password, mode 0600, relative to the home."
    )
    authority_days: int = Field(
        default=90, ge=1, le=1_000, description="So many days before an authority ends there is an alert."
    )
    tls_days: int = Field(default=21, ge=1, le=365, description="The same for the certificates of the listeners.")
    refusals: int = Field(
        default=100, ge=1, le=2_000, description="So many refusals in a quarter of an hour in one group are an alert."
    )
    disk_percent: int = Field(default=5, ge=1, le=50, description="Less of the disk left than this is an alert.")
    attempts: int = Field(
        default=12, ge=1, le=30, description="How often a message is tried, over half a day by default."
    )

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.mail_server is None) != (self.mail_from is None):
            msg = "mail_server and mail_from belong together: set both, or neither"
            raise ValueError(msg)
        if (self.mail_user is None) != (self.mail_password_file is None):
            msg = "mail_user and mail_password_file belong together: set both, or neither"
            raise ValueError(msg)
        return self


class FleetSettings(Section):
    """`[fleet]`: how often connectors are asked, and how soon follows what they say."""

    sweep_minutes: int = Field(
        default=60, ge=5, le=10_080, description="From one whole reading of an inventory to the next."
    )
    poll_minutes: int = Field(
        default=5, ge=1, le=1_440, description="How often is asked what changed, and what is to be revoked."
    )
    follow_seconds: int = Field(
        default=30, ge=5, le=3_600, description="How often is looked what follows for certificates."
    )
