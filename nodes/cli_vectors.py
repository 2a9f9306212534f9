"""``aerolink vectors FILE...``.

Runs Noise test vectors of cacophony's and snow's format through this suite.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from protocols.errors import MalformedError
from protocols.noise.vectors import (
    Outcome,
    Result,
    load_vectors_untrusted,
    protocol_name,
    run_vector,
    summary,
)


def run(paths: Sequence[Path], out: TextIO) -> int:
    """Run every vector of every file and report on ``out``; the last line is ``N passed, N failed, N
    unsupported``.

    Return 0, or 1 if a vector failed or a file could not be used. A failed vector has a line of its own;
    vectors of algorithms that the product does not offer are counted, with one line per reason.
    """
    results: list[Result] = []
    unusable = False
    for path in paths:
        try:
            results += _run_file(path, out)
        except (OSError, MalformedError) as error:
            unusable = True
            reason = error.strerror if isinstance(error, OSError) else str(error)
            print(f"{ascii(str(path))[1:-1]}: {reason}", file=out)
    for reason, count in sorted(Counter(r.reason for r in results if r.outcome is Outcome.UNSUPPORTED).items()):
        print(f"unsupported: {reason} ({count})", file=out)
    print(summary(results), file=out)
    failed = any(result.outcome is Outcome.FAILED for result in results)
    return 1 if failed or unusable else 0


def _run_file(path: Path, out: TextIO) -> list[Result]:
    results: list[Result] = []
    for index, vector in enumerate(load_vectors_untrusted(path.read_bytes())):
        result = run_vector(vector)
        if result.outcome is Outcome.FAILED:
            print(f"FAILED {path.name} {index} {protocol_name(vector)}: {result.reason}", file=out)
        results.append(result)
    return results
