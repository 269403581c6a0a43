"""Verifies that inbound messages come from the provider: SIGNATURE_SCHEMES, one class per scheme, and `sign`.

A scheme is read once from the `service.signature` block and then verifies raw bytes, before they are parsed: in
constant time, within a tolerance of time, with any of a connection's secrets, so that keys can be rotated. The error is
the same for every cause, since a reason would help an attacker (hazards T59 to T66).
"""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

from connector.digests import (
    ALGORITHMS,
    ENCODINGS,
    KEY_ENCODINGS,
    decode_text,
    from_base64,
    is_among,
    keyed_hash,
    to_base64,
)
from connector.errors import InvalidSignature, OptionError, check_options, known_row, takes, unknown_kind
from connector.events.public_keys import PUBLIC_KEYS, Check, read_public_key
from connector.messages import Request
from connector.protocols import Scheme
from connector.signed import Part, SignedText
from connector.templates import Template

#: The default age of a message in seconds, or its distance ahead of our clock.
TOLERANCE = 300
#: A header that carries signatures has at most this many characters, and this many signatures are looked at.
MAX_HEADER = 4096
MAX_SIGNATURES = 10
#: Of several secrets in one text each has at least this many characters; a shorter word belongs to a phrase.
SHORTEST_SECRET = 16
#: What `signed` may hold. `form` are the fields of a form sorted by name, each name and its value together.
SIGNED_WORDS = ("body", "timestamp", "id", "url", "path", "method", "form")
#: What `signed` may hold by name: `header:X-Date`, `query:nonce`.
SIGNED_NAMED = ("header", "query")
MESSAGE_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
_UNIX = re.compile(r"[0-9]{1,12}")
#: Milliseconds have thirteen digits from the year 2001 on.
_UNIX_MS = re.compile(r"[0-9]{13,15}")
#: RFC 3339, section 5.6, with any number of decimals; a time without its zone could mean any.
_ISO = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?([Zz]|[+-][0-9]{2}:?[0-9]{2})"
)
_SECRET_PREFIX = "whsec_"
_VERSION = "v1"

Source = Mapping[str, Any]
#: The options of a Recipe.
RECIPE_OPTIONS = (
    *("header", "encoding", "prefix", "signed", "idHeader", "tolerance"),
    *("timestampHeader", "timestampPrefix", "timestamp"),
)
#: Compiles the template in a member of the block; None where there is none.
ReadTemplate = Callable[[str], Template | None]


class Verified(NamedTuple):
    """What a signature vouches for: the sender's id of the message and the time of sending, where the scheme has them.

    `timestamp` is in seconds since the epoch. An id that the signature does not cover is returned too: it identifies
    repetitions, and a sender who can change it cannot sign another body.
    """

    id: str | None = None
    timestamp: float | None = None


@takes("header", "idHeader", "timestampHeader", "tolerance")
@dataclass(frozen=True, slots=True, kw_only=True)
class StandardWebhooks:
    """Standard Webhooks 1.0: `v1` signatures over `id.timestamp.body`; the names of its three headers may differ."""

    header: str = "webhook-signature"
    id_header: str = "webhook-id"
    timestamp_header: str = "webhook-timestamp"
    tolerance: float = TOLERANCE

    @classmethod
    def from_json(cls, source: Source, template: ReadTemplate) -> Self:  # noqa: ARG003 - one signature for all rows
        """Reads `header`, `idHeader`, `timestampHeader` and `tolerance`."""
        names = {"header": "header", "id_header": "idHeader", "timestamp_header": "timestampHeader"}
        return cls(**_given(source, {**names, "tolerance": "tolerance"}))

    def verify(self, request: Request, secrets: Sequence[str], now: float) -> Verified:
        """Verifies each signature of version 1 with each secret; those of other versions are passed over."""
        message_id = request.headers.get(self.id_header, "")
        text = request.headers.get(self.timestamp_header, "")
        timestamp = _read_time(text, ("unix",), now, self.tolerance)
        if not message_id or not message_id.isascii() or len(message_id) > MAX_HEADER:
            raise InvalidSignature.refused()
        texts = request.headers.get(self.header, "")[: MAX_HEADER + 1].split(" ", MAX_SIGNATURES + 1)
        given = [from_base64(text.removeprefix("v1,")) for text in texts if text.startswith("v1,")]
        if len(texts) > MAX_SIGNATURES or sum(map(len, texts)) > MAX_HEADER:
            raise InvalidSignature.refused()
        content = _standard_content(message_id, text, _raw(request))
        _demand(given, [keyed_hash("sha256", _standard_key(secret), content) for secret in secrets])
        return Verified(message_id, timestamp)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Where the signatures of a message are, how they are written, and which bytes were signed.

    The header may hold several elements between `,` or `;`; those that begin with the prefix are signatures. A
    timestamp may be such an element too (`timestampPrefix`), or a header of its own. It is signed as it was written,
    and read in the `notations` (rows of TIMESTAMPS) to compare it with the clock.
    """

    header: str
    encoding: str
    prefix: str
    signed: SignedText
    timestamp_header: str
    timestamp_prefix: str
    notations: tuple[str, ...]
    id_header: str
    tolerance: float

    @classmethod
    def from_json(cls, source: Source) -> Self:
        """Reads the recipe; `header` is required, and the defaults are what GitHub does. Raises ValueError."""
        if not source.get("header"):
            raise ValueError("'header' is missing: the header that carries the signature")
        signed = SignedText.from_text(source.get("signed", "{{body}}"), words=SIGNED_WORDS, named=SIGNED_NAMED)
        for word, key in (("timestamp", "timestampHeader"), ("id", "idHeader")):
            if signed.holds(word) and not source.get(key):
                raise OptionError("signed", f"{key!r} is missing: {word!r} is signed")
        notation = source.get("timestamp", "")
        return cls(
            header=source["header"],
            encoding=known_row(source.get("encoding", "hex"), ENCODINGS, "encoding"),
            prefix=source.get("prefix", ""),
            signed=signed,
            timestamp_header=source.get("timestampHeader", ""),
            timestamp_prefix=source.get("timestampPrefix", ""),
            notations=(known_row(notation, TIMESTAMPS, "timestamp"),) if notation else tuple(TIMESTAMPS),
            id_header=source.get("idHeader", ""),
            tolerance=source.get("tolerance", TOLERANCE),
        )

    def open(self, request: Request, now: float) -> tuple[list[bytes], bytes, Verified]:
        """Returns the signatures of a request, the bytes that must have been signed, and what these vouch for.

        Raises InvalidSignature.
        """
        given = [decode_text(text, self.encoding) for text in _elements(request, self.header, self.prefix)]
        if not given or len(given) > MAX_SIGNATURES:
            raise InvalidSignature.refused()
        text, timestamp = "", None
        if self.timestamp_header:
            texts = list(_elements(request, self.timestamp_header, self.timestamp_prefix))
            text = texts[0] if len(texts) == 1 else ""
            timestamp = _read_time(text, self.notations, now, self.tolerance)
        message_id = _message_id(request, self.id_header)
        written = {"timestamp": text, "id": message_id or ""}
        content = self.signed.render(lambda part: _find_part(part, request, written))
        return given, content, Verified(message_id, timestamp)


@takes(*RECIPE_OPTIONS, "algorithm", "keyEncoding")
@dataclass(frozen=True, slots=True, kw_only=True)
class Hmac:
    """A keyed hash over the `signed` text, in a header, as most providers send it."""

    recipe: Recipe
    algorithm: str
    key_encoding: str

    @classmethod
    def from_json(cls, source: Source, template: ReadTemplate) -> Self:  # noqa: ARG003 - one signature for all rows
        """Reads the recipe, the hash function and how the key is written (`keyEncoding`)."""
        return cls(
            recipe=Recipe.from_json(source),
            algorithm=known_row(source.get("algorithm", "sha256"), ALGORITHMS, "algorithm"),
            key_encoding=known_row(source.get("keyEncoding", "utf8"), KEY_ENCODINGS, "keyEncoding"),
        )

    def verify(self, request: Request, secrets: Sequence[str], now: float) -> Verified:
        """Verifies each element with each secret; a secret that is not so encoded verifies nothing."""
        given, content, verified = self.recipe.open(request, now)
        keys = [decode_text(secret, self.key_encoding) for secret in secrets]
        _demand(given, [keyed_hash(self.algorithm, key, content) for key in keys])
        return verified


@takes(*RECIPE_OPTIONS, "algorithm")
@dataclass(frozen=True, slots=True, kw_only=True)
class Asymmetric:
    """A signature made with a private key over what `signed` says; the secrets are public keys.

    A key is PEM (a public key or a certificate), base64 of DER (RFC 5280 SubjectPublicKeyInfo), or for Ed25519 its 32
    bytes in hex or base64.
    """

    recipe: Recipe
    check: Check

    @classmethod
    def from_json(cls, source: Source, template: ReadTemplate) -> Self:  # noqa: ARG003 - one signature for all rows
        """Reads the recipe, and the kind of key in `algorithm`."""
        kind = source.get("algorithm", "")
        return cls(recipe=Recipe.from_json(source), check=PUBLIC_KEYS[known_row(kind, PUBLIC_KEYS, "algorithm")])

    def verify(self, request: Request, secrets: Sequence[str], now: float) -> Verified:
        """Verifies each element with each public key; what is not a key of this kind verifies nothing."""
        given, content, verified = self.recipe.open(request, now)
        for key in filter(None, map(read_public_key, secrets)):
            if any(self.check(key, signature, content) for signature in given):
                return verified
        raise InvalidSignature.refused()


@takes(*RECIPE_OPTIONS)
class Ed25519(Asymmetric):
    """Asymmetric with an Ed25519 key (RFC 8032), by its older name."""

    @classmethod
    def from_json(cls, source: Source, template: ReadTemplate) -> Self:
        """Reads the recipe."""
        return super().from_json({**source, "algorithm": "ed25519"}, template)


@takes("header", "prefix", "idHeader")
@dataclass(frozen=True, slots=True)
class Bearer:
    """The secret itself, in a header, by default `Authorization: Bearer <secret>`; it does not cover the body."""

    header: str = "Authorization"
    prefix: str = "Bearer "
    id_header: str = ""

    @classmethod
    def from_json(cls, source: Source, template: ReadTemplate) -> Self:  # noqa: ARG003 - one signature for all rows
        """Reads `header`, `prefix` and `idHeader`; in a header of its own the token has no prefix by default."""
        alone = source.get("header", "authorization").lower() != "authorization"
        given = _given(source, {"header": "header", "prefix": "prefix", "id_header": "idHeader"})
        return cls(**({"prefix": ""} | given if alone else given))

    def verify(self, request: Request, secrets: Sequence[str], now: float) -> Verified:  # noqa: ARG002 - a Scheme
        """Compares the token with each secret."""
        given = request.headers.get(self.header, "")
        # A scheme is known in any case (RFC 9110, section 11.1).
        if given[: len(self.prefix)].lower() != self.prefix.lower() or len(given) > MAX_HEADER:
            raise InvalidSignature.refused()
        token = given[len(self.prefix) :].strip()
        _demand([token.encode("utf-8", "surrogatepass")], [secret.encode() for secret in secrets])
        return Verified(_message_id(request, self.id_header))


@dataclass(frozen=True, slots=True)
class Undeclared:
    """The default of definitions without a signature block: Standard Webhooks, or the secret as a bearer token."""

    standard: StandardWebhooks = StandardWebhooks()
    bearer: Bearer = Bearer(id_header="webhook-id")

    def verify(self, request: Request, secrets: Sequence[str], now: float) -> Verified:
        """Verifies the signature if there is one, else the token."""
        scheme = self.standard if self.standard.header in request.headers else self.bearer
        return scheme.verify(request, secrets, now)


#: What verifies the messages of a service that declares no scheme.
UNDECLARED = Undeclared()

#: The schemes by the name that a definition uses.
SIGNATURE_SCHEMES: dict[str, type[Scheme]] = {
    "standard-webhooks": StandardWebhooks,
    "hmac": Hmac,
    "ed25519": Ed25519,
    "bearer": Bearer,
    "asymmetric": Asymmetric,
}


def read_signature(source: Source, template: ReadTemplate) -> Scheme:
    """The scheme that a `service.signature` block names; raises ValueError with a sentence."""
    name = source.get("scheme", "")
    if name not in SIGNATURE_SCHEMES:
        raise OptionError("scheme", f"unknown scheme {name[:70]!r}; {unknown_kind(name, SIGNATURE_SCHEMES)}")
    row = SIGNATURE_SCHEMES[name]
    # The row of a plug-in may not declare its options. Where the id is in the body does not depend on the scheme.
    check_options(source, getattr(row, "options", source), f"the scheme {name}", also=("scheme", "idSelector"))
    return row.from_json(source, template)


def split_secrets(text: str) -> tuple[str, ...]:
    """Returns the secrets in one text, newest first: several if white space separates them and each is long enough.

    A phrase with a short word is one secret.

    >>> split_secrets("It's a Secret to Everybody")
    ("It's a Secret to Everybody",)
    """
    words = text.split()
    if all(len(word) >= SHORTEST_SECRET for word in words):
        return tuple(words)
    return (text,)


def sign(secrets: Iterable[str], message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Returns the three headers of Standard Webhooks 1.0 for an outgoing message, with a signature for each secret.

    `timestamp` is in seconds since the epoch. Raises ValueError for an id that could be read in two ways (hazard T78),
    and for an empty secret.
    """
    if not MESSAGE_ID.fullmatch(message_id):
        raise ValueError("the id of a message is 1 to 128 letters, digits, '_' and '-'")
    content = _standard_content(message_id, str(timestamp), body)
    signatures = []
    for secret in secrets:
        if not (key := _standard_key(secret)):
            raise ValueError("a secret is not empty")
        signatures.append(f"{_VERSION},{to_base64(keyed_hash('sha256', key, content))}")
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(signatures),
    }


def _given(source: Source, names: Mapping[str, str]) -> dict[str, Any]:
    """What is there of the members, by the names of the fields that they are for."""
    return {name: source[key] for name, key in names.items() if key in source}


def message_id(scheme: Scheme | Undeclared, request: Request) -> str | None:
    """Returns the sender's id of a message that is not verified, if the scheme has a header for it."""
    known = scheme.bearer if isinstance(scheme, Undeclared) else getattr(scheme, "recipe", scheme)
    return _message_id(request, getattr(known, "id_header", ""))


def _elements(request: Request, header: str, prefix: str) -> Iterator[str]:
    """Yields the elements of a header that begin with the prefix, without it."""
    text = request.headers.get(header, "")
    if len(text) > MAX_HEADER:
        raise InvalidSignature.refused()
    for element in re.split("[,;]", text):
        if (element := element.strip()) and element.startswith(prefix):
            yield element.removeprefix(prefix)


def _sorted_form(body: bytes) -> bytes:
    # Whether a form has too many fields is decided when it is read; its size is limited already.
    pairs = urllib.parse.parse_qsl(body.decode("latin-1"), keep_blank_values=True)
    return "".join(name + value for name, value in sorted(pairs)).encode("utf-8", "surrogatepass")


def _message_id(request: Request, header: str) -> str | None:
    given = request.headers.get(header, "") if header else ""
    return given if given.isascii() and 0 < len(given) <= MAX_HEADER else None


def _find_part(part: Part, request: Request, written: Mapping[str, str]) -> bytes:
    """The bytes of one part of what was signed; those of a header or parameter that is not there are none."""
    match part.word:
        case "body":
            return _raw(request)
        case "form":
            return _sorted_form(_raw(request))
        case "method":
            return request.method.encode()
        case "url":
            return request.url.encode()
        case "path":
            return urllib.parse.urlsplit(request.url).path.encode()
        case "header":
            return request.headers.get(part.name, "").encode("utf-8", "surrogatepass")
        case "query":
            query = urllib.parse.parse_qs(urllib.parse.urlsplit(request.url).query, keep_blank_values=True)
            return query.get(part.name, [""])[0].encode("utf-8", "surrogatepass")
        case _:
            return written[part.word].encode("utf-8", "surrogatepass")


def _read_time(text: str, notations: Iterable[str], now: float, tolerance: float) -> float:
    """Seconds since the epoch, as the first notation that fits reads them.

    Raises InvalidSignature if there is none, or the time is not within the tolerance (hazard T62).
    """
    for notation in notations:
        seconds = TIMESTAMPS[notation](text)
        if seconds is not None and abs(now - seconds) <= tolerance:
            return seconds
    raise InvalidSignature.refused()


def _read_unix(text: str) -> float | None:
    return int(text) if _UNIX.fullmatch(text) else None


def _read_unix_ms(text: str) -> float | None:
    return int(text) / 1000 if _UNIX_MS.fullmatch(text) else None


def _read_iso(text: str) -> float | None:
    import datetime  # only messages with such a time need it

    try:
        return datetime.datetime.fromisoformat(text.upper()).timestamp() if _ISO.fullmatch(text) else None
    except (ValueError, OverflowError):  # the 31st of February, the year 0
        return None


#: How a time of sending may be written, by the name that a definition uses.
TIMESTAMPS: dict[str, Callable[[str], float | None]] = {"unix": _read_unix, "unix_ms": _read_unix_ms, "iso": _read_iso}


def _demand(given: Iterable[bytes], expected: Iterable[bytes]) -> None:
    if not is_among(given, expected):
        raise InvalidSignature.refused()


def _standard_content(message_id: str, timestamp: str, body: bytes) -> bytes:
    return f"{message_id}.{timestamp}.".encode() + body


def _standard_key(secret: str) -> bytes:
    """The key in a secret: base64 after `whsec_`, as the standard has it; else base64 if it is, else its own bytes."""
    key = from_base64(secret.removeprefix(_SECRET_PREFIX))
    return key or secret.encode()


def _raw(request: Request) -> bytes:
    return request.body if isinstance(request.body, bytes) else b""
