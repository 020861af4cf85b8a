"""Wiring of alerts: who is told and how, and the jobs that look and tell."""

from __future__ import annotations

import shutil
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from regalia import reasons
from regalia.app.device_tls import configured_files
from regalia.errors import AdminError
from regalia.jobs.alerts import DeliverAlerts, WatchAlerts, WatchNode
from regalia.keys.admin_tls import read_admin_tls
from regalia.keys.private_files import read_private
from regalia.net.http import HttpOutgoing
from regalia.net.mail import MailSender
from regalia.net.mail_server import MailServer
from regalia.net.web_hook import TargetSender, WebHookSender
from regalia.ra.alerts import AlertDesk
from regalia.ra.findings import Bounds, NodeState

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from regalia.app.build import App
    from regalia.config import Config
    from regalia.jobs.loop import Job
    from regalia.ports import AlertSender, Clock, Entropy, Sealer
    from regalia.ra.alerts import AlertStore

__all__ = ["alert_desk", "alert_jobs", "bounds_of"]

_PASSWORD_OCTETS: Final = 4_096


def alert_desk(config: Config, store: AlertStore, sealer: Sealer, clock: Clock, entropy: Entropy) -> AlertDesk:
    """Put together what opens and delivers alerts."""
    return AlertDesk(
        store,
        _sender(config, sealer),
        sealer,
        clock,
        entropy,
        where=config.server.url,
        attempts=config.alerts.attempts,
    )


def _sender(config: Config, sealer: Sealer) -> AlertSender:
    ca_file = config.home / config.outgoing.ca_file if config.outgoing.ca_file is not None else None
    outgoing = HttpOutgoing(opened=config.outgoing.web_hooks, ca_file=ca_file)
    return TargetSender(MailSender(_mail_server(config, ca_file)), WebHookSender(outgoing, sealer))


def _mail_server(config: Config, ca_file: Path | None) -> MailServer | None:
    given = config.alerts
    if given.mail_server is None or given.mail_from is None:
        return None
    return MailServer(
        given.mail_server.host,
        given.mail_server.port,
        given.mail_from,
        given.mail_security,
        given.mail_user,
        _password(config.home / given.mail_password_file) if given.mail_password_file is not None else None,
        ca_file,
    )


def _password(path: Path) -> Callable[[], str]:
    def read() -> str:
        try:
            return read_private(path, _PASSWORD_OCTETS).decode("utf-8").removesuffix("\n")
        except (OSError, UnicodeDecodeError):
            raise AdminError(reasons.FILE_REFUSED, f"{path} cannot be read") from None

    return read


def bounds_of(config: Config) -> Bounds:
    """Say from when on something is wrong."""
    given = config.alerts
    return Bounds(
        authority=timedelta(days=given.authority_days),
        tls=timedelta(days=given.tls_days),
        refusals=given.refusals,
        disk_percent=given.disk_percent,
    )


def alert_jobs(app: App, node: str) -> tuple[Job, ...]:
    """Make the jobs that look and tell; `node` is this home's name."""
    bounds = bounds_of(app.config)
    return (
        WatchAlerts(app.alerts, app.store, app.checkpoints, app.links, bounds),
        WatchNode(app.alerts, lambda: _node_state(app, node), bounds),
        DeliverAlerts(app.alerts),
    )


def _node_state(app: App, node: str) -> NodeState:
    """Look at what only this node sees. Raises `AdminError` where a certificate cannot be read."""
    certificates = [("the admin listener", read_admin_tls(app.config.home).not_after)]
    files = configured_files(app.config) if app.config.server.listen_tls is not None else None
    if files is not None:
        certificates.append(("the device listener", files.check().not_after))
    disk = shutil.disk_usage(app.config.home)
    return NodeState(node, certificates, disk.free, disk.total)
