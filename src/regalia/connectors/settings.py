"""Settings of the kinds of connectors. Whatever of Microsoft's side nobody could verify is a setting here.

No secret is among them (CON-3), and nothing here makes an answer a yes that is none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from regalia import reasons
from regalia.errors import AdminError
from regalia.net.url import read_url

if TYPE_CHECKING:
    from collections.abc import Mapping

    from regalia.model.event import JsonValue

__all__ = ["ConnectorSettings", "IntuneSettings", "read_settings"]

S = TypeVar("S", bound="ConnectorSettings")

_GUID: Final = r"^[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}$"


def _base(text: str) -> str:
    """Take a URL that paths are put behind."""
    try:
        url = read_url(text)
    except AdminError as error:
        raise ValueError(error.detail) from None
    if "?" in url.target:
        raise ValueError("it has a query")
    return text.rstrip("/")


Base = Annotated[str, Field(max_length=500), AfterValidator(_base)]
Guid = Annotated[str, Field(pattern=_GUID), AfterValidator(str.lower)]
Word = Annotated[str, Field(min_length=1, max_length=100)]
Scope = Annotated[str, Field(pattern=r"^[!-~]{1,300}$")]


class ConnectorSettings(BaseModel):
    """What each kind's settings have in common: nothing but their strictness."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)


class IntuneSettings(ConnectorSettings):
    """Intune as an MDM whose partner CA this is, with Microsoft Graph as its inventory."""

    tenant: Annotated[str, Field(pattern=r"^[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$")]
    """Directory (tenant) id, or a verified domain."""
    client_id: Guid
    """Application (client) id."""
    credential: Literal["secret", "certificate"] = "secret"
    """What the connector's secret is: a client secret's value, or PEM with key and certificate."""

    authority: Base = "https://login.microsoftonline.com"
    graph: Base = "https://graph.microsoft.com"
    graph_scope: Scope = "https://graph.microsoft.com/.default"
    intune_scope: Scope = "https://api.manage.microsoft.com//.default"
    """Two slashes: the resource's name ends with one."""
    intune_app_id: Guid = "0000000a-0000-0000-c000-000000000000"
    discovery: Literal["graph", "azure-ad-graph"] = "graph"
    """Where Intune's addresses are asked for; the second is what was before Microsoft Graph."""
    azure_ad_graph: Base = "https://graph.windows.net"
    azure_ad_graph_scope: Scope = "https://graph.windows.net/.default"

    confirm: bool = True
    """Whether a device gets its certificate only when Intune took note of it."""
    hresult: Annotated[int, Field(ge=0, le=0xFFFFFFFF)] = 0x8000FFFF
    """What Intune's console shows of a request that came to nothing here."""
    hresult_policy: Annotated[int, Field(ge=0, le=0xFFFFFFFF)] = 0x80094800
    """The same where a profile's rule refused it."""
    device_uri: Annotated[str, Field(max_length=100)] = "IntuneDeviceId://"
    """Prefix of the alternative name that carries the device's Intune id; empty: none does."""
    common_name: Literal["other", "intune-device-id", "entra-device-id"] = "other"
    """What the common name of Intune's SCEP profile is."""

    feed_most: Annotated[int, Field(ge=1, le=500)] = 50
    feed_issuer: Annotated[str, Field(min_length=1, max_length=1000)] | None = None

    devices: Literal["none", "intune", "intune-and-entra"] = "intune-and-entra"
    users: bool = True
    groups: Annotated[tuple[Guid, ...], Field(max_length=200)] = ()
    """Object ids of the Entra groups whose members matter."""
    licences: Annotated[tuple[Guid, ...], Field(max_length=50)] = ()
    """SKU ids of which a user has to have one; none: licences are not looked at."""
    risk: bool = False
    """Whether the risk of users is asked for, which takes a licence of Entra ID's protection."""
    risky_users: Annotated[str, Field(pattern=r"^/[A-Za-z0-9./_-]{1,200}$")] = "/v1.0/identityProtection/riskyUsers"
    page: Annotated[int, Field(ge=1, le=1000)] = 250
    management_state: bool = False
    """Whether devices are read from Graph's beta, which alone has `managementState`."""
    device_sid: bool = False
    """Whether a device's `onPremisesSecurityIdentifier` is asked for."""
    grace_hours: Annotated[int, Field(ge=0, le=8760)] = 24
    """So long after its enrolment a device that is not compliant counts as one of which nothing is known."""
    wipe_actions: tuple[Word, ...] = ("wipe", "factoryReset", "cleanWindowsDevice")
    retire_actions: tuple[Word, ...] = ("retire", "removeCompanyData")
    delete_actions: tuple[Word, ...] = ("delete",)
    seconds: Annotated[int, Field(ge=5, le=300)] = 60
    """For a call that no device waits for."""

    @property
    def token_endpoint(self) -> str:
        """Where tokens come from."""
        return f"{self.authority}/{self.tenant}/oauth2/v2.0/token"


def read_settings(kind: type[S], given: Mapping[str, JsonValue]) -> S:
    """Validate settings. Raises `AdminError` CON-031 with the names of what is wrong, and not its values."""
    try:
        return kind.model_validate(dict(given))
    except ValidationError as error:
        wrong = sorted({f"{'.'.join(map(str, each['loc'])) or 'settings'}: {each['msg']}" for each in error.errors()})
        raise AdminError(reasons.CONNECTOR_SETTINGS_REFUSED, "; ".join(wrong)[:1000]) from None
