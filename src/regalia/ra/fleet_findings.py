"""What is wrong with connectors and with what follows from them: for alerts."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final, Protocol

from regalia.model import AlertCondition, Finding, Severity
from regalia.model.connector import NotAsked
from regalia.ports.fleet import Brakes, Connectors, Sweeps
from regalia.ra.follow_run import goes_on

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from regalia.model.connector import Connector
    from regalia.ports.connectors import Links

__all__ = ["FleetFindingStore", "found_in_fleet"]

_PATIENCE: Final = timedelta(minutes=15)
"""A connector that does not answer for less than this is left to the next try."""
_LONG: Final = timedelta(hours=6)
_TOLD: Final = 300
"""Characters of somebody else's words in a summary."""


class FleetFindingStore(Connectors, Sweeps, Brakes, Protocol):
    """What is looked at."""


def found_in_fleet(store: FleetFindingStore, links: Links, now: datetime) -> Iterator[Finding]:
    """Look at what connectors last answered, whether they can be asked at all, and at what the brake holds."""
    for connector in store.connectors():
        if connector.disabled_at is None:
            link = links.link(connector.name)
            yield from _shut(connector, link) if isinstance(link, NotAsked) else _away(store, connector, now)
    for stopped in store.open_stops():
        if not goes_on(stopped, now):
            ends = sum(stopped.ends.values())
            yield Finding(
                AlertCondition.FOLLOW_STOPPED,
                f"run:{stopped.digest}",
                Severity.CRITICAL,
                f"{ends} certificates would be revoked or held for what connectors say, which is too many at once: "
                f"nothing was done. {stopped.why.partition(chr(10))[0]}"[:_TOLD],
                "See `regalia device stops`. Where the devices are really gone, two administrators let it go with "
                "`regalia device let-go`; else mend what the connector says.",
            )


def _shut(connector: Connector, why: NotAsked) -> Iterator[Finding]:
    """Say that we cannot even ask: that passes by itself as little as it came."""
    yield Finding(
        AlertCondition.CONNECTOR_AWAY,
        f"connector:{connector.name}",
        Severity.CRITICAL,
        f"Connector {connector.name} cannot be asked, so that nobody enrols by it and nothing follows from what it "
        f"said: {why.reason}"[:_TOLD],
        why.reason.remedy,
    )


def _away(store: FleetFindingStore, connector: Connector, now: datetime) -> Iterator[Finding]:
    """Say that an inventory cannot be read, once that has lasted."""
    under_way, last = store.open_sweep(connector.name), store.last_sweep(connector.name, complete=False)
    if under_way is not None and under_way.why:
        why = under_way.why
    elif under_way is None and last is not None and not last.complete:
        why = last.why
    else:
        return
    good = store.last_sweep(connector.name)
    since = good.ended_at if good is not None and good.ended_at is not None else connector.created_at
    if now - since < _PATIENCE:
        return
    yield Finding(
        AlertCondition.CONNECTOR_AWAY,
        f"connector:{connector.name}",
        Severity.CRITICAL if now - since >= _LONG else Severity.WARNING,
        f"Connector {connector.name} was last read to the end {since:%Y-%m-%d %H:%M} UTC: {why}"[:_TOLD],
        f"Run `regalia connector test {connector.name}`. Until it answers nothing follows from what it says.",
    )
