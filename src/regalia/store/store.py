"""The whole store over one database."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from regalia.errors import RegaliaError
from regalia.store.administration import SqlAdministrators
from regalia.store.alerts import SqlAlerts
from regalia.store.authorities import SqlAuthorities
from regalia.store.blocklists import SqlBlocklists
from regalia.store.brakes import SqlBrakes, SqlSweeps
from regalia.store.catalogue import SqlCatalogue
from regalia.store.certificate_pages import SqlCertificatePages
from regalia.store.certificates import SqlCertificates
from regalia.store.challenges import SqlChallenges
from regalia.store.changes import SqliteChangeFeed
from regalia.store.checkpoints import SqlCheckpoints
from regalia.store.connector_notices import SqlNotices
from regalia.store.connectors import SqlConnectors
from regalia.store.credentials import SqlApiTokens, SqlSessions
from regalia.store.crls import SqlCrls
from regalia.store.devices import SqlDevices
from regalia.store.enrolments import SqlEnrolments
from regalia.store.events import SqlEvents, StreamAppender
from regalia.store.figures import SqlFigures
from regalia.store.fleet_users import SqlFleetUsers
from regalia.store.following import SqlFollowing
from regalia.store.hierarchy import SqlHierarchies
from regalia.store.inspection import SqlInspection
from regalia.store.issuance import SqlIssuance
from regalia.store.jobs import SqlJobs
from regalia.store.keys import SqlKeyVault
from regalia.store.ndes import SqlNdesPages
from regalia.store.pages import SqlPages
from regalia.store.personal import SqlPersonalData
from regalia.store.proposals import SqlKeptAnswers, SqlProposals
from regalia.store.rewrap import SqlWrapped
from regalia.store.sign_ins import SqlSignIns
from regalia.store.sqlite import SqliteDatabase
from regalia.store.succession import SqlSuccessions
from regalia.store.urls import sqlite_path

if TYPE_CHECKING:
    from regalia.ports import Clock, Sealer, Store
    from regalia.store.notices import PostgresqlChangeFeed
    from regalia.store.session import Database

__all__ = ["SqlStore", "open_change_feed", "open_store"]


class SqlStore(
    SqlAuthorities,
    SqlSuccessions,
    SqlHierarchies,
    SqlBlocklists,
    SqlCatalogue,
    SqlChallenges,
    SqlNdesPages,
    SqlEnrolments,
    SqlIssuance,
    SqlCertificates,
    SqlCertificatePages,
    SqlPages,
    SqlInspection,
    SqlCrls,
    SqlEvents,
    SqlPersonalData,
    SqlCheckpoints,
    SqlJobs,
    SqlAlerts,
    SqlAdministrators,
    SqlSessions,
    SqlApiTokens,
    SqlProposals,
    SqlKeptAnswers,
    SqlSignIns,
    SqlConnectors,
    SqlDevices,
    SqlFleetUsers,
    SqlSweeps,
    SqlFollowing,
    SqlBrakes,
    SqlNotices,
    SqlFigures,
    SqlKeyVault,
    SqlWrapped,
):
    """See `ports.Store`. Made by `open_store`."""

    def __init__(self, database: Database, appender: StreamAppender) -> None:
        super().__init__(database)
        self._appender = appender
        self._opened = appender.opened

    def check(self) -> str:
        """Raise `UnavailableError` where the database does not answer; else its kind and version."""
        return self._database.describe()

    def invalidate(self) -> None:
        """Forget what is remembered of the catalogue.

        To be called for each change notice with the topic `catalogue`, and whenever the change feed answers None.
        """
        self._remembered.forget()

    def close(self) -> None:
        """Finish what is being written; give the event stream and the connections back. Idempotent, never fails."""
        # What was committed is done, whatever becomes of the slot: its lease ends by itself.
        with suppress(RegaliaError):
            self._appender.give_back(self._database)
        self._database.close()


def open_store(url: str, *, node: str, clock: Clock, connections: int = 10, sealer: Sealer | None = None) -> SqlStore:
    """Open the store behind `sqlite:///…` or `postgresql://…`; nothing is connected before the first use.

    `node` names this machine in the names of event streams; `connections` bounds PostgreSQL's pool; `sealer` opens the
    keys of pseudonyms, without which events hold personal data in clear (for who writes none).
    Raises `AdminError` ADM-006 for another URL.
    """
    appender = StreamAppender(node, clock, sealer)
    path = sqlite_path(url)
    if path is not None:
        return SqlStore(SqliteDatabase(path, appender), appender)
    from regalia.store.postgresql import PostgresqlDatabase  # noqa: PLC0415 - commands on SQLite do not wait for the driver

    return SqlStore(PostgresqlDatabase(url, appender, connections=connections), appender)


def open_change_feed(url: str) -> SqliteChangeFeed | PostgresqlChangeFeed:
    """Open the change feed of a store. It tells what happens from now on, so open it before anything is cached."""
    path = sqlite_path(url)
    if path is not None:
        return SqliteChangeFeed(path)
    from regalia.store.notices import PostgresqlChangeFeed  # noqa: PLC0415 - commands on SQLite do not wait for the driver

    return PostgresqlChangeFeed(url)


if TYPE_CHECKING:

    def _conforms(store: SqlStore) -> Store:
        return store
