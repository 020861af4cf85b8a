"""Refusals at the administrators' door: sign-in, sessions, set-up links, identity providers."""

from __future__ import annotations

from regalia.errors import Reason, Stage

__all__ = [
    "ACCOUNT_DISABLED",
    "ACCOUNT_NAME_REFUSED",
    "AUTHENTICATION_OLD",
    "FOREIGN_REQUEST",
    "IDENTITY_UNKNOWN",
    "ID_TOKEN_REFUSED",
    "LAST_WAY_IN",
    "PASSKEY_COUNTER",
    "PASSKEY_REFUSED",
    "PASSWORD_REFUSED",
    "PROVIDER_REFUSED",
    "PROVIDER_UNREACHABLE",
    "ROUND_TRIP_REFUSED",
    "SESSION_OVER",
    "SETUP_LINK_REFUSED",
    "SIGN_IN_FAILED",
    "SIGN_IN_LATER",
]

SIGN_IN_FAILED = Reason(
    "AUTH-001",
    Stage.ADMIN,
    "account, password or code is wrong",
    "Try again with the present code of the authenticator; `regalia admin rescue NAME` on the machine lets somebody in who lost either.",
)
SESSION_OVER = Reason(
    "AUTH-002",
    Stage.ADMIN,
    "the session has ended",
    "Sign in again. Sessions end when they are not used, after eight hours, and when credentials or roles change.",
)
AUTHENTICATION_OLD = Reason(
    "AUTH-003",
    Stage.ADMIN,
    "this needs somebody who proved who they are within the last five minutes",
    "Confirm it is you on the page that asks, then repeat what you did.",
)
FOREIGN_REQUEST = Reason(
    "AUTH-004",
    Stage.ADMIN,
    "the request did not come from a page of this Regalia",
    "Open the page again under the configured address and repeat it. Scripts use a token, not a browser's session.",
)
PASSKEY_REFUSED = Reason(
    "AUTH-005",
    Stage.ADMIN,
    "the passkey's answer is not valid",
    "Use a passkey that was registered here, under the address that admin.url names, and confirm it with finger, face or PIN.",
)
PASSKEY_COUNTER = Reason(
    "AUTH-006",
    Stage.ADMIN,
    "the passkey's counter did not go forward: there may be a copy of it",
    "Remove the passkey and register another one; find out who else had the authenticator.",
)
SIGN_IN_LATER = Reason(
    "AUTH-007",
    Stage.LIMIT,
    "too many failed sign-ins of this account or from this address",
    "Wait as long as the answer says, or use a passkey. If it was not you, somebody is guessing.",
)
SETUP_LINK_REFUSED = Reason(
    "AUTH-008",
    Stage.ADMIN,
    "the set-up link is unknown, used or expired",
    "Make another one on the machine: `regalia admin setup-link` for the first administrator, `regalia admin rescue NAME` for others.",
)
ACCOUNT_DISABLED = Reason(
    "AUTH-009",
    Stage.ADMIN,
    "the administrator is disabled",
    "Another administrator can enable the account again.",
)
PROVIDER_REFUSED = Reason(
    "AUTH-010",
    Stage.ADMIN,
    "the identity provider refused the sign-in, or answered something that cannot be used",
    "Read the event's detail, and the provider's own log of sign-ins.",
)
ID_TOKEN_REFUSED = Reason(
    "AUTH-011",
    Stage.ADMIN,
    "the identity provider's token is not valid",
    "Compare issuer and client id in admin.oidc with the provider's, and both clocks; otherwise take it for an attack.",
)
IDENTITY_UNKNOWN = Reason(
    "AUTH-012",
    Stage.ADMIN,
    "nobody here is linked to this identity, and none of its claims gives a role",
    "An administrator links the identity, or maps a claim value to a role in admin.oidc.",
)
PASSWORD_REFUSED = Reason(
    "AUTH-013",
    Stage.ADMIN,
    "the new password or the code of the new authenticator is not accepted",
    "Give at least 14 characters of which 8 differ, twice the same, and the code that the authenticator shows now.",
)
ROUND_TRIP_REFUSED = Reason(
    "AUTH-014",
    Stage.ADMIN,
    "the answer does not belong to a sign-in that this browser began",
    "Begin again at the sign-in page. What is older than ten minutes, or was used once, is not taken.",
)
PROVIDER_UNREACHABLE = Reason(
    "AUTH-015",
    Stage.ADMIN,
    "the identity provider cannot be reached",
    "Look at network, DNS and the provider's state; sign in with a passkey meanwhile.",
)
ACCOUNT_NAME_REFUSED = Reason(
    "AUTH-016",
    Stage.ADMIN,
    "the account name is not possible or taken",
    "Give 1 to 40 small letters, digits and hyphens, beginning with a letter.",
)
LAST_WAY_IN = Reason(
    "AUTH-017",
    Stage.ADMIN,
    "this is the last way in of this account",
    "Register another passkey first.",
)
