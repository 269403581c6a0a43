"""Names of methods as tables have them, and the method that adds nothing."""

from __future__ import annotations

import pytest

from connector.auth.methods import AUTH_METHODS, find_auth_method
from connector.messages import Request
from connector.protocols import Moment, NoAuth, method_key


@pytest.mark.parametrize("spelling", ["api_token", "API-Token", "apiToken", "apitoken", "API_TOKEN"])
def test_the_spelling_of_a_method_does_not_matter(spelling: str) -> None:
    assert method_key(spelling) == "apitoken"
    assert find_auth_method(spelling) is AUTH_METHODS["apitoken"]


def test_without_a_method_nothing_is_added() -> None:
    request = Request("GET", "https://api.example.com/v1")
    assert NoAuth().apply(request, {"token": "t"}, Moment(time=0.0, nonce="n")) is request
    assert NoAuth().credentials == NoAuth().secrets == NoAuth().names == frozenset()
