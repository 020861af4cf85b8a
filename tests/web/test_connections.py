"""Counting connections over several processes."""

from __future__ import annotations

import os

from regalia.web.connections import OpenConnections


def in_a_child(counted: OpenConnections, worker: int, source: str, times: int) -> None:
    """Open so many connections in a forked process, which then dies with them."""
    child = os.fork()
    if not child:
        try:
            counted.begin(worker)
            for _ in range(times):
                counted.opened(source)
        finally:
            os._exit(0)
    assert os.waitpid(child, 0)[1] == 0


def test_res2_connections_of_all_workers_count() -> None:
    """RES-2: a source that is spread over workers has no more connections than one that is not."""
    counted = OpenConnections(3)
    in_a_child(counted, 1, "192.0.2.1", 2)
    in_a_child(counted, 2, "192.0.2.1", 3)
    assert counted.opened("192.0.2.1") == (6, 6)
    assert counted.opened("192.0.2.2") == (1, 7)
    counted.closed("192.0.2.1")
    assert counted.opened("192.0.2.2") == (2, 7)


def test_the_connections_of_a_dead_worker_are_gone() -> None:
    """Who takes the place of a killed worker begins with none: the kernel closed that one's connections."""
    counted = OpenConnections(2)
    in_a_child(counted, 1, "192.0.2.1", 5)
    in_a_child(counted, 1, "192.0.2.1", 1)
    assert counted.opened("192.0.2.1") == (2, 2)
