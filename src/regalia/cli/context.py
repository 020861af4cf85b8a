"""Opening a home for one command, and who it is that commands."""

from __future__ import annotations

import os
import pwd
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from regalia import reasons
from regalia.cli.output import note, print_json, say
from regalia.cli.remote import far_door
from regalia.config import load_config
from regalia.errors import AdminError
from regalia.model import Actor, ActorKind

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from regalia.app import App
    from regalia.verbs import Door

__all__ = ["administrator", "agreed", "opened", "reached"]


def administrator() -> Actor:
    """Name the user who runs this command: whoever may read the home may command it (R9)."""
    uid = os.geteuid()
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        # A container may run as a user that its system does not know.
        name = str(uid)
    return Actor(ActorKind.ADMIN, f"os:{name}")


@contextmanager
def opened(home: Path | None, *, root_key: Path | None = None) -> Iterator[App]:
    """Open a home, and close it whatever happens. `root_key` is the medium with the root's key.

    Raises `AdminError`: ADM-002 no home, ADM-006 configuration, ADM-010 and ADM-011 keys, ADM-012 schema, ADM-020 where
    the medium is no directory, API-015 where the command was told to ask a server.
    """
    if far_door() is not None:
        raise AdminError(reasons.API_LOCAL_ONLY, "this command opens the home itself")
    from regalia.app import build  # noqa: PLC0415 - a verb's help must not wait for the database driver
    from regalia.app.log import set_up_command_log  # noqa: PLC0415 - the same

    if root_key is not None and not os.path.isdir(root_key):  # noqa: PTH112 - Path.is_dir raises where it may not look
        raise AdminError(reasons.FILE_REFUSED, f"{root_key} is not a directory that can be read")
    set_up_command_log()
    app = build(load_config(home=home), medium=root_key)
    try:
        yield app
    finally:
        app.close()


@contextmanager
def reached(home: Path | None, *, root_key: Path | None = None) -> Iterator[Door]:
    """Reach the verbs: of the server that was named, or else of the home on this machine.

    There as the token's owner, here as somebody who may do everything (R9). Raises what `opened` does; for a server
    what `client.api.ApiDoor` does, and API-015 with `root_key`; `AdminError` ADM-018 where what is asked within cannot
    be said of a verb.
    """
    from pydantic import ValidationError  # noqa: PLC0415 - help must not wait for it

    with _door(home, root_key) as door:
        try:
            yield door
        except ValidationError as error:
            if not _is_question(error.title):
                raise
            told = (f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
            raise AdminError(reasons.USAGE, "; ".join(told)) from error


@contextmanager
def _door(home: Path | None, root_key: Path | None) -> Iterator[Door]:
    far = far_door()
    if far is not None:
        if home is not None or root_key is not None:
            option = "--home" if home is not None else "--root-key"
            raise AdminError(reasons.API_LOCAL_ONLY, f"{option} names a directory of this machine")
        with far() as door:
            yield door
        return
    from regalia.ra.roles import EVERYTHING  # noqa: PLC0415 - a verb's help must not wait for the database driver
    from regalia.verbs import Caller, LocalDoor  # noqa: PLC0415 - the same

    with opened(home, root_key=root_key) as app:
        yield LocalDoor(app, Caller(administrator(), EVERYTHING, fresh=True, local=True))


def _is_question(model: str) -> bool:
    """Whether it is what a verb is asked, and not what one answers: that would be our own mistake."""
    from regalia.verbs import VERBS  # noqa: PLC0415 - a verb's help must not wait for the database driver

    return any(verb.asks.__name__ == model for verb in VERBS.values())


def agreed(plan: Sequence[str], *, yes: bool, dry_run: bool, as_json: bool) -> bool:
    """Say what is about to happen and ask for consent. False for a dry run, which has then said all.

    `plan` has sentences that go on after "This will". Raises `AdminError` ADM-018 where nobody can be asked.
    """
    if dry_run:
        if as_json:
            print_json({"dry_run": True, "would": plan})
        else:
            for step in plan:
                say(f"Would {step}")
        return False
    if yes:
        return True
    if not sys.stdin.isatty():
        raise AdminError(
            reasons.USAGE, f"This will {plan[0]}\nNobody can be asked here: repeat with --yes if it should"
        )
    for step in plan:
        note(f"This will {step}")
    typer.confirm("Go on?", abort=True, err=True)
    return True
