"""One server for each file of tests, on SQLite; each test has its own device."""

from interop.fixtures import relying_party, server

__all__ = ["relying_party", "server"]
