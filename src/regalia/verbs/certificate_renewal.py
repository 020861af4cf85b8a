"""Certificates that will expire without renewing, each with the reason."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

from pydantic import Field

from regalia.model import CertificateKind, EnrolmentState, Right
from regalia.ports import CertificateFilter, EnrolmentFilter, Listed
from regalia.ports.fleet import Bearer
from regalia.ra.order import ADMIN_PROTOCOL
from regalia.ra.unrenewed import Prospects, renewal_from, why_unrenewed
from regalia.verbs.certificate import CertificateRecord, certificate_fields
from regalia.verbs.fields import Name
from regalia.verbs.finding import found_group
from regalia.verbs.paging import ListAsked, page_of, place_after
from regalia.verbs.verb import Desk, Page, Time, Verb

if TYPE_CHECKING:
    from datetime import datetime

    from regalia.model import Certificate, Enrolment

__all__ = ["LIST", "VERBS", "ListUnrenewed", "UnrenewedRecord"]

_REFUSALS: Final = 20
"""Refusals among which the newest of one device is looked for."""
_LOOKED_AT: Final = 5_000
"""Certificates that one page looks through; what follows is asked for with its cursor."""


class ListUnrenewed(ListAsked):
    """Which ones, what ends first first."""

    group: Annotated[Name | None, Field(description="Only of this group.")] = None


class UnrenewedRecord(CertificateRecord):
    """A certificate that will probably end without a successor."""

    endpoint: str | None
    why: tuple[str, ...]
    device_seen_at: Time | None


def list_unrenewed(desk: Desk, asked: ListUnrenewed) -> Page[UnrenewedRecord]:
    """Look through what lives in the order of its end; a short page may still have another one behind it."""
    if asked.group is not None:
        found_group(desk, asked.group)
    now, scene = desk.now(), _Scene(desk)
    found: list[UnrenewedRecord] = []
    place, looked = place_after(asked, LIST.name), 0
    while True:
        wanted = CertificateFilter(
            kind=CertificateKind.LEAF,
            group=asked.group,
            revoked=False,
            live_at=now,
            groups=desk.reach.groups,
            by_end=True,
            limit=asked.limit - len(found),
            after=place,
        )
        listed = desk.services.store.certificate_page(wanted)
        found += [each for each in map(scene.record, listed.items) if each is not None and _matches(asked, each)]
        place, looked = listed.following, looked + len(listed.items)
        if place is None or len(found) > asked.limit // 2 or looked >= _LOOKED_AT:
            return page_of(asked, LIST.name, Listed(tuple(found), place, None), _itself)


def _itself(record: UnrenewedRecord) -> UnrenewedRecord:
    return record


def _matches(asked: ListUnrenewed, record: UnrenewedRecord) -> bool:
    text = (asked.q or "").strip().lower()
    words = (record.serial, record.subject, record.device, record.group, record.endpoint, *record.why)
    return not text or any(text in word.lower() for word in words if word)


class _Scene:
    """What the certificates of one page depend on, each thing read once."""

    def __init__(self, desk: Desk) -> None:
        store = desk.services.store
        self._desk = desk
        self._now = desk.now()
        self._endpoints = {each.name: each for each in store.endpoints()}
        self._groups = {each.name: each for each in store.groups()}
        self._profiles = {each.name: each for each in store.profiles()}
        self._connectors = {each.name: each for each in store.connectors()}

    def record(self, certificate: Certificate) -> UnrenewedRecord | None:
        """Tell of a certificate that will not be renewed; None for one that will, or was."""
        store, intent = self._desk.services.store, certificate.intent
        enrolment = store.enrolment(intent.enrolment_id) if intent.enrolment_id is not None else None
        if enrolment is None or (
            enrolment.lineage is not None and store.newest_generation(enrolment.lineage.first) > intent.generation
        ):
            return None
        profile = self._profiles.get(intent.profile or "")
        begins = renewal_from(certificate, profile)
        if self._succeeded(certificate, begins):
            return None
        name = enrolment.key.endpoint
        by_hand = name.startswith(f"{ADMIN_PROTOCOL}/")
        endpoint = self._endpoints.get(name)
        connector = self._connectors.get(endpoint.connector) if endpoint is not None and endpoint.connector else None
        device = store.device(intent.device_id) if intent.device_id is not None else None
        prospects = Prospects(
            certificate=certificate,
            endpoint=endpoint,
            by_hand=by_hand,
            group=self._groups.get(intent.group or ""),
            profile=profile,
            connector=connector,
            device=device,
            refused=self._refused(certificate, name, begins) if begins <= self._now else None,
        )
        why = why_unrenewed(prospects, self._now)
        if not why:
            return None
        return UnrenewedRecord(
            **certificate_fields(certificate, self._now),
            endpoint=None if by_hand else name,
            why=why,
            device_seen_at=None if device is None else device.seen_at,
        )

    def _succeeded(self, certificate: Certificate, begins: datetime) -> bool:
        """Whether its device has another one since then: MDMs renew with a request of its own and a new key."""
        intent = certificate.intent
        if intent.device_id is None or begins > self._now:
            return False
        bearer = Bearer(intent.device_id, None)
        beside = self._desk.services.store.live_certificates((bearer,), self._now).get(bearer, ())
        return any(
            each.id != certificate.id
            and each.intent.created_at >= begins
            and (each.intent.group, each.intent.profile) == (intent.group, intent.profile)
            and (each.intent.user_id is None) == (intent.user_id is None)
            for each in beside
        )

    def _refused(self, certificate: Certificate, endpoint: str, since: datetime) -> Enrolment | None:
        """Find the newest refusal at its endpoint of a request for its common name."""
        cn = certificate.intent.names.cn
        if not cn:
            return None
        wanted = EnrolmentFilter(
            EnrolmentState.REFUSED, endpoint, limit=_REFUSALS, groups=self._desk.reach.groups, search=cn
        )
        found = self._desk.services.store.enrolment_page(wanted).items
        return next((each for each in found if each.asked.cn == cn and each.created_at >= since), None)


LIST = Verb(
    "cert.without-renewal",
    "GET",
    "/certificates-without-renewal",
    Right.READ,
    ListUnrenewed,
    Page[UnrenewedRecord],
    list_unrenewed,
    "List certificates that will expire without renewing, each with the reason; what ends first first.",
)

VERBS = (LIST,)
