"""Schemathesis against the served document: no server error, nothing that the document does not say.

All checks are on. Requests are made by the document alone, good ones and broken ones, against a world in memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import hypothesis
import pytest
import schemathesis
from schemathesis.config import SchemathesisConfig

from regalia.ra.limits import Allowances
from regalia.verbs import VERBS
from regalia.web.openapi import openapi
from regalia.web.pool import Pool
from web.api_parts import ADMIN_TOKEN, Api

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.types import Receive, Scope, Send

pytestmark = pytest.mark.real

EXAMPLES = 4
"""Random requests for each operation, beside those that each bound and each kind of value asks for."""

CONFIG = SchemathesisConfig.from_dict(
    {
        "base-url": "http://localhost/api/v1",
        "checks": {
            # What fits the schema may still be refused for what it means: a profile that is unsafe, a CSR that is none.
            "positive_data_acceptance": {"expected-statuses": ["2xx", "403", "404", "409", "422"]},
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
        self.api: Api | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        assert self.api is not None
        await self.api.app(scope, receive, send)


SERVED = _Served()
schema = schemathesis.openapi.from_dict(openapi(VERBS.values()), config=CONFIG)
schema.app = SERVED


@pytest.fixture(autouse=True, scope="module")
def _served() -> Iterator[None]:
    pool = Pool("api", threads=1, queue=8)
    plenty = Allowances(wrong_tokens_per_source=1_000_000, requests_per_caller=1_000_000)
    SERVED.api = Api(pool, allowances=plenty)
    yield
    pool.close()


@schema.parametrize()
@hypothesis.settings(max_examples=EXAMPLES, deadline=None, derandomize=True, database=None)
def test_no_request_breaks_the_document(case: schemathesis.Case) -> None:
    """Each operation answers good and broken requests as its document says, and never with a fault of ours."""
    case.call_and_validate(headers={"Authorization": f"Bearer {ADMIN_TOKEN}"})
