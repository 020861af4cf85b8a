"""Microsoft's own library gets its tokens here, or is told why not."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msal  # type: ignore[import-untyped]  # it has none
import pytest
import requests
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from lab_parts import GRAPH_SCOPE, INTUNE_SCOPE, app_certificate, app_der, device_key, register
from regalia.lab.sample import CLIENT_ID, CLIENT_SECRET

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lab_parts import Rehearsal

    Client = Callable[..., Any]

pytestmark = pytest.mark.live_client("msal")


@pytest.fixture
def session(lab: Rehearsal) -> Iterator[requests.Session]:
    """Return msal's way to the cloud, which believes its CA."""
    with requests.Session() as session:
        session.verify = str(lab.cloud.ca_file)
        # Else REQUESTS_CA_BUNDLE wins, where it is set.
        session.trust_env = False
        yield session


@pytest.fixture
def client(lab: Rehearsal, session: requests.Session) -> Client:
    """Return what makes a client as the connector's administrator would."""

    def made(credential: object, tenant: str | None = None) -> Any:  # noqa: ANN401 - msal has no types
        return msal.ConfidentialClientApplication(
            CLIENT_ID,
            client_credential=credential,
            authority=f"{lab.at.login}/{tenant or lab.domain}",
            instance_discovery=False,
            http_client=session,
        )

    return made


def _credential(*, with_chain: bool) -> dict[str, str]:
    key = device_key().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    pem = app_certificate(30).public_bytes(Encoding.PEM).decode()
    if with_chain:
        return {"private_key": key, "public_certificate": pem}
    return {"private_key": key, "thumbprint": app_certificate(30).fingerprint(hashes.SHA1()).hex()}  # noqa: S303 - its name


@pytest.mark.parametrize("scope", [GRAPH_SCOPE, INTUNE_SCOPE])
def test_a_secret(client: Client, scope: str) -> None:
    """Msal gets a token with the secret, for Graph and for Intune with its two slashes."""
    answer = client(CLIENT_SECRET).acquire_token_for_client([scope])
    assert answer.get("token_type") == "Bearer", answer


def test_a_wrong_secret(client: Client) -> None:
    """Msal hands on the code of a wrong secret."""
    answer = client("guess").acquire_token_for_client([GRAPH_SCOPE])
    assert (answer["error"], answer["error_codes"]) == ("invalid_client", [7000215])


@pytest.mark.parametrize("with_chain", [True, False], ids=["certificate", "thumbprint"])
def test_a_certificate(lab: Rehearsal, client: Client, *, with_chain: bool) -> None:
    """Msal gets a token with a certificate that is registered, by its new header and by its old one."""
    register(lab, app_der())
    answer = client(_credential(with_chain=with_chain)).acquire_token_for_client([INTUNE_SCOPE])
    assert answer.get("token_type") == "Bearer", answer


@pytest.mark.parametrize("with_chain", [True, False], ids=["certificate", "thumbprint"])
def test_an_unregistered_certificate(client: Client, *, with_chain: bool) -> None:
    """Msal is refused with a certificate that nobody registered."""
    answer = client(_credential(with_chain=with_chain)).acquire_token_for_client([INTUNE_SCOPE])
    assert answer["error_codes"] == [700027]


def test_an_unknown_app(lab: Rehearsal, client: Client) -> None:
    """Msal is told where the tenant does not know the app."""
    lab.tenant.applications.put(replace(lab.tenant.applications[CLIENT_ID], id="somebody-else"))
    lab.tenant.applications.remove(CLIENT_ID)
    answer = client(CLIENT_SECRET).acquire_token_for_client([GRAPH_SCOPE])
    assert answer["error_codes"] == [700016]


def test_an_unknown_tenant(client: Client) -> None:
    """Msal does not get beyond the OpenID document of a tenant that there is not."""
    with pytest.raises(ValueError, match="Unable to get authority configuration"):
        client(CLIENT_SECRET, "nobody.example").acquire_token_for_client([GRAPH_SCOPE])
