"""Where the device listener's certificate comes from: files that were configured, or our own authority."""

from __future__ import annotations

import ipaddress
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from regalia.ca.server_certificate import ServerCertificates, server_names
from regalia.jobs.renew_credentials import RENEWAL
from regalia.keys.issued_tls import IssuedTls
from regalia.keys.private_files import OTHERS
from regalia.keys.tls_files import TlsFiles
from regalia.keys.wrapping import Wrapping

if TYPE_CHECKING:
    from regalia.app.build import App
    from regalia.config import Config, ServerSettings
    from regalia.web.tls import TlsSource

__all__ = ["configured_files", "device_tls", "issues_own", "server_certificates"]


def configured_files(config: Config) -> TlsFiles | None:
    """Name the files of the device listener, if there are any; relative to the home.

    A group may read the key: Debian's `ssl-cert` does (SEC-3 forbids the world).
    """
    certificate, key = config.server.tls_certificate, config.server.tls_key
    if certificate is None or key is None:
        return None
    return TlsFiles(config.home / certificate, config.home / key, OTHERS)


def issues_own(server: ServerSettings) -> bool:
    """Whether there is a device listener with TLS whose certificate Regalia issues."""
    return server.listen_tls is not None and server.tls_certificate is None


def server_certificates(app: App, holder: str) -> ServerCertificates:
    """Make what finds and issues the listener's certificate. Raises `AdminError` ADM-006 for a host that is none."""
    server = app.config.server
    return ServerCertificates(
        app.store,
        app.ceremony,
        app.clock,
        names=server_names(_hosts(server)),
        group=server.tls_group,
        holder=holder,
        pause=time.sleep,
    )


def device_tls(app: App, issued: ServerCertificates | None) -> TlsSource:
    """Give the listener its certificate; one that is issued is there when this returns.

    Raises `AdminError` ADM-020 or ADM-011 for the files, what `ServerCertificates.obtain` raises for one to be issued.
    """
    files = configured_files(app.config)
    if files is not None:
        files.check()
        return files
    certificates = issued or server_certificates(app, "")
    certificates.obtain(RENEWAL)
    return IssuedTls(certificates, app.store, Wrapping(app.master, app.entropy))


def _hosts(server: ServerSettings) -> set[str]:
    """Gather whom devices may call: the public URL's host, the listener's if it is a name, and those that were told."""
    hosts = {urlsplit(server.url).hostname or "localhost", *server.tls_names}
    if server.enrol_url is not None:
        hosts.add(urlsplit(server.enrol_url).hostname or "localhost")
    if server.listen_tls is not None and not _is_address(server.listen_tls.host):
        hosts.add(server.listen_tls.host)
    return hosts


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
