"""Local accounts for the day on which nothing else works: a password and a second factor (WEB-6)."""

from __future__ import annotations

import base64
import hmac
import unicodedata
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from argon2 import PasswordHasher
from argon2.exceptions import VerificationError
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP

from regalia import reasons
from regalia.errors import AdminError
from regalia.model import AdministratorState, Password, SignInKind
from regalia.ra.attempts import Attempts, account_subject, source_subject
from regalia.ra.sign_in import Proof

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from regalia.model import Administrator
    from regalia.ports import Clock, Entropy, Sealer
    from regalia.ra.sign_in import Doorkeeper, SignInStore

__all__ = ["LENGTH", "LONGEST", "SHORTEST", "BreakGlass", "NewFactor", "Wait", "totp_scope"]

SHORTEST: Final = 14
LONGEST: Final = 200
_DIFFERENT: Final = 8
LENGTH: Final = f"a password has {SHORTEST} to {LONGEST} characters, of which {_DIFFERENT} differ"
"""What is said of one that has not."""
_STEP_SECONDS: Final = 30
_DIGITS: Final = 6
_TOTP_OCTETS: Final = 20


class Wait(AdminError):  # noqa: N818 - what the door says, beside what it is
    """Too many tries (AUTH-007)."""

    def __init__(self, seconds: int, detail: str) -> None:
        super().__init__(reasons.SIGN_IN_LATER, detail)
        self.seconds = seconds
        """Until it is worth another try."""


@dataclass(frozen=True, slots=True)
class NewFactor:
    """A second factor that is offered to somebody, who has to show that their authenticator has it."""

    secret: bytes
    account: str

    @property
    def text(self) -> str:
        """The secret as authenticators take it when it is typed."""
        return base64.b32encode(self.secret).decode()

    @property
    def uri(self) -> str:
        """The same for a camera."""
        label = quote(f"Regalia:{self.account}")
        return f"otpauth://totp/{label}?secret={self.text}&issuer=Regalia&algorithm=SHA1&digits={_DIGITS}&period={_STEP_SECONDS}"


class BreakGlass:
    """Judges passwords with their codes, and makes new ones. Slow, and 64 MiB at a time: call it from a small pool."""

    def __init__(
        self,
        store: SignInStore,
        sealer: Sealer,
        clock: Clock,
        entropy: Entropy,
        doorkeeper: Doorkeeper,
        hasher: PasswordHasher | None = None,
    ) -> None:
        """`hasher` is argon2id with the library's own cost unless given."""
        self._store = store
        self._sealer = sealer
        self._clock = clock
        self._entropy = entropy
        self._doorkeeper = doorkeeper
        self._hasher = hasher or PasswordHasher()
        self._attempts = Attempts(store)
        self._nobodys = _nobodys(self._hasher)

    def sign_in(self, account: str, password: str, code: str, source: str) -> Proof:
        """Judge an account's password and code. Raises `AdminError` AUTH-001 whatever is wrong, `Wait`.

        An account that is not there takes as long as one that is, and so does one without a password.
        """
        now = self._clock.now()
        subjects = (account_subject(account), source_subject(source))
        administrator = self._store.administrator_named(account) if len(account) <= LONGEST else None
        name = administrator.name if administrator is not None else ""
        seconds = self._attempts.enter(subjects, now)
        if seconds:
            refusal = self._doorkeeper.refusal(
                reasons.SIGN_IN_LATER, source, f"{seconds} s to wait", about=name, alarm=True
            )
            raise Wait(seconds, refusal.detail)
        step = self._judged(administrator, password, code, now)
        if administrator is None or administrator.password is None or step is None:
            raise self._doorkeeper.refusal(reasons.SIGN_IN_FAILED, source, about=name)
        after = replace(administrator, password=replace(administrator.password, totp_last_step=step))
        if not self._store.change_administrator(administrator, after, ()):
            raise self._doorkeeper.refusal(
                reasons.SIGN_IN_FAILED, source, "the code was used at once elsewhere", about=name
            )
        self._attempts.right(subjects)
        return Proof(after, SignInKind.PASSWORD, now)

    def _judged(self, administrator: Administrator | None, password: str, code: str, now: datetime) -> int | None:
        """Return the time step of the code where all is right. Everything is judged, whatever is wrong before."""
        kept = administrator.password if administrator is not None else None
        secret = bytes(_TOTP_OCTETS)
        if kept is not None and administrator is not None:
            secret = self._sealer.unseal(totp_scope(administrator.id), kept.totp_sealed)
        right = self._is_password(kept.hash if kept is not None else self._nobodys, password)
        step = _step_of(secret, code, now, kept.totp_last_step if kept is not None else 0)
        enabled = administrator is not None and administrator.state is AdministratorState.ENABLED
        return step if kept is not None and right and enabled else None

    def _is_password(self, kept: str, given: str) -> bool:
        try:
            return self._hasher.verify(kept, _plain(given))
        except VerificationError:
            return False

    # --- new ones -------------------------------------------------------------------------------------------------

    def new_factor(self, account: str) -> NewFactor:
        """Offer a second factor."""
        return NewFactor(self._entropy.octets(_TOTP_OCTETS), account)

    def new_password(self, administrator_id: UUID, factor: NewFactor, password: str, again: str, code: str) -> Password:
        """Make what is kept of a new password, once a code shows that the authenticator has the factor.

        Raises `AdminError` AUTH-013, which says what is wrong.
        """
        now = self._clock.now()
        if not hmac.compare_digest(password.encode(), again.encode()):
            raise AdminError(reasons.PASSWORD_REFUSED, "the two passwords differ")
        if not SHORTEST <= len(password) <= LONGEST or len(set(password)) < _DIFFERENT:
            raise AdminError(reasons.PASSWORD_REFUSED, LENGTH)
        if factor.account.lower() in password.lower():
            raise AdminError(reasons.PASSWORD_REFUSED, "a password does not contain the account's name")
        step = _step_of(factor.secret, code, now, 0)
        if step is None:
            raise AdminError(reasons.PASSWORD_REFUSED, "the code is not the one that the authenticator shows now")
        sealed = self._sealer.seal(totp_scope(administrator_id), factor.secret)
        return Password(self._hasher.hash(_plain(password)), sealed, step, now)


def _nobodys(hasher: PasswordHasher) -> str:
    """Make a hash that no password has, and that takes as long to find so as any other."""
    salt, digest = (
        base64.b64encode(bytes(count)).rstrip(b"=").decode() for count in (hasher.salt_len, hasher.hash_len)
    )
    cost = f"m={hasher.memory_cost},t={hasher.time_cost},p={hasher.parallelism}"
    return f"$argon2id$v=19${cost}${salt}${digest}"


def totp_scope(administrator_id: UUID) -> str:
    """Name whose second factor a sealed secret is."""
    return f"administrator:{administrator_id}"


def _plain(password: str) -> bytes:
    # RFC 8265 OpaqueString: keyboards write one letter in several ways. Cut, so that nobody hashes a book.
    return unicodedata.normalize("NFC", password[: LONGEST + 1]).encode("utf-8", "surrogatepass")


def _step_of(secret: bytes, code: str, now: datetime, last: int) -> int | None:
    """Return the time step that a code is of: the present one or one beside it, and newer than the last used."""
    totp = TOTP(secret, _DIGITS, SHA1(), _STEP_SECONDS)  # noqa: S303 - RFC 6238, and all that authenticators know
    present = int(now.timestamp()) // _STEP_SECONDS
    given = "".join(code.split())[: 2 * _DIGITS].encode("utf-8", "replace")
    found: int | None = None
    for step in (present - 1, present, present + 1):
        if hmac.compare_digest(totp.generate(step * _STEP_SECONDS), given) and step > last:
            found = step
    return found
