"""Laying an overlay over a published definition: RFC 7396 merge, with list items addressed by their names.

The published document is not touched; a new one is made, with a record of which paths came from the overlay, so that
a problem in the result can be shown where its author wrote it. What the result means is not judged here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from connector.schema import Finding, Path

#: The members by which an item of a list is addressed.
IDENTITIES = ("handle", "name", "event")


@dataclass(slots=True)
class Merge:
    """One overlay being laid: `origins` leads from paths of the result to paths of the overlay."""

    origins: dict[Path, Path] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    def lay(self, target: Any, patch: Any, path: Path = (), origin: Path = ()) -> Any:
        """The target with the patch applied (RFC 7396, section 2), paths recorded."""
        if not isinstance(patch, Mapping):
            self.origins[path] = origin
            return patch
        if isinstance(target, list) and all(_identity(item) for item in target):
            return self._lay_on_list(target, patch, path, origin)
        if not isinstance(target, Mapping):
            # A bare text template that is given more members becomes its long form.
            if isinstance(target, str) and "placeholders" in patch and "value" not in patch:
                target = {"value": target}
            else:
                self.origins[path] = origin
                target = {}
        merged = dict(target)
        for key, value in patch.items():
            if value is None:
                if key not in merged:
                    self._unmatched(key, (*origin, key))
                merged.pop(key, None)
            else:
                merged[key] = self.lay(merged.get(key), value, (*path, key), (*origin, key))
        return merged

    def _lay_on_list(self, target: list[Any], patch: Mapping[str, Any], path: Path, origin: Path) -> list[Any]:
        gone = {key for key, value in patch.items() if value is None}
        for key in gone - {item[_identity(item)] for item in target}:
            self._unmatched(key, (*origin, key))
        merged = [item for item in target if item[_identity(item)] not in gone]
        for key, value in patch.items():
            if key in gone:
                continue
            place = next((at for at, item in enumerate(merged) if item[_identity(item)] == key), None)
            if place is not None:
                merged[place] = self.lay(merged[place], value, (*path, place), (*origin, key))
                continue
            self.origins[(*path, len(merged))] = (*origin, key)
            identity = _identity(target[0]) if target else "name"
            merged.append({identity: key, **value} if isinstance(value, Mapping) else value)
        return merged

    def _unmatched(self, key: str, origin: Path) -> None:
        self.findings.append(
            Finding("W_OVERLAY_ADDRESS", f"{key!r} is deleted here but is not there", origin, at_key=True)
        )


def _identity(item: Any) -> str:
    if isinstance(item, Mapping):
        return next((name for name in IDENTITIES if isinstance(item.get(name), str)), "")
    return ""


def apply_overlay(document: Any, overlay: Any) -> Any:
    """The document with the overlay laid over it; neither is changed.

    >>> apply_overlay([{"handle": "files", "endpoint": "/f"}], {"files": {"endpoint": "/files"}})
    [{'handle': 'files', 'endpoint': '/files'}]
    """
    return Merge().lay(document, overlay)
