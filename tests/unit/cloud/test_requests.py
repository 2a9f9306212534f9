"""Who may ask for what: every route of the table, and what a request leaves behind (specs/9-cloudlink.md)."""

import hashlib
from collections.abc import AsyncGenerator
from dataclasses import replace
from pathlib import Path
from typing import Final, cast

import pytest
import trio
import trio.testing

from nodes.cloud.api import status_of
from nodes.cloud.events import AlarmReported, CloudAlarmKind, DeviceSeen, TelemetryReceived
from nodes.cloud.limits import CloudLimits
from nodes.cloud.node import for_strangers
from nodes.cloud.ports import Authority, Usage
from nodes.https import Body, HttpError, HttpLimits, Request, Response
from nodes.pki.authority import DeviceAuthority
from nodes.stores.sqlitefile import StorageFullError
from protocols.cloud_api import ROUTES, Listener, Route, RouteId, path_of
from protocols.cloudlink import CloudBody, encode, encode_relay
from protocols.errors import LinkTimeoutError, MalformedError, RevokedError, StorageError
from protocols.events import RelayDatagram, RelayOpened
from specs.airlink.numbers import MessageId
from specs.cloudlink import (
    CHUNK_HASH_HEADER,
    MAX_BODY_BYTES,
    MAX_CHUNK_BYTES,
    Accepted,
    AlarmReport,
    CloudTime,
    DownlinkAck,
    Enrolment,
    Health,
    IssuedCertificate,
    Renewal,
    ReportedAlarm,
    TelemetryBatch,
    UploadKind,
    UploadOpen,
    UploadState,
)
from tests.unit.cloud.kit import KINDS, ONE, OTHER, START_S, CloudKit, answer, cloud_of

OUTBOX: Final = b"outbox-1"
BATTERY: Final = MessageId.BATTERY.to_bytes(2, "big") + b"whatever"
BATCH: Final = TelemetryBatch(OUTBOX, 1, (5, 6), (BATTERY, BATTERY))
REPORT: Final = AlarmReport(OUTBOX, 1, (ReportedAlarm(5, "LOAD_MODE"),))
CHUNK: Final = b"half of it"
OBJECT: Final = CHUNK * 2
ASK: Final = UploadOpen(UploadKind.FILE, "file", len(OBJECT), hashlib.sha256(OBJECT).digest())
BODIES: Final[dict[RouteId, bytes]] = {
    RouteId.TELEMETRY: encode(BATCH),
    RouteId.ALARMS: encode(REPORT),
    RouteId.UPLOAD_OPEN: encode(ASK),
    RouteId.UPLOAD_CHUNK: CHUNK,
    RouteId.DOWNLINK_ACK: encode(DownlinkAck(1)),
    RouteId.RELAY: encode_relay([RelayOpened(1)]),
    RouteId.CERTIFICATE: encode(Renewal(b"csr")),
}
HEADERS: Final = {CHUNK_HASH_HEADER: hashlib.sha256(CHUNK).hexdigest()}
OF_DEVICES: Final = [route for route in ROUTES if route.listener is Listener.DEVICES]
every_route = pytest.mark.parametrize("route", OF_DEVICES, ids=lambda route: route.id.name)
every_own_route = pytest.mark.parametrize(
    "route", [route for route in OF_DEVICES if route.is_own], ids=lambda route: route.id.name
)


@pytest.fixture(params=KINDS)
async def cloud(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncGenerator[CloudKit]:
    async with cloud_of(cast("str", request.param), tmp_path) as kit:
        yield kit


async def prepared(cloud: CloudKit) -> str:
    """A cloud in which every request of ONE has something to find; return its upload."""
    upload = answer(await cloud.open(OBJECT), UploadState).upload
    await cloud.api.downlinks.send(ONE, "topic", {})
    cloud.events.clear()
    return upload


async def ask(cloud: CloudKit, route: Route, upload: str, certificate: str | None = ONE) -> Response:
    """The request of ``route`` for what is ONE's, with a certificate of anybody, or with none."""
    known: dict[str, str | int] = {"device": ONE, "upload": upload, "offset": 0, "after": 0}
    parts = {name: value for name, value in known.items() if f"{{{name}}}" in route.path}
    shown = None if certificate is None else b"device " + certificate.encode()
    body = Body.of(BODIES.get(route.id, b""))
    response = await cloud.request(Request(route.method, path_of(route.id, **parts), HEADERS, shown, body))
    if not isinstance(response.body, bytes):  # a downlink: it begins with a keepalive
        assert await anext(response.body)
    return response


async def left_behind(cloud: CloudKit) -> tuple[object, ...]:
    """Everything that a request can change."""
    records = cloud.records
    rows = [await records.telemetry(ONE), await records.alarms(ONE), await records.uploads()]
    return (*rows, await records.queue_state(ONE), await cloud.blobs.names(), tuple(cloud.events), len(cloud.hops))


# --- whose ----------------------------------------------------------------------------------------


@every_route
async def test_each_route_answers_its_device(cloud: CloudKit, route: Route) -> None:
    upload = await prepared(cloud)
    if route.id is RouteId.UPLOAD_FINISH:
        await cloud.put(upload, 0, OBJECT)
    assert (await ask(cloud, route, upload)).status == 200
    assert cloud.alarms == []


@every_own_route
async def test_cl_6_another_devices_certificate_finds_nothing(cloud: CloudKit, route: Route) -> None:
    upload = await prepared(cloud)
    before = await left_behind(cloud)
    response = await ask(cloud, route, upload, OTHER)
    assert (response.status, response.body) == (404, b"")
    assert [(alarm.kind, alarm.device) for alarm in cloud.alarms] == [(CloudAlarmKind.FOREIGN_RESOURCE, OTHER)]
    assert await left_behind(cloud) == before


@pytest.mark.parametrize("route", [RouteId.UPLOAD_STATE, RouteId.UPLOAD_CHUNK, RouteId.UPLOAD_FINISH])
async def test_cl_6_another_devices_upload_is_not_found_under_the_own_id(cloud: CloudKit, route: RouteId) -> None:
    upload = await prepared(cloud)
    offset: dict[str, str | int] = {"offset": 0} if route is RouteId.UPLOAD_CHUNK else {}
    body = BODIES.get(route, b"")
    for name in (upload, "00" * 16):
        parts = {"upload": name, **offset}
        assert (await cloud.ask(route, body, device=OTHER, headers=HEADERS, parts=parts)).status == 404


@every_route
@pytest.mark.parametrize("certificate", [None, ONE], ids=["none", "revoked"])
async def test_cl_7_no_certificate_or_a_revoked_one_finds_nothing(
    cloud: CloudKit, route: Route, certificate: str | None
) -> None:
    upload = await prepared(cloud)
    before = await left_behind(cloud)
    cloud.authority.revoked.add(ONE)
    assert (await ask(cloud, route, upload, certificate)).status == 404
    assert await left_behind(cloud) == before
    kinds = [alarm.kind for alarm in cloud.alarms]
    assert kinds == ([CloudAlarmKind.CERTIFICATE_REFUSED] if certificate else [])


async def test_cl_7_the_certificate_is_checked_for_every_request(cloud: CloudKit) -> None:
    for _ in range(3):
        assert (await cloud.ask(RouteId.HEALTH)).status == 200
    assert cloud.authority.checks == 3
    cloud.clock.now_s = START_S - 1  # not valid yet
    assert (await cloud.ask(RouteId.HEALTH)).status == 404


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/v1/nothing", 404),
        ("GET", "/v1/enroll", 404),
        ("POST", "/v1/enroll", 404),
        ("GET", f"/v1/devices/{ONE}", 404),
        ("POST", "/v1/health", 405),
        ("DELETE", f"/v1/devices/{ONE}/telemetry", 405),
    ],
)
async def test_cl_5_what_is_in_no_row(cloud: CloudKit, method: str, path: str, status: int) -> None:
    request = Request(method, path, {}, b"device " + ONE.encode())
    assert (await cloud.request(request)).status == status
    if status == 404:
        assert (await cloud.request(replace(request, path="/v1/health", method="GET", query="a=b"))).status == 404


# --- how much, how often ------------------------------------------------------------------------


@every_own_route
async def test_a_body_is_as_long_as_its_row_says(cloud: CloudKit, route: Route) -> None:
    if not route.max_body_bytes:
        return
    upload = await prepared(cloud)
    known: dict[str, str | int] = {"device": ONE, "upload": upload, "offset": 0}
    parts = {name: value for name, value in known.items() if f"{{{name}}}" in route.path}
    body = Body.of(bytes(route.max_body_bytes + 1))
    request = Request(route.method, path_of(route.id, **parts), HEADERS, b"device " + ONE.encode(), body)
    assert (await cloud.request(request)).status == 413


@pytest.mark.parametrize("route", list(BODIES), ids=lambda route: route.name)
async def test_a_body_that_is_none_is_malformed(cloud: CloudKit, route: RouteId) -> None:
    if route is RouteId.UPLOAD_CHUNK:
        return
    assert (await cloud.ask(route, b"no body of this kind")).status == 400
    assert (await cloud.ask(route, encode(Health(1)))).status == 400


async def test_cl_6_a_device_does_not_roll_out_the_alarms_of_others(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    del autojump_clock
    async with cloud_of("memory", tmp_path) as cloud:

        async def snoop(times: int, snooper: str) -> None:
            for _ in range(times):
                assert (await cloud.ask(RouteId.DOWNLINK_ACK, device="33" * 16, certificate=snooper)).status == 404

        await snoop(500, ONE)
        assert len(cloud.alarms) == 20
        await snoop(1, OTHER)
        assert len(cloud.alarms) == 21
        await trio.sleep(61)
        await snoop(1, ONE)
        assert cloud.alarms[-1].detail.endswith("(480 more of the kind since the last)")


async def test_requests_are_rationed_per_device(tmp_path: Path) -> None:
    async with cloud_of("memory", tmp_path, CloudLimits(requests_per_s=1, requests_burst=3)) as cloud:
        statuses = [(await cloud.ask(RouteId.HEALTH)).status for _ in range(4)]
        assert statuses == [200, 200, 200, 429]
        assert (await cloud.ask(RouteId.HEALTH, device=OTHER)).status == 200


def many(messages: int) -> bytes:
    return encode(TelemetryBatch(OUTBOX, 1, (5,) * messages, (BATTERY[:2],) * messages))


async def test_cl_13_a_heavy_body_counts_for_several(tmp_path: Path) -> None:
    relay = encode_relay([RelayOpened(number) for number in range(128)])
    async with cloud_of("memory", tmp_path, CloudLimits(requests_per_s=1e-9, requests_burst=18)) as cloud:
        heavy = many(4_096)
        assert len(heavy) > 3 * 4_096
        for device, route, body in ((ONE, RouteId.TELEMETRY, heavy), (OTHER, RouteId.RELAY, relay)):
            statuses = [(await cloud.ask(route, body, device=device)).status for _ in range(5)]
            whole = 18 // (1 + len(body) / 4_096 + (16 if route is RouteId.RELAY else 0))
            assert statuses == [200] * int(whole) + [429] * (5 - int(whole))
            assert int(whole) < 5
        assert len(cloud.told(TelemetryReceived)) == 1


async def test_cl_13_what_is_beyond_is_not_read_or_not_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_decoding(*_: object) -> None:
        raise AssertionError

    async def no_reading() -> bytes:
        await trio.lowlevel.checkpoint()
        raise AssertionError

    relay = encode_relay([RelayOpened(number) for number in range(128)])
    async with cloud_of("memory", tmp_path, CloudLimits(requests_per_s=1e-9, requests_burst=17)) as cloud:
        monkeypatch.setattr("nodes.cloud.api.decode_relay_untrusted", no_decoding)
        assert (await cloud.ask(RouteId.RELAY, relay)).status == 429
        body = Body(16 * 4_096, no_reading)
        path = path_of(RouteId.TELEMETRY, device=ONE)
        assert (await cloud.request(Request("POST", path, {}, b"device " + ONE.encode(), body))).status == 429


async def test_cl_13_pieces_of_uploads_count_for_one_each(tmp_path: Path) -> None:
    data = bytes(3 * MAX_CHUNK_BYTES)
    async with cloud_of("memory", tmp_path, CloudLimits(requests_per_s=1e-9, requests_burst=6)) as cloud:
        upload = answer(await cloud.open(data), UploadState).upload
        for start in range(0, len(data), MAX_CHUNK_BYTES):
            assert (await cloud.put(upload, start, data[start : start + MAX_CHUNK_BYTES])).status == 200
        assert (await cloud.finish(upload)).status == 200


async def test_cl_13_a_quarter_of_the_ration_is_enough_for_a_busy_device(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    """A minute of 50 messages of telemetry a second, and an end-to-end link with commands and heartbeats at 10 Hz."""
    del autojump_clock
    limits = CloudLimits()
    quarter = replace(limits, requests_per_s=limits.requests_per_s / 4, requests_burst=limits.requests_burst / 4)
    frame = encode_relay([RelayDatagram(1, by_opener=True, data=bytes(200))])
    statuses: set[int] = set()
    async with cloud_of("memory", tmp_path, quarter) as cloud:
        for step in range(20 * 60):
            statuses.add((await cloud.ask(RouteId.RELAY, frame)).status)
            if step % 4 == 0:  # BatchLimits.delay_s
                batch = TelemetryBatch(OUTBOX, 1 + step, (5,) * 10, (BATTERY + bytes(200),) * 10)
                statuses.add((await cloud.ask(RouteId.TELEMETRY, encode(batch))).status)
            if step % 20 == 0:
                statuses.add((await cloud.ask(RouteId.HEALTH)).status)
            await trio.sleep(0.05)
    assert statuses == {200}


async def test_devices_are_seen_now_and_then(cloud: CloudKit, autojump_clock: trio.testing.MockClock) -> None:
    for _ in range(3):
        await cloud.ask(RouteId.HEALTH)
    assert cloud.told(DeviceSeen) == [DeviceSeen(ONE)]
    autojump_clock.jump(61)
    cloud.clock.now_s += 61
    await cloud.ask(RouteId.HEALTH)
    assert cloud.told(DeviceSeen) == [DeviceSeen(ONE)] * 2
    (seen,) = await cloud.records.devices()
    assert (seen.first_ms, seen.last_ms) == (int(START_S) * 1_000, int(START_S + 61) * 1_000)


# --- what everybody may know --------------------------------------------------------------------


async def test_health_time_and_list(cloud: CloudKit) -> None:
    assert answer(await cloud.ask(RouteId.HEALTH), Health) == Health(1)
    assert answer(await cloud.ask(RouteId.TIME), CloudTime) == CloudTime(int(START_S) * 1_000)
    assert (await cloud.ask(RouteId.CRL)).body == b"a list"


# --- telemetry and alarms -----------------------------------------------------------------------


async def test_cl_10_cl_11_a_batch_that_is_sent_again_counts_once(cloud: CloudKit) -> None:
    assert answer(await cloud.ask(RouteId.TELEMETRY, encode(BATCH)), Accepted) == Accepted(1)
    assert answer(await cloud.ask(RouteId.TELEMETRY, encode(BATCH)), Accepted) == Accepted(1, repeated=True)
    assert cloud.told(TelemetryReceived) == [TelemetryReceived(ONE, BATCH)]
    assert cloud.told(TelemetryReceived)[0].messages == 2
    (row,) = await cloud.records.telemetry(ONE)
    assert (row.items, row.body, row.received_ms) == (2, encode(BATCH), int(START_S) * 1_000)
    for other in (replace(BATCH, sequence=3), replace(BATCH, outbox=b"outbox-2")):
        assert answer(await cloud.ask(RouteId.TELEMETRY, encode(other)), Accepted) == Accepted(other.sequence)
    body = encode(BATCH)
    assert answer(await cloud.ask(RouteId.TELEMETRY, body, device=OTHER), Accepted) == Accepted(1)


async def test_cl_11_a_report_of_alarms_counts_once_and_apart(cloud: CloudKit) -> None:
    await cloud.ask(RouteId.TELEMETRY, encode(BATCH))
    assert answer(await cloud.ask(RouteId.ALARMS, encode(REPORT)), Accepted) == Accepted(1)
    assert answer(await cloud.ask(RouteId.ALARMS, encode(REPORT)), Accepted) == Accepted(1, repeated=True)
    assert cloud.told(AlarmReported) == [AlarmReported(ONE, REPORT)]
    assert len(await cloud.records.alarms(ONE)) == 1


async def test_cl_9_no_room_changes_nothing(tmp_path: Path) -> None:
    body = encode(BATCH)
    async with cloud_of("memory", tmp_path, CloudLimits(quota_bytes=len(body) + 1)) as cloud:
        assert (await cloud.ask(RouteId.TELEMETRY, body)).status == 200
        for route, more in ((RouteId.TELEMETRY, encode(replace(BATCH, sequence=2))), (RouteId.ALARMS, encode(REPORT))):
            assert (await cloud.ask(route, more)).status == 507
        assert [alarm.kind for alarm in cloud.alarms] == [CloudAlarmKind.STORAGE_FULL] * 2
        assert await cloud.records.usage(ONE) == Usage(len(body))
        assert len(cloud.told(TelemetryReceived)) == 1
        assert (await cloud.ask(RouteId.TELEMETRY, body, device=OTHER)).status == 200


@pytest.mark.parametrize("kind", KINDS)
async def test_cl_11_what_was_accepted_is_repeated_without_room(tmp_path: Path, kind: str) -> None:
    """The answer was lost, and meanwhile the quota was used up: the device must not keep it, and ask, for ever."""
    telemetry, alarms = encode(BATCH), encode(REPORT)
    async with cloud_of(kind, tmp_path, CloudLimits(quota_bytes=len(telemetry) + len(alarms))) as cloud:
        for route, body in ((RouteId.TELEMETRY, telemetry), (RouteId.ALARMS, alarms)):
            assert answer(await cloud.ask(route, body), Accepted) == Accepted(1)
        for route, body in ((RouteId.TELEMETRY, telemetry), (RouteId.ALARMS, alarms)):
            assert answer(await cloud.ask(route, body), Accepted) == Accepted(1, repeated=True)
        for other in (replace(BATCH, sequence=2), replace(BATCH, outbox=b"outbox-2")):
            assert (await cloud.ask(RouteId.TELEMETRY, encode(other))).status == 507
        assert (await cloud.ask(RouteId.ALARMS, encode(replace(REPORT, sequence=2)))).status == 507
        assert (len(cloud.told(TelemetryReceived)), len(cloud.told(AlarmReported))) == (1, 1)


async def test_cl_9_a_disk_that_fails_is_said_to_be_so(cloud: CloudKit, monkeypatch: pytest.MonkeyPatch) -> None:
    failures: list[Exception] = [StorageFullError("no room"), StorageError("the disk failed")]

    async def failing(*_args: object) -> bool:
        await trio.lowlevel.checkpoint()
        raise failures.pop(0)

    monkeypatch.setattr(cloud.records, "add_telemetry", failing)
    assert (await cloud.ask(RouteId.TELEMETRY, encode(BATCH))).status == 507
    assert (await cloud.ask(RouteId.TELEMETRY, encode(BATCH))).status == 503
    assert [alarm.kind for alarm in cloud.alarms] == [CloudAlarmKind.STORAGE_FULL, CloudAlarmKind.STORAGE_FAILED]
    assert cloud.told(TelemetryReceived) == []
    monkeypatch.undo()
    assert (await cloud.ask(RouteId.TELEMETRY, encode(BATCH))).status == 200


# --- certificates -------------------------------------------------------------------------------


async def test_a_certificate_is_renewed(cloud: CloudKit) -> None:
    response = await cloud.ask(RouteId.CERTIFICATE, encode(Renewal(b"csr")))
    expected = IssuedCertificate(b"device " + ONE.encode() + b" anew for csr", b"the authority")
    assert answer(response, IssuedCertificate) == expected


async def enrol(cloud: CloudKit, method: str, path: str, body: CloudBody | None = None, query: str = "") -> Response:
    request = Request(method, path, {}, None, Body.of(b"" if body is None else encode(body)), query)
    try:
        return await cloud.api.handle_enrolment(request)
    except HttpError as error:
        return Response(error.status)


async def test_the_enrolment_listener_enrols_and_nothing_else(cloud: CloudKit) -> None:
    response = await enrol(cloud, "POST", "/v1/enroll", Enrolment("TOKEN", b"csr"))
    assert answer(response, IssuedCertificate) == IssuedCertificate(b"device of csr", b"the authority")
    assert (await enrol(cloud, "GET", "/v1/ca")).body == b"the authority"
    assert cloud.alarms == []
    assert (await enrol(cloud, "POST", "/v1/enroll", Enrolment("GUESS", b"csr"))).status == 403
    assert [alarm.kind for alarm in cloud.alarms] == [CloudAlarmKind.ENROLMENT_REFUSED]
    assert (await enrol(cloud, "POST", "/v1/enroll", Health(1))).status == 400
    assert (await enrol(cloud, "GET", "/v1/enroll")).status == 405
    assert (await enrol(cloud, "GET", "/v1/ca", query="x")).status == 404
    for route in OF_DEVICES:
        path = route.path.format(device=ONE, upload="ab" * 16, offset=0, after=0)
        assert (await enrol(cloud, route.method, path)).status == 404


def test_hf_30_39_strangers_have_less_than_devices() -> None:
    limits = for_strangers(HttpLimits())
    assert (limits.connections, limits.connections_per_source, limits.handshakes) == (128, 16, 64)
    assert (limits.new_per_source_per_s, limits.new_per_s) == (10, 50)
    assert for_strangers(HttpLimits(new_per_s=1)).new_per_s == 1


# --- the whole ----------------------------------------------------------------------------------


async def test_cl_9_a_body_that_comes_too_slowly_may_come_again(cloud: CloudKit) -> None:
    async def receive() -> bytes:
        await trio.lowlevel.checkpoint()
        raise LinkTimeoutError("a body that comes too slowly (a test)")

    path, body = path_of(RouteId.TELEMETRY, device=ONE), Body(100, receive)
    response = await cloud.request(Request("POST", path, {}, b"device " + ONE.encode(), body))
    assert response.status == 408  # a device throws away what is answered 400


def test_errors_have_statuses() -> None:
    assert status_of(MalformedError("x")) == 400
    assert status_of(RevokedError("x")) == 403
    assert status_of(ZeroDivisionError()) == 500


def fits(authority: DeviceAuthority) -> Authority:
    """Checked with the types."""
    return authority


def test_a_body_leaves_room_for_the_largest_map() -> None:
    assert MAX_BODY_BYTES == 65_536 + 12
