"""Writes what a command shows: JSON and tables to stdout, everything else (warnings, notes, failures) to stderr.

On a terminal, tables fit its width; in a file or a pipe every value is written whole. Text from providers and
definitions is shown as text: control characters, which a terminal would obey, are written as escapes. Files, pipes and
`NO_COLOR` receive no colours. Rich takes 60 ms to import, so only what draws with it imports it.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
import re
import shlex
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from connector.errors import Problem
from connector.messages import Request, Result, Stream
from connector.types import to_text

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

#: What a terminal obeys or is misled by: controls but tab and line feed, what breaks lines or turns text around.
_HIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
#: A JSON text may hold these as they are, and a terminal obeys them (C1 controls).
_RAW_CONTROLS = re.compile("[\x7f-\x9f]")
#: How many lines of one list a terminal shows; files and pipes get them all.
MAX_LINES = 20
#: A column of a table of records wraps at this width, in cells, when columns compete for a terminal.
MAX_WIDTH = 40
#: A column that is this wide can still be read.
MIN_WIDTH = 10
#: Space between two columns, in cells.
GAP = 2
#: Wider than any row: what is not a terminal has no width.
_UNBOUNDED = 1_000_000_000
_STYLES = {"error": "bold red", "warning": "yellow", "note": "cyan", "hint": "green"}
_PLAIN_MARGIN = "  "


def print_document(document: Any) -> None:
    """Prints one JSON document on stdout."""
    text = json.dumps(document, ensure_ascii=not _speaks_unicode(sys.stdout), allow_nan=False, indent=2)
    sys.stdout.write(_RAW_CONTROLS.sub(lambda match: f"\\u{ord(match[0]):04x}", text) + "\n")


def print_text(text: str) -> None:
    """Prints text on stdout with a final line feed; on a terminal control characters are escaped."""
    shown = clean(text) if sys.stdout.isatty() else text
    sys.stdout.write(shown if shown.endswith("\n") else shown + "\n")


def print_wrapped(text: str) -> None:
    """Prints text that wraps at words on a terminal, further lines indented; in a file or a pipe it is one line."""
    if sys.stdout.isatty():
        text = textwrap.fill(clean(text), _console(sys.stdout).width, subsequent_indent="  ")
    print_text(text)


def print_value(value: Any) -> None:
    """Prints a whole answer: text as it is, other values as JSON."""
    if isinstance(value, str):
        print_text(value)
    else:
        print_document(value)


def print_result(result: Result, *, with_raw: bool = True) -> None:
    """Prints the result of a call: records or fields, or, if it has neither and `with_raw`, the whole answer."""
    if result.records:
        print_records(result.records)
    elif result.records is not None:
        say("note", "there are no records")
    elif result.fields is not None:
        print_fields(result.fields)
    elif result.raw is None:
        say("note", f"the provider answered {result.status}, with nothing in it")
    elif with_raw:
        print_value(result.raw)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Prints rows of text under the names of their columns; long cells wrap on a terminal."""
    # Tabs are expanded here, where a cell's width is taken, and not where it is drawn.
    cells = [[clean(cell).expandtabs() for cell in row] for row in rows]
    if sys.stdout.isatty():
        console = _console(sys.stdout)
        console.print(_table(columns, cells, console.width))
        return
    drawn = io.StringIO()
    _console(drawn, width=_UNBOUNDED).print(_table(columns, cells, _UNBOUNDED))
    sys.stdout.writelines(line.rstrip(" ") + "\n" for line in drawn.getvalue().split("\n")[:-1])


def print_fields(fields: Mapping[str, Any]) -> None:
    """Prints the fields of one object, one row each; a list has one line per element."""
    limit = MAX_LINES if sys.stdout.isatty() else None
    print_table(("field", "value"), [(name, show(value, limit)) for name, value in fields.items()])


def print_records(records: Sequence[Mapping[str, Any]]) -> None:
    """Prints records, one row each. On a terminal only the columns that fit are shown, and a note names the others."""
    columns = list(dict.fromkeys(name for record in records for name in record))
    terminal = sys.stdout.isatty()
    limit = MAX_LINES if terminal else None
    rows = [[clean(show(record.get(name), limit)) for name in columns] for record in records]
    if terminal:
        empty = {name for name in columns if all(record.get(name) is None for record in records)}
        widths = {
            name: max(map(_width, [name, *(line for row in rows for line in row[place].split("\n"))]))
            for place, name in enumerate(columns)
        }
        kept = choose_columns(widths, _console(sys.stdout).width, empty)
        if dropped := [name for name in columns if name not in kept]:
            say("note", f"{len(kept)} of {len(columns)} columns fit; --json shows the others: {', '.join(dropped)}")
        rows = [[row[columns.index(name)] for name in kept] for row in rows]
        columns = kept
    print_table(columns, rows)


def choose_columns(widths: Mapping[str, int], available: int, last: Iterable[str] = ()) -> list[str]:
    """Returns the columns that fit into `available` cells, in their order; those of `last` only if all others fit.

    A column counts for as much as it needs, up to MAX_WIDTH, where it wraps. The first is always there.
    """
    postponed = set(last)
    kept: set[str] = set()
    used = 0
    for name in sorted(widths, key=lambda name: name in postponed):
        needed = min(widths[name], MAX_WIDTH) + (GAP if kept else 0)
        if kept and used + needed > available:
            break
        kept.add(name)
        used += needed
    return [name for name in widths if name in kept]


def share_width(naturals: Sequence[int], available: int) -> list[int]:
    """Returns the width of each column in cells: what it needs or, where that is too wide, at least MIN_WIDTH.

    What is left goes to the first column, which readers look for and copy, then to the next, and so on. Where there is
    not even enough for that, all columns are alike.

    >>> share_width([30, 5, 100], 74)
    [30, 5, 35]
    """
    room = available - GAP * (len(naturals) - 1)
    widths = [min(natural, MIN_WIDTH) for natural in naturals]
    if sum(widths) > room:
        return [max(1, room // len(naturals))] * len(naturals)
    for place, natural in enumerate(naturals):
        widths[place] = min(natural, widths[place] + room - sum(widths))
    return widths


def print_problems(problems: Iterable[Problem]) -> None:
    """Prints problems of definitions on stdout, one line each as `file:line:col CODE message`, then its hint."""
    for problem in problems:
        _write(sys.stdout, _problem_line(problem), "error" if problem.is_error else "warning", problem.code)
        if problem.hint:
            _write(sys.stdout, f"{_PLAIN_MARGIN}hint: {problem.hint}", "hint", "hint:")


def print_failure(lines: Iterable[tuple[str, str]]) -> None:
    """Writes the text of `failures.describe_failure` to stderr."""
    for margin, text in lines:
        say(margin, text)


def say(kind: str, text: str) -> None:
    """Prints one line on stderr: `warning: 0 of 10 fields matched`. Without a kind it is indented."""
    label = f"{kind}:" if kind else _PLAIN_MARGIN
    _write(sys.stderr, f"{label} {text}" if kind else f"{label}{text}", kind, label)


@contextlib.contextmanager
def progress(text: str) -> Iterator[None]:
    """Shows a spinner on stderr, if that is a terminal."""
    if not sys.stderr.isatty():
        yield
        return
    with _console(sys.stderr).status(clean(text)):
        yield


@contextlib.contextmanager
def progress_bar(text: str) -> Iterator[Callable[[int, int | None], None]]:
    """Shows progress on stderr (done, and total or None if unknown), if stderr is a terminal.

    Yields the function that takes both numbers.
    """
    if not sys.stderr.isatty():
        yield lambda _done, _total: None
        return
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed} of {task.fields[whole]}"))
    with Progress(*columns, console=_console(sys.stderr), transient=True) as bar:
        task = bar.add_task(clean(text).replace("[", "\\["), total=None, whole="?")
        yield lambda done, total: bar.update(task, completed=done, total=total, whole="?" if total is None else total)


def show(value: Any, limit: int | None = None) -> str:
    r"""Returns a value as the text of a cell: a list has one line per element, at most `limit`; objects are JSON.

    >>> show(["a", 1, None])
    'a\n1\nnull'
    """
    if isinstance(value, str):
        return value
    if value is None:
        return "null"
    if isinstance(value, list) and value:
        shown = [show_inline(element) for element in value[:limit]]
        if len(shown) < len(value):
            shown.append(f"… and {len(value) - len(shown)} more; --json shows all")
        return "\n".join(shown)
    return to_text(value)


def show_inline(value: Any) -> str:
    """Returns an element of a list as text; lists and objects are JSON."""
    return show(value) if not isinstance(value, list) else to_text(value)


def clean(text: str) -> str:
    """Returns the text with control characters written as escapes, so that no terminal obeys them."""
    return _HIDDEN.sub(_escape, text.replace("\r\n", "\n"))


def http_text(request: Request) -> str:
    """Returns the request as an HTTP message, its whole URL in the first line (RFC 9112, section 3.2.2).

    A body that is not text is shown by its length.
    """
    head = [
        f"{request.method} {request.url} HTTP/1.1",
        *(f"{name}: {value}" for name, value in request.headers.items()),
    ]
    if request.body is None:
        return "\n".join(head) + "\n"
    body = request.body.describe() if isinstance(request.body, Stream) else request.body
    text = _body_text(body)
    return "\n".join([*head, "", f"({len(body)} bytes)" if text is None else text])


def curl_text(request: Request) -> str:
    """Returns the request as a curl command for a POSIX shell."""
    # --globoff: [ ] { } in a URL are themselves. --data-raw: an @ at the start of a body names no file.
    method = ["--head"] if request.method == "HEAD" else ["--request", request.method]
    words = [["curl", "--globoff", *method], [request.url]]
    # A header without value is written `name;`, since curl takes `name:` for one to leave out.
    words += [["--header", f"{name}: {value}" if value else f"{name};"] for name, value in request.headers.items()]
    before = ""
    if request.body is not None:
        if "content-type" not in request.headers:
            words.append(["--header", "Content-Type:"])
        text = _body_text(request.body) if isinstance(request.body, bytes) else None
        words.append(["--data-binary", "@-"] if text is None else ["--data-raw", text])
        if text is None:
            before = _pipe(request.body)
    return before + " \\\n  ".join(shlex.join(part) for part in words)


def _pipe(body: bytes | Stream) -> str:
    """Writes a body that is not text to stdout, piece by piece; an iterator cannot be written."""
    pieces = body.pieces if isinstance(body, Stream) else (body,)
    commands = []
    for piece in pieces:
        if isinstance(piece, bytes):
            commands.append(f"echo {base64.b64encode(piece).decode()} | base64 --decode")
        else:
            commands.append(shlex.join(["cat", str(piece) if hasattr(piece, "__fspath__") else "-"]))
    return f"{commands[0]} | " if len(commands) == 1 else f"{{ {'; '.join(commands)}; }} | "


def _body_text(body: bytes) -> str | None:
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def _problem_line(problem: Problem) -> str:
    # Editors jump to file:line:col, so all three are there even when only the file is known.
    where = f"{problem.file or '-'}:{problem.line or 1}:{problem.column or 1}"
    return f"{where} {problem.code} {problem.message}"


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, GAP, 0, 0), pad_edge=False, header_style="bold")
    naturals = [
        max(map(_width, [line for cell in cells for line in cell.split("\n")]))
        for cells in zip(columns, *rows, strict=True)
    ]
    for name, share in zip(columns, share_width(naturals, width), strict=True):
        table.add_column(Text(name), overflow="fold", width=share)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return table


def _write(stream: TextIO, text: str, kind: str, marked: str) -> None:
    """One line, never wrapped; `marked` is the part of it that gets the colour of its kind."""
    text = clean(text)
    if not stream.isatty():
        stream.write(text + "\n")
        return
    from rich.text import Text

    line = Text(text)
    if marked in text and kind in _STYLES:
        start = text.index(marked)
        line.stylize(_STYLES[kind], start, start + len(marked))
    _console(stream).print(line, soft_wrap=True)


def _console(stream: TextIO, width: int | None = None) -> Console:
    from rich.console import Console

    # NO_COLOR requests no colour; with no colour system there is no other escape sequence either.
    colours: Any = None if os.environ.get("NO_COLOR") else "auto"
    return Console(file=stream, width=width, color_system=colours, highlight=False, markup=False, emoji=False)


def _width(text: str) -> int:
    from rich.cells import cell_len

    return cell_len(text)


def _speaks_unicode(stream: TextIO) -> bool:
    # A stream in memory has no encoding, and takes everything.
    return (stream.encoding or "utf-8").lower().startswith("utf")
