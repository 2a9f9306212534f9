"""Tables of specs/performance.md, from the last line of a full run of the benchmark (``specs/performance.json``)."""

import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any, Final

from tests.bench.harness.budget import STEPS

RESULT: Final = Path(__file__).parents[2] / "specs" / "performance.json"
_PACKAGES: Final = ("cryptography", "trio", "aioquic", "pyzmq", "noiseprotocol", "pyOpenSSL")


@cache
def _result() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(RESULT.read_text("utf-8"))
    return found


def _entry(name: str) -> dict[str, Any]:
    return next(each for each in (*_result()["figures"], *_result()["more"]) if each["name"] == name)


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _spread(rounds: dict[str, Any] | None) -> str:
    if not rounds:
        return "-"
    return f"{_number(rounds['median'])} ({_number(rounds['min'])} - {_number(rounds['max'])})"


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    titles = list(head)
    lines = ["| " + " | ".join(row) + " |" for row in (titles, ["---"] * len(titles), *map(list, rows))]
    return "\n".join(lines)


def figures() -> str:
    """The figures with their targets."""
    return _table(
        ("figure", "unit", "ours: median (least - most)", "peer", "peer: median", "ratio", "target", "met"),
        (
            (
                f"`{each['name']}`", each["unit"], _spread(each["ours_rounds"]), each["peer_name"] or "-",
                _spread(each["peer_rounds"]), _number(each["ratio"]), f"{each['targets_sense']} {each['target']:g}",
                "yes" if each["met"] else "no",
            )
            for each in _result()["figures"]
        ),
    )  # fmt: skip


def further() -> str:
    """What is no figure: limits, further peers, worse conditions."""
    rows = [each for each in _result()["more"] if "points" not in each and each["ours"] is not None]
    return _table(
        ("name", "what", "unit", "ours", "peer", "ratio"),
        (
            (
                f"`{each['name']}`", each["what"], each["unit"],
                _number(each["ours"]), _number(each["peer"]), _number(each["ratio"]),
            )
            for each in rows
        ),
    )  # fmt: skip


def chosen(*names: str) -> str:
    """Some of the figures, beside their peers, in this order; why there is no peer, where there is none."""
    return _table(
        ("figure", "what", "unit", "ours", "the other's", "other"),
        (
            (
                f"`{each['name']}`", each["what"], each["unit"], _number(each["ours"]), _number(each["peer"]),
                each["peer_name"] + (f" (not measured: {each['absent']})" if each.get("absent") else ""),
            )
            for each in map(_entry, names)
        ),
    )  # fmt: skip


def budget() -> str:
    """Nanoseconds per step and message."""
    points = _entry("budget")["points"]
    rows: list[tuple[str, str, str]] = [
        (STEPS[int(point["x"]) - 1], _number(point["ours"]), _number(point["peer"])) for point in points
    ]
    path = 1e9 / _entry("udp-message-path-1452")["ours"]
    shared = 1e9 / _entry("udp-message-vs-trio-plaintext")["ours"]
    all_of_it = "all of it, with sockets, tasks and the user's list: both ends, one loop"
    rows.append((all_of_it, _number(path), _number(shared)))
    return _table(("step, per 1,200-byte message", "one per datagram, ns", "54 in a datagram of 64 KiB, ns"), rows)


def sweep(name: str) -> str:
    """A measurement at several sizes or numbers."""
    entry = _entry(name)
    peer = entry["peer_name"] or "-"
    return _table(
        (entry["x_unit"], f"ours, {entry['unit']}", f"{peer}, {entry['unit']}", "ratio"),
        (
            (f"{each['x']:,}", _number(each["ours"]), _number(each["peer"]), _number(each["ratio"]))
            for each in entry["points"]
        ),
    )


def machine() -> str:
    """Where it was measured."""
    told = _result()["machine"]
    packages = told["packages"]
    versions = ", ".join(f"{name} {packages[name]}" for name in _PACKAGES if packages.get(name))
    return f"{told['processor']}, {told['cores']} cores, {told['kernel']}, {told['python']}; {versions}."
