"""`regalia admin`: who administers, what they may do, and how they come in."""

from typing import Annotated, TypeVar

import typer

from regalia import reasons
from regalia.cli.context import administrator, agreed, opened, reached
from regalia.cli.options import DryRun, Home, Json, Yes, examples, noun_app
from regalia.cli.output import print_answer, print_page, print_record
from regalia.errors import AdminError
from regalia.verbs import Asked, Door, Record, Verb
from regalia.verbs import admin as verbs
from regalia.verbs.paging import gathered

__all__ = ["app"]

app = noun_app("Administrators: who may do what, and how they come in.")

_MOST = 100_000
"""Of one list; nobody reads more."""

A = TypeVar("A", bound=Asked)
G = TypeVar("G", bound=Record)

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the administrator.", show_default=False)]
Roles = Annotated[
    list[str],
    typer.Argument(
        metavar="ROLE...", help="A role, or ROLE:GROUP,GROUP where it is to count in these only.", show_default=False
    ),
]
Issuer = Annotated[str, typer.Option("--issuer", metavar="URL", help="Issuer of the provider, to the letter.")]
Subject = Annotated[str, typer.Option("--subject", metavar="SUB", help="The provider's `sub`; no e-mail address.")]


def _plan_and_do(door: Door, verb: Verb[A, G], asked: A, *, yes: bool, dry_run: bool, as_json: bool) -> None:
    """Say what will happen, ask, do it and print what came of it."""
    if agreed(door.plan(verb, asked).would, yes=yes, dry_run=dry_run, as_json=as_json):
        print_answer(door.ask(verb, asked), as_json=as_json)


@app.command(epilog=examples("admin create alice --role admin", "admin create bob --role helpdesk:staff,guests"))
def create(
    *,
    name: Name,
    role: Annotated[
        list[str] | None,
        typer.Option("--role", metavar="ROLE", help="ROLE or ROLE:GROUP,GROUP; may be given several times."),
    ] = None,
    display: Annotated[str, typer.Option("--display", metavar="TEXT", help="What people call them.")] = "",
    dry_run: DryRun = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Make an administrator. They come in with a set-up link: `regalia admin setup-link NAME`."""
    asked = verbs.CreateAdministrator(name=name, display=display, roles=tuple(role or ()))
    with reached(home) as door:
        if not dry_run or agreed(door.plan(verbs.CREATE, asked).would, yes=True, dry_run=True, as_json=as_json):
            print_answer(door.ask(verbs.CREATE, asked), as_json=as_json)


@app.command("list", epilog=examples("admin list", "admin list --json"))
def list_(*, home: Home = None, as_json: Json = False) -> None:
    """List the administrators."""
    with reached(home) as door:
        people = gathered(lambda part: door.ask(verbs.LIST, part), verbs.ListAdministrators(), _MOST)
    empty = "No administrators. Make the link for the first one with `regalia admin setup-link`."
    print_page(people, ("name", "state", "roles", "ways_in", "last_seen_at"), as_json=as_json, empty=empty)


@app.command(epilog=examples("admin show", "admin show alice --json"))
def show(
    *,
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Yourself if not given.", show_default=False)
    ] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Show an administrator with roles, ways in, sessions and tokens; without a name, yourself and what you may do."""
    with reached(home) as door:
        if name is None:
            print_answer(door.ask(verbs.ME, verbs.ShowMe()), as_json=as_json)
        else:
            print_answer(door.ask(verbs.SHOW, verbs.NameAdministrator(name=name)), as_json=as_json)


@app.command(epilog=examples("admin grant bob operator:staff", "admin grant bob auditor --dry-run"))
def grant(
    *, name: Name, roles: Roles, yes: Yes = False, dry_run: DryRun = False, home: Home = None, as_json: Json = False
) -> None:
    """Give roles beside those that somebody has. Their sessions end."""
    with reached(home) as door:
        asked = verbs.GrantRoles(name=name, roles=tuple(roles))
        _plan_and_do(door, verbs.GRANT, asked, yes=yes, dry_run=dry_run, as_json=as_json)


@app.command(epilog=examples("admin ungrant bob operator:staff", "admin ungrant bob auditor --yes"))
def ungrant(
    *, name: Name, roles: Roles, yes: Yes = False, dry_run: DryRun = False, home: Home = None, as_json: Json = False
) -> None:
    """Take roles: everywhere, or in the groups that are named. Their sessions end."""
    with reached(home) as door:
        asked = verbs.GrantRoles(name=name, roles=tuple(roles))
        _plan_and_do(door, verbs.UNGRANT, asked, yes=yes, dry_run=dry_run, as_json=as_json)


@app.command(epilog=examples("admin disable bob --note 'has left'", "admin disable bob --dry-run"))
def disable(
    *,
    name: Name,
    note: Annotated[str, typer.Option("--note", metavar="TEXT", help="Why, for the audit log.")] = "",
    yes: Yes = False,
    dry_run: DryRun = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Keep somebody out: their sessions end, their tokens stop."""
    with reached(home) as door:
        asked = verbs.DisableAdministrator(name=name, note=note)
        _plan_and_do(door, verbs.DISABLE, asked, yes=yes, dry_run=dry_run, as_json=as_json)


@app.command(epilog=examples("admin enable bob", "admin enable bob --dry-run"))
def enable(*, name: Name, yes: Yes = False, dry_run: DryRun = False, home: Home = None, as_json: Json = False) -> None:
    """Let somebody in again, with the roles and ways in that they had."""
    with reached(home) as door:
        asked = verbs.NameAdministrator(name=name)
        _plan_and_do(door, verbs.ENABLE, asked, yes=yes, dry_run=dry_run, as_json=as_json)


@app.command(
    epilog=examples(
        "admin link bob --issuer https://login.example.org --subject 248289761001",
        "admin link bob --issuer https://login.example.org --subject 248289761001 --dry-run",
    )
)
def link(
    *,
    name: Name,
    issuer: Issuer,
    subject: Subject,
    yes: Yes = False,
    dry_run: DryRun = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Say who somebody is at an identity provider, by issuer and subject."""
    with reached(home) as door:
        asked = verbs.LinkIdentity(name=name, issuer=issuer, subject=subject)
        _plan_and_do(door, verbs.LINK, asked, yes=yes, dry_run=dry_run, as_json=as_json)


@app.command(
    epilog=examples(
        "admin unlink bob --issuer https://login.example.org --subject 248289761001",
        "admin unlink bob --issuer https://login.example.org --subject 248289761001 --yes",
    )
)
def unlink(
    *,
    name: Name,
    issuer: Issuer,
    subject: Subject,
    yes: Yes = False,
    dry_run: DryRun = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Unlink an identity at a provider. Their sessions end."""
    with reached(home) as door:
        asked = verbs.LinkIdentity(name=name, issuer=issuer, subject=subject)
        _plan_and_do(door, verbs.UNLINK, asked, yes=yes, dry_run=dry_run, as_json=as_json)


@app.command("setup-link", epilog=examples("admin setup-link", "admin setup-link bob --yes"))
def setup_link(
    *,
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="Whom it lets in; the first administrator if not given."),
    ] = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Make a link, good once and for a day, that lets somebody in; without a name, the first administrator."""
    if name is None:
        _first_link(home, dry_run=dry_run, as_json=as_json)
        return
    with reached(home) as door:
        asked = verbs.NameAdministrator(name=name)
        _plan_and_do(door, verbs.SETUP_LINK, asked, yes=yes, dry_run=dry_run, as_json=as_json)


def _first_link(home: Home, *, dry_run: bool, as_json: bool) -> None:
    """Make the link for who comes first. On this machine only: there is nobody yet who could ask elsewhere."""
    from regalia.ra.setting_up import LINK_LIFE, make_setup_link, setup_url  # noqa: PLC0415 - help must not wait for it

    with opened(home) as regalia:
        people = regalia.store.administrators()
        if people:
            raise AdminError(
                reasons.ADMINISTRATION_STATE, f"there is an administrator: regalia admin setup-link {people[0].name}"
            )
        plan = ["make a link, good once and for a day: who opens it is the first administrator"]
        if agreed(plan, yes=True, dry_run=dry_run, as_json=as_json):
            secret = make_setup_link(regalia.store, regalia.clock, regalia.entropy, administrator())
            link = setup_url(regalia.config.admin_url(), secret)
            made = {"name": None, "link": link, "expires_at": regalia.clock.now() + LINK_LIFE}
            print_record(made, as_json=as_json)


@app.command(epilog=examples("admin rescue alice", "admin rescue alice --yes --json"))
def rescue(*, name: Name, yes: Yes = False, dry_run: DryRun = False, home: Home = None, as_json: Json = False) -> None:
    """Let somebody in again who has lost every way in, on this machine only: enabled, with a set-up link."""
    with opened(home) as regalia:
        from regalia.ra.roles import EVERYTHING  # noqa: PLC0415 - help must not wait for the database driver
        from regalia.verbs import Caller, LocalDoor  # noqa: PLC0415 - the same

        door = LocalDoor(regalia, Caller(administrator(), EVERYTHING, fresh=True, local=True))
        asked = verbs.NameAdministrator(name=name)
        disabled = door.ask(verbs.SHOW, asked).state.value == "disabled"
        plan = [*(door.plan(verbs.ENABLE, asked).would if disabled else ()), *door.plan(verbs.SETUP_LINK, asked).would]
        if agreed(plan, yes=yes, dry_run=dry_run, as_json=as_json):
            if disabled:
                door.ask(verbs.ENABLE, asked)
            print_answer(door.ask(verbs.SETUP_LINK, asked), as_json=as_json)
