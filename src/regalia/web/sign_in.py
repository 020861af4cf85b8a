"""The administrators' door: `/sign-in`, `/set-up`, `/account`, `/proposals`, `/sign-out`, as ways of `web.face`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from regalia import reasons
from regalia.errors import AdminError
from regalia.web.account_pages import ACCOUNT, AccountPages
from regalia.web.face import Needs, Way
from regalia.web.proposal_pages import PROPOSALS, ProposalPages
from regalia.web.set_up_pages import SetUpPages
from regalia.web.sign_in_pages import SignInPages

if TYPE_CHECKING:
    from collections.abc import Callable

    from regalia.ra.sign_in import Known
    from regalia.web.answers import Answer
    from regalia.web.door import Backing
    from regalia.web.face import Ways
    from regalia.web.visit import Visit

__all__ = ["door_ways"]


def door_ways(backing: Backing) -> Ways:
    """List what the door has: path, method, what it needs, what answers."""
    pages, set_up = SignInPages(backing), SetUpPages(backing)
    account, proposals = AccountPages(backing), ProposalPages(backing)

    def door(call: Callable[[Visit], Answer], *, json: bool = False, slow: bool = False) -> Way:
        return Way(Needs.DOOR, lambda visit, _: call(visit), json, slow)

    def own(
        call: Callable[[Visit, Known], Answer], back: str = ACCOUNT, *, json: bool = False, asks: bool = False
    ) -> Way:
        def with_known(visit: Visit, known: Known | None) -> Answer:
            if known is None:
                raise AdminError(reasons.SESSION_OVER)
            return call(visit, known)

        return Way(Needs.SESSION, with_known, json, asks=asks, back=back)

    nothing, session = Needs.NOTHING, Needs.SESSION
    abroad = "/sign-in/oidc/{provider}"
    again = "/sign-in/again"
    return {
        "/sign-in": {"GET": Way(nothing, lambda visit, _: pages.show(visit, None))},
        "/sign-in/password": {"POST": Way(Needs.DOOR, pages.password, slow=True)},
        "/sign-in/passkey/question": {"POST": Way(Needs.DOOR, pages.question, json=True)},
        "/sign-in/passkey": {"POST": Way(Needs.DOOR, pages.passkey, json=True)},
        abroad: {"POST": Way(Needs.DOOR, pages.depart, abroad=True)},
        f"{abroad}/callback": {"GET": Way(nothing, pages.called_back)},
        f"{abroad}/arrive": {"GET": Way(nothing, lambda visit, _: pages.arrive(visit), abroad=True)},
        again: {"GET": Way(session, pages.show)},
        f"{again}/password": {"POST": Way(session, pages.password, slow=True)},
        f"{again}/passkey/question": {"POST": Way(session, pages.question, json=True)},
        f"{again}/passkey": {"POST": Way(session, pages.passkey, json=True)},
        f"{again}/oidc/{{provider}}": {"POST": Way(session, pages.depart, abroad=True)},
        "/set-up": {"GET": Way(nothing, lambda visit, _: set_up.show(visit)), "POST": door(set_up.open)},
        "/set-up/passkey/question": {"POST": door(set_up.question, json=True)},
        "/set-up/passkey": {"POST": door(set_up.passkey, json=True)},
        "/set-up/factor": {"POST": door(set_up.factor)},
        "/set-up/password": {"POST": door(set_up.password, slow=True)},
        ACCOUNT: {"GET": own(account.show, asks=True)},
        f"{ACCOUNT}/passkey/question": {"POST": own(account.question, json=True)},
        f"{ACCOUNT}/passkey": {"POST": own(account.add, json=True)},
        f"{ACCOUNT}/passkey/remove": {"POST": own(account.remove)},
        f"{ACCOUNT}/session/end": {"POST": own(account.end)},
        PROPOSALS: {"GET": own(proposals.show, PROPOSALS, asks=True)},
        f"{PROPOSALS}/approve": {"POST": own(proposals.approve, PROPOSALS, asks=True)},
        f"{PROPOSALS}/refuse": {"POST": own(proposals.refuse, PROPOSALS, asks=True)},
        f"{PROPOSALS}/withdraw": {"POST": own(proposals.withdraw, PROPOSALS, asks=True)},
        "/sign-out": {"POST": own(account.sign_out)},
    }
