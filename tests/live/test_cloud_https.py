"""The cloud's requests over real HTTPS, with real certificates: two devices, one authority (specs/9-cloudlink.md)."""

import hashlib
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

import pytest
import trio
import trio.testing

from nodes.cloud.events import CloudAlarm, CloudAlarmKind
from nodes.cloud.node import Cloud
from nodes.https import ClientResponse, HttpsClient
from nodes.pki.credentials import DeviceCredentials
from protocols.cloud_api import ROUTES, Listener, Route, RouteId, path_of
from protocols.cloudlink import DownlinkReader, decode_untrusted, encode, encode_relay
from protocols.events import RelayOpened
from specs.cloudlink import (
    CHUNK_HASH_HEADER,
    MAX_CHUNK_BYTES,
    Accepted,
    DownlinkAck,
    Health,
    TelemetryBatch,
    UploadKind,
    UploadOpen,
    UploadPhase,
    UploadState,
)
from tests.live.clouds import CloudPlace, DevicePlace
from tests.live.kit import DEADLINE_S

MESSAGE: Final = b"\x05\x01" + bytes(8)
OBJECT: Final = bytes(range(250)) * 10_000
SHA256: Final = hashlib.sha256(OBJECT).digest()
BODIES: Final = {
    RouteId.TELEMETRY: encode(TelemetryBatch(b"outbox-1", 1, (5,), (MESSAGE,))),
    RouteId.UPLOAD_OPEN: encode(UploadOpen(UploadKind.FILE, "file", len(OBJECT), SHA256)),
    RouteId.UPLOAD_CHUNK: OBJECT[:MAX_CHUNK_BYTES],
    RouteId.DOWNLINK_ACK: encode(DownlinkAck(1)),
    RouteId.RELAY: encode_relay([RelayOpened(1)]),
}
OF_DEVICES: Final = [route for route in ROUTES if route.listener is Listener.DEVICES]


@dataclass
class Ends:
    """A cloud, and two devices that it knows."""

    cloud: Cloud
    place: CloudPlace
    one: str
    other: str
    contexts: dict[str, DeviceCredentials]
    alarms: list[CloudAlarm]

    def client(self, device: str) -> HttpsClient:
        return HttpsClient(self.place.where, self.contexts[device].context(), "127.0.0.1")


@pytest.fixture
async def ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Ends]:
    alarms: list[CloudAlarm] = []
    place = CloudPlace(tmp_path / "cloud")
    await trio.Path(place.folder).mkdir(mode=0o700)
    async with AsyncExitStack() as stack:
        cloud = await stack.enter_async_context(place.life())
        monkeypatch.setattr(cloud.api, "_on_alarm", alarms.append)
        contexts: dict[str, DeviceCredentials] = {}
        for name in ("one", "other"):
            device = DevicePlace(tmp_path / name, place)
            await trio.Path(device.folder).mkdir(mode=0o700)
            await device.enrol(cloud)
            credentials = await stack.enter_async_context(device.credentials())
            contexts[credentials.device_id] = credentials
        one, other = contexts
        with trio.fail_after(DEADLINE_S):
            yield Ends(cloud, place, one, other, contexts, alarms)


async def ask(
    client: HttpsClient, route: Route, device: str, upload: str = "00" * 16, offset: int = 0
) -> ClientResponse:
    known: dict[str, str | int] = {"device": device, "upload": upload, "offset": offset, "after": 0}
    parts = {name: value for name, value in known.items() if f"{{{name}}}" in route.path}
    body = BODIES.get(route.id, b"")
    headers = {CHUNK_HASH_HEADER: hashlib.sha256(body).hexdigest()}
    return await client.request(route.method, path_of(route.id, **parts), body, headers=headers)


def row(route: RouteId) -> Route:
    return next(each for each in ROUTES if each.id is route)


async def test_cl_6_every_request_with_another_devices_certificate(ends: Ends) -> None:
    """The table is what is iterated over, so that none can be forgotten."""
    await ends.cloud.api.downlinks.send(ends.one, "topic", {})
    async with ends.client(ends.one) as own:
        opened = await ask(own, row(RouteId.UPLOAD_OPEN), ends.one)
        upload = decode_untrusted(UploadState, opened.body).upload
    statuses: dict[str, int] = {}
    async with ends.client(ends.other) as foreign:
        for route in OF_DEVICES:
            statuses[route.id.name] = (await ask(foreign, route, ends.one, upload)).status
    assert statuses == {route.id.name: 404 if route.is_own else 200 for route in OF_DEVICES}
    own_routes = sum(route.is_own for route in OF_DEVICES)
    assert [(each.kind, each.device) for each in ends.alarms] == [
        (CloudAlarmKind.FOREIGN_RESOURCE, ends.other)
    ] * own_routes
    records = ends.cloud.stores.records
    assert (await records.telemetry(ends.one), await records.telemetry(ends.other)) == ((), ())
    assert (await records.queue_state(ends.one)).messages == 1
    assert [(row.device, row.offset) for row in await records.uploads()] == [(ends.one, 0)]


async def test_a_device_uploads_and_sends_telemetry(ends: Ends) -> None:
    async with ends.client(ends.one) as client:
        health = await ask(client, row(RouteId.HEALTH), ends.one)
        assert decode_untrusted(Health, health.body) == Health(1)
        for repeated in (False, True):
            accepted = await ask(client, row(RouteId.TELEMETRY), ends.one)
            assert decode_untrusted(Accepted, accepted.body) == Accepted(1, repeated=repeated)
        assert ends.place.messages == [MESSAGE]
        state = decode_untrusted(UploadState, (await ask(client, row(RouteId.UPLOAD_OPEN), ends.one)).body)
        while state.offset < len(OBJECT):
            chunk = OBJECT[state.offset : state.offset + MAX_CHUNK_BYTES]
            path = path_of(RouteId.UPLOAD_CHUNK, device=ends.one, upload=state.upload, offset=state.offset)
            headers = {CHUNK_HASH_HEADER: hashlib.sha256(chunk).hexdigest()}
            state = decode_untrusted(UploadState, (await client.request("PUT", path, chunk, headers=headers)).body)
        finished = await ask(client, row(RouteId.UPLOAD_FINISH), ends.one, state.upload)
        assert decode_untrusted(UploadState, finished.body).phase is UploadPhase.STORED
    assert await trio.Path(ends.place.folder / "blobs" / state.upload).read_bytes() == OBJECT


async def test_cl_21_a_chunk_that_stands_elsewhere_is_told_where_to_go(ends: Ends) -> None:
    async with ends.client(ends.one) as client:
        upload = decode_untrusted(UploadState, (await ask(client, row(RouteId.UPLOAD_OPEN), ends.one)).body).upload
        refused = await ask(client, row(RouteId.UPLOAD_CHUNK), ends.one, upload, offset=7)
        assert refused.status == 409
        assert decode_untrusted(UploadState, refused.body).offset == 0
        assert (await ask(client, row(RouteId.UPLOAD_CHUNK), ends.one, upload)).status == 200


async def test_cl_7_cl_37_a_revocation_holds_on_connections_that_are_open(ends: Ends) -> None:
    ended = trio.Event()
    async with ends.client(ends.one) as client, trio.open_nursery() as nursery:
        assert (await ask(client, row(RouteId.HEALTH), ends.one)).status == 200
        started = trio.Event()

        async def listen() -> None:
            path = path_of(RouteId.DOWNLINK, device=ends.one, after=0)
            async with client.stream("GET", path) as stream:
                async for _ in stream:
                    started.set()
            ended.set()

        nursery.start_soon(listen)
        await started.wait()
        await ends.cloud.revoke_device(ends.one)
        await ended.wait()
        assert (await ask(client, row(RouteId.HEALTH), ends.one)).status == 404  # on the connection that is open
    async with ends.client(ends.other) as client:
        assert (await ask(client, row(RouteId.HEALTH), ends.other)).status == 200


async def test_cl_31_a_message_comes_while_the_device_listens(ends: Ends) -> None:
    async with ends.client(ends.one) as client:
        path = path_of(RouteId.DOWNLINK, device=ends.one, after=0)
        reader = DownlinkReader()
        found: list[object] = []
        async with client.stream("GET", path) as stream:
            async for piece in stream:
                items = reader.receive_untrusted(piece)
                if items == [None]:
                    await ends.cloud.api.downlinks.send(ends.one, "topic", {"a": 1})
                    continue
                found += items
                break
        ((sequence, message),) = cast("list[tuple[int, object]]", found)
        assert (sequence, getattr(message, "topic", "")) == (1, "topic")
        assert (await ask(client, row(RouteId.DOWNLINK_ACK), ends.one)).status == 200
    assert (await ends.cloud.stores.records.queue_state(ends.one)).messages == 0


async def test_a_request_without_a_row_over_https(ends: Ends) -> None:
    async with ends.client(ends.one) as client:
        assert (await client.request("GET", "/v1/nothing")).status == 404
        assert (await client.request("POST", "/v1/health")).status == 405
        body = bytes(row(RouteId.TELEMETRY).max_body_bytes + 1)
        assert (await client.request("POST", path_of(RouteId.TELEMETRY, device=ends.one), body)).status == 413


async def test_hf_30_strangers_hold_few_connections(tmp_path: Path) -> None:
    """Everybody comes through TLS where devices enrol: what they hold there is missing to devices."""
    place = CloudPlace(tmp_path)
    async with place.life(), AsyncExitStack() as stack, trio.open_nursery() as nursery:
        over = trio.Semaphore(0)

        async def wait_for_the_end(stream: trio.SocketStream) -> None:
            with suppress(trio.BrokenResourceError):
                await stream.receive_some(1)
            over.release()

        with trio.fail_after(DEADLINE_S):
            for _ in range(20):
                stream = await stack.enter_async_context(
                    await trio.open_tcp_stream(place.enrolment.host, place.enrolment.port)
                )
                nursery.start_soon(wait_for_the_end, stream)
            for _ in range(4):
                await over.acquire()
        await trio.testing.wait_all_tasks_blocked()
        assert over.value == 0
        nursery.cancel_scope.cancel()
