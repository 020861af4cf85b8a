"""`regalia backup`: make, verify and restore backups."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from regalia import reasons
from regalia.cli.context import administrator, opened
from regalia.cli.faults import FoundError
from regalia.cli.options import Home, Json, examples, noun_app
from regalia.cli.output import note, print_json, print_record, say
from regalia.config import find_home
from regalia.errors import AdminError

if TYPE_CHECKING:
    from regalia.app.restore import Restored

__all__ = ["app"]

app = noun_app("Backups: make, verify and restore them.")

_Key = Annotated[
    Path, typer.Option("--key", readable=False, metavar="FILE", help="Private key of `backup key`, mode 0600.")
]
_Backup = Annotated[Path, typer.Argument(readable=False, metavar="FILE", help="The backup.")]


@app.command(
    epilog=examples("backup key --private backup.key --public backup.pub", "backup key --private k --public p")
)
def key(
    private: Annotated[
        Path, typer.Option("--private", readable=False, metavar="FILE", help="Opens backups: keep it elsewhere.")
    ],
    public: Annotated[
        Path, typer.Option("--public", readable=False, metavar="FILE", help="Backups are encrypted to it.")
    ],
    *,
    as_json: Json = False,
) -> None:
    """Make the key pair of your backups. Whoever has only the public key makes backups and cannot read them."""
    from regalia.keys.backup_file import make_backup_key  # noqa: PLC0415 - a verb's help must not wait for it

    sha256 = make_backup_key(private, public)
    print_record({"private": private, "public": public, "recipient_sha256": sha256}, as_json=as_json)
    note(f"Take {private} away from this machine, to where the master key's copy is.")


@app.command(
    epilog=examples(
        "backup create --to /backup/2026-03-01.regalia --recipient backup.pub",
        "backup create --to FILE --recipient backup.pub --json",
    )
)
def create(
    to: Annotated[Path, typer.Option("--to", readable=False, metavar="FILE", help="A new file.")],
    recipient: Annotated[
        Path, typer.Option("--recipient", readable=False, metavar="FILE", help="Public key of `backup key`.")
    ],
    *,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Back up the whole database and the configuration, beside a running server. It holds no master key."""
    from regalia.app.backup import create_backup  # noqa: PLC0415 - a verb's help must not wait for the database driver
    from regalia.app.build import node_name  # noqa: PLC0415 - the same
    from regalia.keys.backup_file import read_recipient  # noqa: PLC0415 - the same

    public = read_recipient(recipient)
    with opened(home) as regalia:
        made = create_backup(regalia, to, public, node=node_name(regalia.config.home), actor=administrator())
    record = {
        "file": made.path,
        "octets": made.octets,
        "sha256": made.sha256,
        "recipient_sha256": made.recipient,
    }
    print_record(record, as_json=as_json)


@app.command(epilog=examples("backup verify FILE --key backup.key", "backup verify FILE --key backup.key --json"))
def verify(backup: _Backup, key: _Key, *, as_json: Json = False) -> None:
    """Read all of a backup, fill a scratch database with it, verify the log in that. Exit code 3 if it is bad."""
    from regalia.app import SystemClock  # noqa: PLC0415 - a verb's help must not wait for the database driver
    from regalia.app.backup import verify_backup  # noqa: PLC0415 - the same
    from regalia.keys.backup_file import read_backup_key  # noqa: PLC0415 - the same

    try:
        checked = verify_backup(backup, read_backup_key(key), SystemClock())
    except AdminError as error:
        if error.reason is not reasons.BACKUP_REFUSED:
            raise
        raise FoundError(error.reason, f"{backup}: {error.detail}") from None
    if checked.findings:
        raise FoundError(reasons.CHAIN_BROKEN, "; ".join(checked.findings))
    record = {
        "made_at": checked.made_at,
        "node": checked.node,
        "url": checked.url,
        "schema": checked.schema,
        "rows": sum(checked.rows.values()),
        "certificates": checked.rows.get("certificate", 0),
        "records": checked.records,
    }
    print_record(record, as_json=as_json)


@app.command(
    epilog=examples(
        "backup restore FILE --key backup.key --home /srv/pki --master-key master.key --crl issuing.crl",
        "backup restore FILE --key backup.key --home DIR --master-key FILE --no-crl",
    )
)
def restore(
    backup: _Backup,
    key: _Key,
    *,
    home: Home = None,
    database: Annotated[
        str | None,
        typer.Option("--database", metavar="URL", help="An empty postgresql://…; SQLite in the home if not given."),
    ] = None,
    url: Annotated[
        str | None, typer.Option("--url", help="Another address for devices; certificates carry the old one.")
    ] = None,
    master_key: Annotated[
        Path | None,
        typer.Option(
            "--master-key",
            readable=False,
            metavar="FILE",
            help="A copy is put into the home; not needed where REGALIA_MASTER_KEY_FILE is set.",
        ),
    ] = None,
    signer_key: Annotated[
        Path | None,
        typer.Option(
            "--signer-key", readable=False, metavar="FILE", help="The same, where the signer had its own key."
        ),
    ] = None,
    crl: Annotated[
        list[Path] | None,
        typer.Option(
            "--crl",
            readable=False,
            metavar="FILE",
            help="A published CRL newer than the backup: what it lists is revoked.",
        ),
    ] = None,
    no_crl: Annotated[
        bool, typer.Option("--no-crl", help="There is none: what was revoked since the backup is good again.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Put a backup into an empty home. CRL numbers jump ahead, open challenges are closed, the log says so."""
    from regalia.app.log import set_up_command_log  # noqa: PLC0415 - a verb's help must not wait for the database driver
    from regalia.app.restore import Place, restore_backup  # noqa: PLC0415 - the same
    from regalia.keys.backup_file import read_backup_key  # noqa: PLC0415 - the same

    if bool(crl) == no_crl:
        raise AdminError(
            reasons.USAGE,
            "give the last published CRLs with --crl, so that what was revoked since the backup stays revoked; "
            "or say --no-crl",
        )
    set_up_command_log()
    place = Place(find_home(named=home), database, url, master_key, signer_key)
    done = restore_backup(backup, read_backup_key(key), place, crl or [], actor=administrator())
    if as_json:
        print_json(_record(done))
        return
    say(f"The PKI of {done.made_at} lives in {done.config.home} now.")
    print_record(_record(done), as_json=False)
    note("Stop the old one for good before this one serves: two would sign with the same keys.")
    if done.not_on_record:
        note(f"{done.not_on_record} revoked serials were not on record: certificates issued after the backup.")
    note("Static challenges, suspended groups and blocked keys are as in the backup: look at what changed since.")
    note(f"Next: regalia doctor --home {done.config.home}; regalia serve --home {done.config.home}")


def _record(done: Restored) -> dict[str, object]:
    return {
        "home": done.config.home,
        "node": done.node,
        "made_at": done.made_at,
        "rows": done.rows,
        "revoked_again": done.revoked_again,
        "not_on_record": done.not_on_record,
        "challenges_closed": done.challenges_closed,
    }
