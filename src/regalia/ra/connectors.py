"""What administrators do to connectors: create, change, disable, enable. Each change is one event.

A secret comes in, is sealed, and never goes out again (CON-3): it is in no event, no answer and no error.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from regalia import reasons
from regalia.errors import AdminError
from regalia.model import Action, EventDraft, Outcome, new_id
from regalia.model.connector import Checked, Connector, NotAsked
from regalia.ra.registry import check_name

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from regalia.model import Actor, JsonValue
    from regalia.ports import Clock, Entropy, Sealer
    from regalia.ports.connectors import Ability, ConnectorKinds, Links
    from regalia.ports.fleet import Connectors

__all__ = ["ConnectorDesk", "check_connector", "secret_scope", "why_not"]

_LONGEST: Final = 32_768
"""A key with its chain, in PEM."""


def secret_scope(connector_id: UUID) -> str:
    """Say whose secret it is, for sealing."""
    return f"connector:{connector_id}"


def check_connector(links: Links, name: str) -> tuple[Checked, ...]:
    """Try each thing that a connector needs, one by one; nothing changes anywhere.

    A connector that cannot be asked at all is one line, with the reason and its remedy.
    """
    link = links.link(name)
    if isinstance(link, NotAsked):
        return (Checked("connector", ok=False, detail=why_not(link), fix=link.reason.remedy),)
    return link.check()


def why_not(answer: NotAsked) -> str:
    """Say why a connector cannot be asked."""
    return f"{answer.reason}: {answer.detail}" if answer.detail else str(answer.reason)


class ConnectorDesk:
    """Creates and changes connectors."""

    def __init__(
        self, store: Connectors, kinds: ConnectorKinds, sealer: Sealer, clock: Clock, entropy: Entropy
    ) -> None:
        self._store = store
        self._kinds = kinds
        self._sealer = sealer
        self._clock = clock
        self._entropy = entropy

    @property
    def kinds(self) -> ConnectorKinds:
        """The kinds that there are."""
        return self._kinds

    def abilities(self, connector: Connector) -> frozenset[Ability]:
        """Say what its kind can do; nothing where there is no such kind any more."""
        return next((kind.abilities for kind in self._kinds.kinds() if kind.name == connector.kind), frozenset())

    def create(
        self, name: str, kind: str, settings: Mapping[str, JsonValue], secret: str | None, *, actor: Actor
    ) -> Connector:
        """Make one; nobody is asked anything.

        Raises `AdminError`: ADM-003 name taken, ADM-005 bad name, CON-030 no such kind, CON-031 settings, CON-032
        secret.
        """
        check_name(name)
        now = self._clock.now()
        wanted = Connector(
            id=new_id(now, self._entropy.octets(10)),
            name=name,
            kind=kind,
            settings=settings,
            created_at=now,
            secret_set_at=None if secret is None else now,
        )
        made = self._checked(wanted, secret or "")
        event = _event(made, Action.CONNECTOR_CREATED, actor, self._clock, secret_set=secret is not None)
        if not self._store.add_connector(made, self._sealed(made, secret), (event,)):
            raise AdminError(reasons.NAME_TAKEN, f"connector {name}")
        return made

    def change(
        self,
        before: Connector,
        settings: Mapping[str, JsonValue | None],
        *,
        actor: Actor,
        secret: str | None = None,
    ) -> Connector:
        """Change some settings; one that is None goes back to its default. A `secret` takes the former one's place.

        Raises `AdminError`: CON-031 or CON-032 what does not go together, CON-063 where somebody else was faster,
        ADM-010 where its secret does not open.
        """
        merged = {**before.settings, **settings}
        wanted = replace(before, settings={name: value for name, value in merged.items() if value is not None})
        if secret is None:
            return self._changed(
                before, self._checked(wanted, self._secret_of(before)), Action.CONNECTOR_CHANGED, actor
            )
        # Together, since neither need go with the other's former self: a certificate in a client secret's place.
        after = self._checked(replace(wanted, secret_set_at=self._clock.now()), secret)
        return self._changed(before, after, Action.CONNECTOR_CHANGED, actor, secret=secret)

    def set_secret(self, before: Connector, secret: str, *, actor: Actor) -> Connector:
        """Give it another secret; the former one is gone. Raises `AdminError` CON-032, CON-063."""
        return self.change(before, {}, actor=actor, secret=secret)

    def disable(self, before: Connector, *, actor: Actor) -> Connector:
        """Ask nothing of it any more. Raises `AdminError` CON-063."""
        if before.disabled_at is not None:
            raise AdminError(reasons.CONNECTOR_STATE, f"connector {before.name} is disabled already")
        after = replace(before, disabled_at=self._clock.now())
        return self._changed(before, after, Action.CONNECTOR_DISABLED, actor)

    def enable(self, before: Connector, *, actor: Actor) -> Connector:
        """Ask it again. Raises `AdminError` CON-063."""
        if before.disabled_at is None:
            raise AdminError(reasons.CONNECTOR_STATE, f"connector {before.name} is enabled already")
        return self._changed(before, replace(before, disabled_at=None), Action.CONNECTOR_ENABLED, actor)

    def _checked(self, connector: Connector, secret: str) -> Connector:
        if len(secret) > _LONGEST:
            raise AdminError(reasons.CONNECTOR_SECRET_REFUSED, f"it has more than {_LONGEST} characters")
        return self._kinds.checked(connector, secret)

    def _changed(
        self, before: Connector, after: Connector, action: Action, actor: Actor, *, secret: str | None = None
    ) -> Connector:
        event = _event(after, action, actor, self._clock, secret_set=secret is not None)
        if action is Action.CONNECTOR_CHANGED:
            event = replace(event, details={**event.details, "former": dict(before.settings)})
        if not self._store.change_connector(before, after, self._sealed(after, secret), (event,)):
            raise AdminError(reasons.CONNECTOR_STATE, f"connector {before.name} has just changed: look at it again")
        return after

    def _sealed(self, connector: Connector, secret: str | None) -> bytes | None:
        return None if secret is None else self._sealer.seal(secret_scope(connector.id), secret.encode("utf-8"))

    def _secret_of(self, connector: Connector) -> str:
        sealed = self._store.connector_secret(connector.id)
        return "" if sealed is None else self._sealer.unseal(secret_scope(connector.id), sealed).decode("utf-8")


def _event(connector: Connector, action: Action, actor: Actor, clock: Clock, *, secret_set: bool) -> EventDraft:
    details: dict[str, JsonValue] = {"kind": connector.kind}
    if action in (Action.CONNECTOR_CREATED, Action.CONNECTOR_CHANGED):
        details |= {"settings": dict(connector.settings), "secret_set": secret_set}
    return EventDraft(clock.now(), actor, action, f"connector:{connector.name}", Outcome.OK, details=details)
