"""What a target is told, and how a web hook is signed."""

from __future__ import annotations

import hmac
import json
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from uuid import UUID

import pytest

from regalia.model import AlertCondition, Finding, Occasion, Severity
from regalia.ra.alert_message import body_of, is_signed, signature_of

NOW = datetime(2026, 3, 1, 9, tzinfo=UTC)
SECRET = b"0f" * 32
AT = int(NOW.timestamp())
BODY = b'{"id":"x"}'


def test_a_message_says_what_is_wrong_and_what_to_do() -> None:
    """A message is one JSON object with its own id, whatever strange characters its words have."""
    finding = Finding(AlertCondition.TEST, "target:x", Severity.WARNING, "a\r\nb\u2028\u00e9", "nothing", "default")
    text = body_of(UUID(int=5), Occasion.TEST, NOW, "http://pki", finding, None)
    assert text.isascii()
    told = json.loads(text)
    assert (told["id"], told["occasion"], told["from"]) == (str(UUID(int=5)), "test", "http://pki")
    assert told["alert"]["summary"] == "a\r\nb\u2028\u00e9"
    assert told["alert"]["group"] == "default"


def test_the_signature_is_over_timestamp_and_body() -> None:
    """CON-6: HMAC-SHA-256 with the secret's text as key, over the timestamp, a full stop and the body."""
    expected = hmac.new(SECRET, b"1772355600." + BODY, sha256).hexdigest()
    assert signature_of(SECRET, AT, BODY) == f"v1={expected}"


@pytest.mark.parametrize("seconds", [0, 300, -300])
def test_a_fresh_signature_is_believed(seconds: int) -> None:
    """CON-6: within five minutes of the receiver's clock, either way, a signature counts."""
    signature = signature_of(SECRET, AT, BODY)
    assert is_signed(SECRET, str(AT), BODY, signature, NOW + timedelta(seconds=seconds))


@pytest.mark.parametrize(
    ("timestamp", "body", "signature", "seconds"),
    [
        (str(AT), BODY, signature_of(SECRET, AT, BODY), 301),
        (str(AT), BODY, signature_of(SECRET, AT, BODY), -301),
        (str(AT + 1), BODY, signature_of(SECRET, AT, BODY), 0),
        (str(AT), BODY + b" ", signature_of(SECRET, AT, BODY), 0),
        (str(AT), BODY, signature_of(b"other", AT, BODY), 0),
        (str(AT), BODY, "", 0),
        (str(AT), BODY, "v1=\u00e9", 0),
        ("now", BODY, signature_of(SECRET, AT, BODY), 0),
        ("\u0661", BODY, signature_of(SECRET, AT, BODY), 0),
        ("9" * 400, BODY, signature_of(SECRET, AT, BODY), 0),
    ],
)
def test_what_is_not_believed(timestamp: str, body: bytes, signature: str, seconds: int) -> None:
    """CON-6: an old or early timestamp, another body, another secret and what is no signature are refused."""
    assert not is_signed(SECRET, timestamp, body, signature, NOW + timedelta(seconds=seconds))
