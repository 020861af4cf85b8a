"""The profiles that come with the product: safe, clean to every lint, and what their examples say."""

from __future__ import annotations

import pytest
from cryptography import x509

from regalia.ca.lint import IGNORED, lint_full
from regalia.ca.profile import specimens
from regalia.ca.profile_document import read_document
from regalia.ca.profile_ready_made import READY_MADE, ReadyMade
from regalia.ca.profile_safety import Severity, findings_of
from regalia.model import KeyKind
from regalia.wire import oids
from small_ca import SmallCa, profile_of
from world import ADMIN, World

_CA = SmallCa()
_ALL = pytest.mark.parametrize("ready", READY_MADE.values(), ids=lambda ready: ready.name)


@_ALL
def test_a_ready_made_profile_needs_no_acknowledgement(ready: ReadyMade) -> None:
    """Holds 4: none of them is unsafe; those that name a person say so."""
    found = {finding.rule.name for finding in findings_of(profile_of(ready.document))}
    assert found <= {"person-on-the-air"}
    assert all(finding.rule.severity is Severity.WARN for finding in findings_of(profile_of(ready.document)))


@pytest.mark.parametrize("kind", [KeyKind.P256, KeyKind.RSA_2048], ids=str)
@_ALL
def test_a_ready_made_profile_is_clean_to_pkilint(ready: ReadyMade, kind: KeyKind) -> None:
    """R8: specimens of each type of key, under both types of issuing key, without a list of findings to ignore."""
    authority = _CA.issuing(f"{ready.name}-{kind}", kind)
    profile = profile_of(ready.document)
    assert profile.lint_ignored == ()
    made = specimens(profile, authority, _CA.urls, _CA.clock.now())
    assert made
    assert [finding for each in made for finding in lint_full(each)] == []


@_ALL
def test_the_examples_of_a_ready_made_profile_hold(ready: ReadyMade) -> None:
    """What a document promises is what the decision gives; each has an example that is issued."""
    from regalia.ra.preview import preview_examples  # noqa: PLC0415 - the one use here

    world = World()
    profile = world.registry.create_profile(ready.name, "default", ready.document, actor=ADMIN)
    examples = read_document(ready.document).example
    looked = preview_examples(profile, examples, store=world.store, urls=world.urls, now=world.clock.now())
    assert [each.problem for each in looked if each.problem is not None] == []
    assert "issued" in {each.outcome for each in looked}


def test_both_forms_of_a_sid_are_clean_to_pkilint_but_for_what_is_listed() -> None:
    """A `tag:` URI is a fault to pkilint, though RFC 4151 allows it: the finding is listed with its reason."""
    document = READY_MADE["nps-ad-logon"].document.replace('["extension"]', '["extension", "uri"]')
    authority = _CA.issuing("both-forms")
    for specimen in specimens(profile_of(document), authority, _CA.urls, _CA.clock.now()):
        certificate = x509.load_der_x509_certificate(specimen)
        listed = [extension.oid.dotted_string for extension in certificate.extensions]
        assert oids.MS_NTDS_CA_SECURITY in listed
        assert lint_full(specimen) == ()
    assert "pkix.invalid_uri_syntax" in IGNORED


def test_a_profile_may_list_findings_that_are_none() -> None:
    """A code that the document lists is left out of what the lint says, and another is not."""
    authority = _CA.issuing("ignoring")
    (specimen, *_) = specimens(profile_of(), authority, _CA.urls, _CA.clock.now())
    broken = specimen.replace(b"specimen.example.com", b"specimen example.com")
    codes = {finding.partition(":")[0] for finding in lint_full(broken)}
    assert codes
    assert lint_full(broken, codes) == ()
    assert lint_full(broken, ["pkix.something_else"]) != ()
