"""How much memory this process holds."""

from __future__ import annotations

import gc
from pathlib import Path

__all__ = ["FLAT", "resident"]

FLAT = 48 * 2**20
"""Octets that a run of thousands of messages may leave behind; the log of the fake store is a few of them."""


def resident() -> int:
    """Octets of memory that are resident after a collection (proc_pid_status(5))."""
    gc.collect()
    for line in Path("/proc/self/status").read_text("ascii", "replace").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("the kernel does not say")
