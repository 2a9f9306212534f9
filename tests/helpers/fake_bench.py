"""A worker of the benchmark that measures nothing: ``tests/unit/test_bench.py`` runs it in place of the real one."""

import json
import os
import sys
import time
from typing import Any


def say(**line: Any) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def main(name: str) -> None:
    entry = {"name": name, "ours": 1, "peer": 2, "peer_name": "p", "ratio": 0.5, "unit": "us"}
    if name == "hangs":
        say(tell=f"pid {os.getpid()}")
        time.sleep(60)  # noqa: TID251  # until it is killed
    elif name == "crashes":
        say(failed="RuntimeError: oh no")
    elif name == "of-our-own":
        say(result=entry)
    elif name != "says-nothing":
        say(tell="round 1 of 1")
        say(result=entry | {"target": 1, "targets_sense": "<=", "met": True})


if __name__ == "__main__":
    main(sys.argv[1])
