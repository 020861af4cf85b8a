"""What the commands of `regalia scep` share: the client itself, its keys, and how results are told."""

from __future__ import annotations

import hashlib
import os
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from regalia import reasons
from regalia.cli.output import note, print_record, utc, warn
from regalia.client.authorities import ending
from regalia.client.files import is_there, load_key, pem, save_key
from regalia.client.keys import KeyType, generate_key, key_text
from regalia.client.scep import ScepClient
from regalia.errors import AdminError
from regalia.wire import oids
from regalia.wire.certificate import read_certificate
from regalia.wire.names import name_text, read_sans

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from regalia.client.keys import DeviceKey
    from regalia.client.scep import Issued, Server

__all__ = ["certificate_row", "client_of", "key_for", "tell_issued", "tell_warnings", "trusted"]


class _SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """The time, UTC."""
        return datetime.now(UTC)


class _SystemEntropy:
    """The machine's random octets."""

    def octets(self, count: int) -> bytes:
        """Random octets."""
        return os.urandom(count)


@contextmanager
def client_of(url: str) -> Iterator[ScepClient]:
    """Make a client that tells on stderr what it does."""
    # Imported here and not above: the help of these commands need not wait for an HTTP client.
    from regalia.client.transport import HttpTransport  # noqa: PLC0415 - as said above

    with HttpTransport() as transport:
        yield ScepClient(
            url,
            transport,
            _SystemClock(),
            _SystemEntropy(),
            pause=time.sleep,
            progress=lambda line: note(f"  {line}"),
        )


def trusted(client: ScepClient, fingerprint: str | None) -> Server:
    """Ask what the server is, and warn of what weakens the belief in it."""
    server = client.server(fingerprint)
    tell_warnings(server.ca.warnings)
    for facts in ending(server.ca.chain, _SystemClock().now()) if server.capabilities.next_ca else ():
        told = f"{name_text(facts.subject)} ends at {utc(facts.not_after)}"
        note(f"  {told}: `regalia scep nextca` fetches what follows it")
    return server


def tell_warnings(warnings: tuple[str, ...]) -> None:
    """Warn people on stderr."""
    for warning in warnings:
        warn(warning)


def key_for(path: Path, kind: KeyType | None, check: Callable[[DeviceKey], None] = lambda _: None) -> DeviceKey:
    """Load the key, or make it. It is on disk before it is certified: a certificate without its key is lost.

    `check` raises where the key cannot serve; then none is left behind.
    """
    if is_there(path):
        key = load_key(path)
        if kind is not None and key_text(key).lower() != kind:
            raise AdminError(reasons.CLIENT_FILE, f"{path} is of kind {key_text(key)}, and --key-type says {kind}")
        check(key)
        return key
    key = generate_key(kind or KeyType.RSA_2048)
    check(key)
    save_key(path, key)
    note(f"  made a key of kind {key_text(key)} in {path}")
    return key


def certificate_row(role: str, certificate: bytes) -> dict[str, object]:
    """Say what a certificate says."""
    facts = read_certificate(certificate)
    return {
        "role": role,
        "subject": name_text(facts.subject),
        "issuer": name_text(facts.issuer),
        "serial": f"{facts.serial:x}",
        "not_before": facts.not_before,
        "not_after": facts.not_after,
        "sha256": hashlib.sha256(certificate).hexdigest(),
        "sha1": hashlib.sha1(certificate, usedforsecurity=False).hexdigest(),
        "pem": pem([certificate]).decode("ascii"),
    }


def tell_issued(issued: Issued, key: Path, cert: Path, *, as_json: bool) -> None:
    """Print what was obtained."""
    facts = read_certificate(issued.certificate)
    alternative = facts.extension(oids.CE_SUBJECT_ALT_NAME)
    record: dict[str, object] = {
        "certificate": cert,
        "key": key,
        "subject": name_text(facts.subject),
        "names": sorted(str(san) for san in read_sans(alternative.value)) if alternative is not None else [],
        "issuer": name_text(facts.issuer),
        "serial": f"{facts.serial:x}",
        "not_before": facts.not_before,
        "not_after": facts.not_after,
        "sha256": hashlib.sha256(issued.certificate).hexdigest(),
        "transaction": issued.transaction,
    }
    print_record(record, as_json=as_json)
