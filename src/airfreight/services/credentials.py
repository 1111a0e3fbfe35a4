"""Tokens and passwords: how they are made, and the only forms in which they are stored.

Tokens are random and stored as HMAC-SHA-256 under the server's key; passwords are argon2id. Secrets that the server
itself has to use again (to sign in or to sign elsewhere) are sealed: encrypted under a key made from the server's.
"""

import base64
import hashlib
import hmac
import secrets

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_BROKER_ROUNDS = 101
_hasher = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
_NOBODY = _hasher.hash(secrets.token_hex(16))
"""Checked when there is no such user, so that a stranger learns nothing from the time it takes."""


_SEAL = b"\x01"
"""The first byte of what is sealed: the way it is done. Then 12 random bytes, then the text and its tag (AES-GCM)."""
_NONCE = 12


class SealError(Exception):
    """What is sealed cannot be opened: it was sealed under another key, or for another place, or it is damaged."""


class Keyring:
    """The server's secret key and what is derived with it."""

    def __init__(self, key: bytes) -> None:
        self._mac = hmac.new(key, digestmod="sha256")
        derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"airfreight sealed secrets").derive(key)
        self._box = AESGCM(derived)

    def seal(self, secret: str, place: str) -> bytes:
        """Encrypt; it can be opened only for the same `place` (a row and a column), so that it cannot be moved."""
        nonce = secrets.token_bytes(_NONCE)
        return _SEAL + nonce + self._box.encrypt(nonce, secret.encode(), place.encode())

    def unseal(self, sealed: bytes, place: str) -> str:
        """Raises SealError."""
        if sealed[:1] != _SEAL or len(sealed) <= _NONCE:
            raise SealError
        try:
            nonce, text = sealed[1 : 1 + _NONCE], sealed[1 + _NONCE :]
            return self._box.decrypt(nonce, text, place.encode()).decode()
        except InvalidTag:
            raise SealError from None

    def digest(self, token: str) -> bytes:
        """The 32 bytes under which a token is stored and found. Any text is fine, also one that never was a token."""
        mac = self._mac.copy()  # half the price of keying it anew
        mac.update(token.encode("utf-8", "surrogatepass"))
        return mac.digest()


def same(a: bytes, b: bytes) -> bool:
    """Constant-time comparison of two digests."""
    return hmac.compare_digest(a, b)


def new_token() -> str:
    """An operator's token: 40 characters of [A-Za-z0-9_-], 240 random bits."""
    return _random(30)


def new_device_token() -> str:
    """A device's token: 32 characters (small clients have small buffers), 192 random bits."""
    return _random(24)


def is_token(text: str) -> bool:
    """Whether it can be the token of a device that had it elsewhere: 16 to 128 visible characters of ASCII."""
    return 16 <= len(text) <= 128 and all("!" <= c <= "~" for c in text)


def broker_hash(token: str) -> str:
    """A device's token as mosquitto's password file wants it (PBKDF2 with SHA-512).

    Few rounds are enough: a token is random, so there is nothing to guess faster.
    """
    salt = secrets.token_bytes(12)
    digest = hashlib.pbkdf2_hmac("sha512", token.encode(), salt, _BROKER_ROUNDS)
    return f"$7${_BROKER_ROUNDS}${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}"


def new_product_key() -> str:
    """A product's key, the form that firmware carries as its type: TMPL and 12 random digits."""
    return "TMPL" + secrets.token_hex(6)


def new_client_id() -> str:
    return "oa2-client-id_" + _random(24)


def _random(size: int) -> str:
    """Random text that no command line takes for an option."""
    while (text := secrets.token_urlsafe(size)).startswith("-"):
        pass
    return text


def hash_password(password: str) -> str:
    return _hasher.hash(password)


def check_password(stored: str | None, password: str) -> bool:
    """Whether `password` is the one behind `stored`; takes as long when there is nothing stored."""
    try:
        _hasher.verify(stored or _NOBODY, password)
    except (Argon2Error, InvalidHashError):
        return False
    return stored is not None
