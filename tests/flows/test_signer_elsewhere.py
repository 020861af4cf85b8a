"""A signer as a service of its own: by a UNIX socket, and on another host by TLS, for all groups or for one."""

from __future__ import annotations

import json
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from cluster import environment, regalia
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from fleet import Fleet
from test_signer import one_node, opened

from interop.programs import run, wait_for
from interop.server import free_port
from regalia import reasons
from regalia.errors import UnavailableError
from world import ADMIN

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from uuid import UUID

    from cluster import Node

    from regalia.app import App
    from regalia.errors import Reason

pytestmark = [pytest.mark.real, pytest.mark.timeout(200)]

SECONDS = 30


@dataclass(frozen=True)
class Pki:
    """One authority and certificates of it, as an administrator makes them for the link between two hosts."""

    directory: Path
    key: ec.EllipticCurvePrivateKey
    name: x509.Name

    @classmethod
    def made(cls, directory: Path, name: str) -> Pki:
        """Make the authority."""
        directory.mkdir()
        pki = cls(
            directory,
            ec.generate_private_key(ec.SECP256R1()),
            x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]),
        )
        pki._write("ca", pki.key, None)
        return pki

    @property
    def authority(self) -> Path:
        """Its certificate."""
        return self.directory / "ca.crt"

    def certificate(self, name: str) -> tuple[Path, Path]:
        """Make one; return its file and its key's."""
        self._write(name, ec.generate_private_key(ec.SECP256R1()), name)
        return self.directory / f"{name}.crt", self.directory / f"{name}.key"

    def _write(self, file: str, key: ec.EllipticCurvePrivateKey, dns: str | None) -> None:
        now = datetime.now(UTC)
        subject = self.name if dns is None else x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, dns)])
        builder = (
            x509.CertificateBuilder(self.name, subject, key.public_key(), x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=dns is None, path_length=None), critical=True)
        )
        if dns is not None:
            builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(dns)]), critical=False)
        made = builder.sign(self.key, hashes.SHA256())
        (self.directory / f"{file}.crt").write_bytes(made.public_bytes(serialization.Encoding.PEM))
        path = self.directory / f"{file}.key"
        path.touch(0o600)
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )


@contextmanager
def signing(home: Path, *options: str, variables: dict[str, str] | None = None) -> Iterator[Path]:
    """Run `regalia signer` until the block ends; gives its log."""
    ready, log = home.with_suffix(".signer.json"), home.with_suffix(".signer.log")
    with ready.open("wb") as stdout, log.open("ab") as stderr:
        process = subprocess.Popen(
            regalia("signer", *options, "--json"),
            env=environment(home, variables),
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
        )
    try:
        wait_for("regalia signer", lambda: _said(process, ready, log), seconds=SECONDS)
        yield log
    finally:
        process.terminate()
        assert process.wait(SECONDS) == 0


def _said(process: subprocess.Popen[bytes], ready: Path, log: Path) -> bool | None:
    assert process.poll() is None, log.read_text(encoding="utf-8")
    return ready.read_bytes().endswith(b"\n") or None


def _set(node: Node, **settings: str | list[str]) -> None:
    """Write settings of `[signer]` into the home's file, where the server and the commands find them."""
    file = node.home / "regalia.toml"
    lines = "".join(f"{name} = {json.dumps(value)}\n" for name, value in settings.items())
    file.write_text(file.read_text(encoding="utf-8").replace("[signer]\n", f"[signer]\n{lines}"), encoding="utf-8")


def enrol(node: Node, count: int) -> None:
    """Have devices enrol."""
    with opened(node.home) as app:
        fleet = Fleet([node.device], app, clients=1)
        fleet.start()
        fleet.wait_for(count)
        fleet.stop()
        assert fleet.failed == []


def test_a_service_with_a_key_of_its_own_signs(tmp_path: Path) -> None:
    """SEC-1: serve and commands sign by a UNIX socket, under a key that they do not have; CA keys are made there."""
    with one_node(tmp_path, None, workers=1) as node:
        own = tmp_path / "keys" / "signer.key"
        own.parent.mkdir(0o700)
        run(*regalia("key", "separate-signer", "--to", str(own), "--yes"), environment=environment(node.home))
        path = tmp_path / "s.sock"
        _set(node, address=f"unix:{path}")
        with signing(node.home, "--socket", str(path), variables={"REGALIA_SIGNER_KEY_FILE": str(own)}) as log:
            run(*regalia("group", "create", "second"), environment=environment(node.home))
            node.start()
            assert node.log("signer-started") == []
            enrol(node, 2)
            assert node.stop() == 0
            assert '"no_network": true' in log.read_text(encoding="utf-8")
        with opened(node.home) as app, pytest.raises(UnavailableError) as away:
            app.crls.publish(app.store.authorities()[-1].name)
        assert away.value.reason is reasons.SIGNER_AWAY


def test_a_group_whose_key_is_at_one_site_only(tmp_path: Path) -> None:
    """A group's key is born at its site, behind TLS 1.3 with names; while that is away, the other groups go on."""
    pki = Pki.made(tmp_path / "link", "link")
    server, client = pki.certificate("localhost"), pki.certificate("node-1")
    with one_node(tmp_path, None, workers=1) as node:
        # The site's machine sees the database, and has a key of its own that this node never sees.
        site = tmp_path / "site"
        site.mkdir(0o700)
        (site / "regalia.toml").write_text(
            f'[database]\nurl = "sqlite:///{node.home / "regalia.db"}"\n', encoding="utf-8"
        )
        (site / "signer.key").touch(0o600)
        (site / "signer.key").write_text("5a" * 32 + "\n", encoding="ascii")
        port = free_port()
        _set(
            node,
            routes=[f"plant=tcp:localhost:{port}"],
            certificate=str(client[0]),
            key=str(client[1]),
            authority=str(pki.authority),
        )
        options = ("--listen", f"127.0.0.1:{port}", "--tls-cert", str(server[0]), "--tls-key", str(server[1]))
        with signing(site, *options, "--client-ca", str(pki.authority), "--client", "node-1"):
            with opened(node.home) as app:
                group = app.registry.create_group("plant", actor=ADMIN)
                plant = app.store.authority(group.authority)
                assert plant is not None
                assert app.keys.holds(plant.key_id)
                app.crls.publish(plant.name)
            node.start()
            enrol(node, 1)
        enrol(node, 1)
        with opened(node.home) as app:
            with pytest.raises(UnavailableError) as away:
                app.crls.publish(plant.name)
            assert away.value.reason is reasons.SIGNER_AWAY
            app.crls.publish(app.store.authorities()[1].name)
        assert node.stop() == 0


def test_callers_without_the_right_certificate_are_refused(tmp_path: Path) -> None:
    """SEC-1: another authority's certificate, another name and none at all get no answer, and are in the log."""
    pki, other = Pki.made(tmp_path / "link", "link"), Pki.made(tmp_path / "other", "link")
    server = pki.certificate("localhost")
    shown = {"stranger": pki.certificate("stranger"), "forger": other.certificate("node-1")}
    with one_node(tmp_path, None, workers=1) as node:
        port = free_port()
        options = ("--listen", f"127.0.0.1:{port}", "--tls-cert", str(server[0]), "--tls-key", str(server[1]))
        with signing(node.home, *options, "--client-ca", str(pki.authority), "--client", "node-1") as log:
            answered: dict[str, Reason] = {}
            for name, (certificate, key) in shown.items():
                settings = {
                    "REGALIA_SIGNER__ADDRESS": f"tcp:localhost:{port}",
                    "REGALIA_SIGNER__CERTIFICATE": str(certificate),
                    "REGALIA_SIGNER__KEY": str(key),
                    "REGALIA_SIGNER__AUTHORITY": str(pki.authority),
                }
                with opened(node.home, settings) as app, pytest.raises(UnavailableError) as refused:
                    app.crls.publish(app.store.authorities()[1].name)
                answered[name] = refused.value.reason
            assert answered == {"stranger": reasons.SIGNER_REFUSED, "forger": reasons.SIGNER_AWAY}
            told = [line for line in log.read_text(encoding="utf-8").splitlines() if "signer-stranger" in line]
            assert len(told) >= len(shown)
            assert any("as stranger" in line for line in told)


def test_a_signer_answers_as_often_as_it_was_told(tmp_path: Path) -> None:
    """RES-5: beyond `signer.per_second` a caller is told to come again, and then it is answered."""
    with one_node(tmp_path, None, workers=1) as node:
        path = tmp_path / "s.sock"
        slow = {"REGALIA_SIGNER__PER_SECOND": "1"}
        with (
            signing(node.home, "--socket", str(path), variables=slow),
            opened(node.home, {"REGALIA_SIGNER__ADDRESS": f"unix:{path}"}) as app,
        ):
            key = app.store.authorities()[1].key_id
            with pytest.raises(UnavailableError) as busy:
                assert [app.keys.holds(key) for _ in range(100)]
            assert busy.value.reason is reasons.SIGNER_BUSY
            wait_for("its answer", lambda: _answers(app, key), seconds=SECONDS)


def _answers(app: App, key: UUID) -> bool | None:
    try:
        return app.keys.holds(key)
    except UnavailableError:
        return None
