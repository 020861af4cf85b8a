"""Simulated devices against the SCEP service of a world in memory, without HTTP."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from client.service import URL, ServiceTransport
from regalia.lab.devices.delivery import Delivery
from regalia.lab.devices.device import SimulatedDevice
from regalia.lab.devices.web import Answer, WebError
from regalia.web.scep_query import decode_message, operation
from world import rsa_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from cryptography.hazmat.primitives.asymmetric import rsa

    from regalia.lab.devices.platforms import Platform
    from world import World

__all__ = ["COMMON_NAME", "URL", "WorldWeb", "delivery_of", "device_of"]

COMMON_NAME = "2.5.4.3"


@dataclass
class WorldWeb:
    """A device's HTTP, which ends in a world's service; `answers` are given instead, by operation."""

    world: World
    answers: dict[str, Answer] = field(default_factory=dict)
    lost: int = 0
    """How many messages are acted on although their answers are lost."""
    asked: list[tuple[str, str, bytes | None]] = field(default_factory=list)
    """Operation, query and body."""

    def ask(self, url: str, body: bytes | None, *, oldest_tls: bool) -> Answer:
        """See `Web`."""
        del oldest_tls
        query = urlsplit(url).query
        wanted = operation(query.encode())
        self.asked.append((wanted, query, body))
        if wanted in self.answers:
            return self.answers[wanted]
        if wanted == "PKIOperation" and body is None:
            body = decode_message(query.encode(), 1 << 17)
        answer = ServiceTransport(self.world).exchange(f"{url.partition('?')[0]}?operation={wanted}", body)
        if wanted == "PKIOperation" and self.lost:
            self.lost -= 1
            raise WebError("timed out")
        return Answer(answer.status, answer.body)

    @property
    def messages(self) -> list[tuple[str, str, bytes | None]]:
        """What was asked with a message in it."""
        return [one for one in self.asked if one[0] == "PKIOperation"]


def delivery_of(cn: str, challenge: str | None, **fields: object) -> Delivery:
    """A profile as it arrives at a device whose name is `cn`."""
    url = str(fields.pop("url", URL))
    return Delivery(urls=(url,), subject=((COMMON_NAME, cn),), challenge=challenge, **fields)  # type: ignore[arg-type]


def device_of(
    platform: Platform, web: WorldWeb, sleep: Callable[[float], None] = lambda _: None, first_key: int = 0
) -> SimulatedDevice:
    """A device whose clock is the world's and whose keys are ready."""
    made = iter(range(first_key, first_key + 10))

    def key(bits: int) -> rsa.RSAPrivateKey:
        assert bits == 2048
        return rsa_key(next(made))

    return SimulatedDevice(platform, web, now=web.world.clock.now, sleep=sleep, make_key=key)
