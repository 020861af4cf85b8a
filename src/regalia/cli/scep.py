"""`regalia scep`: our SCEP client, for any server that offers AES and SHA-256. Opens no home.

What is done is told on stderr while it happens; stdout has the result alone.
"""

from __future__ import annotations

import hashlib
import os
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import TYPE_CHECKING, Annotated, Final

import typer

from regalia import reasons
from regalia.cli.options import Json, examples, noun_app
from regalia.cli.output import note, print_json, print_record, print_table, say, warn
from regalia.cli.secret import one_line, secret_in
from regalia.cli.span import read_span
from regalia.errors import AdminError, PeerError
from regalia.model import Names, SanKind
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
_DEFAULT_KEY_BITS: Final = 2048
_LONGEST_WAIT: Final = 30 * 86_400
"""Seconds: how long a Regalia keeps a request pending by default."""

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
Wait = Annotated[
    str | None,
    typer.Option(
        "--wait",
        metavar="SPAN",
        show_default=False,
        help="Ask again for so long while the server has not decided: 90s, 60m, 8h or 7d.",
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
def enrol(  # noqa: PLR0913 - one for each option
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
    wait: Wait = None,
    as_json: Json = False,
) -> None:
    """Get a first certificate with a challenge (PKCSReq).

    The transaction is kept in a file beside --cert until the server has answered. A run that was interrupted goes on
    with it, and `regalia scep poll` asks what became of a request that the server keeps pending.
    """
    from regalia.cli.scep_open import answered, begun, keep, unfinished  # noqa: PLC0415 - as in _client
    from regalia.client.files import check_writable  # noqa: PLC0415 - as in _client

    _check_fingerprint(fingerprint)
    patience = _patience(wait)
    names = Names(cn, _sans(cn, dns or []))
    secret = _read_challenge(challenge_file, challenge)
    check_writable(cert)
    earlier = unfinished(cert, url, key, names)
    private = _key(key, key_size)
    with _client(url) as client:
        server = client.server(fingerprint or (earlier.pin if earlier is not None else None))
        _tell_warnings(server.ca)
        opened = (earlier or begun(client, server, url, (key, private), names, cert)).opened
        issued = answered(
            lambda: client.submit(server, private, opened, challenge=secret),
            lambda seconds: client.wait(server, private, opened, seconds=seconds),
            patience=patience,
            cert=cert,
            forget=earlier is None,
        )
    keep(issued, cert)
    _tell_issued(issued, key, cert, as_json=as_json)


@app.command(
    epilog=examples("scep poll --cert laptop-1.pem", "scep poll --cert laptop-1.pem --wait 8h --json"),
)
def poll(
    *,
    cert: Annotated[
        Path,
        typer.Option("--cert", readable=False, metavar="FILE", help="Where `scep enrol` was to write the certificate."),
    ],
    url: Annotated[
        str | None,
        typer.Option("--url", metavar="URL", show_default=False, help="Another URL than the one that was enrolled at."),
    ] = None,
    key: Annotated[
        Path | None,
        typer.Option(
            "--key", readable=False, metavar="FILE", show_default=False, help="The key, if it was moved since; PEM."
        ),
    ] = None,
    fingerprint: Fingerprint = None,
    wait: Wait = None,
    as_json: Json = False,
) -> None:
    """Ask for a certificate that the server kept pending (CertPoll)."""
    from regalia.cli.scep_open import answered, keep  # noqa: PLC0415 - as in _client
    from regalia.client.files import check_writable, load_key  # noqa: PLC0415 - as in _client
    from regalia.client.transaction import load_transaction, transaction_file  # noqa: PLC0415 - as in _client

    _check_fingerprint(fingerprint)
    patience = _patience(wait)
    kept = load_transaction(transaction_file(cert))
    check_writable(cert)
    private = load_key(key or kept.key)
    if not kept.is_for(private):
        raise AdminError(reasons.CLIENT_FILE, f"{key or kept.key} is another key than the one of the request")
    with _client(url or kept.url) as client:
        server = client.server(fingerprint or kept.pin)
        _tell_warnings(server.ca)
        issued = answered(
            lambda: client.poll(server, private, kept.opened),
            lambda seconds: client.wait(server, private, kept.opened, seconds=seconds),
            patience=patience,
            cert=cert,
            forget=True,
        )
    keep(issued, cert)
    _tell_issued(issued, key or kept.key, cert, as_json=as_json)


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


def _patience(wait: str | None) -> float | None:
    if wait is None:
        return None
    seconds = read_span("--wait", wait).total_seconds()
    if not 1 <= seconds <= _LONGEST_WAIT:
        raise AdminError(reasons.USAGE, "--wait must lie between 1 second and 30 days")
    return seconds


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
        return one_line(argument, "--challenge", reasons.CLIENT_FILE)
    if file is not None:
        return secret_in(file, reasons.CLIENT_FILE)
    if CHALLENGE_VARIABLE in os.environ:
        return one_line(os.environ[CHALLENGE_VARIABLE], CHALLENGE_VARIABLE, reasons.CLIENT_FILE)
    warn(f"no challenge is sent: give one with --challenge-file or {CHALLENGE_VARIABLE}")
    return None


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
