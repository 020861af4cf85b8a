"""An MDM is set up for an endpoint: its own labels in their order, our values, files to import, the first device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode

from regalia.console.enrolments import state_of
from regalia.console.look import View
from regalia.model.fleet import Platform
from regalia.verbs import connector, endpoint_values, enrolment
from regalia.verbs import endpoint as endpoints
from regalia.verbs.mdm_form import PLATFORMS
from regalia.web.answers import NO_STORE, Answer, answer
from regalia.words import marked

if TYPE_CHECKING:
    from collections.abc import Sequence

    from regalia.console.desk import Routes, Shown
    from regalia.console.look import Look
    from regalia.verbs.connector import ConnectorTested
    from regalia.verbs.endpoint_values import EndpointValues

__all__ = ["ROUTES", "setup_links", "setup_path"]

_FEW: Final = 5
_TITLES: Final = {
    Platform.WINDOWS: marked("Windows computers"),
    Platform.IOS: marked("iPhones and iPads"),
    Platform.MACOS: marked("Macs"),
    Platform.ANDROID: marked("Android devices"),
}
_CONNECTION, _FIRST = "connection", "first"
_STEPS: Final = {
    _CONNECTION: marked("Connection and permissions"),
    "trust": marked("Trusted certificates"),
    "scep": marked("SCEP certificate"),
    "wifi": marked("Wi-Fi"),
    _FIRST: marked("First device"),
}
_SYNC: Final = {
    Platform.WINDOWS: marked("On the computer: Settings, Accounts, Access work or school, Info, Sync."),
    Platform.IOS: marked("On the device: Company Portal, Devices, this device, Check status."),
    Platform.MACOS: marked("On the Mac: Company Portal, Devices, this Mac, Check status."),
    Platform.ANDROID: marked("On the device: Company Portal or Intune, this device, Check device settings."),
}
_REACH: Final = marked("See that the device reaches the address above, and that its MDM has sent it the profile.")


@dataclass(frozen=True, slots=True)
class _Step:
    """One step, as the rail shows it."""

    key: str
    label: str
    href: str
    done: bool


def setup_path(name: str, platform: Platform, step: str = "") -> str:
    """Say where a platform's set-up is."""
    query = {"platform": platform.value, **({"step": step} if step else {})}
    return f"/endpoints/{name}/setup?{urlencode(query)}"


def setup_links(look: Look, name: str) -> Sequence[tuple[str, str]]:
    """List the platforms that there are values for: what each is called, and where."""
    return [(look.words(_TITLES[each]), setup_path(name, each)) for each in PLATFORMS]


def _show(look: Look) -> Shown:
    return _page(look, None)


def _test(look: Look) -> Shown:
    """Try everything that the connector needs, one by one."""
    found = look.ask(endpoints.SHOW, name=look.place["name"])
    return _page(look, look.ask(connector.TEST, name=found.connector))


def _platform(look: Look) -> str:
    return look.query.get("platform", Platform.WINDOWS.value)


def _page(look: Look, tested: ConnectorTested | None) -> View:
    values = look.ask(endpoint_values.VALUES, name=look.place["name"], platform=_platform(look))
    asked = _asked(look, values.endpoint)
    steps = _steps(look, values, asked=bool(asked))
    keys = [each.key for each in steps]
    wanted = _CONNECTION if tested is not None else look.query.get("step", "")
    current = keys.index(wanted) if wanted in keys else 0
    title = look.words("%(devices)s in Intune") if values.management else look.words("%(devices)s in your MDM")
    return View(
        "setup.html",
        title=title % {"devices": look.words(_TITLES[values.platform])},
        lead=look.words("Copy these values, from top to bottom. The first request appears here as it arrives."),
        here="/connectors" if values.management else "/groups",
        crumbs=(
            (look.words("Groups"), "/groups"),
            (values.group, f"/groups/{values.group}"),
            (values.endpoint, f"/endpoints/{values.endpoint}"),
            (look.words(_TITLES[values.platform]), ""),
        ),
        values={
            "record": values,
            "platforms": [
                (look.words(_TITLES[each]), setup_path(values.endpoint, each, wanted), each is values.platform)
                for each in PLATFORMS
            ],
            "steps": steps,
            "current": steps[current],
            "previous": steps[current - 1] if current else None,
            "following": steps[current + 1] if current + 1 < len(steps) else None,
            "form": next((each for each in values.forms if each.key == keys[current]), None),
            "tested": tested,
            "asked": asked,
            "sync": look.words(_SYNC[values.platform] if values.management else _REACH),
        },
        # What somebody is typing is not taken from them, and a test is not repeated.
        refresh=10 if keys[current] == _FIRST else 0,
    )


def _steps(look: Look, values: EndpointValues, *, asked: bool) -> tuple[_Step, ...]:
    keys = [each.key for each in values.forms]
    if values.connector is not None and look.may(connector.TEST):
        keys.insert(0, _CONNECTION)
    return tuple(
        _Step(key, look.words(_STEPS[key]), setup_path(values.endpoint, values.platform, key), key == _FIRST and asked)
        for key in (*keys, _FIRST)
    )


def _asked(look: Look, name: str) -> list[tuple[object, str, str]]:
    if not look.may(enrolment.LIST):
        return []
    found = look.ask(enrolment.LIST, endpoint=name, limit=_FEW).items
    return [(each, *state_of(look, each.state)) for each in found]


def _file(look: Look) -> Answer:
    """Hand a file out; what a form sends goes into it."""
    given = {name: look.form.get(name) or None for name in ("challenge", "common_name")}
    file = look.place["file"]
    made = look.ask(endpoint_values.FILE, name=look.place["name"], platform=_platform(look), file=file, **given)
    disposition = (b"content-disposition", f'attachment; filename="{made.name}"'.encode("ascii"))
    return answer(200, made.octets, made.media_type.encode("ascii"), NO_STORE, disposition)


ROUTES: Final[Routes] = {
    "/endpoints/{name}/setup": {"GET": _show, "POST": _test},
    "/endpoints/{name}/setup/{file}": {"GET": _file, "POST": _file},
}
