"""Polls: how events are made if the provider does not send them.

A Poll names an operation that lists objects, the key of an object, and which of its changes are events (transitions).
The runtime decides when to poll and remembers what it has seen.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from connector.selectors import Selector
from connector.strict_json import same_json
from connector.types import to_text

#: Compiles the selector at a key of a block; None if there is none.
ReadSelectorIn = Callable[[Mapping[str, Any], str], Selector | None]
#: Where the first run of a poll begins: with what comes from then on, or with everything there is.
STARTS = ("now", "all")
#: The transition of an object that was not there before.
NEW = "new"
#: The default interval, in seconds.
INTERVAL = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Poll:
    """Which operation is polled, how often (in seconds), and which changes are events.

    `key` selects the identity of a record. `when` is `new` (an unseen key), `changed` (the record differs)
    or `state` (what `state` selects is one of `states`). `start` is one of STARTS. `inputs` are those of the call, to
    which an operator may add. `source` is the block as it was written.
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
        """Reads the block; returns None for a wrong shape, which the JSON Schema reports. Raises ValueError.

        By default the key is at `id`, new records are events, and a poll begins now.
        """
        key = read(source, "key") if "key" in source else Selector.from_json(["id"])
        interval, start = source.get("interval", INTERVAL), source.get("start", STARTS[0])
        inputs = source.get("inputs", {})
        is_time = isinstance(interval, (int, float)) and not isinstance(interval, bool) and interval > 0
        if (
            key is None
            or not isinstance(source.get("operation"), str)
            or not is_time
            or not isinstance(inputs, Mapping)
        ):
            return None
        if start not in STARTS:
            raise ValueError(f"`start` is one of {', '.join(STARTS)}")
        when, state, states = source.get("when", NEW), None, ()
        if isinstance(when, Mapping):
            listed = when.get("in")
            state, states = read(when, "selector"), tuple(listed) if isinstance(listed, list) else ()
            if state is None or not states:
                raise ValueError("`when` selects a state and lists in `in` which states are events")
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
        """Returns the key of a record as text; None if it has none."""
        found = self.key.find_one(record)
        return to_text(found) if isinstance(found, (str, int, float)) and found != "" else None

    def find_transition(self, record: Any) -> str | None:
        """Returns the transition of a record: `new`, its state, or a digest of it; None if it is not an event."""
        if self.when == NEW:
            return NEW
        if self.state is None:
            return _digest(record)
        found = self.state.find_one(record)
        return to_text(found) if any(same_json(found, each) for each in self.states) else None


def _digest(record: Any) -> str:
    import hashlib  # only polls need it

    text = json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
