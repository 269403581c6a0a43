from __future__ import annotations

import base64
import datetime
import hashlib
import hmac
import json
import time
from pathlib import Path
from typing import Any

import pytest
import standardwebhooks
from hypothesis import given
from hypothesis import strategies as st

from connector.errors import InvalidDefinition, InvalidSignature, unknown_kind
from connector.events.signatures import (
    SIGNATURE_SCHEMES,
    UNDECLARED,
    Bearer,
    Hmac,
    StandardWebhooks,
    Verified,
    message_id,
    sign,
    split_secrets,
)
from connector.headers import Headers
from connector.messages import Request
from connector.parsing.connectors import find_problems, parse_connector

SUITE = Path(__file__).parents[2] / "suite" / "signatures.json"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NOW = 1_614_265_330


def load() -> list[Any]:
    cases = json.loads(SUITE.read_text("utf-8"))
    return [pytest.param(case, id=case["description"].encode("ascii", "replace").decode()) for case in cases]


def definition(signature: Any) -> dict[str, Any]:
    service = {"baseURL": "https://demo.example"}
    return {"handle": "demo", "service": service if signature is None else {**service, "signature": signature}}


def problems(signature: Any) -> list[tuple[str, str]]:
    text = json.dumps(definition(signature))
    return [(each.code, each.pointer) for each in find_problems(text, kind="connector")]


@pytest.mark.parametrize("case", load())
def test_the_message_is_verified_or_refused(case: dict[str, Any]) -> None:
    scheme = parse_connector(definition(case["signature"])).service.signature or UNDECLARED
    sent = case["request"]
    request = Request(sent["method"], sent["url"], headers=Headers(sent["headers"]), body=sent["body"].encode())
    if case.get("refused"):
        with pytest.raises(InvalidSignature):
            scheme.verify(request, case["secrets"], case["now"])
        return
    assert scheme.verify(request, case["secrets"], case["now"]) == Verified(**case["verified"])


def test_every_cause_has_the_same_message() -> None:
    said = set()
    for parameter in load():
        case = parameter.values[0]
        if case.get("refused"):
            scheme = parse_connector(definition(case["signature"])).service.signature or UNDECLARED
            sent = case["request"]
            request = Request(sent["method"], sent["url"], headers=Headers(sent["headers"]), body=sent["body"].encode())
            with pytest.raises(InvalidSignature) as caught:
                scheme.verify(request, case["secrets"], case["now"])
            said.add((caught.value.message, caught.value.hint))
    assert len(said) == 1


@given(st.binary(), st.from_regex(r"[A-Za-z0-9_-]{1,128}", fullmatch=True), st.integers(0, 10**12 - 1))
def test_what_was_signed_is_verified(body: bytes, message_id: str, now: int) -> None:
    request = Request("POST", "https://x.example", headers=Headers(sign([SECRET], message_id, now, body)), body=body)
    assert StandardWebhooks().verify(request, [SECRET], now) == Verified(message_id, now)


@given(st.text(max_size=300), st.text(max_size=300), st.text(max_size=300), st.binary(max_size=50))
def test_T60_no_header_and_no_body_makes_another_error(message_id: str, timestamp: str, text: str, body: bytes) -> None:
    headers = Headers({"webhook-id": message_id, "webhook-timestamp": timestamp, "webhook-signature": text})
    with pytest.raises(InvalidSignature):
        UNDECLARED.verify(Request("POST", "https://x.example", headers=headers, body=body), [SECRET], NOW)


RECIPES = [
    parse_connector(definition(source)).service.signature
    for source in (
        {"scheme": "hmac", "header": "X-S", "signed": "{{form}}{{timestamp}}", "timestampHeader": "X-S"},
        {"scheme": "hmac", "header": "X-S", "encoding": "base64"},
        {"scheme": "hmac", "header": "X-S", "keyEncoding": "base64", "signed": "{{query:a}}{{header:X-S}}{{path}}"},
        {"scheme": "asymmetric", "algorithm": "ecdsa", "header": "X-S", "encoding": "base64"},
        {"scheme": "asymmetric", "algorithm": "rsa", "header": "X-S", "encoding": "base64"},
        {"scheme": "ed25519", "header": "X-S"},
        {"scheme": "bearer", "header": "X-S", "prefix": "t "},
    )
]


@given(st.text(max_size=100), st.text(max_size=100), st.binary(max_size=50))
def test_T60_no_recipe_trips_over_its_header(text: str, secret: str, body: bytes) -> None:
    for scheme in RECIPES:
        with pytest.raises(InvalidSignature):
            scheme.verify(
                Request("POST", "https://x.example", headers=Headers({"X-S": text}), body=body), [secret], NOW
            )


def test_the_library_of_the_standard_verifies_what_we_sign() -> None:
    now = int(time.time())
    headers = sign([SECRET], "evt_1", now, b'{"a": 1}')
    assert standardwebhooks.Webhook(SECRET).verify(b'{"a": 1}', headers) == {"a": 1}


def test_we_verify_what_the_library_of_the_standard_signs() -> None:
    moment = datetime.datetime.fromtimestamp(NOW, tz=datetime.UTC)
    signature = standardwebhooks.Webhook(SECRET).sign("evt_1", moment, "{}")
    headers = Headers({"webhook-id": "evt_1", "webhook-timestamp": str(NOW), "webhook-signature": signature})
    request = Request("POST", "https://x.example", headers=headers, body=b"{}")
    assert StandardWebhooks().verify(request, [SECRET], NOW) == Verified("evt_1", NOW)


def test_while_keys_are_rotated_a_message_carries_a_signature_for_each() -> None:
    newer = "whsec_" + base64.b64encode(b"n" * 24).decode()
    headers = sign([newer, SECRET], "evt_1", NOW, b"{}")
    assert headers["webhook-signature"].count("v1,") == 2
    request = Request("POST", "https://x.example", headers=Headers(headers), body=b"{}")
    for secret in (newer, SECRET):
        assert StandardWebhooks().verify(request, [secret], NOW) == Verified("evt_1", NOW)


def test_a_secret_that_is_no_base64_is_its_own_key() -> None:
    signature = hmac.new(b"not/base64!", f"evt_1.{NOW}.{{}}".encode(), hashlib.sha256).digest()
    headers = sign(["not/base64!"], "evt_1", NOW, b"{}")
    assert headers["webhook-signature"] == "v1," + base64.b64encode(signature).decode()


@pytest.mark.parametrize("message_id", ["", "a.b", "a b", "a\r\nX: y", "é", "a" * 129])
def test_T78_an_id_that_can_be_read_in_two_ways_is_not_signed(message_id: str) -> None:
    with pytest.raises(ValueError, match="the id of a message is"):
        sign([SECRET], message_id, NOW, b"{}")


def test_the_id_of_an_unsigned_message_is_where_its_scheme_says() -> None:
    request = Request("POST", "https://x.example", headers=Headers({"webhook-id": "m-1", "X-Id": "m-2"}), body=b"{}")
    assert message_id(UNDECLARED, request) == "m-1"
    assert message_id(Bearer(id_header="X-Id"), request) == "m-2"
    assert message_id(Bearer(), request) is None


@pytest.mark.parametrize("id", ["", "ä", "x" * 4097])
def test_a_message_without_a_usable_id_is_refused(id: str) -> None:
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    digest = hmac.digest(key, f"{id}.{NOW}.{{}}".encode(), "sha256")
    signature = f"v1,{base64.b64encode(digest).decode()}"
    headers = {"webhook-id": id, "webhook-timestamp": str(NOW), "webhook-signature": signature}
    with pytest.raises(InvalidSignature):
        StandardWebhooks().verify(Request("POST", "/", headers=Headers(headers), body=b"{}"), [SECRET], NOW)


def test_an_empty_secret_signs_nothing() -> None:
    with pytest.raises(ValueError, match="a secret is not empty"):
        sign([""], "evt_1", NOW, b"{}")


def test_several_secrets_stand_in_one_text_and_a_phrase_is_one_secret() -> None:
    assert split_secrets(f" {SECRET}  {SECRET[::-1]}\n") == (SECRET, SECRET[::-1])
    assert split_secrets("It's a Secret to Everybody") == ("It's a Secret to Everybody",)


def test_a_header_of_more_than_4_KiB_is_not_read() -> None:
    headers = Headers({"X-S": "," * 5000})
    with pytest.raises(InvalidSignature):
        read_hmac({"scheme": "hmac", "header": "X-S"}).verify(
            Request("POST", "https://x", headers=headers, body=b""), ["k"], 0
        )


def read_hmac(signature: dict[str, Any]) -> Hmac:
    scheme = parse_connector(definition(signature)).service.signature
    assert isinstance(scheme, Hmac)
    return scheme


def test_a_definition_that_declares_nothing_takes_the_standard_or_a_token() -> None:
    assert parse_connector(definition(None)).service.signature is None


def test_the_id_of_a_message_may_stand_in_its_body() -> None:
    service = parse_connector(definition({"scheme": "bearer", "idSelector": ["event", "id"]})).service
    assert service.signature == Bearer()
    assert service.message_id is not None
    assert service.message_id.find_one({"event": {"id": "e-1"}}) == "e-1"


@pytest.mark.parametrize(
    ("signature", "option", "sentence"),
    [
        ({"scheme": "md5"}, "/scheme", f"unknown scheme 'md5'; {unknown_kind('md5', SIGNATURE_SCHEMES)}"),
        ({"scheme": "hmac"}, "", "'header' is missing: the header that carries the signature"),
        ({"scheme": "ed25519"}, "", "'header' is missing: the header that carries the signature"),
        (
            {"scheme": "hmac", "header": "X", "algorithm": "md5"},
            "/algorithm",
            "unknown algorithm 'md5'; known: sha1, sha256, sha512",
        ),
        (
            {"scheme": "hmac", "header": "X", "encoding": "utf8"},
            "/encoding",
            "unknown encoding 'utf8'; known: hex, base64",
        ),
        (
            {"scheme": "hmac", "header": "X", "keyEncoding": "pem"},
            "/keyEncoding",
            "unknown keyEncoding 'pem'; known: utf8, base64, hex",
        ),
        (
            {"scheme": "hmac", "header": "X", "timestampHeader": "T", "timestamp": "stardate"},
            "/timestamp",
            "unknown timestamp 'stardate'; known: unix, unix_ms, iso",
        ),
        ({"scheme": "asymmetric", "header": "X"}, "", "unknown algorithm ''; known: ed25519, ecdsa, rsa"),
        (
            {"scheme": "hmac", "header": "X", "signed": "{{host}}"},
            "/signed",
            "'host' cannot be signed; known: body, timestamp, id, url, path, method, form, header:Name, query:Name",
        ),
        (
            {"scheme": "hmac", "header": "X", "signed": "{{timestamp}}.{{body}}"},
            "/signed",
            "'timestampHeader' is missing: 'timestamp' is signed",
        ),
        ({"scheme": "ed25519", "header": "X", "signed": "{{id}}"}, "/signed", "'idHeader' is missing: 'id' is signed"),
    ],
)
def test_a_recipe_that_means_nothing_is_refused(signature: dict[str, Any], option: str, sentence: str) -> None:
    with pytest.raises(InvalidDefinition) as caught:
        parse_connector(definition(signature))
    found = caught.value.problems
    assert [(each.code, each.pointer, each.message) for each in found] == [
        ("E_SIGNATURE_SCHEME", f"/service/signature{option}", sentence)
    ]


@pytest.mark.parametrize(
    ("signature", "expected"),
    [
        ({}, [("E_MISSING", "/service/signature")]),
        ("hmac", [("E_SHAPE", "/service/signature")]),
        ({"scheme": "bearer", "tolerance": 0}, [("E_SHAPE", "/service/signature/tolerance")]),
        (
            {"scheme": "bearer", "headr": "X"},
            [("E_UNKNOWN_OPTION", "/service/signature/headr"), ("W_UNKNOWN_KEY", "/service/signature/headr")],
        ),
        ({"scheme": "bearer", "algorithm": "sha1"}, [("E_UNKNOWN_OPTION", "/service/signature/algorithm")]),
        (
            {"scheme": "ed25519", "header": "X", "keyEncoding": "hex"},
            [("E_UNKNOWN_OPTION", "/service/signature/keyEncoding")],
        ),
        (
            {"scheme": "standard-webhooks", "signed": "{{body}}"},
            [("E_UNKNOWN_OPTION", "/service/signature/signed")],
        ),
        (
            {"scheme": "hmac", "header": "X", "signed": "{{body|upper}}"},
            [("E_SIGNATURE_SCHEME", "/service/signature/signed")],
        ),
        ({"scheme": "bearer", "idSelector": ["*", -1, 1.5]}, [("E_SHAPE", "/service/signature/idSelector/2")]),
        ({"scheme": "bearer", "idSelector": ["*", {}]}, [("E_SELECTOR", "/service/signature/idSelector")]),
    ],
)
def test_a_misshapen_block_is_pointed_at(signature: Any, expected: list[tuple[str, str]]) -> None:
    assert problems(signature) == expected
