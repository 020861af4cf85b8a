"""`regalia job`: what runs by itself."""

from typing import Annotated, Final

import typer

from regalia.cli.context import reached
from regalia.cli.options import Home, Json, examples, noun_app
from regalia.cli.output import note, print_answer, print_page
from regalia.verbs import job as verbs
from regalia.verbs.paging import gathered

__all__ = ["app"]

app = noun_app("Jobs: what the server does by itself.")

_ALL: Final = 1_000_000

Name = Annotated[
    str, typer.Argument(metavar="NAME", help="Name of the job, as `job list` shows it.", show_default=False)
]


@app.command("list", epilog=examples("job list", "job list --json"))
def list_(*, home: Home = None, as_json: Json = False) -> None:
    """List the jobs: what ran, what failed, what is due."""
    with reached(home) as door:
        found = gathered(lambda page: door.ask(verbs.LIST, page), verbs.ListJobs(), _ALL)
    columns = ("name", "state", "last_run", "milliseconds", "next_due", "last_error")
    print_page(found, columns, as_json=as_json, empty="No job ran yet: they run in `regalia serve`.")


@app.command(epilog=examples("job show publish-crl", "job show publish-crl --json"))
def show(*, name: Name, home: Home = None, as_json: Json = False) -> None:
    """Show a job: when it ran and succeeded, how long it took, when it is due, who runs it."""
    with reached(home) as door:
        print_answer(door.ask(verbs.SHOW, verbs.ShowJob(name=name)), as_json=as_json)


@app.command(epilog=examples("job run audit-certificates", "job run publish-crl --json"))
def run(*, name: Name, home: Home = None, as_json: Json = False) -> None:
    """Have a job run now, once in the cluster; a process of the server begins within seconds."""
    with reached(home) as door:
        asked = door.ask(verbs.RUN, verbs.RunJob(name=name))
    print_answer(asked, as_json=as_json)
    note(f"It begins within seconds. `regalia job show {name}` says how it ended.")
