"""Importing an authority that lived elsewhere, with its key: all is looked at before anything is kept."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from regalia import reasons
from regalia.ca.adoption import Adoption, Arrival
from regalia.ca.blocklist import blocked_by
from regalia.ca.carried_crl import read_carried
from regalia.ca.keycheck import check_key
from regalia.ca.profile import DEFAULT_DOCUMENT, read_profile
from regalia.ca.scopes import ROOT_SCOPE, ca_scope
from regalia.errors import AdminError, PeerError
from regalia.model import Action, AuthorityKind, EventDraft, Outcome, new_id
from regalia.ports import Authorities, Blocklists, Hierarchies
from regalia.wire.certificate import read_certificate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from regalia.ca.authority import Ceremony
    from regalia.ca.hierarchy import Hierarchy
    from regalia.model import Actor, Authority, JsonValue
    from regalia.ports import Clock, Entropy, NewKey

__all__ = ["Former", "ImportStore", "Importer", "Keep"]


class Keep(Protocol):
    """Keeps the key that is imported, wrapped or on its token, once everything else was found in order."""

    @property
    def public_key(self) -> bytes:
        """DER SubjectPublicKeyInfo, proven: the private half made a signature that verifies with it."""

    @property
    def origin(self) -> str:
        """Where it came from, for the audit log: `file`, `pkcs12`, or a PKCS #11 URI."""

    def keep(self, scope: str, told: Callable[[NewKey], Sequence[EventDraft]]) -> NewKey:
        """Keep it for this scope, with the events that `told` writes."""


class ImportStore(Authorities, Hierarchies, Blocklists, Protocol):
    """The ports that an import looks at and writes to."""


@dataclass(frozen=True, slots=True)
class Former:
    """An authority as it was where it comes from."""

    certificate: bytes
    """DER."""
    chain: tuple[bytes, ...] = ()
    """DER of what stands above it; the root too, where it is not known here."""
    crl: bytes | None = None
    """DER of its last CRL; None where it never made one."""


class Importer:
    """Imports roots and issuing authorities."""

    def __init__(
        self, ceremony: Ceremony, hierarchy: Hierarchy, *, store: ImportStore, clock: Clock, entropy: Entropy
    ) -> None:
        self._ceremony = ceremony
        self._hierarchy = hierarchy
        self._adoption = Adoption(store, clock, entropy)
        self._store = store
        self._clock = clock
        self._entropy = entropy

    def import_authority(self, name: str, former: Former, key: Keep, *, group: str | None, actor: Actor) -> Authority:
        """Take an authority over: a root, or with `group` an issuing authority with new RA and OCSP credentials.

        What its CRL revoked stays revoked, and the numbers of its CRLs go on (SEC-4). Raises `AdminError`: ADM-003 or
        ADM-005 for the name, ADM-030 for the certificate, ADM-032 for the CRL, ADM-033 for the key, each with all that
        is wrong.
        """
        self._ceremony.check_name(name)
        if self._store.authority_request(name) is not None:
            raise AdminError(reasons.NAME_TAKEN, f"request {name}")
        self._check_key(former, key.public_key)
        if group is None:
            self._adoption.check_root(former.certificate)
        else:
            self._adoption.check_issuing(former.certificate, former.chain, key=key.public_key)
        arrival = Arrival(
            name=name,
            certificate=former.certificate,
            key_id=new_id(self._clock.now(), self._entropy.octets(10)),
            group=group,
            action=Action.AUTHORITY_IMPORTED,
        )
        if former.crl is not None:
            kind = AuthorityKind.ROOT if group is None else AuthorityKind.ISSUING
            carried = read_carried(former.crl, former.certificate, kind)
            arrival = replace(arrival, revoked=carried.revoked(), crl_number=carried.number)
        kept = key.keep(ROOT_SCOPE if group is None else ca_scope(group), lambda new: self._told(new, key, actor))
        arrival = replace(arrival, key_id=kept.id)
        if group is None:
            return self._adoption.root(arrival, actor=actor)
        authority = self._adoption.issuing(arrival, former.chain, key=key.public_key, actor=actor)
        return self._hierarchy.with_credentials(authority, actor)

    def _check_key(self, former: Former, public_key: bytes) -> None:
        """Refuse a key that is another one, weak, or in use here already (KEY-1, KEY-2)."""
        faults = []
        if read_certificate(former.certificate).public_key != public_key:
            faults.append("it is not the key that the certificate certifies")
        allowing = read_profile(DEFAULT_DOCUMENT, name="ca", version=1, group="ca", now=self._clock.now())
        try:
            check_key(public_key, replace(allowing, rsa_min_bits=2048, curves=("p-256", "p-384")))
        except PeerError as error:
            faults.append(f"it is refused: {error.detail}")
        listed = blocked_by(self._store, public_key)
        if listed is not None:
            faults.append(f"its private half is known to strangers: it is on the list {listed}")
        if hashlib.sha256(public_key).digest() in self._store.own_keys():
            faults.append("it is the key of an authority or credential here already")
        if faults:
            raise AdminError(reasons.AUTHORITY_KEY_REFUSED, "\n".join(faults))

    def _told(self, new: NewKey, key: Keep, actor: Actor) -> tuple[EventDraft, ...]:
        details: dict[str, JsonValue] = {
            "origin": key.origin,
            "key_sha256": hashlib.sha256(new.public_key).hexdigest(),
        }
        now = self._clock.now()
        return (EventDraft(now, actor, Action.KEY_IMPORTED, f"key:{new.id}", Outcome.OK, details=details),)
