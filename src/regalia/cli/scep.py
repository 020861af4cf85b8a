"""`regalia scep`: our SCEP client, for any server that offers AES and SHA-256. Opens no home.

What is done is told on stderr while it happens; stdout has the result alone.
"""

from __future__ import annotations

import hashlib
import os
import sys
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from regalia import reasons
from regalia.cli.options import Json, examples, noun_app
from regalia.cli.output import note, print_json, print_record, print_table, say, warn
from regalia.errors import AdminError, PeerError
from regalia.model import SanKind
from regalia.wire import oids
from regalia.wire.certificate import read_certificate
from regalia.wire.names import check_common_name, make_san, name_text, read_sans

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

    from regalia.client.authorities import CaCertificates
    from regalia.client.scep import Issued, ScepClient
    from regalia.model import San

__all__ = ["app"]

CHALLENGE_VARIABLE: Final = "REGALIA_SCEP_CHALLENGE"
_STDIN: Final = "-"
_MAX_CHALLENGE: Final = 1024
_DEFAULT_KEY_BITS: Final = 2048

app = noun_app("Our SCEP client.")

Url = Annotated[str, typer.Option("--url", metavar="URL", help="The SCEP endpoint, as http://host:8080/scep/default.")]
Fingerprint = Annotated[
    str | None,
    typer.Option(
        "--fingerprint",
        metavar="HEX",
        show_default=False,
        help="SHA-256 of the root's, the issuing CA's or the RA's certificate, from `regalia ca show` on the server.",
    ),
]


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
def _client(url: str) -> Iterator[ScepClient]:
    # Imported here and not above: the help of these commands need not wait for an HTTP client.
    from regalia.client.scep import ScepClient  # noqa: PLC0415 - as said above
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


# --- caps and cacert ------------------------------------------------------------------------------------------------


@app.command(
    epilog=examples("scep caps --url http://127.0.0.1:8080/scep/default", "scep caps --json --url http://pki/scep/lab")
)
def caps(*, url: Url, as_json: Json = False) -> None:
    """Ask a server what it can (GetCACaps)."""
    with _client(url) as client:
        found = client.caps()
    if as_json:
        print_json({"keywords": sorted(found.keywords), "usable": found.strong})
        return
    for keyword in sorted(found.keywords):
        say(keyword)
    if not found.strong:
        raise PeerError(reasons.CLIENT_CAPS_WEAK, f"it offers {', '.join(sorted(found.keywords)) or 'nothing'}")


@app.command(
    epilog=examples(
        "scep cacert --url http://127.0.0.1:8080/scep/default --fingerprint 5f3a... --out ca.pem",
        "scep cacert --url http://127.0.0.1:8080/scep/default --json",
    )
)
def cacert(
    *,
    url: Url,
    fingerprint: Fingerprint = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", readable=False, metavar="FILE", show_default=False, help="Write the CA certificates here, as PEM."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Fetch a server's CA certificates (GetCACert), verify their chain and compare the fingerprint."""
    from regalia.client.files import check_writable, save_certificates  # noqa: PLC0415 - as in _client

    _check_fingerprint(fingerprint)
    if out is not None:
        check_writable(out)
    with _client(url) as client:
        believed = client.ca_certificates(fingerprint)
    _tell_warnings(believed)
    if out is not None:
        save_certificates(out, believed.chain)
        note(f"  wrote {len(believed.chain)} CA certificates to {out}")
    rows = [_certificate_row("RA", certificate) for certificate in _ra_certificates(believed)]
    rows += [_certificate_row("CA", certificate) for certificate in believed.chain]
    print_table(rows, ("role", "subject", "not_after", "sha256"), as_json=as_json)


def _ra_certificates(believed: CaCertificates) -> list[bytes]:
    every = dict.fromkeys((believed.recipient, *believed.signers))
    return [certificate for certificate in every if certificate not in believed.chain]


def _certificate_row(role: str, certificate: bytes) -> dict[str, object]:
    from regalia.client.files import pem  # noqa: PLC0415 - as in _client

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


def _tell_warnings(believed: CaCertificates) -> None:
    for warning in believed.warnings:
        warn(warning)


# --- enrol and renew ------------------------------------------------------------------------------------------------


@app.command(
    epilog=examples(
        "scep enrol --url http://127.0.0.1:8080/scep/default --fingerprint 5f3a... --cn laptop-1 "
        "--key laptop-1.key --cert laptop-1.pem --challenge-file challenge",
        "challenge create --endpoint default --cn laptop-1 --quiet | regalia scep enrol --challenge-file - "
        "--url http://127.0.0.1:8080/scep/default --key laptop-1.key --cert laptop-1.pem",
    )
)
def enrol(
    *,
    url: Url,
    key: Annotated[
        Path,
        typer.Option("--key", readable=False, metavar="FILE", help="The private key, PEM; made if it is not there."),
    ],
    cert: Annotated[
        Path, typer.Option("--cert", readable=False, metavar="FILE", help="Where the new certificate goes, PEM.")
    ],
    cn: Annotated[
        str | None, typer.Option("--cn", metavar="NAME", show_default=False, help="Common name to ask for.")
    ] = None,
    dns: Annotated[
        list[str] | None,
        typer.Option("--dns", metavar="NAME", show_default=False, help="DNS name to ask for; may be repeated."),
    ] = None,
    challenge_file: Annotated[
        str | None,
        typer.Option(
            "--challenge-file",
            metavar="FILE",
            show_default=False,
            help=f"File with the challenge, or - for standard input; {CHALLENGE_VARIABLE} if not given.",
        ),
    ] = None,
    challenge: Annotated[
        str | None,
        typer.Option(
            "--challenge", metavar="TEXT", show_default=False, help="The challenge itself: visible to every local user."
        ),
    ] = None,
    key_size: Annotated[
        int, typer.Option("--key-size", metavar="BITS", help="Size of a key that is made: 2048, 3072 or 4096.")
    ] = _DEFAULT_KEY_BITS,
    fingerprint: Fingerprint = None,
    as_json: Json = False,
) -> None:
    """Get a first certificate with a challenge (PKCSReq)."""
    from regalia.client.files import check_writable, save_certificates  # noqa: PLC0415 - as in _client

    _check_fingerprint(fingerprint)
    sans = _sans(cn, dns or [])
    secret = _read_challenge(challenge_file, challenge)
    check_writable(cert)
    private = _key(key, key_size)
    with _client(url) as client:
        server = client.server(fingerprint)
        _tell_warnings(server.ca)
        issued = client.enrol(server, private, cn=cn, sans=sans, challenge=secret)
    save_certificates(cert, [issued.certificate])
    _tell_issued(issued, key, cert, as_json=as_json)


@app.command(
    epilog=examples(
        "scep renew --url http://127.0.0.1:8080/scep/default --cert laptop-1.pem --key laptop-1.key",
        "scep renew --url http://127.0.0.1:8080/scep/default --cert laptop-1.pem --key laptop-1.key "
        "--new-key laptop-1-2.key --new-cert laptop-1-2.pem",
    )
)
def renew(
    *,
    url: Url,
    cert: Annotated[
        Path, typer.Option("--cert", readable=False, metavar="FILE", help="The certificate to renew, PEM.")
    ],
    key: Annotated[Path, typer.Option("--key", readable=False, metavar="FILE", help="Its private key, PEM.")],
    new_key: Annotated[
        Path | None,
        typer.Option(
            "--new-key",
            readable=False,
            metavar="FILE",
            show_default=False,
            help="Renew for this key, made if it is not there; without it the key stays.",
        ),
    ] = None,
    new_cert: Annotated[
        Path | None,
        typer.Option(
            "--new-cert",
            readable=False,
            metavar="FILE",
            show_default=False,
            help="Where the new certificate goes; without it, into the place of the old one.",
        ),
    ] = None,
    key_size: Annotated[
        int, typer.Option("--key-size", metavar="BITS", help="Size of a key that is made: 2048, 3072 or 4096.")
    ] = _DEFAULT_KEY_BITS,
    fingerprint: Fingerprint = None,
    as_json: Json = False,
) -> None:
    """Get the successor of a certificate, signed for with its key (RenewalReq)."""
    from regalia.client.files import (  # noqa: PLC0415 - as in _client
        check_writable,
        load_certificate,
        load_key,
        save_certificates,
    )

    _check_fingerprint(fingerprint)
    old, private = load_certificate(cert), load_key(key)
    if new_cert is not None:
        check_writable(new_cert)
    successor = _key(new_key, key_size) if new_key is not None else None
    with _client(url) as client:
        server = client.server(fingerprint)
        _tell_warnings(server.ca)
        issued = client.renew(server, old, private, successor)
    save_certificates(new_cert or cert, [issued.certificate], replace=new_cert is None)
    _tell_issued(issued, new_key or key, new_cert or cert, as_json=as_json)


def _check_fingerprint(text: str | None) -> None:
    """Tell a slip of the pen from a server that is another one: that is a misuse, told before anything is sent."""
    from regalia.client.authorities import read_pin  # noqa: PLC0415 - as in _client

    try:
        if text is not None:
            read_pin(text)
    except PeerError as fault:
        raise AdminError(reasons.USAGE, f"--fingerprint: {fault.detail}") from fault


def _sans(cn: str | None, dns: list[str]) -> frozenset[San]:
    """Check the names before anything is sent: a name that no certificate may carry would only spend the challenge."""
    try:
        if cn is not None:
            check_common_name(cn)
        return frozenset(make_san(SanKind.DNS, name) for name in dns)
    except PeerError as fault:
        raise AdminError(reasons.USAGE, fault.detail) from fault


def _read_challenge(file: str | None, argument: str | None) -> str | None:
    """Find the challenge: a file, standard input, the argument, or the environment. Its value is never told (CHA-4)."""
    if file is not None and argument is not None:
        raise AdminError(reasons.USAGE, "--challenge and --challenge-file exclude each other")
    if argument is not None:
        warn("--challenge is visible to every user of this machine in the list of processes; use --challenge-file")
        return _checked_challenge(argument, "--challenge")
    if file is not None:
        return _checked_challenge(_challenge_from(file), "standard input" if file == _STDIN else file)
    if CHALLENGE_VARIABLE in os.environ:
        return _checked_challenge(os.environ[CHALLENGE_VARIABLE], CHALLENGE_VARIABLE)
    warn(f"no challenge is sent: give one with --challenge-file or {CHALLENGE_VARIABLE}")
    return None


def _challenge_from(file: str) -> str:
    try:
        if file == _STDIN:
            octets = sys.stdin.buffer.read(_MAX_CHALLENGE + 2)
        else:
            with Path(file).open("rb") as source:
                octets = source.read(_MAX_CHALLENGE + 2)
        return octets.decode("utf-8")
    except OSError as fault:
        raise AdminError(reasons.CLIENT_FILE, f"{file} cannot be read: {fault.strerror}") from fault
    except UnicodeDecodeError as fault:
        raise AdminError(reasons.CLIENT_FILE, f"{file} is not text in UTF-8") from fault


def _checked_challenge(text: str, where: str) -> str:
    secret = text.rstrip("\r\n")
    if not secret or len(secret) > _MAX_CHALLENGE or not secret.isprintable():
        raise AdminError(reasons.CLIENT_FILE, f"{where} does not hold one line of text, which a challenge is")
    return secret


def _key(path: Path, bits: int) -> RSAPrivateKey:
    """Load the key, or make it. It is on disk before it is certified: a certificate without its key is lost."""
    from regalia.client.files import generate_key, is_there, load_key, save_key  # noqa: PLC0415 - as in _client

    if is_there(path):
        return load_key(path)
    key = generate_key(bits)
    save_key(path, key)
    note(f"  made an RSA-{bits} key in {path}")
    return key


def _tell_issued(issued: Issued, key: Path, cert: Path, *, as_json: bool) -> None:
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
