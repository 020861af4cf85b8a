"""System health: alerts and jobs; and settings: who may do what, tokens, and whom alerts are told to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from regalia.console.acts import Act, Ask, act_path
from regalia.console.look import View
from regalia.verbs import admin, alert, calendar, job, token
from regalia.words import marked

if TYPE_CHECKING:
    from collections.abc import Mapping

    from regalia.console.desk import Routes, Shown
    from regalia.console.look import Look

__all__ = ["ACTS", "ROUTES"]

_HEALTH: Final = "/health"
_SETTINGS: Final = "/settings"
_JOBS: Final = {"ok": "ok", "failed": "bad", "running": "waiting", "wanted": "waiting"}
_TOKENS: Final = {"live": "ok", "expired": "over", "revoked": "ended"}


def _health(look: Look) -> Shown:
    alerts = look.ask(alert.LIST, limit=50).items
    jobs = look.ask(job.LIST, limit=200).items if look.may(job.LIST) else ()
    open_ones = [each for each in alerts if each.state is alert.AlertState.OPEN]
    return View(
        "health.html",
        title=look.words("System health"),
        lead=look.words("Nothing is wrong that anything here could tell.")
        if not open_ones
        else look.words("Something is wrong: each alert says what to do."),
        here=_HEALTH,
        values={
            "alerts": open_ones,
            "over": [each for each in alerts if each not in open_ones],
            "jobs": [(each, _JOBS.get(each.state.value, "unknown")) for each in jobs],
            "may_run": look.may(job.RUN),
            "may_acknowledge": look.may(alert.ACKNOWLEDGE),
            "act": act_path,
            "run": job.RUN,
            "acknowledge": alert.ACKNOWLEDGE,
        },
    )


def _settings(look: Look) -> Shown:
    people = look.ask(admin.LIST, limit=200).items if look.may(admin.LIST) else ()
    targets = look.ask(alert.TARGETS, limit=100).items if look.may(alert.TARGETS) else ()
    tokens = look.ask(token.LIST, limit=100).items if look.may(token.LIST) else ()
    return View(
        "settings.html",
        title=look.words("Settings"),
        lead=look.words("Who may do what here, which programs may, and who is told when something is wrong."),
        here=_SETTINGS,
        values={
            "people": people,
            "tokens": [(each, _TOKENS.get(each.state.value, "unknown")) for each in tokens],
            "targets": targets,
            "may_grant": look.may(admin.CREATE),
            "may_rule": look.may(alert.CREATE_TARGET),
            "act": act_path,
            "verbs": {
                "person": admin.CREATE,
                "token": token.CREATE,
                "calendar": calendar.CREATE,
                "revoke": token.REVOKE,
                "target": alert.CREATE_TARGET,
            },
        },
    )


ACTS: Final[Mapping[str, Act]] = {
    "job.run": Act(
        marked("Run this job now?"), marked("Run job"), here=_HEALTH, back=lambda _: _HEALTH, done=lambda _: _HEALTH
    ),
    "alert.acknowledge": Act(
        marked("Say that you look after it?"),
        marked("I look after it"),
        marked("Others see your name beside the alert. It closes by itself when its cause is gone."),
        here=_HEALTH,
        back=lambda _: _HEALTH,
        done=lambda _: _HEALTH,
    ),
    "alert.target-create": Act(
        marked("Tell somebody of alerts"),
        marked("Add target"),
        marked("By e-mail, or by a signed web hook to a server of yours."),
        here=_SETTINGS,
        back=lambda _: _SETTINGS,
    ),
    "admin.create": Act(
        marked("Add an administrator"),
        marked("Add administrator"),
        marked("A set-up link lets them register; make one afterwards."),
        here=_SETTINGS,
        back=lambda _: _SETTINGS,
        done=lambda _: _SETTINGS,
    ),
    "token.create": Act(
        marked("Make a token for a program"),
        marked("Make token"),
        marked("It is shown once. It may do what you allow it, and never more than you may."),
        asks={"owner": Ask(hidden=True)},
        here=_SETTINGS,
        back=lambda _: _SETTINGS,
    ),
    "calendar.create": Act(
        marked("Make a calendar's address"),
        marked("Make address"),
        marked(
            "Your calendar subscribes to it and shows what ends. Whoever has the address reads that, and nothing else."
        ),
        here=_SETTINGS,
        back=lambda _: _SETTINGS,
    ),
    "token.revoke": Act(
        marked("Revoke this token?"),
        marked("Revoke token"),
        marked("The program that has it is refused from now on."),
        danger=True,
        here=_SETTINGS,
        back=lambda _: _SETTINGS,
        done=lambda _: _SETTINGS,
    ),
}

ROUTES: Final[Routes] = {_HEALTH: {"GET": _health}, _SETTINGS: {"GET": _settings}}
