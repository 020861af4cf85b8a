"""Forms of the console: what they ask, what they say before they do it, and what a browser may not make them do."""

from __future__ import annotations

import csv
import io
import json
import re
from typing import TYPE_CHECKING

import pytest

from regalia.console.registry import ACTS
from regalia.model import Grant, Reach, Role
from regalia.verbs import VERBS
from regalia.words import LANGUAGES, chosen_language
from world import Device, names, rsa_key

if TYPE_CHECKING:
    from console.conftest import Scene
    from door_parts import Browser, Heard
    from regalia.model import Certificate

HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(2)>'


def page_of(certificate: Certificate) -> str:
    """Say where a certificate's page is."""
    return f"/certificates/{certificate.serial:x}"


def refused_with(scene: Scene, wanted: str, transaction: str) -> None:
    """Have a device ask for a name that nobody allowed it."""
    device = Device(scene.world, rsa_key(2)).fresh(transaction)
    scene.world.send(device.message(device.csr(names(wanted), scene.world.mint("allowed"))))


# --- one certificate --------------------------------------------------------------------------------------------------


def test_a_certificate_is_held_and_released(scene: Scene) -> None:
    """The form says whom it concerns, does it after that, and the page says how the certificate stands since."""
    page, form = page_of(scene.certificate), f"/act/cert.hold?serial={scene.certificate.serial:x}"
    assert form in scene.alice.get(page).text
    asked = scene.alice.get(form)
    assert "Hold certificate" in scene.alice.post(form, step="plan", note="lost").text
    assert asked.status == 200
    done = scene.alice.post(form, step="do", note="lost")
    assert (done.status, done.header("location")) == (303, page)
    assert "as long as it is on hold" in scene.alice.get(page).text
    scene.alice.get(f"/act/cert.release?serial={scene.certificate.serial:x}")
    assert scene.alice.post(f"/act/cert.release?serial={scene.certificate.serial:x}", step="do").status == 303
    assert "The network accepts it until" in scene.alice.get(page).text


def test_a_plan_comes_before_the_deed(scene: Scene) -> None:
    """A revocation is not done by the step that says what it would do; that one names the certificate."""
    form = f"/act/cert.revoke?serial={scene.certificate.serial:x}"
    scene.alice.get(form)
    planned = scene.alice.post(form, reason="superseded", step="plan")
    assert "This will" in planned.text
    assert "revoke 1 certificate for good" in planned.text
    assert 'name="reason" value="superseded"' in planned.text
    assert "The network accepts it until" in scene.alice.get(page_of(scene.certificate)).text


def test_a_form_is_sent_as_it_came(scene: Scene) -> None:
    """What nobody touches is what its verb takes where nothing is said: a list that is empty is no text of brackets."""
    page = scene.alice.get("/act/token.create").text
    fields = dict.fromkeys(re.findall(r'<textarea[^>]* name="(\w+)"', page), "")
    untouched = re.findall(r'<textarea[^>]* name="(\w+)"[^>]*>([^<]*)</textarea>', page)
    assert untouched == [*fields.items()]
    made = scene.alice.post("/act/token.create", name="exporter", ttl="30d", step="do", **fields)
    assert "never again" in made.text


def test_what_is_wrong_stands_on_the_form(scene: Scene) -> None:
    """A field that its verb refuses brings the form again with the reason; nothing is done."""
    form = f"/act/cert.revoke?serial={scene.certificate.serial:x}"
    scene.alice.get(form)
    heard = scene.alice.post(form, reason="because", step="do")
    assert heard.status == 422
    assert "API-005" in heard.text
    assert "<title>Error:" in heard.text


def test_several_are_ended_by_their_number(scene: Scene) -> None:
    """What ends several certificates asks for their number, and does nothing before it is right."""
    scene.alice.get("/certificates")
    chosen = f"{scene.certificate.serial:x}"
    first = scene.alice.post("/certificates/revoke", chosen=chosen)
    assert "Revoke 1 certificate for good?" in first.text
    assert scene.alice.post("/certificates/revoke", chosen=chosen, number="2").status == 422
    assert "The network accepts it until" in scene.alice.get(page_of(scene.certificate)).text
    scene.alice.get("/certificates")
    assert scene.alice.post("/certificates/revoke", chosen=chosen, number="1").status == 200
    assert "refuses it for good" in scene.alice.get(page_of(scene.certificate)).text


# --- who may ----------------------------------------------------------------------------------------------------------


def test_a_reader_sees_no_deeds(scene: Scene) -> None:
    """AUTHZ-1: whoever may only look is offered nothing to do, and is refused what they ask for all the same."""
    reader = scene.join("reader", Grant(Role.OPERATOR_READ_ONLY))
    page = reader.get(page_of(scene.certificate))
    assert page.status == 200
    assert "/act/" not in page.text
    form = f"/act/cert.hold?serial={scene.certificate.serial:x}"
    assert reader.get(form).status == 403
    assert reader.post(form, step="do").status == 403
    recorded = scene.door.events("access.refused")
    assert [event.draft.object for event in recorded] == ["verb:cert.hold", "verb:cert.hold"]
    assert "Authorities" in reader.get("/groups").text
    assert '"/audit"' in reader.get("/groups").text
    helper = scene.join("helper", Grant(Role.HELPDESK))
    assert '"/audit"' not in helper.get("/groups").text


def test_another_group_is_not_there(scene: Scene) -> None:
    """AUTHZ-4: what belongs to a group that the looker does not see is as if it were not there."""
    scene.world.open_group("guests")
    guest = scene.join("guest", Grant(Role.OPERATOR, Reach(frozenset({"guests"}))))
    assert guest.get(page_of(scene.certificate)).status == 404
    assert "laptop-1" not in guest.get("/certificates").text
    assert "laptop-1" not in guest.get("/certificates?all=true").text
    assert "laptop-1" not in guest.get("/search?q=laptop").text
    assert guest.get("/groups/default").status == 404


def test_nobody_without_a_role_sees_anything(scene: Scene) -> None:
    """Whoever has an account and no role is told so, and has no place to go but their own."""
    nobody = scene.join("nobody")
    assert "no role yet" in nobody.get("/").text
    assert nobody.get("/certificates").status == 403


# --- what other sites and devices send --------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted(f"/act/{name}" for name in ACTS))
def test_every_form_needs_its_token(scene: Scene, path: str) -> None:
    """WEB-5: a form that another page sends, or that has no token, does nothing, whatever it is of."""
    scene.alice.get("/groups")
    assert scene.alice.post(path, token="f" * 64, step="do").status == 403
    assert scene.alice.post(path, {"sec-fetch-site": "cross-site"}, step="do").status == 403
    assert {event.draft.reason_id for event in scene.door.events("session.refused")} == {"AUTH-004"}


def test_hostile_names_are_only_text(scene: Scene) -> None:
    """WEB-1: a name with markup in it stands on every page as text, and no page sends it on as anything else."""
    refused_with(scene, HOSTILE, "hostile")
    listed = scene.alice.get("/enrolments?state=refused")
    (path,) = set(re.findall(r'href="(/enrolments/[0-9a-f-]{36})"', listed.text)) & _of(listed, "alert(1)")
    for where in ("/enrolments", path, "/search?q=alert", "/audit"):
        text = scene.alice.get(where).text
        assert "<script>alert" not in text
        assert "<img src=x" not in text


def _of(heard: Heard, text: str) -> set[str]:
    """Find the links of the rows that hold a text."""
    rows = heard.text.split("<tr>")
    return {link for row in rows if text in row for link in re.findall(r'href="(/enrolments/[0-9a-f-]{36})"', row)}


@pytest.mark.parametrize("name", ["=1+1", "+49", "-2", "@SUM(A1)"])
def test_a_spreadsheet_computes_nothing(scene: Scene, name: str) -> None:
    """A cell that a spreadsheet would take for a formula is written as text; the JSON export has it as it is."""
    refused_with(scene, name, "formula")
    rows = list(csv.reader(io.StringIO(scene.alice.get("/enrolments.csv").text)))
    cells = [cell for row in rows[1:] for cell in row]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t"))]
    told = json.loads(scene.alice.get("/enrolments.json").text)
    assert [f"cn:{name}"] in [row["asked"] for row in told]


def test_nobody_is_sent_elsewhere(scene: Scene) -> None:
    """An address of another site that is asked for as the next one is none of ours, and leads to the first page."""
    scene.alice.get("/")
    for target in ("https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)"):
        heard = scene.alice.post("/appearance", theme="dark", next=target)
        assert (heard.status, heard.header("location")) == (303, "/")


# --- looks and words --------------------------------------------------------------------------------------------------


def test_the_theme_is_kept(scene: Scene) -> None:
    """What a reader chose stands in the next page, and in a cookie that scripts cannot read."""
    scene.alice.get("/groups")
    heard = scene.alice.post("/appearance", theme="dark", next="/groups")
    assert heard.header("location") == "/groups"
    assert 'data-theme="dark"' in scene.alice.get("/groups").text
    assert any("__Host-regalia-look=dark-en" in each and "HttpOnly" in each for each in scene.alice.set)
    scene.alice.post("/appearance", theme="plaid", next="/groups")
    assert "data-theme" not in scene.alice.get("/groups").text


@pytest.mark.parametrize(
    ("kept", "accepted", "chosen"),
    [("", "", "en"), ("", "en-GB,en;q=0.9", "en"), ("", "fr;q=x, tlh", "en"), ("en", "de", "en"), ("xx", "*", "en")],
)
def test_a_language_is_chosen(kept: str, accepted: str, chosen: str) -> None:
    """What was chosen counts first, then the first that the browser asks for and there is, and then English."""
    assert chosen_language(kept, accepted) == chosen
    assert chosen in LANGUAGES


def test_forms_are_of_verbs_that_change_something() -> None:
    """Each form is of a verb that changes something, and asks for no field that its verb does not know."""
    for name, act in ACTS.items():
        assert VERBS[name].changes
        assert set(act.asks) <= set(VERBS[name].asks.model_fields)


def search(browser: Browser, text: str) -> set[str]:
    """Search for a text; the links that are found."""
    return set(re.findall(r'href="([^"]+)"', browser.get(f"/search?part=results&q={text}").text))


def test_search_finds_what_is_there(scene: Scene) -> None:
    """One box finds certificates, groups, endpoints and profiles; what the palette gets stands in no frame."""
    assert page_of(scene.certificate) in search(scene.alice, "laptop")
    assert "/groups/default" in search(scene.alice, "default")
    assert search(scene.alice, "nothing-is-called-so") == set()
    assert "<nav" not in scene.alice.get("/search?part=results&q=laptop").text
