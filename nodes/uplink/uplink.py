"""The way to the cloud, kept open for ever: tries, waits, tries again; never needed for flying.

One connection after the other. While one lives its tasks run side by side, over HTTPS connections of their own where
one must not wait for another (large uploads, relays for sticks): telemetry, alarms, logs, the downlink and its
acknowledgements, relays, renewal. The first that finds the cloud gone ends them all; what was not acknowledged waits in
the outbox and in the log store, across restarts too.
"""

import logging
import math
import secrets
import ssl
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import Final, Protocol

import trio

from nodes.config.endpoint import Endpoint
from nodes.https import TlsError
from nodes.ports import LogStore
from nodes.service import Service
from nodes.uplink.backoff import Backoff, BackoffLimits
from nodes.uplink.batching import BatchLimits
from nodes.uplink.client import CloudClient
from nodes.uplink.deliveries import Delivery
from nodes.uplink.downlink import DownlinkTaker, MessageHandler
from nodes.uplink.enrolling import Connect, connect_https
from nodes.uplink.errors import CloudBusyError, CloudDeniedError, CloudRefusedError
from nodes.uplink.events import UplinkEvents
from nodes.uplink.gathering import Gathering, line_of
from nodes.uplink.hop import CloudHop
from nodes.uplink.outbox import Outbox, ParcelKind
from nodes.uplink.states import Step, UplinkState, after
from nodes.uplink.uploads import Uploader, UploadLimits, UploadProgress
from nodes.wakeup import Wakeup
from protocols.errors import AerolinkError, PolicyError, StorageError
from protocols.pki import CertificateRefusedError, ClockError, EnrolmentNeededError
from specs.cloudlink import DownlinkMessage, ReportedAlarm

_log: Final = logging.getLogger(__name__)
_REFUSALS: Final = (TlsError, PolicyError, CertificateRefusedError, ClockError, EnrolmentNeededError)
_NOT_RENEWED: Final = (CloudBusyError, CloudDeniedError, CloudRefusedError, CertificateRefusedError, StorageError)
_GOODBYE_S: Final = 2.0


class Credentials(Protocol):
    """What is needed of :class:`nodes.pki.credentials.DeviceCredentials`."""

    @property
    def device_id(self) -> str:
        """32 hexadecimal digits."""
        ...

    @property
    def authority_id(self) -> bytes:
        """Which cloud, 16 bytes."""
        ...

    def context(self) -> ssl.SSLContext:
        """Return the context of a connection."""
        ...

    def renewal_due(self) -> bool:
        """Whether it is time for the next certificate."""
        ...

    async def request_renewal(self) -> bytes:
        """Return a request for it, DER."""
        ...

    async def renewed(self, certificate_der: bytes) -> None:
        """Take it, durably."""
        ...

    async def learn_time(self, unix_s: float) -> None:
        """Note what the cloud's clock says."""
        ...


@dataclass(frozen=True, slots=True)
class UplinkLimits:
    """Times and sizes."""

    retry: BackoffLimits = field(default_factory=BackoffLimits)
    """Between tries while the cloud is not there or busy."""
    refused_retry: BackoffLimits = field(default_factory=lambda: BackoffLimits(5.0, 600.0))
    """Between tries while the cloud does not let us in."""
    settled_s: float = 5.0
    """A connection that lived so long begins with short waits again."""
    batch: BatchLimits = field(default_factory=BatchLimits)
    """How telemetry is gathered."""
    upload: UploadLimits = field(default_factory=UploadLimits)
    """How logs are sent."""
    silence_s: float = 45.0
    """After so long without a word on the downlink the cloud is taken for gone (CL-35)."""
    renewal_check_s: float = 3_600.0
    """How often the cloud's time is asked for, and the certificate looked at."""


async def _take_nothing(sequence: int, message: DownlinkMessage) -> None:
    """Pass over a topic that nobody knows, as CL says."""
    _log.info("message %d of the cloud, %s: nobody here takes it", sequence, message.topic)
    await trio.lowlevel.checkpoint()


class Uplink(Service):
    """Use as ``async with``. The outbox, the store and the credentials are the caller's, and outlive it."""

    def __init__(
        self,
        endpoint: Endpoint,
        credentials: Credentials,
        outbox: Outbox,
        logs: LogStore | None = None,
        *,
        on_message: MessageHandler = _take_nothing,
        events: UplinkEvents | None = None,
        limits: UplinkLimits | None = None,
        server_hostname: str | None = None,
        entropy: Callable[[int], bytes] = secrets.token_bytes,
        clock: Callable[[], float] = time.time,
        connect: Connect = connect_https,
    ) -> None:
        """``clock``: Unix seconds, for the times of messages; ``connect`` makes an HTTPS client."""
        self._endpoint = endpoint
        self._credentials = credentials
        self._events = events or UplinkEvents()
        self._limits = limits or UplinkLimits()
        self._server_hostname = server_hostname
        self._entropy = entropy
        self._clock = clock
        self._connect = connect
        self._state = UplinkState.STOPPED
        self._reason = ""
        self._retry = Wakeup()
        self._has_moved = False
        self._furthest = (b"", 0)
        self._answered_s = math.inf
        self._gathering = Gathering(outbox, self._on_kept, self._limits.batch)
        self._deliveries = {
            kind: Delivery(outbox, kind, self._new_backoff, self._events.on_refused) for kind in ParcelKind
        }
        self._taker = DownlinkTaker(
            outbox, on_message, self._new_backoff, self._events.on_message_refused, self._limits.silence_s
        )
        self._uploader = (
            None
            if logs is None
            else Uploader(logs, self._new_backoff, self._on_progress, self._events.on_upload, self._limits.upload)
        )

    # --- for whoever embeds it ----------------------------------------------------------------------

    @property
    def state(self) -> UplinkState:
        """Where it stands."""
        return self._state

    @property
    def reason(self) -> str:
        """Why it stands there: one line, or empty."""
        return self._reason

    @property
    def accepted_messages(self) -> int:
        """Messages of telemetry that the cloud has accepted since the start, each counted once."""
        return self._deliveries[ParcelKind.TELEMETRY].accepted_items

    @property
    def dropped_messages(self) -> int:
        """Messages of telemetry that were dropped before the outbox had them, because writing it took too long."""
        return self._gathering.telemetry.dropped

    def telemetry(self, message: bytes, *, drone: bytes = b"", time_ms: int | None = None) -> None:
        """Take a drone's message for the cloud, without waiting; it is durable within a fraction of a second.

        ``drone``: its key id, if it is known. MessageTooLargeError, UsageError for what the cloud would refuse.
        """
        self._gathering.add_telemetry(message, self._now_ms() if time_ms is None else time_ms, drone)

    def alarm(self, kind: str, detail: str = "", *, source: bytes = b"", time_ms: int | None = None) -> None:
        """Take an alarm for the cloud, without waiting; UsageError for a kind that is no short printable text.

        ``detail`` is cut to what fits, and what cannot be printed is replaced: an alarm must not fail for its words.
        """
        when = self._now_ms() if time_ms is None else time_ms
        self._gathering.add_alarm(ReportedAlarm(when, kind, line_of(detail), source))

    async def flush(self) -> None:
        """Return when everything that was taken is durable here; StorageError."""
        await self._gathering.flush()

    def log_added(self) -> None:
        """Say that the store has a new log; otherwise it is found a few seconds later."""
        if self._uploader is not None:
            self._uploader.news.set()

    def retry_now(self) -> None:
        """Try again at once: the network came back, the clock was set, the device was enrolled."""
        self._retry.set()

    # --- tasks --------------------------------------------------------------------------------------

    async def _begin(self) -> None:
        self._start_soon(self._gather, self._gathering.telemetry.run)
        self._start_soon(self._gather, self._gathering.alarms.run)
        self._start_soon(self._run)

    async def _goodbye(self) -> None:
        with trio.move_on_after(_GOODBYE_S, shield=True):
            try:
                await self._gathering.flush()
            except StorageError as error:
                self._events.on_storage(str(error))

    async def _leave(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await super()._leave(kind, error, trace)
        finally:
            self._step(Step.STOP)

    async def _gather(self, run: Callable[[], Awaitable[None]]) -> None:
        backoff = self._new_backoff()
        while True:
            try:
                await run()
            except StorageError as error:  # a full disk: what was gathered stays in memory, bounded
                self._events.on_storage(str(error))
            await trio.sleep(backoff.next_s())

    async def _run(self) -> None:
        waits = {Step.LOST: self._new_backoff(), Step.REFUSED: Backoff(self._limits.refused_retry, self._entropy)}
        while True:
            self._step(Step.TRY)
            self._answered_s, self._has_moved = math.inf, False
            error = await self._connection()
            if error is None:  # the certificate was renewed
                continue
            step = Step.REFUSED if isinstance(error, _REFUSALS) else Step.LOST
            # Not from the beginning of the try: a cloud that lets us wait for its silence has not lived.
            # But one that brings a log on has, however short its lives: it would wait longer and longer for each piece.
            if self._has_moved or trio.current_time() - self._answered_s >= self._limits.settled_s:
                for wait in waits.values():
                    wait.reset()
            self._step(step, str(error))
            with trio.move_on_after(waits[step].next_s()):
                await self._retry.wait()

    async def _connection(self) -> AerolinkError | None:
        """Live through one connection; return what ended it, None for a renewed certificate."""
        try:
            context = self._credentials.context()
            async with AsyncExitStack() as stack:
                clients = [await self._open(stack, context) for _ in range(3)]
                await clients[0].health()
                await self._learn_time(clients[0])
                self._retry.is_set = False
                self._answered_s = trio.current_time()
                self._step(Step.ANSWERED)
                return await self._online(*clients)
        except AerolinkError as error:
            return error

    async def _open(self, stack: AsyncExitStack, context: ssl.SSLContext) -> CloudClient:
        connection = self._connect(self._endpoint, context, self._server_hostname)
        return CloudClient(await stack.enter_async_context(connection), self._credentials.device_id)

    async def _online(self, client: CloudClient, uploads: CloudClient, relays: CloudClient) -> AerolinkError | None:
        """Run the tasks of a connection; return why they ended."""
        hop = CloudHop(self._credentials.authority_id)
        announced = False

        def announce() -> None:
            nonlocal announced
            if not announced:
                announced = True
                self._events.on_hop(hop)

        tasks: list[Callable[[], Awaitable[None]]] = [
            partial(self._deliveries[ParcelKind.ALARM].run, client.alarms),
            partial(self._deliveries[ParcelKind.TELEMETRY].run, client.telemetry),
            partial(self._taker.run, client, hop, announce),
            partial(self._taker.acknowledge, client),
            partial(hop.run, relays),
            partial(self._renew, client),
        ]
        if self._uploader is not None:
            tasks.append(partial(self._uploader.run, uploads))
        ends: list[AerolinkError | None] = []

        async def guard(task: Callable[[], Awaitable[None]], scope: trio.CancelScope) -> None:
            try:
                await task()
            except AerolinkError as error:
                ends.append(error)
            else:
                ends.append(None)
            scope.cancel()

        try:
            async with trio.open_nursery() as nursery:
                for task in tasks:
                    nursery.start_soon(guard, task, nursery.cancel_scope)
        finally:
            hop.close()
        return ends[0]

    async def _renew(self, client: CloudClient) -> None:
        """Return when there is a new certificate; learn the time meanwhile."""
        while True:
            if self._credentials.renewal_due():
                try:
                    issued = await client.renew(await self._credentials.request_renewal())
                    await self._credentials.renewed(issued.certificate)
                except _NOT_RENEWED as error:
                    _log.warning("the certificate could not be renewed: %s", error)  # the old one is good for a while
                else:
                    if not self._credentials.renewal_due():
                        return
                    # The cloud's clock says that it is young (KL-41): asking again at once would be for ever.
                    _log.warning("the renewed certificate is due, too: is the clock of this device ahead?")
            await trio.sleep(self._limits.renewal_check_s)
            await self._learn_time(client)

    async def _learn_time(self, client: CloudClient) -> None:
        told = await client.time()
        try:
            await self._credentials.learn_time(told.time_ms / 1000)
        except StorageError as error:  # it is known until the end of this process
            _log.warning("the time could not be noted: %s", error)

    # --- small things -------------------------------------------------------------------------------

    def _step(self, step: Step, reason: str = "") -> None:
        self._state = after(self._state, step)
        self._reason = reason
        _log.info("uplink %s%s", self._state.value, f": {reason}" if reason else "")
        self._events.on_state(self._state, reason)

    def _on_progress(self, progress: UploadProgress) -> None:
        """Pass it on, and note whether a log is further than it ever was."""
        sha256, done_bytes = self._furthest
        if progress.entry.sha256 != sha256:
            self._furthest = (progress.entry.sha256, progress.done_bytes)
        elif progress.done_bytes > done_bytes:
            self._furthest = (sha256, progress.done_bytes)
            self._has_moved = True
        self._events.on_progress(progress)

    def _on_kept(self, kind: ParcelKind) -> None:
        self._deliveries[kind].news.set()

    def _new_backoff(self) -> Backoff:
        return Backoff(self._limits.retry, self._entropy)

    def _now_ms(self) -> int:
        return int(self._clock() * 1000)
