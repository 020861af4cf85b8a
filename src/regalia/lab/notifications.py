"""What a CA tells of an outcome: kept, and compared with what was validated and with what each field may be."""

from __future__ import annotations

import base64
import binascii
import re
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from regalia.lab.tenant import Notification

if TYPE_CHECKING:
    from collections.abc import Mapping

    from regalia.lab.tenant import Tenant

__all__ = ["noted"]

_THUMBPRINT: Final = re.compile(r"[0-9A-Fa-f]{40}")
_SERIAL: Final = re.compile(r"[0-9A-Fa-f]{1,42}")
"""Upper- or lower-case hex, or decimal, which is hex to look at: clients differ, and nothing is published."""
_EXPIRY: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,7})?Z")
_LONGEST_DESCRIPTION: Final = 255


def noted(tenant: Tenant, body: Mapping[str, Any], *, succeeded: bool) -> Notification:
    """Keep one notification, whose keys are in lower case, with its answer and all that is wrong with it."""
    transaction_id = str(body["transactionid"])
    validation = tenant.validated(transaction_id)
    problems = _of_request(body) + (_of_success(body) if succeeded else _of_failure(body))
    if validation is None:
        code = tenant.unverified.unknown_transaction
    elif _octets(body.get("certificaterequest")) != validation.request:
        code = "CertificateRequestDecodingFailed"
    else:
        code = "Success"
    challenge = validation.challenge if validation else None
    told = Notification(succeeded, transaction_id, dict(body), code, tuple(problems), challenge, tenant.clock())
    with tenant.lock:
        tenant.notifications.append(told)
    return told


def _octets(value: object) -> bytes | None:
    try:
        return base64.b64decode(value, validate=True) if isinstance(value, str) else None
    except (binascii.Error, ValueError):
        return None


def _of_request(body: Mapping[str, Any]) -> list[str]:
    problems = [] if _octets(body.get("certificaterequest")) else ["certificateRequest is no base64"]
    return problems + ([] if _is_text(body.get("callerinfo")) else ["callerInfo is missing"])


def _of_success(body: Mapping[str, Any]) -> list[str]:
    problems = [
        f"{name} is missing or of another form"
        for name, form in (("certificateThumbprint", _THUMBPRINT), ("certificateSerialNumber", _SERIAL))
        if not form.fullmatch(str(body.get(name.lower())))
    ]
    if not _is_time(body.get("certificateexpirationdateutc")):
        problems.append("certificateExpirationDateUtc is no time in UTC")
    if not _is_text(body.get("issuingcertificateauthority")):
        problems.append("issuingCertificateAuthority is missing")
    optional = ("caConfiguration", "certificateAuthority")
    return problems + [f"{name} is no text" for name in optional if not isinstance(body.get(name.lower()), str | None)]


def _of_failure(body: Mapping[str, Any]) -> list[str]:
    problems = []
    result = body.get("hresult")
    # Signed as Microsoft's library sends it, or unsigned as the same number is written in headers.
    if not isinstance(result, int) or isinstance(result, bool) or not -(2**31) <= result < 2**32:
        problems.append("hResult is no 32-bit number")
    description = body.get("errordescription")
    if not isinstance(description, str) or len(description) > _LONGEST_DESCRIPTION:
        problems.append(f"errorDescription is text of at most {_LONGEST_DESCRIPTION} characters")
    return problems


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _is_time(value: object) -> bool:
    if not isinstance(value, str) or not _EXPIRY.fullmatch(value):
        return False
    try:
        datetime.fromisoformat(value[:19])
    except ValueError:
        return False
    return True
