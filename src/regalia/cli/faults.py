"""What goes wrong, told on stderr: what happened, why, what to do next, and where to read more."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Final

from regalia import reasons
from regalia.cli.output import Style, clean, paint
from regalia.errors import AdminError, RegaliaError

if TYPE_CHECKING:
    from regalia.errors import Reason

__all__ = ["FAILED", "FOUND_PROBLEMS", "OK", "USAGE", "FoundError", "exit_code", "page_of", "report"]

OK: Final = 0
FAILED: Final = 1
USAGE: Final = 2
FOUND_PROBLEMS: Final = 3


class FoundError(AdminError):
    """A check did its work, and found something: exit code 3."""


def exit_code(error: RegaliaError) -> int:
    """Tell what the program ends with after this error."""
    if isinstance(error, FoundError):
        return FOUND_PROBLEMS
    return USAGE if error.reason is reasons.USAGE else FAILED


def page_of(reason: Reason) -> str:
    """Name the page of the documentation that explains a reason."""
    return f"docs/errors/{reason.id}.md"


def report(error: RegaliaError, *, as_json: bool) -> None:
    """Tell of an error on stderr; as one JSON object where the command was asked for JSON."""
    reason = error.reason
    if as_json:
        told = {"id": reason.id, "title": reason.title, "detail": error.detail, "remedy": reason.remedy}
        sys.stderr.write(json.dumps({"error": told}) + "\n")
        return
    title = paint("Error", Style.BAD, sys.stderr)
    lines = [f"{title} {reason.id}: {reason.title}"]
    if error.detail:
        first, *more = error.detail.splitlines()
        lines += [f"  Why:  {clean(first)}", *(f"        {clean(line)}" for line in more)]
    lines += [f"  Next: {reason.remedy}", f"  Read: {page_of(reason)}"]
    sys.stderr.write("\n".join(lines) + "\n")
