"""The story of a fleet that Intune manages: the same server, and our laboratory in Microsoft's place."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any, Final

from regalia.cli.story import StoryError, check_good, create_groups, ocsp, says, serve

if TYPE_CHECKING:
    from regalia.cli.story import Ended, Sentence, Stage

__all__ = ["MDM_SENTENCES", "WEBHOOK_SENTENCES"]

_LAPTOP: Final = "WINDOWS-00000"
_OTHER: Final = "MACOS-00002"
_FILE: Final = "managed.pem"
_LAB: Final = ("--lab", "lab")
_REVOKED_SECONDS: Final = 60
_PROFILE: Final = """\
[validity]
duration = "365d"
[usage]
extended-key-usage = ["clientAuth"]
[subject]
cn = "{device.entra_id}"
[[san]]
kind = "uri"
value = "IntuneDeviceId://{device.id}"
"""


def _laboratory(stage: Stage) -> str:
    values = stage.start_server(("lab", "start", "lab", "--json"))
    file = stage.directory / "home" / "regalia.toml"
    places = [values[name].removeprefix("https://").replace(":", "/32:") for name in ("authority", "graph", "intune")]
    text = file.read_text(encoding="utf-8")
    for comment, line in (
        ("# connectors = []", f"connectors = {json.dumps(places)}"),
        ('# ca_file = ""', f"ca_file = {json.dumps(values['ca_file'])}"),
        ("# follow_seconds = 30", "follow_seconds = 5"),
    ):
        if text.count(comment) != 1:
            raise StoryError("regalia config check", f"regalia.toml has no line {comment}")
        text = text.replace(comment, line)
    file.write_text(text, encoding="utf-8")
    given = {
        "tenant": values["tenant"],
        "client_id": values["client_id"],
        "authority": values["authority"],
        "graph": values["graph"],
        "common_name": "entra-device-id",
    }
    settings = [word for name, value in given.items() for word in ("--set", f"{name}={value}")]
    stage.asked("connector", "create", "intune", "mdm", *settings, "--secret-file", values["secret_file"])
    checked = stage.regalia("connector", "test", "mdm")
    return checked.must(checked.code == 0).command


def _endpoint(stage: Stage) -> str:
    (stage.directory / "managed.toml").write_text(_PROFILE, encoding="utf-8")
    stage.asked("profile", "create", "managed", "--group", "default", "--file", "managed.toml")
    authoriser = ("--authoriser", "connector", "--connector", "mdm")
    made, endpoint = stage.asked(
        "endpoint", "create", "managed", "--group", "default", "--profile", "managed", *authoriser
    )
    fetched = stage.regalia("scep", "cacert", "--url", stage.url, "--fingerprint", stage.root, "--out", "ca.pem")
    fetched.must(fetched.code == 0)
    stage.asked("lab", "profile", *_LAB, "--set", f"url={endpoint['url']}")
    return made.command


def _enrol(stage: Stage) -> str:
    enrolled, (row,) = stage.asked("lab", "device", "enrol", _LAPTOP, *_LAB)
    _, devices = stage.asked("lab", "device", "list", *_LAB)
    wanted = {one["name"]: f"CN={one['entra_id']}" for one in devices}[_LAPTOP]
    enrolled.must(row["subject"] == wanted, f"{wanted} was expected")
    shutil.copyfile(stage.directory / row["files"] / "device.pem", stage.directory / _FILE)
    stage.serial = row["serial"]
    check_good(stage, _FILE)
    return enrolled.command


def _refusal(stage: Stage, refused: Ended) -> str:
    """A request that the device was refused, and that is on record with what Intune said."""
    refused.must(refused.code == 1 and "badRequest" in refused.printed, "a refusal was expected")
    _, found = stage.asked("enrolment", "list", "--state", "refused")
    refused.must(bool(found), "it is not among the refused enrolments")
    shown = stage.regalia("enrolment", "show", str(found[0]["id"]))
    shown.must(shown.code == 0 and "SubjectNameMismatch" in shown.stdout, "Intune's code was expected")
    return f"{refused.command}; {shown.command}"


def _replay(stage: Stage) -> str:
    return _refusal(stage, stage.regalia("lab", "device", "enrol", _OTHER, *_LAB, "--challenge-of", _LAPTOP))


def _renamed(stage: Stage) -> str:
    return _refusal(stage, stage.regalia("lab", "device", "enrol", _OTHER, *_LAB, "--cn", "domain-controller"))


def _renew(stage: Stage) -> str:
    renewed, (row,) = stage.asked("lab", "device", "renew", _LAPTOP, *_LAB)
    renewed.must(row["serial"] != stage.serial, "another serial was expected")
    check_good(stage, _FILE)
    shutil.copyfile(stage.directory / row["files"] / "device.pem", stage.directory / f"new-{_FILE}")
    check_good(stage, f"new-{_FILE}")
    return renewed.command


def _wipe(stage: Stage) -> str:
    wiped, (row,) = stage.asked("lab", "device", "wipe", _LAPTOP, *_LAB)
    return wiped.must(row["state"] == "wipePending", f"its state is {row['state']}").command


def _told(stage: Stage) -> str:
    read, _ = stage.asked("job", "run", "answer-feeds")
    answers: list[Any] = []
    for certificate in (_FILE, f"new-{_FILE}"):
        answer = stage.until(
            lambda name=certificate: ocsp(stage, name),  # type: ignore[misc]
            lambda ended, name=certificate: says(ended, name, "revoked"),  # type: ignore[misc]
            _REVOKED_SECONDS,
        )
        answers.append(answer)
    return f"{read.command}; {answers[-1].command}"


MDM_SENTENCES: Final[tuple[Sentence, ...]] = (
    ("A root and two groups, each with an issuing CA of its own, are created", create_groups),
    ("A laboratory of Intune starts, and each permission of the connector is there", _laboratory),
    ("The server starts", serve),
    ("An endpoint asks the connector", _endpoint),
    ("The MDM hands out the challenge, and a laptop enrols with the names of its record", _enrol),
    ("Another device with that laptop's challenge is refused; `enrolment show` says why", _replay),
    ("A device that calls itself otherwise is refused", _renamed),
    ("The laptop renews, with a fresh challenge and a new key; both certificates are good", _renew),
    ("The MDM wipes it", _wipe),
    ("It asks for the revocation, and OCSP says so, of both", _told),
)
"""What `--mdm intune` tells, in order, and what proves it."""


# --- an MDM that speaks web hooks -------------------------------------------------------------------------------------

_FIRST: Final = "LAPTOP-0001"
_SECOND: Final = "LAPTOP-0002"
_MDM: Final = ("--lab", "mdm")
_NAMED: Final = """\
[validity]
duration = "365d"
[usage]
extended-key-usage = ["clientAuth"]
[subject]
cn = "{binding.cn}"
"""
_SECONDS: Final = 10


def _any_mdm(stage: Stage) -> str:
    values = stage.start_server(("lab", "mdm", "start", "mdm", "--json"))
    file = stage.directory / "home" / "regalia.toml"
    place = values["url"].split("/")[2].replace(":", "/32:")
    text = file.read_text(encoding="utf-8")
    for comment, line in (
        ("# connectors = []", f"connectors = {json.dumps([place])}"),
        ('# ca_file = ""', f"ca_file = {json.dumps(values['ca_file'])}"),
    ):
        text = text.replace(comment, line)
    file.write_text(text, encoding="utf-8")
    settings = ("--set", f"url={values['url']}", "--secret-file", values["secret_file"])
    stage.asked("connector", "create", "webhook", "mdm", *settings)
    _, hook = stage.asked("connector", "hook", "mdm")
    (stage.directory / "hook.json").write_text(json.dumps(hook), encoding="utf-8")
    checked = stage.regalia("connector", "test", "mdm")
    return checked.must(checked.code == 0).command


def _named_endpoint(stage: Stage) -> str:
    (stage.directory / "managed.toml").write_text(_NAMED, encoding="utf-8")
    stage.asked("profile", "create", "managed", "--group", "default", "--file", "managed.toml")
    authoriser = ("--authoriser", "connector", "--connector", "mdm")
    made, endpoint = stage.asked(
        "endpoint", "create", "managed", "--group", "default", "--profile", "managed", *authoriser
    )
    fetched = stage.regalia("scep", "cacert", "--url", stage.url, "--fingerprint", stage.root, "--out", "ca.pem")
    fetched.must(fetched.code == 0)
    stage.addresses["managed"] = str(endpoint["url"])
    return made.command


def _handed_out(stage: Stage) -> str:
    handed = stage.regalia("lab", "mdm", "challenge", _FIRST, *_MDM)
    handed.must(handed.code == 0)
    (stage.directory / "challenge").write_text(handed.stdout.strip(), encoding="utf-8")
    return handed.command


def _ask(stage: Stage, name: str, files: str) -> Ended:
    return stage.regalia(
        *("scep", "enrol", "--url", stage.addresses["managed"], "--fingerprint", stage.root, "--cn", name),
        *("--key", f"{files}.key", "--cert", f"{files}.pem", "--challenge-file", "challenge"),
    )


def _vouched(stage: Stage) -> str:
    enrolled = _ask(stage, _FIRST, "laptop")
    enrolled.must(enrolled.code == 0)
    check_good(stage, "laptop.pem")
    return enrolled.command


def _not_vouched(stage: Stage, refused: Ended, code: str) -> str:
    refused.must(refused.code == 1 and "CLI-007" in refused.printed, "a refusal was expected")
    _, found = stage.asked("enrolment", "list", "--state", "refused")
    refused.must(bool(found), "it is not among the refused enrolments")
    shown = stage.regalia("enrolment", "show", str(found[0]["id"]))
    shown.must(shown.code == 0 and code in shown.stdout, f"the MDM's code {code} was expected")
    return f"{refused.command}; {shown.command}"


def _used_again(stage: Stage) -> str:
    return _not_vouched(stage, _ask(stage, _FIRST, "another"), "used-challenge")


def _other_name(stage: Stage) -> str:
    handed = stage.regalia("lab", "mdm", "challenge", _SECOND, *_MDM)
    (stage.directory / "challenge").write_text(handed.must(handed.code == 0).stdout.strip(), encoding="utf-8")
    return _not_vouched(stage, _ask(stage, "domain-controller", "renamed"), "other-name")


def _wiped(stage: Stage) -> str:
    wiped, row = stage.asked("lab", "mdm", "wipe", _FIRST, *_MDM, "--hook-file", "hook.json")
    return wiped.must(bool(row["receipt"])).command


def _revoked(stage: Stage) -> str:
    answer = stage.until(
        lambda: ocsp(stage, "laptop.pem"), lambda ended: says(ended, "laptop.pem", "revoked"), _SECONDS
    )
    _, (device,) = stage.asked("device", "list")
    shown = stage.regalia("device", "show", str(device["id"]))
    shown.must(shown.code == 0 and "wipe" in shown.stdout, "why it was revoked was expected")
    return f"{answer.command}; {shown.command}"


WEBHOOK_SENTENCES: Final[tuple[Sentence, ...]] = (
    ("A root and two groups, each with an issuing CA of its own, are created", create_groups),
    ("An MDM starts that speaks web hooks, and it answers the connector", _any_mdm),
    ("The server starts", serve),
    ("An endpoint asks the connector", _named_endpoint),
    ("The MDM hands out a challenge for a laptop", _handed_out),
    ("The laptop enrols with the name that the MDM vouches for", _vouched),
    ("Another device with that challenge is refused; `enrolment show` says why", _used_again),
    ("A device that calls itself otherwise is refused", _other_name),
    ("The MDM wipes the laptop and says so", _wiped),
    ("Within seconds OCSP says revoked, and its record says why", _revoked),
)
"""What `--mdm webhook` tells, in order, and what proves it."""
