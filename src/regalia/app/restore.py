"""A backup put into an empty home: another path, another port, perhaps the other database.

What happened after the backup was made is not in it, and a restore must not undo it silently (SEC-4): CRL numbers jump
ahead, what the published CRLs list is revoked again, one-time challenges, set-up links and proposals that were open are
closed, because they may have been used since, nobody is signed in, and the log says what was done. The home is one
when its `node` file is there, written last.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import structlog

from regalia import reasons
from regalia.app.backup import authentic_backup, fill, made_at, opened_backup, require_known_schema
from regalia.app.build import NODE_FILE, SystemClock, SystemEntropy, build
from regalia.app.recall import end_revoked_authorities, published_crl, recall
from regalia.config import CONFIG_FILE, load_config
from regalia.config.edited import with_settings
from regalia.errors import AdminError, InvariantError, RegaliaError
from regalia.jobs.publish_crl import PublishCrls
from regalia.keys.admin_tls import make_admin_tls
from regalia.keys.master import MASTER, SIGNER, master_ring
from regalia.keys.private_files import create_private, read_private
from regalia.model import Action, EventDraft, Outcome, ProposalState
from regalia.store import migrations
from regalia.store.dump import lift_crl_numbers
from regalia.wire.event import time_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    from regalia.app.backup import Tallied
    from regalia.app.build import App
    from regalia.config import Config
    from regalia.keys.master import MasterKey
    from regalia.model import Actor, JsonValue
    from regalia.store.dump import Dumped

__all__ = ["Place", "Restored", "restore_backup"]

_JUMP: Final = 1_000
"""How far CRL numbers jump ahead (SEC-4): a CRL that was published after the backup has a lower one."""
_MAX_KEY_FILE: Final = 1_024

_log = structlog.get_logger("regalia.restore")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a backup is to live."""

    home: Path
    """Empty, or not there yet."""
    database: str | None
    """URL of an empty database; SQLite in the home where it is None."""
    url: str | None
    """Another address for devices, in place of the backup's; certificates that are out carry the old one."""
    master_key: Path | None
    """A copy goes into the home; None where the environment names it."""
    signer_key: Path | None = None
    """The same for the signer's own key, where the installation has one."""


@dataclass(frozen=True, slots=True)
class Restored:
    """What became of it."""

    config: Config
    node: str
    made_at: str
    rows: int
    revoked_again: int
    """Certificates that only the published CRLs knew as revoked."""
    not_on_record: int
    """Serials on the published CRLs that the backup does not know: issued after it was made."""
    challenges_closed: int


def restore_backup(
    backup: Path, key: X25519PrivateKey, place: Place, crls: Sequence[Path], *, actor: Actor
) -> Restored:
    """Restore, or leave nothing behind.

    Raises `AdminError`: ADM-001 the home or the database is in use, ADM-060 the backup is damaged, ADM-062 a CRL is
    not one of its authorities, ADM-010 and ADM-011 the master key, ADM-012 a newer version's backup, ADM-020 files.
    """
    created = _claim(place.home)
    filled = False
    try:
        keys = _bring_keys(place)
        # Anybody can encrypt to the public key: what a stranger wrote configures nothing and fills nothing.
        head = authentic_backup(backup, key, keys)
        require_known_schema(head)
        config = _configure(head, place)
        _see_that_it_is_empty(config)
        lines = _opened_again(backup, key, head)
        filled = True
        rows = fill(config.database.connection_url(), head, lines)
        lines.finish(keys)
        return _settle(config, head, rows, crls, actor)
    except BaseException:
        if filled:
            migrations.remove(config.database.connection_url())
        _unclaim(place.home, created=created)
        raise


def _opened_again(backup: Path, key: X25519PrivateKey, head: Dumped) -> Tallied:
    again, lines = opened_backup(backup, key)
    if again != head:
        raise AdminError(reasons.BACKUP_REFUSED, "it is another file than a moment ago")
    return lines


def _claim(home: Path) -> bool:
    """Make the home's directory, or see that it is empty; returns whether it was made."""
    try:
        home.mkdir(mode=0o700, parents=True)
    except FileExistsError:
        if any(home.iterdir()):
            raise AdminError(reasons.HOME_USED, f"{home} is not empty") from None
        home.chmod(0o700)
        return False
    except OSError as error:
        raise AdminError(reasons.FILE_REFUSED, f"{home}: {error.strerror}") from error
    return True


def _see_that_it_is_empty(config: Config) -> None:
    if migrations.tables_in(config.database.connection_url()):
        raise AdminError(reasons.HOME_USED, f"{config.database.url} is not empty")


def _unclaim(home: Path, *, created: bool) -> None:
    for each in home.iterdir():
        if each.is_dir():
            shutil.rmtree(each, ignore_errors=True)
        else:
            each.unlink(missing_ok=True)
    if created:
        home.rmdir()


def _configure(head: Dumped, place: Place) -> Config:
    changes: dict[tuple[str, str], str | None] = {
        ("database", "url"): place.database,
        # Of the old database, and of the old machine's paths.
        ("database", "password_file"): None,
    }
    if place.url is not None:
        changes["server", "url"] = place.url
    text = with_settings(head.about["config"], changes)
    create_private(place.home / CONFIG_FILE, text.encode())
    config = load_config(home=place.home)
    if place.database is None and config.sources.get("database.url") == CONFIG_FILE:
        told = "the old home's regalia.toml names its database in a way that is not understood: use --database"
        raise AdminError(reasons.CONFIG_REFUSED, told)
    return config


def _bring_keys(place: Place) -> tuple[MasterKey, ...]:
    """Put copies of the keys into the home; return the master keys. Raises `AdminError` ADM-010, ADM-011, ADM-020."""
    for given, name in ((place.master_key, MASTER.home_file), (place.signer_key, SIGNER.home_file)):
        if given is not None:
            _copy_key(given, place.home / name)
    return tuple(master_ring(place.home, load_config(home=place.home).key_environment).keys())


def _copy_key(given: Path, to: Path) -> None:
    try:
        create_private(to, read_private(given, _MAX_KEY_FILE))
    except OSError as error:
        raise AdminError(reasons.FILE_REFUSED, f"{given}: {error.strerror}") from error


def _settle(config: Config, head: Dumped, rows: dict[str, int], crls: Sequence[Path], actor: Actor) -> Restored:
    """Make what was loaded safe to serve, and the home a home."""
    entropy = SystemEntropy()
    node = entropy.octets(4).hex()
    regalia = build(config, node=node)  # which refuses a master key that is not theirs
    try:
        published = [published_crl(regalia.store, path) for path in crls]
        floors: dict[str, int] = {}
        for crl in published:
            floors[crl.authority] = max(floors.get(crl.authority, 0), crl.number)
        lift_crl_numbers(config.database.connection_url(), floors, _JUMP)
        done = Restored(
            config, node, head.about["made_at"], sum(rows.values()), 0, 0, _close_challenges(regalia, actor)
        )
        _close_doors(regalia, actor)
        for crl in published:
            again, unknown = recall(regalia, crl, actor)
            done = replace(done, revoked_again=done.revoked_again + again, not_on_record=done.not_on_record + unknown)
        end_revoked_authorities(regalia, actor)
        if published:
            _publish(regalia)
        host = urlsplit(config.server.url).hostname or "localhost"
        make_admin_tls(config.home, host, now=SystemClock().now(), entropy=entropy)
        regalia.store.record((_event(regalia, head, done, actor),))
    finally:
        regalia.close()
    create_private(config.home / NODE_FILE, f"{node}\n".encode())
    return done


def _publish(regalia: App) -> None:
    """Publish what the recalls changed before anybody can ask: the backup's own CRLs say less than was told since.

    What cannot be published now, with a token that is away, the service publishes as soon as it can.
    """
    try:
        PublishCrls(regalia.store, regalia.keys, regalia.crls, regalia.crl_files).run(regalia.clock.now())
    except* (RegaliaError, InvariantError) as failures:
        _log.warning("crls-not-published", failures=[str(each) for each in failures.exceptions])


def _close_challenges(regalia: App, actor: Actor) -> int:
    """Close the one-time challenges that were open: whoever has one may have used it after the backup (ISS-4)."""
    closed, now = 0, regalia.clock.now()
    for challenge in regalia.store.challenges():
        if challenge.reusable or challenge.consumed_at or challenge.revoked_at or challenge.expires_at <= now:
            continue
        regalia.challenges.revoke(challenge.id, actor=actor)
        closed += 1
    return closed


def _close_doors(regalia: App, actor: Actor) -> None:
    """Close set-up links and proposals that were open: they may have been used, or decided, after the backup."""
    for whom in (None, *regalia.store.administrators()):
        regalia.administrators.close_links(whom, actor=actor)
    for proposal in regalia.store.proposals(ProposalState.OPEN):
        if proposal.expires_at > regalia.clock.now():
            regalia.proposals.withdraw(proposal, "a backup was restored", actor=actor)


def _event(regalia: App, head: Dumped, done: Restored, actor: Actor) -> EventDraft:
    details: dict[str, JsonValue] = {
        "made_at": time_text(made_at(head)),
        "from_node": head.about["node"],
        "node": done.node,
        "url": done.config.server.url,
        "schema": head.schema,
        "rows": done.rows,
        "revoked_again": done.revoked_again,
        "not_on_record": done.not_on_record,
        "challenges_closed": done.challenges_closed,
    }
    return EventDraft(regalia.clock.now(), actor, Action.HOME_RESTORED, "home", Outcome.OK, details=details)
