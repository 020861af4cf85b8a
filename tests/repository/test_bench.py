"""The bench: complete results, ratios that are right, and a wrong answer that voids the run. No time is judged here."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import ocsp as x509_ocsp
from tools.bench import console, crl, fleet, growth, kept, lists, ocsp, page, peer, start
from tools.bench.__main__ import concluded
from tools.bench.devices import Device, Sent, Server, judge, make_devices, request
from tools.bench.homes import make_home, opened
from tools.bench.measure import Stopwatch, Tree, VoidRunError, interleaved, median, per_pass_ratios
from tools.bench.plot import Bar, Chart, svg
from tools.bench.report import Bound, Budget, Figure, Report, Row, Table, as_text
from tools.bench.stages import STAGES

from regalia.ra.scep import CertRep
from world import World

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def devices() -> list[Device]:
    """Two devices."""
    return make_devices(2)


def enrolled(devices: list[Device]) -> list[tuple[Sent, bytes]]:
    """Enrol each device in memory; the requests with their answers."""
    world = World()
    door = world.scep.door("default")
    assert door is not None
    server = Server(door.ra.certificate_der, door.authority.certificate_der)
    pairs = []
    for device in devices:
        secret = world.mint(device.names.cn, *(san.value for san in device.names.sans))
        sent = request(device, server, secret)
        answer = world.send(sent.message)
        assert isinstance(answer, CertRep)
        pairs.append((sent, answer.der))
    return pairs


# --- ratios -----------------------------------------------------------------------------------------------------------


def test_a_ratio_is_taken_within_its_pass() -> None:
    """A pass in which everything is three times as slow has the same ratio as the others."""
    costs, bases = [[2.0, 4.0, 90.0], [12.0, 12.0]], [[2.0, 1.0, 2.0], [6.0, 5.0, 7.0]]
    assert per_pass_ratios(costs, bases) == [2.0, 2.0]


def test_a_ratio_needs_as_many_passes_of_both() -> None:
    """A pass without its base is no ratio, and nothing measured is no median."""
    with pytest.raises(ValueError, match="zip"):
        per_pass_ratios([[1.0], [1.0]], [[1.0]])
    with pytest.raises(VoidRunError):
        median([])


def test_variants_take_turns() -> None:
    """Each variant has one turn in each round, and each comes after each other one now and then."""
    turns = list(interleaved(["a", "b", "c"], passes=2, rounds=20))
    assert sorted(turns) == [(name, turn, number) for name in "abc" for turn in range(2) for number in range(20)]
    assert all({name for name, _, _ in turns[first : first + 3]} == set("abc") for first in range(0, len(turns), 3))
    followed = {(before[0], after[0]) for before, after in itertools.pairwise(turns)}
    assert {(one, other) for one in "abc" for other in "abc" if one != other} <= followed


def test_a_stopwatch_leaves_nothing_out_but_its_own_work() -> None:
    """Each stage gets what passed since the last mark, and a stage that comes twice gets both parts."""
    ticks = iter([0.0, 1.0, 1.0, 3.0, 3.5, 4.5, 9.0])
    watch = Stopwatch(lambda: next(ticks))
    watch.mark("parse")
    watch.mark("sign")
    watch.mark("parse")
    assert watch.stages == {"parse": 2.0, "sign": 2.0}
    assert watch.total == 4.0


def test_the_cpu_of_descendants_counts() -> None:
    """What a child of a process burns is the tree's, while it runs and after it was waited for."""
    burn = "import time\nwhile time.process_time() < 0.3: pass\n"
    parent = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {burn!r}])\nprint(flush=True)\ninput()"
    with subprocess.Popen([sys.executable, "-c", parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        tree = Tree(process.pid)
        process.stdout.readline()
        assert tree.cpu() >= 0.29
        assert tree.memory()[0].peak > 0
        process.communicate(b"\n")
    with pytest.raises(VoidRunError):
        tree.refresh()


# --- reports ----------------------------------------------------------------------------------------------------------


def _report(value: float) -> Report:
    figures = [Figure("ratio", value, "times", Budget(Bound.AT_LEAST, 1.5), (value,)), Figure("shown", 12.345, "µs")]
    table = Table("stages", ("stage", "pure"), (Row("parse", (None,)), Row("sign", (885.2,))))
    return Report("scep", figures, 7, "How.", {"passes": 1}, (table,))


@pytest.mark.parametrize(("value", "code", "verdict"), [(1.5, 0, "met"), (1.49, 3, "MISSED")])
def test_a_missed_budget_is_said_and_ends_with_3(
    capsys: pytest.CaptureFixture[str], value: float, code: int, verdict: str
) -> None:
    """Each figure stands beside its budget, and a run beyond one ends with 3."""
    assert concluded(lambda: _report(value), "./regalia bench scep", json=False) == code
    printed = capsys.readouterr().out.splitlines()
    assert printed[1].split()[-3:] == ["≥", "1.5", verdict]
    assert printed[2].split() == ["shown", "12.3", "µs"]
    assert ["parse", "-"] in [line.split() for line in printed]


def test_json_says_where_and_how(capsys: pytest.CaptureFixture[str]) -> None:
    """The data carry command, date and machine, and no name of it."""
    concluded(lambda: _report(2.0), "./regalia bench scep --json", json=True)
    printed = capsys.readouterr().out
    told = json.loads(printed)
    assert told["command"] == "./regalia bench scep --json"
    assert datetime.fromisoformat(told["date"]).tzinfo is not None
    assert {"cores", "python", "cryptography", "sqlite", "files on"} <= told["machine"].keys()
    assert told["commit"]
    assert os.uname().nodename not in json.dumps(told["machine"])
    assert told["figures"][0] == {
        "name": "ratio",
        "value": 2.0,
        "unit": "times",
        "budget": {"bound": "at least", "value": 1.5},
        "met": True,
        "passes": [2.0],
    }
    assert told["tables"][0]["rows"] == [{"name": "parse", "values": [None]}, {"name": "sign", "values": [885.2]}]
    assert told["answers_verified"] == 7


# --- answers ----------------------------------------------------------------------------------------------------------


def test_good_answers_are_counted(devices: list[Device]) -> None:
    """Answers that hold are opened and counted, and make no run void."""
    assert judge(enrolled(devices)) == 2


def test_one_corrupted_answer_voids_the_run(devices: list[Device], capsys: pytest.CaptureFixture[str]) -> None:
    """A single changed octet in one of the answers ends the run with 1, and no figure is printed."""
    (first, good), (second, reply) = enrolled(devices)
    position = len(reply) // 2
    corrupted = reply[:position] + bytes([reply[position] ^ 1]) + reply[position + 1 :]

    def measure() -> Report:
        judge([(first, good), (second, corrupted)])
        return _report(2.0)

    assert concluded(measure, "./regalia bench scep", json=True) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "void" in printed.err


def test_somebody_elses_answer_voids_the_run(devices: list[Device]) -> None:
    """A genuine answer to another request is a bad one, and so is the same certificate twice."""
    (first, to_first), (second, to_second) = enrolled(devices)
    with pytest.raises(VoidRunError):
        judge([(first, to_second), (second, to_first)])
    with pytest.raises(VoidRunError, match="same certificate"):
        judge([(first, to_first), (first, to_first)])


def test_a_refusal_voids_the_run(devices: list[Device]) -> None:
    """A signed FAILURE is an answer that verifies and yet a bad one."""
    world = World()
    door = world.scep.door("default")
    assert door is not None
    sent = request(devices[0], Server(door.ra.certificate_der, door.authority.certificate_der), "no such challenge")
    answer = world.send(sent.message)
    assert isinstance(answer, CertRep)
    with pytest.raises(VoidRunError, match="refused"):
        judge([(sent, answer.der)])


def test_the_peers_answers_are_judged_too(devices: list[Device]) -> None:
    """What is not the peer's own answer to the request voids the run as well."""
    (first, to_first), (_, to_second) = enrolled(devices)
    for wrong in (b"", b"garbage", to_second, to_first):  # the last one is not signed by a CA of its own
        with pytest.raises(VoidRunError):
            peer.judge_peer([(first, wrong)])


def test_a_wrong_ocsp_answer_voids_the_run() -> None:
    """A changed octet, another serial or another status is a bad OCSP answer."""
    key = ec.generate_private_key(ec.SECP256R1())
    name, now = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "ca")]), datetime.now(UTC)
    certificate = x509.CertificateBuilder(name, name, key.public_key(), 17, now, now + timedelta(days=1)).sign(
        key, hashes.SHA256()
    )

    def answer(status: x509_ocsp.OCSPCertStatus) -> bytes:
        revoked = now if status is x509_ocsp.OCSPCertStatus.REVOKED else None
        builder = x509_ocsp.OCSPResponseBuilder().add_response(
            certificate, certificate, hashes.SHA1(), status, now, None, revoked, None  # noqa: S303 - names the issuer
        )  # fmt: skip
        signed = builder.responder_id(x509_ocsp.OCSPResponderEncoding.HASH, certificate).sign(key, hashes.SHA256())
        return signed.public_bytes(serialization.Encoding.DER)

    good = answer(x509_ocsp.OCSPCertStatus.GOOD)
    assert ocsp.judge([good, good], 17, certificate) == 2
    for wrong, serial in (
        (good[:-1] + bytes([good[-1] ^ 1]), 17),
        (good, 18),
        (answer(x509_ocsp.OCSPCertStatus.REVOKED), 17),
    ):
        with pytest.raises(VoidRunError):
            ocsp.judge([good, wrong], serial, certificate)


def test_a_damaged_crl_voids_the_run(tmp_path: Path) -> None:
    """A published CRL with another number of entries, or with a changed octet, is a bad one."""
    home = make_home(tmp_path / "home")
    crl.revoke(home, 10)
    with opened(home) as app:
        app.crls.publish("default-ca-1")
        published = app.crl_files.published("default-ca-1")
    assert published is not None
    file = Path(published.path)
    assert crl.judge(home, 10, with_openssl=True) == 1
    with pytest.raises(VoidRunError, match="10 of 11"):
        crl.judge(home, 11)
    octets = file.read_bytes()
    file.write_bytes(octets[:-1] + bytes([octets[-1] ^ 1]))
    with pytest.raises(VoidRunError):
        crl.judge(home, 10)


# --- the page ---------------------------------------------------------------------------------------------------------


def test_the_page_is_the_one_that_the_results_give() -> None:
    """docs/performance.md and its charts are made of the committed results, and nobody has changed them since."""
    assert page.outdated(kept.saved()) == []


def test_results_of_all_subjects_are_kept() -> None:
    """Each has its command, date, commit and machine, no figure without a value, and says nothing of whose machine."""
    results = kept.saved()
    assert list(results) == list(kept.SUBJECTS)
    for subject, result in results.items():
        assert result["command"].startswith(f"./regalia bench {subject}")
        assert datetime.fromisoformat(result["date"]).tzinfo is not None
        assert result["commit"]
        assert result["answers_verified"] > 0
        assert all(figure["value"] > 0 for figure in result["figures"])
        text = json.dumps(result)
        assert not [name for name in (os.uname().nodename, str(ROOT), "/tmp", "/home", "/root") if name in text]  # noqa: S108 - looked for, not used


def test_the_page_shows_every_figure() -> None:
    """Each figure of the results stands on the page, and each with a budget among the budgets, met or not."""
    results = kept.saved()
    text = page.files(results)[page.PAGE]
    budgets = text.partition("## Budgets")[2].partition("\n## ")[0]
    for result in results.values():
        for figure in result["figures"]:
            assert f"| {figure['name']} | " in text
            assert (f"| {figure['name']} | " in budgets) is (figure["budget"] is not None)


def test_a_changed_result_makes_the_page_old() -> None:
    """The page follows the results: another value is another page and another chart."""
    results = json.loads(json.dumps(kept.saved()))
    results["ocsp"]["figures"][0]["value"] *= 2
    results["crl"]["figures"][0]["value"] *= 2
    assert {str(path) for path in page.outdated(results)} >= {"docs/performance.md", "docs/performance/crl-cpu.svg"}


def test_a_chart_is_drawn_to_scale() -> None:
    """Bars begin at one line and are as long as their values, and a budget stands where its value ends."""
    chart = Chart("A < B", [Bar('one "half"', (10.0, 10.0), "20", 40.0), Bar("two", (30.0, 10.0), "40")], ("a", "b"))
    root = ET.fromstring(svg(chart))  # noqa: S314 - our own octets
    space = "{http://www.w3.org/2000/svg}"
    bars = [each for each in root.iter(f"{space}rect") if each.get("height") == "12"]
    left = [float(each.attrib["x"]) for each in bars]
    wide = [float(each.attrib["width"]) for each in bars]
    assert left[0] == left[2]
    assert left[1] == pytest.approx(left[0] + wide[0], abs=0.11)
    assert wide[2] == pytest.approx(3 * wide[0], abs=0.2)
    budget = next(each for each in root.iter(f"{space}line") if each.get("y1") != "28")
    assert float(budget.attrib["x1"]) == pytest.approx(left[3] + wide[3], abs=0.2)
    assert max(one + other for one, other in zip(left, wide, strict=True)) < float(root.attrib["width"])
    texts = [each.text for each in root.iter(f"{space}text")]
    assert texts == ["A < B", "a", "b", "budget", 'one "half"', "20", "two", "40"]


# --- whole runs -------------------------------------------------------------------------------------------------------


def test_scep_gives_complete_results() -> None:
    """`bench scep` measures each stage, both databases, both kinds of CA and the peer, and verifies every answer."""
    command = [sys.executable, "-m", "tools.bench", "scep", "--least", "--json"]
    result = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert result.returncode in {0, 3}, result.stderr
    told = json.loads(result.stdout)
    names = [figure["name"] for figure in told["figures"]]
    for kind in ("P-256", "RSA-2048"):
        for database in ("SQLite", "PostgreSQL"):
            assert f"enrolment in process ÷ pure crypto, {kind} CA, {database}" in names
            assert f"enrolments per CPU second ÷ scepserver's, {kind} CA, {database}" in names
        floor = f"pure crypto and bare commits ÷ pure crypto, {kind} CA, SQLite"
        values = {figure["name"]: figure["value"] for figure in told["figures"]}
        assert 1 < values[floor] < values[f"enrolment in process ÷ pure crypto, {kind} CA, SQLite"]
    assert sum(figure["budget"] is not None for figure in told["figures"]) == 5
    assert all(figure["value"] > 0 and len(figure["passes"]) == 1 for figure in told["figures"])
    stages = told["tables"][0]["rows"]
    assert [row["name"] for row in stages[: len(STAGES)]] == list(STAGES)
    assert all(all(value for value in row["values"][1:]) for row in stages)
    pure = {row["name"] for row in stages if row["values"][0]}
    assert pure == {"message", "RA decryption", "request", "CA signature", "reply", "RA signature", "all stages"}
    # Per database and CA: 2 whole and 2 staged ones to warm up, one of each; over HTTP 2 and 2 for each of 6 servers.
    assert told["answers_verified"] == 4 * 6 + 6 * 4


def test_growth_gives_complete_results() -> None:
    """`bench growth` fills both databases, whose logs verify, and finds what it stored by each of the four ways."""
    report = growth.measure(growth.LEAST)
    names = [figure.name for figure in report.figures]
    for database in ("SQLite", "PostgreSQL"):
        assert f"enrolment with 100 certificates stored ÷ with 10, {database}" in names
        for what in ("serial", "conversation", "subject", "device"):
            assert f"look-up by {what} among 100, {database}" in names
    assert all(figure.budget is not None and figure.value > 0 for figure in report.figures)
    assert report.verified == 4 * (5 + 2)


def test_lists_gives_complete_results() -> None:
    """`bench lists` asks for pages, searches and objects on both databases, and finds what is there and only that."""
    report = lists.measure(lists.LEAST)
    assert [figure.name for figure in report.figures] == [
        f"{what} among 300 certificates, {database}, p95"
        for database in ("SQLite", "PostgreSQL")
        for what in ("a list", "a filtered list", "a search", "one object")
    ]
    assert all(figure.budget is not None and figure.value > 0 for figure in report.figures)
    assert len(report.tables[0].rows) * lists.LEAST.rounds == report.verified


def test_console_gives_complete_results() -> None:
    """`bench console` asks a served console for its pages on both databases, and each shows what is there."""
    report = console.measure(console.LEAST)
    assert [figure.name for figure in report.figures] == [
        f"{what} among 300 certificates and 50 devices, {database}, p95"
        for database in ("SQLite", "PostgreSQL")
        for what in ("the dashboard", "a list", "a search", "a certificate's page", "a device's page")
    ]
    assert all(figure.budget is not None and figure.value > 0 for figure in report.figures)
    assert len(report.tables[0].rows) * console.LEAST.rounds == report.verified


def test_fleet_gives_complete_results() -> None:
    """`bench fleet` plans for a fleet on both databases, and finds the wiped devices' certificates and no others."""
    report = fleet.measure(fleet.LEAST)
    names = [figure.name for figure in report.figures]
    assert len(set(names)) == len(names)
    for named in ("SQLite", "PostgreSQL"):
        assert sum(name.endswith(named) for name in names) * 2 == len(names)
    assert report.verified > 0


def test_ocsp_gives_complete_results() -> None:
    """`bench ocsp` compares cached answers by GET and POST with the bare server, and measures fresh ones."""
    report = ocsp.measure(ocsp.LEAST)
    assert [figure.name for figure in report.figures if figure.budget] == [
        "cached answer ÷ bare uvicorn answer, GET",
        "cached answer ÷ bare uvicorn answer, POST",
        "fresh answer in process, P-256",
    ]
    assert all(figure.value > 0 for figure in report.figures)
    cached, bare = (report.figures[number].passes[0] for number in (2, 6))
    assert report.figures[0].passes[0] == pytest.approx(cached / bare)
    assert report.verified == 3 + 3 * 2 * 80
    assert "bare" in as_text(report)


def test_crl_gives_complete_results() -> None:
    """`bench crl` publishes each size in a process of its own, reads it back and asks OCSP about a sample."""
    report = crl.measure(crl.Sizes(passes=1, entries=(100,)))
    assert [figure.name for figure in report.figures] == ["CRL of 100 entries, CPU", "CRL of 100 entries, over idle"]
    assert report.figures[0].value > 0
    assert report.verified == 1 + 3 * 100


def test_start_gives_complete_results() -> None:
    """`bench start` times the three commands and reads the memory of the server idle and under load."""
    report = start.measure(start.LEAST)
    assert [figure.met is None for figure in report.figures] == [False] * 5
    assert all(figure.value > 0 for figure in report.figures)
    assert report.figures[4].value >= report.figures[3].value
    assert report.verified == start.LEAST.enrolments
