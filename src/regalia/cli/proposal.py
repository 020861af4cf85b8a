"""`regalia proposal`: what waits until a second administrator agrees."""

from typing import Annotated

import typer

from regalia.cli.context import agreed, reached
from regalia.cli.options import DryRun, Home, Json, Yes, examples, noun_app
from regalia.cli.output import print_answer, print_page
from regalia.model import ProposalState
from regalia.verbs import proposal as verbs
from regalia.verbs.paging import gathered

__all__ = ["app"]

app = noun_app("Proposals: what waits until a second administrator agrees.")

_MOST = 100_000
"""Of one list; nobody reads more."""

Id = Annotated[str, typer.Argument(metavar="ID", help="Its id, or the beginning of it.", show_default=False)]
Note = Annotated[str, typer.Option("--note", metavar="TEXT", help="Why, for the audit log.")]


@app.command("list", epilog=examples("proposal list", "proposal list --state open --json"))
def list_(
    *,
    state: Annotated[ProposalState | None, typer.Option("--state", help="Only these.", show_default=False)] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """List the proposals, newest first."""
    with reached(home) as door:
        proposals = gathered(lambda part: door.ask(verbs.LIST, part), verbs.ListProposals(state=state), _MOST)
    columns = ("id", "verb", "state", "proposed_by", "expires_at", "decided_by")
    print_page(proposals, columns, as_json=as_json, empty="Nothing waits for a second administrator.")


@app.command(epilog=examples("proposal show 0192f0c4", "proposal show 0192f0c4 --json"))
def show(*, proposal: Id, home: Home = None, as_json: Json = False) -> None:
    """Show a proposal: what was asked, what it would do, and what came of it."""
    with reached(home) as door:
        print_answer(door.ask(verbs.SHOW, verbs.NameProposal(proposal_id=proposal)), as_json=as_json)


@app.command(epilog=examples("proposal approve 0192f0c4", "proposal approve 0192f0c4 --dry-run"))
def approve(
    *, proposal: Id, yes: Yes = False, dry_run: DryRun = False, home: Home = None, as_json: Json = False
) -> None:
    """Agree to what another administrator proposed, and do it: signed in as yourself, not with a token."""
    with reached(home) as door:
        asked = verbs.NameProposal(proposal_id=proposal)
        if agreed(door.plan(verbs.APPROVE, asked).would, yes=yes, dry_run=dry_run, as_json=as_json):
            print_answer(door.ask(verbs.APPROVE, asked), as_json=as_json)


@app.command(epilog=examples("proposal refuse 0192f0c4", "proposal refuse 0192f0c4 --note 'not before Friday'"))
def refuse(*, proposal: Id, note: Note = "", home: Home = None, as_json: Json = False) -> None:
    """Refuse what another administrator proposed."""
    with reached(home) as door:
        asked = verbs.DecideProposal(proposal_id=proposal, note=note)
        print_answer(door.ask(verbs.REFUSE, asked), as_json=as_json)


@app.command(epilog=examples("proposal withdraw 0192f0c4", "proposal withdraw 0192f0c4 --note 'a mistake'"))
def withdraw(*, proposal: Id, note: Note = "", home: Home = None, as_json: Json = False) -> None:
    """Withdraw what you proposed."""
    with reached(home) as door:
        asked = verbs.DecideProposal(proposal_id=proposal, note=note)
        print_answer(door.ask(verbs.WITHDRAW, asked), as_json=as_json)
