"""How a device or a user is printed: what is kept of it, what changed, then each certificate with what followed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from regalia.cli.output import print_answer, say, utc

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from regalia.verbs.bearer_facts import HistoryRecord
    from regalia.verbs.certificate_causes import CauseRecord
    from regalia.verbs.device import DeviceShown
    from regalia.verbs.user import UserShown

__all__ = ["print_bearer", "print_causes"]


def print_bearer(shown: DeviceShown | UserShown, *, as_json: bool) -> None:
    """Print all of it for programs; for people the raw evidence is a line for each fact."""
    if as_json:
        print_answer(shown, as_json=True)
        return
    print_answer(shown, as_json=False, without=("certificates", "evidence", "facts", "history"))
    say()
    say("What the connector said:")
    _print_evidence(shown.evidence)
    _print_history(shown.history)
    if not shown.certificates:
        say()
        say("No certificate is bound to it.")
    for certificate in shown.certificates:
        say()
        until = utc(certificate.not_after)
        say(f"Certificate {certificate.serial} ({certificate.group}, {certificate.profile}), until {until}:")
        print_causes(certificate.explained, certificate.causes)


def print_causes(explained: Sequence[str], causes: Sequence[CauseRecord]) -> None:
    """Say how a certificate stands, what each cause has to do with it, and which ones have ended."""
    for line in explained:
        say(f"  {line}")
    for cause in causes:
        if cause.ended_at is not None:
            what = cause.cause or "held by an administrator"
            say(f"  was {what} from {utc(cause.since)} to {utc(cause.ended_at)}, {cause.why}")


def _print_evidence(evidence: Mapping[str, Any], indent: str = "  ") -> None:
    """A line for each fact; what an object of its system has stands below the object's name."""
    for name, value in evidence.items():
        if isinstance(value, dict):
            say(f"{indent}{name}:")
            _print_evidence(value, f"{indent}  ")
        else:
            say(f"{indent}{name}: {', '.join(map(str, value)) if isinstance(value, list) else value}")


def _print_history(history: Sequence[HistoryRecord]) -> None:
    if not history:
        return
    say()
    say("What changed, newest first:")
    for each in history:
        told = "; ".join(f"{name.replace('_', ' ')}: {value}" for name, value in each.details.items() if value)
        say(f"  {utc(each.at)} {each.action} by {each.by}" + (f", {told}" if told else ""))
