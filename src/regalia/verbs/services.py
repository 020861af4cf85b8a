"""The services that verbs use, by the names that `app.App` gives them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from regalia.ca.authority import Ceremony
    from regalia.ca.carried_crl import CrlImporter
    from regalia.ca.crl import CrlPublisher
    from regalia.ca.hierarchy import Hierarchy
    from regalia.ca.importing import Importer
    from regalia.ca.rollover import Rollover
    from regalia.ca.status import OcspResponder
    from regalia.ca.urls import Urls
    from regalia.model.connector import Connector
    from regalia.ports import CheckpointArchive, Clock, CrlFiles, Entropy, KeyStore, Store, Transcript
    from regalia.ports.connectors import Links
    from regalia.ra.administration import AdminDesk
    from regalia.ra.alerts import AlertDesk
    from regalia.ra.approval import ApprovalDesk
    from regalia.ra.challenges import ChallengeDesk
    from regalia.ra.checkpoints import CheckpointDesk
    from regalia.ra.connectors import ConnectorDesk
    from regalia.ra.containment import Containment
    from regalia.ra.ndes_pages import NdesDesk
    from regalia.ra.order import OrderDesk
    from regalia.ra.personal import PersonalDesk
    from regalia.ra.proposals import ProposalDesk
    from regalia.ra.protected import ProtectedNames
    from regalia.ra.registry import Registry
    from regalia.ra.tokens import TokenDesk

__all__ = ["Practice", "Services"]


@dataclass(frozen=True, slots=True)
class Practice:
    """What the settings of an installation say, as far as verbs tell it or go by it."""

    listen: str
    listen_tls: str | None
    admin_listen: str
    admin_url: str
    """`https://HOST[:PORT]` that administrators' browsers use."""
    key_store: str
    """`software` or `pkcs11`: where new keys of authorities are made."""
    master_key_beside: bool
    """Whether the master key lies in the home."""
    crl_days: int
    crl_check_seconds: int
    crl_largest_octets: int
    ocsp_good_seconds: int
    pending_days: int
    ra_overlap_days: int
    personal_days: int
    pseudonym_days: int


class Services(Protocol):
    """What a desk has behind it; `app.App` is one, and so is what tests put together in memory."""

    @property
    def clock(self) -> Clock: ...
    @property
    def entropy(self) -> Entropy: ...
    @property
    def store(self) -> Store: ...
    @property
    def crl_files(self) -> CrlFiles: ...
    @property
    def keys(self) -> KeyStore: ...
    @property
    def urls(self) -> Urls: ...
    @property
    def ceremony(self) -> Ceremony: ...
    @property
    def hierarchy(self) -> Hierarchy: ...
    @property
    def importer(self) -> Importer: ...
    @property
    def carried_crls(self) -> CrlImporter: ...
    @property
    def registry(self) -> Registry: ...
    @property
    def rollover(self) -> Rollover: ...
    @property
    def containment(self) -> Containment: ...
    @property
    def challenges(self) -> ChallengeDesk: ...
    @property
    def approvals(self) -> ApprovalDesk: ...
    @property
    def protected(self) -> ProtectedNames: ...
    @property
    def orders(self) -> OrderDesk: ...
    @property
    def ndes_pages(self) -> NdesDesk: ...
    @property
    def crls(self) -> CrlPublisher: ...
    @property
    def ocsp(self) -> OcspResponder: ...
    @property
    def checkpoints(self) -> CheckpointDesk: ...
    @property
    def alerts(self) -> AlertDesk: ...
    @property
    def personal(self) -> PersonalDesk: ...
    @property
    def administrators(self) -> AdminDesk: ...
    @property
    def tokens(self) -> TokenDesk: ...
    @property
    def proposals(self) -> ProposalDesk: ...
    @property
    def connectors(self) -> ConnectorDesk: ...
    @property
    def links(self) -> Links: ...
    def hook_key(self, connector: Connector) -> str:
        """Return the key that messages to a connector are signed with."""

    @property
    def transcript(self) -> Transcript: ...
    @property
    def checkpoint_copy(self) -> CheckpointArchive | None: ...
    @property
    def practice(self) -> Practice: ...
