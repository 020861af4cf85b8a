"""What a process that has CA keys can do by itself against their getting out (SEC-2). Linux alone.

No core dump, no debugger of the same user, no new privileges, no other programs, no sockets but those of this machine
where the database needs none, no swap where the limits allow it. The rest is the service manager's.
"""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ["Hardened", "close_all_but", "harden"]

_SET_DUMPABLE: Final = 4
_SET_SECCOMP: Final = 22
_SET_NO_NEW_PRIVS: Final = 38
_FILTER_MODE: Final = 2
_LOCK_CURRENT_FUTURE_ONFAULT: Final = 1 | 2 | 4
"""On fault: a page is locked when it is used, so that the unused stacks of threads take no memory."""

_LOAD, _JUMP_EQUAL, _JUMP_AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_ALLOW, _DENY, _KILL = 0x7FFF_0000, 0x0005_0001, 0x8000_0000
"""The call goes on; it fails with EPERM; the process ends, for another instruction set's calls have other numbers."""
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16
_X32: Final = 0x4000_0000
_UNIX: Final = 1
"""AF_UNIX."""


@dataclass(frozen=True, slots=True)
class _Calls:
    """Numbers of system calls on one machine, from the kernel's tables."""

    architecture: int
    socket: int
    denied: tuple[int, ...]
    """ptrace, execve, execveat, process_vm_readv, process_vm_writev, io_uring_setup, pidfd_getfd."""


_MACHINES: Final = {
    "x86_64": _Calls(0xC000_003E, 41, (101, 59, 322, 310, 311, 425, 438)),
    "aarch64": _Calls(0xC000_00B7, 198, (117, 221, 281, 270, 271, 425, 438)),
}


@dataclass(frozen=True, slots=True)
class Hardened:
    """What holds now."""

    undumpable: bool
    no_new_privileges: bool
    filtered: bool
    """No other program can be started from here, and no other process be looked into."""
    no_network: bool
    locked: bool
    """Nothing of its memory is written to swap."""


def harden(*, network: bool) -> Hardened:
    """Take from this process what it does not need; to be called before it has threads or keys.

    `network` leaves it the sockets of the network: for a database or callers on other hosts. Never raises: what the
    system does not grant is missing in what is returned.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    libc = ctypes.CDLL(None, use_errno=True)
    undumpable = libc.prctl(_SET_DUMPABLE, 0, 0, 0, 0) == 0
    locked = libc.mlockall(_LOCK_CURRENT_FUTURE_ONFAULT) == 0
    no_new_privileges = libc.prctl(_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
    calls = _MACHINES.get(platform.machine())
    filtered = calls is not None and no_new_privileges and _filter(libc, calls, network=network)
    return Hardened(undumpable, no_new_privileges, filtered, filtered and not network, locked)


def close_all_but(kept: Collection[int]) -> None:
    """Close every descriptor that is not standard output or error or one of these; read nothing from a terminal."""
    nowhere = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nowhere, 0)
    os.close(nowhere)
    last = 2
    for descriptor in sorted(each for each in kept if each > last):
        os.closerange(last + 1, descriptor)
        last = descriptor
    os.closerange(last + 1, resource.getrlimit(resource.RLIMIT_NOFILE)[0])


def _filter(libc: ctypes.CDLL, calls: _Calls, *, network: bool) -> bool:
    octets = _program(calls, network=network)
    program = ctypes.create_string_buffer(octets, len(octets))
    # struct sock_fprog: how many instructions, and where; eight octets each.
    head = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(octets) // 8, ctypes.addressof(program)), 16)
    return bool(libc.prctl(_SET_SECCOMP, _FILTER_MODE, ctypes.c_void_p(ctypes.addressof(head)), 0, 0) == 0)


def _program(calls: _Calls, *, network: bool) -> bytes:
    """Write the filter for the kernel's packet filter machine (seccomp(2)): what is not denied is allowed."""
    denied = list(calls.denied)
    # After the numbers come: socket's test (3 instructions, if any), then ALLOW, then DENY.
    steps: list[tuple[int, int, int, int]] = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_JUMP_EQUAL, 1, 0, calls.architecture),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
    ]
    tests: list[tuple[int, int]] = [(_JUMP_AT_LEAST, _X32), *((_JUMP_EQUAL, number) for number in denied)]
    after = 1 if network else 4
    for place, (code, value) in enumerate(tests):
        left = len(tests) - place - 1
        steps.append((code, left + after, 0, value))
    if not network:
        steps += [
            (_JUMP_EQUAL, 0, 2, calls.socket),
            (_LOAD, 0, 0, _FIRST_ARGUMENT),
            (_JUMP_EQUAL, 0, 1, _UNIX),
        ]
    steps += [(_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _DENY)]
    return b"".join(struct.pack("HBBI", *step) for step in steps)
