"""The Shopify connector against a stand-in: GraphQL with typed variables, and failures that come with a 200."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from runtime import MissingCredentials, RateLimited, ResponseError, Runtime
from tests.doubles.standins import Answer, Call, Standin

pytestmark = pytest.mark.anyio

VALUES = {"storeUrl": "harbour-demo", "accessToken": "shpat_canary_token"}
BASE = "/admin/api/2025-07"


def connection(call: Call) -> Answer:
    """Five products, as https://shopify.dev/docs/api/usage/pagination-graphql says of `pageInfo`."""
    asked = call.json["variables"]
    first = int(base64.b64decode(asked["after"]).decode()) if "after" in asked else 0
    last = min(first + asked["first"], 5)
    nodes = [{"id": f"gid://shopify/Product/{number}", "title": f"Rope {number}"} for number in range(first, last)]
    info = {"hasNextPage": last < 5, "endCursor": base64.b64encode(str(last).encode()).decode()}
    return Answer({"data": {"products": {"nodes": nodes, "pageInfo": info}}})


async def test_a_list_goes_on_with_the_cursor_among_its_variables() -> None:
    async with Standin(connection) as shopify, shopify.runtime("shopify", VALUES, BASE) as rt:
        inputs = {"first": 2, "query": "status:ACTIVE"}
        found = [record["title"] async for record in rt.records("shopify", "products.list", inputs)]
    assert found == [f"Rope {number}" for number in range(5)]
    known = {"first": 2, "query": "status:ACTIVE"}
    marks: list[dict[str, str]] = [{}, {"after": "Mg=="}, {"after": "NA=="}]
    assert [call.json["variables"] for call in shopify.calls] == [{**known, **mark} for mark in marks]
    assert {call.path for call in shopify.calls} == {f"{BASE}/graphql.json"}
    assert {call.headers["x-shopify-access-token"] for call in shopify.calls} == {"shpat_canary_token"}
    assert len({call.json["query"] for call in shopify.calls}) == 1


async def refusal(
    document: dict[str, Any], operation: str, inputs: dict[str, Any], status: int = 200, *, calls: int = 1
) -> ResponseError:
    async with Standin(lambda _: Answer(document, status)) as shopify, shopify.runtime("shopify", VALUES, BASE) as rt:
        with pytest.raises(ResponseError) as caught:
            await rt.call("shopify", operation, inputs)
    assert len(shopify.calls) == calls
    assert caught.value.result.raw == document
    return caught.value


async def test_errors_of_graphql_in_a_200_are_a_failure() -> None:
    said = {"message": "Access denied", "extensions": {"code": "ACCESS_DENIED"}}
    error = await refusal({"errors": [said]}, "orders.read", {"orderId": "gid://shopify/Order/1"})
    assert error.message == "Access denied (shopify orders.read answered 200)"
    assert (error.provider_code, error.status) == ("ACCESS_DENIED", 200)


async def test_report_15_a_limit_in_a_200_is_waited_for() -> None:
    said = {"message": "Throttled", "extensions": {"code": "THROTTLED"}}
    error = await refusal({"errors": [said]}, "orders.read", {"orderId": "gid://shopify/Order/1"}, calls=4)
    assert isinstance(error, RateLimited)
    assert error.provider_code == "THROTTLED"


async def test_what_a_mutation_complains_about_in_a_200_is_a_failure_in_its_words() -> None:
    complaints = [{"field": ["title"], "message": "Title can't be blank"}, {"field": None, "message": "No such vendor"}]
    document = {"data": {"productCreate": {"product": None, "userErrors": complaints}}}
    error = await refusal(document, "products.create", {"title": " "})
    words = "Title can't be blank; No such vendor"
    assert error.message == f"{words} (shopify products.create answered 200)"
    assert error.hint == "Shopify understood the call and refused it"


async def test_a_wrong_token_is_a_text_by_the_name_of_errors() -> None:
    said = {"errors": "[API] Invalid API key or access token"}
    error = await refusal(said, "customers.list", {}, 401)
    assert error.message == "[API] Invalid API key or access token (shopify customers.list answered 401)"


async def test_a_mutation_that_nobody_complains_about_is_a_success() -> None:
    product = {"id": "gid://shopify/Product/7", "title": "Anchor", "tags": ["iron"]}
    document = {"data": {"productCreate": {"product": product, "userErrors": []}}}
    async with Standin(lambda _: Answer(document)) as shopify, shopify.runtime("shopify", VALUES, BASE) as rt:
        result = await rt.call("shopify", "products.create", {"title": 'Anchor"}) { id } #', "tags": ["iron"]})
    assert (result.fields or {})["title"] == "Anchor"
    assert shopify.calls[0].json["variables"] == {"product": {"title": 'Anchor"}) { id } #', "tags": ["iron"]}}


@pytest.mark.parametrize("store", ["evil.example/", "evil.example#", "a@evil.example", "a/b", "a:1", ""])
async def test_T30_a_name_of_a_store_does_not_lead_elsewhere(store: str) -> None:
    async with Runtime(secrets={"shopify": {**VALUES, "storeUrl": store}}, environ={}) as rt:
        with pytest.raises(MissingCredentials, match="storeUrl"):
            await rt.call("shopify", "products.list", {})
