"""`regalia scep enrol|poll|renew`: how a device comes to its certificate and to the next one."""

from regalia import reasons
from regalia.cli.options import Json
from regalia.cli.output import warn
from regalia.cli.scep_open import answered, begun, keep, unfinished
from regalia.cli.scep_options import (
    CHALLENGE_VARIABLE,
    AwaitedCertificateFile,
    ChallengeFile,
    ChallengeText,
    CommonName,
    DnsNames,
    Fingerprint,
    KeyTypeOption,
    MovedKeyFile,
    NewCertificateFile,
    NewKeyFile,
    OldCertificateFile,
    OtherUrl,
    OwnKeyFile,
    SuccessorCertificateFile,
    SuccessorKeyFile,
    Url,
    Wait,
    check_fingerprint,
    read_challenge,
    read_names,
    read_patience,
)
from regalia.cli.scep_session import client_of, key_for, tell_issued, trusted
from regalia.client.files import check_writable, load_certificate, load_key, save_certificates
from regalia.client.keys import DeviceKey, can_decrypt
from regalia.client.requests import check_reply_key
from regalia.client.transaction import load_transaction, transaction_file
from regalia.errors import AdminError
from regalia.model import Names

__all__ = ["enrol", "poll", "renew"]


def enrol(  # noqa: PLR0913 - one for each option
    *,
    url: Url,
    key: NewKeyFile,
    cert: NewCertificateFile,
    cn: CommonName = None,
    dns: DnsNames = None,
    challenge_file: ChallengeFile = None,
    challenge: ChallengeText = None,
    key_type: KeyTypeOption = None,
    fingerprint: Fingerprint = None,
    wait: Wait = None,
    as_json: Json = False,
) -> None:
    """Get a first certificate with a challenge (PKCSReq).

    The transaction is kept in a file beside --cert until the server has answered. A run that was interrupted goes on
    with it, and `regalia scep poll` asks what became of a request that the server keeps pending.
    """
    check_fingerprint(fingerprint)
    patience, names = read_patience(wait), Names(cn, read_names(cn, dns or []))
    secret = _offered(challenge_file, challenge)
    earlier = unfinished(cert, url, key, names)
    private = key_for(key, key_type, lambda made: check_reply_key(made, secret))
    with client_of(url) as client:
        server = trusted(client, fingerprint or (earlier.pin if earlier is not None else None))
        opened = (earlier or begun(client, server, url, (key, private), names, cert)).opened
        issued = answered(
            lambda: client.submit(server, private, opened, challenge=secret),
            lambda seconds: client.wait(server, private, opened, seconds=seconds, challenge=secret),
            patience=patience,
            cert=cert,
            forget=earlier is None,
        )
    keep(issued, cert)
    tell_issued(issued, key, cert, as_json=as_json)


def _offered(file: str | None, argument: str | None) -> str | None:
    secret = read_challenge(file, argument)
    if secret is None:
        warn(f"no challenge is sent: give one with --challenge-file or {CHALLENGE_VARIABLE}")
    return secret


def poll(
    *,
    cert: AwaitedCertificateFile,
    url: OtherUrl = None,
    key: MovedKeyFile = None,
    challenge_file: ChallengeFile = None,
    challenge: ChallengeText = None,
    fingerprint: Fingerprint = None,
    wait: Wait = None,
    as_json: Json = False,
) -> None:
    """Ask for a certificate that the server kept pending (CertPoll).

    A key that cannot decrypt needs the challenge of its request once more: the reply is encrypted under it.
    """
    check_fingerprint(fingerprint)
    patience = read_patience(wait)
    kept = load_transaction(transaction_file(cert))
    check_writable(cert)
    private = load_key(key or kept.key)
    if not kept.is_for(private):
        raise AdminError(reasons.CLIENT_FILE, f"{key or kept.key} is another key than the one of the request")
    secret = _keying(challenge_file, challenge, private)
    with client_of(url or kept.url) as client:
        server = trusted(client, fingerprint or kept.pin)
        issued = answered(
            lambda: client.poll(server, private, kept.opened, challenge=secret),
            lambda seconds: client.wait(server, private, kept.opened, seconds=seconds, challenge=secret),
            patience=patience,
            cert=cert,
            forget=True,
        )
    keep(issued, cert)
    tell_issued(issued, key or kept.key, cert, as_json=as_json)


def _keying(file: str | None, argument: str | None, key: DeviceKey) -> str | None:
    """Find the challenge that keys the reply, where the key needs one. Raises `AdminError` CLI-010."""
    secret = read_challenge(file, argument, look_around=not can_decrypt(key))
    check_reply_key(key, secret)
    return secret


def renew(
    *,
    url: Url,
    cert: OldCertificateFile,
    key: OwnKeyFile,
    new_key: SuccessorKeyFile = None,
    new_cert: SuccessorCertificateFile = None,
    challenge_file: ChallengeFile = None,
    challenge: ChallengeText = None,
    key_type: KeyTypeOption = None,
    fingerprint: Fingerprint = None,
    as_json: Json = False,
) -> None:
    """Get the successor of a certificate, signed for with its key (RenewalReq).

    An old key that cannot decrypt needs a fresh challenge for this; an RSA key needs none.
    """
    check_fingerprint(fingerprint)
    old, private = load_certificate(cert), load_key(key)
    secret = _keying(challenge_file, challenge, private)
    if new_cert is not None:
        check_writable(new_cert)
    # The reply is for the old key, so the new one may be of any kind.
    successor = key_for(new_key, key_type) if new_key is not None else None
    if successor is not None and can_decrypt(private) and not can_decrypt(successor):
        warn("this key only signs: its own renewals need a fresh challenge, and an endpoint that takes such keys")
    with client_of(url) as client:
        server = trusted(client, fingerprint)
        issued = client.renew(server, old, private, successor, challenge=secret)
    save_certificates(new_cert or cert, [issued.certificate], replace=new_cert is None)
    tell_issued(issued, new_key or key, new_cert or cert, as_json=as_json)
