"""Contract of requests, and of authorities, certificates and CRLs that were made elsewhere."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from regalia.model import (
    AuthorityKind,
    AuthorityRequest,
    CertificateKind,
    CrlRecord,
    KeyKind,
    RevocationReason,
    RevokedEntry,
    new_id,
)
from regalia.ports import Adopted, EventFilter
from store.samples import (
    NOW,
    a_credential,
    a_group,
    a_profile,
    an_authority,
    an_endpoint,
    an_event,
    an_intent,
    octets,
)
from store.test_contract_catalogue import furnish

if TYPE_CHECKING:
    from regalia.ports import Store


def a_request(name: str = "staff-ca-2") -> AuthorityRequest:
    """A request that is to be signed."""
    return AuthorityRequest(
        id=new_id(NOW, octets(f"id of {name}", 10)),
        name=name,
        group="staff",
        parent="root",
        key_id=new_id(NOW, octets(f"key of {name}", 10)),
        key_kind=KeyKind.P256,
        info=octets(f"info of {name}", 300),
        csr=None,
        created_at=NOW,
    )


def adopted(name: str = "staff-ca-2", number: int = 2, **more: object) -> Adopted:
    """An authority that was made elsewhere."""
    intent = replace(an_intent(number), kind=CertificateKind.ISSUING, authority="root")
    authority = replace(an_authority(name, "root", number), certificate_id=intent.id)
    return Adopted(authority, intent, **more)  # type: ignore[arg-type]  # the caller's


def test_a_request_is_an_intent_until_it_is_signed(store: Store) -> None:
    """What a signer may read of a request is there from its commit to its signature, once (R8)."""
    request = a_request()
    assert store.add_authority_request(request, (an_event(),))
    assert store.authority_request("staff-ca-2") == request
    intent = store.signing_intent(request.id)
    assert intent is not None
    assert (intent.key_id, intent.tbs, intent.tbs_path) == (request.key_id, request.info, None)
    assert store.sign_authority_request(request.id, b"csr", ())
    assert store.signing_intent(request.id) is None
    assert not store.sign_authority_request(request.id, b"other", (an_event(),))
    assert store.authority_requests() == (replace(request, csr=b"csr"),)
    assert len(store.events(EventFilter())) == 1


def test_a_request_has_a_name_of_its_own(store: Store) -> None:
    """No request takes the name of an authority or of another request."""
    store.begin(replace(an_intent(1), kind=CertificateKind.ROOT), ())
    assert store.add_authority(an_authority("root", None, 1), ())
    assert not store.add_authority_request(a_request("root"), (an_event(),))
    assert store.add_authority_request(a_request(), ())
    assert not store.add_authority_request(replace(a_request(), id=new_id(NOW, octets("other", 10))), (an_event(),))
    assert store.events(EventFilter()) == ()
    assert store.drop_authority_request("staff-ca-2", ())
    assert not store.drop_authority_request("staff-ca-2", (an_event(),))
    assert store.authority_request("staff-ca-2") is None
    assert store.authority_request("no\x00body") is None


def test_an_adopted_authority_is_like_one_that_was_made_here(store: Store) -> None:
    """Its certificate has a row, issued, its key is one of our own, and its request is gone."""
    one = adopted()
    assert store.add_authority_request(a_request(), ())
    assert store.adopt_authority(one, b"der", (an_event(),))
    assert store.authority("staff-ca-2") == one.authority
    row = store.certificate(one.certificate.id)
    assert row is not None
    assert (row.der, row.state, row.issued_at) == (b"der", "issued", one.certificate.created_at)
    assert store.authority_request("staff-ca-2") is None
    assert store.own_keys() == {one.certificate.key_sha256}
    assert not store.adopt_authority(adopted(number=3), b"der", (an_event(),))
    assert not store.adopt_authority(adopted("other"), b"der", (an_event(),)), "a serial of its issuer is taken"
    assert store.authority("other") is None
    assert len(store.events(EventFilter())) == 1


def test_what_an_adopted_authority_had_revoked_stays_revoked(store: Store) -> None:
    """Serials of its former life are in its lists and in OCSP, and its CRL numbers go on (SEC-4)."""
    at = round(NOW.timestamp() * 1000)
    far = NOW + timedelta(days=36_500)
    number = int(far.timestamp() * 1_000_000_000)
    entries = (
        RevokedEntry((7).to_bytes(20, "big"), at, RevocationReason.KEY_COMPROMISE),
        RevokedEntry((9).to_bytes(20, "big"), at, RevocationReason.CERTIFICATE_HOLD),
    )
    assert store.adopt_authority(adopted(revoked=entries, crl_number=number), b"der", ())
    status = store.serial_status("staff-ca-2", 7)
    assert status is not None
    assert not status.issued
    assert status.revocation is not None
    assert (status.revocation.reason, status.revocation.at) == (RevocationReason.KEY_COMPROMISE, NOW)
    assert store.serial_status("staff-ca-2", 8) is None
    assert store.revocation_count("staff-ca-2") == 2
    reserved = store.reserve_crl(new_id(NOW, octets("crl", 10)), "staff-ca-2", NOW)
    assert reserved.number == number + 1
    listed = b"".join(b"".join(page) for page in store.crl_entries("staff-ca-2", range(1), reserved.snapshot, NOW))
    assert listed.count(b"\x02\x01\x07") == listed.count(b"\x02\x01\x09") == 1


def test_a_serial_that_only_a_crl_knows_gets_a_row(store: Store) -> None:
    """SEC-4: it is listed and answered as revoked from then on; what has a row already keeps its own."""
    assert store.adopt_authority(adopted(), b"der", ())
    authority = store.authority("staff-ca-2")
    assert authority is not None
    entry = RevokedEntry((21).to_bytes(20, "big"), round(NOW.timestamp() * 1000), RevocationReason.SUPERSEDED)
    until = NOW + timedelta(days=30)
    assert store.keep_revoked(authority, until, (entry,), (an_event(),)) == 1
    assert store.keep_revoked(authority, until, (entry,), ()) == 0
    status = store.serial_status("staff-ca-2", 21)
    assert status is not None
    assert status.revocation is not None
    assert status.revocation.reason is RevocationReason.SUPERSEDED


def test_a_certificate_from_elsewhere_is_kept_once(store: Store) -> None:
    """A cross-certificate that was made elsewhere has a row like one that was made here."""
    intent = replace(an_intent(4), kind=CertificateKind.CROSS)
    assert store.keep_certificate(intent, b"der", (an_event(),))
    row = store.certificate(intent.id)
    assert row is not None
    assert (row.intent.kind, row.der, row.state) == (CertificateKind.CROSS, b"der", "issued")
    again = replace(intent, id=new_id(NOW, octets("again", 10)))
    assert not store.keep_certificate(again, b"der", (an_event(),))
    assert len(store.events(EventFilter())) == 1


def a_crl(number: int, octets_: bytes) -> CrlRecord:
    """A CRL of the root that was signed elsewhere."""
    return CrlRecord(
        authority="root",
        number=number,
        this_update=NOW,
        next_update=NOW + timedelta(days=365),
        entries=3,
        snapshot=0,
        sha256=hashlib.sha256(octets_).digest(),
        published_at=NOW,
    )


def test_an_imported_crl_is_the_published_one(store: Store) -> None:
    """A CRL from elsewhere is read back octet for octet, and only a higher number takes its place."""
    first, second = bytes(range(256)) * 2_000, b"second"
    one, two = a_crl(10, first), a_crl(12, second)
    assert store.import_crl(new_id(NOW, octets("one", 10)), one, first, (an_event(),))
    assert store.last_crl("root") == one
    assert b"".join(store.crl_octets(one)) == first
    assert not store.import_crl(new_id(NOW, octets("same", 10)), one, first, (an_event(),))
    assert not store.import_crl(new_id(NOW, octets("old", 10)), a_crl(9, first), first, (an_event(),))
    assert store.import_crl(new_id(NOW, octets("two", 10)), two, second, ())
    assert store.last_crl("root") == two
    assert b"".join(store.crl_octets(two)) == second
    assert b"".join(store.crl_octets(one)) == b""
    assert len(store.events(EventFilter())) == 1


def test_the_door_knows_what_stands_between(store: Store) -> None:
    """A door of a group under another PKI has all CAs up to the root, in their order."""
    furnish(store)
    door = store.door("default")
    assert door is not None
    assert (door.root.name, door.between) == ("root", ())
    kinds = {"corp-root": (AuthorityKind.ROOT, None, 20), "corp-ca": (AuthorityKind.INTERMEDIATE, "corp-root", 21)}
    for name, (kind, parent, number) in kinds.items():
        base = adopted(name, number)
        assert store.adopt_authority(
            replace(base, authority=replace(base.authority, kind=kind, parent=parent, group=None)), b"der", ()
        )
    below = adopted("staff-ca-3", 22)
    below = replace(below, authority=replace(below.authority, parent="corp-ca", group="corp"))
    assert store.adopt_authority(below, b"der", ())
    store.begin(replace(an_intent(23), kind=CertificateKind.RA), ())
    store.add_credential(replace(a_credential(23), group="corp", authority="staff-ca-3"), ())
    assert store.add_group(replace(a_group(), name="corp", authority="staff-ca-3"), ())
    assert store.add_profile(replace(a_profile(), name="corp", group="corp"), ())
    assert store.add_endpoint(replace(an_endpoint(), name="corp", group="corp", profile="corp"), ())
    door = store.door("corp")
    assert door is not None
    assert [above.name for above in (*door.between, door.root)] == ["corp-ca", "corp-root"]
