"""The definition of a recorded frame, run as it stands: a loop over ``mavlink_connection(path).recv_msg()``.

A program of its own, because the definition asks for a fresh process without environment variables: it forks
for each log and prints one line of JSON: the digest of the frames, or the name of what pymavlink raised.
"""

import hashlib
import importlib
import json
import os
import sys
from typing import Any


def frames(path: str) -> dict[str, object]:
    from pymavlink import mavutil as untyped

    mavutil: Any = untyped
    digest, messages, byte_count = hashlib.sha256(), 0, 0
    try:
        log = mavutil.mavlink_connection(path)
        while (message := log.recv_msg()) is not None:
            if message.get_type() != "BAD_DATA":
                frame = bytes(message.get_msgbuf())
                digest.update(frame)
                messages += 1
                byte_count += len(frame)
    except Exception as error:  # noqa: BLE001 - what pymavlink does on this log is the question
        return {"crash": type(error).__name__, "messages": messages}
    return {"messages": messages, "bytes": byte_count, "sha256": digest.hexdigest()}


def main() -> None:
    # Imported once, before the forks, to save time; neither chooses a dialect that a fresh process would not.
    for name in ("pymavlink.mavutil", "pymavlink.dialects.v20.all"):
        importlib.import_module(name)
    for path in sys.argv[1:]:
        child = os.fork()
        if child == 0:
            sys.stdout.write(json.dumps(frames(path)) + "\n")
            sys.stdout.flush()
            os._exit(0)
        os.waitpid(child, 0)


if __name__ == "__main__":
    main()
