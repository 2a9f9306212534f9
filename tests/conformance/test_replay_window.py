"""Public replay vectors: accept or reject, counter by counter (RFC 6479; wireguard-go replay/replay_test.go).

A file speaks of W (window), L = W + 1 and R (first counter refused), so its steps hold for every window size:
each is run with its legend's size and with ours. wireguard-go's 8128 = (128 - 1) blocks * 64 bits;
what its blocks keep beyond that it refuses by comparing, so block arithmetic does not show in the answers.
"""

import ast
import json
import operator
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from protocols.guards.replay import ReplayWindow
from specs.registry import REPLAY_WINDOW
from tests.tools.public_vectors import vector_files

OPERATORS: Mapping[type[ast.operator], Callable[[int, int], int]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Pow: lambda base, exponent: int(base**exponent),
}


def evaluate(expression: str, names: Mapping[str, int]) -> int:
    """Value of an expression of integers, names, + - * ** and parentheses; anything else is an error."""

    def value(node: ast.expr) -> int:
        match node:
            case ast.Constant(value=int(number)):
                return number
            case ast.Name(id=name):
                return names[name]
            case ast.BinOp(left=left, op=op, right=right) if type(op) in OPERATORS:
                return OPERATORS[type(op)](value(left), value(right))
            case _:
                raise ValueError(f"not an expression of counters: {expression}")

    return value(ast.parse(expression, mode="eval").body)


def counters(expression: str, names: Mapping[str, int]) -> Iterator[int]:
    """``a`` or ``a..b``, counting up or down, both ends included."""
    first, dots, last = expression.partition("..")
    start = evaluate(first, names)
    end = evaluate(last, names) if dots else start
    step = 1 if end >= start else -1
    return iter(range(start, end + step, step))


def constants(document: Mapping[str, Any]) -> dict[str, int]:
    """W and R: keys of the file if it has them, otherwise what its legend says."""
    legend = document["legend"]
    size = document.get("W") or re.search(r"W\s*=[^,]*?(\d+)", legend)
    limit = document.get("R") or re.search(r"R\s*=\s*([\d*+\- ]+)", legend)
    assert size, "the file does not say how large W is"
    assert limit, "the file does not say what R is"
    return {
        "W": size if isinstance(size, int) else int(size[1]),
        "R": limit if isinstance(limit, int) else evaluate(limit[1].strip(), {}),
    }


def replay(runs: list[tuple[str, int]], names: Mapping[str, int]) -> int:
    """Feed one fresh window; how many counters it judged."""
    window = ReplayWindow(names["W"], names["R"])
    judged = 0
    for expression, expected in runs:
        for counter in counters(expression, names):
            looked = window.check(counter)
            assert window.check(counter) is looked, f"{expression}: looking changed the answer"
            assert window.accept(counter) is looked, f"{expression}: look and mark differ"
            assert looked is bool(expected), f"{expression}: expected {expected}"
            judged += 1
    return judged


@pytest.mark.parametrize("ours", [False, True], ids=["their-size", "our-size"])
@pytest.mark.parametrize("path", vector_files("replay", "*.json"))
def test_public_vectors(path: Path, ours: bool) -> None:
    document = json.loads(path.read_text())
    unknown = set(document) - {"source", "legend", "steps", "bulk", "W", "R"}
    assert not unknown, f"keys that this runner does not know: {unknown}"
    names = constants(document)
    names["W"] = REPLAY_WINDOW if ours else names["W"]
    names["L"] = names["W"] + 1
    runs = [document.get("steps", []), *(bulk["runs"] for bulk in document.get("bulk", []))]
    assert sum(replay(run, names) for run in runs) > 0


@pytest.mark.parametrize("hostile", ["__import__('os')", "W.real", "[1]", "-1", "1/2", "'a'", "W if W else 1"])
def test_only_arithmetic_is_evaluated(hostile: str) -> None:
    with pytest.raises(ValueError, match="not an expression of counters"):
        evaluate(hostile, {"W": 1})


def test_expressions() -> None:
    names = {"W": 8, "L": 9, "R": 2**64 - 2**13 - 1}
    assert evaluate("L*4-(L-1)", names) == 28
    assert list(counters("W+1..L-2", names)) == [9, 8, 7]
    assert list(counters("R", names)) == [2**64 - 2**13 - 1]
