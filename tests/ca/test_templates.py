"""Shapes of our own certificates."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from regalia.ca.templates import BACKDATE, Subject, issuing_tbs, ocsp_tbs, ra_tbs, root_tbs
from regalia.ca.urls import Urls
from regalia.model import Authority, AuthorityKind, AuthorityState, KeyKind
from regalia.wire.certificate import (
    TbsCertificate,
    assemble,
    encode_tbs,
    key_identifier,
    read_authority_key_identifier,
)

NOW = datetime(2026, 3, 1, 9, 0, 0, 987_000, tzinfo=UTC)
URLS = Urls("http://ca.example.org")
AUTHORITY_KEY_IDENTIFIER = "2.5.29.35"


def _spki() -> bytes:
    return (
        ec.generate_private_key(ec.SECP256R1())
        .public_key()
        .public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    )


def _subject(now: datetime = NOW) -> Subject:
    return Subject("Regalia Root", None, _spki(), 1 << 130, now)


def _authority(tbs: TbsCertificate) -> Authority:
    """Stand a certificate with an empty signature in as an authority's."""
    return Authority(
        name="root",
        kind=AuthorityKind.ROOT,
        parent=None,
        group=None,
        state=AuthorityState.ACTIVE,
        key_id=UUID(int=1),
        key_kind=KeyKind.P384,
        certificate_id=UUID(int=2),
        certificate_der=assemble(encode_tbs(tbs), tbs.signature, b""),
        created_at=NOW,
    )


def _named_issuer_key(tbs: TbsCertificate) -> bytes | None:
    (found,) = (extension for extension in tbs.extensions if extension.oid == AUTHORITY_KEY_IDENTIFIER)
    return read_authority_key_identifier(found.value)


def test_issuer_s_key_identifier_is_copied() -> None:
    """The authority key identifier is the issuer's own one, octet for octet, or computed where it has none."""
    root = root_tbs(KeyKind.P384, _subject())
    odd = replace(root.extensions[2], value=b"\x04\x02\xca\xfe")
    imported = _authority(replace(root, extensions=(*root.extensions[:2], odd)))
    assert _named_issuer_key(issuing_tbs(imported, _subject(), URLS)) == b"\xca\xfe"
    silent = _authority(replace(root, extensions=root.extensions[:2]))
    assert _named_issuer_key(ocsp_tbs(silent, _subject())) == key_identifier(root.public_key)


def test_certificates_know_whole_seconds() -> None:
    """Times are cut to seconds, so that a row and its certificate say the same."""
    root = root_tbs(KeyKind.P384, _subject())
    assert root.not_before == NOW.replace(microsecond=0) - BACKDATE
    assert root.not_after.microsecond == 0


@pytest.mark.parametrize("ahead", [timedelta(0), timedelta(minutes=1)])
def test_life_begins_within_the_issuer_s(ahead: timedelta) -> None:
    """Back-dating does not reach before the issuer's own beginning (POL-7)."""
    root = root_tbs(KeyKind.P384, _subject(NOW + timedelta(minutes=3)))
    made = ra_tbs(_authority(root), _subject(NOW + ahead), URLS)
    assert made.not_before == root.not_before
