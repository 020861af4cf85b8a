"""Systems outside that know devices: one file for each kind, one line in `registry`, one page of docs."""

from __future__ import annotations

__all__: list[str] = []
