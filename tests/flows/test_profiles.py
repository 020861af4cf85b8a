"""Profiles with templates, conditions and limits, octets in to octets out on the fakes of our own ports."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat import asn1

from regalia import reasons
from regalia.errors import AdminError, UnavailableError
from regalia.model import Action, Authoriser, CertificateKind, Names, San, SanKind
from regalia.ports import CertificateFilter
from regalia.ra.protected import ProtectedNames
from regalia.wire.names import SID_URI
from regalia.wire.scep import MessageType, PkiStatus
from world import ADMIN, Device, World, names, rsa_key

BASE = """
[validity]
duration = "365d"
[usage]
extended-key-usage = ["clientAuth"]
"""
BY_DEVICE = """
[subject]
cn = "{device.id}"
o = "Example"
ou = ["Laptops", "{group}"]
serial-number = "{key.hash20}"
[[san]]
kind = "dns"
value = "{binding.dns?}"
[[san]]
kind = "uri"
value = "urn:device:{device.id}"
"""
SID = "S-1-5-21-1004336348-1177238915-682003330-1104"


def world_with(document: str, *acknowledged: str, protected: ProtectedNames | None = None) -> World:
    """A deployment whose endpoint `default` has this profile."""
    world = World(protected=protected or ProtectedNames())
    world.registry.create_profile("default", "default", document + BASE, actor=ADMIN, acknowledged=acknowledged)
    return world


def mint(world: World, binding: Names, device: str | None = None) -> str:
    """Hand out a challenge for a binding of any kind."""
    return world.desk.mint("default", binding=binding, device=device, ttl=timedelta(hours=1), actor=ADMIN).secret


def read(certificate: bytes) -> x509.Certificate:
    """Read with a parser of other make."""
    return x509.load_der_x509_certificate(certificate)


def sans(certificate: bytes) -> x509.SubjectAlternativeName:
    """Return its alternative names."""
    return read(certificate).extensions.get_extension_for_class(x509.SubjectAlternativeName).value


def why(world: World) -> str | None:
    """Return the id of the newest refusal."""
    return world.last_event().draft.reason_id


# --- templates -------------------------------------------------------------------------------------------------------


def test_pol1_a_certificate_carries_what_the_templates_make_of_verified_data() -> None:
    """POL-1, R5.1: subject and alternative names come from the binding and the server, each value as data."""
    world = world_with(BY_DEVICE)
    device = Device(world)
    secret = world.mint("laptop-1", "a.example.com", "b.example.com", device="Lap top/1")
    reply = device.enrol(names("laptop-1", "a.example.com"), secret)
    assert reply.status is PkiStatus.SUCCESS
    (certificate,) = reply.certificates
    digest = world.last_event().draft.details["key_sha256"]
    assert isinstance(digest, str)
    assert read(certificate).subject.rfc4514_string() == (
        f"CN=Lap top/1,2.5.4.5={digest[:20]},OU=default,OU=Laptops,O=Example"
    )
    assert set(sans(certificate).get_values_for_type(x509.DNSName)) == {"a.example.com", "b.example.com"}
    assert sans(certificate).get_values_for_type(x509.UniformResourceIdentifier) == ["urn:device:Lap%20top%2F1"]


def test_the_log_tells_what_a_name_was_made_of() -> None:
    """AUD-1: the event of the intent has each variable with its value, and the certificate is not marked unverified."""
    world = world_with(BY_DEVICE)
    Device(world).enrol(names(), world.mint(device="laptop-1"))
    intent = world.store.log[-2].draft
    assert intent.action is Action.CERTIFICATE_INTENT
    told = intent.details["inputs"]
    assert isinstance(told, dict)
    assert (told["device.id"], told["group"], told["binding.dns"]) == ("laptop-1", "default", "")
    assert intent.details["unverified"] is False


def test_pol6_a_value_is_data() -> None:
    """POL-6: braces in a value are characters, and a value beside other text cannot bring labels of its own."""
    world = world_with('[subject]\ncn = "{device.id}"\n')
    reply = Device(world).enrol(names(), world.mint(device="{key.sha256}"))
    assert "CN={key.sha256}" in read(reply.certificates[0]).subject.rfc4514_string()
    other = world_with('[[san]]\nkind = "dns"\nvalue = "{device.id}.example.com"\n')
    reply = Device(other).enrol(names(), other.mint(device="dc1.corp"))
    assert reply.status is PkiStatus.FAILURE
    assert why(other) == reasons.NAME_MALFORMED.id


def test_r5_a_request_may_ask_for_bound_names_and_for_made_ones_and_for_no_other() -> None:
    """R5.2: what the challenge was made for and what the profile makes of it are no more than what it is told."""
    world = world_with(BY_DEVICE)
    for turn, asked in enumerate((names("laptop-1"), names("pc", "a.example.com"), names())):
        device = Device(world).fresh(f"transaction-{turn}")
        secret = world.mint("pc", "a.example.com", device="laptop-1")
        assert device.enrol(asked, secret).status is PkiStatus.SUCCESS
    secret = world.mint("pc", "a.example.com", device="laptop-1")
    assert Device(world).fresh("t").enrol(names("server"), secret).status is PkiStatus.FAILURE
    assert why(world) == reasons.NAMES_OUTSIDE_BINDING.id


def test_a_device_that_is_bound_without_names_is_verified() -> None:
    """A challenge for a device alone names it where the profile says how; asking for another name is refused."""
    world = world_with('[subject]\ncn = "{device.id}"\n[policies]\nverified = ["1.3.6.1.4.1.99999.2"]\n')
    reply = Device(world).enrol(names("laptop-1"), world.mint(device="laptop-1"))
    policies = read(reply.certificates[0]).extensions.get_extension_for_class(x509.CertificatePolicies).value
    assert [policy.policy_identifier.dotted_string for policy in policies] == ["1.3.6.1.4.1.99999.2"]
    other = Device(world, key=rsa_key(1)).fresh("transaction-2")
    assert other.enrol(names("laptop-2"), world.mint(device="laptop-1")).status is PkiStatus.FAILURE


def test_policies_tell_a_bearer_from_a_verified_device() -> None:
    """The certificatePolicies follow from the evidence: nobody vouched for the name of a bearer (R5.4)."""
    world = world_with('[policies]\nbearer = ["1.3.6.1.4.1.99999.1"]\nverified = ["1.3.6.1.4.1.99999.2"]\n')
    found = []
    for number, secret in enumerate((world.mint(), world.mint("laptop-1"))):
        reply = Device(world, key=rsa_key(number)).fresh(f"transaction-{number}").enrol(names(), secret)
        policies = read(reply.certificates[0]).extensions.get_extension_for_class(x509.CertificatePolicies).value
        found += [policy.policy_identifier.dotted_string for policy in policies]
    assert found == ["1.3.6.1.4.1.99999.1", "1.3.6.1.4.1.99999.2"]


# --- names of Windows and of hardware --------------------------------------------------------------------------------


def test_a_sid_stands_in_both_forms_where_somebody_vouched_for_it() -> None:
    """KB5014754: the extension and the URI hold the SID of the binding."""
    world = world_with(
        '[[san]]\nkind = "upn"\nvalue = "{binding.upn}"\n[microsoft]\nsid = "{binding.sid}"\n'
        'sid-forms = ["extension", "uri"]\n'
    )
    binding = Names("ada", frozenset({San(SanKind.UPN, "ada@example.com")}), sid=SID)
    reply = Device(world).enrol(names(), mint(world, binding))
    certificate = reply.certificates[0]
    extension = read(certificate).extensions.get_extension_for_oid(x509.ObjectIdentifier("1.3.6.1.4.1.311.25.2"))
    value = extension.value
    assert isinstance(value, x509.UnrecognizedExtension)
    assert value.value == bytes.fromhex("303fa03d060a2b060104018237190201a02f042d") + SID.encode()
    assert not extension.critical
    assert sans(certificate).get_values_for_type(x509.UniformResourceIdentifier) == [SID_URI + SID]
    (upn,) = sans(certificate).get_values_for_type(x509.OtherName)
    assert asn1.decode_der(str, upn.value) == "ada@example.com"


def test_pol2_no_request_brings_a_sid() -> None:
    """POL-2: the URI form of a SID in a CSR is refused, the vouched one too, whatever the profile writes."""
    world = world_with('[subject]\ncn = "{binding.cn}"\n[microsoft]\nsid = "{binding.sid?}"\nsid-forms = ["uri"]\n')
    asked = Names("ada", frozenset({San(SanKind.URI, SID_URI + SID)}))
    assert Device(world).enrol(asked, mint(world, Names("ada", sid=SID))).status is PkiStatus.FAILURE
    assert why(world) == reasons.NAME_MALFORMED.id


def test_a_profile_that_writes_no_sid_writes_none() -> None:
    """A SID in the binding is a fact, and not a name, where no template asks for it."""
    world = world_with("")
    reply = Device(world).enrol(names(), mint(world, Names("ada", sid=SID)))
    assert SID.encode() not in reply.certificates[0]
    assert world.last_event().draft.details["names"] == ["cn:ada"]


def test_r5_other_names_in_a_request_are_judged_as_names() -> None:
    """R5.2: a UPN within the binding is fine, one outside it is refused by name."""
    world = world_with("")
    binding = Names("ada", frozenset({San(SanKind.UPN, "ada@example.com")}))
    assert Device(world).enrol(binding, mint(world, binding)).status is PkiStatus.SUCCESS
    asked = Names("ada", frozenset({San(SanKind.UPN, "grace@example.com")}))
    assert Device(world).fresh("t2").enrol(asked, mint(world, binding)).status is PkiStatus.FAILURE
    assert world.last_event().draft.details["difference"] == ["upn:grace@example.com"]


def test_names_from_the_request_are_of_the_kinds_that_say_nothing_to_windows() -> None:
    """POL-2: with names = "from-csr" a bearer takes DNS names, and no UPN of anybody."""
    world = world_with('names = "from-csr"\n', "names-from-request")
    asked = Names("ada", frozenset({San(SanKind.UPN, "ada@example.com")}))
    assert Device(world).enrol(asked, world.mint()).status is PkiStatus.FAILURE
    assert why(world) == reasons.NAME_MALFORMED.id


# --- names from the request through templates ------------------------------------------------------------------------

FROM_REQUEST = '[subject]\ncn = "{request.cn}"\nou = "Kiosks"\n'


def test_names_that_templates_take_from_the_request_are_unverified() -> None:
    """R5.4: what a bearer chose is marked, and renewals keep what the chain's first request chose (R5.3)."""
    world = world_with(FROM_REQUEST, "names-from-request")
    device = Device(world)
    first = device.enrol(names("kiosk-7"), world.mint())
    assert "CN=kiosk-7,OU=Kiosks" in read(first.certificates[0]).subject.rfc4514_string()
    assert world.last_event().draft.details["unverified"] is True
    renewed = device.fresh("transaction-2").enrol(names("kiosk-7"), None, MessageType.RENEWAL_REQ)
    assert read(renewed.certificates[0]).subject == read(first.certificates[0]).subject


def test_pol1_a_bound_challenge_is_not_widened_by_the_request() -> None:
    """POL-1: where the challenge was made for names, a template that takes them from the request takes those only."""
    world = world_with(FROM_REQUEST, "names-from-request")
    assert Device(world).enrol(names("ceo"), world.mint("kiosk-7")).status is PkiStatus.FAILURE
    assert why(world) == reasons.NAMES_OUTSIDE_BINDING.id
    assert Device(world).fresh("t2").enrol(names("kiosk-7"), world.mint("kiosk-7")).status is PkiStatus.SUCCESS


def test_pol3_a_static_challenge_does_not_serve_such_a_profile() -> None:
    """POL-3: an endpoint with static challenges is refused a profile whose templates hold what the device asks for."""
    world = world_with(FROM_REQUEST, "names-from-request")
    with pytest.raises(AdminError) as caught:
        world.open_endpoint("static", Authoriser.STATIC)
    assert caught.value.reason is reasons.STATIC_NAMES_FROM_REQUEST


# --- renewals, approvals, resumption ---------------------------------------------------------------------------------


def test_ren3_a_renewal_is_named_by_the_newest_version() -> None:
    """REN-3, R5.3: names are recomputed from the chain's binding, the same key stays its holder's."""
    world = world_with(BY_DEVICE)
    device = Device(world)
    device.enrol(names("laptop-1"), world.mint(device="laptop-1"))
    newer = '[subject]\ncn = "{device.id}"\nou = "Newer"\n'
    world.registry.create_profile("default", "default", newer + BASE, actor=ADMIN)
    renewed = device.fresh("transaction-2").enrol(names("laptop-1"), None, MessageType.RENEWAL_REQ)
    assert read(renewed.certificates[0]).subject.rfc4514_string() == "CN=laptop-1,OU=Newer"
    again = device.fresh("transaction-3").enrol(names("other"), None, MessageType.RENEWAL_REQ)
    assert again.status is PkiStatus.FAILURE


def test_a_key_of_a_device_may_enrol_anew_under_a_newer_version() -> None:
    """KEY-2: the same device with the same key is one holder, whatever the profile calls it now; another is not."""
    world = world_with(BY_DEVICE)
    Device(world).enrol(names(), world.mint(device="laptop-1"))
    world.registry.create_profile("default", "default", '[subject]\ncn = "{device.id}"\n' + BASE, actor=ADMIN)
    assert Device(world).fresh("t2").enrol(names(), world.mint(device="laptop-1")).status is PkiStatus.SUCCESS
    assert Device(world).fresh("t3").enrol(names(), world.mint(device="laptop-2")).status is PkiStatus.FAILURE
    assert why(world) == reasons.KEY_OF_ANOTHER.id


def test_a_bearers_chain_keeps_its_name() -> None:
    """R5.4: a chain that nobody vouched for has the name that we gave it, under a newer version too."""
    world = world_with('[subject]\ncn = "d-{key.hash20}"\n')
    device = Device(world)
    first = device.enrol(names(), world.mint())
    assert world.last_event().draft.details["unverified"] is True
    world.registry.create_profile("default", "default", '[subject]\ncn = "x-{key.hash20}"\n' + BASE, actor=ADMIN)
    renewed = device.fresh("transaction-2").enrol(names(), None, MessageType.RENEWAL_REQ)
    assert read(renewed.certificates[0]).subject == read(first.certificates[0]).subject


def test_pol3_an_administrator_approves_the_names_that_templates_make() -> None:
    """POL-3: what is held shows the made names; they are issued as verified, and renewed from what was asked."""
    world = world_with('[subject]\ncn = "{binding.cn}"\nou = "Approved"\n')
    secret = world.open_endpoint("queue", Authoriser.APPROVAL)
    device = Device(world, endpoint="queue")
    device.enrol(names("laptop-1"), secret)
    assert world.pending().allowed.listed() == ("cn:laptop-1", "ou:Approved")
    approved = world.approve()
    assert (approved.intent.subject, approved.intent.unverified) == ("CN=laptop-1,OU=Approved", False)
    device.poll()
    renewed = device.fresh("transaction-2").enrol(names("laptop-1"), None, MessageType.RENEWAL_REQ)
    assert renewed.status is PkiStatus.SUCCESS


def test_pol1_names_that_a_newer_version_makes_are_not_approved_unseen() -> None:
    """POL-1: an approval is of the names that were shown; where a newer version makes others, it is refused."""
    world = world_with('[subject]\ncn = "{binding.cn}"\nou = "Shown"\n')
    secret = world.open_endpoint("queue", Authoriser.APPROVAL)
    Device(world, endpoint="queue").enrol(names("laptop-1"), secret)
    world.registry.create_profile(
        "default", "default", '[subject]\ncn = "{binding.cn}"\nou = "Unseen"\n' + BASE, actor=ADMIN
    )
    with pytest.raises(AdminError) as caught:
        world.approve()
    assert caught.value.reason is reasons.PENDING_OUTDATED
    assert world.pending().allowed.listed() == ("cn:laptop-1", "ou:Shown")


def test_a_retransmission_gets_the_certificate_that_the_templates_named() -> None:
    """R3: the stored conversation answers, also after the profile has changed."""
    world = world_with(BY_DEVICE)
    secret = world.mint(device="laptop-1")
    first = Device(world).enrol(names(), secret)
    world.registry.create_profile("default", "default", '[subject]\ncn = "n-{device.id}"\n' + BASE, actor=ADMIN)
    assert Device(world).enrol(names(), secret).certificates == first.certificates


def test_i4_what_was_abandoned_is_named_again_from_the_same_binding() -> None:
    """I4: another serial for the same request has the names that the templates make of its binding."""
    world = world_with(BY_DEVICE)
    secret = world.mint(device="laptop-1")
    keys, world.keys.private = dict(world.keys.private), {}
    with pytest.raises(UnavailableError):
        world.enroller.enrol(Device(world).request(names(), secret))
    world.keys.private.update(keys)
    (begun,) = world.store.certificates(CertificateFilter(kind=CertificateKind.LEAF))
    world.store.abandon(begun.id, world.clock.now(), ())
    reply = Device(world).enrol(names(), secret)
    assert begun.intent.subject.startswith("CN=laptop-1,")
    assert world.last_event().draft.details["subject"] == begun.intent.subject
    assert read(reply.certificates[0]).serial_number != begun.serial


# --- conditions, renewal, limits, the deny list ----------------------------------------------------------------------


def test_conditions_look_at_request_binding_and_names() -> None:
    """All must be true, in their order; the refusal is told in the profile's own words."""
    world = world_with(
        '[subject]\ncn = "{device.id}"\n'
        '[[condition]]\nexpr = \'request.key.type == "RSA" && request.key.bits >= 2048\'\nmessage = "RSA"\n'
        '[[condition]]\nexpr = \'names.cn.startsWith("laptop-") && !request.renewal\'\nmessage = "laptops only"\n'
    )
    device = Device(world)
    assert device.enrol(names(), world.mint(device="laptop-1")).status is PkiStatus.SUCCESS
    assert device.fresh("t2").enrol(names(), None, MessageType.RENEWAL_REQ).status is PkiStatus.FAILURE
    refused = world.last_event().draft
    assert refused.reason_id == reasons.CONDITION_UNMET.id
    assert "laptops only" in str(refused.details)


def test_ren4_a_renewal_waits_for_its_window() -> None:
    """REN-4: refused before the last third of the certificate's life, granted in it."""
    world = world_with('[renewal]\nwindow = "33%"\n')
    device = Device(world)
    device.enrol(names("laptop-1"), world.mint("laptop-1"))
    world.clock.advance(timedelta(days=240))
    assert device.fresh("t2").enrol(names("laptop-1"), None, MessageType.RENEWAL_REQ).status is PkiStatus.FAILURE
    assert why(world) == reasons.RENEWAL_EARLY.id
    world.clock.advance(timedelta(days=6))
    assert device.fresh("t3").enrol(names("laptop-1"), None, MessageType.RENEWAL_REQ).status is PkiStatus.SUCCESS


def test_ren4_after_so_many_renewals_somebody_vouches_again() -> None:
    """REN-4: the third generation is refused where two may follow the first; a new enrolment begins a new chain."""
    world = world_with('[renewal]\nmost = 2\nwindow = "364d"\n')
    device = Device(world)
    device.enrol(names("laptop-1"), world.mint("laptop-1"))
    statuses = []
    for turn in range(3):
        world.clock.advance(timedelta(days=2))
        reply = device.fresh(f"turn-{turn}")
        device_now = replace(reply, certificate=device.certificate)
        statuses.append(device_now.enrol(names("laptop-1"), None, MessageType.RENEWAL_REQ).status)
        device.certificate = device_now.certificate
    assert statuses == [PkiStatus.SUCCESS, PkiStatus.SUCCESS, PkiStatus.FAILURE]
    assert why(world) == reasons.RENEWALS_SPENT.id


def test_res5_a_device_has_so_many_live_certificates() -> None:
    """RES-5: revoked ones and those of other devices do not count; a renewal takes its predecessor's place."""
    world = world_with("[limits]\nlive = 1\n")
    device = Device(world)
    device.enrol(names("laptop-1"), world.mint("laptop-1", device="SN-1"))
    assert device.fresh("t2").enrol(names("laptop-1"), None, MessageType.RENEWAL_REQ).status is PkiStatus.SUCCESS
    other = Device(world, key=rsa_key(1)).fresh("t3")
    assert other.enrol(names("laptop-2"), world.mint("laptop-2", device="SN-2")).status is PkiStatus.SUCCESS
    second = Device(world, key=rsa_key(2)).fresh("t4")
    assert second.enrol(names("laptop-1"), world.mint("laptop-1", device="SN-1")).status is PkiStatus.FAILURE
    assert why(world) == reasons.PROFILE_QUOTA.id


def test_res5_without_a_device_its_subject_counts() -> None:
    """RES-5: who names no device is counted by subject, and per day."""
    world = world_with("[limits]\nper-day = 1\n")
    assert Device(world).enrol(names(), world.mint("laptop-1")).status is PkiStatus.SUCCESS
    assert Device(world).fresh("t2").enrol(names(), world.mint("laptop-1")).status is PkiStatus.FAILURE
    world.clock.advance(timedelta(days=1, minutes=1))
    assert Device(world).fresh("t3").enrol(names(), world.mint("laptop-1")).status is PkiStatus.SUCCESS


@pytest.mark.parametrize(
    ("binding", "told"),
    [
        (names("x", "radius.example.com"), "radius.example.com"),
        (names("RADIUS.example.com"), "radius.example.com"),
        (names("x", "a.pki.example.com"), "a.pki.example.com"),
        (Names("x", frozenset({San(SanKind.UPN, "Administrator@example.com")})), "administrator@example.com"),
        (Names("x", frozenset({San(SanKind.URI, "https://radius.example.com/x")})), "radius.example.com"),
        (Names("x", frozenset({San(SanKind.IP, "192.0.2.1")})), "192.0.2.1"),
    ],
)
def test_pol5_no_profile_gives_a_protected_name(binding: Names, told: str) -> None:
    """POL-5: what stands on the deny list nobody gets, by challenge or by approval."""
    listed = ("Radius.example.com", "*.pki.example.com", "administrator@example.com", "192.0.2.1")
    world = world_with("", protected=ProtectedNames.of(listed))
    assert Device(world).enrol(names(), mint(world, binding)).status is PkiStatus.FAILURE
    assert why(world) == reasons.NAME_PROTECTED.id
    assert told in str(world.last_event().draft.details)
    secret = world.open_endpoint("queue", Authoriser.APPROVAL)
    assert Device(world, endpoint="queue").fresh("t2").enrol(binding, secret).status is PkiStatus.FAILURE


def test_pol5_no_device_is_called_like_an_authority() -> None:
    """POL-5: the common name of the authority above is taken."""
    world = world_with("")
    door = world.store.door("default")
    assert door is not None
    taken = read(door.authority.certificate_der).subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value
    assert Device(world).enrol(names(), world.mint(str(taken).upper())).status is PkiStatus.FAILURE
    assert why(world) == reasons.NAME_PROTECTED.id


def test_pol5_names_lie_in_the_profiles_domains() -> None:
    """POL-5: DNS, e-mail and user principal names end with a domain of the profile."""
    world = world_with('domains = ["example.com"]\n')
    assert Device(world).enrol(names(), world.mint("x", "a.example.com")).status is PkiStatus.SUCCESS
    assert Device(world).fresh("t2").enrol(names(), world.mint("y", "a.notexample.com")).status is PkiStatus.FAILURE
    assert why(world) == reasons.NAME_PROTECTED.id


def test_a_profile_ends_on_its_last_day() -> None:
    """No certificate is valid beyond `validity.until`, and after it none is issued."""
    last = (World().clock.now() + timedelta(days=10)).date()
    world = World()
    document = f'[validity]\nduration = "365d"\nuntil = {last}\n[usage]\nextended-key-usage = ["clientAuth"]\n'
    world.registry.create_profile("default", "default", document, actor=ADMIN)
    reply = Device(world).enrol(names(), world.mint("laptop-1"))
    assert read(reply.certificates[0]).not_valid_after_utc.date() == last
    world.clock.advance(timedelta(days=11))
    assert Device(world).fresh("t2").enrol(names(), world.mint("laptop-1")).status is PkiStatus.FAILURE
    assert why(world) == reasons.CONDITION_UNMET.id


def test_an_order_is_not_held_off_by_a_count() -> None:
    """RES-5: limits hold devices off; an administrator who approves sees what the device has already."""
    world = world_with("[limits]\nlive = 1\n")
    secret = world.open_endpoint("queue", Authoriser.APPROVAL)
    Device(world).enrol(names("laptop-1"), world.mint("laptop-1"))
    second = Device(world, key=rsa_key(1), endpoint="queue").fresh("t2")
    second.enrol(names("laptop-1"), secret)
    assert world.approve().intent.subject == "CN=laptop-1"
