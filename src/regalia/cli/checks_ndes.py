"""What `doctor` looks at where MDMs fetch challenges from a page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from regalia.cli.check import Check, Level

if TYPE_CHECKING:
    from collections.abc import Iterator

    from regalia.app import App

__all__ = ["ndes_checks"]


def ndes_checks(regalia: App) -> Iterator[Check]:
    """Say for each page whether an MDM can reach it over TLS, and how open it is."""
    server = regalia.config.server
    reachable = server.listen_tls is not None or bool(server.trusted_proxies)
    for endpoint in regalia.store.endpoints():
        page = regalia.store.ndes_page(endpoint.name) if endpoint.enabled else None
        if page is None:
            continue
        if not reachable:
            finding = f"endpoint {endpoint.name} has a page for MDMs, and no setting has anything answer over https"
            yield Check("ndes", Level.WARN, finding, "Set server.listen_tls, or server.trusted_proxies for a proxy.")
        elif not page.networks:
            finding = f"the page of endpoint {endpoint.name} may be asked from anywhere"
            remedy = f"Name your MDM's networks: `regalia endpoint ndes-page {endpoint.name} --network CIDR`."
            yield Check("ndes", Level.WARN, finding, remedy)
        else:
            yield Check("ndes", Level.OK, f"the page of endpoint {endpoint.name} is for {', '.join(page.networks)}")
