"""How an inbound message shows that it comes from the provider: SIGNATURE_SCHEMES, one class for each way, and `sign`.

A scheme reads the `service.signature` block once and then verifies raw bytes, before anybody parses them: in constant
time, within a tolerance of time, with any of a connection's secrets, so that keys can be rotated. Whatever is wrong
with a message, the error is the same one, since a reason would help whoever forges (hazards T59 to T66). What a message
means is `mapping`'s business, and which secrets a connection has the runtime's.
"""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

from connector.digests import ALGORITHMS, ENCODINGS, decode_text, from_base64, is_among, keyed_hash, to_base64
from connector.errors import InvalidSignature, unknown_kind
from connector.messages import Request
from connector.protocols import Scheme
from connector.templates import Slot, Template

#: Seconds that a message may be old, or ahead of our clock, where the definition says nothing.
TOLERANCE = 300
#: A header that carries signatures has at most this many characters, and this many signatures are looked at.
MAX_HEADER = 4096
MAX_SIGNATURES = 10
#: Of several secrets in one text each has at least this many characters; a shorter word belongs to a phrase.
SHORTEST_SECRET = 16
#: What a `signed` template may hold. `form` are the fields of a form sorted by name, each name and its value together.
SIGNED_NAMES = ("body", "timestamp", "id", "url", "method", "form")
MESSAGE_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
_TIMESTAMP = re.compile(r"[0-9]{1,12}")
_SECRET_PREFIX = "whsec_"
_VERSION = "v1"

Source = Mapping[str, Any]
#: Compiles the template in a member of the block; None where there is none.
ReadTemplate = Callable[[str], Template | None]


class Verified(NamedTuple):
    """What a signature vouches for: the sender's id of the message and the time of sending, where the scheme has them.

    `timestamp` is in seconds since the epoch. An id that the signature does not cover is given all the same: it tells
    repetitions apart, and whoever could change it could not have signed another body.
    """

    id: str | None = None
    timestamp: int | None = None


@dataclass(frozen=True, slots=True)
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
        timestamp = _read_timestamp(request.headers.get(self.timestamp_header, ""), now, self.tolerance)
        if not message_id or timestamp is None or not message_id.isascii() or len(message_id) > MAX_HEADER:
            raise InvalidSignature.refused()
        texts = request.headers.get(self.header, "")[: MAX_HEADER + 1].split(" ", MAX_SIGNATURES + 1)
        given = [from_base64(text.removeprefix("v1,")) for text in texts if text.startswith("v1,")]
        if len(texts) > MAX_SIGNATURES or sum(map(len, texts)) > MAX_HEADER:
            raise InvalidSignature.refused()
        content = _standard_content(message_id, timestamp, _raw(request))
        _demand(given, [keyed_hash("sha256", _standard_key(secret), content) for secret in secrets])
        return Verified(message_id, timestamp)


@dataclass(frozen=True, slots=True)
class Recipe:
    """Where the signatures of a message are, how they are written, and which bytes were signed.

    The header may hold several elements between `,` or `;`; those that begin with the prefix are signatures. A
    timestamp may be such an element too (`timestampPrefix`), or a header of its own.
    """

    header: str
    encoding: str
    prefix: str
    signed: Template
    timestamp_header: str
    timestamp_prefix: str
    id_header: str
    tolerance: float

    @classmethod
    def from_json(cls, source: Source, template: ReadTemplate) -> Self:
        """Reads the recipe; `header` must be there, and the rest is as GitHub has it unless told."""
        if not source.get("header"):
            raise ValueError("'header' is missing: the header that carries the signature")
        signed = template("signed") or Template((Slot("body"),))
        unknown = [name for name in signed.names if name not in SIGNED_NAMES]
        if unknown:
            raise ValueError(f"{unknown[0]!r} cannot be signed; known: {', '.join(SIGNED_NAMES)}")
        for name, key in (("timestamp", "timestampHeader"), ("id", "idHeader")):
            if name in signed.names and not source.get(key):
                raise ValueError(f"{key!r} is missing: {name!r} is signed")
        encoding = source.get("encoding", "hex")
        if encoding not in ENCODINGS:
            raise ValueError(f"unknown encoding {encoding[:70]!r}; known: {', '.join(ENCODINGS)}")
        return cls(
            source["header"],
            encoding,
            source.get("prefix", ""),
            signed,
            source.get("timestampHeader", ""),
            source.get("timestampPrefix", ""),
            source.get("idHeader", ""),
            source.get("tolerance", TOLERANCE),
        )

    def open(self, request: Request, now: float) -> tuple[list[bytes], bytes, Verified]:
        """The signatures that a request carries, the bytes that must have been signed, and what these vouch for.

        Raises InvalidSignature.
        """
        given = [decode_text(text, self.encoding) for text in _elements(request, self.header, self.prefix)]
        if not given or len(given) > MAX_SIGNATURES:
            raise InvalidSignature.refused()
        timestamp = None
        if self.timestamp_header:
            texts = list(_elements(request, self.timestamp_header, self.timestamp_prefix))
            timestamp = _read_timestamp(texts[0], now, self.tolerance) if len(texts) == 1 else None
            if timestamp is None:
                raise InvalidSignature.refused()
        message_id = _message_id(request, self.id_header)
        names = {
            "body": _raw(request),
            "timestamp": str(timestamp).encode(),
            "id": (message_id or "").encode(),
            "url": request.url.encode(),
            "method": request.method.encode(),
        }
        if "form" in self.signed.names:
            names["form"] = _sorted_form(names["body"])
        content = b"".join(part.encode() if isinstance(part, str) else names[part.name] for part in self.signed.parts)
        return given, content, Verified(message_id, timestamp)


@dataclass(frozen=True, slots=True)
class Hmac:
    """A keyed hash over what the `signed` template says, in a header, as most providers have it."""

    recipe: Recipe
    algorithm: str

    @classmethod
    def from_json(cls, source: Source, template: ReadTemplate) -> Self:
        """Reads the recipe, and which hash it is."""
        recipe = Recipe.from_json(source, template)
        if (algorithm := source.get("algorithm", "sha256")) not in ALGORITHMS:
            raise ValueError(f"unknown algorithm {algorithm[:70]!r}; known: {', '.join(ALGORITHMS)}")
        return cls(recipe, algorithm)

    def verify(self, request: Request, secrets: Sequence[str], now: float) -> Verified:
        """Verifies each element with each secret."""
        given, content, verified = self.recipe.open(request, now)
        _demand(given, [keyed_hash(self.algorithm, secret.encode(), content) for secret in secrets])
        return verified


@dataclass(frozen=True, slots=True)
class Ed25519:
    """An Ed25519 signature (RFC 8032) over what the `signed` template says; the secret is the public key, in hex."""

    recipe: Recipe

    @classmethod
    def from_json(cls, source: Source, template: ReadTemplate) -> Self:
        """Reads the recipe."""
        return cls(Recipe.from_json(source, template))

    def verify(self, request: Request, secrets: Sequence[str], now: float) -> Verified:
        """Verifies each element with each public key."""
        from cryptography.exceptions import InvalidSignature as WrongSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        given, content, verified = self.recipe.open(request, now)
        for secret in secrets:
            try:
                key = Ed25519PublicKey.from_public_bytes(decode_text(secret, "hex") or decode_text(secret, "base64"))
            except ValueError:  # no key of 32 bytes
                continue
            for signature in given:
                try:
                    key.verify(signature, content)
                except WrongSignature:
                    continue
                return verified
        raise InvalidSignature.refused()


@dataclass(frozen=True, slots=True)
class Bearer:
    """The secret itself, in a header: `Authorization: Bearer <secret>` unless told; it vouches for no body."""

    header: str = "Authorization"
    prefix: str = "Bearer "
    id_header: str = ""

    @classmethod
    def from_json(cls, source: Source, template: ReadTemplate) -> Self:  # noqa: ARG003 - one signature for all rows
        """Reads `header`, `prefix` and `idHeader`; in a header of its own the token stands alone unless told."""
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
    """What holds where a definition says nothing: Standard Webhooks, or the secret as a bearer token."""

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
    "bearer": Bearer,
    "ed25519": Ed25519,
}


def read_signature(source: Source, template: ReadTemplate) -> Scheme:
    """The scheme that a `service.signature` block names; raises ValueError with a sentence."""
    name = source.get("scheme", "")
    if name not in SIGNATURE_SCHEMES:
        raise ValueError(f"unknown scheme {name[:70]!r}; {unknown_kind(name, SIGNATURE_SCHEMES)}")
    return SIGNATURE_SCHEMES[name].from_json(source, template)


def split_secrets(text: str) -> tuple[str, ...]:
    """The secrets in one text, newest first: several if white space separates them and each is long enough.

    A short word is no secret of its own, so a phrase stays the one secret that it is.

    >>> split_secrets("It's a Secret to Everybody")
    ("It's a Secret to Everybody",)
    """
    words = text.split()
    if all(len(word) >= SHORTEST_SECRET for word in words):
        return tuple(words)
    return (text,)


def sign(secrets: Iterable[str], message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The three headers of Standard Webhooks 1.0 for a message that leaves, with a signature for each secret.

    `timestamp` is in seconds since the epoch. Raises ValueError for an id that could be read in two ways (hazard T78),
    and for an empty secret.
    """
    if not MESSAGE_ID.fullmatch(message_id):
        raise ValueError("the id of a message is 1 to 128 letters, digits, '_' and '-'")
    content = _standard_content(message_id, timestamp, body)
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
    """The sender's id of a message that nobody verifies, where the scheme has a header for it."""
    known = scheme.bearer if isinstance(scheme, Undeclared) else getattr(scheme, "recipe", scheme)
    return _message_id(request, getattr(known, "id_header", ""))


def _elements(request: Request, header: str, prefix: str) -> Iterator[str]:
    """The elements of a header that begin with the prefix, without it."""
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


def _read_timestamp(text: str, now: float, tolerance: float) -> int | None:
    """Whole seconds since the epoch within the tolerance, or None (hazard T62)."""
    if not _TIMESTAMP.fullmatch(text):
        return None
    return int(text) if abs(now - int(text)) <= tolerance else None


def _demand(given: Iterable[bytes], expected: Iterable[bytes]) -> None:
    if not is_among(given, expected):
        raise InvalidSignature.refused()


def _standard_content(message_id: str, timestamp: int, body: bytes) -> bytes:
    return f"{message_id}.{timestamp}.".encode() + body


def _standard_key(secret: str) -> bytes:
    """The key in a secret: base64 after `whsec_`, as the standard has it; else base64 if it is, else its own bytes."""
    key = from_base64(secret.removeprefix(_SECRET_PREFIX))
    return key or secret.encode()


def _raw(request: Request) -> bytes:
    return request.body if isinstance(request.body, bytes) else b""
