"""How a provider wants to be treated: what a definition says of rates, retries, errors and idempotency."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from connector.answers.mapping import map_response
from connector.errors import InvalidDefinition
from connector.headers import Headers
from connector.messages import Response
from connector.model.definition import Operation
from connector.model.policies import LimitSign, Policies, RateLimit, Retry
from connector.parsing.connectors import parse_connector
from connector.selectors import Selector

FIELDS = [{"name": "id", "type": "String"}]


def read_operation(operation: dict[str, Any] | None = None, service: dict[str, Any] | None = None) -> Operation:
    call = {"method": "GET", **(operation or {})}
    resource = {"handle": "things", "endpoint": "/things", "fields": FIELDS, "operations": {"list": call}}
    block = {"baseURL": "https://api.example.com", **(service or {})}
    return parse_connector({"handle": "demo", "service": block, "resources": [resource]}).operation("things.list")


def test_nothing_said_is_no_limit_and_four_attempts() -> None:
    assert read_operation().policies == Policies()
    assert Policies().retry == Retry(4, frozenset({500, 502, 503, 504}), 60.0)


def test_what_an_operation_says_wins_key_by_key() -> None:
    service = {
        "rateLimit": {"requests": 10, "per": 60, "concurrency": 2},
        "retry": {"attempts": 2, "statuses": [503], "maxDelay": 5},
        "errors": {
            "message": ["error", "text"],
            "code": ["error", "id"],
            "retryAfter": "X-Wait",
            "statuses": {"404": "a"},
        },
    }
    operation = {
        "rateLimit": {"requests": 1},
        "retry": {"attempts": 3},
        "errors": {"message": ["why"], "when": {"selector": ["ok"], "in": [False]}},
    }
    policies = read_operation(operation, service).policies
    assert policies.rate_limit == RateLimit(1, 60, 2)
    assert policies.retry == Retry(3, frozenset({503}), 5)
    errors = policies.errors
    assert errors.message is not None
    assert errors.code is not None
    assert (errors.message.text, errors.code.text, errors.retry_after) == ("$.why", "$.error.id", "X-Wait")
    assert (errors.statuses, [sign.values for sign in errors.when]) == ({404: "a"}, [(False,)])
    assert read_operation({}, service).policies.rate_limit == RateLimit(10, 60, 2)
    again = {"errors": {"statuses": {"409": "b"}, "retryAfter": "X-Rest"}}
    assert read_operation(again, service).policies.errors.statuses == {409: "b"}


@pytest.mark.parametrize(
    ("policy", "pointer"),
    [
        ({"rateLimit": {"requests": 0}}, "rateLimit/requests"),
        ({"rateLimit": {"per": 0}}, "rateLimit/per"),
        ({"rateLimit": {"concurrency": True}}, "rateLimit/concurrency"),
        ({"rateLimit": 5}, "rateLimit"),
        ({"retry": {"attempts": 11}}, "retry/attempts"),
        ({"retry": {"statuses": 503}}, "retry/statuses"),
        ({"retry": {"statuses": ["503"]}}, "retry/statuses/0"),
        ({"retry": {"maxDelay": -1}}, "retry/maxDelay"),
        ({"errors": {"statuses": {"4xx": "a"}}}, "errors/statuses/4xx"),
        ({"errors": {"statuses": {"404": 5}}}, "errors/statuses/404"),
        ({"errors": {"when": {"in": [False]}}}, "errors/when"),
        ({"errors": {"when": [{"selector": ["ok"]}, 5]}}, "errors/when/1"),
        ({"errors": {"when": [{"selector": "$[?("}]}}, "errors/when/0/selector"),
        ({"errors": {"message": ["$[?("]}}, ""),
        ({"errors": {"message": "$[?("}}, "errors/message"),
        ({"errors": {"when": {"selector": "$[?(", "in": [1]}}}, "errors/when/selector"),
        ({"idempotent": {"header": "Host"}}, "idempotent/header"),
        ({"idempotent": {}}, "idempotent"),
        ({"idempotent": "yes"}, "idempotent"),
    ],
)
def test_a_policy_that_cannot_be_is_refused_at_load(policy: dict[str, Any], pointer: str) -> None:
    if not pointer:
        assert read_operation(policy).policies.errors.message is not None
        return
    with pytest.raises(InvalidDefinition) as caught:
        read_operation(policy)
    assert [problem.pointer for problem in caught.value.problems] == [f"/resources/0/operations/list/{pointer}"]


@pytest.mark.parametrize(
    ("said", "idempotent", "header"),
    [
        ({"method": "GET"}, True, ""),
        ({"method": "HEAD"}, True, ""),
        ({"method": "POST"}, False, ""),
        ({"method": "PUT"}, False, ""),
        ({"method": "DELETE"}, False, ""),
        ({"method": "POST", "idempotent": True}, True, ""),
        ({"method": "GET", "idempotent": False}, False, ""),
        ({"method": "POST", "idempotent": {"header": "Idempotency-Key"}}, True, "Idempotency-Key"),
    ],
)
def test_a_call_is_idempotent_by_its_method_or_by_what_is_said(
    said: dict[str, Any], idempotent: bool, header: str
) -> None:
    operation = read_operation(said)
    assert (operation.idempotent, operation.idempotency_header) == (idempotent, header)


@pytest.mark.parametrize(
    ("body", "ok"),
    [(b'{"ok": false}', False), (b'{"ok": true}', True), (b'{"ok": 0}', True), (b'{"id": "a"}', True), (b"[]", True)],
)
def test_a_failure_inside_a_200_is_a_failure(body: bytes, ok: bool) -> None:
    operation = read_operation({"errors": {"when": {"selector": ["ok"], "in": [False]}}})
    result = map_response(operation, Response(200, Headers(), body))
    assert (result.ok, result.status) == (ok, 200)


def test_one_and_true_are_not_the_same() -> None:
    errors = read_operation({"errors": {"when": {"selector": ["code"], "in": [1, "bad"]}}}).policies.errors
    assert [errors.is_failure({"code": each}) for each in (1, True, "bad", 0, None)] == [
        True,
        False,
        True,
        False,
        False,
    ]


def test_the_providers_code_is_text() -> None:
    errors = read_operation({"errors": {"code": ["code"]}}).policies.errors
    assert [errors.code_in({"code": each}) for each in ("x", 7, "", None, {})] == ["x", "7", None, None, None]
    assert Policies().errors.code_in({"code": "x"}) is None
    assert Policies().errors.is_failure({"ok": False}) is False


def test_a_list_that_shows_less_than_there_is_and_declares_no_pagination_is_said_aloud() -> None:
    body = b'{"data": [{"id": "a"}], "has_more": true}'
    said = "these are not all records: has_more is true, and the definition declares no `pagination`"
    assert said in map_response(read_operation({"records": ["data"]}), Response(200, Headers(), body)).warnings
    declared = {"records": ["data"], "pagination": {"style": "link"}}
    assert map_response(read_operation(declared), Response(200, Headers(), body)).warnings == ()


@pytest.mark.parametrize(
    ("document", "failed"),
    [
        ({"errors": [{"message": "no"}]}, True),
        ({"data": {"make": {"userErrors": [{"message": "no"}]}}}, True),
        ({"errors": "no"}, True),
        ({"errors": 0}, True),
        ({"data": {"make": {"userErrors": []}}, "errors": []}, False),
        ({"data": {"make": None}, "errors": None}, False),
        ({"errors": False}, False),
        ({"errors": ""}, False),
        ({"errors": {}}, False),
    ],
)
def test_a_failure_inside_a_200_is_known_by_any_sign_that_is_there(document: dict[str, Any], failed: bool) -> None:
    signs = [{"selector": ["errors"]}, {"selector": "$.data.*.userErrors[*]"}]
    assert read_operation({"errors": {"when": signs}}).policies.errors.is_failure(document) is failed


def test_report_15_a_limit_is_read_with_its_wait() -> None:
    def read(block: Any, key: str, *within: Any) -> Selector | None:
        return Selector.from_json(block[key]) if key in block else None

    def limit(**source: Any) -> LimitSign:
        found = Policies().overlaid({"errors": {"limit": source}}, read).errors.limit
        assert found is not None
        return found

    plain = limit(statuses=[403], wait=60)
    assert [plain.is_in(status, {}) for status in (403, 429)] == [True, False]
    assert plain.read_wait({}, 0.0) == 60
    signed = limit(statuses=[200], when=[{"selector": ["code"], "in": [4]}], retryAfter=["rest"], unit="ms")
    assert [signed.is_in(200, document) for document in ({"code": 4}, {"code": 5})] == [True, False]
    assert [signed.read_wait({"rest": rest}, 0.0) for rest in (1500, "500", "x", None, 10**400)] == [
        1.5,
        0.5,
        None,
        None,
        None,
    ]
    ends = limit(statuses="x", retryAfter=["at"], unit="unix")
    assert (ends.is_in(429, {}), ends.read_wait({"at": 130}, 100.0), ends.read_wait({"at": 1}, 100.0)) == (True, 30, 0)
    service = Policies().overlaid({"errors": {"limit": {"statuses": [403]}}}, read)
    assert service.overlaid({"errors": {"code": ["x"]}}, read).errors.limit == service.errors.limit


@pytest.mark.parametrize(
    ("connector", "status", "document"),
    [
        (
            "github",
            403,
            {
                "documentation_url": "https://docs.github.com/rest/overview/rate-limits-for-the-rest-api#about-secondary-rate-limits"
            },
        ),
        ("google-calendar", 403, {"error": {"errors": [{"reason": "userRateLimitExceeded"}]}}),
        ("slack", 200, {"ok": False, "error": "ratelimited"}),
        ("shopify", 200, {"errors": [{"extensions": {"code": "THROTTLED"}}]}),
    ],
)
def test_report_15_shipped_connectors_know_the_limits_of_their_providers(
    connector: str, status: int, document: dict[str, Any]
) -> None:
    folder = Path(__file__).parents[3] / "definitions" / connector
    service = json.loads((folder / "service.json").read_text("utf-8"))
    found = parse_connector(service, []).service.policies.errors.limit
    assert found is not None
    assert found.is_in(status, document)
    assert not found.is_in(status, {"ok": True})
    assert found.read_wait(document, 0.0) == found.wait
