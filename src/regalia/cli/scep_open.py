"""First enrolments whose outcome may stay open: kept on disk, gone on with, waited for (`scep enrol`, `scep poll`)."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from regalia import reasons
from regalia.cli.output import note
from regalia.client.files import check_writable, is_there, load_key, remove_state, save_certificates
from regalia.client.transaction import (
    KeptTransaction,
    load_transaction,
    save_transaction,
    transaction_file,
)
from regalia.errors import AdminError, PeerError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from regalia.client.keys import DeviceKey
    from regalia.client.scep import Issued, ScepClient, Server
    from regalia.model import Names

__all__ = ["answered", "begun", "keep", "unfinished"]


def unfinished(cert: Path, url: str, key: Path, names: Names) -> KeptTransaction | None:
    """Find the transaction that an earlier run left behind for this certificate; None where there is none.

    Raises `AdminError` CLI-009 where it is about something else: under the same transactionID that would be refused;
    also where no certificate can be written.
    """
    check_writable(cert)
    file = transaction_file(cert)
    if not is_there(file):
        return None
    kept = load_transaction(file)
    for what, same in (
        ("another server", kept.url == url),
        ("other names", kept.opened.names == names),
        ("another key", is_there(key) and kept.is_for(load_key(key))),
    ):
        if not same:
            told = (
                f"{file} keeps an unfinished transaction for {what}: collect it with `regalia scep poll`, or remove it"
            )
            raise AdminError(reasons.CLIENT_FILE, told)
    note(f"  going on with transaction {kept.opened.id}, which {file} keeps")
    return kept


def begun(
    client: ScepClient, server: Server, url: str, key: tuple[Path, DeviceKey], names: Names, cert: Path
) -> KeptTransaction:
    """Begin a transaction, and have it on disk before anything of it is sent."""
    path, private = key
    opened = client.begin(private, cn=names.cn, sans=names.sans)
    kept = KeptTransaction(opened, url, hashlib.sha256(server.ca.chain[-1]).hexdigest(), path)
    save_transaction(transaction_file(cert), kept)
    return kept


def answered(
    ask: Callable[[], Issued], wait: Callable[[float], Issued], *, patience: float | None, cert: Path, forget: bool
) -> Issued:
    """Ask, and wait so many seconds where the server has not decided. Raises what both raise.

    With `forget` a refusal ends the transaction on disk, too. Whatever else goes wrong leaves it, and says so.
    """
    file = transaction_file(cert)
    try:
        return _patiently(ask, wait, patience)
    except (PeerError, UnavailableError) as fault:
        if forget and fault.reason is reasons.CLIENT_DENIED:
            remove_state(file)
        else:
            note(f"  {file} keeps the transaction: `regalia scep poll --cert {cert}` asks again")
        raise


def _patiently(ask: Callable[[], Issued], wait: Callable[[float], Issued], patience: float | None) -> Issued:
    try:
        return ask()
    except UnavailableError as held:
        if held.reason is not reasons.CLIENT_PENDING or patience is None:
            raise
    return wait(patience)


def keep(issued: Issued, cert: Path) -> None:
    """Write the certificate, and then forget the transaction."""
    save_certificates(cert, [issued.certificate])
    remove_state(transaction_file(cert))
