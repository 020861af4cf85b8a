"""Refusals of the API as problem documents (RFC 9457), and the one table from a reason to its HTTP status.

Only who is known to us reads a reason's detail. What is not available, and bugs of ours, are told by id and title
alone: their details speak of the inside of the house.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from regalia import reasons
from regalia.errors import Stage, UnavailableError
from regalia.web.answers import NO_STORE, Answer, answer, with_headers

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from regalia.errors import Reason, RegaliaError
    from regalia.model import JsonValue
    from regalia.ra.limits import Limited
    from regalia.web.answers import Header

__all__ = [
    "ERRORS_PATH",
    "MEDIA",
    "STRANGER",
    "InvalidField",
    "fault",
    "invalid",
    "limited",
    "problem",
    "problem_of",
    "status_of",
]

MEDIA: Final = b"application/problem+json"
ERRORS_PATH: Final = "/api/v1/errors"
"""Below it is a page for each reason: what the `type` of its problems leads to."""

_RETRY_SECONDS: Final = 10
_USE: Final = "The document at /api/v1/openapi.json says which fields each request takes."
"""What to do about a misuse; the reason's own remedy speaks of commands."""
_BEARER: Final[Header] = (b"www-authenticate", b'Bearer realm="regalia"')

_CONFLICTS: Final = frozenset(
    {
        reasons.HOME_USED,
        reasons.NAME_TAKEN,
        reasons.ALREADY_REVOKED,
        reasons.ROOT_KEY_ELSEWHERE,
        reasons.CHALLENGE_NOT_OPEN,
        reasons.AUTHORITY_STATE,
        reasons.ENROLMENT_DECIDED,
        reasons.CA_AS_RA_REFUSED,
        reasons.ROLLOVER_REFUSED,
        reasons.GROUP_STATE,
        reasons.REPLACEMENT_WAITS,
        reasons.PENDING_OUTDATED,
        reasons.CRL_PLAN_TOO_LARGE,
        reasons.CRL_NAME_TAKEN,
        reasons.CERTIFICATE_STATE,
        reasons.REPEAT_UNDER_WAY,
        reasons.ANSWER_NOT_KEPT,
    }
)
"""What is asked well, and cannot be done as things are."""
_OURS: Final = frozenset(
    {
        reasons.HOME_MISSING,
        reasons.CONFIG_REFUSED,
        reasons.MASTER_KEY_REFUSED,
        reasons.PERMISSIONS_REFUSED,
        reasons.SCHEMA_OLD,
        reasons.DATABASE_UNFIT,
        reasons.API_FAULT,
    }
)
"""What is wrong with the server, whoever asks."""
_STATUS: Final[Mapping[Reason, int]] = {
    reasons.CREDENTIALS_REFUSED: 401,
    reasons.RIGHT_MISSING: 403,
    reasons.AUTHENTICATION_OLD: 403,
    reasons.FOREIGN_REQUEST: 403,
    reasons.NOT_FOUND: 404,
    reasons.API_PATH_UNKNOWN: 404,
    reasons.API_METHOD_REFUSED: 405,
    reasons.API_BODY_REFUSED: 400,
    reasons.TOKEN_IN_URL: 400,
    reasons.API_BODY_TOO_LARGE: 413,
    reasons.API_MEDIA_REFUSED: 415,
    **dict.fromkeys(_CONFLICTS, 409),
    **dict.fromkeys(_OURS, 503),
}


def status_of(error: RegaliaError) -> int:
    """Say which HTTP status a refusal has: what the table does not name is about what was asked, 422."""
    if isinstance(error, UnavailableError):
        return 503
    if error.reason.stage is Stage.LIMIT:
        return 429
    return _STATUS.get(error.reason, 422)


@dataclass(frozen=True, slots=True)
class InvalidField:
    """One thing that was asked wrongly."""

    field: str
    """Its name; of what is inside it, with dots, as `names.0.kind`. Empty for the whole."""
    problem: str


def problem(reason: Reason, status: int, detail: str = "", **members: JsonValue) -> Answer:
    """Make a problem document; `members` are those beyond RFC 9457's."""
    body: dict[str, JsonValue] = {
        "type": f"{ERRORS_PATH}/{reason.id}",
        "title": reason.title,
        "status": status,
        **({"detail": detail} if detail else {}),
        "id": reason.id,
        "remedy": _USE if reason is reasons.USAGE else reason.remedy,
        **members,
    }
    # ASCII, so that it reads the same whatever a client takes its encoding for.
    octets = json.dumps(body).encode()
    headers: tuple[Header, ...] = (NO_STORE,)
    if status == HTTPStatus.UNAUTHORIZED:
        headers += (_BEARER,)
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        headers += ((b"connection", b"close"),)  # what is still on its way is nobody's
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers += ((b"retry-after", b"%d" % _RETRY_SECONDS),)
    return answer(status, octets, MEDIA, *headers)


STRANGER: Final = problem(reasons.CREDENTIALS_REFUSED, 401)
"""All that somebody without valid credentials is ever told."""


def problem_of(error: RegaliaError) -> Answer:
    """Make the problem of a refusal that a known caller may read."""
    status = status_of(error)
    return problem(error.reason, status, "" if status == HTTPStatus.SERVICE_UNAVAILABLE else error.detail)


def invalid(fields: Iterable[InvalidField]) -> Answer:
    """Say which fields are wrong: each with what is wrong with it."""
    found = tuple(fields)
    detail = "\n".join(f"{each.field or 'the request'}: {each.problem}" for each in found)
    errors: list[JsonValue] = [{"field": each.field, "problem": each.problem} for each in found]
    return problem(reasons.USAGE, 422, detail, errors=errors)


def limited(by: Limited) -> Answer:
    """Say that it was too much, and when there is room again."""
    told = problem(by.reason, 429, by.detail)
    return with_headers(told, (b"retry-after", b"%d" % by.retry_after))


def fault(incident: str, header: bytes) -> Answer:
    """Say that a bug of ours was met, and under which id the log has it."""
    return with_headers(problem(reasons.API_FAULT, 503, incident=incident), (header, incident.encode()))
