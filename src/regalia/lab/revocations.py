"""The queue of certificates that Intune wants revoked."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from regalia.lab.tenant import RevocationRequest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from regalia.lab.tenant import Notification, Tenant

__all__ = ["ERROR_CODES", "download", "enqueue", "enqueue_of_device", "upload"]

ERROR_CODES: Final[Mapping[str, int]] = {
    "None": 0,
    "NonRetryableServiceException": 4000,
    "DataSerializationError": 4001,
    "ParameterDataInvalidError": 4002,
    "CryptographyError": 4003,
    "CertificateNotFoundError": 4004,
    "ConflictError": 4005,
    "NotSupportedError": 4006,
    "PayloadTooLargeError": 4007,
    "RetryableServiceException": 4100,
    "ServiceUnavailable": 4101,
    "ServiceTooBusy": 4102,
    "Authentication": 4103,
}
_RETRYABLE: Final = 4100
_NAMES: Final = {name.lower(): code for name, code in ERROR_CODES.items()}


def enqueue(
    tenant: Tenant,
    serial: str,
    issuer: str | None = None,
    ca_configuration: str | None = None,
    managed_device_id: str | None = None,
) -> RevocationRequest:
    """Ask for one certificate to be revoked."""
    context = uuid.uuid4().hex
    request = RevocationRequest(context, serial, issuer, ca_configuration, managed_device_id=managed_device_id)
    with tenant.lock:
        tenant.revocations[context] = replace(request, changed=tenant.clock())
    return request


def enqueue_of_device(tenant: Tenant, managed_device_id: str, profile_id: str | None = None) -> list[RevocationRequest]:
    """Ask for what was issued to a device, by one profile or by any, once for each certificate."""
    with tenant.lock:
        asked = {(one.serial, one.issuer) for one in tenant.revocations.values()}
        told = [one for one in tenant.notifications if _is_of(one, managed_device_id, profile_id)]
    found: list[RevocationRequest] = []
    for one in told:
        serial, issuer = str(one.body["certificateserialnumber"]), one.body.get("issuingcertificateauthority")
        if (serial, issuer) not in asked:
            asked.add((serial, issuer))
            found.append(enqueue(tenant, serial, issuer, one.body.get("caconfiguration"), managed_device_id))
    return found


def _is_of(told: Notification, managed_device_id: str, profile_id: str | None) -> bool:
    challenge = told.challenge
    if not told.succeeded or told.code != "Success" or told.problems or challenge is None:
        return False
    return challenge.managed_device_id == managed_device_id and profile_id in {None, challenge.profile_id}


def download(tenant: Tenant, most: int, issuer: str | None) -> list[RevocationRequest]:
    """Hand requests out; what was handed out and never answered comes again after the cool-down."""
    now = tenant.clock()
    pause = timedelta(seconds=tenant.unverified.cool_down_seconds)
    with tenant.lock:
        if tenant.downloaded_at is not None and now < tenant.downloaded_at + pause:
            return []
        waiting = [
            one
            for one in tenant.revocations.values()
            if one.state in {"queued", "downloaded"} and issuer in {None, one.issuer}
        ][:most]
        if waiting:
            tenant.downloaded_at = now
        for one in waiting:
            tenant.revocations[one.context] = replace(one, state="downloaded", changed=now)
    return waiting


def upload(tenant: Tenant, results: Sequence[object]) -> bool:
    """Record results, all or none: False where one is unreadable or of a request that was not handed out."""
    read = [_result(tenant, result) for result in results]
    if not all(read):
        return False
    with tenant.lock:
        for one in read:
            if one is not None:
                tenant.revocations[one.context] = one
    return True


def _result(tenant: Tenant, result: object) -> RevocationRequest | None:
    if not isinstance(result, dict):
        return None
    given: dict[str, Any] = {str(key).lower(): value for key, value in result.items()}
    request = tenant.revocations.get(str(given.get("requestcontext")))
    code = _code(given.get("errorcode"))
    succeeded = given.get("succeeded")
    if request is None or request.state == "queued" or code is None or succeeded is not (code == 0):
        return None
    final = "revoked" if code == 0 else "failed"
    state = "queued" if code >= _RETRYABLE else final
    message = given.get("errormessage")
    return replace(request, state=state, error_code=code, error_message=message, changed=tenant.clock())


def _code(value: object) -> int | None:
    """Read a code: a number as text, as one of Microsoft's libraries sends it, or its name, as the other does."""
    if not isinstance(value, str):
        return None
    if value.isdecimal():
        return int(value) if int(value) in ERROR_CODES.values() else None
    return _NAMES.get(value.lower())
