"""Who has the CA keys, as this process sees it: itself, a signer beside it, signers on other hosts (R10)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from regalia.app.keyring import ca_keys_of, token_of
from regalia.config.settings import Address
from regalia.errors import InvariantError
from regalia.keys.divided import DividedKeys, DividedSigner, KeysHere
from regalia.keys.master import signer_ring
from regalia.keys.signer import LocalSigner
from regalia.keys.signer_client import RemoteSigner, TlsAddress, UnixAddress
from regalia.keys.signer_server import tls_context
from regalia.keys.software import SoftwareKeys
from regalia.keys.token_keys import TokenKeys

if TYPE_CHECKING:
    from ssl import SSLContext

    from regalia.config import Config, SignerSettings
    from regalia.keys.divided import CaHolder
    from regalia.keys.signer_client import SignerAddress
    from regalia.ports import CaKeys, Clock, CrlFiles, Entropy, KeyVault
    from regalia.store.store import SqlStore

__all__ = ["Custody", "Held", "divided"]


@dataclass(frozen=True, slots=True)
class Custody:
    """What CA keys are found with."""

    config: Config
    store: SqlStore
    vault: KeyVault
    """The store, or the store and a medium with keys that were moved out."""
    files: CrlFiles
    clock: Clock
    entropy: Entropy
    on_medium: bool = False

    def here(self) -> Held:
        """Hold CA keys in this process: software keys under the signer's key, and those on the token of the settings.

        Nothing is opened before it is needed. Raises `AdminError` ADM-006 where nothing says the token's PIN.
        """
        config = self.config
        ring = signer_ring(config.home, {**config.key_environment, **config.signer_environment})
        token = token_of(config)
        ca_keys = ca_keys_of(self.store, self.vault, ring, self.entropy, token)
        holder = KeysHere(
            SoftwareKeys(self.vault, self.clock, self.entropy, ring),
            self.store,
            TokenKeys(token, self.store, self.clock, self.entropy) if token is not None else None,
            LocalSigner(self.store, self.files, ca_keys),
            to_token=config.keys.store == "pkcs11",
        )
        return Held(holder, ca_keys)

    def at(self, address: SignerAddress) -> RemoteSigner:
        """Ask a signer."""
        return RemoteSigner(address, self.files, self.store)


@dataclass(frozen=True, slots=True)
class Held:
    """CA keys of this process, and what opens them."""

    holder: KeysHere
    ca_keys: CaKeys


def divided(custody: Custody, faces: SoftwareKeys, beside: SignerAddress | None) -> tuple[DividedKeys, DividedSigner]:
    """Divide keys between this process and the signers of the settings.

    `beside` is the signer that `serve` started for its workers. Without it, and without a signer in the settings, this
    process holds CA keys itself. A medium that was named is read here, whoever signs otherwise. Raises `AdminError`
    ADM-006 for the token, ADM-020 and ADM-011 for the files of TLS.
    """
    settings = custody.config.signer
    if beside is None and settings.address is not None:
        beside = _address(custody.config, settings.address)
    here = custody.here().holder if beside is None or custody.on_medium else None
    holder: CaHolder | None = custody.at(beside) if beside is not None else here
    if holder is None:
        raise InvariantError("nobody has the CA keys")
    by_group = {group: custody.at(_address(custody.config, text)) for group, text in settings.by_group().items()}
    signer = DividedSigner(custody.store, holder, by_group, here if custody.on_medium else None)
    return DividedKeys(faces, signer, custody.store), signer


def _address(config: Config, text: str) -> SignerAddress:
    if text.startswith("unix:"):
        return UnixAddress(text.removeprefix("unix:"))
    where = Address.parse(text.removeprefix("tcp:"))
    return TlsAddress(where.host, where.port, _context(config, config.signer))


def _context(config: Config, settings: SignerSettings) -> SSLContext:
    files = (settings.certificate, settings.key, settings.authority)
    certificate, key, authority = (config.home / (path or "") for path in files)
    return tls_context(server=False, certificate=certificate, key=key, authority=authority)
