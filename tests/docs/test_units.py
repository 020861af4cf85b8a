"""The systemd units in the documentation: what one of their lines needs, another one must allow."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGES = Path(__file__).parents[2] / "docs" / "tasks"
UNITS = ["install", "separate-signer"]
KNOWN = {
    "Unit": {"Description", "After", "Wants"},
    "Install": {"WantedBy"},
    "Service": {
        *("User", "Group", "SupplementaryGroups", "RuntimeDirectory", "RuntimeDirectoryMode", "Environment"),
        *("LoadCredential", "ExecStart", "Restart", "UMask", "LimitCORE", "LimitMEMLOCK", "NoNewPrivileges"),
        *("MemoryDenyWriteExecute", "PrivateDevices", "PrivateTmp", "ProtectHome", "ProtectKernelTunables"),
        *("ProtectSystem", "ReadWritePaths", "RestrictAddressFamilies", "RestrictNamespaces"),
        *("SystemCallArchitectures", "SystemCallFilter"),
    },
}
"""Of systemd.unit(5), systemd.service(5) and systemd.exec(5); `systemd-analyze verify` takes all of them."""


def unit(page: str) -> dict[str, list[tuple[str, str]]]:
    """Return the settings of the unit on a page, by section."""
    blocks = re.findall(r"```text\n(\[Unit\].*?)```", (PAGES / f"{page}.md").read_text(encoding="utf-8"), re.DOTALL)
    (text,) = blocks
    sections: dict[str, list[tuple[str, str]]] = {}
    for line in filter(None, text.splitlines()):
        if line.startswith("["):
            here = sections.setdefault(line.strip("[]"), [])
        else:
            name, _, value = line.partition("=")
            here.append((name, value))
    return sections


@pytest.mark.parametrize("page", UNITS)
def test_a_unit_is_one(page: str) -> None:
    """Each setting stands in its section and is one that systemd knows there."""
    sections = unit(page)
    assert sections.keys() == KNOWN.keys()
    assert [
        (section, name) for section in sections for name, _ in sections[section] if name not in KNOWN[section]
    ] == []


@pytest.mark.parametrize("page", UNITS)
def test_the_home_can_be_written_to(page: str) -> None:
    """Where the file system is read-only, the home that the unit names is not."""
    settings = dict(unit(page)["Service"])
    homes = [value for name, value in unit(page)["Service"] if value.startswith("REGALIA_HOME=")]
    assert settings["ProtectSystem"] == "strict"
    assert homes == [f"REGALIA_HOME={settings['ReadWritePaths']}"]


def test_the_signer_may_give_its_socket_away() -> None:
    """SEC-2: `--group` needs membership of that group, and chown, which the filter of privileged calls takes away."""
    service = unit("separate-signer")["Service"]
    settings, filters = dict(service), [value for name, value in service if name == "SystemCallFilter"]
    assert settings["ExecStart"].split()[-2:] == ["--group", settings["SupplementaryGroups"]]
    assert filters.index("@chown") > filters.index("~@privileged @debug") > filters.index("@system-service")
    socket = settings["ExecStart"].split()[settings["ExecStart"].split().index("--socket") + 1]
    assert Path(socket).parent == Path("/run") / settings["RuntimeDirectory"]
