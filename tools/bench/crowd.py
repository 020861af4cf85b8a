"""Clients of a server under pressure, each a process of its own, so that the one who measures disturbs nobody.

    python -m tools.bench.crowd enrol PORT PATH CONNECTIONS SOURCE SECONDS < bodies > answers
    python -m tools.bench.crowd ask PORT RATE SECONDS < request > seconds

`enrol` runs at nice 10: each connection POSTs the next body once it has its answer; with SECONDS above 0 it begins
anew at the first body and ends when they are over. `ask` sends one request RATE times a second at times that are
fixed beforehand, so that an answer that comes late delays no question; it runs above everybody else where it may,
so that what it sees is the server and not its own turn on the processor.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["pack", "unpack"]

_CONNECTIONS: Final = 8
_LONGEST: Final = 120.0


def pack(items: list[tuple[int, bytes]]) -> bytes:
    """Write numbered octets one after the other."""
    return b"".join(number.to_bytes(4, "big") + len(each).to_bytes(4, "big") + each for number, each in items)


def unpack(octets: bytes) -> list[tuple[int, bytes]]:
    """Read what `pack` wrote."""
    items, at = [], 0
    while at < len(octets):
        number, length = int.from_bytes(octets[at : at + 4], "big"), int.from_bytes(octets[at + 4 : at + 8], "big")
        items.append((number, octets[at + 8 : at + 8 + length]))
        at += 8 + length
    return items


class _Connection:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        """Send a whole HTTP request; status and body of the answer."""
        self._writer.write(request)
        head = await asyncio.wait_for(self._reader.readuntil(b"\r\n\r\n"), _LONGEST)
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
        return int(head.split(b" ", 2)[1]), await self._reader.readexactly(length)


async def _connect(port: int, source: str | None = None) -> _Connection:
    return _Connection(*await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0) if source else None))


async def _enrol(port: int, path: str, connections: int, source: str, seconds: float) -> None:
    bodies = [body for _, body in unpack(sys.stdin.buffer.read())]
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/x-pki-message\r\nContent-Length: "
    opened = [await _connect(port, source) for _ in range(connections)]
    until = time.monotonic() + seconds
    waiting: Iterator[int] = iter(range(len(bodies))) if seconds <= 0 else itertools.cycle(range(len(bodies)))
    answers: list[tuple[int, bytes]] = []

    async def one(connection: _Connection) -> None:
        for number in waiting:
            if 0 < seconds <= time.monotonic() - until + seconds:
                return
            request = f"{head}{len(bodies[number])}\r\n\r\n".encode() + bodies[number]
            status, body = await connection.ask(request)
            answers.append((number, b"%d " % status + body))

    await asyncio.gather(*(one(connection) for connection in opened))
    sys.stdout.buffer.write(pack(answers))


async def _ask(port: int, rate: float, seconds: float) -> None:
    request = sys.stdin.buffer.read()
    opened = [await _connect(port) for _ in range(_CONNECTIONS)]
    began, took = time.monotonic() + 0.1, []

    async def one(first: int) -> None:
        for number in range(first, int(rate * seconds), _CONNECTIONS):
            due = began + number / rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            status, _ = await opened[first].ask(request)
            took.append((time.monotonic() - due, status))

    await asyncio.gather(*(one(first) for first in range(_CONNECTIONS)))
    print("\n".join(f"{each:.6f} {status}" for each, status in took))


def _main(verb: str, port: str, *rest: str) -> None:
    if verb == "enrol":
        os.nice(10)
        path, connections, source, seconds = rest
        asyncio.run(_enrol(int(port), path, int(connections), source, float(seconds)))
    else:
        with suppress(PermissionError):
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
        rate, seconds = rest
        asyncio.run(_ask(int(port), float(rate), float(seconds)))


if __name__ == "__main__":
    _main(*sys.argv[1:])
