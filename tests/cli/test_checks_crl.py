"""What `doctor` says of CRLs: each list, its size, and the size that it could get."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from regalia.app import App, build
from regalia.ca.crl_plan import LONGEST_ENTRY
from regalia.cli.check import Level
from regalia.cli.checks_crl import crl_checks
from regalia.config import load_config

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cli.scene import Scene
    from regalia.cli.check import Check

NAME = "default-ca-1"


@pytest.fixture
def app(scene: Scene) -> Iterator[App]:
    """Open the home."""
    opened = build(load_config({}, home=scene.home))
    yield opened
    opened.close()


def found(app: App, **limits: int) -> list[Check]:
    """Look at the issuing authority, under other limits than the settings may have."""
    crl = app.config.crl.model_copy(update=limits)
    authority = app.store.authority(NAME)
    assert authority is not None
    return list(crl_checks(replace(app, config=replace(app.config, crl=crl)), authority))


def test_every_list_is_looked_at(app: App) -> None:
    """A list or a delta that was never published is a problem of its own, with the command that mends it."""
    assert [check.level for check in found(app)] == [Level.OK]
    app.store.set_crl_plan(NAME, 1, (), lists=1, delta=True, full=True)
    told = {check.finding: check for check in found(app) if check.level is Level.PROBLEM}
    assert list(told) == [
        f"{NAME}-delta has published no CRL",
        f"{NAME}-1 has published no CRL",
        f"{NAME}-1-delta has published no CRL",
    ]
    assert {check.remedy for check in told.values()} == {f"Run `regalia ca crl {NAME}`."}
    for shard in (0, 1):
        app.crls.publish(NAME, shard=shard)
    assert {check.level for check in found(app)} == {Level.OK}


def test_rev5_a_large_crl_is_told(app: App) -> None:
    """REV-5: from `crl.alert_octets` on doctor warns of the CRL that there is."""
    (check,) = found(app, alert_octets=100)
    assert check.level is Level.WARN
    assert "more than 100" in check.finding
    assert "ca crl-plan" in check.remedy


def test_rev5_a_fleet_that_outgrew_its_plan_is_told_with_the_number_needed(app: App) -> None:
    """REV-5: as counts grow, doctor says how many lists new certificates should be spread among."""
    limit = 2_048 + LONGEST_ENTRY
    _, check = found(app, largest_octets=limit)
    assert (check.name, check.level) == ("crl size", Level.WARN)
    assert f"more than {limit}" in check.finding
    assert f"regalia ca crl-plan {NAME} --shards 3 --full off" in check.remedy
