"""`regalia scep caps|cacert|getcert|getcrl|nextca`: questions to a server that end nothing and issue nothing."""

import hashlib
import sys
from pathlib import Path
from typing import Annotated

import typer

from regalia import reasons
from regalia.cli.options import Json
from regalia.cli.output import note, print_json, print_record, print_table, say
from regalia.cli.scep_options import (
    Fingerprint,
    Form,
    FormOption,
    Out,
    OwnCertificateFile,
    OwnKeyFile,
    SerialOption,
    Url,
    check_fingerprint,
    read_serial,
)
from regalia.cli.scep_session import certificate_row, client_of, tell_warnings, trusted
from regalia.client.authorities import CaCertificates
from regalia.client.capabilities import Capabilities
from regalia.client.files import (
    check_writable,
    crl_pem,
    load_certificate,
    load_key,
    pem,
    save_certificates,
    save_public,
)
from regalia.client.requests import check_decrypts
from regalia.errors import AdminError, PeerError
from regalia.wire.certificate import read_certificate
from regalia.wire.names import name_text

__all__ = ["cacert", "caps", "getcert", "getcrl", "nextca"]

_COLUMNS = ("role", "subject", "not_after", "sha256")

CertificatesOut = Annotated[
    Path | None,
    typer.Option(
        "--out", readable=False, metavar="FILE", show_default=False, help="Write the CA certificates here, as PEM."
    ),
]


def caps(*, url: Url, as_json: Json = False) -> None:
    """Ask a server what it can (GetCACaps), and say what is weak or missing."""
    with client_of(url) as client:
        found = client.caps()
    if as_json:
        keywords, missing, weak = sorted(found.keywords), list(found.missing()), list(found.weak())
        print_json({"keywords": keywords, "usable": found.strong, "missing": missing, "weak": weak})
        return
    for keyword in sorted(found.keywords):
        say(keyword)
    _tell_doubts(found)
    if not found.strong:
        raise PeerError(reasons.CLIENT_CAPS_WEAK, f"it offers {', '.join(sorted(found.keywords)) or 'nothing'}")


def _tell_doubts(found: Capabilities) -> None:
    for what, doubts in (("missing", found.missing()), ("weak", found.weak())):
        for keyword, meaning in doubts.items():
            note(f"{keyword}: {meaning}", title=what)


def cacert(*, url: Url, fingerprint: Fingerprint = None, out: CertificatesOut = None, as_json: Json = False) -> None:
    """Fetch a server's CA certificates (GetCACert), verify their chain and compare the fingerprint."""
    check_fingerprint(fingerprint)
    if out is not None:
        check_writable(out)
    with client_of(url) as client:
        believed = client.ca_certificates(fingerprint)
    tell_warnings(believed.warnings)
    if out is not None:
        save_certificates(out, believed.chain)
        note(f"  wrote {len(believed.chain)} CA certificates to {out}")
    rows = [certificate_row("RA", certificate) for certificate in _ra_certificates(believed)]
    rows += [certificate_row("CA", certificate) for certificate in believed.chain]
    print_table(rows, _COLUMNS, as_json=as_json)


def _ra_certificates(believed: CaCertificates) -> list[bytes]:
    every = dict.fromkeys((believed.recipient, *believed.signers))
    return [certificate for certificate in every if certificate not in believed.chain]


def nextca(*, url: Url, fingerprint: Fingerprint = None, out: CertificatesOut = None, as_json: Json = False) -> None:
    """Fetch the CA certificates that follow the current ones (GetNextCACert), signed by what is believed now."""
    check_fingerprint(fingerprint)
    if out is not None:
        check_writable(out)
    with client_of(url) as client:
        certificates = client.next_ca(trusted(client, fingerprint))
    rows = [certificate_row("next CA" if read_certificate(one).is_ca else "next RA", one) for one in certificates]
    if out is not None:
        save_certificates(out, certificates)
        note(f"  wrote {len(certificates)} certificates to {out}")
    print_table(rows, _COLUMNS, as_json=as_json)


def getcert(
    *,
    url: Url,
    cert: OwnCertificateFile,
    key: OwnKeyFile,
    serial: SerialOption = None,
    fingerprint: Fingerprint = None,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Fetch a certificate of this device anew (GetCert), as PEM."""
    check_fingerprint(fingerprint)
    wanted = read_serial(serial)
    own, private = load_certificate(cert), load_key(key)
    check_decrypts(private)
    if out is not None:
        check_writable(out)
    with client_of(url) as client:
        found = client.get_certificate(trusted(client, fingerprint), own, private, wanted)
    if out is not None:
        save_certificates(out, [found])
    if out is None and not as_json:
        sys.stdout.write(pem([found]).decode("ascii"))
        return
    row = certificate_row("device", found)
    shown = row if as_json else {name: value for name, value in row.items() if name != "pem"}
    print_record({"file": out} | shown, as_json=as_json)


def getcrl(
    *,
    url: Url,
    cert: OwnCertificateFile,
    key: OwnKeyFile,
    fingerprint: Fingerprint = None,
    out: Out = None,
    form: FormOption = Form.PEM,
    as_json: Json = False,
) -> None:
    """Fetch the CRL of the CA that issued this device's certificate (GetCRL); an older file is replaced."""
    check_fingerprint(fingerprint)
    own, private = load_certificate(cert), load_key(key)
    check_decrypts(private)
    if out is None and form is Form.DER and not as_json and sys.stdout.isatty():
        raise AdminError(reasons.USAGE, "DER is not text: name a file with --out, or redirect stdout")
    with client_of(url) as client:
        crl = client.get_crl(trusted(client, fingerprint), own, private)
    octets = crl.der if form is Form.DER else crl_pem(crl.der)
    if out is not None:
        save_public(out, octets, replace=True)
    if out is None and not as_json:
        sys.stdout.buffer.write(octets)
        return
    record: dict[str, object] = {
        "file": out,
        "issuer": name_text(crl.issuer),
        "number": crl.number,
        "this_update": crl.this_update,
        "next_update": crl.next_update,
        "revoked": crl.entries,
        "sha256": hashlib.sha256(crl.der).hexdigest(),
    }
    print_record(record | ({"pem": crl_pem(crl.der).decode("ascii")} if as_json else {}), as_json=as_json)
