"""A client of the laboratory for its tests, and the requests that a device makes there."""

from __future__ import annotations

import base64
import functools
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import AttributeOID, NameOID

from regalia.lab.directory import CLIENT_AUTH
from regalia.lab.sample import CLIENT_ID, CLIENT_SECRET, sample_tenant
from regalia.lab.tenant import MovableClock

if TYPE_CHECKING:
    import httpx2

    from regalia.lab.cloud import Cloud
    from regalia.lab.directory import ManagedDevice
    from regalia.lab.tenant import Tenant

__all__ = [
    "GRAPH_SCOPE",
    "INTUNE_SCOPE",
    "Asked",
    "Rehearsal",
    "app_certificate",
    "app_der",
    "device_key",
    "register",
    "request_for",
]

GRAPH_SCOPE = "https://graph.microsoft.com/.default"
INTUNE_SCOPE = "https://api.manage.microsoft.com//.default"


def device_key(bits: int = 2048) -> rsa.RSAPrivateKey:
    """Return a device's key; making one takes long, and nothing here depends on its being new."""
    return _key(bits)


@functools.cache
def _key(bits: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


@functools.cache
def app_certificate(days: int) -> x509.Certificate:
    """Return the certificate of the app's key."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "app")])
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(device_key().public_key())
        .serial_number(7)
        .not_valid_before(now - timedelta(days=60))
        .not_valid_after(now + timedelta(days=days))
        .sign(device_key(), hashes.SHA256())
    )


def app_der(days: int = 30) -> bytes:
    """Return its DER."""
    return app_certificate(days).public_bytes(Encoding.DER)


def register(lab: Rehearsal, octets: bytes) -> None:
    """Let a certificate authenticate the app."""
    application = lab.tenant.applications[CLIENT_ID]
    lab.tenant.applications.put(replace(application, certificates=(octets,)))


@dataclass(frozen=True, slots=True)
class Asked:
    """What a device asks for; None leaves it out."""

    challenge: str | None
    common_name: str | None
    sans: tuple[x509.GeneralName, ...] = ()
    usages: frozenset[str] | None = frozenset({"digital_signature", "key_encipherment"})
    ekus: tuple[str, ...] = (CLIENT_AUTH,)
    bits: int = 2048

    def but(self, **fields: Any) -> Asked:  # noqa: ANN401 - values of the fields
        """The same with other fields."""
        return replace(self, **fields)

    def der(self, key: rsa.RSAPrivateKey | None = None) -> bytes:
        """The PKCS #10, of the device's key unless another is given."""
        names = [x509.NameAttribute(NameOID.COMMON_NAME, self.common_name)] if self.common_name else []
        builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(names))
        if self.challenge is not None:
            builder = builder.add_attribute(AttributeOID.CHALLENGE_PASSWORD, self.challenge.encode())
        if self.sans:
            builder = builder.add_extension(x509.SubjectAlternativeName(self.sans), critical=False)
        if self.usages is not None:
            builder = builder.add_extension(_usage(self.usages), critical=True)
        if self.ekus:
            purposes = [x509.ObjectIdentifier(one) for one in self.ekus]
            builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        return builder.sign(key or device_key(self.bits), hashes.SHA256()).public_bytes(Encoding.DER)

    def base64(self) -> str:
        """As it goes to Intune."""
        return base64.b64encode(self.der()).decode()


def _usage(names: frozenset[str]) -> x509.KeyUsage:
    known = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement")
    rest = ("key_cert_sign", "crl_sign", "encipher_only", "decipher_only")
    return x509.KeyUsage(**{name: name in names for name in known + rest})


def request_for(managed: ManagedDevice, challenge: str | None) -> Asked:
    """What the sample tenant's profile wants of a device."""
    uri = x509.UniformResourceIdentifier(f"IntuneDeviceId://{managed.id}")
    return Asked(challenge, managed.entra_device_id, (uri,))


class Rehearsal:
    """Two tenants of their own in a cloud that runs, and one client."""

    def __init__(self, cloud: Cloud, http: httpx2.Client, number: int) -> None:
        self.clock = MovableClock()
        self.domain = f"lab{number}.example"
        self.tenant = sample_tenant(8, self.domain, self.clock)
        self.other = sample_tenant(2, f"other{number}.example", self.clock)
        self.cloud = cloud
        self.at = cloud.addresses
        self.http = http
        self._tokens: dict[tuple[object, ...], str] = {}
        cloud.tenants.add(self.tenant)
        cloud.tenants.add(self.other)
        cloud.graph.page_size = 100
        cloud.journal.clear_faults()
        cloud.journal.clear_calls()

    # --- login ---

    def ask_token(self, tenant: str | None = None, **form: str | None) -> httpx2.Response:
        """Ask the token endpoint; a field that is None is left out."""
        fields: dict[str, str | None] = {
            "grant_type": "client_credentials",
            "client_id": CLIENT_ID,
            "client_secret": CLIENT_SECRET,
            "scope": GRAPH_SCOPE,
        }
        fields |= form
        data = {name: value for name, value in fields.items() if value is not None}
        return self.http.post(f"{self.at.login}/{tenant or self.domain}/oauth2/v2.0/token", data=data)

    def token(self, scope: str, tenant: str | None = None) -> str:
        """Return a token; a fresh one where the app's roles or the time are others."""
        roles = self.tenant.applications.all()[0]
        key = (scope, tenant, roles, int(self.clock().timestamp()) // 1800)
        if key not in self._tokens:
            self._tokens[key] = str(self.ask_token(tenant, scope=scope).json()["access_token"])
        return self._tokens[key]

    # --- Graph ---

    def graph(self, path: str, tenant: str | None = None, **headers: str) -> httpx2.Response:
        """GET from Graph: a path, or a link that it gave."""
        url = path if path.startswith("https://") else f"{self.at.graph}/{path}"
        token = self.token(GRAPH_SCOPE, tenant)
        return self.http.get(url, headers={"authorization": f"Bearer {token}"} | headers)

    def pages(self, path: str) -> tuple[list[dict[str, Any]], str | None]:
        """All pages, and the delta link at their end."""
        found: list[dict[str, Any]] = []
        url: str | None = path
        answer: dict[str, Any] = {}
        while url is not None:
            answer = self.graph(url).json()
            found += answer["value"]
            url = answer.get("@odata.nextLink")
        return found, answer.get("@odata.deltaLink")

    # --- Intune ---

    def service(self, name: str) -> str:
        """Where discovery says that a service is."""
        path = "v1.0/servicePrincipals/appId=0000000a-0000-0000-c000-000000000000/endpoints"
        return next(str(one["uri"]) for one in self.graph(path).json()["value"] if one["providerName"] == name)

    def scep(self, action: str, body: object, **headers: str) -> httpx2.Response:
        """Ask the validation service."""
        return self._intune("ScepRequestValidationFEService", f"ScepActions/{action}", "2018-02-20", body, headers)

    def feed(self, action: str, body: object, **headers: str) -> httpx2.Response:
        """Ask the revocation service."""
        path = f"CertificateAuthorityRequests/{action}"
        return self._intune("PkiConnectorFEService", path, "5019-05-05", body, headers)

    def _intune(self, service: str, path: str, version: str, body: object, headers: dict[str, str]) -> httpx2.Response:
        token = self.token(INTUNE_SCOPE)
        sent = {"authorization": f"Bearer {token}", "api-version": version} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        return self.http.post(f"{self.service(service)}/{path}", json=body, headers=sent)

    def validate(self, encoded: str, transaction_id: str = "t-1") -> dict[str, Any]:
        """The verdict on a request."""
        body = {"transactionId": transaction_id, "certificateRequest": encoded, "callerInfo": "Regalia/test"}
        answer = self.scep("validateRequest", {"request": body})
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def first(self, number: int = 1, tenant: Tenant | None = None) -> ManagedDevice:
        """One of the managed devices."""
        return (tenant or self.tenant).managed.all()[number]

    def asked(self, number: int = 1) -> Asked:
        """A right request of a device, with a fresh challenge."""
        managed = self.first(number)
        return request_for(managed, self.cloud.challenge(managed.id, tenant=self.tenant))
