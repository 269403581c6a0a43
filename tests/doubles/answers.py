"""Answers of a provider, and any JSON value."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from connector.headers import Headers
from connector.messages import Response

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=4)
    ),
    max_leaves=10,
)


def answer(body: Any, status: int = 200, content_type: str = "application/json") -> Response:
    """An answer of the provider; anything but bytes is sent as JSON."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Response(status, Headers({"Content-Type": content_type}), raw)
