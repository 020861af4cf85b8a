"""`regalia ca import`: an authority that lived elsewhere, with its key."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from regalia import reasons
from regalia.ca.acceptance import key_kind_of
from regalia.ca.importing import Former
from regalia.cli.context import administrator, opened, reached
from regalia.cli.files import read_certificates, read_crl_file, read_file
from regalia.cli.options import Home, Json, examples
from regalia.cli.output import note, print_answer
from regalia.cli.publish import publish
from regalia.errors import AdminError
from regalia.verbs import authority_making as verbs
from regalia.verbs.authority_facts import printed
from regalia.verbs.content import certificates_text
from regalia.wire.certificate import read_certificate

if TYPE_CHECKING:
    from regalia.app import App
    from regalia.ca.importing import Keep
    from regalia.keys.carried_key import CarriedKey
    from regalia.model import Authority, EventDraft, KeyKind
    from regalia.ports import NewKey

__all__ = ["IMPORT_EXAMPLES", "import_"]

IMPORT_EXAMPLES = examples(
    "ca import old-root --certificate root.pem --key root.key --crl root.crl",
    "ca import branch --group branch --certificate ca.pem --chain root.pem --pkcs11-uri 'pkcs11:token=hsm;object=b'",
)

_MAX_KEY_FILE = 1 << 20


def import_(  # noqa: PLR0913 - one for each option
    *,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What it is called here.", show_default=False)],
    certificate: Annotated[
        Path | None,
        typer.Option(
            "--certificate", readable=False, metavar="FILE", help="Its certificate.", show_default="from --pkcs12"
        ),
    ] = None,
    key: Annotated[
        Path | None, typer.Option("--key", readable=False, metavar="FILE", help="Its private key, PEM or DER.")
    ] = None,
    pkcs12: Annotated[
        Path | None, typer.Option("--pkcs12", readable=False, metavar="FILE", help="Key and certificate in one file.")
    ] = None,
    pkcs11_uri: Annotated[
        str | None,
        typer.Option("--pkcs11-uri", metavar="URI", help="Its key on the token of `[keys]`, where it stays."),
    ] = None,
    passphrase_file: Annotated[
        Path | None,
        typer.Option(
            "--passphrase-file", readable=False, metavar="FILE", help="What opens the key.", show_default="asked for"
        ),
    ] = None,
    group: Annotated[
        str | None, typer.Option("--group", metavar="GROUP", help="The group that it issues for; a root has none.")
    ] = None,
    chain: Annotated[
        list[Path] | None,
        typer.Option("--chain", readable=False, metavar="FILE", help="What stands above it; may be repeated."),
    ] = None,
    crl: Annotated[
        Path | None, typer.Option("--crl", readable=False, metavar="FILE", help="Its last CRL, to be carried on.")
    ] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Import a root, or with --group an issuing authority: its certificate, its key and what it had revoked.

    Without a key it is one whose key stays elsewhere: a root, under which `ca request --parent` makes authorities, or
    an issuing authority of a root known here, lost after a backup, which `ca revoke` can then revoke.
    """
    keys = sum(given is not None for given in (key, pkcs12, pkcs11_uri))
    if keys > 1 or (not keys and (group is not None or crl is not None or certificate is None)):
        raise AdminError(reasons.USAGE, "exactly one of --key, --pkcs12 and --pkcs11-uri says where its key is")
    if not keys and certificate is not None:
        _trust(name, read_certificates(certificate)[0], home, as_json=as_json)
        return
    asked = _asking(passphrase_file)
    with opened(home) as regalia:
        keep, brought, more = _key(regalia, key, pkcs12, pkcs11_uri, asked)
        own, given = _certificates(keep.public_key, certificate, chain or (), brought)
        former = Former(own, given + more, read_crl_file(crl) if crl is not None else None)
        made = regalia.importer.import_authority(name, former, keep, group=group, actor=administrator())
        publish(regalia, name)
        regalia.transcript.note(administrator(), f"imported {made.kind} {name} with its key, {keep.origin}")
        print_answer(printed(regalia, made), as_json=as_json)
        if not as_json:
            _tell_next(regalia, made, carried=crl is not None)


def _trust(name: str, certificate: bytes, home: Path | None, *, as_json: bool) -> None:
    with reached(home) as door:
        asked = verbs.TrustAuthority(name=name, certificate=certificates_text([certificate]))
        print_answer(door.ask(verbs.TRUST, asked), as_json=as_json)


def _certificates(
    public_key: bytes, certificate: Path | None, chain: Sequence[Path], brought: bytes | None
) -> tuple[bytes, tuple[bytes, ...]]:
    """Find the authority's own certificate, in a file that may hold its chain too; return it and all that was given."""
    own = read_certificates(certificate) if certificate is not None else (brought,) if brought is not None else ()
    if not own:
        raise AdminError(reasons.USAGE, "--certificate is needed: there is none beside the key")
    fitting = next((der for der in own if read_certificate(der).public_key == public_key), own[0])
    return fitting, (*own, *(der for path in chain for der in read_certificates(path)))


@dataclass(frozen=True, slots=True)
class _SoftwareKeep:
    """A key from a file, to be wrapped here."""

    regalia: "App"
    opened: "CarriedKey"
    kind: "KeyKind"
    public_key: bytes
    origin: str

    def keep(self, scope: str, told: "Callable[[NewKey], Sequence[EventDraft]]") -> "NewKey":
        """Wrap it."""
        return self.regalia.keys.keep(self.opened.key, self.kind, scope, told)


@dataclass(frozen=True, slots=True)
class _TokenKeep:
    """A key that stays on its token."""

    regalia: "App"
    public_key: bytes
    origin: str

    def keep(self, scope: str, told: "Callable[[NewKey], Sequence[EventDraft]]") -> "NewKey":
        """Record where it is."""
        return self.regalia.keys.adopt(self.origin, scope, told)


def _key(
    regalia: "App", key: Path | None, pkcs12: Path | None, uri: str | None, passphrase: Callable[[], bytes]
) -> "tuple[Keep, bytes | None, tuple[bytes, ...]]":
    """Open the key; return it, and the certificates that came with it: its own, and the others."""
    from regalia.keys.carried_key import open_key_file, open_pkcs12, prove_pair  # noqa: PLC0415 - only needed here

    if uri is not None:
        return _TokenKeep(regalia, regalia.keys.find_by_uri(uri).public_key, uri), None, ()
    if pkcs12 is not None:
        opened_key, origin = open_pkcs12(read_file(pkcs12, _MAX_KEY_FILE), passphrase), "pkcs12"
    else:
        opened_key, origin = open_key_file(read_file(key or Path(), _MAX_KEY_FILE), passphrase), "file"
    public_key = prove_pair(opened_key.key)
    kind = key_kind_of(public_key)
    if kind is None:
        told = "its key is neither P-256 or P-384 nor RSA of 2048, 3072 or 4096 bits"
        raise AdminError(reasons.AUTHORITY_KEY_REFUSED, told)
    return _SoftwareKeep(regalia, opened_key, kind, public_key, origin), opened_key.certificate, opened_key.chain


def _asking(file: Path | None) -> Callable[[], bytes]:
    """Say how the passphrase is learnt: from a file, else from the person at the terminal; never from arguments."""

    def ask() -> bytes:
        if file is not None:
            return read_file(file, _MAX_KEY_FILE).rstrip(b"\r\n")
        if not sys.stdin.isatty():
            told = "the key needs a passphrase, and nobody can be asked here: name a file with --passphrase-file"
            raise AdminError(reasons.USAGE, told)
        answer: str = typer.prompt("Passphrase", hide_input=True, err=True, default="", show_default=False)
        return answer.encode()

    return ask


def _tell_next(regalia: "App", made: "Authority", *, carried: bool) -> None:
    if not carried:
        note("No CRL was given: what it revoked before is not known here. Give its last one with --crl.")
    note("What it issued before is not known here: OCSP answers unknown for it, its CRL speaks for it.")
    note("Destroy the other copies of its key, and stop whatever signed with it: two that count CRLs disagree.")
    if made.group is not None and regalia.store.group(made.group) is None:
        note(f"Next: regalia group create {made.group} --authority {made.name}")
