"""What the cloud answers, and what that means; and which requests go out."""

import pytest
import trio

from nodes.https import ClientResponse, StatusError
from nodes.uplink.client import CloudClient
from nodes.uplink.errors import CloudBusyError, CloudDeniedError, CloudFullError, CloudGoneError, CloudRefusedError
from protocols.cloud_api import RouteId
from protocols.cloudlink import encode
from protocols.errors import AerolinkError, MalformedError, ProtocolViolationError, TruncatedError
from specs.cloudlink import (
    Accepted,
    Health,
    TelemetryBatch,
    UploadKind,
    UploadOpen,
    UploadPhase,
    UploadState,
)
from tests.live.kit import one_line, virtual
from tests.unit.uplink.fakecloud import DEVICE, FakeCloud, FakeConnection, Fault
from tests.unit.uplink.scene import message

BATCH = encode(TelemetryBatch(bytes(8), 1, (0,), (message(1),)))


def client_of(cloud: FakeCloud) -> CloudClient:
    return CloudClient(FakeConnection(cloud), DEVICE)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, CloudRefusedError),
        (403, CloudDeniedError),
        (404, CloudGoneError),
        (405, CloudDeniedError),
        (408, CloudBusyError),
        (413, CloudRefusedError),
        (418, StatusError),
        (429, CloudBusyError),
        (500, CloudBusyError),
        (503, CloudBusyError),
        (507, CloudFullError),
    ],
)
def test_every_status_has_an_error_with_one_line(status: int, kind: type[AerolinkError]) -> None:
    @virtual
    async def run() -> None:
        cloud = FakeCloud(status_of={RouteId.TELEMETRY: status, RouteId.DOWNLINK: status})
        with pytest.raises(kind) as caught:
            await client_of(cloud).telemetry(BATCH)
        one_line(caught.value)
        with pytest.raises(kind) as of_stream:
            async with client_of(cloud).downlink(0):
                pass
        one_line(of_stream.value)

    run()


@virtual
async def test_cl_11_what_broke_off_is_asked_once_more() -> None:
    cloud = FakeCloud(faults=[Fault.LOST_ANSWER])
    assert await client_of(cloud).telemetry(BATCH) == Accepted(1, repeated=True)
    assert cloud.messages == [message(1)]
    cloud.faults = [Fault.LOST_REQUEST, Fault.LOST_REQUEST]
    with pytest.raises(TruncatedError):
        await client_of(cloud).telemetry(BATCH)


@virtual
async def test_cl_21_a_conflict_says_where_the_upload_stands() -> None:
    cloud = FakeCloud()
    client = client_of(cloud)
    upload = (await client.open_upload(UploadOpen(UploadKind.FILE, "a file", 100, bytes(32)))).upload
    assert await client.put_chunk(upload, 0, bytes(30)) == UploadState(upload, UploadPhase.OPEN, 30)
    assert await client.put_chunk(upload, 50, bytes(30)) == UploadState(upload, UploadPhase.OPEN, 30)
    assert await client.put_chunk(upload, 10, bytes(20)) == UploadState(upload, UploadPhase.OPEN, 30)  # CL-22
    assert await client.finish_upload(upload) == UploadState(upload, UploadPhase.OPEN, 30)
    assert await client.upload_state(upload) == UploadState(upload, UploadPhase.OPEN, 30)
    with pytest.raises(CloudGoneError):
        await client.upload_state("0" * 32)


class Answering(FakeConnection):
    """Gives one answer to everything."""

    def __init__(self, answer: ClientResponse) -> None:
        super().__init__(FakeCloud())
        self._answer = answer

    async def request(self, *_: object, **__: object) -> ClientResponse:
        await trio.lowlevel.checkpoint()
        return self._answer


@virtual
async def test_cl_2_an_answer_that_is_another_one_is_refused() -> None:
    def answering(body: bytes) -> CloudClient:
        return CloudClient(Answering(ClientResponse(200, {}, body)), DEVICE)

    for wrong in (b"", b"x", encode(Health(1))):
        with pytest.raises(MalformedError):
            await answering(wrong).telemetry(BATCH)
    with pytest.raises(MalformedError, match="where none belongs"):
        await answering(b"more").acknowledge_downlink(1)
    with pytest.raises(ProtocolViolationError, match="version 2"):
        await answering(encode(Health(2))).health()
