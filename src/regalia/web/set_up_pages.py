"""Using a set-up link: its code is asked for, then who comes in, then what they sign in with from now on."""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import TYPE_CHECKING

import segno

from regalia import reasons
from regalia.errors import AdminError
from regalia.ra.break_glass import NewFactor
from regalia.ra.sign_in import secret_text
from regalia.web.door import door_page, entered, question_answer
from regalia.web.visit import HOME

if TYPE_CHECKING:
    from uuid import UUID

    from regalia.model import Passkey, Password
    from regalia.ra.setting_up import SetUpOffer
    from regalia.web.answers import Answer
    from regalia.web.door import Backing
    from regalia.web.visit import Visit

__all__ = ["SetUpPages"]


class SetUpPages:
    """Each method answers one request. The link's code comes in the body of each, and is in no URL."""

    def __init__(self, backing: Backing) -> None:
        self._backing = backing

    def show(self, visit: Visit, error: AdminError | None = None) -> Answer:
        """Ask for the code."""
        title = visit.reader.words("Who may run this authority?")
        return door_page(self._backing, visit, "set_up.html", error=error, title=title)

    def open(self, visit: Visit) -> Answer:
        """Ask who comes in."""
        try:
            return self._account_page(visit, self._offer(visit))
        except AdminError as error:
            return self.show(visit, error)

    # --- a passkey --------------------------------------------------------------------------------------------------

    def question(self, visit: Visit) -> Answer:
        """Ask for a new passkey."""
        offer = self._offer(visit)
        account = self._backing.set_up.account(offer, visit.form.get("account", ""))
        return question_answer(
            self._backing.passkeys.invitation(visit.door, offer.purpose, offer.administrator or account)
        )

    def passkey(self, visit: Visit) -> Answer:
        """Judge it, and let its holder in."""
        offer = self._offer(visit)
        name = self._backing.set_up.account(offer, visit.form.get("account", ""))[1]
        label = visit.reader.words("First passkey")
        registered = self._backing.passkeys.registered(
            visit.door, offer.purpose, visit.form.get("answer", ""), label, visit.source
        )
        if offer.administrator is not None and registered.administrator_id != offer.administrator.id:
            raise AdminError(reasons.PASSKEY_REFUSED, "it was made for another account")
        return self._in(visit, offer, (registered.administrator_id, name), registered.passkey)

    # --- a password -------------------------------------------------------------------------------------------------

    def factor(self, visit: Visit) -> Answer:
        """Offer a second factor, and ask for a password."""
        try:
            offer = self._offer(visit)
        except AdminError as error:
            return self.show(visit, error)
        try:
            account = self._backing.set_up.account(offer, visit.form.get("account", ""))
        except AdminError as error:
            return self._account_page(visit, offer, error)
        return self._password_page(visit, offer, self._backing.break_glass.new_factor(account[1]))

    def password(self, visit: Visit) -> Answer:
        """Judge both, and let their holder in."""
        try:
            offer = self._offer(visit)
            account = self._backing.set_up.account(offer, visit.form.get("account", ""))
            factor = self._factor(visit, offer, account[1])
        except AdminError as error:
            return self.show(visit, error)
        form = visit.form
        try:
            password = self._backing.break_glass.new_password(
                account[0], factor, form.get("password", ""), form.get("again", ""), form.get("totp", "")
            )
        except AdminError as error:
            return self._password_page(visit, offer, factor, error)
        return self._in(visit, offer, account, password)

    # --- parts ------------------------------------------------------------------------------------------------------

    def _offer(self, visit: Visit) -> SetUpOffer:
        return self._backing.set_up.open(visit.form.get("code", ""), visit.source)

    def _account_page(self, visit: Visit, offer: SetUpOffer, error: AdminError | None = None) -> Answer:
        words = visit.reader.words
        return door_page(
            self._backing,
            visit,
            "set_up_account.html",
            error=error,
            title=words("Come back in") if offer.administrator is not None else words("Who may run this authority?"),
            code=visit.form.get("code", ""),
            account=offer.administrator.name if offer.administrator is not None else "",
            wanted=visit.form.get("account", ""),
        )

    def _password_page(
        self, visit: Visit, offer: SetUpOffer, factor: NewFactor, error: AdminError | None = None
    ) -> Answer:
        sealed = self._backing.sealer.seal(_scope(visit, offer, factor.account), factor.secret)
        return door_page(
            self._backing,
            visit,
            "set_up_password.html",
            error=error,
            title=visit.reader.words("A password and an authenticator"),
            code=visit.form.get("code", ""),
            account=factor.account,
            factor=secret_text(sealed),
            secret=" ".join(factor.text[at : at + 4] for at in range(0, len(factor.text), 4)),
            picture=segno.make(factor.uri, error="m").svg_data_uri(border=2, scale=4),
        )

    def _factor(self, visit: Visit, offer: SetUpOffer, name: str) -> NewFactor:
        """Take back the factor that was offered: sealed for this link, this browser and this name."""
        given = visit.form.get("factor", "")
        try:
            sealed = base64.urlsafe_b64decode(given + "=" * (-len(given) % 4))
            return NewFactor(self._backing.sealer.unseal(_scope(visit, offer, name), sealed), name)
        except (AdminError, binascii.Error, ValueError):
            raise AdminError(reasons.ROUND_TRIP_REFUSED, "this page was not made for this browser and name") from None

    def _in(self, visit: Visit, offer: SetUpOffer, account: tuple[UUID, str], credential: Passkey | Password) -> Answer:
        proof = self._backing.set_up.use(offer, account, credential, visit.source)
        opened = self._backing.sessions.open(proof, visit.source, before=visit.session)
        return entered(opened, HOME, as_json=visit.is_json)


def _scope(visit: Visit, offer: SetUpOffer, name: str) -> str:
    return f"set-up factor {offer.purpose} {hashlib.sha256(visit.door.encode()).hexdigest()} {name}"
