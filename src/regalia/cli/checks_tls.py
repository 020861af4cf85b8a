"""What `doctor` looks at where devices are answered over TLS: certificate, key, and what the listener presents."""

from __future__ import annotations

import hashlib
import ssl
from datetime import timedelta
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from regalia.app.device_tls import configured_files, server_certificates
from regalia.ca.authority import renewal_due
from regalia.ca.server_certificate import names_of, server_names
from regalia.cli.check import Check, Level, left
from regalia.errors import AdminError
from regalia.keys.tls_files import Presented

if TYPE_CHECKING:
    from collections.abc import Iterator

    from regalia.app import App
    from regalia.config import Address
    from regalia.keys.tls_files import TlsFiles

__all__ = ["device_tls_checks"]

_NAME: Final = "device tls"
_FILES_END: Final = timedelta(days=21)
_SECONDS: Final = 5.0
_RUN: Final = "Let `regalia serve` run: it makes one."


def device_tls_checks(regalia: App) -> Iterator[Check]:
    """Look at the TLS listener for devices, if there is one."""
    address = regalia.config.server.listen_tls
    if address is None:
        return
    files = configured_files(regalia.config)
    try:
        presented, check = _of_files(regalia, files) if files is not None else _issued(regalia)
    except AdminError as error:
        yield Check(_NAME, Level.PROBLEM, error.detail, error.reason.remedy)
        return
    yield check
    if presented is not None:
        yield from _names(regalia, presented)
        yield _live(address, presented)


def _of_files(regalia: App, files: TlsFiles) -> tuple[Presented, Check]:
    presented = files.check()
    now = regalia.clock.now()
    finding = f"{files.certificate} {left(now, presented.not_after)}"
    remedy = "Put a new certificate and its key into the files; the server takes them over by itself."
    level = Level.OK
    if presented.not_after - now < _FILES_END:
        level = Level.PROBLEM if presented.not_after <= now else Level.WARN
    return presented, Check(_NAME, level, finding, "" if level is Level.OK else remedy)


def _issued(regalia: App) -> tuple[Presented | None, Check]:
    newest = server_certificates(regalia, "doctor").newest()
    if newest is None:
        return None, Check(_NAME, Level.PROBLEM, "there is no good certificate for the device listener", _RUN)
    der, now = newest.certificate_der, regalia.clock.now()
    presented = Presented(hashlib.sha256(der).hexdigest(), newest.not_after, names_of(der))
    finding = f"the certificate by {newest.authority} {left(now, newest.not_after)}"
    if not regalia.keys.holds(newest.key_id):
        return presented, Check(
            _NAME, Level.PROBLEM, f"{finding}, but its key is missing", "Revoke it: `serve` makes another."
        )
    if renewal_due(newest, now):
        return presented, Check(_NAME, Level.WARN, f"{finding}: it is to be renewed", "Let `regalia serve` run.")
    return presented, Check(_NAME, Level.OK, finding)


def _names(regalia: App, presented: Presented) -> Iterator[Check]:
    host = urlsplit(regalia.config.server.url).hostname or ""
    named = ", ".join(san.value for san in sorted(presented.names))
    if not _covers(presented, host):
        finding = f"the certificate is for {named or 'nobody'}, and server.url names {host}"
        yield Check(_NAME, Level.WARN, finding, "Devices have to enrol under a name that the certificate has.")


def _covers(presented: Presented, host: str) -> bool:
    (wanted,) = server_names([host])
    _, _, above = wanted.value.partition(".")
    return any(san.kind is wanted.kind and san.value in {wanted.value, f"*.{above}"} for san in presented.names)


def _live(address: Address, presented: Presented) -> Check:
    """Ask the listener: whatever the files or the database say, it is this that devices see."""
    try:
        pem = ssl.get_server_certificate((address.host, address.port), timeout=_SECONDS)
    except OSError as error:
        told = f"nothing speaks TLS on {address}: {error.strerror or error}"
        return Check(_NAME, Level.PROBLEM, told, "Start `regalia serve`, or see what its log says.")
    if hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest() != presented.sha256:
        told = f"{address} presents another certificate than this one"
        return Check(_NAME, Level.WARN, told, "Wait some seconds; if it stays, the server's log says why.")
    return Check(_NAME, Level.OK, f"{address} presents it")
