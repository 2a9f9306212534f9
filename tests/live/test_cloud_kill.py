"""A cloud with real files is killed (SIGKILL) again and again in the middle of its work (CL-8).

Whatever it answered is there after the restart, the upload goes on where it stands, and nothing counts twice. When the
kill strikes depends on the machine; what must hold does not.
"""

import contextlib
import hashlib
import json
import random
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest

from nodes.cloud.sqliterecords import SqliteRecords
from nodes.flight.container import encode_flight
from nodes.flight.source import FlightDigest, FlightFrame
from nodes.stores.directory import PrivateDirectory
from nodes.stores.sealingkeys import FileCloudSealing
from protocols.cloud_api import ROUTE_OF, RouteId, path_of
from protocols.cloudlink import CloudBody, decode_untrusted, encode
from specs.airlink.numbers import MessageId
from specs.cloudlink import (
    CHUNK_HASH_HEADER,
    Accepted,
    TelemetryBatch,
    UploadKind,
    UploadOpen,
    UploadPhase,
    UploadState,
)
from tests.unit.cloud.kit import ONE, SealingDrone

ROOT: Final = Path(__file__).parents[2]
CHUNK_BYTES: Final = 32_768
BURST: Final = 8
_RANDOM: Final = random.Random(4)
FRAMES: Final = [FlightFrame(number / 100, bytes((0xFE, 200)) + _RANDOM.randbytes(206)) for number in range(6_000)]
FLIGHT: Final = encode_flight(FRAMES)


def asking(route: RouteId, body: bytes = b"", **parts: str | int) -> dict[str, Any]:
    row = ROUTE_OF[route]
    headers = {CHUNK_HASH_HEADER: hashlib.sha256(body).hexdigest()}
    path = path_of(route, device=ONE, **parts)
    return {"method": row.method, "path": path, "headers": headers, "body": body.hex()}


class Child:
    """The process."""

    def __init__(self, folder: Path) -> None:
        command = [sys.executable, "-m", "tests.live.cloud_child", str(folder)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, text=True, bufsize=1
        )

    def write(self, lines: Sequence[dict[str, Any]]) -> None:
        assert self._process.stdin
        self._process.stdin.write("".join(json.dumps(line) + "\n" for line in lines))
        self._process.stdin.flush()

    def read(self) -> list[Any]:
        assert self._process.stdout
        line = self._process.stdout.readline()
        assert line, "the child has died of itself"
        found: list[Any] = json.loads(line)
        return found

    def ask(self, line: dict[str, Any]) -> list[Any]:
        self.write([line])
        return self.read()

    def kill(self) -> list[list[Any]]:
        """Kill it at once, and return the answers that it gave before."""
        self._process.kill()
        assert self._process.stdout
        rest = [line for line in self._process.stdout if line.endswith("\n")]
        self._end()
        return [json.loads(line) for line in rest]

    def close(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        assert self._process.wait(20) == 0
        self._end()

    def _end(self) -> None:
        self._process.wait(20)
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe
            with contextlib.suppress(BrokenPipeError):  # what it did not read any more
                pipe.close()


@dataclass
class Device:
    """What the device knows: only what was answered."""

    sealed: bytes
    offset: int = 0
    batch: int = 0
    acknowledged: set[int] = field(default_factory=set[int])
    queued: list[int] = field(default_factory=list[int])
    upload: str = ""

    def work(self, count: int) -> list[dict[str, Any]]:
        """The next requests: chunks, telemetry and messages by turns, as if each were answered."""
        lines: list[dict[str, Any]] = []
        offset = self.offset
        for number in range(count):
            if number % 3 == 0 and offset < len(self.sealed):
                chunk = self.sealed[offset : offset + CHUNK_BYTES]
                lines.append(asking(RouteId.UPLOAD_CHUNK, chunk, upload=self.upload, offset=offset))
                offset += len(chunk)
            elif number % 3 == 1:
                self.batch += 1
                lines.append(asking(RouteId.TELEMETRY, encode(batch(self.batch))))
            else:
                lines.append({"send": number})
        return lines

    def take(self, line: dict[str, Any], found: list[Any]) -> None:
        status, body = found
        assert status == 200
        if "send" in line:
            self.queued.append(body)
        elif line["method"] == "PUT":
            state = decoded(UploadState, body)
            assert state.offset >= self.offset
            self.offset = state.offset
        else:
            self.acknowledged.add(decoded(Accepted, body).sequence)


def decoded(kind: type[Any], body: str) -> Any:
    value: CloudBody = decode_untrusted(kind, bytes.fromhex(body))
    return value


def batch(sequence: int) -> TelemetryBatch:
    message = MessageId.MAVLINK_FRAME.to_bytes(2, "big") + sequence.to_bytes(8, "big")
    return TelemetryBatch(b"outbox-1", sequence, (sequence,), (message,))


async def sealed_for(folder: Path) -> bytes:
    """A log of a drone that this cloud knows."""
    drone = SealingDrone()
    with PrivateDirectory.open(folder, create=True) as directory:
        sealing = FileCloudSealing(directory)
        await sealing.pin_drone(drone.signing.verifying(drone.id))
        return drone.seal(await sealing.newest_key(), FLIGHT)


def open_upload(child: Child, device: Device) -> UploadState:
    ask = UploadOpen(UploadKind.SEALED_LOG, "flight", len(device.sealed), hashlib.sha256(device.sealed).digest())
    status, body = child.ask(asking(RouteId.UPLOAD_OPEN, encode(ask)))
    assert status == 200
    state: UploadState = decoded(UploadState, body)
    assert device.upload in {"", state.upload}
    assert state.offset >= device.offset  # what was acknowledged is there
    device.upload, device.offset = state.upload, state.offset
    return state


async def check(folder: Path, device: Device) -> None:
    """The files themselves, while no cloud runs."""
    records = await SqliteRecords.open(folder / "cloud.sqlite")
    rows = await records.telemetry(ONE, 10_000)
    sequences = [row.sequence for row in rows]
    assert device.acknowledged <= set(sequences)
    assert len(sequences) == len(set(sequences))
    messages = await records.queued(ONE, 0, 10_000)
    assert [message.sequence for message in messages] == list(range(1, len(messages) + 1))
    assert set(device.queued) <= {message.sequence for message in messages}
    row = await records.find_upload(ONE, device.upload)
    assert row is not None
    assert row.offset >= device.offset
    content = (folder / "blobs" / device.upload).read_bytes() if row.offset else b""
    assert content[: row.offset] == device.sealed[: row.offset]
    await records.aclose()


@pytest.mark.parametrize(
    ("seed", "rounds"), [(1, 4), *[pytest.param(seed, 8, marks=pytest.mark.slow) for seed in (1, 2)]]
)
async def test_cl_8_kill_9_during_an_upload_loses_nothing_that_was_acknowledged(
    tmp_path: Path, seed: int, rounds: int
) -> None:
    folder = tmp_path / "cloud"
    device = Device(await sealed_for(folder))
    dice = random.Random(seed)
    for _ in range(rounds):
        child = Child(folder)
        state = open_upload(child, device)
        if state.offset == len(device.sealed):
            break
        lines = device.work(BURST)
        child.write(lines)
        read = [child.read() for _ in range(dice.randrange(BURST))]
        for line, found in zip(lines, read + child.kill(), strict=False):
            device.take(line, found)
        await check(folder, device)
    else:
        child = Child(folder)
    assert device.acknowledged
    assert device.queued
    # To the end of the upload, and killed twice while it is judged.
    open_upload(child, device)
    while device.offset < len(device.sealed):
        (line,) = device.work(1)
        device.take(line, child.ask(line))
    for _ in range(2):
        child.write([asking(RouteId.UPLOAD_FINISH, upload=device.upload)])
        child.kill()
        await check(folder, device)
        child = Child(folder)
    for _ in range(2):
        status, body = child.ask(asking(RouteId.UPLOAD_FINISH, upload=device.upload))
        assert (status, decoded(UploadState, body).phase) == (200, UploadPhase.STORED)
    child.close()
    await check_flight(folder)


async def check_flight(folder: Path) -> None:
    records = await SqliteRecords.open(folder / "cloud.sqlite")
    (flight,) = await records.flights()
    assert flight.messages == len(FRAMES)
    assert flight.sha256.hex() == FlightDigest.of(FRAMES).sha256
    assert (folder / "blobs" / flight.blob).read_bytes() == FLIGHT
    await records.aclose()
