"""Alerts by e-mail: SMTP to the mail server of the settings, over TLS unless it is on this machine."""

from __future__ import annotations

import ipaddress
import json
import smtplib
import socket
import ssl
import threading
from contextlib import contextmanager, suppress
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from email.utils import format_datetime
from typing import TYPE_CHECKING, Final

from regalia import reasons
from regalia.errors import AdminError, UnavailableError
from regalia.net.mail_server import MailSecurity, is_mail_address

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from regalia.model import AlertTarget, Delivery
    from regalia.net.mail_server import MailServer

__all__ = ["MailSender", "mail_of"]

_SILENCE: Final = 10.0
_SECONDS: Final = 30.0
"""For the whole conversation, so that a server that drips cannot hold us."""
_SUBJECT: Final = 150
_WORDS: Final = 300
_READY: Final = 220
_NOT_SMTP: Final = "it ended the conversation, or does not speak SMTP"


class MailSender:
    """Sends one message to one address."""

    def __init__(self, server: MailServer | None, *, seconds: float = _SECONDS) -> None:
        """`server` is None where none is set: sending is refused then. `seconds` bounds a conversation."""
        self._server = server
        self._seconds = seconds

    def send(self, target: AlertTarget, delivery: Delivery, at: datetime) -> None:
        """See `ports.AlertSender`."""
        if self._server is None:
            raise AdminError(reasons.MAIL_NOT_SET, f"target {target.name} is an e-mail address")
        if not is_mail_address(target.address):
            raise AdminError(reasons.TARGET_REFUSED, f"{target.address!a} is not one plain e-mail address")
        message = mail_of(delivery, target.address, self._server.sender, at)
        with _faults():
            self._converse(self._server, target.address, message)

    def _converse(self, server: MailServer, recipient: str, message: EmailMessage) -> None:
        client = _Client(server)
        ended = threading.Event()

        def end() -> None:
            ended.set()
            line = client.sock
            if line is not None:
                with suppress(OSError):
                    # Plain sockets and TLS alike: whoever reads or writes gets the end of the file.
                    socket.socket.shutdown(line, socket.SHUT_RDWR)

        timer = threading.Timer(self._seconds, end)
        timer.daemon = True
        timer.start()
        try:
            code, _ = client.connect(server.host, server.port)
            if code != _READY:
                raise _failed(f"it greets with {code}" if code > 0 else _NOT_SMTP)
            self._secured(server, client)
            client.send_message(message, server.sender, [recipient])
            with suppress(smtplib.SMTPException, OSError):
                # It is taken: how the other side says good-bye changes nothing.
                client.quit()
        except (smtplib.SMTPException, OSError):
            if ended.is_set():
                raise TimeoutError from None
            raise
        finally:
            timer.cancel()
            client.close()

    def _secured(self, server: MailServer, client: smtplib.SMTP) -> None:
        """Protect the connection, then say who we are."""
        client.ehlo()
        if server.security is MailSecurity.STARTTLS:
            # Where the server does not offer it, this raises: nothing is sent in clear instead.
            client.starttls(context=_context(server))
            client.ehlo()
        elif server.security is MailSecurity.NONE and not _is_here(client):
            raise AdminError(reasons.TARGET_REFUSED, "without TLS, mail goes to a server on this machine only")
        if server.user is not None and server.password is not None:
            _sign_in(client, server.user, server.password())


def _sign_in(client: smtplib.SMTP, user: str, password: str) -> None:
    """Say who we are; what smtplib cannot write or read is a refusal like any other."""
    try:
        client.login(user, password)
    except UnicodeEncodeError:
        raise _failed("user and password must be ASCII, which is all that can be sent") from None
    except ValueError:
        # A challenge that is no base64.
        raise _failed(_NOT_SMTP) from None


def mail_of(delivery: Delivery, recipient: str, sender: str, at: datetime) -> EmailMessage:
    """Write the mail: its id is the delivery's, so that a mail that comes twice can be known as one."""
    told = json.loads(delivery.body)
    alert = told["alert"]
    mail = EmailMessage(policy=SMTP_POLICY)
    subject = _line(f"[Regalia] {delivery.occasion.value}, {alert['severity']}: {alert['summary']}", _SUBJECT)
    mail["Subject"] = subject
    mail["From"] = sender
    mail["To"] = recipient
    mail["Date"] = format_datetime(at)
    mail["Message-ID"] = f"<{delivery.id}@{sender.rpartition('@')[2]}>"
    mail["Auto-Submitted"] = "auto-generated"
    lines = [
        _line(alert["summary"], 2 * _WORDS),
        "",
        f"What to do: {_line(alert['remedy'], _WORDS)}",
        "",
        *(
            f"{name}: {_line(str(value), _WORDS)}"
            for name, value in (
                ("Occasion", told["occasion"]),
                ("Severity", alert["severity"]),
                ("Condition", alert["condition"]),
                ("Object", alert["object"]),
                ("Group", alert["group"]),
                ("Opened", alert["opened_at"]),
                ("Closed", alert["closed_at"]),
                ("Note", alert["note"]),
                ("Installation", told["from"]),
                ("Alert", alert["id"]),
                ("Delivery", told["id"]),
            )
            if value is not None
        ),
    ]
    mail.set_content("\n".join(lines) + "\n")
    return mail


def _line(text: str, most: int) -> str:
    """Make one line of a text that may quote a stranger: no line breaks, no control characters, and an end."""
    clean = "".join(character if character.isprintable() else " " for character in text)
    return clean if len(clean) <= most else clean[: most - 1] + "…"


class _Client(smtplib.SMTP):
    """Knows the host before it connects, so that its certificate is verified for this name, STARTTLS or not."""

    def __init__(self, server: MailServer) -> None:
        super().__init__(timeout=_SILENCE, local_hostname=socket.gethostname())
        self._server = server
        self._host = server.host

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        line = socket.create_connection((host, port), timeout)
        if self._server.security is not MailSecurity.TLS:
            return line
        return _context(self._server).wrap_socket(line, server_hostname=host)


def _context(server: MailServer) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=server.ca_file)
    except (OSError, ssl.SSLError):
        raise UnavailableError(reasons.MAIL_FAILED, "the file of outgoing.ca_file cannot be read") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _is_here(client: smtplib.SMTP) -> bool:
    line = client.sock
    return line is not None and ipaddress.ip_address(line.getpeername()[0]).is_loopback


@contextmanager
def _faults() -> Iterator[None]:
    """Name what went wrong; of what the server said only its code, which is of a fixed list."""
    try:
        yield
    except smtplib.SMTPAuthenticationError as error:
        raise _failed(f"user or password is refused ({error.smtp_code})") from None
    except smtplib.SMTPNotSupportedError:
        raise _failed("it does not offer what is needed, STARTTLS or signing in") from None
    except smtplib.SMTPRecipientsRefused as error:
        codes = ", ".join(str(code) for code, _ in error.recipients.values())
        raise _failed(f"it refuses the recipient ({codes})") from None
    except smtplib.SMTPResponseException as error:
        raise _failed(f"it answers {error.smtp_code}") from None
    except smtplib.SMTPException:
        raise _failed(_NOT_SMTP) from None
    except ssl.SSLCertVerificationError as error:
        raise _failed(f"its certificate is not accepted: {error.verify_message}") from None
    except ssl.SSLError:
        raise _failed("TLS was not agreed upon") from None
    except TimeoutError:
        raise _failed("it takes too long") from None
    except OSError:
        raise _failed("nobody answers there") from None


def _failed(detail: str) -> UnavailableError:
    return UnavailableError(reasons.MAIL_FAILED, detail)
