"""What a signer takes from itself, tried by a process that was hardened (SEC-2)."""

from __future__ import annotations

import json
import os
import subprocess
import sys

PROGRAM = """
import ctypes, json, os, resource, socket, subprocess, sys
from regalia.keys.hardening import close_all_but, harden

extra = os.open("/dev/null", os.O_RDONLY)
kept = os.open("/dev/null", os.O_RDONLY)
close_all_but([kept])
done = harden(network=sys.argv[1] == "network")

def tried(work):
    try:
        work()
    except OSError as error:
        return error.errno
    return 0

def called(number, *arguments):
    libc = ctypes.CDLL(None, use_errno=True)
    return 0 if libc.syscall(number, *arguments) >= 0 else ctypes.get_errno()

inet = lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM).close()
unix = lambda: socket.socket(socket.AF_UNIX, socket.SOCK_STREAM).close()
told = {
    "done": [done.undumpable, done.no_new_privileges, done.filtered, done.no_network],
    "core": resource.getrlimit(resource.RLIMIT_CORE),
    "program": tried(lambda: os.execv("/bin/true", ["true"])),
    "inet": tried(inet),
    "unix": tried(unix),
    "pair": tried(lambda: [each.close() for each in socket.socketpair()]),
    "ring": called(425, 1, 0),
    "descriptor": called(438, 0, 0, 0),
    "extra": tried(lambda: os.fstat(extra)),
    "kept": tried(lambda: os.fstat(kept)),
    "input": os.read(0, 1).decode(),
}
print(json.dumps(told))
"""

EPERM, EBADF = 1, 9


def told(network: str) -> dict[str, object]:
    """Run the program, and return what it found."""
    environment = {"PATH": os.defpath, "PYTHONPATH": os.pathsep.join(sys.path)}
    ran = subprocess.run(
        (sys.executable, "-c", PROGRAM, network), env=environment, input=b"not for it", capture_output=True, check=True
    )
    found: dict[str, object] = json.loads(ran.stdout)
    return found


def test_a_signer_can_start_nothing_and_reach_nobody() -> None:
    """SEC-2: no core dump, no other program, no network; sockets of this machine, and what it was given, stay."""
    found = told("none")
    assert found["done"] == [True, True, True, True]
    assert found["core"] == [0, 0]
    assert [found[name] for name in ("program", "inet")] == [EPERM, EPERM]
    # A ring makes sockets without socket(2); a descriptor is taken from another process without ptrace(2).
    assert [found[name] for name in ("ring", "descriptor")] == [EPERM, EPERM]
    assert [found[name] for name in ("unix", "pair", "kept")] == [0, 0, 0]
    assert (found["extra"], found["input"]) == (EBADF, "")


def test_a_database_on_another_host_stays_in_reach() -> None:
    """SEC-2: where the database needs the network it is left, and the rest is taken all the same."""
    found = told("network")
    assert found["done"] == [True, True, True, False]
    assert (found["program"], found["inet"]) == (EPERM, 0)
