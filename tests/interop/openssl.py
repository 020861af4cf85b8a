"""OpenSSL's own tools as the relying party: chain, CRL and OCSP, each found through the certificate itself."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.request import ProxyHandler, build_opener

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import AuthorityInformationAccessOID

from interop.programs import ProgramError, run, run_anyhow

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["RelyingParty", "certificates_in", "fetch", "ra_fingerprint", "read_certificate"]

FETCH_SECONDS = 30


def fetch(url: str) -> bytes:
    """GET a URL, directly: a proxy of the machine has no business between two ends of one test."""
    with build_opener(ProxyHandler({})).open(url, timeout=FETCH_SECONDS) as answer:
        body: bytes = answer.read()
        return body


def read_certificate(path: Path) -> x509.Certificate:
    """Read what a client wrote to its disk, PEM or DER."""
    content = path.read_bytes()
    if content.startswith(b"-----BEGIN"):
        return x509.load_pem_x509_certificate(content)
    return x509.load_der_x509_certificate(content)


def ra_fingerprint(scep_url: str) -> str:
    """Return the SHA-256 fingerprint, hex, of the RA certificate: the first one in GetCACert (R2)."""
    bundle = fetch(f"{scep_url}?operation=GetCACert")
    return certificates_in(bundle)[0].fingerprint(SHA256()).hex()


def certificates_in(bundle: bytes) -> list[x509.Certificate]:
    """Let OpenSSL take a degenerate SignedData apart, in the order that it has."""
    return x509.load_pem_x509_certificates(run("openssl", "pkcs7", "-inform", "DER", "-print_certs", stdin=bundle))


@dataclass(frozen=True, slots=True)
class RelyingParty:
    """Somebody who trusts the root and asks about one certificate."""

    directory: Path
    device: str
    """Base URL of the server, for the root certificate that this party trusts."""

    def accepts_chain(self, leaf: Path) -> bool:
        """Whether the chain holds for a TLS client, with the issuer from the certificate's AIA."""
        return self._verify("-purpose", "sslclient", leaf=leaf)

    def accepts_with_crl(self, leaf: Path) -> bool:
        """Whether the chain holds and the CRL that the certificate points at, fetched now, does not list it."""
        points = read_certificate(leaf).extensions.get_extension_for_class(x509.CRLDistributionPoints).value
        names = points[0].full_name
        assert names is not None
        crl = self.directory / "now.crl.pem"
        crl.write_bytes(x509.load_der_x509_crl(fetch(names[0].value)).public_bytes(Encoding.PEM))
        return self._verify("-purpose", "sslclient", "-crl_check", "-CRLfile", crl, leaf=leaf)

    def ocsp_status(self, leaf: Path, *, nonce: bool = True) -> str:
        """Return `good`, `revoked` or `unknown`; the answer's signature and validity must verify.

        Without a nonce, which is how most relying parties ask, the server may answer with what it remembers.
        """
        url = _access(leaf, AuthorityInformationAccessOID.OCSP)
        issuer = self._issuer(leaf)
        without = () if nonce else ("-no_nonce",)
        result = run_anyhow(
            *("openssl", "ocsp", "-issuer", issuer, "-cert", leaf, "-url", url, *without),
            *("-CAfile", self._root(), "-verify_other", issuer),
        )
        printed = (result.stdout + result.stderr).decode(errors="replace")
        status = re.search(rf"^{re.escape(str(leaf))}: (\w+)$", printed, re.MULTILINE)
        if "Response verify OK" not in printed or status is None:
            raise ProgramError(f"openssl ocsp does not trust the answer:\n{printed}")
        return status[1]

    def _verify(self, *options: str | Path, leaf: Path) -> bool:
        result = run_anyhow(
            "openssl", "verify", "-CAfile", self._root(), "-untrusted", self._issuer(leaf), *options, leaf
        )
        printed = (result.stdout + result.stderr).decode(errors="replace")
        # Anything but "holds" and "is revoked" is a fault that no test expects.
        if result.returncode != 0 and "certificate revoked" not in printed:
            raise ProgramError(f"openssl verify: {printed}")
        return result.returncode == 0

    def _root(self) -> Path:
        path = self.directory / "root.pem"
        if not path.exists():
            path.write_bytes(fetch(f"{self.device}/ca/root.pem"))
        return path

    def _issuer(self, leaf: Path) -> Path:
        path = self.directory / "issuer.pem"
        if not path.exists():
            der = fetch(_access(leaf, AuthorityInformationAccessOID.CA_ISSUERS))
            path.write_bytes(x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM))
        return path


def _access(leaf: Path, method: x509.ObjectIdentifier) -> str:
    access = read_certificate(leaf).extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
    location: str = next(entry.access_location.value for entry in access if entry.access_method == method)
    return location
