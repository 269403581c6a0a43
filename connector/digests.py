"""Keyed hashes and the texts they travel as, compared so that the time does not tell where they differ.

Which bytes are hashed, and with what, `signatures` and `challenges` say.
"""

from __future__ import annotations

import binascii
import functools
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import hmac


def same_text(given: str, expected: str) -> bool:
    """True if both are the same text that is not empty; takes as long wherever they differ."""
    import hmac

    return bool(expected) and hmac.compare_digest(given.encode("utf-8", "surrogatepass"), expected.encode())


def hmac_text(algorithm: str, encoding: str, secret: str, message: bytes) -> str:
    """A keyed hash as text, for the answer to a handshake."""
    digest = keyed_hash(algorithm, secret.encode(), message)
    return digest.hex() if encoding == "hex" else to_base64(digest)


def keyed_hash(algorithm: str, key: bytes, content: bytes) -> bytes:
    """HMAC (RFC 2104); nothing for an empty key, which would be everybody's."""
    if not key:
        return b""
    made = _keyed(algorithm, key).copy()
    made.update(content)
    return made.digest()


@functools.lru_cache(maxsize=64)
def _keyed(algorithm: str, key: bytes) -> hmac.HMAC:
    """What has read the key, which takes longer than a message does."""
    import hmac  # only whoever receives or delivers needs it

    return hmac.new(key, digestmod=algorithm)


def is_among(given: Iterable[bytes], expected: Iterable[bytes]) -> bool:
    """True if one of what was given is one of what was expected; takes as long wherever they differ."""
    import hmac

    wanted = [each for each in expected if each]
    # All are compared, so that the time does not tell which one was right.
    same = [hmac.compare_digest(each, one) for each in given for one in wanted]
    return True in same


def decode_text(text: str, encoding: str) -> bytes:
    """The bytes in a text; none in one that is not so encoded."""
    if encoding == "utf8":
        return text.encode()
    if encoding == "base64":
        return from_base64(text)
    try:
        return binascii.unhexlify(text)
    except ValueError:
        return b""


def from_base64(text: str) -> bytes:
    """The bytes in base64, padded or not; none in what is no base64."""
    try:
        return binascii.a2b_base64(text + "=" * (-len(text) % 4), strict_mode=True)
    except ValueError:
        return b""


def to_base64(data: bytes) -> str:
    """Bytes as base64, padded."""
    return binascii.b2a_base64(data, newline=False).decode()


#: The hash functions of keyed hashes.
ALGORITHMS = ("sha1", "sha256", "sha512")
#: How a signature is written.
ENCODINGS = ("hex", "base64")
#: How a key is written.
KEY_ENCODINGS = ("utf8", "base64", "hex")
