"""The shipped Mistral files are the published ones: nothing but descriptions may differ, and the overlay corrects."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[2] / "definitions" / "mistral-ai"
#: SHA-256 of each published document as compact JSON, its descriptions left out, the order of members kept.
PUBLISHED = {
    "service": "143fd77acea966baabd9664355e22aa3ebd181d6ec4616e111758d7dca2aea63",
    "resources": "1afdda935c818936423d4705559327db54607169783c3aadf95382ce7b5f23d8",
}


def without_descriptions(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_descriptions(item) for key, item in value.items() if key != "description"}
    return [without_descriptions(item) for item in value] if isinstance(value, list) else value


def digest(document: Any) -> str:
    text = json.dumps(without_descriptions(document), separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_shipped_document_is_the_published_one_but_for_its_descriptions(name: str) -> None:
    document = json.loads((FOLDER / f"{name}.json").read_text("utf-8"))
    assert digest(document) == PUBLISHED[name]


def test_a_changed_path_would_be_seen() -> None:
    document = json.loads((FOLDER / "resources.json").read_text("utf-8"))
    document[0]["endpoint"]["value"] += "/"
    assert digest(document) != PUBLISHED["resources"]


def test_the_published_files_hold_what_is_said_of_them() -> None:
    resources = json.loads((FOLDER / "resources.json").read_text("utf-8"))
    counts = (
        len(resources),
        sum(len(each["operations"]) for each in resources),
        sum(len(each["fields"]) for each in resources),
        sum(len(each["webhooks"]) for each in resources),
        sum(len(webhook["payload"]) for each in resources for webhook in each["webhooks"]),
    )
    assert counts == (9, 19, 83, 14, 44)
