"""All ports of one database together."""

from __future__ import annotations

from typing import Protocol

from regalia.ports.administration import Administrators, ApiTokens, KeptAnswers, Proposals, Sessions
from regalia.ports.alerts import Alerts, AlertTargets, Deliveries
from regalia.ports.audit import AuditLog, Checkpoints, PersonalData
from regalia.ports.blocklists import Blocklists
from regalia.ports.catalogue import Authorities, Catalogue, Challenges
from regalia.ports.crls import Crls
from regalia.ports.figures import Counting, Figures
from regalia.ports.fleet import FleetStore
from regalia.ports.hierarchy import Hierarchies
from regalia.ports.inspection import Inspection
from regalia.ports.issuance import Certificates, Enrolments, Issuance
from regalia.ports.keys import Intents, KeyRecords, KeyVault, Wrapped
from regalia.ports.lists import SearchIndex
from regalia.ports.ndes import NdesPages
from regalia.ports.records import Events, Jobs, Probe
from regalia.ports.sign_in import SignIns
from regalia.ports.succession import Successions

__all__ = [
    "Store",
]


class Store(
    Authorities,
    Hierarchies,
    Successions,
    Blocklists,
    Catalogue,
    Challenges,
    NdesPages,
    Enrolments,
    Issuance,
    Certificates,
    Inspection,
    SearchIndex,
    Crls,
    Events,
    AuditLog,
    Checkpoints,
    PersonalData,
    Jobs,
    Probe,
    Alerts,
    AlertTargets,
    Deliveries,
    Administrators,
    Sessions,
    ApiTokens,
    Proposals,
    KeptAnswers,
    SignIns,
    KeyVault,
    Wrapped,
    KeyRecords,
    Intents,
    FleetStore,
    Counting,
    Figures,
    Protocol,
):
    """All of the above over one database. Take the smallest port that you need; only `app` names this one."""

    def check(self) -> str:
        """Raise `UnavailableError` where the database does not answer; else its kind and version, for people."""
