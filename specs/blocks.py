"""The construct classes below ``specs.strict``: use that module's names, not these.

``_parse`` and ``_build`` are construct's interface for subclasses; their signatures are not ours to choose,
and its values are untyped. Lengths and counts are checked before anything is read or allocated.
"""
# ruff: noqa: ANN401, ARG002
# pyright: reportPrivateUsage=false

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import IO, TYPE_CHECKING, Any, cast

import construct
from construct import Construct
from construct.core import stream_read, stream_write

if TYPE_CHECKING:
    AnyConstruct = Construct[Any, Any]
    _Adapter = construct.Adapter[Any, Any, Any, Any]
    _BytesConstruct = Construct[bytes, bytes]
else:  # construct's classes are generic in its stubs only
    AnyConstruct = _BytesConstruct = Construct
    _Adapter = construct.Adapter


@dataclass(frozen=True, slots=True)
class Between:
    """The test of :func:`specs.strict.ranged`, with its bounds in view."""

    low: int
    """Smallest value allowed."""
    high: int
    """Largest value allowed."""

    def __call__(self, raw: int) -> bool:
        """Whether a value is allowed."""
        return self.low <= raw <= self.high


class Exact(_Adapter):
    """A number that allows some raw values only, both ways; they become a ``kind``."""

    def __init__(self, number: AnyConstruct, kind: type[Any], accepts: Callable[[Any], bool]) -> None:
        super().__init__(number)
        self.kind, self.accepts = kind, accepts

    def _decode(self, obj: Any, context: object, path: str) -> Any:
        if not self.accepts(obj):
            raise construct.ValidationError("value refused", path=path)
        return self.kind(obj)

    def _encode(self, obj: Any, context: object, path: str) -> Any:
        # An int is no enum and no flag here: what the dataclass declares is what must be given.
        if not isinstance(obj, self.kind) or not self.accepts(obj):
            raise construct.ValidationError("value refused", path=path)
        return obj


def _checked(data: object, low: int, high: int, path: str) -> bytes:
    """``data`` if it is bytes of an allowed length: construct itself would build from ints and str."""
    if not isinstance(data, bytes) or not low <= len(data) <= high:
        raise construct.StreamError("not bytes of an allowed length", path=path)
    return data


class FixedBytes(_BytesConstruct):
    """Exactly ``length`` bytes."""

    def __init__(self, length: int) -> None:
        super().__init__()
        self.length = length

    def _parse(self, stream: IO[bytes], context: object, path: str) -> bytes:
        return stream_read(stream, self.length, path)

    def _build(self, obj: bytes, stream: IO[bytes], context: object, path: str) -> Any:
        stream_write(stream, _checked(obj, self.length, self.length, path), self.length, path)
        return obj

    def _sizeof(self, context: object, path: str) -> int:
        return self.length


class BoundedBytes(_BytesConstruct):
    """A length, checked against both bounds before anything is read, then that many bytes."""

    def __init__(self, length: AnyConstruct, max_bytes: int, min_bytes: int) -> None:
        super().__init__()
        self.length, self.max_bytes, self.min_bytes = length, max_bytes, min_bytes

    def _parse(self, stream: IO[bytes], context: Any, path: str) -> bytes:
        size = self.length._parsereport(stream, context, path)
        if not self.min_bytes <= size <= self.max_bytes:
            raise construct.RangeError("length refused", path=path)
        return stream_read(stream, size, path)

    def _build(self, obj: bytes, stream: IO[bytes], context: Any, path: str) -> Any:
        data = _checked(obj, self.min_bytes, self.max_bytes, path)
        self.length._build(len(data), stream, context, path)
        stream_write(stream, data, len(data), path)
        return obj


class RestBytes(_BytesConstruct):
    """Everything up to the end of the frame, within bounds."""

    def __init__(self, max_bytes: int, min_bytes: int) -> None:
        super().__init__()
        self.max_bytes, self.min_bytes = max_bytes, min_bytes

    def _parse(self, stream: IO[bytes], context: object, path: str) -> bytes:
        return _checked(stream.read(self.max_bytes + 1), self.min_bytes, self.max_bytes, path)

    def _build(self, obj: bytes, stream: IO[bytes], context: object, path: str) -> Any:
        data = _checked(obj, self.min_bytes, self.max_bytes, path)
        stream_write(stream, data, len(data), path)
        return obj


class Utf8(_Adapter):
    """Text in a block of bytes. Python's decoder refuses overlong forms and surrogates (RFC 3629)."""

    def _decode(self, obj: bytes, context: object, path: str) -> str:
        try:
            return obj.decode()
        except UnicodeDecodeError:
            raise construct.StringError("not UTF-8", path=path) from None

    def _encode(self, obj: Any, context: object, path: str) -> bytes:
        try:
            return str.encode(obj)
        except (UnicodeEncodeError, TypeError):
            raise construct.StringError("not text", path=path) from None


class BoundedArray(AnyConstruct):
    """A count, checked before anything is read, then that many items; a tuple in the dataclass."""

    def __init__(self, count: AnyConstruct, item: AnyConstruct, max_items: int, min_items: int) -> None:
        super().__init__()
        self.count, self.item, self.max_items, self.min_items = count, item, max_items, min_items

    def _parse(self, stream: IO[bytes], context: Any, path: str) -> tuple[Any, ...]:
        size = self.count._parsereport(stream, context, path)
        if not self.min_items <= size <= self.max_items:
            raise construct.RangeError("count refused", path=path)
        return tuple([self.item._parsereport(stream, context, path) for _ in range(size)])

    def _build(self, obj: Any, stream: IO[bytes], context: Any, path: str) -> Any:
        items = cast("tuple[Any, ...]", obj)
        if not isinstance(obj, tuple) or not self.min_items <= len(items) <= self.max_items:
            raise construct.RangeError("not a tuple of an allowed length", path=path)
        self.count._build(len(items), stream, context, path)
        for item in items:
            self.item._build(item, stream, context, path)
        return items


class CountedArray(AnyConstruct):
    """As many items as an earlier field says, within bounds; a tuple in the dataclass."""

    def __init__(self, count: Callable[[Any], Any], item: AnyConstruct, max_items: int, min_items: int) -> None:
        super().__init__()
        self.count, self.item, self.max_items, self.min_items = count, item, max_items, min_items

    def _parse(self, stream: IO[bytes], context: Any, path: str) -> tuple[Any, ...]:
        size = self.count(context)
        if not self.min_items <= size <= self.max_items:
            raise construct.RangeError("count refused", path=path)
        return tuple([self.item._parsereport(stream, context, path) for _ in range(size)])

    def _build(self, obj: Any, stream: IO[bytes], context: Any, path: str) -> Any:
        items = cast("tuple[Any, ...]", obj)
        if not isinstance(obj, tuple) or not self.min_items <= len(items) <= self.max_items:
            raise construct.RangeError("not a tuple of an allowed length", path=path)
        if len(items) != self.count(context):
            raise construct.RangeError("not as many as were named", path=path)
        for item in items:
            self.item._build(item, stream, context, path)
        return items


class SummedBytes(_BytesConstruct):
    """As many bytes as the numbers of an earlier field add up to, within bounds."""

    def __init__(self, lengths: Callable[[Any], Any], max_bytes: int) -> None:
        super().__init__()
        self.lengths, self.max_bytes = lengths, max_bytes

    def _size(self, context: Any, path: str) -> int:
        size: int = sum(self.lengths(context))
        if size > self.max_bytes:
            raise construct.RangeError("length refused", path=path)
        return size

    def _parse(self, stream: IO[bytes], context: Any, path: str) -> bytes:
        return stream_read(stream, self._size(context, path), path)

    def _build(self, obj: bytes, stream: IO[bytes], context: Any, path: str) -> Any:
        size = self._size(context, path)
        stream_write(stream, _checked(obj, size, size, path), size, path)
        return obj


class Record(_Adapter):
    """A struct whose value is a dataclass, so that construct's untyped containers stay inside."""

    def __init__(self, struct: AnyConstruct, kind: type[Any]) -> None:
        super().__init__(struct)
        self.kind = kind
        self.names = tuple(each.name for each in fields(kind))

    def _decode(self, obj: Any, context: object, path: str) -> Any:
        return self.kind(*[obj[name] for name in self.names])

    def _encode(self, obj: Any, context: object, path: str) -> dict[str, Any]:
        if not isinstance(obj, self.kind):
            raise construct.ValidationError("not the dataclass of this format", path=path)
        return {name: getattr(obj, name) for name in self.names}


class Exactly(_Adapter):
    """A whole frame: trailing bytes are refused."""

    def _parse(self, stream: IO[bytes], context: Any, path: str) -> Any:
        value = self.subcon._parsereport(stream, context, path)
        if stream.read(1):
            raise construct.TerminatedError("trailing bytes", path=path)
        return value

    def _encode(self, obj: Any, context: object, path: str) -> Any:
        return obj
