"""`regalia ca offline` and `ca shares combine`: a root's key leaves the machine, whole or under a shared secret."""

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from regalia import reasons
from regalia.cli.authorities import found_authority
from regalia.cli.context import administrator, agreed, opened
from regalia.cli.files import read_file, write_new
from regalia.cli.options import DryRun, Home, Json, Yes, examples, noun_app
from regalia.cli.output import note, print_record, say
from regalia.errors import AdminError, UnavailableError
from regalia.model import Action, Authority, AuthorityKind, EventDraft, Outcome

if TYPE_CHECKING:
    from regalia.app import App
    from regalia.keys.shares import SharedKey, Split
    from regalia.model import JsonValue

__all__ = ["OFFLINE_EXAMPLES", "offline", "shares_app"]

OFFLINE_EXAMPLES = examples(
    "ca offline root --to /media/usb", "ca offline root --to /media/usb --shares 3-of-5 --shares-to /media/paper"
)

shares_app = noun_app("Shares of the secret that opens a root's key.")

_NUMBERS = re.compile(r"(\d{1,2})-of-(\d{1,2})")
_PRIVATE = 0o600
_MAX_SHARE = 4096


def offline(
    *,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the root.", show_default=False)],
    to: Annotated[
        Path,
        typer.Option("--to", readable=False, metavar="DIR", help="Where the key goes: a medium that you take away."),
    ],
    shares: Annotated[
        str | None,
        typer.Option(
            "--shares",
            metavar="M-of-N",
            help="Under a secret of which N persons get a share each; M of them open it.",
            show_default="the master key opens it",
        ),
    ] = None,
    shares_to: Annotated[
        Path | None,
        typer.Option(
            "--shares-to", readable=False, metavar="DIR", help="A file for each share.", show_default="shown one by one"
        ),
    ] = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Move the root's key out, still encrypted. Only new issuing CAs and the root's own CRL need it again."""
    with opened(home) as regalia:
        authority = found_authority(regalia, name)
        directory = _medium(regalia, authority, to)
        plan = [f"write the key of {name} to {directory} and destroy the one on this machine"]
        numbers = _numbers(shares) if shares is not None else None
        if numbers is not None:
            plan.append(f"encrypt it under a new secret of which {numbers[0]} of {numbers[1]} shares give it back")
        if not agreed(plan, yes=yes or numbers is None, dry_run=dry_run, as_json=as_json):
            return
        if numbers is None:
            file = _moved(regalia, authority, directory)
        else:
            file = _shared(regalia, authority, directory, numbers, shares_to)
        under = f", {shares} shares open it" if shares is not None else ""
        regalia.transcript.note(administrator(), f"moved key {authority.key_id} of root {name} out to {file}{under}")
        print_record({"authority": name, "key_id": authority.key_id, "file": file}, as_json=as_json)
        if not as_json and numbers is None:
            say("Take the medium away and keep a copy of it elsewhere. It opens with this home's master key alone.")
        elif not as_json:
            say(
                f"Take the medium away and keep a copy of it elsewhere. Any {shares} shares open it, nothing else does."
            )


def _event(regalia: "App", authority: Authority, directory: Path, **more: "JsonValue") -> EventDraft:
    return EventDraft(
        at=regalia.clock.now(),
        actor=administrator(),
        action=Action.KEY_MOVED,
        object=f"key:{authority.key_id}",
        outcome=Outcome.OK,
        details={"authority": authority.name, "directory": str(directory)} | more,
    )


def _moved(regalia: "App", authority: Authority, directory: Path) -> Path:
    try:
        return regalia.keys.move_out(authority.key_id, directory, (_event(regalia, authority, directory),))
    except UnavailableError as error:
        raise AdminError(reasons.ROOT_KEY_ELSEWHERE, error.detail) from error


def _shared(
    regalia: "App", authority: Authority, directory: Path, numbers: tuple[int, int], shares_to: Path | None
) -> Path:
    from regalia.keys.shares import split  # noqa: PLC0415 - only needed here

    if shares_to is None and not sys.stdin.isatty():
        raise AdminError(reasons.USAGE, "shares can be shown to nobody here: name a directory with --shares-to")
    parts = split(regalia.entropy, *numbers)
    event = _event(regalia, authority, directory, shares=f"{numbers[0]}-of-{numbers[1]}")

    def hand_out() -> None:
        texts = [_share_text(authority, parts, number) for number in range(1, len(parts.shares) + 1)]
        for number, text in enumerate(texts, start=1):
            if shares_to is not None:
                write_new(shares_to / f"{authority.name}-share-{number}.txt", text.encode(), _PRIVATE)
            else:
                _show(text)

    try:
        return regalia.keys.move_out_shared(authority.key_id, directory, parts, hand_out, (event,))
    except UnavailableError as error:
        raise AdminError(reasons.ROOT_KEY_ELSEWHERE, error.detail) from error


def _share_text(authority: Authority, parts: "Split", number: int) -> str:
    """Write a share for the person who keeps it: the words numbered, three a line."""
    words = parts.shares[number - 1].split()
    rows = [
        "  ".join(f"{at + 1:>2} {words[at]:<10}" for at in range(start, min(start + 3, len(words)))).rstrip()
        for start in range(0, len(words), 3)
    ]
    head = (
        f"Share {number} of {len(parts.shares)} of the key of {authority.name}; {parts.needed} together open it.",
        f"Key {authority.key_id}.",
    )
    return "\n".join((*head, "", *rows, ""))


def _show(text: str) -> None:
    """Show one share to the one person who keeps it, then take it off the screen."""
    typer.confirm("Is only the person there who keeps the next share?", abort=True, err=True)
    sys.stderr.write(text + "\n")
    typer.confirm("Is every word written down and compared?", abort=True, err=True)
    sys.stderr.write("\x1b[2J\x1b[3J\x1b[H" if sys.stderr.isatty() else "\n")


def _numbers(text: str) -> tuple[int, int]:
    found = _NUMBERS.fullmatch(text)
    if found is None:
        raise AdminError(reasons.USAGE, f"--shares {text}: two numbers, such as 3-of-5")
    return int(found[1]), int(found[2])


@shares_app.callback()
def _shares() -> None:
    """Shares of the secret that opens a root's key."""


@shares_app.command(
    epilog=examples(
        "ca shares combine /media/usb/KEY.shared --to /media/ram",
        "ca shares combine KEY.shared --to /media/ram --share share-1.txt --share share-4.txt --share share-5.txt",
    )
)
def combine(
    *,
    file: Annotated[Path, typer.Argument(metavar="FILE", readable=False, help="The key's file.", show_default=False)],
    to: Annotated[
        Path, typer.Option("--to", readable=False, metavar="DIR", help="Where the opened key goes, for --root-key.")
    ],
    share: Annotated[
        list[Path] | None,
        typer.Option(
            "--share", readable=False, metavar="FILE", help="A share; may be repeated.", show_default="asked for"
        ),
    ] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Open a root's key with shares, and write it where --root-key finds it, wrapped for this home again."""
    from regalia.keys.shares import combine as combined  # noqa: PLC0415 - only needed here
    from regalia.keys.shares import read_shared  # noqa: PLC0415 - the same

    shared = read_shared(file)
    if not to.is_dir():
        raise AdminError(reasons.FILE_REFUSED, f"{to} is not a directory")
    texts = [_words(read_file(path, _MAX_SHARE)) for path in share] if share else _asked(shared)
    secret = combined(shared, texts)
    with opened(home) as regalia:
        path = regalia.keys.carry(shared, secret, to)
        event = EventDraft(
            at=regalia.clock.now(),
            actor=administrator(),
            action=Action.KEY_IMPORTED,
            object=f"key:{shared.id}",
            outcome=Outcome.OK,
            details={"origin": f"{shared.needed} of {shared.of} shares", "directory": str(to)},
        )
        regalia.store.record((event,))
        regalia.transcript.note(administrator(), f"opened key {shared.id} with {shared.needed} shares into {to}")
    print_record({"key_id": shared.id, "file": path}, as_json=as_json)
    if not as_json:
        note(f"Use it with --root-key {to}, and destroy that directory afterwards: the master key opens what is in it.")


def _asked(shared: "SharedKey") -> list[str]:
    """Ask the persons for their shares, one after the other; nothing that is typed is shown."""
    if not sys.stdin.isatty():
        raise AdminError(reasons.USAGE, "nobody can be asked here: name files with --share")
    return [
        str(typer.prompt(f"Share {number} of {shared.needed}, all words", hide_input=True, err=True))
        for number in range(1, shared.needed + 1)
    ]


def _words(text: bytes) -> str:
    """Find the words of a share's file: what stands beside their numbers, or all words where there are none."""
    decoded = text.decode("utf-8", "replace")
    numbered = re.findall(r"\b\d{1,2}\s+([a-z]+)\b", decoded.partition("\n\n")[2])
    return " ".join(numbered or decoded.split())


def _medium(regalia: "App", authority: Authority, to: Path) -> Path:
    directory = to.resolve()
    if authority.kind is not AuthorityKind.ROOT:
        raise AdminError(reasons.AUTHORITY_STATE, f"{authority.name} is {authority.kind}: it could issue nothing then")
    if not directory.is_dir():
        raise AdminError(reasons.FILE_REFUSED, f"{directory} is not a directory")
    if directory.is_relative_to(regalia.config.home.resolve()):
        raise AdminError(reasons.FILE_REFUSED, f"{directory} is inside the home: the key would not have left it")
    return directory
