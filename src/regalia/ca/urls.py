"""The addresses that certificates carry (R11), and those that devices are told: CRL, OCSP, issuer, endpoint."""

from __future__ import annotations

from dataclasses import dataclass

from regalia.model import crl_name

__all__ = ["Urls"]


@dataclass(frozen=True, slots=True)
class Urls:
    """Addresses below the URL that `init --url` was given."""

    base: str
    """Scheme, host and port, perhaps a path; without a slash at its end."""
    enrol: str | None = None
    """The same for what devices and other systems call, where it is another address: https, behind a proxy."""

    def crl(self, authority: str, shard: int = 0, *, delta: bool = False) -> str:
        """Address of an authority's CRL, of one of its partial ones, or of the delta CRL beside it."""
        return f"{self.base}/crl/{crl_name(authority, shard, delta=delta)}.crl"

    def ocsp(self, authority: str) -> str:
        """Address to ask about an authority's certificates."""
        return f"{self.base}/ocsp/{authority}"

    def issuer(self, authority: str) -> str:
        """Address of an authority's own certificate, DER."""
        return f"{self.base}/ca/{authority}.cer"

    def endpoint(self, protocol: str, name: str) -> str:
        """Address where devices find an endpoint."""
        return f"{self.enrol or self.base}/{protocol}/{name}"

    def hook(self, connector: str) -> str:
        """Address where a connector's system tells of changes."""
        return f"{self.enrol or self.base}/hooks/{connector}"
