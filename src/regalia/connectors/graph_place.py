"""Where a sweep is, as text that outlives a restart, and what it has read so far of Entra ID."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from regalia.connectors.microsoft_http import read_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from regalia.connectors.graph_facts import EntraDevice

__all__ = ["Directory", "Place"]


@dataclass(frozen=True, slots=True)
class Place:
    """The next page: of which run and part, by which link."""

    run: str
    part: str
    full: bool
    link: str | None = None
    """None: the part's first page."""
    links: Mapping[str, str] = field(default_factory=dict)
    """By part, where its changes from now on begin."""
    round: int = 0
    """Counts the rounds of changes, so that no two pages have one place."""

    def text(self) -> str:
        """Write it."""
        return json.dumps(asdict(self))

    @classmethod
    def of_text(cls, text: str) -> Place | None:
        """Read it; None where it is none of ours, as one of an older version would be."""
        read = read_json(text.encode("utf-8", "replace"))
        if read is None:
            return None
        run, part, full, links, number = (read.get(name) for name in ("run", "part", "full", "links", "round"))
        if not (isinstance(run, str) and isinstance(part, str) and isinstance(full, bool) and isinstance(links, dict)):
            return None
        if not isinstance(number, int):
            return None
        texts = {name: value for name, value in links.items() if isinstance(value, str)}
        link = read.get("link")
        return cls(run, part, full, link if isinstance(link, str) else None, texts, number)


@dataclass(slots=True)
class Directory:
    """What the last parts of a run said, for the parts that come after them. It lives in this process alone."""

    run: str
    objects: dict[str, EntraDevice] = field(default_factory=dict)
    """By object id."""
    by_device_id: dict[str, str] = field(default_factory=dict)
    """Object id by device id."""
    managed: dict[str, bytes] = field(default_factory=dict)
    """What was last reported of Intune's devices, summed up, by Intune's id."""
    listed: set[str] = field(default_factory=set)
    """Intune's devices that this round of changes has shown so far."""
    told: dict[str, bytes | None] = field(default_factory=dict)
    """What the last page of changes reported, None for what is gone. It is known once another page is asked for."""
    _told_at: str = ""
    groups: dict[str, frozenset[str]] = field(default_factory=dict)
    """Groups that matter, by the object id of a member."""
    risks: dict[str, str] = field(default_factory=dict)
    """Of users of whom a risk is known."""
    _sets: dict[frozenset[str], frozenset[str]] = field(default_factory=dict)

    def keep(self, entra: EntraDevice) -> None:
        """Keep what Entra ID says of a device."""
        self.objects[entra.object_id] = entra
        if entra.device_id:
            self.by_device_id[entra.device_id] = entra.object_id

    def turn_to(self, place: Place) -> None:
        """Begin a page of Intune's list. One that is read a second time was not kept: it tells the same again."""
        at = place.text()
        if at != self._told_at:
            for name, value in self.told.items():
                if value is None:
                    self.managed.pop(name, None)
                else:
                    self.managed[name] = value
        self.told, self._told_at = {}, at
        if place.link is None:
            self.listed = set()

    def entra(self, device_id: str | None) -> EntraDevice | None:
        """Find a device by what an MDM calls it."""
        object_id = self.by_device_id.get(device_id.lower()) if device_id else None
        return self.objects.get(object_id) if object_id else None

    def join(self, member: str, group: str) -> None:
        """Note that somebody is in a group; equal sets are one object, since many members have the same."""
        grown = self.groups.get(member, frozenset()) | {group}
        self.groups[member] = self._sets.setdefault(grown, grown)

    def of(self, object_id: str | None) -> frozenset[str]:
        """Say in which groups an object is."""
        return self.groups.get(object_id, frozenset()) if object_id else frozenset()
