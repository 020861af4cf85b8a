"""`regalia cert issue`: a certificate that no device asks for, from a request or with a key made here."""

import base64
import binascii
import re
import secrets
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption
from cryptography.hazmat.primitives.serialization.pkcs12 import serialize_key_and_certificates

from regalia import reasons
from regalia.cli.context import agreed, reached
from regalia.cli.options import DryRun, Home, Json, Yes, examples
from regalia.cli.output import note, print_json, print_record, say
from regalia.cli.secret import secret_in
from regalia.client.files import check_writable, save_key, save_state
from regalia.client.keys import KeyType, generate_key, public_octets, scheme_of, sign_with
from regalia.errors import AdminError, InvariantError, RegaliaError
from regalia.verbs import certificate_issue as verbs
from regalia.verbs.content import certificates_from, request_text
from regalia.verbs.names import NamesAsked
from regalia.wire.csr import build_csr

if TYPE_CHECKING:
    from regalia.client.keys import DeviceKey
    from regalia.verbs import Door

__all__ = ["ISSUE_EXAMPLES", "issue", "read_request"]

ISSUE_EXAMPLES: Final = examples(
    "cert issue --group staff --profile radius --csr radius.csr --dns radius.example.com --out radius.pem --chain",
    "cert issue --group staff --profile vpn --generate --dns vpn.example.com --pkcs12 vpn.p12",
)

_MOST_OCTETS: Final = 65_536
_ARMOUR: Final = re.compile(
    rb"-----BEGIN (?:NEW )?CERTIFICATE REQUEST-----(.+?)-----END (?:NEW )?CERTIFICATE REQUEST-----", re.DOTALL
)
_IN_PKCS12: Final = (rsa.RSAPrivateKey, ec.EllipticCurvePrivateKey, ed25519.Ed25519PrivateKey)
_KINDS_IN_PKCS12: Final = frozenset(KeyType) - {KeyType.ML_DSA_44, KeyType.ML_DSA_65, KeyType.ML_DSA_87}


def _several(flag: str, metavar: str, text: str) -> Any:  # noqa: ANN401 - what typer.Option says it returns
    return typer.Option(flag, metavar=metavar, help=f"{text}; may be given several times.", show_default=False)


def _file(flag: str, text: str) -> Any:  # noqa: ANN401 - the same
    return typer.Option(flag, readable=False, metavar="FILE", help=text, show_default=False)


@dataclass(frozen=True, slots=True)
class _Key:
    """Where the key comes from, and where it goes."""

    csr: Path | None
    generate: KeyType | None
    out_key: Path | None
    pkcs12: Path | None
    passphrase_file: str | None


def issue(  # noqa: PLR0913 - one for each option
    *,
    group: Annotated[str, typer.Option("--group", metavar="GROUP", help="Whose authority issues.")],
    profile: Annotated[str, typer.Option("--profile", metavar="PROFILE", help="What the certificate looks like.")],
    csr: Annotated[Path | None, _file("--csr", "The request, PKCS #10 in PEM or DER.")] = None,
    generate: Annotated[bool, typer.Option("--generate", help="Make the key here, instead of --csr.")] = False,
    key_kind: Annotated[KeyType, typer.Option("--key-kind", help="Kind of that key.")] = KeyType.P_256,
    out_key: Annotated[Path | None, _file("--out-key", "Where that key goes, PEM, mode 0600.")] = None,
    pkcs12: Annotated[Path | None, _file("--pkcs12", "Where key, certificate and chain go, encrypted.")] = None,
    passphrase_file: Annotated[
        str | None,
        typer.Option("--passphrase-file", metavar="FILE", help="Its passphrase; - reads stdin.", show_default="made"),
    ] = None,
    cn: Annotated[str | None, typer.Option("--cn", metavar="NAME", help="Common name.", show_default=False)] = None,
    dns: Annotated[list[str] | None, _several("--dns", "NAME", "DNS name")] = None,
    email: Annotated[list[str] | None, _several("--email", "ADDRESS", "E-mail address")] = None,
    ip: Annotated[list[str] | None, _several("--ip", "ADDRESS", "IP address")] = None,
    uri: Annotated[list[str] | None, _several("--uri", "URI", "URI")] = None,
    upn: Annotated[list[str] | None, _several("--upn", "NAME", "User principal name")] = None,
    sid: Annotated[
        str | None, typer.Option("--sid", metavar="SID", help="Windows SID that you vouch for.", show_default=False)
    ] = None,
    device: Annotated[
        str | None, typer.Option("--device", metavar="ID", help="Whose it is, in your inventory.", show_default=False)
    ] = None,
    out: Annotated[Path | None, _file("--out", "Where the certificate goes; stdout if not given.")] = None,
    chain: Annotated[bool, typer.Option("--chain", help="Its issuers behind it, the root last.")] = False,
    yes: Yes = False,
    dry_run: DryRun = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Issue a certificate that no device asks for. You answer for its names; the log has yours beside them."""
    names = NamesAsked(
        cn=cn,
        dns=tuple(dns or ()),
        email=tuple(email or ()),
        ip=tuple(ip or ()),
        uri=tuple(uri or ()),
        upn=tuple(upn or ()),
        sid=sid,
    )
    named = names != NamesAsked()
    given = named or device is not None
    key = _Key(csr, key_kind if generate else None, out_key, pkcs12, passphrase_file)
    _check(key, out, given=given)
    with reached(home) as door:
        made = generate_key(key_kind) if generate else None
        asked = verbs.IssueCertificate(
            group=group,
            profile=profile,
            csr=request_text(_request(key, made, names.cn)),
            names=names if named else None,
            device=device,
        )
        if dry_run:
            _show(door, asked, as_json=as_json)
        # Of names that only the request has, the administrator is asked whether these are meant.
        elif given or agreed(door.plan(verbs.ISSUE, asked).would, yes=yes, dry_run=False, as_json=as_json):
            _Issue(door, key, made, out, chain=chain, as_json=as_json).run(asked)


def _check(key: _Key, out: Path | None, *, given: bool) -> None:
    """Refuse what does not fit together, before anything is made."""
    if (key.csr is None) is (key.generate is None):
        raise AdminError(reasons.USAGE, "give --csr FILE, or --generate for a key that is made here; one of them")
    files = [path for path in (key.out_key, key.pkcs12) if path is not None]
    if key.generate is None and (files or key.passphrase_file is not None):
        raise AdminError(reasons.USAGE, "--out-key, --pkcs12 and --passphrase-file go with --generate")
    if key.generate is not None and len(files) != 1:
        raise AdminError(reasons.USAGE, "--generate needs one place for the key: --out-key FILE or --pkcs12 FILE")
    if key.pkcs12 is not None and key.generate not in _KINDS_IN_PKCS12:
        raise AdminError(reasons.USAGE, f"no program reads {key.generate} in a PKCS #12 file: use --out-key")
    if key.passphrase_file is not None and key.pkcs12 is None:
        raise AdminError(reasons.USAGE, "--passphrase-file goes with --pkcs12")
    if key.generate is not None and not given:
        told = (
            "--generate needs names: --cn, --dns, --email, --ip, --uri or --upn, or the --device that a profile names"
        )
        raise AdminError(reasons.USAGE, told)
    if out is not None and out in files:
        raise AdminError(reasons.USAGE, f"{out} cannot take both the certificate and the key")
    for path in files:
        check_writable(path)


def read_request(path: Path) -> bytes:
    """Read a PKCS #10 request in PEM or DER. Raises `AdminError` ADM-020."""
    try:
        with path.open("rb") as file:
            octets = file.read(_MOST_OCTETS)
    except OSError as error:
        raise AdminError(reasons.FILE_REFUSED, f"{path}: {error.strerror}") from error
    if octets[:1] == b"\x30":
        return octets
    found = _ARMOUR.search(octets)
    if found is None:
        raise AdminError(reasons.FILE_REFUSED, f"{path} holds no certificate request, neither PEM nor DER")
    try:
        return base64.b64decode(b"".join(found[1].split()), validate=True)
    except binascii.Error:
        raise AdminError(reasons.FILE_REFUSED, f"{path} is not PEM: its base64 is damaged") from None


def _request(key: _Key, made: "DeviceKey | None", cn: str | None) -> bytes:
    if made is None:
        return read_request(key.csr or Path())
    return build_csr(
        # The names are the administrator's, whatever a request says; so this one says nothing.
        cn=cn,
        sans=frozenset(),
        public_key=public_octets(made),
        challenge=None,
        sign=lambda data: sign_with(made, data),
        signature=scheme_of(made).algorithm,
    )


def _show(door: "Door", asked: verbs.IssueCertificate, *, as_json: bool) -> None:
    """Print the certificate as it would be, or the one that is there already."""
    found = door.ask(verbs.PREVIEW, verbs.PreviewCertificate(**asked.model_dump()))
    if as_json:
        print_json({"dry_run": True, "would": found.would, "repeated": found.repeated})
        return
    told = "Would issue, with a serial of its own:"
    if found.issued_at is not None:
        told = f"Issued {found.issued_at:%Y-%m-%d %H:%M} UTC for the very same order; would give it again:"
    note(told)
    for line in found.would:
        say(line)


@dataclass(frozen=True, slots=True)
class _Issue:
    """One certificate to issue and write."""

    door: "Door"
    key: _Key
    made: "DeviceKey | None"
    out: Path | None
    chain: bool
    as_json: bool

    def run(self, asked: verbs.IssueCertificate) -> None:
        """Write the key, have the certificate issued, write that."""
        passphrase = self._passphrase()
        if self.made is not None and self.key.out_key is not None:
            # First, and removed where nothing was issued: a certificate whose key was lost has to be revoked.
            save_key(self.key.out_key, self.made)
        try:
            issued = self.door.ask(verbs.ISSUE, asked)
        except RegaliaError:
            if self.key.out_key is not None:
                with suppress(OSError):
                    self.key.out_key.unlink()
            raise
        if issued.repeated:
            note("The very same order was placed less than 24 hours ago: this is its certificate again.")
        self._write(issued, passphrase)

    def _passphrase(self) -> str | None:
        if self.key.pkcs12 is None:
            return None
        if self.key.passphrase_file is not None:
            return secret_in(self.key.passphrase_file, reasons.FILE_REFUSED)
        return secrets.token_urlsafe(18)

    def _write(self, issued: verbs.CertificateIssued, passphrase: str | None) -> None:
        if self.key.pkcs12 is not None and passphrase is not None:
            above = certificates_from(issued.chain)
            save_state(self.key.pkcs12, self._pkcs12(certificates_from(issued.content)[0], above, passphrase))
        text = issued.content + (issued.chain if self.chain else "")
        if self.out is not None:
            _save(self.out, text)
        bare = self.out is None and self.key.pkcs12 is None and not self.as_json
        if bare:
            sys.stdout.write(text)
            note(f"Issued {issued.serial}, good until {issued.not_after:%Y-%m-%d}.")
            return
        made_up = passphrase if self.key.passphrase_file is None else None
        record = _record(issued, self.key, self.out) | {"repeated": issued.repeated}
        if made_up is not None:
            note("The passphrase is shown now and never again.")
            record["passphrase"] = made_up
        print_record(record | ({"content": text} if self.as_json else {}), as_json=self.as_json)

    def _pkcs12(self, der: bytes, above: tuple[bytes, ...], passphrase: str) -> bytes:
        key, certificate = self.made, x509.load_der_x509_certificate(der)
        if not isinstance(key, _IN_PKCS12):
            raise InvariantError("a key that no PKCS #12 file holds")
        authorities = [x509.load_der_x509_certificate(each) for each in above]
        encryption = BestAvailableEncryption(passphrase.encode())
        return serialize_key_and_certificates(b"regalia", key, certificate, authorities, encryption)


def _save(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="ascii")
    except OSError as error:
        raise AdminError(reasons.FILE_REFUSED, f"{path}: {error.strerror}") from error


def _record(issued: verbs.CertificateIssued, key: _Key, out: Path | None) -> dict[str, object]:
    record: dict[str, object] = issued.model_dump(mode="json", exclude={"repeated", "content", "chain"})
    return record | {"certificate_file": out, "key_file": key.out_key, "pkcs12_file": key.pkcs12}
