"""`regalia lab device`: simulated devices, and what happens to them."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from regalia.cli.lab_place import Place, told
from regalia.cli.options import Json, examples, noun_app
from regalia.cli.output import note, print_table
from regalia.lab.desk import Desk, keep, kept
from regalia.lab.devices.delivery import Delivery
from regalia.lab.devices.device import Held, SimulatedDevice
from regalia.lab.devices.platforms import PLATFORMS, Platform, platform_of
from regalia.lab.devices.reports import DeviceError
from regalia.lab.devices.web import WireWeb

__all__ = ["app"]

app = noun_app("Simulated devices: they enrol as Windows, iOS, macOS and Android do.")

Device = Annotated[
    str, typer.Argument(metavar="DEVICE", help="Its name, serial number or any of its ids.", show_default=False)
]
Trusted = Annotated[
    Path | None,
    typer.Option(
        "--tls-ca", metavar="FILE", readable=False, show_default=False, help="PEM file that HTTPS may lead to."
    ),
]
PlatformName = Annotated[
    str | None,
    typer.Option("--platform", metavar="NAME", show_default=False, help=f"One of {', '.join(PLATFORMS)}."),
]
Hurry = Annotated[bool, typer.Option("--hurry", help="Do not pause between polls and tries.")]
_COMMON_NAME: Final = "2.5.4.3"
_COLUMNS: Final = ("name", "system", "serial", "user", "state", "certificate")


def _rows(desk: Desk) -> list[dict[str, Any]]:
    return [
        {
            "name": one["name"],
            "system": one["operating_system"],
            "serial": one["serial"],
            "user": one["user_principal_name"],
            "state": _state(one),
            "certificate": f"{held.certificate.serial_number:x}" if (held := kept(desk.folder, one["id"])) else None,
            "id": one["id"],
            "entra_id": one["entra_device_id"],
        }
        for one in desk.ask("GET", "/state")["managed"]
    ]


def _state(managed: dict[str, Any]) -> str:
    if managed["lost_mode"] == "enabled":
        return "lost"
    return str(managed["management_state"] if managed["management_state"] != "managed" else managed["compliance_state"])


@app.command("list", epilog=examples("lab device list --lab rehearsal", "lab device list --lab rehearsal --json"))
def list_(*, lab: Place, as_json: Json = False) -> None:
    """List the devices of the tenant, and the certificate that each has."""
    with told():
        rows = _rows(Desk.at(lab))
    print_table(rows, _COLUMNS, as_json=as_json, empty="No devices.")


@app.command(
    epilog=examples(
        "lab device add laptop-9 --lab rehearsal", "lab device add phone-9 --system iOS --lab rehearsal --json"
    )
)
def add(
    *,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its name.", show_default=False)],
    lab: Place,
    system: Annotated[str, typer.Option("--system", help="Windows, iOS, macOS or Android.")] = "Windows",
    user: Annotated[str | None, typer.Option("--user", metavar="UPN", help="Whose it is.", show_default=False)] = None,
    as_json: Json = False,
) -> None:
    """Enrol a new device in the management."""
    with told():
        desk = Desk.at(lab)
        desk.change("add-device", name=name, system=system, **({"user": user} if user else {}))
        _told_of(desk, name, as_json=as_json)


def _told_of(desk: Desk, device: str, *, as_json: bool) -> None:
    found = [one for one in _rows(desk) if device in {one["name"], one["serial"], one["id"], one["entra_id"]}]
    print_table(found, _COLUMNS, as_json=as_json, empty="The management has no such device any more.")


def _no_pause(seconds: float) -> None:
    del seconds


def _delivered(desk: Desk, device: str, platform: str | None) -> tuple[Platform, Delivery, str]:
    """Have the management hand out its profile, with a challenge, and say which device it went to."""
    if platform is not None and platform not in PLATFORMS:
        raise typer.BadParameter(f"{platform}: there are {', '.join(PLATFORMS)}", param_hint="--platform")
    answer = desk.ask("POST", "/deliveries", {"device": device})
    return platform_of(answer["system"], platform), Delivery.read(answer["delivery"]), str(answer["id"])


def _enrolled(desk: Desk, device: str, held: Held, *, as_json: bool) -> None:
    drawer = keep(desk.folder, device, held)
    row = {
        "serial": f"{held.certificate.serial_number:x}",
        "subject": held.certificate.subject.rfc4514_string(),
        "not_after": held.certificate.not_valid_after_utc.isoformat(),
        "url": held.url,
        "transaction": held.transaction,
        "files": str(drawer),
    }
    print_table([row], ("serial", "subject", "not_after"), as_json=as_json)
    if not as_json:
        note(f"Key and certificate are in {drawer}.")


@app.command(
    epilog=examples(
        "lab device enrol WINDOWS-00000 --lab rehearsal",
        "lab device enrol WINDOWS-00000 --lab rehearsal --platform windows-10 --challenge-of MACOS-00002",
    )
)
def enrol(
    *,
    device: Device,
    lab: Place,
    platform: PlatformName = None,
    challenge_of: Annotated[
        str | None,
        typer.Option(
            "--challenge-of", metavar="DEVICE", show_default=False, help="Use the challenge of another one: an attack."
        ),
    ] = None,
    cn: Annotated[
        str | None,
        typer.Option("--cn", metavar="NAME", show_default=False, help="Ask for this common name instead: an attack."),
    ] = None,
    trusted: Trusted = None,
    hurry: Hurry = False,
    as_json: Json = False,
) -> None:
    """Have a device take its profile and enrol, as its platform does."""
    with told():
        desk = Desk.at(lab)
        chosen, delivery, known = _delivered(desk, device, platform)
        if challenge_of is not None:
            _, other, _ = _delivered(desk, challenge_of, None)
            delivery = replace(delivery, challenge=other.challenge)
        if cn is not None:
            subject = tuple((oid, cn if oid == _COMMON_NAME else value) for oid, value in delivery.subject)
            delivery = replace(delivery, subject=subject)
        made = SimulatedDevice(chosen, WireWeb(trusted), sleep=_no_pause if hurry else time.sleep)
        _enrolled(desk, known, made.enrol(delivery), as_json=as_json)


@app.command(
    epilog=examples(
        "lab device renew WINDOWS-00000 --lab rehearsal", "lab device renew MACOS-00002 --lab rehearsal --by-itself"
    )
)
def renew(
    *,
    device: Device,
    lab: Place,
    platform: PlatformName = None,
    by_itself: Annotated[
        bool, typer.Option("--by-itself", help="Without a fresh challenge, with the certificate that it has.")
    ] = False,
    trusted: Trusted = None,
    hurry: Hurry = False,
    as_json: Json = False,
) -> None:
    """Have a device renew, as its platform does: by Intune with a fresh challenge and a new key."""
    with told():
        desk = Desk.at(lab)
        chosen, delivery, known = _delivered(desk, device, platform)
        held = kept(desk.folder, known)
        if held is None:
            raise DeviceError("no certificate", f"{device} never enrolled")
        made = SimulatedDevice(chosen, WireWeb(trusted), sleep=_no_pause if hurry else time.sleep)
        if by_itself:
            delivery = replace(delivery, challenge=None)
        _enrolled(desk, known, made.renew(held, delivery), as_json=as_json)


@app.command(
    epilog=examples(
        "lab device rename WINDOWS-00000 laptop-0 --lab rehearsal",
        "lab device rename WINDOWS-00000 laptop-0 --lab rehearsal --json",
    )
)
def rename(
    *,
    device: Device,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its new name.", show_default=False)],
    lab: Place,
    as_json: Json = False,
) -> None:
    """Give a device another name."""
    with told():
        desk = Desk.at(lab)
        desk.change("rename", device=device, name=name)
        _told_of(desk, name, as_json=as_json)


_ACTS: Final = {
    "wipe": ("wipe", {}, "Order that a device be wiped."),
    "retire": ("retire", {}, "Order that a device be retired."),
    "delete": ("delete", {}, "Take a device out of the management."),
    "lost": ("lost", {}, "Put a device into lost mode."),
    "found": ("found", {}, "End a device's lost mode."),
    "disable": ("disable", {}, "Disable a device in Entra ID."),
    "enable": ("enable", {}, "Enable a device in Entra ID again."),
    "compliant": ("compliance", {"state": "compliant"}, "Find a device compliant."),
    "non-compliant": ("compliance", {"state": "noncompliant"}, "Find a device not compliant."),
}
"""By command: the change of the tenant, what goes with it, and the help."""


def _act(command: str) -> None:
    change, arguments, text = _ACTS[command]

    def act(*, device: Device, lab: Place, as_json: Json = False) -> None:
        with told():
            desk = Desk.at(lab)
            desk.change(change, device=device, **arguments)
            _told_of(desk, device, as_json=as_json)

    shown = examples(
        f"lab device {command} WINDOWS-00000 --lab rehearsal", f"lab device {command} IOS-00001 --lab rehearsal --json"
    )
    app.command(command, help=text, epilog=shown)(act)


for _command in _ACTS:
    _act(_command)
