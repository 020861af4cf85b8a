"""What an administrator of Intune gets wrong, planted one by one in a real home beside the laboratory.

Each mistake is named by `doctor` or by `enrolment show`, with what to do; after that the same device enrols.
"""

from __future__ import annotations

import functools
import json
import sqlite3
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from cli.test_checks import Ourselves
from cli.transcript import regalia
from foreign_pki import ForeignCa, Shape
from regalia.app import build
from regalia.cli.check import Check, Level
from regalia.cli.checks import checks
from regalia.config import load_config
from regalia.errors import UnavailableError
from regalia.lab.challenge import mint
from regalia.lab.changes import apply
from regalia.lab.cloud import Cloud
from regalia.lab.delivering import delivered
from regalia.lab.devices.device import SimulatedDevice
from regalia.lab.devices.platforms import platform_of
from regalia.lab.devices.reports import DeviceError
from regalia.lab.devices.web import Answer
from regalia.lab.faults import Fault, FaultKind, HopName
from regalia.lab.sample import CLIENT_ID, CLIENT_SECRET, GRAPH_ROLES, INTUNE_ROLES, sample_tenant
from regalia.lab.tenant import MovableClock
from regalia.model import Actor, ActorKind, Authoriser
from regalia.ra.scep import CertRep
from regalia.web.scep_query import decode_message, operation
from world import rsa_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from cli.scene import Scene
    from regalia.app import App
    from regalia.lab.devices.delivery import Delivery
    from regalia.lab.devices.device import Held
    from regalia.model.connector import Connector

ADMIN = Actor(ActorKind.ADMIN, "os:tester")
DEVICE = "WINDOWS-00000"
COMMON_NAME = "2.5.4.3"
URL = "http://pki.example.test:8080/scep/managed"
PROFILE = """
[validity]
duration = "365d"
[usage]
extended-key-usage = ["clientAuth"]
[subject]
cn = "{device.entra_id}"
[[san]]
kind = "uri"
value = "IntuneDeviceId://{device.id}"
"""


@dataclass
class HomeWeb:
    """A device's HTTP, which ends in the SCEP service of a home."""

    app: App

    def ask(self, url: str, body: bytes | None, *, oldest_tls: bool) -> Answer:
        """See `Web`."""
        del oldest_tls
        path, _, query = url.partition("?")
        door, wanted = self.app.scep.door(path.rpartition("/")[2]), operation(query.encode())
        if door is None:
            return Answer(404, b"")
        if wanted == "GetCACaps":
            return Answer(200, self.app.scep.ca_capabilities(door))
        if wanted == "GetCACert":
            return Answer(200, self.app.scep.ca_certificates(door))
        message = decode_message(query.encode(), 1 << 17) if body is None else body
        try:
            answer = self.app.scep.pki_operation(door, message, "192.0.2.7")
        except UnavailableError:
            return Answer(503, b"")
        return Answer(200, answer.der) if isinstance(answer, CertRep) else Answer(400, b"")


@dataclass
class Rehearsal:
    """A home with a connector to the laboratory, and an endpoint that asks it."""

    home: Path
    cloud: Cloud
    app: App
    handed: Delivery | None = None
    """What the device got before a mistake, where that is to be late."""
    asks: dict[str, Any] = field(default_factory=dict)
    """What the device changes of it."""

    @property
    def connector(self) -> Connector:
        """The connector as it stands."""
        found = self.app.store.connector("mdm")
        assert found is not None
        return found

    def change(self, **settings: Any) -> None:  # noqa: ANN401 - settings
        """Change the connector's settings."""
        self.app.connectors.change(self.connector, settings, actor=ADMIN)

    def secret(self, secret: str) -> None:
        """Give the connector another secret."""
        self.app.connectors.set_secret(self.connector, secret, actor=ADMIN)

    def tenant(self, change: str, **arguments: Any) -> None:  # noqa: ANN401 - what the change takes
        """Change the tenant, as its portals do."""
        apply(self.cloud.tenant, change, arguments)

    def fault(self, kind: FaultKind, **fields: Any) -> None:  # noqa: ANN401 - fields
        """Order a fault of all hosts."""
        for hop in HopName:
            self.cloud.journal.order(Fault(hop, kind, **fields))

    def delivery(self) -> Delivery:
        """What the management hands to the device."""
        tenant = self.cloud.tenant
        managed = next(each for each in tenant.managed.all() if each.name == DEVICE)
        return delivered(self.cloud.challenges, tenant, managed, tenant.profiles.all()[0])

    def enrol(self) -> Held:
        """Have the device enrol; `DeviceError` where it does not."""
        device = SimulatedDevice(
            platform_of("Windows"), HomeWeb(self.app), sleep=lambda _: None, make_key=lambda _: rsa_key(0)
        )
        return device.enrol(replace(self.handed or self.delivery(), **self.asks))

    def doctor(self, level: Level = Level.PROBLEM) -> list[Check]:
        """What doctor finds wrong; it opens the home for itself, as the command does, and has no token yet."""
        app = build(load_config({}, home=self.home))
        try:
            return [each for each in checks(app, Ourselves(app)) if each.level is level]
        finally:
            app.close()

    def shown(self) -> dict[str, Any]:
        """`enrolment show` of the newest refusal, as --json and the API have it."""
        listed = json.loads(self.ran("enrolment", "list", "--state", "refused", "--json"))
        shown: dict[str, Any] = json.loads(self.ran("enrolment", "show", listed[0]["id"], "--json"))
        return shown

    def told(self) -> str:
        """The same for people."""
        return self.ran("enrolment", "show", self.shown()["id"])

    def moved(self, by: timedelta | None) -> None:
        """Have the cloud's clock be another one than ours; None: the same again."""
        clock = self.cloud.tenant.clock
        assert isinstance(clock, MovableClock)
        clock.set_right() if by is None else clock.move(by)

    def reopen(self) -> None:
        """Open the home anew."""
        self.app.close()
        self.app = build(load_config({}, home=self.home))

    def ran(self, *arguments: str) -> str:
        """Run a command that must succeed; what it prints."""
        ran = regalia([*arguments, "--home", str(self.home)])
        assert ran.status == 0, ran.output
        return ran.output


@contextmanager
def rehearsal(home: Path, folder: Path) -> Iterator[Rehearsal]:
    """Set up as docs/tasks/rehearse-intune.md does."""
    tenant = sample_tenant()
    with Cloud((tenant,), folder=folder) as cloud:
        at = cloud.addresses
        places = [f"127.0.0.1/32:{base.rpartition(':')[2]}" for base in (at.login, at.graph, at.intune)]
        opened = f'[outgoing]\nconnectors = {json.dumps(places)}\nca_file = "{cloud.ca_file}"\n'
        settings_file = home / "regalia.toml"
        settings_file.write_text(settings_file.read_text("utf-8").replace("[outgoing]\n", opened))
        app = build(load_config({}, home=home))
        settings: dict[str, Any] = {
            "tenant": tenant.domains[0],
            "client_id": CLIENT_ID,
            "authority": at.login,
            "graph": at.graph,
            "common_name": "entra-device-id",
        }
        app.connectors.create("mdm", "intune", settings, CLIENT_SECRET, actor=ADMIN)
        app.registry.create_profile("managed", "default", PROFILE, actor=ADMIN)
        app.registry.create_endpoint(
            "managed", group="default", profile="managed", authoriser=Authoriser.CONNECTOR, connector="mdm", actor=ADMIN
        )
        apply(tenant, "edit-profile", {"profile": tenant.profiles.all()[0].id, "scep_urls": [URL]})
        made = Rehearsal(home, cloud, app)
        try:
            yield made
        finally:
            made.app.close()


@pytest.fixture
def here(scene: Scene, tmp_path: Path) -> Iterator[Rehearsal]:
    """Return one in which nothing is wrong yet."""
    folder = tmp_path / "lab"
    folder.mkdir()
    with rehearsal(scene.home, folder) as made:
        yield made


# --- what is planted, and how it is mended ----------------------------------------------------------------------------


@functools.cache
def _credential() -> tuple[str, str]:
    """Make a key and its certificate: PEM of both, and of the certificate alone."""
    key = rsa_key(1)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "regalia")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=2))
        .not_valid_after(now + timedelta(days=365))
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(Encoding.PEM).decode()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode() + pem, pem


def _with_certificate(here: Rehearsal, *, uploaded: bool) -> None:
    """Have the connector sign in with a certificate."""
    both, alone = _credential()
    if uploaded:
        here.tenant("credentials", application=CLIENT_ID, certificates=[alone])
    here.app.connectors.change(here.connector, {"credential": "certificate"}, secret=both, actor=ADMIN)


def _upload(here: Rehearsal) -> None:
    here.tenant("credentials", application=CLIENT_ID, certificates=[_credential()[1]])
    # A credential that was refused is not tried again for fifteen seconds.
    here.reopen()


def _older_ra(here: Rehearsal) -> None:
    """Have the RA certificate be one of an older make: of the same key, and it may sign alone."""
    door = here.app.store.door("managed")
    assert door is not None
    key = x509.load_der_x509_certificate(door.ra.certificate_der).public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    now = datetime.now(UTC)
    shape = Shape(ca=False, usage=("digital_signature",), not_before=now, not_after=now + timedelta(days=300))
    older = ForeignCa("older").certify(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ra")]), key, shape)
    with closing(sqlite3.connect(here.home / "regalia.db", isolation_level=None)) as database:
        statement = "UPDATE credential SET certificate_der = ? WHERE key_id = ?"
        der = older.public_bytes(Encoding.DER)
        assert database.execute(statement, (der, door.ra.key_id.bytes)).rowcount == 1
    # Nobody tells the home of what is written past it.
    here.reopen()


def _rotated(here: Rehearsal) -> None:
    here.app.rollover.rotate_ra("default", actor=ADMIN)


def _clock_off(here: Rehearsal) -> None:
    """With a secret the device would still get a certificate, whose times are wrong."""
    _with_certificate(here, uploaded=True)
    here.moved(timedelta(hours=2))


def _clock_right(here: Rehearsal) -> None:
    here.moved(None)
    here.reopen()


def _no_trust(here: Rehearsal) -> None:
    here.cloud.present(trusted=False)


def _late_challenge(here: Rehearsal) -> None:
    here.tenant("service", challenge_seconds=-60)


def _other_name(here: Rehearsal) -> None:
    here.asks["subject"] = ((COMMON_NAME, "domain-controller"),)


def _other_group(here: Rehearsal) -> None:
    """The device has the profile and its challenge from before it was assigned to another group."""
    here.handed = here.delivery()
    here.tenant("edit-profile", profile=here.cloud.tenant.profiles.all()[0].id, groups=[])


def _right_group(here: Rehearsal) -> None:
    here.handed = None
    groups = [sample_tenant().groups.all()[1].id]
    here.tenant("edit-profile", profile=here.cloud.tenant.profiles.all()[0].id, groups=groups)


@dataclass(frozen=True)
class Mistake:
    """One of them."""

    plant: Callable[[Rehearsal], None]
    says: tuple[str, ...]
    """What stands in one line of doctor, or in what `enrolment show` says first."""
    remedy: str
    mend: Callable[[Rehearsal], None]


BY_DOCTOR = {
    "wrong secret": Mistake(
        lambda here: here.secret("not-the-secret"),
        ("mdm: sign-in with Entra ID for Graph", "CON-023", "AADSTS7000215: the client secret is wrong"),
        "Certificates & secrets > New client secret; then `regalia connector set-secret`",
        lambda here: here.secret(CLIENT_SECRET),
    ),
    "missing permission": Mistake(
        lambda here: here.tenant("grant", application=CLIENT_ID, intune_roles=[]),
        ("mdm: Intune scep_challenge_provider", "CON-024"),
        "API permissions > Add a permission > Intune > Application permissions > scep_challenge_provider",
        lambda here: here.tenant("grant", application=CLIENT_ID, intune_roles=INTUNE_ROLES),
    ),
    "wrong thumbprint": Mistake(
        lambda here: _with_certificate(here, uploaded=False),
        ("mdm: sign-in with Entra ID for Graph", "CON-023", "AADSTS700027", "upload it under Certificates & secrets"),
        "Certificates & secrets > Certificates > Upload certificate",
        _upload,
    ),
    "RA without keyEncipherment": Mistake(
        _older_ra,
        ("the RA certificate of default-ca-1 lacks keyEncipherment", "0x8010002c"),
        "regalia ca rotate-ra",
        _rotated,
    ),
    "clock off": Mistake(
        _clock_off,
        ("mdm: sign-in with Entra ID for Graph", "AADSTS700024: the assertion is out of its time"),
        "Set this machine's clock (NTP)",
        _clock_right,
    ),
    "wrong tenant": Mistake(
        lambda here: here.change(tenant="nowhere.example"),
        ("mdm: sign-in with Entra ID for Graph", "CON-023", "AADSTS90002: there is no such tenant"),
        "Overview > Directory (tenant) ID; then `regalia connector change NAME --set tenant=ID`",
        lambda here: here.change(tenant=here.cloud.tenant.domains[0]),
    ),
    "TLS": Mistake(
        _no_trust,
        ("mdm: sign-in with Entra ID for Graph", "CON-026", "its certificate is not accepted"),
        "outgoing.ca_file",
        lambda here: here.cloud.present(trusted=True),
    ),
    "proxy": Mistake(
        lambda here: here.fault(FaultKind.PROXY),
        ("mdm: sign-in with Entra ID for Graph", "CON-027", "HTTP 407"),
        "Let a proxy or web filter pass",
        lambda here: here.cloud.journal.clear_faults(),
    ),
    "throttling": Mistake(
        lambda here: here.fault(FaultKind.THROTTLED, retry_after=5),
        ("mdm: sign-in with Entra ID for Graph", "CON-021", "HTTP 429, again in 5 s"),
        "retry by themselves",
        lambda here: here.cloud.journal.clear_faults(),
    ),
}
BY_ENROLMENT = {
    "expired challenge": Mistake(
        _late_challenge,
        ("Refused at stage evidence", "ChallengeExpired", "the challenge has expired"),
        "synchronise it in Intune",
        lambda here: here.tenant("service", challenge_seconds=3600),
    ),
    "subject mismatch": Mistake(
        _other_name,
        ("Refused at stage evidence", "SubjectNameMismatch", "the request's subject is not the profile's"),
        "put the value into quotation marks",
        lambda here: here.asks.clear(),
    ),
    "profile on the wrong group": Mistake(
        _other_group,
        ("Refused at stage evidence", "ScepProfileNoLongerTargetedToTheClient"),
        "See the profile's assignments in Intune",
        _right_group,
    ),
}
IDS = {"expired challenge": "CON-002", "subject mismatch": "CON-003", "profile on the wrong group": "CON-005"}


@pytest.mark.parametrize("mistake", BY_DOCTOR.values(), ids=BY_DOCTOR)
def test_doctor_names_the_mistake_and_its_fix(here: Rehearsal, mistake: Mistake) -> None:
    """One line of doctor has the exact fault, the next what to do; once that is done the very same device enrols."""
    assert [each for each in here.doctor() if each.name in {"connector", "credential"}] == []
    mistake.plant(here)
    with pytest.raises(DeviceError):
        here.enrol()
    problems = here.doctor()
    named = [each for each in problems if all(word in each.finding for word in mistake.says)]
    assert len(named) == 1, problems
    assert mistake.remedy in named[0].remedy
    mistake.mend(here)
    assert [each for each in here.doctor() if each.name in {"connector", "credential"}] == []
    assert here.enrol().certificate is not None


@pytest.mark.parametrize(("name", "mistake"), BY_ENROLMENT.items(), ids=BY_ENROLMENT)
def test_an_enrolment_names_the_mistake_and_its_fix(here: Rehearsal, name: str, mistake: Mistake) -> None:
    """The refused enrolment has Intune's code, what it means and what to do; then the very same device enrols."""
    mistake.plant(here)
    with pytest.raises(DeviceError):
        here.enrol()
    shown = here.shown()
    explanation = shown["explanation"]
    assert (shown["reason"], explanation["page"]) == (IDS[name], f"docs/errors/{IDS[name]}.md")
    assert [word for word in mistake.says if word not in explanation["headline"]] == []
    assert mistake.remedy in explanation["remedy"]
    told = here.told()
    assert explanation["headline"] in told
    assert f"Next:       {explanation['remedy']}" in told
    assert [step["stage"] for step in shown["stages"] if step["ok"] is False] == ["evidence"]
    mistake.mend(here)
    assert here.enrol().certificate is not None


def test_what_is_asked_stands_beside_what_is_on_record(here: Rehearsal) -> None:
    """A device whose names Intune refuses is told with its record, and with the name that is nothing of it."""
    held = here.enrol()
    assert held.certificate is not None
    here.asks["subject"] = ((COMMON_NAME, "domain-controller"),)
    with pytest.raises(DeviceError):
        here.enrol()
    shown = here.shown()["on_record"]
    assert shown["name"] == DEVICE
    assert shown["differs"] == ["cn:domain-controller"]
    assert "Not in it:  cn:domain-controller" in here.told()


def test_an_enrolment_that_went_well_tells_each_stage(here: Rehearsal) -> None:
    """MDM's verdict, names, policy and delivery are stages, each with what was said."""
    here.enrol()
    (enrolment,) = json.loads(here.ran("enrolment", "list", "--state", "issued", "--json"))
    shown = json.loads(here.ran("enrolment", "show", enrolment["id"], "--json"))
    stages = {step["stage"]: (step["ok"], step["note"]) for step in shown["stages"]}
    assert [each for each in stages if each in {"evidence", "names", "policy", "delivery"}] == [
        *("evidence", "names", "policy", "delivery")
    ]
    assert "Intune validateRequest: Success" in stages["evidence"][1]
    assert shown["allowed"][0] in stages["names"][1]
    assert (stages["delivery"][0], "was told of the certificate" in stages["delivery"][1]) == (True, True)
    assert shown["on_record"]["differs"] == []


@pytest.mark.parametrize("ended", [False, True], ids=["not-told-yet", "refused"])
def test_a_delivery_that_did_not_go_well_is_told(here: Rehearsal, *, ended: bool) -> None:
    """R8: a certificate of which Intune took no note is not called issued alone, and what to do stands beside it."""
    kind = FaultKind.UNKNOWN_CODE if ended else FaultKind.UNAVAILABLE
    here.cloud.journal.order(Fault(HopName.INTUNE, kind, "successNotification"))
    with pytest.raises(DeviceError):
        here.enrol()
    (enrolment,) = json.loads(here.ran("enrolment", "list", "--state", "issued", "--json"))
    shown = json.loads(here.ran("enrolment", "show", enrolment["id"], "--json"))
    last = shown["stages"][-1]
    assert (last["stage"], last["ok"]) == ("delivery", False if ended else None)
    wanted = "Issued, and revoked: connector mdm said ChallengeFromTheFuture" if ended else "still to be told"
    assert wanted in shown["explanation"]["headline"]
    assert shown["explanation"]["remedy"]


@pytest.mark.parametrize("permission", sorted(GRAPH_ROLES - {"DeviceManagementConfiguration.Read.All"}))
def test_each_permission_is_tried_by_itself(here: Rehearsal, permission: str) -> None:
    """Without one permission of Graph doctor names that one, with the way to it, and no other one."""
    here.change(risk=True, groups=[sample_tenant().groups.all()[0].id])
    here.tenant("grant", application=CLIENT_ID, graph_roles=GRAPH_ROLES - {permission})
    (named,) = [each for each in here.doctor() if each.name == "connector"]
    assert f"mdm: Graph {permission}: CON-024" in named.finding
    assert f"Microsoft Graph > Application permissions > {permission}" in named.remedy


def test_a_secret_that_ends_soon_is_named_in_time(here: Rehearsal) -> None:
    """A client secret is told while it still works, with its end as Entra ID has it."""
    here.tenant("secret", application=CLIENT_ID, days=10)
    (named,) = [each for each in here.doctor(Level.WARN) if "client secret" in each.finding]
    (secret,) = here.cloud.tenant.applications[CLIENT_ID].secrets
    assert f"valid until {secret.expires:%Y-%m-%d}" in named.finding
    assert "set-secret" in named.remedy
    assert here.enrol().certificate is not None


def test_a_clock_that_is_off_is_named_with_a_secret_too(here: Rehearsal) -> None:
    """With a client secret a wrong clock keeps nobody out, and doctor names it all the same: certificates carry it."""
    here.moved(timedelta(hours=2))
    (named,) = [each for each in here.doctor() if each.name == "connector"]
    assert "mdm: clock: 7" in named.finding
    assert "seconds off Entra ID's" in named.finding
    assert "NTP" in named.remedy


def test_the_thumbprint_of_the_profile_is_compared_by_the_device(here: Rehearsal) -> None:
    """A SCEP profile with another root never reaches us: the device's own log says so, with what it was shown."""
    here.asks["root_thumbprint"] = "ab" * 20
    with pytest.raises(DeviceError, match="hash value is not correct"):
        here.enrol()
    assert json.loads(here.ran("enrolment", "list", "--json")) == []


def test_a_device_of_another_tenant_is_named(here: Rehearsal) -> None:
    """Where the connector signs in to another tenant than the devices', the refusal says so."""
    other = sample_tenant(2, "other.example")
    here.cloud.tenants.add(other)
    challenge = mint(here.cloud.challenges, other, other.managed.all()[0], other.profiles.all()[0])
    here.asks["challenge"] = challenge
    with pytest.raises(DeviceError):
        here.enrol()
    shown = here.shown()
    assert shown["reason"] == "CON-001"
    assert "ChallengeDecryptionError" in shown["explanation"]["headline"]
    assert "another tenant" in shown["explanation"]["remedy"]
