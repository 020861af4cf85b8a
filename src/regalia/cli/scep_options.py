"""Options of `regalia scep`, and what is wrong with their values, told before anything is sent."""

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer

from regalia import reasons
from regalia.cli.output import warn
from regalia.cli.secret import one_line, secret_in
from regalia.cli.span import read_span
from regalia.client.authorities import read_pin
from regalia.client.keys import KeyType
from regalia.errors import AdminError, PeerError
from regalia.model import San, SanKind
from regalia.wire.names import check_common_name, make_san

__all__ = [
    "CHALLENGE_VARIABLE",
    "AwaitedCertificateFile",
    "ChallengeFile",
    "ChallengeText",
    "CommonName",
    "DnsNames",
    "Fingerprint",
    "Form",
    "FormOption",
    "KeyTypeOption",
    "MovedKeyFile",
    "NewCertificateFile",
    "NewKeyFile",
    "OldCertificateFile",
    "OtherUrl",
    "Out",
    "OwnCertificateFile",
    "OwnKeyFile",
    "SerialOption",
    "SuccessorCertificateFile",
    "SuccessorKeyFile",
    "Url",
    "Wait",
    "check_fingerprint",
    "read_challenge",
    "read_names",
    "read_patience",
    "read_serial",
]

CHALLENGE_VARIABLE: Final = "REGALIA_SCEP_CHALLENGE"
_LONGEST_WAIT: Final = 30 * 86_400
"""Seconds: how long a Regalia keeps a request pending by default."""


class Form(StrEnum):
    """How something is written."""

    PEM = "pem"
    DER = "der"


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
NewKeyFile = Annotated[
    Path, typer.Option("--key", readable=False, metavar="FILE", help="The private key, PEM; made if it is not there.")
]
NewCertificateFile = Annotated[
    Path, typer.Option("--cert", readable=False, metavar="FILE", help="Where the new certificate goes, PEM.")
]
AwaitedCertificateFile = Annotated[
    Path,
    typer.Option("--cert", readable=False, metavar="FILE", help="Where `scep enrol` was to write the certificate."),
]
OtherUrl = Annotated[
    str | None,
    typer.Option("--url", metavar="URL", show_default=False, help="Another URL than the one that was enrolled at."),
]
MovedKeyFile = Annotated[
    Path | None,
    typer.Option(
        "--key", readable=False, metavar="FILE", show_default=False, help="The key, if it was moved since; PEM."
    ),
]
OldCertificateFile = Annotated[
    Path, typer.Option("--cert", readable=False, metavar="FILE", help="The certificate to renew, PEM.")
]
SuccessorKeyFile = Annotated[
    Path | None,
    typer.Option(
        "--new-key",
        readable=False,
        metavar="FILE",
        show_default=False,
        help="Renew for this key, made if it is not there; without it the key stays.",
    ),
]
SuccessorCertificateFile = Annotated[
    Path | None,
    typer.Option(
        "--new-cert",
        readable=False,
        metavar="FILE",
        show_default=False,
        help="Where the new certificate goes; without it, into the place of the old one.",
    ),
]
OwnKeyFile = Annotated[Path, typer.Option("--key", readable=False, metavar="FILE", help="Its private key, PEM.")]
OwnCertificateFile = Annotated[
    Path, typer.Option("--cert", readable=False, metavar="FILE", help="A certificate of this device, PEM.")
]
CommonName = Annotated[
    str | None, typer.Option("--cn", metavar="NAME", show_default=False, help="Common name to ask for.")
]
DnsNames = Annotated[
    list[str] | None,
    typer.Option("--dns", metavar="NAME", show_default=False, help="DNS name to ask for; may be repeated."),
]
ChallengeFile = Annotated[
    str | None,
    typer.Option(
        "--challenge-file",
        metavar="FILE",
        show_default=False,
        help=f"File with the challenge, or - for standard input; {CHALLENGE_VARIABLE} if not given.",
    ),
]
ChallengeText = Annotated[
    str | None,
    typer.Option(
        "--challenge", metavar="TEXT", show_default=False, help="The challenge itself: visible to every local user."
    ),
]
KeyTypeOption = Annotated[
    KeyType | None,
    typer.Option(
        "--key-type", show_default=KeyType.RSA_2048.value, help="Kind of a key that is made; only RSA can decrypt."
    ),
]
SerialOption = Annotated[
    str | None,
    typer.Option(
        "--serial",
        metavar="HEX",
        show_default="that of --cert",
        help="Serial of the certificate to fetch, hexadecimal.",
    ),
]
Out = Annotated[
    Path | None, typer.Option("--out", readable=False, metavar="FILE", show_default="stdout", help="Where to.")
]
FormOption = Annotated[Form, typer.Option("--format", help="PEM is text, DER the bare octets.")]


def check_fingerprint(text: str | None) -> None:
    """Tell a slip of the pen from a server that is another one: that is a misuse, told before anything is sent."""
    try:
        if text is not None:
            read_pin(text)
    except PeerError as fault:
        raise AdminError(reasons.USAGE, f"--fingerprint: {fault.detail}") from fault


def read_patience(wait: str | None) -> float | None:
    """Read --wait into seconds."""
    if wait is None:
        return None
    seconds = read_span("--wait", wait).total_seconds()
    if not 1 <= seconds <= _LONGEST_WAIT:
        raise AdminError(reasons.USAGE, "--wait must lie between 1 second and 30 days")
    return seconds


def read_names(cn: str | None, dns: list[str]) -> frozenset[San]:
    """Check the names before anything is sent: a name that no certificate may carry would only spend the challenge."""
    try:
        if cn is not None:
            check_common_name(cn)
        return frozenset(make_san(SanKind.DNS, name) for name in dns)
    except PeerError as fault:
        raise AdminError(reasons.USAGE, fault.detail) from fault


def read_serial(text: str | None) -> int | None:
    """Read --serial, as `openssl x509 -serial` prints it or with colons as in its -text."""
    if text is None:
        return None
    digits = text.strip().lower().removeprefix("serial=").removeprefix("0x").replace(":", "")
    try:
        return int(digits, 16)
    except ValueError:
        raise AdminError(reasons.USAGE, f"--serial: {text[:100]!a} is not hexadecimal") from None


def read_challenge(file: str | None, argument: str | None, *, look_around: bool = True) -> str | None:
    """Find the challenge: a file, standard input, the argument, or the environment. Its value is never told (CHA-4).

    With `look_around` off the environment is left alone: there a renewal could only find what it must not send (R4).
    """
    if file is not None and argument is not None:
        raise AdminError(reasons.USAGE, "--challenge and --challenge-file exclude each other")
    if argument is not None:
        warn("--challenge is visible to every user of this machine in the list of processes; use --challenge-file")
        return one_line(argument, "--challenge", reasons.CLIENT_FILE)
    if file is not None:
        return secret_in(file, reasons.CLIENT_FILE)
    if look_around and CHALLENGE_VARIABLE in os.environ:
        return one_line(os.environ[CHALLENGE_VARIABLE], CHALLENGE_VARIABLE, reasons.CLIENT_FILE)
    return None
