"""README and docs do what they say: every `console` block runs, and what does not run is listed here."""

from __future__ import annotations

from pathlib import Path

import pytest

from docs.console import blocks, home_for, run_page

ROOT = Path(__file__).resolve().parents[2]
RUN = [path for path in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))) if path.exists()]
READ = [
    *RUN,
    *(ROOT / name for name in ("ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md") if (ROOT / name).exists()),
]
SHELLS = {"bash", "sh", "shell", "zsh", "shell-session"}

NOT_RUN: dict[str, tuple[str, ...]] = {
    "CONTRIBUTING.md": (
        "./regalia test",
        "./regalia test --unit",
        "./regalia test tests/wire -k scep",
        "./regalia lint",
        "./regalia docs",
        "./regalia demo",
        "./regalia bench scep --quick",
        "./regalia faults --minutes 3",
        "./regalia fuzz --seconds 60",
        "UV='.tools/uv/bin/uv pip compile --universal --python-version 3.11 --generate-hashes --no-header'",
        "$UV --extra hsm pyproject.toml -o requirements/base.lock",
        "$UV --extra dev pyproject.toml -o requirements/dev.lock",
        "echo 'uv==NEW' | $UV --no-annotate - -o requirements/uv.lock",
    ),
    "docs/faults.md": (
        "./regalia faults",
        "./regalia faults --minutes 60 --database postgresql --seed 4711 --json > faults.json",
        "./regalia test --long tests/faults",
        "./regalia faults --hsm --minutes 3",
    ),
    "docs/tasks/alerts.md": ("regalia alert delivery replay 019a1b2c",),
    "docs/tasks/jobs.md": ("regalia job run audit-certificates", "regalia job show audit-certificates"),
    "docs/tasks/connect-an-inventory.md": ("regalia connector test intune",),
    "docs/tasks/devices.md": ("regalia device list --search laptop",),
    "docs/tasks/intune.md": (
        "regalia connector create intune intune --set tenant=TENANT --set client_id=CLIENT --secret-file client-secret",
        "regalia connector test intune",
        "regalia profile create managed --group default --file managed.toml",
        "regalia endpoint create managed --group default --profile managed --authoriser connector --connector intune",
        "regalia connector show intune",
        "regalia endpoint values managed --platform windows",
        "regalia endpoint file managed root --out root.cer",
        "regalia endpoint file managed authority --out authority.cer",
        "regalia endpoint file managed graph --platform windows --out managed-windows.json",
        "regalia enrolment list",
        "regalia device list",
    ),
    "docs/tasks/blocked-keys.md": ("regalia key-blocklist import badkeys --file blocklist.dat --format badkeys",),
    "docs/tasks/enrol-devices.md": (
        "getcert add-scep-ca -c regalia -u http://pki.example.org:8080/scep/default",
        "getcert request -c regalia -I device -k /etc/ssl/private/device.key -f /etc/ssl/certs/device.pem \\",
        "getcert list -i device",
        "URL=http://pki.example.org:8080/scep/default",
        "pki --scepca --url $URL --caout ca.pem --raout ra.pem --outform pem",
        "pki --gen --type rsa --size 2048 --outform pem > device.key",
        "pki --scep --url $URL --in device.key --dn CN=laptop-17 --san laptop-17.example.com --password CHALLENGE \\",
        "pki --scep --url $URL --in device.key --dn CN=laptop-17 --cert device.pem --key device.key \\",
    ),
    "docs/tasks/https-for-devices.md": (
        "regalia serve --listen 0.0.0.0:8080 --listen-tls 0.0.0.0:8443",
        "curl --cacert root.pem 'https://pki.example.org:8443/scep/default?operation=GetCACaps'",
    ),
    "docs/tasks/install.md": (
        "apt-get install --no-install-recommends python3-venv",
        "python3 -m venv /opt/regalia",
        "/opt/regalia/bin/pip install --require-hashes -r requirements/base.lock",
        "/opt/regalia/bin/pip install --no-deps .",
        "adduser --system --group --home /var/lib/regalia --no-create-home regalia",
        "install -d -o regalia -g regalia -m 700 /var/lib/regalia /etc/regalia",
        "sudo -u regalia sh -c 'umask 077 && openssl rand -hex 32 > /etc/regalia/master.key'",
        "regalia init --url http://pki.example.org:8080",
        "systemctl enable --now regalia",
        "regalia doctor",
        "sudo -u postgres createuser regalia",
        "sudo -u postgres createdb -O regalia regalia",
        "regalia init --url http://pki.example.org:8080 --database postgresql://regalia@/regalia",
    ),
    "docs/tasks/nodes.md": (
        "export REGALIA_MASTER_KEY_FILE=/etc/regalia/master.key",
        "regalia init --url http://pki.example.org:8080 --database postgresql://regalia@db.example.org/regalia",
        "export REGALIA_MASTER_KEY_FILE=/etc/regalia/master.key",
        "regalia init --database postgresql://regalia@db.example.org/regalia",
    ),
    "docs/tasks/rotate-the-master-key.md": ("regalia key rotate-master --medium /mnt/root --yes",),
    "docs/tasks/separate-signer.md": (
        "adduser --system --group --home /var/lib/regalia-signer --no-create-home regalia-signer",
        "install -d -o regalia-signer -g regalia-signer -m 700 /var/lib/regalia-signer",
        "install -d -m 700 /etc/regalia-signer",
        "mv /var/lib/regalia/signer.key /etc/regalia-signer/signer.key",
        "chown root:root /etc/regalia-signer/signer.key",
        (
            "printf '[database]\\nurl = \"postgresql://regalia-signer@/regalia\"\\n'"
            " > /var/lib/regalia-signer/regalia.toml"
        ),
        "psql regalia -c 'CREATE ROLE \"regalia-signer\" LOGIN'",
        "psql regalia -c 'GRANT USAGE ON SCHEMA public TO \"regalia-signer\"'",
        "psql regalia -c 'GRANT SELECT ON ALL TABLES IN SCHEMA public TO \"regalia-signer\"'",
        "psql regalia -c 'GRANT INSERT, UPDATE, DELETE ON wrapped_key TO \"regalia-signer\"'",
        "psql regalia -c 'GRANT INSERT, UPDATE ON key_record TO \"regalia-signer\"'",
        "psql regalia -c 'GRANT INSERT ON event TO \"regalia-signer\"'",
        "psql regalia -c 'GRANT USAGE ON SEQUENCE event_position_seq TO \"regalia-signer\"'",
        "psql regalia -c 'GRANT INSERT, UPDATE ON event_stream TO \"regalia-signer\"'",
        "psql regalia -c 'ALTER DEFAULT PRIVILEGES FOR ROLE regalia GRANT SELECT ON TABLES TO \"regalia-signer\"'",
    ),
    "docs/tasks/sign-in.md": (
        "regalia admin create bob --role operator:default",
        "regalia admin setup-link bob --yes",
        "regalia admin rescue alice --yes",
    ),
    "docs/tasks/signer-on-another-host.md": (
        "EC='-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes'",
        "openssl req -x509 $EC -days 3650 -subj /CN=link -keyout link.key -out link.crt",
        "openssl req $EC -subj /CN=plant -keyout p.key -out p.csr",
        "echo subjectAltName=DNS:plant.example.org > p.ext",
        "openssl x509 -req -in p.csr -CA link.crt -CAkey link.key -days 825 -extfile p.ext -out p.crt",
        "install -d -m 700 /var/lib/regalia-signer",
        "(umask 077 && openssl rand -hex 32 > /var/lib/regalia-signer/signer.key)",
        "export REGALIA_HOME=/var/lib/regalia-signer",
        "regalia signer --listen 10.0.0.5:8444 --tls-cert p.crt --tls-key p.key --client-ca link.crt --client node-1",
        "regalia group create plant",
    ),
    "docs/tasks/upgrade-and-backup.md": (
        "regalia doctor --home restored",
        "regalia serve --home restored",
        "regalia ca import default-ca-2 --certificate default-ca-2.pem --home restored",
        "regalia ca crl default-ca-2 --import default-ca-2.crl --home restored",
        "regalia ca revoke default-ca-2 --reason cessation-of-operation --root-key medium --home restored",
    ),
}
"""The commands in `text` blocks, by page: those that cannot run within a test (the test run itself, apt, long runs)."""


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("page", RUN, ids=_name)
def test_each_console_block_runs(page: Path, tmp_path: Path) -> None:
    """A newcomer who types what a page shows sees what the page shows."""
    with home_for(ROOT, tmp_path) as environment:
        run_page(page, environment)


def test_commands_that_do_not_run_are_listed() -> None:
    """A command outside a `console` block stands in the list above, so that each one was meant."""
    found = {_name(page): _commands_outside_console(page) for page in READ}
    assert {name: lines for name, lines in found.items() if lines} == NOT_RUN


def _commands_outside_console(page: Path) -> tuple[str, ...]:
    outside = [block for block in blocks(page.read_text(encoding="utf-8")) if block.language != "console"]
    lines = [(block, line) for block in outside for line in block.lines if line.startswith("$ ")]
    assert {block.language for block, _ in lines} <= {"text"}, f"{_name(page)}: use console or text for commands"
    return tuple(line[2:] for _, line in lines)


@pytest.mark.parametrize("page", READ, ids=_name)
def test_no_block_is_a_script(page: Path) -> None:
    """No block is written for a shell in a way that no test would see."""
    languages = {block.language for block in blocks(page.read_text(encoding="utf-8"))}
    assert languages & SHELLS == set(), "use console (it runs) or text (it is listed)"
