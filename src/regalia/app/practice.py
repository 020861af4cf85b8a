"""What the settings say, in the words of verbs: they know no settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from regalia.verbs.services import Practice

if TYPE_CHECKING:
    from regalia.config import Config
    from regalia.keys.master import KeyRing

__all__ = ["practice_of"]


def practice_of(config: Config, master: KeyRing) -> Practice:
    """Gather it. Raises what `KeyRing.beside_database` does: the master key's file is looked at."""
    server, listen_tls = config.server, config.server.listen_tls
    return Practice(
        listen=str(server.listen),
        listen_tls=str(listen_tls) if listen_tls is not None else None,
        admin_listen=str(server.admin_listen),
        admin_url=config.admin_url(),
        key_store=config.keys.store,
        master_key_beside=master.beside_database,
        crl_days=config.crl.issuing_days,
        crl_check_seconds=config.crl.check_seconds,
        crl_largest_octets=config.crl.largest_octets,
        ocsp_good_seconds=config.ocsp.good_seconds,
        pending_days=config.limits.pending_days,
        ra_overlap_days=config.issuance.ra_overlap_days,
        personal_days=config.audit.personal_days,
        pseudonym_days=config.audit.pseudonym_days,
    )
