"""Authorities whose issuer's key is on another machine."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from regalia import reasons
from regalia.ca.sign_request import read_wish
from regalia.errors import AdminError
from regalia.model import Action, AuthorityState, CredentialPurpose
from regalia.wire.certificate import read_certificate, split, verify_signature
from world import ADMIN, Device, World, names

if TYPE_CHECKING:
    from regalia.model import Authority, AuthorityRequest


def two_machines() -> tuple[World, World]:
    """An online machine that knows the root of an offline one by its certificate alone."""
    offline, online = World(), World()
    root = offline.store.authority("root")
    assert root is not None
    online.hierarchy.trust("far-root", root.certificate_der, actor=ADMIN)
    return offline, online


def requested(online: World, name: str = "far-ca", group: str = "far") -> AuthorityRequest:
    """Make a request under the far root."""
    return online.hierarchy.request(name, group=group, parent="far-root", actor=ADMIN)


def signed(offline: World, request: AuthorityRequest) -> Authority:
    """Have the offline root sign it."""
    assert request.csr is not None
    wish = read_wish(request.csr)
    root = offline.store.authority("root")
    assert root is not None
    assert wish.crl is not None
    assert wish.issuer is not None
    return offline.hierarchy.sign(request.name, wish, root=root, crl=wish.crl, issuer=wish.issuer, actor=ADMIN)


def test_a_device_enrols_under_a_root_on_another_machine() -> None:
    """A request goes to the root's machine, its certificate comes back, and devices enrol under it."""
    offline, online = two_machines()
    made = signed(offline, requested(online))
    accepted = online.hierarchy.accept("far-ca", made.certificate_der, actor=ADMIN)
    assert accepted.state is AuthorityState.ACTIVE
    assert accepted.parent == "far-root"
    online.registry.create_group("far", actor=ADMIN, authority="far-ca")
    from regalia.ca.profile import DEFAULT_DOCUMENT

    online.registry.create_profile("far", "far", DEFAULT_DOCUMENT, actor=ADMIN)
    online.registry.create_endpoint("far", group="far", profile="far", actor=ADMIN)
    device = Device(online, endpoint="far")
    device.enrol(names("laptop-1"), online.mint("laptop-1", endpoint="far"))
    assert device.certificate is not None
    tbs, algorithm, signature = split(device.certificate)
    assert verify_signature(tbs, algorithm, signature, read_certificate(made.certificate_der).public_key)
    root = offline.store.authority("root")
    assert root is not None
    tbs, algorithm, signature = split(made.certificate_der)
    assert verify_signature(tbs, algorithm, signature, read_certificate(root.certificate_der).public_key)
