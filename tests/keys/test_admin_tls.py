"""The admin listener's own certificate."""

from __future__ import annotations

import ssl
import subprocess
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from fakes import SeededEntropy
from regalia import reasons
from regalia.errors import AdminError
from regalia.keys.admin_tls import make_admin_tls, needs_renewal, read_admin_tls

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime.now(UTC).replace(microsecond=0)


def _make(home: Path, host: str = "ca.example.org", now: datetime = NOW, seed: int = 0) -> str:
    return make_admin_tls(home, host, now=now, entropy=SeededEntropy(seed)).sha256


def _openssl(*arguments: str) -> str:
    return subprocess.run(["openssl", *arguments], check=True, capture_output=True, text=True).stdout


def test_openssl_reads_what_a_browser_needs(tmp_path: Path) -> None:
    """The certificate is a server's, for its host and loopback, for 397 days from five minutes ago (R11)."""
    made = make_admin_tls(tmp_path, "ca.example.org", now=NOW, entropy=SeededEntropy())
    text = _openssl("x509", "-in", str(made.certificate), "-noout", "-text")
    assert "DNS:ca.example.org, DNS:localhost, IP Address:127.0.0.1" in text
    assert "TLS Web Server Authentication" in text
    assert "CA:FALSE" in text
    assert "prime256v1" in text
    assert made.not_after == NOW - timedelta(minutes=5) + timedelta(days=397)
    _openssl("verify", "-CAfile", str(made.certificate), "-verify_hostname", "ca.example.org", str(made.certificate))


def test_fingerprint_is_openssl_s(tmp_path: Path) -> None:
    """The fingerprint is the one that every browser and OpenSSL shows."""
    made = _make(tmp_path)
    shown = _openssl("x509", "-in", str(tmp_path / "admin.crt"), "-noout", "-fingerprint", "-sha256")
    assert shown.partition("=")[2].strip().replace(":", "").lower() == made


def test_key_is_private(tmp_path: Path) -> None:
    """The key is its owner's alone and the certificate everybody's (SEC-3)."""
    _make(tmp_path)
    assert (tmp_path / "admin.key").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "admin.crt").stat().st_mode & 0o777 == 0o644


def test_files_serve_tls(tmp_path: Path) -> None:
    """Python's own TLS takes the two files."""
    made = make_admin_tls(tmp_path, "ca.example.org", now=NOW, entropy=SeededEntropy())
    ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(made.certificate, made.key)


@pytest.mark.parametrize(
    ("host", "shown"),
    [
        ("192.0.2.7", "IP Address:192.0.2.7, DNS:localhost"),
        ("2001:db8::7", "IP Address:2001:DB8:0:0:0:0:0:7, DNS:localhost"),
        ("localhost", "DNS:localhost, IP Address:127.0.0.1"),
        ("a" * 60 + ".example.org", "DNS:" + "a" * 60 + ".example.org, DNS:localhost"),
    ],
)
def test_host_is_named_by_its_kind(tmp_path: Path, host: str, shown: str) -> None:
    """An address is named as one, nothing is named twice, and a name longer than a common name is named in full."""
    _make(tmp_path, host)
    assert shown in _openssl("x509", "-in", str(tmp_path / "admin.crt"), "-noout", "-ext", "subjectAltName")


def test_renewed_sixty_days_before_its_end(tmp_path: Path) -> None:
    """A certificate is renewed when less than 60 days are left; then the fingerprint is another."""
    first = _make(tmp_path)
    assert not needs_renewal(tmp_path, NOW + timedelta(days=336))
    later = NOW + timedelta(days=338)
    assert needs_renewal(tmp_path, later)
    assert _make(tmp_path, now=later, seed=1) != first
    assert not needs_renewal(tmp_path, later)


def test_missing_or_broken_files_need_renewal(tmp_path: Path) -> None:
    """Files that are missing, garbled or do not belong together are made anew, not served."""
    assert needs_renewal(tmp_path, NOW)
    _make(tmp_path)
    certificate = (tmp_path / "admin.crt").read_bytes()
    _make(tmp_path, seed=1)
    (tmp_path / "admin.crt").write_bytes(certificate)
    assert needs_renewal(tmp_path, NOW)
    with pytest.raises(AdminError) as refused:
        read_admin_tls(tmp_path)
    assert refused.value.reason is reasons.FILE_REFUSED
    (tmp_path / "admin.crt").write_bytes(b"garbled")
    assert needs_renewal(tmp_path, NOW)


def test_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    """An exposed key is neither served nor quietly replaced: somebody should know (SEC-3)."""
    _make(tmp_path)
    (tmp_path / "admin.key").chmod(0o644)
    for ask in (read_admin_tls, lambda home: needs_renewal(home, NOW)):
        with pytest.raises(AdminError) as refused:
            ask(tmp_path)
        assert refused.value.reason is reasons.PERMISSIONS_REFUSED


def test_home_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    """A home that is not there is an error that names the file."""
    with pytest.raises(AdminError) as refused:
        _make(tmp_path / "missing")
    assert refused.value.reason is reasons.FILE_REFUSED
