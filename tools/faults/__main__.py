"""`./regalia faults [--minutes N] [--database sqlite|postgresql|both] [--seed S] [--hsm] [--json]`: pull the plug.

Exit code 0: every invariant held. 1: the run says nothing. 2: usage. 3: something did not hold.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Final

from regalia.errors import AdminError
from tools.bench.measure import machine
from tools.faults.nest import NestError
from tools.faults.phases import (
    DATABASES,
    Phase,
    absent_phase,
    clock_phase,
    crash_phase,
    disk_phase,
    kill_phase,
    postgres_phase,
    token_phase,
)
from tools.faults.report import Report, as_json, as_text
from tools.faults.run import RunError, devices_for_run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tools.bench.devices import Device
    from tools.faults.run import Ended

__all__ = ["faults"]

_MINUTES: Final = 10.0
_KILLS_A_MINUTE: Final = 30
"""300 in the ten minutes that it takes by default."""
_END_SECONDS: Final = 8.0
"""What a phase takes to begin and to end."""


def _phases(
    databases: Sequence[str], minutes: float, seed: int, devices: tuple[Device, ...]
) -> Iterator[tuple[str, Callable[[], Ended]]]:
    """Yield the phases by name, with shares of the time."""
    both = {"crash points": 3.0, "kills": 3.0, "kills of workers": 1.5, "key away": 1.5}
    shares = {"sqlite": {**both, "clock": 2.0, "disk": 1.5}, "postgresql": {**both, "PostgreSQL": 5.0}}
    whole = sum(sum(shares[database].values()) for database in databases)
    kills = int(_KILLS_A_MINUTE * minutes / len(databases) * 2 / 3)
    times = max(1, int(minutes / 2))
    for database in databases:
        for name, share in shares[database].items():
            phase = Phase(max(1.0, minutes * 60 * share / whole - _END_SECONDS), seed, devices)
            runs: dict[str, Callable[[], Ended]] = {
                "crash points": partial(crash_phase, database, phase, times),
                "kills": partial(kill_phase, database, phase, at_least=kills),
                "kills of workers": partial(kill_phase, database, phase, workers=2, at_least=kills // 2),
                "key away": partial(absent_phase, database, phase),
                "clock": partial(clock_phase, database, phase),
                "disk": partial(disk_phase, phase),
                "PostgreSQL": partial(postgres_phase, phase),
            }
            yield f"{name}, {database}", runs[name]


def _hsm_phases(
    databases: Sequence[str], minutes: float, seed: int, devices: tuple[Device, ...]
) -> Iterator[tuple[str, Callable[[], Ended]]]:
    """Yield the phases of a run with the CA keys on a token."""
    shares = {"crash points": 2.0, "kills": 1.5, "kills of workers": 1.0, "token": 2.0}
    kills = int(_KILLS_A_MINUTE * minutes / len(databases) / 3)
    for database in databases:
        for name, share in shares.items():
            seconds = minutes * 60 * share / sum(shares.values()) / len(databases) - _END_SECONDS
            phase = Phase(max(1.0, seconds), seed, devices, hsm=True)
            runs: dict[str, Callable[[], Ended]] = {
                "crash points": partial(crash_phase, database, phase, max(1, int(minutes / 2))),
                "kills": partial(kill_phase, database, phase, at_least=kills),
                "kills of workers": partial(kill_phase, database, phase, workers=2, at_least=kills // 2),
                "token": partial(token_phase, database, phase),
            }
            yield f"{name}, {database}, HSM", runs[name]


def faults(
    databases: Sequence[str],
    minutes: float,
    seed: int,
    told: Callable[[str, Ended], None] = lambda _name, _ended: None,
    *,
    hsm: bool = False,
) -> Report:
    """Run every phase, or those with the CA keys on a token; `told` hears of each when it has ended."""
    began = datetime.now(UTC)
    ended: dict[str, Ended] = {}
    for name, run in (_hsm_phases if hsm else _phases)(databases, minutes, seed, devices_for_run()):
        ended[name] = run()
        told(name, ended[name])
    return Report(seed=seed, date=began.isoformat(timespec="seconds"), machine=machine(), phases=ended)


def _main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="./regalia faults", description="Pull the plug under load, and judge.")
    parser.add_argument("--minutes", type=float, default=_MINUTES, help=f"how long, about; {_MINUTES:g} if not given")
    parser.add_argument("--database", choices=[*DATABASES, "both"], default="both")
    parser.add_argument("--seed", type=int, default=None, help="of the dice; a new one if not given")
    parser.add_argument("--hsm", action="store_true", help="with the CA keys on a token, in SoftHSM")
    parser.add_argument("--json", action="store_true", help="one JSON document at the end")
    chosen = parser.parse_args(arguments)
    if chosen.minutes <= 0:
        parser.error("--minutes must be more than nothing")
    for name in [name for name in os.environ if name.startswith("REGALIA_")]:
        del os.environ[name]
    seed = chosen.seed if chosen.seed is not None else random.SystemRandom().randrange(1_000_000)
    databases = DATABASES if chosen.database == "both" else (chosen.database,)

    def told(name: str, ended: Ended) -> None:
        print(as_text(name, ended), file=sys.stderr if chosen.json else sys.stdout, flush=True)

    try:
        report = faults(databases, chosen.minutes, seed, told, hsm=chosen.hsm)
    except (RunError, NestError, AdminError, OSError, subprocess.SubprocessError) as error:
        print(f"faults: the run says nothing: {error}", file=sys.stderr)
        return 1
    print(as_json(report, " ".join(["./regalia faults", *arguments])) if chosen.json else report.summary(), flush=True)
    return 3 if report.violations else 0


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
