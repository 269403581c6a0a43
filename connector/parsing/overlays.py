"""Applies an overlay to a published definition: RFC 7396 merge, with list items addressed by their names.

The published document is not changed; the result is a new one, with a record of which paths came from the overlay, so
that a problem in the result can be reported where its author wrote it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from connector.parsing.schema import Finding, Path

#: The members by which an item of a list is addressed.
IDENTITIES = ("handle", "name", "event")
#: The lists whose items have an identity, with its member: needed for an empty list, which cannot show it.
NAMED_LISTS: Mapping[str | int, str] = {
    "resources": "handle",
    "operations": "handle",
    "webhooks": "event",
    "placeholders": "name",
    "params": "name",
    "queryParams": "name",
    "fields": "name",
    "payload": "name",
    "input": "name",
    "output": "name",
}
#: Those of them that cannot be written as objects, so that a missing one is begun as a list.
_ONLY_LISTS = frozenset({"webhooks", "fields", "payload", "input", "output"})


@dataclass(slots=True)
class Merge:
    """One overlay being applied.

    `origins` maps paths of the result to the paths of the overlay that they came from, `deleted` maps paths that were
    deleted to the paths of the overlay that did so, `kept` maps paths of lists to the former indexes of their items.
    """

    origins: dict[Path, Path] = field(default_factory=dict)
    deleted: dict[Path, Path] = field(default_factory=dict)
    kept: dict[Path, list[int]] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    def lay(self, target: Any, patch: Any, path: Path = (), origin: Path = ()) -> Any:
        """Returns the target with the patch applied (RFC 7396, section 2), and records the paths."""
        if not isinstance(patch, Mapping):
            self.origins[path] = origin
            return patch
        list_of = NAMED_LISTS.get(origin[-1]) if origin and "bodyTemplate" not in origin else None
        if target is None and list_of is not None and origin[-1] in _ONLY_LISTS:
            self.origins[path] = origin
            target = []
        if isinstance(target, list) and (list_of is not None if not target else all(map(_identity, target))):
            return self._lay_on_list(target, patch, path, origin, list_of or "name")
        if isinstance(target, str) and "placeholders" in patch and "value" not in patch:
            # A bare text template that is given placeholders becomes its long form.
            target = {"value": target}
        elif not isinstance(target, Mapping):
            self.origins[path] = origin
            target = {}
        merged = dict(target)
        for key, value in patch.items():
            if value is None:
                self._delete(key, (*path, key), (*origin, key), there=key in merged)
                merged.pop(key, None)
            else:
                merged[key] = self.lay(merged.get(key), value, (*path, key), (*origin, key))
        return merged

    def _lay_on_list(
        self, target: list[Any], patch: Mapping[str, Any], path: Path, origin: Path, list_of: str
    ) -> list[Any]:
        gone = {key for key, value in patch.items() if value is None}
        self.kept[path] = [place for place, item in enumerate(target) if item[_identity(item)] not in gone]
        merged = [target[place] for place in self.kept[path]]
        there = {item[_identity(item)] for item in target}
        places: dict[str, int] = {}
        for place, item in enumerate(merged):
            places.setdefault(item[_identity(item)], place)
        identity = _identity(target[0]) if target else list_of
        for key, value in patch.items():
            if value is None:
                self._delete(key, (*path, key), (*origin, key), there=key in there)
                continue
            place = places.setdefault(key, len(merged))
            if place == len(merged):
                self.origins[(*path, place)] = (*origin, key)
                merged.append({identity: key})
            merged[place] = self.lay(merged[place], value, (*path, place), (*origin, key))
        return merged

    def _delete(self, key: str, path: Path, origin: Path, *, there: bool) -> None:
        if there:
            self.deleted[path] = origin
        else:
            message = f"{key[:70]!r} is deleted here but is not there"
            self.findings.append(Finding("W_OVERLAY_ADDRESS", message, origin, at_key=True))

    def trace(self, finding: Finding) -> tuple[Finding, bool]:
        """Returns the finding at its path in the document it came from, and whether that is the overlay."""
        path = finding.path
        if finding.missing and (*path, finding.missing) in self.deleted:
            return replace(finding, path=self.deleted[(*path, finding.missing)]), True
        for end in range(len(path), -1, -1):
            if path[:end] in self.origins:
                return replace(finding, path=(*self.origins[path[:end]], *path[end:])), True
        published = tuple(
            self.kept[path[:end]][step] if isinstance(step, int) and path[:end] in self.kept else step
            for end, step in enumerate(path)
        )
        return replace(finding, path=published), False


def _identity(item: Any) -> str:
    if isinstance(item, Mapping):
        return next((name for name in IDENTITIES if isinstance(item.get(name), str)), "")
    return ""


def apply_overlay(document: Any, overlay: Any) -> Any:
    """Returns the document with the overlay applied; neither is changed.

    >>> apply_overlay([{"handle": "files", "endpoint": "/f"}], {"files": {"endpoint": "/files"}})
    [{'handle': 'files', 'endpoint': '/files'}]
    """
    return Merge().lay(document, overlay)
