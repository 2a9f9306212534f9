"""The cloud's requests: who may ask, what it means, what is answered (specs/9-cloudlink.md).

One way in for all requests: certificate, path, whose it is, how often; only then the body is read. What a route does
is a row of a table, and a route without a row is found at construction.
"""

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import trio

from nodes.cloud.downlink import Downlinks, NeverGivenError, OnHop
from nodes.cloud.events import (
    AlarmReported,
    CloudAlarm,
    CloudAlarmKind,
    DeviceSeen,
    OnAlarm,
    OnEvent,
    TelemetryReceived,
    ignore,
)
from nodes.cloud.limits import CloudLimits
from nodes.cloud.logs import LogDesk
from nodes.cloud.ports import Authority, CloudBlobs, CloudRecords, Issued, TelemetryRow
from nodes.cloud.ration import Ration
from nodes.cloud.uploads import (
    ChunkHashError,
    NoSuchUploadError,
    TooManyUploadsError,
    UploadConflictError,
    Uploads,
    UploadTooLargeError,
)
from nodes.https import HttpError, Request, Response
from nodes.ports import CloudSealing
from nodes.stores.sqlitefile import StorageFullError
from protocols.cloud_api import ROUTES, Listener, Matched, NoSuchPathError, RouteId, WrongMethodError, match_untrusted
from protocols.cloudlink import (
    CloudBody,
    T,
    decode_relay_untrusted,
    decode_untrusted,
    encode,
    is_hex,
    relay_count_untrusted,
)
from protocols.errors import (
    AuthenticationError,
    CodeFormatError,
    LinkTimeoutError,
    LocalError,
    MalformedError,
    PeerError,
    PolicyError,
    StorageError,
)
from protocols.guards.address import source_key
from protocols.guards.ratelimit import LogLimiter
from protocols.pki.errors import TooManyTriesError
from specs.cloudlink import (
    CHUNK_HASH_HEADER,
    LABEL,
    Accepted,
    AlarmReport,
    CloudTime,
    DownlinkAck,
    Enrolment,
    Health,
    IssuedCertificate,
    Renewal,
    TelemetryBatch,
    UploadOpen,
    UploadState,
)

Answer = CloudBody | bytes | AsyncIterator[bytes]
_ALARMS_PER_S: Final = 1 / 60
"""Of one kind and device, in the long run."""
_ALARMS_AT_ONCE: Final = 20.0
_ALARM_SOURCES: Final = 4_096


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that was let in."""

    request: Request
    """As it came."""
    matched: Matched
    """Its row."""
    device: str
    """Who asks; empty on the listener for enrolment."""

    async def body(self) -> bytes:
        """Read the body; HttpError 413."""
        return await self.request.body.read(self.matched.route.max_body_bytes)

    async def read(self, kind: type[T]) -> T:
        """Read the body; MalformedError, HttpError 413."""
        return decode_untrusted(kind, await self.body())


_STATUS: Final[tuple[tuple[type[Exception], int], ...]] = (
    (NoSuchPathError, 404),
    (NoSuchUploadError, 404),
    (WrongMethodError, 405),
    (NeverGivenError, 409),
    (UploadTooLargeError, 413),
    (ChunkHashError, 422),
    (TooManyUploadsError, 429),
    (TooManyTriesError, 429),
    (StorageFullError, 507),
    (StorageError, 503),
    (CodeFormatError, 400),
    (LocalError, 503),
    (LinkTimeoutError, 408),
    (PeerError, 400),
    (PolicyError, 403),
    (AuthenticationError, 403),
)
"""The first that fits counts. What is in no row is a bug of ours."""


class CloudApi:
    """``handle`` for the devices' listener, ``handle_enrolment`` for the other one."""

    def __init__(
        self,
        records: CloudRecords,
        blobs: CloudBlobs,
        authority: Authority,
        sealing: CloudSealing,
        *,
        clock: Callable[[], float],
        limits: CloudLimits | None = None,
        on_event: OnEvent = ignore,
        on_alarm: OnAlarm = ignore,
        on_hop: OnHop = ignore,
        entropy: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        """``clock``: seconds since 1970; it never goes into what must not step back."""
        self._limits = limits or CloudLimits()
        self._records = records
        self._authority = authority
        self._clock = clock
        self._on_event = on_event
        self._tell_alarm = on_alarm
        self._rations = LogLimiter(_ALARMS_PER_S, _ALARMS_AT_ONCE, _ALARM_SOURCES)
        desk = LogDesk(records, blobs, sealing, self._now_ms)
        self.uploads: Final = Uploads(
            records,
            blobs,
            desk,
            self._limits,
            clock_ms=self._now_ms,
            entropy=entropy,
            on_event=on_event,
            on_alarm=self._on_alarm,
        )
        """Call its ``sweep`` at the start and now and then, ``drone_pinned`` when a drone's keys have come."""
        self.downlinks: Final = Downlinks(
            records, self._limits, clock_ms=self._now_ms, on_event=on_event, on_hop=on_hop
        )
        """``send`` for durable messages, ``end`` for a device that was revoked."""
        self._ration = Ration(self._limits)
        self._seen_s: dict[str, float] = {}
        self._routes: Final = self._table()

    def _table(self) -> Mapping[RouteId, Callable[[Asked], Awaitable[Answer]]]:
        table: dict[RouteId, Callable[[Asked], Awaitable[Answer]]] = {
            RouteId.HEALTH: self._health,
            RouteId.TIME: self._time,
            RouteId.CRL: self._crl,
            RouteId.TELEMETRY: self._telemetry,
            RouteId.ALARMS: self._alarms,
            RouteId.UPLOAD_OPEN: self._upload_open,
            RouteId.UPLOAD_STATE: self._upload_state,
            RouteId.UPLOAD_CHUNK: self._upload_chunk,
            RouteId.UPLOAD_FINISH: self._upload_finish,
            RouteId.DOWNLINK: self._downlink,
            RouteId.DOWNLINK_ACK: self._downlink_ack,
            RouteId.RELAY: self._relay,
            RouteId.CERTIFICATE: self._certificate,
            RouteId.ENROL: self._enrol,
            RouteId.AUTHORITY: self._ca,
        }
        assert table.keys() == {route.id for route in ROUTES}, "a route has no method here"  # noqa: S101
        return table

    # --- the way in -------------------------------------------------------------------------------

    async def handle(self, request: Request) -> Response:
        """Answer a request of the devices' listener; HttpError for every status that has no body."""
        return await self._answered(request, self._enter_device)

    async def handle_enrolment(self, request: Request) -> Response:
        """Answer a request of the listener for enrolment; HttpError for every status that has no body."""
        return await self._answered(request, self._enter_enrolment)

    async def _answered(self, request: Request, enter: Callable[[Request], Awaitable[Asked]]) -> Response:
        device = ""
        try:
            asked = await enter(request)
            device = asked.device
            answer = await self._routes[asked.matched.route.id](asked)
        except UploadConflictError as error:
            return Response(409, encode(error.state))
        except (LocalError, PeerError, PolicyError, AuthenticationError) as error:
            self._tell(error, device)
            raise HttpError(status_of(error)) from None
        if isinstance(answer, bytes | AsyncIterator):
            return Response(200, answer)
        return Response(200, encode(answer))

    async def _enter_device(self, request: Request) -> Asked:
        """CL-5 to CL-7, in the order that tells a stranger least."""
        device = await self._check_certificate(request.peer_certificate)
        if request.query:
            raise NoSuchPathError("cloud: there are no queries")
        matched = match_untrusted(request.method, request.path)
        if matched.route.is_own and matched.parts["device"] != device:
            detail = f"{matched.route.id.value} of device {matched.parts['device']}"
            self._on_alarm(CloudAlarm(CloudAlarmKind.FOREIGN_RESOURCE, device, detail))
            raise NoSuchPathError("cloud: not this device's")
        if not self._ration.allow_request(device, matched.route, request.body.content_length, trio.current_time()):
            raise HttpError(429)
        await self._see(device)
        return Asked(request, matched, device)

    async def _enter_enrolment(self, request: Request) -> Asked:
        await trio.lowlevel.checkpoint()
        if request.query:
            raise NoSuchPathError("cloud: there are no queries")
        return Asked(request, match_untrusted(request.method, request.path, Listener.ENROLMENT), "")

    async def _check_certificate(self, certificate: bytes | None) -> str:
        if certificate is None:
            raise NoSuchPathError("cloud: no certificate")
        try:
            return await self._authority.check_peer(certificate, self._clock())
        except (PolicyError, AuthenticationError, PeerError) as error:
            self._on_alarm(CloudAlarm(CloudAlarmKind.CERTIFICATE_REFUSED, "", type(error).__name__))
            raise NoSuchPathError("cloud: the certificate is refused") from None

    async def _see(self, device: str) -> None:
        now_s = trio.current_time()
        if now_s - self._seen_s.get(device, float("-inf")) < self._limits.seen_s:
            return
        await self._records.see_device(device, self._now_ms())
        self._seen_s[device] = now_s
        self._on_event(DeviceSeen(device))

    def _tell(self, error: Exception, device: str) -> None:
        if isinstance(error, StorageError):
            full = isinstance(error, StorageFullError)
            kind = CloudAlarmKind.STORAGE_FULL if full else CloudAlarmKind.STORAGE_FAILED
            self._on_alarm(CloudAlarm(kind, device, str(error)))

    def _on_alarm(self, alarm: CloudAlarm) -> None:
        """Tell an alarm, unless this device has raised many of the kind: it must not roll out those of others."""
        left_out = self._rations.note(f"{alarm.kind.name} {alarm.device}", trio.current_time())
        if left_out is not None:
            more = f" ({left_out} more of the kind since the last)" if left_out else ""
            self._tell_alarm(replace(alarm, detail=alarm.detail + more))

    def _now_ms(self) -> int:
        return int(self._clock() * 1_000)

    # --- of everybody -----------------------------------------------------------------------------

    async def _health(self, asked: Asked) -> Answer:
        await self._records.queue_state(asked.device)  # the database answers
        return Health(LABEL[-1])

    async def _time(self, _asked: Asked) -> Answer:
        await trio.lowlevel.checkpoint()
        return CloudTime(self._now_ms())

    async def _crl(self, _asked: Asked) -> Answer:
        return await self._authority.crl()

    # --- telemetry and alarms -----------------------------------------------------------------------

    async def _telemetry(self, asked: Asked) -> Answer:
        body = await asked.body()
        batch = decode_untrusted(TelemetryBatch, body)
        row = self._row(asked.device, batch, len(batch.messages), batch.drone, body)
        is_new = await self._add(row, self._records.add_telemetry, self._records.has_telemetry)
        if is_new:
            self._on_event(TelemetryReceived(asked.device, batch))
        return Accepted(batch.sequence, repeated=not is_new)

    async def _alarms(self, asked: Asked) -> Answer:
        body = await asked.body()
        report = decode_untrusted(AlarmReport, body)
        row = self._row(asked.device, report, len(report.alarms), b"", body)
        is_new = await self._add(row, self._records.add_alarms, self._records.has_alarms)
        if is_new:
            self._on_event(AlarmReported(asked.device, report))
        return Accepted(report.sequence, repeated=not is_new)

    async def _add(
        self,
        row: TelemetryRow,
        add: Callable[[TelemetryRow], Awaitable[bool]],
        has: Callable[[str, bytes, int], Awaitable[bool]],
    ) -> bool:
        """Add what is new and fits; False for what is here already, which costs no room (CL-11). StorageFullError."""
        used_bytes = (await self._records.usage(row.device)).size_bytes
        if used_bytes + len(row.body) <= self._limits.quota_bytes:
            return await add(row)
        if await has(row.device, row.outbox, row.sequence):
            return False
        raise StorageFullError("the quota of this device is used up")

    def _row(
        self, device: str, batch: TelemetryBatch | AlarmReport, items: int, drone: bytes, body: bytes
    ) -> TelemetryRow:
        return TelemetryRow(device, batch.outbox, batch.sequence, self._now_ms(), items, drone, body)

    # --- uploads --------------------------------------------------------------------------------------

    async def _upload_open(self, asked: Asked) -> UploadState:
        return await self.uploads.open(asked.device, await asked.read(UploadOpen))

    async def _upload_state(self, asked: Asked) -> UploadState:
        return await self.uploads.state(asked.device, asked.matched.parts["upload"])

    async def _upload_chunk(self, asked: Asked) -> UploadState:
        digest = asked.request.headers.get(CHUNK_HASH_HEADER, "")
        if not is_hex(digest, 32):
            raise MalformedError("cloud: a chunk without its hash")
        upload, offset = asked.matched.parts["upload"], asked.matched.number("offset")
        await self.uploads.state(asked.device, upload)  # 404 before a byte is read
        return await self.uploads.append(asked.device, upload, offset, await asked.body(), bytes.fromhex(digest))

    async def _upload_finish(self, asked: Asked) -> UploadState:
        return await self.uploads.finish(asked.device, asked.matched.parts["upload"])

    # --- downlink and relay -----------------------------------------------------------------------

    async def _downlink(self, asked: Asked) -> Answer:
        check = partial(self._is_good, asked.request.peer_certificate)
        return await self.downlinks.stream(asked.device, asked.matched.number("after"), check)

    async def _is_good(self, certificate: bytes | None) -> bool:
        try:
            await self._check_certificate(certificate)
        except (NoSuchPathError, LocalError):  # who cannot be checked is not let in either
            return False
        return True

    async def _downlink_ack(self, asked: Asked) -> Answer:
        await self.downlinks.acknowledge(asked.device, (await asked.read(DownlinkAck)).sequence)
        return b""

    async def _relay(self, asked: Asked) -> Answer:
        body = await asked.body()
        if not self._ration.allow_frames(asked.device, relay_count_untrusted(body), trio.current_time()):
            raise HttpError(429)
        self.downlinks.receive_relay(asked.device, decode_relay_untrusted(body))
        return b""

    # --- certificates -----------------------------------------------------------------------------

    async def _certificate(self, asked: Asked) -> Answer:
        csr = (await asked.read(Renewal)).csr
        return _issued(await self._authority.renew(asked.request.peer_certificate or b"", csr, self._clock()))

    async def _enrol(self, asked: Asked) -> Answer:
        ask = await asked.read(Enrolment)
        try:
            issued = await self._authority.enrol(ask.token, ask.csr, self._clock(), source_key(asked.request.peer))
        except (PolicyError, CodeFormatError, AuthenticationError) as error:
            self._on_alarm(CloudAlarm(CloudAlarmKind.ENROLMENT_REFUSED, "", type(error).__name__))
            raise
        return _issued(issued)

    async def _ca(self, _asked: Asked) -> Answer:
        await trio.lowlevel.checkpoint()
        return self._authority.ca_der


def _issued(issued: Issued) -> IssuedCertificate:
    return IssuedCertificate(issued.certificate_der, issued.ca_der)


def status_of(error: Exception) -> int:
    """Return the status for an error that leaves a request."""
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)
