"""Conversions of dates and times.

Zones are IANA names. A local time that a change of the clock makes ambiguous is the first of both; one that it skips is
moved forward by what was skipped, as in Python's zoneinfo (PEP 495).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from typing import Any

from connector.conversions.row import Apply, Conversion, Kind, read_decimal, read_text

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
#: RFC 3339, section 5.6; the time and the zone may be missing.
_ISO = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)(?:[Tt ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?([Zz]|[+-]\d\d:?\d\d)?)?", re.ASCII
)
_DATE_ONLY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_OFFSET = r"[Zz]|[+-]\d\d:?\d\d"
_HTTP = "%a, %d %b %Y %H:%M:%S GMT"
#: What a directive of a pattern matches.
_DIRECTIVES = {
    "Y": r"\d{4}", "m": r"\d{1,2}", "d": r"\d{1,2}", "H": r"\d{1,2}", "I": r"\d{1,2}", "M": r"\d{1,2}",
    "S": r"\d{1,2}", "f": r"\d{1,9}", "z": _OFFSET, "p": "[AaPp][Mm]",
    "b": "|".join(name[:3] for name in _MONTHS), "B": "|".join(_MONTHS),
    "a": "|".join(name[:3] for name in _DAYS), "A": "|".join(_DAYS),
}  # fmt: skip
_UNITS = ("years", "months", "weeks", "days", "hours", "minutes", "seconds")

Read = Callable[[Any], datetime]
Write = Callable[[datetime], Any]


def _zone(name: str) -> tzinfo:
    from zoneinfo import ZoneInfo  # only definitions with a zone need it

    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"unknown zone {name[:70]!r}; zones are IANA names such as 'Europe/Berlin'") from None


def _moment(parts: tuple[int, ...], zone: tzinfo) -> datetime:
    """The moment of a local time; raises ValueError for a date that does not exist."""
    year, month, day, hour, minute, second, microsecond = parts
    leap = second == 60  # a leap second is the first second of the next minute, as in POSIX time
    try:
        moment = datetime(year, month, day, hour, minute, 59 if leap else second, microsecond, zone).astimezone(UTC)
        return moment + timedelta(seconds=1) if leap else moment
    except (ValueError, OverflowError):
        raise ValueError("there is no such date or time") from None


def _offset(text: str) -> tzinfo:
    if text in ("Z", "z"):
        return UTC
    digits = text[1:].replace(":", "")
    hours, minutes = int(digits[:2]), int(digits[2:])
    if hours > 23 or minutes > 59:
        raise ValueError("there is no such offset from UTC")
    shift = timedelta(hours=hours, minutes=minutes)
    return timezone(-shift if text[0] == "-" else shift)


def _fraction(digits: str | None) -> int:
    return int((digits or "0").ljust(6, "0")[:6])


def _read_iso(value: Any, zone: tzinfo) -> datetime:
    found = _ISO.fullmatch(read_text(value).strip())
    if found is None:
        raise ValueError("expected a date and time as in RFC 3339: 2026-05-01T12:00:00Z")
    *numbers, fraction, offset = found.groups()
    parts = tuple(int(each or 0) for each in numbers)
    return _moment((*parts, _fraction(fraction)), _offset(offset) if offset else zone)


def _read_date(value: Any, zone: tzinfo) -> datetime:
    text = read_text(value).strip()
    if not _DATE_ONLY.fullmatch(text):
        raise ValueError("expected a date: 2026-05-01")
    return _read_iso(text, zone)


def _read_unix(value: Any, unit: int) -> datetime:
    number = read_decimal(value) / unit
    try:
        whole = number.to_integral_value("ROUND_FLOOR")
        return _EPOCH + timedelta(seconds=int(whole), microseconds=int((number - whole) * 1_000_000))
    except (OverflowError, ArithmeticError):
        raise ValueError("the time is beyond the year 9999") from None


def _pattern(text: str) -> tuple[re.Pattern[str], list[str]]:
    """A regular expression for a pattern, and its directives in order; raises ValueError for an unknown one."""
    expression, names = "", []
    for literal, directive in re.findall(r"([^%]+)|%(.?)", text, re.DOTALL):
        if literal:
            expression += re.escape(literal)
        elif directive == "%":
            expression += "%"
        elif directive in _DIRECTIVES:
            expression += f"({_DIRECTIVES[directive]})"
            names.append(directive)
        else:
            raise ValueError(f"unknown directive '%{directive}'; known: {' '.join(f'%{name}' for name in _DIRECTIVES)}")
    return re.compile(expression, re.IGNORECASE | re.ASCII), names


def _check_pattern(text: str) -> None:
    _, names = _pattern(text)
    if not names:
        raise ValueError(f"unknown form {text[:70]!r}; known: {', '.join(_FORMS)}, or a pattern such as '%d.%m.%Y'")


def _read_pattern(text: str, zone: tzinfo) -> Read:
    _check_pattern(text)
    expression, names = _pattern(text)
    if not {"Y", "d"} <= set(names) or not {"m", "b", "B"} & set(names):
        raise ValueError("a pattern that is read has a year, a month and a day: %Y, %m (or %b, %B) and %d")
    if ("I" in names) != ("p" in names):
        raise ValueError("%I and %p go together")

    def read(value: Any) -> datetime:
        found = expression.fullmatch(read_text(value).strip())
        if found is None:
            raise ValueError(f"expected a date as in {text!r}")
        parts = dict(zip(names, found.groups(), strict=True))
        month = parts.get("m") or 1 + [name[:3] for name in _MONTHS].index((parts.get("b") or parts["B"])[:3].title())
        hour = int(parts.get("H") or 0)
        if "I" in parts:
            hour = int(parts["I"]) % 12 + (12 if parts["p"].lower() == "pm" else 0)
        clock = (hour, int(parts.get("M") or 0), int(parts.get("S") or 0), _fraction(parts.get("f")))
        where = _offset(parts["z"]) if "z" in parts else zone
        return _moment((int(parts["Y"]), int(month), int(parts["d"]), *clock), where)

    return read


def _write_iso(moment: datetime) -> str:
    spec = "seconds" if not moment.microsecond else "microseconds" if moment.microsecond % 1000 else "milliseconds"
    return moment.isoformat(timespec=spec).replace("+00:00", "Z")


def _write_unix(moment: datetime, unit: int) -> Decimal:
    passed = moment - _EPOCH
    microseconds = (passed.days * 86400 + passed.seconds) * 1_000_000 + passed.microseconds
    return Decimal(microseconds) * unit / 1_000_000


def _write_pattern(text: str) -> Write:
    _check_pattern(text)

    def directive(name: str, moment: datetime) -> str:
        match name:
            case "b" | "B":
                return _MONTHS[moment.month - 1][: 3 if name == "b" else None]
            case "a" | "A":
                return _DAYS[moment.weekday()][: 3 if name == "a" else None]
            case "p":
                return "PM" if moment.hour >= 12 else "AM"
            case "Y":
                return f"{moment.year:04}"
            case "%":
                return "%"
            case _:
                return moment.strftime(f"%{name}")

    return lambda moment: re.sub(r"%(.)", lambda found: directive(found[1], moment), text)


#: How a date is read and written, by name; each is given the zone. Every other text is a pattern.
_FORMS: Mapping[str, tuple[Callable[[tzinfo], Read], Callable[[], Write]]] = {
    "iso": (lambda zone: lambda value: _read_iso(value, zone), lambda: _write_iso),
    "unix": (lambda _: lambda value: _read_unix(value, 1), lambda: lambda moment: _write_unix(moment, 1)),
    "unix_ms": (lambda _: lambda value: _read_unix(value, 1000), lambda: lambda moment: _write_unix(moment, 1000)),
    "http": (
        lambda _: _read_pattern(_HTTP, UTC),
        lambda: lambda moment: _write_pattern(_HTTP)(moment.astimezone(UTC)),
    ),
    "date": (lambda zone: lambda value: _read_date(value, zone), lambda: lambda moment: moment.date().isoformat()),
}


def _date(argument: Mapping[str, str]) -> Apply:
    source, target = argument.get("from", "iso"), argument.get("to", "iso")
    zone = _zone(argument["zone"]) if "zone" in argument else UTC
    read = _FORMS[source][0](zone) if source in _FORMS else _read_pattern(source, zone)
    write = _FORMS[target][1]() if target in _FORMS else _write_pattern(target)
    # A date alone has no zone that it could be moved to.
    keeps_day = source == "date" and target in ("date", "iso") and "zone" not in argument
    if keeps_day and target == "date":
        return lambda value, _: write(read(value))
    return lambda value, _: write(read(value).astimezone(zone))


def _date_kind(argument: Mapping[str, str]) -> Kind:
    return "number" if argument.get("to") in ("unix", "unix_ms") else "text"


def _shift(argument: Mapping[str, int]) -> Apply:
    import calendar

    months = 12 * argument.get("years", 0) + argument.get("months", 0)
    step = timedelta(**{unit: argument[unit] for unit in _UNITS[2:] if unit in argument})

    def move(value: Any, _: Mapping[str, Any]) -> str:
        text = read_text(value).strip()
        found = _ISO.fullmatch(text)
        if found is None:
            raise ValueError("expected a date, or a date and time, as in RFC 3339; the conversion `date` makes one")
        offset = _offset(found[8]) if found[8] else UTC
        moment = _read_iso(text, UTC).astimezone(offset)
        try:
            count = moment.year * 12 + moment.month - 1 + months
            year, month = divmod(count, 12)
            day = min(moment.day, calendar.monthrange(year, month + 1)[1])
            moment = moment.replace(year=year, month=month + 1, day=day) + step
        except (ValueError, OverflowError, calendar.IllegalMonthError):
            raise ValueError("the date is beyond the years 1 to 9999") from None
        if found[4] is None and (moment.hour, moment.minute, moment.second) == (0, 0, 0):
            return moment.date().isoformat()
        written = _write_iso(moment)
        return written if found[4] is None or found[8] else written.removesuffix("Z")

    return move


_FORM = {"type": "string", "minLength": 1}

DATES: Mapping[str, Conversion] = {
    "date": Conversion(
        accepts="text",
        returns="text",
        returns_for=_date_kind,
        compile=_date,
        description=(
            "Reads a date in one form and writes it in another: `iso` (RFC 3339), `unix`, `unix_ms`, `http`, "
            "`date`, or a pattern of %Y %m %d %H %M %S %f %z %b %B %a %A %I %p. A time without its zone is in "
            "`zone` (UTC by default), and what is written is, too."
        ),
        example=({"from": "unix_ms", "to": "date", "zone": "Europe/Berlin"}, 1767225600000, "2026-01-01"),
        argument={
            "type": "object",
            "properties": {"from": _FORM, "to": _FORM, "zone": {"type": "string", "minLength": 1}},
            "additionalProperties": False,
        },
    ),
    "shift": Conversion(
        accepts="text",
        returns="text",
        compile=_shift,
        description=(
            "Moves a date, or a date and time, by years, months, weeks, days, hours, minutes and seconds. A day "
            "that the month does not have is its last one."
        ),
        example=({"days": -7}, "2026-01-05", "2025-12-29"),
        argument={
            "type": "object",
            "properties": {
                unit: {"type": "integer", "minimum": -1_000_000_000, "maximum": 1_000_000_000} for unit in _UNITS
            },
            "minProperties": 1,
            "additionalProperties": False,
        },
    ),
}
