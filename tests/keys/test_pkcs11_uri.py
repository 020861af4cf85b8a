"""PKCS #11 URIs (RFC 7512)."""

from __future__ import annotations

import pytest

from regalia import reasons
from regalia.errors import AdminError
from regalia.keys.pkcs11_uri import KeyUri


def test_a_uri_is_written_as_it_is_read() -> None:
    """What stands in the inventory names the same key when it is read again."""
    uri = KeyUri("Büro; 1", b"\x00\xff", "ca:group:staff", "12ab")
    written = "pkcs11:token=B%C3%BCro%3B%201;serial=12ab;object=ca%3Agroup%3Astaff;id=%00%FF;type=private"
    assert str(uri) == written
    assert KeyUri.parse(written) == uri


def test_what_others_write_is_read() -> None:
    """Attributes come in any order, and RFC 7512 leaves more characters as they are than we do."""
    assert KeyUri.parse("pkcs11:object=my-ca;token=The:HSM") == KeyUri("The:HSM", object="my-ca")
    assert KeyUri.parse("pkcs11:token=t;id=%01a") == KeyUri("t", b"\x01a")


@pytest.mark.parametrize(
    "text",
    [
        "file:/etc/ca.key",
        "pkcs11:",
        "pkcs11:token=t",
        "pkcs11:object=o",
        "pkcs11:token=t;token=u;object=o",
        "pkcs11:token=t;object=o;type=cert",
        "pkcs11:token=t;object=o;model=x",
        "pkcs11:token=t;object=o?pin-value=1234",
        "pkcs11:token=t;object",
        "pkcs11:token=t;id=%0",
        "pkcs11:token=a b;object=o",
    ],
)
def test_what_names_no_key_is_refused(text: str) -> None:
    """A URI without a token or an object, with an attribute nobody looks at, or with a PIN in it, is refused."""
    with pytest.raises(AdminError) as refused:
        KeyUri.parse(text)
    assert refused.value.reason is reasons.USAGE
