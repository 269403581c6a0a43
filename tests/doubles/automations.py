"""An automation, and the values that its selectors read."""

from __future__ import annotations

from typing import Any

AUTOMATION: dict[str, Any] = {
    "handle": "fetch",
    "meta": {"short": "Fetch", "description": "Fetches the answers of a batch."},
    "on": "demo:b/jobs/job.done",
    "when": {"from": "event", "selector": ["data", "count"], "above": 0},
    "do": [
        {"name": "read", "call": "demo:b/jobs.read", "inputs": {"id": "{{id}}"}},
        {
            "call": "demo/files.content",
            "inputs": {"file": {"from": "read", "selector": ["fields", "file"]}},
            "when": [{"from": "read", "selector": ["fields", "file"], "exists": True}],
            "save": "{{id}}.jsonl",
        },
    ],
}
CONTEXT = {
    "event": {"type": "jobs/done", "data": {"id": "j1", "count": 3, "files": ["f1", "f2"], "gone": None, "on": True}},
    "read": {"fields": {"name": "Ann"}, "raw": {"items": [{"n": 1}, {"n": 2}]}},
}
