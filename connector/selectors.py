"""Selectors: compiled paths to the values in an answer, with `find_one` and `find_all`.

A selector walks the lists and objects of parsed JSON; missing values are None, never an error (language rule 10).
JSONPath text is compiled to a walk if possible; other JSONPaths are run by jsonpath-ng, without its extensions, which
can hang on a regular expression (hazard T51).
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, field
from typing import Any

Step = str | int
#: Stands for every element, in place of an index.
EVERY = "*"
_WALK = re.compile(r"\$(?:\.[A-Za-z_][\w\-]*|\[(?:0|[1-9]\d*|\*|'[^'\\]*'|\"[^\"\\]*\")\])*\Z")
_WALK_STEP = re.compile(r"\.([A-Za-z_][\w\-]*)|\[(?:(\d+)|(\*)|'([^']*)'|\"([^\"]*)\")\]")
_MAX_JSONPATH = 1000
#: The nodes of jsonpath-ng that may follow the root; only newer versions have `Wildcard`.
_JSONPATH_SEGMENTS = ("Fields", "Index", "Slice", "Wildcard")
#: A JSONPath that can find many values runs only on documents with at most this many values: each that it visits costs
#: some microseconds and half a kilobyte.
MAX_VISITED = 200_000
#: Each `"*"` is a list within a list in the result.
_MAX_LEVELS = 32


@dataclass(frozen=True, slots=True)
class Every:
    """A step to every element of a list, or to every value of an object."""


@dataclass(frozen=True, slots=True)
class Keep:
    """A step to the elements of a list whose members equal these.

    A name that follows is looked up in the first of them, an index among them, and `"*"` in each.
    """

    members: tuple[tuple[str, Any], ...]

    def find(self, value: Any) -> list[Any] | None:
        """Returns the elements; None for what is not a list."""
        return [each for each in value if self._fits(each)] if type(value) is list else None

    def _fits(self, element: Any) -> bool:
        if type(element) is not dict:
            return False
        return all(
            name in element and element[name] == wanted and isinstance(element[name], bool) == isinstance(wanted, bool)
            for name, wanted in self.members
        )


Walk = tuple[Step | Every | Keep, ...]


@dataclass(frozen=True, slots=True)
class Selector:
    """A compiled selector; `text` is its JSONPath: `$.choices[0].message.content`.

    `find_one(document)` returns the value or None; with a `"*"` step a list per level. `find_all(document)` takes every
    index as "every element" and returns one flat list. `levels` counts the nested lists that `find_one` returns.
    `members` are the names if the whole walk goes from member to member, as most do: these need no call.
    """

    text: str
    _: KW_ONLY
    find_one: Callable[[Any], Any] = field(compare=False, repr=False)
    find_all: Callable[[Any], list[Any]] = field(compare=False, repr=False)
    levels: int = 0
    members: tuple[str, ...] = field(default=(), compare=False, repr=False)

    @classmethod
    def from_json(cls, source: Any) -> Selector:
        """Compiles a list of steps, dotted text, or JSONPath text beginning with `$`; raises ValueError."""
        if isinstance(source, str) and source.startswith("$") and not _WALK.match(source):
            return _from_jsonpath(source)
        walk = read_walk(source)
        if any(isinstance(step, Keep) and not step.members for step in walk):
            raise ValueError("an object in a selector has the members that elements must have")
        if any(isinstance(one, Keep) and isinstance(other, Keep) for one, other in itertools.pairwise(walk)):
            raise ValueError("two objects follow each other; write one object with the members of both")
        levels = sum(isinstance(step, Every) for step in walk)
        if levels > _MAX_LEVELS:
            raise ValueError(f"a selector has at most {_MAX_LEVELS} '*'")
        members = tuple(step for step in walk if isinstance(step, str))
        members = members if len(members) == len(walk) else ()
        return cls(
            show_walk(walk), find_one=compile_one(walk), find_all=compile_all(walk), levels=levels, members=members
        )


def read_walk(source: Any) -> Walk:
    """Returns the steps of a list, dotted text or plain JSONPath; raises ValueError."""
    if isinstance(source, str):
        if source.startswith("$"):
            return tuple(
                Every() if star else int(index) if index else member or single or double
                for member, index, star, single, double in _WALK_STEP.findall(source)
            )
        if not all(source.split(".")):
            raise ValueError("dotted text has a name or an index between its dots")
        return tuple(
            Every() if part == EVERY else int(part) if part.isascii() and part.isdigit() else part
            for part in source.split(".")
        )
    return tuple(
        Every() if step == EVERY else Keep(tuple(step.items())) if isinstance(step, dict) else step for step in source
    )


def show_walk(walk: Walk) -> str:
    """Returns the steps as JSONPath text."""
    return "$" + "".join(map(_show_step, walk))


def _show_step(step: Step | Every | Keep) -> str:
    match step:
        case Every():
            return "[*]"
        case Keep():
            tests = (f"@{_show_step(name)}=={json.dumps(value, ensure_ascii=False)}" for name, value in step.members)
            return f"[?{' && '.join(tests)}]"
        case str() if re.match(r"[A-Za-z_]\w*\Z", step):
            return f".{step}"
        case _:
            return f"[{step!r}]"


def compile_one(walk: Walk) -> Callable[[Any], Any]:
    """Returns a function from a document to the one value at the end of the walk."""
    if not walk:
        return lambda document: document
    members = tuple(step for step in walk if isinstance(step, str))
    if len(members) == len(walk):
        return _compile_members(members)
    if any(isinstance(step, (Every, Keep)) for step in walk):
        return _compile_levels(walk)

    def find(document: Any) -> Any:
        for step in walk:
            if type(document) is dict and type(step) is str:
                document = document.get(step)
            elif type(document) is list and type(step) is int and -len(document) <= step < len(document):
                document = document[step]
            else:
                return None
        return document

    return find


def _compile_members(names: tuple[str, ...]) -> Callable[[Any], Any]:
    # Most selectors are of this form, so it has no checks of the steps.
    outer, *rest = names
    if not rest:
        return lambda document: document.get(outer) if type(document) is dict else None
    *between, inner = rest

    def find(document: Any) -> Any:
        if type(document) is not dict:
            return None
        document = document.get(outer)
        for name in between:
            if type(document) is not dict:
                return None
            document = document.get(name)
        return document.get(inner) if type(document) is dict else None

    return find


def _compile_levels(walk: Walk) -> Callable[[Any], Any]:
    cut = next(place for place, step in enumerate(walk) if isinstance(step, (Every, Keep)))
    step, before, after = walk[cut], compile_one(walk[:cut]), compile_one(walk[cut + 1 :])
    if isinstance(step, Keep):
        keep = step.find
        if cut + 1 < len(walk) and isinstance(walk[cut + 1], str):
            return lambda document: after(next(iter(keep(before(document)) or ()), None))
        return lambda document: after(keep(before(document)))

    def find(document: Any) -> Any:
        found = before(document)
        if type(found) is dict:
            found = list(found.values())
        return [after(each) for each in found] if type(found) is list else None

    return find


def compile_all(walk: Walk) -> Callable[[Any], list[Any]]:
    """Returns a function from a document to one flat list; every index means every element.

    A missing leaf in an element is None, so that parallel fields stay aligned; a missing list adds nothing; a scalar in
    place of a list at the end counts as its one element.
    """
    # An index after a Keep is one of the elements that were kept: here every one of them.
    follows_keep = [False, *(isinstance(step, Keep) for step in walk)]
    walk = tuple(
        step for step, follows in zip(walk, follows_keep, strict=False) if isinstance(step, (str, Keep)) or not follows
    )
    cuts = [place for place, step in enumerate(walk) if not isinstance(step, str)]
    if not cuts:
        whole = compile_one(walk)

        def find_single(document: Any) -> list[Any]:
            found = whole(document)
            return [] if found is None else [found]

        return find_single
    starts = [0, *(cut + 1 for cut in cuts)]
    hops = [compile_one(walk[start:cut]) for start, cut in zip(starts, cuts, strict=False)]
    leaf = compile_one(walk[starts[-1] :])
    ends_in_list = starts[-1] == len(walk)
    last = len(hops) - 1
    if last == 0 and not ends_in_list and isinstance(walk[cuts[0]], int):
        rows = hops[0]

        def find_in_rows(document: Any) -> list[Any]:
            found = rows(document)
            return [leaf(row) for row in found] if type(found) is list else []

        return find_in_rows

    steps = [walk[cut] for cut in cuts]

    def find(document: Any) -> list[Any]:
        level = [document]
        for place, hop in enumerate(hops):
            below: list[Any] = []
            for each in level:
                found, step = hop(each), steps[place]
                if isinstance(step, Keep):
                    below += step.find(found) or ()
                elif type(found) is list:
                    below += found
                elif isinstance(step, Every) and type(found) is dict:
                    below += found.values()
                elif place == last and ends_in_list and found is not None and type(found) is not dict:
                    below.append(found)
            level = below
        return level if ends_in_list else [leaf(each) for each in level]

    return find


def _from_jsonpath(text: str) -> Selector:
    if len(text) > _MAX_JSONPATH:
        raise ValueError(f"a JSONPath has at most {_MAX_JSONPATH} characters")
    if text.count("..") > 1:
        # Each descent visits every node below the last: two of them already square the work.
        raise ValueError("a JSONPath has at most one '..'")
    if "`" in text or "|" in text:
        # These are jsonpath-ng's own operators, not JSONPath (RFC 9535); `parent` can square the work as well.
        raise ValueError("a JSONPath holds no '`' and no '|'")
    # Few definitions need it, and it is slow to import.
    from jsonpath_ng import Child, Descendants, Fields, Index, Root
    from jsonpath_ng.parser import parse

    try:
        path = parse(text)
    except Exception:  # noqa: BLE001 - the parser raises bare Exception, and its lexer others
        raise ValueError("the JSONPath cannot be read") from None

    def is_path(node: Any, *, first: bool) -> bool:
        # Only listed nodes are allowed: jsonpath-ng parses operators that it cannot run.
        if isinstance(node, (Child, Descendants)):
            return is_path(node.left, first=first) and is_path(node.right, first=False)
        named = getattr(node, "fields", getattr(node, "indices", ()))
        if len(set(named)) != len(named):
            # Each doubled name doubles the work of all steps after it (hazard T51).
            raise ValueError("a JSONPath names each member and index once between its brackets")
        return type(node).__name__ in (("Root",) if first else _JSONPATH_SEGMENTS)

    if not is_path(path, first=True):
        raise ValueError("a JSONPath consists of `$`, names, indexes, slices, `*` and one `..`, without operators")

    def is_single(node: Any) -> bool:
        if isinstance(node, Child):
            return is_single(node.left) and is_single(node.right)
        if isinstance(node, Fields):
            return node.fields != (EVERY,)
        return isinstance(node, (Root, Index))

    single = "," not in text and is_single(path)

    def find_all(document: Any) -> list[Any]:
        if not single and not _has_at_most(document, MAX_VISITED):
            return []
        return [match.value for match in path.find(document)]

    def find_one(document: Any) -> Any:
        return next(iter(find_all(document)), None)

    return Selector(text, find_one=find_one if single else find_all, find_all=find_all, levels=0 if single else 1)


def _has_at_most(document: Any, limit: int) -> bool:
    """Returns True if a document has at most so many values, nested ones included."""
    waiting = [document]
    left = limit
    while waiting:
        value = waiting.pop()
        if type(value) is dict or type(value) is list:
            left -= len(value)
            if left < 0:
                return False
            waiting += value.values() if type(value) is dict else value
    return True
