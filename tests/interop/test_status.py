"""Full, partial and delta CRLs, holds and OCSP answers, as OpenSSL, GnuTLS, NSS and pkilint take them."""

from __future__ import annotations

import re
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from fakes import FakeClock
from interop.programs import run, run_anyhow
from regalia.ca.crl import CrlPublisher
from regalia.ca.crl_plan import Plan, adopt_plan, make_lists, shard_of
from regalia.ca.revoke import hold, release
from regalia.ca.status import OcspResponder
from small_ca import ADMIN, SmallCa

if TYPE_CHECKING:
    from regalia.model import Authority

_SERIAL = 1 << 130


class _Relying:
    """An authority, and a directory with what relying parties would have fetched."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        now = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=5)
        self.ca = SmallCa(FakeClock(now))
        self.authority: Authority = self.ca.issuing()
        store, files, signer = self.ca.store, self.ca.files, self.ca.signer
        self.publisher = CrlPublisher(store, files, signer, self.ca.clock, self.ca.entropy, self.ca.urls)
        self.pem("root.pem", self.ca.root.certificate_der)
        self.pem("issuing.pem", self.authority.certificate_der)
        chain = (directory / "issuing.pem").read_text() + (directory / "root.pem").read_text()
        (directory / "chain.pem").write_text(chain)

    def pem(self, name: str, der: bytes) -> Path:
        """Write a certificate as PEM."""
        path = self.directory / name
        path.write_bytes(x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM))
        return path

    def plan(self, shards: int, *, delta: bool = False, full: bool = True) -> None:
        """Divide the CRLs."""
        plan = Plan(shards, delta, full, fleet=1)
        make_lists(self.ca.store, self.authority, plan)
        self.authority = adopt_plan(self.ca.store, self.ca.clock, self.authority, plan, actor=ADMIN)

    def leaf(self, number: int) -> Path:
        """Issue a certificate."""
        return self.pem(f"leaf-{number}.pem", self.ca.leaf(self.authority, _SERIAL + number))

    def hold(self, number: int) -> None:
        """Put one on hold."""
        found = self.ca.store.certificate_by_serial("default", _SERIAL + number)
        assert found is not None
        hold(self.ca.store, self.ca.clock, found, actor=ADMIN)

    def release(self, number: int) -> None:
        """Release it."""
        found = self.ca.store.certificate_by_serial("default", _SERIAL + number)
        assert found is not None
        release(self.ca.store, self.ca.clock, found, actor=ADMIN)

    def crl(self, name: str, *, shard: int = 0, publish: bool = True) -> Path:
        """Publish a list and write what is served under a name, as DER and as PEM; the PEM's path."""
        if publish:
            self.publisher.publish("default", shard=shard)
        octets = self.ca.files.files[f"published/{name}"]
        (self.directory / f"{name}.der").write_bytes(octets)
        path = self.directory / f"{name}.pem"
        path.write_bytes(x509.load_der_x509_crl(octets).public_bytes(Encoding.PEM))
        return path

    def openssl(self, leaf: Path, *crls: Path, deltas: bool = False) -> str:
        """Ask `openssl verify` about a leaf with these CRLs; what it says."""
        done = run_anyhow(
            *("openssl", "verify", "-CAfile", "root.pem", "-untrusted", "issuing.pem", "-crl_check"),
            *("-extended_crl", *(["-use_deltas"] if deltas else [])),
            *(part for crl in crls for part in ("-CRLfile", crl)),
            leaf,
            directory=self.directory,
        )
        return (done.stdout + done.stderr).decode()

    def gnutls(self, leaf: Path, crl: Path) -> str:
        """Ask `certtool` about a leaf with a CRL; what it says."""
        chain = self.directory / f"{leaf.stem}-chain.pem"
        chain.write_text(leaf.read_text() + (self.directory / "issuing.pem").read_text())
        done = run_anyhow(
            *("certtool", "--verify", "--load-ca-certificate", "root.pem", "--load-crl", crl),
            *("--infile", chain),
            directory=self.directory,
        )
        return (done.stdout + done.stderr).decode()

    def lint_crl(self, crl: Path) -> str:
        """What pkilint finds in a CRL, nothing where all is well."""
        program = Path(sys.executable).with_name("lint_crl")
        return run(program, "lint", "-t", "CRL", "-p", "PKIX", "-s", "WARNING", crl).decode().strip()

    def nss(self) -> Path:
        """Make an NSS database that trusts the root and knows the issuing CA."""
        database = self.directory / "nss"
        database.mkdir()
        run("certutil", "-N", "-d", f"sql:{database}", "--empty-password")
        for nick, trust in (("root", "CT,C,C"), ("issuing", ",,")):
            run("certutil", "-A", "-d", f"sql:{database}", "-n", nick, "-t", trust, "-a", "-i", f"{nick}.pem",
                directory=self.directory)  # fmt: skip
        return database

    def nss_imports(self, database: Path, name: str) -> str:
        """Have NSS import a CRL; what it complains of, nothing where it takes it."""
        done = run_anyhow("crlutil", "-I", "-d", f"sql:{database}", "-i", self.directory / f"{name}.der", "-t", "1")
        return done.stderr.decode().strip()

    def nss_judges(self, database: Path, leaf: Path) -> str:
        """Ask NSS about a client's certificate; what it says."""
        run("certutil", "-A", "-d", f"sql:{database}", "-n", leaf.stem, "-t", ",,", "-a", "-i", leaf)
        done = run_anyhow("certutil", "-V", "-d", f"sql:{database}", "-n", leaf.stem, "-u", "C")
        return (done.stdout + done.stderr).decode()


@pytest.fixture
def relying(tmp_path: Path) -> _Relying:
    """Give each test its own authority."""
    return _Relying(tmp_path)


def test_partial_crls_are_taken(relying: _Relying) -> None:
    """OpenSSL, GnuTLS and pkilint take a partial CRL for the certificates that name it, and for no others."""
    relying.plan(2)
    leaves = {number: relying.leaf(number) for number in range(4)}
    shards = {number: shard_of(_SERIAL + number, 2) for number in leaves}
    relying.ca.revoke(relying.authority, _SERIAL)
    lists = {shard: relying.crl(f"default-{shard}", shard=shard) for shard in (1, 2)}
    full = relying.crl("default")
    for number, leaf in leaves.items():
        own, other = lists[shards[number]], lists[3 - shards[number]]
        wanted = "certificate revoked" if number == 0 else ": OK"
        assert wanted in relying.openssl(leaf, own)
        assert wanted in relying.openssl(leaf, full)
        assert "scope" in relying.openssl(leaf, other)
    assert "revoked" in relying.gnutls(leaves[0], lists[shards[0]])
    assert "Verified" in relying.gnutls(leaves[1], lists[shards[1]])
    for crl in (*lists.values(), full):
        assert relying.lint_crl(crl) == ""
        told = run("certtool", "--crl-info", "--infile", crl).decode()
        assert ("Issuing distribution point" in told or "2.5.29.28" in told) is (crl is not full)


def test_a_delta_is_taken_with_its_base(relying: _Relying) -> None:
    """OpenSSL takes an old CRL with the newest delta, which tells what was revoked, held and released since."""
    relying.plan(0, delta=True)
    leaves = [relying.leaf(number) for number in range(4)]
    relying.hold(1)
    base = relying.crl("default")
    kept = relying.directory / "base.pem"
    kept.write_bytes(base.read_bytes())
    relying.ca.later(minutes=1)
    relying.ca.revoke(relying.authority, _SERIAL)
    relying.release(1)
    relying.hold(2)
    complete = relying.crl("default")
    delta = relying.crl("default-delta", publish=False)
    alone = [relying.openssl(leaf, kept) for leaf in leaves]
    combined = [relying.openssl(leaf, kept, delta, deltas=True) for leaf in leaves]
    newest = [relying.openssl(leaf, complete) for leaf in leaves]
    assert [": OK" in told for told in alone] == [True, False, True, True]
    assert [": OK" in told for told in combined] == [False, True, False, True]
    assert [": OK" in told for told in newest] == [False, True, False, True]
    assert relying.lint_crl(delta) == ""
    assert relying.lint_crl(complete) == ""
    text = run("openssl", "crl", "-in", delta, "-noout", "-text").decode()
    assert "X509v3 Delta CRL Indicator: critical" in text
    assert "Remove From CRL" in text


def test_nss_takes_full_crls_and_no_others(relying: _Relying) -> None:
    """NSS takes the full CRL, and refuses one with a critical scope and a delta: full ones stay the default."""
    relying.plan(1, delta=True)
    revoked, good = relying.leaf(0), relying.leaf(1)
    relying.ca.revoke(relying.authority, _SERIAL)
    database = relying.nss()
    relying.crl("default-1", shard=1)
    relying.crl("default-1-delta", publish=False)
    relying.crl("default")
    relying.crl("default-delta", publish=False)
    for name in ("default-1", "default-1-delta", "default-delta"):
        assert "SEC_ERROR_CRL_UNKNOWN_CRITICAL_EXTENSION" in relying.nss_imports(database, name)
    assert "certificate is valid" in relying.nss_judges(database, revoked)
    assert relying.nss_imports(database, "default") == ""
    assert "revoked" in relying.nss_judges(database, revoked)
    assert "certificate is valid" in relying.nss_judges(database, good)


@pytest.mark.parametrize("digest", ["sha1", "sha256"])
def test_ocsp_tells_of_holds(relying: _Relying, digest: str) -> None:
    """OpenSSL, GnuTLS and pkilint read good, on hold and released again, asked by either digest."""
    leaf = relying.leaf(0)
    algorithm = hashes.SHA1() if digest == "sha1" else hashes.SHA256()  # noqa: S303 - names the issuer as clients do
    issuer = x509.load_der_x509_certificate(relying.authority.certificate_der)
    builder = ocsp.OCSPRequestBuilder().add_certificate(
        x509.load_pem_x509_certificate(leaf.read_bytes()), issuer, algorithm
    )
    question = builder.build().public_bytes(Encoding.DER)
    responder = OcspResponder(relying.ca.store, relying.ca.keys, relying.ca.clock)
    told = [_ocsp(relying, responder.answer(question).der, leaf, digest)]
    relying.hold(0)
    responder.drop("default", _SERIAL)
    told.append(_ocsp(relying, responder.answer(question).der, leaf, digest))
    relying.release(0)
    responder.drop("default", _SERIAL)
    told.append(_ocsp(relying, responder.answer(question).der, leaf, digest))
    assert told == ["good", "revoked certificateHold", "good"]


def _ocsp(relying: _Relying, answer: bytes, leaf: Path, digest: str) -> str:
    path = relying.directory / "answer.der"
    path.write_bytes(answer)
    text = run(
        *("openssl", "ocsp", "-respin", path, "-issuer", "issuing.pem", f"-{digest}", "-cert", leaf),
        *("-CAfile", "chain.pem", "-no_nonce"),
        directory=relying.directory,
    ).decode()
    status = re.search(rf"{re.escape(str(leaf))}: (\w+)", text)
    reason = re.search(r"Reason: (\w+)", text)
    assert status is not None
    gnutls = run("ocsptool", "--response-info", "--infile", path).decode()
    assert f"Certificate Status: {status[1]}" in gnutls
    linted = run(Path(sys.executable).with_name("lint_ocsp_response"), "lint", "-s", "WARNING", path).decode().strip()
    assert linted == ""
    return f"{status[1]} {reason[1]}" if reason is not None else status[1]
