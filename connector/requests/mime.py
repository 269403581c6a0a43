"""Messages of mail: texts become one MIME message, written with the standard library and the same each time.

A message has no date, no id and no host name of its own, since nothing here knows any; the provider that sends it adds
them. What a header may hold is decided here, before the library sees it (hazard T26).
"""

from __future__ import annotations

import re
from typing import Any

#: Controls of C0 and C1 and the separators of Unicode: each is a line end to some reader.
_LINE_ENDS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def check_mail_header(text: str) -> str:
    """The text, if it can be the value of one header of a message; raises ValueError for what could begin another.

    An encoded word (RFC 2047) could hide a line end, so text is given as it reads.
    """
    if _LINE_ENDS.search(text):
        raise ValueError("a header of a message holds no line break and no control character")
    if "=?" in text:
        raise ValueError("a header of a message holds no encoded word (=?…?=); write the text as it reads")
    return text


def check_addresses(text: str) -> str:
    """The text, if it is one mail address or several with commas between; raises ValueError for anything else."""
    from email.policy import SMTP

    header: Any = SMTP.header_factory("To", check_mail_header(text))
    parts = [(each.username, each.domain) for each in header.addresses]
    # RFC 6531 allows more than ASCII, but only between servers that have agreed on it.
    if header.defects or not parts or not all(name and domain and (name + domain).isascii() for name, domain in parts):
        raise ValueError("expected addresses: name@example.com, or A Name <name@example.com>, with commas between")
    return text


def build_message(*, to: str, subject: str, body: str, sender: str = "") -> bytes:
    """A message (RFC 5322) with a text in UTF-8 (RFC 2045), seven bits wide, its lines ended by CR LF.

    `to` and `sender` are addresses, a name before each where it has one. Raises ValueError for what is no address, or
    no text of a header.
    """
    from email.message import EmailMessage  # few operations write mail
    from email.policy import SMTP

    message = EmailMessage(SMTP.clone(cte_type="7bit"))
    if sender:
        message["From"] = check_addresses(sender)
    message["To"] = check_addresses(to)
    message["Subject"] = check_mail_header(subject)
    message.set_content(body, charset="utf-8")
    return bytes(message)
