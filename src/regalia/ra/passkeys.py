"""Passkeys (WebAuthn level 3): registering them, and signing in with them.

The challenge is all that has to be remembered between question and answer, and it remembers itself: it is the time
and whom it is for, sealed for one purpose and one browser's door secret. It is used up when it was answered well.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final
from uuid import UUID

import webauthn
from webauthn.helpers import (
    parse_authentication_credential_json,
    parse_client_data_json,
    parse_registration_credential_json,
)
from webauthn.helpers.cose import COSEAlgorithmIdentifier
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from regalia import reasons
from regalia.errors import AdminError, PeerError
from regalia.model import Action, EventDraft, Outcome, Passkey, SignInKind
from regalia.ra.sign_in import Proof, acting
from regalia.wire.boundary import reading

if TYPE_CHECKING:
    from datetime import datetime

    from regalia.model import Administrator
    from regalia.ports import Clock, Sealer
    from regalia.ra.sign_in import Doorkeeper, SignInStore

__all__ = ["MOST_PASSKEYS", "PasskeyDesk", "Registered", "RelyingParty"]

MOST_PASSKEYS: Final = 20
"""Of one administrator."""
_LABEL: Final = 60
_GOOD_FOR: Final = timedelta(minutes=5)
_ASSERTION: Final = "sign-in passkey assertion"
_REGISTRATION: Final = "sign-in passkey registration"
_ALGORITHMS: Final = [
    COSEAlgorithmIdentifier.ECDSA_SHA_256,
    COSEAlgorithmIdentifier.EDDSA,
    COSEAlgorithmIdentifier.RSASSA_PKCS1_v1_5_SHA_256,
]
"""What authenticators make: phones and keys the first, some keys the second, Windows Hello the third."""


@dataclass(frozen=True, slots=True)
class RelyingParty:
    """Who we are to an authenticator; from the configuration, never from a request (WEB-9)."""

    id: str
    """Host of the admin URL."""
    origin: str
    """Scheme, host and port of it."""
    name: str = "Regalia"


@dataclass(frozen=True, slots=True)
class Registered:
    """A new passkey, and the account that it was made for."""

    passkey: Passkey
    administrator_id: UUID


class PasskeyDesk:
    """Asks browsers, and judges what they answer. `door` is the browser's own secret (see `web.sessions`)."""

    def __init__(
        self, store: SignInStore, sealer: Sealer, clock: Clock, doorkeeper: Doorkeeper, party: RelyingParty
    ) -> None:
        self._store = store
        self._sealer = sealer
        self._clock = clock
        self._doorkeeper = doorkeeper
        self._party = party

    # --- signing in -------------------------------------------------------------------------------------------------

    def question(self, door: str) -> str:
        """Ask for an assertion of any passkey registered here: JSON for `navigator.credentials.get`."""
        options = webauthn.generate_authentication_options(
            rp_id=self._party.id,
            challenge=self._challenge(_ASSERTION, door, UUID(int=0)),
            timeout=int(_GOOD_FOR.total_seconds() * 1000),
            user_verification=UserVerificationRequirement.REQUIRED,
        )
        return webauthn.options_to_json(options)

    def answer(self, door: str, given: str, source: str) -> Proof:
        """Judge an assertion; note its counter and that it was used.

        Raises `AdminError`: AUTH-005, AUTH-006 where its counter did not go forward, AUTH-009.
        """
        try:
            with reading(reasons.PASSKEY_REFUSED):
                answered = parse_authentication_credential_json(given)
                challenge = parse_client_data_json(answered.response.client_data_json).challenge
            _, until = self._opened(_ASSERTION, door, challenge)
            administrator, passkey = self._holder(answered.raw_id, answered.response.user_handle)
            with reading(reasons.PASSKEY_REFUSED):
                verified = webauthn.verify_authentication_response(
                    credential=answered,
                    expected_challenge=challenge,
                    expected_rp_id=self._party.id,
                    expected_origin=self._party.origin,
                    credential_public_key=passkey.public_key,
                    # The counter is judged below: a copied authenticator is not just a wrong signature.
                    credential_current_sign_count=0,
                    require_user_verification=True,
                )
            self._spend(challenge, until)
        except PeerError as error:
            raise self._doorkeeper.refusal(reasons.PASSKEY_REFUSED, source, error.detail) from error
        self._use(administrator, passkey, verified.new_sign_count, source)
        return Proof(administrator, SignInKind.PASSKEY, self._clock.now())

    def _holder(self, credential_id: bytes, handle: bytes | None) -> tuple[Administrator, Passkey]:
        administrator = self._store.administrator_of_passkey(credential_id)
        if administrator is None:
            raise PeerError(reasons.PASSKEY_REFUSED, "nobody has this passkey")
        if handle is not None and handle != administrator.id.bytes:
            raise PeerError(reasons.PASSKEY_REFUSED, "the passkey is another account's")
        for passkey in administrator.passkeys:
            if passkey.credential_id == credential_id:
                return administrator, passkey
        raise PeerError(reasons.PASSKEY_REFUSED, "nobody has this passkey")

    def _use(self, administrator: Administrator, passkey: Passkey, count: int, source: str) -> None:
        """Note the counter. One that counts must count on; synced passkeys say 0 for ever."""
        if (count or passkey.sign_count) and count <= passkey.sign_count:
            detail = f"it says {count} after {passkey.sign_count}"
            name = administrator.name
            raise self._doorkeeper.refusal(reasons.PASSKEY_COUNTER, source, detail, about=name, alarm=True)
        used = replace(passkey, sign_count=count, last_used_at=self._clock.now())
        kept = tuple(used if each is passkey else each for each in administrator.passkeys)
        if not self._store.change_administrator(administrator, replace(administrator, passkeys=kept), ()):
            raise self._doorkeeper.refusal(
                reasons.PASSKEY_REFUSED, source, "used twice at once", about=administrator.name
            )

    # --- registering ------------------------------------------------------------------------------------------------

    def invitation(self, door: str, purpose: str, account: Administrator | tuple[UUID, str]) -> str:
        """Ask for a new passkey: JSON for `navigator.credentials.create`.

        `purpose` is what allows it: a set-up link, or a session that just proved who it is. An account that is not
        there yet is its future id and name.
        """
        if isinstance(account, tuple):
            which, name = account
            display, known = name, []
        else:
            which, name, display = account.id, account.name, account.display
            known = [PublicKeyCredentialDescriptor(id=each.credential_id) for each in account.passkeys]
        options = webauthn.generate_registration_options(
            rp_id=self._party.id,
            rp_name=self._party.name,
            user_id=which.bytes,
            user_name=name,
            user_display_name=display,
            challenge=self._challenge(f"{_REGISTRATION} {purpose}", door, which),
            timeout=int(_GOOD_FOR.total_seconds() * 1000),
            authenticator_selection=AuthenticatorSelectionCriteria(
                resident_key=ResidentKeyRequirement.REQUIRED, user_verification=UserVerificationRequirement.REQUIRED
            ),
            exclude_credentials=known,
            supported_pub_key_algs=_ALGORITHMS,
        )
        return webauthn.options_to_json(options)

    def registered(self, door: str, purpose: str, given: str, label: str, source: str) -> Registered:
        """Judge a new passkey. Raises `AdminError` AUTH-005, also for one that is registered already."""
        try:
            with reading(reasons.PASSKEY_REFUSED):
                answered = parse_registration_credential_json(given)
                challenge = parse_client_data_json(answered.response.client_data_json).challenge
            which, until = self._opened(f"{_REGISTRATION} {purpose}", door, challenge)
            with reading(reasons.PASSKEY_REFUSED):
                made = webauthn.verify_registration_response(
                    credential=answered,
                    expected_challenge=challenge,
                    expected_rp_id=self._party.id,
                    expected_origin=self._party.origin,
                    require_user_verification=True,
                    supported_pub_key_algs=_ALGORITHMS,
                )
            self._refuse_known(made.credential_id)
            self._spend(challenge, until)
        except PeerError as error:
            raise self._doorkeeper.refusal(reasons.PASSKEY_REFUSED, source, error.detail) from error
        passkey = Passkey(
            made.credential_id, made.credential_public_key, made.sign_count, _label(label), self._clock.now()
        )
        return Registered(passkey, which)

    def _refuse_known(self, credential_id: bytes) -> None:
        if self._store.administrator_of_passkey(credential_id) is not None:
            raise PeerError(reasons.PASSKEY_REFUSED, "it is registered already")

    def add(self, administrator: Administrator, passkey: Passkey, source: str) -> None:
        """Give a signed-in administrator another passkey. Raises `AdminError` AUTH-005."""
        event = self.event(Action.PASSKEY_ADDED, administrator, passkey, source)
        after = replace(administrator, passkeys=(*administrator.passkeys, passkey))
        full = len(administrator.passkeys) >= MOST_PASSKEYS
        if full or not self._store.change_administrator(administrator, after, (event,)):
            detail = f"{MOST_PASSKEYS} passkeys are enough" if full else "the account changed meanwhile"
            raise AdminError(reasons.PASSKEY_REFUSED, detail)

    def remove(self, administrator: Administrator, credential_id: bytes, source: str) -> None:
        """Take a passkey away. Raises `AdminError` AUTH-017 for the last way in; nothing where it is gone already."""
        gone = [each for each in administrator.passkeys if each.credential_id == credential_id]
        if not gone:
            return
        kept = tuple(each for each in administrator.passkeys if each.credential_id != credential_id)
        if not kept and administrator.password is None and not administrator.subjects:
            raise AdminError(reasons.LAST_WAY_IN, gone[0].label)
        event = self.event(Action.PASSKEY_REMOVED, administrator, gone[0], source)
        if not self._store.change_administrator(administrator, replace(administrator, passkeys=kept), (event,)):
            raise AdminError(reasons.PASSKEY_REFUSED, "the account changed meanwhile")

    def event(self, action: Action, administrator: Administrator, passkey: Passkey, source: str) -> EventDraft:
        """Describe what happened to a passkey."""
        details = {"credential": hashlib.sha256(passkey.credential_id).hexdigest()[:16], "label": passkey.label}
        actor = acting(administrator.name, source)
        at, name = self._clock.now(), f"administrator:{administrator.name}"
        return EventDraft(at, actor, action, name, Outcome.OK, details=details)

    # --- challenges -------------------------------------------------------------------------------------------------

    def _challenge(self, purpose: str, door: str, which: UUID) -> bytes:
        stamp = round(self._clock.now().timestamp() * 1000).to_bytes(8, "big")
        return self._sealer.seal(_scope(purpose, door), stamp + which.bytes)

    def _opened(self, purpose: str, door: str, challenge: bytes) -> tuple[UUID, datetime]:
        """Open a challenge of ours: whom it is for, and until when it is good. Raises `PeerError`."""
        try:
            opened = self._sealer.unseal(_scope(purpose, door), challenge)
        except AdminError:
            raise PeerError(reasons.PASSKEY_REFUSED, "the challenge was not made for this browser") from None
        now = self._clock.now()
        made = now - timedelta(milliseconds=round(now.timestamp() * 1000) - int.from_bytes(opened[:8], "big"))
        if not made <= now <= made + _GOOD_FOR:
            raise PeerError(reasons.PASSKEY_REFUSED, "the challenge is older than five minutes")
        return UUID(bytes=opened[8:]), made + _GOOD_FOR

    def _spend(self, challenge: bytes, until: datetime) -> None:
        if not self._store.spend(hashlib.sha256(challenge).digest(), until):
            raise PeerError(reasons.PASSKEY_REFUSED, "the challenge was answered before")


def _scope(purpose: str, door: str) -> str:
    return f"{purpose} {hashlib.sha256(door.encode()).hexdigest()}"


def _label(text: str) -> str:
    cleaned = "".join(each for each in text if each.isprintable()).strip()
    return cleaned[:_LABEL] or "Passkey"
