"""The content of GetCert and GetCRL: exactly one value, whoever is named in it."""

from __future__ import annotations

import pytest

from regalia import reasons
from regalia.errors import PeerError, Stage
from regalia.wire import der
from regalia.wire.names import encode_name
from regalia.wire.scep_data import IssuerAndSerial, read_issuer_and_serial

ISSUER = encode_name(cn="default", organisation="Example")
SUBJECT = encode_name(cn="laptop-1")
EMPTY = der.sequence()


@pytest.mark.parametrize("serial", [1, 0, -1, 127, 128, (1 << 159) - 1, 1 << 400])
@pytest.mark.parametrize("issuer", [ISSUER, EMPTY])
def test_any_name_and_any_number_are_a_question(issuer: bytes, serial: int) -> None:
    """RFC 8894 §3.3.4: what is meant is looked up; a serial number that nobody has is no fault of the message."""
    content = der.sequence(issuer, der.integer(serial))
    assert read_issuer_and_serial(content) == IssuerAndSerial(issuer, serial)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        EMPTY,
        der.sequence(ISSUER),
        der.sequence(ISSUER, SUBJECT),
        der.sequence(der.integer(1), ISSUER),
        der.sequence(ISSUER, der.integer(1), EMPTY),
        der.sequence(ISSUER, der.integer(1)) + b"\x00",
        der.sequence(ISSUER, der.integer(1))[:-1],
        der.tlv(der.SET, ISSUER, der.integer(1)),
        der.sequence(ISSUER, der.octet_string(b"\x01")),
        der.sequence(ISSUER, b"\x02\x00"),
        der.sequence(ISSUER, b"\x02\x02\x00\x01"),
        der.sequence(ISSUER, b"\x02\x82\x0b\xb8" + b"\x01" * 3000),
        der.sequence(der.sequence(der.set_of([])), der.integer(1)),
        b"\x30\x80" + ISSUER + der.integer(1) + b"\x00\x00",
        b"\x30" * 200,
    ],
    ids=lambda content: content[:12].hex() + f"-{len(content)}",
)
def test_anything_else_than_issuer_and_serial_is_refused(content: bytes) -> None:
    """ENV-4, IN-3 and IN-5: a part too few or too many, octets behind, BER, other types: all one refusal."""
    with pytest.raises(PeerError) as refused:
        read_issuer_and_serial(content)
    assert refused.value.reason is reasons.RETRIEVAL_REFUSED
    assert refused.value.reason.stage is Stage.RETRIEVAL
