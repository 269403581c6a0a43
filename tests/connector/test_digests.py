"""Keyed hashes and the texts they travel as."""

from __future__ import annotations

import base64
import hashlib
import hmac

from connector.digests import decode_text, from_base64, hmac_text, is_among, keyed_hash, same_text, to_base64


def test_the_token_of_a_handshake_is_hashed_in_either_encoding() -> None:
    digest = hmac.new(b"k", b"token", hashlib.sha256).digest()
    assert hmac_text("sha256", "hex", "k", b"token") == digest.hex()
    assert hmac_text("sha256", "base64", "k", b"token") == base64.b64encode(digest).decode()


def test_an_empty_secret_matches_nothing_and_signs_nothing() -> None:
    assert keyed_hash("sha256", b"", b"content") == b""
    assert not same_text("", "")
    assert not is_among([b""], [b""])


def test_one_of_several_signatures_is_enough() -> None:
    assert is_among([b"old", b"new"], [b"", b"new"])
    assert not is_among([b"old"], [b"new"])
    assert not is_among([], [b"new"])
    assert same_text("\ud800", "\ud800".encode("utf-8", "replace").decode()) is False


def test_what_is_not_so_encoded_holds_no_bytes() -> None:
    assert (decode_text("00ff", "hex"), decode_text("AP8=", "base64")) == (b"\x00\xff", b"\x00\xff")
    assert (decode_text("0g", "hex"), decode_text("A*", "base64"), from_base64("é")) == (b"", b"", b"")
    assert from_base64("AP8") == b"\x00\xff"  # without its padding
    assert to_base64(b"\x00\xff") == "AP8="
