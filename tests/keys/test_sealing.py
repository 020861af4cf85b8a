"""Secrets that must be read again: they open with the same master key and scope, and with nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from fakes import SeededEntropy
from regalia import reasons
from regalia.errors import AdminError
from regalia.keys.master import MasterKey, MasterKeyOrigin
from regalia.keys.sealing import MasterSealer


def sealer(octet: bytes = b"k") -> MasterSealer:
    """A sealer under a master key of 32 equal octets."""
    master = MasterKey(octet * 32, Path("master.key"), MasterKeyOrigin.HOME, beside_database=True)
    return MasterSealer(master, SeededEntropy())


def test_what_is_sealed_opens_again() -> None:
    """CHA-4: the blob does not hold the secret, and the same master key gives it back."""
    sealed = sealer().seal("enrolment 1", b"a secret")
    assert b"a secret" not in sealed
    assert sealer().unseal("enrolment 1", sealed) == b"a secret"


@pytest.mark.parametrize(
    ("octet", "scope", "cut"), [(b"x", "enrolment 1", None), (b"k", "enrolment 2", None), (b"k", "enrolment 1", 5)]
)
def test_nothing_else_opens_it(octet: bytes, scope: str, cut: int | None) -> None:
    """SEC-1: neither another master key nor another row, and no part of the blob."""
    sealed = sealer().seal("enrolment 1", b"a secret")
    with pytest.raises(AdminError) as refused:
        sealer(octet).unseal(scope, sealed[:cut])
    assert refused.value.reason is reasons.MASTER_KEY_REFUSED
