"""The product's story, sentence by sentence, each held to by a command that an administrator or a device would type.

A sentence runs programs in the demo's directory and returns the command that proved it; whatever does not hold raises
`StoryError` with the command and what it printed.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from regalia.cli.soft_token import SoftToken

__all__ = [
    "ON_A_TOKEN",
    "SENTENCES",
    "Ended",
    "Sentence",
    "Stage",
    "StoryError",
    "check_good",
    "clean_environment",
    "create_groups",
    "ocsp",
    "says",
    "serve",
]

LAPTOP: Final = "laptop-1"
LAPTOP_DNS: Final = "laptop-1.example.com"
_PROGRAM_SECONDS: Final = 60
_OCSP_SECONDS: Final = 10
"""OCSP tells of a revocation within 2 s; waiting gives up later, so that a busy machine does not fail the story."""
_CRL_SECONDS: Final = 60
_POLL_SECONDS: Final = 0.25
_OPENSSL_REVOKED: Final = "certificate revoked"


class StoryError(Exception):
    """A sentence did not hold."""

    def __init__(self, command: str, printed: str) -> None:
        super().__init__(command)
        self.command = command
        self.printed = printed


@dataclass(frozen=True, slots=True)
class Ended:
    """A program that ran."""

    command: str
    """As somebody would type it."""
    code: int
    printed: str
    """stdout, then stderr."""
    stdout: str

    def must(self, held: bool, what: str = "") -> Ended:  # noqa: FBT001 - reads as the sentence it is: must(code == 0)
        """Go on only if it held; `what` says what was expected, where the output does not show it."""
        if not held:
            ended = f"ended with {self.code}" + (f", but {what}" if what else "")
            raise StoryError(self.command, f"{self.printed.rstrip()}\n({ended})")
        return self


@dataclass(slots=True)
class Stage:
    """Where the story plays, and what its sentences hand to each other."""

    directory: Path
    """Everything that is written is below it."""
    environment: Mapping[str, str]
    port: int
    start_server: Callable[[Sequence[str]], Mapping[str, str]]
    """Starts `regalia` with these arguments, waits until it is ready, and returns the addresses that it printed."""
    token: SoftToken | None = None
    """Where the CA keys are made, if not in software."""
    addresses: dict[str, str] = field(default_factory=dict)
    root: str = ""
    """SHA-256 of the root: what an administrator puts into a device's profile."""
    serial: str = ""
    """Of the laptop's current certificate."""

    @property
    def url(self) -> str:
        """The SCEP endpoint."""
        return f"http://127.0.0.1:{self.port}/scep/default"

    def regalia(self, *arguments: str) -> Ended:
        """Run `regalia` to its end, whatever it is."""
        return self._run([sys.executable, "-P", "-m", "regalia", *arguments], ["regalia", *arguments])

    def openssl(self, *arguments: str) -> Ended:
        """Run `openssl` to its end, whatever it is."""
        return self._run(["openssl", *arguments], ["openssl", *arguments])

    def pkcs11_tool(self, token: SoftToken, *arguments: str) -> Ended:
        """Run OpenSC's `pkcs11-tool` on the token, logged in."""
        shown = ["pkcs11-tool", "--module", str(token.module), "--token-label", token.label, "--login", *arguments]
        # The PIN comes by the environment: an argument would be seen in the process list.
        pin = {"DEMO_PIN": token.pin_file.read_text("ascii").strip()}
        return self._run([*shown, "--pin", "env:DEMO_PIN"], shown, pin)

    def asked(self, *arguments: str) -> tuple[Ended, Any]:
        """Run a `regalia` command that must succeed, for what it prints as JSON."""
        ended = self._run(
            [sys.executable, "-P", "-m", "regalia", *arguments, "--json"],
            ["regalia", *arguments],
        )
        ended.must(ended.code == 0)
        return ended, json.loads(ended.stdout)

    def _run(self, command: Sequence[str], shown: Sequence[str], also: Mapping[str, str] | None = None) -> Ended:
        typed = " ".join(shown)
        try:
            run = subprocess.run(  # noqa: S603 - our own program and openssl, with arguments made here
                command,
                check=False,
                capture_output=True,
                cwd=self.directory,
                env={**self.environment, **(also or {})},
                stdin=subprocess.DEVNULL,
                timeout=_PROGRAM_SECONDS,
            )
        except subprocess.TimeoutExpired as late:
            raise StoryError(typed, f"(did not end within {_PROGRAM_SECONDS} s)") from late
        stdout = run.stdout.decode("utf-8", "replace")
        return Ended(typed, run.returncode, stdout + run.stderr.decode("utf-8", "replace"), stdout)

    def until(self, look: Callable[[], Ended], seen: Callable[[Ended], bool], seconds: float) -> Ended:
        """Repeat a command until its output says so; one that never does did not hold."""
        deadline = time.monotonic() + seconds
        ended = look()
        while not seen(ended) and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
            ended = look()
        return ended.must(seen(ended), f"not what was waited {seconds:.0f} s for")


Sentence: TypeAlias = "tuple[str, Callable[[Stage], str]]"
"""What is told, and what proves it: it returns the commands that did."""


def clean_environment(home: Path) -> dict[str, str]:
    """Make the programs' environment: nothing of the user's own Regalia, and no proxy in front of loopback."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("REGALIA_")
        and not name.lower().endswith("_proxy")
        and name not in {"CREDENTIALS_DIRECTORY", "OPENSSL_CONF", "SSLKEYLOGFILE"}
    }
    return {**kept, "REGALIA_HOME": str(home), "HOME": str(home.parent), "NO_COLOR": "1"}


# --- the sentences --------------------------------------------------------------------------------------------------


def create_groups(stage: Stage) -> str:
    """Make a home with two groups."""
    _, made = stage.asked("init", "--url", f"http://127.0.0.1:{stage.port}")
    stage.root = str(made["root"]["sha256"])
    stage.asked("group", "create", "contractors")
    listed, authorities = stage.asked("ca", "list")
    groups = [row["group"] for row in authorities if row["kind"] == "issuing" and row["parent"] == made["root"]["name"]]
    listed.must(sorted(groups) == ["contractors", "default"], "an issuing CA for each group was expected")
    return listed.command


def _on_a_token(stage: Stage) -> str:
    if stage.token is None:
        raise StoryError("regalia key list", "there is no token")
    listed, keys = stage.asked("key", "list")
    places = {row["scope"]: row["place"] for row in keys}
    wanted = {"ca:root", "ca:group:default", "ca:group:contractors"}
    on_token = {scope for scope, place in places.items() if place == f"token {stage.token.label}"}
    listed.must(on_token == wanted, "the root's and both issuing keys were expected on the token, and no others")
    seen = stage.pkcs11_tool(stage.token, "--list-objects", "--type", "privkey")
    access = re.findall(r"^ *Access: *(.+)$", seen.stdout, re.MULTILINE)
    never = [each for each in access if "always sensitive" in each and "never extractable" in each]
    seen.must(seen.code == 0 and len(access) == len(never) == len(wanted), "keys that never leave were expected")
    return f"{listed.command}; {seen.command}"


def serve(stage: Stage) -> str:
    """Start the server."""
    arguments = ("serve", "--listen", f"127.0.0.1:{stage.port}", "--admin-listen", "127.0.0.1:0", "--json")
    stage.addresses.update(stage.start_server(arguments))
    caps = stage.regalia("scep", "caps", "--url", stage.url)
    return caps.must(caps.code == 0 and "SCEPSTANDARD" in caps.stdout).command


def _challenge(stage: Stage) -> str:
    made, challenge = stage.asked("challenge", "create", "--endpoint", "default", "--cn", LAPTOP, "--dns", LAPTOP_DNS)
    # Its secret is told nowhere, not even where the story fails.
    (stage.directory / "challenge").write_text(challenge.pop("secret"), encoding="utf-8")
    bound = replace(made, printed=json.dumps(challenge))
    names = [f"cn:{LAPTOP}", f"dns:{LAPTOP_DNS}"]
    bound.must((challenge["state"], challenge["names"]) == ("open", names), "an open one for these names was expected")
    return made.command


def _enrol_command(stage: Stage, laptop: str) -> list[str]:
    return [
        *("scep", "enrol", "--url", stage.url, "--fingerprint", stage.root),
        *("--cn", LAPTOP, "--dns", LAPTOP_DNS, "--key", f"{laptop}.key", "--cert", f"{laptop}.pem"),
        *("--challenge-file", "challenge"),
    ]


def _enrol(stage: Stage) -> str:
    fetched = stage.regalia("scep", "cacert", "--url", stage.url, "--fingerprint", stage.root, "--out", "ca.pem")
    fetched.must(fetched.code == 0)
    enrolled = stage.regalia(*_enrol_command(stage, LAPTOP))
    enrolled.must(enrolled.code == 0)
    seen = stage.openssl("x509", "-in", f"{LAPTOP}.pem", "-noout", "-subject", "-serial", "-ext", "subjectAltName")
    named = re.search(rf"CN ?= ?{re.escape(LAPTOP)}$", seen.stdout, re.MULTILINE) is not None
    seen.must(seen.code == 0 and named and f"DNS:{LAPTOP_DNS}" in seen.stdout, "the challenge's names were expected")
    stage.serial = _serial(seen)
    return enrolled.command


def _serial(seen: Ended) -> str:
    # OpenSSL writes whole octets, we write numbers: a node whose prefix is below 0x10 shows the difference.
    found = re.search(r"^serial=([0-9A-F]+)$", seen.stdout, re.MULTILINE)
    seen.must(found is not None, "no serial")
    return found[1].lower().lstrip("0") if found is not None else ""


def _verify(stage: Stage, certificate: str) -> Ended:
    """Chain for a TLS client, and the CRL that the certificate points at, fetched by OpenSSL itself."""
    return stage.openssl(
        *("verify", "-purpose", "sslclient", "-crl_check", "-crl_download", "-CAfile", "ca.pem", certificate)
    )


def ocsp(stage: Stage, certificate: str) -> Ended:
    """The OCSP responder that the certificate points at; ca.pem begins with the issuing CA."""
    url = stage.openssl("x509", "-in", certificate, "-noout", "-ocsp_uri")
    url.must(url.code == 0 and url.stdout.startswith("http"), "an OCSP URL")
    return stage.openssl(
        *("ocsp", "-issuer", "ca.pem", "-cert", certificate, "-url", url.stdout.strip(), "-CAfile", "ca.pem")
    )


def says(answer: Ended, certificate: str, status: str) -> bool:
    """Whether a responder that OpenSSL believes gives this status."""
    return "Response verify OK" in answer.printed and f"{certificate}: {status}" in answer.printed


def check_good(stage: Stage, certificate: str) -> tuple[Ended, Ended]:
    """Have OpenSSL verify chain and CRL, and OCSP say good."""
    chain = _verify(stage, certificate)
    chain.must(chain.code == 0 and f"{certificate}: OK" in chain.stdout)
    answer = ocsp(stage, certificate)
    answer.must(says(answer, certificate, "good"), "the status good was expected")
    return chain, answer


def _openssl(stage: Stage) -> str:
    chain, answer = check_good(stage, f"{LAPTOP}.pem")
    return f"{chain.command}; {answer.command}"


def _replay(stage: Stage) -> str:
    refused = stage.regalia(*_enrol_command(stage, "laptop-2"))
    refused.must(refused.code == 1 and "CLI-007" in refused.printed, "a refusal was expected")
    refused.must(not (stage.directory / "laptop-2.pem").exists(), "there is a certificate")
    _, found = stage.asked("enrolment", "list", "--state", "refused")
    refused.must(bool(found), "it is not among the refused enrolments")
    shown = stage.regalia("enrolment", "show", str(found[0]["id"]))
    shown.must(shown.code == 0 and "RA-014" in shown.stdout, "the reason RA-014 was expected")
    return shown.command


def _approve(stage: Stage) -> str:
    _, endpoint = stage.asked(
        *("endpoint", "create", "tablets", "--group", "default", "--profile", "eap-tls", "--authoriser", "approval")
    )
    (stage.directory / "secret").write_text(endpoint.pop("secret"), encoding="utf-8")
    held = stage.regalia(
        *("scep", "enrol", "--url", str(endpoint["url"]), "--fingerprint", stage.root, "--cn", "tablet-1"),
        *("--key", "tablet-1.key", "--cert", "tablet-1.pem", "--challenge-file", "secret"),
    )
    held.must(held.code == 1 and "CLI-008" in held.printed, "PENDING was expected")
    listed, queue = stage.asked("enrolment", "list", "--state", "pending")
    listed.must([row["allowed"] for row in queue] == [["cn:tablet-1"]], "one request for tablet-1 was expected")
    approved, _ = stage.asked("enrolment", "approve", str(queue[0]["id"]), "--yes")
    collected = stage.regalia("scep", "poll", "--cert", "tablet-1.pem")
    collected.must(collected.code == 0)
    check_good(stage, "tablet-1.pem")
    return f"{approved.command}; {collected.command}"


def _renew(stage: Stage) -> str:
    renewed = stage.regalia(
        *("scep", "renew", "--url", stage.url, "--fingerprint", stage.root),
        *("--cert", f"{LAPTOP}.pem", "--key", f"{LAPTOP}.key"),
        *("--new-key", f"{LAPTOP}-2.key", "--new-cert", f"{LAPTOP}-2.pem"),
    )
    renewed.must(renewed.code == 0)
    check_good(stage, f"{LAPTOP}-2.pem")
    seen = stage.openssl("x509", "-in", f"{LAPTOP}-2.pem", "-noout", "-serial")
    seen.must(seen.code == 0 and _serial(seen) != stage.serial, "another serial was expected")
    stage.serial = _serial(seen)
    return renewed.command


def _revoke(stage: Stage) -> str:
    revoked, found = stage.asked("cert", "revoke", stage.serial, "--reason", "key-compromise", "--yes")
    # Every certificate that has the key: here it is the one.
    told = {row["serial"]: row["status"] for row in found}
    revoked.must(told == {stage.serial: "revoked"}, f"its status is {told}")
    return revoked.command


def _told(stage: Stage) -> str:
    certificate = f"{LAPTOP}-2.pem"
    answer = stage.until(
        lambda: ocsp(stage, certificate), lambda ended: says(ended, certificate, "revoked"), _OCSP_SECONDS
    )
    chain = stage.until(
        lambda: _verify(stage, certificate), lambda ended: _OPENSSL_REVOKED in ended.printed, _CRL_SECONDS
    )
    return f"{answer.command}; {chain.command}"


SENTENCES: Final[tuple[Sentence, ...]] = (
    ("A root and two groups, each with an issuing CA of its own, are created", create_groups),
    ("The server starts", serve),
    ("An administrator hands a laptop its challenge", _challenge),
    ("The laptop enrols by SCEP and gets the names that the challenge is bound to", _enrol),
    ("OpenSSL verifies chain, CRL and OCSP", _openssl),
    ("A second laptop replays the challenge and is refused; `enrolment show` says why", _replay),
    ("A tablet's request is held, approved by an administrator and collected", _approve),
    ("The laptop renews, with a new key", _renew),
    ("The administrator revokes it", _revoke),
    ("OCSP and CRL say so", _told),
)
"""What is told, in order, and what proves it."""

ON_A_TOKEN: Final = ("The token shows three CA keys that are sensitive and were never extractable", _on_a_token)
"""What `--hsm` tells besides, after the first sentence."""
