"""The samples that RFC 8894 points to, beside what OpenSSL makes of the same octets."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from regalia.model import Names, San, SanKind
from regalia.wire import cms, der, oids
from regalia.wire.algorithms import Cipher
from regalia.wire.certificate import read_certificate
from regalia.wire.csr import read_csr
from regalia.wire.scep import Transaction, judge_envelope, read_message
from regalia.wire.tlv import walk

SAMPLES = Path(__file__).parents[1] / "vectors" / "jscep"
FILES = ("scep_req0", "scep_req1", "scep_req2", "scep_resp0", "scep_resp1", "scep_resp2")
_LINE = re.compile(r"\s*(\d+):d=(\d+)\s+hl=(\d+)\s+l=\s*(\d+) ")

pytestmark = [pytest.mark.real, pytest.mark.live_client("openssl")]


@dataclass(frozen=True)
class Element:
    """Where an element stands: its first octet, depth, octets of header and of content."""

    offset: int
    depth: int
    header: int
    length: int

    @property
    def end(self) -> int:
        """The octet after it."""
        return self.offset + self.header + self.length

    def of(self, octets: bytes) -> bytes:
        """The whole element."""
        return octets[self.offset : self.end]


def sample(name: str) -> bytes:
    """One of the six."""
    return (SAMPLES / f"{name}.der").read_bytes()


def openssl(*arguments: str) -> bytes:
    """Run it and return what it writes."""
    return subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=60).stdout


def by_openssl(name: str) -> list[Element]:
    """What `openssl asn1parse` finds, in its order."""
    told = openssl("asn1parse", "-inform", "DER", "-in", str(SAMPLES / f"{name}.der")).decode("ascii", "replace")
    return [Element(*map(int, line.groups())) for line in map(_LINE.match, told.splitlines()) if line]


def by_us(octets: bytes) -> list[Element]:
    """The same by our strict reader."""
    found: list[Element] = []

    def visit(item: der.Tlv, offset: int, depth: int) -> None:
        header = len(item.raw) - len(item.content)
        found.append(Element(offset, depth, header, len(item.content)))
        if item.tag & 0x20:
            offset += header
            for child in item.children():
                visit(child, offset, depth + 1)
                offset += len(child.raw)

    visit(der.read_one(octets), 0, 0)
    return found


def inside(elements: list[Element], parent: Element) -> list[Element]:
    """Its children."""
    return [each for each in elements if each.depth == parent.depth + 1 and parent.offset < each.offset < parent.end]


@pytest.mark.parametrize("name", FILES)
def test_every_element_of_a_sample_stands_where_openssl_finds_it(name: str) -> None:
    """IN-3: walk and reader go down into each of the six to the last element, and none is left over."""
    octets = sample(name)
    walk(octets)
    found = by_us(octets)
    assert found == by_openssl(name)
    assert found[0].end == found[-1].end == len(octets)


@pytest.mark.parametrize("name", ["scep_req2", "scep_resp2"])
def test_every_signed_attribute_of_a_sample_is_read(name: str) -> None:
    """SIG-2: type and value of each attribute are those of OpenSSL, to the last and in their order."""
    octets, elements = sample(name), by_openssl(name)
    # ContentInfo, [0], SignedData, its last part: the SET of one SignerInfo, whose fourth part are the attributes.
    signed_data = inside(elements, inside(elements, elements[0])[1])[0]
    signer = inside(elements, inside(elements, signed_data)[-1])[0]
    attributes = inside(elements, signer)[3]
    expected = []
    for each in inside(elements, attributes):
        oid, values = inside(elements, each)
        expected.append((oid.of(octets), [value.of(octets) for value in inside(elements, values)]))
    raw = read_message(octets)
    assert raw.attributes is not None
    read = [(der.oid(oid), [value.raw for value in values]) for oid, values in raw.attributes.values.items()]
    assert read == expected
    assert len(read) == {"scep_req2": 7, "scep_resp2": 8}[name]
    assert raw.transaction == Transaction(b"7XXEY-ERLPU-2JDR9")


@pytest.mark.parametrize("side", ["req", "resp"])
def test_the_layers_of_a_sample_hold_each_other(side: str, tmp_path: Path) -> None:
    """IN-1: OpenSSL believes the outer signature and finds the same content; the envelope is read, too."""
    content = tmp_path / "content"
    openssl(
        *("cms", "-verify", "-noverify", "-inform", "DER", "-in", str(SAMPLES / f"scep_{side}2.der")),
        *("-binary", "-out", str(content)),
    )
    assert read_message(sample(f"scep_{side}2")).signed_data.content == content.read_bytes() == sample(f"scep_{side}1")
    enveloped = judge_envelope(sample(f"scep_{side}1"))
    assert (enveloped.cipher, len(enveloped.iv), len(enveloped.recipients)) == (Cipher.AES128_CBC, 16, 1)
    told = openssl("asn1parse", "-inform", "DER", "-in", str(SAMPLES / f"scep_{side}1.der")).decode("ascii")
    assert f"[HEX DUMP]:{enveloped.iv.hex().upper()}" in told
    assert f"[HEX DUMP]:{enveloped.recipients[0].encrypted_key.hex().upper()}" in told


def test_the_request_of_the_sample_is_what_openssl_reads() -> None:
    """IN-5: subject, challenge and alternative names of the innermost layer, to the last attribute."""
    read = read_csr(sample("scep_req0"))
    told = openssl(
        *("req", "-inform", "DER", "-in", str(SAMPLES / "scep_req0.der"), "-noout", "-text", "-nameopt", "RFC2253")
    ).decode()
    assert f"CN={read.asked.cn}" in told
    assert f"challengePassword        :{read.challenge}" in told
    sans = {San(SanKind.EMAIL, "dave@wetas-r-us.com"), San(SanKind.URI, "http://www.wetas-r-us.com")}
    assert read.asked == Names("Test SCEP PKI user", frozenset(sans))
    assert "email:dave@wetas-r-us.com, URI:http://www.wetas-r-us.com" in told
    assert read.extensions == ()


def test_the_certificate_of_the_sample_is_what_openssl_reads(tmp_path: Path) -> None:
    """IN-4: the innermost layer of the response holds one certificate, with the serial that OpenSSL prints."""
    (certificate,) = cms.read_certs_only(sample("scep_resp0"))
    file = tmp_path / "certificate.der"
    file.write_bytes(certificate)
    told = openssl("x509", "-inform", "DER", "-in", str(file), "-noout", "-serial").decode().strip()
    assert told == f"serial={read_certificate(certificate).serial:016X}"
    assert cms.read_content_info(sample("scep_resp0"))[0] == oids.ID_SIGNED_DATA
