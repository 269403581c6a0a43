"""Pages about connectors for people: inputs, fields, values."""

from __future__ import annotations

from tests.doubles.commands import TOKEN, run, run_json


def test_describe_of_a_connector_names_the_variables_of_its_values() -> None:
    document = run_json("describe", "mistral-ai", env=TOKEN)
    token = next(each for each in document["values"] if each["name"] == "apiToken")
    assert (token["secret"], token["variable"]) == (True, "CONNECTOR_SECRET__MISTRAL_AI__APITOKEN")
    text = run("describe", "mistral-ai", env=TOKEN).stdout
    assert "CONNECTOR_SECRET__MISTRAL_AI__APITOKEN" in text
    assert "https://api.mistral.ai/v1" in text
