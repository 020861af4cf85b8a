"""The program `regalia`: finds the noun's module, and turns whatever goes wrong into words and an exit code."""

from __future__ import annotations

import io
import os
import sys
from contextlib import nullcontext
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from regalia import __version__, reasons
from regalia.cli.faults import FAILED, OK, USAGE, exit_code, report
from regalia.cli.options import examples
from regalia.cli.remote import told_server, towards
from regalia.errors import AdminError, RegaliaError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["NOUNS", "app", "main", "noun", "run"]

NOUNS: Final = {
    "init": "Set up a home: root, first group, first SCEP endpoint.",
    "serve": "Answer devices and administrators.",
    "signer": "Be the process that has the keys of authorities and signs with them.",
    "ca": "Authorities: the root, and the issuing CAs of groups.",
    "group": "Groups: segregated populations, each with an issuing CA.",
    "profile": "Profiles: what certificates look like and how long they live.",
    "endpoint": "Endpoints: the doors that devices enrol at.",
    "connector": "Connectors: systems outside that know devices and vouch for them.",
    "device": "Devices: as connectors know them, and what follows for their certificates.",
    "user": "Users: as connectors know them.",
    "challenge": "Challenges: secrets that let a device enrol.",
    "enrolment": "Enrolments: what devices asked for, and what becomes of it.",
    "cert": "Certificates: look, issue, hold, revoke, audit, export.",
    "key-blocklist": "Keys that no certificate may have, because strangers have them too.",
    "key": "Keys: every private key that there ever was, where it lies, and what it is for.",
    "scep": "Our SCEP client.",
    "event": "The audit log.",
    "alert": "Alerts: what is wrong, and who is told of it.",
    "job": "Jobs: what the server does by itself.",
    "admin": "Administrators: who may do what, and how they come in.",
    "token": "Tokens: credentials of programs, each within what its owner may do.",
    "session": "Sessions: browsers in which somebody is signed in.",
    "proposal": "Proposals: what waits until a second administrator agrees.",
    "access": "Access: who can do what, where, and when it was last done.",
    "backup": "Backups: make, verify and restore them.",
    "db": "The database's schema.",
    "config": "The configuration that is in force.",
    "doctor": "Check everything that could keep devices from enrolling.",
    "lab": "The laboratory: an emulated Entra ID and Intune on this machine, to rehearse with.",
    "demo": "The product's story on real parts, told and checked.",
}
"""Every noun with its help, in the order of `regalia --help`. Its module is `regalia.cli.NOUN`, a hyphen
being an underscore there."""

_WIDTH: Final = 100


class _Unread(TyperCommand):
    """A noun whose module was not imported yet: enough to be listed and suggested."""


class _Nouns(TyperGroup):
    """Imports a noun's module when it is invoked: the help must not wait for a database driver."""

    def __init__(self, **attributes: Any) -> None:  # noqa: ANN401 - typer's own signature, handed on
        attributes["commands"] = {name: _Unread(name, short_help=text) for name, text in NOUNS.items()}
        super().__init__(**attributes)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:  # noqa: ANN401 - types that typer keeps to itself
        """Find the noun, and now import it."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, noun(name) if isinstance(command, _Unread) and name is not None else command, rest


app = typer.Typer(
    cls=_Nouns,
    help="A PKI for device fleets.",
    epilog=examples("init --home DIR --url http://pki.example.org:8080", "challenge create -h"),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": _WIDTH},
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - typer calls it so
    if wanted:
        sys.stdout.write(f"regalia {__version__}\n")
        raise typer.Exit


@app.callback()
def _root(
    *,
    version: bool = typer.Option(False, "--version", help="Print the version.", is_eager=True, callback=_print_version),  # noqa: FBT003 - typer's signature
) -> None:
    """Nothing happens before the noun."""


def noun(name: str) -> TyperCommand | TyperGroup:
    """Import a noun's module and make its command."""
    command = get_command(import_module(f"regalia.cli.{name.replace('-', '_')}").app)
    if not isinstance(command, TyperCommand | TyperGroup):
        raise TypeError(name)
    command.name = name
    return command


def main(arguments: Sequence[str]) -> int:
    """Do what the arguments say, as one process or within one. Returns the exit code."""
    as_json = "--json" in arguments
    try:
        remote, words = told_server(arguments, os.environ)
        with towards(remote.door) if remote is not None else nullcontext():
            ended = get_command(app).main(words or ["--help"], prog_name="regalia", standalone_mode=False)
        sys.stdout.flush()
    except RegaliaError as error:
        report(error, as_json=as_json)
        return exit_code(error)
    except typer.TyperException as error:
        # typer tells where a value was refused in the words of a library beneath it, and choices on lines of their own
        detail = error.format_message().replace(": Value error, ", ": ").replace(":\n\t", ": ").replace(",\n\t", ", ")
        report(AdminError(reasons.USAGE, detail), as_json=as_json)
        return USAGE
    except typer.Abort:
        return FAILED
    except BrokenPipeError:
        return _deaf()
    return ended if isinstance(ended, int) else OK


def _deaf() -> int:
    """Nobody reads on (`| head`): end without a word, and let the interpreter's own flush succeed."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
    return FAILED


def run() -> None:
    """Be the program."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal that cannot show a name gets an escape for it, not a traceback.
            stream.reconfigure(errors="backslashreplace")
    sys.exit(main(sys.argv[1:]))
