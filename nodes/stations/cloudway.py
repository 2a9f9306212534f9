"""The way to a cloud, of a station that has one: a mobile, or a remote controller that is a dock.

It is never needed to fly: what is for the cloud waits, durably, until it is there. Telemetry, alarms and sealed logs go
to it; through it the cloud's own links to drones come (specs/9-cloudlink.md).
"""

import ssl
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Final

import trio

from nodes.config.endpoint import Endpoint
from nodes.https import HttpsClient
from nodes.link import Link
from nodes.pki.credentials import DeviceCredentials
from nodes.relaying import Relaying
from nodes.stations.base import Station, send_or_drop
from nodes.stations.logs import LogDesk
from nodes.stations.notes import LinkIsDown, LinkIsUp, Progress
from nodes.stations.quality import MOST, QUALITY_S
from nodes.uplink.client import Requester
from nodes.uplink.enrolling import Connect
from nodes.uplink.events import UplinkEvents
from nodes.uplink.outbox import Outbox, Parcel
from nodes.uplink.states import UplinkState
from nodes.uplink.uplink import Uplink
from nodes.uplink.uploads import UploadEnd, UploadProgress
from protocols.crypto.fingerprint import fingerprint_text
from protocols.events import Alarm, AlarmKind, SendState
from protocols.groundlink import GROUNDLINK
from protocols.pki import EnrolmentNeededError
from specs.cloudlink import UploadPhase
from specs.groundlink import LinkQuality
from specs.registry import LinkType

_CLIENTS: Final = 3
"""An uplink has three HTTPS clients at a time."""
_ALARMS_S: Final = 0.5
"""How often our own alarms are looked at for the cloud."""


@dataclass(frozen=True, slots=True)
class CloudWay:
    """What a station that has a cloud keeps for it. Whoever opened it closes it."""

    credentials: DeviceCredentials
    """Key and certificate."""
    outbox: Outbox
    """What the cloud has not acknowledged."""


class CloudDesk:
    """What a station brings to its cloud, and what it tells of that. ``async with desk.open(way, endpoint, name)``."""

    def __init__(self, station: Station, node: Relaying, logs: LogDesk) -> None:
        self.uplink: Uplink | None = None
        """The way to the cloud, while it is kept."""
        self.link_name: Final = f"{node.role.name.lower()}-cloud"
        """What it is called in notes."""
        self.connect: Connect = HttpsClient
        """Makes a client."""
        self.on_upload: Callable[[UploadEnd], None] = lambda _: None
        """Told how the upload of each log has ended."""
        self._station = station
        self._node = node
        self._logs = logs
        self._peer = ""
        self._clients: deque[HttpsClient] = deque(maxlen=_CLIENTS)
        self._online = False
        self._way: CloudWay | None = None
        self._counted = (0, 0)

    @asynccontextmanager
    async def open(self, way: CloudWay | None, cloud: Endpoint | None, name: str | None) -> AsyncGenerator[None]:
        """Keep the way to a cloud open inside of the block; a station without a cloud has none."""
        if way is None or cloud is None:
            yield
            return
        self._way = way
        async with self._uplink_of(way, cloud, name) as self.uplink, trio.open_nursery() as nursery:
            nursery.start_soon(self._report_alarms, self.uplink)
            try:
                yield
            finally:
                nursery.cancel_scope.cancel()

    def telemetry(self, data: bytes, drone: bytes) -> None:
        """Bring a message of a drone; ``drone`` is its key id, empty for one that nobody has named."""
        if self.uplink is not None:
            self.uplink.telemetry(data, drone=drone)

    async def tell_quality(self, link: Link) -> None:
        """Tell the other end of a groundlink how good the way to the cloud is, for ever; nothing without a cloud."""
        while True:
            quality = self._quality()
            if quality is not None:
                row = GROUNDLINK.row(quality)
                send_or_drop(link, SendState(row.channel, row.id, GROUNDLINK.encode(quality)))
            await trio.sleep(QUALITY_S)

    def _quality(self) -> LinkQuality | None:
        """Return it since this was asked last. HTTPS has no samples of its round trip, and loses nothing."""
        if self.uplink is None or self._way is None:
            return None
        try:
            peer = self._way.credentials.authority_id
        except EnrolmentNeededError:
            return None
        all_of_them = [client.traffic for client in self._clients]
        received_bytes = sum(each.received_bytes for each in all_of_them)
        sent_bytes = sum(each.sent_bytes for each in all_of_them)
        before, self._counted = self._counted, (received_bytes, sent_bytes)
        rates = (self._rate(received_bytes - before[0]), self._rate(sent_bytes - before[1]))
        return LinkQuality(LinkType.REMOTE_CLOUD, self._online, peer, 0, 0, *rates)

    def _rate(self, count: int) -> int:
        """Return bytes a second; a new connection counts from 0 again."""
        return min(max(0, round(count / QUALITY_S)), MOST) if self._online else 0

    def log_added(self) -> None:
        """Say that there is a log to bring."""
        if self.uplink is not None:
            self.uplink.log_added()

    def _uplink_of(self, way: CloudWay, cloud: Endpoint, name: str | None) -> Uplink:
        events = UplinkEvents(
            on_state=self._on_state,
            on_progress=self._on_progress,
            on_upload=self._on_upload,
            on_refused=self._on_parcel_refused,
            on_hop=self._node.relays.attach,
            on_storage=self._on_storage,
        )
        return Uplink(
            cloud,
            way.credentials,
            way.outbox,
            self._logs.store,
            events=events,
            server_hostname=name,
            connect=self._connect_known,
        )

    def _connect_known(
        self, endpoint: Endpoint, context: ssl.SSLContext, name: str | None
    ) -> AbstractAsyncContextManager[Requester]:
        client = self.connect(endpoint, context, name)
        if isinstance(client, HttpsClient):
            self._clients.append(client)
        return client

    # --- what it tells --------------------------------------------------------------------------

    def _on_state(self, state: UplinkState, reason: str) -> None:
        station = self._station
        station.tell(f"cloud: {state.value}{f': {reason}' if reason else ''}")
        if self._online:
            station.say(LinkIsDown(station.name, self.link_name, self._peer, reason))
        self._online = state is UplinkState.ONLINE
        session = next((client.session for client in self._clients if client.session is not None), None)
        if self._online and session is not None and self._way is not None:
            self._peer = fingerprint_text(self._way.credentials.authority_id)
            took_ms = session.handshake_s * 1_000
            station.say(LinkIsUp(station.name, session.suite, self._peer, took_ms, self.link_name, "https", "cloud"))

    def _on_progress(self, progress: UploadProgress) -> None:
        name = progress.entry.flight_id.hex()[:8]
        self._station.say(Progress(self._station.name, name, progress.done_bytes, progress.size_bytes))

    def _on_upload(self, end: UploadEnd) -> None:
        what = f"log {end.entry.flight_id.hex()[:8]}: {end.phase.value} at the cloud"
        if end.phase is UploadPhase.REFUSED:
            self._node.raise_alarm(Alarm(AlarmKind.LOG_REFUSED, f"{what}: {end.reason.value}"))
        self._station.tell(what)
        self.on_upload(end)

    def _on_parcel_refused(self, parcel: Parcel, reason: str) -> None:
        what = f"the cloud will not take {parcel.items} items: {reason}"
        self._node.raise_alarm(Alarm(AlarmKind.STORE_FAILED, what))

    def _on_storage(self, text: str) -> None:
        self._node.raise_alarm(Alarm(AlarmKind.STORE_FAILED, text))

    async def _report_alarms(self, uplink: Uplink) -> None:
        """Bring our own alarms to the cloud."""
        told = 0
        while True:
            for alarm in self._node.alarms_after(told):
                uplink.alarm(alarm.kind.name.lower(), alarm.detail)
            told = self._node.alarms_raised
            await trio.sleep(_ALARMS_S)
