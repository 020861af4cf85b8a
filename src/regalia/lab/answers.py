"""The shapes that answers have: Graph's and Intune's errors, and the header by which support finds a request."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING

from starlette.responses import JSONResponse, Response

if TYPE_CHECKING:
    from datetime import datetime

    from starlette.requests import Request

__all__ = ["AnswerError", "error_answer", "internal_error", "json_answer", "timestamp"]


class AnswerError(Exception):
    """The request ends here, with this error."""

    def __init__(self, status: int, code: str, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = headers or {}


def timestamp(at: datetime) -> str:
    """Write a time as Graph does."""
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def _request_headers(request: Request) -> dict[str, str]:
    asked = request.headers.get("client-request-id")
    return {"request-id": str(uuid.uuid4())} | ({"client-request-id": asked} if asked else {})


def json_answer(
    request: Request, content: object, status: int = 200, headers: dict[str, str] | None = None
) -> Response:
    """Answer with JSON and the ids of the request."""
    return JSONResponse(content, status, _request_headers(request) | (headers or {}))


def error_answer(request: Request, error: AnswerError, at: datetime) -> Response:
    """Answer with Graph's error body."""
    headers = _request_headers(request) | error.headers
    inner = {"date": at.strftime("%Y-%m-%dT%H:%M:%S"), "request-id": headers["request-id"]}
    content = {"error": {"code": error.code, "message": error.message, "innerError": inner}}
    return JSONResponse(content, error.status, headers)


def internal_error() -> Response:
    """Answer as Intune does when it fails: an error whose message is JSON of its own."""
    message = json.dumps({"_version": 3, "Message": "An internal server error has occurred"}, indent=2)
    content = {"error": {"code": "InternalError", "message": message.replace("\n", "\r\n")}}
    return JSONResponse(content, 500)
