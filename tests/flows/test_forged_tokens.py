"""Forged tokens at every door that takes one, of a server that runs: nobody gets in, and every door says the same.

What the identity provider's token has to be is in `tests/web/test_sign_in_oidc.py`, claim by claim and key by key; what
our own calls are answered with, in `tests/connectors`. Here are the doors that others knock at.
"""

from __future__ import annotations

import base64
import hmac
import http.client
import itertools
import json
import re
import ssl
import time
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256

from interop.server import Server, running_server
from postgres import running_postgres
from regalia import reasons
from regalia.console.registry import ROUTES
from regalia.keys.admin_tls import read_admin_tls
from regalia.ra.tokens import token_text
from regalia.web.sessions import SESSION_COOKIE
from world import rsa_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

pytestmark = pytest.mark.real

HOOK: Final = "/hooks/mdm"
A_WIPE: Final = b'{"id": "m-1", "devices": [{"id": "device-1", "pending": "wipe"}]}'
SECONDS: Final = 20
SOURCES: Final = itertools.cycle(range(2, 250))
"""Addresses of this machine: who shows wrong tokens all the time is not heard any more, and that is another test."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a door says: all that a stranger sees, but for what is another one each time."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


@dataclass(frozen=True, slots=True)
class Doors:
    """A server, and a token that is good there."""

    server: Server
    admin: str
    trust: ssl.SSLContext
    good: str
    revoked: str

    def ask(self, method: str, url: str, body: bytes = b"", **headers: str) -> Answer:
        """Send a request from an address of its own."""
        place = urlsplit(url)
        source = (f"127.0.0.{next(SOURCES)}", 0)
        name = str(place.hostname)
        connection = (
            http.client.HTTPSConnection(name, place.port, timeout=SECONDS, source_address=source, context=self.trust)
            if place.scheme == "https"
            else http.client.HTTPConnection(name, place.port, SECONDS, source_address=source)
        )
        with closing(connection):
            sent = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, place.path or "/", body or None, sent)
            heard = connection.getresponse()
            given = tuple((name, value) for name, value in heard.getheaders() if name.lower() != "date")
            return Answer(heard.status, given, heard.read())


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def doors(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doors]:
    """A server in a fresh home on each database, with a connector that messages come for, and two tokens."""
    directory = tmp_path_factory.mktemp("doors")
    if request.param == "sqlite":
        with running_server(directory) as server:
            yield _furnished(server)
        return
    with running_postgres() as postgres, running_server(directory, postgres.create("doors")) as server:
        yield _furnished(server)


def _furnished(server: Server) -> Doors:
    secret = server.home.parent / "secret"
    secret.write_text("a-challenge-of-many-letters", encoding="ascii")
    _told(server, "connector", "create", "inventory", "mdm", "--secret-file", str(secret))
    good, revoked = (_told(server, "token", "create", name, "--role", "admin", "--quiet") for name in ("good", "gone"))
    _told(server, "token", "revoke", "gone", "--yes")
    listening = json.loads((server.home.parent / "serve.json").read_text("utf-8").partition("\n")[0])
    trust = ssl.create_default_context(cafile=str(read_admin_tls(server.home).certificate))
    return Doors(server, listening["admin"], trust, good, revoked)


def _told(server: Server, *arguments: str) -> str:
    done = server.regalia(*arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


# --- what is forged ---------------------------------------------------------------------------------------------------


def _part(value: Mapping[str, Any]) -> str:
    return _unpadded(json.dumps(value).encode())


def _unpadded(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def _jwt(doors: Doors, alg: str, signed_by: Callable[[bytes], bytes], **claims: object) -> str:
    now = int(time.time())
    said = {"iss": doors.admin, "aud": doors.admin, "sub": "root", "roles": ["admin"], "iat": now, "exp": now + 600}
    text = f"{_part({'alg': alg, 'typ': 'JWT', 'kid': 'one'})}.{_part(said | claims)}"
    return f"{text}.{_unpadded(signed_by(text.encode()))}"


def _own_key(signed: bytes) -> bytes:
    return rsa_key(0).sign(signed, PKCS1v15(), SHA256())


def _public_secret(signed: bytes) -> bytes:
    return hmac.digest(b"https://pki.example.test", signed, "sha256")


def _other_letter(text: str) -> str:
    return ("a" if text[20] != "a" else "b").join((text[:20], text[21:]))


FORGED: Final[dict[str, Callable[[Doors], str]]] = {
    "alg none": lambda doors: _jwt(doors, "none", lambda _: b""),
    "alg None": lambda doors: _jwt(doors, "None", lambda _: b""),
    "signed with what is public": lambda doors: _jwt(doors, "HS256", _public_secret),
    "another key": lambda doors: _jwt(doors, "RS256", _own_key),
    "another audience": lambda doors: _jwt(doors, "RS256", _own_key, aud="https://graph.example.test"),
    "over": lambda doors: _jwt(doors, "RS256", _own_key, exp=1),
    "made up in our form": lambda _: token_text(b"forged" * 6),
    "one letter changed": lambda doors: _other_letter(doors.good),
    "cut off": lambda doors: doors.good[:-1],
    "longer": lambda doors: doors.good + "a",
    "in capitals": lambda doors: doors.good.upper(),
    "revoked": lambda doors: doors.revoked,
    "twice": lambda doors: f"{doors.good},{doors.good}",
    "nothing": lambda _: "",
}


def _operations(doors: Doors) -> list[tuple[str, str]]:
    """Each operation of the API, with something in its path."""
    asked = doors.ask("GET", f"{doors.admin}/api/v1/openapi.json", Authorization=f"Bearer {doors.good}")
    assert asked.status == 200
    found = json.loads(asked.body)["paths"]
    return [
        (method.upper(), f"{doors.admin}{path if path.startswith('/api') else '/api/v1' + path}")
        for path, methods in found.items()
        for method in methods
        if method in {"get", "post", "put", "patch", "delete"}
    ]


# --- the doors --------------------------------------------------------------------------------------------------------


def test_a_good_token_is_let_in(doors: Doors) -> None:
    """The control row: the same request with the token that is good is answered."""
    assert doors.ask("GET", f"{doors.admin}/api/v1/groups", Authorization=f"Bearer {doors.good}").status == 200


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_token_is_nothing_to_the_api(doors: Doors, name: str) -> None:
    """Holds 4, AUTHZ-7: whatever is wrong with a token, and whatever it asks for, the answer is the same."""
    constant = doors.ask("GET", f"{doors.admin}/api/v1/groups", Authorization="Bearer x")
    document = json.loads(constant.body)
    assert (constant.status, document["id"]) == (401, reasons.CREDENTIALS_REFUSED.id)
    token = FORGED[name](doors)
    for method, url in (("GET", "groups"), ("POST", "groups"), ("GET", "certificates"), ("DELETE", "tokens/good")):
        assert doors.ask(method, f"{doors.admin}/api/v1/{url}", Authorization=f"Bearer {token}") == constant


def test_every_operation_asks_for_a_token(doors: Doors) -> None:
    """Holds 4, AUTHZ-4: no operation of the API is open to a token without a signature; new ones are among them."""
    token = FORGED["alg none"](doors)
    operations = _operations(doors)
    assert len(operations) > 100
    answers = {
        (asked.status, asked.body)
        for method, url in operations
        for asked in [doors.ask(method, re.sub(r"\{[^}]+\}", "x", url), Authorization=f"Bearer {token}")]
    }
    assert [status for status, _ in answers] == [401]


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_session_is_nobodys(doors: Doors, name: str) -> None:
    """Holds 4, WEB-3: as a cookie or a header, a forged token leads every page of the console to the sign-in."""
    token = FORGED[name](doors)
    pages = [page for page in ROUTES if "{" not in page]
    for page in pages if name == "alg none" else pages[:3]:
        for headers in ({"Cookie": f"{SESSION_COOKIE}={token}"}, {"Authorization": f"Bearer {token}"}):
            # Passkeys know one name of it; whoever comes by another is sent there first.
            heard = doors.ask(
                "GET", f"{doors.admin}{page}", b"", Host=f"localhost:{urlsplit(doors.admin).port}", **headers
            )
            where = dict(heard.headers).get("location", "")
            assert (heard.status, where.split("?")[0]) == (303, "/sign-in") or heard.status == 405, (page, heard)


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_signature_tells_us_nothing(doors: Doors, name: str) -> None:
    """Holds 4, CON-6: a message that is not signed with the connector's key is answered as one to no connector."""
    token = FORGED[name](doors)
    stamp = str(int(time.time()))
    nowhere = doors.ask("POST", f"{doors.server.device}/hooks/nobody", A_WIPE)
    for headers in (
        {"Regalia_Timestamp": stamp, "Regalia_Signature": token},
        {"Regalia_Timestamp": stamp, "Regalia_Signature": f"v1={token}"},
        {"Regalia_Timestamp": stamp, "Authorization": f"Bearer {token}"},
    ):
        heard = doors.ask("POST", f"{doors.server.device}{HOOK}", A_WIPE, **headers)
        assert heard == nowhere
        assert heard.status == 404


def test_the_log_has_them(doors: Doors) -> None:
    """AUD-3: who showed a token that was good once, and who signed a message wrongly, are security events."""
    doors.ask("GET", f"{doors.admin}/api/v1/groups", Authorization=f"Bearer {doors.revoked}")
    doors.ask("POST", f"{doors.server.device}{HOOK}", A_WIPE, Regalia_Signature="v1=0", Regalia_Timestamp="0")
    refused = {event["reason"] for event in doors.server.events() if event["reason"] and event["security"]}
    assert {reasons.CREDENTIALS_REFUSED.id, reasons.HOOK_STRANGER.id} <= refused
    assert json.loads(_told(doors.server, "device", "list", "--json")) == []
