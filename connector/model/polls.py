"""How an event is made where the provider sends none: Poll, what a webhook's `poll` says.

A poll names an operation that lists things, how a thing is told from another (its key), and what of it is news (its
transition). Here that is read and decided for one record; when to ask, and what was seen already, is the runtime's.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from connector.selectors import Selector
from connector.strict_json import same_json
from connector.types import to_text

#: Compiles the selector at a key of a block; None where there is none.
ReadSelectorIn = Callable[[Mapping[str, Any], str], Selector | None]
#: Where a poll that was never run before begins: with what comes from then on, or with all there is.
STARTS = ("now", "all")
#: The transition of a thing that was not there before.
NEW = "new"
#: How often is asked unless told, in seconds.
INTERVAL = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Poll:
    """What is asked, how often (in seconds), and what of an answer is news.

    `key` selects in a record what tells it from all others. `when` is `new` (a key that was not seen before),
    `changed` (a record that is not as it was) or `state`: what `state` selects is one of `states`. `start` is one of
    STARTS. `inputs` are what the operation is asked with; an operator may add to them. `source` is the block as it was
    written.
    """

    operation: str
    interval: float
    key: Selector
    when: str
    state: Selector | None = None
    states: tuple[Any, ...] = ()
    start: str = "now"
    inputs: Mapping[str, Any] = field(default_factory=dict)
    source: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def from_json(cls, source: Mapping[str, Any], read: ReadSelectorIn) -> Poll | None:
        """Reads the block; None where its shape is not right, which the schema says. Raises ValueError.

        Unless told, the key is at `id`, what is new is news, and a poll begins now.
        """
        key = read(source, "key") if "key" in source else Selector.from_json(["id"])
        interval, start = source.get("interval", INTERVAL), source.get("start", STARTS[0])
        inputs = source.get("inputs", {})
        if key is None or not isinstance(source.get("operation"), str) or not _is_seconds(interval):
            return None
        if not isinstance(inputs, Mapping):
            return None
        if start not in STARTS:
            raise ValueError(f"`start` is one of {', '.join(STARTS)}")
        when, state, states = source.get("when", NEW), None, ()
        if isinstance(when, Mapping):
            listed = when.get("in")
            state, states = read(when, "selector"), tuple(listed) if isinstance(listed, list) else ()
            if state is None or not states:
                raise ValueError("`when` selects a state and lists `in` which of them are news")
            when = "state"
        elif when not in (NEW, "changed"):
            raise ValueError("`when` is new, changed, or {selector, in}")
        return cls(
            operation=source["operation"],
            interval=interval,
            key=key,
            when=when,
            state=state,
            states=states,
            start=start,
            inputs=dict(inputs),
            source=dict(source),
        )

    def find_key(self, record: Any) -> str | None:
        """What tells this record from all others, as text; None where it has nothing of the kind."""
        found = self.key.find_one(record)
        return to_text(found) if isinstance(found, (str, int, float)) and found != "" else None

    def find_transition(self, record: Any) -> str | None:
        """What this record tells: `new`, its state, or what it is like now; None where it tells nothing."""
        if self.when == NEW:
            return NEW
        if self.state is None:
            return _digest(record)
        found = self.state.find_one(record)
        return to_text(found) if any(same_json(found, each) for each in self.states) else None


def _is_seconds(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0


def _digest(record: Any) -> str:
    import hashlib  # needed by whoever polls only

    text = json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
