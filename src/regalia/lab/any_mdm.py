"""An MDM of nobody's in particular: it hands out challenges, vouches by signed web hooks, and tells when it wipes.

What an organisation writes for its own inventory, small enough to be read. Its devices and challenges lie in one file
of its directory, which the server and the commands both change under a lock.
"""

from __future__ import annotations

import fcntl
import hmac
import http.client
import json
import secrets
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from regalia.lab.desk import DeskError
from regalia.lab.serving import Servers, free_socket, make_tls

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from starlette.requests import Request

__all__ = ["MARK", "AnyMdm", "hand_out", "judged", "listed", "made", "wipe"]

MARK: Final = "any-mdm.json"
"""The file by which a directory is known as such an MDM's, with all that it knows."""
_OLD: Final = 300
"""Seconds after which a message is not believed."""
_SECONDS: Final = 15.0


def made(folder: Path, devices: int) -> dict[str, Any]:
    """Make the MDM of an empty or new directory, or return that of an earlier one. A `DeskError` for anything else."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not (folder / MARK).exists():
        if any(folder.iterdir()):
            raise DeskError(f"{folder} holds other things: give a directory that is empty or does not exist")
        known = {
            f"LAPTOP-{number:04}": {"id": f"asset-{number}", "serial": f"SN{number:06}", "wiped": False}
            for number in range(1, devices + 1)
        }
        (folder / MARK).touch(mode=0o600)
        key = secrets.token_hex(32)
        (folder / MARK).write_text(json.dumps({"key": key, "devices": known, "challenges": {}}), encoding="utf-8")
        (folder / "key").touch(mode=0o600)
        (folder / "key").write_text(key, encoding="ascii")
    with _state(folder) as state:
        return dict(state)


@contextmanager
def _state(folder: Path) -> Iterator[dict[str, Any]]:
    """Read what it knows, and keep what was changed of it, with nobody in between."""
    try:
        file = (folder / MARK).open("r+", encoding="utf-8")
    except OSError:
        raise DeskError(f"{folder} has no MDM: begin with `regalia lab mdm start`") from None
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        state: dict[str, Any] = json.load(file)
        yield state
        file.seek(0)
        file.truncate()
        json.dump(state, file)


def _device(state: Mapping[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] | None = state["devices"].get(name)
    if found is None:
        raise DeskError(f"there is no device {name}: `regalia lab mdm list` has them")
    return found


# --- what its console does --------------------------------------------------------------------------------------------


def listed(folder: Path) -> list[dict[str, Any]]:
    """List its devices."""
    with _state(folder) as state:
        return [{"name": name, **device} for name, device in state["devices"].items()]


def hand_out(folder: Path, name: str) -> str:
    """Make a challenge for a device's next request, as an MDM does when it sends a profile."""
    challenge = secrets.token_urlsafe(24)
    with _state(folder) as state:
        _device(state, name)
        state["challenges"][challenge] = name
    return challenge


def wipe(folder: Path, name: str, url: str, key: str) -> str:
    """Wipe a device, and tell Regalia of it by a signed message; returns the receipt."""
    with _state(folder) as state:
        device = _device(state, name)
        device["wiped"] = True
        message = {"id": secrets.token_hex(16), "devices": [{"id": device["id"], "pending": "wipe"}]}
    status, answer = _post(url, json.dumps(message).encode(), key)
    if status != http.client.ACCEPTED:
        raise DeskError(f"{url} answered {status}: {answer[:200].decode('utf-8', 'replace')}")
    return str(json.loads(answer)["receipt"])


def _post(url: str, body: bytes, key: str) -> tuple[int, bytes]:
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=_SECONDS)
    stamp = str(int(time.time()))
    headers = {
        "Content-Type": "application/json",
        "Regalia-Timestamp": stamp,
        "Regalia-Signature": _signature(key, stamp, body),
    }
    try:
        connection.request("POST", parts.path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except OSError as error:
        raise DeskError(f"{url} cannot be reached: {error}") from error
    finally:
        connection.close()


def _signature(key: str, stamp: str, body: bytes) -> str:
    return "v1=" + hmac.digest(key.encode(), f"{stamp}.".encode() + body, "sha256").hex()


# --- what it answers --------------------------------------------------------------------------------------------------


def judged(folder: Path, headers: Mapping[str, str], body: bytes, now: float) -> dict[str, Any] | None:
    """Answer a message; None for one that is not signed with its key, or not made now."""
    stamp = headers.get("regalia-timestamp", "")
    with _state(folder) as state:
        expected = _signature(state["key"], stamp, body)
        signed = hmac.compare_digest(expected.encode(), headers.get("regalia-signature", "").encode())
        if not signed or not stamp.isdigit() or abs(now - int(stamp)) > _OLD:
            return None
        message = json.loads(body)
        return _verdict(state, message) if message["type"] == "authorise" else {"noted": True}


def _verdict(state: dict[str, Any], message: Mapping[str, Any]) -> dict[str, Any]:
    """Say yes where the challenge was handed out for the device whose name is asked for. It is good for one key."""
    names, challenge = message.get("names") or {}, message.get("challenge") or ""
    held = state["challenges"].get(challenge)
    name, key = held if isinstance(held, list) else (held, None)
    if name is None:
        return _no("unknown-challenge", "this MDM has not handed it out")
    if key not in (None, message["key_sha256"]):
        return _no("used-challenge", f"it was used by another key, for {name}", security=True)
    if names.get("cn") != name:
        return _no("other-name", f"it was handed out for {name}, and {names.get('cn')} is asked for", security=True)
    device = state["devices"][name]
    if device["wiped"]:
        return _no("wiped", f"{name} was wiped")
    state["challenges"][challenge] = [name, message["key_sha256"]]
    record = {"id": device["id"], "name": name, "serial": device["serial"]}
    return {"verdict": "allow", "device": record, "names": {"cn": name}, "fresh": True, "note": device["id"]}


def _no(code: str, detail: str, *, security: bool = False) -> dict[str, Any]:
    return {"verdict": "refuse", "code": code, "detail": detail, "security": security}


class AnyMdm:
    """Its server, on a free port of this machine, between `start` and `stop`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        bound = free_socket()
        tls = make_tls(folder)
        self.ca_file = tls.ca
        self.url = f"https://127.0.0.1:{bound.getsockname()[1]}/judge"
        self._servers = Servers({bound: Starlette(routes=[Route("/judge", self._judge, methods=["POST"])])}, tls)

    def start(self) -> None:
        """Return when it answers."""
        self._servers.start()

    def stop(self) -> None:
        """End it."""
        self._servers.stop()

    async def _judge(self, request: Request) -> Response:
        body = await request.body()
        answer = await run_in_threadpool(judged, self._folder, request.headers, body, time.time())
        return Response(status_code=403) if answer is None else JSONResponse(answer)
