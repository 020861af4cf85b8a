"""Orders, lists of keys and the audit on the product as it is wired: each database, two nodes on one PostgreSQL."""

from __future__ import annotations

import io
import sqlite3
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import psycopg
import pytest
from cluster import cluster
from cryptography.hazmat.primitives.asymmetric import ec

from postgres import WITHOUT_TRIGGERS, running_postgres
from ra.test_order import csr
from regalia import reasons
from regalia.app import build
from regalia.ca.audit import Auditor, AuditRule
from regalia.ca.blocklist import ListFormat, import_blocklist
from regalia.ca.revoke import revoke
from regalia.config import load_config
from regalia.errors import AdminError
from regalia.model import RevocationReason
from regalia.ra.order import Order
from world import ADMIN, names

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cluster import Node

    from regalia.app import App
    from regalia.model import Certificate

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def postgresql() -> Iterator[str]:
    """The URL of an empty database."""
    with running_postgres() as server:
        yield server.create("orders")


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def nodes(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Node]]:
    """One home with SQLite, or two on one PostgreSQL; nothing runs."""
    database = request.getfixturevalue("postgresql") if request.param == "postgresql" else None
    with cluster(tmp_path_factory.mktemp("homes"), database) as made:
        yield made


@contextmanager
def opened(node: Node) -> Iterator[App]:
    """Open a node's home as a command does."""
    with closing(build(load_config({**node.settings}, home=node.home))) as app:
        yield app


def an_order(name: str) -> Order:
    """Order a server's certificate, with a key of its own."""
    key = ec.generate_private_key(ec.SECP256R1())
    return Order("default", "eap-tls", csr(key), names(name, f"{name}.example.com"), f"INV-{name}")


def doubts(app: App, certificate: Certificate) -> set[AuditRule]:
    """Return what the audit doubts about one certificate; other tests may have spoilt others in the same database."""
    found = Auditor(app.store, app.urls, app.clock.now()).run().doubts
    return {doubt.rule for doubt in found if doubt.serial == certificate.serial}


def test_r3_an_order_is_repeated_on_any_node(nodes: list[Node]) -> None:
    """R3: the very same order gives the same certificate on another node; with other names the key is refused there."""
    order = an_order("radius")
    with opened(nodes[0]) as app:
        placed = app.orders.place(order, ADMIN)
    with opened(nodes[-1]) as app:
        again = app.orders.place(order, ADMIN)
        assert (placed.repeated, again.repeated) == (False, True)
        assert again.certificate.der == placed.certificate.der
        with pytest.raises(AdminError) as caught:
            app.orders.place(Order("default", "eap-tls", order.csr, names("other")), ADMIN)
        assert caught.value.reason is reasons.KEY_OF_ANOTHER


def test_key2_a_list_that_one_node_imports_counts_on_another(nodes: list[Node]) -> None:
    """KEY-2: a key on a list is certified by no node, and the audit finds the certificate that it has already."""
    order = an_order("leaked")
    with opened(nodes[0]) as app:
        certificate = app.orders.place(order, ADMIN).certificate
        line = io.BytesIO(certificate.intent.key_sha256.hex().encode())
        import_blocklist(app.store, app.clock, app.entropy, name="leaked", file=line, form=ListFormat.HEX, actor=ADMIN)
    with opened(nodes[-1]) as app:
        with pytest.raises(AdminError) as caught:
            app.orders.place(Order("default", "eap-tls", order.csr, order.names, "another"), ADMIN)
        assert caught.value.reason is reasons.KEY_BLOCKED
        assert doubts(app, certificate) == {AuditRule.KEY}
        revoke(app.store, app.clock, certificate, reason=RevocationReason.KEY_COMPROMISE, actor=ADMIN)
        assert doubts(app, certificate) == set()


def test_what_somebody_changes_in_the_database_is_found(nodes: list[Node]) -> None:
    """A certificate whose device, names and end were changed in the database itself is found by row and by event."""
    with opened(nodes[0]) as app:
        certificate = app.orders.place(an_order("changed"), ADMIN).certificate
    _change(nodes[0], certificate.intent.id.bytes)
    with opened(nodes[-1]) as app:
        assert doubts(app, certificate) == {AuditRule.EVENT, AuditRule.ROW}


def _change(node: Node, certificate_id: bytes) -> None:
    """Change a row as somebody would who owns the database."""
    url = load_config({**node.settings}, home=node.home).database.connection_url()
    change = "UPDATE certificate SET device = 'INV-0', not_after = not_after + 1000 WHERE id = "
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as database, database:
            database.execute(f"{change}?", (certificate_id,))
        return
    with psycopg.connect(url) as connection:
        connection.execute(WITHOUT_TRIGGERS)
        connection.execute(f"{change}%s", (certificate_id,))
