"""`regalia lab`: an emulated Entra ID, Graph and Intune on this machine, to rehearse a set-up without a tenant.

Nothing of it serves anybody but this machine: it listens on 127.0.0.1 alone, and its state lies in a directory that is
nobody else's.
"""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from regalia.cli.lab_device import app as device_app
from regalia.cli.lab_mdm import app as mdm_app
from regalia.cli.lab_place import Place, told
from regalia.cli.options import Json, examples, noun_app
from regalia.cli.output import note, print_json, print_table, say
from regalia.lab.cloud import Cloud
from regalia.lab.desk import MARK, Desk, DeskError, prepared
from regalia.lab.graph_profile import imported
from regalia.lab.sample import CLIENT_ID, CLIENT_SECRET, GRAPH_ROLES, INTUNE_ROLES, sample_tenant

__all__ = ["app"]

app = noun_app("The laboratory: an emulated Entra ID and Intune on this machine, to rehearse with.")
app.add_typer(device_app, name="device")
app.add_typer(mdm_app, name="mdm")

_BANNER: Final = "LABORATORY. It listens on 127.0.0.1 alone and knows no real tenant, device or user."
_SETTINGS: Final = {
    "url": "scep_urls",
    "subject": "subject",
    "san": "sans",
    "key-size": "key_size",
    "hash": "hash_algorithm",
    "thumbprint": "root_thumbprint",
    "root": "trusted_root",
    "threshold": "renewal_threshold",
    "days": "validity_days",
}
_NUMBERS: Final = frozenset({"key-size", "threshold", "days"})


@app.command(epilog=examples("lab start rehearsal", "lab start rehearsal --devices 40 --json"))
def start(
    *,
    directory: Annotated[
        Path,
        typer.Argument(
            metavar="DIR", readable=False, help="Its directory: new, empty, or an earlier one's.", show_default=False
        ),
    ],
    devices: Annotated[int, typer.Option("--devices", min=1, max=100_000, help="Devices of its tenant.")] = 8,
    as_json: Json = False,
) -> None:
    """Run the laboratory until Ctrl-C, and print every value that a connector is configured with."""
    with told():
        folder = prepared(directory)
        with Cloud((sample_tenant(devices),), folder=folder.resolve()) as cloud:
            values = _values(cloud, folder.resolve())
            mark = folder / MARK
            mark.touch(mode=0o600)
            mark.write_text(json.dumps(values), encoding="utf-8")
            _print_start(values, folder, as_json=as_json)
            _wait()
    note("The laboratory has ended; what its devices have stays in its directory.")


def _wait() -> None:
    """Wait for Ctrl-C or `kill`."""
    ended = (signal.SIGINT, signal.SIGTERM)
    signal.pthread_sigmask(signal.SIG_BLOCK, ended)
    try:
        signal.sigwait(ended)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ended)


def _values(cloud: Cloud, folder: Path) -> dict[str, Any]:
    secret = folder / "client-secret"
    secret.touch(mode=0o600)
    secret.write_text(CLIENT_SECRET + "\n", encoding="utf-8")
    return {
        "laboratory": True,
        "process": os.getpid(),
        "control": cloud.addresses.control,
        "ca_file": str(cloud.ca_file),
        "tenant": cloud.tenant.domains[0],
        "client_id": CLIENT_ID,
        "secret_file": str(secret),
        "authority": cloud.addresses.login,
        "graph": cloud.addresses.graph,
        "intune": cloud.addresses.intune,
        "profile": cloud.tenant.profiles.all()[0].id,
        "groups": sorted(cloud.tenant.profiles.all()[0].groups),
        "graph_roles": sorted(GRAPH_ROLES),
        "intune_roles": sorted(INTUNE_ROLES),
    }


def _print_start(values: dict[str, Any], folder: Path, *, as_json: bool) -> None:
    if as_json:
        # One line, as `serve` prints it: whoever waits for it knows when all of it is there.
        print_json(values, one_line=True)
        sys.stdout.flush()
        return
    places = [str(values[name]).removeprefix("https://") for name in ("authority", "graph", "intune")]
    opened = ", ".join(f'"{place.replace(":", "/32:")}"' for place in places)
    say(_BANNER)
    say()
    say("In the Regalia that rehearses, regalia.toml:")
    say("  [outgoing]")
    say(f"  connectors = [{opened}]")
    say(f'  ca_file = "{values["ca_file"]}"')
    say()
    say("Then:")
    say("  regalia connector create intune lab \\")
    say(f"      --set tenant={values['tenant']} --set client_id={values['client_id']} \\")
    say(f"      --set authority={values['authority']} --set graph={values['graph']} \\")
    say("      --set common_name=entra-device-id --set management_state=true \\")
    say(f"      --secret-file {values['secret_file']}")
    say("  regalia connector test lab")
    say("  regalia endpoint create managed --group default --profile PROFILE --authoriser connector --connector lab")
    say()
    say("What Intune's SCEP profile is given, and a device that takes it:")
    say(f"  regalia lab profile --lab {folder} --set url=URL-OF-THE-ENDPOINT --set thumbprint=SHA1-OF-THE-CA")
    say(f"  regalia lab device list --lab {folder}")
    say(f"  regalia lab device enrol NAME --lab {folder}")
    sys.stdout.flush()


@app.command(epilog=examples("lab status --lab rehearsal", "lab status --lab rehearsal --json"))
def status(*, lab: Place, as_json: Json = False) -> None:
    """Say what the laboratory holds, which faults are ordered, and what was asked of it."""
    with told():
        desk = Desk.at(lab)
        found = _status(desk)
    if as_json:
        print_json(found)
        return
    say(_BANNER)
    for name, value in found.items():
        if not isinstance(value, list):
            say(f"{name}:  {value}")
    print_table(found["faults"], ("hop", "kind", "path"), as_json=False, empty="No faults are ordered.")
    print_table(found["verdicts"], ("at", "code", "detail"), as_json=False, empty="No device was asked about yet.")


def _status(desk: Desk) -> dict[str, Any]:
    state = desk.ask("GET", "/state")
    verdicts = desk.ask("GET", "/validations")
    notices = desk.ask("GET", "/notifications")
    revocations = desk.ask("GET", "/revocations")
    return {
        "tenant": desk.values["tenant"],
        "control": desk.values["control"],
        "now": state["now"],
        "devices": len(state["managed"]),
        "calls": len(desk.ask("GET", "/calls")),
        "told of success": sum(one["succeeded"] for one in notices),
        "told of failure": sum(not one["succeeded"] for one in notices),
        "revocations waiting": sum(one["state"] == "queued" for one in revocations),
        "faults": desk.ask("GET", "/faults"),
        "verdicts": [{name: one[name] for name in ("at", "code", "detail")} for one in verdicts[-10:]],
    }


@app.command(
    epilog=examples(
        "lab profile --lab rehearsal --import managed-windows.json",
        "lab profile --lab rehearsal --set url=https://pki.example.org/scep/managed --set subject=CN={{AAD_Device_ID}}",
    )
)
def profile(
    *,
    lab: Place,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            show_default=False,
            help=f"One of {', '.join(_SETTINGS)}; url and san=TYPE:FORMAT may be repeated.",
        ),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            "--import",
            metavar="FILE",
            readable=False,
            show_default=False,
            help="Take the profiles of a file for Microsoft Graph, as `regalia endpoint file NAME graph` writes it.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show the SCEP profile as its portal has it, or change it."""
    with told():
        desk = Desk.at(lab)
        changed = {**(_imported(file) if file is not None else {}), **_fields(settings or [])}
        if changed:
            desk.change("edit-profile", profile=desk.values["profile"], **changed)
        (shown,) = (one for one in desk.ask("GET", "/state")["profiles"] if one["id"] == desk.values["profile"])
    row = {name: shown[field] for name, field in _SETTINGS.items() if field != "trusted_root"}
    if as_json:
        print_json(row)
        return
    for name, value in row.items():
        say(f"{name}:  {', '.join(map(_plain, value)) if isinstance(value, list) else value}")


def _imported(file: Path) -> dict[str, object]:
    try:
        return imported(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise DeskError(f"{file}: {error}") from error


def _plain(value: object) -> str:
    return ":".join(map(str, value)) if isinstance(value, list) else str(value)


def _fields(settings: list[str]) -> dict[str, object]:
    found: dict[str, Any] = {}
    for text in settings:
        name, _, value = text.partition("=")
        if name not in _SETTINGS:
            raise typer.BadParameter(f"{name}: there are {', '.join(_SETTINGS)}", param_hint="--set")
        field = _SETTINGS[name]
        if name == "url":
            found.setdefault(field, []).append(value)
        elif name == "san":
            found.setdefault(field, []).append(list(value.partition(":")[::2]))
        elif name == "root":
            found[field] = Path(value).read_text(encoding="ascii")
        else:
            found[field] = int(value) if name in _NUMBERS else value
    return found


FAULTS: Final[dict[str, tuple[dict[str, object], ...]]] = {
    "outage": tuple({"hop": hop, "kind": "unavailable"} for hop in ("login", "graph", "intune")),
    "hanging": ({"hop": "intune", "kind": "delay", "seconds": 30}, {"hop": "graph", "kind": "delay", "seconds": 30}),
    "throttled": tuple({"hop": hop, "kind": "throttled", "retry_after": 5} for hop in ("graph", "intune")),
    "proxy": tuple({"hop": hop, "kind": "proxy"} for hop in ("login", "graph", "intune")),
    "web-filter": tuple({"hop": hop, "kind": "web-page"} for hop in ("login", "graph", "intune")),
    "half-sweep": ({"hop": "graph", "kind": "half-sweep"},),
    "empty": ({"hop": "graph", "kind": "empty"},),
    "wrong-permission": (),
    "wrong-secret": (),
    "expired-secret": (),
    "expired-challenge": (),
    "wrong-group": (),
    "foreign-tls": (),
    "clock-off": (),
    "none": (),
}
"""By name: what is ordered of the hops; those without are changes of the tenant."""


@app.command(epilog=examples("lab fault throttled --lab rehearsal", "lab fault none --lab rehearsal --json"))
def fault(
    *,
    kind: Annotated[str, typer.Argument(metavar="KIND", help=f"One of {', '.join(FAULTS)}.", show_default=False)],
    lab: Place,
    as_json: Json = False,
) -> None:
    """Order a fault, as real tenants have them; `none` takes all of them back."""
    if kind not in FAULTS:
        raise typer.BadParameter(f"{kind}: there are {', '.join(FAULTS)}", param_hint="KIND")
    with told():
        desk = Desk.at(lab)
        _order(desk, kind)
        found = desk.ask("GET", "/faults")
    if as_json:
        print_json(found)
        return
    note("All faults are taken back." if kind == "none" else f"{kind}: `regalia lab fault none` takes it back.")


def _order(desk: Desk, kind: str) -> None:
    for one in FAULTS[kind]:
        desk.ask("POST", "/faults", one)
    client = desk.values["client_id"]
    match kind:
        case "wrong-permission":
            desk.change("grant", application=client, graph_roles=[], intune_roles=[])
        case "wrong-secret":
            desk.change("credentials", application=client, secrets=["another one"])
        case "expired-secret":
            desk.change("secret", application=client, days=-1)
        case "expired-challenge":
            desk.change("service", challenge_seconds=-60)
        case "wrong-group":
            desk.change("service", withdraws=True)
        case "foreign-tls":
            desk.ask("POST", "/tls", {"trusted": False})
        case "clock-off":
            # The cloud is two hours ahead: what this machine signs is too old there.
            desk.ask("POST", "/clock", {"seconds": 7200})
        case "none":
            _set_right(desk, client)
        case _:
            pass


def _set_right(desk: Desk, client: str) -> None:
    """Take everything back that a fault may have changed."""
    values = desk.values
    desk.ask("DELETE", "/faults")
    desk.ask("POST", "/tls", {"trusted": True})
    desk.ask("POST", "/clock", {"right": True})
    secret = Path(values["secret_file"]).read_text("utf-8").strip()
    desk.change("credentials", application=client, secrets=[secret])
    desk.change("grant", application=client, graph_roles=values["graph_roles"], intune_roles=values["intune_roles"])
    desk.change("service", challenge_seconds=3600, withdraws=False)
    desk.change("edit-profile", profile=values["profile"], groups=values["groups"])


@app.command(
    epilog=examples("lab upload app.pem --lab rehearsal", "lab upload app.pem --lab rehearsal --json"),
)
def upload(
    *,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", readable=False, help="A certificate in PEM.", show_default=False)
    ],
    lab: Place,
    as_json: Json = False,
) -> None:
    """Upload a certificate to the application, as its portal does; the application then signs in with its key."""
    with told():
        desk = Desk.at(lab)
        try:
            certificate = x509.load_pem_x509_certificate(file.read_bytes())
        except (OSError, ValueError) as error:
            raise DeskError(f"{file} is no certificate in PEM") from error
        pem = certificate.public_bytes(Encoding.PEM).decode()
        desk.change("credentials", application=desk.values["client_id"], certificates=[pem])
    thumbprint = certificate.fingerprint(hashes.SHA1()).hex().upper()  # noqa: S303 - portals show SHA-1
    if as_json:
        print_json({"thumbprint": thumbprint})
        return
    say(f"thumbprint:  {thumbprint}")
