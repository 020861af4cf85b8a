"""What `doctor` looks at as devices do: what GetCACert says at each endpoint's own URL, and whether it can be used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from regalia.ca.urls import Urls
from regalia.cli.check import Check, Level
from regalia.client.scep import ScepClient
from regalia.errors import AdminError, PeerError, UnavailableError
from regalia.wire import der, oids
from regalia.wire.certificate import read_certificate, read_key_usage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from regalia.app import App
    from regalia.client.transport import Transport
    from regalia.model import Door

__all__ = ["can_encrypt_keys", "scep_checks"]

_NAME: Final = "scep"
_MOST: Final = 50
"""Endpoints that are asked."""
_LEADS: Final = "See to it that this path leads to this installation: what stands before it sends it elsewhere."


def can_encrypt_keys(certificate: bytes) -> bool:
    """Whether devices may encrypt their requests to it (RFC 8894 §2.3): its key usage has keyEncipherment."""
    try:
        usage = read_certificate(certificate).extension(oids.CE_KEY_USAGE)
        return usage is not None and "keyEncipherment" in read_key_usage(usage.value)
    except der.DerError:
        return False


def scep_checks(regalia: App, transport: Transport) -> Iterator[Check]:
    """Ask each endpoint for its certificates, as a device does first; the first that is silent ends it."""
    opened = [each for each in regalia.store.endpoints() if each.enabled and each.protocol == "scep"]
    for endpoint in opened[:_MOST]:
        door = regalia.store.door(endpoint.name)
        if door is None:
            continue
        try:
            yield _asked(regalia, door, transport)
        except UnavailableError as error:
            yield Check(_NAME, Level.PROBLEM, f"endpoint {endpoint.name} does not answer: {error.detail}", _LEADS)
            return


def _asked(regalia: App, door: Door, transport: Transport) -> Check:
    # Here, and not at a proxy's address: whether this machine trusts and reaches that one says nothing of devices.
    url = Urls(regalia.urls.base).endpoint(door.endpoint.protocol, door.endpoint.name)
    client = ScepClient(url, transport, regalia.clock, regalia.entropy, pause=lambda _: None)
    try:
        found = client.ca_certificates(None)
    except (AdminError, PeerError) as error:
        told = f"{url}: {error.reason.id} {error.reason.title}: {error.detail}"
        return Check(_NAME, Level.PROBLEM, f"{told}; Windows ends with 0x8010002c", _LEADS)
    if found.recipient != door.ra.certificate_der:
        told = f"{url} has another RA certificate than the present one of group {door.group.name}"
        return Check(_NAME, Level.PROBLEM, told, _LEADS)
    return Check(_NAME, Level.OK, f"{url} has our RA certificate, and devices can encrypt to it")
