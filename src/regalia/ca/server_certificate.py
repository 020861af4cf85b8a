"""The device listener's certificate where Regalia issues it itself: which one is in use, and when there is another.

Nodes with the same names share one; a node that is told other names has its own, so that two nodes whose settings
differ never replace each other's.
"""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Protocol

from regalia import reasons
from regalia.ca.authority import renewal_due
from regalia.errors import AdminError, PeerError, UnavailableError
from regalia.model import CredentialPurpose, San, SanKind
from regalia.ports import Authorities, Catalogue, Certificates, Jobs
from regalia.wire import oids
from regalia.wire.certificate import read_certificate
from regalia.wire.names import make_san, read_sans

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from regalia.ca.authority import Ceremony
    from regalia.model import Actor, Authority, Credential
    from regalia.ports import Clock

__all__ = ["ServerCertificates", "ServerStore", "names_of", "server_names"]

_LEASE: Final = timedelta(seconds=15)
"""Of whoever issues: a process that dies at it holds the others up for no longer."""
_LOOK_SECONDS: Final = 0.2
_LOOKS: Final = 150
"""Thirty seconds: twice the lease."""


class ServerStore(Authorities, Catalogue, Certificates, Jobs, Protocol):
    """What it reads, and the leases that let one of several processes issue."""


def server_names(hosts: Iterable[str]) -> frozenset[San]:
    """Turn hosts into the names of a certificate: IP addresses as such, all others as DNS names.

    A host of one label is good here, unlike in a device's certificate: small networks call a server so. Raises
    `AdminError` ADM-006 where one is no name of a host.
    """
    return frozenset(_name(host.lower().removesuffix(".")) for host in hosts)


def _name(host: str) -> San:
    try:
        return make_san(SanKind.IP, host)
    except PeerError:
        pass
    try:
        # A second label makes the rules for devices' names fit.
        make_san(SanKind.DNS, host if "." in host else f"{host}.x")
    except PeerError as error:
        raise AdminError(reasons.CONFIG_REFUSED, f"no certificate can name {host!a}: {error.detail}") from error
    return San(SanKind.DNS, host)


def names_of(certificate_der: bytes) -> frozenset[San]:
    """Read the names that a certificate is good for."""
    extension = read_certificate(certificate_der).extension(oids.CE_SUBJECT_ALT_NAME)
    return read_sans(extension.value) if extension is not None else frozenset()


class ServerCertificates:
    """Finds the credential for these names, and makes one where there is none or its time has come."""

    def __init__(
        self,
        store: ServerStore,
        ceremony: Ceremony,
        clock: Clock,
        *,
        names: frozenset[San],
        group: str | None,
        holder: str,
        pause: Callable[[float], None],
    ) -> None:
        """`group` None stands for the first one; `holder` names this process in leases."""
        self._store = store
        self._ceremony = ceremony
        self._clock = clock
        self._names = names
        self._group = group
        self._holder = holder
        self._pause = pause
        told = hashlib.sha256("\n".join(map(str, sorted(names))).encode()).hexdigest()
        self._lease = f"issue-tls:{told[:16]}"

    @property
    def names(self) -> frozenset[San]:
        """Whom the certificate names."""
        return self._names

    def authority(self) -> Authority:
        """Find who issues. Raises `AdminError` ADM-004 where there is no such group, or none at all."""
        group = self._store.group(self._group) if self._group is not None else next(iter(self._store.groups()), None)
        authority = self._store.authority(group.authority) if group is not None else None
        if authority is None:
            raise AdminError(reasons.NOT_FOUND, f"group {self._group or ''} to issue the listener's certificate")
        return authority

    def newest(self) -> Credential | None:
        """Find the newest that carries exactly these names, is valid now and was not revoked."""
        now = self._clock.now()
        for credential in self._store.credentials(CredentialPurpose.TLS, self.authority().name):
            if credential.not_after > now and names_of(credential.certificate_der) == self._names:
                certificate = self._store.certificate(credential.certificate_id)
                if certificate is not None and certificate.revocation is None:
                    return credential
        return None

    def due(self) -> bool:
        """Whether another one is to be made now."""
        newest = self.newest()
        return newest is None or renewal_due(newest, self._clock.now())

    def renew(self, actor: Actor) -> Credential | None:
        """Make another one if it is time and nobody else is at it. Raises what `Ceremony.create_tls` raises."""
        if not self.due():
            return None
        now = self._clock.now()
        # Asked again under the lease: another process can have made one a moment ago.
        if not self._store.lease(self._lease, self._holder, now, now + _LEASE) or not self.due():
            return None
        return self._ceremony.create_tls(self.authority(), self._names, actor=actor)

    def obtain(self, actor: Actor) -> Credential:
        """Find one to begin with, made now where there is none; wait while another process makes it.

        Raises what `Ceremony.create_tls` raises; `UnavailableError` CA-012 where the other one does not come to an end.
        """
        for _ in range(_LOOKS):
            found = self.newest() or self.renew(actor)
            if found is not None:
                return found
            self._pause(_LOOK_SECONDS)
        raise UnavailableError(reasons.BUSY, f"another process holds {self._lease} and issues nothing")
