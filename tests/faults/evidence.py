"""Evidence of a small run in which everything held, to be altered by tests of the checker."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import UUID

from tools.faults.checker import Evidence
from tools.faults.ledger import (
    CertificateRow,
    ChallengeRow,
    CrlRow,
    EnrolmentRow,
    EventRow,
    Ledger,
    RevocationRow,
)

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["NODE", "SECOND", "a_run", "altered", "certificate", "event"]

NODE = "127.0.0.1:8080"
LEASE = 2_000
SECOND = 1_000


def an_id(number: int) -> UUID:
    """Name a row."""
    return UUID(int=number)


def digest(*parts: object) -> bytes:
    """Hash something that stands for octets."""
    return hashlib.sha256(repr(parts).encode()).digest()


def certificate(number: int, *, state: str = "issued", enrolment: int | None = None) -> CertificateRow:
    """Row of the certificate with serial 0x100 + number, of the enrolment of that number."""
    return CertificateRow(
        id=an_id(number),
        kind="leaf",
        authority="default",
        serial=0x100 + number,
        state=state,
        key_sha256=digest("key", enrolment or number),
        enrolment_id=an_id(1_000 + (enrolment or number)),
        lease_until=number * SECOND + LEASE,
        created_at=number * SECOND,
        issued_at=number * SECOND if state == "issued" else None,
        tbs_sha256=digest("tbs", number),
        der=b"certificate %d" % number if state == "issued" else None,
    )


def an_enrolment(number: int, certificate_number: int, *, state: str = "issued") -> EnrolmentRow:
    """Row of an enrolment with the challenge of its number."""
    return EnrolmentRow(
        id=an_id(1_000 + number),
        transaction_id=b"transaction-%d" % number,
        key_sha256=digest("key", number),
        signer_serial=None,
        challenge_mac=digest("challenge", number),
        state=state,
        generation=None if state == "refused" else 0,
        certificate_id=None if state == "refused" else an_id(certificate_number),
        created_at=number * SECOND,
    )


def event(position: int, action: str, subject: str, **details: object) -> EventRow:
    """One record."""
    return EventRow("node/0", position, position, action, subject, details)


def a_signature(number: int) -> dict[str, Any]:
    """Line of the signer's journal about a certificate."""
    return {
        "row": str(an_id(number)),
        "committed": True,
        "kind": "certificate",
        "authority": "default",
        "number": f"{0x100 + number:x}",
        "tbs_sha256": digest("tbs", number).hex(),
        "signature_sha256": digest("signature", number).hex(),
    }


def a_receipt(number: int, certificate_number: int) -> dict[str, Any]:
    """Line of a device's journal about the certificate that it received."""
    return {
        "event": "received",
        "kind": "enrol",
        "transaction": (b"transaction-%d" % number).hex(),
        "key": digest("key", number).hex(),
        "signer": digest("signer", number).hex(),
        "serial": f"{0x100 + certificate_number:x}",
        "der": (b"certificate %d" % certificate_number).hex(),
    }


def a_poll(serial: int, status: str, at: float) -> dict[str, Any]:
    """Line of the relying party's journal about an OCSP answer."""
    return {"kind": "ocsp", "node": NODE, "serial": f"{serial:x}", "asked": at, "at": at + 0.1, "status": status}


def a_crl(number: int, at: float, listed: tuple[int, ...] = ()) -> dict[str, Any]:
    """Line of the relying party's journal about a new CRL."""
    return {
        "kind": "crl",
        "node": NODE,
        "at": at,
        "number": str(number),
        "sha256": digest("crl", number).hex(),
        "why": "",
        "gone": [],
        "listed": [f"{serial:x}" for serial in listed],
    }


def a_run() -> Evidence:
    """Three enrolments and a refusal.

    1 was interrupted and finished, and revoked later. 2 was abandoned and begun anew as 3. 4 was plain. 5 was refused.
    """
    ledger = Ledger(
        certificates=(
            certificate(1),
            certificate(2, state="abandoned", enrolment=2),
            certificate(3, enrolment=2),
            certificate(4),
        ),
        revocations=(
            RevocationRow(an_id(1), "default", 0x101, "administrator", 20 * SECOND),
            RevocationRow(an_id(2), "default", 0x102, "abandoned", 3 * SECOND),
        ),
        enrolments=(an_enrolment(1, 1), an_enrolment(2, 3), an_enrolment(4, 4), an_enrolment(5, 0, state="refused")),
        challenges=(
            *(ChallengeRow(an_id(2_000 + n), digest("challenge", n), an_id(1_000 + n)) for n in (1, 2, 4)),
            ChallengeRow(an_id(2_005), digest("challenge", 5), None),
        ),
        crls=(CrlRow(an_id(7_001), "default", 1, digest("crl", 1), 1), CrlRow(an_id(7_002), "default", 2, b"", 2)),
        events=(
            event(1, "certificate.intent", "certificate:101"),
            event(2, "certificate.issued", "certificate:101"),
            event(3, "certificate.intent", "certificate:102"),
            event(4, "certificate.abandoned", "certificate:102"),
            event(5, "certificate.intent", "certificate:103"),
            event(6, "certificate.issued", "certificate:103"),
            event(7, "certificate.intent", "certificate:104"),
            event(8, "certificate.issued", "certificate:104"),
            event(9, "enrolment.refused", "endpoint:default", enrolment=str(an_id(1_005))),
            event(10, "certificate.revoked", "certificate:101"),
        ),
    )
    return Evidence(
        ledger=ledger,
        signatures=[a_signature(1), a_signature(1), a_signature(3), a_signature(4)],
        clients=[a_receipt(1, 1), a_receipt(1, 1), a_receipt(2, 3), a_receipt(4, 4)],
        rogues=[
            {
                "kind": "other names",
                "transaction": b"transaction-5".hex(),
                "key": digest("key", 5).hex(),
                "challenge": str(an_id(2_005)),
                "outcome": "refused",
            }
        ],
        polls=[
            a_crl(1, 1.0),
            a_poll(0x101, "good", 2.0),
            a_poll(0x101, "revoked", 21.0),
            a_crl(2, 22.0, (0x101, 0x102)),
        ],
        interrupted=frozenset({an_id(1), an_id(2)}),
        broken_streams=(),
        recovered_at=100 * SECOND,
        burst=({"certificate": "4 rows"}, {"certificate": "4 rows"}),
    )


def altered(evidence: Evidence, **rows: Callable[[Any], Any]) -> Evidence:
    """Give the parts of the ledger that are named to a function, and take what it returns."""
    tables = {name: tuple(change(getattr(evidence.ledger, name))) for name, change in rows.items()}
    return replace(evidence, ledger=replace(evidence.ledger, **tables))
