"""`regalia demo`: the product's story on real processes over loopback, in a home that is gone afterwards.

Needs no privileges and touches nothing of the user's: free ports, a temporary directory, an environment without any
REGALIA_ setting. Exit code 0 only if every sentence held.
"""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Annotated, Final, Literal, NoReturn

import typer

from regalia.cli.faults import FAILED, USAGE
from regalia.cli.options import examples
from regalia.cli.output import Style, note, paint, say
from regalia.cli.soft_token import SoftToken, make_soft_token
from regalia.cli.story import ON_A_TOKEN, SENTENCES, Sentence, Stage, StoryError, clean_environment
from regalia.cli.story_mdm import MDM_SENTENCES, WEBHOOK_SENTENCES

__all__ = ["app"]

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)

_STORIES: Final = {None: SENTENCES, "intune": MDM_SENTENCES, "webhook": WEBHOOK_SENTENCES}
_READY_SECONDS: Final = 30
_STOP_SECONDS: Final = 30
_POLL_SECONDS: Final = 0.05
_LOG_LINES: Final = 20
_APT: Final = "apt-get update && apt-get install -y --no-install-recommends"


@app.command(epilog=examples("demo --exit", "demo --hsm --exit"))
def demo(
    *,
    leave: Annotated[
        bool, typer.Option("--exit", help="End after the story instead of serving on until Ctrl-C.")
    ] = False,
    hsm: Annotated[bool, typer.Option("--hsm", help="With the CA keys on a token of their own, in SoftHSM.")] = False,
    mdm: Annotated[
        Literal["intune", "webhook"] | None,
        typer.Option(
            "--mdm",
            help="The story of a fleet that an MDM manages: Intune in our laboratory, or one that speaks web hooks.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Tell the product's story on real parts and check each sentence."""
    _need({"openssl": "openssl"} | ({"softhsm2-util": "softhsm2", "pkcs11-tool": "opensc"} if hsm else {}))
    # A plain `kill` must end the server and remove the home as Ctrl-C does.
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        with tempfile.TemporaryDirectory(prefix="regalia-demo-") as name:
            token = make_soft_token(Path(name) / "token", "demo") if hsm else None
            with _Server(Path(name), token).running() as stage:
                _tell(stage, _STORIES[mdm])
                if not leave:
                    _serve_on(stage)
    except StoryError as broken:
        note(broken.command, title="This did not hold", style=Style.BAD)
        for line in broken.printed.splitlines():
            note(f"  {line}")
        raise typer.Exit(FAILED) from broken
    except KeyboardInterrupt:
        note("Stopped; the demo's home is removed.")
        if leave:
            raise typer.Exit(FAILED) from None


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    del number, frame
    raise KeyboardInterrupt


def _tell(stage: Stage, story: Sequence[Sentence]) -> None:
    began = time.monotonic()
    sentences = story if stage.token is None else (story[0], ON_A_TOKEN, *story[1:])
    for sentence, prove in sentences:
        started = time.monotonic()
        proof = prove(stage)
        held = paint("ok", Style.GOOD, sys.stdout)
        sys.stdout.write(f"{held}  {sentence} · {proof} · {time.monotonic() - started:.1f} s\n")
        sys.stdout.flush()
    say(f"All {len(sentences)} sentences held, in {time.monotonic() - began:.1f} s.")
    sys.stdout.flush()


def _serve_on(stage: Stage) -> None:
    say()
    say("It goes on serving; Ctrl-C ends it and removes its home. In another terminal:")
    say(f"  export REGALIA_HOME={stage.environment['REGALIA_HOME']}")
    if stage.token is not None:
        say(f"  export SOFTHSM2_CONF={stage.token.configuration}")
    say("  regalia challenge create --endpoint default --cn laptop-3 --quiet | \\")
    say(f"      regalia scep enrol --url {stage.url} --fingerprint {stage.root} \\")
    say("      --cn laptop-3 --key laptop-3.key --cert laptop-3.pem --challenge-file -")
    say("  regalia cert list")
    say("  regalia event tail")
    say()
    for listener, address in stage.addresses.items():
        say(f"  {listener + ':':<8} {address}")
    say(f"  {'files:':<8} {stage.directory}")
    sys.stdout.flush()
    while True:
        signal.pause()


# --- the server -----------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Server:
    """The demo's `regalia serve`, started by the story and ended with it."""

    directory: Path
    token: SoftToken | None = None
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @contextlib.contextmanager
    def running(self) -> Iterator[Stage]:
        """Give a stage whose server, once a sentence started it, does not outlive this block."""
        stage = Stage(
            directory=self.directory,
            environment=self._environment(),
            port=_free_port(),
            start_server=self.start,
            token=self.token,
        )
        try:
            yield stage
        finally:
            for process in self.processes:
                self._end(process)

    def start(self, arguments: Sequence[str]) -> Mapping[str, str]:
        """Start it and wait for the line with its addresses."""
        ready, log = self.directory / f"{arguments[0]}.json", self.directory / f"{arguments[0]}.log"
        with ready.open("wb") as stdout, log.open("wb") as stderr:
            process = subprocess.Popen(  # noqa: S603 - our own program
                [sys.executable, "-P", "-m", "regalia", *arguments],
                cwd=self.directory,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                # A session of its own: Ctrl-C reaches the demo alone, which then ends the server in order.
                start_new_session=True,
            )
        self.processes.append(process)
        deadline = time.monotonic() + _READY_SECONDS
        while time.monotonic() < deadline:
            line, complete, _ = ready.read_text(encoding="utf-8").partition("\n")
            if complete:
                found: dict[str, str] = json.loads(line)
                return found
            if process.poll() is not None:
                break
            time.sleep(_POLL_SECONDS)
        tail = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_LINES:])
        state = f"ended with {process.returncode}" if process.poll() is not None else "is not ready"
        raise StoryError(f"regalia {' '.join(arguments)}", f"{tail}\n({state})")

    def _environment(self) -> dict[str, str]:
        return clean_environment(self.directory / "home") | (self.token.variables() if self.token is not None else {})

    @staticmethod
    def _end(process: subprocess.Popen[bytes]) -> None:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _free_port() -> int:
    """Find a port that nothing listens on: certificates carry the URL, so it is chosen before the server opens it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


# --- what has to be there -------------------------------------------------------------------------------------------


def _need(programs: Mapping[str, str]) -> None:
    """Install what is missing where we may, else say the line that does (R13). `programs` maps them to packages."""
    missing = [program for program in programs if shutil.which(program) is None]
    if not missing:
        return
    line = f"{_APT} {' '.join(programs[program] for program in missing)}"
    if os.geteuid() == 0 and shutil.which("apt-get") is not None:
        note(f"{', '.join(missing)} is missing; installing it")
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        command = ["/bin/sh", "-c", line]
        ended = subprocess.run(command, check=False, env=environment, stdout=sys.stderr.fileno())  # noqa: S603 - our own line
        if ended.returncode == 0 and all(shutil.which(program) is not None for program in missing):
            return
    note(f"The demo checks everything with {', '.join(missing)}, which is missing. Install it and run the demo again:")
    note(f"  {line}" if os.geteuid() == 0 else f"  sudo sh -c '{line}'")
    raise typer.Exit(USAGE)
