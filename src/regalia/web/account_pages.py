"""One's own account: passkeys, sessions, signing out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from uuid import UUID

from regalia import reasons
from regalia.errors import AdminError
from regalia.web.door import Framed, json_answer, new_door, question_answer, script_words, see_other
from regalia.web.proposal_pages import open_count
from regalia.web.sessions import DOOR_COOKIE, SESSION_COOKIE, caller_of, removed_cookie

if TYPE_CHECKING:
    from regalia.ra.sign_in import Known
    from regalia.web.answers import Answer
    from regalia.web.door import Backing
    from regalia.web.visit import Visit

__all__ = ["ACCOUNT", "AccountPages"]

ACCOUNT: Final = "/account"


class AccountPages:
    """Each method answers one request of somebody who is signed in."""

    def __init__(self, backing: Backing) -> None:
        self._backing = backing

    def show(self, visit: Visit, known: Known) -> Answer:
        """Show the account."""
        person = known.administrator
        # What a passkey is asked is bound to the browser's door.
        _, cookies = new_door(self._backing, visit)
        values = {
            "account": person.name,
            "account_roles": ", ".join(sorted({grant.role.value for grant in known.grants})),
            "passkeys": person.passkeys,
            "subjects": person.subjects,
            "sessions": self._backing.sessions.sessions(known),
            "session": known.session.id,
            "password_set_at": person.password.set_at if person.password is not None else None,
            "fresh": known.fresh,
            "said": script_words(visit.reader.words),
            "waiting": open_count(self._backing, caller_of(known, visit.source)),
        }
        return self._backing.framed(visit, known, Framed("account.html", values, headers=cookies))

    def question(self, visit: Visit, known: Known) -> Answer:
        """Ask for another passkey. Raises `AdminError` AUTH-003."""
        _be_fresh(known)
        return question_answer(self._backing.passkeys.invitation(visit.door, _purpose(known), known.administrator))

    def add(self, visit: Visit, known: Known) -> Answer:
        """Judge and keep it. Raises `AdminError` AUTH-003, AUTH-005."""
        _be_fresh(known)
        given, label = visit.form.get("answer", ""), visit.form.get("label", "")
        registered = self._backing.passkeys.registered(visit.door, _purpose(known), given, label, visit.source)
        if registered.administrator_id != known.administrator.id:
            raise AdminError(reasons.PASSKEY_REFUSED, "it was made for another account")
        self._backing.passkeys.add(known.administrator, registered.passkey, visit.source)
        return json_answer(200, {"next": ACCOUNT})

    def remove(self, visit: Visit, known: Known) -> Answer:
        """Take one away; whoever signed in elsewhere does so anew (WEB-4). Raises `AdminError` AUTH-003, AUTH-017."""
        _be_fresh(known)
        try:
            credential_id = bytes.fromhex(visit.form.get("credential", ""))
        except ValueError:
            credential_id = b""
        self._backing.passkeys.remove(known.administrator, credential_id, visit.source)
        for session in self._backing.sessions.sessions(known):
            if session.id != known.session.id:
                self._backing.sessions.end(known, session.id, visit.source, "passkey removed")
        return see_other(ACCOUNT)

    def end(self, visit: Visit, known: Known) -> Answer:
        """End one of their sessions."""
        try:
            self._backing.sessions.end(known, UUID(visit.form.get("session", "")), visit.source, "ended by its owner")
        except ValueError:
            return see_other(ACCOUNT)
        return see_other(ACCOUNT)

    def sign_out(self, visit: Visit, known: Known) -> Answer:
        """End this session."""
        self._backing.sessions.end(known, known.session.id, visit.source, "signed out")
        return see_other("/sign-in", removed_cookie(SESSION_COOKIE), removed_cookie(DOOR_COOKIE))


def _purpose(known: Known) -> str:
    return f"session {known.session.id}"


def _be_fresh(known: Known) -> None:
    if not known.fresh:
        raise AdminError(reasons.AUTHENTICATION_OLD)
