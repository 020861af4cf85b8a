"""The settings: what there is, what is allowed, and what holds where nothing is said."""

from __future__ import annotations

import ipaddress
import os
import re
import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal, Self
from urllib.parse import quote, urlsplit, urlunsplit

from pydantic import BeforeValidator, Field, SecretStr, model_validator

from regalia.config.administration import AdminSettings, OidcProviderSettings
from regalia.config.outgoing import AlertSettings, FleetSettings, OutgoingSettings
from regalia.config.section import (
    Address,
    OptionalAddress,
    OptionalPath,
    OptionalText,
    Section,
    read_address,
    texts,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = [
    "CONFIG_FILE",
    "SECTIONS",
    "Address",
    "AdminSettings",
    "AuditSettings",
    "Config",
    "CrlSettings",
    "DatabaseSection",
    "DatabaseSettings",
    "Effective",
    "FleetSettings",
    "IssuanceSettings",
    "KeySettings",
    "LimitSettings",
    "LogSettings",
    "OcspSettings",
    "OutgoingSettings",
    "Section",
    "ServerSettings",
    "SignerSettings",
    "default_url",
]

CONFIG_FILE: Final = "regalia.toml"

_MAX_URL = 200
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_MAX_WORKERS = 64
_STARS = "********"


def _networks(value: object) -> object:
    """Read addresses and networks in CIDR notation."""
    words = texts(value)
    if not isinstance(words, tuple) or not all(isinstance(word, str) for word in words):
        msg = "must be a list of networks such as 10.0.0.0/8 and 2001:db8::/32"
        raise ValueError(msg)
    try:
        networks = tuple(ipaddress.ip_network(word) for word in words)
    except ValueError as error:
        msg = f"{error}: networks are written as in 10.0.0.0/8, one address as it is"
        raise ValueError(msg) from None
    if any(network.prefixlen == 0 for network in networks):
        msg = "must not be everybody: whoever is trusted here can claim to be any device"
        raise ValueError(msg)
    return networks


def _public_url(value: object) -> object:
    """Check what certificates will carry as the beginning of their CRL, OCSP and AIA addresses."""
    if not isinstance(value, str):
        return value
    if urlsplit(value).scheme != "http":
        msg = "must be http://HOST[:PORT]: clients fetch CRLs and OCSP over plain HTTP, whatever stands in front"
        raise ValueError(msg)
    return _base_url(value)


def _enrol_url(value: object) -> object:
    """Check what devices are told; by plain HTTP too, since SCEP protects itself."""
    if not isinstance(value, str) or not value:
        return value or None
    if urlsplit(value).scheme not in ("http", "https"):
        msg = "must be https://HOST[:PORT] or http://HOST[:PORT]"
        raise ValueError(msg)
    return _base_url(value)


def _base_url(value: str) -> str:
    """Check an address that others go below of; its scheme is right. Returns it without a slash at its end."""
    parts = urlsplit(value)
    if not parts.hostname:
        msg = "must name a host"
        raise ValueError(msg)
    if parts.query or parts.fragment or parts.username is not None or parts.port == 0:
        msg = "must hold nothing but scheme, host, port and path"
        raise ValueError(msg)
    if len(value) > _MAX_URL or not re.fullmatch(r"[!#-;=?-Z_a-z~\[\]]+", value):
        msg = f"must be printable ASCII of at most {_MAX_URL} characters"
        raise ValueError(msg)
    return value.rstrip("/")


def default_url() -> str:
    """Name this machine as clients may know it, `http://<fqdn>:8080` (R11)."""
    return f"http://{socket.getfqdn()}:8080"


def _processors() -> int:
    """Count the processors that this process may run on."""
    return min(len(os.sched_getaffinity(0)), _MAX_WORKERS)


# --- a section each ---------------------------------------------------------------------------------------------------


_ListenAddress = Annotated[Address, BeforeValidator(read_address)]
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class ServerSettings(Section):
    """`[server]`: where to listen, and with how many threads."""

    url: Annotated[str, BeforeValidator(_public_url)] = Field(
        default_factory=default_url,
        description="Devices enrol below it, and certificates carry it in their CRL and OCSP addresses.",
    )
    enrol_url: Annotated[str | None, BeforeValidator(_enrol_url)] = Field(
        default=None, description="What devices are told instead to enrol below: https, of listen_tls or of a proxy."
    )
    listen: _ListenAddress = Field(default=Address("127.0.0.1", 8080), description="HOST:PORT for devices, plain HTTP.")
    listen_tls: OptionalAddress = Field(
        default=None, description="HOST:PORT for devices that insist on https; empty for none."
    )
    admin_listen: _ListenAddress = Field(
        default=Address("127.0.0.1", 8443), description="HOST:PORT for administrators, TLS."
    )
    tls_certificate: OptionalPath = Field(
        default=None, description="PEM file of listen_tls with the chain; Regalia issues one itself where it is empty."
    )
    tls_key: OptionalPath = Field(default=None, description="PEM file with its key, not encrypted, mode 0600.")
    tls_names: Annotated[tuple[str, ...], BeforeValidator(texts)] = Field(
        default=(), description="Further names and addresses for the certificate that Regalia issues itself."
    )
    tls_group: OptionalText = Field(
        default=None, description="Group whose authority issues that certificate; the first one where it is empty."
    )
    trusted_proxies: Annotated[tuple[_Network, ...], BeforeValidator(_networks)] = Field(
        default=(), description="Addresses and networks of reverse proxies that tell who asks; empty for none."
    )
    proxy_header: Literal["x-forwarded-for", "forwarded"] = Field(
        default="x-forwarded-for", description="The one header that they tell it in: x-forwarded-for or forwarded."
    )
    workers: int = Field(
        default_factory=_processors, ge=1, le=_MAX_WORKERS, description="Processes that answer, one for each processor."
    )
    threads: int = Field(default=4, ge=1, le=64, description="Enrolments that a worker works on at a time.")
    queue: int = Field(
        default=64, ge=0, le=10_000, description="Requests that may wait for a thread; one more is answered 503."
    )
    connections: int = Field(
        default=1_000, ge=1, le=100_000, description="Connections that may be open on each listener at a time."
    )
    connections_per_source: int = Field(
        default=50, ge=1, le=100_000, description="Of them, those from one address; an IPv6 network of /64 is one."
    )

    @model_validator(mode="after")
    def _files_in_pairs(self) -> Self:
        if (self.tls_certificate is None) != (self.tls_key is None):
            msg = "tls_certificate and tls_key belong together: set both, or neither"
            raise ValueError(msg)
        return self


class DatabaseSection(Section):
    """`[database]` as written."""

    url: str | None = Field(
        default=None, description="sqlite:///PATH (regalia.db in the home if not set) or postgresql://USER@HOST/NAME."
    )
    password_file: Path | None = Field(
        default=None, description="File with the database password, mode 0600; relative to the home."
    )


@dataclass(frozen=True, slots=True)
class DatabaseSettings:
    """`[database]` as used."""

    url: str
    """`sqlite:///PATH` or `postgresql://[USER@]HOST[:PORT]/NAME`, without a password."""
    password: SecretStr | None = None
    password_from: str = ""
    """The file or setting that the password came from."""

    @property
    def is_sqlite(self) -> bool:
        """Whether it is the embedded database."""
        return self.url.startswith("sqlite:")

    def connection_url(self) -> str:
        """Put the password, percent-encoded, into the URL. A secret: never to be shown."""
        if self.password is None:
            return self.url
        parts = urlsplit(self.url)
        user, _, host = parts.netloc.rpartition("@")
        secret = quote(self.password.get_secret_value(), safe="")
        return urlunsplit(parts._replace(netloc=f"{user}:{secret}@{host}"))


class OcspSettings(Section):
    """`[ocsp]`."""

    good_seconds: int = Field(
        default=600, ge=60, le=86_400, description="How long an OCSP answer may be kept by who asked."
    )
    hold_seconds: int = Field(
        default=300, ge=60, le=86_400, description="The same for a certificate on hold, which may be released."
    )


class CrlSettings(Section):
    """`[crl]`."""

    issuing_days: int = Field(
        default=7, ge=1, le=90, description="How long a group's CRL is valid: an outage of ours may last as long."
    )
    check_seconds: int = Field(
        default=5, ge=1, le=60, description="How often to look whether a new CRL is due after a revocation."
    )
    delta_hours: int = Field(
        default=24, ge=1, le=168, description="How long a delta CRL is valid, where an authority has deltas."
    )
    largest_octets: int = Field(
        default=10_485_760,
        ge=65_536,
        le=1_073_741_824,
        description="No plan is accepted under which a CRL could get larger, if all that lives were revoked.",
    )
    alert_octets: int = Field(
        default=2_097_152,
        ge=65_536,
        le=1_073_741_824,
        description="Size of a CRL from which on the log and doctor warn.",
    )


class IssuanceSettings(Section):
    """`[issuance]`."""

    lease_seconds: int = Field(
        default=60, ge=2, le=600, description="How long a certificate begun is left to its worker before recovery."
    )
    ra_overlap_days: int = Field(
        default=30, ge=1, le=366, description="How long a former RA key opens messages before it is destroyed."
    )
    protected_names: Annotated[tuple[str, ...], BeforeValidator(texts)] = Field(
        default=(), description="Names that no device ever gets, `*.` before a domain for all below it."
    )


class KeySettings(Section):
    """`[keys]`: where the keys of authorities lie; all others are in software (R10)."""

    store: Literal["software", "pkcs11"] = Field(
        default="software", description="Where new CA keys are made: software, or pkcs11 for a token."
    )
    pkcs11_module: OptionalPath = Field(default=None, description="The token maker's PKCS #11 library, a .so file.")
    pkcs11_token: OptionalText = Field(default=None, description="Label of the token.")
    pkcs11_pin_file: OptionalPath = Field(
        default=None,
        description="File with its PIN, mode 0600, relative to the home; the credential regalia-pkcs11-pin if empty.",
    )

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.pkcs11_module is None) != (self.pkcs11_token is None):
            msg = "pkcs11_module and pkcs11_token belong together: set both, or neither"
            raise ValueError(msg)
        if self.store == "pkcs11" and self.pkcs11_module is None:
            msg = "store is pkcs11, so pkcs11_module and pkcs11_token must be set"
            raise ValueError(msg)
        return self


_SIGNER_ADDRESS: Final = re.compile(r"unix:/.{1,100}|tcp:.+")


def _signer_address(text: str) -> str:
    """Check `unix:/PATH` or `tcp:HOST:PORT`."""
    if not _SIGNER_ADDRESS.fullmatch(text):
        msg = f"{text!r} is neither unix:/PATH nor tcp:HOST:PORT"
        raise ValueError(msg)
    if text.startswith("tcp:"):
        Address.parse(text.removeprefix("tcp:"))
    return text


def _optional_signer(value: object) -> object:
    return _signer_address(value) if isinstance(value, str) and value else None


def _routes(value: object) -> object:
    words = texts(value)
    for word in words if isinstance(words, tuple) else ():
        group, separator, address = str(word).partition("=")
        if not separator or not group:
            msg = f"{word!r} is not GROUP=ADDRESS"
            raise ValueError(msg)
        _signer_address(address)
    return words


class SignerSettings(Section):
    """`[signer]`: the process that has the keys of authorities and signs with them (R10)."""

    address: Annotated[str | None, BeforeValidator(_optional_signer)] = Field(
        default=None, description="unix:/PATH or tcp:HOST:PORT of a `regalia signer`; serve starts its own if empty."
    )
    routes: Annotated[tuple[str, ...], BeforeValidator(_routes)] = Field(
        default=(), description="GROUP=ADDRESS of groups whose issuing key is with another signer."
    )
    certificate: OptionalPath = Field(
        default=None, description="PEM file that this node shows to signers on other hosts, relative to the home."
    )
    key: OptionalPath = Field(default=None, description="PEM file with its key, not encrypted, mode 0600.")
    authority: OptionalPath = Field(
        default=None, description="PEM file of the one authority whose certificate such a signer must show."
    )
    per_second: int = Field(
        default=10_000, ge=1, le=1_000_000, description="Calls a second that a signer answers, of all callers together."
    )
    connections: int = Field(default=256, ge=4, le=10_000, description="Connections that a signer has open at a time.")

    @model_validator(mode="after")
    def _files_for_hosts(self) -> Self:
        remote = [each for each in (self.address or "", *self.routes) if "tcp:" in each]
        if remote and None in {self.certificate, self.key, self.authority}:
            msg = f"{remote[0]} needs certificate, key and authority"
            raise ValueError(msg)
        return self

    def by_group(self) -> dict[str, str]:
        """Return the routes: address by group."""
        return {group: address for group, _, address in (route.partition("=") for route in self.routes)}


class LimitSettings(Section):
    """`[limits]`: sizes of what a device may send (R7), and how often and how many (RES-5)."""

    post_octets: int = Field(default=65_536, ge=4_096, le=1_048_576, description="Largest body of a POST.")
    # Less than what `web.protocol` reads: beyond that a connection ends before this limit could answer.
    url_octets: int = Field(default=49_152, ge=4_096, le=64_000, description="Longest URL of a GET.")
    message_octets: int = Field(
        default=32_768, ge=4_096, le=1_048_576, description="Largest SCEP message, after base64 is undone."
    )
    wrong_challenges_per_source: int = Field(
        default=10, ge=1, le=1_000_000, description="Wrong challenges a minute from one address, then 429."
    )
    wrong_challenges_per_group: int = Field(
        default=100, ge=1, le=1_000_000, description="Wrong challenges a minute in one group, then 429."
    )
    unreadable_per_source: int = Field(
        default=100, ge=1, le=1_000_000, description="Messages a minute that could not be opened, from one address."
    )
    unreadable_per_group: int = Field(
        default=1_000, ge=1, le=1_000_000, description="Messages a minute that could not be opened, in one group."
    )
    requests_per_group: int = Field(
        default=6_000, ge=1, le=1_000_000, description="SCEP messages a minute in one group."
    )
    certificates_per_device: int = Field(
        default=5, ge=1, le=10_000, description="Certificates that one device may begin in 24 hours."
    )
    pending_per_group: int = Field(
        default=1_000, ge=1, le=1_000_000, description="Enrolments that may wait for approval in one group."
    )
    wrong_passwords_per_source: int = Field(
        default=10, ge=1, le=1_000_000, description="Wrong passwords a minute at NDES pages from one address, then 429."
    )
    wrong_passwords_per_page: int = Field(
        default=100, ge=1, le=1_000_000, description="Wrong passwords a minute at one NDES page, then 429."
    )
    wrong_tokens_per_source: int = Field(
        default=20, ge=1, le=1_000_000, description="Invalid tokens a minute at the API from one address, then 429."
    )
    requests_per_caller: int = Field(
        default=600, ge=1, le=1_000_000, description="Requests a minute of one caller of the API, then 429."
    )
    pending_days: int = Field(
        default=30, ge=1, le=365, description="How long an enrolment waits for approval before it is refused."
    )


def _outside(value: object) -> object:
    """Take the empty text for nothing, and only whole paths: relative to the home would be in the home."""
    if value in {"", None}:
        return None
    if isinstance(value, str) and not Path(value).is_absolute():
        msg = "must be an absolute path, outside the home"
        raise ValueError(msg)
    return value


class AuditSettings(Section):
    """`[audit]`: checkpoints of the audit log, and how long personal data is kept."""

    checkpoint_directory: Annotated[Path | None, BeforeValidator(_outside)] = Field(
        default=None, description="Directory outside the home that gets a copy of each checkpoint; empty for none."
    )
    personal_days: int = Field(
        default=400, ge=30, le=3_650, description="How long addresses and names of users and devices are kept."
    )
    pseudonym_days: int = Field(
        default=2_557, ge=30, le=7_305, description="How long the keys of the pseudonyms in their place are kept."
    )


class LogSettings(Section):
    """`[log]`: the program's own log on stderr; the audit log is in the database."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="debug, info, warning or error."
    )
    format: Literal["json", "text"] = Field(default="json", description="json or text.")


def _shown(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, OidcProviderSettings):
        return f"{value.key} {value.issuer}"
    return ", ".join(map(_shown, value)) if isinstance(value, tuple) else str(value)


SECTIONS: Final[dict[str, type[Section]]] = {
    "server": ServerSettings,
    "database": DatabaseSection,
    "ocsp": OcspSettings,
    "crl": CrlSettings,
    "issuance": IssuanceSettings,
    "keys": KeySettings,
    "signer": SignerSettings,
    "admin": AdminSettings,
    "limits": LimitSettings,
    "audit": AuditSettings,
    "alerts": AlertSettings,
    "outgoing": OutgoingSettings,
    "fleet": FleetSettings,
    "log": LogSettings,
}


@dataclass(frozen=True, slots=True)
class Effective:
    """One setting as it is in force, for `config check`."""

    key: str
    value: str
    """Stars for a secret."""
    source: str
    """`default`, the file's name, the variable's name, `command line`."""


@dataclass(frozen=True, slots=True)
class Config:
    """All settings, composed; `app` hands each room its own."""

    home: Path
    server: ServerSettings
    database: DatabaseSettings
    ocsp: OcspSettings
    crl: CrlSettings
    issuance: IssuanceSettings
    keys: KeySettings
    signer: SignerSettings
    admin: AdminSettings
    limits: LimitSettings
    audit: AuditSettings
    alerts: AlertSettings
    outgoing: OutgoingSettings
    fleet: FleetSettings
    log: LogSettings
    key_environment: Mapping[str, str]
    """The variables that `keys.master.load_master_key` looks at, where they are set."""
    signer_environment: Mapping[str, str]
    """The variables that `keys.master.load_signer_key` looks at besides, where they are set."""
    sources: Mapping[str, str] = field(repr=False)
    """Where each setting that is not at its default came from, by `section.key`."""

    def admin_url(self, port: int | None = None) -> str:
        """Say where administrators' browsers find us; `port` is the listener's, where the system chose it.

        An address is no place for passkeys, so a listener on a loopback address is `localhost`.
        """
        if self.admin.url is not None:
            return self.admin.url
        listen = self.server.admin_listen
        host = "localhost" if listen.host in _LOOPBACK else (urlsplit(self.server.url).hostname or "localhost")
        where = Address(host, port or listen.port)
        return f"https://{where}".removesuffix(":443")

    def effective(self) -> Iterator[Effective]:
        """List every setting with its value and its source."""
        yield Effective("home", str(self.home), self.sources.get("home", "default"))
        for section in SECTIONS:
            if section != "database":
                for key in SECTIONS[section].model_fields:
                    yield self._effective(f"{section}.{key}", _shown(getattr(getattr(self, section), key)))
        yield self._effective("database.url", self.database.url)
        if self.database.password is not None:
            yield Effective("database.password", _STARS, self.database.password_from)
        for name, value in self.key_environment.items():
            yield Effective("keys.master", value, name)
        for name, value in self.signer_environment.items():
            yield Effective("keys.signer", value, name)

    def _effective(self, key: str, value: str) -> Effective:
        return Effective(key, value, self.sources.get(key, "default"))
