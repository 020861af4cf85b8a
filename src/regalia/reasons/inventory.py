"""Inventories that are brought to us: whom they do not know, and files that cannot be read."""

from __future__ import annotations

from regalia.errors import Reason, Stage

__all__ = ["INVENTORY_CHALLENGE", "INVENTORY_FILE_REFUSED", "INVENTORY_UNMATCHED"]

INVENTORY_CHALLENGE = Reason(
    "CON-075",
    Stage.EVIDENCE,
    "the request does not have the challenge of the inventory's profile",
    "Compare the challenge in the devices' profile with the connector's secret; setting a new one ends the old one.",
)
INVENTORY_UNMATCHED = Reason(
    "CON-076",
    Stage.EVIDENCE,
    "no device of the inventory is the one that the request names",
    "See `regalia device list`, and where the profile puts the device's serial number or id.",
)
INVENTORY_FILE_REFUSED = Reason(
    "CON-077",
    Stage.ADMIN,
    "the inventory's file cannot be read",
    "Mend the lines that are named; nothing of the file was taken.",
)
