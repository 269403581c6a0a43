"""Public keys of providers, and whether their owner made a signature: PUBLIC_KEYS, one row for each kind of key."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from connector.digests import decode_text, from_base64

#: True if the signature over the content was made with this key; False for a key of another kind as well.
Check = Callable[[Any, bytes, bytes], bool]

_PEM = "-----BEGIN "
_ED25519_BYTES = 32


def read_public_key(text: str) -> Any:
    """The public key in a text: PEM (of a key or a certificate), base64 of DER, or the bytes of an Ed25519 key.

    Returns None for anything else.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_der_public_key, load_pem_public_key
    from cryptography.x509 import load_pem_x509_certificate

    text = text.strip()
    try:
        if text.startswith(f"{_PEM}CERTIFICATE"):
            return load_pem_x509_certificate(text.encode()).public_key()
        if text.startswith(_PEM):
            return load_pem_public_key(text.encode())
        data = decode_text(text, "hex") or from_base64("".join(text.split()))
        return Ed25519PublicKey.from_public_bytes(data) if len(data) == _ED25519_BYTES else load_der_public_key(data)
    except (ValueError, UnsupportedAlgorithm):
        return None


def _check_ed25519(key: Any, signature: bytes, content: bytes) -> bool:
    """RFC 8032."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    return isinstance(key, Ed25519PublicKey) and _verifies(lambda: key.verify(signature, content))


def _check_ecdsa(key: Any, signature: bytes, content: bytes) -> bool:
    """ECDSA with SHA-256; the signature is DER, or both numbers one after the other (RFC 7518, section 3.4)."""
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
    from cryptography.hazmat.primitives.hashes import SHA256

    if not isinstance(key, EllipticCurvePublicKey):
        return False
    forms = [signature]
    size = (key.curve.key_size + 7) // 8
    if len(signature) == 2 * size:
        forms.append(encode_dss_signature(int.from_bytes(signature[:size]), int.from_bytes(signature[size:])))
    return any(_verifies(functools.partial(key.verify, form, content, ECDSA(SHA256()))) for form in forms)


def _check_rsa(key: Any, signature: bytes, content: bytes) -> bool:
    """RSASSA-PKCS1-v1_5 with SHA-256 (RFC 8017, section 8.2)."""
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from cryptography.hazmat.primitives.hashes import SHA256

    return isinstance(key, RSAPublicKey) and _verifies(lambda: key.verify(signature, content, PKCS1v15(), SHA256()))


def _verifies(verify: Callable[[], None]) -> bool:
    from cryptography.exceptions import InvalidSignature

    try:
        verify()
    except InvalidSignature:
        return False
    return True


#: How a signature is checked, by the name that a definition uses for the kind of key.
PUBLIC_KEYS: dict[str, Check] = {"ed25519": _check_ed25519, "ecdsa": _check_ecdsa, "rsa": _check_rsa}
