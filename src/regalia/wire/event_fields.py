"""Which details of an event stand in its record in clear, for as long as there is a log (AUD-6, PRIV-1).

By action. What is not in this list is written under a pseudonym and forgotten when its time is over, so that a new
field is safe until somebody has thought about it: here stands what names no person, no device and no address.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from regalia.model import Action

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["KEPT"]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_CERTIFICATE = "kind authority key_sha256 profile unverified device_id user_id enrolment"
_REFUSED = "title message enrolment connector code"

KEPT: Final[Mapping[Action, frozenset[str]]] = {
    Action.HOME_INITIALISED: _words("url"),
    Action.NODE_JOINED: _words("node url"),
    Action.SERVER_STARTED: _words("listeners"),
    Action.SERVER_STOPPED: _words("listeners"),
    Action.DATABASE_UPGRADED: _words("before after"),
    # A signer's caller is a process or a host of ours, which the signer was told to let in.
    Action.KEY_GENERATED: _words("kind scope key_sha256 caller"),
    Action.KEY_MOVED: _words("authority file directory shares"),
    Action.AUTHORITY_CREATED: _words("kind parent key_kind subject sha256 not_after"),
    Action.AUTHORITY_REVOKED: _words("reason note"),
    Action.CREDENTIAL_RENEWED: _words("purpose authority replaces not_after"),
    Action.GROUP_CREATED: _words("authority debug ca_as_ra"),
    Action.PROFILE_CREATED: _words("version document acknowledged warnings"),
    Action.ENDPOINT_CREATED: _words(
        "profile authoriser connector names_by include_root check_signing_time legacy non_rsa protocol"
    ),
    Action.ENDPOINT_DISABLED: _words(""),
    Action.ENDPOINT_SECRET_ROTATED: _words("challenge secret former_until"),
    Action.CHALLENGE_CREATED: _words("endpoint expires_at bits"),
    Action.CHALLENGE_REVOKED: _words(""),
    Action.NDES_PAGE_SET: _words(
        "password digits encoding cache per_minute networks certsrv allow_binding acknowledged"
    ),
    Action.NDES_PAGE_REMOVED: _words(""),
    Action.NDES_REFUSED: _words("title message"),
    Action.ENROLMENT_PENDING: _words("endpoint key_sha256 message why"),
    Action.ENROLMENT_APPROVED: _words("endpoint key_sha256 since"),
    Action.ENROLMENT_DENIED: _words("endpoint key_sha256 since"),
    Action.ENROLMENT_REFUSED: _words(_REFUSED),
    Action.REFUSALS_FOLDED: _words("count reasons since"),
    Action.CERTIFICATE_INTENT: _words(f"{_CERTIFICATE} tbs_sha256"),
    Action.CERTIFICATE_ISSUED: _words(_CERTIFICATE),
    Action.CERTIFICATE_ABANDONED: _words(f"{_CERTIFICATE} why"),
    Action.CERTIFICATE_REVOKED: _words(f"{_CERTIFICATE} reason cause"),
    Action.CERTIFICATE_RETRIEVED: _words("endpoint authority message"),
    Action.CERTIFICATES_AUDITED: _words("from certificates findings rules sampled"),
    Action.CERTIFICATE_DOUBTED: _words("rule kind authority"),
    Action.BLOCKLIST_IMPORTED: _words("keys format source_sha256"),
    Action.CRL_PUBLISHED: _words("number entries octets sha256 next_update list base"),
    Action.CRL_RETRIEVED: _words("endpoint asked number message"),
    Action.LOG_EXPORTED: _words("since until group format after"),
    Action.PERSONAL_FORGOTTEN: _words("before events sources enrolments challenges"),
    Action.LEGACY_USED: _words("algorithms message"),
    Action.HOME_RESTORED: _words(
        "made_at from_node node url schema rows revoked_again not_on_record challenges_closed"
    ),
    Action.BACKUP_CREATED: _words("sha256 octets recipient_sha256"),
    Action.KEY_COMPROMISED: _words(""),
    Action.KEY_DESTROYED: _words("why caller"),
    Action.KEY_IMPORTED: _words("origin key_sha256 directory caller"),
    Action.MASTER_KEY_ROTATED: _words("key file"),
    Action.SIGNER_KEY_SEPARATED: _words("file"),
    Action.KEYS_REWRAPPED: _words("keys secrets on_media"),
    Action.AUTHORITY_ACTIVATED: _words("replaces why resumes"),
    Action.AUTHORITY_RETIRED: _words(""),
    Action.AUTHORITY_REQUESTED: _words("parent key_kind key_sha256 subject"),
    Action.AUTHORITY_REQUEST_SIGNED: _words("csr_sha256"),
    Action.AUTHORITY_ACCEPTED: _words("kind parent key_kind subject sha256 not_after"),
    Action.AUTHORITY_IMPORTED: _words("kind parent key_kind subject sha256 not_after crl_number revoked"),
    Action.AUTHORITY_CROSSED: _words("by subject not_after"),
    # Who witnessed a ceremony is accountable, as who commanded it.
    Action.CEREMONY_HELD: _words("title file_sha256 witnesses steps transcript_hash"),
    Action.GROUP_SUSPENDED: _words("why authority"),
    Action.GROUP_RESUMED: _words("suspended authority"),
    Action.CERTIFICATE_HELD: _words(f"{_CERTIFICATE} cause"),
    Action.CERTIFICATE_RELEASED: _words(_CERTIFICATE),
    Action.BLOCKLIST_REMOVED: _words(""),
    Action.CRL_PLANNED: _words("shards delta full fleet"),
    Action.CRL_IMPORTED: _words("number entries sha256 next_update"),
    Action.LIMIT_REACHED: _words("title"),
    # Of what an alert says, only what is of fixed words: its summary may quote an address.
    Action.ALERT_OPENED: _words("condition severity"),
    Action.ALERT_CLOSED: _words("condition severity"),
    Action.ALERT_ACKNOWLEDGED: _words("condition severity"),
    Action.ALERT_TARGET_CREATED: _words("kind"),
    Action.ALERT_TARGET_REMOVED: _words("kind"),
    Action.ALERT_TARGET_TESTED: _words("kind delivery error"),
    Action.DELIVERY_DEAD: _words("target occasion attempts error"),
    Action.DELIVERY_REPLAYED: _words("target occasion"),
    Action.JOB_WANTED: _words(""),
    # Who signs in is accountable by name, as who commands is.
    Action.ADMINISTRATOR_CREATED: _words("id grants"),
    Action.ADMINISTRATOR_GRANTED: _words("grants before"),
    Action.ADMINISTRATOR_UNGRANTED: _words("grants before"),
    Action.ADMINISTRATOR_DISABLED: _words("sessions"),
    Action.ADMINISTRATOR_ENABLED: _words(""),
    # Who somebody is elsewhere is theirs; where, is ours.
    Action.IDENTITY_LINKED: _words("issuer"),
    Action.IDENTITY_UNLINKED: _words("issuer"),
    Action.ACCESS_REVIEWED: _words("administrators tokens"),
    Action.RIGHT_REFUSED: _words("right title"),
    Action.TOKEN_CREATED: _words("id owner grants expires_at"),
    Action.TOKEN_REVOKED: _words("id owner"),
    Action.TOKEN_REFUSED: _words("id title"),
    # What was asked in full may name devices; who proposed is accountable, as who approved.
    Action.PROPOSAL_MADE: _words("verb expires_at"),
    Action.PROPOSAL_APPROVED: _words("verb proposed_by"),
    Action.PROPOSAL_DONE: _words("verb proposed_by approved_by"),
    Action.PROPOSAL_REFUSED: _words("verb proposed_by"),
    Action.PROPOSAL_WITHDRAWN: _words("verb proposed_by"),
    Action.PROPOSAL_EXPIRED: _words("verb proposed_by"),
    # A device's and a user's ids in their system are theirs; a state says nothing of whom.
    Action.CONNECTOR_CREATED: _words("kind settings secret_set"),
    Action.CONNECTOR_CHANGED: _words("kind settings secret_set"),
    Action.CONNECTOR_DISABLED: _words("kind"),
    Action.CONNECTOR_ENABLED: _words("kind"),
    Action.CONNECTOR_TOLD: _words("connector enrolment attempts"),
    Action.CONNECTOR_REFUSED: _words("connector enrolment attempts code"),
    Action.HOOK_RECEIVED: _words("connector receipt event"),
    Action.HOOK_REFUSED: _words("title"),
    Action.DEVICE_ADDED: _words("connector"),
    Action.DEVICE_CHANGED: _words("connector state former"),
    Action.DEVICE_MOVED: _words("connector former_group"),
    Action.DEVICE_ABSENT: _words("connector why"),
    Action.USER_CHANGED: _words("connector state former"),
    Action.SWEEP_ENDED: _words("connector full seen absent why"),
    Action.INVENTORY_IMPORTED: _words("devices users partial"),
    Action.FOLLOW_STOPPED: _words("digest ends live why"),
    Action.FOLLOW_LET_GO: _words("digest by"),
    Action.FOLLOW_CARRIED_OUT: _words("digest revoked held released"),
    Action.ENDPOINT_CHANGED: _words("authoriser former_authoriser names_by connector former_connector"),
    Action.GROUP_FOLLOW_SET: _words("document former"),
    Action.SIGNED_IN: _words("kind session ends_at provider claimed"),
    Action.SIGN_IN_REFUSED: _words("title"),
    Action.SIGNED_IN_AGAIN: _words("kind session"),
    Action.SIGNED_OUT: _words("session why"),
    Action.SETUP_LINK_CREATED: _words("expires_at rescue"),
    Action.SETUP_LINK_USED: _words("with replaced"),
    Action.PASSKEY_ADDED: _words("credential"),
    Action.PASSKEY_REMOVED: _words("credential"),
    Action.PASSWORD_SET: _words(""),
}
"""Free text of administrators (`note`, `detail`) may name anybody, and so is not in it but for authorities."""
