"""A program with a supervisor whose workers do nothing but what its argument says; it tells what happens on stdout."""

from __future__ import annotations

import os
import select
import signal
import sys

import structlog

from regalia import reasons
from regalia.app.supervisor import Seat, Supervisor
from regalia.errors import AdminError


def say(text: str) -> None:
    """Write a line at once."""
    os.write(1, f"{text}\n".encode())


def work(seat: Seat) -> None:
    """Be ready, and end when told to."""
    mode = sys.argv[1]
    if mode == "refused" and seat.number == 1:
        raise AdminError(reasons.MASTER_KEY_REFUSED, "“not yours”")
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGHUP})
    say(f"worker {seat.number} {os.getpid()}")
    if mode != "refused":
        seat.ready()
    if mode == "dying" and seat.number == 1:
        return
    if mode == "bug-at-end":
        signal.sigwait({signal.SIGTERM})
        raise ValueError(mode)
    while not select.select([seat.until], [], [], 0)[0]:
        heard = signal.sigtimedwait({signal.SIGTERM, signal.SIGHUP}, 0.02)
        if heard is not None and heard.si_signo == signal.SIGHUP:
            say(f"look {seat.number}")
        elif heard is not None and mode != "stubborn":
            break
    say(f"end {seat.number}")


def sign(seat: Seat) -> None:
    """Be ready, and end when told to, or with the supervisor."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    say(f"signer {seat.number} {os.getpid()}")
    seat.ready()
    while not select.select([seat.until], [], [], 0)[0]:
        if signal.sigtimedwait({signal.SIGTERM}, 0.02) is not None:
            break
    say(f"end {seat.number}")


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.WriteLoggerFactory())  # a line is one write, as `say` has it
    signer = sign if sys.argv[1] == "signing" else None
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 2
    supervisor = Supervisor(count, work, lambda: say("ready"), on_stop=lambda: say("stop"), patience=0.5, sign=signer)
    try:
        supervisor.run()
    except AdminError as error:
        say(str(error))
        sys.exit(7)
