"""A live client at an authority that is its own RA: one bare certificate in GetCACert (R2, RFC 8894 §4.2.1.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from interop.checks import check_certificate, names
from interop.openssl import fetch
from interop.programs import run

if TYPE_CHECKING:
    from pathlib import Path

    from interop.openssl import RelyingParty
    from interop.server import Server

pytestmark = [
    pytest.mark.live_client("strongswan"),
    pytest.mark.live_client("openssl"),
    pytest.mark.timeout(600),
]

PROFILE = """
[validity]
duration = "30d"
[keys]
rsa-min-bits = 2048
[usage]
extended-key-usage = ["clientAuth"]
"""


def test_strongswan_enrols_at_a_ca_that_is_its_own_ra(
    server: Server, relying_party: RelyingParty, tmp_path: Path
) -> None:
    """A device encrypts to the CA, believes what the CA signs, and builds the chain; the root comes another way."""
    profile = tmp_path / "solo.toml"
    profile.write_text(PROFILE, encoding="utf-8")
    for command in (
        ("group", "create", "solo", "--key", "rsa-2048", "--ca-as-ra", "--acknowledge-ca-as-ra"),
        ("profile", "create", "solo", "--group", "solo", "--file", str(profile)),
        ("endpoint", "create", "solo", "--group", "solo", "--profile", "solo"),
    ):
        ended = server.regalia(*command)
        assert ended.returncode == 0, ended.stderr
    url = f"{server.device}/scep/solo"
    ca, root, key, got = (tmp_path / name for name in ("ca.pem", "root.pem", "key.pem", "got.pem"))
    bare = x509.load_der_x509_certificate(fetch(f"{url}?operation=GetCACert"))
    ca.write_bytes(bare.public_bytes(Encoding.PEM))
    root.write_bytes(fetch(f"{server.device}/ca/root.pem"))
    key.write_bytes(run("pki", "--gen", "--type", "rsa", "--size", "2048", "--outform", "pem"))
    challenge = server.challenge(cn="ss-solo", dns="ss-solo.example.com", endpoint="solo")
    asked = ("--in", key, "--dn", "CN=ss-solo", "--san", "ss-solo.example.com", "--password", challenge)
    trust = ("--cacert-enc", ca, "--cacert-sig", ca, "--cacert", ca, "--cacert", root)
    got.write_bytes(run("pki", "--scep", "--url", url, *asked, *trust, "--interval", "1", "--outform", "pem"))
    certificate = check_certificate(got, server=server, relying_party=relying_party)
    assert names(certificate) == ("CN=ss-solo", ["ss-solo.example.com"])
    assert certificate.issuer == bare.subject
