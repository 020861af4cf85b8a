"""The rehearsal: a root goes off-line, an issuing CA is rolled over, last night's backup comes back on a new machine.

Real parts in the order in which an administrator meets them, with live certmonger and strongSwan; the page in
docs/tasks that each step is from stands beside it. The backup is of the night before the rollover, which is the worst
case: the new authority and everything that it issued are not in it.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import shutil
import threading
import tomllib
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest
from cryptography import x509

from interop.certmonger import ENROL_SECONDS, running_certmonger
from interop.checks import check_certificate
from interop.openssl import RelyingParty, fetch, read_certificate
from interop.programs import ProgramError, run, run_anyhow, wait_for
from interop.server import Server, free_port, running_server, serving
from interop.strongswan import StrongSwan
from postgres import running_postgres

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from interop.certmonger import Certmonger

pytestmark = [
    pytest.mark.live_client("openssl"),
    pytest.mark.live_client("strongswan"),
    pytest.mark.live_client("certmonger"),
    pytest.mark.timeout(900),
]

CRL_SECONDS = 180
"""Thrice the 60 s within which a CRL is published."""


@dataclass(frozen=True)
class Laptop:
    """A device with strongSwan's `pki`, its key and its newest certificate."""

    device: StrongSwan
    cn: str
    key: Path
    held: Path

    @classmethod
    def enrolled(cls, directory: Path, server: Server, cn: str) -> Laptop:
        """Enrol it (docs/tasks/enrol-devices.md, strongSwan)."""
        directory.mkdir()
        device = StrongSwan(directory, server.scep)
        device.fetch_ca()
        key, dns = device.new_key("key"), f"{cn}.example.com"
        held = device.enrol(key, cn=cn, dns=dns, challenge=server.challenge(cn=cn, dns=dns))
        return cls(device, cn, key, held.rename(directory / "held.pem"))

    def renew(self) -> Path:
        """Renew with the certificate that it holds."""
        return self.device.renew(self.key, cn=self.cn, old_key=self.key, old=self.held)

    @property
    def serial(self) -> int:
        """Of the certificate that it holds."""
        return read_certificate(self.held).serial_number


@dataclass(frozen=True)
class Evening:
    """What is left when the machine has burnt: what lay elsewhere, and the devices."""

    directory: Path
    port: int
    """Where certificates that are out say that status is told."""
    early: Laptop
    """Enrolled before the backup."""
    late: Laptop
    """Enrolled after it, by an authority that the backup knows."""
    revoked: Laptop
    """The same, and revoked before the fire."""
    moved: Path
    """`early`'s renewal by the authority that the backup does not know."""
    handed_out: str
    """A challenge from before the backup that nobody used."""

    @property
    def mirror(self) -> Path:
        """The CRLs as they were published last."""
        return self.directory / "mirror"

    def party(self, name: str) -> RelyingParty:
        """Somebody who relies on certificates, with nothing remembered."""
        (self.directory / name).mkdir(exist_ok=True)
        return RelyingParty(self.directory / name, f"http://127.0.0.1:{self.port}")


def did(server: Server, *arguments: str) -> str:
    """Run a command of the administrator's that must succeed; what it printed."""
    ended = server.regalia(*arguments)
    assert ended.returncode == 0, f"{arguments}: {ended.stderr}"
    return ended.stdout


@contextmanager
def leading(port: int, to: int) -> Iterator[None]:
    """Let the old address lead to the new one, as docs/tasks/upgrade-and-backup.md asks for."""

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", to)

        async def copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
            while octets := await source.read(65_536):
                target.write(octets)
            target.close()

        await asyncio.gather(copy(reader, back), copy(there, writer), return_exceptions=True)

    loop = asyncio.new_event_loop()
    listening = loop.run_until_complete(asyncio.start_server(pass_on, "127.0.0.1", port))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        listening.close()
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0.1))
        loop.close()


WHOLE = pytest.mark.long


@pytest.mark.parametrize(
    ("grows", "whole"),
    [
        pytest.param(True, False, id="grows"),
        pytest.param(True, True, id="grows-whole", marks=WHOLE),
        pytest.param(False, True, id="shrinks-whole", marks=WHOLE),
    ],
)
def test_the_worst_evening(tmp_path: Path, *, grows: bool, whole: bool) -> None:
    """From the docs alone: root off-line, rollover under live clients, restore elsewhere; all are told the truth.

    It grows from SQLite to PostgreSQL, or shrinks. What is left out where it is not whole does not change what follows:
    looking at everything in between, and certmonger's fresh start.
    """
    (tmp_path / "cm").mkdir()
    with running_postgres() as cluster, running_certmonger(tmp_path / "cm") as certmonger:
        database = cluster.create("regalia")
        evening = before_the_fire(tmp_path, certmonger, None if grows else database)
        home = restored(evening, database if grows else None)
        port = port_of(home)
        with serving(home, port) as server, leading(evening.port, port):
            if whole:
                nothing_is_wrong(server)
            status_is_the_truth(evening)
            nobody_from_later_is_believed(evening, server, certmonger)
            the_lost_authority_ends(evening, server)
            party = strongswan_enrols_anew(evening, server)
            if whole:
                certmonger_enrols_anew(server, certmonger, party)
            nothing_is_wrong(server)


# --- before ---------------------------------------------------------------------------------------------------------


def before_the_fire(directory: Path, certmonger: Certmonger, database: str | None) -> Evening:
    """Set up, enrol, take the root away, back up, go on, roll over; then the machine is gone."""
    place = directory / "day"
    place.mkdir()
    with running_server(place, database) as server:  # docs/tasks/install.md
        certmonger.add_ca(server.scep)  # docs/tasks/enrol-devices.md
        certmonger.enrol(cn="cm", dns="cm.example.com", challenge=server.challenge(cn="cm", dns="cm.example.com"))
        early = Laptop.enrolled(directory / "early", server, "early")
        handed_out = server.challenge(cn="unused")
        the_night(directory, server)
        late = Laptop.enrolled(directory / "late", server, "late")
        revoked = Laptop.enrolled(directory / "gone", server, "gone")
        server.revoke(revoked.serial)  # docs/tasks/revoke.md
        moved = rolled_over(directory, server, certmonger, early)
        port = int(server.device.rpartition(":")[2])
        evening = Evening(directory, port, early, late, revoked, moved, handed_out)
        its_crl = server.home / "crl" / "published" / "default-ca-1.crl"
        wait_for("the CRL", lambda: revoked.serial in listed(its_crl.read_bytes()) or None, seconds=CRL_SECONDS)
        shutil.copytree(server.home / "crl" / "published", evening.mirror)  # docs/tasks/upgrade-and-backup.md
    (place / "home").rename(directory / "burnt")
    return evening


def the_night(directory: Path, server: Server) -> None:
    """Take the root off-line (docs/tasks/root-offline.md), and back up (docs/tasks/upgrade-and-backup.md)."""
    (directory / "stick").mkdir()
    did(server, "ca", "offline", "root", "--to", str(directory / "stick"))
    refused = server.regalia("group", "create", "branch")
    assert "ADM-009" in refused.stderr
    key, recipient, night = (str(directory / name) for name in ("backup.key", "backup.pub", "night.regalia"))
    did(server, "backup", "key", "--private", key, "--public", recipient)
    did(server, "backup", "create", "--to", night, "--recipient", recipient)
    did(server, "backup", "verify", night, "--key", key)
    shutil.copy(server.home / "master.key", directory / "master.key.copy")


def rolled_over(directory: Path, server: Server, certmonger: Certmonger, early: Laptop) -> Path:
    """Roll over while devices renew (docs/tasks/roll-over-an-authority.md); the renewal by the new authority."""
    stick = str(directory / "stick")
    made = json.loads(did(server, "ca", "rotate", "default", "--overlap", "30d", "--root-key", stick, "--json"))
    told = json.loads(did(server, "scep", "nextca", "--url", server.scep, "--json"))
    assert [row["sha256"] for row in told if row["role"] == "next CA"] == [made["sha256"]]
    assert issuer_of(certmonger.renew()) == "default-ca-1"
    did(server, "ca", "export", "default-ca-2", "--out", str(directory / "default-ca-2.pem"))
    with ThreadPoolExecutor(1) as beside:
        renewing = beside.submit(early.renew)
        server.activate("default-ca-2")
        between = renewing.result().rename(directory / "between.pem")
    assert issuer_of(between) in {"default-ca-1", "default-ca-2"}
    assert issuer_of(certmonger.renew()) == "default-ca-2"
    # Asked again with the certificate from before, the same request would have the same answer (R3).
    moved = replace(early, held=between).renew().rename(directory / "moved.pem")
    assert issuer_of(moved) == "default-ca-2"
    party = directory / "before"
    party.mkdir()
    check_certificate(moved, server=server, relying_party=RelyingParty(party, server.device))
    return moved


# --- after ----------------------------------------------------------------------------------------------------------


def restored(evening: Evening, database: str | None) -> Path:
    """Restore on the new machine: another path, port and database (docs/tasks/upgrade-and-backup.md)."""
    place = evening.directory / f"new-{secrets.token_hex(2)}"
    place.mkdir()
    there = Server(place / "home", f"http://127.0.0.1:{free_port()}", 0)
    crls = {name: str(evening.mirror / f"{name}.crl") for name in ("root", "default-ca-1", "default-ca-2")}
    opening = (
        "--key",
        str(evening.directory / "backup.key"),
        "--master-key",
        str(evening.directory / "master.key.copy"),
    )
    where = ("--url", there.device, *(("--database", database) if database is not None else ()))
    command = ("backup", "restore", str(evening.directory / "night.regalia"), *opening, *where)
    lost = there.regalia(*command, "--crl", crls["root"], "--crl", crls["default-ca-2"])
    assert "ADM-062" in lost.stderr, "the CRL of an authority that the backup does not know"
    done = did(there, *command, "--crl", crls["root"], "--crl", crls["default-ca-1"], "--json")
    assert json.loads(done)["not_on_record"] == 1
    assert json.loads(done)["challenges_closed"] == 1
    return there.home


def nothing_is_wrong(server: Server) -> None:
    """Ask doctor, the log and the audit of what was issued, as the pages say."""
    problems = [check for check in server.doctor() if check["level"] == "problem"]
    assert problems == []
    server.verify_events()
    assert json.loads(did(server, "cert", "audit", "--json"))["findings"] == 0


def status_is_the_truth(evening: Evening) -> None:
    """OCSP, CRL and their numbers, asked at the addresses that the certificates carry."""
    party = evening.party("after")
    told = {laptop.cn: party.ocsp_status(laptop.held) for laptop in (evening.early, evening.late, evening.revoked)}
    assert told == {"early": "good", "late": "unknown", "gone": "revoked"}
    assert party.accepts_with_crl(evening.early.held)
    assert not party.accepts_with_crl(evening.revoked.held)
    crl = fetch(f"http://127.0.0.1:{evening.port}/crl/default-ca-1.crl")
    assert number_of(crl) > number_of((evening.mirror / "default-ca-1.crl").read_bytes())
    # Of the lost authority nobody can tell: neither good nor anything else.
    asked = run_anyhow(
        *("openssl", "ocsp", "-issuer", evening.directory / "default-ca-2.pem", "-cert", evening.moved),
        *("-url", f"http://127.0.0.1:{evening.port}/ocsp/default-ca-2", "-noverify"),
    )
    assert b"unauthorized" in asked.stdout + asked.stderr


def nobody_from_later_is_believed(evening: Evening, server: Server, certmonger: Certmonger) -> None:
    """Renewals and GetCert with certificates from after the backup are refused, and the log says why."""
    for laptop, held in ((evening.late, evening.late.held), (evening.early, evening.moved)):
        device = StrongSwan(laptop.device.directory, server.scep)
        with pytest.raises(ProgramError, match="badRequest"):
            device.renew(laptop.key, cn=laptop.cn, old_key=laptop.key, old=held)
    before = certmonger.certificate.read_bytes()
    certmonger.ask_again()
    wait_for("certmonger to hear of it", lambda: "ca-error:" in certmonger.listed() or None, seconds=ENROL_SECONDS)
    assert certmonger.certificate.read_bytes() == before
    files = (
        "--cert",
        str(evening.late.held),
        "--key",
        str(evening.late.key),
        "--out",
        str(evening.directory / "again"),
    )
    assert server.regalia("scep", "getcert", "--url", server.scep, *files).returncode == 1
    anew = StrongSwan(evening.late.device.directory, server.scep)
    with pytest.raises(ProgramError, match="badRequest"):
        anew.enrol(evening.late.key, cn="unused", dns="unused", challenge=evening.handed_out)
    reasons = {event["reason"] for event in server.events() if event["action"] == "enrolment.refused"}
    assert {"SCEP-059", "SCEP-042"} <= reasons


def the_lost_authority_ends(evening: Evening, server: Server) -> None:
    """Have the root say that the lost authority is revoked (docs/tasks/upgrade-and-backup.md)."""
    lost, stick = "default-ca-2", str(evening.directory / "stick")
    party = evening.party("verifier")
    did(server, "ca", "import", lost, "--certificate", str(evening.directory / f"{lost}.pem"))
    did(server, "ca", "crl", lost, "--import", str(evening.mirror / f"{lost}.crl"))
    assert party.accepts_with_crl(evening.moved), "its last CRL is served until it ends"
    did(server, "ca", "revoke", lost, "--reason", "cessation-of-operation", "--root-key", stick, "--yes")
    root = fetch(f"http://127.0.0.1:{evening.port}/crl/root.crl")
    assert read_certificate(evening.directory / f"{lost}.pem").serial_number in listed(root)
    assert number_of(root) > number_of((evening.mirror / "root.crl").read_bytes())
    made = did(server, "ca", "rotate", "default", "--overlap", "never", "--root-key", stick, "--json")
    assert json.loads(made)["name"] == "default-ca-3"


def strongswan_enrols_anew(evening: Evening, server: Server) -> RelyingParty:
    """A device from later enrols with a new challenge (docs/tasks/enrol-devices.md); one from before renews."""
    again = Laptop.enrolled(evening.directory / "again-late", server, "late")
    (evening.directory / "anew").mkdir()
    party = RelyingParty(evening.directory / "anew", server.device)
    check_certificate(again.held, server=server, relying_party=party)
    early = StrongSwan(evening.early.device.directory, server.scep)
    early.fetch_ca()
    renewed = early.renew(evening.early.key, cn="early", old_key=evening.early.key, old=evening.early.held)
    check_certificate(renewed, server=server, relying_party=party)
    return party


def certmonger_enrols_anew(server: Server, certmonger: Certmonger, party: RelyingParty) -> None:
    """The other one forgets what it had, and enrols (docs/tasks/enrol-devices.md, certmonger)."""
    for verb in (("stop-tracking", "-s", "-i", "device"), ("remove-ca", "-s", "-c", "regalia")):
        run("getcert", *verb, environment=certmonger.environment)
    certmonger.key.unlink()
    certmonger.certificate.unlink()
    certmonger.add_ca(server.scep)
    anew = certmonger.enrol(cn="cm", dns="cm.example.com", challenge=server.challenge(cn="cm", dns="cm.example.com"))
    check_certificate(anew, server=server, relying_party=party)


def port_of(home: Path) -> int:
    """Read which port the restored home's URL names."""
    told = tomllib.loads((home / "regalia.toml").read_text("utf-8"))["server"]["url"]
    return int(told.rpartition(":")[2])


def issuer_of(path: Path) -> str:
    """Name the authority that issued a certificate: its common name is `Regalia NAME HASH`."""
    return read_certificate(path).issuer.rfc4514_string().split()[1]


def listed(crl: bytes) -> set[int]:
    """Read which serials a CRL lists."""
    return {entry.serial_number for entry in x509.load_der_x509_crl(crl)}


def number_of(crl: bytes) -> int:
    """Read a CRL's number."""
    return x509.load_der_x509_crl(crl).extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
