"""Every rule of specs/msgpack-maps.md, named; and any bytes either have one meaning or are malformed."""

import re
from contextlib import suppress
from enum import IntEnum
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.errors import MalformedError, UsageError
from protocols.maps import (
    Limits,
    Refusal,
    Value,
    pack_map,
    pack_value,
    unpack_map_untrusted,
    unpack_value_untrusted,
)
from specs.maps import MAX_MAP_BYTES, MAX_MAP_DEPTH, MAX_MAP_ITEMS

PAGE = Path(__file__).parents[2] / "specs" / "msgpack-maps.md"

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(codec="utf-8"), max_size=40),
    st.binary(max_size=40),
)
anything: st.SearchStrategy[Any] = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=20)
        | st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=9), inner, max_size=20)
    ),
    max_leaves=20,
).filter(lambda value: depth_of(value) <= MAX_MAP_DEPTH)


def depth_of(value: Any) -> int:
    if value.__class__ not in {dict, list}:
        return 0
    inner = value.values() if hasattr(value, "values") else value
    return 1 + max((depth_of(item) for item in inner), default=0)


def same(one: Any, other: Any) -> bool:
    """Equal, and of the same types: Python's 1, 1.0 and True are equal."""
    return bool(one == other) and repr(one) == repr(other)


def refused(encoded: str, reason: Refusal, limits: Limits | None = None) -> None:
    with pytest.raises(MalformedError, match=f"^msgpack: {re.escape(reason.value)}$"):
        unpack_value_untrusted(bytes.fromhex(encoded), *([limits] if limits else []))


# --- all inputs ---------------------------------------------------------------------------------


@settings(deadline=None)
@given(anything)
def test_values_survive(value: Any) -> None:
    unpacked = unpack_value_untrusted(pack_value(value))
    assert unpacked == value
    assert pack_value(unpacked) == pack_value(value)


@settings(deadline=None)
@given(st.binary(max_size=80) | anything.map(pack_value), st.data())
def test_bytes_have_one_meaning_or_are_malformed(encoded: bytes, data: st.DataObject) -> None:
    mutable = bytearray(encoded)
    for place in data.draw(st.lists(st.integers(0, max(0, len(mutable) - 1)), max_size=3)):
        mutable[place : place + 1] = data.draw(st.binary(max_size=2))
    try:
        value = unpack_value_untrusted(memoryview(mutable))
    except MalformedError:
        return
    assert pack_value(value) == mutable


@settings(deadline=None)
@given(st.dictionaries(st.text(max_size=3), st.integers(), max_size=6), st.randoms())
def test_the_order_of_a_dict_does_not_show(value: dict[str, int], random: Any) -> None:
    items = list(value.items())
    random.shuffle(items)
    with suppress(UsageError):  # surrogates, or integers that do not fit
        assert pack_map(dict(items)) == pack_map(value)


def test_mp_every_rule_is_named_by_a_test() -> None:
    rules = {int(number) for number in re.findall(r"\*\*MP-(\d+)\*\*", PAGE.read_text())}
    named = {int(number) for number in re.findall(r"^def test_mp_(\d+)_", Path(__file__).read_text(), re.MULTILINE)}
    assert rules == named != set()


# --- the rules ----------------------------------------------------------------------------------


def test_mp_1_one_whole_value() -> None:
    refused("c0c0", Refusal.TRAILING)
    for cut in ("", "cd01", "a261", "c40100"[:4], "9101"[:2], "81a161", "cb00"):
        refused(cut, Refusal.TRUNCATED)


def test_mp_2_no_extension_types() -> None:
    for head in (
        "d401",
        "d501",
        "d601",
        "d701",
        "d801",
        "c70001",
        "c8000001",
        "c90000000001",
        "d6ff5a4af6a5",
    ):
        refused(head + "00" * 16, Refusal.EXTENSION)
    refused("c1", Refusal.NEVER_USED)
    assert same(unpack_value_untrusted(bytes.fromhex("94c0c2c3c401ff")), [None, False, True, b"\xff"])


def test_mp_3_shortest_forms() -> None:
    for long in (
        "cc00",
        "cd0001",
        "ce00000001",
        "cf0000000000000001",
        "d001",
        "d1ffff",
        "d3ffffffffffffffff",
    ):
        refused(long, Refusal.NOT_CANONICAL)
    for long in ("d90161", "da000161", "db0000000161", "c5000161", "c60000000161", "dc0000", "dd00000000"):
        refused(long, Refusal.NOT_CANONICAL)
    for long in ("de0000", "df00000000", "81d90161c0"):
        refused(long, Refusal.NOT_CANONICAL)
    for number in (0, 127, 128, 2**16, 2**32, 2**64 - 1, -1, -32, -33, -129, -(2**15) - 1, -(2**63)):
        assert unpack_value_untrusted(pack_value(number)) == number


def test_mp_4_floats_are_64_bits_and_no_integers() -> None:
    refused("ca3f000000", Refusal.NOT_CANONICAL)
    assert same(unpack_value_untrusted(bytes.fromhex("cb3ff0000000000000")), 1.0)
    assert same(unpack_value_untrusted(bytes.fromhex("01")), 1)
    assert pack_value(1.0) != pack_value(1)


def test_mp_5_only_finite_floats() -> None:
    for bits in ("7ff8000000000000", "7ff0000000000001", "7ff0000000000000", "fff0000000000000"):
        refused("cb" + bits, Refusal.NOT_FINITE)
    for number in (float("nan"), float("inf")):
        with pytest.raises(UsageError):
            pack_value(number)
    assert pack_value(-0.0) != pack_value(0.0)


def test_mp_6_keys_are_text_and_ascend() -> None:
    for key in ("01", "c0", "c40161", "90", "80", "cb3ff0000000000000"):
        refused("81" + key + "c0", Refusal.KEY_TYPE)
    refused("82a161c0a161c0", Refusal.KEY_ORDER)
    refused("82a162c0a161c0", Refusal.KEY_ORDER)
    refused("83a161c0a162c0a161c0", Refusal.KEY_ORDER)
    ascending = {"": 0, "Z": 0, "a": 0, "aa": 0, "ä": 0, "\uffff": 0, "\U00010000": 0}
    assert list(unpack_map_untrusted(pack_map(ascending))) == list(ascending)
    assert sorted(ascending, key=str.encode) == list(ascending)


def test_mp_7_text_is_utf_8() -> None:
    for octets in ("a1ff", "a2c080", "a3eda080", "81a1ffc0"):
        refused(octets, Refusal.TEXT)
    with pytest.raises(UsageError):
        pack_value("\ud800")


def test_mp_8_bytes_are_bounded() -> None:
    largest = bytes(MAX_MAP_BYTES - 3)
    assert unpack_value_untrusted(pack_value(largest)) == largest
    refused((b"\xc6" + bytes(MAX_MAP_BYTES)).hex(), Refusal.TOO_LARGE)
    refused("c403000000", Refusal.TOO_LARGE, Limits(max_bytes=4))
    with pytest.raises(UsageError):
        pack_value(largest + b"\x00")


def test_mp_9_depth_is_bounded() -> None:
    deepest = "91" * (MAX_MAP_DEPTH - 1) + "80"
    assert pack_value(unpack_value_untrusted(bytes.fromhex(deepest))).hex() == deepest
    refused("91" + deepest, Refusal.TOO_LARGE)
    refused("91" * 60_000, Refusal.TOO_LARGE)
    refused("91c0", Refusal.TOO_LARGE, Limits(max_depth=0))
    endless: list[Value] = []
    endless.append(endless)
    with pytest.raises(UsageError):
        pack_value(endless)


def test_mp_10_items_are_bounded() -> None:
    most: list[Value] = [None] * MAX_MAP_ITEMS
    assert unpack_value_untrusted(pack_value(most)) == most
    for too_many in ([*most, None], [most], {"a": most}):
        with pytest.raises(UsageError):
            pack_value(too_many)
    refused("9392c0c0c0c0", Refusal.TOO_LARGE, Limits(max_items=4))


@pytest.mark.parametrize("head", ["dd", "df", "db", "c6"])
def test_mp_11_lengths_are_checked_before_anything_is_allocated(head: str) -> None:
    refused(head + "ffffffff", Refusal.TOO_LARGE if head in {"dd", "df"} else Refusal.TRUNCATED)
    refused(head + "00000003" + "c0", Refusal.TRUNCATED)


class Number(IntEnum):
    SEVEN = 7


@pytest.mark.parametrize("value", [2**64, -(2**63) - 1, object(), {1: 2}, {"a": {None: 1}}, {1}, 1j, bytearray(1)])
def test_mp_12_what_would_be_refused_is_not_sent(value: Any) -> None:
    with pytest.raises(UsageError):
        pack_value(value)


def test_mp_13_a_map_is_a_map() -> None:
    with pytest.raises(MalformedError, match=Refusal.NOT_A_MAP.value):
        unpack_map_untrusted(b"\x90")
    not_a_map: Any = []
    with pytest.raises(UsageError):
        pack_map(not_a_map)
    assert pack_map(MappingProxyType({"b": (1, 2), "a": Number.SEVEN})).hex() == "82a16107a162920102"
