"""Raw SQL for tests: what somebody with access to the database could do behind our back."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import psycopg

from postgres import WITHOUT_TRIGGERS

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["REFUSALS", "query", "run", "tamper"]

REFUSALS = (sqlite3.IntegrityError, psycopg.errors.RestrictViolation)
"""How a trigger of ours refuses."""


def run(url: str, *statements: str) -> None:
    """Execute statements in one transaction."""
    if url.startswith("postgresql"):
        with psycopg.connect(url) as postgresql:
            for statement in statements:
                postgresql.execute(statement.encode())
        return
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as sqlite, sqlite:
        for statement in statements:
            sqlite.execute(statement)


def tamper(url: str, *statements: str) -> None:
    """Execute statements as somebody who can take our triggers away."""
    if url.startswith("postgresql"):
        run(url, WITHOUT_TRIGGERS, *statements)
        return
    triggers = [str(row[0]) for row in query(url, "SELECT name FROM sqlite_schema WHERE type = 'trigger'")]
    run(url, *(f"DROP TRIGGER {name}" for name in triggers), *statements)


def query(url: str, statement: str) -> Sequence[Sequence[object]]:
    """Return the rows of a query."""
    if url.startswith("postgresql"):
        with psycopg.connect(url) as postgresql:
            return postgresql.execute(statement.encode()).fetchall()
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as sqlite:
        return sqlite.execute(statement).fetchall()
