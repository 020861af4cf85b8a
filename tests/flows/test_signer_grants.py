"""A separate signer on PostgreSQL, as a database user with exactly the rights that the documentation lists."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from cluster import cluster, environment, regalia
from psycopg import sql
from test_signer_elsewhere import _set, enrol, signing

from interop.openssl import fetch
from interop.programs import run, run_anyhow
from postgres import running_postgres

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tools.postgres import Cluster

pytestmark = [pytest.mark.real, pytest.mark.timeout(200)]

PAGE = Path(__file__).parents[2] / "docs" / "tasks" / "separate-signer.md"
OWNER, SIGNER = "office", "regalia-signer"


@pytest.fixture(scope="module")
def server() -> Iterator[Cluster]:
    """A PostgreSQL whose superuser is neither the servers' user nor the signer's."""
    with running_postgres() as running:
        yield running


def as_on_the_page() -> list[str]:
    """Return the statements that docs/tasks/separate-signer.md has an administrator execute."""
    text = (
        PAGE.read_text(encoding="utf-8").replace("TO regalia", f"TO {OWNER}").replace("ROLE regalia", f"ROLE {OWNER}")
    )
    return re.findall(r"^\$ psql regalia -c '([^']+)'$", text, re.MULTILINE)


def test_the_rights_on_the_page_are_enough_and_no_more(server: Cluster, tmp_path: Path) -> None:
    """SEC-1: with the page's roles and grants devices enrol, CRLs are made, an authority is rolled over; rows stay."""
    owned = server.create("regalia").replace("regalia@", f"{OWNER}@")
    with psycopg.connect(server.url("regalia"), autocommit=True) as superuser:
        superuser.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(OWNER)))
        superuser.execute(sql.SQL("ALTER DATABASE regalia OWNER TO {}").format(sql.Identifier(OWNER)))
        superuser.execute(sql.SQL("REVOKE ALL ON SCHEMA public FROM PUBLIC"))
        superuser.execute(sql.SQL("ALTER SCHEMA public OWNER TO {}").format(sql.Identifier(OWNER)))
        with cluster(tmp_path, owned, workers=1) as (node, _other):
            for statement in as_on_the_page():
                superuser.execute(statement.encode())
            away = tmp_path / "signer"
            away.mkdir(0o700)
            url = owned.replace(f"{OWNER}@", f"{SIGNER}@")
            (away / "regalia.toml").write_text(f'[database]\nurl = "{url}"\n', encoding="utf-8")
            separate = regalia("key", "separate-signer", "--to", str(away / "signer.key"), "--yes")
            run(*separate, environment=environment(node.home))
            path = tmp_path / "s.sock"
            _set(node, address=f"unix:{path}")
            with signing(away, "--socket", str(path)):
                node.start()
                enrol(node, 2)
                rolled_over(node.home, node.device)
                enrol(node, 1)
                assert node.stop() == 0
    for wrong in ("UPDATE certificate SET subject = 'x'", "DELETE FROM event", "UPDATE event SET action = 'x'"):
        with psycopg.connect(url) as signer, pytest.raises(psycopg.errors.InsufficientPrivilege):
            signer.execute(wrong.encode())


def rolled_over(home: Path, device: str) -> None:
    """Make CRLs, an authority that is next, a group of its own, and end a key; the signer does each."""
    there = environment(home)
    for command in (
        ("ca", "crl"),
        ("ca", "rotate", "default", "--overlap", "never"),
        ("ca", "activate", "default-ca-2", "--yes"),
        ("group", "create", "second"),
        ("ca", "crl", "default-ca-2"),
    ):
        run(*regalia(*command), environment=there)
    assert fetch(f"{device}/crl/default-ca-2.crl")
    checked = run_anyhow(*regalia("doctor", "--json"), environment=there)
    assert b'"problem"' not in checked.stdout, checked.stdout
    run(*regalia("event", "verify"), environment=there)
