"""What the server does at its start and end."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from fakes import FakeClock, SeededEntropy
from memory_store import MemoryStore
from regalia import reasons
from regalia.app.serving import _listener_keys, record_server
from regalia.config import load_config
from regalia.errors import UnavailableError
from regalia.keys.admin_tls import make_admin_tls
from regalia.model import Action
from regalia.web.serve import Bound

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from regalia.model import EventDraft


class FullDisk(MemoryStore):
    """A store that takes nothing any more."""

    def record(self, events: Sequence[EventDraft]) -> None:
        """Refuse."""
        del events
        raise UnavailableError(reasons.STORE_UNAVAILABLE, "disk full")


def started(store: MemoryStore) -> None:
    """Record a start as `serve` does."""
    record_server(store, FakeClock(), Action.SERVER_STARTED, [Bound("device", "::1", 80, tls=False)])


def test_a_start_is_an_event() -> None:
    """AUD-1: the log says since when and where the server answers."""
    store = MemoryStore()
    started(store)
    assert store.log[-1].draft.action is Action.SERVER_STARTED
    assert store.log[-1].draft.details == {"listeners": ["device http://[::1]:80"]}


def test_a_start_that_cannot_be_recorded_is_a_start_all_the_same() -> None:
    """RES-7: on a full disk OCSP and CRLs are served; nothing can be issued, so nothing goes unrecorded."""
    started(FullDisk())


def test_key2_the_listeners_keys_in_files_are_known(tmp_path: Path) -> None:
    """KEY-2: the admin listener's key, and a device listener's from files, are what the job tells the database."""
    now = FakeClock().now()
    device = tmp_path / "device"
    for directory in (tmp_path, device):
        directory.mkdir(exist_ok=True)
        make_admin_tls(directory, "pki.example.test", now=now, entropy=SeededEntropy(len(directory.parts)))
    (tmp_path / "regalia.toml").write_text(
        f'[server]\ntls_certificate = "{device}/admin.crt"\ntls_key = "{device}/admin.key"\n', "ascii"
    )
    (tmp_path / "regalia.toml").chmod(0o600)
    expected = {
        hashlib.sha256(
            x509.load_pem_x509_certificate((directory / "admin.crt").read_bytes())
            .public_key()
            .public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        ).digest()
        for directory in (tmp_path, device)
    }
    told = dict(_listener_keys(load_config(home=tmp_path)))
    assert set(told) == expected
    assert sorted(told.values()) == ["admin listener", "device listener"]
