"""Intune as an MDM whose partner CA this is: it vouches for requests, is told of outcomes, and lists what to revoke."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from datetime import UTC
from typing import TYPE_CHECKING, Final

from regalia import reasons
from regalia.connectors.intune_calls import CALLER, FEED_VERSION, SCEP_VERSION, IntuneCalls, base64_of
from regalia.connectors.intune_codes import SUCCESS, refused
from regalia.connectors.intune_discovery import PKI_SERVICE, SCEP_SERVICE
from regalia.connectors.microsoft_http import CallError
from regalia.errors import Stage
from regalia.model.connector import Allowed, NotAsked, Refused, RevocationWish, Told
from regalia.model.names import SanKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from regalia.connectors.microsoft_http import Answer
    from regalia.connectors.pace import Pace
    from regalia.connectors.settings import IntuneSettings
    from regalia.model.connector import Asked, IssuedNotice, RefusedNotice, RevocationResult, Verdict
    from regalia.model.event import JsonValue
    from regalia.model.names import Names

__all__ = ["IntuneService", "serials_of"]

_SID_URI: Final = "tag:microsoft.com,2022-09-14:sid:"
_GUID: Final = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")
_LONGEST_DESCRIPTION: Final = 255
_LONGEST_CONTEXT: Final = 8_192
_LONGEST_SERIAL: Final = 200
_MOST_SERIAL: Final = 1 << 160
"""RFC 5280 §4.1.2.2: twenty octets at most."""
_HEX: Final = re.compile(r"(?:0[xX])?([0-9A-Fa-f]+)")
_DECIMAL: Final = re.compile(r"[0-9]+")


class IntuneService:
    """See `ports.Authorizer`, `ports.Notifier` and `ports.RevocationFeed`."""

    def __init__(self, calls: IntuneCalls, settings: IntuneSettings, pace: Pace) -> None:
        self._calls = calls
        self._settings = settings
        self._pace = pace

    @property
    def confirms(self) -> bool:
        """Whether the device waits for Intune."""
        return self._settings.confirm

    # --- an enrolment -------------------------------------------------------------------------------------------------

    def authorise(self, asked: Asked, *, within: float) -> Verdict:
        """Ask Intune about this request: its challenge, and whether it is what the profile says."""
        request: dict[str, JsonValue] = {
            "transactionId": asked.transaction_id,
            "certificateRequest": base64_of(asked.csr),
            "callerInfo": CALLER,
        }
        told = self._told("ScepActions/validateRequest", {"request": request}, asked.challenge, within)
        if not isinstance(told, Answered):
            return told
        names = _vouched(asked.names)
        device, facts = self._device(names)
        ids = told.answer.ids()
        return Allowed(device, names=names, note=f"Intune validateRequest: Success, {ids}", facts=facts)

    def issued(self, notice: IssuedNotice, *, within: float) -> Told | Refused | NotAsked:
        """Tell Intune of a certificate; `Refused` where it says anything but Success."""
        serial = f"{notice.serial:X}"
        not_after = notice.not_after.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds")
        notification: dict[str, JsonValue] = {
            "transactionId": notice.transaction_id,
            "certificateRequest": base64_of(notice.csr),
            "certificateThumbprint": hashlib.sha1(notice.certificate, usedforsecurity=False).hexdigest().upper(),
            "certificateSerialNumber": serial.zfill(len(serial) + len(serial) % 2),
            "certificateExpirationDateUtc": f"{not_after}Z",
            "issuingCertificateAuthority": notice.issuer,
            "callerInfo": CALLER,
            "caConfiguration": notice.authority,
            "certificateAuthority": notice.issuer,
        }
        told = self._told("ScepActions/successNotification", {"notification": notification}, None, within)
        if isinstance(told, Refused):
            return replace(told, reason=reasons.CONNECTOR_CERTIFICATE_REFUSED)
        return told if isinstance(told, NotAsked) else Told(f"Intune took note: {told.answer.ids()}")

    def refused(self, notice: RefusedNotice, *, within: float) -> Told | Refused | NotAsked:
        """Tell Intune of a request that came to nothing here."""
        text = f"{notice.reason}: {notice.detail}" if notice.detail else str(notice.reason)
        policy = notice.reason.stage is Stage.POLICY
        notification: dict[str, JsonValue] = {
            "transactionId": notice.transaction_id,
            "certificateRequest": base64_of(notice.csr),
            "hResult": _signed(self._settings.hresult_policy if policy else self._settings.hresult),
            "errorDescription": text[:_LONGEST_DESCRIPTION],
            "callerInfo": CALLER,
        }
        told = self._told("ScepActions/failureNotification", {"notification": notification}, None, within)
        return told if isinstance(told, Refused | NotAsked) else Told(f"Intune took note: {told.answer.ids()}")

    def _told(
        self, suffix: str, document: dict[str, JsonValue], challenge: str | None, within: float
    ) -> Answered | Refused | NotAsked:
        """Read the one form of answer that the three calls have."""
        try:
            answer = self._calls.post(SCEP_SERVICE, SCEP_VERSION, suffix, document, self._pace.enrolment(within))
        except CallError as error:
            return error.answer
        code, description = answer.body.get("code"), answer.body.get("errorDescription", ...)
        # Microsoft's own client takes no answer without a description for one; null is what another one may send.
        if not isinstance(code, str) or not code or not (description is None or isinstance(description, str)):
            detail = f"Intune {suffix.rpartition('/')[2]}: HTTP 200 without a verdict, {answer.ids()}"
            return NotAsked(reasons.CONNECTOR_GARBLED, detail)
        if code == SUCCESS:
            return Answered(answer)
        found = refused(code, description or "", challenge)
        return replace(found, detail=f"{found.detail}; {answer.ids()}")

    def _device(self, names: Names) -> tuple[str | None, dict[str, JsonValue]]:
        """Say which device it is, where the profile puts an id of it into names that Intune compared."""
        prefix = self._settings.device_uri.lower()
        uris = [san.value.lower() for san in names.sans if san.kind is SanKind.URI]
        found = {uri.removeprefix(prefix).strip("/") for uri in uris if prefix and uri.startswith(prefix)}
        name = (names.cn or "").lower()
        if self._settings.common_name == "intune-device-id":
            found.add(name)
        facts: dict[str, JsonValue] = {}
        if self._settings.common_name == "entra-device-id" and _GUID.fullmatch(name):
            facts["entra_device_id"] = name
        # Two different ids name no device at all.
        device = found.pop() if len(found) == 1 else ""
        return (device if _GUID.fullmatch(device) else None), facts

    # --- what it wants revoked ----------------------------------------------------------------------------------------

    def wishes(self, most: int) -> tuple[RevocationWish, ...] | NotAsked:
        """Fetch what Intune wants revoked."""
        parameters: dict[str, JsonValue] = {
            "maxRequests": max(1, min(most, self._settings.feed_most)),
            "issuerName": self._settings.feed_issuer,
        }
        suffix = "CertificateAuthorityRequests/downloadRevocationRequests"
        try:
            answer = self._fed(suffix, {"downloadParameters": parameters})
        except CallError as error:
            return error.answer
        items = answer.body.get("value")
        wishes = [_wish(item) for item in items] if isinstance(items, list) else [None]
        good = tuple(wish for wish in wishes if wish is not None)
        if wishes and not good:
            return NotAsked(reasons.CONNECTOR_GARBLED, f"Intune downloadRevocationRequests: no list, {answer.ids()}")
        return good

    def report(self, results: Sequence[RevocationResult]) -> Told | NotAsked:
        """Report what became of wishes, in as many calls as it takes."""
        suffix = "CertificateAuthorityRequests/uploadRevocationResults"
        notes: list[str] = []
        size = self._settings.feed_most
        for start in range(0, len(results), size):
            some: list[JsonValue] = [_result(each) for each in results[start : start + size]]
            try:
                answer = self._fed(suffix, {"results": some})
            except CallError as error:
                return error.answer
            if answer.body.get("value") is not True:
                return NotAsked(reasons.CONNECTOR_GARBLED, f"Intune kept no result, {answer.ids()}")
            notes.append(answer.ids())
        return Told("; ".join(notes))

    def _fed(self, suffix: str, document: dict[str, JsonValue]) -> Answer:
        budget = self._pace.background(self._settings.seconds)
        return self._calls.post(PKI_SERVICE, FEED_VERSION, suffix, document, budget)


class Answered:
    """Intune said Success."""

    __slots__ = ("answer",)

    def __init__(self, answer: Answer) -> None:
        self.answer = answer


def _vouched(names: Names) -> Names:
    """Leave out SIDs: that Intune compared a request with a profile makes no SID the device's own (POL-2)."""
    sans = frozenset(
        san for san in names.sans if not (san.kind is SanKind.URI and san.value.lower().startswith(_SID_URI))
    )
    return replace(names, sans=sans, sid=None)


def _signed(number: int) -> int:
    """Write 32 bits as a signed number, as Microsoft's client does."""
    return number - (1 << 32) if number >= 1 << 31 else number


def serials_of(text: str) -> tuple[int, ...]:
    """Say what a serial number may mean: hexadecimal, as we told it, or decimal."""
    plain = re.sub(r"[\s:-]", "", text)
    if len(plain) > _LONGEST_SERIAL:
        return ()
    found = _HEX.fullmatch(plain)
    numbers = [int(found[1], 16)] if found else []
    if _DECIMAL.fullmatch(plain):
        numbers.append(int(plain))
    return tuple(dict.fromkeys(number for number in numbers if 0 < number < _MOST_SERIAL))


def _wish(item: JsonValue) -> RevocationWish | None:
    """Read one; None where not even its handle can be read, without which nothing can be reported."""
    if not isinstance(item, dict):
        return None
    context, serial = item.get("requestContext"), item.get("serialNumber")
    if not isinstance(context, str) or not 0 < len(context) <= _LONGEST_CONTEXT:
        return None
    issuer, authority = item.get("issuerName"), item.get("caConfiguration")
    return RevocationWish(
        context,
        serials_of(serial) if isinstance(serial, str) else (),
        issuer if isinstance(issuer, str) and issuer else None,
        authority if isinstance(authority, str) and authority else None,
        {name: value for name, value in item.items() if name != "requestContext"},
    )


def _result(result: RevocationResult) -> dict[str, JsonValue]:
    if result.done:
        return {"requestContext": result.context, "succeeded": True, "errorCode": "0"}
    # CertificateNotFoundError, RetryableServiceException, NonRetryableServiceException.
    code = "4004" if not result.found else "4100" if result.retry else "4000"
    text = result.detail[:_LONGEST_DESCRIPTION]
    return {"requestContext": result.context, "succeeded": False, "errorCode": code, "errorMessage": text}
