"""What a signature covers: fixed text and the words of a closed table."""

from __future__ import annotations

import pytest

from connector.errors import OptionError
from connector.signed import Part, SignedText


def read(text: str) -> SignedText:
    return SignedText.from_text(text, words=("body", "id"), named=("header",))


def test_parts_and_the_text_between_them_are_joined_in_order() -> None:
    values = {Part("id"): b"1", Part("header", "X-Date"): b"today", Part("body"): b"\xff"}
    assert read("v0:{{id}}:{{ header:X-Date }}\n{{body}}").render(values.__getitem__) == b"v0:1:today\n\xff"


def test_a_text_knows_which_words_it_holds() -> None:
    assert read("{{header:id}}.{{body}}").holds("header")
    assert not read("{{header:id}}.{{body}}").holds("id")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{{header}}", "'header' needs a name: {{header:Name}}"),
        ("{{header:}}", "'header' needs a name: {{header:Name}}"),
        ("{{body:x}}", "'body:x' cannot be signed; known: body, id, header:Name"),
        ("{{body|upper}}", "'body|upper' cannot be signed; known: body, id, header:Name"),
        ("{{}}", "'' cannot be signed; known: body, id, header:Name"),
        ("{{body}} {{", "only {{word}} is allowed: the braces or what is between them cannot be read"),
        ("{{body", "only {{word}} is allowed: the braces or what is between them cannot be read"),
        ("body}}", "only {{word}} is allowed: the braces or what is between them cannot be read"),
    ],
)
def test_everything_else_is_refused(text: str, sentence: str) -> None:
    with pytest.raises(OptionError) as caught:
        read(text)
    assert (caught.value.option, str(caught.value)) == ("signed", sentence)
