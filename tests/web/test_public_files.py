"""CRLs and CA certificates over HTTP: types, caching, and what is served while the database is down."""

from __future__ import annotations

import base64
import subprocess
import threading
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from memory_store import MemoryStore
from regalia import reasons
from regalia.errors import UnavailableError
from regalia.store.crl_files import DirectoryCrlFiles
from regalia.web.ca_certificates import CaCertificatesFace
from regalia.web.crl import CrlFace
from regalia.web.edge import Edge
from regalia.wire.cms import read_certs_only
from web.asgi import ask
from world import ADMIN, World

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.types import ASGIApp

    from regalia.model import Authority
    from regalia.ports import PublishedCrl
    from regalia.web.metrics import Metrics
    from regalia.web.pool import Pools

NAME = "default-ca-1"
BIG = 700_000


# --- CRLs -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path: Path) -> DirectoryCrlFiles:
    """CRL files in a directory of their own. The face does not look into them, so any octets will do."""
    return DirectoryCrlFiles(tmp_path / "crl")


@pytest.fixture
def crls(files: DirectoryCrlFiles, pools: Pools, metrics: Metrics) -> ASGIApp:
    """The face that serves them."""
    return Edge(CrlFace(files, pools.status), "device", metrics)


def publish(files: DirectoryCrlFiles, octets: bytes) -> None:
    """Put a CRL in the place of the authority's."""
    files.publish(NAME, files.write([octets]).path)


@pytest.mark.parametrize("octets", [b"", b"small", bytes(range(250)) * (BIG // 250)], ids=["empty", "small", "big"])
def test_a_crl_is_streamed_as_published(files: DirectoryCrlFiles, crls: ASGIApp, octets: bytes) -> None:
    """The octets of the file, with length and type (RFC 5280 §4.2.1.13), whatever their number."""
    publish(files, octets)
    heard = ask(crls, f"/crl/{NAME}.crl")
    assert (heard.status, heard.headers["content-type"]) == (200, "application/pkix-crl")
    assert heard.complete
    assert heard.body == octets
    assert int(heard.headers["content-length"]) == len(octets)
    assert "max-age=60" in heard.headers["cache-control"]
    assert heard.headers["last-modified"].endswith(" GMT")


def test_head_of_a_crl(files: DirectoryCrlFiles, crls: ASGIApp) -> None:
    """HEAD says what GET would."""
    publish(files, b"a CRL")
    assert ask(crls, f"/crl/{NAME}.crl", method="HEAD").headers == ask(crls, f"/crl/{NAME}.crl").headers


@pytest.mark.parametrize("header", ["etag", "last-modified"])
def test_a_crl_that_is_known_is_not_sent_again(files: DirectoryCrlFiles, crls: ASGIApp, header: str) -> None:
    """If-None-Match, or the If-Modified-Since that Windows sends, gives 304 until the CRL changes."""
    publish(files, b"first")
    value = ask(crls, f"/crl/{NAME}.crl").headers[header].encode()
    asked = {"etag": b"if-none-match", "last-modified": b"if-modified-since"}[header]
    heard = ask(crls, f"/crl/{NAME}.crl", headers=((asked, value),))
    assert (heard.status, heard.body) == (304, b"")
    assert "content-length" not in heard.headers
    if header == "etag":
        publish(files, b"second, and longer")
        assert ask(crls, f"/crl/{NAME}.crl", headers=((asked, value),)).body == b"second, and longer"


@pytest.mark.parametrize(
    ("asked", "sent"),
    [
        (b"bytes=0-3", b"0123"),
        (b"bytes=4-", b"456789"),
        (b"bytes=-3", b"789"),
        (b"bytes=8-100", b"89"),
        (b"bytes=-100", b"0123456789"),
    ],
)
def test_a_part_of_a_crl(files: DirectoryCrlFiles, crls: ASGIApp, asked: bytes, sent: bytes) -> None:
    """RFC 9110 §14: who lost a connection fetches the rest."""
    publish(files, b"0123456789")
    heard = ask(crls, f"/crl/{NAME}.crl", headers=((b"range", asked),))
    assert (heard.status, heard.body, heard.complete) == (206, sent, True)
    first = b"0123456789".index(sent)
    assert heard.headers["content-range"] == f"bytes {first}-{first + len(sent) - 1}/10"
    assert int(heard.headers["content-length"]) == len(sent)


@pytest.mark.parametrize("asked", [b"bytes=", b"bytes=-0", b"bytes=5-3", b"bytes=0-1,4-5", b"octets=0-3", b"bytes=x-3"])
def test_a_range_that_is_none_gives_all(files: DirectoryCrlFiles, crls: ASGIApp, asked: bytes) -> None:
    """RFC 9110 §14.2: what is not understood is ignored."""
    publish(files, b"0123456789")
    heard = ask(crls, f"/crl/{NAME}.crl", headers=((b"range", asked),))
    assert (heard.status, heard.body, heard.headers["accept-ranges"]) == (200, b"0123456789", "bytes")


def test_a_part_behind_the_end_is_refused(files: DirectoryCrlFiles, crls: ASGIApp) -> None:
    """RFC 9110 §15.5.17: 416, with the length that there is."""
    publish(files, b"0123456789")
    heard = ask(crls, f"/crl/{NAME}.crl", headers=((b"range", b"bytes=10-"),))
    assert (heard.status, heard.headers["content-range"]) == (416, "bytes */10")


def test_a_part_of_another_crl_is_not_mixed_in(files: DirectoryCrlFiles, crls: ASGIApp) -> None:
    """RFC 9110 §13.1.5: who has the beginning of an older CRL gets the newer one whole."""
    publish(files, b"0123456789")
    etag = ask(crls, f"/crl/{NAME}.crl").headers["etag"].encode()
    asked = ((b"range", b"bytes=4-"), (b"if-range", etag))
    assert ask(crls, f"/crl/{NAME}.crl", headers=asked).body == b"456789"
    publish(files, b"another CRL")
    assert ask(crls, f"/crl/{NAME}.crl", headers=asked).body == b"another CRL"


class Racing(DirectoryCrlFiles):
    """Files of which one is replaced at the worst moment, by somebody else."""

    def __init__(self, directory: Path, other: DirectoryCrlFiles) -> None:
        super().__init__(directory)
        self._other = other

    def published(self, authority: str) -> PublishedCrl | None:
        """Return the CRL that was served until now."""
        found = super().published(authority)
        publish(self._other, b"b" * (BIG + 1))
        return found


def test_a_crl_that_is_replaced_meanwhile_comes_whole(tmp_path: Path, pools: Pools, metrics: Metrics) -> None:
    """REV-2: a reader gets the old CRL or the new one, with its own length, never parts of both."""
    other = DirectoryCrlFiles(tmp_path / "crl")
    publish(other, b"a" * BIG)
    heard = ask(Edge(CrlFace(Racing(tmp_path / "crl", other), pools.status), "device", metrics), f"/crl/{NAME}.crl")
    assert heard.body == b"b" * int(heard.headers["content-length"])
    assert heard.complete


@pytest.mark.parametrize("path", ["/crl/other.crl", "/crl/..%2Fx.crl", "/crl/.crl", f"/crl/{NAME}", f"/crl/{NAME}.CRL"])
def test_a_crl_that_is_not_there(crls: ASGIApp, path: str) -> None:
    """404 for what was never published, and for what is no authority's name."""
    assert ask(crls, path).status == 404


def test_a_crl_is_read_only(crls: ASGIApp) -> None:
    """405 for anything but GET and HEAD."""
    assert ask(crls, f"/crl/{NAME}.crl", method="POST").headers["allow"] == "GET, HEAD"


# --- CA certificates ------------------------------------------------------------------------------------------------


class Unplugged(MemoryStore):
    """A store that can go away."""

    down = False

    def authority(self, name: str) -> Authority | None:
        """Return it, or fail."""
        if self.down:
            raise UnavailableError(reasons.STORE_UNAVAILABLE, name)
        return super().authority(name)


@pytest.fixture(scope="module")
def world() -> World:
    """Authorities, the same for all these tests."""
    return World()


@pytest.fixture
def certificates(world: World, pools: Pools, metrics: Metrics) -> ASGIApp:
    """The face that serves them."""
    return Edge(CaCertificatesFace(world.store, pools.status), "device", metrics)


def chain(world: World) -> tuple[bytes, bytes]:
    """The issuing authority's and the root's certificate."""
    issuing, root = world.store.authority(NAME), world.store.authority("root")
    assert issuing is not None
    assert root is not None
    return issuing.certificate_der, root.certificate_der


def test_the_authoritys_own_certificate(world: World, certificates: ASGIApp) -> None:
    """What AIA points at is one certificate in DER (RFC 5280 §4.2.2.1)."""
    heard = ask(certificates, f"/ca/{NAME}.cer")
    assert heard.headers["content-type"] == "application/pkix-cert"
    assert heard.body == chain(world)[0]
    assert ask(certificates, "/ca/root.cer").body == chain(world)[1]


def test_the_chain_as_certs_only(world: World, certificates: ASGIApp) -> None:
    """`.p7c` holds the chain up to the root."""
    assert read_certs_only(ask(certificates, f"/ca/{NAME}.p7c").body) == chain(world)


def test_the_chain_as_pem(world: World, certificates: ASGIApp) -> None:
    """`.pem` holds the chain up to the root, the authority first; OpenSSL reads it."""
    heard = ask(certificates, f"/ca/{NAME}.pem")
    parts = heard.body.split(b"-----BEGIN CERTIFICATE-----\n")[1:]
    decoded = tuple(base64.b64decode(part.partition(b"-----END")[0]) for part in parts)
    assert decoded == chain(world)
    read = subprocess.run(
        ["openssl", "x509", "-noout", "-subject"], input=heard.body, capture_output=True, check=True, timeout=20
    )
    assert NAME.encode() in read.stdout


@pytest.mark.parametrize("form", ["cer", "pem", "p7c"])
def test_a_certificate_that_is_known_is_not_sent_again(certificates: ASGIApp, form: str) -> None:
    """The entity tag is that of the content, so every node of a cluster has the same."""
    heard = ask(certificates, f"/ca/{NAME}.{form}")
    asked = ((b"if-none-match", b'"other", W/' + heard.headers["etag"].encode()),)
    assert ask(certificates, f"/ca/{NAME}.{form}", headers=asked).status == 304


@pytest.mark.parametrize("path", ["/ca/other.cer", f"/ca/{NAME}", f"/ca/{NAME}.der", "/ca/de%00fault.cer", "/ca/.cer"])
def test_a_certificate_that_is_not_there(certificates: ASGIApp, path: str) -> None:
    """404 for an authority that there is not, and for forms that there are not."""
    assert ask(certificates, path).status == 404


def test_certificates_are_served_without_a_database(world: World, pools: Pools, metrics: Metrics) -> None:
    """RES-7: what was served once is served while the database is down; what was not is 503, not 404."""
    store = Unplugged()
    for authority in world.store.authorities():
        assert store.add_authority(authority, ())
    face = CaCertificatesFace(store, pools.status, remember_seconds=0.0)
    app = Edge(face, "device", metrics)
    assert ask(app, f"/ca/{NAME}.cer").status == 200
    store.down = True
    assert ask(app, f"/ca/{NAME}.cer").body == chain(world)[0]
    assert ask(app, "/ca/root.cer").status == 503


def test_a_face_that_learned_serves_what_nobody_asked_for_yet(world: World, pools: Pools, metrics: Metrics) -> None:
    """RES-7: a worker that was begun just before the database went away tells what the others tell."""
    store = Unplugged()
    for authority in world.store.authorities():
        assert store.add_authority(authority, ())
    face = CaCertificatesFace(store, pools.status)
    face.learn()
    store.down = True
    face.learn()
    app = Edge(face, "device", metrics)
    assert ask(app, f"/ca/{NAME}.cer").body == chain(world)[0]
    assert ask(app, "/ca/root.cer").body == chain(world)[1]


class Silent(MemoryStore):
    """A database that says nothing while `speaks` is not set."""

    def __init__(self) -> None:
        super().__init__()
        self.speaks = threading.Event()
        self.speaks.set()
        self.asked = threading.Semaphore(0)

    def authority(self, name: str) -> Authority | None:
        """Look, and wait for the answer."""
        self.asked.release()
        assert self.speaks.wait(60)
        return super().authority(name)


def test_nobody_waits_for_a_silent_database_to_tell_what_is_known(world: World, pools: Pools, metrics: Metrics) -> None:
    """RES-7: what was served once is served at once, though the look beside it takes as long as the database likes."""
    store = Silent()
    for authority in world.store.authorities():
        assert store.add_authority(authority, ())
    app = Edge(CaCertificatesFace(store, pools.status, remember_seconds=0.0), "device", metrics)
    assert ask(app, f"/ca/{NAME}.cer").status == 200
    store.speaks.clear()
    try:
        while store.asked.acquire(blocking=False):
            pass
        for _ in range(5):
            assert ask(app, f"/ca/{NAME}.cer").body == chain(world)[0]
        assert store.asked.acquire(timeout=30)
    finally:
        store.speaks.set()


def test_cross_certificates_are_served(pools: Pools, metrics: Metrics) -> None:
    """What other roots certified of a root is under its own name with .cross, as PEM and as certs-only."""
    other = World()
    old = other.store.authority("root")
    assert old is not None
    new = other.ceremony.create_root("root-2", actor=ADMIN)
    face = Edge(CaCertificatesFace(other.store, pools.status, remember_seconds=0.0), "device", metrics)
    assert ask(face, "/ca/root-2.cross.pem").status == 404
    der = other.hierarchy.cross(old, new, actor=ADMIN)
    heard = ask(face, "/ca/root-2.cross.pem")
    assert x509.load_pem_x509_certificate(heard.body).public_bytes(Encoding.DER) == der
    assert read_certs_only(ask(face, "/ca/root-2.cross.p7c").body) == (der,)
    for path in ("/ca/root-2.cross.cer", "/ca/root.cross.pem", "/ca/nobody.cross.pem", "/ca/root.cross.cross.pem"):
        assert ask(face, path).status == 404
