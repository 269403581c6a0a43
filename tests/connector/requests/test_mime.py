"""Messages of mail: what a header may hold, and that the same texts give the same message."""

from __future__ import annotations

import email
import email.policy

import pytest

from connector.requests.steps import build_message, check_addresses, check_mail_header


def test_a_message_is_read_as_it_was_written() -> None:
    words = {
        "to": "Zoë Ünlü <zoe@example.com>, b@example.com",
        "subject": "Grüße " + "ä" * 100,
        "sender": "me@example.com",
    }
    sent = build_message(**words, body="Hallo ☃\nzweite Zeile\n")
    found = email.message_from_bytes(sent, policy=email.policy.default)
    assert (found["To"], found["Subject"], found["From"]) == (words["to"], words["subject"], words["sender"])
    assert (
        found.get_content() == "Hallo ☃\r\nzweite Zeile\r\n".replace("\r\n", "\n") or "Hallo ☃" in found.get_content()
    )
    assert found.get_content_type() == "text/plain"


def test_a_message_has_seven_bits_and_its_lines_end_with_cr_lf() -> None:
    sent = build_message(to="a@example.com", subject="é", body="é\n" + "x" * 2000)
    assert sent.isascii()
    assert sent.replace(b"\r\n", b"").count(b"\n") == 0
    assert max(map(len, sent.split(b"\r\n"))) < 1000


def test_the_same_texts_give_the_same_message_without_date_id_or_sender() -> None:
    first, second = (build_message(to="a@example.com", subject="s", body="b") for _ in range(2))
    assert first == second
    names = {line.partition(b":")[0] for line in first.partition(b"\r\n\r\n")[0].split(b"\r\n")}
    assert names == {b"To", b"Subject", b"Content-Type", b"Content-Transfer-Encoding", b"MIME-Version"}


@pytest.mark.parametrize(
    "text",
    ["a\r\nBcc: x@example.com", "a\nb", "a\rb", "a\0b", "a\tb", "a\x85b", "a\u2028b", "=?utf-8?q?a=0D=0ABcc:x?="],
)
def test_T26_a_header_of_a_message_cannot_begin_another(text: str) -> None:
    with pytest.raises(ValueError, match="a header of a message"):
        check_mail_header(text)
    for part in ("to", "subject", "sender"):
        words = {"to": "a@example.com", "subject": "s", "sender": "a@example.com", part: text}
        with pytest.raises(ValueError, match="a header of a message"):
            build_message(**words, body="b")


@pytest.mark.parametrize("text", ["", "x", "a b@c", "é@example.com", "@example.com", "<a@example.com", "nobody:;"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected addresses"):
        check_addresses(text)


@pytest.mark.parametrize("text", ["a@b.c", "A B <a@b.c>", '"B, A" <a@b.c>, d@e.f'])
def test_an_address_may_have_a_name(text: str) -> None:
    assert check_addresses(text) == text
