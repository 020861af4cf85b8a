"""Asking an endpoint's connector about a first enrolment: its word, and the records of whom it named.

Asked is for a fresh conversation only, before any decision and outside of every transaction. The connector's yes is one
input; what is decided with it stands in `ra.evidence` and behind (CON-4). What cannot be asked is no yes (CON-5).
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Protocol

from regalia import reasons
from regalia.model import Action, Actor, ActorKind, Denied, EventDraft, Outcome, Unavailable, new_id
from regalia.model.connector import Asked, NotAsked, Refused
from regalia.model.fleet import Device, DeviceState, Platform, User, UserState
from regalia.ports.connectors import Authorizer, Inventory
from regalia.ports.fleet import Bearer, Devices, Following, Users
from regalia.ra.agreeing import disagreement
from regalia.ra.bearers import Bearers, Word, names_a_user, refused_for, users_count
from regalia.ra.gates import ENROLMENT_SECONDS
from regalia.ra.records import device_record, state_text, user_record
from regalia.ra.said import SAID_AT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from uuid import UUID

    from regalia.model import Certificate, ConversationKey, Door, JsonValue
    from regalia.model.connector import Allowed, ReportedDevice, ReportedUser, Verdict
    from regalia.ports import Clock, Entropy
    from regalia.ports.connectors import Link, Links
    from regalia.ra.bearers import Records
    from regalia.ra.gates import Gates
    from regalia.ra.request import EnrolmentRequest

__all__ = ["Voucher", "VouchingStore", "asked_of"]

_JUST_NOW: Final = timedelta(minutes=1)
"""A record that was read within so long is not looked up again for its names."""
_FROM_VERDICT: Final = "verdict"


class VouchingStore(Devices, Users, Following, Protocol):
    """The records that a voucher reads and writes."""


@dataclass(frozen=True, slots=True)
class _Question:
    """What does not change while one request is asked about."""

    request: EnrolmentRequest
    connector: str
    link: Link
    until: float


_No = Denied | Unavailable


class Voucher:
    """Asks connectors about requests."""

    def __init__(
        self,
        *,
        links: Links,
        gates: Gates,
        store: VouchingStore,
        clock: Clock,
        entropy: Entropy,
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        """`seconds` never goes back; `gates` are those of everything in this process that asks connectors."""
        self._links = links
        self._gates = gates
        self._store = store
        self._clock = clock
        self._entropy = entropy
        self._seconds = seconds
        self._lock = threading.Lock()
        self._asking: set[ConversationKey] = set()

    @property
    def records(self) -> Records:
        """Where the records of later renewals are."""
        return self._store

    def ask(self, request: EnrolmentRequest) -> Word | Denied | Unavailable:
        """Ask about one request, within 15 seconds over all questions that it takes (R8).

        `Denied`: the system refused, or named whom nobody knows. `Unavailable`: there is no verdict, or another thread
        is asking about this very conversation: its challenge is shown once.
        """
        name = request.door.endpoint.connector
        link = self._links.link(name) if name is not None else None
        if isinstance(link, NotAsked):
            return _unavailable(link)
        if name is None or link is None or not isinstance(link, Authorizer):
            return Unavailable(reasons.VOUCHER_MISSING, f"endpoint {request.door.endpoint.name}, connector {name}")
        with self._alone(request.conversation) as alone:
            if not alone:
                return Unavailable(reasons.IN_PROGRESS, "its connector is being asked")
            return self._judged(_Question(request, name, link, self._seconds() + ENROLMENT_SECONDS), link)

    def left(self, word: Word) -> float:
        """Say how many seconds are left of those of a word's enrolment."""
        return max(0.0, word.until - self._seconds())

    def placed(self, word: Word, group: str) -> None:
        """Note the group of a device that is in none, once it has a certificate of it.

        The following job does it where this comes to nothing: a record that somebody else changed stays as that is.
        """
        device = word.bearers.device
        if device is None or device.group is not None:
            return
        after = replace(device, group=group)
        self._store.put_devices([(device, after)], [self._event(Action.DEVICE_MOVED, after, {"former_group": None})])

    @contextmanager
    def _alone(self, key: ConversationKey) -> Iterator[bool]:
        with self._lock:
            alone = key not in self._asking
            self._asking.add(key)
        try:
            yield alone
        finally:
            if alone:
                with self._lock:
                    self._asking.discard(key)

    def _judged(self, question: _Question, link: Authorizer) -> Word | _No:
        asked, name = asked_of(question.request), question.connector
        verdict: Verdict = self._gates.ask(name, lambda: link.authorise(asked, within=self._within(question)))
        if isinstance(verdict, NotAsked):
            return _unavailable(verdict)
        if isinstance(verdict, Refused):
            return _refused(verdict, name, question.request)
        device = self._device(question, verdict)
        if isinstance(device, _No):
            return device
        user = self._user(question, verdict, device)
        if isinstance(user, _No):
            return user
        notes = [f"connector {name}: {verdict.note or 'allowed'}"]
        if device is not None:
            notes.append(f"device {device.external_id}, {device.name!a}, record {device.id}")
        if user is not None:
            notes.append(f"user {user.external_id}, record {user.id}")
        other = disagreement(question.request, verdict.names, Bearers(device, user))
        if other and device is not None:
            notes.append(f"{other} was vouched for; its record has another name by now, and that one counts")
        return Word(name, verdict, Bearers(device, user), self._beside(device, user), question.until, tuple(notes))

    def _beside(self, device: Device | None, user: User | None) -> tuple[Certificate, ...]:
        if device is None and user is None:
            return ()
        bearer = Bearer(device.id, None) if device is not None else Bearer(None, user.id if user is not None else None)
        return tuple(self._store.live_certificates((bearer,), self._clock.now()).get(bearer, ()))

    def _within(self, question: _Question) -> float:
        return max(0.0, question.until - self._seconds())

    # --- the device -------------------------------------------------------------------------------------------------

    def _device(self, question: _Question, verdict: Allowed) -> Device | _No | None:
        """Find the device that a verdict names, in the records or in the system's own inventory."""
        name, external_id = question.connector, verdict.device
        if verdict.device_report is not None:
            return self._reported_device(question, verdict.device_report, external_id)
        alias = verdict.facts.get("entra_device_id")
        if external_id is None and isinstance(alias, str):
            found = self._store.devices_by(name, "entra", alias)
            if len(found) > 1:
                return self._unknown(question, f"{len(found)} records have Entra's device id {alias}")
            if not found and isinstance(question.link, Inventory):
                return self._unknown(question, f"no record has Entra's device id {alias} yet")
            external_id = found[0].external_id if found else alias
        if external_id is None:
            return None
        stored = self._store.device_of(name, external_id)
        if stored is not None and self._is_fit(question, Bearers(stored)):
            wanted = verdict.user or stored.user
            user = self._store.user_of(name, wanted) if wanted is not None else None
            if self._is_of_now(question, verdict, stored, Bearers(stored, user)):
                return stored
        if not isinstance(question.link, Inventory):
            return stored or self._said_device(question, verdict, external_id)
        return self._looked_up_device(question, question.link, external_id, stored)

    def _is_of_now(self, question: _Question, verdict: Allowed, record: Device | User, bearers: Bearers) -> bool:
        """Whether a record's names can be taken as they are: those that were vouched for, or of just now."""
        just_now = self._clock.now() - record.seen_at < _JUST_NOW
        return just_now or not disagreement(question.request, verdict.names, bearers)

    def _is_fit(self, question: _Question, bearers: Bearers) -> bool:
        """Whether the records speak for a certificate; if not, the system is asked how things stand now."""
        request = question.request
        of_user = bearers.device is None
        return refused_for(bearers, request.door.group, request.received_at, of_user=of_user) is None

    def _looked_up_device(
        self, question: _Question, link: Inventory, external_id: str, stored: Device | None
    ) -> Device | _No:
        name = question.connector
        report: ReportedDevice | NotAsked | _Nobody = self._gates.ask(
            name, lambda: link.device(external_id, within=self._within(question)) or _NOBODY
        )
        if isinstance(report, NotAsked):
            return _unavailable(report)
        if isinstance(report, _Nobody):
            return self._unknown(question, f"device {external_id} is not in the inventory")
        return self._reported_device(question, report, external_id, stored)

    def _reported_device(
        self, question: _Question, report: ReportedDevice, wanted: str | None, stored: Device | None = None
    ) -> Device | _No:
        """Keep what the system says of the device that it named, and of no other one."""
        name = question.connector
        if wanted not in (None, report.external_id):
            return Unavailable(reasons.CONNECTOR_GARBLED, f"connector {name}: another device came")
        stored = stored or self._store.device_of(name, report.external_id)
        after = device_record(stored, report, connector=name, record_id=self._id(), at=self._clock.now())
        return self._kept_device(stored, after)

    def _said_device(self, question: _Question, verdict: Allowed, external_id: str) -> Device | _No:
        """Make the record of what was said: the connector has no inventory that could say more."""
        now, alias = self._clock.now(), verdict.facts.get("entra_device_id")
        made = Device(
            id=self._id(),
            connector=question.connector,
            external_id=external_id,
            group=None,
            name=external_id,
            platform=Platform.OTHER,
            state=DeviceState(),
            state_since=now,
            first_seen_at=now,
            seen_at=now,
            aliases=(("entra", alias),) if isinstance(alias, str) else (),
            user=verdict.user,
            evidence={"source": _FROM_VERDICT, "note": verdict.note, SAID_AT: {}},
        )
        return self._kept_device(None, made)

    def _kept_device(self, before: Device | None, after: Device) -> Device | _No:
        action = Action.DEVICE_ADDED if before is None else Action.DEVICE_CHANGED
        changed = before is None or before.state != after.state
        events = [self._event(action, after, _states(before, after))] if changed else []
        if self._store.put_devices([(before, after)], events):
            return after
        # A sweep, or another enrolment, was faster: what it kept is as new as ours.
        kept = self._store.device_of(after.connector, after.external_id)
        return kept or Unavailable(reasons.IN_PROGRESS, f"record of device {after.external_id}")

    # --- the user ---------------------------------------------------------------------------------------------------

    def _user(self, question: _Question, verdict: Allowed, device: Device | None) -> User | _No | None:
        """Find the user that a verdict names, or that the device belongs to."""
        if verdict.user_report is not None:
            return self._reported_user(question, verdict.user_report, verdict.user)
        wanted = verdict.user or (device.user if device is not None else None)
        if wanted is None:
            return None
        stored = self._store.user_of(question.connector, wanted)
        if verdict.user is None and not _needs_user(question.request.door):
            # Nothing of this certificate depends on whose device it is, so that nobody need be asked.
            return stored
        fit = stored is not None and self._is_fit(question, Bearers(None, stored))
        if stored is not None and fit and self._is_of_now(question, verdict, stored, Bearers(device, stored)):
            return stored
        if not isinstance(question.link, Inventory):
            return stored or self._said_user(question, verdict)
        return self._looked_up_user(question, question.link, wanted, stored, named=verdict.user is not None)

    def _looked_up_user(
        self, question: _Question, link: Inventory, wanted: str, stored: User | None, *, named: bool
    ) -> User | _No | None:
        name = question.connector
        report: ReportedUser | NotAsked | _Nobody = self._gates.ask(
            name, lambda: link.user(wanted, within=self._within(question)) or _NOBODY
        )
        if isinstance(report, NotAsked):
            return _unavailable(report)
        if isinstance(report, _Nobody):
            return self._unknown(question, f"user {wanted} is not in the directory") if named else stored
        # A directory may be asked by a principal name, and answers with its own id.
        return self._reported_user(question, report, None)

    def _reported_user(self, question: _Question, report: ReportedUser, wanted: str | None) -> User | _No:
        name = question.connector
        if wanted not in (None, report.external_id):
            return Unavailable(reasons.CONNECTOR_GARBLED, f"connector {name}: another user came")
        before = self._store.user_of(name, report.external_id)
        after = user_record(before, report, connector=name, record_id=self._id(), at=self._clock.now())
        return self._kept_user(before, after)

    def _said_user(self, question: _Question, verdict: Allowed) -> User | _No | None:
        if verdict.user is None:
            return None
        now = self._clock.now()
        evidence: dict[str, JsonValue] = {"source": _FROM_VERDICT, "note": verdict.note, SAID_AT: {}}
        made = User(
            self._id(),
            question.connector,
            verdict.user,
            verdict.user,
            None,
            UserState(),
            now,
            now,
            now,
            evidence=evidence,
        )
        return self._kept_user(None, made)

    def _kept_user(self, before: User | None, after: User) -> User | _No:
        changed = before is None or before.state != after.state
        events = [self._event(Action.USER_CHANGED, after, _states(before, after))] if changed else []
        if self._store.put_users([(before, after)], events):
            return after
        kept = self._store.user_of(after.connector, after.external_id)
        return kept or Unavailable(reasons.IN_PROGRESS, f"record of user {after.external_id}")

    # --- small things -----------------------------------------------------------------------------------------------

    def _id(self) -> UUID:
        return new_id(self._clock.now(), self._entropy.octets(10))

    def _unknown(self, question: _Question, detail: str) -> Denied:
        return Denied(
            reasons.BEARER_UNKNOWN,
            f"connector {question.connector}: {detail}",
            asked=question.request.csr.asked,
            facts={"connector": question.connector},
        )

    def _event(self, action: Action, record: Device | User, details: dict[str, JsonValue]) -> EventDraft:
        kind = "device" if isinstance(record, Device) else "user"
        return EventDraft(
            at=self._clock.now(),
            actor=Actor(ActorKind.SYSTEM, f"connector:{record.connector}"),
            action=action,
            object=f"{kind}:{record.id}",
            outcome=Outcome.OK,
            group=record.group if isinstance(record, Device) else None,
            details={"connector": record.connector, "external_id": record.external_id, **details},
        )


class _Nobody:
    """The system says that there is none, which is an answer."""


_NOBODY: Final = _Nobody()


def _states(before: Device | User | None, after: Device | User) -> dict[str, JsonValue]:
    if before is None:
        return {"state": state_text(after.state)}
    return {"state": state_text(after.state), "former": state_text(before.state)}


def asked_of(request: EnrolmentRequest) -> Asked:
    """Make the question about a request: all of it, since the verdict belongs to exactly this (CON-4)."""
    return Asked(
        endpoint=request.door.endpoint.name,
        group=request.door.group.name,
        transaction_id=request.transaction_id.decode("utf-8", "replace"),
        csr=request.csr.der,
        names=request.csr.asked,
        key_sha256=request.key_sha256,
        challenge=request.csr.challenge,
        source=request.source,
    )


def _needs_user(door: Door) -> bool:
    """Whether names, conditions or the group's rules look at the user to whom a device belongs."""
    profile = door.profile
    if users_count(door.group) or any("user." in each.expression for each in profile.conditions):
        return True
    return names_a_user(profile)


def _unavailable(not_asked: NotAsked) -> Unavailable:
    return Unavailable(not_asked.reason, not_asked.detail)


def _refused(verdict: Refused, connector: str, request: EnrolmentRequest) -> Denied:
    facts: dict[str, JsonValue] = {"connector": connector, "code": verdict.code}
    if verdict.hint:
        facts["hint"] = verdict.hint
    return Denied(
        verdict.reason,
        f"connector {connector}, {verdict.code}: {verdict.detail}",
        asked=request.csr.asked,
        security=verdict.security,
        facts=facts,
    )
