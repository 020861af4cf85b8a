"""What a device is given by its management: the values of the SCEP profile, made its own, and a challenge."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Delivery"]


@dataclass(frozen=True, slots=True)
class Delivery:
    """One SCEP profile as it arrives at one device."""

    urls: tuple[str, ...]
    subject: tuple[tuple[str, str], ...]
    """(OID, value), with the variables replaced."""
    challenge: str | None
    """None where the device is to renew with the certificate that it has."""
    sans: tuple[tuple[str, str], ...] = ()
    """(`DNS`, `Email`, `UPN` or `URI`; value)."""
    key_usage: tuple[str, ...] = ("digitalSignature", "keyEncipherment")
    ekus: tuple[str, ...] = ()
    key_size: int = 2048
    hash_algorithm: str = "sha2"
    """`sha1` or `sha2`: the best that may be used."""
    root_thumbprint: str = ""
    """SHA-1 of the trusted certificate in hex; empty where the profile names none."""
    trusted_root: str = ""
    """PEM of the trusted certificate, where there is a profile for it."""
    renewal_threshold: int = 20
    """Renewal begins when this part of the life is left, in per cent."""

    def document(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Delivery:
        """Read what `document` wrote; a `TypeError` or `KeyError` where it is something else."""
        pairs = {name: tuple((str(a), str(b)) for a, b in document[name]) for name in ("subject", "sans")}
        lists = {name: tuple(map(str, document[name])) for name in ("urls", "key_usage", "ekus")}
        return cls(**{**document, **pairs, **lists})
