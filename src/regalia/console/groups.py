"""Groups, their endpoints and profiles: who may have which certificate, and when trust ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from regalia.console.acts import Act, Ask, act_path
from regalia.console.enrolments import state_of
from regalia.console.listing import Cell, Column, Filter, Listing, query_path
from regalia.console.look import View
from regalia.console.setup import setup_links
from regalia.verbs import certificate, device, endpoint, enrolment, group_follow, profile
from regalia.verbs import group as verbs
from regalia.verbs.challenge import CREATE as CREATE_CHALLENGE
from regalia.words import marked

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from regalia.console.desk import Routes, Shown
    from regalia.console.look import Look
    from regalia.verbs.group import GroupRecord
    from regalia.verbs.group_follow import RuleRecord

__all__ = ["ACTS", "ROUTES", "group_path"]

_HERE: Final = "/groups"
_CHANGED: Final = "own"
_CAUSES: Final = {
    "wiped": marked("Device wiped"),
    "retired": marked("Device retired"),
    "deleted": marked("Device deleted"),
    "absent": marked("Device no longer in the inventory"),
    "unmanaged": marked("Device no longer managed"),
    "lost": marked("Device lost"),
    "disabled": marked("Device disabled"),
    "non-compliant": marked("Device not compliant"),
    "risk": marked("Device at risk"),
    "user-disabled": marked("User disabled"),
    "user-absent": marked("User no longer in the directory"),
    "user-risk": marked("User at risk"),
    "unlicensed": marked("User without a licence"),
    "group-left": marked("Left a group that is required"),
    "moved": marked("Device moved to another group"),
    "requested": marked("Its system asks for it"),
}
_CONSEQUENCES: Final = {
    "revoke": marked("Revoke for good"),
    "hold": marked("Hold"),
    "nothing": marked("Nothing"),
}
_AUTHORISERS: Final = {
    "one-time": marked("a one-time challenge that you hand out"),
    "static": marked("a secret that all its devices share"),
    "approval": marked("an administrator who approves each request"),
    "connector": marked("a connector that knows the device"),
}


def group_path(name: str) -> str:
    """Say where a group's page is."""
    return f"{_HERE}/{name}"


def endpoint_path(name: str) -> str:
    """Say where an endpoint's page is."""
    return f"/endpoints/{name}"


def profile_path(name: str) -> str:
    """Say where a profile's page is."""
    return f"/profiles/{name}"


def _state(look: Look, row: GroupRecord) -> Cell:
    if row.suspended_at is not None:
        return Cell(look.words("Suspended"), kind="held")
    return Cell(look.words("Issues"), kind="ok")


def _empty(look: Look) -> Mapping[str, str]:
    return {
        "headline": look.words("No group is here that you may see"),
        "explanation": look.words("A group is a set of devices with an authority, profiles and endpoints of its own."),
        "command": "regalia group create",
    }


LIST: Final = Listing(
    path=_HERE,
    verb=verbs.LIST,
    title=marked("Groups"),
    lead=lambda look: look.words("Each group has an authority of its own, so that what happens in one stays there."),
    columns=(
        Column(marked("Name"), lambda _, row: Cell(row.name, group_path(row.name))),
        Column(marked("State"), _state),
        Column(marked("Authority"), lambda _, row: Cell(row.authority, f"/authorities/{row.authority}")),
        Column(marked("Endpoints"), lambda _, row: Cell(", ".join(row.endpoints)), optional=True),
        Column(marked("Profiles"), lambda _, row: Cell(", ".join(row.profiles)), optional=True),
    ),
    empty=_empty,
    row=lambda row: row.name,
    actions=lambda look: [(look.words("Create a group"), act_path(verbs.CREATE))] if look.may(verbs.CREATE) else [],
)

ENDPOINTS: Final = Listing(
    path="/endpoints",
    verb=endpoint.LIST,
    title=marked("Endpoints"),
    lead=lambda look: look.words("The doors by which devices ask for certificates: each has an address."),
    columns=(
        Column(marked("Name"), lambda _, row: Cell(row.name, endpoint_path(row.name))),
        Column(
            marked("State"),
            lambda look, row: Cell(
                look.words("Open") if row.enabled else look.words("Closed"), kind="ok" if row.enabled else "over"
            ),
        ),
        Column(marked("Group"), lambda _, row: Cell(row.group, group_path(row.group))),
        Column(marked("Who says yes"), lambda _, row: Cell(row.connector or row.authoriser)),
        Column(marked("Address"), lambda _, row: Cell(row.url, mono=True), optional=True),
    ),
    empty=_empty,
    row=lambda row: row.name,
    filters=(Filter("group", marked("Group")),),
)

PROFILES: Final = Listing(
    path="/profiles",
    verb=profile.LIST,
    title=marked("Profiles"),
    lead=lambda look: look.words("What a certificate says and how long it lives. Each change is a new version."),
    columns=(
        Column(
            marked("Name"),
            lambda look, row: Cell(
                row.name, profile_path(row.name), look.words("version %(number)s") % {"number": row.version}
            ),
        ),
        Column(marked("Group"), lambda _, row: Cell(row.group, group_path(row.group))),
        Column(marked("Lives"), lambda _, row: Cell(row.validity)),
        Column(marked("Names from"), lambda _, row: Cell(row.names_from), optional=True),
        Column(marked("Keys"), lambda _, row: Cell(", ".join(row.keys)), optional=True),
    ),
    empty=_empty,
    row=lambda row: row.name,
    filters=(Filter("group", marked("Group")),),
)


# --- one group ------------------------------------------------------------------------------------------------------


def _show(look: Look) -> Shown:
    record = look.ask(verbs.SHOW, name=look.place["name"])
    name = record.name
    rules = look.ask(group_follow.SHOW, name=name)
    doors = look.ask(endpoint.LIST, group=name, limit=100).items
    profiles = look.ask(profile.LIST, group=name, limit=100).items
    live = look.ask(certificate.LIST, group=name, revoked=False, limit=1).total
    devices = look.ask(device.LIST, group=name, limit=1).total
    actions = []
    if look.may(endpoint.CREATE, name):
        actions.append((look.words("Open an endpoint"), act_path(endpoint.CREATE, group=name)))
    if record.suspended_at is None and look.may(verbs.SUSPEND, name):
        actions.append((look.words("Suspend …"), act_path(verbs.SUSPEND, name=name)))
    if record.suspended_at is not None and look.may(verbs.RESUME, name):
        actions.append((look.words("Resume …"), act_path(verbs.RESUME, name=name)))
    return View(
        "group.html",
        title=name,
        lead=_lead(look, record.suspended_at is not None),
        here=_HERE,
        crumbs=((look.words("Groups"), _HERE), (name, "")),
        values={
            "record": record,
            "rules": rules,
            "told_rules": _told(look, rules.rules),
            "doors": [(each, look.words(_AUTHORISERS.get(each.authoriser, each.authoriser))) for each in doors],
            "whos": _whos(look, doors),
            "profiles": profiles,
            "live": live or "0",
            "devices": devices or "0",
            "certificates_path": query_path("/certificates", {"group": name, "revoked": "false"}),
            "devices_path": query_path("/devices", {"group": name}),
            "actions": actions,
            "may_rule": look.may(group_follow.SET, name),
            "rules_path": act_path(group_follow.SET, name=name),
            "refused": look.ask(enrolment.LIST, state="refused", limit=1).total if look.may(enrolment.LIST) else None,
        },
    )


def _whos(look: Look, doors: Sequence[endpoint.EndpointRecord]) -> list[str]:
    """Say who says yes at open endpoints, each once: connectors by their names."""
    said = [each.connector or look.words(_AUTHORISERS.get(each.authoriser, each.authoriser)) for each in doors]
    first, *rest = dict.fromkeys(said) or [""]
    return [first[:1].upper() + first[1:], *rest]


def _told(look: Look, rules: Sequence[RuleRecord]) -> list[tuple[str, str, RuleRecord]]:
    """Say what rules are about and what follows, in words; causes from which the same follows stand together."""
    same: dict[RuleRecord, list[str]] = {}
    for rule in rules:
        cause = look.words(_CAUSES.get(rule.cause.value, rule.cause.value))
        same.setdefault(rule.model_copy(update={"cause": rules[0].cause}), []).append(cause)
    return [
        (", ".join(causes), look.words(_CONSEQUENCES.get(rule.consequence.value, rule.consequence.value)), rule)
        for rule, causes in same.items()
    ]


def _lead(look: Look, suspended: bool) -> str:  # noqa: FBT001 - it has two leads
    if suspended:
        return look.words("This group is suspended: it issues nothing until somebody resumes it.")
    return look.words("Who may have which certificate here, and what ends it.")


# --- one endpoint, one profile --------------------------------------------------------------------------------------


def _endpoint(look: Look) -> Shown:
    record = look.ask(endpoint.SHOW, name=look.place["name"])
    name, group = record.name, record.group
    actions = []
    if record.enabled and record.authoriser == "one-time" and look.may(CREATE_CHALLENGE, group):
        actions.append((look.words("Make a challenge"), act_path(CREATE_CHALLENGE, endpoint=name)))
    if record.enabled and look.may(endpoint.DISABLE, group):
        actions.append((look.words("Close …"), act_path(endpoint.DISABLE, name=name)))
    return View(
        "endpoint.html",
        title=name,
        lead=look.words("Devices of group %(group)s ask here. Yes is said by %(who)s.")
        % {"group": group, "who": look.words(_AUTHORISERS.get(record.authoriser, record.authoriser))},
        here=_HERE,
        crumbs=((look.words("Groups"), _HERE), (group, group_path(group)), (name, "")),
        values={
            "record": record,
            "actions": actions,
            "setups": setup_links(look, name) if record.enabled else (),
            "enrolments": query_path("/enrolments", {"endpoint": name}),
            "waiting_rows": [
                (each, *state_of(look, each.state)) for each in look.ask(enrolment.LIST, endpoint=name, limit=5).items
            ],
        },
        refresh=10,
    )


def _profile(look: Look) -> Shown:
    record = look.ask(profile.SHOW, name=look.place["name"])
    actions = []
    if look.may(profile.CREATE, record.group):
        actions.append((look.words("New version"), act_path(profile.CREATE, name=record.name, group=record.group)))
    return View(
        "profile.html",
        title=record.name,
        lead=look.words("What certificates of this profile say. Devices get a new version when they next renew."),
        here=_HERE,
        crumbs=((look.words("Groups"), _HERE), (record.group, group_path(record.group)), (record.name, "")),
        values={"record": record, "actions": actions},
    )


# --- acts -----------------------------------------------------------------------------------------------------------


def _of_group(record: Mapping[str, object]) -> str:
    return group_path(str(record.get("group") or record.get("name") or ""))


def _profile_choices(look: Look) -> list[tuple[str, str]]:
    return [(each.name, f"{each.name} ({each.group})") for each in look.ask(profile.LIST, limit=1_000).items]


ACTS: Final[Mapping[str, Act]] = {
    "group.create": Act(
        marked("Create a group"),
        marked("Create group"),
        marked("It gets an issuing authority of its own, below the root."),
        here=_HERE,
        back=lambda _: _HERE,
        done=lambda record: group_path(record["name"]),
    ),
    "group.suspend": Act(
        marked("Suspend this group?"),
        marked("Suspend group"),
        marked("Nothing is issued in it until somebody resumes it. Certificates stay as they are."),
        here=_HERE,
        back=_of_group,
        done=_of_group,
    ),
    "group.resume": Act(
        marked("Resume this group?"), marked("Resume group"), here=_HERE, back=_of_group, done=_of_group
    ),
    "group.set-follow-rules": Act(
        marked("When trust ends"),
        marked("Set the rules"),
        marked("What follows for a certificate when its device or user is lost, disabled or gone."),
        asks={"document": Ask(marked("Rules (JSON)"), kind="long")},
        here=_HERE,
        back=_of_group,
        done=_of_group,
    ),
    "endpoint.create": Act(
        marked("Open an endpoint"),
        marked("Open endpoint"),
        marked("It gets an address that devices ask at, for one profile."),
        asks={"profile": Ask(marked("Profile"), choices=_profile_choices), "protocol": Ask(hidden=True)},
        here=_HERE,
        back=_of_group,
    ),
    "endpoint.disable": Act(
        marked("Close this endpoint?"),
        marked("Close endpoint"),
        marked("Devices get no answer at its address any more. Their certificates stay as they are."),
        danger=True,
        here=_HERE,
        back=lambda given: endpoint_path(str(given.get("name", ""))),
        done=lambda record: endpoint_path(record["name"]),
    ),
    "profile.create": Act(
        marked("A profile's new version"),
        marked("Keep profile"),
        marked("What it says is checked first; devices get it when they next renew."),
        asks={"document": Ask(marked("Document (TOML)"), kind="long"), "acknowledge": Ask(kind="lines")},
        here=_HERE,
        back=_of_group,
        done=lambda record: profile_path(record["name"]),
    ),
}

ROUTES: Final[Routes] = {
    **LIST.routes(),
    **ENDPOINTS.routes(),
    **PROFILES.routes(),
    f"{_HERE}/{{name}}": {"GET": _show},
    "/endpoints/{name}": {"GET": _endpoint},
    "/profiles/{name}": {"GET": _profile},
}
