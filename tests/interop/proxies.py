"""Reverse proxies with the configurations of the documentation, and a client that chooses the address it comes from."""

from __future__ import annotations

import base64
import os
import re
import shutil
import socket
import subprocess
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from interop.programs import ProgramError, run, run_anyhow, wait_for
from interop.server import free_port
from regalia.client.transport import HttpAnswer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = ["HOST", "PROXIES", "Curl", "Proxy", "running_proxy"]

PAGE = Path(__file__).resolve().parents[2] / "docs" / "tasks" / "reverse-proxy.md"
HOST = "pki.example.org"
"""What the page's proxies are called."""
START_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy that runs."""

    name: str
    plain: int
    tls: int
    ca: Path
    """PEM of the certificate that it presents."""

    def url(self, scheme: str) -> str:
        """Return its address for `http` or `https`."""
        return f"{scheme}://{HOST}:{self.tls if scheme == 'https' else self.plain}"


@dataclass(frozen=True)
class Curl:
    """curl as the transport of our client: from an address of this machine, with headers of its choice."""

    source: str
    proxy: Proxy
    headers: tuple[str, ...] = ()
    get: bool = False
    """Whether messages go by GET."""
    statuses: list[int] = field(default_factory=list)

    def claiming(self, address: str, scheme: str = "https") -> Curl:
        """Return the same with every header that might make somebody believe that it is another address."""
        names = ("X-Forwarded-For", "X-Real-IP", "X-Client-IP", "True-Client-IP", "X-Cluster-Client-IP")
        claims = [f"{name}: {address}" for name in names]
        claims += [f"Forwarded: for={address};proto={scheme}", f"X-Forwarded-Proto: {scheme}"]
        return replace(self, headers=tuple(claims))

    def exchange(self, url: str, body: bytes | None) -> HttpAnswer:
        """Make one exchange; a message in the URL where it goes by GET."""
        if body is not None and self.get:
            url, body = f"{url}&message={quote(base64.b64encode(body), safe='')}", None
        given = [part for header in self.headers for part in ("--header", header)]
        way = [
            part for port in (self.proxy.plain, self.proxy.tls) for part in ("--resolve", f"{HOST}:{port}:127.0.0.1")
        ]
        post = ["--data-binary", "@-", "--header", "Content-Type: application/x-pki-message"] if body else []
        told = "--write-out", "%{stderr}%{http_code}"
        command = ("curl", "--silent", "--noproxy", "*", "--interface", self.source, "--cacert", self.proxy.ca)
        ended = run_anyhow(*command, *way, *given, *post, *told, url, stdin=body or b"")
        if ended.returncode != 0:
            raise ProgramError(f"curl ended with {ended.returncode}: {ended.stderr.decode()}")
        self.statuses.append(int(ended.stderr))
        return HttpAnswer(self.statuses[-1], ended.stdout)


@contextmanager
def running_proxy(name: str, directory: Path, device: str) -> Iterator[Proxy]:
    """Run a proxy in front of the device listener at this URL until the block ends, then stop it by its process id."""
    directory.mkdir()
    proxy = Proxy(name, free_port(), free_port(), directory / "pki.pem")
    key = directory / "pki.key"
    subject = ("-subj", f"/CN={HOST}", "-addext", f"subjectAltName=DNS:{HOST}")
    kind = ("-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2")
    run("openssl", "req", *kind, *subject, "-keyout", key, "-out", proxy.ca)
    (directory / "both.pem").write_bytes(proxy.ca.read_bytes() + key.read_bytes())
    command = PROXIES[name](directory, proxy, device.removeprefix("http://"))
    log = directory / "log"
    environment = {"PATH": f"{os.environ.get('PATH', os.defpath)}:/usr/sbin", "HOME": str(directory)}
    with (
        log.open("wb") as said,
        subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=said, stderr=said) as process,
    ):
        try:
            wait_for(name, lambda: _answers(process, proxy, log), seconds=START_SECONDS)
            yield proxy
        finally:
            process.terminate()
            try:
                process.wait(START_SECONDS)
            finally:
                process.kill()


def _answers(process: subprocess.Popen[bytes], proxy: Proxy, log: Path) -> bool | None:
    if process.poll() is not None:
        raise ProgramError(f"{proxy.name} ended with {process.returncode}:\n{log.read_text(errors='replace')}")
    try:
        for port in (proxy.plain, proxy.tls):
            with closing(socket.create_connection(("127.0.0.1", port), timeout=1)):
                pass
    except OSError:
        return None
    return True


def documented(language: str, changes: Mapping[str, str]) -> str:
    """Return a configuration of the page with this test's addresses and files in place of the page's.

    What is to be changed must be there: a page that no longer says it is not what is tested here.
    """
    text: str
    (text,) = re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    for old, new in changes.items():
        assert old in text, f"the page's {language} has no {old!r}"
        text = text.replace(old, new)
    return text


def _program(name: str) -> str:
    found = shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")
    assert found, f"{name} is missing"
    return found


def _nginx(directory: Path, proxy: Proxy, device: str) -> list[str]:
    changes = {
        "listen 80 ": f"listen 127.0.0.1:{proxy.plain} ",
        "listen 443 ": f"listen 127.0.0.1:{proxy.tls} ",
        "/etc/ssl/pki.example.org.pem": str(proxy.ca),
        "/etc/ssl/private/pki.example.org.key": str(directory / "pki.key"),
        "127.0.0.1:8080": device,
    }
    (directory / "regalia.conf").write_text(documented("nginx", changes), encoding="utf-8")
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "\n".join(f"{kind}_temp_path {directory}/{kind};" for kind in kinds)
    # Where Debian's own file would name a system user and its directories.
    user = "user root;\n" if os.geteuid() == 0 else ""
    whole = directory / "nginx.conf"
    whole.write_text(
        f"{user}daemon off;\npid {directory}/pid;\nerror_log stderr;\nevents {{}}\n"
        f"http {{\naccess_log off;\n{temporary}\ninclude {directory}/regalia.conf;\n}}\n",
        encoding="utf-8",
    )
    return [_program("nginx"), "-e", "stderr", "-p", str(directory), "-c", str(whole)]


def _haproxy(directory: Path, proxy: Proxy, device: str) -> list[str]:
    changes = {
        "bind :80\n": f"bind 127.0.0.1:{proxy.plain}\n",
        "bind :443 ": f"bind 127.0.0.1:{proxy.tls} ",
        "/etc/haproxy/pki.example.org.pem": str(directory / "both.pem"),
        "127.0.0.1:8080": device,
    }
    whole = directory / "haproxy.cfg"
    whole.write_text(documented("haproxy", changes), encoding="utf-8")
    return [_program("haproxy"), "-db", "-f", str(whole)]


def _caddy(directory: Path, proxy: Proxy, device: str) -> list[str]:
    changes = {
        "http://:80 {": f"http://:{proxy.plain} {{",
        "https://:443 {": f"https://:{proxy.tls} {{",
        # Its administration has a fixed port, and the tests need it not.
        "auto_https off": "auto_https off\n\tadmin off\n\tdefault_bind 127.0.0.1",
        "/etc/caddy/pki.example.org.pem": str(proxy.ca),
        "/etc/caddy/pki.example.org.key": str(directory / "pki.key"),
        "127.0.0.1:8080": device,
    }
    whole = directory / "Caddyfile"
    whole.write_text(documented("caddy", changes), encoding="utf-8")
    return [_program("caddy"), "run", "--config", str(whole), "--adapter", "caddyfile"]


PROXIES: dict[str, Callable[[Path, Proxy, str], list[str]]] = {"nginx": _nginx, "haproxy": _haproxy, "caddy": _caddy}
