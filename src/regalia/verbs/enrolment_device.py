"""The device that an enrolment at a connector's endpoint is about, as its record has it, beside what was asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated
from uuid import UUID

from pydantic import Field

from regalia.verbs.bearer_facts import state_words
from regalia.verbs.verb import Record, Time

if TYPE_CHECKING:
    from collections.abc import Iterator

    from regalia.model import Certificate, Enrolment
    from regalia.model.fleet import Device
    from regalia.verbs.verb import Desk

__all__ = ["KnownDevice", "known_device"]


class KnownDevice(Record):
    """What is on record of the device."""

    id: UUID
    name: str
    connector: str
    says: Annotated[tuple[str, ...], Field(description="What it is known by, as `kind:value`.")]
    state: Annotated[str, Field(description="What is wrong with it in words; `good` where nothing is.")]
    seen_at: Time
    differs: Annotated[
        tuple[str, ...], Field(description="Names that were asked for and have nothing in them that it is known by.")
    ]


def known_device(desk: Desk, enrolment: Enrolment, certificate: Certificate | None) -> KnownDevice | None:
    """Find the record: that of the certificate, or one that the asked names point to; None where nothing does."""
    found = _certified(desk, certificate) or _named(desk, enrolment)
    if found is None or found.group not in desk.reach:
        return None
    says = tuple(_known_by(found))
    owner = desk.services.store.user_of(found.connector, found.user) if found.user else None
    known = {each.partition(":")[2].lower() for each in says}
    known |= {text.lower() for text in (owner.upn, *owner.email) if text} if owner is not None else set()
    asked = enrolment.asked.listed()
    return KnownDevice(
        id=found.id,
        name=found.name,
        connector=found.connector,
        says=says,
        state=state_words(found.state),
        seen_at=found.seen_at,
        differs=tuple(name for name in asked if not _is_of(name, known)),
    )


def _is_of(name: str, known: set[str]) -> bool:
    """Whether a name, as `kind:value`, is one that is known, or a URI that ends with one."""
    text = name.partition(":")[2].lower()
    return text in known or text.rpartition("/")[2] in known


def _certified(desk: Desk, certificate: Certificate | None) -> Device | None:
    device_id = certificate.intent.device_id if certificate is not None else None
    return None if device_id is None else desk.services.store.device(device_id)


def _named(desk: Desk, enrolment: Enrolment) -> Device | None:
    store = desk.services.store
    endpoint = store.endpoint(enrolment.key.endpoint)
    connector = endpoint.connector if endpoint is not None else None
    if connector is None:
        return None
    texts = [san.value.rpartition("/")[2] for san in sorted(enrolment.asked.sans)]
    texts += [enrolment.asked.cn] if enrolment.asked.cn is not None else []
    for text in filter(None, texts):
        named = store.device_of(connector, text)
        found = (named,) if named is not None else store.devices_by(connector, "entra", text)
        if len(found) == 1:
            return found[0]
    return None


def _known_by(device: Device) -> Iterator[str]:
    yield f"id:{device.external_id}"
    if device.name:
        yield f"name:{device.name}"
    if device.serial:
        yield f"serial:{device.serial}"
    for kind, value in device.aliases:
        yield f"{kind}:{value}"
    for name in device.dns:
        yield f"dns:{name}"
    if device.user:
        yield f"user:{device.user}"
