"""The SQL adapter: SQLite and PostgreSQL behind the same ports; CRL files beside it.

In and out: the frozen values of `model`. Rows never leave this room.
May import: ports, model, wire, errors, reasons, sqlalchemy, alembic, psycopg.
"""
