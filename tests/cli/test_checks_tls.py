"""What doctor finds of the TLS listener for devices: a real home, a real listener, a clock that moves."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from fakes import FakeClock, SeededEntropy
from regalia.app import build
from regalia.app.device_tls import configured_files, device_tls
from regalia.cli.check import Check, Level
from regalia.cli.checks_tls import device_tls_checks
from regalia.config import load_config
from regalia.keys.admin_tls import make_admin_tls
from regalia.web.answers import NOT_FOUND
from regalia.web.serve import Listener
from web.asgi import listening

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cli.scene import Scene
    from regalia.app import App
    from regalia.config import Config
    from regalia.web.tls import TlsSource

pytestmark = pytest.mark.real

DAY = timedelta(days=1)


@dataclass
class Site:
    """A home and what is configured of its listener."""

    home: Path
    certificate: str = ""
    url: str = "http://pki.example.test:8080"

    def config(self, port: int) -> Config:
        """Read the configuration."""
        told = {"TLS_CERTIFICATE": self.certificate and f"{self.certificate}.crt", "URL": self.url}
        told |= {"TLS_KEY": self.certificate and f"{self.certificate}.key", "LISTEN_TLS": f"127.0.0.1:{port}"}
        return load_config({f"REGALIA_SERVER__{name}": value for name, value in told.items()}, home=self.home)

    @contextmanager
    def opened(self, port: int = 1) -> Iterator[App]:
        """Open the home."""
        app = build(self.config(port))
        try:
            yield app
        finally:
            app.close()

    def files(self, name: str, host: str = "pki.example.test") -> None:
        """Put certificate and key of the administrator's own into the home."""
        kept = {path: path.read_bytes() for path in (self.home / "admin.crt", self.home / "admin.key")}
        made = make_admin_tls(self.home, host, now=datetime.now(UTC), entropy=SeededEntropy(len(name)))
        made.certificate.rename(self.home / f"{name}.crt")
        made.key.rename(self.home / f"{name}.key")
        for path, octets in kept.items():
            path.write_bytes(octets)
            path.chmod(0o600)
        self.certificate = name


@pytest.fixture
def site(scene: Scene) -> Site:
    """A home as init leaves it."""
    return Site(scene.home)


def found(app: App) -> list[Check]:
    """Run the checks."""
    return list(device_tls_checks(app))


@contextmanager
def presenting(source: TlsSource) -> Iterator[int]:
    """Serve with a certificate; the port."""
    with listening(Listener("device-tls", NOT_FOUND, "127.0.0.1", 0, source)) as (bound,):
        yield bound.port


def test_without_the_listener_nothing_is_said(scene: Scene) -> None:
    """A home that serves no TLS has nothing to check there."""
    app = build(load_config({}, home=scene.home))
    assert found(app) == []
    app.close()


def test_an_issued_certificate_that_is_presented_is_fine(site: Site) -> None:
    """What the authority issued and the listener presents is good for its days, and told by its issuer."""
    with site.opened() as app:
        source = device_tls(app, None)
        with presenting(source) as port, site.opened(port) as told:
            checks = found(told)
    assert [check.level for check in checks] == [Level.OK, Level.OK]
    assert checks[0].finding.startswith("the certificate by default-ca-1 is good until ")
    assert checks[1].finding.endswith(" presents it")


def test_what_was_never_issued_or_ends_is_told(site: Site) -> None:
    """Before `serve` ran there is no certificate; a late renewal is worth a look; after its end there is none again."""
    with site.opened() as app:
        (none,) = found(app)
        assert (none.level, none.finding) == (
            Level.PROBLEM,
            "there is no good certificate for the device listener",
        )
        device_tls(app, None)
        later = [replace(app, clock=FakeClock(app.clock.now() + days * DAY)) for days in (61, 91)]
        assert [found(each)[0].level for each in later] == [Level.WARN, Level.PROBLEM]


def test_nothing_that_listens_is_a_problem(site: Site) -> None:
    """A port on which nothing speaks TLS is what devices see."""
    with site.opened() as app:
        device_tls(app, None)
        assert (found(app)[-1].level, "nothing speaks TLS on 127.0.0.1:1" in found(app)[-1].finding) == (
            Level.PROBLEM,
            True,
        )


def test_files_are_looked_at(site: Site) -> None:
    """A pair of files that is presented is fine; as it nears its end it is a warning, then a problem."""
    site.files("own")
    files = configured_files(site.config(1))
    assert files is not None
    with presenting(files) as port, site.opened(port) as app:
        assert [check.level for check in found(app)] == [Level.OK, Level.OK]
        later = [replace(app, clock=FakeClock(app.clock.now() + days * DAY)) for days in (380, 398)]
        assert [found(each)[0].level for each in later] == [Level.WARN, Level.PROBLEM]


def test_another_certificate_than_the_files_is_told(site: Site) -> None:
    """Where the listener could not take over new files, doctor sees what devices see."""
    site.files("old")
    files = configured_files(site.config(1))
    assert files is not None
    with presenting(files) as port:
        site.files("newer")
        with site.opened(port) as app:
            assert [check.level for check in found(app)] == [Level.OK, Level.WARN]
            assert "another certificate" in found(app)[1].finding


@pytest.mark.parametrize("host", ["other.example.test", "192.0.2.7"])
def test_a_name_that_does_not_match_is_told(site: Site, host: str) -> None:
    """A certificate for other names than the host of server.url is worth a look, with both names."""
    site.files("own", host)
    with site.opened() as app:
        (_, names, _) = found(app)
    assert names.level is Level.WARN
    assert f"{host}" in names.finding
    assert "pki.example.test" in names.finding


def test_a_key_that_all_can_read_is_a_problem(site: Site) -> None:
    """SEC-3: the world may not read the key; a group may, as Debian's ssl-cert does."""
    site.files("own")
    key = site.home / "own.key"
    with site.opened() as app:
        key.chmod(0o640)
        assert found(app)[0].level is Level.OK
        key.chmod(0o644)
        (only,) = found(app)
    assert only.level is Level.PROBLEM
    assert "own.key has mode 0644" in only.finding


@pytest.mark.parametrize("broken", ["missing", "mismatch", "nonsense"])
def test_files_of_no_use_are_a_problem(site: Site, broken: str) -> None:
    """Doctor says of broken files what the server's log says of them."""
    site.files("own")
    key = site.home / "own.key"
    if broken == "missing":
        key.unlink()
    else:
        key.write_bytes((site.home / "admin.key").read_bytes() if broken == "mismatch" else b"nonsense")
    with site.opened() as app:
        (only,) = found(app)
    assert only.level is Level.PROBLEM
    assert "own" in only.finding
