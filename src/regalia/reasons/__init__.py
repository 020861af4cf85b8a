"""The registry of reasons: each refusal the product knows, with its id.

One module for each family of ids. A new reason is one constant there and one page under `docs/errors/`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from regalia.reasons import admin, alert, api, client, connector, ndes, ra, scep, service, sign_in
from regalia.reasons.admin import *  # noqa: F403 - who refuses names a reason, not the family it belongs to
from regalia.reasons.alert import *  # noqa: F403 - the same
from regalia.reasons.api import *  # noqa: F403 - the same
from regalia.reasons.client import *  # noqa: F403 - the same
from regalia.reasons.connector import *  # noqa: F403 - the same
from regalia.reasons.ndes import *  # noqa: F403 - the same
from regalia.reasons.ra import *  # noqa: F403 - the same
from regalia.reasons.scep import *  # noqa: F403 - the same
from regalia.reasons.service import *  # noqa: F403 - the same
from regalia.reasons.sign_in import *  # noqa: F403 - the same

if TYPE_CHECKING:
    from regalia.errors import Reason

ALL: tuple[Reason, ...] = tuple(
    getattr(family, name)
    for family in (scep, ra, ndes, service, admin, alert, api, client, sign_in, connector)
    for name in family.__all__
)

_BY_ID = {reason.id: reason for reason in ALL}


def by_id(reason_id: str) -> Reason | None:
    """Find a reason by its id; None where there is none."""
    return _BY_ID.get(reason_id)
