"""Verbs about certificates."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from regalia.errors import AdminError
from regalia.model import Action, CertificateKind, Grant, Reach, Role, new_id
from regalia.ra.roles import EVERYTHING
from regalia.reasons import NO_NAMES
from regalia.verbs import Caller, LocalDoor
from regalia.verbs import certificate as verbs
from regalia.verbs import certificate_end as end
from regalia.verbs import certificate_issue as issue
from regalia.verbs.content import certificates_from, request_text
from regalia.verbs.fields import ReasonName
from regalia.verbs.names import NamesAsked
from world import ADMIN, Device, World, names, rsa_key

if TYPE_CHECKING:
    from regalia.model import Certificate


@pytest.fixture
def world() -> World:
    """Return a system with two groups, and a device with a certificate in each."""
    made = World()
    made.open_group("other")
    enrol(made, "laptop-1", 0, "default")
    made.clock.advance(timedelta(minutes=1))
    enrol(made, "tablet-1", 1, "other")
    return made


def enrol(world: World, name: str, key: int, endpoint: str) -> None:
    """Have a device enrol."""
    secret = world.mint(name, endpoint=endpoint, device=f"INV-{name}")
    device = Device(world, rsa_key(key), endpoint=endpoint)
    assert device.enrol(names(name), secret).certificates


def door(world: World, *groups: str, role: Role = Role.OPERATOR) -> LocalDoor:
    """Return the door of somebody with a role in groups; in none named, of somebody who may do everything."""
    grants = (Grant(role, Reach(frozenset(groups))),) if groups else EVERYTHING
    return LocalDoor(world, Caller(ADMIN, grants, fresh=True, local=not groups))


def leaf(world: World, name: str) -> Certificate:
    """Return a device's certificate."""
    (found,) = [each for each in world.store._certificates.values() if each.intent.names.cn == name]  # noqa: SLF001 - the fake's own
    return found


def serial(world: World, name: str) -> str:
    """Return its serial, as it is shown."""
    return f"{leaf(world, name).serial:x}"


def test_a_list_has_what_the_caller_sees(world: World) -> None:
    """AUTHZ-4: a list, its filters, its search and its count know only the caller's groups."""
    everything = door(world).ask(verbs.LIST, verbs.ListCertificates())
    assert [each.subject for each in everything.items] == ["CN=tablet-1", "CN=laptop-1"]
    assert everything.total == "2"
    other = door(world, "other")
    for asked in ({}, {"q": "1"}, {"all": True}, {"kind": verbs.KindAsked.ALL, "q": "CN="}, {"sort": "expiry"}):
        page = other.ask(verbs.LIST, verbs.ListCertificates(**asked))
        assert {each.group for each in page.items} <= {"other"}
    assert other.ask(verbs.LIST, verbs.ListCertificates(q="laptop")).total == "0"


def test_pages_go_on_where_the_last_one_ended(world: World) -> None:
    """A cursor leads to the rest of the list, newest first."""
    first = door(world).ask(verbs.LIST, verbs.ListCertificates(limit=1))
    second = door(world).ask(verbs.LIST, verbs.ListCertificates(limit=1, after=first.next))
    assert [page.items[0].subject for page in (first, second)] == ["CN=tablet-1", "CN=laptop-1"]
    assert second.next is None


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(max_size=100))
def test_any_text_is_searched_for(world: World, text: str) -> None:
    """AUTHZ-4: no search text is an error, and none finds a foreign group's certificate."""
    page = door(world, "other").ask(verbs.LIST, verbs.ListCertificates(q=text, all=True, kind=verbs.KindAsked.ALL))
    assert {each.group for each in page.items} <= {"other"}


def test_lists_that_contradict_themselves_are_refused(world: World) -> None:
    """ADM-018: expired ones among all, and an order that a search does not have."""
    for asked in ({"all": True, "expired": True}, {"q": "x", "sort": "expiry"}, {"expired": True, "sort": "expiry"}):
        with pytest.raises(AdminError) as refused:
            door(world).ask(verbs.LIST, verbs.ListCertificates(**asked))
        assert refused.value.reason.id == "ADM-018"


def test_authz_4_foreign_is_missing(world: World) -> None:
    """AUTHZ-4: what a foreign group has is answered like what nobody has, by every verb."""
    foreign = serial(world, "laptop-1")
    key = ReasonName.KEY_COMPROMISE
    mine = door(world, "other")

    def refusal(text: str) -> list[str]:
        told = []
        for ask in (
            lambda: mine.ask(verbs.SHOW, verbs.ShowCertificate(serial=text)),
            lambda: mine.ask(verbs.EXPORT, verbs.ExportCertificate(serial=text, chain=True)),
            lambda: mine.ask(end.HOLD, end.HoldCertificate(serial=text)),
            lambda: mine.plan(end.HOLD, end.HoldCertificate(serial=text)),
            lambda: mine.ask(end.RELEASE, end.ReleaseCertificate(serial=text)),
            lambda: mine.ask(end.REVOKE, end.RevokeCertificate(serial=text, reason=key)),
            lambda: mine.plan(end.REVOKE, end.RevokeCertificate(serial=text, reason=key)),
        ):
            with pytest.raises(AdminError) as refused:
                ask()
            told.append(str(refused.value).replace(text, "SERIAL"))
        return told

    assert refusal(foreign) == refusal("7f7f7f")
    authority = leaf(world, "laptop-1").intent.authority
    for asked in (verbs.ListCertificates(group="default"), verbs.ListCertificates(authority=authority)):
        with pytest.raises(AdminError) as refused:
            mine.ask(verbs.LIST, asked)
        assert refused.value.reason.id == "ADM-004"
    assert leaf(world, "laptop-1").revocation is None


def test_a_certificate_is_shown_and_exported(world: World) -> None:
    """It is found by its serial in any spelling; its record says where it came from, its content is the certificate."""
    certificate = leaf(world, "laptop-1")
    text = f"{certificate.serial:x}"
    octets = f"{certificate.serial:040X}"
    colons = ":".join(octets[at : at + 2] for at in range(0, 40, 2))
    for spelled in (text, f"serial={octets}", f"0x{text}", colons):
        shown = door(world).ask(verbs.SHOW, verbs.ShowCertificate(serial=spelled))
        assert (shown.serial, shown.status, shown.kind) == (text, "valid", CertificateKind.LEAF)
    assert "holds" not in shown.model_dump(mode="json")
    content = door(world).ask(verbs.EXPORT, verbs.ExportCertificate(serial=text, chain=True)).content
    assert certificates_from(content)[0] == certificate.der
    assert len(certificates_from(content)) == 3
    for none in ("zz", "f" * 41):
        with pytest.raises(AdminError) as refused:
            door(world).ask(verbs.SHOW, verbs.ShowCertificate(serial=none))
        assert refused.value.reason.id == "ADM-018"


def test_hold_release_revoke(world: World) -> None:
    """A certificate is held, good again and revoked, each told with its actor; the plan names what it concerns."""
    text, everything = serial(world, "laptop-1"), door(world)
    asked = end.HoldCertificate(serial=text, note="lost")
    assert everything.plan(end.HOLD, asked).would == (
        (
            f"put 1 certificate on hold: {text}, cn:laptop-1,"
            " one device of group default loses access until it is released"
        ),
    )
    assert everything.ask(end.HOLD, asked).status == "on hold"
    assert everything.ask(end.RELEASE, end.ReleaseCertificate(serial=text)).status == "valid"
    (revoked,) = everything.ask(end.REVOKE, end.RevokeCertificate(serial=text, reason=ReasonName.SUPERSEDED)).items
    assert (revoked.status, revoked.revocation_reason, revoked.revoked_by) == ("revoked", "superseded", "os:tester")
    shown = everything.ask(verbs.SHOW, verbs.ShowCertificate(serial=text))
    assert len(shown.holds) == 1
    for face in (everything.ask, everything.plan):
        with pytest.raises(AdminError) as refused:
            face(end.REVOKE, end.RevokeCertificate(serial=text, reason=ReasonName.SUPERSEDED))
        assert refused.value.reason.id == "ADM-008"


def test_a_compromised_key_ends_what_the_caller_sees(world: World) -> None:
    """AUTHZ-4, KEY-2: the key is blocked everywhere; certificates of other groups are neither revoked nor told of."""
    old = leaf(world, "tablet-1").intent
    key = leaf(world, "laptop-1").intent.key_sha256
    shared = replace(
        old, id=new_id(world.clock.now(), world.entropy.octets(10)), serial=7, key_sha256=key, subject="CN=tablet-2"
    )
    world.store.begin(shared, ())
    world.store.finish(shared.id, b"signed", world.clock.now(), ())
    mine = door(world, "other")
    asked = end.RevokeCertificate(serial="7", reason=ReasonName.KEY_COMPROMISE)
    plan = mine.plan(end.REVOKE, asked).would
    assert plan[0].startswith("revoke 1 certificate of one key for good")
    assert not any("laptop" in step for step in plan)
    assert [each.subject for each in mine.ask(end.REVOKE, asked).items] == ["CN=tablet-2"]
    assert world.store.is_compromised(key)
    assert leaf(world, "laptop-1").revocation is None
    rest = end.RevokeCertificate(serial=serial(world, "laptop-1"), reason=ReasonName.KEY_COMPROMISE)
    assert len(door(world).ask(end.REVOKE, rest).items) == 2


def test_a_certificate_is_issued_for_names_that_the_caller_answers_for(world: World) -> None:
    """A preview issues nothing, the order issues exactly the names given, and the same again gives the same."""
    csr = request_text(Device(world, rsa_key(2)).csr(names("wish"), None))
    asked = issue.IssueCertificate(group="other", profile="other", csr=csr, names=NamesAsked(cn="radius"))
    mine = door(world, "other")
    before = len(world.store._certificates)  # noqa: SLF001 - the fake's own
    preview = mine.ask(issue.PREVIEW, issue.PreviewCertificate(**asked.model_dump()))
    assert (preview.repeated, preview.issued_at) == (False, None)
    assert any(line.startswith("Subject:") and "CN=radius" in line for line in preview.would)
    assert mine.plan(issue.ISSUE, asked).would == ("issue a certificate for cn:radius",)
    assert len(world.store._certificates) == before  # noqa: SLF001 - the same
    issued = mine.ask(issue.ISSUE, asked)
    assert (issued.names, issued.group, issued.repeated) == (("cn:radius",), "other", False)
    assert certificates_from(issued.content) == (leaf(world, "radius").der,)
    world.clock.advance(timedelta(minutes=1))
    again = mine.ask(issue.ISSUE, asked)
    assert (again.serial, again.repeated) == (issued.serial, True)


def test_an_order_in_a_foreign_group_is_refused(world: World) -> None:
    """AUTHZ-4: nothing is issued from a foreign group or profile, nor is it told from one that is not there."""
    csr = request_text(Device(world, rsa_key(2)).csr(names("wish"), None))
    mine = door(world, "other")
    told = []
    for group, profile in (("default", "default"), ("nowhere", "default"), ("other", "default"), ("other", "nowhere")):
        asked = issue.IssueCertificate(group=group, profile=profile, csr=csr, names=NamesAsked(cn="x"))
        for ask in (
            lambda asked=asked: mine.ask(issue.ISSUE, asked),
            lambda asked=asked: mine.ask(issue.PREVIEW, issue.PreviewCertificate(**asked.model_dump())),
        ):
            with pytest.raises(AdminError) as refused:
                ask()
            told.append(str(refused.value).replace(group, "").replace(profile, ""))
    assert len(set(told)) == 2
    assert all("ADM-004" in each for each in told)
    with pytest.raises(AdminError) as refused:
        door(world, "other", role=Role.HELPDESK).ask(issue.ISSUE, asked)
    assert refused.value.reason.id == "ADM-070"


def test_a_request_without_names_is_nobody(world: World) -> None:
    """Where neither the caller nor the request names anybody, nothing is issued."""
    csr = request_text(Device(world, rsa_key(2)).csr(names(None), None))
    asked = issue.IssueCertificate(group="other", profile="other", csr=csr)
    for face in (door(world).ask, door(world).plan):
        with pytest.raises(AdminError) as refused:
            face(issue.ISSUE, asked)
        assert refused.value.reason.id == NO_NAMES.id


def test_the_audit_is_for_whoever_sees_everything(world: World) -> None:
    """Reading all that was issued needs the log of all groups, and leaves its own record."""
    audited = door(world).ask(issue.AUDIT, issue.AuditCertificates(since="1d", sample=1))
    assert (audited.findings, audited.doubts) == (0, ())
    assert audited.certificates > 2
    assert world.last_event().draft.action is Action.CERTIFICATES_AUDITED
    with pytest.raises(AdminError) as refused:
        door(world, "other", role=Role.AUDITOR).ask(issue.AUDIT, issue.AuditCertificates())
    assert refused.value.reason.id == "ADM-070"
