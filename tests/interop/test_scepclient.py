"""micromdm's scepclient, which knows only single DES and SHA-1, is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from interop.scepclient import ScepClient

if TYPE_CHECKING:
    from pathlib import Path

    from interop.server import Server

pytestmark = [pytest.mark.live_client("scepclient"), pytest.mark.timeout(300)]


def test_is_refused_with_a_signed_bad_alg(server: Server, tmp_path: Path) -> None:
    """A device with scepclient gets a signed FAILURE badAlg, nothing is issued, and the event names the reason."""
    challenge = server.challenge(cn="mm1")
    issued = server.issued()

    status, printed = ScepClient(tmp_path, server.scep).enrol(cn="mm1", challenge=challenge)

    assert status != 0
    assert "failInfo: badAlg (0)" in printed, printed
    assert not (tmp_path / "device.pem").exists()
    assert server.issued() == issued
    refused = [event for event in server.events() if event["action"] == "enrolment.refused"]
    assert [event["reason"] for event in refused] in (["SCEP-020"], ["SCEP-023"])
