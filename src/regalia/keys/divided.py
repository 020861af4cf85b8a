"""Keys of a process that divides them: what faces use lies here, CA keys lie with whoever signs (R10).

That is another process, another host, or for a command a part of this one. A group's may be with another signer than
the rest. Which key is a CA's, and which group's, is in the inventory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from regalia import reasons
from regalia.ca.scopes import ROOT_SCOPE, ca_group, opens_for_faces
from regalia.errors import AdminError
from regalia.keys.home_keys import HomeKeys
from regalia.ports import ELSEWHERE, Intents, KeyRecords

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path
    from uuid import UUID

    from regalia.keys.pkcs11 import TokenKey
    from regalia.keys.shares import SharedKey, Split
    from regalia.keys.signer import LocalSigner
    from regalia.keys.software import SoftwareKeys
    from regalia.keys.token_keys import TokenKeys
    from regalia.keys.wrapping import Keypair
    from regalia.model import EventDraft, KeyKind
    from regalia.ports import NewKey, PrivateKey

__all__ = ["CaHolder", "DividedKeys", "DividedSigner", "KeyLookup", "KeysHere"]


class CaHolder(Protocol):
    """Whoever has CA keys: signs committed intents with them, makes them and ends them."""

    def sign_intent(self, row_id: UUID) -> bytes:
        """See `ports.IntentSigner`."""

    def repeats(self, key_id: UUID) -> bool:
        """See `ports.IntentSigner`."""

    def generate(
        self, kind: KeyKind, scope: str, told: Callable[[NewKey], Sequence[EventDraft]] = lambda _: ()
    ) -> NewKey:
        """See `ports.KeyStore`."""

    def holds(self, key_id: UUID) -> bool:
        """See `ports.KeyStore`."""

    def prove(self, key_id: UUID) -> None:
        """See that a key can be used."""

    def move_out(self, key_id: UUID, directory: Path, events: Sequence[EventDraft] = ()) -> Path:
        """See `ports.KeyStore`."""

    def destroy(self, key_id: UUID, events: Sequence[EventDraft]) -> bool:
        """See `ports.KeyStore`."""

    def find_by_uri(self, uri: str) -> TokenKey:
        """Look up a key on the holder's token."""

    def adopt(self, uri: str, scope: str, told: Callable[[NewKey], Sequence[EventDraft]] = lambda _: ()) -> NewKey:
        """Record a key that somebody made on the holder's token."""


class KeysHere(HomeKeys):
    """A `CaHolder` in this process: a signer, a command, a test."""

    def __init__(
        self,
        software: SoftwareKeys,
        records: KeyRecords,
        token: TokenKeys | None,
        signer: LocalSigner,
        *,
        to_token: bool,
    ) -> None:
        """`software` wraps under the signer's key; `signer` signs with the same keys."""
        super().__init__(software, records, token, to_token=to_token)
        self._signer = signer

    def sign_intent(self, row_id: UUID) -> bytes:
        """See `ports.IntentSigner`."""
        return self._signer.sign_intent(row_id)

    def repeats(self, key_id: UUID) -> bool:
        """See `ports.IntentSigner`."""
        return self._signer.repeats(key_id)


class KeyLookup(Intents, KeyRecords, Protocol):
    """What says whose a row or a key is."""


class DividedSigner:
    """`IntentSigner` that asks the holder of each group's CA keys."""

    def __init__(
        self,
        lookup: KeyLookup,
        holder: CaHolder,
        by_group: Mapping[str, CaHolder],
        carried: CaHolder | None = None,
    ) -> None:
        """`holder` has whatever is not in `by_group`; `carried` has the keys on a medium that was brought."""
        self._lookup = lookup
        self._holder = holder
        self._by_group = by_group
        self._carried = carried
        self._known: dict[UUID, CaHolder] = {}

    def sign_intent(self, row_id: UUID) -> bytes:
        """See `ports.IntentSigner`."""
        if not self._by_group and self._carried is None:
            return self._holder.sign_intent(row_id)
        intent = self._lookup.signing_intent(row_id)
        return (self._holder if intent is None else self.of_key(intent.key_id)).sign_intent(row_id)

    def repeats(self, key_id: UUID) -> bool:
        """See `ports.IntentSigner`."""
        return self.of_key(key_id).repeats(key_id)

    def of_key(self, key_id: UUID) -> CaHolder:
        """Return who has a key."""
        known = self._known.get(key_id)
        if known is None:
            record = self._lookup.key_record(key_id)
            if record is None:
                return self._holder
            if record.location == ELSEWHERE and self._carried is not None:
                return self._carried
            known = self._known[key_id] = self.of_scope(record.scope)
        return known

    def of_scope(self, scope: str) -> CaHolder:
        """Return who has the keys of a scope."""
        return self._by_group.get(ca_group(scope) or "", self._holder)


class DividedKeys:
    """`KeyStore`: CA keys by their holders, all others here."""

    def __init__(self, faces: SoftwareKeys, holders: DividedSigner, records: KeyRecords) -> None:
        self._faces = faces
        self._holders = holders
        self._records = records

    def generate(
        self, kind: KeyKind, scope: str, told: Callable[[NewKey], Sequence[EventDraft]] = lambda _: ()
    ) -> NewKey:
        """Make and keep a key where keys of its scope lie."""
        if not opens_for_faces(scope):
            return self._holders.of_scope(scope).generate(kind, scope, told)
        return self._faces.generate(kind, scope, told)

    def open(self, key_id: UUID) -> PrivateKey:
        """Use an RA, OCSP or TLS key. See `SoftwareKeys.open`."""
        return self._faces.open(key_id)

    def let_go(self) -> None:
        """Let go of every key that was opened here. See `SoftwareKeys.let_go`."""
        self._faces.let_go()

    def holds(self, key_id: UUID) -> bool:
        """Whether the key is here or with a holder. Raises `UnavailableError` where that one cannot be asked."""
        holder = self._holder(key_id)
        return self._faces.holds(key_id) if holder is None else holder.holds(key_id)

    def prove(self, key_id: UUID) -> None:
        """See that a key can be used. Raises what `SoftwareKeys.prove` and the holder raise."""
        holder = self._holder(key_id)
        if holder is None:
            self._faces.prove(key_id)
        else:
            holder.prove(key_id)

    def proves_master_key(self, key_id: UUID) -> bool:
        """Whether this key's opening would show that the master key is the right one; a CA's may be under another."""
        return self._holder(key_id) is None and self._faces.holds(key_id)

    def move_out(self, key_id: UUID, directory: Path, events: Sequence[EventDraft] = ()) -> Path:
        """Move a key to a medium; see `ports.KeyStore`."""
        holder = self._holder(key_id)
        if holder is None:
            return self._faces.move_out(key_id, directory, events)
        return holder.move_out(key_id, directory, events)

    def destroy(self, key_id: UUID, events: Sequence[EventDraft]) -> bool:
        """Destroy a key for good; its record stays. See `ports.KeyStore`."""
        holder = self._holder(key_id)
        if holder is not None:
            return holder.destroy(key_id, events)
        ended = self._records.end_key(key_id, events)
        self._faces.forget(key_id)
        return ended

    def find_by_uri(self, uri: str) -> TokenKey:
        """Look up a key on the token that is fit to be a CA's."""
        return self._holders.of_scope("").find_by_uri(uri)

    def adopt(self, uri: str, scope: str, told: Callable[[NewKey], Sequence[EventDraft]] = lambda _: ()) -> NewKey:
        """Record a key that somebody made on a token."""
        return self._holders.of_scope(scope).adopt(uri, scope, told)

    def keep(
        self,
        keypair: Keypair,
        kind: KeyKind,
        scope: str,
        told: Callable[[NewKey], Sequence[EventDraft]] = lambda _: (),
    ) -> NewKey:
        """Keep a CA's key that was made elsewhere. Raises `AdminError` ADM-033 where its holder is another process."""
        return self._here(scope).keep(keypair, kind, scope, told)

    def move_out_shared(
        self,
        key_id: UUID,
        directory: Path,
        parts: Split,
        confirm: Callable[[], None],
        events: Sequence[EventDraft] = (),
    ) -> Path:
        """Move a root's key to a medium, under a secret in shares. See `SoftwareKeys.move_out_shared`."""
        return self._here(ROOT_SCOPE).move_out_shared(key_id, directory, parts, confirm, events)

    def carry(self, shared: SharedKey, secret: bytes, directory: Path) -> Path:
        """Write a shared key as the file of a medium; see `SoftwareKeys.carry`."""
        return self._here(shared.scope).carry(shared, secret, directory)

    def _here(self, scope: str) -> HomeKeys:
        """Return the holder of a scope's keys where it is this process."""
        holder = self._holders.of_scope(scope)
        if not isinstance(holder, HomeKeys):
            # A private key does not travel to a signer: it is carried to the signer's own machine.
            raise AdminError(reasons.AUTHORITY_KEY_REFUSED, f"keys of {scope} lie with a signer elsewhere: do it there")
        return holder

    def self_test(self) -> None:
        """Prove ENV-1 of this machine's OpenSSL. Raises `UnavailableError` CA-010."""
        self._faces.self_test()

    def _holder(self, key_id: UUID) -> CaHolder | None:
        """Return who has a CA's key; None for a key of a face, and for one that nobody knows."""
        record = self._records.key_record(key_id)
        if record is None or opens_for_faces(record.scope):
            return None
        return self._holders.of_key(key_id)
