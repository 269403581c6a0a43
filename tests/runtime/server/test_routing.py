"""What all routes share: one form of errors, strict JSON and limits."""

from __future__ import annotations

import pytest

from runtime.server.app import create_app
from tests.doubles.served import Served, is_problem, routes

pytestmark = pytest.mark.anyio


async def test_every_route_answers_garbage_with_a_problem_document(server: Served) -> None:
    app = create_app(server.lifespan.caller)
    for method, path in routes(app):
        if method == "GET":
            continue
        for body in (b"", b"[" * 100_000, b'{"a": NaN}', b"\xff", b"[7]"):
            answer = await server.client.request(
                method, server.url + path, content=body, headers={"content-type": "application/json"}
            )
            assert answer.status_code < 500, (method, path, body)
            assert is_problem(answer), (method, path, body[:20])


@pytest.mark.parametrize(
    "path", ["/", "/nothing", "/api", "/api/connectors/", "/api/events/none", "/api/deliveries/none"]
)
async def test_an_unknown_path_or_thing_is_a_404_problem(server: Served, path: str) -> None:
    answer = await server.client.get(server.url + path)
    assert (answer.status_code, is_problem(answer)) == (404, True)


async def test_an_unknown_method_is_a_405_problem(server: Served) -> None:
    answer = await server.client.delete(server.url + "/api/events")
    assert (answer.status_code, is_problem(answer)) == (405, True)


async def test_a_body_beyond_the_limit_is_413(server: Served) -> None:
    url = server.url + "/api/connectors/mistral-ai/operations/models.list"
    answer = await server.client.post(
        url, content=b'"' + b"x" * 1_100_000 + b'"', headers={"content-type": "application/json"}
    )
    assert (answer.status_code, is_problem(answer)) == (413, True)


async def test_wrong_queries_name_the_parameter(server: Served) -> None:
    answer = await server.client.get(server.url + "/api/events?limit=0&after=x")
    assert (answer.status_code, is_problem(answer)) == (422, True)
    assert [each["name"] for each in answer.json()["errors"]] == ["after", "limit"]
