"""What a provider says of a failure, found in whatever form it has."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from connector.answers.failures import provider_message, show_body
from tests.doubles.answers import JSON


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        pytest.param({"object": "error", "message": "Not found", "code": "1"}, "Not found", id="Mistral"),
        pytest.param(
            {
                "object": "error",
                "message": {"detail": [{"type": "missing", "loc": ["body", "model"], "msg": "Field required"}]},
            },
            "body.model: Field required",
            id="Mistral, validation",
        ),
        pytest.param({"detail": "Unauthorized"}, "Unauthorized", id="Mistral, 401"),
        pytest.param(
            {"detail": [{"loc": ["body", 0], "msg": "bad"}, {"loc": ["query", "q"], "msg": "worse"}]},
            "body.0: bad; query.q: worse",
            id="FastAPI",
        ),
        pytest.param({"error": {"message": "Invalid API key", "type": "auth"}}, "Invalid API key", id="OpenAI, Stripe"),
        pytest.param({"type": "error", "error": {"type": "x", "message": "Overloaded"}}, "Overloaded", id="Anthropic"),
        pytest.param({"error": {"code": 404, "message": "Gone", "status": "NOT_FOUND"}}, "Gone", id="Google"),
        pytest.param([{"error": {"message": "No"}}], "No", id="Google, list"),
        pytest.param({"error": "invalid_grant", "error_description": "Expired"}, "Expired", id="OAuth"),
        pytest.param({"ok": False, "error": "channel_not_found"}, "channel_not_found", id="Slack"),
        pytest.param(
            {"ok": False, "error_code": 400, "description": "Bad Request: chat"}, "Bad Request: chat", id="Telegram"
        ),
        pytest.param({"error": "RecordNotFound", "description": "Not found"}, "Not found", id="Zendesk"),
        pytest.param({"errors": [{"message": "Not a gid", "help": "x"}]}, "Not a gid", id="Asana"),
        pytest.param({"errors": ["Forbidden"]}, "Forbidden", id="Datadog"),
        pytest.param({"errors": "Not Found"}, "Not Found", id="Shopify"),
        pytest.param({"errors": {"title": ["can't be blank"]}}, "title: can't be blank", id="Shopify, title"),
        pytest.param(
            {"errors": {"email": ["is taken", "is odd"], "n": ["x"], "o": []}},
            "email: is taken; is odd; n: x",
            id="Rails",
        ),
        pytest.param({"errors": {"x": []}}, "", id="Rails, nothing"),
        pytest.param(
            {"errorMessages": [], "errors": {"summary": "You must specify a summary."}},
            "summary: You must specify a summary.",
            id="report_24, Jira by name",
        ),
        pytest.param({"errors": {"name": "is blank"}}, "name: is blank", id="report_24, a text by name"),
        pytest.param({"errors": {"message": "No", "field": "x"}}, "No", id="errors as one object"),
        pytest.param({"name": ["This field is required."]}, "name: This field is required.", id="report_24, Django"),
        pytest.param({"errcode": 40013, "errmsg": "invalid appid"}, "invalid appid", id="report_24, errmsg"),
        pytest.param({"error": {"code": "token_expired"}}, "token_expired", id="report_24, a code alone"),
        pytest.param({"errors": [{"code": "x"}], "error": {"a": 1}}, "x", id="a code in a list"),
        pytest.param({"code": 17}, "17", id="a number alone"),
        pytest.param(
            {"message": "Validation Failed", "errors": [{"field": "title", "code": "missing_field"}]},
            "Validation Failed: title: missing_field",
            id="report_24, GitHub",
        ),
        pytest.param(
            {"message": "The given data was invalid.", "errors": {"email": ["is taken"]}},
            "The given data was invalid.: email: is taken",
            id="report_24, Laravel",
        ),
        pytest.param(
            {"Message": "A validation exception", "Elements": [{"ValidationErrors": [{"Message": "Bad email"}]}]},
            "A validation exception: Bad email",
            id="report_24, Xero",
        ),
        pytest.param({"message": "is taken", "errors": ["is taken"]}, "is taken", id="the same words twice"),
        pytest.param(
            "<?xml version='1.0'?><s:Fault><faultstring xml:lang='en'>Bad key</faultstring></s:Fault>",
            "Bad key",
            id="report_24, an XML fault",
        ),
        pytest.param("<Error><Code>7</Code></Error>", "<Error><Code>7</Code></Error>", id="XML without words"),
        pytest.param({"title": "Invalid", "detail": "Look here", "status": 400}, "Look here", id="RFC 9457"),
        pytest.param({"title": "Invalid Resource"}, "Invalid Resource", id="title alone"),
        pytest.param({"errorMessages": ["No issue"], "errors": {}}, "No issue", id="Jira"),
        pytest.param([{"message": "Session expired", "errorCode": "X"}], "Session expired", id="Salesforce"),
        pytest.param({"Message": "Denied", "__type": "x"}, "Denied", id="AWS"),
        pytest.param({"errorSummary": "Invalid token"}, "Invalid token", id="Okta"),
        pytest.param({"error_summary": "path/not_found/"}, "path/not_found/", id="Dropbox"),
        pytest.param({"fault": {"faultstring": "Bad key"}}, "Bad key", id="Apigee"),
        pytest.param({"error": {"code": "x", "message": {"value": "OData says"}}}, "OData says", id="OData"),
        pytest.param(
            {"success": False, "errors": [{"code": 1, "message": "No"}], "messages": []}, "No", id="Cloudflare"
        ),
        pytest.param({"msg": "plain"}, "plain", id="msg alone"),
        pytest.param("invalid  id\n", "invalid id", id="Trello, text"),
        pytest.param("<html><head><TITLE>502 Bad\nGateway</TITLE>", "502 Bad Gateway", id="proxy"),
        pytest.param("x" * 500, "x" * 200, id="long"),
        pytest.param({"number": 5}, "", id="none"),
        pytest.param({"message": None, "error": ""}, "", id="empty"),
        pytest.param(None, "", id="nothing"),
        pytest.param(5, "", id="number"),
    ],
)
def test_the_providers_own_words_are_found(raw: Any, words: str) -> None:
    assert words == provider_message(raw)


def test_words_are_looked_for_in_bounds() -> None:
    raw: Any = "deep"
    for _ in range(150):
        raw = [{"error": raw}, {"message": raw}]
    assert provider_message(raw) == ""
    assert len(provider_message([["x" * 300] * 5] * 5)) == 1000


@given(JSON)
def test_any_failure_has_words_or_none(raw: Any) -> None:
    assert isinstance(provider_message(raw), str)


def test_report_24_a_body_without_words_is_shown_itself() -> None:
    assert show_body({"a": [1, 2]}) == '{"a":[1,2]}'
    assert show_body("x" * 999) == "x" * 300
    assert [show_body(raw) for raw in (None, "", {}, [])] == [""] * 4
