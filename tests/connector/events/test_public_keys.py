"""Public keys as providers publish them, and the signatures of their owners."""

from __future__ import annotations

import base64
import datetime
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from connector.errors import InvalidSignature
from connector.events.public_keys import PUBLIC_KEYS, read_public_key
from connector.headers import Headers
from connector.messages import Request
from connector.parsing.connectors import parse_connector

ED25519, EC, RSA = (
    Ed25519PrivateKey.generate(),
    ec.generate_private_key(ec.SECP256R1()),
    rsa.generate_private_key(65537, 2048),
)
BODY = b'{"id": 1}'


def signature_of(key: Any, content: bytes) -> bytes:
    if isinstance(key, Ed25519PrivateKey):
        return key.sign(content)
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return key.sign(content, ec.ECDSA(SHA256()))
    return bytes(key.sign(content, padding.PKCS1v15(), SHA256()))


def pem(key: Any) -> str:
    return str(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode())


def der(key: Any) -> str:
    return base64.b64encode(key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()


def certificate(key: Any) -> str:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "provider.example")])
    day = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    made = x509.CertificateBuilder(name, name, key.public_key(), 1, day, day + datetime.timedelta(days=1))
    return made.sign(key, None if isinstance(key, Ed25519PrivateKey) else SHA256()).public_bytes(Encoding.PEM).decode()


def raw(form: Any, key: Ed25519PrivateKey) -> str:
    return str(form(key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)))


FORMS = {"pem": pem, "der": der, "certificate": certificate}


@pytest.mark.parametrize(
    ("kind", "key", "text"),
    [
        # The keys are new in each process, so they cannot be part of a name.
        *(
            pytest.param(kind, key, form(key), id=f"{kind} {name}")
            for kind, key in (("ed25519", ED25519), ("ecdsa", EC), ("rsa", RSA))
            for name, form in FORMS.items()
        ),
        pytest.param("ed25519", ED25519, raw(bytes.hex, ED25519), id="ed25519 hex"),
        pytest.param(
            "ed25519", ED25519, raw(lambda data: base64.b64encode(data).decode(), ED25519), id="ed25519 base64"
        ),
    ],
)
def test_the_signature_of_the_owner_is_verified_and_no_other(kind: str, key: Any, text: str) -> None:
    block = {"scheme": "asymmetric", "algorithm": kind, "header": "X-Sig", "encoding": "base64"}
    scheme = parse_connector(
        {"handle": "demo", "service": {"baseURL": "https://demo.example", "signature": block}}
    ).service.signature
    assert scheme is not None

    def verify(signature: bytes, body: bytes, *secrets: str) -> None:
        headers = Headers({"X-Sig": base64.b64encode(signature).decode()})
        scheme.verify(Request("POST", "https://hooks.example/webhooks/x", headers=headers, body=body), secrets, 0)

    made = signature_of(key, BODY)
    verify(made, BODY, f" {text}\n")
    verify(made, BODY, "another key", pem(EC), text)
    for signature, body, secret in (
        (made, b"{}", text),
        (made[:-1], BODY, text),
        (b"", BODY, text),
        (made, BODY, "key"),
    ):
        with pytest.raises(InvalidSignature):
            verify(signature, body, secret)


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP521R1()])
def test_ecdsa_takes_the_two_numbers_as_well_as_der(curve: ec.EllipticCurve) -> None:
    key = ec.generate_private_key(curve)
    size = (curve.key_size + 7) // 8
    r, s = decode_dss_signature(signature_of(key, BODY))
    both = r.to_bytes(size) + s.to_bytes(size)
    assert PUBLIC_KEYS["ecdsa"](key.public_key(), both, BODY)
    assert not PUBLIC_KEYS["ecdsa"](key.public_key(), both, b"another")
    assert not PUBLIC_KEYS["ecdsa"](key.public_key(), bytes(2 * size), BODY)


@pytest.mark.parametrize("kind", PUBLIC_KEYS)
def test_a_key_of_another_kind_verifies_nothing(kind: str) -> None:
    for other, key in (("ed25519", ED25519), ("ecdsa", EC), ("rsa", RSA)):
        assert PUBLIC_KEYS[kind](key.public_key(), signature_of(key, BODY), BODY) is (kind == other)


@pytest.mark.parametrize(
    "text",
    ["", "x", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----", "-----BEGIN CERTIFICATE-----", "AAAA"],
)
def test_what_is_not_a_key_is_none(text: str) -> None:
    assert read_public_key(text) is None
