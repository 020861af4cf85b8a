"""A web hook that vouches: any system that can judge a request, say who the device is, and be told of outcomes.

Each message is a signed POST (CON-6). What is not clearly a yes or a no is neither (CON-5): another status than 200, an
unknown word, a name twice, a field that nobody knows.
"""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Final, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from regalia import reasons
from regalia.connectors.microsoft_http import Call, CallError, JsonCalls
from regalia.connectors.report_forms import DeviceForm, Text, UserForm, shown
from regalia.connectors.settings import ConnectorSettings, read_settings
from regalia.errors import AdminError
from regalia.model import Names, San, SanKind
from regalia.model.connector import Allowed, Checked, NotAsked, Refused, Told
from regalia.net.url import read_url
from regalia.net.web_hook import ID_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER
from regalia.ra.alert_message import signature_of
from regalia.wire.event import time_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from regalia.connectors.microsoft_http import Answer
    from regalia.connectors.pace import Budget, Pace
    from regalia.model.connector import Asked, Connector, IssuedNotice, RefusedNotice, Verdict
    from regalia.model.event import JsonValue
    from regalia.ports.outgoing import Outgoing
    from regalia.ports.outside import Clock, Entropy

__all__ = ["TellingWebHookLink", "WebHookLink", "WebHookSettings", "web_hook_link"]

_LEAST: Final = 32
_MOST: Final = 256
_CHECK_SECONDS: Final = 10.0
_ANSWER_OCTETS: Final = 64 << 10
_LONGEST_WORD: Final = 80
"""As long as a code may be. No word of a sentence is longer; a part of a challenge may be."""


def _hook_url(text: str) -> str:
    try:
        url = read_url(text)
    except AdminError as error:
        raise ValueError(error.detail) from None
    if url.scheme != "https":
        raise ValueError("requests carry challenges: it has to begin with https://")
    return text


class WebHookSettings(ConnectorSettings):
    """A system of your own that is asked by web hook."""

    url: Annotated[str, Field(max_length=500), AfterValidator(_hook_url)]
    """Where requests are sent to, with https."""
    outcomes: bool = False
    """Whether it is told what became of the requests that it allowed."""
    confirm: bool = False
    """Whether a device gets its certificate only when the web hook took note of it."""


# --- what is answered -------------------------------------------------------------------------------------------------

_Kind = Literal["dns", "email", "uri", "ip", "upn", "permanent-identifier", "hardware-module"]


class _San(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    kind: _Kind
    value: Text


class _Names(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    cn: Text | None = None
    sans: Annotated[list[_San], Field(max_length=50)] = []

    def names(self) -> Names:
        return Names(self.cn, frozenset(San(SanKind(each.kind), each.value) for each in self.sans))


class _Yes(BaseModel):
    model_config = ConfigDict(extra="forbid")
    verdict: Literal["allow"]
    device: DeviceForm | None = None
    user: UserForm | None = None
    names: _Names = _Names()
    fresh: Annotated[bool, Field(strict=True)] = False
    note: Annotated[str, StringConstraints(max_length=500)] = ""


class _No(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    verdict: Literal["refuse"]
    code: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,80}$")] = "refused"
    detail: Annotated[str, StringConstraints(max_length=500)] = ""
    security: bool = False


def _verdict(name: str, body: Mapping[str, JsonValue]) -> Verdict:
    word = body.get("verdict")
    try:
        if word == "allow":
            return _allowed(name, _Yes.model_validate(dict(body)))
        if word == "refuse":
            no = _No.model_validate(dict(body))
            hint = reasons.HOOK_VERDICT_NO.remedy
            return Refused(reasons.HOOK_VERDICT_NO, no.code, no.detail, hint, security=no.security)
    except ValidationError as error:
        wrong = sorted({".".join(map(str, each["loc"])) for each in error.errors()})
        return NotAsked(reasons.CONNECTOR_GARBLED, f"{name}: {shown(', '.join(wrong), 300)}")
    return NotAsked(reasons.CONNECTOR_GARBLED, f"{name}: neither allow nor refuse")


def _scrubbed(verdict: Verdict, secrets: tuple[str, ...]) -> Verdict:
    """Take out of a verdict's own words what the system repeats of the question: they are logged (CHA-4)."""

    def clean(text: str) -> str:
        for secret in secrets:
            text = text.replace(secret, "[secret]")
        words = ("[…]" if len(word) > _LONGEST_WORD else word for word in text.split())
        return " ".join(shown(word, _LONGEST_WORD) for word in words)

    match verdict:
        case Allowed():
            return replace(verdict, note=clean(verdict.note))
        case Refused():
            return replace(verdict, code=clean(verdict.code), detail=clean(verdict.detail))
    return verdict


def _allowed(name: str, yes: _Yes) -> Allowed:
    source = f"web hook {name}"
    return Allowed(
        yes.device.id if yes.device is not None else None,
        yes.user.id if yes.user is not None else None,
        yes.names.names(),
        fresh=yes.fresh,
        note=yes.note or "the web hook allows it",
        device_report=yes.device.reported(source) if yes.device is not None else None,
        user_report=yes.user.reported(source) if yes.user is not None else None,
    )


# --- the link ---------------------------------------------------------------------------------------------------------


class WebHookLink:
    """An `Authorizer`."""

    def __init__(
        self,
        *,
        name: str,
        settings: WebHookSettings,
        secret: bytes,
        calls: JsonCalls,
        clock: Clock,
        entropy: Entropy,
        pace: Pace,
    ) -> None:
        self._name = name
        self._settings = settings
        self._secret = secret
        self._calls = calls
        self._clock = clock
        self._entropy = entropy
        self._pace = pace

    @property
    def name(self) -> str:
        """The connector's name."""
        return self._name

    def check(self) -> tuple[Checked, ...]:
        """Send a question of type `check`, which any answer of 200 with a JSON object passes."""
        answer = self._asked("check", {}, self._pace.background(_CHECK_SECONDS))
        what = "web hook answers"
        if isinstance(answer, NotAsked):
            fix = "See that the URL is right, and that it takes POST of JSON with our signature."
            return (Checked(what, ok=False, detail=f"{answer.reason}: {answer.detail}", fix=fix),)
        return (Checked(what, ok=True, detail=answer.ids()),)

    def authorise(self, asked: Asked, *, within: float) -> Verdict:
        """See `ports.Authorizer`."""
        body: dict[str, JsonValue] = {
            "endpoint": asked.endpoint,
            "group": asked.group,
            "transaction_id": asked.transaction_id,
            "names": {
                "cn": asked.names.cn,
                "sans": [{"kind": san.kind.value, "value": san.value} for san in sorted(asked.names.sans)],
            },
            "key_sha256": asked.key_sha256.hex(),
            "csr": base64.b64encode(asked.csr).decode(),
            "challenge": asked.challenge,
            "source": asked.source,
        }
        answer = self._asked("authorise", body, self._pace.enrolment(within))
        if isinstance(answer, NotAsked):
            return answer
        secrets = tuple(each for each in (asked.challenge, self._secret.decode()) if each)
        return _scrubbed(_verdict(self._name, answer.body), secrets)

    def _asked(self, kind: str, body: Mapping[str, JsonValue], budget: Budget) -> Answer | NotAsked:
        """Send one message; an answer has the status 200."""
        now = self._clock.now()
        message_id = str(UUID(bytes=self._entropy.octets(16), version=4))
        message = {"id": message_id, "type": kind, "version": 1, "at": time_text(now), "connector": self._name}
        octets = json.dumps({**message, **body}, separators=(",", ":")).encode()
        timestamp = int(now.timestamp())
        headers = {
            "Content-Type": "application/json",
            ID_HEADER: message_id,
            TIMESTAMP_HEADER: str(timestamp),
            SIGNATURE_HEADER: signature_of(self._secret, timestamp, octets),
        }
        call = Call(f"web hook {self._name}", "POST", self._settings.url, headers, octets, _ANSWER_OCTETS)
        try:
            answer = self._calls.call(call, budget)
        except CallError as error:
            return error.answer
        if answer.status != 200:
            return NotAsked(reasons.CONNECTOR_GARBLED, f"{call.what}: HTTP {answer.status}, {answer.ids()}")
        return answer


class TellingWebHookLink(WebHookLink):
    """The same as a `Notifier`, where its settings want outcomes."""

    @property
    def confirms(self) -> bool:
        """See `ports.Notifier`."""
        return self._settings.confirm

    def issued(self, notice: IssuedNotice, *, within: float) -> Told | Refused | NotAsked:
        """See `ports.Notifier`."""
        body: dict[str, JsonValue] = {
            "transaction_id": notice.transaction_id,
            "serial": f"{notice.serial:x}",
            "certificate": base64.b64encode(notice.certificate).decode(),
            "not_after": time_text(notice.not_after),
            "issuer": notice.issuer,
            "authority": notice.authority,
        }
        return self._told("issued", body, within)

    def refused(self, notice: RefusedNotice, *, within: float) -> Told | Refused | NotAsked:
        """See `ports.Notifier`."""
        body: dict[str, JsonValue] = {
            "transaction_id": notice.transaction_id,
            "reason": notice.reason.id,
            "title": notice.reason.title,
            "detail": notice.detail,
        }
        return self._told("refused", body, within)

    def _told(self, kind: str, body: Mapping[str, JsonValue], within: float) -> Told | Refused | NotAsked:
        answer = self._asked(kind, body, self._pace.enrolment(within))
        if isinstance(answer, NotAsked):
            return answer
        if answer.body.get("verdict") == "refuse":
            verdict = _verdict(self._name, answer.body)
            return verdict if isinstance(verdict, Refused | NotAsked) else Told()
        if answer.body.get("noted") is not True:
            return NotAsked(reasons.CONNECTOR_GARBLED, f"web hook {self._name}: neither noted nor refused")
        return Told(answer.ids())


def web_hook_link(
    connector: Connector, secret: str, outgoing: Outgoing, *, clock: Clock, entropy: Entropy, pace: Pace
) -> WebHookLink:
    """Make one. Raises `AdminError` CON-031, CON-032."""
    settings = read_settings(WebHookSettings, connector.settings)
    if settings.confirm and not settings.outcomes:
        raise AdminError(reasons.CONNECTOR_SETTINGS_REFUSED, "confirm: it needs `outcomes`")
    if not (_LEAST <= len(secret) <= _MOST and secret.isprintable() and secret.isascii()):
        detail = f"a web hook's key has {_LEAST} to {_MOST} printable ASCII characters"
        raise AdminError(reasons.CONNECTOR_SECRET_REFUSED, detail)
    made = TellingWebHookLink if settings.outcomes else WebHookLink
    return made(
        name=connector.name,
        settings=settings,
        secret=secret.encode(),
        calls=JsonCalls(outgoing, clock, entropy),
        clock=clock,
        entropy=entropy,
        pace=pace,
    )
