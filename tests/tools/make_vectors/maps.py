"""A few canonical maps, and what is refused (specs/msgpack-maps.md). The public suite has the rest."""

from typing import Final

from tests.tools.make_vectors.base import Json

_VALUES: Final[dict[str, tuple[object, str]]] = {
    "empty": ({}, "80"),
    "one of each": (
        {"a": None, "b": True, "c": -1, "d": {"float": "1.5"}, "e": "text", "f": {"bytes": "00ff"}, "g": [1, 2]},
        "87a161c0a162c3a163ffa164cb3ff8000000000000a165a474657874a166c40200ffa167920102",
    ),
    "integers at their edges": (
        {"a": [0, 127, 128, 255, 256, 65535, 65536, 2**32 - 1, 2**32, 2**64 - 1]},
        "81a1619a007fcc80ccffcd0100cdffffce00010000ceffffffffcf0000000100000000cfffffffffffffffff",
    ),
    "negative integers at their edges": (
        {"a": [-1, -32, -33, -128, -129, -32768, -32769, -(2**31), -(2**31) - 1, -(2**63)]},
        "81a1619affe0d0dfd080d1ff7fd18000d2ffff7fffd280000000d3ffffffff7fffffffd38000000000000000",
    ),
    "integer and float of one value": ([1, {"float": "1.0"}, {"float": "-0.0"}],
                                       "9301cb3ff0000000000000cb8000000000000000"),
    "keys in the order of UTF-8": ({"a": 1, "aa": 2, "b": 3, "\u00fc": 4, "\U0001f681": 5},
                                   "85a16101a2616102a16203a2c3bc04a4f09f9a8105"),
}  # fmt: skip
_REFUSED: Final = {
    "ends too early": ("81a161", "truncated"),
    "announces more than there is": ("de00ff", "truncated"),
    "announces more than is allowed": ("dfffffffff", "too large"),
    "a byte after the value": ("8000", "trailing"),
    "extension type": ("81a161d40000", "extension"),
    "timestamp": ("81a161d6ff00000000", "extension"),
    "the byte c1": ("81a161c1", "never used"),
    "text that is not UTF-8": ("81a161a1ff", "text"),
    "key that is a number": ("810101", "key type"),
    "key that is binary": ("81c4016101", "key type"),
    "keys descending": ("82a16201a16101", "key order"),
    "the same key twice": ("82a16101a16102", "key order"),
    "NaN": ("81a161cb7ff8000000000000", "not finite"),
    "infinity": ("81a161cb7ff0000000000000", "not finite"),
    "32-bit float": ("81a161ca3f800000", "not canonical"),
    "integer in a longer form": ("81a161cc7f", "not canonical"),
    "length in a longer form": ("81d90161c0", "not canonical"),
    "positive integer as a signed one": ("81a161d001", "not canonical"),
    "nested nine deep": ("919191919191919190", "too large"),
    "an array": ("90", "not a map"),
    "a text": ("a161", "not a map"),
}


def vectors() -> list[Json]:
    """Return values and their one encoding."""
    return [{"name": name, "value": value, "bytes": encoded} for name, (value, encoded) in _VALUES.items()]


def failures() -> list[Json]:
    """Return bytes that are no canonical map."""
    return [{"name": name, "bytes": data, "expect": expect} for name, (data, expect) in _REFUSED.items()]
