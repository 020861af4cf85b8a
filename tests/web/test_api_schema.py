"""Schemathesis against the served document: no server error, nothing that the document does not say.

All checks are on. Requests are made by the document alone, good ones and broken ones, against a home as `init` leaves
it, on a real database.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
import schemathesis
from schemathesis.config import SchemathesisConfig

from cli.transcript import regalia
from fakes import FakeCallers
from regalia.app import build
from regalia.app.serving import admin_face
from regalia.config import load_config
from regalia.model import Actor, ActorKind
from regalia.ra.roles import EVERYTHING
from regalia.verbs import VERBS, Caller
from regalia.web.metrics import Metrics
from regalia.web.openapi import openapi
from regalia.web.pool import Pool

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.types import ASGIApp, Receive, Scope, Send

pytestmark = pytest.mark.real

TOKEN = "of-this-test"
EXAMPLES = 1
"""Random requests for each operation, beside those that each bound and each kind of value asks for."""

CONFIG = SchemathesisConfig.from_dict(
    {
        "base-url": "http://localhost/api/v1",
        "checks": {
            # What fits the schema may still be refused for what it means: a profile that is unsafe, a CSR that is none.
            "positive_data_acceptance": {"expected-statuses": ["2xx", "304", "403", "404", "409", "422"]},
            # The listener refuses long URLs before the API reads them.
            "negative_data_rejection": {
                "expected-statuses": ["400", "401", "403", "404", "405", "409", "413", "414", "415", "422"]
            },
        },
    }
)


class _Served:
    """The application of the present test; schemathesis also asks for a lifespan, which we have none of."""

    def __init__(self) -> None:
        self.app: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        assert self.app is not None
        await self.app(scope, receive, send)


SERVED = _Served()
schema = schemathesis.openapi.from_dict(openapi(VERBS.values()), config=CONFIG)
schema.app = SERVED


@pytest.fixture(autouse=True, scope="module")
def _served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    home = tmp_path_factory.mktemp("served") / "home"
    made = regalia(["init", "--home", str(home), "--url", "http://pki.example.test:8080"])
    assert made.status == 0, made.output
    plenty = {"limits.wrong_tokens_per_source": "1000000", "limits.requests_per_caller": "1000000"}
    app = build(load_config(home=home, options=plenty))
    pool = Pool("api", threads=1, queue=8)
    callers = FakeCallers({TOKEN: Caller(Actor(ActorKind.ADMIN, "token:test"), EVERYTHING, fresh=True, program=True)})
    SERVED.app = admin_face(app, Metrics(app.clock), callers, status=pool, api=pool)
    yield
    pool.close()
    app.close()


@schema.parametrize()
@hypothesis.settings(max_examples=EXAMPLES, deadline=None, derandomize=True, database=None)
def test_no_request_breaks_the_document(case: schemathesis.Case[Any]) -> None:
    """Each operation answers good and broken requests as its document says, and never with a fault of ours."""
    case.call_and_validate(headers={"Authorization": f"Bearer {TOKEN}"})
