"""The same targets without guidance, where there is no atheris for this machine: mutations of the kept corpus."""

from __future__ import annotations

import time
from random import Random
from typing import TYPE_CHECKING

from tools.fuzz.mutation import mutate
from tools.fuzz.targets import TARGETS

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["BLIND_SEED", "blind"]

BLIND_SEED = 8894


def blind(target: str, seconds: float, corpus: Path, max_octets: int) -> tuple[int, str]:
    """Read mutations for so long; return how many, and the octets in hexadecimal that something was found with."""
    random = Random(BLIND_SEED)  # noqa: S311 - the same octets again for who repeats it
    known = [file.read_bytes() for file in sorted(corpus.iterdir())]
    ends, number = time.monotonic() + seconds, 0
    while time.monotonic() < ends:
        data = mutate(random.choice(known), random, known)[:max_octets]
        number += 1
        try:
            TARGETS[target](data)
        except Exception as fault:  # noqa: BLE001 - whatever leaves a target is what is looked for
            return number, f"{type(fault).__name__}: {fault}\n{data.hex()}"
    return number, ""
