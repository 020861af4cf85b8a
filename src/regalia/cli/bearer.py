"""How a device or a user is printed: what is kept of it, then each certificate with what followed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from regalia.cli.output import print_answer, say, utc

if TYPE_CHECKING:
    from regalia.verbs.device import DeviceShown
    from regalia.verbs.user import UserShown

__all__ = ["print_bearer"]


def print_bearer(shown: DeviceShown | UserShown, *, as_json: bool) -> None:
    """Print all of it for programs; for people the raw evidence is a line for each fact."""
    if as_json:
        print_answer(shown, as_json=True)
        return
    print_answer(shown, as_json=False, without=("certificates", "evidence", "facts"))
    say()
    say("What the connector said:")
    for name, value in shown.evidence.items():
        say(f"  {name}: {value}")
    if not shown.certificates:
        say()
        say("No certificate is bound to it.")
    for certificate in shown.certificates:
        say()
        until = utc(certificate.not_after)
        say(f"Certificate {certificate.serial} ({certificate.group}, {certificate.profile}), until {until}:")
        for line in certificate.explained:
            say(f"  {line}")
        for cause in certificate.causes:
            if cause.ended_at is not None:
                what = cause.cause or "held by an administrator"
                say(f"  was {what} from {utc(cause.since)} to {utc(cause.ended_at)}, {cause.why}")
