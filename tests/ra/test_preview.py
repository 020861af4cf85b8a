"""What a profile would give where a connector vouches: its examples with records of a device and a user."""

from __future__ import annotations

import pytest

from regalia import reasons
from regalia.ca.profile_document import read_examples
from regalia.errors import AdminError
from regalia.ra.preview import Previewed, preview_examples
from vouching_parts import PROFILE, VouchedWorld

CONDITION = """
[[condition]]
expr = '"compliant" in device.said && device.compliant'
message = "the device is not compliant"
"""


def previewed(example: str, document: str = PROFILE) -> Previewed:
    """Judge one example."""
    world = VouchedWorld(document=document)
    profile = world.store.profile("managed")
    assert profile is not None
    (found,) = preview_examples(
        profile, read_examples(example), store=world.store, urls=world.urls, now=world.clock.now()
    )
    return found


def test_an_example_with_records_shows_the_names_of_a_vouched_device() -> None:
    """An administrator sees the names that records make before any device asks, linted as a real certificate."""
    found = previewed(
        """
        [[example]]
        name = "a managed laptop"
        evidence = "connector"
        device = { id = "laptop-17", sid = "S-1-5-21-1004336348-1177238915-682003330-1104" }
        user = { upn = "ada@example.com" }
        request = { cn = "laptop-17" }
        subject = "CN=laptop-17"
        """
    )
    assert found.problem is None
    assert dict(found.inputs)["user.upn"] == "ada@example.com"


def test_an_example_asks_for_no_more_than_records_and_verdict_have() -> None:
    """What is refused to a device is refused to its example."""
    found = previewed(
        """
        [[example]]
        name = "another one's name"
        evidence = "connector"
        device = { id = "laptop-17" }
        request = { cn = "laptop-18" }
        """
    )
    assert found.reason is reasons.NAMES_OUTSIDE_BINDING
    assert found.certificate is None


def test_an_example_meets_the_conditions_over_its_record() -> None:
    """Conditions over the record are judged with what the example says, and with nothing that it does not say."""
    example = """
        [[example]]
        name = "a laptop"
        evidence = "connector"
        device = {{ id = "laptop-17"{0} }}
        """
    assert previewed(example.format(", compliant = true"), PROFILE + CONDITION).outcome == "issued"
    assert previewed(example.format(""), PROFILE + CONDITION).reason is reasons.CONDITION_UNMET


def test_records_are_a_connectors() -> None:
    """An example with a challenge has no record."""
    with pytest.raises(AdminError, match="go with evidence"):
        read_examples('[[example]]\nname = "x"\ndevice = { id = "laptop-17" }\n')
