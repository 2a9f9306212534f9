"""How large a frame of a format can be: what a channel carries is bounded, and a user's format must be, too (AL-31).

Only the blocks of ``specs.strict`` are known here. Whatever else construct offers may be unbounded, read ahead, or
accept two byte strings for one value; so it is refused, and not measured.
"""

from typing import Any, Final

import construct
from construct import Construct

from specs import blocks
from specs.strict import Format

_NUMBERS: Final = frozenset("BHLQbhlq")
_FLOATS: Final = frozenset("fd")


def largest_frame_bytes(fmt: Format[Any]) -> int:
    """The size of the largest frame; TypeError if a part is none of the strict blocks."""
    return _largest(fmt.construct)


def _largest(block: "Construct[Any, Any]") -> int:
    match block:
        case blocks.Exact() if isinstance(block.subcon, construct.FormatField):
            return _number_bytes(block.subcon, _NUMBERS | _FLOATS)
        case construct.Renamed() | construct.Const() | blocks.Exact() | blocks.Utf8() | blocks.Record():
            return _largest(block.subcon)
        case construct.Struct():
            return sum(_largest(part) for part in block.subcons)
        case construct.Switch() if block.default is construct.Error:
            return max(_largest(case) for case in block.cases.values())
        case construct.FormatField():
            return _number_bytes(block, _NUMBERS)
        case _:
            return _largest_bytes(block)


def _largest_bytes(block: "Construct[Any, Any]") -> int:
    """Of strings of bytes, and of arrays."""
    match block:
        case blocks.FixedBytes():
            return block.length
        case blocks.BoundedBytes():
            return _largest(block.length) + block.max_bytes
        case blocks.RestBytes() | blocks.SummedBytes():
            return block.max_bytes
        case blocks.BoundedArray():
            return _largest(block.count) + block.max_items * _largest(block.item)
        case blocks.CountedArray():
            return block.max_items * _largest(block.item)
        case _:
            raise TypeError(f"{type(block).__name__} is no block of specs.strict")


def _number_bytes(block: "construct.FormatField[Any, Any]", codes: frozenset[str]) -> int:
    """Of a number, big-endian; a float only where it is known to be finite."""
    if block.fmtstr[0] == ">" and block.fmtstr[1] in codes:
        return block.sizeof()
    raise TypeError(f"{block!r} is no number of specs.strict")
