"""What a simulated device says where it gives up: the words or the number that the real one has in its log."""

from __future__ import annotations

__all__ = ["DeviceError"]


class DeviceError(Exception):
    """The device gives up. `code` is what its log would say, or a word of ours where none is known."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
