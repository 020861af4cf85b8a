"""`regalia event`: the audit log."""

import time
from typing import TYPE_CHECKING, Annotated

import typer

from regalia import reasons
from regalia.cli.context import reached
from regalia.cli.event_checkpoint import checkpoint
from regalia.cli.event_export import export
from regalia.cli.event_forget import forget
from regalia.cli.event_verify import verify
from regalia.cli.options import Home, Json, examples, noun_app
from regalia.cli.output import print_json, say, utc
from regalia.errors import AdminError
from regalia.model import Action
from regalia.verbs import event as verbs
from regalia.verbs.paging import gathered

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from regalia.verbs import Door

__all__ = ["app"]

app = noun_app("The audit log.")

_PAUSE = 0.5
_FOLLOWED = 200
_MOST = 100_000


@app.command(
    epilog=examples("event tail --limit 20 --security", "event tail --action certificate.revoked --follow --json")
)
def tail(
    *,
    limit: Annotated[int, typer.Option("--limit", min=1, max=_MOST, metavar="N", help="How many of the newest.")] = 50,
    security: Annotated[bool, typer.Option("--security", help="Only what somebody should look at.")] = False,
    action: Annotated[
        str | None, typer.Option("--action", metavar="NOUN.VERB", help="Only these.", show_default=False)
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", help="Go on with what happens until interrupted.")] = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Print the newest events, the newest last. With --json one object a line."""
    if action is not None and action not in set(Action):
        raise AdminError(reasons.USAGE, f"--action {action}: known are {', '.join(Action)}")
    with reached(home) as door:
        asked = verbs.TailEvents(action=Action(action) if action is not None else None, security=security)
        for event in _following(door, asked, limit) if follow else _newest(door, asked, limit):
            if as_json:
                print_json(event.model_dump(mode="json"), one_line=True)
            else:
                say(_line(event))


app.command(
    epilog=examples("event verify --against /mnt/audit/regalia", "event verify --from-checkpoint last"),
)(verify)
app.command(epilog=examples("event checkpoint", "event checkpoint --print"))(checkpoint)
app.command(
    epilog=examples("event export --since 2026-03-01 --out march.jsonl", "event export --format csv --group default")
)(export)
app.command(epilog=examples("event forget --older-than 400d --dry-run", "event forget --older-than 400d --yes"))(forget)


def _newest(door: "Door", asked: verbs.TailEvents, limit: int) -> "Sequence[verbs.EventShown]":
    """Ask for so many of the newest; the newest last."""
    return gathered(lambda part: door.ask(verbs.TAIL, part), asked, limit).items[::-1]


def _following(door: "Door", asked: verbs.TailEvents, limit: int) -> "Iterator[verbs.EventShown]":
    """Yield what is there, then what comes, each once."""
    seen: set[tuple[str, int]] = set()
    while True:
        newest = _newest(door, asked, limit)
        fresh = [event for event in newest if (event.stream, event.sequence) not in seen]
        if seen and len(fresh) == len(newest) == limit < _MOST:
            # None of these was shown: there may be more before them.
            limit = min(limit * 4, _MOST)
            continue
        yield from fresh
        seen |= {(event.stream, event.sequence) for event in fresh}
        limit = _FOLLOWED
        time.sleep(_PAUSE)


def _line(event: verbs.EventShown) -> str:
    parts = [
        utc(event.at),
        "!" if event.security else " ",
        f"{event.action:<24}",
        f"{event.outcome:<7}",
        event.object,
        f"by {event.actor.kind} {event.actor.id}",
    ]
    if event.reason is not None:
        parts.append(f"{event.reason} {event.details.get('title', '')}".rstrip())
    return " ".join(parts)
