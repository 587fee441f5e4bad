"""Data as programs exchange it: JSON, YAML, TOML, XML and CSV, among each other."""

import csv
import datetime
import io
import json
import math
import re
import tomllib
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any
from xml.parsers.expat import ExpatError

import tomli_w
import xmltodict
import yaml

from file_conversion.engines import Notes, Unconvertible, delimited
from file_conversion.engines.cells import written

_DEEPEST = 200
_MOST_VALUES = 1_000_000


class _Loader(yaml.SafeLoader):
    """YAML 1.2's core schema where people notice: no, off and NO are words, and so are dates."""


_Loader.yaml_implicit_resolvers = {
    first: [
        (tag, pattern)
        for tag, pattern in resolvers
        if tag not in ("tag:yaml.org,2002:bool", "tag:yaml.org,2002:timestamp")
    ]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile("^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)


def convert(given: Path, source: str, made: Path, target: str) -> Notes:
    """The same values; a list becomes the rows of a table, and a table a list of objects."""
    text = given.read_text(encoding="utf-8")
    try:
        data = _READERS[source](text) if source != "csv" else _rows(given)
    except (ValueError, yaml.YAMLError, ExpatError, RecursionError, OverflowError):
        raise Unconvertible("not-well-formed") from None
    _count(data)
    notes: list[str] = []
    try:
        made.write_text(_WRITERS[target](data, notes), encoding="utf-8", newline="")
    except (TypeError, ValueError, RecursionError):
        raise Unconvertible("no-such-shape") from None
    return notes


def _count(data: Any) -> None:
    """Refuse what is too deep or, by YAML's aliases, more than was sent."""
    left, level = [data], 0
    values = 0
    while left:
        values += len(left)
        level += 1
        if level > _DEEPEST or values > _MOST_VALUES:
            raise Unconvertible("too-many-rows")
        left = [
            inner
            for value in left
            for inner in (value.values() if isinstance(value, dict) else value if isinstance(value, list) else ())
        ]


def _rows(given: Path) -> list[dict[str, Any]]:
    rows = delimited.read(given)
    names = [written(name) for name in next(rows, [])]
    names = [name or f"column{number}" for number, name in enumerate(names, start=1)]
    if len(set(names)) < len(names):
        raise Unconvertible("no-such-shape")
    filled = [[*row, *[None] * (len(names) - len(row))] for row in rows if row]
    if any(len(row) > len(names) for row in filled):
        raise Unconvertible("no-such-shape")
    columns = [_column([row[at] for row in filled]) for at in range(len(names))]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def _column(cells: list[Any]) -> list[Any]:
    """Numbers, if all are and each would be given back as it was: 2.10 and 007 are none."""
    numbers = [cell for cell in cells if cell is not None]
    if not all(isinstance(cell, Decimal) and not re.search(r"\..*0$", str(cell)) for cell in numbers):
        return [None if cell is None else written(cell) for cell in cells]
    return [None if cell is None else float(cell) if "." in str(cell) else int(cell) for cell in cells]


def _xml(text: str) -> Any:
    if "<!ENTITY" in text:
        raise Unconvertible("not-well-formed")
    return xmltodict.parse(text, strip_whitespace=True)


def _strict(text: str) -> Any:
    def refuse(name: str) -> None:
        raise ValueError(name)

    return json.loads(text, parse_constant=refuse)


_READERS: dict[str, Callable[[str], Any]] = {
    "json": _strict,
    "yaml": lambda text: yaml.load(text, _Loader),  # noqa: S506 - a SafeLoader
    "toml": tomllib.loads,
    "xml": _xml,
}


def _plain(value: Any) -> Any:
    """Without what JSON has no word for: dates as ISO 8601, numbers beyond its own refused."""
    match value:
        case dict():
            return {
                str(key) if not isinstance(key, bool) else str(key).lower(): _plain(inner)
                for key, inner in value.items()
            }
        case list() | tuple() | set():
            return [_plain(inner) for inner in value]
        case datetime.datetime() | datetime.date() | datetime.time():
            return value.isoformat()
        case bytes():
            raise ValueError(value)
        case float() if not math.isfinite(value):
            raise ValueError(value)
    return value


def _to_json(data: Any, notes: list[str]) -> str:
    return json.dumps(_plain(data), ensure_ascii=False, indent=2) + "\n"


def _to_yaml(data: Any, notes: list[str]) -> str:
    return str(yaml.safe_dump(data, allow_unicode=True, sort_keys=False, width=1_000))


def _to_toml(data: Any, notes: list[str]) -> str:
    return tomli_w.dumps(_without_null(data if isinstance(data, dict) else {"items": data}, notes))


def _without_null(value: Any, notes: list[str]) -> Any:
    """TOML has no null: a member that is null is not there."""
    if isinstance(value, dict):
        if None in value.values():
            notes.append("nulls-left-out")
        return {str(key): _without_null(inner, notes) for key, inner in value.items() if inner is not None}
    if isinstance(value, list):
        if None in value:
            raise ValueError
        return [_without_null(inner, notes) for inner in value]
    return value


def _to_xml(data: Any, notes: list[str]) -> str:
    plain = _plain(data)
    if not (isinstance(plain, dict) and len(plain) == 1 and not isinstance(next(iter(plain.values())), list)):
        plain = {"root": {"item": plain} if isinstance(plain, list) else plain}
    return str(xmltodict.unparse(plain, pretty=True, indent="  ")) + "\n"


def _to_csv(data: Any, notes: list[str]) -> str:
    """The list in the data: the outermost one, or the only one in an object."""
    while isinstance(data, dict) and len(data) == 1 and isinstance(next(iter(data.values())), dict | list):
        data = next(iter(data.values()))
    rows = data if isinstance(data, list) else [data]
    if not rows or not all(isinstance(row, dict) for row in rows):
        rows = [{"value": row} for row in rows]
    flat = [_flat(row) for row in rows]
    names = list(dict.fromkeys(name for row in flat for name in row))
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(names)
    for row in flat:
        writer.writerow([_cell(row.get(name)) for name in names])
    return text.getvalue()


def _flat(row: dict[str, Any], above: str = "") -> dict[str, Any]:
    """An object in an object as `outer.inner`; a list as JSON."""
    made: dict[str, Any] = {}
    for key, value in row.items():
        name = f"{above}{key}"
        if isinstance(value, dict) and value:
            made |= _flat(value, f"{name}.")
        else:
            made[name] = json.dumps(_plain(value), ensure_ascii=False) if isinstance(value, list | dict) else value
    return made


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(_plain(value))


_WRITERS: dict[str, Callable[[Any, list[str]], str]] = {
    "json": _to_json,
    "yaml": _to_yaml,
    "toml": _to_toml,
    "xml": _to_xml,
    "csv": _to_csv,
}
