"""The programs that the tests run and Debian ships: which are missing, and how to install them without side effects."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

__all__ = ["install", "missing", "temporary_file", "undone_when_terminated"]

_NEEDED = {
    "certmonger": "certmonger",
    "dbus-daemon": "dbus-daemon",  # dbus-run-session, for certmonger
    "strongswan-pki": "strongswan-pki",
    "libstrongswan-standard-plugins": "libstrongswan-standard-plugins",
    "libstrongswan-extra-plugins": "libstrongswan-extra-plugins",  # the HTTP fetcher of strongSwan's pki
    "scep": "scep",  # micromdm's scepclient
    "postgresql": "postgresql",
    "openssl": "openssl",
    "curl": "curl",
    "ca-certificates": "ca-certificates",  # whom strongSwan and certmonger trust under TLS
    "nginx-light": "nginx-light",  # the proxies that devices reach us through
    "haproxy": "haproxy",
    "caddy": "caddy",
    "softhsm2": "softhsm2",  # a PKCS#11 token for the keys of CAs
    "opensc": "opensc",  # pkcs11-tool, which looks at the token's objects
    "gnutls-bin": "gnutls-bin",  # certtool and ocsptool: other eyes than OpenSSL's
    "libnss3-tools": "libnss3-tools",  # certutil, vfychain and crlutil: NSS's
    "chromium": "chromium",  # a browser with a virtual authenticator
    "iproute2": "iproute2",  # ip, for the network namespaces that documented commands run in
}
"""What must be there, and the package that brings it."""

_POLICY = Path("/usr/sbin/policy-rc.d")
_CLUSTERS = Path("/etc/postgresql-common/createcluster.d/regalia-tests.conf")


def missing() -> list[str]:
    """Return the packages to install, sorted; empty when everything is there."""
    return sorted(package for name, package in _NEEDED.items() if not _is_installed(name))


def install(packages: list[str]) -> bool:
    """Install as root, quietly, starting no service and creating no database cluster."""
    with ExitStack() as stack:
        stack.enter_context(undone_when_terminated())
        if not _POLICY.exists():  # a container's own policy stays
            stack.enter_context(
                temporary_file(_POLICY, "#!/bin/sh\n# No service is started by these installations.\nexit 101\n")
            )
            _POLICY.chmod(0o755)
        stack.enter_context(temporary_file(_CLUSTERS, "create_main_cluster = false\n"))
        return _apt("update") and _apt("install", "--yes", "--no-install-recommends", *packages)


def _is_installed(name: str) -> bool:
    if name == "postgresql":
        # The metapackage may be absent where only postgresql-15 is installed.
        return any(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    query = ["dpkg-query", "--show", "--showformat=${db:Status-Status}", name]
    if shutil.which(query[0]) is None:
        return False
    answer = subprocess.run(query, check=False, capture_output=True, text=True)
    return answer.returncode == 0 and answer.stdout == "installed"


def _apt(*arguments: str) -> bool:
    # --quiet=2 prints errors only; the lock may be held by an update that the machine runs at its start.
    command = ["apt-get", "--quiet=2", "--option", "DPkg::Lock::Timeout=300", *arguments]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    answer = subprocess.run(
        command,
        check=False,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if answer.returncode != 0:
        print(answer.stdout)
    return answer.returncode == 0


@contextmanager
def temporary_file(path: Path, text: str) -> Iterator[None]:
    """Let a file be there for a while, and its directories for good only if they were."""
    made = [parent for parent in path.parents if not parent.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        for parent in made:
            if parent.is_dir() and not any(parent.iterdir()):
                parent.rmdir()


@contextmanager
def undone_when_terminated() -> Iterator[None]:
    """Turn SIGTERM into an exception, so that what was put in place is taken away again."""

    def stop(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
