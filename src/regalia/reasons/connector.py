"""Connectors: what a system outside refused, what could not be asked of it, and what is wrong with its settings."""

from __future__ import annotations

from regalia.errors import Reason, Stage

__all__ = [
    "AUTHORISER_UNFIT",
    "CERTIFICATE_FOLLOWS",
    "CONNECTOR_AWAY",
    "CONNECTOR_BUSY",
    "CONNECTOR_CERTIFICATE_REFUSED",
    "CONNECTOR_CHALLENGE_FOREIGN",
    "CONNECTOR_CHALLENGE_FORGED",
    "CONNECTOR_CHALLENGE_TIME",
    "CONNECTOR_DISABLED",
    "CONNECTOR_FORBIDDEN",
    "CONNECTOR_GARBLED",
    "CONNECTOR_INTERCEPTED",
    "CONNECTOR_KEY_FOREIGN",
    "CONNECTOR_KIND_UNKNOWN",
    "CONNECTOR_MISSING",
    "CONNECTOR_NOT_ASSIGNED",
    "CONNECTOR_OBJECT_UNKNOWN",
    "CONNECTOR_REFUSED",
    "CONNECTOR_REQUEST_DIFFERS",
    "CONNECTOR_REQUEST_UNREAD",
    "CONNECTOR_SECRET_REFUSED",
    "CONNECTOR_SERVICE_MISSING",
    "CONNECTOR_SETTINGS_REFUSED",
    "CONNECTOR_SIGN_IN",
    "CONNECTOR_STATE",
    "CONNECTOR_UNFIT",
    "CONNECTOR_UNREADABLE",
    "CONNECTOR_UNTRUSTED",
    "DEVICE_CHANGED",
    "FOLLOW_MEMBERSHIP_UNREAD",
    "STOP_OUTDATED",
]

# --- The system says no: final for this request ----------------------------------------------------------------------
CONNECTOR_CHALLENGE_FOREIGN = Reason(
    "CON-001",
    Stage.EVIDENCE,
    "the challenge is none that the connector's system made",
    "See that the device's profile comes from this system and tenant, and that its URL is this connector's endpoint.",
)
CONNECTOR_CHALLENGE_TIME = Reason(
    "CON-002",
    Stage.EVIDENCE,
    "the connector's challenge is out of its time",
    "The device fetches a fresh one at its next check-in; look at clocks if it stays so.",
)
CONNECTOR_REQUEST_DIFFERS = Reason(
    "CON-003",
    Stage.EVIDENCE,
    "the request is not what the connector's profile asks for",
    "Compare the profile in the MDM with what the device asked for, shown by `regalia enrolment show`.",
)
CONNECTOR_KEY_FOREIGN = Reason(
    "CON-004",
    Stage.EVIDENCE,
    "the request's key or signer is not the one that the connector's system expects",
    "See the system's code in the detail. It may be an attempt with a challenge that was taken from another device.",
)
CONNECTOR_NOT_ASSIGNED = Reason(
    "CON-005",
    Stage.EVIDENCE,
    "the profile is no longer assigned to this device",
    "Assign the MDM's SCEP profile to a group that has the device, if it is meant to have a certificate.",
)
CONNECTOR_OBJECT_UNKNOWN = Reason(
    "CON-006",
    Stage.EVIDENCE,
    "the connector's system does not know the device, user or request of the challenge",
    "They may have been deleted meanwhile; have the device enrolled with the MDM again.",
)
CONNECTOR_CHALLENGE_FORGED = Reason(
    "CON-007",
    Stage.EVIDENCE,
    "the challenge's signature is wrong",
    "Somebody altered or made it: look at where the request came from. A device's own challenge is never signed wrongly.",
)
CONNECTOR_REQUEST_UNREAD = Reason(
    "CON-008",
    Stage.EVIDENCE,
    "the connector's system cannot read the request",
    "See whether all devices are affected or one: the latter makes requests that its MDM does not understand.",
)
CONNECTOR_REFUSED = Reason(
    "CON-009",
    Stage.EVIDENCE,
    "the connector's system refused with a code that is not known here",
    "Look the code in the detail up with the system's maker; a later version of Regalia may explain it.",
)
CONNECTOR_CERTIFICATE_REFUSED = Reason(
    "CON-010",
    Stage.EVIDENCE,
    "the connector's system did not take note of the certificate",
    "It was revoked and not handed out. See the system's code in the detail.",
)

# --- No verdict: 503, never FAILURE, never a certificate --------------------------------------------------------------
CONNECTOR_AWAY = Reason(
    "CON-020",
    Stage.SERVICE,
    "the connector's system cannot be reached",
    "See what the detail names, and that this machine reaches the system; devices retry by themselves.",
)
CONNECTOR_BUSY = Reason(
    "CON-021",
    Stage.SERVICE,
    "the connector's system asks for patience",
    "Devices retry by themselves. If it stays so, find out what else asks the same system so often.",
)
CONNECTOR_GARBLED = Reason(
    "CON-022",
    Stage.SERVICE,
    "the connector's system answered what is no answer",
    "See what stands between this server and the system, a proxy or a wrong base URL; the detail has the system's ids of the call.",
)
CONNECTOR_SIGN_IN = Reason(
    "CON-023",
    Stage.SERVICE,
    "the connector's system does not accept its credential",
    "See the code in the detail; put a new secret or certificate into the connector.",
)
CONNECTOR_FORBIDDEN = Reason(
    "CON-024",
    Stage.SERVICE,
    "the connector lacks a permission",
    "Check the connector: it tries each permission and names the one that is missing.",
)
CONNECTOR_SERVICE_MISSING = Reason(
    "CON-025",
    Stage.SERVICE,
    "the connector's system does not offer its service to this application",
    "See that the application has all permissions with admin consent, and that the tenant has a licence of the service.",
)
CONNECTOR_UNTRUSTED = Reason(
    "CON-026",
    Stage.SERVICE,
    "the connector's system shows a certificate that is not trusted here",
    "If a proxy on the way opens TLS, have it leave these hosts alone, or name its authority in `outgoing.ca_file`.",
)
CONNECTOR_INTERCEPTED = Reason(
    "CON-027",
    Stage.SERVICE,
    "something on the way answers in the place of the connector's system",
    "Let a proxy or web filter pass this server's calls to the hosts in the connector's settings; Regalia uses no proxy.",
)

# --- Setting up -------------------------------------------------------------------------------------------------------
CONNECTOR_KIND_UNKNOWN = Reason(
    "CON-030",
    Stage.ADMIN,
    "there is no such kind of connector",
    "Choose one of the kinds that the detail lists.",
)
CONNECTOR_SETTINGS_REFUSED = Reason(
    "CON-031",
    Stage.ADMIN,
    "the connector's settings are not usable",
    "Correct the setting that the detail names.",
)
CONNECTOR_SECRET_REFUSED = Reason(
    "CON-032",
    Stage.ADMIN,
    "the connector's secret is not usable",
    "Give the client secret's value, or PEM with an RSA private key and its certificate, as the settings say.",
)

# --- What administrators ask ---------------------------------------------------------------------------------------------
CONNECTOR_MISSING = Reason(
    "CON-060",
    Stage.SERVICE,
    "there is no such connector",
    "Name one that `regalia connector list` shows; an endpoint's is in `regalia endpoint show`.",
)
CONNECTOR_DISABLED = Reason(
    "CON-061",
    Stage.SERVICE,
    "the connector is disabled",
    "Enable it with `regalia connector enable`, or give the endpoint another authoriser.",
)
CONNECTOR_UNREADABLE = Reason(
    "CON-062",
    Stage.SERVICE,
    "the connector's secret or settings cannot be read",
    "Set it anew with `regalia connector set-secret`.",
)
CONNECTOR_STATE = Reason(
    "CON-063",
    Stage.ADMIN,
    "the connector is not in the state that this needs",
    "See `regalia connector show`; somebody may just have changed it.",
)
CONNECTOR_UNFIT = Reason(
    "CON-064",
    Stage.ADMIN,
    "the connector cannot do what is asked of it",
    "See `regalia connector kinds` for what each kind can do, and choose another one.",
)
AUTHORISER_UNFIT = Reason(
    "CON-065",
    Stage.ADMIN,
    "authoriser and connector do not go together",
    "Give `--connector NAME` with the authoriser `connector`, and with no other one.",
)
FOLLOW_MEMBERSHIP_UNREAD = Reason(
    "CON-066",
    Stage.ADMIN,
    "a rule asks for a group that no connector reads",
    "Add the group's id to the connector's setting `groups`, let it sweep, then set the rule.",
)
DEVICE_CHANGED = Reason(
    "CON-067",
    Stage.ADMIN,
    "the device has just changed",
    "Look at it again with `regalia device show`, and repeat.",
)
STOP_OUTDATED = Reason(
    "CON-068",
    Stage.ADMIN,
    "the plan that was stopped is another one now",
    "See `regalia device stops` for what would be done now.",
)
CERTIFICATE_FOLLOWS = Reason(
    "CON-069",
    Stage.ADMIN,
    "what the certificate is on hold for has not ended",
    "Mend it in the connector's system, or change the group's rules: the hold ends by itself with its last cause.",
)
