"""`regalia ca create`: an issuing authority, another root, or a home that is only a root's."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from regalia import reasons
from regalia.cli.context import administrator, reached
from regalia.cli.files import certificates_pem, write_new
from regalia.cli.new_home import Joined, make_home, record_initialised
from regalia.cli.options import Home, Json, RootKey, examples
from regalia.cli.output import note, print_answer, print_json, say
from regalia.cli.publish import publish
from regalia.cli.remote import far_door
from regalia.config import find_home
from regalia.errors import AdminError
from regalia.model import KeyKind
from regalia.store.transcript_file import TRANSCRIPT_FILE, append_lines
from regalia.verbs import authority_making as verbs
from regalia.verbs.wording import fingerprints

if TYPE_CHECKING:
    from pathlib import Path

    from regalia.app import App
    from regalia.model import Authority

__all__ = ["CREATE_EXAMPLES", "create", "make_root_home"]

CREATE_EXAMPLES = examples(
    "ca create staff-ca-2 --group staff --root-key /media/usb", "ca create root --root --offline --home /srv/root"
)


def create(
    *,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the authority.", show_default=False)],
    group: Annotated[
        str | None, typer.Option("--group", metavar="GROUP", help="The group that it will issue for.")
    ] = None,
    parent: Annotated[
        str | None, typer.Option("--parent", metavar="ROOT", help="The root that signs it.", show_default="the first")
    ] = None,
    root: Annotated[bool, typer.Option("--root", help="Make a root instead.")] = False,
    offline: Annotated[
        bool,
        typer.Option("--offline", help="With --root: in a new home that is only this root's, for a machine apart."),
    ] = False,
    organisation: Annotated[
        str | None, typer.Option("--organisation", metavar="O", help="Stands in its name.", show_default=False)
    ] = None,
    key: Annotated[
        KeyKind | None, typer.Option("--key", help="Kind of its key.", show_default="p-256, a root p-384")
    ] = None,
    root_key: RootKey = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Create an issuing authority under a root; `group create --authority` puts it to work. Or create a root."""
    if root is (group is not None) or (offline and not root) or (root and parent is not None):
        raise AdminError(reasons.USAGE, "an issuing authority has a --group, a root has --root and stands under nobody")
    if offline:
        if far_door() is not None:
            raise AdminError(reasons.API_LOCAL_ONLY, "--offline makes a home on this machine")
        made = make_root_home(find_home(named=home), name, organisation=organisation, key_kind=key or KeyKind.P384)
        _tell(made, as_json=as_json)
        return
    with reached(home, root_key=root_key) as door:
        asked = verbs.CreateAuthority(
            name=name, group=group, parent=parent, root=root, organisation=organisation, key=key
        )
        print_answer(door.ask(verbs.CREATE, asked), as_json=as_json)


@dataclass(frozen=True, slots=True)
class RootHome:
    """A home that is only a root's."""

    home: "Path"
    root: "Authority"
    certificate: "Path"
    master_key: "Path"
    master_key_beside: bool


def make_root_home(home: "Path", name: str, *, organisation: str | None, key_kind: KeyKind) -> RootHome:
    """Make a home with a root and a transcript, and nothing that serves. Raises what `make_home` raises."""

    def fill(regalia: "App") -> "tuple[Authority, Path]":
        actor = administrator()
        root = regalia.ceremony.create_root(name, actor=actor, organisation=organisation, key_kind=key_kind)
        publish(regalia, root.name)
        record_initialised(regalia)
        lines = (f"began the transcript of {home}", verbs.created(root))
        append_lines(regalia.config.home / TRANSCRIPT_FILE, lines, at=regalia.clock.now(), who=actor.id)
        return root, write_new(regalia.config.home / f"{name}.pem", certificates_pem([root.certificate_der]))

    filled = make_home(home, fill)
    if isinstance(filled, Joined):
        raise AdminError(reasons.DATABASE_UNFIT, "a root's home has a database of its own")
    root, certificate = filled.made
    return RootHome(filled.config.home, root, certificate, filled.master_key, filled.master_key_beside)


def _tell(made: RootHome, *, as_json: bool) -> None:
    sha256 = fingerprints(made.root.certificate_der)["sha256"]
    if as_json:
        print_json(
            {
                "home": made.home,
                "root": {"name": made.root.name, **fingerprints(made.root.certificate_der)},
                "certificate": made.certificate,
                "transcript": made.home / TRANSCRIPT_FILE,
                "master_key": made.master_key,
                "master_key_beside_database": made.master_key_beside,
            }
        )
        return
    say(f"A root lives in {made.home} now, and nothing else does.")
    say()
    say(f"{'root CA':<12} {made.root.name}, SHA-256 {sha256}")
    say(f"{'certificate':<12} {made.certificate}")
    say(f"{'transcript':<12} {made.home / TRANSCRIPT_FILE}")
    say()
    if made.master_key_beside:
        note(f"Keys and lock lie in one place: {made.master_key} opens the key beside it. See docs/tasks/install.md.")
    note(f"Take {made.certificate.name} to the machine that will serve, and there:")
    note(f"  regalia init --root-certificate {made.certificate.name}")
