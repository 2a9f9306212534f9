"""An uplink, what it works with, and what it said."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import trio

from nodes.config.endpoint import Endpoint
from nodes.stores.logspool import LogSpool
from nodes.stores.spoolmemory import MemoryShelf, memory_log_store
from nodes.stores.spoolrules import SpoolLimits
from nodes.uplink.events import UplinkEvents
from nodes.uplink.hop import CloudHop
from nodes.uplink.outbox import MemoryOutbox, Outbox, Parcel
from nodes.uplink.states import UplinkState
from nodes.uplink.uplink import Uplink, UplinkLimits
from nodes.uplink.uploads import UploadEnd, UploadLimits, UploadProgress
from protocols.errors import AerolinkError
from specs.cloudlink import DownlinkMessage
from tests.unit.uplink.fakecloud import FakeCloud, FakeCredentials

ENDPOINT = Endpoint("127.0.0.1", 1)
LIMITS = UplinkLimits(upload=UploadLimits(chunk_bytes=1_000))
_QUOTA = SpoolLimits(quota_bytes=10_000_000)
PATIENCE_S = 3_600.0
"""Virtual seconds."""


def message(number: int) -> bytes:
    """A user's message of a drone."""
    return b"\x80\x00" + b"%d" % number


@dataclass
class Scene:
    cloud: FakeCloud = field(default_factory=FakeCloud)
    outbox: Outbox = field(default_factory=MemoryOutbox)
    shelf: MemoryShelf = field(default_factory=MemoryShelf)
    credentials: FakeCredentials = field(default_factory=FakeCredentials)
    limits: UplinkLimits = LIMITS
    states: list[tuple[UplinkState, str]] = field(default_factory=list[tuple[UplinkState, str]])
    progress: list[UploadProgress] = field(default_factory=list[UploadProgress])
    ends: list[UploadEnd] = field(default_factory=list[UploadEnd])
    refused: list[Parcel] = field(default_factory=list[Parcel])
    refused_messages: list[int] = field(default_factory=list[int])
    storage: list[str] = field(default_factory=list[str])
    taken: list[str] = field(default_factory=list[str])
    """Topics that the handler took."""
    handler_error: AerolinkError | None = None
    hops: list[CloudHop] = field(default_factory=list[CloudHop])
    store: LogSpool = field(init=False)

    def __post_init__(self) -> None:
        self.store = memory_log_store(_QUOTA, self.shelf)

    def uplink(self, **limits: object) -> Uplink:
        """Make an uplink; the device has restarted if it is not the first."""
        self.store = memory_log_store(_QUOTA, self.shelf)
        events = UplinkEvents(
            on_state=lambda state, reason: self.states.append((state, reason)),
            on_progress=self.progress.append,
            on_upload=self.ends.append,
            on_refused=lambda parcel, _: self.refused.append(parcel),
            on_message_refused=lambda sequence, _message, _reason: self.refused_messages.append(sequence),
            on_storage=self.storage.append,
            on_hop=self.hops.append,
        )
        return Uplink(
            ENDPOINT,
            self.credentials,
            self.outbox,
            self.store,
            on_message=self._take,
            events=events,
            limits=replace(self.limits, **limits),  # type: ignore[arg-type]  # as the caller has it
            entropy=lambda count: b"\x80" * count,
            clock=lambda: 1_800_000_000.0,
            connect=self.cloud.connect,
        )

    async def _take(self, _sequence: int, told: DownlinkMessage) -> None:
        await trio.lowlevel.checkpoint()
        if self.handler_error is not None:
            raise self.handler_error
        self.taken.append(told.topic)

    async def add_log(self, sealed: bytes) -> bytes:
        """Put a sealed log into the store; return its name there."""
        writer = await self.store.create()
        await writer.write(sealed)
        return (await writer.finish()).sha256


async def until(condition: Callable[[], bool], patience_s: float = PATIENCE_S) -> None:
    """Wait, on the virtual clock, for something that has no event of its own."""
    with trio.fail_after(patience_s):
        while not condition():  # noqa: ASYNC110
            await trio.sleep(0.01)
