"""Names from paths and parameters."""

from __future__ import annotations

import pytest

from connector.openapi.names import InputNames, NamedPath, camel, kebab, name_calls, shared_prefix


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("max_tokens", "maxTokens"),
        ("X-Api-Version", "xApiVersion"),
        ("userID", "userID"),
        ("ID", "ID"),
        ("API_KEY", "apiKEY"),
        ("$top", "top"),
        ("2fa", "n2fa"),
        ("[]", "value"),
        ("created[gte]", "createdGte"),
    ],
)
def test_a_parameter_becomes_the_name_of_an_input(text: str, name: str) -> None:
    assert camel(text) == name


@pytest.mark.parametrize(
    ("text", "name"), [("fineTuning_jobs", "fine-tuning-jobs"), ("v2", "v2"), ("2fa", "n2-fa"), ("é", "")]
)
def test_a_segment_becomes_a_handle(text: str, name: str) -> None:
    assert kebab(text) == name


@pytest.mark.parametrize(
    ("paths", "prefix"),
    [
        ([], ""),
        (["/v1"], ""),
        (["/v1/a", "/v1/b/c"], "/v1"),
        (["/api/v2.1/a", "/api/v2.1/a/b"], "/api/v2.1"),
        (["/v1/a", "/v2/a"], ""),
        (["/pets/a", "/pets/b"], ""),
        (["/2024-01/a"], "/2024-01"),
    ],
)
def test_only_versions_belong_to_the_base_url(paths: list[str], prefix: str) -> None:
    assert shared_prefix(paths) == prefix


def test_a_name_that_is_taken_or_a_value_of_the_connection_gets_its_place() -> None:
    names = InputNames(frozenset({"token"}))
    assert [names.take(name, "body") for name in ("id", "id", "id", "token")] == [
        "id",
        "bodyId",
        "bodyId2",
        "bodyToken",
    ]


@pytest.mark.parametrize(
    ("calls", "names"),
    [
        (["GET /pets", "POST /pets", "GET /pets/{id}", "PUT /pets/{id}", "PATCH /pets/{id}", "DELETE /pets/{id}"],
         ["pets.list", "pets.create", "pets.read", "pets.replace", "pets.update", "pets.delete"]),
        (["GET /me", "PUT /me", "PATCH /me", "DELETE /me"], ["me.read", "me.replace", "me.update", "me.delete"]),
        (["POST /chat/completions", "OPTIONS /chat/completions"], ["chat-completions.create", "chat-completions.options"]),
        (["GET /jobs", "POST /jobs/{id}/cancel", "POST /jobs/cancel", "GET /jobs/{id}"],
         ["jobs.list", "jobs.cancel", "jobs.cancel-all", "jobs.read"]),
        (["GET /jobs/{id}", "GET /jobs/{id}/log", "POST /jobs/{id}/log/trim"], ["jobs.read", "jobs.log", "jobs.log-trim"]),
        (["GET /a/{x}/b/{y}", "GET /a/b/{y}"], ["a-b.read", "a-b.get-one"]),
        (["GET /a/{x}/b/{y}", "GET /a/b/{y}", "GET /a/b/{y}/{z}", "GET /a/{x}/b/{y}/{z}"],
         ["a-b.read", "a-b.get-one", "a-b.read-2", "a-b.read-3"]),
        (["GET /{id}"], ["root.read"]),
        (["POST /{id}#stream", "POST /"], ["root.create-stream", "root.create"]),
        (["POST /chat.postMessage", "GET /listUsers"], ["chat.post-message", "calls.list-users"]),
        (["POST /x/{id}", "PUT /x/{id}"], ["x.create", "x.update"]),
        (["GET /x/{id}/lock", "POST /x/{id}/lock", "GET /x/{id}"], ["x-lock.read", "x-lock.create", "x.read"]),
        (["TRACE /x/{id}"], ["x.trace"]),
    ],
)  # fmt: skip
def test_paths_become_resources_and_operations(calls: list[str], names: list[str]) -> None:
    made = []
    for call in calls:
        method, _, path = call.partition(" ")
        path, _, fragment = path.partition("#")
        made.append(NamedPath(method=method, path=path, fragment=fragment))
    assert [".".join(pair) for pair in name_calls(made)] == names


@pytest.mark.parametrize(
    ("operation_id", "name"),
    [("appendToConversation", "append"), ("post_thing", "update"), ("setThing", "update"), ("thing", "update")],
)
def test_a_post_to_an_item_is_named_by_its_operation_id(operation_id: str, name: str) -> None:
    assert name_calls([NamedPath(method="POST", path="/x/{id}", operation_id=operation_id)]) == [("x", name)]


def test_a_list_without_items_is_known_by_its_answer() -> None:
    assert name_calls([NamedPath(method="GET", path="/x", lists=True)]) == [("x", "list")]
