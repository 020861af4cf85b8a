"""From a wipe that is told by signed web hook to `revoked` from every process that answers OCSP."""

from __future__ import annotations

import http.client
import json
import subprocess
import time
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509 import ocsp

from regalia.net.web_hook import SIGNATURE_HEADER, TIMESTAMP_HEADER
from regalia.ports.fleet import Bearer
from regalia.ra.alert_message import signature_of
from regalia.wire.certificate import read_certificate
from regalia.wire.public_key import key_bits
from tools.bench.fleet_filling import CONNECTOR, device_id, fill_fleet
from tools.bench.homes import Home, door_of, environment, make_home, opened, program, served
from tools.bench.load import free_port
from tools.bench.measure import VoidRunError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

__all__ = ["seconds_to_revoked"]

_GIVE_UP_SECONDS: Final = 30.0
_CONNECTIONS: Final = 8
"""Of each node, so that each of its workers has some."""
_WARM_UP: Final = 3
_TAKEN: Final = 202


def seconds_to_revoked(directory: Path, url: str | None, *, devices: int, wipes: int) -> list[float]:
    """Wipe so many devices one after the other; the seconds of each until no process says `good` any more.

    On PostgreSQL, which `url` names, there are two nodes, and the message goes to the first one; on SQLite there is
    one with two workers. Raises `VoidRunError` where an answer is wrong before or after.
    """
    home = make_home(directory / "first", url)
    fleet = fill_fleet(home, url, devices=devices, certificates=devices)
    with opened(home) as app:
        key, issuer = app.hook_key(fleet.connector).encode(), door_of(app, "default").authority.certificate_der
        now = app.clock.now()
        bearers = [Bearer(device_id(number), None) for number in range(1, wipes + _WARM_UP + 1)]
        rows = app.store.live_certificates(bearers, now)
        questions = [_question(issuer, rows[bearer][0].serial) for bearer in bearers]
    with ExitStack() as stack:
        settings = {"REGALIA_MASTER_KEY_FILE": str(home.path / "master.key")}
        nodes = [home] if url is None else [home, _joined(home, url, settings)]
        for node in nodes:
            stack.enter_context(served(node, "--workers", "2" if url is None else "1", settings=settings))
        asked = [http.client.HTTPConnection("127.0.0.1", node.port) for node in nodes for _ in range(_CONNECTIONS)]
        for connection in asked:
            stack.callback(connection.close)
        took = [_wiped(home, key, f"INV-{number:07}", question, asked) for number, question in enumerate(questions, 1)]
    return took[_WARM_UP:]


def _joined(first: Home, url: str, settings: Mapping[str, str]) -> Home:
    """Make another node on the same database."""
    node = Home(first.path.with_name("second"), free_port())
    subprocess.run(
        program("init", "--database", url),
        check=True,
        env=environment(node.path) | dict(settings),
        capture_output=True,
    )
    return node


def _question(issuer: bytes, serial: int) -> bytes:
    certificate = x509.load_der_x509_certificate(issuer)
    name, key = hashes.Hash(hashes.SHA256()), hashes.Hash(hashes.SHA256())
    name.update(certificate.subject.public_bytes())
    key.update(key_bits(read_certificate(issuer).public_key))
    builder = ocsp.OCSPRequestBuilder()
    asked = builder.add_certificate_by_hash(name.finalize(), key.finalize(), serial, hashes.SHA256())
    return asked.build().public_bytes(serialization.Encoding.DER)


def _wiped(
    home: Home, key: bytes, external_id: str, question: bytes, asked: Sequence[http.client.HTTPConnection]
) -> float:
    """Tell a wipe and ask everybody until all know; seconds from the moment before it was told."""
    if {_status(each, question) for each in asked} != {ocsp.OCSPCertStatus.GOOD}:
        raise VoidRunError(f"{external_id} is not good before it is wiped")
    body = json.dumps({"id": f"wipe-{external_id}", "devices": [{"id": external_id, "pending": "wipe"}]}).encode()
    began = time.monotonic()
    _tell(home.port, key, body)
    for each in asked:
        while _status(each, question) is not ocsp.OCSPCertStatus.REVOKED:
            if time.monotonic() - began > _GIVE_UP_SECONDS:
                raise VoidRunError(f"{external_id} is good after {_GIVE_UP_SECONDS:g} s")
    return time.monotonic() - began


def _status(connection: http.client.HTTPConnection, question: bytes) -> ocsp.OCSPCertStatus:
    connection.request("POST", "/ocsp/default-ca-1", question, {"Content-Type": "application/ocsp-request"})
    return ocsp.load_der_ocsp_response(connection.getresponse().read()).certificate_status


def _tell(port: int, key: bytes, body: bytes) -> None:
    at = int(time.time())
    headers = {TIMESTAMP_HEADER: str(at), SIGNATURE_HEADER: signature_of(key, at, body)}
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=_GIVE_UP_SECONDS)) as connection:
        connection.request("POST", f"/hooks/{CONNECTOR}", body, headers)
        answer = connection.getresponse()
        if answer.status != _TAKEN:
            raise VoidRunError(f"the message was answered {answer.status}")
