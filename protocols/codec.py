"""The only caller of construct's parse and build: hostile bytes in, frozen dataclasses out.

One error each way: :class:`MalformedError` for bytes that are not the format (the peer's fault), and
:class:`UsageError` for a value that does not fit it (ours). Neither names more than the format and the field,
because values may be secret. A parse is accepted only if building its result gives the same bytes, so one
value has one encoding and a frame may be hashed into a transcript.

A construct parse costs tens of microseconds, a ``struct`` one 0.2. Hot paths therefore derive the latter from
the same declaration, at import: :func:`derive_struct`, or :func:`derive_unpack_untrusted`, which also checks
every value.
"""

import struct
from collections.abc import Callable
from typing import Any, TypeVar

from construct import ConstructError, SizeofError

from protocols.errors import MalformedError, UsageError
from specs.strict import Format, describe

T = TypeVar("T")
Buffer = bytes | bytearray | memoryview


def parse_untrusted(fmt: Format[T], data: Buffer) -> T:
    """The value that ``data`` encodes, whole and canonically; otherwise :class:`MalformedError`."""
    raw = bytes(data)
    try:
        value = fmt.frame.parse(raw)
        canonical = fmt.frame.build(value)
    except ConstructError as error:
        raise MalformedError(f"{fmt.name}: refused at {error.path}") from None
    if canonical != raw:
        raise MalformedError(f"{fmt.name}: not in canonical form")
    return value


def build(fmt: Format[T], value: T) -> bytes:
    """The bytes of ``value``; :class:`UsageError` if it is not a value of this format."""
    try:
        return fmt.frame.build(value)
    except ConstructError as error:
        raise UsageError(f"{fmt.name}: value does not fit at {error.path}") from None


def size_bytes(fmt: Format[Any]) -> int:
    """The size of every frame of a fixed format; :class:`UsageError` if the size varies."""
    try:
        return fmt.construct.sizeof()
    except SizeofError:
        raise UsageError(f"{fmt.name}: the size varies") from None


def derive_struct(fmt: Format[Any]) -> struct.Struct:
    """The big-endian ``struct`` of a format made of integers, enums, flags, booleans and fixed bytes only.

    Reserved bytes and constants are values too (0, or the constant bytes): the caller gives and checks them.
    """
    codes = [field.struct_code for field in describe(fmt)]
    if None in codes:
        raise UsageError(f"{fmt.name}: not made of fixed integers and bytes only")
    return struct.Struct(">" + "".join(code for code in codes if code))


def derive_unpack_untrusted(fmt: Format[Any]) -> Callable[[Buffer, int], tuple[Any, ...]]:
    """A fast ``(data, offset) -> raw values of the named fields`` with the checks of the declaration.

    It reads at ``offset`` and leaves what follows to the caller; enums and flags stay ints. All else is as
    :func:`parse_untrusted` has it, which a property in ``tests/property/test_codec.py`` holds.
    """
    layout = derive_struct(fmt)
    described = describe(fmt)
    checks = [(place, field.accepts) for place, field in enumerate(described) if field.accepts is not None]
    named = [place for place, field in enumerate(described) if field.name is not None]
    everything = len(named) == len(described)

    def unpack_untrusted(data: Buffer, offset: int) -> tuple[Any, ...]:
        try:
            values = layout.unpack_from(data, offset)
        except struct.error:
            raise MalformedError(f"{fmt.name}: too short") from None
        for place, accepts in checks:
            if not accepts(values[place]):
                raise MalformedError(f"{fmt.name}: refused at {described[place].name or 'reserved bytes'}")
        return values if everything else tuple([values[place] for place in named])

    return unpack_untrusted
