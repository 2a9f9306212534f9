"""A cloud with real files that answers requests from standard input: to be killed at any moment.

``python -m tests.live.cloud_child FOLDER``. A line in is ``device method path headers body`` as JSON, the bytes in
hexadecimal digits; a line out is ``status body``. ``{"send": n}`` queues a message of the downlink instead.
"""

import json
import sys
from pathlib import Path
from typing import Any

import trio

from nodes.cloud.api import CloudApi
from nodes.cloud.blobs import FileBlobs
from nodes.cloud.sqliterecords import SqliteRecords
from nodes.https import Body, HttpError, Request, Response
from nodes.stores.directory import PrivateDirectory
from nodes.stores.sealingkeys import FileCloudSealing
from tests.unit.cloud.kit import ONE, START_S, FakeAuthority


async def answered(api: CloudApi, line: dict[str, Any]) -> list[object]:
    if "send" in line:
        return [200, await api.downlinks.send(ONE, "topic", {"n": line["send"]})]
    body = Body.of(bytes.fromhex(line["body"]))
    request = Request(line["method"], line["path"], line["headers"], b"device " + ONE.encode(), body)
    try:
        response = await api.handle(request)
    except HttpError as error:
        response = Response(error.status)
    assert isinstance(response.body, bytes)
    return [response.status, response.body.hex()]


async def main(folder: Path) -> None:
    with PrivateDirectory.open(folder) as directory:
        records = await SqliteRecords.open(folder / "cloud.sqlite")
        blobs = await FileBlobs.open(folder / "blobs")
        api = CloudApi(records, blobs, FakeAuthority(), FileCloudSealing(directory), clock=lambda: START_S)
        await api.uploads.sweep()
        while line := await trio.to_thread.run_sync(sys.stdin.readline):
            sys.stdout.write(json.dumps(await answered(api, json.loads(line))) + "\n")
            sys.stdout.flush()
        await records.aclose()


if __name__ == "__main__":
    trio.run(main, Path(sys.argv[1]))
