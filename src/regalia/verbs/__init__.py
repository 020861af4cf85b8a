"""What an administrator can ask for, one `Verb` each: the command line, the API and the console ask the same ones.

In: a `Desk` (services, who asks, how far their right reaches) and what was asked, validated. Out: a record. A verb
does what the services do, and no more; words for people are the faces' business.
May import: net, ra, ca, wire, ports, model, errors, reasons, pydantic; never an adapter.
"""

from regalia.verbs.door import Door, LocalDoor
from regalia.verbs.registry import VERBS, verb_named
from regalia.verbs.services import Services
from regalia.verbs.verb import Asked, Caller, Desk, Page, Planned, ProposedError, Record, Verb, ask, plan

__all__ = [
    "VERBS",
    "Asked",
    "Caller",
    "Desk",
    "Door",
    "LocalDoor",
    "Page",
    "Planned",
    "ProposedError",
    "Record",
    "Services",
    "Verb",
    "ask",
    "plan",
    "verb_named",
]
