"""`regalia scep`: our SCEP client, for any server that offers AES and SHA-256. Opens no home.

What is done is told on stderr while it happens; stdout has the result alone.
"""

from __future__ import annotations

from typing import Final

from regalia.cli.options import examples, noun_app
from regalia.cli.scep_ask import cacert, caps, getcert, getcrl, nextca
from regalia.cli.scep_certify import enrol, poll, renew

__all__ = ["app"]

_URL: Final = "--url http://127.0.0.1:8080/scep/default"
_OWN: Final = "--cert laptop-1.pem --key laptop-1.key"

app = noun_app("Our SCEP client.")

app.command(epilog=examples(f"scep caps {_URL}", "scep caps --json --url http://pki/scep/lab"))(caps)
app.command(
    epilog=examples(f"scep cacert {_URL} --fingerprint 5f3a... --out ca.pem", f"scep cacert {_URL} --json"),
)(cacert)
app.command(
    epilog=examples(
        f"scep enrol {_URL} --fingerprint 5f3a... --cn laptop-1 "
        "--key laptop-1.key --cert laptop-1.pem --challenge-file challenge",
        "challenge create --endpoint default --cn laptop-1 --quiet | regalia scep enrol --challenge-file - "
        f"{_URL} --key laptop-1.key --cert laptop-1.pem --key-type p-256",
    )
)(enrol)
app.command(epilog=examples("scep poll --cert laptop-1.pem", "scep poll --cert laptop-1.pem --wait 8h --json"))(poll)
app.command(
    epilog=examples(
        f"scep renew {_URL} {_OWN}",
        f"scep renew {_URL} {_OWN} --new-key laptop-1-2.key --new-cert laptop-1-2.pem",
    )
)(renew)
app.command(
    epilog=examples(f"scep getcert {_URL} {_OWN} --out again.pem", f"scep getcert {_URL} {_OWN} --serial 1f3a...")
)(getcert)
app.command(
    epilog=examples(f"scep getcrl {_URL} {_OWN} --out ca.crl --format der", f"scep getcrl {_URL} {_OWN} --json")
)(getcrl)
app.command(epilog=examples(f"scep nextca {_URL} --fingerprint 5f3a... --out next.pem", f"scep nextca {_URL} --json"))(
    nextca
)
