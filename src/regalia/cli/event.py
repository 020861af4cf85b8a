"""`regalia event`: the audit log."""

import time
from typing import TYPE_CHECKING, Annotated

import typer

from regalia import reasons
from regalia.cli.context import opened
from regalia.cli.event_checkpoint import checkpoint
from regalia.cli.event_export import export
from regalia.cli.event_forget import forget
from regalia.cli.event_verify import verify
from regalia.cli.options import Home, Json, examples, noun_app
from regalia.cli.output import print_json, say, utc
from regalia.errors import AdminError
from regalia.model import Action, Event
from regalia.ports import EventFilter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from regalia.app import App

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
    wanted = EventFilter(action=action, security=security or None, limit=limit)
    with opened(home) as regalia:
        for event in _following(regalia, wanted) if follow else regalia.store.events(wanted):
            if as_json:
                print_json(_record(event), one_line=True)
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


def _following(regalia: "App", wanted: EventFilter) -> "Iterator[Event]":
    """Yield what is there, then what comes, each once."""
    seen: set[tuple[str, int]] = set()
    limit = wanted.limit
    while True:
        newest = regalia.store.events(EventFilter(action=wanted.action, security=wanted.security, limit=limit))
        fresh = [event for event in newest if (event.stream, event.sequence) not in seen]
        if seen and len(fresh) == len(newest) == limit < _MOST:
            # None of these was shown: there may be more before them.
            limit = min(limit * 4, _MOST)
            continue
        yield from fresh
        seen |= {(event.stream, event.sequence) for event in fresh}
        limit = _FOLLOWED
        time.sleep(_PAUSE)


def _line(event: Event) -> str:
    draft = event.draft
    parts = [
        utc(draft.at),
        "!" if draft.security else " ",
        f"{draft.action:<24}",
        f"{draft.outcome:<7}",
        draft.object,
        f"by {draft.actor.kind} {draft.actor.id}",
    ]
    if draft.reason_id is not None:
        parts.append(f"{draft.reason_id} {draft.details.get('title', '')}".rstrip())
    return " ".join(parts)


def _record(event: Event) -> dict[str, object]:
    draft = event.draft
    return {
        "stream": event.stream,
        "sequence": event.sequence,
        "at": utc(draft.at, "milliseconds"),
        "actor": {"kind": draft.actor.kind, "id": draft.actor.id, "source": draft.actor.source},
        "action": draft.action,
        "object": draft.object,
        "outcome": draft.outcome,
        "group": draft.group,
        "reason": draft.reason_id,
        "transaction": draft.transaction_id,
        "serial": draft.serial,
        "security": draft.security,
        "details": dict(draft.details),
        "hash": event.hash,
    }
