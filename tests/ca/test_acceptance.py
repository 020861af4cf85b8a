"""What keeps a certificate that another CA made from being an authority's: each fault is told by its name."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from foreign_pki import NOW, ForeignCa, Shape
from regalia.ca.acceptance import authority_faults, build_path, key_kind_of, root_faults
from regalia.model import KeyKind

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = ForeignCa("Corp Root")
POLICY = ForeignCa("Corp Policy CA", ROOT, shape=Shape(path_length=1))


def faults(ca: ForeignCa, chain: Sequence[bytes] = (POLICY.der, ROOT.der), *, key: bytes | None = None) -> list[str]:
    """Judge a certificate with its chain."""
    return authority_faults(ca.der, build_path(ca.der, chain), key=key or ca.spki, now=NOW)


def one(shape: Shape, parent: ForeignCa = POLICY) -> list[str]:
    """Judge an issuing CA of this shape under the corporate PKI."""
    chain = (parent.der, POLICY.der, ROOT.der)
    return faults(ForeignCa("Issuing", parent, shape=shape), chain)


def test_a_good_certificate_has_no_faults() -> None:
    """A CA certificate under a complete chain is taken, in whatever order the chain comes."""
    assert one(Shape(path_length=0)) == []
    good = ForeignCa("Issuing", POLICY)
    assert build_path(good.der, (ROOT.der, good.der, POLICY.der)).above == (POLICY.der, ROOT.der)
    assert faults(good, (ROOT.der, POLICY.der)) == []


@pytest.mark.parametrize(
    ("shape", "told"),
    [
        (Shape(ca=False), "is not a CA: basicConstraints does not say so"),
        (Shape(usage=("digital_signature",)), "lacks the key usage cRLSign and keyCertSign"),
        (Shape(usage=("key_cert_sign",)), "lacks the key usage cRLSign"),
        (Shape(ski=False), "it has no subjectKeyIdentifier"),
        (Shape(not_before=NOW + timedelta(days=1)), "is not valid before 2026-03-02 09:00:00 UTC"),
        (Shape(not_after=NOW), "has expired on 2026-03-01 09:00:00 UTC"),
        (Shape(purposes=(ExtendedKeyUsageOID.SERVER_AUTH,)), "extended key usage without clientAuth"),
        (Shape(purposes=(ExtendedKeyUsageOID.CLIENT_AUTH,)), "extended key usage without OCSPSigning"),
        (Shape(critical=x509.ObjectIdentifier("1.3.6.1.4.1.99999.1")), "the critical extension 1.3.6.1.4.1.99999.1"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_fault_is_a_line(shape: Shape, told: str) -> None:
    """A certificate that is wrong in one way is refused with what is wrong."""
    assert any(told in line for line in one(shape)), one(shape)


def test_an_extended_key_usage_for_everything_is_fine() -> None:
    """ClientAuth with OCSPSigning, and anyExtendedKeyUsage, forbid nothing that an authority here does."""
    both = (ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.OCSP_SIGNING)
    assert one(Shape(purposes=both)) == []
    assert one(Shape(purposes=(ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,))) == []


def test_a_certificate_for_another_key_is_refused() -> None:
    """A certificate has to certify the key of the request."""
    (line,) = faults(ForeignCa("Issuing", POLICY), key=ROOT.spki)
    assert line.startswith("it certifies another key")


def test_a_missing_issuer_is_named() -> None:
    """A chain that ends before a root names the certificate that is missing."""
    good = ForeignCa("Issuing", POLICY)
    assert faults(good, ()) == [
        "the chain is incomplete: CN=Issuing was issued by CN=Corp Policy CA, whose certificate is not there"
    ]
    (line,) = faults(good, (POLICY.der,))
    assert "CN=Corp Policy CA was issued by CN=Corp Root, whose certificate is not there" in line


def test_an_issuer_with_another_key_is_told_apart() -> None:
    """A CA of the same name with another key is the wrong issuer, with or without key identifiers."""
    good = ForeignCa("Issuing", POLICY)
    namesake = ForeignCa("Corp Policy CA", ROOT)
    (line,) = faults(good, (namesake.der, ROOT.der))
    assert line.startswith("wrong issuer: CN=Issuing names the issuing key ")
    unnamed = ForeignCa("Corp Policy CA", ROOT, shape=Shape(ski=False))
    (line,) = faults(good, (unnamed.der, ROOT.der))
    assert line == "the signature of CN=Issuing does not verify with the key of CN=Corp Policy CA"


def test_what_stands_above_is_judged_too() -> None:
    """An issuer that has expired, is no CA, or allows none below it spoils what it signed."""
    for shape, told in (
        (Shape(not_after=NOW), "CN=Bad has expired"),
        (Shape(ca=False), "CN=Bad is not a CA"),
        (Shape(path_length=0), "CN=Bad allows 0 CAs below it (pathLenConstraint), and there are 1"),
    ):
        bad = ForeignCa("Bad", ROOT, shape=shape)
        lines = faults(ForeignCa("Issuing", bad), (bad.der, ROOT.der))
        assert any(line.startswith(told) for line in lines), lines
    narrow = ForeignCa("Narrow", ROOT, shape=Shape(path_length=1))
    middle = ForeignCa("Middle", narrow)
    (line,) = faults(ForeignCa("Issuing", middle), (middle.der, narrow.der, ROOT.der))
    assert line == "CN=Narrow allows 1 CAs below it (pathLenConstraint), and there are 2"


def test_weak_and_unusual_keys_are_refused() -> None:
    """RSA keys below 2048 bits, and curves that no authority here signs on, are refused."""
    weak_key = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505 - what is refused
    lines = faults(ForeignCa("Issuing", POLICY, key=weak_key))
    assert any("the key of CN=Issuing is weak or unusual: it is an RSA key of 1024 bits" in line for line in lines)
    issuing = ForeignCa("Issuing", POLICY, key=ec.generate_private_key(ec.SECP521R1()))
    assert any("is neither P-256 or P-384 nor RSA" in line for line in faults(issuing))


def test_a_loop_is_no_chain() -> None:
    """Two CAs that certify each other and nobody else lead to no root (RES-4)."""
    first = ForeignCa("First")
    second = ForeignCa("Second", first)
    crossed = second.certify(first.name, first.key.public_key(), Shape()).public_bytes(serialization.Encoding.DER)
    path = build_path(second.der, (crossed, second.der))
    assert path.fault is not None
    assert "more than 8" in path.fault


def test_a_root_signs_itself() -> None:
    """A root's certificate is a CA's, signed with its own key; an intermediate one is not a root."""
    assert root_faults(ROOT.der, now=NOW) == []
    (line,) = root_faults(POLICY.der, now=NOW)
    assert line == "CN=Corp Policy CA is not a root: it is not signed with its own key"
    assert "is not a CA" in " ".join(root_faults(ForeignCa("Leaf", shape=Shape(ca=False)).der, now=NOW))
    assert root_faults(b"nothing", now=NOW)[0].startswith("it cannot be read")


def test_kinds_of_keys() -> None:
    """The kind of a key decides what its authority signs with; other kinds have none."""
    assert key_kind_of(ROOT.spki) is KeyKind.P256
    other = ForeignCa("Other", key=ec.generate_private_key(ec.SECP384R1()), shape=Shape(hash=hashes.SHA384()))
    assert key_kind_of(other.spki) is KeyKind.P384
    assert key_kind_of(b"nothing") is None
