"""OCSP: an answer from memory beside the barest uvicorn answer, over HTTP; a fresh one in process and over HTTP."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import ocsp

from regalia.model import CredentialPurpose
from regalia.ra.scep import CertRep
from regalia.wire.certificate import read_certificate
from tools.bench.devices import make_devices
from tools.bench.homes import door_of, make_home, opened, requests, served
from tools.bench.load import Lockstep, free_port, wait_until_answering
from tools.bench.measure import Tree, VoidRunError, cpu_of, interleaved, median, per_pass_ratios
from tools.bench.report import Bound, Budget, Figure, Report

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from tools.bench.homes import Home

__all__ = ["FULL", "LEAST", "QUICK", "Sizes", "http_question", "judge", "measure"]

_CACHED: Final = Budget(Bound.AT_MOST, 1.3)
_FRESH: Final = Budget(Bound.AT_MOST, 300.0)
_METHOD: Final = """\
Over HTTP: CPU time of the server's process tree per request, over 8 kept connections that all send before one reads.
The bare server runs under the same uvicorn, reads the request and answers with the same octets, the fewest headers; it
is one process, so Regalia serves with one worker.
A ratio is the median of the passes, each the ratio of two medians of one pass; all variants take turns, 80 requests
at a time.
Fresh: each request has a nonce of its own, so that none is remembered; in process, the answer from its row in SQLite to
its octets, by an OCSP signer with a P-256 key."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured."""

    passes: int
    rounds: int
    """Turns over HTTP, of each variant in each pass."""
    fresh: int
    """In process, in each pass."""


FULL: Final = Sizes(passes=5, rounds=40, fresh=200)
QUICK: Final = Sizes(passes=3, rounds=12, fresh=50)
LEAST: Final = Sizes(passes=1, rounds=1, fresh=3)
_TURN: Final = 80
"""Requests: enough for a clock that counts in ticks, few enough that what slows the machine slows all variants."""


@dataclass(frozen=True, slots=True)
class _Issued:
    """A certificate to ask about, with its issuer and the one who answers."""

    leaf: x509.Certificate
    issuer: x509.Certificate
    responder: x509.Certificate
    authority: str

    def question(self, nonce: bytes | None = None) -> bytes:
        """Build an OCSPRequest."""
        builder = ocsp.OCSPRequestBuilder().add_certificate(self.leaf, self.issuer, hashes.SHA1())  # noqa: S303 - names the issuer as every client does
        if nonce is not None:
            builder = builder.add_extension(x509.OCSPNonce(nonce), critical=False)
        return builder.build().public_bytes(serialization.Encoding.DER)


def measure(sizes: Sizes) -> Report:
    """Measure all of it. Raises `VoidRunError` where an answer is wrong."""
    with tempfile.TemporaryDirectory(prefix="regalia-bench-") as directory:
        home = make_home(Path(directory) / "home")
        issued = _issue(home)
        fresh, opened_answers = _in_process(home, issued, sizes)
        answers: list[bytes] = [*opened_answers]
        with served(home, "--workers", "1") as regalia, _bare(Path(directory), answers[0]) as (bare, bare_port):
            costs = _over_http(home, issued, Tree(regalia), (Tree(bare), bare_port), sizes, answers)
    bases = {kind: costs[f"bare {kind}"] for kind in ("GET", "POST")}
    figures = [*_cached_figures(costs, bases), fresh, _per_request("fresh answer over HTTP, POST", costs["fresh POST"])]
    figures += [_per_request(f"bare uvicorn answer over HTTP, {kind}", base) for kind, base in bases.items()]
    settings = {"passes": sizes.passes, "rounds": sizes.rounds, "fresh_in_process": sizes.fresh}
    return Report("ocsp", figures, judge(answers, issued.leaf.serial_number, issued.responder), _METHOD, settings)


def _issue(home: Home) -> _Issued:
    """Enrol one device, so that there is a certificate to ask about."""
    with opened(home) as app:
        door = door_of(app, "default")
        sent = requests(app, "default", make_devices(1))[0]
        answer = app.scep.pki_operation(door, sent.message, "127.0.0.1")
        leaves = app.store.certificates_by_key(read_certificate_key(sent.signer))
        if not isinstance(answer, CertRep) or not leaves or leaves[0].der is None:
            raise VoidRunError("no certificate was issued")
        credential = app.store.credentials(CredentialPurpose.OCSP, door.authority.name)[0]
        return _Issued(
            x509.load_der_x509_certificate(leaves[0].der),
            x509.load_der_x509_certificate(door.authority.certificate_der),
            x509.load_der_x509_certificate(credential.certificate_der),
            door.authority.name,
        )


def http_question(home: Home) -> bytes:
    """Enrol one device, and make the HTTP request that asks about its certificate."""
    issued = _issue(home)
    return _get(f"/ocsp/{issued.authority}", issued.question())


def read_certificate_key(certificate: bytes) -> bytes:
    """Return the SHA-256 of a certificate's SubjectPublicKeyInfo, by which the store finds what was issued for it."""
    digest = hashes.Hash(hashes.SHA256())
    digest.update(read_certificate(certificate).public_key)
    return digest.finalize()


# --- in process -------------------------------------------------------------------------------------------------------


def _in_process(home: Home, issued: _Issued, sizes: Sizes) -> tuple[Figure, list[bytes]]:
    answers: list[bytes] = []
    passes: list[float] = []
    with opened(home) as app:
        app.ocsp.answer(issued.question(os.urandom(16)))  # the authorities are indexed at the first one
        for _ in range(sizes.passes):
            spent = []
            for _ in range(sizes.fresh):
                question = issued.question(os.urandom(16))
                spent.append(
                    cpu_of(lambda asked=question: answers.append(app.ocsp.answer(asked).der), time.thread_time)  # type: ignore[misc]  # a lambda's default has no type
                )
            passes.append(median(spent) * 1e6)
    name = "fresh answer in process, P-256"
    return Figure(name, median(passes), "µs", _FRESH, tuple(passes)), answers


# --- over HTTP --------------------------------------------------------------------------------------------------------


@contextmanager
def _bare(directory: Path, body: bytes) -> Iterator[tuple[int, int]]:
    """Run the bare server; its process id and port."""
    file, port = directory / "body", free_port()
    file.write_bytes(body)
    command = [sys.executable, "-m", "tools.bench.bare", str(port), str(file)]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as process:
        try:
            wait_until_answering(port, "/")
            yield process.pid, port
        finally:
            process.terminate()


_Costs = dict[str, list[list[float]]]
"""CPU seconds per request, by variant, pass and turn."""


def _over_http(
    home: Home, issued: _Issued, regalia: Tree, bare: tuple[Tree, int], sizes: Sizes, answers: list[bytes]
) -> _Costs:
    """Measure all variants; what Regalia answered goes to `answers`."""
    path = f"/ocsp/{issued.authority}"
    bare_tree, bare_port = bare
    with Lockstep(home.port) as ours, Lockstep(bare_port) as others:

        def load(prepared: Sequence[bytes]) -> float:
            replies: list[bytes] = []
            spent = cpu_of(lambda: replies.extend(ours.ask(prepared)), regalia.cpu) / len(prepared)
            answers.extend(replies)
            return spent

        def load_bare(prepared: Sequence[bytes]) -> float:
            return cpu_of(lambda: others.ask(prepared), bare_tree.cpu) / len(prepared)

        get, post = [_get(path, issued.question())] * _TURN, [_post(path, issued.question())] * _TURN
        variants: Mapping[str, Callable[[], float]] = {
            "cached GET": lambda: load(get),
            "bare GET": lambda: load_bare(get),
            "cached POST": lambda: load(post),
            "bare POST": lambda: load_bare(post),
            "fresh POST": lambda: load([_post(path, issued.question(os.urandom(16))) for _ in range(_TURN)]),
        }
        for variant in variants.values():
            variant()  # the first round fills memory and starts threads; its figure is thrown away
        costs: _Costs = {name: [[] for _ in range(sizes.passes)] for name in variants}
        for name, turn, _ in interleaved(list(variants), sizes.passes, sizes.rounds):
            costs[name][turn].append(variants[name]())
        return costs


def _get(path: str, question: bytes) -> bytes:
    encoded = quote(base64.b64encode(question).decode("ascii"), safe="")
    return f"GET {path}/{encoded} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()


def _post(path: str, question: bytes) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/ocsp-request\r\n"
    return f"{head}Content-Length: {len(question)}\r\n\r\n".encode() + question


def _cached_figures(costs: _Costs, bases: Mapping[str, list[list[float]]]) -> Iterator[Figure]:
    for kind, base in bases.items():
        ratios = tuple(per_pass_ratios(costs[f"cached {kind}"], base))
        yield Figure(f"cached answer ÷ bare uvicorn answer, {kind}", median(ratios), "times", _CACHED, ratios)
    for kind in bases:
        yield _per_request(f"cached answer over HTTP, {kind}", costs[f"cached {kind}"])


def _per_request(name: str, passes: Sequence[Sequence[float]]) -> Figure:
    medians = tuple(median(each) * 1e6 for each in passes)
    return Figure(name, median(medians), "µs", None, medians)


# --- answers ----------------------------------------------------------------------------------------------------------


def judge(answers: Sequence[bytes], serial: int, responder: x509.Certificate) -> int:
    """Check that each answer says good of the serial and is the responder's. Returns how many there were.

    Equal octets are judged once. Raises `VoidRunError` at the first bad one.
    """
    key = responder.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise VoidRunError("the OCSP signer's key is not ECDSA")
    for answer in set(answers):
        try:
            told = ocsp.load_der_ocsp_response(answer)
            key.verify(told.signature, told.tbs_response_bytes, ec.ECDSA(hashes.SHA256()))
            good = (told.serial_number, told.certificate_status) == (serial, ocsp.OCSPCertStatus.GOOD)
        except (ValueError, InvalidSignature) as fault:
            raise VoidRunError(f"an OCSP answer does not verify: {fault!r}") from fault
        if not good:
            raise VoidRunError(f"an OCSP answer says {told.certificate_status} of {told.serial_number:x}")
    return len(answers)
