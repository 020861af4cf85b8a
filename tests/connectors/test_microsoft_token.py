"""Tokens: what proves the application, how long one is kept, and what is said where none comes."""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import NameOID

from connectors.microsoft_parts import ASKED, CLIENT_ID, NOW, SECRET, Cloud, PassingTime, golden, intune, said
from regalia import reasons
from regalia.connectors.microsoft_token import AADSTS, ClientCertificate, ClientSecret
from regalia.errors import AdminError
from regalia.model.connector import Allowed, NotAsked

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes

ENDPOINT = "https://login.microsoftonline.com/example.onmicrosoft.com/oauth2/v2.0/token"


def certified(key: CertificateIssuerPrivateKeyTypes, days: int = 365) -> x509.Certificate:
    """Make a self-signed certificate."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "regalia")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, NOW, NOW + timedelta(days=days))
    return builder.sign(key, hashes.SHA256())


def pem(key: CertificateIssuerPrivateKeyTypes, certificate: x509.Certificate, password: bytes | None = None) -> str:
    """Write both as PEM."""
    how = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, how)
    return (certificate.public_bytes(serialization.Encoding.PEM) + private).decode()


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    """Key of an application."""
    return rsa.generate_private_key(65537, 2048)


def part(text: str) -> Any:  # noqa: ANN401 - it is JSON
    """Read a part of a token."""
    return json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))


def test_a_secret_goes_into_the_form_alone() -> None:
    """The form has the fields and the scope, with its two slashes, that Microsoft's own clients send."""
    cloud = Cloud()
    assert isinstance(intune(cloud).authorise(ASKED, within=15), Allowed)
    graph, own = cloud.asked("/token")
    assert graph.url == ENDPOINT
    assert parse_qs(own.body.decode()) == {
        "grant_type": ["client_credentials"],
        "client_id": [CLIENT_ID],
        "client_secret": [SECRET],
        "scope": ["https://api.manage.microsoft.com//.default"],
    }
    assert parse_qs(graph.body.decode())["scope"] == ["https://graph.microsoft.com/.default"]
    assert SECRET not in graph.url
    assert SECRET not in repr(ClientSecret(SECRET))


def test_a_certificate_signs_an_assertion(key: rsa.RSAPrivateKey) -> None:
    """The assertion is PS256 with the certificate and its SHA-256, for this endpoint, for ten minutes, once."""
    certificate = certified(key)
    cloud = Cloud()
    link = intune(cloud, secret=pem(key, certificate), credential="certificate")
    assert isinstance(link.authorise(ASKED, within=15), Allowed)
    forms = [parse_qs(request.body.decode()) for request in cloud.asked("/token")]
    assert all("client_secret" not in form for form in forms)
    assert forms[0]["client_assertion_type"] == ["urn:ietf:params:oauth:client-assertion-type:jwt-bearer"]
    header, claims, signature = forms[0]["client_assertion"][0].split(".")
    der = certificate.public_bytes(serialization.Encoding.DER)
    digest = base64.urlsafe_b64encode(hashlib.sha256(der).digest()).rstrip(b"=").decode()
    assert part(header) == {
        "alg": "PS256",
        "typ": "JWT",
        "x5t#S256": digest,
        "x5c": [base64.b64encode(der).decode()],
    }
    said_of_it = part(claims)
    seconds = int(NOW.timestamp())
    assert {name: said_of_it[name] for name in ("aud", "iss", "sub", "iat", "exp")} == {
        "aud": ENDPOINT,
        "iss": CLIENT_ID,
        "sub": CLIENT_ID,
        "iat": seconds,
        "exp": seconds + 600,
    }
    octets = base64.urlsafe_b64decode(signature + "=" * (-len(signature) % 4))
    scheme = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
    key.public_key().verify(octets, f"{header}.{claims}".encode(), scheme, hashes.SHA256())
    assert said_of_it["jti"] != part(forms[1]["client_assertion"][0].split(".")[1])["jti"]


def test_a_credential_that_cannot_be_one_is_refused(key: rsa.RSAPrivateKey) -> None:
    """CON-032: PEM with one half, a foreign certificate, a password, a curve, a short key; a secret of two lines."""
    curve, other = ec.generate_private_key(ec.SECP256R1()), rsa.generate_private_key(65537, 2048)
    short = rsa.generate_private_key(65537, 1024)  # noqa: S505 - it is to be refused
    certificate = certified(key)
    wrong = (
        "",
        "text",
        certificate.public_bytes(serialization.Encoding.PEM).decode(),
        pem(other, certificate),
        pem(key, certificate, b"password"),
        pem(curve, certified(curve)),
        pem(short, certified(short)),
    )
    for text in wrong:
        with pytest.raises(AdminError) as refused:
            intune(Cloud(), secret=text, credential="certificate")
        assert refused.value.reason is reasons.CONNECTOR_SECRET_REFUSED
    for text in ("", "two\nlines", "x" * 1001):
        with pytest.raises(AdminError) as refused:
            intune(Cloud(), secret=text)
        assert refused.value.reason is reasons.CONNECTOR_SECRET_REFUSED


def test_the_right_certificate_of_several_is_taken(key: rsa.RSAPrivateKey) -> None:
    """PEM may hold a chain: the certificate of the key is the one that is shown; its thumbprint is the console's."""
    other = rsa.generate_private_key(65537, 2048)
    own = certified(key)
    found = ClientCertificate.of_pem(certified(other).public_bytes(serialization.Encoding.PEM).decode() + pem(key, own))
    assert found.thumbprint == own.fingerprint(hashes.SHA1()).hex().upper()  # noqa: S303 - as the console shows it
    assert "PRIVATE" not in repr(found)


def test_a_token_is_kept_until_a_minute_before_its_end() -> None:
    """A token of 3599 seconds serves for 3539."""
    time = PassingTime()
    cloud = Cloud(time)
    link = intune(cloud, time)
    link.authorise(ASKED, within=15)
    time.at += 3538
    link.authorise(ASKED, within=15)
    assert len(cloud.asked("/token")) == 2
    time.at += 2
    link.authorise(ASKED, within=15)
    assert len(cloud.asked("/token")) == 3


@pytest.mark.parametrize(
    "change",
    [
        {"access_token": "a\r\nX-Evil: 1"},
        {"access_token": ""},
        {"access_token": 7},
        {"access_token": None},
        {"token_type": "mac"},
        {"token_type": None},
        {"expires_in": 0},
        {"expires_in": True},
        {"expires_in": "soon"},
        {"expires_in": None},
    ],
)
def test_an_odd_token_is_none(change: dict[str, object]) -> None:
    """What cannot stand in a header, is of another type, or has no end is no token (CON-022)."""
    answer = intune(Cloud().say("/token", said({**golden("token"), **change}))).authorise(ASKED, within=15)
    assert isinstance(answer, NotAsked)
    assert answer.reason is reasons.CONNECTOR_GARBLED


def test_a_number_in_words_is_a_number() -> None:
    """Older endpoints write the seconds as text."""
    told = {**golden("token"), "expires_in": "3599"}
    assert isinstance(intune(Cloud().say("/token", said(told))).authorise(ASKED, within=15), Allowed)


def test_a_token_that_was_not_accepted_is_not_used_again() -> None:
    """After a 401 the next question carries a fresh token, and that one is kept."""
    first, second = ({**golden("token"), "access_token": name} for name in ("first", "second"))
    cloud = Cloud().say("/token", said(golden("token")), said(first), said(second))
    cloud.say("/validateRequest", said({}, 401), said(golden("verdict")))
    link = intune(cloud)
    assert isinstance(link.authorise(ASKED, within=15), Allowed)
    assert isinstance(link.authorise(ASKED, within=15), Allowed)
    sent = [request.headers["Authorization"] for request in cloud.asked("/validateRequest")]
    assert sent == ["Bearer first", "Bearer second", "Bearer second"]


def test_a_permission_that_is_granted_counts_at_once() -> None:
    """A token holds the permissions of when it was made: after a 403 the next question has a fresh one."""
    first, second = ({**golden("token"), "access_token": name} for name in ("first", "second"))
    cloud = Cloud().say("/token", said(golden("token")), said(first), said(second))
    cloud.say("/validateRequest", said({}, 403), said(golden("verdict")))
    link = intune(cloud)
    answer = link.authorise(ASKED, within=15)
    assert isinstance(answer, NotAsked)
    assert answer.reason is reasons.CONNECTOR_FORBIDDEN
    assert isinstance(link.authorise(ASKED, within=15), Allowed)
    sent = [request.headers["Authorization"] for request in cloud.asked("/validateRequest")]
    assert sent == ["Bearer first", "Bearer second"]


def test_a_refused_credential_is_left_alone_for_a_while() -> None:
    """For fifteen seconds a refused credential is not tried again, whoever enrols; a check tries it at once."""
    time = PassingTime()
    cloud = Cloud(time).say("/token", said(golden("token_refused"), 401))
    link = intune(cloud, time)
    answers = [link.authorise(ASKED, within=15) for _ in range(5)]
    assert len(cloud.asked("/token")) == 1
    assert all(isinstance(answer, NotAsked) and answer.reason is reasons.CONNECTOR_SIGN_IN for answer in answers)
    link.check()
    assert len(cloud.asked("/token")) == 2
    time.at += 15
    cloud.say("/token", said(golden("token")))
    assert isinstance(link.authorise(ASKED, within=15), Allowed)


@pytest.mark.parametrize("code", [*AADSTS, 999999])
@pytest.mark.parametrize("listed", [True, False])
def test_entras_code_is_explained(code: int, *, listed: bool) -> None:
    """A refusal names the AADSTS code and what it means; nothing else of Entra's text, which may repeat a secret."""
    told = {"error": "invalid_client", "error_description": f"AADSTS{code}: Invalid: {SECRET}."}
    body = {**told, "error_codes": [code]} if listed else told
    answer = intune(Cloud().say("/token", said(body, 401))).authorise(ASKED, within=15)
    assert isinstance(answer, NotAsked)
    assert answer.reason is reasons.CONNECTOR_SIGN_IN
    assert f"AADSTS{code}: {AADSTS.get(code, 'see the code')}" in answer.detail
    assert SECRET not in answer.detail
