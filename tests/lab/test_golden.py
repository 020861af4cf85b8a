"""Samples that others published or that were measured: each is taken as it is, and answered in its shape."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from regalia.lab.revocations import enqueue
from regalia.lab.sample import CLIENT_ID, CLIENT_SECRET

if TYPE_CHECKING:
    import httpx2

    from lab_parts import Rehearsal

SAMPLES = sorted((Path(__file__).parent / "golden").glob("*.json"))


def shape(value: object) -> object:
    """Reduce JSON to names and kinds of values; a list to what is in it."""
    if isinstance(value, dict):
        return {name: shape(inner) for name, inner in sorted(value.items())}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return type(value).__name__


def filled(lab: Rehearsal, path: Path) -> dict[str, Any]:
    """Read a sample with the values of this rehearsal, and bring about what it speaks of."""
    text = path.read_text(encoding="utf-8")
    values = {"$TENANT": lab.domain, "$CLIENT": CLIENT_ID, "$SECRET": CLIENT_SECRET, "$TRANSACTION": "t-1"}
    if "$REQUEST" in text:
        values["$REQUEST"] = lab.asked().base64()
        lab.validate(values["$REQUEST"])
    if '"hop": "pki"' in text:
        values |= {f"$CONTEXT{n}": enqueue(lab.tenant, f"0{n}", "CN=A", "ca").context for n in (1, 2)}
    if "$CONTEXT1" in text:
        lab.feed("downloadRevocationRequests", {"downloadParameters": {"maxRequests": 50, "issuerName": None}})
    for name, value in values.items():
        text = text.replace(name, value)
    return dict(json.loads(text))


def sent(lab: Rehearsal, sample: dict[str, Any]) -> httpx2.Response:
    """Send a sample's request."""
    path = sample["path"]
    match sample["hop"]:
        case "login":
            headers = {"content-type": "application/x-www-form-urlencoded"}
            return lab.http.post(f"{lab.at.login}/{path}", content=sample["form"].encode(), headers=headers)
        case "graph":
            return lab.graph(path)
        case "scep":
            return lab.scep(path.rpartition("/")[2], sample["request"])
        case _:
            return lab.feed(path.rpartition("/")[2], sample["request"])


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_samples(lab: Rehearsal, path: Path) -> None:
    """A sample request is taken without a change, and its answer has the sample's shape."""
    sample = filled(lab, path)
    answer = sent(lab, sample)
    assert answer.status_code == sample.get("status", 200), answer.text
    assert shape(answer.json()) == shape(sample["response"])
    assert not sample.get("exact") or answer.json() == sample["response"]
