"""The language alone: rendering the published chat body, mapping its ten fields, loading definitions."""

from __future__ import annotations

import json
from typing import Any

from benchmarks.measuring import Row, time_each
from connector import build_request, parse_connector
from connector.answers.mapping import map_fields
from connector.requests.build import read_inputs
from runtime.config.catalog import Catalog, shipped_definitions

INPUTS = {"model": "mistral-small-latest", "content": 'Say "hello" to the world.\n'}


def load() -> Any:
    """The shipped Mistral connector, read from its documents."""
    folder = shipped_definitions() / "mistral-ai"
    texts = [(folder / f"{name}.json").read_text("utf-8") for name in ("service", "resources", "overlay")]
    return lambda: parse_connector(texts[0], texts[1], overlay=texts[2])


def example() -> Any:
    """The recorded answer of a chat completion."""
    file = shipped_definitions() / "mistral-ai/examples/chat-completions.create.json"
    document = json.loads(file.read_text("utf-8"))
    return (document[0] if isinstance(document, list) else document)["body"]


def write_body() -> bytes:
    """The chat body as one would write it by hand."""
    return json.dumps(
        {
            "model": INPUTS["model"],
            "messages": [{"role": "user", "content": INPUTS["content"]}],
            "temperature": 0.7,
            "max_tokens": 1024,
        }
    ).encode()


def pick_fields(document: dict[str, Any]) -> dict[str, Any]:
    """The ten fields as one would pick them by hand, missing members allowed for."""
    choices = document.get("choices") or []
    usage = document.get("usage") or {}
    return {
        "id": document.get("id"),
        "object": document.get("object"),
        "created": document.get("created"),
        "model": document.get("model"),
        "choices_message_role": [choice.get("message", {}).get("role") for choice in choices],
        "choices_message_content": [choice.get("message", {}).get("content") for choice in choices],
        "choices_finish_reason": [choice.get("finish_reason") for choice in choices],
        "usage_prompt_tokens": usage.get("prompt_tokens"),
        "usage_completion_tokens": usage.get("completion_tokens"),
        "usage_total_tokens": usage.get("total_tokens"),
    }


def measure_rendering() -> list[Row]:
    """The chat body: by hand, by us (inputs checked and body encoded; the whole request), by plain Jinja."""
    import jinja2

    operation = load()().operation("chat-completions.create")
    config = operation.service.configure({"apiToken": "key"})
    template = jinja2.Environment(autoescape=False).from_string(  # noqa: S701 - JSON, not HTML
        '{"model": {{model|tojson}}, "messages": [{"role": "user", "content": {{content|tojson}}}],'
        ' "temperature": {{temperature}}, "max_tokens": {{maxTokens}}}'
    )
    defaults = {"temperature": 0.7, "maxTokens": 1024}
    sent = operation.body.encode(read_inputs(operation, INPUTS)[0])
    if json.loads(sent) != json.loads(write_body()):
        raise AssertionError("the two bodies differ")
    times = time_each(
        {
            "by hand: dict + json.dumps": write_body,
            "inputs checked, body rendered": lambda: operation.body.encode(read_inputs(operation, INPUTS)[0]),
            "whole request built": lambda: build_request(operation, INPUTS, config),
            "peer: Jinja, template compiled": lambda: template.render(**INPUTS, **defaults).encode(),
        },
        number=5000,
    )
    return _rows(times, {"inputs checked, body rendered": 2.0})


def measure_mapping() -> list[Row]:
    """The ten chat fields: by hand, by us, by jsonpath-ng with its expressions parsed beforehand."""
    from jsonpath_ng import parse

    operation = load()().operation("chat-completions.create")
    document = example()
    if map_fields(operation.fields, document) != pick_fields(document):
        raise AssertionError("the two mappings differ")
    paths = [(field.name, parse(field.selector.text.replace("[0]", "[*]"))) for field in operation.fields]
    times = time_each(
        {
            "by hand": lambda: pick_fields(document),
            "mapped": lambda: map_fields(operation.fields, document),
            "peer: jsonpath-ng find": lambda: {name: [m.value for m in path.find(document)] for name, path in paths},
        },
        number=2000,
    )
    return _rows(times, {"mapped": 3.0})


def measure_loading() -> list[Row]:
    """Reading the 19 published operations from text, and all that the shipped connector has from its files.

    Libraries are already imported.
    """
    folder = shipped_definitions() / "mistral-ai"
    service, resources = ((folder / f"{name}.json").read_text("utf-8") for name in ("service", "resources"))
    every = f"loading all {len(Catalog().get('mistral-ai').operations)} operations"
    times = time_each(
        {
            "loading 19 operations": lambda: parse_connector(service, resources),
            every: lambda: Catalog().get("mistral-ai"),
        },
        number=5,
    )
    return [Row(name, time / 1000, "ms", None, None if name == every else 50.0) for name, time in times.items()]


def _rows(times: dict[str, float], bars: dict[str, float]) -> list[Row]:
    floor = next(iter(times.values()))
    return [Row(name, time, "µs", time / floor, bars.get(name)) for name, time in times.items()]
