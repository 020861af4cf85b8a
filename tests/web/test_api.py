"""The API: who is heard, what is read, and how refusals are told."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import pytest
import structlog
from pydantic import Field

from regalia import reasons
from regalia.errors import AdminError, InvariantError, PeerError, UnavailableError
from regalia.model import EVERYWHERE, Action, Reach, Right
from regalia.ports import EventFilter
from regalia.ra.limits import Allowances
from regalia.ra.tokens import token_text
from regalia.verbs import VERBS, Asked, Page, Record, Verb
from regalia.web.api import BODY_OCTETS, routes_of
from web.api_parts import ADMIN_TOKEN, BOUNDED_TOKEN, HELPER_TOKEN, SESSION, Api, Bare

if TYPE_CHECKING:
    from collections.abc import Sequence

    from regalia.verbs import Desk
    from regalia.web.pool import Pools
    from web.asgi import Heard

TOKEN = token_text(bytes(32))
STRANGER = {
    "type": "/api/v1/errors/API-001",
    "title": reasons.CREDENTIALS_REFUSED.title,
    "status": 401,
    "id": "API-001",
    "remedy": reasons.CREDENTIALS_REFUSED.remedy,
}


class Thing(Record):
    """What is kept."""

    name: str
    size: int
    secret: str | None = None


class Name(Asked):
    """Which one."""

    name: str


class NewThing(Name):
    """A new one."""

    size: Annotated[int, Field(ge=0, le=100)] = 1
    tags: tuple[str, ...] = ()
    owner: UUID | None = None


class Things(Asked):
    """Which ones."""

    small: bool | None = None
    most: Annotated[int, Field(ge=1, le=100)] = 10
    tag: tuple[str, ...] = ()


class Shop:
    """Verbs of the test's own: each kind that there is."""

    def __init__(self) -> None:
        self.things: dict[str, Thing] = {}
        self.fails: Exception | None = None
        self.reaches: list[Reach] = []

    def list(self, desk: Desk, asked: Things) -> Page[Thing]:
        """All."""
        self.reaches.append(desk.reach)
        if self.fails is not None:
            raise self.fails
        return Page(items=tuple(each for each in self.things.values() if not asked.small or each.size < 10))

    def create(self, desk: Desk, asked: NewThing) -> Thing:
        """Make one."""
        del desk
        if self.fails is not None:
            raise self.fails
        if asked.name in self.things:
            raise AdminError(reasons.NAME_TAKEN, f"thing {asked.name}")
        self.things[asked.name] = Thing(name=asked.name, size=asked.size)
        return self.things[asked.name]

    def show(self, desk: Desk, asked: Name) -> Thing:
        """One."""
        del desk
        if asked.name not in self.things:
            raise AdminError(reasons.NOT_FOUND, f"thing {asked.name}")
        return self.things[asked.name]

    def end(self, desk: Desk, asked: Name) -> Thing:
        """End one."""
        del desk
        return self.things.pop(asked.name)

    @property
    def verbs(self) -> tuple[Verb[Any, Any], ...]:
        """All of them."""
        plan = lambda desk, asked: (f"end {asked.name}",)  # noqa: E731, ARG005 - a plan is a function
        return (
            Verb("thing.list", "GET", "/things", Right.READ, Things, Page[Thing], self.list, "List."),
            Verb("thing.create", "POST", "/things", Right.ARRANGE, NewThing, Thing, self.create, "Make."),
            Verb("thing.show", "GET", "/things/{name}", Right.READ, Name, Thing, self.show, "Show."),
            Verb("thing.end", "DELETE", "/things/{name}", Right.ARRANGE, Name, Thing, self.end, "End.", plan),
            Verb("thing.grow", "POST", "/things/{name}/grow", Right.ARRANGE, NewThing, Thing, self.create, "Grow."),
            Verb("key.make", "POST", "/keys", Right.RULE, NewThing, Thing, self.create, "Key.", everywhere=True),
            Verb("pin.make", "POST", "/pins", Right.RULE, NewThing, Thing, self.create, "Pin.", secret=True),
        )


@pytest.fixture
def shop() -> Shop:
    """Return an empty shop."""
    return Shop()


@pytest.fixture
def api(pools: Pools, shop: Shop) -> Api:
    """Return its API."""
    return Api(pools.status, Bare(), verbs=shop.verbs)


def told(heard: Heard) -> dict[str, Any]:
    """Read a problem document."""
    assert heard.headers["content-type"] == "application/problem+json"
    assert heard.headers["cache-control"] == "no-store"
    document: dict[str, Any] = json.loads(heard.body)
    assert document["status"] == heard.status
    assert document["type"] == f"/api/v1/errors/{document['id']}"
    return document


# --- who is heard ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("token", [None, "unknown", "", "\tof-an-admin x"])
@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/things"), ("GET", "/nothing"), ("DELETE", "/things/a"), ("PUT", "/things"), ("GET", "/things?x=1")],
)
def test_a_stranger_always_hears_the_same(api: Api, method: str, path: str, token: str | None) -> None:
    """Whatever is asked without valid credentials, the answer is one constant 401 (AUTHZ-1)."""
    heard = api.ask(method, path, token=token)
    assert (heard.status, json.loads(heard.body)) == (401, STRANGER)
    assert heard.headers["www-authenticate"] == 'Bearer realm="regalia"'


def test_a_strangers_body_is_not_read(api: Api) -> None:
    """Neither the size nor the type of a body changes what a stranger hears."""
    heard = api.ask("POST", "/things", b"x" * (BODY_OCTETS + 1), token=None, headers={"content-type": "text/html"})
    assert json.loads(heard.body) == STRANGER


def test_a_token_is_not_taken_from_the_url(api: Api) -> None:
    """AUTHZ-7: a token in the query does not open anything, and who is known is told to revoke it (API-007)."""
    assert api.ask("GET", f"/things?access_token={ADMIN_TOKEN}", token=None).status == 401
    for path in (
        "/things?access_token=x",
        "/things?Token=x",
        f"/things?tag={TOKEN}",
        f"/things/x{TOKEN}",
    ):
        heard = api.ask("GET", path)
        assert (heard.status, told(heard)["id"]) == (400, "API-007"), path


def test_the_right_is_asked_of_each_verb(api: Api, shop: Shop) -> None:
    """AUTHZ-1, AUD-1: a role without the right is 403 ADM-070 and on record; so is a bounded one above all groups."""
    assert api.ask("GET", "/things", token=HELPER_TOKEN).status == 200
    for path, token in (("/things", HELPER_TOKEN), ("/keys", BOUNDED_TOKEN)):
        heard = api.ask("POST", path, {"name": "a"}, token=token)
        assert (heard.status, told(heard)["id"]) == (403, "ADM-070")
    assert not shop.things
    events = api.world.store.events(EventFilter(action=Action.RIGHT_REFUSED))
    assert [(each.draft.object, each.draft.reason_id) for each in events] == [
        ("verb:thing.create", "ADM-070"),
        ("verb:key.make", "ADM-070"),
    ]


def test_the_reach_of_the_caller_arrives(api: Api, shop: Shop) -> None:
    """AUTHZ-4: a verb is given the groups that the caller's right reaches."""
    api.ask("GET", "/things", token=BOUNDED_TOKEN)
    api.ask("GET", "/things")
    assert shop.reaches == [Reach(frozenset({"elsewhere"})), EVERYWHERE]


def test_known_and_not_enough_is_403(api: Api) -> None:
    """WEB-5: a session may look; to change something its request must come from a page of ours, which it is told."""
    assert api.ask("GET", "/things", token=SESSION).status == 200
    heard = api.ask("POST", "/things", {"name": "a"}, token=SESSION)
    assert (heard.status, told(heard)["id"]) == (403, reasons.FOREIGN_REQUEST.id)


def test_wrong_tokens_close_the_way_for_their_address(pools: Pools, shop: Shop) -> None:
    """API-012: after too many invalid tokens an address is refused before they are looked up; others are not."""
    api = Api(pools.status, Bare(), verbs=shop.verbs, allowances=Allowances(wrong_tokens_per_source=2))
    assert [api.ask("GET", "/things", token="x").status for _ in range(3)] == [401, 401, 429]
    heard = api.ask("GET", "/things")
    assert (told(heard)["id"], heard.headers["retry-after"]) == ("API-012", "60")
    assert api.ask("GET", "/things", token=None).status == 401
    assert api.ask("GET", "/things", source="192.0.2.2").status == 200
    api.world.clock.advance(timedelta(minutes=1))
    assert api.ask("GET", "/things").status == 200


def test_one_caller_cannot_take_all(pools: Pools, shop: Shop) -> None:
    """API-011: a caller has so many requests a minute, wherever they come from; another one has its own."""
    api = Api(pools.status, Bare(), verbs=shop.verbs, allowances=Allowances(requests_per_caller=2))
    assert [api.ask("GET", "/things", source=f"192.0.2.{n}").status for n in range(3)] == [200, 200, 429]
    assert told(api.ask("GET", "/things"))["id"] == "API-011"
    assert api.ask("GET", "/things", token=HELPER_TOKEN).status == 200


# --- what is read ---------------------------------------------------------------------------------------------------


def test_fields_come_from_path_query_and_body(api: Api, shop: Shop) -> None:
    """Numbers and truth values in a query are written as in JSON; what is created is answered 201, the rest 200."""
    heard = api.ask("POST", "/things", {"name": "a", "size": 40, "tags": ["x"], "owner": str(UUID(int=1))})
    assert (heard.status, json.loads(heard.body)) == (201, {"name": "a", "size": 40, "secret": None})
    assert api.ask("POST", "/things/b%20c/grow", {"size": 3}).status == 200
    assert set(shop.things) == {"a", "b c"}
    heard = api.ask("GET", "/things?small=true&most=5&tag=a&tag=b")
    assert [each["name"] for each in json.loads(heard.body)["items"]] == ["b c"]
    assert api.ask("HEAD", "/things").status == 200
    assert json.loads(api.ask("DELETE", "/things/a").body)["name"] == "a"
    assert set(shop.things) == {"b c"}


@pytest.mark.parametrize(
    ("method", "path", "body", "field"),
    [
        ("POST", "/things", {}, "name"),
        ("POST", "/things", {"name": 5}, "name"),
        ("POST", "/things", {"name": "a", "size": "5"}, "size"),
        ("POST", "/things", {"name": "a", "size": 5.5}, "size"),
        ("POST", "/things", {"name": "a", "size": 101}, "size"),
        ("POST", "/things", {"name": "a", "colour": "red"}, "colour"),
        ("POST", "/things", {"name": "a", "tags": ["x", 1]}, "tags.1"),
        ("POST", "/things", {"name": "a\0b"}, "name"),
        ("POST", "/things", b'{"name": "\\ud800"}', "name"),
        ("POST", "/things", {"name": "a", "owner": "nobody"}, "owner"),
        ("POST", "/things?size=5", {"name": "a"}, "size"),
        ("POST", "/things?dry_run=true", {"name": "a"}, "dry_run"),
        ("POST", "/things/a/grow", {"name": "b"}, "name"),
        ("DELETE", "/things/a?dry_run=yes", None, "dry_run"),
        ("GET", "/things?most=five", None, "most"),
        ("GET", "/things?most=0", None, "most"),
        ("GET", "/things?most=" + "9" * 30, None, "most"),
        ("GET", "/things?most=1&most=2", None, "most"),
        ("GET", "/things?small=yes", None, "small"),
        ("GET", "/things?small=", None, "small"),
        ("GET", "/things?colour=red", None, "colour"),
        ("GET", "/things?dry_run=true", None, "dry_run"),
        ("GET", "/things?tag=%00", None, "tag"),
        ("GET", "/things?tag=%FF", None, ""),
        ("GET", "/things?" + "&".join(["tag=a"] * 201), None, ""),
        ("GET", "/things/a%00b", None, "name"),
    ],
)
def test_wrong_fields_are_named(api: Api, shop: Shop, method: str, path: str, body: object, field: str) -> None:
    """What is asked wrongly is 422 ADM-018 with the fields that are wrong, and nothing is done."""
    shop.things["a"] = Thing(name="a", size=1)
    heard = api.ask(method, path, body)
    document = told(heard)
    assert (heard.status, document["id"]) == (422, reasons.USAGE.id)
    assert [each["field"] for each in document["errors"]] == [field]
    assert set(shop.things) == {"a"}


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        (b"", 400, "API-005"),
        (b"[]", 400, "API-005"),
        (b"{", 400, "API-005"),
        (b"\xff", 400, "API-005"),
        (b'{"name": "a", "name": "b"}', 400, "API-005"),
        (b'{"name": NaN}', 400, "API-005"),
        (b"[" * 100_000, 400, "API-005"),
        *((b'{"name": ' + b"[" * deep + b"]" * deep + b"}", 400, "API-005") for deep in (32, 900, 960, 975)),
        (b'{"size": 1' + b"0" * 5_000 + b"}", 400, "API-005"),
        (b" " * (BODY_OCTETS + 1), 413, "API-006"),
    ],
)
def test_bodies_that_cannot_be_read(api: Api, body: bytes, status: int, reason: str) -> None:
    """RES-1: a body is one JSON object within 1 MiB, each field once."""
    heard = api.ask("POST", "/things", body)
    assert (heard.status, told(heard)["id"]) == (status, reason)


@pytest.mark.parametrize(
    "declared", ["", "text/plain", "application/x-www-form-urlencoded", "application/json; charset=utf-16"]
)
def test_a_body_is_declared_as_json(api: Api, shop: Shop, declared: str) -> None:
    """WEB-5: what a form of a stranger's page could send is 415 API-004."""
    heard = api.ask("POST", "/things", {"name": "a"}, headers={"content-type": declared})
    assert (heard.status, told(heard)["id"]) == (415, "API-004")
    assert not shop.things
    good = {"content-type": 'Application/JSON; charset="UTF-8"'}
    assert api.ask("POST", "/things", {"name": "a"}, headers=good).status == 201


@pytest.mark.parametrize("path", ["/nothing", "/things/", "/things//grow", "/things/%FF", "/things/a/b"])
def test_other_paths_are_not_there(api: Api, path: str) -> None:
    """A path of no verb is 404 to somebody who is known; a slash that is escaped divides nothing."""
    heard = api.ask("GET", path)
    assert (heard.status, told(heard)["id"]) == (404, "API-002")
    assert told(api.ask("GET", "/things/a%2Fb"))["detail"] == "thing a/b"


def test_other_methods_are_named(api: Api) -> None:
    """A path that takes other methods says which."""
    heard = api.ask("PUT", "/things", {})
    assert (heard.status, told(heard)["id"], heard.headers["allow"]) == (405, "API-003", "GET, HEAD, POST")
    assert api.ask("POST", "/things/a", {}).headers["allow"] == "DELETE, GET, HEAD"
    assert api.ask("PATCH", "/things", {}).status == 405


def test_a_plan_does_nothing(api: Api, shop: Shop) -> None:
    """`dry_run=true` says what would happen; what cannot say it is refused, not done."""
    shop.things["a"] = Thing(name="a", size=1)
    heard = api.ask("DELETE", "/things/a?dry_run=true")
    assert json.loads(heard.body) == {"dry_run": True, "would": ["end a"]}
    assert set(shop.things) == {"a"}
    assert api.ask("DELETE", "/things/a?dry_run=false").status == 200
    assert not shop.things


# --- answers --------------------------------------------------------------------------------------------------------


def test_what_is_known_is_not_sent_again(api: Api, shop: Shop) -> None:
    """A GET with the ETag of before is 304 while nothing changed."""
    first = api.ask("GET", "/things")
    known = {"if-none-match": first.headers["etag"]}
    second = api.ask("GET", "/things", headers=known)
    assert (second.status, second.body) == (304, b"")
    shop.things["a"] = Thing(name="a", size=1)
    assert api.ask("GET", "/things", headers=known).status == 200


@pytest.mark.parametrize(
    ("error", "status", "detail"),
    [
        (AdminError(reasons.NOT_FOUND, "thing a"), 404, "thing a"),
        (AdminError(reasons.NAME_TAKEN, "thing a"), 409, "thing a"),
        (AdminError(reasons.PROFILE_REFUSED, "no names"), 422, "no names"),
        (PeerError(reasons.CSR_REFUSED, "octet 5"), 422, "octet 5"),
        (AdminError(reasons.SCHEMA_OLD, "it is at 3"), 503, None),
        (UnavailableError(reasons.STORE_UNAVAILABLE, "host=10.0.0.9"), 503, None),
    ],
)
def test_refusals_are_told_by_their_reason(
    api: Api, shop: Shop, error: AdminError, status: int, detail: str | None
) -> None:
    """A refusal has the id, title and detail that the command would print; nothing of the inside of the house."""
    shop.fails = error
    heard = api.ask("GET", "/things")
    document = told(heard)
    assert (heard.status, document["id"], document.get("detail")) == (status, error.reason.id, detail)
    assert (document["title"], document["remedy"]) == (error.reason.title, error.reason.remedy)
    assert ("retry-after" in heard.headers) == (status == 503)


def test_a_bug_is_an_incident(api: Api, shop: Shop) -> None:
    """IN-2: a fault of ours is 503 with an id that leads to our log, and no word of it."""
    shop.fails = RuntimeError("secret detail")
    with structlog.testing.capture_logs() as lines:
        heard = api.ask("GET", "/things")
    document = told(heard)
    assert (heard.status, document["id"]) == (503, "API-013")
    assert b"secret" not in heard.body
    assert lines[0]["incident"] == document["incident"] == heard.headers["regalia-incident"]


def test_a_full_pool_is_503(pools: Pools, shop: Shop) -> None:
    """RES-3: when there is no thread and no place to wait, the answer is 503 at once."""
    pools.files.close()
    heard = Api(pools.files, Bare(), verbs=shop.verbs).ask("GET", "/things")
    assert (heard.status, told(heard)["id"], heard.headers["retry-after"]) == (503, reasons.BUSY.id, "10")


# --- repeats --------------------------------------------------------------------------------------------------------

KEY = {"idempotency-key": "one"}


def test_a_repeat_is_done_once(api: Api, shop: Shop) -> None:
    """The same request with the same Idempotency-Key is answered the same, and not done again."""
    first, second = (api.ask("POST", "/things", {"name": "a"}, headers=KEY) for _ in range(2))
    assert (first.status, first.body) == (second.status, second.body) == (201, first.body)
    assert "idempotency-replayed" not in first.headers
    assert second.headers["idempotency-replayed"] == "true"
    assert api.ask("POST", "/things", {"name": "a", "size": 1}, headers=KEY).status == 201
    assert api.ask("POST", "/things", {"name": "a", "size": 2}, headers=KEY).status == 422
    assert api.ask("POST", "/things", {"name": "a"}).status == 409
    assert set(shop.things) == {"a"}


def test_another_request_under_the_same_key_is_refused(api: Api, shop: Shop) -> None:
    """API-008: a key is for one request; another caller's is another key."""
    api.ask("POST", "/things", {"name": "a"}, headers=KEY)
    for path, body in (("/things", {"name": "b"}), ("/things/a/grow", {})):
        heard = api.ask("POST", path, body, headers=KEY)
        assert (heard.status, told(heard)["id"]) == (422, "API-008")
    assert set(shop.things) == {"a"}
    assert api.ask("POST", "/things", {"name": "b"}, headers=KEY, token=BOUNDED_TOKEN).status == 201


def test_what_came_to_nothing_can_be_repeated(api: Api, shop: Shop) -> None:
    """A refused request frees its key; one that met a bug does not, since nobody knows how far it came (API-009)."""
    shop.fails = UnavailableError(reasons.STORE_UNAVAILABLE)
    assert api.ask("POST", "/things", {"name": "a"}, headers=KEY).status == 503
    shop.fails = None
    assert api.ask("POST", "/things", {"name": "a"}, headers=KEY).status == 201
    shop.fails = RuntimeError()
    other = {"idempotency-key": "two"}
    with structlog.testing.capture_logs():
        api.ask("POST", "/things", {"name": "b"}, headers=other)
    shop.fails = None
    heard = api.ask("POST", "/things", {"name": "b"}, headers=other)
    assert (heard.status, told(heard)["id"]) == (409, "API-009")


def test_secrets_are_not_kept(api: Api, shop: Shop) -> None:
    """API-010: what is shown once is not shown to a repeat, which is told that it was done; nothing of it is stored."""
    first = api.ask("POST", "/pins", {"name": "a"}, headers=KEY)
    second = api.ask("POST", "/pins", {"name": "a"}, headers=KEY)
    assert (first.status, second.status, told(second)["id"]) == (200, 409, "API-010")
    assert [each.body for _, each in api.answers.kept.values()] == [b""]
    assert set(shop.things) == {"a"}


@pytest.mark.parametrize("key", ["a b", "x" * 256, "\x7f"])
def test_keys_are_bounded(api: Api, shop: Shop, key: str) -> None:
    """A key that could not be kept is refused, not ignored."""
    heard = api.ask("POST", "/things", {"name": "a"}, headers={"idempotency-key": key})
    assert told(heard)["errors"][0]["field"] == "Idempotency-Key"
    assert not shop.things


def test_a_plan_takes_no_key(api: Api, shop: Shop) -> None:
    """Asking what would happen leaves the key for the deed."""
    shop.things["a"] = Thing(name="a", size=1)
    api.ask("DELETE", "/things/a?dry_run=true", headers=KEY)
    assert json.loads(api.ask("DELETE", "/things/a", headers=KEY).body)["name"] == "a"


# --- what start-up refuses ------------------------------------------------------------------------------------------


class Renamed(Asked):
    """A field with another name outside."""

    inner: str = Field(alias="outer")


class Deep(Asked):
    """A field that no query can hold."""

    inside: Thing


def _verb(**changes: object) -> Verb[Any, Any]:
    fields: dict[str, Any] = {
        "name": "thing.other",
        "method": "GET",
        "path": "/others",
        "right": Right.READ,
        "asks": Things,
        "gives": Thing,
        "run": Shop().show,
        "summary": "Other.",
    }
    return Verb(**{**fields, **changes})


@pytest.mark.parametrize(
    "verbs",
    [
        [{"right": None}],
        [{"right": "read-everything"}],
        [{"asks": Thing}],
        [{"gives": None}],
        [{"method": "PATCH"}],
        [{"path": "others"}],
        [{"path": "/others/"}],
        [{"asks": Renamed}],
        [{"asks": Deep}],
        [{}, {"name": "thing.another"}],
        [{"asks": Name, "path": "/others/{name}"}, {"name": "thing.x", "asks": Name, "path": "/others/{name}"}],
        [{"asks": Name, "path": "/others/{name}"}, {"name": "thing.x", "path": "/others/new", "method": "POST"}],
    ],
)
def test_a_route_that_is_not_whole_stops_the_start(verbs: Sequence[dict[str, object]]) -> None:
    """AUTHZ-1: a verb without right or schema, or at the place of another, is found before anything is served."""
    with pytest.raises(InvariantError):
        routes_of([_verb(**changes) for changes in verbs])


def test_every_verb_of_the_product_has_its_route() -> None:
    """AUTHZ-1: the registry is whole, and each verb has a place of its own."""
    assert {route.verb.name for route in routes_of(VERBS.values())} == set(VERBS)
