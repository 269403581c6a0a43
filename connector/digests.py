"""Keyed hashes, their encodings, and comparison in constant time, for signatures and handshakes of webhooks."""

from __future__ import annotations

import binascii
import functools
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import hmac

#: The hash functions of keyed hashes.
ALGORITHMS = ("sha1", "sha256", "sha512")
#: How a signature is written.
ENCODINGS = ("hex", "base64")
#: How a key is written.
KEY_ENCODINGS = ("utf8", "base64", "hex")


def same_text(given: str, expected: str) -> bool:
    """Returns True if both are the same text and not empty, in constant time."""
    import hmac

    return bool(expected) and hmac.compare_digest(given.encode("utf-8", "surrogatepass"), expected.encode())


def hmac_text(algorithm: str, encoding: str, secret: str, message: bytes) -> str:
    """Returns a keyed hash as text, for the answer to a handshake."""
    digest = keyed_hash(algorithm, secret.encode(), message)
    return digest.hex() if encoding == "hex" else to_base64(digest)


def keyed_hash(algorithm: str, key: bytes, content: bytes) -> bytes:
    """Returns the HMAC (RFC 2104); empty for an empty key, which anyone could use."""
    if not key:
        return b""
    made = _keyed(algorithm, key).copy()
    made.update(content)
    return made.digest()


@functools.lru_cache(maxsize=64)
def _keyed(algorithm: str, key: bytes) -> hmac.HMAC:
    """Returns an HMAC that has read the key, which takes longer than a message."""
    import hmac  # only messages that are received or delivered need it

    return hmac.new(key, digestmod=algorithm)


def is_among(given: Iterable[bytes], expected: Iterable[bytes]) -> bool:
    """Returns True if one of the given values is one of the expected ones, in constant time."""
    import hmac

    wanted = [each for each in expected if each]
    # All are compared, so that the time does not show which one was right.
    same = [hmac.compare_digest(each, one) for each in given for one in wanted]
    return True in same


def decode_text(text: str, encoding: str) -> bytes:
    """Returns the bytes in an encoded text; empty if it is not encoded that way."""
    if encoding == "utf8":
        return text.encode()
    if encoding == "base64":
        return from_base64(text)
    try:
        return binascii.unhexlify(text)
    except ValueError:
        return b""


def from_base64(text: str) -> bytes:
    """Returns the bytes in base64 text, padded or not; empty if it is not base64."""
    try:
        return binascii.a2b_base64(text + "=" * (-len(text) % 4), strict_mode=True)
    except ValueError:
        return b""


def to_base64(data: bytes) -> str:
    """Returns bytes as base64, padded."""
    return binascii.b2a_base64(data, newline=False).decode()
