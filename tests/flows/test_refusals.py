"""Every reason a PKIOperation can be refused for, driven by a real message through the whole of it.

Each row is one reason: how to provoke it, and what the stranger is told (R6). The reasons of the other faces are driven
where those are tested; `test_completeness.py` checks that none is left out.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from retrieval_scenarios import RETRIEVALS

from forge import attributes, envelope, signed, swap_oid
from regalia import reasons
from regalia.ca.profile import DEFAULT_DOCUMENT
from regalia.ca.revoke import hold
from regalia.model import (
    Authoriser,
    CertificateKind,
    Condition,
    NamesFrom,
    Revocation,
    RevocationReason,
)
from regalia.ports import CertificateFilter
from regalia.ra.registry import EndpointOptions
from regalia.ra.scep import CertRep, Unreadable
from regalia.wire import der, oids
from regalia.wire.scep import FailInfo, MessageType, PkiStatus, read_message
from world import ADMIN, Device, World, names, rsa_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from regalia.errors import Reason


SCENARIOS: dict[str, tuple[Callable[[World], bytes | tuple[bytes, str]], FailInfo | None]] = {**RETRIEVALS}
"""Reason id → (the message to send, perhaps with its endpoint; the failInfo, None for HTTP 400)."""

ROGUE_OIDS = {"sha3-256": "2.16.840.1.101.3.4.2.8", "aes128-gcm": "2.16.840.1.101.3.4.1.6"}


def scenario(
    reason: Reason, fail_info: FailInfo | None
) -> Callable[[Callable[[World], bytes | tuple[bytes, str]]], Callable[[World], bytes | tuple[bytes, str]]]:
    """Register a function as the way to provoke a reason."""

    def register(
        provoke: Callable[[World], bytes | tuple[bytes, str]],
    ) -> Callable[[World], bytes | tuple[bytes, str]]:
        SCENARIOS[reason.id] = provoke, fail_info
        return provoke

    return register


def well_formed(world: World) -> bytes:
    """Make the message that every forgery starts from: without its fault it would be issued."""
    device = Device(world)
    return signed(device, envelope(device, device.csr(names("laptop-1"), world.mint("laptop-1"))))


# --- structure ------------------------------------------------------------------------------------------------------


@scenario(reasons.STRUCTURE_REFUSED, None)
def _garbage(world: World) -> bytes:
    return well_formed(world) + b"\x00"


@scenario(reasons.NOT_SIGNED_DATA, None)
def _not_signed(world: World) -> bytes:
    return envelope(Device(world), b"x")


@scenario(reasons.TRANSACTION_UNTRUSTED, None)
def _long_transaction(world: World) -> bytes:
    device = Device(world)
    wanted = [a for a in attributes(device) if der.oid(oids.TRANSACTION_ID) not in a]
    wanted.append(der.sequence(der.oid(oids.TRANSACTION_ID), der.set_of([der.printable_string("x" * 256)])))
    return signed(device, envelope(device, b"x"), wanted)


# --- algorithms -----------------------------------------------------------------------------------------------------


@scenario(reasons.DIGEST_REFUSED, FailInfo.BAD_ALG)
def _digest(world: World) -> bytes:
    return swap_oid(well_formed(world), oids.SHA256, ROGUE_OIDS["sha3-256"])


@scenario(reasons.SIGNATURE_ALGORITHM_REFUSED, FailInfo.BAD_ALG)
def _signature_algorithm(world: World) -> bytes:
    return swap_oid(well_formed(world), oids.RSA_ENCRYPTION, oids.RSASSA_PSS, last=True)


@scenario(reasons.KEY_TRANSPORT_REFUSED, FailInfo.BAD_ALG)
def _key_transport(world: World) -> bytes:
    device = Device(world)
    return signed(device, swap_oid(envelope(device, b"x"), oids.RSA_ENCRYPTION, oids.RSAES_OAEP))


@scenario(reasons.CIPHER_REFUSED, FailInfo.BAD_ALG)
def _cipher(world: World) -> bytes:
    device = Device(world)
    return signed(device, swap_oid(envelope(device, b"x"), oids.AES128_CBC, ROGUE_OIDS["aes128-gcm"]))


# --- the outer signature --------------------------------------------------------------------------------------------


@scenario(reasons.SIGNER_COUNT, None)
def _two_signers(world: World) -> bytes:
    content_info = der.read_one(well_formed(world)).children()
    version, digests, content, bag, signers = content_info[1].children()[0].children()
    doubled = der.tlv(der.SET, signers.content * 2)
    return der.sequence(
        content_info[0].raw,
        der.context(0, der.sequence(version.raw, digests.raw, content.raw, bag.raw, doubled)),
    )


@scenario(reasons.SIGNER_CERTIFICATE_MISSING, FailInfo.BAD_MESSAGE_CHECK)
def _no_certificate(world: World) -> bytes:
    content_info = der.read_one(well_formed(world)).children()
    version, digests, content, _bag, signers = content_info[1].children()[0].children()
    return der.sequence(
        content_info[0].raw, der.context(0, der.sequence(version.raw, digests.raw, content.raw, signers.raw))
    )


@scenario(reasons.ATTRIBUTES_REFUSED, FailInfo.BAD_MESSAGE_CHECK)
def _integer_type(world: World) -> bytes:
    """R7: an INTEGER messageType is not tolerated."""
    device = Device(world)
    return signed(device, envelope(device, b"x"), attributes(device, der.integer(19)))


@scenario(reasons.DIGEST_MISMATCH, FailInfo.BAD_MESSAGE_CHECK)
def _content_swapped(world: World) -> bytes:
    """The envelope of one message under the signature of another (scep.md §13)."""
    device = Device(world)
    first, second = envelope(device, b"first"), envelope(device, b"other")
    assert len(first) == len(second)
    return signed(device, first).replace(first, second)


@scenario(reasons.SIGNATURE_INVALID, FailInfo.BAD_MESSAGE_CHECK)
def _signature_broken(world: World) -> bytes:
    """SIG-1: the outer signature is always verified."""
    message = well_formed(world)
    return message[:-1] + bytes((message[-1] ^ 1,))


@scenario(reasons.SIGNER_KEY_REFUSED, FailInfo.BAD_MESSAGE_CHECK)
def _small_signer(world: World) -> bytes:
    small = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505 - the fault that is tested
    device = Device(world, key=small)
    return signed(device, envelope(device, b"x"))


@scenario(reasons.ENVELOPE_STRUCTURE_REFUSED, FailInfo.BAD_MESSAGE_CHECK)
def _no_envelope(world: World) -> bytes:
    return signed(Device(world), der.sequence(der.oid(oids.ID_DATA)))


@scenario(reasons.RECIPIENT_UNKNOWN, FailInfo.BAD_MESSAGE_CHECK)
def _foreign_recipient(world: World) -> bytes:
    device = Device(world)
    return signed(device, envelope(device, b"x", recipient=Device(world, key=rsa_key(1)).self_signed()))


# --- type and signer ------------------------------------------------------------------------------------------------


@scenario(reasons.MESSAGE_TYPE_REFUSED, FailInfo.BAD_REQUEST)
def _update_request(world: World) -> bytes:
    """MSG-1: messageType 18 issued without authorisation elsewhere (CVE-2026-30836)."""
    device = Device(world)
    csr = device.csr(names("laptop-1"), world.mint("laptop-1"))
    return signed(device, envelope(device, csr), attributes(device, der.printable_string("18")))


@scenario(reasons.RENEWAL_NEEDS_CERTIFICATE, FailInfo.BAD_REQUEST)
def _renewal_by_new(world: World) -> bytes:
    device = Device(world)
    csr = device.csr(names("laptop-1"), world.mint("laptop-1"))
    return device.message(csr, message_type=MessageType.RENEWAL_REQ)


@scenario(reasons.SIGNER_FOREIGN, FailInfo.BAD_REQUEST)
def _other_group(world: World) -> tuple[bytes, str]:
    """REN-1, AUTHZ-2: a certificate of one group renews nothing at another's endpoint."""
    certificate = enrolled(world).certificate
    world.open_group("staff")
    device = Device(world, endpoint="staff", certificate=certificate)
    return device.message(device.csr(names("laptop-1"), None)), "staff"


def enrolled(world: World) -> Device:
    """Enrol a device with the name laptop-1, and go on in a new transaction."""
    device = Device(world)
    device.enrol(names("laptop-1"), world.mint("laptop-1"))
    return device.fresh("transaction-2")


@scenario(reasons.SIGNER_NOT_ON_RECORD, FailInfo.BAD_REQUEST)
def _not_on_record(world: World) -> bytes:
    """SEC-4: whoever else has the authority's key, or a certificate from after the backup, renews nothing."""
    device = enrolled(world)
    door = world.store.door("default")
    assert door is not None
    assert device.certificate is not None
    signed = x509.load_der_x509_certificate(device.certificate)
    again = (
        x509.CertificateBuilder(signed.issuer, signed.subject, signed.public_key(), x509.random_serial_number())
        .not_valid_before(signed.not_valid_before_utc)
        .not_valid_after(signed.not_valid_after_utc)
        .sign(world.keys.private[door.authority.key_id], hashes.SHA256())
    )
    unknown = replace(device, certificate=again.public_bytes(serialization.Encoding.DER))
    return unknown.message(unknown.csr(names("laptop-1"), None))


@scenario(reasons.SIGNER_EXPIRED, FailInfo.BAD_REQUEST)
def _expired(world: World) -> bytes:
    device = enrolled(world)
    world.clock.advance(timedelta(days=366))
    return device.message(device.csr(names("laptop-1"), None))


@scenario(reasons.SIGNER_REVOKED, FailInfo.BAD_REQUEST)
def _revoked(world: World) -> bytes:
    device = enrolled(world)
    revoke_all(world, RevocationReason.PRIVILEGE_WITHDRAWN)
    return device.message(device.csr(names("laptop-1"), None))


def revoke_all(world: World, reason: RevocationReason) -> None:
    """Revoke every device's certificate."""
    for row in world.store.certificates(CertificateFilter(kind=CertificateKind.LEAF)):
        world.store.revoke(Revocation(row.id, reason, "administrator", "os:tester", world.clock.now()), ())


@scenario(reasons.SIGNER_COMPROMISED, FailInfo.BAD_REQUEST)
def _compromised(world: World) -> bytes:
    device = enrolled(world)
    world.containment.replace("default", actor=ADMIN, publish=lambda _name: None)
    return device.message(device.csr(names("laptop-1"), None))


@scenario(reasons.SIGNER_SUPERSEDED, FailInfo.BAD_REQUEST)
def _superseded(world: World) -> bytes:
    """REN-1: one successor is grace enough; a certificate two generations back renews no more."""
    old = enrolled(world)
    current = old
    for turn in range(2):
        current = current.fresh(f"renewal-{turn}")
        current.enrol(names("laptop-1"), None)
    return old.message(old.csr(names("laptop-1"), None))


@scenario(reasons.SIGNER_WITHDRAWN, FailInfo.BAD_REQUEST)
def _successor_revoked(world: World) -> bytes:
    """REN-1: whoever kept the older key does not get around the revocation of the newer certificate."""
    old = enrolled(world)
    newer = old.fresh("renewal")
    newer.enrol(names("laptop-1"), None)
    leaves = world.store.certificates(CertificateFilter(kind=CertificateKind.LEAF))
    newest = max(leaves, key=lambda leaf: leaf.intent.generation)
    lost = Revocation(newest.id, RevocationReason.PRIVILEGE_WITHDRAWN, "administrator", "os:tester", world.clock.now())
    world.store.revoke(lost, ())
    return old.message(old.csr(names("laptop-1"), None))


@scenario(reasons.SIGNER_IS_OURS, FailInfo.BAD_REQUEST)
def _signed_by_ra(world: World) -> bytes:
    """SIG-4: the RA's own key signs no request."""
    door = world.store.door("default")
    assert door is not None
    key = world.keys.private[door.ra.key_id]
    assert isinstance(key, rsa.RSAPrivateKey)
    device = Device(world, key=key, certificate=door.ra.certificate_der)
    return device.message(device.csr(names("laptop-1"), world.mint("laptop-1")))


@scenario(reasons.SIGNING_TIME_REFUSED, FailInfo.BAD_TIME)
def _wrong_clock(world: World) -> tuple[bytes, str]:
    world.registry.create_endpoint(
        "punctual", group="default", profile="default", actor=ADMIN, options=EndpointOptions(check_signing_time=True)
    )
    device = Device(world, endpoint="punctual")
    past = der.sequence(der.oid(oids.SIGNING_TIME), der.set_of([der.time(world.clock.now() - timedelta(hours=25))]))
    csr = device.csr(names("laptop-1"), world.mint("laptop-1", endpoint="punctual"))
    return signed(device, envelope(device, csr), [*attributes(device), past]), "punctual"


# --- decrypted content: the uniform reply ---------------------------------------------------------------------------


@scenario(reasons.DECRYPTION_FAILED, FailInfo.BAD_MESSAGE_CHECK)
def _wrong_content_key(world: World) -> bytes:
    """ENV-2: a garbled key transport leads to the same answer as garbled content."""
    device = Device(world)
    sealed = envelope(device, b"x")
    start = sealed.index(der.oid(oids.RSA_ENCRYPTION)) + 30
    return signed(device, sealed[:start] + bytes((sealed[start] ^ 0x01,)) + sealed[start + 1 :])


@scenario(reasons.CSR_REFUSED, FailInfo.BAD_MESSAGE_CHECK)
def _trailing_octets(world: World) -> bytes:
    """ENV-4: one octet after the CSR would make a padding oracle of the challenge."""
    device = Device(world)
    return signed(device, envelope(device, device.csr(names("laptop-1"), world.mint("laptop-1")) + b"\x00"))


@scenario(reasons.CSR_AMBIGUOUS, FailInfo.BAD_MESSAGE_CHECK)
def _two_common_names(world: World) -> bytes:
    """POL-4: what policy reads must be the only reading."""
    device = Device(world)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, cn) for cn in ("laptop-1", "ceo")])
    return signed(device, envelope(device, library_csr(device, subject)))


def library_csr(device: Device, subject: x509.Name, *extensions: x509.ExtensionType) -> bytes:
    """Make a CSR with a library that is not ours."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(device.key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


@scenario(reasons.POSSESSION_UNPROVEN, FailInfo.BAD_MESSAGE_CHECK)
def _broken_csr_signature(world: World) -> bytes:
    """ENV-6: micromdm issued on this one."""
    device = Device(world)
    csr = device.csr(names("laptop-1"), world.mint("laptop-1"))
    return signed(device, envelope(device, csr[:-1] + bytes((csr[-1] ^ 1,))))


@scenario(reasons.KEY_REFUSED, FailInfo.BAD_MESSAGE_CHECK)
def _curve_not_in_profile(world: World) -> bytes:
    device = enrolled(world)
    csr = device.csr(names("laptop-1"), None, key=ec.generate_private_key(ec.SECP521R1()))
    return device.message(csr)


@scenario(reasons.KEY_WEAK, FailInfo.BAD_MESSAGE_CHECK)
def _close_primes(world: World) -> bytes:
    """KEY-2: two primes next to each other fall to Fermat in a moment."""
    device = enrolled(world)
    return device.message(device.csr(names("laptop-1"), None, key=fermat_key()))


def fermat_key() -> rsa.RSAPrivateKey:
    """Build a 2048-bit key whose primes are neighbours."""
    base = rsa_key(0).private_numbers().p
    p = next_prime(base)
    q = next_prime(p)
    e = 65537
    d = pow(e, -1, (p - 1) * (q - 1))
    return rsa.RSAPrivateNumbers(
        p=p,
        q=q,
        d=d,
        dmp1=d % (p - 1),
        dmq1=d % (q - 1),
        iqmp=pow(q, -1, p),
        public_numbers=rsa.RSAPublicNumbers(e, p * q),
    ).private_key(unsafe_skip_rsa_key_validation=True)


def next_prime(after: int) -> int:
    """Find the next probable prime (Fermat's test to two bases is enough for a test's key)."""
    candidate = after + 2
    while pow(2, candidate - 1, candidate) != 1 or pow(3, candidate - 1, candidate) != 1:
        candidate += 2
    return candidate


@scenario(reasons.KEY_NOT_BOUND, FailInfo.BAD_MESSAGE_CHECK)
def _resigned_capture(world: World) -> bytes:
    """SIG-6: a captured envelope signed anew by somebody else is refused."""
    victim, thief = Device(world), Device(world, key=rsa_key(1))
    captured = envelope(victim, victim.csr(names("laptop-1"), world.mint("laptop-1")))
    return signed(thief, captured)


# --- conversation ---------------------------------------------------------------------------------------------------


@scenario(reasons.CONVERSATION_CHANGED, FailInfo.BAD_REQUEST)
def _other_names(world: World) -> bytes:
    device, secret = Device(world), world.mint("laptop-1", "a.example.com")
    device.enrol(names("laptop-1"), secret)
    device.certificate = None
    return device.message(device.csr(names("laptop-1", "a.example.com"), secret))


@scenario(reasons.TRANSACTION_TAKEN, FailInfo.BAD_REQUEST)
def _same_transaction(world: World) -> bytes:
    Device(world).enrol(names("laptop-1"), world.mint("laptop-1"))
    other = Device(world, key=rsa_key(1))
    return other.message(other.csr(names("laptop-2"), world.mint("laptop-2")))


@scenario(reasons.POLL_UNKNOWN, FailInfo.BAD_REQUEST)
def _poll_for_anothers(world: World) -> tuple[bytes, str]:
    """MSG-3: what waits for one key is nothing to another."""
    secret = world.open_endpoint("queue", Authoriser.APPROVAL)
    Device(world, endpoint="queue").enrol(names("laptop-1"), secret)
    thief = Device(world, key=rsa_key(1), endpoint="queue")
    return thief.message(thief.poll_content(), message_type=MessageType.CERT_POLL), "queue"


# --- evidence -------------------------------------------------------------------------------------------------------


@scenario(reasons.CHALLENGE_MISSING, FailInfo.BAD_REQUEST)
def _no_challenge(world: World) -> bytes:
    device = Device(world)
    return device.message(device.csr(names("laptop-1"), None))


@scenario(reasons.CHALLENGE_UNKNOWN, FailInfo.BAD_REQUEST)
def _other_endpoints_challenge(world: World) -> bytes:
    """CHA-1: a challenge is worth something at its own endpoint only."""
    world.open_group("staff")
    device = Device(world)
    return device.message(device.csr(names("laptop-1"), world.mint("laptop-1", endpoint="staff")))


@scenario(reasons.CHALLENGE_EXPIRED, FailInfo.BAD_REQUEST)
def _expired_challenge(world: World) -> bytes:
    device, secret = Device(world), world.mint("laptop-1")
    world.clock.advance(timedelta(minutes=60))
    return device.message(device.csr(names("laptop-1"), secret))


@scenario(reasons.CHALLENGE_USED, FailInfo.BAD_REQUEST)
def _used_challenge(world: World) -> bytes:
    device, secret = Device(world), world.mint("laptop-1")
    device.enrol(names("laptop-1"), secret)
    again = Device(world).fresh("transaction-2")
    return again.message(again.csr(names("laptop-1"), secret))


@scenario(reasons.CHALLENGE_REPLAYED, FailInfo.BAD_REQUEST)
def _replayed_challenge(world: World) -> bytes:
    secret = world.mint("laptop-1")
    Device(world).enrol(names("laptop-1"), secret)
    thief = Device(world, key=rsa_key(1)).fresh("transaction-2")
    return thief.message(thief.csr(names("laptop-1"), secret))


@scenario(reasons.CHALLENGE_REVOKED, FailInfo.BAD_REQUEST)
def _revoked_challenge(world: World) -> bytes:
    device, secret = Device(world), world.mint("laptop-1")
    world.desk.revoke(world.store.challenges()[0].id, ADMIN)
    return device.message(device.csr(names("laptop-1"), secret))


@scenario(reasons.RENEWAL_CHALLENGE_WRONG, FailInfo.BAD_REQUEST)
def _foreign_challenge_on_renewal(world: World) -> bytes:
    """R4: a renewal with somebody else's challenge is not silently accepted."""
    device = enrolled(world)
    return device.message(device.csr(names("laptop-1"), world.mint("laptop-2")))


# --- policy ---------------------------------------------------------------------------------------------------------


@scenario(reasons.NAMES_OUTSIDE_BINDING, FailInfo.BAD_REQUEST)
def _other_name(world: World) -> bytes:
    """VU#971035: a challenge for one name asks for another."""
    device = Device(world)
    return device.message(device.csr(names("ceo"), world.mint("laptop-1")))


@scenario(reasons.NAMES_CHANGED_ON_RENEWAL, FailInfo.BAD_REQUEST)
def _new_name_on_renewal(world: World) -> bytes:
    device = enrolled(world)
    return device.message(device.csr(names("laptop-1", "mail.example.com"), None))


@scenario(reasons.EXTENSION_FORBIDDEN, FailInfo.BAD_REQUEST)
def _ca_request(world: World) -> bytes:
    """POL-2: CA:TRUE and code signing come from no CSR."""
    device = enrolled(world)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "laptop-1")])
    return device.message(
        library_csr(
            device,
            subject,
            x509.BasicConstraints(ca=True, path_length=None),
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]),
        )
    )


@scenario(reasons.NAME_MALFORMED, FailInfo.BAD_REQUEST)
def _wildcard(world: World) -> bytes:
    """POL-5: no wildcard in any certificate."""
    device = Device(world)
    return device.message(device.csr(names("laptop-1", "*.example.com"), world.mint("laptop-1")))


@scenario(reasons.KEY_OF_ANOTHER, FailInfo.BAD_REQUEST)
def _key_of_another(world: World) -> bytes:
    Device(world).enrol(names("laptop-1"), world.mint("laptop-1"))
    device = Device(world).fresh("transaction-2")
    return device.message(device.csr(names("laptop-2"), world.mint("laptop-2")))


@scenario(reasons.KEY_BLOCKED, FailInfo.BAD_REQUEST)
def _compromised_key(world: World) -> bytes:
    """KEY-2: a key that was revoked as compromised is certified for nobody again."""
    Device(world).enrol(names("laptop-1"), world.mint("laptop-1"))
    revoke_all(world, RevocationReason.KEY_COMPROMISE)
    device = Device(world).fresh("transaction-2")
    return device.message(device.csr(names("laptop-1"), world.mint("laptop-1")))


@scenario(reasons.KEY_ON_HOLD, FailInfo.BAD_REQUEST)
def _key_on_hold(world: World) -> bytes:
    """REV-1: a fresh challenge does not lead around a hold."""
    device = enrolled(world)
    for row in world.store.certificates(CertificateFilter(kind=CertificateKind.LEAF)):
        hold(world.store, world.clock, row, actor=ADMIN)
    again = Device(world).fresh(device.transaction.octets.decode())
    return again.message(again.csr(names("laptop-1"), world.mint("laptop-1")))


FROM_CSR = DEFAULT_DOCUMENT.replace('names = "binding"', 'names = "from-csr"')


@scenario(reasons.NO_NAMES, FailInfo.BAD_REQUEST)
def _nothing_asked(world: World) -> tuple[bytes, str]:
    world.registry.create_profile("open", "default", FROM_CSR, actor=ADMIN, acknowledged=["names-from-request"])
    world.registry.create_endpoint("open", group="default", profile="open", actor=ADMIN)
    device = Device(world, endpoint="open")
    return device.message(device.csr(names(), world.mint(endpoint="open"))), "open"


@scenario(reasons.DEVICE_QUOTA, FailInfo.BAD_REQUEST)
def _sixth_of_a_day(world: World) -> bytes:
    """RES-5: five first enrolments of one device are enough, whoever makes the challenges for it."""
    for turn in range(5):
        Device(world).fresh(f"transaction-{turn}").enrol(names("laptop-1"), world.mint("laptop-1", device="SN-1"))
    device = Device(world).fresh("transaction-5")
    return device.message(device.csr(names("laptop-1"), world.mint("laptop-1", device="SN-1")))


@scenario(reasons.STATIC_NAMES_FROM_REQUEST, FailInfo.BAD_REQUEST)
def _static_from_csr(world: World) -> tuple[bytes, str]:
    """POL-3: a profile row that the registry would not have let through meets the decision."""
    secret = world.open_endpoint("static", Authoriser.STATIC)
    profile = world.store.profile("default")
    assert profile is not None
    world.store.add_profile(replace(profile, version=2, names_from=NamesFrom.CSR), ())
    device = Device(world, endpoint="static")
    return device.message(device.csr(names("ceo"), secret)), "static"


def _next_version(world: World, further: str) -> None:
    world.registry.create_profile("default", "default", DEFAULT_DOCUMENT + further, actor=ADMIN)


@scenario(reasons.CONDITION_UNMET, FailInfo.BAD_REQUEST)
def _condition_unmet(world: World) -> bytes:
    condition = "[[condition]]\nexpr = 'request.key.type == \"EC\"'\nmessage = 'keys on curves only'\n"
    _next_version(world, condition)
    device = Device(world)
    return device.message(device.csr(names("laptop-1"), world.mint("laptop-1")))


@scenario(reasons.CONDITION_FAILED, FailInfo.BAD_REQUEST)
def _condition_failed(world: World) -> bytes:
    """AUTHZ-3: what cannot be evaluated is refused. The trial of `profile create` has one name, this request none."""
    _next_version(world, "")
    profile = world.store.profile("default")
    assert profile is not None
    doubtful = Condition('binding.dns[0].endsWith(".example.com")', "outside")
    world.store.add_profile(replace(profile, version=3, conditions=(doubtful,)), ())
    device = Device(world)
    return device.message(device.csr(names("laptop-1"), world.mint("laptop-1")))


@scenario(reasons.VARIABLE_MISSING, FailInfo.BAD_REQUEST)
def _no_device(world: World) -> bytes:
    """POL-6: a name that needs a fact is not made without it."""
    _next_version(world, '[subject]\ncn = "{device.id}"\n')
    device = Device(world)
    return device.message(device.csr(names("laptop-1"), world.mint("laptop-1")))


@scenario(reasons.NAME_PROTECTED, FailInfo.BAD_REQUEST)
def _public_suffix(world: World) -> bytes:
    """POL-5: nobody's name lies above other people's."""
    device = Device(world)
    return device.message(device.csr(names("laptop-1"), world.mint("laptop-1", "co.uk")))


@scenario(reasons.RENEWAL_EARLY, FailInfo.BAD_REQUEST)
def _renewal_early(world: World) -> bytes:
    """REN-4: before its window a certificate renews nothing."""
    _next_version(world, '[renewal]\nwindow = "33%"\n')
    device = enrolled(world)
    return device.message(device.csr(names("laptop-1"), None))


@scenario(reasons.RENEWALS_SPENT, FailInfo.BAD_REQUEST)
def _renewals_spent(world: World) -> bytes:
    """REN-4: after so many renewals somebody has to vouch for the device again."""
    _next_version(world, "[renewal]\nmost = 0\n")
    device = enrolled(world)
    return device.message(device.csr(names("laptop-1"), None))


@scenario(reasons.PROFILE_QUOTA, FailInfo.BAD_REQUEST)
def _second_that_lives(world: World) -> bytes:
    """RES-5: a device has as many certificates as its profile allows."""
    _next_version(world, "[limits]\nlive = 1\n")
    Device(world).enrol(names("laptop-1"), world.mint("laptop-1", device="SN-1"))
    device = Device(world).fresh("transaction-2")
    return device.message(device.csr(names("laptop-1"), world.mint("laptop-1", device="SN-1")))


@scenario(reasons.KEY_REUSED, FailInfo.BAD_REQUEST)
def _same_key_again(world: World) -> bytes:
    """KEY-2: where the profile says so, not even the same holder has a key certified twice."""
    world.registry.create_profile(
        "default",
        "default",
        DEFAULT_DOCUMENT.replace("ml-dsa = []", 'reuse = "never"'),
        actor=ADMIN,
    )
    device = enrolled(world)
    return device.message(device.csr(names("laptop-1"), None))


@scenario(reasons.LINT_REFUSED, FailInfo.BAD_REQUEST)
def _no_validity(world: World) -> bytes:
    """R8: a profile row that `profile create` would not have let through meets the lint before anything is signed."""
    device = enrolled(world)
    profile = world.store.profile("default")
    assert profile is not None
    spoilt = replace(profile, version=2, validity=replace(profile.validity, duration=timedelta(0)))
    world.store.add_profile(spoilt, ())
    return device.message(device.csr(names("laptop-1"), None))


# --- the table, run -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reason_id", sorted(SCENARIOS))
def test_each_reason_is_told_to_the_administrator_and_hidden_from_the_stranger(reason_id: str) -> None:
    """R6: one event with the id; a signed failInfo or HTTP 400; nothing issued (I10)."""
    provoke, fail_info = SCENARIOS[reason_id]
    world = World()
    made = provoke(world)
    message, endpoint = made if isinstance(made, tuple) else (made, "default")
    issued = len(world.store.certificates(CertificateFilter(limit=1000)))
    events = len(world.store.log)
    answer = world.send(message, endpoint)
    assert world.last_event().draft.reason_id == reason_id, world.last_event().draft.details
    assert len(world.store.log) == events + 1
    assert len(world.store.certificates(CertificateFilter(limit=1000))) == issued
    if fail_info is None:
        assert isinstance(answer, Unreadable)
        return
    assert isinstance(answer, CertRep)
    assert told(answer.der) == (PkiStatus.FAILURE, fail_info)


def told(answer: bytes) -> tuple[PkiStatus, FailInfo]:
    """Read pkiStatus and failInfo out of a reply's signed attributes."""
    raw = read_message(answer)
    assert raw.attributes is not None
    values = {oid: value[0].content.decode() for oid, value in raw.attributes.values.items() if oid in _STATUS}
    return PkiStatus(values[oids.PKI_STATUS]), FailInfo(int(values[oids.FAIL_INFO]))


_STATUS = (oids.PKI_STATUS, oids.FAIL_INFO)
