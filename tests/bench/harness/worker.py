"""``python -m tests.bench.harness.worker NAME ROUNDS SECONDS``: one case in a process of its own.

Nothing of another case is in its memory, and no progress bar takes the interpreter from what is measured. JSON lines on
stdout: ``{"tell": ...}`` while it runs, ``{"result": ...}`` at the end. It ends when its stdin does.
"""

import json
import os
import sys
from contextlib import suppress

import trio

from tests.bench.harness.contract import FIGURES
from tests.bench.harness.model import AbsentError, Case, Json, Outcome, reason_of
from tests.bench.harness.registry import load
from tests.bench.harness.rounds import Effort, contest, sweep


def _print(line: Json) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


async def run_case(name: str, effort: Effort) -> Json:
    """Run a case, and return its entry."""

    def tell(line: str) -> None:
        _print({"tell": line})

    case = load(name)
    if not isinstance(case, Case):
        return await sweep(case, effort, tell)
    try:
        outcome = await contest(case, effort, tell)
    except AbsentError as reason:  # ours needs something that is not here
        outcome = Outcome(absent=str(reason))
    return outcome.as_dict(case, FIGURES.get(name))


async def _main(name: str, effort: Effort) -> None:
    async with trio.open_nursery() as nursery:

        async def watch() -> None:
            stdin = trio.lowlevel.FdStream(os.dup(0))
            with suppress(trio.BrokenResourceError):
                while await stdin.receive_some():
                    pass
            nursery.cancel_scope.cancel()

        nursery.start_soon(watch)
        _print({"result": await run_case(name, effort)})
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    _name, _rounds, _seconds = sys.argv[1:]
    try:
        trio.run(_main, _name, Effort(int(_rounds), float(_seconds)))
    except Exception as failure:
        _print({"failed": reason_of(failure)})
        raise
