"""The routes of the catalogue."""

from __future__ import annotations

import pytest

from tests.doubles.served import Served

pytestmark = pytest.mark.anyio


async def test_the_catalogue_has_json_schemas_of_inputs_and_fields(server: Served) -> None:
    get = server.client.get
    assert "mistral-ai" in {each["handle"] for each in (await get(server.url + "/api/connectors")).json()}
    shown = (await get(server.url + "/api/connectors/mistral-ai")).json()
    assert (shown["handle"], len(shown["triggers"])) == ("mistral-ai", 14)
    found = (await get(server.url + "/api/connectors/mistral-ai/operations")).json()
    assert "chat-completions.create" in {each["id"] for each in found}
    one = (await get(server.url + "/api/connectors/mistral-ai/operations/chat-completions.create")).json()
    inputs, fields = one["schemas"]["inputs"], one["schemas"]["fields"]
    assert (inputs["additionalProperties"], "content" in inputs["required"]) == (False, True)
    assert inputs["properties"]["temperature"]["type"] == "number"
    assert "choices_message_content" in fields["properties"]
    missing = await get(server.url + "/api/connectors/mistral-ai/operations/models.lst")
    assert (missing.status_code, missing.json()["hint"]) == (404, "did you mean 'models.list'?")
    missing = await get(server.url + "/api/connectors/mistral")
    assert (missing.status_code, missing.json()["code"]) == (404, "E_UNKNOWN_CONNECTOR")
