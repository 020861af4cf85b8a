"""The SQL adapter: SQLite and PostgreSQL behind the same ports; CRL files beside it.

In and out: the frozen values of `model`. Rows never leave this room.
May import: ports, model, wire, ca (a stored profile is read by it), errors, reasons, sqlalchemy, alembic, psycopg.
"""

from regalia.store.crl_files import DirectoryCrlFiles
from regalia.store.store import SqlStore, open_change_feed, open_store

__all__ = ["DirectoryCrlFiles", "SqlStore", "open_change_feed", "open_store"]
