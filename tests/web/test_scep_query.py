"""Reading the query string of a SCEP request."""

from __future__ import annotations

import base64
from urllib.parse import quote_from_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regalia import reasons
from regalia.errors import PeerError
from regalia.web.scep_query import decode_message, operation, parameters

LIMIT = 32_768
MESSAGE = bytes(range(256)) * 2 + b"\xfb\xff\xfe"
STANDARD = base64.b64encode(MESSAGE)


def query(message: bytes) -> bytes:
    """Make the query of a GET PKIOperation."""
    return b"operation=PKIOperation&message=" + message


def folded(text: bytes, ending: bytes) -> bytes:
    """Break base64 after each 64 characters."""
    return b"".join(text[start : start + 64] + ending for start in range(0, len(text), 64))


@pytest.mark.parametrize("name", ["GetCACaps", "GetCACert", "PKIOperation"])
def test_one_known_operation_is_found(name: str) -> None:
    """The operation is found whatever stands beside it (scep.md §1)."""
    assert operation(f"message=0&operation={name}&message=1".encode()) == name


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"operation",
        b"operation=",
        b"operation=GetCACaps&operation=GetCACaps",
        b"operation=GetCACaps&%6Fperation=GetCACert",
        b"operation=getcacaps",
        b"operation=GetNextCACert&operation=GetNextCACert",
        b"operation=GetCACertChain",
        b"operation=GetCACaps%00",
        b"operation=\xc3\xa9",
        b"Operation=GetCACaps",
        b"message=0",
    ],
)
def test_a_missing_doubled_or_unknown_operation_is_refused(text: bytes) -> None:
    """R6 and security.md §3 step 1: exactly one operation, spelt as the RFC spells it."""
    with pytest.raises(PeerError) as refused:
        operation(text)
    assert refused.value.reason is reasons.OPERATION_REFUSED


def test_parameters_are_raw() -> None:
    """A value keeps its octets: a plus sign is not a space, and an equals sign does not end it."""
    assert parameters(b"message=a+b/c==&x=1&message=", b"message") == [b"a+b/c==", b""]


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(STANDARD, id="bare, as macOS leaves + and /"),
        pytest.param(quote_from_bytes(STANDARD, safe="").encode(), id="escaped as the RFC asks"),
        pytest.param(STANDARD.replace(b"=", b"%3D"), id="only = escaped"),
        pytest.param(STANDARD.replace(b"+", b"%20"), id="form-decoded by a layer in between"),
        pytest.param(STANDARD.rstrip(b"="), id="without padding"),
        pytest.param(folded(STANDARD, b"%0A").replace(b"+", b"%2B"), id="line breaks, as strongSwan and sscep send"),
        pytest.param(folded(STANDARD, b"%0D%0A"), id="CRLF"),
        pytest.param(folded(STANDARD, b"%09"), id="tabs"),
        pytest.param(base64.urlsafe_b64encode(MESSAGE), id="base64url"),
        pytest.param(base64.urlsafe_b64encode(MESSAGE).rstrip(b"="), id="base64url without padding"),
    ],
)
def test_the_forms_of_base64_that_clients_send(sent: bytes) -> None:
    """Each form of scep.md §1.1 decodes to the same message (R7)."""
    assert decode_message(query(sent), LIMIT) == MESSAGE


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"====", id="only padding"),
        pytest.param(b"QUJD===", id="too much padding"),
        pytest.param(b"QUJDR", id="one character over"),
        pytest.param(b"QU=JD", id="padding inside"),
        pytest.param(b"QUJ%zz", id="a broken escape"),
        pytest.param(b"QUJD%00", id="NUL"),
        pytest.param(b"QUJ%C3%A9", id="not ASCII"),
        pytest.param(b"-w+/", id="both alphabets"),
    ],
)
def test_what_is_not_base64_is_refused(sent: bytes) -> None:
    """The tolerance of GET base64 is a closed list (R7)."""
    with pytest.raises(PeerError) as refused:
        decode_message(query(sent), LIMIT)
    assert refused.value.reason is reasons.BASE64_REFUSED


@pytest.mark.parametrize("text", [b"operation=PKIOperation", query(STANDARD) + b"&message=QUJD"])
def test_a_message_comes_once(text: bytes) -> None:
    """A GET PKIOperation without a message, or with two, is refused."""
    with pytest.raises(PeerError) as refused:
        decode_message(text, LIMIT)
    assert refused.value.reason is reasons.BASE64_REFUSED


def test_the_decoded_size_has_a_limit() -> None:
    """A GET message may have 32 KiB after decoding, and not one octet more (IN-3, R7)."""
    assert len(decode_message(query(base64.b64encode(bytes(LIMIT))), LIMIT)) == LIMIT
    with pytest.raises(PeerError) as refused:
        decode_message(query(base64.b64encode(bytes(LIMIT + 1))), LIMIT)
    assert refused.value.reason is reasons.MESSAGE_TOO_LARGE


@given(st.binary(min_size=1, max_size=200))
def test_every_message_survives_the_way(message: bytes) -> None:
    """Whatever its octets, an escaped message arrives as it was sent."""
    sent = quote_from_bytes(base64.b64encode(message), safe="").encode()
    assert decode_message(query(sent), LIMIT) == message


@given(st.binary(max_size=300))
def test_no_query_does_more_than_be_refused(text: bytes) -> None:
    """Any octets are either read or refused with a PeerError (IN-1, IN-2)."""
    for read in (operation, lambda query: decode_message(query, LIMIT)):
        try:
            read(text)
        except PeerError as refused:
            assert refused.reason in {  # noqa: PT017 - either outcome is right
                reasons.OPERATION_REFUSED,
                reasons.BASE64_REFUSED,
                reasons.MESSAGE_TOO_LARGE,
            }
