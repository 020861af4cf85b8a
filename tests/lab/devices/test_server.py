"""What makes real devices give up before they ask for a certificate, and the words in which each says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from regalia.lab.devices.messages import certificates_in
from regalia.lab.devices.platforms import ANDROID, IOS, MACOS, WINDOWS_11
from regalia.lab.devices.reports import DeviceError
from regalia.lab.devices.server import met
from regalia.lab.devices.web import Answer
from simulated import URL, WorldWeb, delivery_of
from world import World

if TYPE_CHECKING:
    from regalia.lab.devices.delivery import Delivery
    from regalia.lab.devices.platforms import Platform

SECURE = URL.replace("http:", "https:")


@pytest.fixture
def web() -> WorldWeb:
    """The way to a world with the endpoint `default`."""
    return WorldWeb(World())


def ca_certificates(web: WorldWeb) -> tuple[x509.Certificate, ...]:
    """What GetCACert answers."""
    door = web.world.scep.door("default")
    assert door is not None
    return certificates_in(web.world.scep.ca_certificates(door))


def gives_up(web: WorldWeb, platform: Platform, delivery: Delivery | None = None, url: str = URL) -> str:
    """Have a device meet the server and return the code with which it gives up."""
    with pytest.raises(DeviceError) as given_up:
        met(url, delivery or delivery_of("lap1", "any"), platform, web)
    return given_up.value.code


def test_the_ra_is_chosen(web: WorldWeb) -> None:
    """Of several certificates the one to encrypt to is the RA's, which is no CA."""
    server = met(URL, delivery_of("lap1", "any"), IOS, web)
    door = web.world.scep.door("default")
    assert door is not None
    assert server.recipient.public_bytes(Encoding.DER) == door.ra.certificate_der
    assert server.post
    assert server.aes
    assert server.digest == "sha256"


def test_windows_compares_the_thumbprint(web: WorldWeb) -> None:
    """A trusted certificate whose thumbprint is none of GetCACert's is event 32, and the right one is taken."""
    assert gives_up(web, WINDOWS_11, delivery_of("lap1", "any", root_thumbprint="00" * 20)) == "event 32"
    right = ca_certificates(web)[-1].fingerprint(hashes.SHA1()).hex(":").upper()  # noqa: S303 - a thumbprint
    met(URL, delivery_of("lap1", "any", root_thumbprint=right), WINDOWS_11, web)


def test_android_needs_https(web: WorldWeb) -> None:
    """Android gives up on http before it asks anything."""
    assert gives_up(web, ANDROID) == "not https"
    assert web.asked == []


def test_android_follows_the_chain_to_the_root(web: WorldWeb) -> None:
    """Android takes a server whose chain leads to the trusted root, and none that leads to another."""
    (root,) = (one for one in web.world.store.authorities() if one.parent is None)
    pem = x509.load_der_x509_certificate(root.certificate_der).public_bytes(Encoding.PEM).decode()
    met(SECURE, delivery_of("lap1", "any", trusted_root=pem), ANDROID, web)
    stranger = World()
    (other,) = (one for one in stranger.store.authorities() if one.parent is None)
    foreign = x509.load_der_x509_certificate(other.certificate_der).public_bytes(Encoding.PEM).decode()
    if foreign == pem:
        pytest.fail("both worlds have one root")
    assert gives_up(web, ANDROID, delivery_of("lap1", "any", trusted_root=foreign), SECURE) == "no trust"


@pytest.mark.parametrize("platform", [IOS, MACOS], ids=lambda one: one.name)
def test_apple_wants_a_digest(platform: Platform, web: WorldWeb) -> None:
    """Apple gives up where no SHA is offered."""
    web.answers["GetCACaps"] = Answer(200, b"AES\nPOSTPKIOperation\n")
    assert gives_up(web, platform) == "no digest"
    assert met(URL, delivery_of("lap1", "any"), WINDOWS_11, web).digest == "sha1"


def test_without_an_encipherment_key_nobody_asks(web: WorldWeb) -> None:
    """Certificates that may not encrypt keys stop Windows and Apple, each with its own number."""
    door = web.world.scep.door("default")
    assert door is not None
    (root,) = (one for one in web.world.store.authorities() if one.parent is None)
    several = {one for one in ca_certificates(web) if one.public_bytes(Encoding.DER) != door.ra.certificate_der}
    several.add(x509.load_der_x509_certificate(root.certificate_der))
    assert len(several) > 1
    web.answers["GetCACert"] = Answer(200, pkcs7.serialize_certificates(list(several), Encoding.DER))
    assert gives_up(web, WINDOWS_11) == "0x8010002c"
    assert gives_up(web, IOS) == "-67731"


@pytest.mark.parametrize(
    ("answer", "code"),
    [(Answer(404, b""), "0x80190194"), (Answer(200, b"<html>"), "0x80072f78")],
    ids=["not found", "a page"],
)
def test_a_wrong_url_is_told(web: WorldWeb, answer: Answer, code: str) -> None:
    """404 and a page instead of certificates have the numbers that Windows shows."""
    web.answers["GetCACert"] = answer
    assert gives_up(web, WINDOWS_11) == code
