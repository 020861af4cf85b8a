"""`regalia lab mdm`: an MDM that speaks web hooks, to rehearse a connector of one's own with."""

import json
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from regalia.cli.lab_place import Place, told
from regalia.cli.options import Json, examples, noun_app
from regalia.cli.output import note, print_json, print_table, say
from regalia.lab.any_mdm import AnyMdm, hand_out, listed, made, wipe
from regalia.lab.desk import DeskError

__all__ = ["app"]

app = noun_app("An MDM that speaks web hooks: it hands out challenges, vouches, and tells when it wipes.")

_Name = Annotated[str, typer.Argument(metavar="DEVICE", help="Its name.", show_default=False)]


@app.command(epilog=examples("lab mdm start rehearsal", "lab mdm start rehearsal --devices 40 --json"))
def start(
    *,
    directory: Annotated[
        Path,
        typer.Argument(
            metavar="DIR", readable=False, help="Its directory: new, empty, or an earlier one's.", show_default=False
        ),
    ],
    devices: Annotated[int, typer.Option("--devices", min=1, max=9_999, help="Devices that it manages.")] = 8,
    as_json: Json = False,
) -> None:
    """Run it until Ctrl-C, and print what a connector is configured with."""
    with told():
        made(directory, devices)
        mdm = AnyMdm(directory.resolve())
        mdm.start()
    values = {"url": mdm.url, "ca_file": str(mdm.ca_file), "secret_file": str(directory.resolve() / "key")}
    if as_json:
        print_json(values, one_line=True)
    else:
        say("In the Regalia that rehearses, regalia.toml:")
        say("  [outgoing]")
        say(f'  connectors = ["{mdm.url.split("/")[2].replace(":", "/32:")}"]')
        say(f'  ca_file = "{values["ca_file"]}"')
        say("Then:")
        say(f"  regalia connector create webhook mdm --set url={mdm.url} --secret-file {values['secret_file']}")
    sys.stdout.flush()
    ended = (signal.SIGINT, signal.SIGTERM)
    signal.pthread_sigmask(signal.SIG_BLOCK, ended)
    signal.sigwait(ended)
    mdm.stop()
    note("The MDM has ended; what it knows stays in its directory.")


@app.command("list", epilog=examples("lab mdm list --lab rehearsal", "lab mdm list --lab rehearsal --json"))
def list_devices(*, lab: Place, as_json: Json = False) -> None:
    """List its devices."""
    with told():
        rows = listed(lab)
    print_table(rows, ("name", "id", "serial", "wiped"), as_json=as_json, empty="It manages no device.")


@app.command(
    epilog=examples(
        "lab mdm challenge LAPTOP-0001 --lab rehearsal", "lab mdm challenge LAPTOP-0001 --lab rehearsal > challenge"
    )
)
def challenge(*, device: _Name, lab: Place, as_json: Json = False) -> None:
    """Hand out a challenge for a device's next request."""
    with told():
        secret = hand_out(lab, device)
    if as_json:
        print_json({"device": device, "challenge": secret})
    else:
        say(secret)


@app.command(
    "wipe",
    epilog=examples(
        "lab mdm wipe LAPTOP-0001 --lab rehearsal --hook-file hook.json",
        "lab mdm wipe LAPTOP-0001 --lab rehearsal --hook-file hook.json --json",
    ),
)
def wipe_device(
    *,
    device: _Name,
    lab: Place,
    hook: Annotated[
        Path,
        typer.Option(
            "--hook-file",
            metavar="FILE",
            readable=False,
            show_default=False,
            help="What `regalia connector hook NAME --json` prints.",
        ),
    ],
    as_json: Json = False,
) -> None:
    """Wipe a device, and tell Regalia of it."""
    with told():
        receipt = wipe(lab, device, *_where(hook))
    if as_json:
        print_json({"device": device, "receipt": receipt})
    else:
        say(f"{device} is wiped; Regalia took note: {receipt}")


def _where(hook: Path) -> tuple[str, str]:
    """Read where a connector's system tells of changes, and the key. A `DeskError` where the file does not say so."""
    try:
        told_so = json.loads(hook.read_text(encoding="utf-8"))
        return str(told_so["url"]), str(told_so["key"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DeskError(f"{hook} is not what `regalia connector hook NAME --json` prints: {error}") from error
