"""The whole cloud: login, Graph, Intune and the control API, from the moment a context begins until it ends."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from starlette.applications import Starlette

from regalia.lab.challenge import ChallengeService, mint
from regalia.lab.control import Control
from regalia.lab.entra import AAD_GRAPH, GRAPH, INTUNE, Entra, Resource
from regalia.lab.faults import Hop, HopName, Journal
from regalia.lab.graph import Graph
from regalia.lab.intune import Intune
from regalia.lab.sample import sample_tenant
from regalia.lab.serving import Servers, free_socket, make_tls
from regalia.lab.tenant import Tenants

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence
    from types import TracebackType

    from regalia.lab.tenant import Tenant

__all__ = ["Addresses", "Cloud"]


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where things are, and what scopes call them; all of it is configuration of the connector."""

    login: str
    graph: str
    intune: str
    control: str
    graph_resource: str = GRAPH
    intune_resource: str = INTUNE


def _port(bound: socket.socket) -> str:
    return f"https://127.0.0.1:{bound.getsockname()[1]}"


class Cloud:
    """Tenants that can be reached by HTTPS on free ports of 127.0.0.1.

    Each start has keys and a CA of its own, whose files lie in `folder`, else in one that ends with it; the state is
    in the tenants, which outlive it.
    """

    def __init__(
        self,
        tenants: Sequence[Tenant] = (),
        graph_resource: str = GRAPH,
        intune_resource: str = INTUNE,
        folder: Path | None = None,
    ) -> None:
        self.tenants = Tenants(tenants or (sample_tenant(),))
        self.journal = Journal()
        self.challenges = ChallengeService()
        self._temporary = tempfile.TemporaryDirectory(prefix="regalia-lab-") if folder is None else None
        self._tls = make_tls(Path(self._temporary.name) if self._temporary is not None else folder or Path())
        self.ca_file = self._tls.ca
        login, graph, intune, control = (free_socket() for _ in range(4))
        self.addresses = Addresses(
            _port(login), _port(graph), _port(intune), _port(control), graph_resource, intune_resource
        )
        # A connector may name Graph by its address, too; what the audience is then, is what was asked for.
        graph_names = (graph_resource, self.addresses.graph)
        resources = (
            Resource("graph", graph_names),
            Resource("intune", (intune_resource,)),
            Resource("aad-graph", (AAD_GRAPH,)),
        )
        self.entra = Entra(self.addresses.login, self.tenants, resources)
        self.graph = Graph(self.addresses.graph, self.addresses.intune, self.entra, graph_names, (AAD_GRAPH,))
        self.intune = Intune(self.entra, self.challenges, (intune_resource,))
        clock = self.tenants.first().clock
        hops = {
            login: Hop(Starlette(routes=self.entra.routes()), HopName.LOGIN, self.journal, clock),
            graph: Hop(Starlette(routes=self.graph.routes()), HopName.GRAPH, self.journal, clock),
            intune: Hop(Starlette(routes=self.intune.routes()), HopName.INTUNE, self.journal, clock),
        }
        self._hops = tuple(hops)
        desk = Control(self.tenants, self.journal, self.challenges, self.graph.cursors, self.present)
        self._servers = Servers({**hops, control: Starlette(routes=desk.routes())}, self._tls)

    @property
    def tenant(self) -> Tenant:
        """The first tenant, which most rehearsals have alone."""
        return self.tenants.first()

    def challenge(self, managed_device_id: str, profile_id: str | None = None, tenant: Tenant | None = None) -> str:
        """Make the challenge that a device gets with a profile; without an id, the tenant's only one."""
        home = tenant or self.tenant
        profile = home.profiles[profile_id] if profile_id else home.profiles.all()[0]
        return mint(self.challenges, home, home.managed[managed_device_id], profile)

    def present(self, *, trusted: bool) -> None:
        """Have all hosts but the control port show their certificate, or one of a CA that nobody trusts."""
        with tempfile.TemporaryDirectory(prefix="regalia-lab-") as folder:
            self._servers.present(self._tls if trusted else make_tls(Path(folder)), self._hops)

    def __enter__(self) -> Self:
        self._servers.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._servers.stop()
        if self._temporary is not None:
            self._temporary.cleanup()
