"""Properties of every declared format: hostile bytes parse or are malformed, and have one form only."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols import codec
from protocols.errors import MalformedError, UsageError
from specs.strict import Format, describe
from tests.conftest import examples
from tests.tools.formats import all_formats, hostile_bytes, values

FORMATS = all_formats()
every_format = pytest.mark.parametrize("fmt", FORMATS, ids=lambda fmt: fmt.name)


def is_derivable(fmt: Format[Any]) -> bool:
    return all(part.struct_code for part in describe(fmt))


every_derivable = pytest.mark.parametrize(
    "fmt", [fmt for fmt in FORMATS if is_derivable(fmt)], ids=lambda fmt: fmt.name
)


@every_format
@settings(deadline=None, max_examples=examples(20))
@given(data=st.data())
def test_values_survive(fmt: Format[Any], data: st.DataObject) -> None:
    value = data.draw(values(fmt))
    assert codec.parse_untrusted(fmt, codec.build(fmt, value)) == value


@every_format
@settings(deadline=None, max_examples=examples(20))
@given(data=st.data())
def test_hostile_bytes_parse_to_the_same_bytes_or_are_malformed(fmt: Format[Any], data: st.DataObject) -> None:
    wire = data.draw(hostile_bytes(fmt))
    try:
        value = codec.parse_untrusted(fmt, wire)
    except MalformedError:
        return
    assert codec.build(fmt, value) == wire


@every_derivable
@settings(deadline=None, max_examples=examples(20))
@given(data=st.data())
def test_derived_struct_gives_the_same_answer_on_all_inputs(fmt: Format[Any], data: st.DataObject) -> None:
    size = codec.size_bytes(fmt)
    wire = data.draw(hostile_bytes(fmt) | st.binary(min_size=size, max_size=size))
    unpack_untrusted = codec.derive_unpack_untrusted(fmt)
    try:
        fast: Any = fmt.type(*unpack_untrusted(wire, 0)) if len(wire) == size else None
    except MalformedError:
        fast = None
    try:
        slow = codec.parse_untrusted(fmt, wire)
    except MalformedError:
        slow = None
    assert fast == slow


@every_derivable
@settings(deadline=None, max_examples=examples(20))
@given(data=st.data())
def test_derived_struct_packs_the_same_bytes(fmt: Format[Any], data: st.DataObject) -> None:
    wire = codec.build(fmt, data.draw(values(fmt)))
    layout = codec.derive_struct(fmt)
    assert layout.size == codec.size_bytes(fmt) == len(wire)
    assert layout.pack(*layout.unpack(wire)) == wire


@pytest.mark.parametrize("fmt", FORMATS, ids=lambda fmt: fmt.name)
@settings(deadline=None, max_examples=examples(20))
@given(data=st.data())
def test_values_of_any_kind_build_or_are_refused(fmt: Format[Any], data: st.DataObject) -> None:
    anything = st.none() | st.integers() | st.floats() | st.text(max_size=9) | st.binary(max_size=9)
    number = len(describe(fmt))
    parts = data.draw(st.lists(anything, min_size=number, max_size=number))
    value = fmt.type(*parts[: sum(part.name is not None for part in describe(fmt))])
    try:
        wire = codec.build(fmt, value)
    except UsageError:
        return
    assert codec.parse_untrusted(fmt, wire) == value
