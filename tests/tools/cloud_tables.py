"""Tables of specs/9-cloudlink.md: the keys of the maps, and the requests."""

from collections.abc import Callable, Iterator
from dataclasses import fields
from enum import Enum
from typing import Any, Final

from protocols.cloud_api import ROUTES, Bytes, Listener, Route
from protocols.cloudlink import body_kind
from specs.cloudlink import MAPS
from specs.mapform import Binary, Choice, Flag, Hex, ListOf, MapType, Nested, Packed, Text, Uint, Value


def _range(low: int, high: int) -> str:
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _nested(kind: Nested) -> str:
    keys = "; ".join(f"`{key}` {describe(value)}" for key, value in kind.map.keys.items())
    return f"map: {keys}"


_DESCRIBE: Final[dict[type[Any], Callable[[Any], str]]] = {
    Uint: lambda kind: f"integer, {_range(kind.low, kind.high)}",
    Flag: lambda _kind: "true or false",
    Text: lambda kind: f"text, {_range(kind.min_bytes, kind.max_bytes)} bytes",
    Hex: lambda kind: f"text, {2 * kind.size_bytes} hexadecimal digits",
    Binary: lambda kind: f"binary, {_range(kind.min_bytes, kind.max_bytes)} bytes",
    Packed: lambda kind: f"binary, a map of at most {kind.max_bytes:,} bytes",
    Choice: lambda kind: " or ".join(f"`{member.value}`" for member in kind.kind),
    ListOf: lambda kind: f"{_range(kind.min_items, kind.max_items)} of: {describe(kind.item)}",
    Nested: _nested,
}


def describe(kind: Value) -> str:
    """What stands under a key, in words."""
    return _DESCRIBE[type(kind)](kind)


def _missing(shape: MapType, key: str) -> str:
    if key in shape.required():
        return "-"
    default = next(each.default for each in fields(shape.type) if each.name == key)
    if isinstance(default, Enum):
        return f"`{default.value}`"
    return {b"": "empty", "": "empty", False: "false"}[default]


def map_keys() -> str:
    """Number and keys of each body."""
    lines = ["| number | body | key | value | if missing |", "|---|---|---|---|---|"]
    for kind, shape in MAPS.items():
        for place, (key, value) in enumerate(shape.keys.items()):
            head = (str(int(kind)), f"`{kind.name}`") if place == 0 else ("", "")
            lines.append(f"| {head[0]} | {head[1]} | `{key}` | {describe(value)} | {_missing(shape, key)} |")
    return "\n".join(lines)


def _body(body: Any) -> str:
    return str(body.value) if isinstance(body, Bytes) else f"`{body_kind(body).name}`"


def _rows() -> Iterator[tuple[str, Route]]:
    for listener in Listener:
        for route in ROUTES:
            if route.listener is listener:
                yield listener.value, route


def routes() -> str:
    """Every request."""
    lines = ["| listener | request | body | most bytes | body of a 200 | statuses |", "|---|---|---|---|---|---|"]
    for listener, route in _rows():
        statuses = ", ".join(str(status) for status in route.statuses)
        lines.append(
            f"| {listener} | `{route.method} {route.path}` | {_body(route.request)} | {route.max_body_bytes:,} "
            f"| {_body(route.answer)} | {statuses} |"
        )
    return "\n".join(lines)
