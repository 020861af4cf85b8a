"""`ApiDoor`: what is asked there is what would be asked here, and only the expected server is told."""

from __future__ import annotations

import json
import ssl
import threading
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Annotated, Any

import httpx2
import pytest
from pydantic import Field

from fakes import SeededEntropy
from regalia import reasons
from regalia.client.api import ApiDoor, Trust, read_trust
from regalia.errors import AdminError, InvariantError, UnavailableError
from regalia.keys.admin_tls import make_admin_tls
from regalia.model import Right
from regalia.verbs import Asked, Record, Verb

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from regalia.keys.admin_tls import AdminTls

TOKEN = "of-this-test"


class Thing(Record):
    """What is there."""

    name: str


class AskedThing(Asked):
    """Which one, and how."""

    name: str
    owner: str | None = None
    most: int = 5
    small: bool | None = None
    tags: tuple[str, ...] = ()
    state: Annotated[str | None, Field()] = "open"


def _never(desk: object, asked: object) -> Thing:
    raise AssertionError((desk, asked))


SHOW: Verb[Any, Any] = Verb(
    "thing.show", "GET", "/things/{name}", Right.READ, AskedThing, Thing, _never, "Show.", plan=lambda _, __: ()
)
MAKE: Verb[Any, Any] = Verb("thing.make", "POST", "/things/{name}", Right.READ, AskedThing, Thing, _never, "Make.")


def door(answer: Callable[[httpx2.Request], httpx2.Response], url: str = "https://pki.example.test:8443/") -> ApiDoor:
    """Return a door to a server that answers so."""
    return ApiDoor(url, TOKEN, transport=httpx2.MockTransport(answer))


def answered(status: int, body: bytes, **headers: str) -> httpx2.Response:
    """Make an answer whose body is still to be read."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx2.Response(status, headers=named, stream=httpx2.ByteStream(body))


def problem(status: int, **members: object) -> httpx2.Response:
    """Make a refusal."""
    return answered(status, json.dumps(members).encode(), content_type="application/problem+json")


def given(**members: object) -> httpx2.Response:
    """Make a good answer."""
    return answered(200, json.dumps(members).encode())


def replying(answer: httpx2.Response) -> Callable[[httpx2.Request], httpx2.Response]:
    """Answer everything so."""
    return lambda _: answer


# --- what is asked --------------------------------------------------------------------------------------------------


def test_fields_go_where_the_server_looks_for_them() -> None:
    """What was said goes into path and query, or path and body; what was not said is left to the server."""
    heard: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        heard.append(request)
        return given(name="a/b")

    there = door(answer)
    asked = AskedThing(name="a/b ü", most=7, small=True, tags=("x", "y"), owner=None)
    assert there.ask(SHOW, asked) == Thing(name="a/b")
    there.ask(MAKE, asked)
    there.ask(MAKE, AskedThing(name="a"))
    assert heard[0].url.raw_path == b"/api/v1/things/a%2Fb%20%C3%BC?most=7&small=true&tags=x&tags=y"
    assert heard[1].url.raw_path == b"/api/v1/things/a%2Fb%20%C3%BC"
    assert json.loads(heard[1].content) == {"most": 7, "small": True, "tags": ["x", "y"], "owner": None}
    assert heard[2].content == b"{}"
    assert heard[2].headers["content-type"] == "application/json"
    assert {request.headers["authorization"] for request in heard} == {f"Bearer {TOKEN}"}


def test_a_plan_is_asked_for_as_such() -> None:
    """`plan` asks for a dry run, so that nothing happens there."""
    there = door(lambda request: given(dry_run=True, would=[str(request.url.params["dry_run"])]))
    assert there.plan(SHOW, AskedThing(name="a")).would == ("true",)


@pytest.mark.parametrize("name", ["", ".", ".."])
def test_what_no_path_can_hold_is_not_there(name: str) -> None:
    """A name that would be another path is refused here as it would be there, without asking."""
    with pytest.raises(AdminError) as refused:
        door(lambda _: given()).ask(SHOW, AskedThing(name=name))
    assert refused.value.reason is reasons.NOT_FOUND


def test_a_query_cannot_say_nothing() -> None:
    """A null that means something else than the default is a mistake of ours, not left out silently."""
    with pytest.raises(InvariantError):
        door(lambda _: given()).ask(SHOW, AskedThing(name="a", state=None))


# --- what is answered -----------------------------------------------------------------------------------------------


def test_a_refusal_is_the_same_as_here() -> None:
    """A problem document becomes the refusal with the same reason and detail; one we do not know keeps its words."""
    for error, told in (
        (AdminError(reasons.NOT_FOUND, "thing a"), problem(404, id="ADM-004", detail="thing a")),
        (UnavailableError(reasons.STORE_UNAVAILABLE), problem(503, id=reasons.STORE_UNAVAILABLE.id)),
        (
            AdminError(reasons.SECOND_PERSON_NEEDED, "proposal 7"),
            answered(202, b'{"id": "7"}'),
        ),
    ):
        with pytest.raises(type(error)) as refused:
            door(replying(told)).ask(SHOW, AskedThing(name="a"))
        assert str(refused.value) == str(error)
        assert refused.value.reason is error.reason
    with pytest.raises(AdminError, match="NEW-001 something new: why") as unknown:
        door(lambda _: problem(422, id="NEW-001", title="something new", detail="why", remedy="Wait.")).ask(
            SHOW, AskedThing(name="a")
        )
    assert unknown.value.reason.remedy == "Wait."
    with pytest.raises(UnavailableError, match="incident 5"):
        door(lambda _: problem(503, id="API-013", incident="5")).ask(SHOW, AskedThing(name="a"))


@pytest.mark.parametrize(
    "other",
    [
        answered(200, b"<html>"),
        answered(200, b'{"name": "a", "more": 1}'),
        answered(302, b"", location="https://evil.example/"),
        answered(404, b"<html>", content_type="text/html"),
        answered(403, b'{"id": "ADM-070"}', content_type="application/json"),
        answered(503, b"[" * 100_000),
        answered(202, b"[]"),
        answered(200, b" " * ((64 << 20) + 1)),
    ],
    ids=["no JSON", "unknown field", "redirect", "page", "no problem", "deep", "no proposal", "endless"],
)
def test_other_answers_are_not_believed(other: httpx2.Response) -> None:
    """API-018: what is no answer of the API is refused; nothing is followed."""
    with pytest.raises(AdminError) as refused:
        door(lambda _: other).ask(SHOW, AskedThing(name="a"))
    assert refused.value.reason is reasons.API_SERVER_ANSWER


@pytest.mark.parametrize(
    "url",
    [
        "pki.example.test",
        "ftp://pki.example.test",
        "http://pki.example.test",
        "http://127.0.0.1.example.test",
        "https://user:word@pki.example.test",
        "https://pki.example.test/api",
        "https://pki.example.test?token=x",
        "https://pki.example.test:port",
        "https://pki.exämple.test",
        "https://",
    ],
)
def test_a_token_goes_nowhere_else(url: str) -> None:
    """API-016: a server is https with host and port and no more; plain http only goes to this machine itself."""
    with pytest.raises(AdminError) as refused:
        door(lambda _: given(name="a"), url)
    assert refused.value.reason is reasons.API_SERVER_UNREACHABLE


@pytest.mark.parametrize(
    "url", ["http://localhost:1", "http://127.0.0.1", "http://[::1]:8080", "https://[2001:db8::1]"]
)
def test_this_machine_may_be_asked_in_clear(url: str) -> None:
    """A server behind a tunnel that ends here is reached by http."""
    assert door(lambda _: given(name="a"), url).ask(SHOW, AskedThing(name="a")).name == "a"


# --- whom it is told ------------------------------------------------------------------------------------------------


class Recording(BaseHTTPRequestHandler):
    """Answers everything, and remembers that it was asked."""

    asked: list[str]

    def do_GET(self) -> None:
        """Answer."""
        self.asked.append(self.headers["Authorization"])
        self.send_response(200)
        self.send_header("Content-Length", "13")
        self.end_headers()
        self.wfile.write(b'{"name": "a"}')

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        """Keep quiet."""


@contextmanager
def server(tls: AdminTls) -> Iterator[tuple[str, list[str]]]:
    """Serve on loopback with this certificate."""

    class Handler(Recording):
        asked: list[str] = []  # noqa: RUF012 - one for each server

    served = HTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tls.certificate, tls.key)
    served.socket = context.wrap_socket(served.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=served.serve_forever)
    thread.start()
    try:
        yield f"https://127.0.0.1:{served.server_port}", Handler.asked
    finally:
        served.shutdown()
        thread.join(20)
        served.server_close()


def admin_tls(home: Path, seed: int = 0) -> AdminTls:
    """Make an admin listener's certificate, as `init` does."""
    home.mkdir()
    return make_admin_tls(home, "pki.example.test", now=datetime.now(UTC), entropy=SeededEntropy(seed))


@pytest.mark.real
def test_only_the_expected_server_hears_the_token(tmp_path: Path) -> None:
    """A self-signed certificate is trusted by its file or fingerprint; others hear neither token nor question."""
    tls, other = admin_tls(tmp_path / "a"), admin_tls(tmp_path / "b", 1)
    with server(tls) as (url, asked):
        trusts = [Trust(roots=tls.certificate.read_text()), read_trust(f"sha256:{tls.sha256}")]
        for trust in trusts:
            with ApiDoor(url, TOKEN, trust) as there:
                assert there.ask(SHOW, AskedThing(name="a")).name == "a"
        assert asked == [f"Bearer {TOKEN}"] * 2
        for trust in (Trust(), Trust(roots=other.certificate.read_text()), read_trust(other.sha256)):
            with pytest.raises(AdminError) as refused, ApiDoor(url, TOKEN, trust) as there:
                there.ask(SHOW, AskedThing(name="a"))
            assert refused.value.reason is reasons.API_SERVER_UNTRUSTED
        assert asked == [f"Bearer {TOKEN}"] * 2
    for trust in trusts:
        with pytest.raises(UnavailableError) as gone, ApiDoor(url, TOKEN, trust) as there:
            there.ask(SHOW, AskedThing(name="a"))
        assert gone.value.reason is reasons.API_SERVER_UNREACHABLE


@pytest.mark.parametrize("pin", ["", "sha256:", "sha256:00", "sha1:" + "0" * 40, "0" * 63 + "g"])
def test_a_fingerprint_is_a_sha256(pin: str) -> None:
    """API-019: nothing shorter than SHA-256 stands for a certificate."""
    with pytest.raises(AdminError) as refused:
        read_trust(pin)
    assert refused.value.reason is reasons.API_FILE


def test_roots_that_are_none_are_refused() -> None:
    """API-019: a file that holds no certificate trusts nobody, instead of everybody."""
    with pytest.raises(AdminError) as refused:
        ApiDoor("https://pki.example.test", TOKEN, Trust(roots="-----BEGIN CERTIFICATE-----\n"))
    assert refused.value.reason is reasons.API_FILE
