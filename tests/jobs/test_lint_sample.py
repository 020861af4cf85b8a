"""The hourly second opinion on issued leaves."""

from __future__ import annotations

from dataclasses import replace

import pytest

from regalia import reasons
from regalia.errors import AdminError
from regalia.jobs.lint_sample import LintSample
from regalia.model import CertificateKind
from regalia.ports import CertificateFilter
from world import Device, World, names


def test_what_we_issue_passes_pkilint_in_full() -> None:
    """R8: a leaf that passed the native lint passes the full one, too."""
    world = World()
    Device(world).enrol(names("laptop-1", "laptop-1.example.com"), world.mint("laptop-1", "laptop-1.example.com"))
    LintSample(world.store).run(world.clock.now())


def test_a_finding_is_the_failure_of_the_job() -> None:
    """R8: a certificate that breaks RFC 5280 is named with its serial and the finding."""
    world = World()
    Device(world).enrol(names("laptop-1"), world.mint("laptop-1"))
    (leaf,) = world.store.certificates(CertificateFilter(kind=CertificateKind.LEAF))
    assert leaf.der is not None
    # The keyUsage extension made non-critical and marked with a boolean that DER does not write.
    spoilt = leaf.der.replace(bytes.fromhex("0603551d0f0101ff"), bytes.fromhex("0603551d0f010100"))
    assert spoilt != leaf.der
    world.store._certificates[leaf.id] = replace(leaf, der=spoilt)  # noqa: SLF001 - nothing of ours would issue it
    with pytest.raises(AdminError) as caught:
        LintSample(world.store).run(world.clock.now())
    assert caught.value.reason is reasons.LINT_REFUSED
    assert f"{leaf.serial:x}: " in caught.value.detail
