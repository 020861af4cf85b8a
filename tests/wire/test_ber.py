"""BER to DER, where R7 tolerates it and nowhere else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ber_forms import indefinite, loosen
from regalia.wire import ber, der, oids, tlv
from regalia.wire.der import DerError
from scep_parts import Request


@given(st.randoms(use_true_random=False))
def test_every_ber_form_of_a_message_normalises_to_its_der(chance: object) -> None:
    """Any mix of indefinite lengths and constructed strings in CMS's layers comes back as the DER it was made from."""
    whole = Request().build()
    loose = loosen(whole, chance)
    assert ber.normalise(loose) == whole
    assert ber.normalise(whole) == whole
    assert tlv.survey(loose) or loose == whole


def _content_info(*parts: bytes) -> bytes:
    return der.sequence(der.oid(oids.ID_SIGNED_DATA), der.context(0, der.sequence(*parts)))


@pytest.mark.parametrize(
    "message",
    [
        _content_info(der.context(0, indefinite(der.sequence(der.integer(1))))),
        _content_info(der.set_of([der.sequence(indefinite(der.context(0, der.null())))])),
        _content_info(der.set_of([der.sequence(indefinite(der.sequence(der.null())))])),
    ],
    ids=["certificate", "signed attributes", "issuer and serial"],
)
def test_what_somebody_signed_must_be_der(message: bytes) -> None:
    """An indefinite length in a certificate, in signedAttrs or in a name is refused: no octet of them is rewritten."""
    tlv.walk(message)
    with pytest.raises(DerError):
        ber.normalise(message)


def test_a_list_keeps_its_order() -> None:
    """Normalising does not sort: the order of certificates and signers is the peer's."""
    bag = der.context(0, der.sequence(der.integer(9)), der.sequence(der.integer(1)))
    assert ber.normalise(indefinite(_content_info(bag))) == _content_info(bag)


@pytest.mark.parametrize(
    "octets", ["", "30", "3080", "3080 0401", "24800401000000 00", "2403020100", "3003 0203 00", "3000 00", "0480 0000"]
)
def test_what_is_no_ber_is_refused_here_too(octets: str) -> None:
    """Without the walk before it, normalising still ends with DerError."""
    with pytest.raises(DerError):
        ber.normalise(bytes.fromhex(octets))


def test_depth_is_bounded_without_the_walk() -> None:
    """Nesting of thousands of levels ends with DerError, not with the interpreter's own limit."""
    with pytest.raises(DerError):
        ber.normalise(b"\x30\x80" * 20_000)


@given(st.binary(max_size=120))
def test_only_dererror_leaves_it(octets: bytes) -> None:
    """Whatever the octets, normalising raises nothing but DerError (IN-1)."""
    try:
        normal = ber.normalise(octets)
    except DerError:
        return
    assert normal
