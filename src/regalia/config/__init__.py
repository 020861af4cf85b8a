"""One configuration file, read once: `regalia.toml` in the home, and the environment over it.

This is the one room that reads the environment. A setting comes from, the later the stronger: its default, the file,
`REGALIA_SECTION__KEY`, the command line. All problems are reported together, each with its path and its source.
Out: one frozen `Config`, of which `app` hands each room its own section. May import: keys, reasons, errors.
"""

from regalia.config.administration import AdminSettings, OidcProviderSettings
from regalia.config.initial import write_initial
from regalia.config.outgoing import AlertSettings, FleetSettings, OutgoingSettings
from regalia.config.read import ConfigRefusedError, Problem, find_home, load_config
from regalia.config.settings import (
    CONFIG_FILE,
    Address,
    AuditSettings,
    Config,
    CrlSettings,
    DatabaseSettings,
    Effective,
    IssuanceSettings,
    KeySettings,
    LimitSettings,
    LogSettings,
    OcspSettings,
    ServerSettings,
    SignerSettings,
    default_url,
)

__all__ = [
    "CONFIG_FILE",
    "Address",
    "AdminSettings",
    "AlertSettings",
    "AuditSettings",
    "Config",
    "ConfigRefusedError",
    "CrlSettings",
    "DatabaseSettings",
    "Effective",
    "FleetSettings",
    "IssuanceSettings",
    "KeySettings",
    "LimitSettings",
    "LogSettings",
    "OcspSettings",
    "OidcProviderSettings",
    "OutgoingSettings",
    "Problem",
    "ServerSettings",
    "SignerSettings",
    "default_url",
    "find_home",
    "load_config",
    "write_initial",
]
