"""Relying parties that nobody here wrote: OpenSSL, GnuTLS and NSS, each asked in its own way for the same verdicts."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Protocol

from interop.programs import ProgramError, run, run_anyhow

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["VALIDATORS", "GnuTls", "Nss", "OpenSsl", "Purpose", "Trust", "Validator", "Verdict"]


class Purpose(StrEnum):
    """What a certificate is to be good for, with the names that the tools have for it."""

    CLIENT = "sslclient"
    SERVER = "sslserver"
    MAIL = "smimesign"

    @property
    def oid(self) -> str:
        """The extended key usage."""
        return {"sslclient": "1.3.6.1.5.5.7.3.2", "sslserver": "1.3.6.1.5.5.7.3.1", "smimesign": "1.3.6.1.5.5.7.3.4"}[
            self.value
        ]

    @property
    def nss(self) -> str:
        """The letter of `certutil -u`."""
        return {"sslclient": "C", "sslserver": "V", "smimesign": "S"}[self.value]

    @property
    def nss_number(self) -> str:
        """The number of `vfychain -u`."""
        return {"sslclient": "0", "sslserver": "1", "smimesign": "4"}[self.value]


class Verdict(StrEnum):
    """What a tool says of a certificate."""

    GOOD = "good"
    REVOKED = "revoked"
    EXPIRED = "expired"
    PURPOSE = "wrong purpose"


@dataclass(frozen=True, slots=True)
class Trust:
    """Files of the chain above a leaf, PEM, and the published CRLs, DER."""

    root: Path
    issuing: Path
    root_crl: Path
    issuing_crl: Path


class Validator(Protocol):
    """One tool."""

    name: str

    def chain(self, leaf: Path, purpose: Purpose) -> Verdict:
        """Judge a certificate and its chain, without asking about revocation."""

    def with_crls(self, leaf: Path, purpose: Purpose) -> Verdict:
        """Judge it, its chain, and what the CRLs say."""

    def with_ocsp(self, leaf: Path, url: str, purpose: Purpose) -> Verdict:
        """Ask the responder, and verify what it says."""


def _judged(printed: str, code: int, words: dict[str, Verdict]) -> Verdict:
    """Find the one verdict in what a tool printed; anything else is a fault that no test expects."""
    found = {verdict for pattern, verdict in words.items() if re.search(pattern, printed)}
    if code == 0 and not found:
        return Verdict.GOOD
    if len(found) != 1 or (code == 0) is not (found == {Verdict.GOOD}):
        raise ProgramError(f"ended with {code} and said:\n{printed}")
    return found.pop()


class OpenSsl:
    """`openssl verify` and `openssl ocsp`."""

    name = "openssl"
    _WORDS: Final = {
        r"certificate revoked": Verdict.REVOKED,
        r"certificate has expired": Verdict.EXPIRED,
        r"unsuitable certificate purpose|unsupported certificate purpose": Verdict.PURPOSE,
    }

    def __init__(self, trust: Trust, directory: Path) -> None:
        self._trust = trust
        self._crls = directory / "openssl-crls.pem"
        pems = [run("openssl", "crl", "-inform", "DER", "-in", crl) for crl in (trust.issuing_crl, trust.root_crl)]
        self._crls.write_bytes(b"".join(pems))

    def chain(self, leaf: Path, purpose: Purpose) -> Verdict:
        """Judge with `-x509_strict`, which holds the chain to RFC 5280."""
        return self._verify(leaf, "-purpose", purpose.value)

    def with_crls(self, leaf: Path, purpose: Purpose) -> Verdict:
        """Judge with the CRLs of the whole chain."""
        return self._verify(leaf, "-purpose", purpose.value, "-crl_check_all", "-CRLfile", self._crls)

    def _verify(self, leaf: Path, *options: str | Path) -> Verdict:
        trust = self._trust
        ended = run_anyhow(
            *("openssl", "verify", "-x509_strict", "-CAfile", trust.root, "-untrusted", trust.issuing, *options, leaf)
        )
        return _judged(_printed(ended.stdout, ended.stderr), ended.returncode, self._WORDS)

    def with_ocsp(self, leaf: Path, url: str, purpose: Purpose) -> Verdict:
        """Ask with a nonce; the answer's signature and times must verify."""
        del purpose
        trust = self._trust
        ended = run_anyhow(
            *("openssl", "ocsp", "-issuer", trust.issuing, "-cert", leaf, "-url", url),
            *("-CAfile", trust.root, "-verify_other", trust.issuing),
        )
        printed = _printed(ended.stdout, ended.stderr)
        said = re.search(rf"^{re.escape(str(leaf))}: (good|revoked)$", printed, re.MULTILINE)
        if "Response verify OK" not in printed or said is None or "WARNING" in printed:
            raise ProgramError(f"openssl ocsp does not trust the answer:\n{printed}")
        return Verdict(said[1])


class GnuTls:
    """`certtool` and `ocsptool`."""

    name = "gnutls"
    _WORDS: Final = {
        r"chain is revoked|Not verified.*[Rr]evoked": Verdict.REVOKED,
        r"chain uses expired certificate|expired certificate": Verdict.EXPIRED,
        r"does not match the intended purpose": Verdict.PURPOSE,
        r"Chain verification output: Verified\. The certificate is trusted\.": Verdict.GOOD,
    }

    def __init__(self, trust: Trust, directory: Path) -> None:
        self._trust = trust
        self._directory = directory
        self._crl = directory / "gnutls-crl.pem"
        self._crl.write_bytes(run("openssl", "crl", "-inform", "DER", "-in", trust.issuing_crl))

    def chain(self, leaf: Path, purpose: Purpose) -> Verdict:
        """Judge with the rules that GnuTLS calls medium."""
        return self._verify(leaf, purpose)

    def with_crls(self, leaf: Path, purpose: Purpose) -> Verdict:
        """Judge with the issuing authority's CRL, whose own signature is verified first."""
        verified = run_anyhow(
            *("certtool", "--verify-crl", "--load-ca-certificate", self._trust.issuing),
            *("--infile", self._crl),
        )
        printed = _printed(verified.stdout, verified.stderr)
        if verified.returncode != 0 or "Verification output: Verified." not in printed:
            raise ProgramError(f"certtool --verify-crl:\n{printed}")
        return self._verify(leaf, purpose, "--load-crl", self._crl)

    def _verify(self, leaf: Path, purpose: Purpose, *options: str | Path) -> Verdict:
        chain = self._directory / f"{leaf.stem}.chain.pem"
        chain.write_bytes(leaf.read_bytes() + self._trust.issuing.read_bytes())
        ended = run_anyhow(
            *("certtool", "--verify", "--load-ca-certificate", self._trust.root, "--verify-profile", "medium"),
            *("--verify-purpose", purpose.oid, *options, "--infile", chain),
        )
        return _judged(_printed(ended.stdout, ended.stderr), ended.returncode, self._WORDS)

    def with_ocsp(self, leaf: Path, url: str, purpose: Purpose) -> Verdict:
        """Ask with a nonce; who signed the answer must be vouched for by the issuing authority."""
        del purpose
        ended = run_anyhow(
            *("ocsptool", f"--ask={url}", "--nonce", "--load-issuer", self._trust.issuing),
            *("--load-cert", leaf, "--load-trust", self._trust.issuing, "--outfile", self._directory / "gnutls.ocsp"),
        )
        printed = _printed(ended.stdout, ended.stderr)
        said = re.search(r"^\s*Certificate Status: (good|revoked)$", printed, re.MULTILINE)
        if "Verifying OCSP Response: Success." not in printed or said is None:
            raise ProgramError(f"ocsptool does not trust the answer:\n{printed}")
        return Verdict(said[1])


class Nss:
    """`certutil` with a database of its own, and `vfychain` for OCSP."""

    name = "nss"
    _WORDS: Final = {
        r"has been revoked": Verdict.REVOKED,
        r"has expired": Verdict.EXPIRED,
        r"Certificate type not approved for application|key usage inadequate": Verdict.PURPOSE,
        r"certificate is valid|Chain is good!": Verdict.GOOD,
    }

    def __init__(self, trust: Trust, directory: Path) -> None:
        self._plain = _nss_database(directory / "nss", trust)
        self._with_crls = _nss_database(directory / "nss-crls", trust)
        self._directory = directory
        for crl in (trust.issuing_crl, trust.root_crl):
            run("crlutil", "-I", "-d", self._with_crls, "-i", crl, "-t", "1")
        self._root = directory / "nss-root.der"
        self._root.write_bytes(run("openssl", "x509", "-in", trust.root, "-outform", "DER"))
        self._issuing = directory / "nss-issuing.der"
        self._issuing.write_bytes(run("openssl", "x509", "-in", trust.issuing, "-outform", "DER"))

    def chain(self, leaf: Path, purpose: Purpose) -> Verdict:
        """Judge for a usage."""
        return self._verify(self._plain, leaf, purpose)

    def with_crls(self, leaf: Path, purpose: Purpose) -> Verdict:
        """Judge with the CRLs that were imported, whose signatures NSS verifies when it takes them."""
        return self._verify(self._with_crls, leaf, purpose)

    def _verify(self, database: str, leaf: Path, purpose: Purpose) -> Verdict:
        run("certutil", "-A", "-d", database, "-n", leaf.stem, "-t", ",,", "-i", leaf)
        ended = run_anyhow("certutil", "-V", "-d", database, "-n", leaf.stem, "-u", purpose.nss, "-e")
        return _judged(_printed(ended.stdout, ended.stderr), ended.returncode, self._WORDS)

    def with_ocsp(self, leaf: Path, url: str, purpose: Purpose) -> Verdict:
        """Ask the responder that the certificate itself names, and fail without an answer."""
        del url
        der = self._directory / f"{leaf.stem}.der"
        der.write_bytes(run("openssl", "x509", "-in", leaf, "-outform", "DER"))
        ended = run_anyhow(
            *("vfychain", "-d", self._plain, "-u", purpose.nss_number, "-pp", "-T"),
            *("-g", "leaf", "-h", "requireFreshInfo", "-m", "ocsp", "-s", "failIfNoInfo"),
            *(der, self._issuing),
        )
        return _judged(_printed(ended.stdout, ended.stderr), ended.returncode, self._WORDS)


def _nss_database(path: Path, trust: Trust) -> str:
    path.mkdir()
    database = f"sql:{path}"
    run("certutil", "-N", "-d", database, "--empty-password")
    run("certutil", "-A", "-d", database, "-n", "root", "-t", "CT,C,C", "-i", trust.root)
    run("certutil", "-A", "-d", database, "-n", "issuing", "-t", ",,", "-i", trust.issuing)
    return database


def _printed(out: bytes, error: bytes) -> str:
    return (out + error).decode(errors="replace")


VALIDATORS: Final[tuple[type[OpenSsl | GnuTls | Nss], ...]] = (OpenSsl, GnuTls, Nss)
