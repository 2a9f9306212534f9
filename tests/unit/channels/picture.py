"""All there is to see of a machine, field by field: two equal pictures mean that nothing happened between them."""

from collections.abc import Iterable, Mapping
from typing import Any, cast

_ATOMS = (int, float, str, bytes, type(None), type)


def snapshot(machine: object) -> object:
    """A picture that later changes of ``machine`` do not touch."""
    return _picture(machine, {})


def _picture(value: Any, seen: dict[int, int]) -> object:
    if isinstance(value, _ATOMS):
        return value
    if id(value) in seen:
        return "again", seen[id(value)]
    seen[id(value)] = len(seen)
    if hasattr(value, "digest"):
        return value.copy().digest()
    if isinstance(value, memoryview):
        return "released" if repr(cast("object", value)).startswith("<released") else bytes(cast("memoryview", value))
    if isinstance(value, bytearray):
        return bytes(value)
    return _parts(value, seen)


def _parts(value: Any, seen: dict[int, int]) -> object:
    if isinstance(value, Mapping):
        pairs = cast("Mapping[object, object]", value).items()
        return [(_picture(key, seen), _picture(item, seen)) for key, item in pairs]
    if isinstance(value, set | frozenset):
        return sorted(map(repr, cast("set[object]", value)))
    if isinstance(value, Iterable):
        return [_picture(item, seen) for item in cast("Iterable[object]", value)]
    return [type(value).__name__, [(name, _picture(item, seen)) for name, item in _fields(value)]]


def _fields(value: Any) -> list[tuple[str, Any]]:
    names = list(getattr(value, "__dict__", ()))
    for kind in type(value).__mro__:
        names += [name for name in getattr(kind, "__slots__", ()) if hasattr(value, name)]
    return [(name, getattr(value, name)) for name in names if not callable(getattr(value, name))]
