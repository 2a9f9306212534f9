"""The cloud: devices come to it over HTTPS, and it goes to drones over the relays behind them."""

import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Final, TypeVar

import trio

from nodes.cloud.api import CloudApi
from nodes.cloud.events import CloudAlarm, CloudAlarmKind, CloudEvent, DownlinkChanged, ignore
from nodes.cloud.hop import CloudHop
from nodes.cloud.limits import CloudLimits
from nodes.cloud.ports import CloudBlobs, CloudRecords
from nodes.config.endpoint import Endpoint
from nodes.https import Alarm as HttpAlarm
from nodes.https import HttpLimits, HttpsServer
from nodes.link import Link
from nodes.pki.authority import DeviceAuthority
from nodes.ports import CloudSealing
from nodes.relaying import RemoteInitiating
from nodes.trust import Stores
from protocols.errors import (
    AerolinkError,
    ConfigError,
    FlowRefusedError,
    NotPairedError,
    PeerError,
    StorageError,
    SuiteRefusedError,
)
from protocols.events import Alarm, AlarmKind
from protocols.link.config import LinkConfig
from protocols.link.peers import PeerRecord
from protocols.pairing import LinkingCode
from specs.registry import LinkType, Role

T = TypeVar("T")
_log: Final = logging.getLogger(__name__)
_SWEEP_S: Final = 3_600.0
_LAST_WORDS_S: Final = 1.0
"""For devices to take what was said to drones at the end."""
_ANOTHER_WAY: Final = (PeerError, NotPairedError, SuiteRefusedError)
"""What a device on the way can bring about by saying nothing, or something false: a hint of a refusal is not proven."""


@dataclass(frozen=True, slots=True)
class CloudStores:
    """Everything that a cloud keeps. Whoever opened it closes it, after the cloud has ended."""

    links: Stores
    """Its static keys, the drones that it is paired with, its counters."""
    authority: DeviceAuthority
    """Certificates of its devices."""
    records: CloudRecords
    """What devices bring, but for large objects."""
    blobs: CloudBlobs
    """Large objects."""
    sealing: CloudSealing
    """Keys of sealed logs."""


class Cloud(RemoteInitiating):
    """``async with Cloud(stores) as cloud: where = await cloud.listen(endpoint)``.

    ``await cloud.connect_drone(drone_id)`` makes a link to a drone, end to end, through whatever device has it behind.
    """

    role = Role.CLOUD
    makes = LinkType.REMOTE_CLOUD
    remote = LinkType.REMOTE_CLOUD

    def __init__(
        self,
        stores: CloudStores,
        config: LinkConfig | None = None,
        *,
        limits: CloudLimits | None = None,
        http: HttpLimits | None = None,
        on_event: Callable[[CloudEvent], None] = ignore,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``clock``: seconds since 1970, for certificates and times that people read."""
        super().__init__(stores.links, config)
        self.stores: Final = stores
        """What it keeps."""
        self.on_event: Callable[[CloudEvent], None] = on_event
        """Told what devices bring; it neither waits nor raises."""
        self._limits = limits
        self._http = http
        self._clock = clock
        self._hops: dict[str, CloudHop] = {}

    async def _begin(self) -> None:
        await super()._begin()
        stores = self.stores
        self._api = CloudApi(
            stores.records,
            stores.blobs,
            stores.authority,
            stores.sealing,
            clock=self._clock,
            limits=self._limits,
            on_event=self._take_event,
            on_alarm=self._take_alarm,
            on_hop=self._take_hop,
            entropy=self._entropy,
        )
        self._start_soon(stores.authority.keep_fresh, self._clock)
        self._start_soon(self._sweep)

    async def _goodbye(self) -> None:
        await super()._goodbye()
        downlinks = self._api.downlinks
        downlinks.end_all()
        with trio.move_on_after(_LAST_WORDS_S, shield=True):
            await downlinks.gone()

    @property
    def api(self) -> CloudApi:
        """Requests, uploads, downlinks; only inside of the block."""
        return self._api

    # --- HTTPS ----------------------------------------------------------------------------------

    async def listen(self, endpoint: Endpoint) -> Endpoint:
        """Serve the devices that have a certificate; return where. ConfigError with one line."""
        authority = self.stores.authority
        server = HttpsServer(self._api.handle, authority.server_context, self._http, on_alarm=self._take_http_alarm)
        return await self._host_server(server, endpoint)

    async def listen_for_enrolment(self, endpoint: Endpoint) -> Endpoint:
        """Serve devices that have a token and no certificate yet; return where. ConfigError with one line."""
        authority = self.stores.authority
        handle, limits = self._api.handle_enrolment, for_strangers(self._http or HttpLimits())
        server = HttpsServer(handle, authority.enrolment_context, limits, on_alarm=self._take_http_alarm)
        return await self._host_server(server, endpoint)

    async def _host_server(self, server: HttpsServer, endpoint: Endpoint) -> Endpoint:
        """Run a server in the background from now on."""
        where: list[Endpoint | ConfigError] = []
        ready = trio.Event()

        async def host() -> None:
            async with server:
                try:
                    where.append(await server.serve(endpoint))
                except ConfigError as error:
                    where.append(error)
                    return
                finally:
                    ready.set()
                await trio.sleep_forever()

        self._start_soon(host)
        await ready.wait()
        if isinstance(where[0], ConfigError):
            raise where[0]
        return where[0]

    async def revoke_device(self, device: str) -> None:
        """Refuse a device from now on, and end what it has; UsageError, StorageError."""
        await self.stores.authority.revoke(device, self._clock())
        self._api.downlinks.end(device)
        self.relays.detach(bytes.fromhex(device))

    # --- drones ---------------------------------------------------------------------------------

    @property
    def devices_up(self) -> tuple[str, ...]:
        """Devices that have a downlink now."""
        return tuple(device for device, hop in self._hops.items() if hop.is_up)

    async def connect_drone(self, drone_id: bytes) -> Link:
        """Make a link to a paired drone through one of the devices that have it behind; they take turns.

        FlowRefusedError when none has; the errors of ``connect``.
        """
        return await self._through_any(lambda relay: self.connect_over(relay, drone_id))

    async def pair_drone(self, code: LinkingCode, drone_id: bytes) -> PeerRecord:
        """Pair with the drone that shows ``code`` through one of the devices that have it behind.

        ``drone_id`` is what the relays know it by; that it is the drone, the code proves. FlowRefusedError when none
        has it; the errors of ``pair``.
        """
        return await self._through_any(lambda relay: self.pair_over(relay, code, drone_id))

    async def _through_any(self, go: Callable[[bytes], Awaitable[T]]) -> T:
        """Who was asked last is asked last: a device that drops what it carries stands in nobody's way."""
        failure: AerolinkError = FlowRefusedError("no device is here that could reach the drone")
        for device in self.devices_up:
            hop = self._hops.pop(device, None)
            if hop is not None:
                self._hops[device] = hop
            try:
                return await go(bytes.fromhex(device))
            except _ANOTHER_WAY as error:
                failure = error
        raise failure

    # --- what the parts tell --------------------------------------------------------------------

    def _take_hop(self, hop: CloudHop) -> None:
        self._hops[hop.device] = hop
        self.relays.attach(hop)

    def _take_event(self, event: CloudEvent) -> None:
        if isinstance(event, DownlinkChanged) and not event.is_up:
            hop = self._hops.get(event.device)
            if hop is not None and not hop.is_up:
                del self._hops[event.device]
        self.on_event(event)

    def _take_alarm(self, alarm: CloudAlarm) -> None:
        who = f"device {alarm.device}: " if alarm.device else ""
        self._on_alarm(Alarm(_ALARMS[alarm.kind], f"{who}{alarm.detail or alarm.kind.value}"))

    def _take_http_alarm(self, alarm: HttpAlarm) -> None:
        self._on_alarm(Alarm(AlarmKind.HTTPS_REFUSED, f"{alarm.kind.value}, by {alarm.peer}: {alarm.detail}"))

    async def _sweep(self) -> None:
        """Remove what was abandoned, at the start and now and then."""
        while True:
            try:
                await self._api.uploads.sweep()
            except StorageError as error:
                self._on_alarm(Alarm(AlarmKind.STORE_FAILED, str(error)))
            await trio.sleep(_SWEEP_S)


def for_strangers(limits: HttpLimits) -> HttpLimits:
    """Return the limits where everybody comes through TLS: what they take of files and time is missing to devices."""
    return replace(
        limits,
        connections=min(limits.connections, 128),
        connections_per_source=min(limits.connections_per_source, 16),
        handshakes=min(limits.handshakes, 64),
        new_per_s=min(limits.new_per_s, 50.0),
        new_per_source_per_s=min(limits.new_per_source_per_s, 10.0),
    )


_ALARMS: Final = {
    CloudAlarmKind.CERTIFICATE_REFUSED: AlarmKind.HTTPS_REFUSED,
    CloudAlarmKind.FOREIGN_RESOURCE: AlarmKind.FOREIGN_RESOURCE,
    CloudAlarmKind.LOG_REFUSED: AlarmKind.LOG_REFUSED,
    CloudAlarmKind.STORAGE_FULL: AlarmKind.STORE_FAILED,
    CloudAlarmKind.STORAGE_FAILED: AlarmKind.STORE_FAILED,
    CloudAlarmKind.ENROLMENT_REFUSED: AlarmKind.HTTPS_REFUSED,
}
