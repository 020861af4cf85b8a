"""The parser boundary of IN-1."""

from __future__ import annotations

import pytest

from regalia import reasons
from regalia.errors import InvariantError, PeerError, UnavailableError
from regalia.wire.boundary import reading
from regalia.wire.der import DerError


@pytest.mark.parametrize("fault", [ValueError("x"), RecursionError(), MemoryError(), KeyError("x"), DerError("x")])
def test_whatever_a_reader_raises_becomes_the_peers_fault(fault: Exception) -> None:
    """Each exception of a reader leaves as PeerError of the given reason, its cause kept (IN-1)."""
    with pytest.raises(PeerError) as refused, reading(reasons.CSR_REFUSED):
        raise fault
    assert refused.value.reason is reasons.CSR_REFUSED
    assert refused.value.__cause__ is fault


@pytest.mark.parametrize(
    "fault",
    [
        PeerError(reasons.CSR_AMBIGUOUS),
        UnavailableError(reasons.STORE_UNAVAILABLE),
        InvariantError("x"),
        KeyboardInterrupt(),
    ],
)
def test_our_own_errors_pass(fault: BaseException) -> None:
    """An error that already says what it is, or that is no exception of a reader, passes as it is."""
    with pytest.raises(type(fault)) as passed, reading(reasons.CSR_REFUSED):
        raise fault
    assert passed.value is fault


def test_no_library_text_leaves_with_a_readers_bug() -> None:
    """The detail names the kind of exception and not its text (IN-2)."""
    with pytest.raises(PeerError) as refused, reading(reasons.CSR_REFUSED):
        raise ValueError("secret library text")
    assert refused.value.detail == "unreadable (ValueError)"
