"""Every verb there is. Whoever adds a noun adds its module here, and nothing else has to know."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from regalia.verbs import (
    access,
    admin,
    alert,
    authority,
    authority_making,
    authority_succession,
    calendar,
    certificate,
    certificate_end,
    certificate_issue,
    certificate_renewal,
    certificate_status,
    challenge,
    connector,
    cps,
    device,
    device_import,
    device_reconcile,
    device_stops,
    endpoint,
    endpoint_values,
    enrolment,
    event,
    event_checkpoint,
    group,
    group_follow,
    group_replacement,
    job,
    key,
    key_blocklist,
    ndes,
    overview,
    profile,
    profile_check,
    proposal,
    session,
    token,
    user,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from regalia.verbs.verb import Verb

__all__ = ["VERBS", "verb_named"]

VERBS: Final[Mapping[str, Verb[Any, Any]]] = {
    verb.name: verb
    for noun in (
        access,
        admin,
        alert,
        authority,
        authority_making,
        authority_succession,
        calendar,
        certificate,
        certificate_end,
        certificate_issue,
        certificate_renewal,
        certificate_status,
        certificate_status,
        challenge,
        connector,
        cps,
        device,
        device_import,
        device_reconcile,
        device_stops,
        endpoint,
        endpoint_values,
        enrolment,
        event,
        event_checkpoint,
        group,
        group_follow,
        group_replacement,
        job,
        key,
        key_blocklist,
        ndes,
        overview,
        profile,
        profile_check,
        proposal,
        session,
        token,
        user,
    )
    for verb in noun.VERBS
}
"""By name, as `group.list`."""


def verb_named(name: str) -> Verb[Any, Any] | None:
    """Find a verb; None where there is none."""
    return VERBS.get(name)
