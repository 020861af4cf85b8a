"""Where the fuzzers' corpus began: messages of others and of ours, of every kind. Run it to begin one anew.

    PYTHONPATH=tests:tests/flows .venv/bin/python -m fuzz.seeds DIRECTORY

It writes `DIRECTORY/<target>/<n>`; `tools.fuzz.__main__.keep(target, DIRECTORY / target)` takes what is worth keeping.
"""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path
from random import Random

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.ciphers import Cipher as BlockCipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from attacks.forgery import csr_of, message_of, raw_extension, rdn, requested
from attacks.harness import Target
from attacks.messages import good_messages
from attacks.test_algorithms import sealed_with
from ber_forms import constructed_content, indefinite, loosen
from forge import envelope
from regalia.ra.scep import CertRep
from regalia.wire import cms, der, oids
from regalia.wire.algorithms import STANDARD, Cipher, Digest
from regalia.wire.cms_build import build_enveloped
from regalia.wire.names import encode_sans
from regalia.wire.pwri import PasswordRecipient
from regalia.wire.rsa_parameters import pss_identifier
from regalia.wire.scep import MessageType, read_message
from scep_parts import algorithm, attribute, issuer_and_serial
from signing_device import SCHEMES, SigningDevice
from world import Device, names

PrivateKey = ec.EllipticCurvePrivateKey | Ed25519PrivateKey

VECTORS = Path(__file__).parents[1] / "vectors"


def _others() -> list[bytes]:
    with zipfile.ZipFile(VECTORS / "openssl-cms-corpus.zip") as archive:
        found = [archive.read(name) for name in archive.namelist() if not name.endswith("/")]
    return found + [file.read_bytes() for file in sorted(VECTORS.glob("*/*.der"))]


def _requests(device: Device) -> list[bytes]:
    """PKCS #10 with every attribute, name and kind of key that is read."""
    general_names = der.sequence(
        der.context(0, der.oid("1.3.6.1.4.1.311.20.2.3"), der.context(0, der.utf8_string("a@example.com"))),
        der.context(1, b"a@example.com", constructed=False),
        der.context(2, b"a.example.com", constructed=False),
        der.context(6, b"https://example.com/%41", constructed=False),
        der.context(7, bytes(4), constructed=False),
        der.context(7, bytes(16), constructed=False),
    )
    rights = [
        raw_extension(oids.CE_SUBJECT_ALT_NAME, encode_sans(names("a", "a.example.com").sans)),
        raw_extension(oids.CE_KEY_USAGE, b"\x03\x02\x05\xa0", critical=True),
        raw_extension(oids.CE_EXT_KEY_USAGE, der.sequence(der.oid(oids.KP_CLIENT_AUTH))),
        raw_extension(oids.CE_BASIC_CONSTRAINTS, der.sequence(), critical=True),
    ]
    strings = (0x0C, 0x13, 0x14, 0x16, 0x1A, 0x1C, 0x1E)
    subject = [rdn((oids.AT_COMMON_NAME, der.utf8_string("laptop-1")))]
    subject += [rdn((oids.AT_ORGANIZATION_NAME, der.tlv(tag, b"Four" * 2))) for tag in strings]
    subject += [rdn((oids.AT_EMAIL_ADDRESS, der.tlv(0x16, b"a@b")), (oids.AT_USER_ID, der.utf8_string("u")))]
    return [
        device.csr(names("laptop-1", "a.example.com"), "secret"),
        csr_of(device),
        csr_of(device, requested(*rights), subject=der.sequence(*subject), challenge="a" * 40),
        csr_of(device, requested(raw_extension(oids.CE_SUBJECT_ALT_NAME, general_names))),
        csr_of(device, requested(*rights[1:], oid=oids.MICROSOFT_EXTENSION_REQUEST)),
        csr_of(device, attribute("1.2.840.113549.1.9.20", der.tlv(0x1E, b"\0f"), der.null()), challenge=""),
        *(_of_another_key(key) for key in _OTHER_KEYS()),
        device.poll_content(),
        issuer_and_serial(device.self_signed()),
    ]


def _OTHER_KEYS() -> list[tuple[PrivateKey, hashes.HashAlgorithm | None]]:  # noqa: N802 - a constant that is slow
    curves = (ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1())
    return [
        *((ec.generate_private_key(curve), hashes.SHA256()) for curve in curves),
        (Ed25519PrivateKey.generate(), None),
    ]


def _of_another_key(chosen: tuple[PrivateKey, hashes.HashAlgorithm | None]) -> bytes:
    key, digest = chosen
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "laptop-1")])
    builder = x509.CertificateSigningRequestBuilder().subject_name(name)
    return (
        builder.add_attribute(x509.oid.AttributeOID.CHALLENGE_PASSWORD, b"secret")
        .sign(
            key,
            digest,  # type: ignore[arg-type]  # Ed25519 goes with no digest, EC with one
        )
        .public_bytes(Encoding.DER)
    )


def _messages(device: Device) -> list[bytes]:
    """Whole messages of every type, in the forms that are tolerated, and replies."""
    csr = device.csr(names("laptop-1"), device.world.mint("laptop-1"))
    good = device.message(csr)
    found = [good, indefinite(good), loosen(good, Random(1)), loosen(good, Random(2))]  # noqa: S311 - always the same
    found += [
        device.message(csr, digest=digest, cipher=cipher) for digest in Digest for cipher in STANDARD.ciphers.values()
    ]
    for kind in MessageType:
        if kind is not MessageType.CERT_REP:
            found.append(device.message(csr, message_type=kind))
    for digest in Digest:
        found.append(message_of(device, csr, digest=digest, signature_algorithm=pss_identifier(digest)))
    found += [message_of(device, b"", content=each) for each in _oaep(device)]
    for body in (good, device.fresh("2").message(csr), message_of(device, b"", content=b"")):
        answer = device.world.send(body)
        if isinstance(answer, CertRep):
            found.append(answer.der)
    return found


def _oaep(device: Device) -> list[bytes]:
    """Envelopes whose key transport says RSAES-OAEP, with parameters of every kind."""
    hashed = algorithm(oids.SHA256)
    masked = der.sequence(der.oid(oids.MGF1), hashed)
    label = der.sequence(der.oid(oids.P_SPECIFIED), der.octet_string(b""))
    parts = (der.context(0, hashed), der.context(1, masked), der.context(2, label))
    transports = [der.sequence(*parts[:number]) for number in range(4)]
    return [sealed_with(device, "secret", transport=algorithm(oids.RSAES_OAEP, each)) for each in transports]


def _under_a_password() -> bytes:
    """A reply's envelope for a key that cannot decrypt, with as few iterations as are read."""
    recipient = PasswordRecipient("secret", bytes(16), bytes(16), 1_000)
    return build_enveloped(b"x", recipient=recipient, cipher=Cipher.AES128_CBC, content_key=bytes(16), iv=bytes(16))


def seeds() -> dict[str, list[bytes]]:
    """Target → octets to begin with."""
    world = Target()
    device = Device(world)
    door = world.store.door("default")
    assert door is not None
    requests, messages, others = _requests(device), _messages(device), _others()
    messages += [good.octets for good in good_messages(Target())[0]]
    requests += [SigningDevice(world, kind).csr(names("laptop-1"), "secret") for kind in SCHEMES]
    sealed = [envelope(device, request) for request in requests[:2]]
    layers = [*sealed, *_oaep(device), *(constructed_content(sealed[0], open_ended=each) for each in (False, True))]
    layers.append(_under_a_password())
    layers += [world.scep.ca_certificates(door), cms.certs_only([door.root.certificate_der])]
    return {
        "tlv": others + messages + layers + requests,
        "cms": others + messages + layers,
        "csr": [*requests, (VECTORS / "jscep" / "scep_req0.der").read_bytes(), *_clients()],
        "scep": [*messages, *(file.read_bytes() for file in sorted(VECTORS.glob("*/*.der")))],
    }


def _clients() -> list[bytes]:
    """The requests inside the messages of real clients."""
    key = load_pem_private_key((VECTORS / "clients" / "ra-key.pem").read_bytes(), None)
    assert isinstance(key, RSAPrivateKey)
    found = []
    for file in sorted((VECTORS / "clients").glob("[cs]*-*.der")):
        content = read_message(file.read_bytes()).signed_data.content or b""
        sealed = cms.read_sealed_content(content)
        if sealed.cipher.oid in STANDARD.ciphers and sealed.cipher.parameters is not None:
            secret = key.decrypt(sealed.recipients[0].encrypted_key, PKCS1v15())
            decryptor = BlockCipher(AES(secret), CBC(sealed.cipher.parameters.content)).decryptor()
            padded = decryptor.update(sealed.ciphertext) + decryptor.finalize()
            found.append(padded[: -padded[-1]])
    return found


if __name__ == "__main__":
    for target, each in seeds().items():
        folder = Path(sys.argv[1]) / target
        folder.mkdir(parents=True)
        for number, octets in enumerate(each):
            (folder / str(number)).write_bytes(octets)
