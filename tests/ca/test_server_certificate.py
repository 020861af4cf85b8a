"""The device listener's certificate where Regalia issues it: made once, shared, renewed, replaced when revoked."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from regalia import reasons
from regalia.ca.revoke import revoke
from regalia.ca.server_certificate import ServerCertificates, names_of, server_names
from regalia.errors import AdminError, UnavailableError
from regalia.model import Action, CredentialPurpose, RevocationReason, San, SanKind
from world import ADMIN, World

AUTHORITY = "default-ca-1"


@dataclass
class Site:
    """Nodes over one store."""

    world: World = field(default_factory=World)
    pauses: int = 0
    frozen: bool = False
    """Whether waiting leaves the clock alone: many who wait would move it far in no time."""

    def node(self, *hosts: str, holder: str = "node-1", group: str | None = None) -> ServerCertificates:
        """Make what one process asks for its certificate."""
        return ServerCertificates(
            self.world.store,
            self.world.ceremony,
            self.world.clock,
            names=server_names(hosts or ["pki.example.org"]),
            group=group,
            holder=holder,
            pause=self._pause,
        )

    def made(self, authority: str = AUTHORITY) -> int:
        """Count what was issued."""
        return len(self.world.store.credentials(CredentialPurpose.TLS, authority))

    def _pause(self, seconds: float) -> None:
        self.pauses += 1
        if self.frozen:
            time.sleep(0.01)
        else:
            self.world.clock.advance(timedelta(seconds=seconds))


@pytest.fixture
def site() -> Site:
    """A deployment with one group and no certificate for its listener."""
    return Site()


def test_the_first_is_made_when_it_is_asked_for(site: Site) -> None:
    """Nothing is issued before somebody serves; then the authority of the first group issues once, for all who ask."""
    assert site.node().newest() is None
    first = site.node().obtain(ADMIN)
    assert (first.purpose, first.group, first.authority) == (CredentialPurpose.TLS, "default", AUTHORITY)
    assert site.node(holder="node-2").obtain(ADMIN) == first
    assert site.made() == 1
    actions = [event.draft.action for event in site.world.store.log[-4:]]
    made = [Action.KEY_GENERATED, Action.CERTIFICATE_INTENT, Action.CERTIFICATE_ISSUED, Action.CREDENTIAL_RENEWED]
    assert actions == made
    assert site.world.last_event().draft.details["purpose"] == "tls"


def test_it_is_renewed_at_two_thirds_of_its_life(site: Site) -> None:
    """After two thirds of 90 days, and not before, there is a successor with a new key."""
    node = site.node()
    first = node.obtain(ADMIN)
    site.world.clock.advance(timedelta(days=59))
    assert node.renew(ADMIN) is None
    site.world.clock.advance(timedelta(days=2))
    second = node.renew(ADMIN)
    assert second is not None
    assert second.key_id != first.key_id
    assert node.newest() == second
    assert node.renew(ADMIN) is None


def test_one_of_several_issues(site: Site) -> None:
    """While one process is at it the others wait for what it makes; a process that died holds them up for seconds."""
    node, other = site.node(), site.node(holder="node-2")
    now = site.world.clock.now()
    lease = node._lease  # noqa: SLF001 - another process's hold
    assert site.world.store.lease(lease, "node-3", now, now + timedelta(seconds=15))
    assert node.renew(ADMIN) is None
    made = other.obtain(ADMIN)
    assert site.pauses * 0.2 == pytest.approx(15, abs=0.5)
    assert (node.newest(), site.made()) == (made, 1)


def test_many_threads_get_one(site: Site) -> None:
    """Processes that start at the same moment end up with the same certificate."""
    site.frozen = True
    found = []
    threads = [
        threading.Thread(target=lambda n=n: found.append(site.node(holder=f"w{n}").obtain(ADMIN).id)) for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert (len(found), len(set(found)), site.made()) == (8, 1, 1)


def test_a_lease_without_an_end_is_given_up(site: Site) -> None:
    """CA-012 says who holds it, where the other process neither issues nor lets go."""
    node = site.node()

    class Held(ServerCertificates):
        """Somebody else is always at it."""

        def renew(self, actor: object) -> None:
            """Find it held."""

    held = Held(
        site.world.store,
        site.world.ceremony,
        site.world.clock,
        names=node.names,
        group=None,
        holder="x",
        pause=lambda _: None,
    )
    with pytest.raises(UnavailableError, match="CA-012"):
        held.obtain(ADMIN)


def test_other_names_are_another_certificate(site: Site) -> None:
    """A node that is told other names gets its own, and the two never replace each other's."""
    one, two = site.node("a.example.org"), site.node("b.example.org", "192.0.2.7")
    first, second = one.obtain(ADMIN), two.obtain(ADMIN)
    assert (one.obtain(ADMIN), two.obtain(ADMIN), site.made()) == (first, second, 2)
    assert names_of(second.certificate_der) == {San(SanKind.DNS, "b.example.org"), San(SanKind.IP, "192.0.2.7")}


def test_a_revoked_one_is_replaced(site: Site) -> None:
    """Who revokes the listener's certificate, because its key is known, gets another one at once."""
    node = site.node()
    first = node.obtain(ADMIN)
    row = site.world.store.certificate(first.certificate_id)
    assert row is not None
    revoke(site.world.store, site.world.clock, row, reason=RevocationReason.KEY_COMPROMISE, actor=ADMIN)
    assert node.newest() is None
    second = node.renew(ADMIN)
    assert second is not None
    assert second.key_id != first.key_id


def test_an_expired_one_is_none(site: Site) -> None:
    """After a long outage there is a new certificate, not the old one."""
    node = site.node()
    first = node.obtain(ADMIN)
    site.world.clock.advance(timedelta(days=91))
    assert node.obtain(ADMIN) != first


def test_the_group_that_was_named_issues(site: Site) -> None:
    """`server.tls_group` says whose authority; one that is not there is ADM-004."""
    site.world.open_group("staff")
    assert site.node(group="staff").obtain(ADMIN).authority == "staff-ca-1"
    with pytest.raises(AdminError) as refused:
        site.node(group="nobody").obtain(ADMIN)
    assert refused.value.reason is reasons.NOT_FOUND


@pytest.mark.parametrize("host", ["*.example.org", "a b", "exa_mple.org", "", "x" * 64, "1.2.3.4.5"])
def test_what_is_no_host_is_refused(host: str) -> None:
    """ADM-006 names what cannot stand in a server's certificate; wildcards are among it."""
    with pytest.raises(AdminError) as refused:
        server_names([host])
    assert refused.value.reason is reasons.CONFIG_REFUSED


def test_hosts_become_names() -> None:
    """IP addresses are IP names, all else DNS names in lower case; a server may be called by one label."""
    assert server_names(["PKI.Example.org.", "localhost", "2001:DB8::1"]) == {
        San(SanKind.DNS, "pki.example.org"),
        San(SanKind.DNS, "localhost"),
        San(SanKind.IP, "2001:db8::1"),
    }
