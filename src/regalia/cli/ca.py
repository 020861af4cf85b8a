"""`regalia ca`: authorities."""

from typing import Annotated

import typer

from regalia.cli.authorities import found_authority
from regalia.cli.ca_ceremony import CEREMONY_EXAMPLES, TRANSCRIPT_EXAMPLES, ceremony, transcript
from regalia.cli.ca_cps import CPS_EXAMPLES, cps
from regalia.cli.ca_create import CREATE_EXAMPLES, create
from regalia.cli.ca_crl import CRL_EXAMPLES, crl
from regalia.cli.ca_crl_plan import CRL_PLAN_EXAMPLES, crl_plan
from regalia.cli.ca_export import CROSS_EXAMPLES, EXPORT_EXAMPLES, cross, export
from regalia.cli.ca_import import IMPORT_EXAMPLES, import_
from regalia.cli.ca_offline import OFFLINE_EXAMPLES, offline, shares_app
from regalia.cli.ca_request import ACCEPT_EXAMPLES, REQUEST_EXAMPLES, SIGN_EXAMPLES, accept, request, sign
from regalia.cli.ca_rotate import (
    ACTIVATE_EXAMPLES,
    ROTATE_EXAMPLES,
    ROTATE_RA_EXAMPLES,
    activate,
    rotate,
    rotate_ra,
)
from regalia.cli.ca_tree import print_tree, shown
from regalia.cli.context import agreed, reached
from regalia.cli.options import DryRun, Home, Json, RootKey, Yes, examples, noun_app
from regalia.cli.output import print_answer, print_page, print_record
from regalia.cli.reason import Reason
from regalia.verbs import authority as verbs
from regalia.verbs import authority_succession as succession
from regalia.verbs.paging import gathered

__all__ = ["app", "found_authority"]

app = noun_app("Authorities: the root, and the issuing CAs of groups.")

MOST = 100_000
"""Of one list; nobody reads more."""

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the authority.", show_default=False)]


app.command(epilog=CREATE_EXAMPLES)(create)
app.command(epilog=REQUEST_EXAMPLES)(request)
app.command(epilog=SIGN_EXAMPLES)(sign)
app.command(epilog=ACCEPT_EXAMPLES)(accept)
app.command(epilog=ROTATE_EXAMPLES)(rotate)
app.command(epilog=ACTIVATE_EXAMPLES)(activate)
app.command("rotate-ra", epilog=ROTATE_RA_EXAMPLES)(rotate_ra)
app.command("import", epilog=IMPORT_EXAMPLES)(import_)
app.command(epilog=EXPORT_EXAMPLES)(export)
app.command(epilog=CROSS_EXAMPLES)(cross)
app.command(epilog=CPS_EXAMPLES)(cps)


@app.command("list", epilog=examples("ca list", "ca list --json"))
def list_(*, home: Home = None, as_json: Json = False) -> None:
    """List the authorities."""
    with reached(home) as door:
        found = gathered(lambda part: door.ask(verbs.LIST, part), verbs.ListAuthorities(), MOST)
    print_page(found, ("name", "kind", "group", "state", "key", "custody", "not_after"), as_json=as_json)


@app.command(epilog=examples("ca show", "ca show default-ca-1 --json"))
def show(
    *,
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="The whole tree if not given.", show_default=False)
    ] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Draw the tree of authorities, or show one: fingerprints, where its key is, its end, what depends on it."""
    with reached(home) as door:
        if name is None:
            print_tree(door.ask(verbs.TREE, verbs.ShowTree()), as_json=as_json)
            return
        authority = door.ask(verbs.SHOW, verbs.ShowAuthority(name=name))
        print_record(shown(authority.model_dump(mode="json")), as_json=as_json)


@app.command(
    epilog=examples(
        "ca revoke staff-ca-1 --reason ca-compromise", "ca revoke staff-ca-1 --reason superseded --yes --root-key DIR"
    )
)
def revoke(
    *,
    name: Name,
    reason: Reason,
    note_: Annotated[str, typer.Option("--note", metavar="TEXT", help="Why, for the audit log.")] = "",
    root_key: RootKey = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Revoke an issuing authority at the root for good, and publish the root's CRL that says so."""
    with reached(home, root_key=root_key) as door:
        asked = succession.RevokeAuthority(name=name, reason=reason, note=note_)
        if agreed(door.plan(succession.REVOKE, asked).would, yes=yes, dry_run=dry_run, as_json=as_json):
            print_answer(door.ask(succession.REVOKE, asked), as_json=as_json)


app.command(epilog=OFFLINE_EXAMPLES)(offline)
app.add_typer(shares_app, name="shares")
app.command(epilog=CEREMONY_EXAMPLES)(ceremony)
app.command(epilog=TRANSCRIPT_EXAMPLES)(transcript)
app.command(epilog=CRL_EXAMPLES)(crl)
app.command("crl-plan", epilog=CRL_PLAN_EXAMPLES)(crl_plan)
