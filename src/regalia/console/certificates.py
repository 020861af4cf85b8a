"""Certificates: the list, a certificate with what others are told of it, and what can be done with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from regalia import reasons
from regalia.console.acts import Act, Ask, act_path
from regalia.console.listing import Bulk, Cell, Column, Filter, Listing, Tab
from regalia.console.look import View
from regalia.errors import AdminError
from regalia.verbs import certificate as verbs
from regalia.verbs import certificate_end as ends
from regalia.verbs import certificate_status as told
from regalia.verbs import group as groups
from regalia.web.answers import NO_STORE, answer
from regalia.web.door import see_other
from regalia.words import marked

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from regalia.console.desk import Routes, Shown
    from regalia.console.look import Look
    from regalia.verbs import Verb
    from regalia.verbs.certificate import CertificateRecord
    from regalia.verbs.certificate_status import HappeningRecord
    from regalia.web.answers import Answer

__all__ = ["ACTS", "ROUTES", "certificate_path", "standing"]

_HERE: Final = "/certificates"
_KINDS: Final = {"valid": "ok", "on hold": "held", "revoked": "ended", "expired": "over", "intent": "waiting"}
_WORDS: Final = {
    "valid": marked("Valid"),
    "on hold": marked("On hold"),
    "revoked": marked("Revoked"),
    "expired": marked("Expired"),
    "intent": marked("Being signed"),
    "abandoned": marked("Never issued"),
}


_ANSWERS: Final = {
    "good": ("ok", marked("good")),
    "revoked": ("ended", marked("revoked")),
    "unknown": ("unknown", marked("unknown")),
    "unauthorized": ("unknown", marked("nobody here answers for its issuer")),
    "try_later": ("warn", marked("try later: no responder is ready")),
}
_LIFE: Final = {
    told.What.REQUESTED: ("enrolment", marked("Requested")),
    told.What.VALIDATED: ("approval", marked("Validated")),
    told.What.ISSUED: ("certificate", marked("Issued")),
    told.What.DELIVERED: ("connector", marked("Its connector took note")),
    told.What.RENEWED: ("ok", marked("Renewed")),
    told.What.HELD: ("held", marked("On hold")),
    told.What.RELEASED: ("ok", marked("Released")),
    told.What.REVOKED: ("ended", marked("Revoked")),
    told.What.ENDED: ("over", marked("Expired")),
}


def certificate_path(serial: str) -> str:
    """Say where a certificate's page is."""
    return f"{_HERE}/{serial}"


def standing(look: Look, status: str) -> tuple[str, str]:
    """Say how a certificate stands: the kind of status, and its word."""
    return _KINDS.get(status, "unknown"), look.words(_WORDS.get(status, status))


# --- the list -------------------------------------------------------------------------------------------------------


def group_choices(look: Look) -> Sequence[tuple[str, str]]:
    """List the groups that the looker sees."""
    return [(each.name, each.name) for each in look.ask(groups.LIST, limit=1_000).items]


def _subject(look: Look, row: CertificateRecord) -> Cell:
    common = row.subject.removeprefix("CN=")
    names = ", ".join(name for name in row.names if name != f"cn:{common}")
    sub = look.words("nobody vouched for this name") if row.unverified else names
    return Cell(common or names, certificate_path(row.serial), sub)


def _status(look: Look, row: CertificateRecord) -> Cell:
    kind, word = standing(look, row.status)
    return Cell(word, kind=kind, sub=row.revocation_reason or "")


def _lead(look: Look) -> str:
    return look.words("What your devices prove themselves with. A revoked or expired one opens nothing any more.")


def _empty(look: Look) -> Mapping[str, str]:
    return {
        "headline": look.words("No certificate is here yet"),
        "explanation": look.words("As soon as a device enrols, its certificate is listed here."),
        "action": look.words("Open the groups"),
        "href": "/groups",
        "command": "regalia cert list",
    }


_LINKED: Final = (
    ("cause", marked("Ended because")),
    ("ended_within", marked("Ended in days")),
    ("ends_beyond", marked("Ends after days")),
    ("ends_within", marked("Ends within days")),
    ("source", marked("Came by")),
    ("issued_from", marked("Issued since day")),
    ("issued_to", marked("Issued until day")),
)
_YES_OR_NO: Final = (
    ("followed", marked("Another one came after")),
    ("revoked", marked("Revoked or on hold")),
    ("expired", marked("Expired")),
)


def _states(look: Look) -> Sequence[tuple[str, str]]:
    return [("issued", look.words("Issued"))]


def _yes_or_no(look: Look) -> Sequence[tuple[str, str]]:
    return [("true", look.words("yes")), ("false", look.words("no"))]


LIST: Final = Listing(
    path=_HERE,
    verb=verbs.LIST,
    title=marked("Certificates"),
    lead=_lead,
    columns=(
        Column(marked("Subject"), _subject),
        Column(marked("State"), _status),
        Column(marked("Device"), lambda _, row: Cell(row.device or ""), optional=True),
        Column(marked("Group"), lambda _, row: Cell(row.group or "", f"/groups/{row.group}" if row.group else "")),
        Column(marked("Serial"), lambda _, row: Cell(row.serial, mono=True), optional=True),
        Column(marked("Expires"), lambda _, row: Cell(at=row.not_after)),
    ),
    empty=_empty,
    row=lambda row: row.serial,
    filters=(
        Filter("group", marked("Group"), group_choices),
        Filter("authority", marked("Authority")),
        Filter(
            "kind", marked("For"), lambda look: [("leaf", look.words("devices")), ("all", look.words("everything"))]
        ),
        Filter("device", marked("Device")),
        Filter("subject", marked("Whole subject")),
        *(Filter(name, label, offered=False) for name, label in _LINKED),
        Filter("expired_within", marked("Expired in days"), offered=False, needs="expired"),
        Filter("state", marked("State"), _states, offered=False),
        *(Filter(name, label, _yes_or_no, offered=False) for name, label in _YES_OR_NO),
    ),
    tabs=(
        Tab(marked("Not expired"), {}),
        Tab(marked("Live"), {"revoked": "false"}),
        Tab(marked("Soonest to expire"), {"sort": "expiry"}),
        Tab(marked("Ended or held"), {"revoked": "true", "all": "true"}),
        Tab(marked("Expired"), {"expired": "true"}),
        Tab(marked("All"), {"all": "true"}),
    ),
    bulk=(
        Bulk("/certificates/hold", marked("Hold …"), ends.HOLD),
        Bulk("/certificates/revoke", marked("Revoke …"), ends.REVOKE, danger=True),
    ),
)


# --- one certificate ------------------------------------------------------------------------------------------------


def _show(look: Look) -> Shown:
    record = look.ask(verbs.SHOW, serial=look.place["serial"])
    kind, word = standing(look, record.status)
    group = record.group
    actions = []
    if record.status == "valid" and look.may(ends.HOLD, group):
        actions.append((look.words("Hold …"), act_path(ends.HOLD, serial=record.serial), False))
    if record.status == "on hold" and look.may(ends.RELEASE, group):
        actions.append((look.words("Release …"), act_path(ends.RELEASE, serial=record.serial), False))
    if record.status in {"valid", "on hold"} and look.may(ends.REVOKE, group):
        actions.append((look.words("Revoke …"), act_path(ends.REVOKE, serial=record.serial), True))
    return View(
        "certificate.html",
        title=record.subject.removeprefix("CN="),
        lead=_effective(look, record),
        here=_HERE,
        crumbs=((look.words("Certificates"), _HERE), (record.subject.removeprefix("CN="), "")),
        values={
            "record": record,
            "kind": kind,
            "word": word,
            "actions": actions,
            "told": list(_told(look, record.serial)),
            "life": [_happening(look, each) for each in look.ask(told.LIFE, serial=record.serial).life],
        },
    )


@dataclass(frozen=True, slots=True)
class _Told:
    """What one source says."""

    source: str
    kind: str
    says: str
    since: datetime | None
    until: datetime | None


def _told(look: Look, serial: str) -> Iterator[_Told]:
    """Say what others are told now, each as it answers."""
    words, status = look.words, look.ask(told.STATUS, serial=serial)
    ocsp = status.ocsp
    if ocsp is not None:
        kind, says = _ANSWERS.get(ocsp.answer, ("unknown", ocsp.answer))
        said = words(says) + (f", {ocsp.reason}" if ocsp.reason else "")
        yield _Told(
            "OCSP", kind if ocsp.reason != "certificate-hold" else "held", said, ocsp.this_update, ocsp.next_update
        )
    for each in status.crls:
        kind, said = "ok", words("not listed")
        if each.listed:
            kind = "held" if each.reason == "certificate-hold" else "ended"
            said = f"{words('listed')}, {each.reason}"
        source = words("Delta CRL %(name)s") if each.delta else words("CRL %(name)s")
        yield _Told(source % {"name": each.name}, kind, said, each.this_update, each.next_update)


@dataclass(frozen=True, slots=True)
class _Happening:
    """A line of its life."""

    kind: str
    what: str
    at: datetime
    note: str
    serial: str
    other: str
    """What the certificate with that serial is to this one."""


def _happening(look: Look, each: HappeningRecord) -> _Happening:
    kind, what = _LIFE[each.what]
    other = "" if each.serial is None else look.words("by") if each.what is told.What.RENEWED else look.words("renews")
    return _Happening(kind, look.words(what), each.at, each.note, each.serial or "", other)


def _effective(look: Look, record: CertificateRecord) -> str:
    """Say in a sentence what is true of it now."""
    words = look.words
    match record.status:
        case "valid":
            return words("The network accepts it until %(day)s.") % {"day": words.day(record.not_after)}
        case "on hold":
            return words("The network refuses it as long as it is on hold. It can be released.")
        case "revoked":
            day = words.day(record.revoked_at) if record.revoked_at is not None else ""
            return words("The network refuses it for good since %(day)s.") % {"day": day}
        case "expired":
            return words("It ended on %(day)s. Nothing accepts it any more.") % {"day": words.day(record.not_after)}
    return words("It was never given out.")


def _download(look: Look) -> Answer:
    content = look.ask(verbs.EXPORT, serial=look.place["serial"], chain=look.query.get("chain") == "true")
    disposition = (b"content-disposition", f'attachment; filename="{content.serial}.pem"'.encode("ascii"))
    return answer(200, content.content.encode(), b"application/x-pem-file", NO_STORE, disposition)


# --- many at once ---------------------------------------------------------------------------------------------------


def _bulk(look: Look, verb: Verb[Any, Any], **fields: str) -> Shown:
    """Say what would end for whom, ask for the number as a word of one's own, and do it one by one.

    What cannot be done to one of them is told and keeps no other one from it.
    """
    serials = tuple(dict.fromkeys(look.visit.several.get("chosen", ())))
    rows = [look.ask(verbs.SHOW, serial=serial) for serial in serials]
    if not rows:
        return see_other(_HERE)
    confirmed = look.form.get("number", "").strip() == str(len(rows))
    if not confirmed:
        return _bulk_page(look, verb, rows, wrong="number" in look.form)
    failed = []
    for row in rows:
        try:
            look.ask(verb, serial=row.serial, note=look.form.get("note", ""), **fields)
        except AdminError as error:
            if error.reason in {reasons.AUTHENTICATION_OLD, reasons.RIGHT_MISSING}:
                raise
            failed.append((row, f"{error.reason.id} {look.words(error.reason.title)}"))
    return _bulk_page(look, verb, rows, failed=failed, done=True)


def _bulk_page(
    look: Look,
    verb: Verb[Any, Any],
    rows: Sequence[CertificateRecord],
    *,
    wrong: bool = False,
    failed: Sequence[tuple[CertificateRecord, str]] = (),
    done: bool = False,
) -> View:
    act, count = ACTS[verb.name], len(rows)
    devices = len({row.device for row in rows if row.device})
    asked = {
        "cert.hold": look.words.ngettext("Hold %(num)s certificate?", "Hold %(num)s certificates?", count),
        "cert.revoke": look.words.ngettext(
            "Revoke %(num)s certificate for good?", "Revoke %(num)s certificates for good?", count
        ),
    }[verb.name] % {"num": look.words.number(count)}
    lead = look.words.ngettext(
        "%(num)s device loses what they open, at once.", "%(num)s devices lose what they open, at once.", devices
    ) % {"num": look.words.number(devices)}
    return View(
        "bulk.html",
        title=look.words("Done") if done else asked,
        lead="" if done else lead,
        here=_HERE,
        crumbs=((look.words("Certificates"), _HERE), (look.words("Several"), "")),
        values={
            "act": act,
            "rows": rows,
            "count": str(count),
            "wrong": wrong,
            "failed": failed,
            "done": done,
            "action": look.visit.path,
        },
        status=422 if wrong else 200,
    )


def _hold_many(look: Look) -> Shown:
    return _bulk(look, ends.HOLD)


def _revoke_many(look: Look) -> Shown:
    return _bulk(look, ends.REVOKE, reason="cessation-of-operation")


# --- acts -----------------------------------------------------------------------------------------------------------


def _page_of(record: Mapping[str, object]) -> str:
    items = record.get("items")
    serial = items[0]["serial"] if isinstance(items, list) and items else record.get("serial", "")
    return certificate_path(str(serial))


ACTS: Final[Mapping[str, Act]] = {
    "cert.hold": Act(
        marked("Hold this certificate?"),
        marked("Hold certificate"),
        marked("The network refuses it from now on, until somebody releases it."),
        asks={"note": Ask(marked("Why (optional, for the audit log)"))},
        here=_HERE,
        back=_page_of,
        done=_page_of,
    ),
    "cert.release": Act(
        marked("Release this certificate?"),
        marked("Release certificate"),
        marked("The network accepts it again. A cause that still stands can hold it anew."),
        asks={"note": Ask(marked("Why (optional, for the audit log)"))},
        here=_HERE,
        back=_page_of,
        done=_page_of,
    ),
    "cert.revoke": Act(
        marked("Revoke this certificate for good?"),
        marked("Revoke for good"),
        marked(
            "The device loses what this certificate opens, at once and for ever. To let it in again it must enrol anew."
        ),
        danger=True,
        asks={"note": Ask(marked("Why (optional, for the audit log)")), "reason": Ask(marked("Reason on the CRL"))},
        here=_HERE,
        back=_page_of,
        done=_page_of,
    ),
}

ROUTES: Final[Routes] = {
    **LIST.routes(),
    f"{_HERE}/hold": {"POST": _hold_many},
    f"{_HERE}/revoke": {"POST": _revoke_many},
    f"{_HERE}/{{serial}}": {"GET": _show},
    f"{_HERE}/{{serial}}/file.pem": {"GET": _download},
}
