"""Lists of keys that no certificate may have, because strangers have them too."""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import Field

from regalia import reasons
from regalia.ca.blocklist import ListFormat, blocked_by, import_blocklist, remove_blocklist
from regalia.errors import AdminError, PeerError
from regalia.model import Right
from regalia.ports import KeyHash
from regalia.verbs.content import certificates_from, request_from
from regalia.verbs.fields import Name, Pem
from regalia.verbs.paging import ListAsked, page_of_few
from regalia.verbs.verb import Asked, Desk, Hex, Page, Record, Time, Verb
from regalia.wire.certificate import read_certificate
from regalia.wire.csr import read_csr

if TYPE_CHECKING:
    from regalia.ports import Blocklist

__all__ = [
    "CHECK",
    "IMPORT",
    "LARGEST",
    "LIST",
    "REMOVE",
    "VERBS",
    "BlocklistRecord",
    "BlocklistRemoved",
    "CheckKey",
    "ImportBlocklist",
    "KeyChecked",
    "ListBlocklists",
    "RemoveBlocklist",
    "content_of",
    "shown",
]

LARGEST: Final = 900_000
"""Characters of a list that is given as text, which a body of the API has room for; a larger one is imported on the
machine itself, from a file."""


class ListBlocklists(ListAsked):
    """Which ones."""


class ImportBlocklist(Asked):
    """A list, in place of the one of its name."""

    name: Name
    content: Annotated[str, Field(max_length=LARGEST, description="The list; `badkeys`, which is no text, in base64.")]
    form: Annotated[ListFormat, Field(description="How it is written.")] = ListFormat.HEX


class CheckKey(Asked):
    """Whose key: of one of these."""

    csr: Pem | None = None
    certificate: Pem | None = None


class RemoveBlocklist(Asked):
    """Which one."""

    name: Name


class BlocklistRecord(Record):
    """A list."""

    name: str
    keys: int
    hashed: KeyHash
    source_sha256: Hex
    imported_at: Time
    imported_by: str


class BlocklistRemoved(BlocklistRecord):
    """A list that is no more."""

    removed: bool = True


class KeyChecked(Record):
    """Whether a key is on a list."""

    key_sha256: Hex
    blocked: bool
    list: str | None


def list_blocklists(desk: Desk, asked: ListBlocklists) -> Page[BlocklistRecord]:
    """All of them, by name."""
    return page_of_few(
        asked,
        LIST.name,
        desk.services.store.blocklists(),
        place=lambda each: (each.name,),
        words=lambda each: (each.name, each.imported_by),
        record=shown,
    )


def import_list(desk: Desk, asked: ImportBlocklist) -> BlocklistRecord:
    """Keep a list; it counts at once, on every node."""
    services = desk.services
    made = import_blocklist(
        services.store,
        services.clock,
        services.entropy,
        name=asked.name,
        file=io.BytesIO(_octets(asked)),
        form=asked.form,
        actor=desk.actor,
    )
    return shown(made)


def check_key(desk: Desk, asked: CheckKey) -> KeyChecked:
    """Tell whether strangers have a key."""
    if (asked.csr is None) is (asked.certificate is None):
        raise AdminError(reasons.USAGE, "give a csr or a certificate")
    if asked.csr is not None:
        try:
            public_key = read_csr(request_from(asked.csr)).public_key
        except PeerError as fault:
            raise AdminError(fault.reason, fault.detail) from fault
    else:
        public_key = read_certificate(certificates_from(asked.certificate or "")[0]).public_key
    found = blocked_by(desk.services.store, public_key)
    return KeyChecked(key_sha256=hashlib.sha256(public_key).digest(), blocked=found is not None, list=found)


def remove_list(desk: Desk, asked: RemoveBlocklist) -> BlocklistRemoved:
    """Forget a list."""
    found = _found(desk, asked.name)
    remove_blocklist(desk.services.store, desk.services.clock, name=asked.name, actor=desk.actor)
    return BlocklistRemoved(**shown(found).model_dump())


def plan_remove(desk: Desk, asked: RemoveBlocklist) -> list[str]:
    """What may be certified again."""
    return [f"let {_found(desk, asked.name).keys} keys be certified again"]


def shown(blocklist: Blocklist) -> BlocklistRecord:
    """Show a list."""
    return BlocklistRecord(
        name=blocklist.name,
        keys=blocklist.keys,
        hashed=blocklist.hashed,
        source_sha256=blocklist.source_sha256,
        imported_at=blocklist.imported_at,
        imported_by=blocklist.imported_by,
    )


def content_of(octets: bytes, form: ListFormat) -> str | None:
    """Write a list as `ImportBlocklist` takes it; None where it is too large for that, or no text."""
    try:
        text = base64.b64encode(octets).decode() if form is ListFormat.BADKEYS else octets.decode()
    except UnicodeDecodeError:
        return None
    return text if len(text) <= LARGEST else None


def _octets(asked: ImportBlocklist) -> bytes:
    if asked.form is not ListFormat.BADKEYS:
        return asked.content.encode("utf-8", "surrogatepass")
    try:
        return base64.b64decode(asked.content, validate=True)
    except (binascii.Error, ValueError):
        raise AdminError(reasons.CONTENT_REFUSED, "it is not base64") from None


def _found(desk: Desk, name: str) -> Blocklist:
    found = next((each for each in desk.services.store.blocklists() if each.name == name), None)
    if found is None:
        raise AdminError(reasons.NOT_FOUND, f"blocklist {name}")
    return found


LIST = Verb(
    "key-blocklist.list",
    "GET",
    "/key-blocklists",
    Right.READ,
    ListBlocklists,
    Page[BlocklistRecord],
    list_blocklists,
    "List the lists of keys that no certificate may have.",
    everywhere=True,
)
IMPORT = Verb(
    "key-blocklist.import",
    "POST",
    "/key-blocklists",
    Right.RULE,
    ImportBlocklist,
    BlocklistRecord,
    import_list,
    "Import a list of keys, in place of the one of this name.",
    everywhere=True,
)
CHECK = Verb(
    "key-blocklist.check",
    "POST",
    "/key-blocklist-checks",
    Right.READ,
    CheckKey,
    KeyChecked,
    check_key,
    "Tell whether the key of a request or a certificate is on a list.",
    everywhere=True,
)
REMOVE = Verb(
    "key-blocklist.remove",
    "DELETE",
    "/key-blocklists/{name}",
    Right.RULE,
    RemoveBlocklist,
    BlocklistRemoved,
    remove_list,
    "Forget a list: its keys may be certified again.",
    plan=plan_remove,
    everywhere=True,
)

VERBS = (LIST, IMPORT, CHECK, REMOVE)
