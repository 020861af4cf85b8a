"""What a client makes of a server's capabilities."""

from __future__ import annotations

import pytest

from regalia.client.capabilities import Capabilities
from regalia.wire.algorithms import Accepted
from regalia.wire.scep import capabilities
from regalia.wire.scep_client import parse_capabilities


def of(text: str) -> Capabilities:
    """Read capabilities, a keyword a word."""
    return Capabilities(parse_capabilities(text.replace(" ", "\n").encode()))


def test_our_own_server_lacks_nothing() -> None:
    """A Regalia with its default settings offers all that RFC 8894 has, and nothing weak."""
    found = Capabilities(parse_capabilities(capabilities()))
    assert (found.strong, found.post, found.renewal, found.next_ca) == (True, True, True, False)
    assert (found.missing(), found.weak()) == ({}, {})


def test_legacy_is_seen() -> None:
    """An endpoint with the legacy switch is told as offering SHA-1 and triple DES, which changes nothing for us."""
    found = Capabilities(parse_capabilities(capabilities(Accepted(legacy=True))))
    assert found.strong
    assert sorted(found.weak()) == ["DES3", "SHA-1"]
    assert found.missing() == {}


def test_the_standard_stands_for_three() -> None:
    """SCEPStandard alone means AES, SHA-256 and POST (RFC 8894 §3.5.2), and no renewal."""
    found = of("SCEPStandard")
    assert (found.strong, found.post, found.renewal) == (True, True, False)
    assert list(found.missing()) == ["Renewal"]


@pytest.mark.parametrize(
    ("text", "missing", "weak", "strong"),
    [
        ("", ["SCEPStandard", "AES", "SHA-256", "POSTPKIOperation", "Renewal"], [], False),
        ("DES3 SHA-1 MD5 DES Renewal", ["SCEPStandard", "AES", "SHA-256", "POSTPKIOperation"],
         ["MD5", "DES", "SHA-1", "DES3"], False),
        ("aes sha-256 postpkioperation", ["SCEPStandard", "Renewal"], [], True),
        ("AES SHA-1 POSTPKIOperation Renewal", ["SCEPStandard", "SHA-256"], ["SHA-1"], False),
        ("SHA-256 DES3 POSTPKIOperation Renewal", ["SCEPStandard", "AES"], ["DES3"], False),
        ("AES SHA-256 GetNextCACert Example.com-Feature", ["SCEPStandard", "POSTPKIOperation", "Renewal"], [], True),
    ],
)  # fmt: skip
def test_what_is_missing_and_weak(text: str, missing: list[str], weak: list[str], strong: bool) -> None:  # noqa: FBT001 - a column of the table
    """Each keyword that is missing or weak is told with what follows from it, and only AES and SHA-256 decide."""
    found = of(text)
    assert list(found.missing()) == missing
    assert list(found.weak()) == weak
    assert found.strong is strong
    assert found.next_ca is ("GetNextCACert" in text)
    assert all(found.missing().values())
    assert all(found.weak().values())
