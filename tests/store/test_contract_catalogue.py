"""Contract of authorities, credentials, groups, profiles, endpoints, and the door made of them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from regalia.model import AuthorityState, CertificateKind, CredentialPurpose
from regalia.ports import EventFilter
from store.samples import (
    a_credential,
    a_group,
    a_profile,
    an_authority,
    an_endpoint,
    an_event,
    an_intent,
)

if TYPE_CHECKING:
    from regalia.ports import Store

NOBODY = ("", "nobody", "no\x00body", "\ud800")


def furnish(store: Store) -> None:
    """Put everything in place that a door is made of."""
    for number, kind in enumerate((CertificateKind.ROOT, CertificateKind.ISSUING, CertificateKind.RA), start=1):
        store.begin(replace(an_intent(number), kind=kind), ())
    assert store.add_authority(an_authority("root", None, 1), ())
    assert store.add_authority(an_authority("staff-ca", "root", 2), ())
    assert store.add_group(a_group(), ())
    store.add_credential(a_credential(3), ())
    assert store.add_profile(a_profile(), ())
    assert store.add_endpoint(an_endpoint(), ())


def test_what_was_added_is_found(store: Store) -> None:
    """Each noun comes back as the value that was put in, by name and in its list."""
    furnish(store)
    assert store.authority("root") == an_authority("root", None, 1)
    assert store.authorities() == (an_authority("root", None, 1), an_authority("staff-ca", "root", 2))
    assert store.group("staff") == a_group()
    assert store.groups() == (a_group(),)
    assert store.profile("wifi") == a_profile()
    assert store.endpoint("default") == an_endpoint()
    assert store.endpoints() == (an_endpoint(),)


@pytest.mark.parametrize("name", NOBODY, ids=("empty", "unknown", "nul", "surrogate"))
def test_unknown_names_are_not_found(store: Store, name: str) -> None:
    """A name that nobody has, or that no database can hold, finds nothing (IN-2)."""
    furnish(store)
    assert store.authority(name) is None
    assert store.group(name) is None
    assert store.profile(name) is None
    assert store.endpoint(name) is None
    assert store.door(name) is None
    assert store.last_crl(name) is None
    assert store.serial_status(name, 1) is None
    assert store.certificate_by_serial(name, 1) is None
    assert store.revocation_count(name) == 0


def test_a_taken_name_changes_nothing(store: Store) -> None:
    """Adding under a name that is taken answers False, keeps the first and writes no event (AUD-1)."""
    furnish(store)
    assert not store.add_authority(an_authority("root", None, 9), (an_event(),))
    assert not store.add_group(replace(a_group(), debug=False), (an_event(),))
    assert not store.add_profile(replace(a_profile(), group="other"), (an_event(),))
    assert not store.add_endpoint(replace(an_endpoint(), group="other"), (an_event(),))
    assert store.authority("root") == an_authority("root", None, 1)
    assert store.group("staff") == a_group()
    assert store.profile("wifi") == a_profile()
    assert store.endpoint("default") == an_endpoint()
    assert store.events(EventFilter()) == ()


def test_each_addition_writes_its_events(store: Store) -> None:
    """Events given with a change are in the log once it is made (AUD-1)."""
    store.add_authority(an_authority(), (an_event(1),))
    store.add_group(a_group(), (an_event(2),))
    store.add_profile(a_profile(), (an_event(3), an_event(4)))
    store.add_endpoint(an_endpoint(), (an_event(5),))
    store.add_credential(a_credential(), (an_event(6),))
    store.set_authority_state("staff-ca", AuthorityState.RETIRING, (an_event(7),))
    store.disable_endpoint("default", (an_event(8),))
    objects = [event.draft.object for event in store.events(EventFilter())]
    assert objects == [f"challenge:{number}" for number in range(1, 9)]


def test_state_of_an_authority(store: Store) -> None:
    """The state of an authority is the one that was set last."""
    furnish(store)
    store.set_authority_state("staff-ca", AuthorityState.RETIRING, ())
    assert store.authority("staff-ca") == replace(an_authority("staff-ca", "root", 2), state=AuthorityState.RETIRING)


def test_profile_versions(store: Store) -> None:
    """A profile is its newest version unless one is named; the list has the newest of each."""
    for version in (1, 2, 10):
        assert store.add_profile(a_profile("wifi", version), ())
    assert store.add_profile(a_profile("vpn"), ())
    assert store.profile("wifi") == a_profile("wifi", 10)
    assert store.profile("wifi", 2) == a_profile("wifi", 2)
    assert store.profile("wifi", 3) is None
    assert set(store.profiles()) == {a_profile("wifi", 10), a_profile("vpn")}


def test_credentials_are_newest_first(store: Store) -> None:
    """Credentials of one authority and purpose come newest first."""
    for number in (1, 2):
        store.add_credential(a_credential(number), ())
    store.add_credential(a_credential(3, CredentialPurpose.OCSP), ())
    assert store.credentials(CredentialPurpose.RA, "staff-ca") == (a_credential(2), a_credential(1))
    assert store.credentials(CredentialPurpose.OCSP, "staff-ca") == (a_credential(3, CredentialPurpose.OCSP),)
    assert store.credentials(CredentialPurpose.RA, "other") == ()


def test_own_keys(store: Store) -> None:
    """The keys of every authority and credential are ours from the moment they are added, a device's key is not."""
    furnish(store)
    assert store.own_keys() == {an_intent(number).key_sha256 for number in (1, 2, 3)}
    store.begin(replace(an_intent(4), kind=CertificateKind.OCSP), ())
    store.begin(an_intent(5), ())
    store.add_credential(a_credential(4, CredentialPurpose.OCSP), ())
    assert store.own_keys() == {an_intent(number).key_sha256 for number in (1, 2, 3, 4)}


def test_a_door_shows_all_that_stands_behind_it(store: Store) -> None:
    """A door holds its endpoint, group, newest profile, authority, root, current and former RA credentials (ENV-8)."""
    furnish(store)
    store.add_profile(a_profile("wifi", 2), ())
    store.add_credential(a_credential(4), ())
    door = store.door("default")
    assert door is not None
    assert (door.endpoint, door.group, door.profile) == (an_endpoint(), a_group(), a_profile("wifi", 2))
    assert (door.authority.name, door.root.name) == ("staff-ca", "root")
    assert (door.ra, door.former_ras) == (a_credential(4), (a_credential(3),))


def test_a_door_follows_every_change(store: Store) -> None:
    """A door that was looked at before shows what was changed since."""
    furnish(store)
    first = store.door("default")
    assert first is not None
    assert first.endpoint.enabled
    assert store.disable_endpoint("default", ())
    store.add_credential(a_credential(5), ())
    store.set_authority_state("staff-ca", AuthorityState.RETIRING, ())
    door = store.door("default")
    assert door is not None
    assert not door.endpoint.enabled
    assert door.ra == a_credential(5)
    assert door.authority.state is AuthorityState.RETIRING


def test_an_endpoint_is_disabled_once(store: Store) -> None:
    """Disabling answers False where the endpoint is unknown or disabled already, and writes no event then."""
    furnish(store)
    assert not store.disable_endpoint("nobody", (an_event(),))
    assert store.disable_endpoint("default", ())
    assert not store.disable_endpoint("default", (an_event(),))
    assert store.events(EventFilter()) == ()
