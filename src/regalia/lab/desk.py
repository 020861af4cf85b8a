"""A laboratory that runs, from another process: its directory, its control API, and what its devices have.

The directory belongs to the laboratory alone. It says so in a file of its own, and what it says is read nowhere else.
"""

from __future__ import annotations

import http.client
import json
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from regalia.lab.devices.device import Held

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["MARK", "Desk", "DeskError", "keep", "kept", "prepared"]

MARK: Final = "regalia-lab.json"
"""The file by which a directory is known as a laboratory's."""
_SECONDS: Final = 30.0


class DeskError(Exception):
    """There is no laboratory, or it does not do that."""


def prepared(folder: Path) -> Path:
    """Make a directory for a laboratory; a `DeskError` for one that holds anything else."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if any(folder.iterdir()) and not (folder / MARK).exists():
        raise DeskError(f"{folder} holds other things: give a directory that is empty or does not exist")
    return folder


@dataclass(frozen=True, slots=True)
class Desk:
    """The control API of a laboratory."""

    folder: Path
    values: Mapping[str, Any]
    """What the laboratory wrote when it started."""

    @classmethod
    def at(cls, folder: Path) -> Desk:
        """Find the laboratory of a directory; a `DeskError` where there is none."""
        try:
            return cls(folder, json.loads((folder / MARK).read_text(encoding="utf-8")))
        except (OSError, ValueError) as error:
            raise DeskError(f"{folder} is no laboratory's: `regalia lab start DIR` makes one") from error

    def ask(self, method: str, path: str, body: Mapping[str, object] | None = None) -> Any:  # noqa: ANN401 - JSON
        """Ask; a `DeskError` where nobody answers, or the answer is no."""
        address = urlsplit(str(self.values["control"]))
        context = ssl.create_default_context(cafile=str(self.folder / "lab-ca.pem"))
        connection = http.client.HTTPSConnection(
            address.hostname or "", address.port, timeout=_SECONDS, context=context
        )
        try:
            content = None if method == "GET" else json.dumps(dict(body or {}))
            connection.request(method, quote(path), content, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            read = json.loads(answer.read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise DeskError(f"nobody answers at {self.values['control']}: does `regalia lab start` run?") from error
        finally:
            connection.close()
        if answer.status != http.client.OK:
            raise DeskError(str(read.get("error", answer.status)))
        return read

    def change(self, name: str, /, **arguments: object) -> None:
        """Have something happen to the tenant."""
        self.ask("POST", "/changes", {"change": name, **arguments})


def _drawer(folder: Path, device: str) -> Path:
    return folder / "devices" / quote(device, safe="")


def keep(folder: Path, device: str, held: Held) -> Path:
    """Keep what a device has; return where."""
    drawer = _drawer(folder, device)
    drawer.mkdir(mode=0o700, parents=True, exist_ok=True)
    key = held.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path = drawer / "device.key"
    path.touch(mode=0o600)
    path.write_bytes(key)
    (drawer / "device.pem").write_bytes(held.certificate.public_bytes(Encoding.PEM))
    facts = {"url": held.url, "transaction": held.transaction}
    (drawer / "device.json").write_text(json.dumps(facts), encoding="utf-8")
    return drawer


def kept(folder: Path, device: str) -> Held | None:
    """Return what a device has; None where it never enrolled."""
    drawer = _drawer(folder, device)
    if not (drawer / "device.json").exists():
        return None
    key = load_pem_private_key((drawer / "device.key").read_bytes(), None)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise DeskError(f"{drawer} holds a key of another kind")
    certificate = x509.load_pem_x509_certificate((drawer / "device.pem").read_bytes())
    facts = json.loads((drawer / "device.json").read_text(encoding="utf-8"))
    return Held(key, certificate, facts["url"], facts["transaction"])
