"""Files as text: how the bytes of a File may stand where only text can, in one table.

What is text already is left as it is: an address in place of a `data:` URL, say. Files that stand in a body as they are
need none of this.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

#: How files begin, by their media type (WHATWG, "MIME Sniffing", sections 6 and 7).
_SIGNATURES: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"GIF87a", "image/gif"),
    (0, b"GIF89a", "image/gif"),
    (8, b"WEBPVP", "image/webp"),
    (0, b"BM", "image/bmp"),
    (0, b"%PDF-", "application/pdf"),
    (4, b"ftypavif", "image/avif"),
    (4, b"ftypheic", "image/heic"),
    (8, b"WAVE", "audio/wave"),
    (0, b"ID3", "audio/mpeg"),
    (0, b"OggS\x00", "application/ogg"),
)


def find_media_type(content: bytes) -> str:
    """The media type that the first bytes of a file show; `application/octet-stream` if they show none."""
    found = (name for place, start, name in _SIGNATURES if content.startswith(start, place))
    return next(found, "application/octet-stream")


def encode_base64(content: bytes) -> str:
    """Base64 (RFC 4648, section 4)."""
    import base64  # few operations need it

    return base64.b64encode(content).decode()


def encode_data_url(content: bytes) -> str:
    """A `data:` URL (RFC 2397) with the media type that the content shows."""
    return f"data:{find_media_type(content)};base64,{encode_base64(content)}"


#: The encodings by the name that a placeholder gives them.
FILE_ENCODINGS: Mapping[str, Callable[[bytes], str]] = {"base64": encode_base64, "data_url": encode_data_url}
