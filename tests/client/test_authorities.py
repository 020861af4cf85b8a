"""Which certificates a client believes, on chains that pyca/cryptography made."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from client.service import fingerprint_of
from regalia import reasons
from regalia.client.authorities import (
    NOT_PINNED,
    PINNED_BY_SHA1,
    PINNED_RA,
    ending,
    issued_by,
    judge,
    read_pin,
)
from regalia.errors import PeerError
from world import rsa_key

if TYPE_CHECKING:
    from regalia.errors import Reason

NOW = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
BOTH = ("digital_signature", "key_encipherment")
CA = ("key_cert_sign", "crl_sign")
USAGES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)
Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@dataclass(frozen=True)
class Made:
    """A certificate and its key."""

    der: bytes
    key: Key
    name: x509.Name


def make(
    cn: str,
    key: Key,
    issuer: Made | None = None,
    *,
    usages: tuple[str, ...] | None = BOTH,
    ca: bool = False,
    days: int = 30,
) -> Made:
    """Make a certificate; self-signed without an issuer, without keyUsage where `usages` is None."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, cn)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer.name if issuer else name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(days=30))
        .not_valid_after(NOW + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca, None), critical=True)
    )
    if usages is not None:
        bits = {usage: usage in usages for usage in USAGES}
        builder = builder.add_extension(x509.KeyUsage(**bits), critical=True)
    certificate = builder.sign(issuer.key if issuer else key, hashes.SHA256())
    return Made(certificate.public_bytes(serialization.Encoding.DER), key, name)


def make_chain(mark: str = "") -> tuple[Made, Made, Made]:
    """RA, issuing CA, root."""
    root = make(f"root{mark}", ec.generate_private_key(ec.SECP384R1()), usages=CA, ca=True)
    issuing = make(f"issuing{mark}", ec.generate_private_key(ec.SECP256R1()), root, usages=CA, ca=True)
    return make(f"ra{mark}", rsa_key(0), issuing), issuing, root


def ders(*made: Made) -> list[bytes]:
    """Their octets."""
    return [each.der for each in made]


@pytest.fixture(scope="module")
def chain() -> tuple[Made, Made, Made]:
    """RA, issuing CA, root."""
    return make_chain()


def test_finds_each_by_its_use(chain: tuple[Made, Made, Made]) -> None:
    """The RA is found by its keyUsage and the chain by its signatures, whatever the order of the answer."""
    ra, issuing, root = chain
    for answer in (ders(ra, issuing, root), ders(root, ra, issuing), ders(root, issuing, ra, ra)):
        believed = judge(answer, read_pin(fingerprint_of(root.der)), NOW)
        assert (believed.recipient, believed.signers) == (ra.der, (ra.der,))
        assert believed.chain == (issuing.der, root.der)
        assert believed.warnings == ()


@pytest.mark.parametrize("index", [0, 1, 2], ids=["RA", "issuing CA", "root"])
def test_any_certificate_of_the_chain_may_be_pinned(chain: tuple[Made, Made, Made], index: int) -> None:
    """The fingerprint may be of the RA, the issuing CA or the root; only the RA's leaves the CAs unvouched."""
    believed = judge(ders(*chain), read_pin(fingerprint_of(chain[index].der)), NOW)
    assert believed.warnings == ((PINNED_RA,) if index == 0 else ())


def test_sha1_pins_are_warned_of(chain: tuple[Made, Made, Made]) -> None:
    """A SHA-1 fingerprint is compared, with a warning in the result."""
    sha1 = fingerprint_of(chain[2].der, hashes.SHA1())  # noqa: S303 - what old consoles print
    assert judge(ders(*chain), read_pin(sha1), NOW).warnings == (PINNED_BY_SHA1,)


def test_belief_without_a_pin_is_warned_of(chain: tuple[Made, Made, Made]) -> None:
    """Without a fingerprint the result says that nobody vouches for the server."""
    assert judge(ders(*chain), None, NOW).warnings == (NOT_PINNED,)


def test_the_root_may_be_left_out(chain: tuple[Made, Made, Made]) -> None:
    """A chain that ends at the issuing CA is believed on that CA's fingerprint (R2)."""
    ra, issuing, _ = chain
    assert judge(ders(ra, issuing), read_pin(fingerprint_of(issuing.der)), NOW).chain == (issuing.der,)


def test_a_ca_may_be_its_own_ra() -> None:
    """A single RSA CA with all uses is recipient, signer and chain (RFC 8894 §2.1.2)."""
    alone = make("alone", rsa_key(0), usages=BOTH + CA, ca=True)
    believed = judge(ders(alone), read_pin(fingerprint_of(alone.der)), NOW)
    assert (believed.recipient, believed.signers, believed.chain) == (alone.der, (alone.der,), (alone.der,))


def test_an_ra_goes_before_a_ca(chain: tuple[Made, Made, Made]) -> None:
    """Where CA and RA could both decrypt, the RA is the recipient."""
    root = make("rsa root", rsa_key(1), usages=BOTH + CA, ca=True)
    ra = make("ra", rsa_key(0), root)
    assert judge(ders(root, ra), None, NOW).recipient == ra.der
    assert judge(ders(root, ra, *chain[1:]), None, NOW).chain == (root.der,)


def test_ndes_has_two_ra_certificates() -> None:
    """One certificate to encrypt to and another that signs, both of one CA, are told apart by keyUsage."""
    root = make("root", ec.generate_private_key(ec.SECP256R1()), usages=CA, ca=True)
    sealing = make("CEP Encryption", rsa_key(0), root, usages=("key_encipherment",))
    signing = make("Exchange Enrollment Agent", rsa_key(1), root, usages=("digital_signature",))
    believed = judge(ders(signing, sealing, root), None, NOW)
    assert (believed.recipient, believed.signers) == (sealing.der, (signing.der,))


def _without_ra() -> list[bytes]:
    return ders(*make_chain()[1:])


def _ra_without_usage() -> list[bytes]:
    _, issuing, root = make_chain()
    return ders(make("ra", rsa_key(0), issuing, usages=None), issuing, root)


def _ra_that_cannot_sign() -> list[bytes]:
    _, issuing, root = make_chain()
    return ders(make("ra", rsa_key(0), issuing, usages=("key_encipherment",)), issuing, root)


def _ra_with_ec_key() -> list[bytes]:
    _, issuing, root = make_chain()
    return ders(make("ra", ec.generate_private_key(ec.SECP256R1()), issuing), issuing, root)


def _ra_alone() -> list[bytes]:
    return ders(make_chain()[0])


def _ra_of_another_ca() -> list[bytes]:
    """An issuing CA of the same name, which did not sign the RA."""
    return ders(make_chain()[0], *make_chain()[1:])


def _issued_by_a_leaf() -> list[bytes]:
    _, issuing, root = make_chain()
    device = make("device", rsa_key(1), issuing, usages=("digital_signature",))
    return ders(make("ra", rsa_key(0), device), device, issuing, root)


def _issued_by_a_leaf_without_usage() -> list[bytes]:
    _, issuing, root = make_chain()
    device = make("device", rsa_key(1), issuing, usages=None)
    return ders(make("ra", rsa_key(0), device), device, issuing, root)


def _issued_by_a_ca_without_the_right() -> list[bytes]:
    root = make("root", ec.generate_private_key(ec.SECP256R1()), usages=("crl_sign",), ca=True)
    return ders(make("ra", rsa_key(0), root), root)


def _expired() -> list[bytes]:
    _, issuing, root = make_chain()
    return ders(make("ra", rsa_key(0), issuing, days=-1), issuing, root)


def _too_many() -> list[bytes]:
    ra, issuing, root = make_chain()
    return ders(ra, issuing, root) + [make(str(n), root.key, root).der for n in range(8)]


def _too_long() -> list[bytes]:
    above = make("root", ec.generate_private_key(ec.SECP256R1()), usages=CA, ca=True)
    made = [above]
    for depth in range(5):
        above = make(f"ca {depth}", ec.generate_private_key(ec.SECP256R1()), above, usages=CA, ca=True)
        made.append(above)
    return ders(make("ra", rsa_key(0), above), *made)


def _unreadable() -> list[bytes]:
    return [*ders(*make_chain()), b"\x30\x00"]


@pytest.mark.parametrize(
    ("make_answer", "told"),
    [
        (_without_ra, "has keyEncipherment"),
        (_ra_without_usage, "has keyEncipherment"),
        (_ra_that_cannot_sign, "has no digitalSignature"),
        (_ra_with_ec_key, "has keyEncipherment"),
        (_ra_alone, "none of its CA certificates signed CN=ra"),
        (_ra_of_another_ca, "none of its CA certificates signed CN=ra"),
        (_issued_by_a_leaf, "none of its CA certificates signed CN=ra"),
        (_issued_by_a_leaf_without_usage, "none of its CA certificates signed CN=ra"),
        (_issued_by_a_ca_without_the_right, "none of its CA certificates signed CN=ra"),
        (_expired, "and here it is 2026-03-01 09:00"),
        (_too_many, "it holds 11 certificates"),
        (_too_long, "too long"),
        (_unreadable, "not readable"),
    ],
)
def test_unusable_answers(make_answer: object, told: str) -> None:
    """An answer without a certificate that can serve, or without a chain that verifies, is refused (CLI-005, RES-4)."""
    assert callable(make_answer)
    refuse(make_answer(), None, reasons.CLIENT_CA_UNUSABLE, told)


def refuse(answer: list[bytes], fingerprint: str | None, reason: Reason, told: str) -> None:
    """Expect a refusal."""
    with pytest.raises(PeerError) as refused:
        judge(answer, read_pin(fingerprint) if fingerprint is not None else None, NOW)
    assert refused.value.reason is reason
    assert told in refused.value.detail


def test_a_genuine_root_beside_a_foreign_ra_is_no_proof(chain: tuple[Made, Made, Made]) -> None:
    """Somebody in between who adds the genuine certificates to his own chain does not pass the fingerprint (SIG-3)."""
    foreign = make_chain(" of somebody else")
    for answer in (ders(*foreign, *chain[1:]), ders(foreign[0], foreign[1], foreign[2], chain[2])):
        refuse(answer, fingerprint_of(chain[2].der), reasons.CLIENT_FINGERPRINT, "of somebody else")


def test_a_root_of_the_same_name_is_no_proof(chain: tuple[Made, Made, Made]) -> None:
    """A chain with the same names under other keys does not pass the fingerprint, also mixed with the genuine one."""
    forged = make_chain()
    refuse(ders(*forged), fingerprint_of(chain[2].der), reasons.CLIENT_FINGERPRINT, "CN=root")
    refuse(ders(*forged, *chain[1:]), fingerprint_of(chain[2].der), reasons.CLIENT_FINGERPRINT, "CN=root")


@pytest.mark.parametrize("text", ["", "abc", "zz" * 32, "ab" * 31, "ab" * 16, "é" * 64])
def test_what_is_no_fingerprint(text: str) -> None:
    """A text that is neither 64 nor 40 hex digits is refused before anything is asked (CLI-004)."""
    with pytest.raises(PeerError) as refused:
        read_pin(text)
    assert refused.value.reason is reasons.CLIENT_FINGERPRINT


def test_fingerprints_in_the_forms_that_tools_print(chain: tuple[Made, Made, Made]) -> None:
    """Colons, spaces, upper case and openssl's prefix are read over."""
    digits = fingerprint_of(chain[2].der)
    pairs = [digits[at : at + 2].upper() for at in range(0, 64, 2)]
    for text in (digits, digits.upper(), ":".join(pairs), " ".join(pairs), f"sha256 Fingerprint={':'.join(pairs)}\n"):
        assert read_pin(text) == read_pin(digits)


def test_issued_by_never_raises(chain: tuple[Made, Made, Made]) -> None:
    """Octets that are no certificates were issued by nobody."""
    assert issued_by(chain[0].der, chain[1].der)
    assert not issued_by(chain[0].der, b"")
    assert not issued_by(b"\x30\x00", chain[1].der)
    assert not issued_by(chain[1].der, chain[0].der)


def test_a_ca_near_its_end_is_noticed(chain: tuple[Made, Made, Made]) -> None:
    """Of a chain, the CAs that have lived 80 % of their life are named: their successors are to be asked for."""
    root = chain[2]
    old = make("old", ec.generate_private_key(ec.SECP256R1()), root, usages=CA, ca=True, days=7)
    assert [facts.subject for facts in ending(ders(old, root), NOW)] == [old.name.public_bytes()]
    assert ending(ders(old, root), NOW - timedelta(days=1)) == ()
    assert len(ending(ders(old, root), NOW + timedelta(days=19))) == 2
