"""`regalia key rotate-master`, `rotate-signer` and `separate-signer`: the keys that all other keys lie under."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from regalia import reasons
from regalia.cli.context import administrator, agreed, opened
from regalia.cli.options import DryRun, Home, Json, Yes, examples
from regalia.cli.output import note, print_record
from regalia.errors import AdminError
from regalia.keys.master import SIGNER, former_file, load_signer_key, next_file, signer_ring
from regalia.keys.rotation import Rewrapped, Rewrapper, create_signer_key, finish, prepare, promote
from regalia.model import Action, EventDraft, Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from regalia.app import App
    from regalia.keys.master import MasterKey
    from regalia.model import JsonValue

__all__ = ["register"]

_SETTLE_SECONDS = 2.0
"""How long a server that wraps a key at this moment may take to have it in the database."""

Prepare = Annotated[
    bool, typer.Option("--prepare", help="Only make the next key's file, to be copied to the other nodes.")
]
KeepFormer = Annotated[
    bool, typer.Option("--keep-former", help="Leave the former key in its file: other nodes still use it.")
]
Media = Annotated[
    list[Path] | None,
    typer.Option(
        "--medium",
        metavar="DIR",
        readable=False,
        show_default=False,
        help="Medium with keys that were moved out; may be repeated.",
    ),
]
WithoutMedia = Annotated[
    bool, typer.Option("--without-media", help="Remove the former key although keys on media may need it.")
]


@dataclass(frozen=True, slots=True)
class _How:
    """What the options say."""

    prepare: bool
    keep_former: bool
    media: "Sequence[Path]"
    without_media: bool
    yes: bool
    dry_run: bool
    as_json: bool


def register(app: typer.Typer) -> None:
    """Add the commands to `regalia key`."""
    app.command(
        "rotate-master", epilog=examples("key rotate-master --medium /mnt/root --yes", "key rotate-master --prepare")
    )(_rotate_master)
    app.command(
        "rotate-signer", epilog=examples("key rotate-signer --medium /mnt/root --yes", "key rotate-signer --prepare")
    )(_rotate_signer)
    app.command(
        "separate-signer",
        epilog=examples("key separate-signer --yes", "key separate-signer --to /etc/regalia/signer.key"),
    )(_separate_signer)


def _rotate_master(
    *,
    prepare_only: Prepare = False,
    keep_former: KeepFormer = False,
    medium: Media = None,
    without_media: WithoutMedia = False,
    yes: Yes = False,
    dry_run: DryRun = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Make another master key, and wrap all keys and secrets under it anew.

    A server may run meanwhile. Interrupted anywhere, the same command goes on.
    """
    how = _How(prepare_only, keep_former, medium or (), without_media, yes, dry_run, as_json)
    with opened(home) as regalia:
        _rotate(regalia, regalia.master.current(), "master key", how)


def _rotate_signer(
    *,
    prepare_only: Prepare = False,
    keep_former: KeepFormer = False,
    medium: Media = None,
    without_media: WithoutMedia = False,
    yes: Yes = False,
    dry_run: DryRun = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Make another key for the signer, and wrap all CA keys under it anew.

    A server may run meanwhile. Interrupted anywhere, the same command goes on.
    """
    how = _How(prepare_only, keep_former, medium or (), without_media, yes, dry_run, as_json)
    with opened(home) as regalia:
        key = load_signer_key(regalia.config.home, _environment(regalia))
        if key is None:
            raise AdminError(reasons.NOT_FOUND, "a key of the signer's own; `regalia key separate-signer` makes one")
        _rotate(regalia, key, "signer's key", how)


def _separate_signer(
    *,
    to: Annotated[
        Path | None,
        typer.Option(
            "--to",
            metavar="FILE",
            readable=False,
            show_default=False,
            help="Its file; signer.key in the home if not given.",
        ),
    ] = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Give the signer a key of its own, and wrap all CA keys under it, so that the master key does not open them.

    Interrupted anywhere, the same command goes on.
    """
    with opened(home) as regalia:
        environment = _environment(regalia)
        if to is not None:
            environment = {**environment, SIGNER.variable: str(to.absolute())}
        named = environment.get(SIGNER.variable)
        path = Path(named) if named else regalia.config.home / SIGNER.home_file
        fresh = not path.exists() if named else load_signer_key(regalia.config.home, environment) is None
        plan = [f"make {path}"] if fresh else []
        plan.append("wrap all CA keys under it: whoever has the master key alone does not open them any more")
        if not agreed(plan, yes=yes, dry_run=dry_run, as_json=as_json):
            return
        if fresh:
            create_signer_key(path, regalia.entropy)
            _record(regalia, Action.SIGNER_KEY_SEPARATED, {"file": str(path)})
        done = _rewrap(regalia, environment, ())
        print_record({"signer_key": path, "keys": done.keys, "of_other_sites": done.foreign}, as_json=as_json)
        if to is not None and not as_json:
            note(f"Name the file in {SIGNER.variable}, or make it the credential {SIGNER.credential}, for serve.")


def _rotate(regalia: "App", key: "MasterKey", name: str, how: _How) -> None:
    resumed = former_file(key.path).exists() and not next_file(key.path).exists()
    # The challenges' hash is the master key's: its key goes on, or no device could use what it was handed.
    challenges = key.path == regalia.master.path
    if how.prepare and not how.dry_run:
        path = prepare(key, regalia.entropy, challenges=challenges)
        print_record({"next": path, "in_use": key.path}, as_json=how.as_json)
        return
    if not agreed(_plan(key, name, how, resumed=resumed), yes=how.yes, dry_run=how.dry_run, as_json=how.as_json):
        return
    if not resumed:
        prepare(key, regalia.entropy, challenges=challenges)
    if promote(key):
        _record(regalia, Action.MASTER_KEY_ROTATED, {"file": str(key.path), "key": name})
    done = _rewrap(regalia, _environment(regalia), how.media)
    kept = how.keep_former or bool(done.missing and not how.without_media)
    if not kept:
        _settle(regalia, done, how)
        finish(key)
    print_record(
        {
            "file": key.path,
            "keys": done.keys,
            "secrets": done.secrets,
            "on_media": done.on_media,
            "of_other_sites": done.foreign,
            "former": former_file(key.path) if kept else None,
            "missing": [str(each) for each in done.missing],
        },
        as_json=how.as_json,
    )
    if kept and done.missing and not how.keep_former and not how.as_json:
        note("The former key stays: keys on media need it. Repeat with --medium DIR for each, or --without-media.")


def _plan(key: "MasterKey", name: str, how: _How, *, resumed: bool) -> list[str]:
    steps = [] if resumed else [f"put another {name} into the place of {key.path}"]
    steps.append("wrap everything that lies under the former one anew")
    if not how.keep_former:
        steps.append(f"remove {former_file(key.path)} once nothing needs it; backups made before still do")
    return steps


def _settle(regalia: "App", done: Rewrapped, how: _How) -> None:
    """Pass over everything until nothing is left that a server wrapped under the former key meanwhile."""
    while True:
        time.sleep(_SETTLE_SECONDS)
        more = _rewrap(regalia, _environment(regalia), how.media)
        if not more.keys + more.secrets:
            return
        done.keys += more.keys
        done.secrets += more.secrets


def _rewrap(regalia: "App", environment: "Mapping[str, str]", media: "Sequence[Path]") -> Rewrapped:
    ring = signer_ring(regalia.config.home, environment)
    done = Rewrapper(regalia.store, regalia.master, ring, regalia.entropy).run(media)
    if done.keys or done.secrets or done.on_media:
        details: dict[str, JsonValue] = {"keys": done.keys, "secrets": done.secrets, "on_media": done.on_media}
        _record(regalia, Action.KEYS_REWRAPPED, details)
    return done


def _record(regalia: "App", action: Action, details: "dict[str, JsonValue]") -> None:
    event = EventDraft(regalia.clock.now(), administrator(), action, "home", Outcome.OK, security=True, details=details)
    regalia.store.record((event,))


def _environment(regalia: "App") -> dict[str, str]:
    return {**regalia.config.key_environment, **regalia.config.signer_environment}
