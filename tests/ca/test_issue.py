"""Issuing: what an intent carries when it is committed."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from fakes import MemorySigner
from regalia import reasons
from regalia.ca.authority import Ceremony
from regalia.ca.issue import LEASE, Issuer
from regalia.errors import UnavailableError
from regalia.model import CredentialPurpose
from small_ca import ADMIN, SmallCa

if TYPE_CHECKING:
    from uuid import UUID


class DownSigner(MemorySigner):
    """A signer that cannot be reached."""

    def sign_intent(self, row_id: UUID) -> bytes:
        """Be unreachable."""
        raise UnavailableError(reasons.ISSUER_UNAVAILABLE, f"no way to sign {row_id}")


@pytest.mark.parametrize("seconds", [None, 2, 600])
def test_the_lease_of_an_intent_is_that_of_the_settings(seconds: int | None) -> None:
    """R8: recovery looks at an intent 60 seconds after it was committed, or after what the settings say."""
    ca = SmallCa()
    authority = ca.issuing()
    down = DownSigner(ca.store, ca.keys, ca.files)
    lease = LEASE if seconds is None else timedelta(seconds=seconds)
    ceremony = Ceremony(
        Issuer(ca.store, down, ca.clock) if seconds is None else Issuer(ca.store, down, ca.clock, lease=lease),
        authorities=ca.store,
        keys=ca.keys,
        clock=ca.clock,
        entropy=ca.entropy,
        urls=ca.urls,
    )
    with pytest.raises(UnavailableError):
        ceremony.create_credential(CredentialPurpose.RA, authority, actor=ADMIN)
    end = ca.clock.now() + lease
    assert ca.store.expired_intents(end, 10) == ()
    (left,) = ca.store.expired_intents(end + timedelta(milliseconds=1), 10)
    assert left.intent.lease_until == end
