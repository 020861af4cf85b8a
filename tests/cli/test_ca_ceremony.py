"""A ceremony that signs what another machine asked for."""

from __future__ import annotations

import contextlib
import hashlib
import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from cli.transcript import Ran, regalia
from regalia import reasons
from regalia.ca.ceremony_file import read_ceremony
from regalia.cli.ca_ceremony import _Held
from regalia.errors import AdminError

if TYPE_CHECKING:
    from pathlib import Path

    from cli.scene import Scene

PLAN = """\
title = "Example roots"
witnesses = ["Ada Example", "Ben Example"]
record = "record.md"
transcript = "transcript.txt"
[[root]]
name = "root"
certificate = "root.pem"
[[issuing]]
name = "staff-ca-1"
root = "root"
request = "staff.csr"
key_sha256 = "{key}"
days = 400
certificate = "staff.pem"
"""


def held(work: Path, plan: str, home: str = "vault") -> Ran:
    """Hold a ceremony as its witnesses would."""
    (work / "plan.toml").write_text(plan)
    typed = f"{hashlib.sha256(plan.encode()).hexdigest()[:16]}\nAda Example\nBen Example\n"
    with contextlib.chdir(work):
        return regalia(["ca", "ceremony", "plan.toml", "--home", home], stdin=typed.encode())


def test_a_ceremony_signs_a_request_for_the_reviewed_key(scene: Scene) -> None:
    """The root of the ceremony signs the request that was reviewed, and nothing for any other key."""
    request = [*("ca", "request", "staff-ca-1", "--group", "staff", "--parent", "root", "--json"), "--home"]
    asked = regalia([*request, str(scene.home), "--csr", str(scene.work / "staff.csr")])
    key = json.loads(asked.output)["key_sha256"]
    refused = held(scene.work, PLAN.format(key="0" * 64))
    assert refused.status == 1
    assert reasons.CEREMONY_REFUSED.id in refused.output
    assert f"is for the key {key}, not for the one that was reviewed" in refused.output
    assert not (scene.work / "vault").exists()
    assert held(scene.work, PLAN.format(key=key)).status == 0
    verified = subprocess.run(
        ["openssl", "verify", "-CAfile", "root.pem", "staff.pem"], cwd=scene.work, capture_output=True, check=False
    )
    assert verified.stdout == b"staff.pem: OK\n"
    record = (scene.work / "record.md").read_text()
    assert key[:4] + " " + key[4:8] in record
    assert "| Ada Example | |" in record
    assert f"key SHA-256 {key}" in (scene.work / "transcript.txt").read_text()
    last = (scene.work / "vault" / "transcript.txt").read_bytes()
    assert (scene.work / "transcript.txt").read_bytes() == last


def test_a_ceremony_names_what_is_not_there(scene: Scene) -> None:
    """Requests that cannot be read, roots that nobody makes and directories that are missing are all told."""
    plan = PLAN.format(key="0" * 64).replace('root = "root"', 'root = "other"').replace("staff.pem", "no/staff.pem")
    told = held(scene.work, plan).output
    assert "request staff.csr: staff.csr" not in told
    for line in ("staff.csr: No such file or directory", "there is no root other", "no is not a directory"):
        assert line in told
    rootless = plan.replace('[[root]]\nname = "root"\ncertificate = "root.pem"\n', "")
    assert "there is no home yet, and no root is to be made" in held(scene.work, rootless).output
    moved = held(scene.work, rootless.replace('"other"', '"root"'), home=str(scene.home)).output
    assert "there is no root" not in moved


def test_a_request_that_is_swapped_meanwhile_is_not_signed(scene: Scene) -> None:
    """What stands in the file when witnesses have been shown the request changes nothing of what is signed."""
    request = [*("ca", "request", "staff-ca-1", "--group", "staff", "--parent", "root", "--json"), "--home"]
    asked = regalia([*request, str(scene.home), "--csr", str(scene.work / "staff.csr")])
    plan, sha256 = read_ceremony(PLAN.format(key=json.loads(asked.output)["key_sha256"]).encode())
    held_one = _Held(plan, sha256, scene.work)
    held_one.check(None)
    shown = list(held_one.told(scene.work / "vault"))
    (scene.work / "staff.csr").write_text("another one")
    assert list(held_one.told(scene.work / "vault")) == shown


def test_a_link_to_nowhere_is_in_the_way(scene: Scene) -> None:
    """An output that is a dangling link is told before the ceremony, not found in the midst of it."""
    (scene.work / "record.md").symlink_to(scene.work / "nowhere")
    plan, sha256 = read_ceremony(PLAN.partition("[[issuing]]")[0].encode())
    with pytest.raises(AdminError, match=r"record\.md exists: nothing is written over it"):
        _Held(plan, sha256, scene.work).check(None)
