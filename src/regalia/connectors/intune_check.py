"""Whether Intune and Graph can be used: each thing that is needed is tried, by itself, and nothing changes anywhere."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final

from regalia import reasons
from regalia.connectors.intune_calls import CALLER, SCEP_VERSION
from regalia.connectors.intune_discovery import PKI_SERVICE, SCEP_SERVICE
from regalia.connectors.microsoft_http import CallError
from regalia.connectors.microsoft_token import ClientCertificate, ClientSecret
from regalia.model.connector import Checked

if TYPE_CHECKING:
    from collections.abc import Callable

    from regalia.connectors.graph_calls import GraphCalls
    from regalia.connectors.intune_calls import IntuneCalls
    from regalia.connectors.intune_discovery import IntuneAddresses
    from regalia.connectors.microsoft_http import Answer
    from regalia.connectors.microsoft_token import Credential, TokenSource
    from regalia.connectors.pace import Budget, Pace
    from regalia.connectors.settings import IntuneSettings
    from regalia.model.event import JsonValue
    from regalia.ports.outside import Clock

__all__ = ["IntuneCheck"]

_SECONDS: Final = 20.0
_SECONDS_EACH: Final = 10.0
_SKEW: Final = timedelta(minutes=2)
_SOON: Final = timedelta(days=30)
_WHERE: Final = "Entra admin center > App registrations > the application"
_CONSENT: Final = "then choose Grant admin consent"
_NEW_SECRET: Final = f"{_WHERE} > Certificates & secrets > New client secret; then `regalia connector set-secret`."
_TENANT: Final = f"{_WHERE} > Overview > Directory (tenant) ID; then `regalia connector change NAME --set tenant=ID`."
_SIGN_IN_FIX: Final = f"{_WHERE} > Overview has tenant and client id, > Certificates & secrets the credential"
_SIGN_IN_FIXES: Final = {
    7000215: _NEW_SECRET,
    7000222: _NEW_SECRET,
    700016: f"{_WHERE} > Overview > Application ID and Directory (tenant) ID; then `regalia connector change`.",
    700027: f"{_WHERE} > Certificates & secrets > Certificates > Upload certificate: that with the thumbprint above.",
    700024: "Set this machine's clock (NTP).",
    90002: _TENANT,
    900023: _TENANT,
}
"""By Entra's code, which are for people alone: nothing is decided by them."""


@dataclass(frozen=True, slots=True)
class IntuneCheck:
    """Everything that is needed to try."""

    settings: IntuneSettings
    credential: Credential
    tokens: TokenSource
    addresses: IntuneAddresses
    intune: IntuneCalls
    graph: GraphCalls
    clock: Clock
    pace: Pace
    until: float = 0.0
    """When the whole of one check ends, as `pace` counts."""

    def checked(self) -> tuple[Checked, ...]:
        """Try everything, one by one, within 20 seconds for all of it: what there is no time for is told so."""
        return replace(self, until=self.pace.seconds() + _SECONDS).tried()

    def tried(self) -> tuple[Checked, ...]:
        """The same until `until`."""
        found = [*self._credential_checked()]
        signed_in, answer = self._signed_in("Graph", self.settings.graph_scope)
        found.append(signed_in)
        if answer is not None:
            found += [self._clock_checked(answer), self._signed_in("Intune", self.settings.intune_scope)[0]]
            services = self._services()
            found += services
            if isinstance(self.credential, ClientSecret) and services[0].ok:
                found.append(self._secret_checked(self.credential))
            if any(each.ok and each.what.endswith(SCEP_SERVICE) for each in services):
                # Elsewhere there is nobody to ask, which the line before says.
                found.append(self._validation())
            found += self._reading()
        return tuple(found)

    def _budget(self) -> Budget:
        # Short for each: somebody waits for the list.
        return self.pace.enrolment(min(_SECONDS_EACH, self.until - self.pace.seconds()))

    def _tried(self, what: str, fix: str, attempt: Callable[[], str], *, optional: bool = False) -> Checked:
        try:
            return Checked(what, ok=True, detail=attempt(), optional=optional)
        except CallError as error:
            said = error.answer
            needed = said.reason in (reasons.CONNECTOR_FORBIDDEN, reasons.CONNECTOR_SERVICE_MISSING)
            shown = fix if needed else said.reason.remedy
            return Checked(what, ok=False, detail=f"{said.reason.id} {said.detail}", fix=shown, optional=optional)

    # --- signing in ---------------------------------------------------------------------------------------------------

    def _credential_checked(self) -> list[Checked]:
        if not isinstance(self.credential, ClientCertificate):
            return []
        now, ends = self.clock.now(), self.credential.certificate.not_valid_after_utc
        begins = self.credential.certificate.not_valid_before_utc
        detail = f"thumbprint {self.credential.thumbprint}, valid until {ends:%Y-%m-%d}"
        fix = f"{_WHERE} > Certificates & secrets > Certificates > Upload certificate; then store it with the connector"
        if begins <= now < ends - _SOON:
            return [Checked("credential's certificate", ok=True, detail=detail)]
        return [Checked("credential's certificate", ok=False, detail=detail, fix=fix, optional=begins <= now < ends)]

    def _secret_checked(self, credential: ClientSecret) -> Checked:
        """Say when the client secret ends, as its application tells where Graph shows it."""
        what, path = "client secret", f"/v1.0/applications(appId='{self.settings.client_id}')"
        try:
            found = self.graph.one("application", f"{path}?$select=passwordCredentials", self._budget())
        except CallError:
            # It signed in, so that nothing is missing.
            found = None
        ends = None if found is None else _end_of(credential.value, found.body.get("passwordCredentials"))
        if ends is None:
            return Checked(what, ok=True, detail="Entra ID does not tell when it ends", optional=True)
        fix = f"{_WHERE} > Certificates & secrets > New client secret; then `regalia connector set-secret`"
        ok = ends - self.clock.now() > _SOON
        return Checked(what, ok=ok, detail=f"valid until {ends:%Y-%m-%d}", fix="" if ok else fix, optional=True)

    def _signed_in(self, name: str, scope: str) -> tuple[Checked, Answer | None]:
        what = f"sign-in with Entra ID for {name}"
        try:
            answer = self.tokens.asked(scope, self._budget())
        except CallError as error:
            said = error.answer
            refused = said.reason is reasons.CONNECTOR_SIGN_IN
            shown = _SIGN_IN_FIXES.get(error.code, _SIGN_IN_FIX) if refused else said.reason.remedy
            return Checked(what, ok=False, detail=f"{said.reason.id} {said.detail}", fix=shown), None
        return Checked(what, ok=True, detail=answer.ids()), answer

    def _clock_checked(self, answer: Answer) -> Checked:
        theirs = _date(answer.headers.get("date", ""))
        if theirs is None:
            return Checked("clock", ok=True, detail="Entra ID told no time", optional=True)
        off = abs(theirs - self.clock.now())
        detail = f"{int(off.total_seconds())} seconds off Entra ID's"
        return Checked(
            "clock", ok=off <= _SKEW, detail=detail, fix="" if off <= _SKEW else "Set this machine's clock (NTP)."
        )

    # --- Intune -------------------------------------------------------------------------------------------------------

    def _services(self) -> list[Checked]:
        fix = _permission("Microsoft Graph", "Application.Read.All")
        known: dict[str, str] = {}

        def discover() -> str:
            found, twice = self.addresses.asked(self._budget())
            known.update(found)
            return f"named more than once, of which the first is used: {', '.join(twice)}" if twice else ""

        first = self._tried("Graph Application.Read.All", fix, discover)
        if not first.ok:
            return [first]
        offered = "See that the tenant has a licence of Intune and that the permission has admin consent."
        return [first, *(self._offered(name, known, offered) for name in (SCEP_SERVICE, PKI_SERVICE))]

    @staticmethod
    def _offered(service: str, known: dict[str, str], fix: str) -> Checked:
        address = known.get(service.lower())
        # Without the second there is no revocation feed; enrolment goes on.
        optional = service == PKI_SERVICE
        if address is None:
            return Checked(f"Intune {service}", ok=False, detail="Intune does not name it", fix=fix, optional=optional)
        return Checked(f"Intune {service}", ok=True, detail=address, optional=optional)

    def _validation(self) -> Checked:
        """Ask Intune about what is no request at all: whatever it says of that, it listened."""

        def ask() -> str:
            nothing = {"transactionId": "regalia-check", "certificateRequest": "AAAA", "callerInfo": CALLER}
            answer = self.intune.post(
                SCEP_SERVICE, SCEP_VERSION, "ScepActions/validateRequest", {"request": dict(nothing)}, self._budget()
            )
            if not isinstance(answer.body.get("code"), str):
                raise CallError.of(reasons.CONNECTOR_GARBLED, f"no verdict came, {answer.ids()}")
            return answer.ids()

        return self._tried("Intune scep_challenge_provider", _permission("Intune", "scep_challenge_provider"), ask)

    # --- Graph --------------------------------------------------------------------------------------------------------

    def _reading(self) -> list[Checked]:
        settings = self.settings
        version = "beta" if settings.management_state else "v1.0"
        wanted = (
            (
                "DeviceManagementManagedDevices.Read.All",
                f"/{version}/deviceManagement/managedDevices",
                settings.devices != "none",
            ),
            ("Device.Read.All", "/v1.0/devices", settings.devices == "intune-and-entra"),
            ("User.Read.All", "/v1.0/users", settings.users),
            ("IdentityRiskyUser.Read.All", settings.risky_users, settings.users and settings.risk),
            ("GroupMember.Read.All", "/v1.0/groups", bool(settings.groups)),
        )
        return [self._read(name, path) for name, path, needed in wanted if needed]

    def _read(self, permission: str, path: str) -> Checked:
        def ask() -> str:
            page = self.graph.page(permission, f"{path}?$top=1&$select=id", self._budget())
            return f"request-id {page.request_id}" if page is not None and page.request_id else ""

        return self._tried(f"Graph {permission}", _permission("Microsoft Graph", permission), ask)


def _permission(api: str, name: str) -> str:
    return f"{_WHERE} > API permissions > Add a permission > {api} > Application permissions > {name}; {_CONSENT}."


def _date(text: str) -> datetime | None:
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    return at if at.tzinfo is not None else None


def _end_of(secret: str, listed: JsonValue) -> datetime | None:
    """Read when a secret ends; Entra ID shows its first three characters. Of several, the first to end counts."""
    entries = [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
    fitting = [each for each in entries if each.get("hint") == secret[:3]] or entries
    ends = [end for each in fitting if (end := _moment(each.get("endDateTime"))) is not None]
    return min(ends, default=None)


def _moment(text: JsonValue) -> datetime | None:
    try:
        at = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return at if at is not None and at.tzinfo is not None else None
