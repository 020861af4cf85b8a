"""Signing in, and proving anew who one is: the page, and what its three ways are answered."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode

from regalia import reasons
from regalia.errors import AdminError
from regalia.ra.oidc import TRIP_LIFE
from regalia.web.answers import Answer
from regalia.web.door import door_page, entered, onward, question_answer, refused_page
from regalia.web.sessions import TRIP_COOKIE, form_token, kept_cookie, removed_cookie
from regalia.web.visit import local_path

if TYPE_CHECKING:
    from regalia.ra.sign_in import Known, Opened, Proof
    from regalia.web.door import Backing
    from regalia.web.visit import Visit

__all__ = ["SignInPages"]

_BROUGHT = ("code", "state", "iss", "error")
"""What a provider's answer may hold that is looked at."""


class SignInPages:
    """Each method answers one request; `known` is who is signed in, where they prove it anew."""

    def __init__(self, backing: Backing) -> None:
        self._backing = backing

    def show(self, visit: Visit, known: Known | None, error: AdminError | None = None) -> Answer:
        """Show the page; with what went wrong, if something did."""
        words, following = visit.reader.words, local_path(visit.query.get("next", "") or visit.form.get("next", ""))
        values = {
            "title": words("Confirm it is you") if known is not None else words("Sign in to Regalia"),
            "again": known.administrator.name if known is not None else "",
            "base": "/sign-in/again" if known is not None else "/sign-in",
            "providers": self._backing.oidc.providers(),
            "next": following,
            "opened": error is not None and visit.path.endswith("/password"),
        }
        if known is not None:
            # These forms are the session's: only its browser may prove it anew.
            values["token"] = form_token(visit.session)
        return door_page(self._backing, visit, "sign_in.html", error=error, **values)

    # --- a password -------------------------------------------------------------------------------------------------

    def password(self, visit: Visit, known: Known | None) -> Answer:
        """Judge account, password and code."""
        form = visit.form
        try:
            proof = self._backing.break_glass.sign_in(
                form.get("account", ""), form.get("password", ""), form.get("code", ""), visit.source
            )
            return self._in(visit, known, proof)
        except AdminError as error:
            return self.show(visit, known, error)

    # --- a passkey --------------------------------------------------------------------------------------------------

    def question(self, visit: Visit, known: Known | None) -> Answer:
        """Ask for a passkey."""
        del known
        return question_answer(self._backing.passkeys.question(visit.door))

    def passkey(self, visit: Visit, known: Known | None) -> Answer:
        """Judge what it answered."""
        proof = self._backing.passkeys.answer(visit.door, visit.form.get("answer", ""), visit.source)
        return self._in(visit, known, proof)

    # --- an identity provider ---------------------------------------------------------------------------------------

    def depart(self, visit: Visit, known: Known | None) -> Answer:
        """Send the browser to a provider."""
        key = visit.place["provider"]
        following = local_path(visit.form.get("next", ""))
        again = str(known.session.id) if known is not None else ""
        departure = self._backing.oidc.depart(key, following, visit.source, again=again)
        trip = kept_cookie(TRIP_COOKIE, departure.trip, seconds=int(TRIP_LIFE.total_seconds()))
        words = visit.reader.words
        title, lead = words("On to your identity provider"), words("You sign in there and come back.")
        return onward(self._backing, visit.reader, title, lead, departure.url, trip)

    def called_back(self, visit: Visit, known: Known | None) -> Answer:
        """Take a browser that a provider sent back to where our cookies come with it.

        Nothing is judged here: a request that another site caused brings none of our cookies (SameSite=Strict).
        """
        del known
        key = visit.place["provider"]
        if key not in dict(self._backing.oidc.providers()):
            raise AdminError(reasons.PROVIDER_REFUSED, "there is no such provider")
        brought = {name: visit.query[name] for name in _BROUGHT if name in visit.query}
        url = f"/sign-in/oidc/{key}/arrive?{urlencode(brought)}"
        words = visit.reader.words
        title = words("Back from your identity provider")
        return onward(self._backing, visit.reader, title, words("One moment."), url)

    def arrive(self, visit: Visit) -> Answer:
        """Judge what the browser brought."""
        key = visit.place["provider"]
        # Only from who brought it: another site's link must not end a sign-in that is under way.
        gone = (removed_cookie(TRIP_COOKIE),) if visit.trip else ()
        try:
            arrival = self._backing.oidc.arrive(key, visit.trip, visit.query, visit.source)
            known = self._beginner(visit, arrival.again) if arrival.again else None
            given = self._in(visit, known, arrival.proof, arrival.wanted)
        except AdminError as error:
            back = visit.reader.words("To the sign-in page")
            return refused_page(self._backing, visit.reader, error, "/sign-in", back, *gone)
        return Answer(given.status, (*given.headers, *gone), given.body)

    # --- in ---------------------------------------------------------------------------------------------------------

    def _beginner(self, visit: Visit, session_id: str) -> Known:
        known = self._backing.sessions.known(visit.session)
        if str(known.session.id) != session_id:
            raise self._backing.doorkeeper.refusal(
                reasons.ROUND_TRIP_REFUSED, visit.source, "another session began it", about=known.administrator.name
            )
        return known

    def _in(self, visit: Visit, known: Known | None, proof: Proof, following: str = "") -> Answer:
        sessions, name = self._backing.sessions, proof.administrator.name
        try:
            opened: Opened = (
                sessions.open(proof, visit.source, before=visit.session)
                if known is None
                else sessions.prove(known, proof, visit.source)
            )
        except AdminError as error:
            # Who proved well who they are and is not let in is on record, too (AUD-1).
            raise self._backing.doorkeeper.refusal(error.reason, visit.source, error.detail, about=name) from error
        following = local_path(following or visit.form.get("next", ""))
        return entered(opened, following, as_json=visit.is_json)
