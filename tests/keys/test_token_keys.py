"""CA keys on a token, with the inventory in memory and the token in SoftHSM."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509

from fakes import FakeClock, MemoryCrlFiles, MemoryStore, SeededEntropy
from regalia import reasons
from regalia.ca.authority import Ceremony
from regalia.ca.issue import Issuer
from regalia.ca.key_events import key_destroyed
from regalia.ca.scopes import ROOT_SCOPE, ca_ra_scope, ca_scope, ra_scope
from regalia.ca.urls import Urls
from regalia.errors import AdminError, InvariantError, UnavailableError
from regalia.keys.ca_keys import SoftwareCaKeys
from regalia.keys.home_keys import HomeCaKeys, HomeKeys
from regalia.keys.master import create_master_key
from regalia.keys.signer import LocalSigner
from regalia.keys.software import SoftwareKeys
from regalia.keys.token_keys import TokenCaKeys, TokenKeys
from regalia.model import Action, Actor, ActorKind, CredentialPurpose, KeyKind
from regalia.ports import SOFTWARE, EventFilter, KeyRecord
from tokens import new_token, opened_token

if TYPE_CHECKING:
    from pathlib import Path

    from regalia.cli.soft_token import SoftToken
    from regalia.keys.pkcs11 import Token
    from regalia.ports import NewKey

pytestmark = [pytest.mark.real, pytest.mark.live_client("softhsm")]

ADMIN = Actor(ActorKind.ADMIN, "os:root")


@pytest.fixture(scope="module")
def made() -> SoftToken:
    """A token for all tests here."""
    return new_token()


class Home:
    """The keys of a home whose CA keys go to a token."""

    def __init__(self, directory: Path, token: Token) -> None:
        self.store, self.clock, entropy = MemoryStore(), FakeClock(), SeededEntropy(hash(directory))
        master = create_master_key(directory, entropy)
        self.label = token.label
        self.tokens = TokenKeys(token, self.store, self.clock, entropy)
        software = SoftwareKeys(self.store, self.clock, entropy, master)
        self.keys = HomeKeys(software, self.store, self.tokens, to_token=True)
        self.without = HomeKeys(software, self.store)
        self.on_token = TokenCaKeys(self.store, token)
        self.ca_keys = HomeCaKeys(SoftwareCaKeys(self.store, master, entropy), self.store, self.on_token)
        signer = LocalSigner(self.store, MemoryCrlFiles(), self.ca_keys)
        self.ceremony = Ceremony(
            Issuer(self.store, signer, self.clock),
            authorities=self.store,
            keys=self.keys,
            clock=self.clock,
            entropy=entropy,
            urls=Urls("http://pki.example.test"),
        )

    def record(self, key: NewKey) -> KeyRecord:
        """Return the record of a key that must have one."""
        found = self.store.key_record(key.id)
        assert found is not None
        return found


@pytest.fixture
def home(tmp_path: Path, made: SoftToken) -> Home:
    """A home without any key yet."""
    return Home(tmp_path, opened_token(made))


def test_an_authority_on_a_token_issues(home: Home) -> None:
    """Root and issuing key lie on the token, the RA's in software (R10); what they issue verifies with OpenSSL."""
    root = home.ceremony.create_root("root", actor=ADMIN)
    issuing = home.ceremony.create_issuing("ca", group="staff", root=root, actor=ADMIN)
    ra = home.ceremony.create_credential(CredentialPurpose.RA, issuing, actor=ADMIN)
    chain = [x509.load_der_x509_certificate(one.certificate_der) for one in (ra, issuing, root)]
    chain[0].verify_directly_issued_by(chain[1])
    chain[1].verify_directly_issued_by(chain[2])
    records = [home.store.key_record(one.key_id) for one in (root, issuing, ra)]
    assert [record and record.token for record in records] == [home.label, home.label, None]
    assert [record and record.repeats for record in records] == [False, False, True]
    assert home.store.get_key(root.key_id) is None
    assert [home.keys.holds(one.key_id) for one in (root, issuing, ra)] == [True, True, True]
    for one in (root, issuing, ra):
        home.keys.prove(one.key_id)


@pytest.mark.parametrize(("kind", "repeats"), [(KeyKind.P256, False), (KeyKind.P384, False), (KeyKind.RSA_2048, True)])
def test_a_ca_key_says_whether_it_repeats(home: Home, kind: KeyKind, repeats: bool) -> None:  # noqa: FBT001 - a column
    """ISS-2: with RSA on a token the same octets have the same signature, with ECDSA another each time."""
    key = home.keys.generate(kind, ca_scope("staff"))
    ca_key = home.ca_keys.ca_key(key.id)
    assert (ca_key.kind, ca_key.repeatable, home.record(key).repeats) == (kind, repeats, repeats)
    assert (ca_key.sign(b"to be signed") == ca_key.sign(b"to be signed")) == repeats


def test_keys_of_faces_stay_in_software(home: Home) -> None:
    """R10 and R2: RA keys, and the key of an authority that is its own RA, are not made on the token."""
    for scope, kind in ((ra_scope("staff"), KeyKind.RSA_2048), (ca_ra_scope("staff"), KeyKind.RSA_2048)):
        assert home.record(home.keys.generate(kind, scope)).location == SOFTWARE
    with pytest.raises(UnavailableError):
        home.on_token.ca_key(home.keys.generate(KeyKind.P256, ra_scope("staff")).id)


def test_a_key_on_a_token_does_not_move(home: Home, tmp_path: Path) -> None:
    """`ca offline` refuses it, and nothing is written (CA-023)."""
    key = home.keys.generate(KeyKind.P256, ROOT_SCOPE)
    with pytest.raises(AdminError) as refused:
        home.keys.move_out(key.id, tmp_path)
    assert refused.value.reason is reasons.KEY_BOUND
    assert not (tmp_path / f"{key.id}.key").exists()


def test_a_destroyed_key_leaves_token_and_record(home: Home) -> None:
    """Its object is gone from the token, its record says who and when, and nothing is signed with it any more."""
    key = home.keys.generate(KeyKind.P256, ca_scope("staff"))
    home.clock.advance(timedelta(days=1))
    event = key_destroyed(key.id, at=home.clock.now(), actor=ADMIN, why="a test")
    assert home.keys.destroy(key.id, (event,))
    assert not home.keys.destroy(key.id, (event,))
    record = home.record(key)
    assert (record.destroyed_at, record.destroyed_by) == (home.clock.now(), "admin os:root")
    assert len(home.store.events(EventFilter(action=Action.KEY_DESTROYED))) == 1
    assert not home.keys.holds(key.id)
    with pytest.raises(UnavailableError):
        home.ca_keys.ca_key(key.id)
    with pytest.raises(AdminError) as missing:
        home.keys.find_by_uri(record.location)
    assert missing.value.reason is reasons.NOT_FOUND


def test_a_software_key_is_destroyed_too(home: Home) -> None:
    """The same call ends an RA key: its octets are gone, an opened one is let go of."""
    key = home.keys.generate(KeyKind.P256, ra_scope("staff"))
    home.keys.open(key.id)
    assert home.keys.destroy(key.id, (key_destroyed(key.id, at=home.clock.now(), actor=ADMIN, why="renewed"),))
    with pytest.raises(UnavailableError):
        home.keys.open(key.id)


def test_a_key_that_somebody_made_is_adopted(home: Home, made: SoftToken) -> None:
    """A key named by its URI is found, checked, put on record and used; another token's is refused."""
    theirs = opened_token(made).generate(KeyKind.P384, b"\x07theirs", "their CA")
    uri = f"pkcs11:token={made.label};object=their%20CA;id=%07theirs"
    assert home.keys.find_by_uri(uri).public_key == theirs.public_key
    key = home.keys.adopt(uri, ca_scope("staff"))
    assert key.public_key == theirs.public_key
    assert home.record(key).key_sha256 == hashlib.sha256(theirs.public_key).digest()
    assert home.ca_keys.ca_key(key.id).kind is KeyKind.P384
    home.ca_keys.ca_key(key.id).sign(b"to be signed")
    with pytest.raises(AdminError) as refused:
        home.keys.find_by_uri("pkcs11:token=another;object=their%20CA")
    assert refused.value.reason is reasons.USAGE


def test_another_key_in_its_place_is_noticed(home: Home, made: SoftToken) -> None:
    """A key of the same name that is not the recorded one does not pass `doctor`."""
    key = home.keys.generate(KeyKind.P256, ca_scope("staff"))
    token = opened_token(made)
    home.keys.prove(key.id)
    home.tokens.destroy(home.record(key), (key_destroyed(key.id, at=home.clock.now(), actor=ADMIN, why=""),))
    token.generate(KeyKind.P256, key.id.bytes, ca_scope("staff"))
    with pytest.raises(AdminError) as refused:
        home.tokens.prove(home.record(key))
    assert refused.value.reason is reasons.TOKEN_KEY_REFUSED


def test_a_home_without_a_token_says_what_to_set(home: Home) -> None:
    """Where `[keys]` names no token, its keys are elsewhere, and using one says which setting is missing."""
    key = home.keys.generate(KeyKind.P256, ca_scope("staff"))
    assert not home.without.holds(key.id)
    with pytest.raises(AdminError) as refused:
        home.without.prove(key.id)
    assert refused.value.reason is reasons.CONFIG_REFUSED
    with pytest.raises(UnavailableError):
        HomeCaKeys(home.on_token, home.store).ca_key(key.id)


def test_what_is_not_on_record_does_not_lie_on_the_token(home: Home, made: SoftToken) -> None:
    """Where the database fails after a key was made, the key is destroyed again."""
    before = len(home.store.key_records())

    def fails(key: NewKey) -> tuple[()]:
        raise UnavailableError(reasons.STORE_UNAVAILABLE, str(key.id))

    with pytest.raises(UnavailableError):
        home.keys.generate(KeyKind.P256, "ca:group:unrecorded", fails)
    assert len(home.store.key_records()) == before
    with pytest.raises(AdminError) as missing:
        home.keys.find_by_uri(f"pkcs11:token={made.label};object=ca%3Agroup%3Aunrecorded")
    assert missing.value.reason is reasons.NOT_FOUND


def test_a_key_that_is_no_cas_signs_no_intent(home: Home) -> None:
    """An intent that names a key of another scope is a fault, wherever the key lies (ENV-8)."""
    uri = f"pkcs11:token={home.label};id=%01;type=private"
    record = KeyRecord(
        home.keys.generate(KeyKind.P256, ROOT_SCOPE).id, KeyKind.P256, "ra:x", uri, bytes(32), home.clock.now()
    )
    home.store.add_token_key(record, ())
    with pytest.raises(InvariantError):
        home.ca_keys.ca_key(record.id)
