"""Tokens of SoftHSM for tests: one directory for a test process, a label for each test."""

from __future__ import annotations

import itertools
import os
import tempfile
from functools import cache
from pathlib import Path

from regalia.cli.soft_token import SoftToken, make_soft_token
from regalia.keys.pin import PinFile
from regalia.keys.pkcs11 import Token

__all__ = ["new_token", "opened_token"]

_COUNT = itertools.count(1)


@cache
def _directory() -> tempfile.TemporaryDirectory[str]:
    """Made once: SoftHSM reads where its tokens are when its library starts in this process."""
    return tempfile.TemporaryDirectory(prefix="regalia-tokens-")


def new_token() -> SoftToken:
    """Make a token that no other test has."""
    token = make_soft_token(Path(_directory().name), f"token-{next(_COUNT)}")
    os.environ.update(token.environment())
    return token


def opened_token(made: SoftToken) -> Token:
    """Return it as the product uses it; its mark of a refused PIN lies beside its PIN."""
    return Token(made.module, made.label, PinFile(made.pin_file, made.pin_file.with_suffix(".refused")))
