"""A cloud with all of its files in a process of its own: ``python -m tests.live.site_child FOLDER DEVICES``.

It says in one line of JSON where it is and what papers its devices have. Each line that it hears is a device, for which
it queues a message of the downlink. It ends when it hears no more.
"""

import json
import sys
from pathlib import Path

import trio

from tests.live.site import cloud_in


async def main(folder: Path, devices: int) -> None:
    async with cloud_in(folder) as site:
        papers = [await site.enrolled() for _ in range(devices)]
        shown = [[str(who.file), who.device] for who in papers]
        line = {"where": [site.where.host, site.where.port], "ca": site.authority.ca_der.hex(), "papers": shown}
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()
        while device := (await trio.to_thread.run_sync(sys.stdin.readline)).strip():
            await site.cloud.api.downlinks.send(device, "topic", {})


if __name__ == "__main__":
    trio.run(main, Path(sys.argv[1]), int(sys.argv[2]))
