"""Set-up links: how the first administrator comes to be, and how one who is locked out comes back (stack.md §7).

A link is good once and for a day. Its secret is in the part of the URL that browsers keep to themselves, so that no
log has it. Nobody is an administrator by default, and no password is there before somebody sets one.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from regalia import reasons
from regalia.errors import AdminError
from regalia.model import (
    Action,
    Administrator,
    AdministratorState,
    EventDraft,
    Outcome,
    Passkey,
    Password,
    SetupLink,
    SignInKind,
    new_id,
)
from regalia.ra.attempts import Attempts, source_subject
from regalia.ra.roles import EVERYTHING, grant_texts
from regalia.ra.sign_in import SECRET_OCTETS, Proof, acting, secret_text, sha256_of
from regalia.wire.event import time_text

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from regalia.model import Actor, JsonValue
    from regalia.ports import Administrators, Clock, Entropy
    from regalia.ra.sign_in import Doorkeeper, SessionDesk, SignInStore

__all__ = ["LINK_LIFE", "SetUpDesk", "SetUpOffer", "make_setup_link", "setup_url"]

LINK_LIFE: Final = timedelta(hours=24)
_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,39}")
_FIRST: Final = hashlib.sha256(b"the first administrator").digest()
_ONE_AT_A_TIME: Final = timedelta(minutes=1)


def make_setup_link(
    store: Administrators,
    clock: Clock,
    entropy: Entropy,
    actor: Actor,
    administrator: Administrator | None = None,
) -> str:
    """Make a link's secret: for the first administrator, or for one who is to register anew (`administrator`)."""
    now, secret = clock.now(), secret_text(entropy.octets(SECRET_OCTETS))
    whom = administrator.id if administrator is not None else None
    link = SetupLink(sha256_of(secret), whom, now, now + LINK_LIFE)
    details: dict[str, JsonValue] = {"expires_at": time_text(link.expires_at), "rescue": administrator is not None}
    named = f"administrator:{administrator.name}" if administrator is not None else "administrator"
    event = EventDraft(now, actor, Action.SETUP_LINK_CREATED, named, Outcome.OK, security=True, details=details)
    store.add_setup_link(link, (event,))
    return secret


def setup_url(admin_url: str, secret: str) -> str:
    """Write the link: what follows the `#` never leaves the browser by itself."""
    return f"{admin_url}/set-up#{secret}"


@dataclass(frozen=True, slots=True)
class SetUpOffer:
    """What an open link is good for."""

    link: SetupLink
    administrator: Administrator | None
    """Who registers anew; None: the first administrator, who chooses a name."""

    @property
    def purpose(self) -> str:
        """Name the link where something is sealed for it."""
        return f"link {self.link.secret_sha256.hex()}"


class SetUpDesk:
    """Opens links and uses them up."""

    def __init__(
        self, store: SignInStore, clock: Clock, entropy: Entropy, doorkeeper: Doorkeeper, sessions: SessionDesk
    ) -> None:
        self._store = store
        self._clock = clock
        self._entropy = entropy
        self._doorkeeper = doorkeeper
        self._sessions = sessions
        self._attempts = Attempts(store)

    def open(self, code: str, source: str) -> SetUpOffer:
        """Look at a link without using it up. Raises `AdminError` AUTH-008, AUTH-007 for an address that guesses."""
        now = self._clock.now()
        link = self._store.setup_link(sha256_of(code.strip()))
        if link is None:
            subject = source_subject(source)
            seconds = self._attempts.enter((subject,), now)
            reason = reasons.SIGN_IN_LATER if seconds else reasons.SETUP_LINK_REFUSED
            raise self._doorkeeper.refusal(reason, source, f"{seconds} s to wait" if seconds else "unknown", alarm=True)
        if link.used_at is not None or now >= link.expires_at:
            detail = "expired" if link.used_at is None else "used"
            raise self._doorkeeper.refusal(reasons.SETUP_LINK_REFUSED, source, detail, alarm=link.used_at is not None)
        if link.administrator is None:
            if self._store.administrators():
                raise self._doorkeeper.refusal(
                    reasons.SETUP_LINK_REFUSED, source, "there is an administrator already", alarm=True
                )
            return SetUpOffer(link, None)
        administrator = self._store.administrator(link.administrator)
        if administrator is None or administrator.state is not AdministratorState.ENABLED:
            raise self._doorkeeper.refusal(reasons.ACCOUNT_DISABLED, source)
        return SetUpOffer(link, administrator)

    def account(self, offer: SetUpOffer, name: str) -> tuple[UUID, str]:
        """Say for whom something is registered: a new account's id and name, or those of who registers anew.

        Raises `AdminError` AUTH-016 for a name that cannot be one.
        """
        if offer.administrator is not None:
            return offer.administrator.id, offer.administrator.name
        if not _NAME.fullmatch(name):
            raise AdminError(reasons.ACCOUNT_NAME_REFUSED)
        return new_id(self._clock.now(), self._entropy.octets(10)), name

    def use(self, offer: SetUpOffer, account: tuple[UUID, str], credential: Passkey | Password, source: str) -> Proof:
        """Use a link up: make the first administrator, or replace all that somebody signed in with before.

        Their former passkeys, password and sessions end: whoever found them signs in no more.
        Raises `AdminError` AUTH-008 where somebody was faster.
        """
        now = self._clock.now()
        name = account[1]
        details: dict[str, JsonValue] = {"with": "passkey" if isinstance(credential, Passkey) else "password"}
        if offer.administrator is not None:
            details["replaced"] = len(offer.administrator.passkeys) + (offer.administrator.password is not None)
        named = f"administrator:{name}"
        actor = acting(name, source)
        used = EventDraft(now, actor, Action.SETUP_LINK_USED, named, Outcome.OK, security=True, details=details)
        if offer.administrator is None and not self._is_first(now):
            raise self._doorkeeper.refusal(reasons.SETUP_LINK_REFUSED, source, "somebody was faster", alarm=True)
        if not self._store.use_setup_link(offer.link.secret_sha256, now, (used,)):
            raise self._doorkeeper.refusal(reasons.SETUP_LINK_REFUSED, source, "used or expired", alarm=True)
        if offer.administrator is None:
            administrator = self._made(account, credential, now, actor)
        else:
            administrator = self._renewed(offer.administrator, credential, now, actor)
            self._sessions.end_all(administrator, actor, "credentials replaced")
        return Proof(administrator, SignInKind.SETUP, now)

    def _is_first(self, now: datetime) -> bool:
        """Of several links that are used at the same moment one makes the first administrator."""
        self._store.forget_sign_ins(now, now - timedelta(days=1))
        return self._store.spend(_FIRST, now + _ONE_AT_A_TIME) and not self._store.administrators()

    def _made(
        self, account: tuple[UUID, str], credential: Passkey | Password, now: datetime, actor: Actor
    ) -> Administrator:
        which, name = account
        administrator = Administrator(
            id=which,
            name=name,
            display=name,
            state=AdministratorState.ENABLED,
            created_at=now,
            created_by="set-up link",
            grants=EVERYTHING,
        )
        administrator = _with(administrator, credential)
        grants: dict[str, JsonValue] = {"id": str(which), "grants": [*grant_texts(EVERYTHING)]}
        named = f"administrator:{name}"
        made = EventDraft(now, actor, Action.ADMINISTRATOR_CREATED, named, Outcome.OK, security=True, details=grants)
        if not self._store.add_administrator(administrator, (made, *_events(administrator, credential, now, actor))):
            raise AdminError(reasons.ACCOUNT_NAME_REFUSED, name)
        return administrator

    def _renewed(
        self, former: Administrator, credential: Passkey | Password, now: datetime, actor: Actor
    ) -> Administrator:
        after = _with(replace(former, passkeys=(), password=None), credential)
        if not self._store.change_administrator(former, after, _events(after, credential, now, actor)):
            raise AdminError(reasons.SETUP_LINK_REFUSED, "the account changed meanwhile")
        return after


def _with(administrator: Administrator, credential: Passkey | Password) -> Administrator:
    if isinstance(credential, Passkey):
        return replace(administrator, passkeys=(credential,))
    return replace(administrator, password=credential)


def _events(
    administrator: Administrator, credential: Passkey | Password, now: datetime, actor: Actor
) -> tuple[EventDraft, ...]:
    named = f"administrator:{administrator.name}"
    if isinstance(credential, Password):
        return (EventDraft(now, actor, Action.PASSWORD_SET, named, Outcome.OK, security=True),)
    details: dict[str, JsonValue] = {
        "credential": hashlib.sha256(credential.credential_id).hexdigest()[:16],
        "label": credential.label,
    }
    return (EventDraft(now, actor, Action.PASSKEY_ADDED, named, Outcome.OK, details=details),)
