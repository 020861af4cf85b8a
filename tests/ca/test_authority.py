"""Our own certificates, made, renewed and revoked, as OpenSSL sees them."""

from __future__ import annotations

import hashlib
import subprocess
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from fakes import FakeClock, MemoryKeys, MemorySigner, MemoryStore, SeededEntropy
from regalia import reasons
from regalia.ca.authority import Ceremony, Signatory, prepare_own, renewal_due, revoke_authority
from regalia.ca.issue import Issuer
from regalia.ca.server_certificate import names_of, server_names
from regalia.ca.templates import (
    BACKDATE,
    ISSUING_LIFETIME,
    OCSP_LIFETIME,
    RA_LIFETIME,
    TLS_LIFETIME,
    Subject,
    issuing_tbs,
    root_tbs,
)
from regalia.ca.urls import Urls
from regalia.errors import AdminError, UnavailableError
from regalia.model import (
    Action,
    Actor,
    ActorKind,
    Authority,
    AuthorityState,
    CertificateKind,
    CertificateState,
    Credential,
    CredentialPurpose,
    KeyKind,
    Names,
    RevocationReason,
)
from regalia.ports import CertificateFilter, EventFilter
from regalia.wire import der
from regalia.wire.certificate import read_certificate, split

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from regalia.errors import Reason

ADMIN = Actor(ActorKind.ADMIN, "os:root")
URLS = Urls("http://ca.example.org:8080")
START = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)


class Bench:
    """A ceremony over fakes, with what it did in the store."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.keys = MemoryKeys(self.store)
        self.clock = FakeClock(START)
        self.entropy = SeededEntropy()
        issuer = Issuer(self.store, MemorySigner(self.store, self.keys), self.clock)
        self.ceremony = Ceremony(
            issuer,
            authorities=self.store,
            keys=self.keys,
            clock=self.clock,
            entropy=self.entropy,
            urls=URLS,
            serial_prefix=0x2A,
        )

    def root(self, name: str = "root") -> Authority:
        """Make a root."""
        return self.ceremony.create_root(name, actor=ADMIN)

    def issuing(self, root: Authority, name: str = "staff", key_kind: KeyKind = KeyKind.P256) -> Authority:
        """Make an issuing authority."""
        return self.ceremony.create_issuing(name, group="staff", root=root, actor=ADMIN, key_kind=key_kind)

    def credential(self, purpose: CredentialPurpose, authority: Authority) -> Credential:
        """Make a credential."""
        return self.ceremony.create_credential(purpose, authority, actor=ADMIN)

    def actions(self) -> list[str]:
        """List what happened."""
        return [event.draft.action.value for event in self.store.events(EventFilter())]


@pytest.fixture
def bench() -> Bench:
    """Make a bench."""
    return Bench()


@pytest.fixture(scope="module")
def family() -> tuple[Authority, Authority, Credential, Credential]:
    """Make a root, an issuing authority, its RA and its OCSP credential."""
    bench = Bench()
    root = bench.root()
    issuing = bench.issuing(root)
    return (
        root,
        issuing,
        bench.credential(CredentialPurpose.RA, issuing),
        bench.credential(CredentialPurpose.OCSP, issuing),
    )


Family = tuple[Authority, Authority, Credential, Credential]


def _refused(do: Callable[[], object]) -> Reason:
    with pytest.raises(AdminError) as refused:
        do()
    return refused.value.reason


def _text(certificate: bytes) -> str:
    command = ["openssl", "x509", "-inform", "DER", "-noout", "-text"]
    return subprocess.run(command, input=certificate, check=True, capture_output=True).stdout.decode()


def _extensions(certificate: bytes) -> dict[str, str]:
    """Read OpenSSL's text of each extension: name (and `critical`) to value."""
    lines = _text(certificate).partition("X509v3 extensions:\n")[2].partition("    Signature Algorithm")[0].splitlines()
    found: dict[str, str] = {}
    name = ""
    for line in filter(str.strip, lines):
        if not line.startswith(" " * 13):
            name = line.strip().rstrip(": ").replace(": critical", " critical")
            found[name] = ""
        else:
            found[name] = f"{found[name]} {line.strip()}".strip()
    return found


def _verify(tmp_path: Path, purpose: str, *chain: bytes) -> str:
    """Let OpenSSL verify the first certificate, given those above it, the root last."""
    files = [tmp_path / f"{number}.pem" for number in range(len(chain))]
    for file, certificate in zip(files, chain, strict=True):
        command = ["openssl", "x509", "-inform", "DER", "-out", str(file)]
        subprocess.run(command, input=certificate, check=True, capture_output=True)
    between = [argument for file in files[1:-1] for argument in ("-untrusted", str(file))]
    at = str(int((START + timedelta(hours=1)).timestamp()))
    command = ["openssl", "verify", "-x509_strict", "-attime", at, "-CAfile", str(files[-1]), "-purpose", purpose]
    run = subprocess.run([*command, *between, str(files[0])], check=False, capture_output=True, text=True)
    return "OK" if run.returncode == 0 else run.stdout + run.stderr


# --- what the certificates say --------------------------------------------------------------------------------------


def test_openssl_verifies_the_chain(tmp_path: Path, family: Family) -> None:
    """OpenSSL, strictly, verifies RA and OCSP certificates up to the root, each for its purpose."""
    root, issuing, ra, ocsp = (made.certificate_der for made in family)
    assert _verify(tmp_path, "any", issuing, root) == "OK"
    assert _verify(tmp_path, "any", ra, issuing, root) == "OK"
    assert _verify(tmp_path, "ocsphelper", ocsp, issuing, root) == "OK"


def test_ra_certificate_cannot_issue(tmp_path: Path, family: Family) -> None:
    """OpenSSL refuses a chain in which an RA certificate stands as an issuer, or the issuing authority as a root's."""
    root, issuing, ra, ocsp = (made.certificate_der for made in family)
    assert _verify(tmp_path, "any", ocsp, ra, root) != "OK"
    assert _verify(tmp_path, "any", ra, issuing) != "OK"


def test_root_says_what_it_is(family: Family) -> None:
    """A root is a P-384 CA for 20 years, without a path length, an EKU or a place to ask about it."""
    certificate = family[0].certificate_der
    facts = read_certificate(certificate)
    key_id = facts.ski.hex(":").upper() if facts.ski else ""
    assert _extensions(certificate) == {
        "X509v3 Basic Constraints critical": "CA:TRUE",
        "X509v3 Key Usage critical": "Certificate Sign, CRL Sign",
        "X509v3 Subject Key Identifier": key_id,
        "X509v3 Authority Key Identifier": key_id,
    }
    assert facts.self_issued
    assert (facts.not_before, facts.not_after.year) == (START - BACKDATE, 2046)
    assert "ecdsa-with-SHA384" in _text(certificate)
    assert "Public-Key: (384 bit)" in _text(certificate)


def test_issuing_authority_says_what_it_is(family: Family) -> None:
    """An issuing authority is a P-256 CA with path length 0, its root's CRL and certificate, and no EKU."""
    root, issuing, _, _ = family
    extensions = _extensions(issuing.certificate_der)
    assert extensions.pop("X509v3 Subject Key Identifier")
    assert extensions.pop("X509v3 Authority Key Identifier") == _extensions(root.certificate_der).get(
        "X509v3 Subject Key Identifier"
    )
    assert extensions == {
        "X509v3 Basic Constraints critical": "CA:TRUE, pathlen:0",
        "X509v3 Key Usage critical": "Certificate Sign, CRL Sign",
        "X509v3 CRL Distribution Points": "Full Name: URI:http://ca.example.org:8080/crl/root.crl",
        "Authority Information Access": "CA Issuers - URI:http://ca.example.org:8080/ca/root.cer",
    }
    facts = read_certificate(issuing.certificate_der)
    assert facts.issuer == read_certificate(root.certificate_der).subject
    assert facts.not_after - facts.not_before == ISSUING_LIFETIME
    assert "Public-Key: (256 bit)" in _text(issuing.certificate_der)


def test_ra_credential_says_what_it_is(family: Family) -> None:
    """An RA credential is RSA-2048 for a year with both key usages, and says where its status is (ENV-8)."""
    _, issuing, ra, _ = family
    extensions = _extensions(ra.certificate_der)
    assert extensions.pop("X509v3 Subject Key Identifier")
    assert extensions.pop("X509v3 Authority Key Identifier") == _extensions(issuing.certificate_der).get(
        "X509v3 Subject Key Identifier"
    )
    assert extensions == {
        "X509v3 Basic Constraints critical": "CA:FALSE",
        "X509v3 Key Usage critical": "Digital Signature, Key Encipherment",
        "X509v3 CRL Distribution Points": "Full Name: URI:http://ca.example.org:8080/crl/staff.crl",
        "Authority Information Access": (
            "OCSP - URI:http://ca.example.org:8080/ocsp/staff CA Issuers - URI:http://ca.example.org:8080/ca/staff.cer"
        ),
    }
    assert "Subject: CN = staff RA" in _text(ra.certificate_der)
    assert "Public-Key: (2048 bit)" in _text(ra.certificate_der)
    assert (ra.not_after - ra.not_before, ra.group, ra.authority) == (RA_LIFETIME, "staff", "staff")


def test_ocsp_credential_says_what_it_is(family: Family) -> None:
    """An OCSP credential signs OCSP for 30 days, and nobody is to ask for its own status (RFC 6960 §4.2.2.2.1)."""
    extensions = _extensions(family[3].certificate_der)
    assert extensions.pop("X509v3 Subject Key Identifier")
    assert extensions.pop("X509v3 Authority Key Identifier")
    assert extensions == {
        "X509v3 Basic Constraints critical": "CA:FALSE",
        "X509v3 Key Usage critical": "Digital Signature",
        "X509v3 Extended Key Usage": "OCSP Signing",
        "OCSP No Check": "",
    }
    assert family[3].not_after - family[3].not_before == OCSP_LIFETIME


def test_tls_credential_says_what_it_is(tmp_path: Path, bench: Bench) -> None:
    """The device listener's certificate is P-256, for 90 days at most, for its names, as a server and nothing else."""
    root = bench.root()
    issuing = bench.issuing(root)
    names = server_names(["pki.example.org", "PKI", "192.0.2.7", "::1"])
    made = bench.ceremony.create_tls(issuing, names, actor=ADMIN)
    extensions = _extensions(made.certificate_der)
    assert extensions.pop("X509v3 Subject Key Identifier")
    assert extensions.pop("X509v3 Authority Key Identifier")
    assert extensions == {
        "X509v3 Basic Constraints critical": "CA:FALSE",
        "X509v3 Key Usage critical": "Digital Signature",
        "X509v3 Extended Key Usage": "TLS Web Server Authentication",
        "X509v3 Subject Alternative Name": (
            "DNS:pki, DNS:pki.example.org, IP Address:192.0.2.7, IP Address:0:0:0:0:0:0:0:1"
        ),
        "X509v3 CRL Distribution Points": "Full Name: URI:http://ca.example.org:8080/crl/staff.crl",
        "Authority Information Access": (
            "OCSP - URI:http://ca.example.org:8080/ocsp/staff CA Issuers - URI:http://ca.example.org:8080/ca/staff.cer"
        ),
    }
    assert names_of(made.certificate_der) == names
    assert made.not_after - made.not_before == TLS_LIFETIME <= timedelta(days=90)
    chain = (made.certificate_der, issuing.certificate_der, root.certificate_der)
    assert _verify(tmp_path, "sslserver", *chain) == "OK"
    assert _verify(tmp_path, "sslclient", *chain) != "OK"
    (row,) = bench.store.certificates(CertificateFilter(kind=CertificateKind.TLS))
    assert row.intent.names == Names("pki", names)


def test_own_keys_count_the_listeners(bench: Bench) -> None:
    """SIG-4 and KEY-2: the key of the device listener is one of our own."""
    made = bench.ceremony.create_tls(bench.issuing(bench.root()), server_names(["pki.example.org"]), actor=ADMIN)
    spki = read_certificate(made.certificate_der).public_key
    assert hashlib.sha256(spki).digest() in bench.store.own_keys()


def test_rows_agree_with_certificates(bench: Bench) -> None:
    """What is stored of a certificate of our own is what it says, and its serial begins with the node's octet."""
    root = bench.root()
    bench.credential(CredentialPurpose.OCSP, bench.issuing(root))
    rows = bench.store.certificates(CertificateFilter())
    assert {row.intent.kind for row in rows} == {CertificateKind.OCSP, CertificateKind.ISSUING, CertificateKind.ROOT}
    for row in rows:
        assert row.der is not None
        facts = read_certificate(row.der)
        assert split(row.der)[0] == row.intent.tbs
        assert (facts.serial, facts.not_before, facts.not_after) == (
            row.serial,
            row.intent.not_before,
            row.intent.not_after,
        )
        assert row.serial >> 152 == 0x2A
        assert row.state is CertificateState.ISSUED


@pytest.mark.parametrize("kind", [KeyKind.RSA_2048, KeyKind.P384])
def test_other_keys_issue_too(tmp_path: Path, bench: Bench, kind: KeyKind) -> None:
    """An administrator may choose another kind of key for an issuing authority (R0)."""
    root = bench.root()
    issuing = bench.issuing(root, key_kind=kind)
    ra = bench.credential(CredentialPurpose.RA, issuing)
    assert _verify(tmp_path, "any", ra.certificate_der, issuing.certificate_der, root.certificate_der) == "OK"


def test_installations_do_not_share_names() -> None:
    """Two installations have roots of different names, though nobody chose any."""
    first, second = (read_certificate(Bench().root().certificate_der).subject for _ in range(2))
    assert first != second


def test_organisation_stands_in_the_name(bench: Bench) -> None:
    """An organisation is O of the subject, beside a common name that stays short."""
    root = bench.ceremony.create_root("root", actor=ADMIN, organisation="Example & Sons, Ltd")
    assert 'Subject: O = "Example & Sons, Ltd", CN = Regalia Root ' in _text(root.certificate_der)


def test_nothing_outlives_its_issuer(bench: Bench) -> None:
    """An issuing authority ends with its root, and an RA credential with its issuing authority (POL-7)."""
    root = bench.root()
    early = bench.issuing(root)
    bench.clock.advance(timedelta(days=2922 - 100))
    assert bench.credential(CredentialPurpose.RA, early).not_after == read_certificate(early.certificate_der).not_after
    bench.clock.advance(timedelta(days=7305 - 2922))
    late = bench.issuing(root, "late")
    assert read_certificate(late.certificate_der).not_after == read_certificate(root.certificate_der).not_after


# --- what is recorded -----------------------------------------------------------------------------------------------


def test_each_step_is_an_event(bench: Bench) -> None:
    """Key, intent, certificate and authority are each an event, in the order in which they came to be (AUD-1)."""
    issuing = bench.issuing(bench.root())
    bench.credential(CredentialPurpose.RA, issuing)
    made = ["key.generated", "certificate.intent", "certificate.issued"]
    assert bench.actions() == [*made, "authority.created", *made, "authority.created", *made, "credential.renewed"]


def test_successor_names_its_predecessor(bench: Bench) -> None:
    """A renewed RA credential has a new key; the former key stays for what was encrypted to it (ENV-8)."""
    issuing = bench.issuing(bench.root())
    first = bench.credential(CredentialPurpose.RA, issuing)
    bench.clock.advance(timedelta(days=300))
    second = bench.credential(CredentialPurpose.RA, issuing)
    assert first.key_id != second.key_id
    assert bench.store.credentials(CredentialPurpose.RA, "staff") == (second, first)
    assert bench.keys.holds(first.key_id)
    (event,) = bench.store.events(EventFilter(action=Action.CREDENTIAL_RENEWED, limit=1))
    assert event.draft.details["replaces"] == str(first.id)


@pytest.mark.parametrize(
    ("purpose", "not_yet", "due"),
    [(CredentialPurpose.RA, 243, 244), (CredentialPurpose.OCSP, 14, 16)],
)
def test_credentials_are_renewed_in_time(family: Family, purpose: CredentialPurpose, not_yet: int, due: int) -> None:
    """An RA credential is due in its last third, an OCSP credential in its last half, and both when they are over."""
    credential = family[2] if purpose is CredentialPurpose.RA else family[3]
    assert not renewal_due(credential, START + timedelta(days=not_yet))
    assert renewal_due(credential, START + timedelta(days=due))
    assert renewal_due(credential, START + timedelta(days=1000))


# --- what is refused ------------------------------------------------------------------------------------------------


def test_names_are_checked_before_a_key_is_made(bench: Bench) -> None:
    """A name that is taken or unusable is refused, and nothing is left behind."""
    root = bench.root()
    before = bench.actions()
    assert _refused(bench.root) is reasons.NAME_TAKEN
    for name in ("", "Staff", "1st", "a" * 41, "a/b", "staff\n"):
        assert _refused(lambda name=name: bench.issuing(root, name)) is reasons.NAME_REFUSED  # type: ignore[misc]  # bound now
    assert bench.actions() == before


def test_root_key_must_be_here(bench: Bench, tmp_path: Path) -> None:
    """Without the root's key no issuing authority is made, and the error names the medium to bring (R10)."""
    root = bench.root()
    bench.keys.move_out(root.key_id, tmp_path)
    assert _refused(lambda: bench.issuing(root)) is reasons.ROOT_KEY_ELSEWHERE
    assert bench.store.authority("staff") is None


def test_credential_waits_for_its_authority_s_key(bench: Bench, tmp_path: Path) -> None:
    """Where an issuing authority's key is elsewhere, neither key nor credential is made and the reason is CA-010."""
    issuing = bench.issuing(bench.root())
    bench.keys.move_out(issuing.key_id, tmp_path)
    keys, rows = len(bench.keys.private), len(bench.store.certificates(CertificateFilter()))
    with pytest.raises(UnavailableError) as refused:
        bench.credential(CredentialPurpose.OCSP, issuing)
    assert refused.value.reason is reasons.ISSUER_UNAVAILABLE
    assert bench.store.credentials(CredentialPurpose.OCSP, "staff") == ()
    assert (len(bench.keys.private), len(bench.store.certificates(CertificateFilter()))) == (keys, rows)


def test_only_valid_active_authorities_issue(bench: Bench) -> None:
    """A retiring, revoked, expired or not yet valid authority issues nothing, nor does one of the wrong kind."""
    root = bench.root()
    issuing = bench.issuing(root)
    for state in (AuthorityState.RETIRING, AuthorityState.REVOKED):
        asked = replace(issuing, state=state)
        refused = _refused(lambda asked=asked: bench.credential(CredentialPurpose.RA, asked))  # type: ignore[misc]  # bound now
        assert refused is reasons.AUTHORITY_STATE
    assert _refused(lambda: bench.issuing(issuing, "below")) is reasons.AUTHORITY_STATE
    assert _refused(lambda: bench.credential(CredentialPurpose.OCSP, root)) is reasons.AUTHORITY_STATE
    bench.clock.advance(-timedelta(days=1))
    assert _refused(lambda: bench.issuing(root, "early")) is reasons.AUTHORITY_STATE
    bench.clock.advance(timedelta(days=7306))
    assert _refused(lambda: bench.issuing(root, "late")) is reasons.AUTHORITY_STATE


def test_lint_stops_what_breaks_a_rule(bench: Bench) -> None:
    """A certificate of our own that pkilint finds fault with is neither recorded nor signed (R8)."""
    root = bench.root()
    key = bench.keys.generate(KeyKind.P256, "ca:staff")
    subject = Subject("Regalia staff", None, key.public_key, 1 << 130, START)
    good = issuing_tbs(root, subject, URLS)
    for bad in (
        replace(good, extensions=good.extensions[1:]),
        replace(good, extensions=(*good.extensions, good.extensions[0])),
        replace(good, not_after=good.not_before - timedelta(days=1)),
        replace(good, serial=1 << 165),
    ):
        with pytest.raises(AdminError) as refused:
            prepare_own(
                CertificateKind.ISSUING,
                bad,
                Signatory.of(root),
                subject=subject,
                group="staff",
                entropy=bench.entropy,
            )
        assert refused.value.reason is reasons.LINT_REFUSED
        assert refused.value.detail


def test_lost_race_for_a_name_is_said(bench: Bench) -> None:
    """Where another administrator took the name meanwhile, the second one is told; both certificates stay on record."""
    root = bench.root()

    class Racing(SeededEntropy):
        """Draws a serial just after somebody else was quicker."""

        def octets(self, count: int) -> bytes:
            if bench.store.authority("staff") is None:
                bench.issuing(root)
            return super().octets(count)

    ceremony = Ceremony(
        Issuer(bench.store, MemorySigner(bench.store, bench.keys), bench.clock),
        authorities=bench.store,
        keys=bench.keys,
        clock=bench.clock,
        entropy=Racing(1),
        urls=URLS,
    )
    assert (
        _refused(lambda: ceremony.create_issuing("staff", group="staff", root=root, actor=ADMIN)) is reasons.NAME_TAKEN
    )
    assert len(bench.store.certificates(CertificateFilter(kind=CertificateKind.ISSUING))) == 2


# --- revocation -----------------------------------------------------------------------------------------------------


def _revoke(bench: Bench, authority: Authority) -> Authority:
    return revoke_authority(
        bench.store,
        bench.store,
        bench.clock,
        authority,
        reason=RevocationReason.CA_COMPROMISE,
        actor=ADMIN,
        note="stolen",
    )


def test_revoked_authority_is_on_its_root_s_next_crl(bench: Bench) -> None:
    """Revoking an issuing authority revokes its certificate at the root, stops it issuing, and is an event."""
    root = bench.root()
    issuing = bench.issuing(root)
    assert _revoke(bench, issuing).state is AuthorityState.REVOKED
    stored = bench.store.authority("staff")
    assert stored is not None
    assert stored.state is AuthorityState.REVOKED
    serial = read_certificate(issuing.certificate_der).serial
    status = bench.store.serial_status("root", serial)
    assert status is not None
    assert status.revocation is not None
    assert status.revocation.reason is RevocationReason.CA_COMPROMISE
    (page,) = [page for page in bench.store.crl_entries("root", range(1), 1, START) if page]
    assert der.read_one(page[0]).children()[0].as_integer() == serial
    assert bench.actions()[-2:] == ["certificate.revoked", "authority.revoked"]
    assert _refused(lambda: bench.credential(CredentialPurpose.RA, stored)) is reasons.AUTHORITY_STATE


def test_revocation_is_final_and_not_for_roots(bench: Bench) -> None:
    """An authority is revoked once, and a root by nobody."""
    root = bench.root()
    revoked = _revoke(bench, bench.issuing(root))
    assert _refused(lambda: _revoke(bench, revoked)) is reasons.ALREADY_REVOKED
    assert _refused(lambda: _revoke(bench, root)) is reasons.AUTHORITY_STATE


def test_interrupted_revocation_is_finished(bench: Bench) -> None:
    """After a crash between both steps the same command does the second one alone."""
    issuing = bench.issuing(bench.root())
    _revoke(bench, issuing)
    bench.store.set_authority_state("staff", AuthorityState.ACTIVE, ())
    assert _revoke(bench, issuing).state is AuthorityState.REVOKED
    assert bench.actions().count("certificate.revoked") == 1


def test_root_is_signed_by_its_own_key(bench: Bench) -> None:
    """A root's intent names itself and its own key as the signer (R8)."""
    root = bench.root()
    row = bench.store.certificate(root.certificate_id)
    assert row is not None
    assert (row.intent.authority, row.intent.key_id) == ("root", root.key_id)
    assert Signatory.of(root).public_key == read_certificate(root.certificate_der).public_key
    subject = Subject("x", None, Signatory.of(root).public_key, 1, START)
    assert root_tbs(KeyKind.P384, subject).issuer == root_tbs(KeyKind.P384, subject).subject
