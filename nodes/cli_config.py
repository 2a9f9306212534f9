"""``aerolink config check FILE``: every problem of a configuration file at once, each with its line.

``aerolink topology check FILE`` does the same with a topology.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from nodes.config import Problem, check
from nodes.config.reader import one_line

Check = Callable[[Path], list[Problem]]


def run(path: Path, out: TextIO, *, as_json: bool, check: Check = check) -> int:
    """Write the problems of a file to ``out``, or that there are none; return 0 if it can be used, else 1."""
    problems = check(path)
    if as_json:
        found = [{"line": problem.line, "text": one_line(problem.text)} for problem in problems]
        json.dump({"file": str(path), "ok": not problems, "problems": found}, out)
        out.write("\n")
    else:
        lines = [problem.located(path) for problem in problems] or [one_line(f"{path}: can be used")]
        out.writelines(f"{line}\n" for line in lines)
    return 1 if problems else 0
