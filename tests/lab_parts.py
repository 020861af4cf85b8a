"""A client of the laboratory for its tests, and the requests that a device makes there."""

from __future__ import annotations

import base64
import functools
import ssl
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import httpx2
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import AttributeOID, NameOID

from regalia.lab.cloud import Cloud
from regalia.lab.directory import CLIENT_AUTH
from regalia.lab.sample import CLIENT_ID, CLIENT_SECRET, sample_tenant
from regalia.lab.tenant import MovableClock

if TYPE_CHECKING:
    from types import TracebackType

    from regalia.lab.directory import ManagedDevice
    from regalia.lab.tenant import Tenant

__all__ = ["GRAPH_SCOPE", "INTUNE_SCOPE", "Asked", "Rehearsal", "device_key", "request_for"]

GRAPH_SCOPE = "https://graph.microsoft.com/.default"
INTUNE_SCOPE = "https://api.manage.microsoft.com//.default"


@functools.cache
def device_key(bits: int = 2048) -> rsa.RSAPrivateKey:
    """A device's key; making one takes long, and nothing here depends on its being new."""
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


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

    def der(self) -> bytes:
        """The PKCS #10."""
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
        return builder.sign(device_key(self.bits), hashes.SHA256()).public_bytes(Encoding.DER)

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
    """A cloud that runs, and one client."""

    def __init__(self, devices: int = 8) -> None:
        self.clock = MovableClock()
        self.tenant = sample_tenant(devices, clock=self.clock)
        self.other = sample_tenant(2, "other.example", self.clock)
        self.cloud = Cloud((self.tenant, self.other))
        self.at = self.cloud.addresses
        self.http = httpx2.Client(verify=ssl.create_default_context(cafile=str(self.cloud.ca_file)))
        self._tokens: dict[str, str] = {}

    def __enter__(self) -> Self:
        self.cloud.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.http.close()
        self.cloud.__exit__(kind, error, trace)

    # --- login ---

    def ask_token(self, tenant: str = "lab.example", **form: str | None) -> httpx2.Response:
        """Ask the token endpoint; a field that is None is left out."""
        fields: dict[str, str | None] = {
            "grant_type": "client_credentials",
            "client_id": CLIENT_ID,
            "client_secret": CLIENT_SECRET,
            "scope": GRAPH_SCOPE,
        }
        fields |= form
        data = {name: value for name, value in fields.items() if value is not None}
        return self.http.post(f"{self.at.login}/{tenant}/oauth2/v2.0/token", data=data)

    def token(self, scope: str, tenant: str = "lab.example") -> str:
        """A token, asked for afresh."""
        return str(self.ask_token(tenant, scope=scope).json()["access_token"])

    # --- Graph ---

    def graph(self, path: str, tenant: str = "lab.example", **headers: str) -> httpx2.Response:
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
        return request_for(managed, self.cloud.challenge(managed.id))
