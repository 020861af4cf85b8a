"""The one file of a ceremony."""

from __future__ import annotations

import hashlib

import pytest

from regalia import reasons
from regalia.ca.ceremony_file import read_ceremony
from regalia.errors import AdminError
from regalia.model import KeyKind

GOOD = """\
title = "Example roots"
witnesses = ["Ada Example", "Ben Example"]
record = "record.md"
transcript = "transcript.txt"
[[root]]
name = "root"
certificate = "root.pem"
[[issuing]]
name = "staff-ca-1"
root = "root"
request = "staff.csr"
key_sha256 = "%s"
certificate = "staff.pem"
[[cross]]
old = "root"
new = "other"
url = "http://pki.example.org:8080"
old_by_new = "a.pem"
new_by_old = "b.pem"
[[crl]]
root = "root"
out = "root.crl"
""" % ("0" * 64)


def refused(text: str) -> str:
    """What is said of a file."""
    with pytest.raises(AdminError) as error:
        read_ceremony(text.encode())
    assert error.value.reason is reasons.CEREMONY_REFUSED
    return error.value.detail


def test_a_file_is_read_as_it_stands() -> None:
    """Steps, defaults and all files that will be written come out, with the hash of exactly these octets."""
    plan, sha256 = read_ceremony(GOOD.encode())
    assert sha256 == hashlib.sha256(GOOD.encode()).hexdigest()
    assert plan.root[0].key is KeyKind.P384
    assert plan.issuing[0].days == 2922
    assert set(plan.outputs) == {
        *("root.pem", "staff.pem", "a.pem", "b.pem", "root.crl"),
        *("record.md", "transcript.txt"),
    }


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("[[crl]]", "[[clr]]"), "clr: Extra inputs are not permitted"),
        (('name = "root"', 'name = "Root"'), "root.1.name"),
        (('certificate = "root.pem"', 'certificate = "root.pem"\nkey = "p-999"'), "root.1.key"),
        (("0" * 64, "0" * 63), "issuing.1.key_sha256"),
        (('"Ben Example"', '"ada example"'), "a witness stands twice: two persons are needed"),
        (('out = "root.crl"', 'out = "root.pem"'), "the file root.pem is written twice"),
        (('out = "root.crl"', 'out = "./root.pem"'), "the file root.pem is written twice"),
        (('"Ada Example"', '"Ada\u202e Example"'), "witnesses.1: it has characters that cannot be seen"),
        (('out = "root.crl"', 'out = "root\u009b2J.crl"'), "crl.1.out: it has characters that cannot be seen"),
        (('name = "staff-ca-1"', 'name = "root"'), "the name root stands twice"),
        (('new = "other"', 'new = "root"'), "root cannot certify itself"),
        (("http://pki.example.org:8080", "ftp://pki.example.org"), "cross.1.url"),
        (('title = "Example roots"', "title = 7"), "title: Input should be a valid string"),
        (('title = "Example roots"', 'title = "a | b"'), "title"),
        (('title = "Example roots"', "title"), "it is not TOML"),
    ],
)
def test_what_is_wrong_is_told(change: tuple[str, str], told: str) -> None:
    """A key that nobody knows, a value of another kind, a contradiction: each is named with its place."""
    assert told in refused(GOOD.replace(*change))


def test_all_faults_are_told_at_once() -> None:
    """Whoever wrote the file corrects it once."""
    lines = refused('title = ""\nwitnesses = []\nfoo = 1\n').splitlines()
    assert {line.partition(":")[0] for line in lines} >= {"title", "witnesses", "record", "transcript", "foo"}
    assert "nothing is to be done" in refused("\n".join(GOOD.splitlines()[:4]))
