"""Simulated devices of each platform against our server: what they send, and what they live with."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from regalia.lab.devices.device import SimulatedDevice
from regalia.lab.devices.platforms import ANDROID, IOS, MACOS, PLATFORMS, WINDOWS_10, WINDOWS_11, platform_of
from regalia.lab.devices.reports import DeviceError
from regalia.lab.devices.web import Answer
from regalia.model import Authoriser, CertificateKind
from regalia.ports import CertificateFilter
from simulated import URL, WorldWeb, delivery_of, device_of
from world import World, rsa_key

if TYPE_CHECKING:
    from regalia.lab.devices.platforms import Platform

OLD_CAPABILITIES = Answer(200, b"SHA-1\nSHA-256\nAES\n")
SECURE = URL.replace("http:", "https:")


@pytest.fixture
def web() -> WorldWeb:
    """The way to a world with the endpoint `default`."""
    return WorldWeb(World())


def url_for(platform: Platform) -> str:
    """What the profile of a platform says: Android takes nothing but https."""
    return SECURE if platform.https_only else URL


@pytest.mark.parametrize("platform", PLATFORMS.values(), ids=lambda one: one.name)
def test_each_platform_enrols(platform: Platform, web: WorldWeb) -> None:
    """Each platform's messages are understood, and its certificate has its key and the challenge's name."""
    delivery = delivery_of("lap1", web.world.mint("lap1"), url=url_for(platform))
    held = device_of(platform, web).enrol(delivery)
    assert held.certificate.public_key() == rsa_key(0).public_key()
    assert held.certificate.subject.rfc4514_string() == "CN=lap1"


@pytest.mark.parametrize("platform", PLATFORMS.values(), ids=lambda one: one.name)
def test_without_post_the_message_is_in_the_url(platform: Platform, web: WorldWeb) -> None:
    """Where POST is not offered, each platform's GET is read, with Apple's bare `+` and `/` as well."""
    web.answers["GetCACaps"] = OLD_CAPABILITIES
    for number in range(4):
        delivery = delivery_of("lap1", web.world.mint("lap1"), url=url_for(platform))
        device_of(platform, web, first_key=number).enrol(delivery)
    queries = [query for _, query, body in web.messages if body is None]
    assert len(queries) == 4
    assert any("+" in query or "/" in query for query in queries) is platform.bare_base64


def test_windows_names_itself_in_its_questions(web: WorldWeb) -> None:
    """Windows asks for capabilities and CA certificates with `message=default`; the others leave it out."""
    for number, platform in enumerate((WINDOWS_10, IOS)):
        device_of(platform, web, first_key=number).enrol(delivery_of("lap1", web.world.mint("lap1")))
    named = [parse_qs(query).get("message") for wanted, query, _ in web.asked if wanted != "PKIOperation"]
    assert named == [["default"], ["default"], None, None]


def test_windows_11_uses_oaep_and_windows_10_does_not(web: WorldWeb) -> None:
    """The two versions of Windows encrypt the content key in two ways, and both signers have the critical extension."""
    for number, platform in enumerate((WINDOWS_10, WINDOWS_11)):
        device_of(platform, web, first_key=number).enrol(delivery_of("lap1", web.world.mint("lap1")))
    oaep = bytes.fromhex("06092a864886f70d010107")
    assert [oaep in (body or b"") for _, _, body in web.messages] == [False, True]
    for _, _, body in web.messages:
        (signer,) = pkcs7.load_der_pkcs7_certificates(body or b"")
        assert signer.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).critical


def test_apple_sends_ber(web: WorldWeb) -> None:
    """Apple's envelope has indefinite lengths, and Windows' is DER."""
    for number, platform in enumerate((IOS, WINDOWS_10)):
        device_of(platform, web, first_key=number).enrol(delivery_of("lap1", web.world.mint("lap1")))
    indefinite = bytes.fromhex("308006092a864886f70d010703a080")
    assert [indefinite in (body or b"") for _, _, body in web.messages] == [True, False]


def test_a_lost_answer_is_asked_for_with_the_same_octets(web: WorldWeb) -> None:
    """R3: a device that hears nothing repeats its message octet for octet, and gets the one certificate."""
    web.lost = 1
    slept: list[float] = []
    held = device_of(IOS, web, slept.append).enrol(delivery_of("lap1", web.world.mint("lap1")))
    first, second = (body for _, _, body in web.messages)
    assert first == second
    assert len(slept) == 1
    made = web.world.store.certificates(CertificateFilter(kind=CertificateKind.LEAF, limit=10))
    assert [one.der for one in made] == [held.certificate.public_bytes(Encoding.DER)]


def test_a_pending_request_is_polled(web: WorldWeb) -> None:
    """PENDING is polled after the platform's own pause, and the approved certificate is collected."""
    world = web.world
    world.open_endpoint("queue", Authoriser.APPROVAL)
    slept: list[float] = []

    def approve(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 2:
            world.approve()

    delivery = delivery_of("lap1", world.secrets["queue"], url=URL.replace("default", "queue"))
    held = device_of(WINDOWS_10, web, approve).enrol(delivery)
    assert slept == [300.0, 300.0]
    assert held.certificate.public_key() == rsa_key(0).public_key()


def test_polling_ends(web: WorldWeb) -> None:
    """A request that nobody decides is given up after the platform's number of polls."""
    web.world.open_endpoint("queue", Authoriser.APPROVAL)
    delivery = delivery_of("lap1", web.world.secrets["queue"], url=URL.replace("default", "queue"))
    with pytest.raises(DeviceError, match="pending") as given_up:
        device_of(MACOS, web).enrol(delivery)
    assert given_up.value.code == "pending"
    assert len(web.messages) == 1 + MACOS.polls


def test_a_refusal_is_told(web: WorldWeb) -> None:
    """A wrong challenge is badRequest on the device."""
    with pytest.raises(DeviceError) as refused:
        device_of(WINDOWS_11, web).enrol(delivery_of("lap1", "self-made"))
    assert refused.value.code == "badRequest"


def test_a_replayed_challenge_gets_nothing(web: WorldWeb) -> None:
    """Another device with a challenge that was used is refused."""
    delivery = delivery_of("lap1", web.world.mint("lap1"))
    device_of(IOS, web).enrol(delivery)
    with pytest.raises(DeviceError) as refused:
        device_of(MACOS, web, first_key=1).enrol(delivery)
    assert refused.value.code == "badRequest"


@pytest.mark.parametrize("platform", PLATFORMS.values(), ids=lambda one: one.name)
def test_a_fresh_challenge_renews_with_a_new_key(platform: Platform, web: WorldWeb) -> None:
    """With Intune a renewal is an enrolment with a new key: self-signed, PKCSReq, fresh challenge."""
    device = device_of(platform, web)
    url = url_for(platform)
    first = device.enrol(delivery_of("lap1", web.world.mint("lap1"), url=url))
    second = device.renew(first, delivery_of("lap1", web.world.mint("lap1"), url=url))
    assert second.certificate.public_key() == rsa_key(1).public_key()
    assert second.transaction != first.transaction


@pytest.mark.parametrize("platform", [IOS, MACOS], ids=lambda one: one.name)
def test_apple_renews_with_what_it_has(platform: Platform, web: WorldWeb) -> None:
    """Without a challenge Apple's PKCSReq is signed with the old certificate, and is a renewal."""
    device = device_of(platform, web)
    first = device.enrol(delivery_of("lap1", web.world.mint("lap1")))
    second = device.renew(first, delivery_of("lap1", None))
    assert second.certificate.public_key() == rsa_key(1).public_key()
    (signer,) = pkcs7.load_der_pkcs7_certificates(web.messages[-1][2] or b"")
    assert signer == first.certificate


@pytest.mark.parametrize("platform", [WINDOWS_10, WINDOWS_11, ANDROID], ids=lambda one: one.name)
def test_others_need_a_challenge(platform: Platform, web: WorldWeb) -> None:
    """Windows and Android do not renew until their management hands out a challenge."""
    device, url = device_of(platform, web), url_for(platform)
    first = device.enrol(delivery_of("lap1", web.world.mint("lap1"), url=url))
    with pytest.raises(DeviceError) as refused:
        device.renew(first, delivery_of("lap1", None, url=url))
    assert refused.value.code == "no challenge"


@pytest.mark.parametrize(("platform", "heals"), [(IOS, False), (WINDOWS_11, True)], ids=["ios", "windows"])
def test_when_a_renewal_is_due(platform: Platform, heals: bool, web: WorldWeb) -> None:  # noqa: FBT001 - a parameter
    """The threshold decides when a renewal is due, and Apple replaces nothing that has expired."""
    device, delivery = device_of(platform, web), delivery_of("lap1", web.world.mint("lap1"), renewal_threshold=20)
    held = device.enrol(delivery)
    assert not device.is_due(held, delivery)
    life = held.certificate.not_valid_after_utc - held.certificate.not_valid_before_utc
    web.world.clock.advance(life * 0.85)
    assert device.is_due(held, delivery)
    web.world.clock.advance(life * 0.2)
    assert device.is_due(held, delivery) is heals
    if not heals:
        with pytest.raises(DeviceError, match="expired"):
            device.renew(held, delivery)


def test_one_of_several_urls_serves_a_whole_conversation(web: WorldWeb) -> None:
    """Windows takes one of the URLs by chance and stays there; Apple takes the first."""
    delivery = replace(delivery_of("lap1", web.world.mint("lap1")), urls=("http://a.example/scep/default", URL))
    windows = SimulatedDevice(
        WINDOWS_10,
        web,
        now=web.world.clock.now,
        make_key=lambda _: rsa_key(0),
        choose=lambda urls: urls[1],
    )
    assert windows.enrol(delivery).url == URL
    again = replace(delivery, challenge=web.world.mint("lap1"))
    assert device_of(IOS, web, first_key=1).enrol(again).url == "http://a.example/scep/default"


def test_platforms_by_system() -> None:
    """Intune's name of the system says the platform; a Windows is a Windows 11 unless somebody names the 10."""
    assert platform_of("Windows") is WINDOWS_11
    assert platform_of("windows", "windows-10") is WINDOWS_10
    assert platform_of("iOS") is IOS
    with pytest.raises(KeyError):
        platform_of("Plan 9")


def test_a_busy_server_is_asked_again(web: WorldWeb) -> None:
    """503 is asked again a few times, and then it is the device's error."""
    web.answers["PKIOperation"] = Answer(503, b"")
    slept: list[float] = []
    with pytest.raises(DeviceError) as given_up:
        device_of(IOS, web, slept.append).enrol(delivery_of("lap1", web.world.mint("lap1")))
    assert given_up.value.code == "HTTP 503"
    assert len(slept) == 2
    assert timedelta(seconds=sum(slept)) < timedelta(minutes=1)
