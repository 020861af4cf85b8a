"""The crypto that no SCEP server can do without, and nothing else, with the keys and octets of a real enrolment."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from regalia.keys.wrapping import Wrapping
from regalia.wire.cms import encrypted_key_for, signed_octets
from regalia.wire.scep import read_message, verify_message
from tools.bench.measure import Stopwatch, VoidRunError

if TYPE_CHECKING:
    from uuid import UUID

    from regalia.app import App
    from regalia.keys.wrapping import Keypair
    from regalia.model import Door
    from tools.bench.devices import Sent

__all__ = ["Pure"]

_TBS_OCTETS = 700
_ATTRIBUTES_OCTETS = 230
"""About as long as a leaf's to-be-signed octets and a CertRep's signed attributes are."""


class Pure:
    """Three private-key operations and three public-key ones."""

    def __init__(self, app: App, door: Door, sent: Sent) -> None:
        raw = read_message(sent.message)
        message = verify_message(raw)
        signer = raw.signed_data.signers[0]
        sealed = encrypted_key_for(message.enveloped, door.ra.certificate_der)
        if sealed is None or signer.signed_attributes is None:
            raise VoidRunError("the request is not for this endpoint")
        self._sealed = sealed
        self._attributes = next(iter(signed_octets(signer.signed_attributes)))
        self._signature = signer.signature
        self._public_key = sent.device.public_key
        self._device = sent.device
        ra, self._ca = _key(app, door.ra.key_id), _key(app, door.authority.key_id)
        if not isinstance(ra, rsa.RSAPrivateKey):
            raise VoidRunError("the RA key is not RSA")
        self._ra = ra

    def run(self) -> dict[str, float]:
        """Do it once; CPU seconds by the stage that each belongs to.

        The device's key is loaded anew and outside of what is counted: its first use, which costs twice the next
        ones, is a device's own in every enrolment. Fresh octets are signed each time.
        """
        loaded = serialization.load_der_public_key(self._public_key)
        if not isinstance(loaded, rsa.RSAPublicKey):
            raise VoidRunError("the device's key is not RSA")
        tbs, attributes, secret = os.urandom(_TBS_OCTETS), os.urandom(_ATTRIBUTES_OCTETS), os.urandom(16)
        watch = Stopwatch()
        loaded.verify(self._signature, self._attributes, padding.PKCS1v15(), hashes.SHA256())
        watch.mark("message")
        self._ra.decrypt(self._sealed.octets, padding.PKCS1v15())
        watch.mark("RA decryption")
        loaded.verify(self._signature, self._attributes, padding.PKCS1v15(), hashes.SHA256())
        watch.mark("request")
        if isinstance(self._ca, ec.EllipticCurvePrivateKey):
            self._ca.sign(tbs, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))
        else:
            self._ca.sign(tbs, padding.PKCS1v15(), hashes.SHA256())
        watch.mark("CA signature")
        loaded.encrypt(secret, padding.PKCS1v15())
        watch.mark("reply")
        self._ra.sign(attributes, padding.PKCS1v15(), hashes.SHA256())
        watch.mark("RA signature")
        return watch.stages


def _key(app: App, key_id: UUID) -> Keypair:
    row = app.store.get_key(key_id)
    if row is None:
        raise VoidRunError("a key is not in the vault")
    return Wrapping(app.master, app.entropy).unwrap(row)
