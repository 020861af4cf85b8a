"""Where the keys of a home are, by its settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from regalia import reasons
from regalia.app.keyring import token_of
from regalia.config import ConfigRefusedError, load_config, write_initial
from regalia.errors import AdminError

if TYPE_CHECKING:
    from pathlib import Path

NAMED = {"REGALIA_KEYS__PKCS11_MODULE": "/opt/maker/p11.so", "REGALIA_KEYS__PKCS11_TOKEN": 'my "token"'}


def test_keys_are_in_software_by_default(tmp_path: Path) -> None:
    """Nobody who sets nothing has a token, and nothing is looked for."""
    config = load_config({}, home=tmp_path)
    assert config.keys.store == "software"
    assert token_of(config) is None


def test_a_token_is_named_whole(tmp_path: Path) -> None:
    """A library without a label, and a store on a token that is not named, are told together with all problems."""
    for environment in ({"REGALIA_KEYS__STORE": "pkcs11"}, {"REGALIA_KEYS__PKCS11_MODULE": "/opt/maker/p11.so"}):
        with pytest.raises(ConfigRefusedError) as refused:
            load_config(environment, home=tmp_path)
        assert [problem.path for problem in refused.value.problems] == ["keys"]


def test_the_pin_comes_from_a_file_or_a_credential(tmp_path: Path) -> None:
    """Where neither is named the settings are not valid; nothing is opened to find that out."""
    with pytest.raises(AdminError) as refused:
        token_of(load_config(NAMED, home=tmp_path))
    assert refused.value.reason is reasons.CONFIG_REFUSED
    for more in ({"REGALIA_KEYS__PKCS11_PIN_FILE": "pin"}, {"CREDENTIALS_DIRECTORY": str(tmp_path)}):
        token = token_of(load_config(NAMED | more, home=tmp_path))
        assert token is not None
        assert token.label == 'my "token"'


def test_init_writes_down_what_it_was_told_of_the_token(tmp_path: Path) -> None:
    """A later command reads from regalia.toml what only the environment of `init` said, whatever characters it has."""
    told = load_config(NAMED | {"REGALIA_KEYS__STORE": "pkcs11", "REGALIA_KEYS__PKCS11_PIN_FILE": "pin"}, home=tmp_path)
    write_initial(tmp_path, "http://ca.example.org:8080", None, told.keys)
    assert load_config({}, home=tmp_path).keys == told.keys
