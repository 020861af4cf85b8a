"""The pages of the error ids: each says what the registry and the code say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from regalia import reasons
from regalia.errors import Reason, Stage
from regalia.ra.scep import FAIL_INFO
from regalia.wire.scep import FailInfo

PAGES = Path(__file__).resolve().parents[2] / "docs" / "errors"
SECTIONS = ["What happened", "What the device was told", "Likely causes", "What to do"]
FAIL_INFO_NAMES = {
    FailInfo.BAD_ALG: "`badAlg` (0)",
    FailInfo.BAD_MESSAGE_CHECK: "`badMessageCheck` (1)",
    FailInfo.BAD_REQUEST: "`badRequest` (2)",
    FailInfo.BAD_TIME: "`badTime` (3)",
    FailInfo.BAD_CERT_ID: "`badCertId` (4)",
}
STATUS = {
    reasons.ENDPOINT_UNKNOWN: "404",
    reasons.ENDPOINT_DISABLED: "404",
    reasons.METHOD_REFUSED: "405",
    reasons.NEXT_CA_UNKNOWN: "404",
    reasons.MESSAGE_TOO_LARGE: "413",
    reasons.PAGE_OVER_PLAIN_HTTP: "403",
    reasons.PAGE_MISSING: "404",
    reasons.PAGE_ONLY_READ: "405",
    # MDMs look for the phrases of these two pages where the status is 200, and nowhere else.
    reasons.PAGE_NETWORK_REFUSED: "200",
    reasons.PAGE_CACHE_FULL: "200",
    reasons.PAGE_SCHEME_REFUSED: "401",
    reasons.PAGE_LOGIN_REFUSED: "401",
    # Without exactly one signer there is no transactionID, and so nothing to put into a signed answer (R6).
    reasons.SIGNER_COUNT: "400",
    reasons.CREDENTIALS_REFUSED: "401",
    reasons.API_PATH_UNKNOWN: "404",
    reasons.API_METHOD_REFUSED: "405",
    reasons.API_MEDIA_REFUSED: "415",
    reasons.API_BODY_TOO_LARGE: "413",
    reasons.REPEAT_DIFFERS: "422",
    reasons.REPEAT_UNDER_WAY: "409",
    reasons.ANSWER_NOT_KEPT: "409",
    reasons.API_FAULT: "503",
    reasons.SIGN_IN_FAILED: "403",
    reasons.SESSION_OVER: "401",
    reasons.AUTHENTICATION_OLD: "403",
    reasons.FOREIGN_REQUEST: "403",
    reasons.PASSKEY_REFUSED: "403",
    reasons.PASSKEY_COUNTER: "403",
    reasons.SETUP_LINK_REFUSED: "403",
    reasons.ACCOUNT_DISABLED: "403",
    reasons.PROVIDER_REFUSED: "403",
    reasons.ID_TOKEN_REFUSED: "403",
    reasons.IDENTITY_UNKNOWN: "403",
    reasons.PASSWORD_REFUSED: "400",
    reasons.ROUND_TRIP_REFUSED: "403",
    reasons.PROVIDER_UNREACHABLE: "503",
    reasons.ACCOUNT_NAME_REFUSED: "400",
    reasons.LAST_WAY_IN: "409",
    reasons.HOOK_STRANGER: "404",
    reasons.HOOK_REPEATED: "202",
    reasons.HOOK_UNREADABLE: "422",
    reasons.HOOK_LIMITED: "429",
}
"""Answers by HTTP status that do not follow from the stage."""


def _answer(reason: Reason) -> str:
    """Say what the page must hold of the answer (R6)."""
    if reason in STATUS or reason.stage in {Stage.HTTP, Stage.MESSAGE}:
        return f"HTTP {STATUS.get(reason, '400')}"
    if reason.stage is Stage.LIMIT:
        return "HTTP 429"
    if reason.stage is Stage.SERVICE:
        return "HTTP 503"
    if reason.stage in {Stage.ADMIN, Stage.CLIENT}:
        return f"exit code {2 if reason is reasons.USAGE else 1}"
    return FAIL_INFO_NAMES[FAIL_INFO[reason.stage]]


def _sections(reason: Reason) -> dict[str, str]:
    parts = re.split(r"^## (.+)\n", (PAGES / f"{reason.id}.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.mark.parametrize("reason", reasons.ALL, ids=lambda reason: reason.id)
def test_each_page_has_the_four_sections(reason: Reason) -> None:
    """A page says what happened, what the device was told, what the causes may be, and what to do."""
    sections = _sections(reason)
    assert list(sections) == SECTIONS
    assert all(text.strip() for text in sections.values())


@pytest.mark.parametrize("reason", reasons.ALL, ids=lambda reason: reason.id)
def test_each_page_tells_the_answer_of_its_stage(reason: Reason) -> None:
    """What a page says that the device was told is what the code answers for that stage (R6)."""
    told = _sections(reason)["What the device was told"]
    assert _answer(reason) in " ".join(told.split())


@pytest.mark.parametrize("reason", reasons.ALL, ids=lambda reason: reason.id)
def test_the_index_lists_each_page(reason: Reason) -> None:
    """The table of all ids has one row for each, with its title."""
    index = (PAGES / "index.md").read_text(encoding="utf-8")
    assert index.count(f"| [{reason.id}]({reason.id}.md) | {reason.title} |") == 1
