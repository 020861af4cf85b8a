"""Scopes of keys."""

from __future__ import annotations

from regalia.ca.scopes import (
    ROOT_SCOPE,
    ca_ra_scope,
    ca_scope,
    is_ca_scope,
    ocsp_scope,
    opens_for_faces,
    ra_scope,
    tls_scope,
)


def test_only_ca_scopes_sign_certificates() -> None:
    """The scopes of roots and issuing authorities are told from all others, whatever the group is called (R8)."""
    assert is_ca_scope(ROOT_SCOPE)
    assert is_ca_scope(ca_scope("staff"))
    assert not any(is_ca_scope(scope) for scope in (ra_scope("ca"), ocsp_scope("ca"), "", "c", "staff"))


def test_scopes_are_apart() -> None:
    """Each use of a key in a group has a scope of its own (SEC-1)."""
    assert len({ca_scope("staff"), ra_scope("staff"), ocsp_scope("staff"), ca_scope("guests"), ROOT_SCOPE}) == 5


def test_faces_use_no_ca_key_but_that_of_its_own_ra() -> None:
    """R2: what signs certificates is kept from faces, but for a group whose authority is its own RA by its scope."""
    assert is_ca_scope(ca_ra_scope("solo"))
    open_ones = (ca_ra_scope("solo"), ra_scope("a"), ocsp_scope("b"), tls_scope("c"))
    assert all(opens_for_faces(scope) for scope in open_ones)
    assert not any(opens_for_faces(scope) for scope in (ROOT_SCOPE, ca_scope("ra"), ca_scope("ra:solo")))
