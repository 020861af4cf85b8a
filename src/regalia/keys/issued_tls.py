"""The device listener's certificate that Regalia issued itself, as its listener takes it: chain and key, in memory.

The key lies wrapped in the database like all others (R10 lets a worker hold it); it is never written to a file.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import serialization

from regalia import reasons
from regalia.ca.scopes import tls_scope
from regalia.errors import InvariantError, UnavailableError

if TYPE_CHECKING:
    from uuid import UUID

    from regalia.ca.server_certificate import ServerCertificates
    from regalia.keys.wrapping import Wrapping
    from regalia.model import Credential
    from regalia.ports import KeyVault

__all__ = ["IssuedTls"]


class IssuedTls:
    """A `web.tls.TlsSource`: the newest credential for this server's names."""

    def __init__(self, certificates: ServerCertificates, vault: KeyVault, wrapping: Wrapping) -> None:
        self._certificates = certificates
        self._vault = vault
        self._wrapping = wrapping

    def look(self) -> UUID:
        """Return the newest credential's id. Raises `UnavailableError` CA-010 where there is none."""
        return self._newest().id

    def read(self) -> bytes:
        """Return certificate, issuing authority and key as PEM. Raises `UnavailableError`, `AdminError` ADM-010."""
        credential = self._newest()
        authority = self._certificates.authority()
        chain = [credential.certificate_der, authority.certificate_der]
        return "".join(map(ssl.DER_cert_to_PEM_cert, chain)).encode() + self._key(credential)

    def _newest(self) -> Credential:
        newest = self._certificates.newest()
        if newest is None:
            raise UnavailableError(reasons.ISSUER_UNAVAILABLE, "no certificate for the device listener is good now")
        return newest

    def _key(self, credential: Credential) -> bytes:
        row = self._vault.get_key(credential.key_id)
        if row is None:
            raise UnavailableError(reasons.ISSUER_UNAVAILABLE, f"key {credential.key_id} is not on this machine")
        if row.scope != tls_scope(credential.group):
            raise InvariantError(f"key {row.id} is of the scope {row.scope}, not the listener's")
        return self._wrapping.unwrap(row).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
