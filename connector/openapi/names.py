"""Names what a specification does not name: resources and operations by paths, inputs by parameters.

A path whose next segment is a parameter, or which can be read and written, is a collection, and a collection is a
resource. What ends at a collection or at one of its items is named list, read, create, update or delete; what goes on
with a word from there is named by that word.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, count, takewhile

from connector.templates import NAME

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[A-Z]+|[0-9]+")
#: Segments at the beginning of every path that belong to the base URL: `api`, `v1`, `2024-01`.
_VERSION = re.compile(
    r"(?:api|rest|v[0-9]+(?:[._-]?[0-9a-z]+)*|[0-9]{4}-[0-9]{2}(?:-[0-9]{2})?|[0-9]+\.[0-9]+)\Z", re.IGNORECASE
)
_ACTIONS = frozenset(
    {"add", "append", "apply", "archive", "assign", "cancel", "check", "close", "copy", "create", "delete", "disable"}
    | {"download", "enable", "execute", "export", "fetch", "find", "get", "import", "invite", "list", "lookup", "merge"}
    | {"move", "open", "patch", "post", "publish", "put", "query", "read", "remove", "replace", "restart", "restore"}
    | {"retrieve", "revoke", "run", "save", "search", "send", "set", "show", "start", "stop", "submit", "sync", "test"}
    | {"transfer", "unarchive", "update", "upload", "upsert", "validate", "verify", "view"}
)
_OF_COLLECTION = {"GET": "list", "POST": "create", "PUT": "update", "PATCH": "update", "DELETE": "delete"}
_OF_ITEM = {"GET": "read", "PUT": "update", "PATCH": "update", "DELETE": "delete"}
_LONGEST = 60

Segments = tuple[str, ...]


def split_words(text: str) -> list[str]:
    """The words of a name in any style, in lower case.

    >>> split_words("listPetsByID_v2")
    ['list', 'pets', 'by', 'id', 'v', '2']
    """
    return [word.lower() for word in _WORD.findall(text)]


def kebab(text: str, default: str = "") -> str:
    """A name as a handle: words joined by `-`, beginning with a letter; the default if there are none."""
    joined = re.sub(r"-([a-z])-([0-9]+)(?=-|\Z)", r"-\1\2", "-".join(["", *split_words(text)]))
    name = joined.strip("-")[:_LONGEST].strip("-")
    return f"n{name}" if name and not name[0].isalpha() else name or default


def camel(text: str, default: str = "value") -> str:
    """A name as a placeholder: kept if it can be one and has no separator, else `camelCase`.

    >>> camel("max_tokens"), camel("X-Api-Version"), camel("userID"), camel("$top")
    ('maxTokens', 'xApiVersion', 'userID', 'top')
    """
    if NAME.match(text) and "_" not in text:
        return text
    parts = [part for part in re.split(r"[^A-Za-z0-9]+", text) if part]
    if not parts:
        return default
    first = parts[0].lower() if parts[0].isupper() else parts[0][0].lower() + parts[0][1:]
    name = (first + "".join(part[0].upper() + part[1:] for part in parts[1:]))[:60]
    return name if name[0].isalpha() else f"n{name}"


def is_placeholder(name: str) -> bool:
    """True if the name may stand between `{{` and `}}`."""
    return NAME.match(name) is not None


@dataclass(slots=True)
class InputNames:
    """The names of inputs of one operation that are taken. `reserved` are those of the connection's values."""

    reserved: frozenset[str] = frozenset()
    taken: set[str] = field(default_factory=set)

    def take(self, name: str, place: str) -> str:
        """The name, or the name after its place if it is taken."""
        placed = place + name[:1].upper() + name[1:50]
        candidates = chain((name, placed), (f"{placed}{number}" for number in count(2)))
        chosen = next(each for each in candidates if each not in self.taken and each not in self.reserved)
        self.taken.add(chosen)
        return chosen


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedPath:
    """What an operation is named by: its method, its path without the fragment, its tag and operationId.

    `lists` is true if its answer is a list.
    """

    method: str
    path: str
    fragment: str = ""
    tag: str = ""
    operation_id: str = ""
    lists: bool = False

    @property
    def segments(self) -> Segments:
        """The parts of the path between slashes."""
        return tuple(part for part in self.path.partition("?")[0].split("/") if part)


def common_segments(paths: Iterable[Iterable[str]]) -> list[str]:
    """The segments that all of these paths begin with."""
    return [each[0] for each in takewhile(lambda each: len(set(each)) == 1, zip(*paths, strict=False))]


def shared_prefix(paths: Iterable[str]) -> str:
    """The segments that begin every path and belong to the base URL: `/api/v1`; empty if there are none.

    >>> shared_prefix(["/v1/models", "/v1/files/{id}"])
    '/v1'
    """
    split = [path.partition("?")[0].partition("#")[0].split("/")[1:] for path in paths]
    shared = common_segments([*(each[:-1] for each in split[:1]), *split[1:]])
    return "".join(f"/{segment}" for segment in takewhile(_VERSION.match, shared))


def name_calls(calls: Sequence[NamedPath]) -> list[tuple[str, str]]:
    """A resource and an operation name for each call, in their order, all different."""
    tree = _Tree.of(calls)
    used: dict[tuple[str, str], None] = {}
    for call in calls:
        resource, name, other = tree.place(call)
        # Another name, the words of the operationId, and failing that a number.
        numbered = (f"{name}-{number}" for number in count(2))
        candidates = chain((name, *filter(None, (other, kebab(call.operation_id)))), numbered)
        used[resource, next(each for each in candidates if (resource, each) not in used)] = None
    return list(used)


@dataclass(frozen=True, slots=True)
class _Tree:
    """The paths of all calls: which are there with which methods, and which of them are collections."""

    methods: Mapping[Segments, set[str]]
    collections: frozenset[Segments]
    #: The paths that have items: one parameter more.
    parents: frozenset[Segments]

    @classmethod
    def of(cls, calls: Sequence[NamedPath]) -> _Tree:
        methods: dict[Segments, set[str]] = {}
        for call in calls:
            methods.setdefault(call.segments, set()).add(call.method)
        collections = {head for segments in methods for head in _before_parameters(segments)}
        for segments, known in methods.items():
            if segments and not _is_parameter(segments[-1]) and "GET" in known and len(known) > 1:
                collections.add(segments)
        parents = {each[:-1] for each in methods if each and _is_parameter(each[-1])}
        return cls(methods, frozenset(collections), frozenset(parents))

    def place(self, call: NamedPath) -> tuple[str, str, str]:
        """The resource, the name, and another name for where that one is taken."""
        segments = call.segments
        if (called := _rpc_name(segments)) is not None:
            # `/chat.postMessage`, `/getUser`: names of calls instead of paths of things.
            group, name = called
            return kebab(group or call.tag, "calls"), _with_fragment(kebab(name, "call"), call), ""
        collection, rest = self._split(segments)
        handle = kebab(" ".join(part for part in collection if not _is_parameter(part)), "") or kebab(call.tag, "root")
        words = [part for part in rest if not _is_parameter(part)]
        has_parameter = len(words) < len(rest)
        if words:
            name = kebab(" ".join(words), "call")
            others = self.methods[segments] - {call.method}
            plain = "GET" if others == {"GET"} or "POST" not in self.methods[segments] else "POST"
            if others and call.method not in (plain, "POST"):
                name = f"{_OF_ITEM.get(call.method, call.method.lower())}-{name}"
            other = name if has_parameter else f"{name}-all"
        elif has_parameter:
            name, other = self._of_item(call), kebab(call.operation_id) or f"{call.method.lower()}-one"
        else:
            name, other = self._of_collection(call, collection), f"{call.method.lower()}-all"
        return handle, _with_fragment(name, call), _with_fragment(other, call)

    def _split(self, segments: Segments) -> tuple[Segments, Segments]:
        """The collection that a path belongs to, and what follows it."""
        cuts = range(len(segments), 0, -1)
        cut = next((cut for cut in cuts if segments[:cut] in self.collections), len(segments))
        return segments[:cut], segments[cut:]

    def _of_collection(self, call: NamedPath, collection: Segments) -> str:
        if call.method == "GET":
            return "list" if call.lists or collection in self.parents else "read"
        if call.method in ("PUT", "PATCH"):
            return "replace" if call.method == "PUT" and "PATCH" in self.methods[call.segments] else "update"
        return _OF_COLLECTION.get(call.method, call.method.lower())

    def _of_item(self, call: NamedPath) -> str:
        known = self.methods[call.segments]
        if call.method == "PUT" and "PATCH" in known:
            return "replace"
        if call.method == "POST":
            action = next((word for word in split_words(call.operation_id) if word in _ACTIONS), "")
            if action and action not in ("post", "get"):
                return "update" if action in ("set", "save", "patch") else action
            return "create" if known & {"PUT", "PATCH"} else "update"
        return _OF_ITEM.get(call.method, call.method.lower())


def _is_parameter(segment: str) -> bool:
    return "{" in segment


def _before_parameters(segments: Segments) -> Iterator[Segments]:
    """Each beginning of a path that a parameter follows."""
    for cut in range(1, len(segments)):
        if _is_parameter(segments[cut]) and not _is_parameter(segments[cut - 1]):
            yield segments[:cut]


def _rpc_name(segments: Segments) -> tuple[str, str] | None:
    """The group and the name of a path that is the name of a call, or None."""
    if len(segments) != 1 or _is_parameter(segments[0]):
        return None
    group, dot, name = segments[0].rpartition(".")
    words = split_words(name)
    if dot and group and words:
        return group, name
    return ("", name) if len(words) > 1 and words[0] in _ACTIONS else None


def _with_fragment(name: str, call: NamedPath) -> str:
    return f"{name}-{kebab(call.fragment, 'other')}" if call.fragment and name else name
