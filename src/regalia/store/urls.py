"""Database URLs: which of the two databases one means, and how the drivers want to have it."""

from __future__ import annotations

import re
from pathlib import Path

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from regalia import reasons
from regalia.errors import AdminError

__all__ = ["driver_url", "engine_url", "sqlite_path"]

_POSTGRESQL = re.compile(r"^postgres(ql)?(\+psycopg)?://")


def sqlite_path(url: str) -> Path | None:
    """Return the file of an SQLite URL, None for PostgreSQL. Raises `AdminError` ADM-006 for anything else."""
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise AdminError(reasons.CONFIG_REFUSED, "the database URL is not an URL") from error
    if parsed.drivername == "sqlite" and parsed.database not in (None, "", ":memory:"):
        return Path(str(parsed.database))
    if parsed.drivername in ("postgresql", "postgres", "postgresql+psycopg"):
        return None
    raise AdminError(reasons.CONFIG_REFUSED, "the database URL begins with sqlite:/// or postgresql://")


def engine_url(url: str) -> str:
    """Name the driver in an URL that only names the database, for SQLAlchemy."""
    return _POSTGRESQL.sub("postgresql+psycopg://", url)


def driver_url(url: str) -> str:
    """Name only the database, for psycopg itself."""
    return _POSTGRESQL.sub("postgresql://", url)
