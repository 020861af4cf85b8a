"""Where the keys of a home are: the token that the settings name, and what opens CA keys for a signer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from regalia import reasons
from regalia.errors import AdminError
from regalia.keys.ca_keys import SoftwareCaKeys
from regalia.keys.home_keys import HomeCaKeys
from regalia.keys.master import CREDENTIALS_VARIABLE
from regalia.keys.pin import CREDENTIAL_NAME, MARK_FILE, PinFile
from regalia.keys.pkcs11 import Token
from regalia.keys.private_files import OTHERS
from regalia.keys.token_keys import TokenCaKeys

if TYPE_CHECKING:
    from regalia.config import Config
    from regalia.keys.master import Ring
    from regalia.ports import Entropy, KeyRecords, KeyVault

__all__ = ["ca_keys_of", "token_of"]


def token_of(config: Config) -> Token | None:
    """Return the token that the settings name, not opened: that is for the process that uses it first.

    Raises `AdminError` ADM-006 where nothing says its PIN.
    """
    keys = config.keys
    if keys.pkcs11_module is None or keys.pkcs11_token is None:
        return None
    mark, token = config.home / MARK_FILE, f"{keys.pkcs11_module} {keys.pkcs11_token}"
    credentials = config.key_environment.get(CREDENTIALS_VARIABLE)
    if keys.pkcs11_pin_file is not None:
        pin = PinFile(config.home / keys.pkcs11_pin_file, mark, token)
    elif credentials is not None:
        # systemd grants a service's group its credentials.
        pin = PinFile(Path(credentials) / CREDENTIAL_NAME, mark, token, OTHERS)
    else:
        told = f"keys.pkcs11_pin_file is not set, and there is no systemd credential {CREDENTIAL_NAME}"
        raise AdminError(reasons.CONFIG_REFUSED, told)
    return Token(keys.pkcs11_module, keys.pkcs11_token, pin)


def ca_keys_of(records: KeyRecords, vault: KeyVault, master: Ring, entropy: Entropy, token: Token | None) -> HomeCaKeys:
    """Return what opens the CA keys of a home, for whoever signs committed intents (`keys.signer.LocalSigner`)."""
    on_token = TokenCaKeys(records, token) if token is not None else None
    return HomeCaKeys(SoftwareCaKeys(vault, master, entropy), records, on_token)
