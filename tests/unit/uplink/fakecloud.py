"""A cloud in memory that keeps what it acknowledged, behind connections that fail when the test says so.

It follows specs/9-cloudlink.md as far as a device sees it. What is durable there survives :meth:`FakeCloud.restart`.
"""

import hashlib
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import Self, cast

import trio

from nodes.https import ClientResponse, StatusError, TlsError
from protocols.cloud_api import RouteId, match_untrusted
from protocols.cloudlink import (
    KEEPALIVE,
    decode_relay_untrusted,
    decode_untrusted,
    encode,
    encode_message_record,
    encode_relay,
    encode_relay_record,
)
from protocols.errors import ConfigError, LinkTimeoutError, TruncatedError
from protocols.events import RelayMessage
from specs.cloudlink import (
    CHUNK_HASH_HEADER,
    Accepted,
    AlarmReport,
    CloudTime,
    DownlinkAck,
    DownlinkMessage,
    Health,
    IssuedCertificate,
    ReportedAlarm,
    TelemetryBatch,
    UploadOpen,
    UploadPhase,
    UploadReason,
    UploadState,
)

DEVICE = "0123456789abcdef" * 2
KEEPALIVE_S = 15.0
TRAVEL_S = 0.02
"""How long a request takes."""


class Fault(Enum):
    """What happens to a request."""

    LOST_REQUEST = "it breaks off before the cloud has it"
    LOST_ANSWER = "the cloud has done it, and the answer breaks off"
    TIMEOUT = "no answer"
    BUSY = "503"
    FULL = "507"
    DOWN = "nobody is there"
    RESTART = "the cloud restarts, before it has it"
    RESTART_AFTER = "the cloud has done it and restarts"


@dataclass
class Upload:
    wanted: UploadOpen
    name: str
    data: bytearray = field(default_factory=bytearray)
    phase: UploadPhase = UploadPhase.OPEN
    reason: UploadReason = UploadReason.NONE

    @property
    def state(self) -> UploadState:
        return UploadState(self.name, self.phase, len(self.data), self.reason)


@dataclass
class FakeCloud:
    """What a cloud knows of one device."""

    verdict: Callable[[bytes], tuple[UploadPhase, UploadReason]] = lambda _: (UploadPhase.STORED, UploadReason.NONE)
    """What becomes of a log that is whole."""
    faults: list[Fault | None] = field(default_factory=list[Fault | None])
    """Of the next requests, in order."""
    fault_of: Callable[[RouteId], Fault | None] = lambda _: None
    """Of every request when the list is empty."""
    status_of: dict[RouteId, int] = field(default_factory=dict[RouteId, int])
    """Answers instead of the real ones."""
    seen: list[RouteId] = field(default_factory=list[RouteId])
    """Requests that arrived."""
    highest: dict[bytes, int] = field(default_factory=dict[bytes, int])
    messages: list[bytes] = field(default_factory=list[bytes])
    drones: set[bytes] = field(default_factory=set[bytes])
    alarms: list[ReportedAlarm] = field(default_factory=list[ReportedAlarm])
    uploads: dict[str, Upload] = field(default_factory=dict[str, Upload])
    queue: dict[int, DownlinkMessage] = field(default_factory=dict[int, DownlinkMessage])
    given: int = 0
    relayed: list[RelayMessage] = field(default_factory=list[RelayMessage])
    streams: set[trio.MemorySendChannel[bytes]] = field(default_factory=set[trio.MemorySendChannel[bytes]])
    is_silent: bool = False
    """No keepalives."""
    time_ms: int = 1_800_000_000_000
    renewals: int = 0

    # --- what an operator does ------------------------------------------------------------------

    def tell(self, topic: str) -> int:
        """Queue a message for the device."""
        self.given += 1
        self.queue[self.given] = DownlinkMessage(topic, self.time_ms, b"\x80")
        self._stream(encode_message_record(self.given, encode(self.queue[self.given])))
        return self.given

    def relay(self, *messages: RelayMessage) -> None:
        self._stream(encode_relay_record(encode_relay(messages)))

    def restart(self) -> None:
        """Cut every stream; what is durable stays."""
        for stream in tuple(self.streams):
            stream.close()
        self.streams.clear()

    def _stream(self, record: bytes) -> None:
        for stream in self.streams:
            stream.send_nowait(record)

    # --- what a device sees -----------------------------------------------------------------------

    def connect(self, *_: object) -> "FakeConnection":
        return FakeConnection(self)

    def next_fault(self, route: RouteId) -> Fault | None:
        return self.faults.pop(0) if self.faults else self.fault_of(route)

    def handle(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> ClientResponse:
        matched = match_untrusted(method, path)
        route = matched.route.id
        self.seen.append(route)
        if route in self.status_of:
            return ClientResponse(self.status_of[route], {}, b"")
        if matched.route.is_own and matched.parts["device"] != DEVICE:
            return ClientResponse(404, {}, b"")
        if route in {RouteId.UPLOAD_STATE, RouteId.UPLOAD_CHUNK, RouteId.UPLOAD_FINISH}:
            upload = self.uploads.get(matched.parts["upload"])
            if upload is None:
                return ClientResponse(404, {}, b"")
            status = 200
            if route is RouteId.UPLOAD_CHUNK:
                status = self._chunk(upload, matched.number("offset"), body, headers[CHUNK_HASH_HEADER])
            elif route is RouteId.UPLOAD_FINISH:
                status = self._finish(upload)
            return ClientResponse(status, {}, encode(upload.state))
        return self._plain(route, body)

    def _plain(self, route: RouteId, body: bytes) -> ClientResponse:
        answer: Health | CloudTime | Accepted | UploadState | IssuedCertificate | None = None
        if route is RouteId.HEALTH:
            answer = Health(1)
        elif route is RouteId.TIME:
            answer = CloudTime(self.time_ms)
        elif route is RouteId.TELEMETRY:
            batch = decode_untrusted(TelemetryBatch, body)
            answer = self._accept(batch)
            if not answer.repeated:
                self.messages += batch.messages
                self.drones.add(batch.drone)
        elif route is RouteId.ALARMS:
            report = decode_untrusted(AlarmReport, body)
            answer = self._accept(report)
            if not answer.repeated:
                self.alarms += report.alarms
        elif route is RouteId.UPLOAD_OPEN:
            answer = self._open(decode_untrusted(UploadOpen, body)).state
        elif route is RouteId.DOWNLINK_ACK:
            sequence = decode_untrusted(DownlinkAck, body).sequence
            if sequence > self.given:
                return ClientResponse(409, {}, b"")
            self.queue = {number: message for number, message in self.queue.items() if number > sequence}
        elif route is RouteId.RELAY:
            self.relayed += decode_relay_untrusted(body)
        elif route is RouteId.CERTIFICATE:
            self.renewals += 1
            answer = IssuedCertificate(b"certificate", b"authority")
        return ClientResponse(200, {}, b"" if answer is None else encode(answer))

    def _accept(self, batch: TelemetryBatch | AlarmReport) -> Accepted:
        if batch.sequence <= self.highest.get(batch.outbox, 0):
            return Accepted(batch.sequence, repeated=True)
        self.highest[batch.outbox] = batch.sequence
        return Accepted(batch.sequence)

    def _open(self, wanted: UploadOpen) -> Upload:
        for upload in self.uploads.values():
            if upload.wanted == wanted:
                if upload.reason is UploadReason.HASH:
                    upload.phase, upload.reason = UploadPhase.OPEN, UploadReason.NONE
                return upload
        name = hashlib.sha256(b"%d" % len(self.uploads) + wanted.sha256).hexdigest()[:32]
        return self.uploads.setdefault(name, Upload(wanted, name))

    @staticmethod
    def _chunk(upload: Upload, offset: int, chunk: bytes, digest: str) -> int:
        assert 1 <= len(chunk) <= 1_048_576
        assert hashlib.sha256(chunk).hexdigest() == digest
        if upload.phase is not UploadPhase.OPEN or offset + len(chunk) > upload.wanted.size_bytes:
            return 409
        if offset == len(upload.data):
            upload.data += chunk
        elif offset + len(chunk) > len(upload.data):
            return 409
        return 200

    def _finish(self, upload: Upload) -> int:
        if upload.phase is UploadPhase.OPEN:
            if len(upload.data) < upload.wanted.size_bytes:
                return 409
            if hashlib.sha256(upload.data).digest() == upload.wanted.sha256:
                upload.phase, upload.reason = self.verdict(bytes(upload.data))
            else:
                upload.phase, upload.reason = UploadPhase.REFUSED, UploadReason.HASH
                upload.data.clear()
        return 200


class FakeConnection:
    """What stands in the place of HttpsClient."""

    def __init__(self, cloud: FakeCloud) -> None:
        self._cloud = cloud

    async def __aenter__(self) -> Self:
        await trio.lowlevel.checkpoint()
        return self

    async def __aexit__(self, *_: object) -> None:
        await trio.lowlevel.checkpoint()

    async def request(
        self, method: str, path: str, body: bytes = b"", *, headers: Mapping[str, str] | None = None
    ) -> ClientResponse:
        fault = await self._before(match_untrusted(method, path).route.id)
        if fault is Fault.BUSY or fault is Fault.FULL:
            return ClientResponse(503 if fault is Fault.BUSY else 507, {}, b"")
        answer = self._cloud.handle(method, path, body, headers or {})
        await trio.lowlevel.checkpoint()
        if fault is Fault.RESTART_AFTER:
            self._cloud.restart()
        if fault in {Fault.LOST_ANSWER, Fault.RESTART_AFTER}:
            raise TruncatedError("the answer broke off (a test)")
        return answer

    async def _before(self, route: RouteId) -> Fault | None:
        await trio.sleep(TRAVEL_S)
        fault = self._cloud.next_fault(route)
        if fault is Fault.RESTART:
            self._cloud.restart()
        if fault in {Fault.LOST_REQUEST, Fault.RESTART}:
            raise TruncatedError("the request broke off (a test)")
        if fault is Fault.DOWN:
            raise ConfigError("nobody is there (a test)")
        if fault is Fault.TIMEOUT:
            await trio.sleep(30)
            raise LinkTimeoutError("no answer (a test)")
        return fault

    @asynccontextmanager
    async def stream(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None
    ) -> AsyncGenerator[AsyncIterator[bytes]]:
        assert not headers
        cloud = self._cloud
        fault = await self._before(RouteId.DOWNLINK)
        matched = match_untrusted(method, path)
        cloud.seen.append(RouteId.DOWNLINK)
        status = cloud.status_of.get(RouteId.DOWNLINK, 409 if matched.number("after") > cloud.given else 200)
        if fault is Fault.BUSY or fault is Fault.FULL:
            status = 503
        if status != 200:
            raise StatusError("a test", status)
        cloud.restart()  # a newer downlink ends the older (CL-34)
        writer, reader = trio.open_memory_channel[bytes](1_000)
        for sequence, message in cloud.queue.items():
            if sequence > matched.number("after"):
                writer.send_nowait(encode_message_record(sequence, encode(message)))
        cloud.streams.add(writer)
        try:
            yield FakeStream(cloud, reader)
        finally:
            cloud.streams.discard(writer)


class FakeStream(AsyncIterator[bytes]):
    """Records in two pieces each, and keepalives while there are none."""

    def __init__(self, cloud: FakeCloud, reader: trio.MemoryReceiveChannel[bytes]) -> None:
        self._cloud = cloud
        self._reader = reader
        self._rest = b""

    async def __anext__(self) -> bytes:
        await trio.lowlevel.checkpoint()
        if self._rest:
            piece, self._rest = self._rest, b""
            return piece
        record = KEEPALIVE
        with trio.move_on_after(float("inf") if self._cloud.is_silent else KEEPALIVE_S):
            try:
                record = await self._reader.receive()
            except trio.EndOfChannel:
                raise TruncatedError("the downlink broke off (a test)") from None
        self._rest = record[7:]
        return record[:7]


class FakeCredentials:
    """A device that was enrolled."""

    device_id = DEVICE
    authority_id = b"authority of it!"

    def __init__(self) -> None:
        self.learned: list[float] = []
        self.is_due = False
        self.error: Exception | None = None
        self.certificates: list[bytes] = []

    def context(self) -> ssl.SSLContext:
        if self.error is not None:
            raise self.error
        return cast("ssl.SSLContext", None)

    def renewal_due(self) -> bool:
        return self.is_due

    async def request_renewal(self) -> bytes:
        await trio.lowlevel.checkpoint()
        return b"request"

    async def renewed(self, certificate_der: bytes) -> None:
        await trio.lowlevel.checkpoint()
        self.is_due = False
        self.certificates.append(certificate_der)

    async def learn_time(self, unix_s: float) -> None:
        await trio.lowlevel.checkpoint()
        self.learned.append(unix_s)


REFUSED = TlsError("the certificate was refused (a test)")
