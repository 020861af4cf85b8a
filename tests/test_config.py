"""Configuration: one file, the environment over it, all problems at once."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

import pytest

from regalia import reasons
from regalia.config import Address, Config, ConfigRefusedError, find_home, load_config, write_initial
from regalia.config.settings import SECTIONS
from regalia.errors import AdminError
from regalia.web.protocol import ConnectionLimits

URL = {"REGALIA_SERVER__URL": "http://ca.example.org:8080"}


def _file(home: Path, text: str, mode: int = 0o600) -> Path:
    path = home / "regalia.toml"
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return path


def _load(home: Path, text: str = "", **environment: str) -> Config:
    if text:
        _file(home, text)
    return load_config(URL | environment, home=home)


def _problems(home: Path, text: str = "", **environment: str) -> list[str]:
    with pytest.raises(ConfigRefusedError) as refused:
        _load(home, text, **environment)
    assert refused.value.reason is reasons.CONFIG_REFUSED
    return [str(problem) for problem in refused.value.problems]


def test_home_without_a_file_has_the_defaults(tmp_path: Path) -> None:
    """A home without regalia.toml is served on loopback from its own SQLite database (R11)."""
    config = _load(tmp_path)
    assert (config.server.listen, config.server.admin_listen) == (
        Address("127.0.0.1", 8080),
        Address("127.0.0.1", 8443),
    )
    assert config.database.url == f"sqlite:///{tmp_path}/regalia.db"
    assert config.database.is_sqlite
    assert (config.limits.post_octets, config.limits.url_octets, config.limits.message_octets) == (65536, 49152, 32768)
    assert (config.ocsp.good_seconds, config.crl.issuing_days) == (600, 7)
    assert config.issuance.lease_seconds == 60


def test_default_limits_are_those_that_were_agreed(tmp_path: Path) -> None:
    """Nobody who sets nothing is without a limit (CHA-3, ENV-9, RES-2, RES-5)."""
    config = _load(tmp_path)
    limits = config.limits
    assert (limits.wrong_challenges_per_source, limits.wrong_challenges_per_group) == (10, 100)
    assert (limits.unreadable_per_source, limits.unreadable_per_group) == (100, 1_000)
    assert (limits.requests_per_group, limits.certificates_per_device) == (6000, 5)
    assert (limits.pending_per_group, limits.pending_days) == (1000, 30)
    assert (config.server.connections, config.server.connections_per_source) == (1000, 50)


def test_a_worker_for_each_processor_by_default(tmp_path: Path) -> None:
    """As many workers are started as this process may use processors (DESIGN §5)."""
    assert _load(tmp_path).server.workers == min(len(os.sched_getaffinity(0)), 64)
    assert _load(tmp_path, REGALIA_SERVER__WORKERS="3").server.workers == 3


@pytest.mark.parametrize("seconds", [1, 601])
def test_a_lease_is_neither_too_short_nor_too_long(tmp_path: Path, seconds: int) -> None:
    """A lease that a commit could outlive, or that would leave serials open for long, is refused."""
    (found,) = _problems(tmp_path, REGALIA_ISSUANCE__LEASE_SECONDS=str(seconds))
    assert found.startswith("issuance.lease_seconds (REGALIA_ISSUANCE__LEASE_SECONDS): ")


def test_later_source_is_stronger(tmp_path: Path) -> None:
    """The environment is stronger than the file, and the command line stronger than both."""
    _file(tmp_path, "[server]\nthreads = 2\nqueue = 5\n[ocsp]\ngood_seconds = 300\n")
    environment = URL | {"REGALIA_SERVER__THREADS": "3", "REGALIA_SERVER__QUEUE": "6"}
    config = load_config(environment, home=tmp_path, options={"server.queue": "7"})
    assert (config.ocsp.good_seconds, config.server.threads, config.server.queue) == (300, 3, 7)


def test_effective_values_tell_their_source(tmp_path: Path) -> None:
    """Every setting is listed once with its value and where it came from."""
    _file(tmp_path, "[log]\nlevel = 'debug'\n")
    config = load_config(URL, home=tmp_path, options={"server.listen": "[::1]:0"})
    rows = {row.key: (row.value, row.source) for row in config.effective()}
    assert rows["log.level"] == ("debug", "regalia.toml")
    assert rows["server.url"] == ("http://ca.example.org:8080", "REGALIA_SERVER__URL")
    assert rows["server.listen"] == ("[::1]:0", "command line")
    assert rows["server.threads"] == ("4", "default")
    assert rows["home"] == (str(tmp_path), "command line")
    settings = {f"{name}.{key}" for name, model in SECTIONS.items() for key in model.model_fields}
    assert settings - rows.keys() == {"database.password_file"}


def test_all_problems_come_together(tmp_path: Path) -> None:
    """Whoever has five mistakes reads of five mistakes, each with its path, its source and what to do."""
    text = "[server]\nlistne = '0.0.0.0:80'\nthreads = 0\n[databse]\nurl = 'x'\n[log]\nlevel = 'loud'\n"
    found = _problems(tmp_path, text, REGALIA_CRL__ISSUING_DAYS="soon")
    assert [line.partition(":")[0] for line in found] == [
        "server.listne (regalia.toml)",
        "databse (regalia.toml)",
        "server.threads (regalia.toml)",
        "crl.issuing_days (REGALIA_CRL__ISSUING_DAYS)",
        "log.level (regalia.toml)",
    ]
    assert found[0].endswith("unknown setting; did you mean server.listen?")
    assert found[1].endswith("unknown section; did you mean database?")


def test_unknown_variable_is_a_problem(tmp_path: Path) -> None:
    """A misspelt REGALIA_SECTION__KEY is refused with a suggestion; variables without a section are not looked at."""
    (found,) = _problems(tmp_path, REGALIA_SERVER__ADMIN_LISTN="x", REGALIA_CHALLENGE="y")
    assert found == (
        "server.admin_listn (REGALIA_SERVER__ADMIN_LISTN): unknown setting; did you mean server.admin_listen?"
    )


def test_a_url_limit_is_one_that_the_listener_lets_through(tmp_path: Path) -> None:
    """No limit of a URL may be set that the connection's own bound would answer first (R7)."""
    longest = 64_000
    assert longest < ConnectionLimits().url
    assert _load(tmp_path, REGALIA_LIMITS__URL_OCTETS=f"{longest}").limits.url_octets == longest
    (found,) = _problems(tmp_path, REGALIA_LIMITS__URL_OCTETS=f"{longest + 1}")
    assert "limits.url_octets" in found


@pytest.mark.parametrize("text", ["[server", "a = 1\na = 2\n", "server = 3\n"])
def test_file_that_is_no_configuration_is_refused(tmp_path: Path, text: str) -> None:
    """Broken TOML and a value where a section belongs are problems, not crashes."""
    assert len(_problems(tmp_path, text)) == 1


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:8080", Address("127.0.0.1", 8080)),
        ("localhost:0", Address("localhost", 0)),
        ("[::1]:65535", Address("::1", 65535)),
        ("0.0.0.0:80", Address("0.0.0.0", 80)),  # noqa: S104 - an address to read, nothing listens
    ],
)
def test_address_reads_and_prints_alike(text: str, address: Address) -> None:
    """An address is HOST:PORT, IPv6 in brackets, and prints as it was written."""
    assert Address.parse(text) == address
    assert str(address) == text


@pytest.mark.parametrize("text", ["8080", ":8080", "::1:8080", "host:", "host:65536", "[host]:80", "a b:80", "h:-1"])
def test_address_of_another_form_is_refused(tmp_path: Path, text: str) -> None:
    """Anything else is refused with the form that is wanted."""
    (found,) = _problems(tmp_path, REGALIA_SERVER__LISTEN=text)
    assert "is not HOST:PORT" in found


@pytest.mark.parametrize(
    "url",
    [
        "https://ca.example.org",
        "ca.example.org:8080",
        "http://",
        "http://u@ca.example.org",
        "http://ca.example.org?x=1",
        "http://ca.example.org/#f",
        "http://ca.example.org:0",
        "http://ca.example.org:99999",
        "http://[::1",
        'http://ca.example.org/"',
        "http://ca.example.org/ä",
        "http://ca.example.org/" + "a" * 200,
    ],
)
def test_url_that_certificates_cannot_carry_is_refused(tmp_path: Path, url: str) -> None:
    """The public URL is plain http, printable ASCII, and nothing but host, port and path."""
    (found,) = _problems(tmp_path, REGALIA_SERVER__URL=url)
    assert found.startswith("server.url (REGALIA_SERVER__URL): ")


def test_url_ends_without_a_slash(tmp_path: Path) -> None:
    """The public URL is kept without the slash at its end, so that paths can be joined to it."""
    assert _load(tmp_path, REGALIA_SERVER__URL="http://[2001:db8::1]/pki/").server.url == "http://[2001:db8::1]/pki"


@pytest.mark.parametrize(
    ("given", "meant"),
    [("https://scep.example.org:8443/", "https://scep.example.org:8443"), ("http://pki", "http://pki"), ("", None)],
)
def test_devices_may_be_told_another_address(tmp_path: Path, given: str, meant: str | None) -> None:
    """`server.enrol_url` is http or https, and empty for none."""
    assert _load(tmp_path, REGALIA_SERVER__ENROL_URL=given).server.enrol_url == meant


@pytest.mark.parametrize(
    "given", ["ftp://pki.example.org", "https://", "https://pki.example.org/?a=b", "pki.example.org"]
)
def test_another_address_is_a_url(tmp_path: Path, given: str) -> None:
    """What is no address is refused by the setting's name."""
    with pytest.raises(AdminError, match=r"server\.enrol_url"):
        _load(tmp_path, REGALIA_SERVER__ENROL_URL=given)


def test_password_in_the_url_is_split_off(tmp_path: Path) -> None:
    """A password in the database URL is kept apart, prints as stars, and goes back encoded for the driver alone."""
    config = _load(
        tmp_path, "[database]\nurl = 'postgresql://reg:p%40ss@db.example.org:5432/regalia?sslmode=require'\n"
    )
    assert config.database.url == "postgresql://reg@db.example.org:5432/regalia?sslmode=require"
    assert config.database.connection_url() == "postgresql://reg:p%40ss@db.example.org:5432/regalia?sslmode=require"
    assert "p@ss" not in repr(config)
    assert "p%40ss" not in repr(config)
    rows = {row.key: (row.value, row.source) for row in config.effective()}
    assert rows["database.password"] == ("********", "database.url")


def test_password_comes_from_a_file(tmp_path: Path) -> None:
    """A password file is relative to the home and loses its newline."""
    secret = tmp_path / "db.password"
    secret.write_text("s/e:c@ret\n", encoding="utf-8")
    secret.chmod(0o600)
    text = "[database]\nurl = 'postgresql://reg@db/regalia'\npassword_file = 'db.password'\n"
    config = _load(tmp_path, text)
    assert config.database.connection_url() == "postgresql://reg:s%2Fe%3Ac%40ret@db/regalia"
    assert config.database.password_from == str(secret)


@pytest.mark.parametrize(
    "text",
    [
        "url = 'mysql://db/regalia'",
        "url = 'postgresql://db'",
        "url = 'postgresql://u:s3/cret@db/regalia'",
        "url = 'sqlite:/regalia.db'",
        "url = 'sqlite:///regalia.db?mode=ro'",
        "password_file = 'there'",
        "url = 'postgresql://db/regalia'\npassword_file = 'there'",
        "url = 'postgresql://u:p@db/regalia'\npassword_file = 'there'",
        "url = 'postgresql://u@db/regalia'\npassword_file = 'missing'",
    ],
)
def test_database_that_cannot_be_is_refused(tmp_path: Path, text: str) -> None:
    """Other databases, incomplete URLs, and a password for what takes none or has one are refused."""
    (tmp_path / "there").write_text("x", encoding="utf-8")
    (tmp_path / "there").chmod(0o600)
    (found,) = _problems(tmp_path, f"[database]\n{text}\n")
    assert found.startswith("database.")
    assert "s3" not in found


def test_sqlite_path_is_relative_to_the_home(tmp_path: Path) -> None:
    """A relative SQLite path lies in the home; an absolute one stays."""
    assert _load(tmp_path, "[database]\nurl = 'sqlite:///d/x.db'").database.url == f"sqlite:///{tmp_path}/d/x.db"
    assert _load(tmp_path, "[database]\nurl = 'sqlite:////srv/x.db'").database.url == "sqlite:////srv/x.db"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
def test_readable_secret_is_refused(tmp_path: Path, mode: int) -> None:
    """A configuration with a password that others may read is refused (SEC-3)."""
    _file(tmp_path, "[database]\nurl = 'postgresql://reg:pass@db/regalia'\n", mode)
    with pytest.raises(AdminError) as refused:
        load_config(URL, home=tmp_path)
    assert refused.value.reason is reasons.PERMISSIONS_REFUSED
    assert "pass@" not in str(refused.value)


def test_readable_password_file_is_refused(tmp_path: Path) -> None:
    """A password file that others may read is refused (SEC-3)."""
    (tmp_path / "pw").write_text("x", encoding="utf-8")
    (tmp_path / "pw").chmod(0o640)
    with pytest.raises(AdminError) as refused:
        _load(tmp_path, "[database]\nurl = 'postgresql://reg@db/regalia'\npassword_file = 'pw'\n")
    assert refused.value.reason is reasons.PERMISSIONS_REFUSED


def test_readable_configuration_without_a_secret_is_fine(tmp_path: Path) -> None:
    """A configuration that holds no secret may be read by everybody."""
    _file(tmp_path, "[server]\nthreads = 2\n", 0o644)
    assert load_config(URL, home=tmp_path).server.threads == 2


def test_home_is_named_in_one_order(tmp_path: Path) -> None:
    """The command line is stronger than REGALIA_HOME, which is stronger than the user's default (R11)."""
    environment = {"REGALIA_HOME": str(tmp_path / "b"), "HOME": str(tmp_path)}
    assert find_home(environment, tmp_path / "a") == tmp_path / "a"
    assert find_home(environment) == tmp_path / "b"
    default = find_home({"HOME": str(tmp_path)})
    assert default in (Path("/var/lib/regalia"), tmp_path / ".local/share/regalia")
    assert find_home(environment, Path("relative")).is_absolute()


def test_a_home_has_one_path(tmp_path: Path) -> None:
    """A home that is named by way of another directory is the same home."""
    assert find_home({}, tmp_path / "work" / ".." / "a") == tmp_path / "a"
    assert find_home({"REGALIA_HOME": f"{tmp_path}/work/../b"}) == tmp_path / "b"


def test_master_key_variables_travel_with_the_configuration(tmp_path: Path) -> None:
    """What names the master key is handed on, since no other room reads the environment."""
    config = _load(tmp_path, REGALIA_MASTER_KEY_FILE="/srv/key", CREDENTIALS_DIRECTORY="", PATH="/bin")
    assert config.key_environment == {"REGALIA_MASTER_KEY_FILE": "/srv/key"}


def test_initial_file_says_what_holds_anyway(tmp_path: Path) -> None:
    """What init writes loads to the defaults, names every setting, and is private."""
    path = write_initial(tmp_path, "http://ca.example.org:8080")
    assert path.stat().st_mode & 0o777 == 0o600
    written = load_config({}, home=tmp_path)
    assert written.server == _load(tmp_path / "elsewhere").server
    assert written.sources["server.url"] == "regalia.toml"
    text = path.read_text(encoding="utf-8")
    for name, model in SECTIONS.items():
        for key in model.model_fields:
            assert f"{key} = " in text.partition(f"[{name}]")[2].partition("\n[")[0]


def test_every_comment_of_the_initial_file_is_a_setting(tmp_path: Path) -> None:
    """Whoever removes the `# ` before a setting has the default in force, said aloud."""
    text = write_initial(tmp_path, "http://ca.example.org:8080").read_text(encoding="utf-8")
    lines = [line.removeprefix("# ") if " = " in line else line for line in text.splitlines()]
    kept = [line for line in lines if not line.startswith(("password_file", 'url = ""'))]
    _file(tmp_path, "\n".join(kept))
    assert tomllib.loads("\n".join(kept))["limits"]["post_octets"] == 65536
    loud, quiet = load_config({}, home=tmp_path), _load(tmp_path / "elsewhere")
    assert (loud.server, loud.ocsp, loud.crl, loud.issuance, loud.limits, loud.log) == (
        quiet.server,
        quiet.ocsp,
        quiet.crl,
        quiet.issuance,
        quiet.limits,
        quiet.log,
    )


def test_initial_file_is_written_once(tmp_path: Path) -> None:
    """A home that has a configuration keeps it (R11)."""
    _file(tmp_path, "# mine\n")
    with pytest.raises(AdminError) as refused:
        write_initial(tmp_path, "http://ca.example.org:8080")
    assert refused.value.reason is reasons.HOME_USED
    assert (tmp_path / "regalia.toml").read_text(encoding="utf-8") == "# mine\n"


def test_unwritable_home_is_said(tmp_path: Path) -> None:
    """A home that is not there cannot be written to, and the error names the file."""
    with pytest.raises(AdminError) as refused:
        write_initial(tmp_path / "missing", "http://ca.example.org:8080")
    assert refused.value.reason is reasons.FILE_REFUSED


# --- TLS and proxies --------------------------------------------------------------------------------------------------


def test_tls_for_devices_is_off_unless_asked_for(tmp_path: Path) -> None:
    """R11: no TLS listener, no trusted proxy, no file by default, nor where the file has empty texts."""
    empty = (
        'listen_tls = ""\ntls_certificate = ""\ntls_key = ""\ntls_names = []\ntls_group = ""\ntrusted_proxies = []\n'
    )
    for text in ("", f"[server]\n{empty}"):
        server = _load(tmp_path, text).server
        assert (server.listen_tls, server.tls_certificate, server.tls_key, server.tls_group) == (None, None, None, None)
        assert (server.tls_names, server.trusted_proxies, server.proxy_header) == ((), (), "x-forwarded-for")


@pytest.mark.parametrize("role", ["operator:", "operator: ", "operator:a,,b", "operator:A", "owner", ":staff"])
def test_a_claim_gives_no_more_than_is_written(tmp_path: Path, role: str) -> None:
    """AUTHZ-1: a role whose groups are left out behind the colon is a mistake, and not a role everywhere."""
    provider = 'key = "house"\nname = "House"\nissuer = "https://id.example.test"\nclient_id = "regalia"\n'
    table = f'[[admin.oidc]]\n{provider}client_secret_file = "secret"\nroles = {{ "helpers" = "{role}" }}\n'
    (found,) = _problems(tmp_path, table)
    assert "must be ROLE or ROLE:GROUP,GROUP" in found


def test_lists_are_arrays_in_the_file_and_words_in_the_environment(tmp_path: Path) -> None:
    """Names and networks are read from both, and shown as they are written."""
    text = '[server]\ntrusted_proxies = ["10.0.0.0/8", "2001:db8::7"]\ntls_names = ["a.example.org", "192.0.2.7"]\n'
    config = _load(tmp_path, text, REGALIA_SERVER__LISTEN_TLS="[::]:8443")
    assert [str(network) for network in config.server.trusted_proxies] == ["10.0.0.0/8", "2001:db8::7/128"]
    assert config.server.tls_names == ("a.example.org", "192.0.2.7")
    assert config.server.listen_tls == Address("::", 8443)
    shown = {row.key: row.value for row in config.effective()}
    assert shown["server.trusted_proxies"] == "10.0.0.0/8, 2001:db8::7/128"
    said = _load(tmp_path, REGALIA_SERVER__TRUSTED_PROXIES=" 192.0.2.1 ,,192.0.2.2").server.trusted_proxies
    assert [str(network) for network in said] == ["192.0.2.1/32", "192.0.2.2/32"]


@pytest.mark.parametrize(
    ("setting", "value", "told"),
    [
        ("trusted_proxies", "0.0.0.0/0", "must not be everybody"),
        ("trusted_proxies", "::/0", "must not be everybody"),
        ("trusted_proxies", "10.0.0.1/8", "has host bits set"),
        ("trusted_proxies", '["10.0.0.0/8"]', "has no brackets"),
        ("tls_names", '["a.example.org"]', "has no brackets"),
        ("trusted_proxies", "proxy.example.org", "does not appear to be an IPv4 or IPv6 network"),
        ("proxy_header", "x-real-ip", "x-forwarded-for"),
        ("listen_tls", "8443", "is not HOST:PORT"),
        ("tls_key", "/etc/ssl/key.pem", "belong together"),
        ("tls_certificate", "cert.pem", "belong together"),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path: Path, setting: str, value: str, told: str) -> None:
    """WEB-9: who is trusted is written down exactly, and never everybody; files come in pairs."""
    (found,) = _problems(tmp_path, **{f"REGALIA_SERVER__{setting.upper()}": value})
    assert told in found
