"""What the core needs from the outside, as few and small protocols. Adapters live in `store`, `keys` and `app`.

Every method is plain `def`, safe to call from several threads, and each method that writes is exactly one durable
transaction that includes the events it is given (AUD-1): it returns after the commit or raises. A method raises
`UnavailableError` where the database or the key cannot be reached; a lost race is a return value, never an exception.
Every port has its fake in `tests/fakes.py`; adapter and fake pass the same contract tests in `tests/store`.
"""

from __future__ import annotations

from regalia.ports.administration import (
    Administrators,
    ApiTokens,
    KeptAnswer,
    KeptAnswers,
    Proposals,
    Sessions,
)
from regalia.ports.alerts import AlertFilter, Alerts, AlertSender, AlertTargets, Deliveries
from regalia.ports.audit import (
    AuditLog,
    CheckpointArchive,
    CheckpointCopy,
    Checkpoints,
    Forgotten,
    PersonalData,
    PseudonymKey,
    StoredRecord,
)
from regalia.ports.blocklists import BLOCKED_OCTETS, Blocklist, Blocklists, KeyHash
from regalia.ports.catalogue import Authorities, Catalogue, ChallengeFilter, Challenges
from regalia.ports.crls import CrlFiles, Crls, PublishedCrl, ReservedCrl, StreamedFile
from regalia.ports.hierarchy import Adopted, Hierarchies
from regalia.ports.inspection import Inspection, IssuedRecord
from regalia.ports.issuance import (
    Begun,
    CertificateFilter,
    Certificates,
    EnrolmentFilter,
    Enrolments,
    Issuance,
    SerialStatus,
)
from regalia.ports.keys import (
    ELSEWHERE,
    SOFTWARE,
    CaKey,
    CaKeys,
    Intents,
    IntentSigner,
    KeyRecord,
    KeyRecords,
    KeyStore,
    KeyVault,
    NewKey,
    PrivateKey,
    SealedSecret,
    Sealer,
    Wrapped,
    WrappedKey,
)
from regalia.ports.lists import COUNTED, Listed, Place, SearchIndex
from regalia.ports.ndes import HandOut, NdesPages
from regalia.ports.outgoing import MOST_OCTETS, Outgoing, OutgoingRequest, OutgoingResponse
from regalia.ports.outside import Clock, Entropy, Transcript
from regalia.ports.records import ChangeFeed, EventFilter, Events, Jobs, JobStatus, Probe
from regalia.ports.sign_in import NO_TRIES, SignIns, Tries
from regalia.ports.store import Store
from regalia.ports.succession import Holder, Successions

__all__ = [
    "BLOCKED_OCTETS",
    "COUNTED",
    "ELSEWHERE",
    "MOST_OCTETS",
    "NO_TRIES",
    "SOFTWARE",
    "Administrators",
    "Adopted",
    "AlertFilter",
    "AlertSender",
    "AlertTargets",
    "Alerts",
    "ApiTokens",
    "AuditLog",
    "Authorities",
    "Begun",
    "Blocklist",
    "Blocklists",
    "CaKey",
    "CaKeys",
    "Catalogue",
    "CertificateFilter",
    "Certificates",
    "ChallengeFilter",
    "Challenges",
    "ChangeFeed",
    "CheckpointArchive",
    "CheckpointCopy",
    "Checkpoints",
    "Clock",
    "CrlFiles",
    "Crls",
    "Deliveries",
    "EnrolmentFilter",
    "Enrolments",
    "Entropy",
    "EventFilter",
    "Events",
    "Forgotten",
    "HandOut",
    "Hierarchies",
    "Holder",
    "Inspection",
    "IntentSigner",
    "Intents",
    "Issuance",
    "IssuedRecord",
    "JobStatus",
    "Jobs",
    "KeptAnswer",
    "KeptAnswers",
    "KeyHash",
    "KeyRecord",
    "KeyRecords",
    "KeyStore",
    "KeyVault",
    "Listed",
    "NdesPages",
    "NewKey",
    "Outgoing",
    "OutgoingRequest",
    "OutgoingResponse",
    "PersonalData",
    "Place",
    "PrivateKey",
    "Probe",
    "Proposals",
    "PseudonymKey",
    "PublishedCrl",
    "ReservedCrl",
    "SealedSecret",
    "Sealer",
    "SearchIndex",
    "SerialStatus",
    "Sessions",
    "SignIns",
    "Store",
    "StoredRecord",
    "StreamedFile",
    "Successions",
    "Transcript",
    "Tries",
    "Wrapped",
    "WrappedKey",
]
