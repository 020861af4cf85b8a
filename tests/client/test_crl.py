"""Which CRLs a client believes, on CRLs that pyca/cryptography made."""

from __future__ import annotations

from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from client.test_authorities import CA, NOW, Key, Made, make, make_chain
from regalia import reasons
from regalia.client.crl import judge_crl
from regalia.errors import PeerError
from world import rsa_key

HOUR = timedelta(hours=1)


def crl(
    signer: Made,
    *,
    name: x509.Name | None = None,
    number: int | None = 7,
    since: timedelta = HOUR,
    until: timedelta = HOUR,
    revoked: tuple[int, ...] = (),
    key: Key | None = None,
) -> bytes:
    """Make a CRL, with an authorityKeyIdentifier where its key is given."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(name or signer.name)
        .last_update(NOW - since)
        .next_update(NOW + until)
    )
    if number is not None:
        builder = builder.add_extension(x509.CRLNumber(number), critical=False)
    if key is not None:
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())
        builder = builder.add_extension(identifier, critical=False)
    for serial in revoked:
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(NOW - HOUR)
        builder = builder.add_revoked_certificate(entry.build())
    return builder.sign(signer.key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


@pytest.fixture(scope="module")
def chain() -> tuple[Made, Made, Made]:
    """RA, issuing CA, root."""
    return make_chain()


def _chain(chain: tuple[Made, Made, Made]) -> tuple[bytes, ...]:
    return chain[1].der, chain[2].der


def refuse(octets: bytes, issuer: Made, chain: tuple[bytes, ...], told: str) -> None:
    """Expect CLI-006."""
    with pytest.raises(PeerError) as refused:
        judge_crl(octets, issuer.name.public_bytes(), chain, NOW)
    assert refused.value.reason is reasons.CLIENT_REPLY_REFUSED
    assert told in refused.value.detail


def test_a_current_crl_of_the_issuer_is_believed(chain: tuple[Made, Made, Made]) -> None:
    """A CRL that the certificate's issuer signed and that holds now is believed, with what it says of itself."""
    octets = crl(chain[1], revoked=(5, 6))
    believed = judge_crl(octets, chain[1].name.public_bytes(), _chain(chain), NOW)
    assert (believed.der, believed.number, believed.entries) == (octets, 7, 2)
    assert (believed.this_update, believed.next_update) == (NOW - HOUR, NOW + HOUR)
    assert believed.issuer == chain[1].name.public_bytes()


def test_a_number_may_be_missing(chain: tuple[Made, Made, Made]) -> None:
    """Old CAs write no CRL number; their CRL is believed all the same."""
    assert judge_crl(crl(chain[1], number=None), chain[1].name.public_bytes(), _chain(chain), NOW).number is None


def test_what_is_not_believed(chain: tuple[Made, Made, Made]) -> None:
    """A CRL of another issuer, another key, another time or with an altered octet is refused (CLI-006)."""
    _, issuing, root = chain
    forged = make_chain()[1]
    good = crl(issuing, revoked=(5,))
    refuse(crl(root), issuing, _chain(chain), "it is of CN=root, and CN=issuing was asked about")
    refuse(crl(forged), issuing, _chain(chain), "none of the server's CA certificates signed it")
    refuse(crl(root, name=issuing.name), issuing, _chain(chain), "none of the server's CA certificates signed it")
    refuse(crl(issuing, since=-HOUR, until=2 * HOUR), issuing, _chain(chain), "and here it is 2026-03-01 09:00")
    refuse(crl(issuing, since=2 * HOUR, until=-HOUR), issuing, _chain(chain), "and here it is 2026-03-01 09:00")
    refuse(good[:-1] + bytes((good[-1] ^ 1,)), issuing, _chain(chain), "none of the server's CA certificates")
    refuse(good, issuing, (), "none of the server's CA certificates signed it")
    refuse(b"\x30\x00", issuing, _chain(chain), "not readable")
    refuse(b"", issuing, _chain(chain), "not readable")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (bytes.fromhex("0603551d14"), bytes.fromhex("0603551d23")),
        (bytes.fromhex("020101"), bytes.fromhex("020107")),
    ],
    ids=["an extension twice", "version"],
)
def test_what_the_library_trips_over(chain: tuple[Made, Made, Made], before: bytes, after: bytes) -> None:
    """A CRL with an extension twice or of an unknown version is refused like any that is not readable (CLI-006)."""
    octets = crl(chain[1], key=chain[1].key)
    assert octets.count(before) == 1
    refuse(octets.replace(before, after), chain[1], _chain(chain), "not readable")


def test_the_moment_of_the_next_update_is_too_late(chain: tuple[Made, Made, Made]) -> None:
    """A CRL ends with its nextUpdate."""
    issuer = chain[1].name.public_bytes()
    octets = crl(chain[1])
    assert judge_crl(octets, issuer, _chain(chain), NOW + HOUR - timedelta(seconds=1)).der == octets
    with pytest.raises(PeerError):
        judge_crl(octets, issuer, _chain(chain), NOW + HOUR)


def test_only_a_ca_with_the_right_signs_crls() -> None:
    """A CA whose keyUsage lacks cRLSign, and a certificate that is no CA, sign no CRL."""
    root = make("root", ec.generate_private_key(ec.SECP256R1()), usages=CA, ca=True)
    for other in (
        make("other", rsa_key(1), root, usages=("key_cert_sign",), ca=True),
        make("device", rsa_key(1), root, usages=("digital_signature", "crl_sign")),
    ):
        refuse(crl(other), other, (other.der, root.der), "none of the server's CA certificates signed it")
