"""What `doctor` looks at where systems outside vouch for devices: each connector, and the endpoints that ask it."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future
from concurrent.futures import TimeoutError as TooLateError
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from regalia import reasons
from regalia.cli.check import Check, Level
from regalia.cli.output import utc
from regalia.errors import AdminError, UnavailableError
from regalia.model import Severity
from regalia.model.connector import NotAsked
from regalia.model.fleet import Platform
from regalia.model.profile import Reference
from regalia.ports.connectors import Authorizer, Inventory
from regalia.ports.fleet import BROUGHT, DeviceFilter, UserFilter
from regalia.ra.connectors import check_connector
from regalia.ra.fleet_findings import found_in_fleet

if TYPE_CHECKING:
    from collections.abc import Iterator

    from regalia.app import App
    from regalia.errors import Reason
    from regalia.model import Endpoint, Profile
    from regalia.model.connector import Checked, Connector

__all__ = ["connector_checks"]

_NAME: Final = "connector"
_PATIENCE: Final = 30.0
"""Seconds for all connectors together, which are asked side by side; one takes 20 by itself at most."""
_LATE: Final = 2
"""Sweeps that were due and did not come."""


def connector_checks(regalia: App, patience: float = _PATIENCE) -> Iterator[Check]:
    """Try everything that each connector needs; look at what keeps devices out of the endpoints that ask it."""
    connectors = {each.name: each for each in regalia.store.connectors()}
    until = time.monotonic() + patience
    asked = {name: _begun(regalia, name) for name, each in connectors.items() if each.disabled_at is None}
    for name, answer in asked.items():
        yield from _tried(name, answer, until)
        yield from _inventory(regalia, connectors[name])
    yield from _fleet(regalia)
    for endpoint in regalia.store.endpoints():
        if endpoint.enabled and endpoint.connector is not None:
            yield from _endpoint(regalia, endpoint, connectors.get(endpoint.connector))


# --- each connector -------------------------------------------------------------------------------------------------


def _begun(regalia: App, name: str) -> Future[tuple[Checked, ...]]:
    """Ask in a thread that is left behind where it takes too long."""
    answer: Future[tuple[Checked, ...]] = Future()

    def ask() -> None:
        try:
            answer.set_result(check_connector(regalia.links, name))
        except (AdminError, UnavailableError) as error:
            answer.set_exception(error)

    threading.Thread(target=ask, daemon=True, name=f"doctor-{name}").start()
    return answer


def _tried(name: str, answer: Future[tuple[Checked, ...]], until: float) -> Iterator[Check]:
    remedy = f"Run `regalia connector test {name}`."
    try:
        found = answer.result(max(0.0, until - time.monotonic()))
    except TooLateError:
        yield Check(_NAME, Level.PROBLEM, f"{name}: {reasons.CONNECTOR_AWAY.id} it takes too long to answer", remedy)
        return
    except (AdminError, UnavailableError) as error:
        yield Check(_NAME, Level.PROBLEM, f"{name}: {error}", error.reason.remedy)
        return
    for each in found:
        finding = f"{name}: {each.what}" + (f": {each.detail}" if each.detail else "")
        if each.ok:
            yield Check(_NAME, Level.OK, finding)
        else:
            yield Check(_NAME, Level.WARN if each.optional else Level.PROBLEM, finding, each.fix or remedy)


def _inventory(regalia: App, connector: Connector) -> Iterator[Check]:
    """Say how old it is what is known of devices; what is wrong with reading it is a finding of the fleet."""
    link = regalia.links.link(connector.name)
    if isinstance(link, NotAsked) or not isinstance(link, Inventory):
        return
    last, name = regalia.store.last_sweep(connector.name), connector.name
    if last is None or last.ended_at is None:
        finding = f"{name}: its inventory was never read to the end: nothing follows from what it says"
        yield Check(_NAME, Level.WARN, finding, "Let `regalia serve` run, or run `regalia job run sweep-connectors`.")
        return
    finding = f"{name}: its inventory was last read to the end {utc(last.ended_at)}"
    due = timedelta(minutes=regalia.config.fleet.sweep_minutes)
    if last.cursor != BROUGHT and regalia.clock.now() - last.ended_at > _LATE * due:
        yield Check(_NAME, Level.WARN, f"{finding}, and is due every {due}", "Let `regalia serve` run: it reads it.")
    else:
        yield Check(_NAME, Level.OK, finding)


def _fleet(regalia: App) -> Iterator[Check]:
    names = [each.name for each in regalia.store.connectors()]
    # That it cannot be asked at all was told when it was tried.
    told = {f"connector:{name}" for name in names if isinstance(regalia.links.link(name), NotAsked)}
    for found in found_in_fleet(regalia.store, regalia.links, regalia.clock.now()):
        if found.object in told:
            continue
        level = Level.PROBLEM if found.severity is Severity.CRITICAL else Level.WARN
        yield Check(_NAME, level, found.summary, found.remedy)


# --- the endpoints that ask it --------------------------------------------------------------------------------------


def _endpoint(regalia: App, endpoint: Endpoint, connector: Connector | None) -> Iterator[Check]:
    """Name what would keep every device out, or many of them."""
    if connector is None:
        yield _shut(endpoint, reasons.CONNECTOR_MISSING)
        return
    if connector.disabled_at is not None:
        yield _shut(endpoint, reasons.CONNECTOR_DISABLED)
        return
    link = regalia.links.link(connector.name)
    if isinstance(link, NotAsked):
        # The connector's own line says it.
        return
    if not isinstance(link, Authorizer):
        yield _shut(endpoint, reasons.VOUCHER_MISSING)
        return
    door = regalia.store.door(endpoint.name)
    if door is not None:
        yield from _names(regalia, endpoint, door.profile, connector)
    yield from _https(regalia, endpoint, connector)


def _shut(endpoint: Endpoint, reason: Reason) -> Check:
    finding = f"endpoint {endpoint.name} lets nobody in: {reason.id} {reason.title}, {endpoint.connector}"
    return Check(_NAME, Level.PROBLEM, finding, reason.remedy)


def _names(regalia: App, endpoint: Endpoint, profile: Profile, connector: Connector) -> Iterator[Check]:
    """Compare what the profile has to know of a user with whether any user is known."""
    needed = _needed_of_users(profile)
    if not needed or regalia.store.last_sweep(connector.name) is None:
        return
    if regalia.store.user_page(UserFilter(connector.name, limit=1)).items:
        return
    finding = (
        f"endpoint {endpoint.name} lets nobody in: profile {profile.name} needs {', '.join(needed)}, "
        f"and connector {connector.name} knows no users"
    )
    remedy = f"Have the connector read users, see `regalia connector show {connector.name}`, or change the profile."
    yield Check(_NAME, Level.PROBLEM, finding, remedy)


def _needed_of_users(profile: Profile) -> tuple[str, ...]:
    rules = profile.name_rules
    if rules is None:
        return ()
    templates = [rule.template for rule in rules.subject] + [rule.template for rule in rules.sans]
    used = {part for template in templates for part in template if isinstance(part, Reference)}
    return tuple(sorted(part.name for part in used if part.name.startswith("user.") and not part.optional))


def _https(regalia: App, endpoint: Endpoint, connector: Connector) -> Iterator[Check]:
    """Android's agents enrol by https alone."""
    url = regalia.urls.endpoint(endpoint.protocol, endpoint.name)
    if url.startswith("https://"):
        return
    wanted = DeviceFilter(connector.name, platform=Platform.ANDROID, present=True, limit=1)
    if regalia.store.device_page(wanted).items:
        finding = f"endpoint {endpoint.name} is at {url}, and Android devices of {connector.name} enrol by https alone"
        yield Check(_NAME, Level.WARN, finding, "Give devices a URL with https: docs/tasks/https-for-devices.md.")
