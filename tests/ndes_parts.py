"""A world with a page that hands out challenges, and an MDM that knows its password."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

from regalia.model import Action, Outcome
from regalia.ra.limits import Allowances
from regalia.ra.ndes import Handed, Login, NdesService, PageRequest, UnusableLogin
from regalia.ra.ndes_pages import NdesDesk, NdesOptions
from world import ADMIN, World

if TYPE_CHECKING:
    from memory_store import MemoryStore
    from regalia.errors import Reason
    from regalia.model import Event, NdesPage
    from regalia.ra.ndes import NdesAnswer

__all__ = ["MDM", "PASSWORD", "RIGHT", "USER", "WRONG", "Pages", "cheap_hash"]

USER, PASSWORD = "EXAMPLE\\svc-ndes", "4f0c9a7e15b2d3866f"
MDM = "192.0.2.7"
RIGHT = Login(USER.encode(), PASSWORD.encode())
WRONG = Login(USER.encode(), b"4f0c9a7e15b2d38660")


def cheap_hash(password: str) -> str:
    """Hash a password as `ra.passwords` does, at a cost that a test can pay a hundred times."""
    first = hashlib.sha256(password.encode()).digest()
    return (
        f"scrypt-sha256$2$1$1${bytes(16).hex()}${hashlib.scrypt(first, salt=bytes(16), n=2, r=1, p=1, dklen=32).hex()}"
    )


class Pages:
    """A world with a page at its endpoint."""

    def __init__(
        self,
        options: NdesOptions | None = None,
        *,
        allowances: Allowances | None = None,
        store: MemoryStore | None = None,
    ) -> None:
        self.world = World(store=store)
        self.desk = NdesDesk(self.world.store, self.world.clock, self.world.entropy)
        self.allowances = allowances or Allowances()
        self.service = self.another_process()
        self.page = self.set(replace(options or NdesOptions(), user=USER, password=PASSWORD))

    def another_process(self) -> NdesService:
        """Make a service that has seen nobody yet."""
        world = self.world
        return NdesService(
            store=world.store,
            refusals=world.refusals,
            allowances=self.allowances,
            clock=world.clock,
            entropy=world.entropy,
            challenge_mac=world.challenge_mac,
        )

    def set(self, options: NdesOptions, endpoint: str = "default") -> NdesPage:
        """Set a page up, or change it; a new password is kept under a hash that costs next to nothing."""
        page = self.desk.set(endpoint, options, actor=ADMIN, acknowledged=True)
        if options.password is not None:
            page = replace(page, password_hash=cheap_hash(options.password))
            self.world.store.set_ndes_page(page, ())
        return page

    def change_password(self, password: str) -> None:
        """Set another password."""
        self.page = self.set(NdesOptions(password=password))

    def ask(
        self,
        login: Login | UnusableLogin | None = RIGHT,
        *,
        source: str = MDM,
        query: bytes = b"",
        endpoint: str = "default",
        reads: bool = True,
    ) -> NdesAnswer:
        """Ask for the page."""
        return self.service.answer(PageRequest(endpoint, source, reads, login, query))

    def fetch(self, *, query: bytes = b"", endpoint: str = "default") -> Handed:
        """Ask for a challenge, and get it."""
        handed = self.ask(query=query, endpoint=endpoint)
        assert isinstance(handed, Handed)
        return handed

    def last(self) -> Event:
        """Return the newest record."""
        return self.world.last_event()

    def refused(self, reason: Reason, *, security: bool = False) -> Event:
        """See that the newest record is this refusal."""
        event = self.last()
        assert (event.draft.action, event.draft.outcome) == (Action.NDES_REFUSED, Outcome.REFUSED)
        assert event.draft.reason_id == reason.id
        assert event.draft.security is security
        return event
