"""What a signer looks at in the octets: rows that somebody put on record and that no CA key may sign."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from keys.test_signer import AS_CA, NOW, ROW, Bench, a_list, a_tbs, subject_of
from regalia.ca.scopes import ROOT_SCOPE, ca_scope
from regalia.errors import InvariantError
from regalia.model import AuthorityKind, AuthorityRequest, CertificateKind, KeyKind
from regalia.wire.certificate import (
    Extension,
    authority_key_identifier,
    basic_constraints,
    key_usage,
    subject_key_identifier,
)
from regalia.wire.csr import encode_info
from regalia.wire.names import encode_name

if TYPE_CHECKING:
    from pathlib import Path

    from regalia.ports import NewKey

OTHER = encode_name(cn="another")
ROOT = encode_name(cn="root")
ROW_2 = UUID(int=2)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Make an empty bench."""
    return Bench(tmp_path)


@pytest.fixture
def key(bench: Bench) -> NewKey:
    """Make the key of an issuing authority to be."""
    return bench.keys.generate(KeyKind.P256, ca_scope("staff"))


def refused(bench: Bench, why: str) -> None:
    """See that the row gets no signature, and why."""
    with pytest.raises(InvariantError, match=why):
        bench.signer.sign_intent(ROW)


def test_a_refusal_is_in_the_log(bench: Bench, key: NewKey, capfd: pytest.CaptureFixture[str]) -> None:
    """R8: octets that are no certificate get no signature, and the log names row, key and fault."""
    bench.authority(key)
    bench.certificate(key, b"to be signed")
    refused(bench, "cannot be read")
    told = "".join(capfd.readouterr())
    for word in ("signature-refused", str(ROW), str(key.id), "cannot be read"):
        assert word in told


def test_a_key_signs_under_its_authoritys_name(bench: Bench, key: NewKey) -> None:
    """R8: a certificate that names another issuer gets no signature."""
    bench.authority(key)
    bench.certificate(key, a_tbs(OTHER, key.public_key))
    refused(bench, "its issuer is not ca-")


def test_a_key_signs_under_its_authoritys_key_identifier(bench: Bench, key: NewKey) -> None:
    """R8: a certificate that names another issuer's key gets no signature; one with its own key's gets one."""
    issuer = subject_of(bench.authority(key))
    bench.certificate(key, a_tbs(issuer, key.public_key, authority_key_identifier(b"\x01" * 20)))
    refused(bench, "its authority key identifier")
    bench.certificate(key, a_tbs(issuer, key.public_key, authority_key_identifier(bytes(20))), ROW_2)
    assert bench.signer.sign_intent(ROW_2)


@pytest.mark.parametrize("kind", ["leaf", "ra", "ocsp", "tls"])
@pytest.mark.parametrize(
    "extension",
    [basic_constraints(ca=True), key_usage(("keyCertSign",)), key_usage(("digitalSignature", "cRLSign"))],
    ids=["cA", "keyCertSign", "cRLSign"],
)
def test_what_devices_get_is_no_cas(bench: Bench, kind: str, extension: Extension) -> None:
    """R8: a row for a device or a service is not signed where its octets would make a CA of it, not by a root."""
    root = bench.keys.generate(KeyKind.P384, ROOT_SCOPE)
    issuer = subject_of(bench.authority(root, AuthorityKind.ROOT))
    bench.certificate(root, a_tbs(issuer, root.public_key, extension), kind=CertificateKind(kind))
    refused(bench, f"it is a CA's, in a row of kind {kind}")


@pytest.mark.parametrize("kind", ["issuing", "cross", "root"])
def test_only_a_root_makes_cas(bench: Bench, key: NewKey, kind: str) -> None:
    """R8: whatever its row is called, an issuing authority's key signs no CA's certificate, and a root's does."""
    bench.certificate(key, a_tbs(subject_of(bench.authority(key)), key.public_key, *AS_CA), kind=CertificateKind(kind))
    refused(bench, "it is a CA's")
    root = bench.keys.generate(KeyKind.P384, ROOT_SCOPE)
    issuer = subject_of(bench.authority(root, AuthorityKind.ROOT))
    bench.certificate(root, a_tbs(issuer, key.public_key, *AS_CA), ROW_2, CertificateKind(kind))
    assert bench.signer.sign_intent(ROW_2)


def test_a_new_key_signs_its_own_root_alone(bench: Bench, key: NewKey) -> None:
    """R8: a key that is no authority's yet signs a root's certificate of its own name and key, and nothing else."""
    root = bench.keys.generate(KeyKind.P384, ROOT_SCOPE)
    own = (*AS_CA, authority_key_identifier(bytes(20)))
    wrong = [
        a_tbs(ROOT, key.public_key, *own, subject=ROOT),
        a_tbs(OTHER, root.public_key, *own, subject=ROOT),
        a_tbs(ROOT, root.public_key, subject_key_identifier(b"\x01" * 20), own[-1], subject=ROOT),
    ]
    for number, tbs in enumerate(wrong, 2):
        bench.certificate(root, tbs, UUID(int=number), CertificateKind.ROOT)
        with pytest.raises(InvariantError, match="no root's own"):
            bench.signer.sign_intent(UUID(int=number))
    bench.certificate(root, a_tbs(ROOT, root.public_key, *own, subject=ROOT))
    refused(bench, "no root's own")
    bench.certificate(root, a_tbs(ROOT, root.public_key, *own, subject=ROOT), UUID(int=9), CertificateKind.ROOT)
    assert bench.signer.sign_intent(UUID(int=9))


def test_a_request_is_for_its_own_key(bench: Bench, key: NewKey) -> None:
    """R8: of an authority to be its key signs a CertificationRequestInfo for itself, and no certificate so."""
    other = bench.keys.generate(KeyKind.P256, ca_scope("staff"))
    faults = {
        "another key": encode_info(ROOT, other.public_key, AS_CA),
        "cannot be read": a_tbs(ROOT, key.public_key, *AS_CA),
    }
    for number, (why, info) in enumerate(faults.items(), 2):
        bench.store.add_authority_request(_request(key, info, UUID(int=number)), ())
        with pytest.raises(InvariantError, match=why):
            bench.signer.sign_intent(UUID(int=number))
    bench.store.add_authority_request(_request(key, encode_info(ROOT, key.public_key, AS_CA), ROW), ())
    assert bench.signer.sign_intent(ROW)


def test_a_crl_is_its_authoritys(bench: Bench, key: NewKey) -> None:
    """R8: a file that begins otherwise than as this authority's TBSCertList gets no signature."""
    issuer = subject_of(bench.authority(key))
    faults = [a_list(OTHER, KeyKind.P256), a_list(issuer, KeyKind.P384), (a_tbs(issuer, key.public_key),), (b"0",), ()]
    for number, chunks in enumerate(faults, 2):
        bench.crl(key, chunks, row=UUID(int=number), head=False)
        with pytest.raises(InvariantError, match="it is no CRL of ca-"):
            bench.signer.sign_intent(UUID(int=number))


def _request(key: NewKey, info: bytes, row: UUID) -> AuthorityRequest:
    return AuthorityRequest(row, f"ca-{row.int}", "staff", None, key.id, KeyKind.P256, info, None, NOW)
