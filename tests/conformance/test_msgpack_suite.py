"""kawanet/msgpack-test-suite: each encoding is taken as its value, or refused for a reason of a closed list.

Of the encodings of one value our rules (specs/msgpack-maps.md) take exactly one per type: the shortest, and
for numbers also the 64-bit float, which is a value of its own (MP-4).
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from protocols.errors import MalformedError
from protocols.maps import Packable, Refusal, Value, pack_value, unpack_value_untrusted
from tests.tools.public_vectors import vector_files

TYPES = {"nil", "bool", "binary", "number", "bignum", "string", "array", "map", "timestamp", "ext"}
REASONS = {f"msgpack: {reason.value}": reason for reason in Refusal}
SUITE = "msgpack-test-suite.json"
COUNTS = Counter({"taken": 70, Refusal.NOT_CANONICAL: 133, Refusal.EXTENSION: 30})


def octets(text: str) -> bytes:
    return bytes.fromhex(text.replace("-", ""))


def expectations(case: Mapping[str, Any]) -> Iterator[Packable]:
    """What may come out for this case: nothing for the types that we refuse."""
    unknown = set(case) - TYPES - {"msgpack"}
    assert not unknown, f"types that this runner does not know: {unknown}"
    if "timestamp" in case or "ext" in case:
        return
    if "binary" in case:
        yield octets(case["binary"])
    elif "bignum" in case:
        yield int(case["bignum"])
    else:
        (value,) = (case[name] for name in case if name != "msgpack")
        yield value
    if "number" in case:
        yield float(case["number"])


def judge(case: Mapping[str, Any]) -> Counter[object]:
    counts: Counter[object] = Counter()
    expected: list[Any] = list(expectations(case))
    canonical = {pack_value(value) for value in expected}
    for encoding in map(octets, case["msgpack"]):
        try:
            value: Value = unpack_value_untrusted(encoding)
        except MalformedError as error:
            reason = REASONS[str(error)]
            assert reason is (Refusal.NOT_CANONICAL if expected else Refusal.EXTENSION), encoding.hex()
            assert encoding not in canonical
            counts[reason] += 1
        else:
            assert value in expected
            assert encoding in canonical
            assert pack_value(value) == encoding
            counts["taken"] += 1
    return counts


@pytest.mark.parametrize("path", vector_files("msgpack", "*.json"))
def test_public_suite(path: Path) -> None:
    cases = [case for group in json.loads(path.read_text()).values() for case in group]
    counts: Counter[object] = Counter()
    for case in cases:
        counts += judge(case)
    assert sum(counts.values()) == sum(len(case["msgpack"]) for case in cases) > 0
    assert counts["taken"] > 0
    if path.name == SUITE:
        assert counts == COUNTS
