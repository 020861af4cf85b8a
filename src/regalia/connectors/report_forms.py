"""How devices and users are written where nobody's format is given: in files that are imported, and in web hooks.

What is left out was not said, and nothing follows from it (CON-5); what cannot be read is a fault, never a guess.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictBool, StringConstraints

from regalia.model.connector import ReportedDevice, ReportedUser
from regalia.model.fleet import DeviceState, PendingAction, Platform, UserState

if TYPE_CHECKING:
    from regalia.model.event import JsonValue

__all__ = ["DeviceForm", "Text", "UserForm", "shown"]


def shown(text: str, most: int) -> str:
    """Say what somebody outside calls something: so many characters of it, and none that nobody sees."""
    return "".join(char if char.isprintable() else "?" for char in text[:most])


def _plain(text: str) -> str:
    if not text.isprintable():
        raise ValueError("it has characters that nobody sees")
    return text


def _alone(values: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(values)) != len(values):
        raise ValueError("it has a value twice")
    return values


Text = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(_plain)]
Word = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,31}$")]
Sid = Annotated[str, StringConstraints(pattern=r"^S-1-(?:[0-9]{1,10}-){1,14}[0-9]{1,10}$")]
DnsName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,251}[A-Za-z0-9])?$")]
Address = Annotated[str, StringConstraints(pattern=r"^[^@\s]{1,64}@[A-Za-z0-9.-]{1,255}$"), AfterValidator(_plain)]
Risk = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z -]{0,31}$")]
Several = Annotated[tuple[Text, ...], Field(max_length=1000), AfterValidator(_alone)]


class _Form(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)

    id: Text
    """The id that its system has for it, which it never gives to another one."""
    name: Text | None = None
    sid: Sid | None = None
    """From the directory itself."""
    memberships: Several | None = None
    """All groups of its system that it is in; left out: nobody asked."""
    enabled: StrictBool | None = None
    risk: Risk | None = None
    """`none`, `low`, `medium`, `high`, or what else the system calls it, in lower case."""

    def _evidence(self, source: str) -> dict[str, JsonValue]:
        return {"source": source, "said": self.model_dump(mode="json", exclude_unset=True)}


class DeviceForm(_Form):
    """A device."""

    platform: Platform = Platform.OTHER
    serial: Text | None = None
    user: Text | None = None
    """Id of the one user that it belongs to."""
    group: Text | None = None
    """Group of this PKI that it belongs to."""
    dns: Annotated[tuple[DnsName, ...], Field(max_length=20), AfterValidator(_alone)] = ()
    aliases: Annotated[dict[Word, Text], Field(max_length=20)] = Field(default_factory=dict)
    """Its ids elsewhere, by kind: `udid`, `imei` …"""
    managed: StrictBool | None = None
    compliant: StrictBool | None = None
    lost: StrictBool | None = None
    pending: PendingAction = PendingAction.NONE
    """`wipe`, `retire` or `delete` where that is being done to it."""

    def reported(self, source: str) -> ReportedDevice:
        """Say it as connectors do. `source` is what the evidence names."""
        return ReportedDevice(
            external_id=self.id,
            name=self.name or "",
            platform=self.platform,
            state=DeviceState(
                managed=self.managed,
                enabled=self.enabled,
                compliant=self.compliant,
                pending=self.pending,
                lost=self.lost,
                risk=self.risk,
            ),
            serial=self.serial,
            aliases=tuple(sorted(self.aliases.items())),
            user=self.user,
            sid=self.sid,
            dns=tuple(sorted(self.dns)),
            memberships=frozenset(self.memberships or ()),
            memberships_known=self.memberships is not None,
            group=self.group,
            evidence=self._evidence(source),
            said=frozenset(self.model_fields_set),
        )


class UserForm(_Form):
    """A user."""

    upn: Address | None = None
    email: Annotated[tuple[Address, ...], Field(max_length=20), AfterValidator(_alone)] = ()
    sam_account: Text | None = None
    licensed: StrictBool | None = None

    def reported(self, source: str) -> ReportedUser:
        """Say it as connectors do."""
        return ReportedUser(
            external_id=self.id,
            name=self.name or "",
            state=UserState(enabled=self.enabled, licensed=self.licensed, risk=self.risk),
            upn=self.upn,
            email=tuple(sorted(self.email)),
            sid=self.sid,
            sam_account=self.sam_account,
            memberships=frozenset(self.memberships or ()),
            memberships_known=self.memberships is not None,
            evidence=self._evidence(source),
            said=frozenset(self.model_fields_set),
        )
