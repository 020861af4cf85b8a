"""Static challenges: how they are made, replaced and withdrawn, and that each endpoint takes its own kind only."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from regalia import reasons
from regalia.errors import AdminError
from regalia.model import Action, AuthorisationKind, Authoriser, Certificate, Denied, Names, new_id
from regalia.ra.challenges import MAX_OVERLAP, NO_EXPIRY
from regalia.ra.evidence import judge_challenge
from regalia.ra.request import Evidence
from world import ADMIN, Device, World, names

GOOD = "correct-horse-battery-staple"
STATIC = ("static", "queue")


@pytest.fixture
def world() -> World:
    """A deployment with one endpoint of each kind: `default`, `static` and `queue`."""
    made = World()
    made.open_endpoint("static", Authoriser.STATIC)
    made.open_endpoint("queue", Authoriser.APPROVAL)
    return made


def judged(world: World, secret: str | None, endpoint: str) -> Evidence | Denied:
    """Judge a challenge shown at an endpoint now."""
    device = Device(world, endpoint=endpoint)
    request = device.request(names("laptop-1"), secret)
    challenge = world.store.challenge(request.challenge_mac) if request.challenge_mac is not None else None
    return judge_challenge(request, challenge, world.store.challenges()[0].id)


def reason_for(world: World, secret: str | None, endpoint: str = "static") -> str | None:
    """Say why a challenge is refused, None where it is not."""
    evidence = judged(world, secret, endpoint)
    return evidence.reason.id if isinstance(evidence, Denied) else None


# --- what they are worth --------------------------------------------------------------------------------------------


def test_a_static_challenge_vouches_for_no_name(world: World) -> None:
    """R5.5: it is worth an authorisation of its own kind, without names, device or anything to consume."""
    evidence = judged(world, world.secrets["static"], "static")
    assert isinstance(evidence, Evidence)
    assert evidence.authorisation is not None
    assert evidence.authorisation.kind is AuthorisationKind.STATIC
    assert (evidence.authorisation.challenge_id, evidence.names) == (None, None)
    assert (evidence.lineage.binding, evidence.lineage.unverified) == (Names(), True)


def test_a_static_challenge_of_a_queue_authorises_nothing(world: World) -> None:
    """MSG-1 and POL-3: it lets a request wait; the yes is the administrator's."""
    evidence = judged(world, world.secrets["queue"], "queue")
    assert isinstance(evidence, Evidence)
    assert evidence.authorisation is None


@pytest.mark.parametrize("endpoint", STATIC)
def test_a_one_time_challenge_is_worth_nothing_at_a_static_endpoint(world: World, endpoint: str) -> None:
    """AUTHZ-2: a security event, since somebody carried it there; it stays good where it belongs."""
    secret = world.mint("laptop-1")
    denied = judged(world, secret, endpoint)
    assert denied == Denied(reasons.CHALLENGE_UNKNOWN, "it belongs to endpoint default", security=True)
    assert reason_for(world, secret, "default") is None


@pytest.mark.parametrize("endpoint", ["default", *STATIC])
def test_a_static_challenge_is_worth_nothing_elsewhere(world: World, endpoint: str) -> None:
    """AUTHZ-2: neither at an endpoint with one-time challenges nor at another one with static ones."""
    other = next(name for name in STATIC if name != endpoint)
    denied = judged(world, world.secrets[other], endpoint)
    assert denied == Denied(reasons.CHALLENGE_UNKNOWN, f"it belongs to endpoint {other}", security=True)


@pytest.mark.parametrize(("endpoint", "reusable"), [("default", True), ("static", False), ("queue", False)])
def test_an_endpoint_refuses_the_wrong_kind_of_its_own(world: World, endpoint: str, *, reusable: bool) -> None:
    """AUTHZ-2: even a row that says it belongs here is refused where its kind is not the endpoint's."""
    minted = world.desk.mint("default", binding=Names(), device=None, ttl=timedelta(hours=1), actor=ADMIN)
    row = replace(minted.challenge, endpoint=endpoint, reusable=reusable, mac=world.challenge_mac("stray"))
    world.store.add_challenge(replace(row, id=new_id(world.clock.now(), bytes(10))), ())
    denied = judged(world, "stray", endpoint)
    assert isinstance(denied, Denied)
    assert (denied.reason, denied.security) == (reasons.CHALLENGE_UNKNOWN, True)
    assert "which the endpoint does not take" in denied.detail


@pytest.mark.parametrize("authoriser", [Authoriser.STATIC, Authoriser.APPROVAL])
def test_an_endpoint_without_a_secret_is_closed(world: World, authoriser: Authoriser) -> None:
    """No challenge configured is no open door: nobody enrols, with any challenge or none."""
    world.registry.create_endpoint("bare", group="default", profile="default", actor=ADMIN, authoriser=authoriser)
    shown = [None, "", "x" * 32, world.secrets["static"], world.secrets["queue"], world.mint()]
    assert [reason_for(world, secret, "bare") for secret in shown] == ["RA-010"] * 2 + ["RA-011"] * 4


# --- rotation (CHA-2) -----------------------------------------------------------------------------------------------


def test_a_made_secret_is_random_and_kept_as_a_hash(world: World) -> None:
    """CHA-2 and CHA-4: 160 bits as 32 letters; neither row nor event holds it."""
    minted = world.desk.rotate("static", actor=ADMIN)
    assert len(minted.secret) == 32
    assert minted.challenge.mac == world.challenge_mac(minted.secret)
    assert (minted.challenge.reusable, minted.challenge.expires_at) == (True, NO_EXPIRY)
    kept = repr(world.store.log) + repr(world.store.challenges())
    assert minted.secret not in kept


def test_both_secrets_are_good_for_the_overlap(world: World) -> None:
    """CHA-2: seven days unless said otherwise, then the former one is over, with its own reason."""
    former, new = world.secrets["static"], world.desk.rotate("static", actor=ADMIN).secret
    world.clock.advance(timedelta(days=7) - timedelta(seconds=1))
    assert reason_for(world, former) is reason_for(world, new) is None
    world.clock.advance(timedelta(seconds=1))
    assert reason_for(world, former) == "RA-012"
    assert reason_for(world, new) is None


def test_a_third_secret_ends_the_first(world: World) -> None:
    """CHA-2: never more than two are good at a time."""
    first = world.secrets["static"]
    second = world.desk.rotate("static", actor=ADMIN).secret
    third = world.desk.rotate("static", actor=ADMIN).secret
    assert [reason_for(world, secret) for secret in (first, second, third)] == ["RA-015", None, None]


def test_without_an_overlap_the_former_secret_ends_at_once(world: World) -> None:
    """CHA-2: for a secret that got into wrong hands."""
    former = world.secrets["static"]
    new = world.desk.rotate("static", overlap=timedelta(0), actor=ADMIN).secret
    assert [reason_for(world, secret) for secret in (former, new)] == ["RA-015", None]


def test_a_revoked_secret_is_over(world: World) -> None:
    """`challenge revoke` ends a static challenge like any; without another one the endpoint is closed."""
    (challenge,) = world.store.challenges("static")
    world.desk.revoke(challenge.id, ADMIN)
    assert reason_for(world, world.secrets["static"]) == "RA-015"


def test_a_secret_serves_many_devices(world: World) -> None:
    """CHA-2: it is never consumed."""
    for number in range(3):
        device = Device(world, endpoint="static").fresh(f"transaction-{number}")
        assert isinstance(world.enroller.enrol(device.request(names(), world.secrets["static"])), Certificate)


def test_a_rotation_is_one_event(world: World) -> None:
    """AUD-1: who rotated, who chose the secret, and how long the former one is good."""
    minted = world.desk.rotate("static", secret=GOOD, overlap=timedelta(days=1), actor=ADMIN)
    event = world.last_event().draft
    assert (event.action, event.actor, event.object) == (Action.ENDPOINT_SECRET_ROTATED, ADMIN, "endpoint:static")
    assert event.details == {
        "challenge": str(minted.challenge.id),
        "secret": "given by the administrator",
        "former_until": "2026-03-02T09:00:00.000Z",
    }


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "nineteen-characters",
        "x" * 129,
        "aaaaaaaaaabbbbbbbbbb",
        "abcdefgabcdefgabcdefg",
        "a secret with a \ttab in it",
        "schlüssel-für-alle-geräte",
        " correct-horse-battery-staple",
        "correct-horse-battery-staple ",
    ],
)
def test_a_poor_secret_is_refused(world: World, secret: str) -> None:
    """CHA-2 and ADM-024: too short, too simple, or such that it would not arrive in a request as it was given."""
    with pytest.raises(AdminError) as told:
        world.desk.rotate("static", secret=secret, actor=ADMIN)
    assert told.value.reason is reasons.SECRET_REFUSED
    assert reason_for(world, world.secrets["static"]) is None


@pytest.mark.parametrize("endpoint", STATIC)
def test_a_secret_is_given_once(world: World, endpoint: str) -> None:
    """ADM-024: neither again nor at another endpoint: the look-up must find one endpoint's alone (AUTHZ-2)."""
    world.desk.rotate("static", secret=GOOD, actor=ADMIN)
    with pytest.raises(AdminError, match="used before") as told:
        world.desk.rotate(endpoint, secret=GOOD, actor=ADMIN)
    assert told.value.reason is reasons.SECRET_REFUSED


@pytest.mark.parametrize("overlap", [timedelta(seconds=-1), MAX_OVERLAP + timedelta(seconds=1)])
def test_an_overlap_lies_between_nothing_and_thirty_days(world: World, overlap: timedelta) -> None:
    """ADM-018: a secret that is good for ever beside the new one is no rotation."""
    with pytest.raises(AdminError) as told:
        world.desk.rotate("static", overlap=overlap, actor=ADMIN)
    assert told.value.reason is reasons.USAGE


def test_each_kind_is_made_for_its_own_endpoints(world: World) -> None:
    """AUTHZ-2 and ADM-004: no static challenge for `default`, no one-time one for the others, none for a closed one."""
    world.open_endpoint("closed", Authoriser.STATIC)
    world.registry.disable_endpoint("closed", actor=ADMIN)
    for endpoint in ("default", "closed", "nowhere"):
        with pytest.raises(AdminError) as told:
            world.desk.rotate(endpoint, actor=ADMIN)
        assert told.value.reason is reasons.NOT_FOUND
    for endpoint in STATIC:
        with pytest.raises(AdminError) as told:
            world.mint("laptop-1", endpoint=endpoint)
        assert told.value.reason is reasons.NOT_FOUND
