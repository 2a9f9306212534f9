"""specs/registry.md and its neighbours: no number of the wire, and no envelope, that only the Python has."""

import re
from enum import Enum
from types import ModuleType
from typing import Any

import pytest

import specs.registry
from protocols.crypto.suites import SUITES
from specs import datagram, inner, record, relay
from specs.diagrams import bit_diagram
from specs.registry import SuiteId
from specs.strict import Format
from tests.tools import tables, write_diagrams

PAGES = "\n".join(page.read_text() for page in write_diagrams.pages())
NESTED = {"ACK_RANGE", "BULK_ACK_HEADER", "INITIATION_PAYLOAD", "RESPONSE_PAYLOAD", "FINISH_HEADER"}
"""Parts of formats that are drawn, and three layouts that LK-11 and LK-13 say in words."""


def enumerations() -> list[type[Enum]]:
    """Return the enumerations that registry.py declares."""
    found = [each for each in vars(specs.registry).values() if isinstance(each, type) and issubclass(each, Enum)]
    return [each for each in found if each.__module__ == specs.registry.__name__]


def formats(module: ModuleType) -> list[tuple[str, Format[Any]]]:
    """Return the formats that a module of specs declares."""
    return [(name, each) for name, each in vars(module).items() if isinstance(each, Format) and name not in NESTED]


def test_there_are_enumerations() -> None:
    assert len(enumerations()) > 9


@pytest.mark.parametrize(
    "member",
    [member for each in enumerations() for member in each],
    ids=lambda member: f"{type(member).__name__}.{member.name}",
)
def test_every_number_stands_in_a_page(member: Enum) -> None:
    name = SUITES[member.value].name if isinstance(member, SuiteId) else member.name
    assert re.search(rf"^\| {member.value} \| `{re.escape(name)}`", PAGES, re.MULTILINE)


@pytest.mark.parametrize("constant", tables.constants(), ids=lambda constant: constant.name)
def test_every_constant_stands_in_a_page(constant: tables.Constant) -> None:
    assert f"| `{constant.name}` | {constant.shown()} |" in PAGES


@pytest.mark.parametrize("limit", [False, True])
def test_specification_and_implementation_are_told_apart(limit: bool) -> None:
    name = "DEFAULT_MAX_DATAGRAM_BYTES" if limit else "MAX_BULK_NAME_BYTES"
    assert name in {constant.name for constant in tables.constants() if constant.limit is limit}


@pytest.mark.parametrize(
    ("name", "fmt"),
    [each for module in (datagram, record, inner, relay) for each in formats(module)],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_every_envelope_and_frame_is_drawn(name: str, fmt: Format[Any]) -> None:
    assert bit_diagram(fmt) in PAGES, f"no page draws {name}"
