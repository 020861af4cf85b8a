"""`POST /hooks/{connector}` over HTTP: what is read of a request, and what each outcome is answered with."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest

from fakes import FakeClock
from ra.test_hooks import KEY, WIPED, Scene
from regalia.ca.revoke import is_final
from regalia.ra.alert_message import signature_of
from regalia.web.edge import Edge
from regalia.web.hooks import HooksFace
from regalia.web.metrics import Metrics
from regalia.web.pool import Pool
from web.asgi import ask

if TYPE_CHECKING:
    from collections.abc import Iterator

    from web.asgi import Heard


class Served(Scene):
    """The desk behind its face."""

    pool: Pool

    def post(
        self, path: str = "/hooks/intune", body: bytes | None = None, method: str = "POST", **changes: str
    ) -> Heard:
        """Send a message of now, with headers changed."""
        self.sent += 1
        message_id = changes.pop("delivery", f"m-{self.sent}")
        octets = json.dumps({"id": message_id, **WIPED}).encode() if body is None else body
        stamp = int(self.fleet.clock.now().timestamp())
        headers = {
            "Regalia-Timestamp": str(stamp),
            "Regalia-Signature": signature_of(KEY, stamp, octets),
            **{f"Regalia-{name.title()}": value for name, value in changes.items()},
        }
        app = Edge(HooksFace(self.desk, self.pool), "device", Metrics(FakeClock()))
        return ask(
            app,
            path,
            method=method,
            body=(octets,),
            headers=[(name.lower().encode(), value.encode()) for name, value in headers.items()],
        )


@pytest.fixture
def served() -> Iterator[Served]:
    """Return it."""
    scene = Served()
    scene.pool = Pool("hooks", threads=1, queue=8)
    yield scene
    scene.pool.close()


def test_a_message_is_taken_in(served: Served) -> None:
    """202 with a receipt; the same id again is 202, too, says that it was repeated, and does nothing."""
    heard = served.post(delivery="once")
    assert heard.status == 202
    told = json.loads(heard.body)
    assert told["repeated"] is False
    assert len(told["receipt"]) == 32
    assert is_final(served.fleet.row(1))
    again = served.post(delivery="once")
    assert (again.status, json.loads(again.body)) == (
        202,
        {"receipt": told["receipt"], "repeated": True, "left_out": 0},
    )


@pytest.mark.parametrize(
    ("path", "changes"),
    [
        ("/hooks/nobody", {}),
        ("/hooks/", {}),
        ("/hooks/Intune", {}),
        ("/hooks/intune/", {}),
        ("/hooks/a/b", {}),
        ("/hooks/intune", {"signature": ""}),
        ("/hooks/intune", {"timestamp": "1"}),
    ],
)
def test_strangers_hear_one_thing(served: Served, path: str, changes: dict[str, str]) -> None:
    """IN-2: a connector that there is and one that there is not, a wrong signature and none: one 404, and no sooner."""
    began = time.monotonic()
    heard = served.post(path, None, "POST", **changes)
    assert time.monotonic() - began >= 0.05
    missing = served.post("/hooks/not-there-either")
    assert (heard.status, heard.body, heard.headers) == (404, missing.body, missing.headers)
    assert served.fleet.revoked() == 0


def test_what_is_wrong_is_told_to_who_signed(served: Served) -> None:
    """422 with the problem."""
    heard = served.post(body=b'{"id": "1", "devices": [{"serial": "x"}]}')
    assert heard.status == 422
    assert "id" in json.loads(heard.body)["problem"]


def test_other_methods_and_sizes(served: Served) -> None:
    """405 for what is no POST, 413 for what is too large, 429 for a source that was wrong too often."""
    heard = served.post(method="GET")
    assert (heard.status, heard.headers["allow"]) == (405, "POST")
    assert served.post(body=b" " * 300_000).status == 413
    for _ in range(30):
        served.post(signature="")
    heard = served.post()
    assert (heard.status, heard.headers["retry-after"]) == (429, "60")
