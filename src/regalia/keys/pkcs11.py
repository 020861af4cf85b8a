"""A PKCS #11 token: the keys that were made on it, and signatures by them. The one module that imports python-pkcs11.

The module (a shared library) is opened by the first use in a process, so after any fork, and one thread at a time is in
it. Where the token went away, the library is started again at the next use.
"""

from __future__ import annotations

import os
import threading
import time
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Final, TypeVar

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils

from regalia import reasons
from regalia.errors import AdminError, UnavailableError
from regalia.model import KeyKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from types import ModuleType

    from regalia.keys.pin import PinFile
    from regalia.keys.pkcs11_uri import KeyUri

__all__ = ["Token", "TokenKey"]

T = TypeVar("T")

_PAUSE_SECONDS: Final = 1.0
"""How long a token that could not be reached is left alone: its own time-outs may be long."""
_CURVES: Final = {KeyKind.P256: "secp256r1", KeyKind.P384: "secp384r1"}
_RSA_BITS: Final = {KeyKind.RSA_2048: 2048, KeyKind.RSA_3072: 3072, KeyKind.RSA_4096: 4096}
_DIGEST_INFO: Final = {
    32: bytes.fromhex("3031300d060960864801650304020105000420"),
    48: bytes.fromhex("3041300d060960864801650304020205000430"),
}
"""What stands before a SHA-256 or SHA-384 digest under PKCS #1 v1.5 (RFC 8017 §9.2, note 1), by its length."""
_HASHES: Final[dict[int, hashes.HashAlgorithm]] = {32: hashes.SHA256(), 48: hashes.SHA384()}
_TEST_DIGESTS: Final = {kind: bytes(range(48 if kind is KeyKind.P384 else 32)) for kind in KeyKind}


@dataclass(frozen=True, slots=True)
class TokenKey:
    """A private key on a token, as its objects describe it."""

    id: bytes
    """CKA_ID; may be empty on a key that somebody else made."""
    label: str
    kind: KeyKind
    public_key: bytes
    """DER SubjectPublicKeyInfo."""
    sensitive: bool
    extractable: bool


def _library() -> ModuleType:
    try:
        import pkcs11  # noqa: PLC0415 - an extra: whoever keeps keys in software does not have it
    except ImportError as error:
        told = "keys on a token need python-pkcs11, which is not installed: pip install 'regalia[hsm]'"
        raise AdminError(reasons.CONFIG_REFUSED, told) from error
    return pkcs11


class _Module:
    """A vendor's shared library in this process.

    python-pkcs11 starts it without locking functions, so that no two threads may be in it at a time, whatever session
    they use (PKCS #11 v2.40 §5.4, C_Initialize); it is also stopped and started as a whole. Hence one lock.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._lock = threading.RLock()
        self._pid = os.getpid()
        self._lost = True
        self._generation = 0

    def lose(self) -> None:
        """Have the library started again before its next use."""
        self._lost = True

    @contextmanager
    def used(self) -> Iterator[tuple[Any, int]]:
        """Be the only one in the library; gives it, started, and how often it was: sessions of before are gone.

        Raises `UnavailableError` CA-020.
        """
        if self._pid != os.getpid():
            # After a fork nothing of the parent's sessions may be used (PKCS #11 v2.40 §5.4).
            self._pid, self._lock, self._lost = os.getpid(), threading.RLock(), True
        with self._lock:
            yield self._started(), self._generation

    def _started(self) -> Any:  # noqa: ANN401 - the library is imported where it is used
        pkcs11 = _library()
        if not self._lost:
            return pkcs11.lib(self._path)
        try:
            library = pkcs11.lib(self._path)
            library.reinitialize()
        except (pkcs11.PKCS11Error, RuntimeError, OSError) as error:  # RuntimeError: no such file, or no such library
            raise UnavailableError(reasons.TOKEN_UNAVAILABLE, f"{self._path}: {_told(error)}") from error
        self._lost = False
        self._generation += 1
        return library


@cache
def _module(path: str) -> _Module:
    return _Module(path)


class _MissingError(Exception):
    """An object is not on the token, or the library lost the token."""


@dataclass(slots=True)
class _Session:
    """A logged-in session, and the keys that it found."""

    real: Any
    keys: dict[KeyUri, Any] = field(default_factory=dict)


class Token:
    """One token, by its label.

    Each method raises `UnavailableError` CA-020 where it cannot be reached, CA-021 for the PIN, and `AdminError`
    ADM-006 where python-pkcs11 is not installed.
    """

    def __init__(self, module: Path, label: str, pin: PinFile) -> None:
        self.label = label
        self._module = _module(str(module))
        self._pin = pin
        self._login: tuple[int, _Session] | None = None
        """The session that is logged in, by the library's generation. The login lasts as long as it is open."""
        self._not_before = 0.0

    def generate(self, kind: KeyKind, object_id: bytes, label: str) -> TokenKey:
        """Make a key pair that signs and does nothing else, and never leaves; see that it is so, and that it signs.

        Raises `AdminError` CA-022, and destroys the key again, where the token did otherwise.
        """

        def make(session: _Session) -> TokenKey:
            pkcs11 = _library()
            how = {
                "id": object_id,
                "label": label,
                "store": True,
                "capabilities": pkcs11.MechanismFlag.SIGN | pkcs11.MechanismFlag.VERIFY,
                "private_template": {pkcs11.Attribute.SENSITIVE: True, pkcs11.Attribute.EXTRACTABLE: False},
            }
            if kind in _CURVES:
                curve = pkcs11.util.ec.encode_named_curve_parameters(_CURVES[kind])
                wanted = {pkcs11.Attribute.EC_PARAMS: curve}
                parameters = session.real.create_domain_parameters(pkcs11.KeyType.EC, wanted, local=True)
                pair = parameters.generate_keypair(**how)
            else:
                pair = session.real.generate_keypair(pkcs11.KeyType.RSA, _RSA_BITS[kind], **how)
            try:
                made = _described(pair[1], pair[0])
                _check(made, pair[1])
            except BaseException:
                for half in pair:
                    half.destroy()
                raise
            return made

        return self._during(make, writing=True)

    def find(self, uri: KeyUri) -> TokenKey:
        """Look a key up. Raises `AdminError` ADM-004 where there is none, CA-022 where the URI fits several."""
        return self._during(lambda session: _described(self._key(session, uri), _public(session, uri)))

    def check(self, uri: KeyUri) -> TokenKey:
        """See that a key never leaves the token and signs. Raises `AdminError` CA-022 or ADM-004."""

        def look(session: _Session) -> TokenKey:
            private = self._key(session, uri)
            found = _described(private, _public(session, uri))
            _check(found, private)
            return found

        return self._during(look)

    def sign(self, uri: KeyUri, kind: KeyKind, digest: bytes) -> bytes:
        """Sign a digest with a key: RSA PKCS #1 v1.5, or ECDSA as DER. Raises `UnavailableError` CA-010 for no key."""
        try:
            return self._during(lambda session: _signature(self._key(session, uri), kind, digest))
        except AdminError as error:
            if error.reason is reasons.CONFIG_REFUSED:
                raise
            raise UnavailableError(reasons.ISSUER_UNAVAILABLE, error.detail) from error

    def destroy(self, uri: KeyUri) -> bool:
        """Destroy a key with its public half; False where there is none."""

        def destroy(session: _Session) -> None:
            private = self._key(session, uri)
            with suppress(_MissingError):
                _public(session, uri).destroy()
            private.destroy()

        try:
            self._during(destroy, writing=True)
        except AdminError as error:
            if error.reason is reasons.NOT_FOUND:
                return False
            raise
        return True

    # --- sessions -----------------------------------------------------------------------------------------------------

    def _during(self, work: Callable[[_Session], T], *, writing: bool = False) -> T:
        """Work in a session; where the token cannot be reached, leave it alone for a moment."""
        if time.monotonic() < self._not_before:
            raise UnavailableError(reasons.TOKEN_UNAVAILABLE, f"token {self.label} was away a moment ago")
        try:
            return self._tried(work, writing=writing)
        except UnavailableError as error:
            if error.reason is reasons.TOKEN_UNAVAILABLE:
                self._not_before = time.monotonic() + _PAUSE_SECONDS
            raise

    def _tried(self, work: Callable[[_Session], T], *, writing: bool) -> T:
        """Work; once more with the library started again where the token was away meanwhile.

        Which of a library's errors say so differs by vendor, and one that lost its token may simply find nothing any
        more. What may have written is not done twice.
        """
        pkcs11 = _library()
        failed: Exception | None = None
        for _ in range(2):
            began = False
            with self._module.used() as (library, generation):
                try:
                    session = self._logged_in(library, generation)
                    with self._writing(session) if writing else nullcontext(session) as chosen:
                        began = True
                        return work(chosen)
                except (_MissingError, pkcs11.PKCS11Error) as error:
                    failed = error
                self._login = None
                self._module.lose()
            if began and writing and not isinstance(failed, _MissingError):
                break
        if isinstance(failed, _MissingError):
            raise AdminError(reasons.NOT_FOUND, str(failed)) from failed
        raise UnavailableError(reasons.TOKEN_UNAVAILABLE, f"token {self.label}: {_told(failed)}") from failed

    def _logged_in(self, library: Any, generation: int) -> _Session:  # noqa: ANN401 - of the library
        if self._login is None or self._login[0] != generation:
            # Where it is not there: some libraries see a token that came later only once they are started again.
            token = library.get_token(token_label=self.label)
            self._login = generation, _Session(self._opened(token))
        return self._login[1]

    def _opened(self, token: Any) -> Any:  # noqa: ANN401 - of the library
        pkcs11 = _library()
        pin = self._pin.read()
        try:
            session = token.open(user_pin=pin)
        except pkcs11.UserAlreadyLoggedIn:
            return token.open()
        except (pkcs11.PinIncorrect, pkcs11.PinInvalid, pkcs11.PinLenRange, pkcs11.PinExpired) as error:
            self._pin.refused(pin)
            raise UnavailableError(reasons.PIN_REFUSED, f"token {self.label} refused it: {_told(error)}") from error
        except pkcs11.PinLocked as error:
            self._pin.refused(pin)
            raise UnavailableError(reasons.PIN_REFUSED, f"token {self.label} is locked") from error
        self._pin.accepted()
        return session

    @contextmanager
    def _writing(self, session: _Session) -> Iterator[_Session]:
        """Give a session that may write; it shares the login, and is closed again."""
        real = session.real.token.open(rw=True)
        try:
            yield _Session(real)
        finally:
            session.keys.clear()
            with suppress(RuntimeError):
                real.close()

    def _key(self, session: _Session, uri: KeyUri) -> Any:  # noqa: ANN401 - a key of the library
        found = session.keys.get(uri)
        if found is None:
            found = session.keys[uri] = _object(session, uri, _library().ObjectClass.PRIVATE_KEY)
        return found


def _public(session: _Session, uri: KeyUri) -> Any:  # noqa: ANN401 - a key of the library
    return _object(session, uri, _library().ObjectClass.PUBLIC_KEY)


def _object(session: _Session, uri: KeyUri, kind: object) -> Any:  # noqa: ANN401 - a key of the library
    pkcs11 = _library()
    wanted = {pkcs11.Attribute.CLASS: kind}
    if uri.id is not None:
        wanted[pkcs11.Attribute.ID] = uri.id
    # The halves of a pair share their id; a label may be another one.
    if uri.object is not None and (uri.id is None or kind is pkcs11.ObjectClass.PRIVATE_KEY):
        wanted[pkcs11.Attribute.LABEL] = uri.object
    found = list(session.real.get_objects(wanted))
    if not found:
        raise _MissingError(f"the token has no {_word(kind)} for {uri}")
    if len(found) > 1:
        raise AdminError(reasons.TOKEN_KEY_REFUSED, f"{len(found)} objects of the token fit {uri}: add its id")
    return found[0]


def _word(kind: object) -> str:
    return str(getattr(kind, "name", kind)).lower().replace("_", " ")


def _described(private: Any, public: Any) -> TokenKey:  # noqa: ANN401 - keys of the library
    pkcs11 = _library()
    encode = (
        pkcs11.util.ec.encode_ec_public_key
        if private.key_type == pkcs11.KeyType.EC
        else pkcs11.util.rsa.encode_rsa_public_key
    )
    try:
        key = serialization.load_der_public_key(encode(public))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise AdminError(reasons.TOKEN_KEY_REFUSED, f"the public key of {private.label!r} is not readable") from error
    return TokenKey(
        id=bytes(private.id),
        label=str(private.label),
        kind=_kind_of(key),
        public_key=key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo),
        sensitive=bool(private[pkcs11.Attribute.SENSITIVE]),
        extractable=bool(private[pkcs11.Attribute.EXTRACTABLE]),
    )


def _kind_of(key: object) -> KeyKind:
    for kind in KeyKind:
        if isinstance(key, rsa.RSAPublicKey) and _RSA_BITS.get(kind) == key.key_size:
            return kind
        if isinstance(key, ec.EllipticCurvePublicKey) and _CURVES.get(kind) == key.curve.name:
            return kind
    raise AdminError(reasons.TOKEN_KEY_REFUSED, "a CA's key is P-256, P-384, or RSA with 2048, 3072 or 4096 bits")


def _check(found: TokenKey, private: Any) -> None:  # noqa: ANN401 - a key of the library
    """Refuse a key that could leave its token, or whose signatures are not those of its public half (CA-022)."""
    if found.extractable or not found.sensitive:
        raise AdminError(reasons.TOKEN_KEY_REFUSED, f"key {found.label!r} is extractable, or not sensitive")
    digest = _TEST_DIGESTS[found.kind]
    signature = _signature(private, found.kind, digest)
    public = serialization.load_der_public_key(found.public_key)
    algorithm = utils.Prehashed(_HASHES[len(digest)])
    try:
        if isinstance(public, rsa.RSAPublicKey):
            public.verify(signature, digest, padding.PKCS1v15(), algorithm)
        elif isinstance(public, ec.EllipticCurvePublicKey):
            public.verify(signature, digest, ec.ECDSA(algorithm))
    except InvalidSignature as error:
        told = f"a signature by key {found.label!r} does not verify with its public half"
        raise AdminError(reasons.TOKEN_KEY_REFUSED, told) from error


def _signature(private: Any, kind: KeyKind, digest: bytes) -> bytes:  # noqa: ANN401 - a key of the library
    pkcs11 = _library()
    if kind in _CURVES:
        raw = bytes(private.sign(digest, mechanism=pkcs11.Mechanism.ECDSA))
        half = len(raw) // 2
        return utils.encode_dss_signature(int.from_bytes(raw[:half], "big"), int.from_bytes(raw[half:], "big"))
    return bytes(private.sign(_DIGEST_INFO[len(digest)] + digest, mechanism=pkcs11.Mechanism.RSA_PKCS))


def _told(error: object) -> str:
    """Say what the library said: the class is often all of it."""
    return f"{type(error).__name__} {error}".strip()
