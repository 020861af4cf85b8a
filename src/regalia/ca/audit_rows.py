"""A certificate beside its row and beside the log: where they disagree, somebody changed one of them."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from regalia.ca.issue import certificate_event
from regalia.model import Action, CertificateKind, CertificateState
from regalia.wire import der, oids
from regalia.wire.names import name_text, read_name, read_sans, text_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from regalia.model import Certificate, Event, JsonValue
    from regalia.wire.certificate import CertificateFacts

__all__ = ["ARRIVALS", "beside_the_row", "came_from_elsewhere", "on_record"]

ARRIVALS: Final = frozenset(
    {Action.AUTHORITY_ACCEPTED, Action.AUTHORITY_IMPORTED, Action.AUTHORITY_CROSSED, Action.HOME_RESTORED}
)
"""How what was not issued by this database comes to be in its table."""

_PSEUDONYM: Final = "~"
"""How what was forgotten begins (PRIV-1): it is compared with nothing."""
_AUTHORITIES: Final = frozenset({CertificateKind.ROOT, CertificateKind.ISSUING, CertificateKind.CROSS})


def beside_the_row(certificate: Certificate, facts: CertificateFacts) -> Iterator[str]:
    """Compare each column with what the certificate says."""
    intent = certificate.intent
    pairs = (
        ("serial", facts.serial, intent.serial),
        ("subject", name_text(facts.subject), intent.subject),
        ("key", hashlib.sha256(facts.public_key).digest(), intent.key_sha256),
        ("beginning", facts.not_before, intent.not_before),
        ("end", facts.not_after, intent.not_after),
        ("kind", facts.is_ca, intent.kind in _AUTHORITIES),
    )
    yield from (f"the row has another {what} than the certificate" for what, said, kept in pairs if said != kept)
    if intent.kind is CertificateKind.LEAF:
        yield from _names(certificate, facts)
    if int.from_bytes(certificate.id.bytes[:6], "big") != int(intent.created_at.timestamp() * 1000):
        yield "the row says that it was begun at another time than its id"


def _names(certificate: Certificate, facts: CertificateFacts) -> Iterator[str]:
    try:
        common = [
            text_of(value)
            for rdn in read_name(facts.subject)
            for attribute, value in rdn
            if attribute == oids.AT_COMMON_NAME
        ]
        extension = facts.extension(oids.CE_SUBJECT_ALT_NAME)
        sans = read_sans(extension.value) if extension is not None else frozenset()
    except der.DerError as error:
        yield f"its names cannot be read: {error}"
        return
    names = certificate.intent.names
    if common != ([] if names.cn is None else [names.cn]) or sans != names.sans:
        yield "the row has other names than the certificate"


def came_from_elsewhere(certificate: Certificate, events: Sequence[Event], arrivals: Sequence[Event]) -> bool:
    """Whether it was not issued here, and the log says how it came: with an authority that was accepted or imported.

    What an imported authority had revoked has rows without octets, which nobody can take for a certificate; so has
    what a restore learnt from the published CRLs alone.
    """
    if any(event.draft.action is Action.CERTIFICATE_INTENT for event in events):
        return False
    told = [event.draft for event in arrivals]
    if certificate.state is CertificateState.ABANDONED and certificate.der is None:
        came_with = f"authority:{certificate.intent.authority}"
        imported = any(each.object == came_with and each.action is Action.AUTHORITY_IMPORTED for each in told)
        recalled = any(each.action is Action.HOME_RESTORED and each.details.get("not_on_record") for each in told)
        return (
            (imported or recalled) and certificate.revocation is not None and certificate.revocation.cause == "imported"
        )
    if certificate.der is None or certificate.intent.kind not in _AUTHORITIES:
        return False
    digest = hashlib.sha256(certificate.der).hexdigest()
    return any(
        each.serial == f"{certificate.serial:x}" and each.details.get("sha256", digest) == digest for each in told
    )


def on_record(certificate: Certificate, events: Sequence[Event]) -> Iterator[str]:
    """Compare the row with what the log says: no certificate without its event (AUD-1)."""
    told = {event.draft.action: event for event in events}
    begun, issued = told.get(Action.CERTIFICATE_INTENT), told.get(Action.CERTIFICATE_ISSUED)
    if begun is None:
        yield "the log does not say that it was begun"
    else:
        yield from _otherwise(certificate, begun)
    if certificate.state is CertificateState.ISSUED and issued is None:
        yield "the log does not say that it was issued"
    if certificate.state is not CertificateState.ISSUED and issued is not None:
        yield f"the log says that it was issued, and the row that it is {certificate.state}"


def _otherwise(certificate: Certificate, begun: Event) -> Iterator[str]:
    """Tell the row once more, as it was told when it was begun, and compare."""
    draft = begun.draft
    again = certificate_event(Action.CERTIFICATE_INTENT, certificate.intent, draft.actor, draft.at)
    expected: dict[str, JsonValue] = dict(again.details)
    if certificate.intent.enrolment_id is not None:
        expected["enrolment"] = str(certificate.intent.enrolment_id)
    if draft.group != certificate.intent.group:
        yield "the log says that it was begun for another group"
    said = dict(draft.details)
    for key in sorted(expected.keys() | (said.keys() & _COMPARED)):
        value = said.get(key)
        if value != expected.get(key) and not (isinstance(value, str) and value.startswith(_PSEUDONYM)):
            yield f"the log says something else of its {key.replace('_', ' ')}"


_COMPARED: Final = frozenset({"profile", "unverified", "device", "device_id", "user_id", "enrolment"})
"""What stands in a record only where there is something of the kind."""
