"""One target under libFuzzer, in a process of its own: `worker.py TARGET [libFuzzer arguments]`.

Atheris instruments the readers as they are imported, so this module imports none of ours before it was told to.
Half of the mutations are libFuzzer's own, which learn from comparisons; the other half know where elements begin and
end, without which hardly a length would ever be right.
"""

from __future__ import annotations

import shlex
import sys
from random import Random
from time import thread_time
from typing import TYPE_CHECKING

import atheris

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["SLOWEST_SECONDS"]

SLOWEST_SECONDS = 1.5
"""CPU that one input may take; instrumented, that is several times what it takes otherwise."""

with atheris.instrument_imports(include=["regalia"]):
    from tools.fuzz.mutation import mutate
    from tools.fuzz.targets import TARGETS, FindingError


def _mutator(data: bytes, max_size: int, seed: int) -> bytes:
    random = Random(seed)  # noqa: S311 - libFuzzer draws the seeds
    if random.random() < 0.5:
        return bytes(atheris.Mutate(data, max_size))
    return mutate(data, random)[:max_size]


def _crossed(data: bytes, other: bytes, max_size: int, seed: int) -> bytes:
    """Put elements of one input into another."""
    return mutate(data, Random(seed), [other])[:max_size]  # noqa: S311 - as above


def _timed(target: Callable[[bytes], None]) -> Callable[[bytes], None]:
    """Find what is slow by the CPU that it takes: libFuzzer looks at the clock, and the machine may be busy."""

    def timed(data: bytes) -> None:
        begun = thread_time()
        target(data)
        took = thread_time() - begun
        if took > SLOWEST_SECONDS:
            raise FindingError(f"took {took:.1f} s of CPU")

    return timed


def _main(arguments: list[str]) -> None:
    target = _timed(TARGETS[arguments[1]])
    # What libFuzzer calls its own name it hands to a shell when it merges, which takes a second process.
    name = shlex.join([sys.executable, "-m", "tools.fuzz.worker", arguments[1]])
    atheris.Setup([name, *arguments[2:]], target, custom_mutator=_mutator, custom_crossover=_crossed)
    atheris.Fuzz()


if __name__ == "__main__":
    _main(sys.argv)
