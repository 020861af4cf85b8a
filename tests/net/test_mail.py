"""Alerts by e-mail, to a real SMTP server and to some that do not behave."""

from __future__ import annotations

import email
import socket
import ssl
import time
from contextlib import contextmanager
from email.policy import default as default_policy
from typing import TYPE_CHECKING, Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from fakes import FakeClock
from net.outside import certificate_of, outside
from regalia import reasons
from regalia.errors import AdminError, UnavailableError
from regalia.model import AlertCondition, AlertTarget, Delivery, Finding, Occasion, Severity, TargetKind, new_id
from regalia.net.mail import MailSender, mail_of
from regalia.net.mail_server import MailSecurity, MailServer, is_mail_address
from regalia.ra.alert_message import body_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from net.outside import Outside

NOW = FakeClock().now()
SENDER = "regalia@example.org"


class Box:
    """Takes mail, and keeps it."""

    def __init__(self) -> None:
        self.envelopes: list[Envelope] = []
        self.encrypted: list[bool] = []

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        """Take one."""
        del server
        self.envelopes.append(envelope)
        self.encrypted.append(session.ssl is not None)
        return "250 taken"


class _Starting(Controller):
    """A server with STARTTLS, or without."""

    def factory(self) -> SMTP:
        """Make the server of one connection."""
        return SMTP(self.handler, **self.SMTP_kwargs)


def authenticator(server: SMTP, session: Session, envelope: Envelope, mechanism: str, auth_data: object) -> AuthResult:
    """Let one user in."""
    del server, session, envelope, mechanism
    right = isinstance(auth_data, LoginPassword) and auth_data == LoginPassword(b"regalia", b"correct horse")
    return AuthResult(success=right, handled=right)


def context(certificate: Path) -> ssl.SSLContext:
    """Make the server's side of TLS."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(certificate, certificate.with_suffix(".key"))
    return made


@contextmanager
def serving(box: Box, host: str = "127.0.0.1", **arguments: Any) -> Iterator[int]:  # noqa: ANN401 - what aiosmtpd takes
    """Run a server on a free port of this machine."""
    # aiosmtpd tries the port that it is given; one that was free a moment ago is as good as any.
    with socket.create_server((host, 0)) as free:
        port = int(free.getsockname()[1])
    controller = _Starting(box, hostname=host, port=port, **arguments)
    controller.start()
    try:
        yield port
    finally:
        controller.stop()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificate of the mail server, also for localhost."""
    return certificate_of(tmp_path_factory.mktemp("mail"), "mail.example.test")


def target(address: str = "pki@example.org") -> AlertTarget:
    """Make a target."""
    return AlertTarget(new_id(NOW, bytes(10)), "mail", TargetKind.MAIL, address, b"", NOW, "admin os:root")


def delivery(summary: str = "Something is wrong.") -> Delivery:
    """Make a message."""
    finding = Finding(AlertCondition.CRL_LATE, "crl:default", Severity.CRITICAL, summary, "Publish it.")
    name = new_id(NOW, bytes(range(10)))
    body = body_of(name, Occasion.OPENED, NOW, "http://pki.example.test", finding, None)
    return Delivery(name, target().id, "mail", None, Occasion.OPENED, body, NOW, NOW)


def server(port: int, certificate: Path | None, **arguments: Any) -> MailServer:  # noqa: ANN401 - fields of several types
    """Say how to reach a server."""
    given = {"host": "localhost", "port": port, "sender": SENDER, "ca_file": certificate, **arguments}
    return MailServer(**given)


def refused(given: MailServer, seconds: float = 20) -> UnavailableError:
    """Send, and return the refusal."""
    with pytest.raises(UnavailableError) as caught:
        MailSender(given, seconds=seconds).send(target(), delivery(), NOW)
    assert caught.value.reason is reasons.MAIL_FAILED
    return caught.value


@pytest.mark.real
def test_a_mail_over_starttls(certificate: Path) -> None:
    """A mail goes over TLS, signed in, once to its one recipient, with the delivery's id as its own."""
    box = Box()
    tls = context(certificate)
    with serving(box, tls_context=tls, require_starttls=True, authenticator=authenticator, auth_required=True) as port:
        MailSender(server(port, certificate, user="regalia", password=lambda: "correct horse")).send(
            target(), delivery(), NOW
        )
        wrong = refused(server(port, certificate, user="regalia", password=lambda: "wrong"))
        assert "user or password is refused (535)" in wrong.detail
        refused(server(port, certificate))
    (envelope,) = box.envelopes
    assert box.encrypted == [True]
    assert (envelope.mail_from, envelope.rcpt_tos) == (SENDER, ["pki@example.org"])
    content = envelope.content
    assert isinstance(content, bytes)
    mail = email.message_from_bytes(content, policy=default_policy)
    assert mail["Subject"] == "[Regalia] opened, critical: Something is wrong."
    assert mail["Message-ID"] == f"<{delivery().id}@example.org>"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert "What to do: Publish it." in mail.get_content()


@pytest.mark.real
def test_a_mail_over_tls_from_the_start(certificate: Path) -> None:
    """Port 465's way: TLS before the first word, verified for the name that was configured."""
    box = Box()
    with serving(box, ssl_context=context(certificate)) as port:
        MailSender(server(port, certificate, security=MailSecurity.TLS)).send(target(), delivery(), NOW)
    assert len(box.envelopes) == 1


@pytest.mark.real
@pytest.mark.parametrize("security", [MailSecurity.STARTTLS, MailSecurity.TLS])
def test_a_server_whose_certificate_is_not_its_own_gets_nothing(certificate: Path, security: MailSecurity) -> None:
    """Who is not trusted, or is not the one that was configured, gets no mail and no password."""
    box = Box()
    arguments: dict[str, Any] = {
        "tls_context" if security is MailSecurity.STARTTLS else "ssl_context": context(certificate)
    }
    with serving(box, **arguments) as port:
        untrusted = refused(server(port, None, security=security, user="u", password=lambda: "secret"))
        assert "certificate is not accepted" in untrusted.detail
    # The same certificate at an address that it is not for.
    with serving(box, host="127.0.0.2", **arguments) as port:
        assert (
            "certificate is not accepted"
            in refused(server(port, certificate, host="127.0.0.2", security=security)).detail
        )
    assert box.envelopes == []


@pytest.mark.real
def test_no_tls_is_no_mail_but_here(certificate: Path) -> None:
    """A server without STARTTLS gets nothing, unless mail without TLS to this very machine was configured."""
    box = Box()
    with serving(box) as port:
        assert "STARTTLS" in refused(server(port, certificate)).detail
        assert box.envelopes == []
        MailSender(server(port, certificate, security=MailSecurity.NONE)).send(target(), delivery(), NOW)
    assert len(box.envelopes) == 1


@pytest.mark.real
def test_a_server_that_stalls_or_drips_is_left() -> None:
    """A server that says nothing, or one word at a time for ever, holds us no longer than the whole may take."""

    def silent(line: socket.socket, there: Outside) -> None:
        del line
        there.closing.wait(10)

    def drip(line: socket.socket, there: Outside) -> None:
        while not there.closing.wait(0.02):
            line.sendall(b"220-more to come\r\n")

    for speak in (silent, drip):
        with outside(speak) as there:
            began = time.monotonic()
            error = refused(server(there.port, None, security=MailSecurity.NONE, host="127.0.0.1"), seconds=0.4)
            assert "too long" in error.detail
            assert time.monotonic() - began < 8


@pytest.mark.real
@pytest.mark.parametrize(
    ("octets", "told"),
    [
        (b"554 secret banner\r\n", "554"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "SMTP"),
        (b"", "SMTP"),
    ],
)
def test_what_the_server_says_is_not_repeated(octets: bytes, told: str) -> None:
    """SSRF-5: of what the other side says only its code is told."""

    def speak(line: socket.socket, there: Outside) -> None:
        del there
        line.sendall(octets)

    with outside(speak) as there:
        error = refused(server(there.port, None, security=MailSecurity.NONE, host="127.0.0.1"))
    assert told in error.detail
    assert "secret" not in str(error)


@pytest.mark.real
@pytest.mark.parametrize(
    ("password", "challenge", "told"),
    [("p\u00e9ch\u00e9 mignon", b"334 \r\n", "must be ASCII"), ("plain", b"334 A\r\n", "does not speak SMTP")],
)
def test_signing_in_that_cannot_be_is_a_refusal(password: str, challenge: bytes, told: str) -> None:
    """A password that SMTP cannot carry and a challenge that is no base64 end this message's try, and not the job."""

    def speak(line: socket.socket, there: Outside) -> None:
        del there
        line.sendall(b"220 ready\r\n")
        with line.makefile("rb") as heard:
            for command in heard:
                line.sendall(b"250-here\r\n250 AUTH LOGIN\r\n" if command.startswith(b"ehlo") else challenge)

    with outside(speak) as there:
        given = server(
            there.port,
            None,
            security=MailSecurity.NONE,
            host="127.0.0.1",
            user="regalia",
            password=lambda: password,
        )
        assert told in refused(given).detail


def test_line_breaks_add_no_header() -> None:
    """Words that quote a stranger stay one line of the subject: they add no header and no recipient."""
    mail = mail_of(
        delivery("x\r\nBcc: evil@example.org\r\n\r\nbody\u2028\u0085\x00 \x1b[31m" + "y" * 500), "a@b.test", SENDER, NOW
    )
    read = email.message_from_bytes(mail.as_bytes(), policy=default_policy)
    assert read["Bcc"] is None
    assert sorted(read.keys()).count("Subject") == 1
    subject = read["Subject"]
    assert len(subject) <= 160
    assert subject.isprintable()
    assert read.get_all("To") == ["a@b.test"]


@pytest.mark.parametrize(
    "address",
    [
        "",
        "nobody",
        "a@b\r\nBcc: c@d",
        "a@b,c@d",
        "a b@c",
        "<a@b>",
        "A <a@b>",
        "a@b c",
        "-oQ/tmp@b",
        "a@-b",
        "a@b..c",
        "a@b\u00e9.test",
        "a@[127.0.0.1]",
        "a" * 65 + "@b.test",
        "a@b;c",
    ],
)
def test_what_is_no_plain_address_is_refused(address: str) -> None:
    """A target is one address; whatever could be more than that is sent to nobody."""
    assert not is_mail_address(address)
    with pytest.raises(AdminError) as caught:
        MailSender(MailServer("localhost", 25, SENDER)).send(target(address), delivery(), NOW)
    assert caught.value.reason is reasons.TARGET_REFUSED


@pytest.mark.parametrize("address", ["pki@example.org", "o'neil+pki=x@mail.example.org", "root@localhost"])
def test_plain_addresses(address: str) -> None:
    """Usual addresses are taken."""
    assert is_mail_address(address)
