"""A relying party: asks each node's OCSP for many serials again and again, and fetches each node's CRL."""

from __future__ import annotations

import base64
import hashlib
import http.client
import random
import threading
import time
from collections import Counter, deque
from contextlib import closing
from typing import TYPE_CHECKING, Final, cast
from urllib.parse import quote

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from tools.faults.ledger import LookError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tools.faults.fleet import Fleet
    from tools.faults.journal import Journal
    from tools.faults.ledger import Look
    from tools.faults.site import Office

__all__ = ["Poller"]

_EVERY: Final = 0.25
_ASKED: Final = 6
"""Serials in one round."""
_REVOKE_EVERY: Final = 1.0
_SECONDS: Final = 10.0


class Poller:
    """One thread that asks, and in between revokes what devices have given up."""

    def __init__(
        self, *, urls: Sequence[str], office: Office, fleet: Fleet, look: Look, journal: Journal, seed: int
    ) -> None:
        """`urls` are the base URLs of the nodes' device listeners."""
        self._hosts = [url.removeprefix("http://") for url in urls]
        self._office = office
        self._fleet = fleet
        self._look = look
        self._journal = journal
        self._dice = random.Random(f"{seed}-poller")  # noqa: S311 - no secret
        self._issuer = x509.load_der_x509_certificate(office.server.issuer)
        self._hashes = _issuer_hashes(self._issuer)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="poller", daemon=True)
        self._revoked: deque[int] = deque(maxlen=200)
        self._abandoned: deque[int] = deque(maxlen=200)
        self._lists: dict[str, tuple[int, bytes, frozenset[int]]] = {}
        self._next_revocation = 0.0
        self.counts: Counter[str] = Counter()
        self.last_answers: dict[str, float] = {}
        """`time.monotonic()` of the last answer, by `ocsp` and `crl`."""

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Ask once more for everything that was revoked, then end."""
        self._stop.set()
        self._thread.join(60)

    def _run(self) -> None:
        while not self._stop.wait(_EVERY):
            self._revoke()
            self.round(self._some())
        for serial in [*self._revoked, *self._abandoned]:
            self.round([serial], lists=False)
        self.round([])

    def path_of_an_old_serial(self) -> str:
        """Return the path of a GET about the issuing authority's first certificate of its own, its OCSP responder's."""
        row = self._look.rows(
            "SELECT serial FROM certificate WHERE authority = ? AND kind = 'ocsp'", (self._office.issuer,)
        )
        request = self._request(int.from_bytes(row[0]["serial"], "big"))
        return f"/ocsp/{self._office.issuer}/{quote(base64.b64encode(request).decode(), safe='')}"

    def _request(self, serial: int) -> bytes:
        builder = ocsp.OCSPRequestBuilder().add_certificate_by_hash(*self._hashes, serial, hashes.SHA1())  # noqa: S303 - the hash of CertIDs
        return builder.build().public_bytes(Encoding.DER)

    def _some(self) -> list[int]:
        known = [*self._fleet.serials, *self._revoked, *self._revoked, *self._abandoned]
        return self._dice.sample(known, min(_ASKED, len(known)))

    def _revoke(self) -> None:
        now = time.monotonic()
        if now < self._next_revocation:
            return
        self._next_revocation = now + _REVOKE_EVERY
        if self._fleet.retired:
            serial = self._fleet.retired.popleft()
            if self._office.revoke(serial):
                self._revoked.append(serial)
                self._count("revoked")
        try:
            rows = self._look.rows("SELECT serial FROM certificate WHERE state = 'abandoned' ORDER BY id DESC LIMIT 20")
        except LookError:
            return
        self._abandoned.extend({int.from_bytes(row["serial"], "big") for row in rows} - set(self._abandoned))

    def round(self, serials: Sequence[int], *, lists: bool = True) -> None:
        """Ask every node for these serials and, unless told otherwise, for its CRL."""
        for host in self._hosts:
            with closing(http.client.HTTPConnection(host, timeout=_SECONDS)) as connection:
                try:
                    for serial in serials:
                        self._ask(connection, host, serial)
                    if lists:
                        self._fetch(connection, host)
                except (OSError, http.client.HTTPException):
                    self._count("no answer")

    # --- OCSP -------------------------------------------------------------------------------------------------------

    def _ask(self, connection: http.client.HTTPConnection, host: str, serial: int) -> None:
        asked = time.time()
        status, body = _exchange(connection, "POST", f"/ocsp/{self._office.issuer}", self._request(serial))
        if status != http.client.OK:
            self._wrong_status(host, "ocsp", status)
            return
        told, why = self._verified(body)
        self._journal.write(
            kind="ocsp", node=host, serial=f"{serial:x}", asked=asked, at=time.time(), status=told, why=why
        )
        self.last_answers["ocsp"] = time.monotonic()
        self._count(f"ocsp {told}")

    def _verified(self, body: bytes) -> tuple[str, str]:
        """Return the status and, where the answer is not right, why."""
        try:
            answer = ocsp.load_der_ocsp_response(body)
            if answer.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
                return answer.response_status.name.lower(), ""
            responder = answer.certificates[0]
            responder.verify_directly_issued_by(self._issuer)
            key = cast("ec.EllipticCurvePublicKey", responder.public_key())
            algorithm = cast("hashes.HashAlgorithm", answer.signature_hash_algorithm)
            key.verify(answer.signature, answer.tbs_response_bytes, ec.ECDSA(algorithm))
        except (ValueError, IndexError, InvalidSignature) as fault:
            return "wrong", f"{type(fault).__name__}: {fault}"
        return answer.certificate_status.name.lower(), ""

    # --- CRL --------------------------------------------------------------------------------------------------------

    def _fetch(self, connection: http.client.HTTPConnection, host: str) -> None:
        status, body = _exchange(connection, "GET", f"/crl/{self._office.issuer}.crl", None)
        if status != http.client.OK:
            self._wrong_status(host, "crl", status)
            return
        self.last_answers["crl"] = time.monotonic()
        digest = hashlib.sha256(body).digest()
        before = self._lists.get(host)
        if before is not None and before[1] == digest:
            return
        number, serials, why = self._read(body)
        gone = sorted(before[2] - serials) if before is not None else []
        self._lists[host] = (number, digest, serials)
        self._count("crl")
        self._journal.write(
            kind="crl",
            node=host,
            at=time.time(),
            number=str(number),
            sha256=digest,
            why=why,
            gone=[f"{serial:x}" for serial in gone],
            listed=[f"{serial:x}" for serial in sorted(serials - (before[2] if before is not None else frozenset()))],
        )

    def _read(self, body: bytes) -> tuple[int, frozenset[int], str]:
        try:
            found = x509.load_der_x509_crl(body)
            if not found.is_signature_valid(cast("ec.EllipticCurvePublicKey", self._issuer.public_key())):
                return 0, frozenset(), "its signature does not verify"
            number = found.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
            return number, frozenset(entry.serial_number for entry in found), ""
        except ValueError as fault:
            return 0, frozenset(), f"it cannot be read: {fault}"

    def _wrong_status(self, host: str, what: str, status: int) -> None:
        self._count(f"{what} HTTP {status}")
        if status != http.client.SERVICE_UNAVAILABLE:
            self._journal.write(kind="wrong", node=host, at=time.time(), what=f"{what}: HTTP {status}")

    def _count(self, what: str) -> None:
        self.counts[what] += 1


def _exchange(connection: http.client.HTTPConnection, method: str, path: str, body: bytes | None) -> tuple[int, bytes]:
    headers = {} if body is None else {"Content-Type": "application/ocsp-request"}
    connection.request(method, path, body, headers)
    response = connection.getresponse()
    return response.status, response.read()


def _issuer_hashes(issuer: x509.Certificate) -> tuple[bytes, bytes]:
    """Return SHA-1 of the issuer's name and of its key bits, as CertIDs have them."""
    key = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    name = hashes.Hash(hashes.SHA1())  # noqa: S303 - the hash of CertIDs
    name.update(issuer.subject.public_bytes())
    return name.finalize(), key
