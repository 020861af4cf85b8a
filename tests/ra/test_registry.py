"""What administrators set up: who says yes at an endpoint, and what cannot be set up together."""

from __future__ import annotations

import pytest

from regalia import reasons
from regalia.ca.profile import DEFAULT_DOCUMENT
from regalia.errors import AdminError
from regalia.model import Action, Authoriser
from world import ADMIN, World

FROM_CSR = DEFAULT_DOCUMENT.replace('names = "binding"', 'names = "from-csr"')


@pytest.fixture
def world() -> World:
    """A deployment with one group."""
    return World()


def test_a_static_challenge_and_names_from_the_request_do_not_go_together(world: World) -> None:
    """POL-3 and RA-028: refused when the endpoint is created; one-time challenges and approval may have such names."""
    world.registry.create_profile("open", "default", FROM_CSR, actor=ADMIN, acknowledged=["names-from-request"])
    with pytest.raises(AdminError) as told:
        world.registry.create_endpoint(
            "static", group="default", profile="open", actor=ADMIN, authoriser=Authoriser.STATIC
        )
    assert told.value.reason is reasons.STATIC_NAMES_FROM_REQUEST
    assert world.store.endpoint("static") is None
    for authoriser in (Authoriser.ONE_TIME, Authoriser.APPROVAL):
        world.registry.create_endpoint(
            authoriser.value, group="default", profile="open", actor=ADMIN, authoriser=authoriser
        )


def test_a_profile_of_a_static_endpoint_does_not_begin_to_take_names_from_the_request(world: World) -> None:
    """POL-3: the next version of the profile is refused too, unless the endpoint is closed."""
    world.open_endpoint("static", Authoriser.STATIC)
    with pytest.raises(AdminError, match="serves endpoint static") as told:
        world.registry.create_profile("default", "default", FROM_CSR, actor=ADMIN, acknowledged=["names-from-request"])
    assert told.value.reason is reasons.STATIC_NAMES_FROM_REQUEST
    world.registry.disable_endpoint("static", actor=ADMIN)
    assert (
        world.registry.create_profile(
            "default", "default", FROM_CSR, actor=ADMIN, acknowledged=["names-from-request"]
        ).version
        == 2
    )


@pytest.mark.parametrize("authoriser", Authoriser)
def test_the_event_of_a_new_endpoint_says_who_says_yes_and_whose_the_names_are(
    world: World, authoriser: Authoriser
) -> None:
    """POL-3 and AUD-1: who reads the log sees that a static challenge vouches for no name."""
    endpoint = world.registry.create_endpoint(
        "new",
        group="default",
        profile="default",
        actor=ADMIN,
        authoriser=authoriser,
        connector="mdm" if authoriser is Authoriser.CONNECTOR else None,
    )
    event = world.last_event().draft
    whose = {"one-time": "binding", "static": "the server", "approval": "administrator", "connector": "record"}[
        authoriser.value
    ]
    assert endpoint.authoriser is authoriser
    assert (event.action, event.details["authoriser"]) == (Action.ENDPOINT_CREATED, authoriser.value)
    assert whose in str(event.details["names_by"])
