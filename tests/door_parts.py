"""What the tests of the administrators' door stand on: the door in memory, browsers, authenticators, providers.

A `Browser` keeps cookies and says where its requests come from, as browsers do. An `Authenticator` makes real passkeys
in software. A `Provider` is an identity provider behind our own port for outgoing HTTP, which can be told to lie.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
import struct
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import parse_qs, parse_qsl, unquote, urlencode, urlsplit

import cbor2
from argon2 import PasswordHasher
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.twofactor.totp import TOTP
from joserfc import jws
from joserfc.jwk import ECKey, RSAKey

from fakes import FakeClock, MemorySealer, MemoryStore, SeededEntropy
from regalia.console.registry import console_ways, framed
from regalia.model import Actor, ActorKind, Grant
from regalia.ports import EventFilter
from regalia.ports.outgoing import OutgoingRequest, OutgoingResponse
from regalia.ra.api_limits import ApiLimits
from regalia.ra.break_glass import BreakGlass
from regalia.ra.limits import Allowances
from regalia.ra.oidc import OidcDesk
from regalia.ra.oidc_provider import OidcProvider, OidcSettings
from regalia.ra.passkeys import PasskeyDesk, RelyingParty
from regalia.ra.refusals import Refusals
from regalia.ra.setting_up import SetUpDesk, make_setup_link
from regalia.ra.sign_in import Doorkeeper, SessionDesk
from regalia.web.admin import admin_app
from regalia.web.door import Backing
from regalia.web.face import PagePools, PagesFace, gathered_ways
from regalia.web.health import Readiness
from regalia.web.metrics import Metrics
from regalia.web.rendering import static_files
from regalia.web.sign_in import door_ways

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from starlette.types import ASGIApp, Message, Scope

    from regalia.model import Event
    from regalia.web.pool import Pools
    from world import World

__all__ = ["ORIGIN", "PASSWORD", "Authenticator", "Browser", "Door", "Heard", "Provider", "code_of"]

HOST = "pki.example.test:8443"
ORIGIN = f"https://{HOST}"
PASSWORD = "four words nobody joins"
ROOT = Actor(ActorKind.ADMIN, "os:root")


def _base64(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def _octets(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


# --- the door ---------------------------------------------------------------------------------------------------------


class Door:
    """The pages and all that stands behind them, on the fakes of our ports."""

    def __init__(self, world: World, pools: Pools, providers: Sequence[Provider] = ()) -> None:
        self.clock: FakeClock = world.clock
        self.store: MemoryStore = world.store
        self.entropy = SeededEntropy(7)
        self.sealer = MemorySealer()
        doorkeeper = Doorkeeper(Refusals(self.store), self.clock)
        self.sessions = SessionDesk(self.store, self.clock, self.entropy)
        party = RelyingParty("pki.example.test", ORIGIN)
        cheap = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
        known = [OidcProvider(each.settings, each) for each in providers]
        self.backing = Backing(
            admin_url=ORIGIN,
            sessions=self.sessions,
            passkeys=PasskeyDesk(self.store, self.sealer, self.clock, doorkeeper, party),
            break_glass=BreakGlass(self.store, self.sealer, self.clock, self.entropy, doorkeeper, cheap),
            oidc=OidcDesk(self.store, self.sealer, self.clock, self.entropy, doorkeeper, known, ORIGIN),
            set_up=SetUpDesk(self.store, self.clock, self.entropy, doorkeeper, self.sessions),
            doorkeeper=doorkeeper,
            sealer=self.sealer,
            clock=self.clock,
            entropy=self.entropy,
            services=world,
            limits=ApiLimits(self.store, Allowances()),
            framing=framed,
        )
        work = PagePools(pools.status, pools.files, pools.enrolment, pools.enrolment)
        face = PagesFace(
            self.backing, work, gathered_ways(door_ways(self.backing), console_ways(self.backing)), static_files()
        )
        self.app = admin_app(
            readiness=Readiness(self.store, world.keys, world.files, self.clock),
            metrics=Metrics(self.clock),
            pool=pools.status,
            hosts=["pki.example.test"],
            mounts=face.mounts(),
        )

    def link(self, name: str | None = None) -> str:
        """Make a set-up link's code, for the first administrator or for one who registers anew."""
        whom = self.store.administrator_named(name) if name is not None else None
        return make_setup_link(self.store, self.clock, self.entropy, ROOT, whom)

    def browser(self, source: str = "192.0.2.1") -> Browser:
        """Start a browser that has been nowhere yet."""
        return Browser(self.app, source)

    def with_passkey(self, name: str = "alice") -> tuple[Browser, Authenticator]:
        """Have the first administrator register a passkey, and return the browser that is signed in with it."""
        browser, authenticator = self.browser(), Authenticator()
        browser.get("/set-up")
        heard = browser.make_passkey(authenticator, "/set-up", code=self.link(), account=name)
        assert heard.status == 200, heard.body
        return browser, authenticator

    def with_password(self, name: str = "bob") -> bytes:
        """Have the first administrator set a password, and return the secret of the authenticator."""
        browser = self.browser()
        browser.get("/set-up")
        page = browser.post("/set-up/factor", code=self.link(), account=name)
        secret = secret_in(page)
        fields = {name: page.field(name) for name in ("code", "factor", "account")}
        heard = browser.post(
            "/set-up/password", password=PASSWORD, again=PASSWORD, totp=code_of(secret, self.clock), **fields
        )
        assert heard.status == 303, heard.body
        # What comes next needs another time step: none is good twice.
        self.clock.advance(timedelta(minutes=1))
        return secret

    def events(self, action: str) -> list[Event]:
        """List what was recorded of one kind."""
        return [event for event in self.store.events(EventFilter(limit=10_000)) if event.draft.action == action]

    def reasons(self) -> list[str | None]:
        """List why somebody was refused, in order."""
        return [event.draft.reason_id for event in self.events("session.refused")]


def code_of(secret: bytes, clock: FakeClock) -> str:
    """Show what an authenticator shows now."""
    return TOTP(secret, 6, SHA1(), 30).generate(int(clock.now().timestamp())).decode()  # noqa: S303 - RFC 6238


def secret_in(page: Heard) -> bytes:
    """Take the authenticator's secret from the page that offers it."""
    found = re.search(r'<code class="secret">([A-Z2-7 ]+)</code>', page.text)
    assert found is not None, page.text
    return base64.b32decode(found[1].replace(" ", ""))


# --- a browser --------------------------------------------------------------------------------------------------------


@dataclass
class Heard:
    """An answer, with every header as it came."""

    status: int = 0
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""

    @property
    def text(self) -> str:
        """The body."""
        return self.body.decode()

    @property
    def json(self) -> dict[str, Any]:
        """The body as an object."""
        return cast("dict[str, Any]", json.loads(self.body))

    def header(self, name: str) -> str:
        """Return a header, empty where it is not there."""
        return dict(self.headers).get(name, "")

    def field(self, name: str) -> str:
        """Return the value of a form's field."""
        found = re.search(rf'name="{name}"[^>]*value="([^"]*)"', self.text)
        assert found is not None, self.text
        return found[1]

    @property
    def onward(self) -> str:
        """Where a page sends its reader by itself."""
        found = re.search(r'http-equiv="refresh" content="0; url=([^"]*)"', self.text)
        assert found is not None, self.text
        return found[1].replace("&amp;", "&").replace("&#39;", "'")


class Browser:
    """Keeps cookies with their attributes, and the token of the last page that had one."""

    def __init__(self, app: ASGIApp, source: str) -> None:
        self._app = app
        self._source = source
        self.cookies: dict[str, str] = {}
        self.set: list[str] = []
        """Every Set-Cookie that came."""
        self.token = ""
        self.language = ""
        """What it asks for, as Accept-Language has it."""

    def get(self, path: str, *, site: str = "none") -> Heard:
        """Open an address; `site` is who caused it, as Sec-Fetch-Site says. Another site brings no Strict cookies."""
        return self._ask("GET", path, [("sec-fetch-site", site)], b"", with_cookies=site != "cross-site")

    def post(self, path: str, headers: Mapping[str, str] | None = None, /, **fields: str) -> Heard:
        """Send a form of the last page."""
        given = {
            "content-type": "application/x-www-form-urlencoded",
            "sec-fetch-site": "same-origin",
            "origin": "null",
            **(headers or {}),
        }
        body = urlencode({"token": self.token, **fields}).encode()
        return self._ask("POST", path, [*given.items()], body)

    def call(self, path: str, headers: Mapping[str, str] | None = None, /, **fields: object) -> Heard:
        """Have our script send JSON."""
        given = {
            "content-type": "application/json",
            "sec-fetch-site": "same-origin",
            "origin": ORIGIN,
            "regalia-csrf": self.token,
            **(headers or {}),
        }
        return self._ask("POST", path, [*given.items()], json.dumps(fields).encode())

    def use_passkey(self, authenticator: Authenticator, base: str = "/sign-in", **fields: object) -> Heard:
        """Click *Use a passkey*."""
        asked = self.call(f"{base}/passkey/question")
        if asked.status != 200:
            return asked
        return self.call(f"{base}/passkey", answer=authenticator.get(asked.json), **fields)

    def make_passkey(self, authenticator: Authenticator, base: str, **fields: object) -> Heard:
        """Click *Register a passkey*."""
        asked = self.call(f"{base}/passkey/question", **fields)
        if asked.status != 200:
            return asked
        return self.call(f"{base}/passkey", answer=authenticator.create(asked.json), **fields)

    def _ask(
        self, method: str, target: str, headers: list[tuple[str, str]], body: bytes, *, with_cookies: bool = True
    ) -> Heard:
        path, _, query = target.removeprefix(ORIGIN).partition("?")
        if self.language:
            headers.append(("accept-language", self.language))
        if with_cookies and self.cookies:
            headers.append(("cookie", "; ".join(f"{name}={value}" for name, value in self.cookies.items())))
        scope: Scope = {
            "type": "http",
            "scheme": "https",
            "method": method,
            "path": unquote(path),
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "headers": [(name.encode(), value.encode()) for name, value in [("host", HOST), *headers]],
            "client": (self._source, 40_000),
            "http_version": "1.1",
        }
        heard = Heard()
        incoming: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> Message:
            return incoming.pop(0) if incoming else {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                heard.status = message["status"]
                heard.headers = [(name.decode(), value.decode()) for name, value in message["headers"]]
            else:
                heard.body += message.get("body", b"")

        asyncio.run(_run(self._app, scope, receive, send))
        self._keep(heard)
        return heard

    def _keep(self, heard: Heard) -> None:
        for name, value in heard.headers:
            if name != "set-cookie":
                continue
            self.set.append(value)
            key, _, rest = value.partition("=")
            kept = rest.partition(";")[0]
            if "Max-Age=0" in value:
                self.cookies.pop(key, None)
            else:
                self.cookies[key] = kept
        if b'name="token"' in heard.body:
            self.token = heard.field("token")


async def _run(app: ASGIApp, scope: Scope, receive: Any, send: Any) -> None:  # noqa: ANN401 - as ASGI has them
    await app(scope, receive, send)


# --- an authenticator -------------------------------------------------------------------------------------------------


class Authenticator:
    """A security key in software: one passkey, ES256."""

    def __init__(self, *, verifies: bool = True, origin: str = ORIGIN, rp_id: str = "pki.example.test") -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.credential_id = hashlib.sha256(str(self.key.private_numbers().private_value).encode()).digest()
        self.count = 0
        self.handle = b""
        self.verifies = verifies
        self.origin = origin
        self.rp_id = rp_id

    def create(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Make the passkey."""
        self.handle = _octets(options["user"]["id"])
        numbers = self.key.public_key().public_numbers()
        cose = cbor2.dumps({1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32, "big"), -3: numbers.y.to_bytes(32, "big")})
        attested = bytes(16) + struct.pack(">H", len(self.credential_id)) + self.credential_id + cose
        data = self._data(0x40) + attested
        statement = cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": data})
        client = self._client("webauthn.create", options)
        return self._answer({"attestationObject": _base64(statement), "clientDataJSON": _base64(client)})

    def get(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Use it."""
        self.count += 1
        data, client = self._data(), self._client("webauthn.get", options)
        signature = self.key.sign(data + hashlib.sha256(client).digest(), ec.ECDSA(SHA256()))
        return self._answer(
            {
                "authenticatorData": _base64(data),
                "clientDataJSON": _base64(client),
                "signature": _base64(signature),
                "userHandle": _base64(self.handle),
            }
        )

    def _data(self, flags: int = 0) -> bytes:
        present = 0x05 if self.verifies else 0x01
        return hashlib.sha256(self.rp_id.encode()).digest() + bytes([present | flags]) + struct.pack(">I", self.count)

    def _client(self, kind: str, options: Mapping[str, Any]) -> bytes:
        said = {"type": kind, "challenge": options["challenge"], "origin": self.origin, "crossOrigin": False}
        return json.dumps(said).encode()

    def _answer(self, response: dict[str, str]) -> dict[str, Any]:
        named = _base64(self.credential_id)
        return {"id": named, "rawId": named, "type": "public-key", "response": response, "clientExtensionResults": {}}


# --- an identity provider ---------------------------------------------------------------------------------------------

_RSA = RSAKey.import_key(rsa.generate_private_key(65537, 2048), {"kid": "one"})
_EC = ECKey.import_key(ec.generate_private_key(ec.SECP256R1()), {"kid": "two"})
STRANGE = RSAKey.import_key(rsa.generate_private_key(65537, 2048), {"kid": "one"})


class Provider:
    """An identity provider that answers as it is told to; see `ports.Outgoing`."""

    def __init__(
        self,
        clock: FakeClock,
        key: str = "entra",
        issuer: str = "https://login.example.test/tenant",
        *,
        claim: str = "groups",
        mapping: tuple[tuple[str, Grant], ...] = (),
    ) -> None:
        self.settings = OidcSettings(key, key.title(), issuer, f"{key}-client", lambda: "s3cret", claim, mapping)
        self._clock = clock
        self.discovery: dict[str, Any] = {
            "issuer": issuer,
            "authorization_endpoint": f"{issuer}/authorize",
            "token_endpoint": f"{issuer}/token",
            "jwks_uri": f"{issuer}/keys",
            "authorization_response_iss_parameter_supported": True,
        }
        self.claims: dict[str, Any] = {"sub": "0815", "groups": ["admins"], "auth_time": int(clock.now().timestamp())}
        self.sign: Callable[[dict[str, Any]], str] = self.signed
        """Makes the ID token of claims."""
        self.codes: dict[str, dict[str, str]] = {}
        """What each code was asked for with; a code is good once."""
        self.requests: list[OutgoingRequest] = []
        self.keys: list[RSAKey | ECKey] = [_RSA, _EC]

    def authorize(self, url: str, **lies: str | None) -> str:
        """Have somebody sign in there; return the query that their browser brings back. A lie of None leaves out."""
        asked = dict(parse_qsl(urlsplit(url).query))
        code = f"code-{len(self.codes)}"
        self.codes[code] = asked
        brought = {"code": code, "state": asked["state"], "iss": self.settings.issuer, **lies}
        return urlencode({name: value for name, value in brought.items() if value is not None})

    def signed(
        self,
        claims: dict[str, Any],
        *,
        algorithm: str = "RS256",
        key: RSAKey | ECKey = _RSA,
        kid: str | None = "",
    ) -> str:
        """Sign claims."""
        named = key.kid if kid == "" else kid
        header = {"alg": algorithm, "typ": "JWT"} | ({"kid": named} if named is not None else {})
        return jws.serialize_compact(header, json.dumps(claims), key, algorithms=[algorithm])

    def exchange(self, request: OutgoingRequest) -> OutgoingResponse:
        """Answer a request of ours."""
        self.requests.append(request)
        issuer = self.settings.issuer
        if request.url == f"{issuer}/.well-known/openid-configuration":
            return self._answer(self.discovery)
        if request.url == f"{issuer}/keys":
            return self._answer({"keys": [key.as_dict(private=False) for key in self.keys]})
        assert request.url == f"{issuer}/token", request.url
        given = {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
        asked = self.codes.pop(given["code"], None)
        if asked is None or asked["redirect_uri"] != given["redirect_uri"]:
            return OutgoingResponse(400, {}, b'{"error":"invalid_grant"}')
        assert _base64(hashlib.sha256(given["code_verifier"].encode()).digest()) == asked["code_challenge"]
        now = int(self._clock.now().timestamp())
        claims = {
            "iss": issuer,
            "aud": self.settings.client_id,
            "nonce": asked["nonce"],
            "iat": now,
            "exp": now + 300,
            **self.claims,
        }
        return self._answer({"access_token": "unused", "id_token": self.sign(claims)})

    @staticmethod
    def _answer(document: object) -> OutgoingResponse:
        return OutgoingResponse(200, {"content-type": "application/json"}, json.dumps(document).encode())
