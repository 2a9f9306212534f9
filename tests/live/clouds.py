"""A real cloud, and a device that keeps a way to it: sockets of the loopback, TLS, files."""

import hashlib
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import trio

from nodes.cloud.blobs import FileBlobs
from nodes.cloud.events import CloudEvent, FlightStored, TelemetryReceived
from nodes.cloud.node import Cloud, CloudStores
from nodes.cloud.sqliterecords import SqliteRecords
from nodes.config.endpoint import Endpoint
from nodes.flight.container import encode_flight
from nodes.flight.source import FlightFrame
from nodes.pki.authority import DeviceAuthority
from nodes.pki.credentials import DeviceCredentials
from nodes.stores.logspool import LogSpool
from nodes.stores.sealingmemory import MemoryCloudSealing
from nodes.stores.spoolrules import SpoolLimits
from nodes.trust import Stores
from nodes.uplink.backoff import BackoffLimits
from nodes.uplink.enrolling import enrol
from nodes.uplink.events import UplinkEvents
from nodes.uplink.hop import CloudHop
from nodes.uplink.outboxfile import SqliteOutbox
from nodes.uplink.states import UplinkState
from nodes.uplink.uplink import Uplink, UplinkLimits
from nodes.uplink.uploads import UploadEnd, UploadLimits, UploadProgress
from specs.cloudlink import DownlinkMessage
from tests.live.kit import LOOPBACK, make_key, stores_of

LIMITS = UplinkLimits(
    retry=BackoffLimits(0.05, 0.4),
    refused_retry=BackoffLimits(0.1, 0.5),
    upload=UploadLimits(chunk_bytes=16_384, look_s=0.5),
)
FRAMES = [FlightFrame(number / 10, b"\xfe" + hashlib.sha512(b"%d" % number).digest()) for number in range(4_000)]
FLIGHT = encode_flight(FRAMES)
FRAMES_SHA256 = hashlib.sha256(b"".join(frame.data for frame in FRAMES)).digest()


@dataclass
class CloudPlace:
    """What a cloud keeps from one life to the next."""

    folder: Path
    links: Stores = field(default_factory=lambda: stores_of(make_key()))
    sealing: MemoryCloudSealing = field(default_factory=MemoryCloudSealing)
    where: Endpoint = LOOPBACK
    enrolment: Endpoint = LOOPBACK
    events: list[CloudEvent] = field(default_factory=list[CloudEvent])

    @asynccontextmanager
    async def life(self) -> AsyncGenerator[Cloud]:
        """Run the cloud; the second time at the same ports."""
        authority = await DeviceAuthority.open(self.folder / "pki", ["127.0.0.1"], time.time())
        records = await SqliteRecords.open(self.folder / "cloud.db")
        try:
            blobs = await FileBlobs.open(self.folder / "blobs")
            stores = CloudStores(self.links, authority, records, blobs, self.sealing)
            async with Cloud(stores, on_event=self.events.append) as cloud:
                self.where = await cloud.listen(self.where)
                self.enrolment = await cloud.listen_for_enrolment(self.enrolment)
                yield cloud
        finally:
            await records.aclose()
            await authority.aclose()

    @property
    def messages(self) -> list[bytes]:
        """Telemetry, in the order in which it was counted."""
        batches = [event.batch for event in self.events if isinstance(event, TelemetryReceived)]
        return [message for batch in batches for message in batch.messages]

    @property
    def flights(self) -> list[FlightStored]:
        return [event for event in self.events if isinstance(event, FlightStored)]


@dataclass
class DevicePlace:
    """What a device keeps from one life to the next, and what its uplink told."""

    folder: Path
    cloud: CloudPlace
    states: list[UplinkState] = field(default_factory=list[UplinkState])
    progress: list[UploadProgress] = field(default_factory=list[UploadProgress])
    ends: list[UploadEnd] = field(default_factory=list[UploadEnd])
    topics: list[str] = field(default_factory=list[str])
    hops: list[CloudHop] = field(default_factory=list[CloudHop])

    @asynccontextmanager
    async def credentials(self) -> AsyncGenerator[DeviceCredentials]:
        credentials = await DeviceCredentials.open(self.folder / "pki")
        try:
            yield credentials
        finally:
            await credentials.aclose()

    async def enrol(self, cloud: Cloud) -> str:
        """Get a certificate; return the device id."""
        token = await cloud.stores.authority.make_token(time.time(), name="a mobile")
        async with self.credentials() as credentials:
            await enrol(self.cloud.enrolment, token.text(), credentials)
            return credentials.device_id

    @asynccontextmanager
    async def life(self) -> AsyncGenerator[tuple[Uplink, LogSpool]]:
        """Run the uplink over files."""
        outbox = await SqliteOutbox.open(self.folder / "outbox.db")
        try:
            async with self.credentials() as credentials:
                with LogSpool.open(self.folder / "logs", SpoolLimits(quota_bytes=10**8)) as logs:
                    events = UplinkEvents(
                        on_state=lambda state, _: self.states.append(state),
                        on_progress=self.progress.append,
                        on_upload=self.ends.append,
                        on_hop=self.hops.append,
                    )
                    async with Uplink(
                        self.cloud.where,
                        credentials,
                        outbox,
                        logs,
                        on_message=self._take,
                        events=events,
                        limits=LIMITS,
                    ) as uplink:
                        yield uplink, logs
        finally:
            await outbox.aclose()

    async def _take(self, _sequence: int, message: DownlinkMessage) -> None:
        await trio.lowlevel.checkpoint()
        self.topics.append(message.topic)


async def add_log(logs: LogSpool, sealed: bytes) -> bytes:
    """Put a sealed log into a store; return its name there."""
    writer = await logs.create()
    await writer.write(sealed)
    return (await writer.finish()).sha256
