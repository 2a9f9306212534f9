"""A status as plain values, for JSON, and back."""

import types
from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass
from typing import Any, Final, TypeVar, cast, get_args, get_origin, get_type_hints

from nodes.looking.status import NodeStatus
from protocols.errors import MalformedError

VERSION: Final = 1
"""Of everything that is said through a control socket."""
MAX_ROWS: Final = 1_024
"""Of anything in a status: twice as many links as a node keeps in its book (CS-13)."""
MAX_CHARS: Final = 4_096
"""Of one text; a node says 240 at most of what came from others."""
_MAX_NUMBER: Final = 2**63
_ODD: Final = "this is no status of a node"
T = TypeVar("T")


def to_plain(status: NodeStatus) -> dict[str, Any]:
    """Return a status as what JSON can write."""
    return asdict(status)


def status_of_untrusted(value: object) -> NodeStatus:
    """Return the status that was read from JSON; MalformedError. Fields that we do not know are left out (CS-12)."""
    return cast("NodeStatus", _read(NodeStatus, value))


def _read(kind: Any, value: object) -> object:  # noqa: ANN401  # what an annotation may be has no type of its own
    origin, arguments = get_origin(kind), get_args(kind)
    _check_size(value)
    if is_dataclass(kind) and isinstance(value, dict):
        return _read_class(cast("type[Any]", kind), cast("Mapping[str, object]", value))
    if origin is tuple and isinstance(value, list):
        return tuple(_read(arguments[0], each) for each in cast("list[object]", value))
    if origin is Mapping and isinstance(value, dict):
        rows = cast("Mapping[str, object]", value)
        return {cast("str", _read(str, name)): _read(arguments[1], each) for name, each in rows.items()}
    if origin is types.UnionType:
        return None if value is None else _read(arguments[0], value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(kind, type) or type(value) is not kind:
        raise MalformedError(_ODD)
    return value


def _check_size(value: object) -> None:
    """Bounds before anything is made of a value (CS-13)."""
    if isinstance(value, str):
        fits = len(value) <= MAX_CHARS
    elif isinstance(value, list | dict):
        fits = len(cast("list[object]", value)) <= MAX_ROWS
    elif isinstance(value, int | float):
        fits = -_MAX_NUMBER < value < _MAX_NUMBER  # neither infinite nor NaN
    else:
        return
    if not fits:
        raise MalformedError(_ODD)


def _read_class(kind: type[T], value: Mapping[str, object]) -> T:
    hints = get_type_hints(kind)
    known = {
        each.name: _read(hints[each.name], value[each.name]) for each in fields(cast("Any", kind)) if each.name in value
    }
    try:
        return kind(**known)
    except TypeError:
        raise MalformedError("this status of a node lacks something") from None
